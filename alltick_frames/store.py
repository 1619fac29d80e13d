"""The archive, where what was fetched becomes durable: bars and the proof that they are all.

diskcache keeps it. One small index row per group is the only truth (`records`); bars are in immutable files that
are written before the row lists them and deleted a minute after none does.
"""

from __future__ import annotations

import os
import random
import re
import threading
import time
import weakref
import zlib
from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import numpy as np
import pyarrow as pa

from alltick_frames import schemas
from alltick_frames.disk import Index, is_archive, open_index, reported
from alltick_frames.errors import StoreError
from alltick_frames.periods import Period
from alltick_frames.records import (
    INDEX_PREFIX,
    SCHEMA,
    Batch,
    Checked,
    Group,
    HistoryStart,
    Hole,
    Record,
    Segment,
    Spans,
    change,
)
from alltick_frames.segments import Bars, UnreadableError, check_ends, decode, encode, with_asked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from alltick_frames.segments import Restatement

__all__ = ["Archive", "Batch", "Checked", "Held", "HistoryStart", "Hole", "Record", "Summary", "summaries"]

T = TypeVar("T")

_ARCHIVE_KEY = "archive"
_ORIGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# A reader that began with the old record is done, or reads the record again.
_GRACE_US = 60_000_000
_PAUSES_S = (0.0, 0.01, 0.05, 0.2)
_MOST_CONFLICTS = 1_000
# Mapped segments kept for the next read; each is address space, not memory, and no descriptor.
_MOST_OPENED = 1_024


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """What the archive holds of a group within the span that was read.

    Attributes
    ----------
    bars
        Schema `schemas.BARS`, ascending by stamp; slices of mapped files where they can be.
    coverage
        Half-open spans of keys, of the whole group, for which every bar the vendor had is held.
    checked, holes
        What was seen to be empty and is not proven to be; what cannot be had.
    exact
        By (stamp, column) the vendor's string of a value that float64 cannot hold.
    """

    bars: pa.Table
    coverage: Spans = ()
    checked: tuple[Checked, ...] = ()
    holes: tuple[Hole, ...] = ()
    exact: Mapping[tuple[int, str], str] = field(default_factory=dict)
    history_start: HistoryStart | None = None
    # By part, joined when asked for: most callers need no keys, and joining costs as much as summing a column.
    keys: tuple[NDArray[np.int64], ...] = ()

    @property
    def keys_us(self) -> NDArray[np.int64]:
        """The bars' keys: stamps up to 4h, trading dates at 00:00 UTC of longer periods."""
        return np.concatenate(self.keys) if self.keys else np.array([], dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class _Opened:
    """A segment's file, mapped and found to be what the record says."""

    path: Path
    buffer: pa.Buffer
    bars: Bars


class Archive:
    """One origin's archive in one directory; safe for threads and processes.

    The lock is held whenever this process is inside SQLite, and while it forks: a child would wait for ever for
    a mutex of SQLite that another thread held. Nobody waits for the network or another process while holding it,
    but for the 60 s SQLite gives another process's commit.
    """

    def __init__(self, index: Index, directory: Path, origin: str) -> None:
        self.directory = directory
        self.origin = origin
        self._index = index
        self._lock = threading.RLock()
        self._opened: OrderedDict[str, _Opened] = OrderedDict()
        self._verified: set[str] = set()
        self._seen: dict[str, int] = {}
        _archives.add(self)

    @classmethod
    def open(cls, directory: Path, origin: str) -> Archive:
        """Open `<directory>/<origin>/`, which is made if it does not exist.

        Raises
        ------
        StoreError
            It belongs to another origin, or a newer version of this library wrote it, or it cannot be used.
        """
        if not _ORIGIN.fullmatch(origin):
            raise StoreError(f"origin={origin!r} cannot name a directory; use letters, digits, '.', '_' and '-'")
        within = Path(directory).absolute() / origin
        index = open_index(within)
        try:
            with reported(within):
                _check_origin(index, within, origin)
        except BaseException:
            index.close()
            raise
        return cls(index, within, origin)

    def __repr__(self) -> str:
        return f"Archive({str(self.directory)!r})"

    def close(self) -> None:
        """Close this thread's connection; those of other threads close as they end."""
        with self._using():
            self._index.close()
            self._opened.clear()

    def groups(self) -> list[tuple[str, Period]]:
        """List the codes and periods of which something is held or known."""
        with self._using() as index:
            keys = index.keys_of(INDEX_PREFIX)
        named = [key.split(":", 3) for key in keys]
        return [(code, Period(period)) for _, _, period, code in named]

    def held(self, code: str, period: Period) -> Record | None:
        """Give what is known of a group, without its bars; None if nothing is."""
        return self._record(Group(self.origin, code, period))

    def read(self, code: str, period: Period, start_us: int, end_us: int) -> Held:
        """Give the bars whose key lies in `[start_us, end_us)`, and all of the group's coverage.

        Raises
        ------
        StoreError
            A segment is missing or damaged, or the index row cannot be read.
        """
        group = Group(self.origin, code, period)
        return self._patiently(group, lambda record: self._read(group, record, start_us, end_us))

    def _read(self, group: Group, record: Record, start_us: int, end_us: int) -> Held:
        wanted = [segment for segment in record.segments if segment.first < end_us and segment.last >= start_us]
        parts = [self._load(group, segment) for segment in sorted(wanted, key=lambda segment: segment.first_stamp)]
        parts = [part.within(start_us, end_us) for part in [*parts, record.tail_bars()]]
        parts = [part for part in parts if len(part)]
        return Held(
            bars=pa.concat_tables([part.table for part in parts]) if parts else schemas.BARS.empty_table(),
            coverage=record.coverage,
            checked=record.checked,
            holes=record.holes,
            exact={place: value for part in parts for place, value in part.exact.items()},
            history_start=record.history_start,
            keys=tuple(part.keys_us for part in parts),
        )

    def known(self, code: str, period: Period) -> Record:
        """Give what is known of a group, without its bars."""
        group = Group(self.origin, code, period)
        return self._record(group) or group.empty()

    def restatements(self, code: str, period: Period) -> tuple[Restatement, ...]:
        """List the closed bars of a group that a later answer changed."""
        return self.known(code, period).restatements

    def write_many(self, batches: Iterable[tuple[str, Period, Batch]]) -> None:
        """Write several."""
        for code, period, batch in batches:
            self.write(code, period, batch)

    def write(self, code: str, period: Period, batch: Batch) -> None:
        """Merge *batch* into the group; durable when this returns.

        Raises
        ------
        StoreError
            The archive cannot be written, or a segment to be merged is damaged.
        """
        group = Group(self.origin, code, period)
        for attempt in range(_MOST_CONFLICTS):
            if self._patiently(group, lambda record: self._try_write(group, record, batch)):
                return
            # Someone else's write came first, so the whole archive makes progress: read theirs and merge anew.
            time.sleep(random.uniform(0, min(attempt, 10)) / 1000)  # noqa: S311  # no secret
        raise StoreError(f"{code} {period.value} in {self.directory} was rewritten {_MOST_CONFLICTS} times meanwhile")

    def _try_write(self, group: Group, record: Record, batch: Batch) -> bool:
        """Write unless the record has changed since it was read."""
        changed = change(group, record, batch, lambda segment: self._load(group, segment))
        if changed is None:
            return True
        # Deleted before the record forgets them: a kill in between leaves nothing behind.
        now_us = _now_us()
        due = {old.key for old in record.superseded if old.at_us <= now_us - _GRACE_US}
        self._delete(due)
        written = [self._write_segment(group, changed.record, block, bars) for block, bars in changed.runs]
        after = changed.record.succeed(record, written, due, now_us)
        if self._commit(group, record.version, after):
            return True
        self._delete(segment.key for segment in written)
        return False

    def _write_segment(self, group: Group, record: Record, block: str, bars: Bars) -> Segment:
        identity = group.identity(block, record.version + 1, bars, record.coverage)
        value = encode(bars, identity, by_date=group.period.by_date)
        # Two writers may be at the same version: each has names of its own.
        token = f"{identity.version}-{os.urandom(6).hex()}"
        key = f"{group.segment_prefix}{block}:{token}"
        with self._using() as index:
            index.set(key, value)
        return Segment(
            block=block,
            version=identity.version,
            key=key,
            rows=len(bars),
            first=identity.first,
            last=identity.last,
            first_stamp=int(bars.stamps_us[0]),
            last_stamp=int(bars.stamps_us[-1]),
            size=len(value),
            crc32=zlib.crc32(value),
            asked_at=identity.asked_at,
        )

    def _commit(self, group: Group, base_version: int, after: Record) -> bool:
        """Make *after* the truth, unless the version is no longer *base_version*."""
        row = msgspec.msgpack.encode(after)
        with self._using() as index, index.transact():
            current = group.record(index.inline(group.index_key))
            if (current.version if current else 0) != base_version:
                return False
            index.set(group.index_key, row)
        return True

    def _delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            with self._using() as index:
                index.delete(key)

    def _record(self, group: Group) -> Record | None:
        with self._using() as index:
            row = index.inline(group.index_key)
        return group.record(row)

    def _patiently(self, group: Group, act: Callable[[Record], T]) -> T:
        """Run *act* on the group's record, and again on a fresh one if a segment was replaced meanwhile."""
        why = ""
        for pause_s in _PAUSES_S:
            time.sleep(pause_s)
            try:
                record = self._record(group) or group.empty()
                self._forget_superseded(group, record)
                return act(record)
            except UnreadableError as error:
                why = str(error)
        raise StoreError(
            f"the archive's bars of {group.code} {group.period.value} cannot be read: {why}; nothing of the group is "
            f"served. Restore the file from a copy of {self.directory}"
        )

    def _forget_superseded(self, group: Group, record: Record) -> None:
        """Let go of mappings that the record lists no more: a mapped file keeps its disk space when deleted."""
        with self._lock:
            if self._seen.get(group.index_key) == record.version:
                return
            self._seen[group.index_key] = record.version
            listed = {segment.key for segment in record.segments}
            for key in [key for key in self._opened if key.startswith(group.segment_prefix) and key not in listed]:
                del self._opened[key]

    def _load(self, group: Group, segment: Segment) -> Bars:
        try:
            opened = self._open(group, segment)
        except (UnreadableError, pa.ArrowException, OSError) as error:
            with self._lock:
                self._opened.pop(segment.key, None)
            why = str(error) if isinstance(error, UnreadableError) else f"its file cannot be opened ({error})"
            raise UnreadableError(f"segment {segment.key!r}: {why}") from None
        return with_asked(opened.bars, segment.asked_at)

    def _open(self, group: Group, segment: Segment) -> _Opened:
        """Map a segment, or use the mapping there is; its length and ends are looked at each time."""
        with self._lock:
            opened = self._opened.get(segment.key)
        if opened is None:
            opened = self._map(group, segment)
        elif opened.path.stat().st_size != segment.size:
            raise UnreadableError(f"it has {opened.path.stat().st_size} bytes instead of {segment.size}")
        else:
            check_ends(opened.buffer)
        with self._lock:
            self._opened[segment.key] = opened
            self._opened.move_to_end(segment.key)
            while len(self._opened) > _MOST_OPENED:
                self._opened.popitem(last=False)
        return opened

    def _map(self, group: Group, segment: Segment) -> _Opened:
        with self._using() as index:
            path = index.path(segment.key)
        if path is None:
            raise UnreadableError("it is missing")
        # Closing the source gives its descriptor back; the mapping lives as long as a slice of it.
        with pa.memory_map(str(path)) as source:
            if source.size() != segment.size:
                raise UnreadableError(f"it has {source.size()} bytes instead of {segment.size}")
            buffer = source.read_buffer()
        if segment.key not in self._verified and zlib.crc32(buffer) != segment.crc32:
            raise UnreadableError("its checksum is not the one recorded")
        bars = decode(buffer, group.expected(segment))
        self._verified.add(segment.key)
        return _Opened(path, buffer, bars)

    @contextmanager
    def _using(self) -> Iterator[Index]:
        with self._lock, reported(self.directory):
            yield self._index


@dataclass(frozen=True, slots=True)
class Summary:
    """How much the archive of one origin holds."""

    name: str
    codes: int
    groups: int
    bars: int
    files: int
    bytes: int


def summaries(directory: Path) -> list[Summary]:
    """Summarise each origin's archive in *directory*.

    Raises
    ------
    StoreError
        One of them cannot be read.
    """
    within = sorted(path for path in directory.iterdir() if path.is_dir()) if directory.is_dir() else []
    return [_summary(Archive.open(directory, path.name)) for path in within if is_archive(path)]


def _summary(archive: Archive) -> Summary:
    groups = archive.groups()
    bars = sum(archive.known(*group).rows for group in groups)
    sizes = [path.stat().st_size for path in archive.directory.rglob("*") if path.is_file()]
    archive.close()
    return Summary(archive.origin, len({code for code, _ in groups}), len(groups), bars, len(sizes), sum(sizes))


def _check_origin(index: Index, directory: Path, origin: str) -> None:
    """Record whose archive this is, or see that it is ours."""
    if index.inline(_ARCHIVE_KEY) is None:
        index.add(_ARCHIVE_KEY, msgspec.msgpack.encode({"schema": SCHEMA, "origin": origin}))
    try:
        recorded = msgspec.msgpack.decode(index.inline(_ARCHIVE_KEY) or b"", type=dict[str, Any])
    except msgspec.MsgspecError as error:
        recorded = {"origin": f"unreadable: {error}"}
    if recorded.get("schema", 0) > SCHEMA:
        raise StoreError(
            f"the archive in {directory} has schema version {recorded['schema']}, this alltick_frames reads up to "
            f"{SCHEMA}; upgrade it"
        )
    if recorded.get("origin") != origin:
        raise StoreError(
            f"the archive in {directory} holds prices of {recorded.get('origin')!r}, not of {origin!r}; use another "
            f"directory (ALLTICK_CACHE_DIR)"
        )


def _now_us() -> int:
    return time.time_ns() // 1000


_archives: weakref.WeakSet[Archive] = weakref.WeakSet()
_forking: list[Archive] = []


def _before_fork() -> None:
    _forking[:] = _archives
    for archive in _forking:
        archive._lock.acquire()  # noqa: SLF001


def _after_fork() -> None:
    # In the child, diskcache sees the other process id and opens SQLite anew.
    for archive in _forking:
        archive._lock.release()  # noqa: SLF001
    _forking.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
