"""What comes over the WebSocket: frames → answers and ticks, ticks → Arrow batches. Pure.

One typed pass of msgspec reads the documented frames in both type styles, numbers as text or as numbers. What it
refuses is read once more without types: it may be an answer of another shape. A tick that is none is set aside.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from alltick_frames import schemas
from alltick_frames.codes import AssetClass, asset_class_of
from alltick_frames.subscription import Ack
from alltick_frames.wire import excerpt

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Book", "Trade", "Unreadable", "books_batch", "read", "trades_batch"]

# "a time below 10^11 is seconds" (vendor pages have ten digits beside text that says milliseconds).
_FIRST_MILLISECONDS = 10**11
_US_PER_SECOND, _US_PER_MS = 1_000_000, 1_000
_HEARTBEAT, _BOOKS, _TRADES, _CANCELLED, _UNMATCHED = 22001, 22003, 22005, 22007, 0
_TOO_MANY = 429
_SIDES = ("neutral", "buy", "sell")

_Number = float | Literal[""] | None
_Whole = int | Literal[""] | None


class Trade(msgspec.Struct, gc=False):
    """The data of a push 22998."""

    code: str
    tick_time: int
    price: float
    seq: _Whole = None
    volume: _Number = None
    turnover: _Number = None
    trade_direction: _Whole = None


class _Level(msgspec.Struct, gc=False):
    price: float
    volume: _Number = None


class Book(msgspec.Struct, gc=False):
    """The data of a push 22999."""

    code: str
    tick_time: int
    seq: _Whole = None
    bids: list[_Level] | None = None
    asks: list[_Level] | None = None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A frame that is nothing we know, and why."""

    why: str
    raw: str


class _TradePush(msgspec.Struct, tag_field="cmd_id", tag=22998, gc=False):
    data: Trade


class _BookPush(msgspec.Struct, tag_field="cmd_id", tag=22999, gc=False):
    data: Book


class _Answer(msgspec.Struct):
    ret: int = 200
    msg: str | None = None
    seq_id: int = 0


class _Beaten(_Answer, tag_field="cmd_id", tag=_HEARTBEAT):
    pass


class _SubscribedBooks(_Answer, tag_field="cmd_id", tag=_BOOKS):
    pass


class _SubscribedTrades(_Answer, tag_field="cmd_id", tag=_TRADES):
    pass


class _Cancelled(_Answer, tag_field="cmd_id", tag=_CANCELLED):
    pass


class _Unmatched(_Answer, tag_field="cmd_id", tag=_UNMATCHED):
    pass


_decoder = msgspec.json.Decoder(
    _TradePush | _BookPush | _Beaten | _SubscribedBooks | _SubscribedTrades | _Cancelled | _Unmatched, strict=False
)
_COMMANDS: dict[type[Any], int] = {
    _Beaten: _HEARTBEAT,
    _SubscribedBooks: _BOOKS,
    _SubscribedTrades: _TRADES,
    _Cancelled: _CANCELLED,
    _Unmatched: _UNMATCHED,
}


def read(frame: bytes | str) -> Trade | Book | Ack | Unreadable:
    """Read one frame.

    Examples
    --------
    >>> read('{"cmd_id":22998,"data":{"code":"GOLD","seq":"7","tick_time":"1773801668091","price":"4421.18"}}').price
    4421.18
    >>> read('{"ret":401,"msg":"token invalid"}')
    Ack(command=0, sequence=0, ret=401, message='token invalid')
    """
    try:
        said = _decoder.decode(frame)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return _untyped(frame, str(error))
    if isinstance(said, _TradePush | _BookPush):
        return said.data
    return Ack(_COMMANDS[type(said)], said.seq_id, said.ret, said.msg or "")


def _untyped(frame: bytes | str, why: str) -> Ack | Unreadable:
    text = frame if isinstance(frame, str) else frame.decode(errors="replace")
    try:
        said = msgspec.json.decode(frame)
        if isinstance(said, dict) and "error_msg" in said:
            return Ack(_UNMATCHED, 0, int(said.get("ret") or _TOO_MANY), str(said["error_msg"]))
        if isinstance(said, dict) and said.get("ret") is not None:
            command, sequence = int(said.get("cmd_id") or 0), int(said.get("seq_id") or 0)
            return Ack(command, sequence, int(said["ret"]), str(said.get("msg") or ""))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError, ValueError):
        pass
    return Unreadable(why, excerpt(text))


def trades_batch(ticks: Sequence[Trade], received_us: Sequence[int]) -> tuple[pa.RecordBatch, int]:
    """Make a batch of trades, schema `schemas.TRADES`, and say how many could not be true."""
    codes = [tick.code for tick in ticks]
    columns = [
        pa.array(codes).dictionary_encode(),
        _times(ticks),
        pa.array([tick.price for tick in ticks], pa.float64()),
        pa.array([tick.volume or (0.0 if tick.volume == 0 else None) for tick in ticks], pa.float64()),
        pa.array([tick.turnover or (0.0 if tick.turnover == 0 else None) for tick in ticks], pa.float64()),
        pa.array([_side(tick.code, tick.trade_direction) for tick in ticks], pa.string()),
        pa.array([None if tick.seq == "" else tick.seq for tick in ticks], pa.int64()),
        pa.array(received_us, pa.int64()).cast(schemas.TIMESTAMP),
    ]
    return _true(pa.RecordBatch.from_arrays(columns, schema=schemas.TRADES))


def books_batch(ticks: Sequence[Book], received_us: Sequence[int]) -> tuple[pa.RecordBatch, int]:
    """Make a batch of order books, schema `schemas.ORDER_BOOKS`, and say how many levels could not be true.

    A row per side and level, or one without if the book is empty.
    """
    rows: list[int] = []
    sides: list[str | None] = []
    numbers: list[int | None] = []
    levels: list[_Level | None] = []
    for row, tick in enumerate(ticks):
        for side, of_side in (("bid", tick.bids), ("ask", tick.asks)):
            for number, level in enumerate(of_side or (), start=1):
                rows.append(row)
                sides.append(side)
                numbers.append(number)
                levels.append(level)
        if not tick.bids and not tick.asks:
            rows.append(row)
            sides.append(None)
            numbers.append(None)
            levels.append(None)
    at = pa.array(rows, pa.int64())
    columns = [
        pa.array([tick.code for tick in ticks]).take(at).dictionary_encode(),
        _times(ticks).take(at),
        pa.array(sides, pa.string()),
        pa.array(numbers, pa.int32()),
        pa.array([None if level is None else level.price for level in levels], pa.float64()),
        pa.array([None if level is None or level.volume == "" else level.volume for level in levels], pa.float64()),
        pa.array([None if tick.seq == "" else tick.seq for tick in ticks], pa.int64()).take(at),
        pa.array(received_us, pa.int64()).cast(schemas.TIMESTAMP).take(at),
    ]
    return _true(pa.RecordBatch.from_arrays(columns, schema=schemas.ORDER_BOOKS))


def _times(ticks: Sequence[Trade] | Sequence[Book]) -> pa.Array:
    times = np.array([tick.tick_time for tick in ticks], dtype=np.int64)
    return pa.array(np.where(times < _FIRST_MILLISECONDS, times * _US_PER_SECOND, times * _US_PER_MS)).cast(
        schemas.TIMESTAMP
    )


def _true(batch: pa.RecordBatch) -> tuple[pa.RecordBatch, int]:
    """Leave out what has a price that is no number."""
    finite = pc.fill_null(pc.is_finite(batch["price"]), fill_value=True)
    if pc.all(finite).as_py() is not False:
        return batch, 0
    kept = batch.filter(finite)
    return kept, len(batch) - len(kept)


def _side(code: str, direction: int | str | None) -> str | None:
    """Name the side of a trade: where there is none the vendor sends a constant."""
    if not isinstance(direction, int) or not 0 <= direction < len(_SIDES) or not _has_sides(code):
        return None
    return _SIDES[direction]


@lru_cache(maxsize=65_536)
def _has_sides(code: str) -> bool:
    return asset_class_of(code) is not AssetClass.OTC
