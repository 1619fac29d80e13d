"""Bars in blocks: how held and new bars become one, and their Arrow IPC form. No I/O.

A *block* is a fixed span of stamps per period. A *run* is bars of one block without any of another run between
them; a block is one run or a few, because a page of 500 bars must not rewrite a month of 44,640.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa

from alltick_frames import schemas
from alltick_frames.periods import Period

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = [
    "VALUES",
    "Bars",
    "Identity",
    "Restatement",
    "UnreadableError",
    "blocks",
    "check_ends",
    "concat",
    "decode",
    "encode",
    "identified",
    "proven",
    "stamps_of",
    "with_asked",
]

_EMPTY = np.array([], dtype=np.int64)
_KEY = pa.field("key", pa.int64(), nullable=False)
_METADATA = b"alltick_frames"
VALUES = schemas.BARS.names[1:]
_MAGIC = b"ARROW1"


class UnreadableError(Exception):
    """A segment or tail that is not what was written; the message completes "… cannot be read:"."""


class Restatement(msgspec.Struct, frozen=True, array_like=True):
    """A closed bar that a later answer gave other values: open, high, low, close, volume, turnover.

    A value that float64 cannot hold is given as the vendor's string.
    """

    stamp_us: int
    old: tuple[float | str | None, ...]
    new: tuple[float | str | None, ...]
    asked_at_us: int


class Identity(msgspec.Struct, frozen=True):
    """What a segment says of itself, so that a lost index can be rebuilt from the segments alone.

    Attributes
    ----------
    coverage
        Of its bars, and of the emptiness up to the runs before and after it.
    asked_at, asked
        As of a `records.Segment`.
    crc32
        Of all of this and of the bars, for when there is no index that knows the file's; 0 in files from before.
    """

    schema: int
    origin: str
    family: str
    code: str
    period: str
    block: str
    version: int
    rows: int
    first: int
    last: int
    coverage: tuple[tuple[int, int], ...]
    asked_at: int
    exact: tuple[tuple[int, str, str], ...]
    asked: tuple[tuple[int, int, int], ...] = ()
    crc32: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Bars:
    """Closed bars of one code and period: ascending, one row per stamp.

    Attributes
    ----------
    table
        Schema `schemas.BARS`.
    asked_us
        When each was asked for; of bars from a segment, when the segment's latest was.
    exact
        By (stamp, column) the vendor's string of a value that float64 cannot hold.
    """

    table: pa.Table
    stamps_us: NDArray[np.int64]
    keys_us: NDArray[np.int64]
    asked_us: NDArray[np.int64]
    exact: Mapping[tuple[int, str], str] = field(default_factory=dict)

    @classmethod
    def none(cls) -> Bars:
        """No bars."""
        return _NONE

    @classmethod
    def of(
        cls, table: pa.Table, keys_us: NDArray[np.int64] | None, asked_at_us: int, exact: Sequence[tuple[int, str, str]]
    ) -> Bars:
        """Take bars asked for at one instant; without keys the stamps are the keys; *exact* is by row."""
        stamps_us = stamps_of(table)
        keys_us = stamps_us if keys_us is None else keys_us
        by_stamp = {(int(stamps_us[row]), column): value for row, column, value in exact}
        return cls(table, stamps_us, keys_us, np.broadcast_to(np.int64(asked_at_us), len(stamps_us)), by_stamp)

    def __len__(self) -> int:
        return len(self.stamps_us)

    def __getitem__(self, rows: slice) -> Bars:
        start, stop, _ = rows.indices(len(self))
        stamps_us = self.stamps_us[rows]
        exact = self.exact and _exact_of(self.exact, stamps_us)
        table = self.table.slice(start, max(0, stop - start))
        return Bars(table, stamps_us, self.keys_us[rows], self.asked_us[rows], exact)

    def within(self, start_us: int, end_us: int) -> Bars:
        """Take the bars whose key lies in `[start_us, end_us)`; a slice wherever they follow one another."""
        if self.keys_us is self.stamps_us:
            first, last = np.searchsorted(self.stamps_us, (start_us, end_us)).tolist()
            return self[first : max(first, last)]
        # Trading dates need not ascend with the stamps where the vendor changed how it stamps days.
        rows = np.flatnonzero((self.keys_us >= start_us) & (self.keys_us < end_us))
        if not len(rows) or int(rows[-1] - rows[0]) == len(rows) - 1:
            return self[int(rows[0]) : int(rows[-1]) + 1] if len(rows) else self[:0]
        return self.take(rows)

    def take(self, rows: NDArray[np.int64]) -> Bars:
        """Take the bars in *rows*, which ascend."""
        stamps_us = self.stamps_us[rows]
        exact = self.exact and _exact_of(self.exact, stamps_us)
        return Bars(self.table.take(pa.array(rows)), stamps_us, self.keys_us[rows], self.asked_us[rows], exact)

    def between(self, first_us: int, last_us: int) -> Bars:
        """Take the bars stamped from *first_us* to *last_us*, both included."""
        start, stop = np.searchsorted(self.stamps_us, (first_us, last_us + 1)).tolist()
        return self[start:stop]

    def shared(self, other: Bars) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Give the rows, here and in *other*, of the bars that both have."""
        at = np.searchsorted(self.stamps_us, other.stamps_us)
        both = at < len(self)
        both[both] = self.stamps_us[at[both]] == other.stamps_us[both]
        return at[both], np.flatnonzero(both)

    def differs(self, rows: NDArray[np.int64], other: Bars, other_rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Compare rows pairwise: null equals null, and a string that float64 cannot hold counts."""
        differs = np.zeros(len(rows), dtype=np.bool_)
        for name in VALUES:
            a, b = self.table[name].to_numpy()[rows], other.table[name].to_numpy()[other_rows]
            differs |= ~((a == b) | (np.isnan(a) & np.isnan(b)))
        changed = {stamp for (stamp, _), _ in set(self.exact.items()) ^ set(other.exact.items())}
        if changed:
            differs |= np.isin(self.stamps_us[rows], list(changed))
        return differs

    def values(self, row: int) -> tuple[float | str | None, ...]:
        """Give open, high, low, close, volume and turnover of one bar."""
        stamp = int(self.stamps_us[row])
        return tuple(self.exact.get((stamp, name), self.table[name][row].as_py()) for name in VALUES)

    def exact_by_row(self) -> tuple[tuple[int, str, str], ...]:
        """Give `exact` as (row, column, string)."""
        rows = np.searchsorted(self.stamps_us, [stamp for stamp, _ in self.exact]).tolist()
        return tuple((row, column, value) for row, ((_, column), value) in zip(rows, self.exact.items(), strict=True))

    def updated(self, new: Bars) -> Bars:
        """Put the bars of *new* among these, in place of those with the same stamps."""
        if not len(new):
            return self
        replaced = self.shared(new)[0]
        if not len(replaced) and not (len(self) and self.stamps_us[-1] > new.stamps_us[0]):
            joined = concat([self, new])
            # Bar after bar would be chunk after chunk.
            return replace(joined, table=joined.table.combine_chunks())
        kept = np.ones(len(self), dtype=np.bool_)
        kept[replaced] = False
        return _interleave(self, kept, new)


# One for all: making the table takes longer than reading the index row of a small group.
_NONE = Bars(schemas.BARS.empty_table(), _EMPTY, _EMPTY, _EMPTY)


def concat(parts: Sequence[Bars]) -> Bars:
    """Join bars that follow one another."""
    parts = [part for part in parts if len(part)]
    if len(parts) <= 1:
        return parts[0] if parts else Bars.none()
    return Bars(
        pa.concat_tables([part.table for part in parts]),
        np.concatenate([part.stamps_us for part in parts]),
        np.concatenate([part.keys_us for part in parts]),
        np.concatenate([part.asked_us for part in parts]),
        {place: value for part in parts for place, value in part.exact.items()},
    )


def _exact_of(exact: Mapping[tuple[int, str], str], stamps_us: NDArray[np.int64]) -> dict[tuple[int, str], str]:
    within = set(stamps_us.tolist())
    return {place: value for place, value in exact.items() if place[0] in within}


def _interleave(held: Bars, kept: NDArray[np.bool_], new: Bars) -> Bars:
    stamps_us = np.concatenate([held.stamps_us[kept], new.stamps_us])
    order = np.argsort(stamps_us, kind="stable")
    rows = np.concatenate([np.flatnonzero(kept), len(held) + np.arange(len(new))])[order]
    replaced = set(held.stamps_us[~kept].tolist())
    exact = {place: value for place, value in held.exact.items() if place[0] not in replaced}
    return Bars(
        pa.concat_tables([held.table, new.table]).take(pa.array(rows)),
        stamps_us[order],
        np.concatenate([held.keys_us, new.keys_us])[rows],
        np.concatenate([held.asked_us, new.asked_us])[rows],
        exact | dict(new.exact),
    )


def blocks(bars: Bars, period: Period) -> Iterator[tuple[str, Bars]]:
    """Cut *bars* by block: a calendar month of 1m, a year of 5m to 30m, a decade of longer bars, in UTC."""
    instants = bars.stamps_us.astype("datetime64[us]")
    if period is Period.MINUTE_1:
        numbers = instants.astype("datetime64[M]").astype(np.int64)
    else:
        numbers = instants.astype("datetime64[Y]").astype(np.int64) + _EPOCH_YEAR
        if period not in _BY_YEAR:
            numbers = numbers // 10
    first_rows = np.unique(numbers, return_index=True)[1].tolist()
    for start, stop in pairwise([*first_rows, len(bars)]):
        yield _block_name(int(numbers[start]), period), bars[start:stop]


_EPOCH_YEAR = 1970
_BY_YEAR = frozenset({Period.MINUTE_5, Period.MINUTE_15, Period.MINUTE_30})


def _block_name(number: int, period: Period) -> str:
    if period is Period.MINUTE_1:
        return str(np.datetime64(number, "M"))
    return str(number) if period in _BY_YEAR else f"{number}0s"


def encode(bars: Bars, identity: Identity, *, by_date: bool) -> bytes:
    """Write the Arrow IPC file of a segment, or of a tail: uncompressed, so that it can be mapped."""
    table = bars.table.combine_chunks()
    if by_date:
        table = table.append_column(_KEY, pa.array(bars.keys_us))
    identity = msgspec.structs.replace(identity, exact=bars.exact_by_row())
    identity = msgspec.structs.replace(identity, crc32=_crc32(identity, bars))
    schema = table.schema.with_metadata({_METADATA: msgspec.json.encode(identity)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _crc32(identity: Identity, bars: Bars) -> int:
    """Sum up what a file says, in the order of its meaning: not 0."""
    total = zlib.crc32(msgspec.json.encode(msgspec.structs.replace(identity, crc32=0)))
    for column in (bars.stamps_us, bars.keys_us, *(bars.table[name].to_numpy() for name in VALUES)):
        total = zlib.crc32(column.tobytes(), total)
    return total or 1


def proven(buffer: pa.Buffer) -> tuple[Identity, Bars]:
    """Read a segment that no index vouches for: by its own checksum.

    Raises
    ------
    UnreadableError
        It is not what was written.
    """
    identity, bars = identified(buffer)
    if identity.crc32 and identity.crc32 != _crc32(identity, bars):
        raise UnreadableError("it does not have the checksum that it says it has")
    return identity, bars


def decode(buffer: pa.Buffer, expected: Mapping[str, Any] | None = None) -> Bars:
    """Read what `encode` wrote, without copying; see `identified`."""
    return identified(buffer, expected)[1]


def identified(buffer: pa.Buffer, expected: Mapping[str, Any] | None = None) -> tuple[Identity, Bars]:
    """Read what `encode` wrote, and what it says of itself.

    Raises
    ------
    UnreadableError
        It is cut, is no Arrow file, or is not the one *expected*.
    """
    check_ends(buffer)
    try:
        table = pa.ipc.open_file(pa.BufferReader(buffer)).read_all()
        identity = msgspec.json.decode((table.schema.metadata or {})[_METADATA], type=Identity)
        # Lengths that the file does not have would be read beyond its end.
        table.validate()
    except (pa.ArrowException, msgspec.MsgspecError, KeyError, OSError, UnicodeDecodeError) as error:
        raise UnreadableError(f"it is no segment ({type(error).__name__})") from None
    if any(getattr(identity, name) != value for name, value in (expected or {}).items()):
        raise UnreadableError("it is another segment than its name says")
    fields = [field.remove_metadata() for field in table.schema]
    if fields not in ([*schemas.BARS], [*schemas.BARS, _KEY]) or any(
        table[field.name].null_count for field in fields if not field.nullable
    ):
        raise UnreadableError("its columns are not those of bars")
    dated_us = table["key"].to_numpy() if _KEY in fields else None
    table = table.select(schemas.BARS.names).replace_schema_metadata(None)
    try:
        bars = Bars.of(table, dated_us, identity.asked_at, identity.exact)
    except IndexError:
        raise UnreadableError("it has strings of bars that it does not hold") from None
    if len(bars) != identity.rows:
        raise UnreadableError(f"it holds {len(bars)} bars instead of {identity.rows}")
    return identity, bars


def check_ends(buffer: pa.Buffer) -> None:
    """Refuse a file without Arrow's mark at both ends."""
    if bytes(buffer[: len(_MAGIC)]) != _MAGIC or bytes(buffer[-len(_MAGIC) :]) != _MAGIC:
        raise UnreadableError("it has no Arrow footer")


def stamps_of(table: pa.Table) -> NDArray[np.int64]:
    """View the stamps as integers."""
    column = table["timestamp"]
    if column.num_chunks == 1:
        stamps_us: NDArray[np.int64] = column.chunk(0).view(pa.int64()).to_numpy()
    else:
        stamps_us = column.cast(pa.int64()).to_numpy()
    return stamps_us


def with_asked(bars: Bars, asked_at_us: int) -> Bars:
    """Say that all were asked for at *asked_at_us*."""
    return replace(bars, asked_us=np.broadcast_to(np.int64(asked_at_us), len(bars)))
