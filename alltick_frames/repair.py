"""Finding what is damaged in an archive, and making whole what can be: from the segments, which say what they are.

Every file and every entry of the index is looked at. What can be read is kept, also of segments that no index lists any
more; what cannot is moved to `quarantine/`, and nothing is claimed of it, so that the next call asks for it again.
"""

from __future__ import annotations

import os
import shutil
import time
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa

from alltick_frames import finality, records
from alltick_frames.disk import Index, ReadOnlyIndex, is_archive, open_index, reported, salvaged
from alltick_frames.errors import StoreError
from alltick_frames.log import LOG_PREFIX, Log, Progress, View, entry_key
from alltick_frames.periods import Period
from alltick_frames.records import INDEX_PREFIX, SCHEMA, Batch, Group, Record, Segment
from alltick_frames.segments import Identity, UnreadableError, identified, proven, with_asked
from alltick_frames.spans import Span, SpanSet
from alltick_frames.store import ARCHIVE_KEY, MARK, PROGRESS_KEY, Archive, named_by

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from alltick_frames.log import Delta
    from alltick_frames.segments import Bars

__all__ = ["Finding", "Repaired", "repair", "verify"]

_QUARANTINE = "quarantine"
# A file that is younger may be a writer's, who has not listed it yet.
_SETTLED_S = 60


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is damaged.

    Attributes
    ----------
    where
        The file, or the entry of the index.
    what
        What is wrong with it.
    group, span
        Whose bars that concerns, and which, as far as known.
    """

    where: str
    what: str
    group: tuple[str, Period] | None = None
    span: Span | None = None

    def __str__(self) -> str:
        whose = "" if self.group is None else f"{self.group[0]} {self.group[1].value}"
        about = " ".join(str(part) for part in (whose, self.span or "") if part)
        return f"{about or 'archive'}: {self.where} {self.what}"


@dataclass(frozen=True, slots=True)
class Repaired:
    """What has become of one group: the spans that are not held any more."""

    code: str
    period: Period
    lost: tuple[Span, ...]


@dataclass(slots=True)
class _Found:
    """What is there of one group."""

    group: Group
    record: Record | None = None
    unreadable: bool = False
    newer: bool = False
    bad: list[Segment] = field(default_factory=list)
    bad_tail: bool = False
    unlisted: list[tuple[Path, Identity]] = field(default_factory=list)

    @property
    def damaged(self) -> bool:
        return bool(self.unreadable or self.bad or self.bad_tail or self.unlisted)


class _Examination:
    """Everything in one origin's archive, looked at once."""

    def __init__(self, index: Index, directory: Path, origin: str, *, anew: bool = False) -> None:
        self.index = index
        self.directory = directory
        self.origin = origin
        # Of an index made anew, what it does not list is no finding.
        self._anew = anew
        self.findings: list[Finding] = []
        self.groups: dict[Group, _Found] = {}
        self.log = Log()
        self.progress = Progress()
        self.trusted_upto = 0
        self.strange: list[Path] = []
        with reported(directory):
            self._read_log()
            self._read_records()
            self._read_files()

    def _of(self, group: Group) -> _Found:
        return self.groups.setdefault(group, _Found(group))

    def _find(self, where: str, what: str, group: Group | None = None, span: Span | None = None) -> None:
        self.findings.append(Finding(where, what, None if group is None else (group.code, group.period), span))

    def _read_log(self) -> None:
        try:
            row = self.index.inline(PROGRESS_KEY)
            self.progress = Progress() if row is None else msgspec.msgpack.decode(row, type=Progress)
        except (StoreError, *records.UNREADABLE) as error:
            self._find(PROGRESS_KEY, f"cannot be read ({error})")
        keys = self.index.keys_of(LOG_PREFIX)
        numbers = [int(key.removeprefix(LOG_PREFIX)) for key in keys if key.removeprefix(LOG_PREFIX).isdecimal()]
        last = max([self.progress.last, *numbers])
        deleted = self.progress.deleted if self.progress.last else min(numbers, default=1) - 1
        self.progress = Progress(last, deleted)
        self.trusted_upto = last
        for number in range(self.progress.deleted + 1, last + 1):
            why = ""
            try:
                value = self.index.inline(entry_key(number))
                if value is not None:
                    self.log.add(entry_key(number), value)
                    for name in self.log.names():
                        self.log.of(name, number - 1)
                else:
                    why = "is missing"
            except StoreError as error:
                why = str(error)
            if why:
                self._find(entry_key(number), why)
                self.trusted_upto = min(self.trusted_upto, number - 1)
        for name in self.log.names():
            period, code = name.split(":", 1)
            self._of(Group(self.origin, code, Period(period)))

    def _read_records(self) -> None:
        for key in self.index.keys_of(INDEX_PREFIX):
            try:
                code, period = named_by(key)
            except StoreError as error:
                self._find(key, str(error))
                continue
            found = self._of(Group(self.origin, code, period))
            try:
                found.record = found.group.record(self.index.inline(key))
            except StoreError as error:
                found.newer = "schema version" in str(error)
                found.unreadable = not found.newer
                self._find(key, str(error), found.group)
        for found in self.groups.values():
            for segment in found.record.segments if found.record is not None else ():
                why = self._why_bad(found.group, segment)
                if why:
                    found.bad.append(segment)
                    self._find(self._file_of(segment), why, found.group, _span_of(found.group, segment))
            try:
                if found.record is not None:
                    found.record.tail_bars()
            except StoreError as error:
                found.bad_tail = True
                self._find(found.group.index_key, str(error), found.group)

    def _file_of(self, segment: Segment) -> str:
        return str(self.index.disk.filename(segment.key)[0])

    def _why_bad(self, group: Group, segment: Segment) -> str:
        """Read a segment to its last byte."""
        try:
            path = self.index.path(segment.key)
            if path is None or not path.exists():
                return "is missing"
            content = path.read_bytes()
            if len(content) != segment.size:
                return f"has {len(content)} bytes instead of {segment.size}"
            if zlib.crc32(content) != segment.crc32:
                return "has another checksum than the one recorded"
            identified(pa.py_buffer(content), group.expected(segment))
        except (StoreError, UnreadableError, OSError) as error:
            return f"cannot be read: {error}"
        return ""

    def _read_files(self) -> None:
        """Look at the files that no record lists."""
        listed = {
            self.index.disk.filename(key)[1]
            for found in self.groups.values()
            if found.record is not None
            for key in [
                *(segment.key for segment in found.record.segments),
                *(old.key for old in found.record.superseded),
            ]
        }
        now = time.time()
        for path in sorted((self.directory / "segments").iterdir()):
            if str(path) in listed or now - path.stat().st_mtime < _SETTLED_S:
                continue
            try:
                identity, _ = proven(pa.py_buffer(path.read_bytes()))
                group = Group(self.origin, identity.code, Period(identity.period))
                why = "" if identity.origin == self.origin else f"it is of {identity.origin!r}"
                why = why if identity.schema <= SCHEMA else f"it has schema version {identity.schema}"
            except (UnreadableError, ValueError, OSError) as error:
                why = str(error)
            if why:
                self.strange.append(path)
                self._find(f"segments/{path.name}", f"is in no record and cannot be read: {why}")
                continue
            found = self._of(group)
            if found.newer:
                continue
            if found.record is not None and not found.bad and self._adds_nothing(found.record, identity):
                # What a killed writer left, or what was replaced long ago: all of it is held in a later version.
                continue
            found.unlisted.append((path, identity))
            if self._anew or found.unreadable:
                continue
            span = Span(finality.instant(identity.first), _slot_end(group, identity.last))
            self._find(f"segments/{path.name}", "is in no record; its bars can be taken in", group, span)

    def _adds_nothing(self, record: Record, identity: Identity) -> bool:
        spans = [(segment.first_stamp, segment.last_stamp, segment.version) for segment in record.segments]
        return (
            identity.version <= record.version
            and any(version >= identity.version for _, _, version in spans)
            and records.merged_spans((*record.coverage, *identity.coverage)) == record.coverage
        )


def verify(directory: Path, origin: str) -> list[Finding]:
    """Look at everything in `<directory>/<origin>/`, and say what is damaged; changes nothing.

    Raises
    ------
    StoreError
        A newer version of this library wrote it, or there is no archive.
    """
    within = Path(directory).absolute() / origin
    if not within.is_dir():
        raise StoreError(f"there is no archive in {within}")
    why = _why_no_index(within, origin)
    if why:
        return [Finding("cache.db", why)]
    index = ReadOnlyIndex(within)
    try:
        return _Examination(index, within, origin).findings
    finally:
        index.close()


def _why_no_index(within: Path, origin: str) -> str:
    """Say what is wrong with the index as a whole; empty if entries can be looked at one by one."""
    if not is_archive(within):
        return "is missing: the index was removed"
    index = ReadOnlyIndex(within)
    try:
        with reported(within):
            (whole,) = index._sql("PRAGMA integrity_check(1)").fetchone()  # noqa: SLF001  # diskcache's own door
            if whole != "ok":
                return f"is damaged: {whole}"
            row = index.inline(ARCHIVE_KEY)
            if row is None:
                return "was replaced by an empty one" if (within / MARK).exists() else ""
            recorded = msgspec.msgpack.decode(row, type=dict[str, Any])
            if recorded.get("schema", 0) > SCHEMA:
                raise _newer(within, recorded["schema"])
            if recorded.get("origin") != origin:
                return f"is that of {recorded.get('origin')!r}"
    except records.UNREADABLE as error:
        return f"has an entry {ARCHIVE_KEY!r} that cannot be read: {error}"
    except StoreError as error:
        if "schema version" in str(error):
            raise
        return str(error)
    finally:
        index.close()
    return ""


def _newer(within: Path, schema: int) -> StoreError:
    return StoreError(
        f"the archive in {within} has schema version {schema}, this alltick_frames reads up to {SCHEMA}; upgrade it"
    )


def repair(directory: Path, origin: str) -> tuple[list[Finding], list[Repaired]]:
    """Make `<directory>/<origin>/` whole: give what was damaged, and what is not held any more.

    No other process may use the archive meanwhile. One that is killed is done anew by the next.

    Raises
    ------
    StoreError
        A newer version of this library wrote it, or it cannot be written.
    """
    within = Path(directory).absolute() / origin
    findings = []
    why = _why_no_index(within, origin)
    if why:
        findings.append(Finding("cache.db", why))
        _begin_anew(within, origin)
    index = open_index(within)
    try:
        examined = _Examination(index, within, origin, anew=bool(why))
        findings += examined.findings
        if not findings:
            return [], []
        with reported(within):
            lost = _mend(examined)
    finally:
        index.close()
    return findings, lost


def _begin_anew(within: Path, origin: str) -> None:
    """Put the index aside, and what can be read of it into a new one."""
    rows = salvaged(within)
    aside = within / _QUARANTINE / f"{time.strftime('%Y%m%dT%H%M%S')}-{os.urandom(4).hex()}"
    aside.mkdir(parents=True, mode=0o700)
    for path in within.glob("cache.db*"):
        shutil.move(path, aside / path.name)
    index = open_index(within)
    try:
        with reported(within), index.transact():
            index.set(ARCHIVE_KEY, msgspec.msgpack.encode({"schema": SCHEMA, "origin": origin}))
            for key, value in rows.items():
                if key.startswith((INDEX_PREFIX, LOG_PREFIX)) or key == PROGRESS_KEY:
                    index.set(key, value)
            keys = _listed(rows.values(), index)
            for path in sorted((within / "segments").iterdir()):
                if path.name in keys:
                    index.register(keys[path.name], path)
    finally:
        index.close()


def _listed(rows: Iterable[bytes], index: Index) -> dict[str, str]:
    """Give by the name of its file the key of each segment that the records among *rows* list."""
    listed: dict[str, str] = {}
    for value in rows:
        try:
            record = msgspec.msgpack.decode(value, type=Record)
        except records.UNREADABLE:
            continue
        for key in [*(one.key for one in record.segments), *(old.key for old in record.superseded)]:
            listed[Path(index.disk.filename(key)[1]).name] = key
    return listed


def _mend(examined: _Examination) -> list[Repaired]:
    index, progress = examined.index, examined.progress
    logged = examined.log.names()
    damaged_log = examined.trusted_upto < progress.last
    newer = [found for found in examined.groups.values() if found.newer]
    if newer and damaged_log:
        raise _newer(examined.directory, SCHEMA + 1)
    touched = [
        found
        for found in examined.groups.values()
        if not found.newer and (found.damaged or (damaged_log and found.group.name in logged))
    ]
    before = {found.group: _coverage(examined, found) for found in touched}
    for found in touched:
        _rewrite(examined, found)
    # The log is read again from here on: what rests on a lost entry is in the records by now, without its claims.
    with index.transact():
        if damaged_log:
            index.delete_between(LOG_PREFIX, entry_key(progress.last))
            progress = Progress(progress.last, progress.last)
        index.set(PROGRESS_KEY, msgspec.msgpack.encode(progress))
    archive = Archive(index, examined.directory, examined.origin)
    repaired = []
    for found in touched:
        for path, identity in sorted(found.unlisted, key=lambda one: one[1].version):
            _take_in(archive, found.group, path, identity)
        after = archive.known(found.group.code, found.group.period).coverage
        repaired.append(Repaired(found.group.code, found.group.period, tuple(_pieces(before[found.group], after))))
    for path in examined.strange:
        _set_aside(examined.directory, path)
    return repaired


def _coverage(examined: _Examination, found: _Found) -> records.Spans:
    """Give what was claimed to be held."""
    spans = list(found.record.coverage) if found.record is not None else []
    for delta in examined.log.of(found.group.name, found.record.folded if found.record else 0):
        spans += delta.proven
    return records.merged_spans(spans)


def _rewrite(examined: _Examination, found: _Found) -> None:
    """Write a record of all that can be read of a group, and that claims no more."""
    group, index = found.group, examined.index
    base = found.record or _from_files(found, index)
    bad = {segment.key for segment in found.bad}
    cut = [_span_of(group, segment) for segment in found.bad]
    if found.bad_tail:
        begins = max((_slot_end(group, segment.last) for segment in base.segments), default=_FIRST)
        cut.append(Span(begins, _LAST))
        base = msgspec.structs.replace(base, tail=b"", tail_rows=0, tail_asked_at=0, tail_asked=b"")
    base = msgspec.structs.replace(base, segments=tuple(one for one in base.segments if one.key not in bad))
    deltas = [
        delta if number <= examined.trusted_upto and found.record is not None else _bars_alone(delta)
        for number, delta in examined.log.numbered(group.name, base.folded)
    ]
    view = View.of(group, base).after(examined.progress.last, deltas)
    view = replace(view, record=msgspec.structs.replace(view.record, coverage=_without(view.record.coverage, cut)))

    def load(segment: Segment) -> Bars:
        bars = identified(pa.py_buffer(Path(index.disk.filename(segment.key)[1]).read_bytes()))[1]
        return records.asked_in(with_asked(bars, 0), segment.answers)

    Archive(index, examined.directory, examined.origin).put(view, view.folded(load))
    for segment in found.bad:
        path = Path(index.disk.filename(segment.key)[1])
        if path.exists():
            _set_aside(examined.directory, path)
        index.delete(segment.key)


_FIRST, _LAST = finality.instant(-(2**53)), finality.instant(2**53)


def _from_files(found: _Found, index: Index) -> Record:
    """Make the record of a group of which none can be read: of the latest files that do not overlap, as they are."""
    segments: list[Segment] = []
    coverage: list[tuple[int, int]] = []
    left: list[tuple[Path, Identity]] = []
    for path, identity in sorted(found.unlisted, key=lambda one: (-one[1].version, -one[1].asked_at)):
        content = path.read_bytes()
        bars = identified(pa.py_buffer(content))[1]
        first, last = int(bars.stamps_us[0]), int(bars.stamps_us[-1])
        if any(first <= other.last_stamp and last >= other.first_stamp for other in segments):
            left.append((path, identity))
            continue
        key = f"{found.group.segment_prefix}{identity.block}:{identity.version}-{os.urandom(6).hex()}"
        coverage += identity.coverage
        own = path.with_name(Path(index.disk.filename(key)[1]).name)
        path.rename(own)
        index.register(key, own)
        segments.append(
            Segment(
                block=identity.block,
                version=identity.version,
                key=key,
                rows=identity.rows,
                first=identity.first,
                last=identity.last,
                first_stamp=first,
                last_stamp=last,
                size=len(content),
                crc32=zlib.crc32(content),
                asked_at=identity.asked_at,
                asked=records.packed(identity.asked) if identity.asked else b"",
            )
        )
    # Later than any of the files, which the next repair would otherwise take for what is newer.
    version = max((identity.version for _, identity in found.unlisted), default=0)
    found.unlisted = left
    return msgspec.structs.replace(
        found.group.empty(),
        version=version,
        coverage=records.merged_spans(coverage),
        segments=tuple(sorted(segments, key=lambda segment: segment.first_stamp)),
    )


def _bars_alone(delta: Delta) -> Delta:
    """Leave out what a change claims: it may have been said of bars that are lost."""
    return msgspec.structs.replace(delta, proven=(), checked=(), holes=(), history_start=())


def _take_in(archive: Archive, group: Group, path: Path, identity: Identity) -> None:
    """Write the bars of a file that no record lists, as the answers they were."""
    bars = identified(pa.py_buffer(path.read_bytes()))[1]
    pieces = identity.asked or ((int(bars.stamps_us[0]), int(bars.stamps_us[-1]), identity.asked_at),)
    batches = []
    for first, last, asked_at in pieces:
        part = bars.between(first, last)
        batches.append(Batch(part.table, part.keys_us, (), asked_at, part.exact_by_row()))
    batches[-1] = replace(batches[-1], proven=identity.coverage)
    archive.write_many([(group.code, group.period, batch) for batch in batches])
    path.unlink()


def _set_aside(directory: Path, path: Path) -> None:
    aside = directory / _QUARANTINE
    aside.mkdir(exist_ok=True, mode=0o700)
    shutil.move(path, aside / path.name)


def _span_of(group: Group, segment: Segment) -> Span:
    return Span(finality.instant(segment.first), _slot_end(group, segment.last))


def _slot_end(group: Group, key: int) -> datetime:
    return finality.instant(int(finality.slot_ends(np.array([key]), group.period)[0]))


def _without(coverage: records.Spans, cut: Iterable[Span]) -> records.Spans:
    removed = SpanSet.of(cut)
    left = [
        piece for a, b in coverage for piece in removed.missing_from(Span(finality.instant(a), finality.instant(b)))
    ]
    return tuple((finality.microseconds(one.start), finality.microseconds(one.end)) for one in left)


def _pieces(before: records.Spans, after: records.Spans) -> Iterator[Span]:
    held = SpanSet(tuple(Span(finality.instant(a), finality.instant(b)) for a, b in after))
    for a, b in before:
        yield from held.missing_from(Span(finality.instant(a), finality.instant(b)))
