"""The archive, where what was fetched becomes durable: bars and the proof that they are all.

diskcache keeps it. A group is what its index row says (`records`) and what the log's entries after it add (`log`); bars
are in immutable files that are written before the row lists them and deleted a minute after none does. What is small
goes to the log, one entry for all groups of a write; a large log, or what is large, goes to the rows and files.
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
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import filelock
import msgspec
import numpy as np
import pyarrow as pa

from alltick_frames import records, schemas
from alltick_frames.disk import Index, ReadOnlyIndex, is_archive, open_index, reported
from alltick_frames.errors import StoreError
from alltick_frames.log import LOG_PREFIX, Block, Log, Progress, View, encode_entry, entry_key
from alltick_frames.periods import Period
from alltick_frames.records import (
    INDEX_PREFIX,
    SCHEMA,
    UNREADABLE,
    Answers,
    Batch,
    Change,
    Checked,
    Group,
    HistoryStart,
    Hole,
    Record,
    Segment,
    Spans,
)
from alltick_frames.segments import Bars, UnreadableError, check_ends, decode, encode, with_asked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from alltick_frames.log import Delta
    from alltick_frames.segments import Restatement

__all__ = [
    "ARCHIVE_KEY",
    "MARK",
    "PROGRESS_KEY",
    "Archive",
    "Batch",
    "Checked",
    "Held",
    "HistoryStart",
    "Hole",
    "Known",
    "Snapshot",
    "Summary",
    "named_by",
    "summaries",
]

T = TypeVar("T")

ARCHIVE_KEY, PROGRESS_KEY = "archive", "progress"
# Shows that there was an index, should there be none any more.
MARK, _MARK_TEXT = "archive.txt", "Bars kept by alltick_frames. cache.db is their index: without it they are lost.\n"
_ORIGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_REPAIR = "`alltick cache verify --repair`"
# A reader that began with the old record is done, or reads the record again.
_GRACE_US = 60_000_000
# Who waits for a turn to write, how long, and how often it looks.
_QUEUE, _TURN_WITHIN_S, _TURN_POLL_S = "writers.lock", 5.0, 0.005
_PAUSES_S = (0.01, 0.05, 0.2, 0.0)
_MOST_CONFLICTS = 1_000
# Mapped segments kept for the next read; each is address space, not memory, and no descriptor.
_MOST_OPENED = 1_024
# Views kept for the next read or write of the group; each is up to 512 bars.
_MOST_VIEWS = 1_024
# More bars of a group at once go to its record: logging them first would write them once more.
LOGGED_BYTES = 4_096
# The log is folded when it is larger: a process that begins has to read it, which takes 25 ms a megabyte.
LOG_BYTES = 4_000_000
# Records written in one transaction, which others wait for.
_MOST_TOGETHER = 32


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


@dataclass(frozen=True, slots=True)
class Known:
    """What the archive knows of a group, without its bars; see `Held`.

    Attributes
    ----------
    rows
        How many bars are held.
    first_us, last_us
        The stamps of the first and the last of them.
    """

    coverage: Spans
    checked: tuple[Checked, ...]
    holes: tuple[Hole, ...]
    history_start: HistoryStart | None
    rows: int
    first_us: int | None
    last_us: int | None


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """A group at one instant: what is known of it, and its bars block by block, to be read with `Archive.bars`.

    Attributes
    ----------
    record
        All but the bars.
    asked
        When bars were last asked for.
    """

    record: Record
    asked: Answers
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """What is to become of a group: changes to be logged or, with *change*, to be in its record at once."""

    view: View
    deltas: tuple[Delta, ...]
    change: Change | None = None


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
        self._log = Log()
        self._fold_above = LOG_BYTES
        self._views: OrderedDict[Group, View] = OrderedDict()
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
        with _remedied():
            index = open_index(within)
        try:
            with _remedied(), reported(within):
                _check_origin(index, within, origin)
        except BaseException:
            index.close()
            raise
        return cls(index, within, origin)

    def __repr__(self) -> str:
        return f"Archive({str(self.directory)!r})"

    def close(self) -> None:
        """Close the index, which a later use opens again, and let go of mapped files."""
        with self._using():
            self._index.close()
            self._opened.clear()

    def groups(self, codes: Iterable[str] | None = None) -> list[tuple[str, Period]]:
        """List the codes and periods of which something is held or known; of all codes, or of *codes*."""
        with self._using() as index:
            self._catch_up(index)
            keys = {self._group(name).index_key for name in self._log.names()}
            if codes is None:
                return [named_by(key) for key in sorted(keys | set(index.keys_of(INDEX_PREFIX)))]
            # Looked up one by one: a few codes of an archive of thousands.
            asked = {Group(self.origin, code, period).index_key for code in codes for period in Period}
            return [named_by(key) for key in sorted(asked) if key in keys or index.inline(key) is not None]

    def holds(self, code: str, period: Period) -> bool:
        """Whether any bar of a group is held: one that was cleared is known by its name alone."""
        return self._view(Group(self.origin, code, period)).rows > 0

    def known(self, code: str, period: Period) -> Known:
        """Give what is known of a group, without its bars."""
        view = self._view(Group(self.origin, code, period))
        stamps_us = [stamp for segment in view.record.segments for stamp in (segment.first_stamp, segment.last_stamp)]
        stamps_us += [int(bars.stamps_us[row]) for bars in (view.older, view.recent) if len(bars) for row in (0, -1)]
        return Known(
            coverage=view.record.coverage,
            checked=view.record.checked,
            holes=view.record.holes,
            history_start=view.record.history_start,
            rows=view.rows,
            first_us=min(stamps_us, default=None),
            last_us=max(stamps_us, default=None),
        )

    def counts(self, code: str, period: Period, spans: Spans) -> list[int]:
        """Count the bars of a group whose key lies in each of *spans*, which are disjoint and in order.

        Raises
        ------
        StoreError
            A segment that a span cuts is missing or damaged, or the index row cannot be read.
        """
        group = Group(self.origin, code, period)
        return self._patiently(group, lambda view: view.counts(spans, partial(self._load, group)))

    def restatements(self, code: str, period: Period) -> tuple[Restatement, ...]:
        """List the closed bars of a group that a later answer changed, in the order of writing."""
        return self._view(Group(self.origin, code, period)).record.restatements

    def snapshot(self, code: str, period: Period) -> Snapshot:
        """Give a group as it is now, with none of its bars read."""
        view = self._view(Group(self.origin, code, period))
        return Snapshot(view.record, view.asked(), view.blocks())

    def bars(self, code: str, period: Period, block: Block) -> Bars | None:
        """Read one block of a snapshot; None if the archive has replaced it since, so that a new one has to be taken.

        Raises
        ------
        StoreError
            A segment is missing or damaged.
        """

        def read(view: View) -> Bars | None:
            try:
                return block.bars(partial(self._load, view.group))
            except UnreadableError:
                if block.fingerprint in {current.fingerprint for current in view.blocks()}:
                    raise
            return None

        return self._patiently(Group(self.origin, code, period), read)

    def read(self, code: str, period: Period, start_us: int, end_us: int) -> Held:
        """Give the bars whose key lies in `[start_us, end_us)`, and all of the group's coverage.

        Raises
        ------
        StoreError
            A segment is missing or damaged, or the index row cannot be read.
        """
        group = Group(self.origin, code, period)
        return self._patiently(group, lambda view: self._read(view, start_us, end_us))

    def _read(self, view: View, start_us: int, end_us: int) -> Held:
        parts = view.parts(
            partial(self._load, view.group), lambda segment: segment.first < end_us and segment.last >= start_us
        )
        within = [part.within(start_us, end_us) for part in parts]
        within = [part for part in within if len(part)]
        return Held(
            bars=pa.concat_tables([part.table for part in within]) if within else schemas.BARS.empty_table(),
            coverage=view.record.coverage,
            checked=view.record.checked,
            holes=view.record.holes,
            exact={place: value for part in within for place, value in part.exact.items()},
            history_start=view.record.history_start,
            keys=tuple(part.keys_us for part in within),
        )

    def write(self, code: str, period: Period, batch: Batch) -> None:
        """Merge *batch* into its group; see `write_many`."""
        self.write_many([(code, period, batch)])

    def write_many(self, batches: Iterable[tuple[str, Period, Batch]]) -> None:
        """Merge each batch into its group, those of one group in order; durable when this returns.

        The batches of one group are kept together or not at all, also if the process is killed.

        Raises
        ------
        StoreError
            The archive cannot be written, or a segment to be compared with is damaged; what concerns other groups is
            written all the same.
        """
        to_write: dict[Group, list[Batch]] = {}
        for code, period, batch in batches:
            to_write.setdefault(Group(self.origin, code, period), []).append(batch)
        errors: list[StoreError] = []
        for attempt in range(_MOST_CONFLICTS):
            with self._turn():
                overtaken = self._try_write(to_write, errors)
            if not overtaken:
                break
            to_write = {group: to_write[group] for group in overtaken}
            # Someone else's write came first, so the whole archive makes progress: read theirs and decide anew.
            time.sleep(random.uniform(0, min(attempt, 10)) / 1000)  # noqa: S311  # no secret
        else:
            raise StoreError(
                f"{len(to_write)} groups in {self.directory} were written {_MOST_CONFLICTS} times meanwhile"
            )
        if errors:
            raise errors[0]
        with self._using() as index:
            self._catch_up(index)
        if self._log.size > self._fold_above:
            self._fold()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Let writers go one after the other: it guards nothing, but who is overtaken again and again would starve."""
        queue = filelock.FileLock(
            self.directory / _QUEUE, timeout=_TURN_WITHIN_S, poll_interval=_TURN_POLL_S, thread_local=False
        )
        # One that was stopped in its turn holds nobody up for longer; elsewhere writing will say what is wrong.
        with suppress(OSError):
            queue.acquire()
        try:
            yield
        finally:
            queue.release(force=True)

    def put(self, view: View, changed: Change) -> None:
        """Make *changed* all that is known of a group, whatever the index says of it; for repairs alone."""
        record = self._prepare(view, changed)
        with self._using() as index, index.transact():
            index.set(view.group.index_key, msgspec.msgpack.encode(record))

    def discard(self, code: str, period: Period, trash: Path) -> int:
        """Move all bars of a group to the directory *trash*, and forget the group; give how many bars there were.

        The files say what they are: back among the segments, `alltick cache verify --repair` takes them in again.
        """
        group = Group(self.origin, code, period)
        gone = None
        while gone is None:
            view = self._view(group)
            self.put(view, view.whole(partial(self._load_asked, group)))
            gone = self._emptied(self._view(group))
        trash.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._using() as index:
            for key in [*(one.key for one in gone.segments), *(old.key for old in gone.superseded)]:
                path = index.path(key)
                if path is not None and path.exists():
                    path.rename(trash / path.name)
                index.delete(key)
        return gone.rows

    def _emptied(self, view: View) -> Record | None:
        """Forget a group, and give what was known of it; None if it has changed since it was looked at."""
        with self._using() as index, index.transact():
            self._catch_up(index)
            progress = self._progress(index)
            record = view.group.record(index.inline(view.group.index_key))
            if record is None or record.version != view.record.version or view.logged:
                return None
            # Others who decide meanwhile on what was there find that it is another group now.
            progress = msgspec.structs.replace(progress, last=progress.last + 1)
            index.set(entry_key(progress.last), encode_entry({view.group.name: ()}))
            index.set(PROGRESS_KEY, msgspec.msgpack.encode(progress))
            empty = msgspec.structs.replace(view.group.empty(), version=record.version + 1, folded=progress.last)
            index.set(view.group.index_key, msgspec.msgpack.encode(empty))
        return record

    def _try_write(self, to_write: Mapping[Group, Sequence[Batch]], errors: list[StoreError]) -> list[Group]:
        """Write what others have not overtaken, and give the groups they have."""
        small: list[_Plan] = []
        large: list[_Plan] = []
        overtaken: list[_Plan] = []
        for group, batches in to_write.items():
            try:
                plan = self._patiently(group, partial(self._plan, batches=batches))
            except StoreError as error:
                errors.append(error)
                continue
            if plan is not None:
                (small if plan.change is None else large).append(plan)
            if len(large) == _MOST_TOGETHER:
                overtaken += self._commit(large)
                large = []
        # All small changes are one entry of the log; it may as well be that of the last large ones.
        return [plan.view.group for plan in (*overtaken, *self._commit([*large, *small]))]

    def _plan(self, view: View, batches: Sequence[Batch]) -> _Plan | None:
        """Decide what the batches change; None if nothing."""
        load = partial(self._load_asked, view.group)
        deltas: list[Delta] = []
        after = view
        for batch in batches:
            after = after.after(view.upto, deltas[after.logged - view.logged :])
            delta = after.decide(batch, load)
            deltas += [delta] if delta is not None else []
        if not deltas:
            return None
        waiting = view.rows_waiting + sum(delta.added for delta in deltas)
        if waiting <= records.TAIL_ROWS and sum(len(delta.rows) for delta in deltas) <= LOGGED_BYTES:
            return _Plan(view, tuple(deltas))
        return _Plan(view, tuple(deltas), view.after(view.upto, deltas).folded(load))

    def _fold(self) -> None:
        """Put what the log has into the records, and empty it."""
        with self._using() as index:
            self._catch_up(index)
            upto, names = self._log.last, sorted(self._log.names())
        left = False
        for first in range(0, len(names), _MOST_TOGETHER):
            plans: list[_Plan] = []
            for name in names[first : first + _MOST_TOGETHER]:
                try:
                    plan = self._patiently(self._group(name), self._plan_fold)
                except StoreError:
                    # A group that cannot be read says so to its readers; the others' writers have no part in it.
                    left = True
                    continue
                plans += [plan] if plan is not None else []
            left |= bool(self._commit(plans))
        if not left:
            with self._using() as index, index.transact():
                progress = self._progress(index)
                index.delete_between(LOG_PREFIX, entry_key(upto))
                deleted = max(progress.deleted, upto)
                index.set(PROGRESS_KEY, msgspec.msgpack.encode(msgspec.structs.replace(progress, deleted=deleted)))
        with self._using() as index:
            self._catch_up(index)
            self._fold_above = self._log.size + LOG_BYTES

    def _plan_fold(self, view: View) -> _Plan | None:
        return _Plan(view, (), view.folded(partial(self._load_asked, view.group))) if view.logged else None

    def _commit(self, plans: Sequence[_Plan]) -> list[_Plan]:
        """Carry out the plans in one transaction, but for those that others have overtaken; give these."""
        if not plans:
            return []
        prepared = [(plan, self._prepare(plan.view, plan.change) if plan.change else None) for plan in plans]
        overtaken: list[_Plan] = []
        logged: dict[str, tuple[Delta, ...]] = {}
        with self._using() as index, index.transact():
            self._catch_up(index)
            progress = self._progress(index)
            after: list[tuple[_Plan, Record]] = []
            for plan, record in prepared:
                if self._is_overtaken(index, progress, plan):
                    overtaken.append(plan)
                    continue
                if plan.deltas:
                    # Without changes the entry still tells who decided meanwhile that the group is another now.
                    logged[plan.view.group.name] = () if record else plan.deltas
                if record:
                    after.append((plan, record))
            if logged:
                progress = msgspec.structs.replace(progress, last=progress.last + 1)
                index.set(entry_key(progress.last), encode_entry(logged))
                index.set(PROGRESS_KEY, msgspec.msgpack.encode(progress))
            for plan, record in after:
                index.set(plan.view.group.index_key, msgspec.msgpack.encode(record))
        for plan, record in prepared:
            if record and plan in overtaken:
                listed = {segment.key for segment in plan.view.record.segments}
                self._delete(segment.key for segment in record.segments if segment.key not in listed)
        return overtaken

    def _is_overtaken(self, index: Index, progress: Progress, plan: _Plan) -> bool:
        """Say whether the plan was made on what is not the truth any more."""
        group, view = plan.view.group, plan.view
        if plan.deltas and (progress.deleted > view.upto or self._log.changed(group.name, view.upto)):
            return True
        if plan.change is None:
            return False
        current = group.record(index.inline(group.index_key))
        return (current.version if current else 0) != view.record.version

    def _prepare(self, view: View, changed: Change) -> Record:
        """Write the segments that a record is going to list."""
        # Deleted before the record forgets them: a kill in between leaves nothing behind.
        now_us = _now_us()
        due = {old.key for old in view.record.superseded if old.at_us <= now_us - _GRACE_US}
        self._delete(due)
        beside = changed.ends()
        written = [self._write_segment(view.group, changed.record, *run, beside) for run in changed.runs]
        return changed.record.succeed(view.record, written, due, now_us)

    def _write_segment(self, group: Group, record: Record, block: str, bars: Bars, beside: Spans) -> Segment:
        identity = group.identity(block, record.version + 1, bars, record.coverage, beside)
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
            asked=records.packed(records.answers_of(bars)),
        )

    def _delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            with self._using() as index:
                index.delete(key)

    def _group(self, name: str) -> Group:
        period, code = name.split(":", 1)
        return Group(self.origin, code, Period(period))

    def _progress(self, index: Index) -> Progress:
        row = index.inline(PROGRESS_KEY)
        try:
            return msgspec.msgpack.decode(row, type=Progress) if row is not None else Progress()
        except UNREADABLE as error:
            why = str(error)
        raise StoreError(f"archive entry {PROGRESS_KEY!r} cannot be read: {why}")

    def _catch_up(self, index: Index) -> None:
        """Read the entries that the log got, and let go of those it lost, since this process last looked."""
        progress = self._progress(index)
        if progress.last > self._log.last:
            entries = index.inline_after(LOG_PREFIX, entry_key(self._log.last))
            known = self._log.last
            for key, value in entries:
                self._log.add(key, value)
            # Others may have folded and deleted some meanwhile, and say so.
            if len(entries) < progress.last - max(known, self._progress(index).deleted):
                self._log.last = known
                raise StoreError(
                    f"the archive in {self.directory} has lost entries of its log; {_REPAIR} keeps the rest"
                )
            # Entries between that are there no more are in their groups' records, which are read after the log.
            self._log.last = max(self._log.last, progress.last)
        self._log.forget(progress.deleted)

    def _view(self, group: Group) -> View:
        """Give a group as it is now."""
        with self._using() as index:
            # The log before the record: what is folded in between is only there twice, never missing.
            self._catch_up(index)
            upto = self._log.last
            record = group.record(index.inline(group.index_key)) or group.empty()
            view = self._views.get(group)
            if view is None or view.record.version != record.version:
                self._forget_superseded(group, record)
                view = View.of(group, record)
            view = view.after(max(upto, view.upto), self._log.of(group.name, view.upto))
            self._views[group] = view
            self._views.move_to_end(group)
            while len(self._views) > _MOST_VIEWS:
                self._views.popitem(last=False)
        return view

    def _patiently(self, group: Group, act: Callable[[View], T]) -> T:
        """Run *act* on the group as it is, and again on a fresh look if a segment was replaced meanwhile."""
        why = ""
        for pause_s in _PAUSES_S:
            try:
                return act(self._view(group))
            except UnreadableError as error:
                why = str(error)
            time.sleep(pause_s)
        raise StoreError(
            f"the archive's bars of {group.code} {group.period.value} cannot be read: {why}; nothing of the group is "
            f"served. `alltick cache verify --repair` keeps what is whole of {self.directory} and fetches the rest anew"
        )

    def _forget_superseded(self, group: Group, record: Record) -> None:
        """Let go of mappings that the record lists no more: a mapped file keeps its disk space when deleted."""
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
        return opened.bars

    def _load_asked(self, group: Group, segment: Segment) -> Bars:
        """Read a segment for who is to compare it with an answer."""
        return records.asked_in(with_asked(self._load(group, segment), 0), segment.answers)

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
        with _remedied(), self._lock, reported(self.directory):
            yield self._index


@contextmanager
def _remedied() -> Iterator[None]:
    """Name what helps against damage."""
    why = ""
    try:
        yield
    except StoreError as error:
        why = str(error)
    if why:
        # What a newer version wrote, is elsewhere, or names a remedy of its own, needs no repair.
        other = any(part in why for part in (_REPAIR, "upgrade it", "ALLTICK_CACHE_DIR to", "use another directory"))
        raise StoreError(why if other else f"{why}; if it is damaged, {_REPAIR} keeps what is whole")


def named_by(key: str) -> tuple[str, Period]:
    """Say of which group an index key is."""
    try:
        _, _, period, code = key.split(":", 3)
        return code, Period(period)
    except ValueError:
        pass
    raise StoreError(f"archive entry {key!r} cannot be read: its key names no code and period")


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
    """Record whose archive this is, or see that it is ours and that its index is not lost."""
    mark = directory / MARK
    # Looked for before the entry, which another opener may be about to make, and mark.
    marked = mark.exists()
    if index.inline(ARCHIVE_KEY) is None:
        if marked:
            raise StoreError(
                f"the archive in {directory} has lost its index: cache.db was removed or replaced; "
                f"`alltick cache verify --repair` makes a new one from the segments, which still hold their bars"
            )
        index.add(ARCHIVE_KEY, msgspec.msgpack.encode({"schema": SCHEMA, "origin": origin}))
    try:
        recorded = msgspec.msgpack.decode(index.inline(ARCHIVE_KEY) or b"", type=dict[str, Any])
    except UNREADABLE as error:
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
    # After the index has its entry: a kill in between leaves an archive that is only not marked yet.
    if not marked and not isinstance(index, ReadOnlyIndex):
        mark.write_text(_MARK_TEXT, encoding="ascii")


def _now_us() -> int:
    return time.time_ns() // 1000


# The first conversion makes pyarrow import pandas and more. Here rather than in a thread: a fork amid an import
# leaves the child waiting for it for ever.
pa.array(np.array([], dtype=np.int64)).to_numpy()

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
