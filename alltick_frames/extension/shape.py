"""What every function here takes: bars of the right columns and types, sorted, one per code and timestamp."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from alltick_frames.catalog import did_you_mean
from alltick_frames.errors import ArgumentError
from alltick_frames.extension.lengths import Length, inferred

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

__all__ = [
    "PRICES",
    "QUANTITIES",
    "by_code",
    "check_columns",
    "checked",
    "codes_of",
    "instants",
    "known_codes",
    "length_of",
    "listing",
    "stamps_of",
    "when",
]

PRICES = ("open", "high", "low", "close")
QUANTITIES = ("volume", "turnover")
# The row in which a code first appears.
_CODE = "__code"
# Kept short in messages: of a universe of codes the first few.
_MOST_NAMED = 8


def checked(frame: pl.DataFrame) -> pl.DataFrame:
    """Give *frame* as bars: sorted by code, as they first appear, and time; with null for NaN.

    Raises
    ------
    ArgumentError
        Columns that lack or have a wrong type, a bar with some prices only, or two of one code and timestamp.
    """
    check_columns(frame.schema)
    numbers = [name for name in (*PRICES, *QUANTITIES) if name in frame.columns]
    tidy = frame.with_columns(
        *(pl.col(name).fill_nan(None) for name in numbers if frame.schema[name].is_float()),
        # A column of nothing: what NumPy-backed pandas holds without any value has no type.
        *(pl.col(name).cast(pl.Float64) for name in numbers if frame.schema[name] == pl.Null),
        *(pl.col(name).cast(pl.String) for name in ("code",) if frame.schema[name] == pl.Null),
    )
    _check_values(tidy)
    return _in_order(tidy)


def check_columns(schema: pl.Schema) -> None:
    """Refuse a *schema* that is not that of bars."""
    lacking = [name for name in ("code", "timestamp", *PRICES) if name not in schema]
    if lacking:
        raise ArgumentError(
            f"the frame lacks {listing(lacking)}; bars have code, timestamp, open, high, low and close, this frame has "
            f"{listing(schema.names()) or 'no columns'}: rename or add what lacks"
        )
    for name, (fits, wanted) in _TYPES.items():
        if name in schema and not fits(schema[name]):
            raise ArgumentError(f"column {name!r} is {schema[name]}; it must be {wanted}")


def _is_code(kind: pl.DataType) -> bool:
    return kind in (pl.String, pl.Categorical, pl.Enum, pl.Null)


def _is_instant(kind: pl.DataType) -> bool:
    return isinstance(kind, pl.Datetime) and kind.time_zone is not None


def _is_number(kind: pl.DataType) -> bool:
    return kind.is_numeric() or kind == pl.Null


def _is_truth(kind: pl.DataType) -> bool:
    return kind == pl.Boolean


_WITH_ZONE = (
    "a datetime with a time zone: say which it is, if UTC with .dt.replace_time_zone('UTC') in Polars, or "
    ".dt.tz_localize('UTC') in pandas"
)
_TYPES: dict[str, tuple[Callable[[pl.DataType], bool], str]] = {
    "code": (_is_code, "text, the vendor's codes"),
    "timestamp": (_is_instant, _WITH_ZONE),
    **dict.fromkeys((*PRICES, *QUANTITIES), (_is_number, "numbers (float, integer or decimal)")),
    "closed": (_is_truth, "Boolean: whether the bar is closed"),
}


def _check_values(frame: pl.DataFrame) -> None:
    for name in ("code", "timestamp"):
        if frame[name].null_count():
            raise ArgumentError(f"column {name!r} has {frame[name].null_count()} nulls; leave those rows out")
    absent = pl.sum_horizontal(pl.col(name).is_null() for name in PRICES)
    broken = frame.filter(absent.is_between(1, len(PRICES) - 1))
    if broken.height:
        raise ArgumentError(f"{_named(broken, 0)} has some prices and lacks others; leave it out or complete it")
    if "period" in frame.columns and frame.schema["period"] == pl.String:
        periods = frame["period"].unique(maintain_order=True).to_list()
        if len(periods) > 1:
            raise ArgumentError(
                f"the frame holds bars of several periods ({listing(periods)}); take one of them, such as "
                f"df.filter(pl.col('period') == {periods[0]!r}) in Polars"
            )


def _in_order(frame: pl.DataFrame) -> pl.DataFrame:
    ranked = frame.with_row_index(_CODE).with_columns(pl.col(_CODE).min().over("code"))
    code, stamp = pl.col(_CODE), pl.col("timestamp")
    next_code, next_stamp = code > code.shift(), (code == code.shift()) & (stamp > stamp.shift())
    if ranked.select((next_code | next_stamp).all()).item():
        return frame  # as most are
    ordered = ranked.sort(_CODE, "timestamp", maintain_order=True)
    twice = ordered.filter((code == code.shift()) & (stamp == stamp.shift()))
    if twice.height:
        raise ArgumentError(
            f"{_named(twice, 0)} is there twice ({twice.height} such rows in all); keep one of each, such as "
            "df.unique(['code', 'timestamp'], keep='last', maintain_order=True) in Polars, or "
            "df.drop_duplicates(['code', 'timestamp'], keep='last') in pandas"
        )
    return ordered.drop(_CODE)


def _named(frame: pl.DataFrame, row: int) -> str:
    return f"the bar of {frame['code'][row]} at {when(int(instants(frame)[row]))}"


def when(us: int) -> str:
    """Write an instant for people."""
    return f"{np.datetime64(us, 'us').astype('datetime64[s]')}Z".replace("T", " ")


def listing(names: Iterable[Any]) -> str:
    """Write *names* for people, not more than a few."""
    named = [str(name) for name in names]
    more = len(named) - _MOST_NAMED
    return ", ".join(named[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def codes_of(frame: pl.DataFrame) -> list[str]:
    """Give the codes of *frame* as they first appear."""
    return frame["code"].cast(pl.String).unique(maintain_order=True).to_list()


def known_codes(frame: pl.DataFrame, codes: Sequence[str], name: str) -> None:
    """Refuse those of *codes* that *frame* does not have; *name* is the argument's. One without rows has them all."""
    there = codes_of(frame)
    for code in codes:
        if there and code not in there:
            meant = did_you_mean(code, there)
            hint = f"did you mean {' or '.join(map(repr, meant))}?" if meant else f"it has {listing(there)}"
            raise ArgumentError(f"{name}={code!r} is not in the frame; {hint}")


def by_code(frame: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    """Give each code and its rows, in order."""
    for (code,), rows in frame.group_by("code", maintain_order=True):
        yield str(code), rows


def instants(frame: pl.DataFrame) -> Ints:
    """Give the timestamps in epoch microseconds."""
    return np.array(frame["timestamp"].dt.timestamp("us").to_numpy(), dtype=np.int64)


def stamps_of(us: Ints, kind: pl.DataType) -> pl.Series:
    """Give epoch microseconds as a column of the type that timestamps have."""
    assert isinstance(kind, pl.Datetime)  # noqa: S101  # `checked` saw to it
    return pl.Series(us, dtype=pl.Int64).cast(pl.Datetime("us", "UTC")).cast(kind)


def length_of(frame: pl.DataFrame, given: object, name: str) -> Length:
    """Say how long the bars of *frame* are: as *given*, as a column `period` says, or by what lies between stamps.

    Raises
    ------
    ArgumentError
        None of these tells; *name* is the argument to use.
    """
    if given is not None:
        return Length.parse(given, name)
    if "period" in frame.columns and frame.schema["period"] == pl.String and frame.height:
        return Length.parse(frame["period"][0], "column 'period'")
    length = inferred((code, instants(rows)) for code, rows in by_code(frame))
    if length is None:
        raise ArgumentError(
            "the period of these bars cannot be told from their timestamps (too few rows, or a spacing that is no "
            f"period); give it: {name}='1m'"
        )
    return length
