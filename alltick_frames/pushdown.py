"""What a predicate of Polars asks for: by code, the times at which it can be met. Pure.

A predicate is read by public means alone: `meta.pop()` gives the operands of a node, and the node is what, made anew of
them, equals it (`meta.eq`). Where a comparison of times turns from false to true is found by evaluating it. What cannot
be read may be met at any time, and the whole predicate is applied to what was read: it only ever narrows too little.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from alltick_frames.finality import instant, microseconds
from alltick_frames.spans import EVER, Span, SpanSet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["Reading"]

_ALL, _NONE = SpanSet((EVER,)), SpanSet()
_SCHEMA = {"timestamp": pl.Datetime("us", "UTC")}
_STAMP = pl.col("timestamp")
# Of more values only the first and the last are told apart.
_VALUES_AT_MOST = 100
_SECTIONS = 4096
_MINUTE_US = 60_000_000
# Clocks that are set back make local times, and then even dates, go back: at whole minutes, and by hours.
_FOLD_MINUTES = 26 * 60


@dataclass(frozen=True, slots=True)
class _Met:
    """When a condition can be true, and when it can be false; null is neither."""

    true: SpanSet
    false: SpanSet

    def __invert__(self) -> _Met:
        return _Met(self.false, self.true)

    def __and__(self, other: _Met) -> _Met:
        return _Met(self.true & other.true, self.false | other.false)

    def __or__(self, other: _Met) -> _Met:
        return ~(~self & ~other)


_UNKNOWN = _Met(_ALL, _ALL)
_ALWAYS = {True: _Met(_ALL, _NONE), False: _Met(_NONE, _ALL), None: _Met(_NONE, _NONE)}


@dataclass(frozen=True, slots=True, eq=False)
class _OfCode:
    """A condition on the code alone.

    Attributes
    ----------
    names
        It holds for these codes and no others; None if that is not known.
    """

    condition: pl.Expr
    names: frozenset[str] | None

    def met(self, code: str | None) -> _Met:
        """Judge *code*, or any that is not named."""
        if code is None:
            return _UNKNOWN if self.names is None else _ALWAYS[False]
        if self.names is not None:
            return _ALWAYS[code in self.names]
        try:
            return _ALWAYS[pl.DataFrame({"code": [code]}).select(self.condition).item()]
        except (pl.exceptions.PolarsError, KeyError):
            return _UNKNOWN


@dataclass(frozen=True, slots=True, eq=False)
class _Node:
    """A condition that is made of others."""

    join: Callable[..., _Met]
    parts: tuple[_Condition, ...]

    def met(self, code: str | None) -> _Met:
        return self.join(*(_met(part, code) for part in self.parts))


_Condition = _Met | _OfCode | _Node


def _met(condition: _Condition, code: str | None) -> _Met:
    return condition if isinstance(condition, _Met) else condition.met(code)


@dataclass(frozen=True, slots=True)
class Reading:
    """A predicate that was read.

    Attributes
    ----------
    names
        The codes that it names.
    """

    names: frozenset[str]
    _condition: _Condition = field(repr=False)

    @classmethod
    def of(cls, predicate: pl.Expr | None) -> Reading:
        """Read *predicate*; None is met by everything.

        Examples
        --------
        >>> from datetime import UTC, datetime
        >>> noon = pl.lit(datetime(2026, 3, 2, 12, tzinfo=UTC))
        >>> reading = Reading.of((pl.col("code") == "GOLD") & (pl.col("timestamp") >= noon))
        >>> [str(span) for span in reading.times("GOLD")], reading.names, reading.binds
        (['[2026-03-02T12:00Z, 2200-01-01)'], frozenset({'GOLD'}), True)
        """
        condition = _ALWAYS[True] if predicate is None else _read(predicate)
        return cls(frozenset(_names(condition)), condition)

    @property
    def binds(self) -> bool:
        """Whether no code but those named can meet it."""
        return not _met(self._condition, None).true

    def times(self, code: str) -> SpanSet:
        """Give the times at which bars of *code* can meet it, within `EVER`."""
        return _met(self._condition, code).true


def _names(condition: _Condition) -> Iterator[str]:
    match condition:
        case _OfCode():
            yield from condition.names or ()
        case _Node():
            for part in condition.parts:
                yield from _names(part)


def _read(condition: pl.Expr) -> _Condition:
    operands = _operands(condition)
    match operands:
        case [one] if _is(condition, ~one):
            return _Node(operator.invert, (_read(one),))
        case [one, other] if _is(condition, one & other):
            return _Node(operator.and_, (_read(one), _read(other)))
        case [one, other] if _is(condition, one | other):
            return _Node(operator.or_, (_read(one), _read(other)))
    match set(condition.meta.root_names()):
        case columns if columns == {"code"}:
            return _of_code(condition, operands)
        case columns if columns == {"timestamp"}:
            return _of_time(condition, operands)
        case columns if not columns:
            values = _values(condition)
            return _UNKNOWN if values is None or values.dtype != pl.Boolean else _ALWAYS[values.item()]
    return _UNKNOWN


def _operands(node: pl.Expr) -> list[pl.Expr]:
    return node.meta.pop()[::-1]


def _is(node: pl.Expr, made: pl.Expr) -> bool:
    return bool(node.meta.eq(made))


def _values(constant: pl.Expr) -> pl.Series | None:
    """Evaluate what has no columns: one value, or the items of a list."""
    if constant.meta.root_names():
        return None
    try:
        values = pl.select(constant).to_series()
    except pl.exceptions.PolarsError:
        return None
    return values.explode() if isinstance(values.dtype, pl.List | pl.Array) else values


# --- of the code


def _of_code(condition: pl.Expr, operands: Sequence[pl.Expr]) -> _Condition:
    match operands:
        case [one, other]:
            column, constant = (other, one) if not one.meta.root_names() else (one, other)
            values = _values(constant)
            if values is not None and values.dtype == pl.String and _is(column, pl.col("code")):
                names = frozenset(value for value in values.to_list() if value is not None)
                if any(_is(condition, made) for made in _equals(one, other)):
                    return _OfCode(condition, names)
                if any(_is(condition, made) for made in _differs(one, other)):
                    return _Node(operator.invert, (_OfCode(condition, names),))
    return _OfCode(condition, None)


def _equals(one: pl.Expr, other: pl.Expr) -> Iterator[pl.Expr]:
    yield one == other
    yield one.eq_missing(other)
    yield one.is_in(other)
    yield one.is_in(other, nulls_equal=True)


def _differs(one: pl.Expr, other: pl.Expr) -> Iterator[pl.Expr]:
    yield one != other
    yield one.ne_missing(other)


# --- of the time

_Turns = Literal["up", "down"]
# From some time on, or up to some time, in terms of the first operand.
_ORDERS: tuple[tuple[Callable[[Any, Any], Any], _Turns], ...] = (
    (operator.ge, "up"),
    (operator.gt, "up"),
    (operator.le, "down"),
    (operator.lt, "down"),
)
_OTHER_WAY: dict[_Turns, _Turns] = {"up": "down", "down": "up"}
_CLOSED: dict[Literal["both", "left", "right", "none"], tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]] = {
    "both": (operator.ge, operator.le),
    "left": (operator.ge, operator.lt),
    "right": (operator.gt, operator.le),
    "none": (operator.gt, operator.lt),
}


def _of_time(condition: pl.Expr, operands: Sequence[pl.Expr]) -> _Met:
    try:
        return _compared(condition, operands)
    except (pl.exceptions.PolarsError, OverflowError):
        # Not of this type, or not of every time.
        return _UNKNOWN


def _compared(condition: pl.Expr, operands: Sequence[pl.Expr]) -> _Met:
    match operands:
        case [one, other] if not other.meta.root_names() and (local := _rises(one)) is not None:
            return _against(condition, one, other, local=local)
        case [one, other] if not one.meta.root_names() and (local := _rises(other)) is not None:
            return _against(condition, other, one, local=local, swapped=True)
        case [one, low, high] if (local := _rises(one)) is not None:
            for closed, (above, below) in _CLOSED.items():
                if _is(condition, one.is_between(low, high, closed=closed)):
                    return _ray(above(one, low), "up", local=local) & _ray(below(one, high), "down", local=local)
    return _UNKNOWN


def _against(condition: pl.Expr, time: pl.Expr, constant: pl.Expr, *, local: bool, swapped: bool = False) -> _Met:
    one, other = (constant, time) if swapped else (time, constant)
    for order, turns in _ORDERS:
        if _is(condition, order(one, other)):
            return _ray(condition, _OTHER_WAY[turns] if swapped else turns, local=local)
    if not any(_is(condition, made) for made in (*_equals(one, other), *_differs(one, other))):
        return _UNKNOWN
    values = _values(constant)
    if values is None:
        return _UNKNOWN
    values = values.drop_nulls().unique().sort()
    if len(values) > _VALUES_AT_MOST:
        between = time >= pl.lit(values[0], values.dtype), time <= pl.lit(values[-1], values.dtype)
        return _Met((_ray(between[0], "up", local=local) & _ray(between[1], "down", local=local)).true, _ALL)
    met = _ALWAYS[False]
    for value in (pl.lit(value, values.dtype) for value in values.to_list()):
        met |= _ray(time >= value, "up", local=local) & _ray(time <= value, "down", local=local)
    return ~met if any(_is(condition, made) for made in _differs(one, other)) else met


def _rises(time: pl.Expr) -> bool | None:
    """Say whether *time* never falls as the time goes on (None: not known) but for clocks set back (True: local)."""
    operands = _operands(time)
    if not operands:
        return False if _is(time, _STAMP) else None
    first, *rest = operands
    if any(operand.meta.root_names() for operand in rest):
        return None
    dtype = pl.LazyFrame(schema=_SCHEMA).select(time).collect_schema().dtypes()[0]
    if not any(_is(time, made) for made in _made(first, rest, dtype)):
        return None
    local = _rises(first)
    zone = getattr(dtype, "time_zone", None)
    return None if local is None else local or zone not in (None, "UTC")


def _made(first: pl.Expr, rest: Sequence[pl.Expr], dtype: pl.DataType) -> Iterator[pl.Expr]:
    """Give all that is known to rise with *first* and has *dtype*."""
    match rest:
        case []:
            yield from (first.dt.date(), first.dt.year(), first.dt.iso_year())
            yield from (first.dt.timestamp(unit) for unit in ("ms", "us", "ns"))
            if isinstance(dtype, pl.Datetime):
                yield first.dt.cast_time_unit(dtype.time_unit)
                if dtype.time_zone is not None:
                    yield first.dt.convert_time_zone(dtype.time_zone)
            if isinstance(dtype, pl.Datetime | pl.Date | pl.Int32 | pl.Int64):
                yield from (first.cast(dtype, strict=strict) for strict in (True, False))
        case [constant]:
            yield from (first.dt.truncate(constant), first.dt.round(constant))
            yield from (first + constant, first - constant)
            if isinstance(dtype, pl.Datetime):
                yield first.dt.replace_time_zone(dtype.time_zone, ambiguous=constant)
            values = _values(constant)
            if values is not None and values.dtype.is_numeric() and len(values) == 1 and (values[0] or 0) > 0:
                yield first // constant


def _ray(condition: pl.Expr, turns: _Turns, *, local: bool) -> _Met:
    """Give the times from which (up), or up to which (down), *condition* holds: it turns once."""
    start, end = microseconds(EVER.start), microseconds(EVER.end)
    turned = _turn(condition, start, end, becomes=turns == "up")
    before, after = SpanSet.of([Span(EVER.start, instant(turned))]), SpanSet.of([Span(instant(turned), EVER.end)])
    met = _Met(after, before) if turns == "up" else _Met(before, after)
    if not local or not start < turned < end:
        return met
    minutes = turned - turned % _MINUTE_US + np.arange(-_FOLD_MINUTES, _FOLD_MINUTES) * _MINUTE_US
    holds = _holds(condition, minutes)
    if np.count_nonzero(np.diff(holds)) <= 1:
        return met
    return _Met(met.true | _around(minutes[holds]), met.false | _around(minutes[~holds]))


def _around(minutes: NDArray[np.int64]) -> SpanSet:
    if not len(minutes):
        return _NONE
    return SpanSet((Span(instant(int(minutes[0]) - _MINUTE_US), instant(int(minutes[-1]) + _MINUTE_US)),))


def _turn(condition: pl.Expr, start: int, end: int, *, becomes: bool) -> int:
    """Find the first microsecond at which *condition* becomes so; *end* if it never does."""
    if not len(_holds(condition, np.array([start]))) or bool(_holds(condition, np.array([start]))[0]) is becomes:
        return start
    while end - start > 1:
        points = np.unique(np.linspace(start, end, _SECTIONS).astype(np.int64))
        there = np.flatnonzero(_holds(condition, points) == becomes)
        if not len(there):
            return end
        end, start = int(points[there[0]]), int(points[there[0] - 1])
    return end


def _holds(condition: pl.Expr, stamps_us: NDArray[np.int64]) -> NDArray[np.bool_]:
    frame = pl.DataFrame({"timestamp": pl.Series(stamps_us, dtype=pl.Int64).cast(_SCHEMA["timestamp"])})
    holds: NDArray[np.bool_] = frame.select(condition.fill_null(value=False)).to_series().to_numpy()
    return holds
