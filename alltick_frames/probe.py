"""How the live service reads what its documents leave open, found out with at most twelve requests. Pure.

A conversation: a generator that gives requests, is sent what came, and returns its findings. Every code in it is one
of the Free plan's, so that any token can ask. What is found here changes nothing: the client goes by the evidence in
every answer. It is for people, who should hear of what the vendor changes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal
from zoneinfo import ZoneInfo

from alltick_frames.periods import Period
from alltick_frames.plans import PLANS
from alltick_frames.wire import BatchRequest, KlineRequest, SymbolsRequest, api_error, excerpt, refusal

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping

    from alltick_frames.errors import AllTickError
    from alltick_frames.wire import Answer, Request

__all__ = ["MOST_REQUESTS", "Finding", "Seen", "Status", "probe"]

MOST_REQUESTS = 12

Status = Literal["ok", "note", "problem"]

_MINUTE, _WEEK = 60, 604_800
_MS_FROM = 10**11
_LONG_PAGE, _PAGE = 1_000, 500
_MONDAY = 0
_OK, _TOO_MUCH = 200, 603
# The error table, and 201 and 202 of the samples (vendor page "Error codes", read 2026-07).
_KNOWN_RETS = frozenset({200, 201, 202, 400, 401, 402, 429, 600, 601, 603, 604, 605, 606})
_NOBODYS = "NOSUCHCODE"
# Of the quote family, those of the Free plan first: a plan that cuts answers them.
_QUOTES = (
    *("BTCUSDT", "USDJPY", "GOLD", "USOIL", "EURUSD", "GBPUSD", "AUDUSD", "NZDUSD", "USDCAD", "USDCHF", "EURJPY"),
    *("GBPJPY", "EURGBP", "AUDJPY", "ETHUSDT", "Silver", "UKOIL", "XAUEUR", "EURCHF", "CADJPY", "US500"),
)
_BAR = frozenset({"timestamp", "open_price", "close_price", "high_price", "low_price", "volume", "turnover"})
_TICK = frozenset({"code", "seq", "tick_time", "price", "volume", "turnover", "trade_direction"})
_BOOK = frozenset({"code", "seq", "tick_time", "bids", "asks"})
_STATIC = frozenset(
    (
        *("symbol", "name_cn", "name_en", "name_hk", "exchange", "board", "currency", "lot_size", "total_shares"),
        *("circulating_shares", "hk_shares", "eps", "eps_ttm", "bps", "dividend_yield"),
    )
)
_ENVELOPE = frozenset({"ret", "msg", "trace", "data"})
# What may be in `data`, in its list, and in that one's list: by the name of the list.
_LISTS: Mapping[str, frozenset[str]] = {
    "kline_list": _BAR | {"code", "kline_type", "kline_data"},
    "kline_data": _BAR,
    "tick_list": _TICK | _BOOK,
    "bids": frozenset({"price", "volume"}),
    "asks": frozenset({"price", "volume"}),
    "static_info_list": _STATIC,
}
_DATA = frozenset({"code", "kline_type", "kline_list", "tick_list", "static_info_list"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    Attributes
    ----------
    topic
        What was looked at; of open questions, the name that the sandbox's readings have, too.
    assumed
        What the client goes by where nothing tells.
    source
        The vendor's page that leaves it open.
    """

    topic: str
    status: Status
    finding: str
    assumed: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """An answer as it came, or what came instead of one."""

    status: int
    body: Any
    has_date: bool
    now: datetime
    failure: AllTickError | None = None

    @classmethod
    def of(cls, answer: Answer, request: Request) -> Seen:
        """Read *answer*; throttling and a refused token are raised, as everywhere."""
        refused = refusal(answer, request.codes)
        try:
            body = json.loads(answer.body)
        except (ValueError, RecursionError):
            body = None
        ret = body.get("ret") if isinstance(body, dict) else None
        if refused is None and ret in (401, 429, 605, 606):
            refused = api_error(ret, str(body.get("msg")), answer.trace, request.codes)
        if refused is not None:
            raise refused
        return cls(answer.status, body, answer.date is not None, answer.server_now)

    @property
    def ret(self) -> int | None:
        """The vendor's code."""
        ret = self.body.get("ret") if isinstance(self.body, dict) else None
        return ret if isinstance(ret, int) else None

    @property
    def data(self) -> dict[str, Any]:
        """The payload, if there is one."""
        data = self.body.get("data") if isinstance(self.body, dict) else None
        return data if isinstance(data, dict) else {}

    def listed(self, *names: str) -> list[dict[str, Any]]:
        """Give the objects of the first list that has one of *names*."""
        lists = (self.data[name] for name in names if isinstance(self.data.get(name), list))
        found: list[Any] = next(lists, [])
        return [one for one in found if isinstance(one, dict)]

    @property
    def bars(self) -> list[dict[str, Any]]:
        """The bars of a page."""
        return self.listed("kline_list", "kline_data")

    @property
    def stamps(self) -> list[int]:
        """Their stamps in seconds, as they came."""
        return [stamp // 1000 if stamp >= _MS_FROM else stamp for stamp in self.raw_stamps]

    @property
    def raw_stamps(self) -> list[int]:
        """Their stamps."""
        return [int(bar["timestamp"]) for bar in self.bars if str(bar.get("timestamp")).isdigit()]

    @property
    def outcome(self) -> str:
        """What came, in words, where it is no page."""
        if self.failure is not None:
            return f"no answer: {self.failure}"
        if self.ret is None:
            return f"HTTP {self.status} without the service's JSON"
        return f"ret {self.ret} ({excerpt(str(self.body.get('msg')))})"


@dataclass(slots=True)
class _Notes:
    """The findings so far, and how many requests are left."""

    left: int = MOST_REQUESTS
    findings: list[Finding] = field(default_factory=list)
    strange: dict[str, None] = field(default_factory=dict)

    def add(self, topic: str, answer: str, assumed: str, source: str) -> None:
        """Note an open question's *answer*; one that is not assumed is no fault of anybody's."""
        self.findings.append(Finding(topic, "ok" if answer == assumed else "note", answer, assumed, source))

    def look(self, seen: Seen, path: str) -> None:
        """Note what no page of the vendor's knows."""
        if seen.ret is not None and seen.ret not in _KNOWN_RETS:
            self.strange[f"ret {seen.ret} ({excerpt(str(seen.body.get('msg')))}) from {path}"] = None
        for name in _unknown(seen.body):
            self.strange[f"field {name} from {path}"] = None


def probe() -> Generator[Request, Seen, list[Finding]]:
    """Ask, and judge what comes."""
    notes = _Notes()

    def ask(request: Request) -> Generator[Request, Seen, Seen]:
        notes.left -= 1
        seen = yield request
        notes.look(seen, request.path)
        return seen

    newest = yield from ask(KlineRequest("BTCUSDT", Period.MINUTE_1, None, _LONG_PAGE))
    if newest.ret == _TOO_MUCH:
        notes.add("surplus", "ret_603", "cut", "interface_limitation §4; error code 603")
        newest = yield from ask(KlineRequest("BTCUSDT", Period.MINUTE_1, None, _PAGE))
    _judge_page(newest, notes)
    if len(newest.stamps) > 2:  # noqa: PLR2004  # a middle
        asked = sorted(set(newest.stamps))[len(set(newest.stamps)) // 2]
        page = yield from ask(KlineRequest("BTCUSDT", Period.MINUTE_1, _at(asked), 3))
        weeks = yield from ask(KlineRequest("USDJPY", Period.WEEK, None, 6))
        past = sorted(set(weeks.stamps))[:-2]
        before = (yield from ask(KlineRequest("USDJPY", Period.WEEK, _at(past[-1]), 2))) if past else weeks
        notes.add(
            "end", _end(asked, page, past[-1] if past else 0, before, newest), "inclusive", "GET /kline, end time"
        )
    else:
        notes.add("end", f"not seen: {newest.outcome}", "inclusive", "GET /kline, end time")
    weeks = yield from ask(KlineRequest("700.HK", Period.WEEK, None, 4))
    notes.add("daily_stamps", _daily_stamps(weeks), "utc_midnight", "GET /kline, timestamp")
    # By the server's clock: it may be a test's.
    far = newest.now - timedelta(days=60)
    seen = yield from ask(KlineRequest("700.HK", Period.DAY, far, 3))
    notes.add("stock_end", _far_end(seen, far), "ignored", "GET /kline: stock codes do not support an end time")
    far = newest.now - timedelta(days=30)
    seen = yield from ask(KlineRequest("USOIL", Period.HOUR_1, far, 3))
    notes.add("unlisted_end", _far_end(seen, far), "honoured", "GET /kline names forex, precious metals and crypto")
    far = datetime(2000, 1, 1, tzinfo=UTC)
    seen = yield from ask(KlineRequest("BTCUSDT", Period.DAY, far, 3))
    notes.add("beyond_history", _beyond(seen, far), "empty", "price list; GET /kline")
    if not seen.stamps and seen.ret == _OK:
        notes.add("empty_answer", _emptiness(seen), "[]", "GET /kline")
    yield from _ask_of_plan(ask, notes)
    yield from _ask_of_symbols(ask, notes)
    notes.findings += [
        Finding("undocumented", "problem", strange, "", "all pages as read in 2026-07") for strange in notes.strange
    ] or [Finding("undocumented", "ok", "no field and no ret that the vendor's pages do not know")]
    return notes.findings


def _ask_of_plan(ask: Any, notes: _Notes) -> Generator[Request, Seen, None]:
    """Find out how many groups are answered at once, which tells the plan."""
    groups = [(code, period) for code in _QUOTES for period in Period]
    sizes = sorted({plan.batch_groups for plan in PLANS.values()})
    fits, most = "not asked", sizes[-1]
    # Where too many are refused, one more than the next smaller plan allows, until one is answered.
    for size in (limit + 1 for limit in sizes[-2::-1]):
        if notes.left <= 0:
            break
        seen = yield from ask(BatchRequest(tuple(groups[:size])))
        answered = seen.listed("kline_list", "kline_data")
        if seen.ret == _TOO_MUCH:
            most = size - 1
            fits = _plans_of(sizes[0], most)
            continue
        if seen.ret != _OK or not answered:
            fits = f"not seen: {seen.outcome}"
        elif len(answered) == size:
            fits = _plans_of(size, most)
        elif len(answered) in sizes:
            fits = _plans_of(len(answered), len(answered))
        else:
            fits = f"{len(answered)} of {size} groups were answered, which is no plan's number"
        named = [(one.get("code", one.get("symbol")), one.get("kline_type")) for one in answered]
        asked = [(code, period.vendor_number) for code, period in groups]
        if named:
            order = "as_asked" if named == [one for one in asked if one in named] else "shuffled"
            notes.add("batch_groups", order, "as_asked", "POST /batch-kline")
        break
    notes.findings.append(Finding("plan", "note", fits, "", "interface_limitation, groups a request"))


def _plans_of(least: int, most: int) -> str:
    """Name the plans that allow so many groups a request."""
    return " or ".join(plan.name for plan in PLANS.values() if least <= plan.batch_groups <= most)


def _ask_of_symbols(ask: Any, notes: _Notes) -> Generator[Request, Seen, None]:
    for topic, request in (
        ("symbols_bad_code", SymbolsRequest("trade_tick", ("BTCUSDT", _NOBODYS))),
        ("order books", SymbolsRequest("depth_tick", ("BTCUSDT", "USDJPY"))),
        ("static info", SymbolsRequest("static_info", ("700.HK",))),
    ):
        if notes.left <= 0:
            notes.findings.append(Finding(topic, "note", f"not asked: the {MOST_REQUESTS} requests were used up"))
            continue
        seen = yield from ask(request)
        listed = seen.listed("tick_list", "static_info_list")
        if topic == "symbols_bad_code":
            answer = "refused" if seen.ret not in (None, _OK) else "missing" if listed else f"not seen: {seen.outcome}"
            notes.add(topic, answer, "refused", "error code 600")
            times = [int(tick["tick_time"]) for tick in listed if str(tick.get("tick_time")).isdigit()]
            if times:
                unit = "milliseconds" if times[0] >= _MS_FROM else "seconds"
                notes.add("tick_times", unit, "milliseconds", "GET /trade-tick")
        else:
            answered = seen.ret == _OK and bool(listed)
            notes.findings.append(
                Finding(topic, "ok" if answered else "note", "answered" if answered else seen.outcome)
            )


def _judge_page(seen: Seen, notes: _Notes) -> None:
    """Judge what one long newest page of a product that trades all the time shows."""
    stamps, page = seen.stamps, "GET /kline"
    if not stamps:
        notes.findings.append(Finding("a page of bars", "problem", seen.outcome, "", page))
        return
    unique = sorted(set(stamps))
    newest_twice = stamps.count(unique[-1]) > 1 and len(stamps) == len(unique) + 1
    notes.add("page_maximum", str(_LONG_PAGE if len(unique) > _PAGE else _PAGE), "500", "GET /kline, since 2025-07-11")
    notes.add("order", _order(stamps, newest_twice=newest_twice), "ascending", page)
    notes.add("stamps", "milliseconds" if seen.raw_stamps[0] >= _MS_FROM else "seconds", "seconds", page)
    forming = seen.now.timestamp() - unique[-1] < _MINUTE
    notes.add("newest_bar", "twice" if newest_twice else "present" if forming else "missing", "present", page)
    prices = [bar.get("close_price") for bar in seen.bars]
    as_text = all(isinstance(price, str) for price in prices)
    notes.add("numbers", "strings" if as_text else "json", "strings", page)
    if as_text:
        six = all(len(str(price).partition(".")[2]) >= 6 for price in prices)  # noqa: PLR2004
        notes.add("prices", "six_decimals" if six else "shortest", "six_decimals", page)
    renamed = "symbol" in seen.data and "code" not in seen.data
    fields = "renamed" if renamed else "extra" if any(_unknown(seen.body)) else "documented"
    notes.add("fields", fields, "documented", page)
    notes.add("date_header", "present" if seen.has_date else "absent", "present", "")


def _order(stamps: list[int], *, newest_twice: bool) -> str:
    if len(set(stamps)) < len(stamps) and not newest_twice:
        return "duplicated"
    if stamps == sorted(stamps):
        return "ascending"
    return "descending" if stamps == sorted(stamps, reverse=True) else "shuffled"


def _end(asked: int, page: Seen, asked_week: int, before: Seen, newest: Seen) -> str:
    """Say what an end means, by a minute's page and by a week's: a stamp that is none of its bar's start is rounded."""
    if not page.stamps:
        return f"not seen: {page.outcome}"
    last = max(page.stamps)
    if last > asked:
        return "ignored" if last >= max(newest.stamps) else "later bars than asked for"
    if last < asked:
        return "exclusive"
    return "rounded_down" if before.stamps and max(before.stamps) < asked_week else "inclusive"


def _daily_stamps(weeks: Seen) -> str:
    """Tell by the last full week of a Hong Kong stock what longer bars are stamped with."""
    stamps = sorted(set(weeks.stamps))
    if len(stamps) < 2:  # noqa: PLR2004  # a full one
        return f"not seen: {weeks.outcome}"
    # Weeks that begin or end with holidays are told by the others.
    kinds = [_stamp_kind(datetime.fromtimestamp(stamp, UTC)) for stamp in stamps[:-1]]
    return max(set(kinds), key=kinds.count)


def _stamp_kind(stamp: datetime) -> str:
    if stamp.time().isoformat() == "00:00:00":
        return "utc_midnight" if stamp.weekday() == _MONDAY else "last_date"
    local = stamp.astimezone(ZoneInfo("Asia/Hong_Kong"))
    at = f"{local:%H:%M}"
    if at == "00:00":
        return "local_midnight"
    return "session_open" if at < "12:00" else "session_close"


def _far_end(seen: Seen, end: datetime) -> str:
    if seen.ret not in (None, _OK):
        return "refused"
    if not seen.stamps:
        return f"not seen: {seen.outcome}"
    return "ignored" if max(seen.stamps) > end.timestamp() else "honoured"


def _beyond(seen: Seen, end: datetime) -> str:
    if seen.ret == _TOO_MUCH:
        return "ret_603"
    if seen.ret != _OK:
        return f"not seen: {seen.outcome}"
    if not seen.stamps:
        return "empty"
    newest = max(seen.stamps)
    if newest <= end.timestamp():
        return "older bars"
    return "oldest_page" if seen.now.timestamp() - newest > _WEEK else "not seen: the end was ignored"


def _emptiness(seen: Seen) -> str:
    if "data" not in seen.body:
        return "data missing"
    if seen.body["data"] is None:
        return "data null"
    if not seen.data:
        return "data {}"
    lists = [seen.data[name] for name in ("kline_list", "kline_data") if name in seen.data]
    return "missing" if not lists else "null" if lists[0] is None else "[]"


def _unknown(body: Any) -> Iterator[str]:
    """Name the fields of an answer that no page knows; other names of known ones are among the known."""
    if isinstance(body, dict):
        yield from (name for name in body if name not in _ENVELOPE | {"error_msg"})
        if isinstance(body.get("data"), dict):
            yield from _unknown_in(body["data"], _DATA | {"symbol", "kline_data"}, "data")


def _unknown_in(value: dict[str, Any], known: Iterable[str], where: str) -> Iterator[str]:
    for name, inner in value.items():
        if name not in known:
            yield f"{where}.{name}"
        elif isinstance(inner, list) and name in _LISTS:
            for one in inner[:1]:
                if isinstance(one, dict):
                    yield from _unknown_in(one, _LISTS[name] | {"volumn", "symbol", "kline_list"}, f"{where}.{name}")


def _at(stamp: int) -> datetime:
    return datetime.fromtimestamp(stamp, UTC)
