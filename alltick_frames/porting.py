"""The archive to other places and back: what of a group is to be written, and what of an export may be believed."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa

from alltick_frames import finality, holdings, schemas
from alltick_frames.errors import AllTickError, ArgumentError, StoreError
from alltick_frames.exports import VERSION, DamagedError, Entry, Head, Journal, Sheet, opened
from alltick_frames.ranges import parse_range
from alltick_frames.records import Batch
from alltick_frames.segments import stamps_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from numpy.typing import NDArray

    from alltick_frames.exports import Export, Format
    from alltick_frames.log import Block
    from alltick_frames.periods import Period
    from alltick_frames.records import Answers, Spans
    from alltick_frames.segments import Bars, Restatement
    from alltick_frames.store import Archive, Snapshot
    from alltick_frames.wire import Group

    # Keys, half-open; None is all.
    Within = tuple[int, int] | None
    Steps = Generator[tuple[int, int, float], None, None]

__all__ = ["Ported", "exporting", "importing"]

_EVER = (-(2**63), 2**63 - 1)
_NAMED_AT_MOST = 5


@dataclass(slots=True)
class Ported:
    """What came of an export or import: a row for each group, and what went wrong, which the others did not mind."""

    schema: pa.Schema
    rows: list[dict[str, Any]] = field(default_factory=list)
    failure: AllTickError | None = None

    @property
    def table(self) -> pa.Table:
        """Give the report."""
        return pa.Table.from_pylist(self.rows, schema=self.schema)

    def add(self, code: str, period: str, bars: int, new: int) -> None:
        """Report of a group."""
        self.rows.append(dict(zip(self.schema.names, (code, period, bars, new), strict=True)))


class _ReplacedError(Exception):
    """The archive has rewritten a block since the snapshot."""


def exporting(
    archive: Archive,
    path: Path,
    codes: Sequence[str] | None,
    period: Period | None,
    range: Any,
    format: Format | None,
    now: datetime,
    ported: Ported,
) -> Steps:
    """Write what *path* lacks, block by block; yields after each (bars done, bars in all, seconds left).

    Raises
    ------
    ArgumentError, ConfigError, StoreError
        As `alltick_frames.export`; a group that cannot be exported is said by *ported* when all others are.
    """
    groups = holdings.groups(archive, codes, period)
    unknown = [code for code in codes or () if code not in {code for code, _ in groups}]
    if unknown:
        of_period = "" if period is None else f" {period.value}"
        raise ArgumentError(f"codes={unknown[0]!r}: nothing of it{of_period} is held; coverage() lists what is")
    ranges = {one: _range(range, one, now) for one in {one for _, one in groups}}
    rows = {group: _rows(archive, group, ranges[group[1]]) for group in groups}
    with opened(path, format, writing=True) as export:
        _journals(export, archive.origin, path)
        meter, done = _Meter(sum(rows.values())), 0
        for group in groups:
            try:
                for of_group in _export_group(archive, export, group, ranges[group[1]], ported, path):
                    yield meter.at(done + of_group)
            except StoreError as error:
                ported.failure = ported.failure or error
            done += rows[group]
            yield meter.at(done)


def _range(range: Any, period: Period, now: datetime) -> Within:
    if range is None:
        return None
    asked = parse_range(range, period, now)
    if asked.count is not None:
        raise ArgumentError(f"range={range!r}: a number of bars cannot be exported; give a span of time such as '1y'")
    return finality.microseconds(asked.span.start), finality.microseconds(asked.span.end)


def _rows(archive: Archive, group: Group, within: Within) -> int:
    try:
        return sum(block.rows for block in _wanted(archive.snapshot(*group), within))
    except StoreError:  # said when its turn comes
        return 0


def _wanted(snapshot: Snapshot, within: Within) -> list[Block]:
    if within is None:
        return [*snapshot.blocks]
    start, end = within
    return [block for block in snapshot.blocks if block.ends[0] < end and block.ends[1] >= start]


def _journals(export: Export, origin: str, path: Path) -> list[tuple[str, Journal]]:
    """Give all journals that can be read, with where they are, if every one is of *origin*."""
    journals = []
    for where, lines in export.journals():
        try:
            journals.append((where, Journal.read(lines)))
        except DamagedError:
            continue
        theirs = journals[-1][1].head.origin
        if theirs != origin:
            raise StoreError(
                f"the export at {path} holds prices of {theirs!r}, this archive those of {origin!r}; they are never "
                f"mixed: use another path, or a client whose base_url is theirs"
            )
    return sorted(journals, key=lambda one: (one[1].head.code, one[1].head.period.vendor_number))


def _export_group(
    archive: Archive, export: Export, group: Group, within: Within, ported: Ported, path: Path
) -> Iterator[int]:
    """Write a group's blocks that are not there or have changed, yielding the bars passed; then what is known of it."""
    code, period = group
    written = 0
    while True:
        snapshot = archive.snapshot(code, period)
        work = _GroupExport(archive, export, group, within, path)
        try:
            yield from work.steps(snapshot)
        except _ReplacedError:
            # What is written of it is found there: only what was replaced is written again.
            written += work.written
            continue
        bars = sum(entry.rows for entry in work.entries.values())
        ported.add(code, period.value, bars, written + work.written)
        return


class _GroupExport:
    """One group on its way from one snapshot."""

    def __init__(self, archive: Archive, export: Export, group: Group, within: Within, path: Path) -> None:
        self.entries: dict[str, Entry] = {}
        self.written = 0
        self._archive, self._export, self._path, self._within = archive, export, path, within
        self._code, self._period = group
        self._head = Head(VERSION, archive.origin, export.format, *group)
        self._before = self._there()

    def steps(self, snapshot: Snapshot) -> Iterator[int]:
        wanted = _wanted(snapshot, self._within)
        names = {block.name for block in wanted}
        for gone in [entry for name, entry in self._before.entries.items() if name not in names]:
            raise self._would_lose(gone)
        passed = 0
        for block in wanted:
            entry = self._current(block)
            if entry is None:
                entry = self._write(block, snapshot.asked)
            if entry is not None:
                asked = tuple(
                    one for one in snapshot.asked if one[0] <= entry.last_stamp and one[1] >= entry.first_stamp
                )
                self.entries[block.name] = msgspec.structs.replace(entry, asked=asked)
            passed += block.rows
            yield passed
        journal = Journal(self._head, self.entries, _sheet(snapshot, self._within, self.entries.values()))
        if journal != self._before:
            self._export.rewrite(journal)

    def _there(self) -> Journal:
        try:
            return Journal.read(self._export.journal(self._code, self._period))
        except DamagedError:
            return Journal(self._head)

    def _current(self, block: Block) -> Entry | None:
        entry = self._before.entries.get(block.name)
        if entry is None or not entry.sha256 or entry.source != _source(block, self._within):
            return None
        return entry if self._export.has(self._head, entry) else None

    def _write(self, block: Block, asked: Answers) -> Entry | None:
        bars = self._archive.bars(self._code, self._period, block)
        if bars is None:
            raise _ReplacedError
        if self._within is not None:
            bars = bars.within(*self._within)
        replaced = self._before.entries.get(block.name)
        if replaced is not None and not _holds(bars, replaced):
            raise self._would_lose(replaced)
        if not len(bars):
            return None
        if not self.written:
            # Without what is known of the group until all of it is there; this also ends a line that was cut.
            self._export.rewrite(Journal(self._head, self._before.entries))
        entry = Entry(
            block=block.name,
            source=_source(block, self._within),
            rows=len(bars),
            first=int(bars.keys_us.min()),
            last=int(bars.keys_us.max()),
            first_stamp=int(bars.stamps_us[0]),
            last_stamp=int(bars.stamps_us[-1]),
            asked=tuple(one for one in asked if one[0] <= bars.stamps_us[-1] and one[1] >= bars.stamps_us[0]),
            exact=bars.exact_by_row(),
            dates=_dates(bars) if self._period.by_date else (),
        )
        self.written += len(bars)
        return self._export.put(self._head, entry, bars.table, replaced)

    def _would_lose(self, entry: Entry) -> StoreError:
        return StoreError(
            f"{self._export.where(self._head, entry)} has bars of {self._code} {self._period.value} that this export "
            f"would not have, so it is left as it is: bring them into the archive (alltick cache import "
            f"{self._path}), or export to another path"
        )


def _holds(bars: Bars, entry: Entry) -> bool:
    return (
        len(bars) >= entry.rows
        and int(bars.stamps_us[0]) <= entry.first_stamp
        and int(bars.stamps_us[-1]) >= entry.last_stamp
    )


def _source(block: Block, within: Within) -> str:
    """Say what an entry was made of: the block, and where the range cuts it."""
    if within is None or (within[0] <= block.ends[0] and block.ends[1] < within[1]):
        return block.fingerprint
    return f"{block.fingerprint} from {max(within[0], block.ends[0])} to {min(within[1], block.ends[1] + 1)}"


def _dates(bars: Bars) -> tuple[tuple[int, int], ...]:
    offsets = bars.stamps_us - bars.keys_us
    return tuple((stop - start, int(offsets[start])) for start, stop in _runs(offsets))


def _runs(values: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Give the rows, first and after the last, over which values stay the same."""
    changes = (np.flatnonzero(np.diff(values)) + 1).tolist()
    return pairwise([0, *changes, len(values)])


def _sheet(snapshot: Snapshot, within: Within, entries: Iterable[Entry]) -> Sheet:
    record = snapshot.record
    start, end = within or _EVER
    stamps = [stamp for entry in entries for stamp in (entry.first_stamp, entry.last_stamp)]

    def cut(stretches: Iterable[Any]) -> tuple[Any, ...]:
        kept = [one for one in stretches if one.start < end and one.end > start]
        return tuple(msgspec.structs.replace(one, start=max(one.start, start), end=min(one.end, end)) for one in kept)

    return Sheet(
        coverage=tuple((max(a, start), min(b, end)) for a, b in record.coverage if a < end and b > start),
        checked=cut(record.checked),
        holes=cut(record.holes),
        history_start=record.history_start,
        restatements=tuple(one for one in record.restatements if stamps and min(stamps) <= one.stamp_us <= max(stamps)),
    )


def importing(archive: Archive, path: Path, ported: Ported) -> Steps:
    """Bring the export at *path* into the archive, block by block; yields as `exporting` does.

    Raises
    ------
    ArgumentError, ConfigError, StoreError
        As `alltick_frames.import_`; what of it is damaged is said by *ported* when all else is in the archive.
    """
    with opened(path) as export:
        journals = _journals(export, archive.origin, path)
        readable = {where for where, _ in journals}
        problems = [f"{where}: {_damage(lines)}" for where, lines in export.journals() if where not in readable]
        meter = _Meter(sum(entry.rows for _, journal in journals for entry in journal.entries.values()))
        done = 0
        for where, journal in journals:
            for rows in _import_group(archive, export, where, journal, ported, problems):
                done += rows
                yield meter.at(done)
    if problems:
        more = f" and {len(problems) - _NAMED_AT_MOST} more" if len(problems) > _NAMED_AT_MOST else ""
        ported.failure = StoreError(
            f"of the export at {path} was not imported: {'; '.join(problems[:_NAMED_AT_MOST])}{more}. All else was, "
            f"and what is missing is not claimed to be held; export it anew to another path, and import that"
        )


def _damage(lines: Iterable[bytes]) -> str:
    try:
        Journal.read(lines)
    except DamagedError as error:
        return str(error)
    raise AssertionError("a journal that can be read")


def _import_group(
    archive: Archive, export: Export, where: str, journal: Journal, ported: Ported, problems: list[str]
) -> Iterator[int]:
    """Merge a group into the archive's, its bars before what is claimed of them."""
    head, sheet = journal.head, journal.sheet
    code, period = head.code, head.period
    before = archive.known(code, period).rows
    entries = sorted(journal.entries.values(), key=lambda entry: entry.first_stamp)
    restatements = () if sheet is None else sheet.restatements
    missing: list[int] = []
    for number, entry in enumerate(entries):
        try:
            batches = _batches(export.bars(head, entry), entry, restatements)
        except DamagedError as error:
            problems.append(f"{export.where(head, entry)}: {error}")
            missing.append(number)
        else:
            archive.write_many((code, period, batch) for batch in batches)
        yield entry.rows
    if sheet is None:
        problems.append(
            f"what is known of {code} {period.value} beside its bars: its export was not finished ({where})"
        )
    else:
        archive.write(code, period, _claims(sheet, entries, missing))
    held = sum(entry.rows for number, entry in enumerate(entries) if number not in missing)
    ported.add(code, period.value, held, archive.known(code, period).rows - before)


def _batches(bars: pa.Table, entry: Entry, restatements: tuple[Restatement, ...]) -> list[Batch]:
    """Give the bars as the answers they were: those last asked for at one time together."""
    stamps_us = stamps_of(bars)
    keys_us = stamps_us
    if entry.dates:
        rows, offsets = zip(*entry.dates, strict=True)
        keys_us = stamps_us - np.repeat(offsets, rows)
    asked_us = np.zeros(len(stamps_us), dtype=np.int64)
    for first, last, asked_at in entry.asked:
        within = slice(*np.searchsorted(stamps_us, (first, last + 1)).tolist())
        asked_us[within] = np.maximum(asked_us[within], asked_at)
    return [
        Batch(
            bars.slice(start, stop - start),
            keys_us[start:stop],
            (),
            int(asked_us[start]),
            tuple((row - start, column, text) for row, column, text in entry.exact if start <= row < stop),
            restatements=restatements,
        )
        for start, stop in _runs(asked_us)
    ]


def _claims(sheet: Sheet, entries: Sequence[Entry], missing: Iterable[int]) -> Batch:
    """Give what is known beside bars, without proof of what lies between the bars around those *missing*."""
    coverage = sheet.coverage
    for number in missing:
        start = entries[number - 1].last + 1 if number else _EVER[0]
        end = entries[number + 1].first if number + 1 < len(entries) else _EVER[1]
        coverage = _without(coverage, min(start, entries[number].first), max(end, entries[number].last + 1))
    return Batch(
        schemas.BARS.empty_table(),
        np.array([], dtype=np.int64),
        coverage,
        0,
        checked=sheet.checked,
        holes=sheet.holes,
        history_start=sheet.history_start,
        restatements=sheet.restatements,
    )


def _without(spans: Spans, start: int, end: int) -> Spans:
    pieces = [piece for a, b in spans for piece in ((a, min(b, start)), (max(a, end), b))]
    return tuple((a, b) for a, b in pieces if a < b)


class _Meter:
    """How far it is, and how long the rest may take if it goes on so."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._began = time.monotonic()

    def at(self, done: int) -> tuple[int, int, float]:
        """Give bars done, bars in all, and seconds left."""
        done = min(done, self._total)
        passed_s = time.monotonic() - self._began
        return done, self._total, passed_s * (self._total - done) / done if done else 0.0
