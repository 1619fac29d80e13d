"""Bars and coverage as charts: what is to be seen, as values. `drawing` makes pictures of them.

Bars stand side by side, evenly: nights, weekends and breaks take no room.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, get_args
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from alltick_frames import finality, schemas
from alltick_frames.codes import zone_of
from alltick_frames.errors import ArgumentError, ConfigError
from alltick_frames.periods import Period
from alltick_frames.spans import BEGINNING

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence
    from datetime import datetime
    from types import ModuleType

    from numpy.typing import NDArray

    from alltick_frames.drawing import Chart

    Ints = NDArray[np.int64]

__all__ = [
    "MOST_BARS",
    "MOST_CANDLES",
    "MOST_CODES",
    "MOST_ROWS",
    "Candles",
    "Colors",
    "Stretches",
    "candles_of",
    "candlesticks",
    "coverage",
    "stretches_of",
]

Colors = Literal["safe", "western", "chinese"]

# More candles are less than half a pixel wide each.
MOST_BARS = 1_500
# More take seconds to draw.
MOST_CANDLES = 3_000
MOST_CODES = 6
MOST_ROWS = 100

# So many candles of several bars each can be told apart.
_AIM = 400
_BARS_A_CANDLE = (2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60, 120, 240, 480, 720, 1440)
_DIGITS, _MOST_DECIMALS = 10, 12
_LEAST = timedelta(minutes=1)


def candlesticks(
    frame: Any,
    code: str | Iterable[str] | None = None,
    *,
    period: Period | str | None = None,
    colors: Colors = "safe",
) -> Chart:
    """Draw bars as candlesticks, with their volume beneath; a row of panels per code.

    In a notebook the chart can be moved, zoomed and asked for exact values, without a network; where scripts do not
    run, as on GitHub, its picture is shown instead. It is an Altair chart: `chart.save("bars.html")` (or `.png`,
    `.svg`) writes it to a file, and Altair's methods change it.

    Parameters
    ----------
    frame
        Bars as `get_kline` returns them: a Polars or pandas DataFrame, or an Arrow table. Forming bars (where `closed`
        is false) are hollow.
    code
        Which of its codes; default all, at most 6.
    period
        What the bars' length is called, where the frame does not show it: by default the shortest distance
        between two bars.
    colors
        `"safe"`: blue rises and orange falls, which all eyes tell apart; `"western"`: green rises and red falls;
        `"chinese"`: red rises and green falls.

    Returns
    -------
    Chart
        An `altair.VConcatChart`. Times are in the exchange's zone, which the chart names. Above 1,500 bars of a code
        (1,000 of each of three, 500 of each of six) a candle is several bars, exactly aggregated; the chart says how
        many.

    Raises
    ------
    ArgumentError
        A frame without bars or of another shape, a code it does not have, or too many codes.
    ConfigError
        Altair or vl-convert is not installed.
    """
    if colors not in get_args(Colors):
        raise ArgumentError(f"colors={colors!r} must be one of: {' '.join(get_args(Colors))}")
    drawing = _drawing()
    named = None if period is None else Period.parse(period)
    bars = _bars(frame)
    asked = _chosen(bars, code)
    most = min(MOST_BARS, MOST_CANDLES // len(asked))
    return drawing.candlesticks([candles_of(bars, each, named, most) for each in asked], colors)  # type: ignore[no-any-return]


def coverage(table: Any) -> Chart:
    """Draw what `coverage` lists, in any frame kind: what is held, and why the rest is not."""
    drawing = _drawing()
    return drawing.coverage(stretches_of(_arrow("table", table, schemas.COVERAGE.names)))  # type: ignore[no-any-return]


def _drawing() -> ModuleType:
    try:
        from alltick_frames import drawing  # noqa: PLC0415  # an extra
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("altair", "vl_convert"):
            raise
    else:
        return drawing
    raise ConfigError("charts need Altair and vl-convert: pip install 'alltick-frames[plot]'")


def _arrow(argument: str, frame: Any, columns: Iterable[str]) -> pa.Table:
    if not hasattr(frame, "__arrow_c_stream__"):
        raise ArgumentError(
            f"{argument} is of type {type(frame).__name__}; give a Polars or pandas DataFrame or an Arrow table"
            f"{', such as .collect() makes' if hasattr(frame, 'collect') else ''}"
        )
    table = pa.table(frame)
    for column in columns:
        if column not in table.column_names:
            has = " ".join(table.column_names) or "none"
            raise ArgumentError(f"{argument} has no column {column!r}; its columns are: {has}")
    return table


# -- candles ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Candles:
    """What is to be seen of one code.

    Attributes
    ----------
    rows
        One per candle: `bar` (its number, from 0) `open` `high` `low` `close` `volume` `closed` `time` `last` `bars`.
    bars, each
        How many there are, and how many of them a candle is.
    by_date, zone
        Whether times are trading dates, and whose times they are.
    labels, marked
        What an axis can say beneath each candle, and whether a new date (or a new month) begins with it.
    ticks
        Candles to label, from many to few: one list for each zoom.
    """

    code: str
    period: str
    rows: Sequence[dict[str, Any]]
    bars: int
    each: int
    by_date: bool
    zone: str
    labels: Sequence[str]
    marked: Sequence[bool]
    ticks: Sequence[Sequence[int]]
    decimals: int
    span: str

    @property
    def has_volume(self) -> bool:
        """Whether any candle has one."""
        return any(row["volume"] is not None for row in self.rows)

    @property
    def forming(self) -> bool:
        """Whether any candle may still change."""
        return not all(row["closed"] for row in self.rows)


def _bars(frame: Any) -> pa.Table:
    """Give the columns of *frame* that are drawn, in the types they have in `schemas`."""
    table = _arrow("frame", frame, ("code", "timestamp", *schemas.PRICES))
    stamps = table.schema.field("timestamp").type
    if not pa.types.is_timestamp(stamps) or stamps.tz is None:
        raise ArgumentError(f"frame has timestamps of type {stamps}; bars have timestamp[us, tz=UTC]")
    kinds = {"code": pa.string(), "period": pa.string(), "timestamp": schemas.TIMESTAMP, "closed": pa.bool_()}
    kinds |= dict.fromkeys((*schemas.PRICES, "volume"), pa.float64())
    there = {name: kind for name, kind in kinds.items() if name in table.column_names}
    try:
        bars = pa.table({name: _plain(table.column(name)).cast(kind) for name, kind in there.items()})
    except pa.ArrowInvalid as error:
        raise ArgumentError(f"frame cannot be read as bars: {error}") from None
    if not len(bars):
        raise ArgumentError("frame has no bars")
    return bars


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Take from dictionaries the kind of text that Polars' have, and that Arrow cannot decode."""
    if not pa.types.is_dictionary(column.type):
        return column
    return column.cast(pa.dictionary(column.type.index_type, pa.string()))


def _chosen(bars: pa.Table, code: str | Iterable[str] | None) -> list[str]:
    there: list[str] = pc.unique(bars["code"]).to_pylist()
    asked = there if code is None else list(dict.fromkeys([code] if isinstance(code, str) else code))
    for each in asked:
        if each not in there:
            raise ArgumentError(f"code={each!r} is not in the frame; it has: {_some(there)}")
    if not 0 < len(asked) <= MOST_CODES:
        raise ArgumentError(
            f"a chart has 1 to {MOST_CODES} codes, not {len(asked)}; name them with code=: {_some(there)}"
        )
    return asked


def _some(codes: Sequence[str], most: int = 10) -> str:
    return " ".join(codes[:most]) + (f" and {len(codes) - most:,} more" if len(codes) > most else "")


def candles_of(bars: pa.Table, code: str, period: Period | None = None, most: int = MOST_BARS) -> Candles:
    """Decide what is to be seen of *code*, in *most* candles."""
    own = bars.filter(pc.equal(bars["code"], code)).sort_by("timestamp")
    stamps: Ints = own["timestamp"].cast(pa.int64()).to_numpy()
    prices = {name: own[name].to_numpy() for name in schemas.PRICES}
    _check(code, stamps, prices)
    period = period or _period(code, own, stamps)
    by_date = period is not None and period.by_date
    each = _bars_a_candle(len(stamps), most)
    begins = np.arange(0, len(stamps), each)
    ends = np.append(begins[1:], len(stamps)) - 1
    firsts, lasts = _times(code, stamps, begins, ends, by_date=by_date)
    shape = "%Y-%m-%d" if by_date else "%Y-%m-%d %H:%M"
    columns = {
        "bar": range(len(begins)),
        "open": prices["open"][begins].tolist(),
        "high": np.maximum.reduceat(prices["high"], begins).tolist(),
        "low": np.minimum.reduceat(prices["low"], begins).tolist(),
        "close": prices["close"][ends].tolist(),
        "volume": _sums(own, begins),
        "closed": _all_closed(own, begins),
        "time": [f"{moment:{shape}}" for moment in firsts],
        "last": [f"{moment:{shape}}" for moment in lasts],
        "bars": (ends - begins + 1).tolist(),
    }
    labels, marked = _labels(firsts, by_date=by_date)
    return Candles(
        code=code,
        period="" if period is None else period.value,
        rows=[dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)],
        bars=len(stamps),
        each=each,
        by_date=by_date,
        zone=zone_of(code),
        labels=labels,
        marked=marked,
        ticks=_ticks(firsts, by_date=by_date),
        decimals=decimals(np.concatenate([*prices.values()])),
        span=_span(firsts[0], lasts[-1], by_date=by_date),
    )


def _check(code: str, stamps: Ints, prices: dict[str, NDArray[np.float64]]) -> None:
    """Refuse what would be drawn wrongly without a word."""
    twice = np.flatnonzero(np.diff(stamps) == 0)
    if len(twice):
        when = finality.instant(int(stamps[twice[0]]))
        raise ArgumentError(
            f"frame has several bars of {code} at {when:%Y-%m-%dT%H:%M:%SZ}; give the bars of one period, each once"
        )
    for name, values in prices.items():
        if not np.isfinite(values).all():
            when = finality.instant(int(stamps[np.flatnonzero(~np.isfinite(values))[0]]))
            raise ArgumentError(f"frame has no {name} of {code} at {when:%Y-%m-%dT%H:%M:%SZ}; leave such rows out")


def _period(code: str, own: pa.Table, stamps: Ints) -> Period | None:
    """Read the period from its column, else from the shortest distance of two bars; None if it is no period's."""
    if "period" in own.column_names:
        named = pc.unique(own["period"]).to_pylist()
        if len(named) > 1:
            raise ArgumentError(f"frame has bars of {code} of the periods {' '.join(named)}; give those of one")
        return Period.parse(named[0])
    if len(stamps) < 2:  # noqa: PLR2004
        return None
    shortest = timedelta(microseconds=int(np.diff(stamps).min()))
    # Dates of 23 hours and months of 28 days.
    longer = [each for each in Period if each.by_date and shortest >= 0.9 * each.nominal]
    exact = [each for each in Period if not each.by_date and shortest == each.nominal]
    return next(reversed((*longer, *exact)), None)


def _bars_a_candle(bars: int, most: int) -> int:
    if bars <= most:
        return 1
    least = -(-bars // _AIM)
    return next((each for each in _BARS_A_CANDLE if each >= least), least)


def _times(
    code: str, stamps: Ints, begins: Ints, ends: Ints, *, by_date: bool
) -> tuple[list[datetime], list[datetime]]:
    """Give the times of the first and the last bar of each candle as people of the exchange say them."""
    if by_date:
        dates = finality.trading_dates([finality.instant(stamp) for stamp in stamps.tolist()], code)
        return [dates[row] for row in begins], [dates[row] for row in ends]
    zone = ZoneInfo(zone_of(code))
    firsts, lasts = (
        [finality.instant(stamp).astimezone(zone) for stamp in stamps[rows].tolist()] for rows in (begins, ends)
    )
    return firsts, lasts


def _sums(own: pa.Table, begins: Ints) -> list[float | None]:
    """Add up the volumes of each candle; None where a bar has none."""
    if "volume" not in own.column_names:
        return [None] * len(begins)
    sums = np.add.reduceat(own["volume"].to_numpy(), begins)
    return [total if np.isfinite(total) else None for total in sums.tolist()]


def _all_closed(own: pa.Table, begins: Ints) -> list[bool]:
    if "closed" not in own.column_names:
        return [True] * len(begins)
    closed: list[bool] = np.logical_and.reduceat(own["closed"].to_numpy(), begins).tolist()
    return closed


def decimals(prices: NDArray[np.float64]) -> int:
    """Say how many decimals prices are given with; of what was computed, so many that ten digits are shown.

    Examples
    --------
    >>> decimals(np.array([1.16927, 1.17])), decimals(np.array([67012.5, 67000.25])), decimals(np.array([2 / 3]))
    (5, 2, 10)
    """
    largest = float(np.abs(prices).max())
    whole = len(str(int(largest))) if largest >= 1 else 0
    exact = (
        places
        for places in range(_MOST_DECIMALS + 1)
        if np.all(np.abs(np.round(prices, places) - prices) <= 1e-15 * largest)
    )
    return min(next(exact, _MOST_DECIMALS), max(_DIGITS - whole, 0))


def _span(first: datetime, last: datetime, *, by_date: bool) -> str:
    if first.date() != last.date():
        return f"{_day(first)} – {_day(last)}"
    if by_date:
        return _day(first)
    return f"{_day(first)}, {first:%H:%M}" + (f" – {last:%H:%M}" if last != first else "")


def _day(moment: datetime) -> str:
    return f"{moment.day} {moment:%b %Y}"


def _labels(times: Sequence[datetime], *, by_date: bool) -> tuple[list[str], list[bool]]:
    marks = _month if by_date else _date
    before = [None, *times[:-1]]
    marked = [at is None or marks(at) != marks(time) for at, time in zip(before, times, strict=True)]
    return [_label(time, by_date=by_date, marked=new) for time, new in zip(times, marked, strict=True)], marked


def _label(time: datetime, *, by_date: bool, marked: bool) -> str:
    if by_date:
        return f"{time:%b %Y}" if marked else f"{time.day} {time:%b}"
    return f"{time.day} {time:%b}" if marked else f"{time:%H:%M}"


def _date(time: datetime) -> Hashable:
    return time.date()


def _month(time: datetime) -> Hashable:
    return time.year, time.month


def _minutes(length: int) -> Callable[[datetime], Hashable]:
    return lambda time: (time.date(), (time.hour * 60 + time.minute) // length)


_WITHIN_A_DATE = tuple(map(_minutes, (1, 5, 10, 15, 30, 60, 120, 180, 240, 360, 720)))
_DATES: tuple[Callable[[datetime], Hashable], ...] = (
    _date,
    lambda time: time.isocalendar()[:2],
    _month,
    lambda time: (time.year, (time.month - 1) // 3),
    lambda time: time.year,
    lambda time: time.year // 5,
)


def _ticks(times: Sequence[datetime], *, by_date: bool) -> list[list[int]]:
    """Give the candles with which a new minute, hour, day … begins: from the finest grain to the coarsest."""
    levels: list[list[int]] = [[]]
    for grain in reversed(_DATES):
        levels.append(_joined(levels[-1], _changes(times, grain)))
    # Every new date is named where hours are, else they would be taken for those of another.
    dates = _changes(times, _date)
    levels += [] if by_date else [_joined(dates, _changes(times, grain)) for grain in reversed(_WITHIN_A_DATE)]
    return _finer_and_finer(map(_from_the_first, levels))[::-1]


def _changes(times: Sequence[datetime], grain: Callable[[datetime], Hashable]) -> list[int]:
    return [row for row, (one, two) in enumerate(pairwise(times), start=1) if grain(one) != grain(two)]


def _joined(coarse: Sequence[int], fine: Sequence[int]) -> list[int]:
    """Add to *coarse* what of *fine* leaves it room: its labels are the ones to be read."""
    room = _room(fine)
    held = np.array(coarse)
    return sorted({*coarse, *(row for row in fine if not len(held) or np.abs(held - row).min() >= room)})


def _from_the_first(level: Sequence[int]) -> list[int]:
    """Label the first candle, too, if the next label leaves it room."""
    return [0, *level] if not level or level[0] >= 1.6 * _room(level) else [*level]


def _room(level: Sequence[int]) -> float:
    return float(np.median(np.diff([0, *level]))) * 0.45 if level else 0


def _finer_and_finer(levels: Iterable[list[int]]) -> list[list[int]]:
    kept: list[list[int]] = []
    for level in levels:
        if not kept or len(level) > len(kept[-1]):
            kept.append(level)
    return kept


# -- coverage -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Stretches:
    """What is to be seen of an archive.

    Attributes
    ----------
    rows
        One per span, in order: `row` `code` `period` `state` `from_ms` `to_ms` `start` `end` `bars` `detail`.
    groups
        The rows' names, from the top.
    left_out
        How many codes and periods are not shown.
    from_ms, to_ms
        What is in sight at first; a span without a start reaches from before it.
    """

    rows: Sequence[dict[str, Any]]
    groups: Sequence[str]
    left_out: int
    from_ms: int
    to_ms: int
    span: str


def stretches_of(table: pa.Table) -> Stretches:
    """Decide what is to be seen of the spans that `coverage` lists."""
    spans = table.to_pylist()
    named = list(dict.fromkeys((span["code"], span["period"]) for span in spans))
    shown = set(named[:MOST_ROWS])
    spans = [span for span in spans if (span["code"], span["period"]) in shown]
    known = [moment for span in spans for moment in (span["start"], span["end"]) if moment is not None]
    first, last = min(known, default=BEGINNING), max(known, default=BEGINNING + _LEAST)
    # Room for what reaches back for ever.
    first -= max((last - first) / 20, _LEAST) if any(span["start"] is None for span in spans) else timedelta()
    return Stretches(
        rows=[_stretch(span) for span in spans],
        groups=[f"{code} · {period}" for code, period in named[:MOST_ROWS]],
        left_out=max(len(named) - MOST_ROWS, 0),
        from_ms=_milliseconds(first),
        to_ms=_milliseconds(max(last, first + _LEAST)),
        span=_span(min(known), last, by_date=True) if known else "",
    )


def _stretch(span: dict[str, Any]) -> dict[str, Any]:
    shape = "%Y-%m-%d" if Period.parse(span["period"]).by_date else "%Y-%m-%d %H:%M"
    start, end = span["start"], span["end"]
    return {
        "row": f"{span['code']} · {span['period']}",
        "code": span["code"],
        "period": span["period"],
        "state": "held" if span["held"] else span["reason"],
        "from_ms": _milliseconds(start or BEGINNING),
        "to_ms": _milliseconds(end),
        "start": "the beginning" if start is None else f"{start:{shape}}",
        "end": f"{end:{shape}}",
        "bars": span["bars"],
        "detail": span["detail"] or "",
    }


def _milliseconds(moment: datetime) -> int:
    return finality.microseconds(moment) // 1_000
