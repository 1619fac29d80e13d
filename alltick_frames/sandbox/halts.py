"""GET /api/suspension/…: trading halts of the last year, in an envelope of their own (alltick-api.md 6.6)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from alltick_frames.sandbox.hashing import key_of
from alltick_frames.sandbox.listing import LISTED, names_of
from alltick_frames.sandbox.refusals import Refusal
from alltick_frames.sandbox.sessions import DAY_S, calendar_named

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from alltick_frames.sandbox.readings import Readings
    from alltick_frames.sandbox.sessions import Calendar
    from alltick_frames.sandbox.state import State

__all__ = ["EXCHANGES", "HaltQuery", "answer"]

_YEAR_S = 365 * DAY_S
_MOST_A_SESSION = 3
_DEFAULT_SIZE, _LARGEST_SIZE = 10, 100
# No page states the zone of ``timestamp``; this is the vendor's.
_VENDOR_ZONE = ZoneInfo("Asia/Shanghai")


@dataclass(frozen=True, slots=True)
class HaltQuery:
    """The parameters of one request, as sent."""

    page: str | None
    size: str | None


def answer(state: State, exchange: str, query: HaltQuery) -> dict[str, Any]:
    """Return the whole body of the answer for one of `EXCHANGES`."""
    now, readings = state.clock.now(), state.readings
    halts = _of_last_year(exchange, state.seed, now)
    head = {
        "success": True,
        "timestamp": datetime.fromtimestamp(now, _VENDOR_ZONE).strftime("%Y-%m-%dT%H:%M:%S"),
        "totalCount": len(halts),
    }
    if readings.halt_paging == "paged":
        page, size = _paging(query, readings)
        head |= {"totalPages": -(-len(halts) // size), "currentPage": page, "currentSize": size}
        halts = halts[(page - 1) * size : page * size]
    return head | {"data": [_record(exchange, halt, now, readings) for halt in halts]}


def _paging(query: HaltQuery, readings: Readings) -> tuple[int, int]:
    """Return page and size; for what is no number, or none from 1 on, the only failure is the documented one."""
    try:
        page, size = int(query.page or 1), int(query.size or _DEFAULT_SIZE)
    except ValueError:
        raise Refusal("halt_failure") from None
    if page < 1 or size < 1:
        raise Refusal("halt_failure")
    return page, min(size, _LARGEST_SIZE) if readings.halt_size == "at_most_100" else size


# --- what was halted ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Halt:
    """One halt; times in UTC epoch seconds."""

    symbol: str
    halted: int
    published: int
    quoted: int | None
    """When quotation resumes, some minutes before trading does; None: no end is in sight."""
    traded: int | None
    key: int
    """What is random about how it is written follows from this."""


def _of_last_year(exchange: str, seed: int, now: float) -> list[_Halt]:
    """Return the halts that were announced in the year before *now*, the newest first."""
    calendar = calendar_named(EXCHANGES[exchange].calendar)
    # A session's halts may be announced on the evening before it.
    sessions = range(max(0, calendar.started(now - _YEAR_S) - 1), calendar.started(now + DAY_S))
    halts = [halt for number in sessions for halt in _of_session(exchange, seed, number)]
    known = [halt for halt in halts if now - _YEAR_S < halt.published <= now]
    return sorted(known, key=lambda halt: (halt.published, halt.symbol), reverse=True)


@lru_cache(maxsize=4096)
def _of_session(exchange: str, seed: int, number: int) -> tuple[_Halt, ...]:
    """Return the halts of one session; most have some."""
    place = EXCHANGES[exchange]
    calendar = calendar_named(place.calendar)
    date = int(calendar.dates[number])
    keys = [key_of(seed, exchange, "halt", date, which) for which in range(_MOST_A_SESSION)]
    happened = [key for key in keys if key // 5 % 2]
    # A symbol is halted once in a session.
    by_symbol = {place.symbols[key % len(place.symbols)]: key for key in happened}
    return tuple(place.halt(symbol, calendar, number, key) for symbol, key in by_symbol.items())


def _pause(symbol: str, calendar: Calendar, number: int, key: int) -> _Halt:
    """Return an American halt: of some minutes, until the next session, or for who knows how long."""
    opens, closes = int(calendar.opens[number]), int(calendar.closes[number])
    halted = opens + key // 7 % (closes - opens - 900)
    published = halted + 1 + key // 17 % 3
    kind = key // 11 % 8
    if kind == 0:
        return _Halt(symbol, halted, published, None, None, key)
    quoted = int(calendar.opens[number + 1]) - 300 if kind == 1 else min(halted + 300 + key // 13 % 1800, closes - 600)
    return _Halt(symbol, halted, published, quoted, quoted + 300, key)


def _suspension(symbol: str, calendar: Calendar, number: int, key: int) -> _Halt:
    """Return a suspension in Shanghai: of whole sessions, announced from 18:00 on the evening before."""
    opens = int(calendar.opens[number])
    published = opens - 15 * 3600 - 1800 + key // 7 % (4 * 3600)
    resumes = None if key // 13 % 5 == 0 else int(calendar.opens[number + 1 + key // 11 % 10])
    return _Halt(symbol, opens, published, resumes, resumes, key)


# --- how it is written ----------------------------------------------------------------------------------


def _record(exchange: str, halt: _Halt, now: float, readings: Readings) -> dict[str, Any]:
    """Return *halt* as it is told at *now*: of its end nothing is known before it comes."""
    place = EXCHANGES[exchange]
    zone = calendar_named(place.calendar).zone
    halted, published, quoted, traded = (
        datetime.fromtimestamp(at, UTC).astimezone(zone) if at is not None and at <= max(now, halt.halted) else None
        for at in (halt.halted, halt.published, halt.quoted, halt.traded)
    )
    reason = place.reasons[halt.key // 19 % len(place.reasons)]
    cells = {
        "symbol": halt.symbol,
        "symbolName": names_of(halt.symbol + place.suffix).english if halt.key // 23 % 4 else None,
        "haltDate": _date(halted),
        "haltTime": _time(halted),
        "haltDateTime": _date_time(halted),
        "haltPeriod": place.periods[halt.key // 29 % len(place.periods)],
        "sourceExchange": place.sources[halt.key // 31 % len(place.sources)],
        "haltReason": reason,
        "pauseThresholdPrice": f"{halt.key // 37 % 9000 / 100 + 1:.2f}" if reason == "LUDP" else None,
        "resumeDate": _date(quoted),
        "resumeTime": _time(quoted),
        "resumeDateTime": _date_time(traded),
        "publishDate": _date_time(published),
    }
    left_out = {"haltDate"} if exchange == "nyse" and readings.nyse_halt_date == "absent" else set()
    shown = (name for name in place.fields if name not in left_out)
    return {name: _nothing(halt.key, name) if cells[name] is None else cells[name] for name in shown}


def _nothing(key: int, name: str) -> str | None:
    """Return null or empty text: both are documented for what there is none of."""
    return None if key_of(key, name) % 2 else ""


def _date(at: datetime | None) -> str | None:
    return None if at is None else at.strftime("%Y-%m-%d")


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.strftime("%H:%M:%S")


def _date_time(at: datetime | None) -> str | None:
    return None if at is None else at.strftime("%Y-%m-%d %H:%M:%S")


@dataclass(frozen=True, slots=True)
class _Exchange:
    """What halts of one exchange are like."""

    calendar: str
    suffix: str
    symbols: tuple[str, ...]
    halt: Callable[[str, Calendar, int, int], _Halt]
    fields: tuple[str, ...]
    reasons: tuple[str | None, ...]
    sources: tuple[str | None, ...] = (None,)
    periods: tuple[str | None, ...] = (None,)


def _bare(group: str, suffix: str) -> tuple[str, ...]:
    return tuple(code.removesuffix(suffix) for code in LISTED[group] if code.endswith(suffix))


_AMERICAN = ("symbol", "symbolName", "haltDate", "haltTime", "haltDateTime", "sourceExchange", "haltReason")
_RESUMED = ("resumeDate", "resumeTime", "resumeDateTime", "publishDate")

EXCHANGES: Mapping[str, _Exchange] = MappingProxyType(
    {
        "sse": _Exchange(
            "XSHG",
            ".SH",
            _bare("cn", ".SH"),
            _suspension,
            (
                *("symbol", "symbolName", "haltReason", "haltDate", "haltTime", "haltPeriod"),
                *("resumeDate", "resumeTime", "publishDate"),
            ),
            ("刊登重要公告", "重大资产重组", "股票交易异常波动", None),
            periods=("连续停牌", "停牌1天", None),
        ),
        "nyse": _Exchange(
            "XNYS",
            ".US",
            _bare("us", ".US"),
            _pause,
            (*_AMERICAN, *_RESUMED),
            ("News pending", "News released", "LULD pause", None),
            ("NYSE", "NYSE American", "NYSE Arca", None),
        ),
        "nasdaq": _Exchange(
            "XNYS",
            ".US",
            _bare("us", ".US"),
            _pause,
            (*_AMERICAN, "pauseThresholdPrice", *_RESUMED),
            ("LUDP", "LUDP", "T1", "T2", "M", None),
            ("NASDAQ", "NYSE", None),
        ),
    }
)
"""By the last part of the path."""
