"""Every question the protocol leaves open (alltick-api.md sections 11 and 12), as a switch with its answers."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal, get_args, get_type_hints

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Readings", "changed"]


@dataclass(frozen=True, slots=True)
class Readings:
    """How the sandbox reads the open questions. The first value of each is the default."""

    end: Literal["inclusive", "exclusive", "rounded_down", "ignored"] = "inclusive"
    """What ``kline_timestamp_end`` means. Rounded down: to the start of its bar, which is included."""
    stock_end: Literal["ignored", "refused"] = "ignored"
    """A non-zero end for a stock code: the newest page all the same, or an error."""
    unlisted_end: Literal["honoured", "ignored", "refused"] = "honoured"
    """A non-zero end for energy, industrial metals and CFD indices, which one of two pages does not list."""
    beyond_history: Literal["empty", "oldest_page", "ret_603"] = "empty"
    """What lies before the plan's history: no bars, the oldest page whole once more, or a refusal."""
    pages: Literal["full", "short"] = "full"
    """Short: an answer with an end has a third less bars than were asked for, though there are more."""
    surplus: Literal["cut", "ret_603"] = "cut"
    """More bars than a page may have, or more groups or codes than the plan allows: as many as may be, or a refusal."""
    batch_groups: Literal["as_asked", "shuffled", "some_missing"] = "as_asked"
    """The groups in an answer of ``/batch-kline``: in the order asked, in another, or every third left out."""
    batch_bad_code: Literal["refused", "missing"] = "refused"
    """An unknown code among others in ``/batch-kline``: 600 for all of them, or silently missing."""
    symbols_bad_code: Literal["refused", "missing"] = "refused"
    """An unknown code among others asked for ticks or static information: 600 for all of them, or silently missing."""
    symbols_unauthorized: Literal["missing", "refused"] = "missing"
    """A code outside the plan among others asked for ticks: silently missing, as observed, or 604 for all of them."""
    symbols_order: Literal["as_asked", "shuffled"] = "as_asked"
    """The codes in an answer of ticks or static information."""
    index_static: Literal["answered", "missing"] = "answered"
    """Static information of market indices."""
    free_book: Literal["answered", "refused", "missing"] = "answered"
    """Order books on the Free plan, whose price list excludes them: 604, or silently missing."""
    tick_times: Literal["milliseconds", "seconds"] = "milliseconds"
    """``tick_time``: in old samples it has ten digits."""
    otc_direction: Literal[1, 0] = 1
    """The constant ``trade_direction`` of forex, metals, energy and CFD indices."""
    otc_depth_volume: Literal["present", "none"] = "present"
    """Volume in the order books of forex, metals, energy and CFD indices."""
    level_order: Literal["best_first", "worst_first"] = "best_first"
    """The levels of one side of an order book; no page states their order."""
    halt_paging: Literal["full", "paged"] = "full"
    """The halt endpoints: the last year in full whatever is asked for, or pages (of 10 unless ``size`` is sent)."""
    halt_size: Literal["as_asked", "at_most_100"] = "as_asked"
    """How many halts one page can hold."""
    nyse_halt_date: Literal["present", "absent"] = "present"
    """``haltDate`` of the NYSE: in the sample, missing in the table."""
    sheet_delivery: Literal["direct", "redirected"] = "direct"
    """A product sheet: at the address that is asked, or at one that it points to, as Google does."""
    order: Literal["ascending", "descending", "shuffled", "duplicated"] = "ascending"
    """Order of the bars; duplicated repeats the three newest in front, as a 2025 report shows."""
    copies: Literal["equal", "older_first"] = "equal"
    """Of a bar that is sent twice: the same, or first as it was after its first trade and last as it is."""
    fields: Literal["documented", "extra", "renamed"] = "documented"
    """Renamed: as other pages of the vendor have it, ``symbol``, ``kline_data`` and ``volumn``; in static information
    ``code``."""
    prices: Literal["six_decimals", "shortest"] = "six_decimals"
    """With zeros up to six decimals, as recorded, or without."""
    numbers: Literal["strings", "json"] = "strings"
    """Prices, amounts and stamps as documented strings, or as JSON numbers."""
    stamps: Literal["seconds", "milliseconds"] = "seconds"
    """Stamps of bars."""
    daily_stamps: Literal["utc_midnight", "local_midnight", "session_open", "session_close", "last_date"] = (
        "utc_midnight"
    )
    """What 1d, 1w and 1mo bars are stamped with: midnight of the first nominal day (a week's Monday, a
    month's first), or the first session's open, or the last session's close, or its date's midnight in UTC."""
    alignment: Literal["utc", "session"] = "utc"
    """Where 1h, 2h and 4h bars begin: at multiples in UTC, or counted from the opening (stocks: half past;
    the others: 21:00)."""
    forex_volume: Literal["ticks", "none"] = "ticks"
    """Volume of forex, metals, energy and CFD indices in bars and trades: a tick count, or empty."""
    index_volume: Literal["present", "none"] = "present"
    """Volume and turnover of market indices."""
    first_amounts: Literal["present", "empty"] = "present"
    """Volume and turnover of the first bar of a list; empty as a 2025 report shows."""
    empty_volume: Literal["", "null", "missing", "0"] = ""
    """How a volume or turnover that does not exist is written."""
    empty_answer: Literal["[]", "null", "missing", "data {}", "data null", "data missing"] = "[]"
    """How an answer without bars is written."""
    newest_bar: Literal["present", "missing", "twice"] = "present"
    """The newest bar of a newest page (one that was asked for with end 0)."""
    page_maximum: Literal[500, 1000] = 500
    date_header: Literal["present", "absent"] = "present"
    compression: Literal["none", "gzip"] = "none"
    """Gzip: for those who accept it."""
    connections: Literal["kept", "closed"] = "kept"
    """Closed: after every answer."""
    throttled: Literal["http_429", "ret_605", "ret_429"] = "http_429"
    """The answer to a request over the limits: the gateway's, or HTTP 200 with a ``ret``."""
    bad_token: Literal["http_401", "http_200"] = "http_401"  # noqa: S105 - the name of a reading
    bad_request: Literal[400, 201, 202] = 400
    """The ``ret`` of a request whose fields are wrong."""
    unauthorized: Literal[604, 601] = 604
    """The ``ret`` of a code outside the plan; 601 by one page, which elsewhere is an empty body."""
    free_intraday: Literal["answered", "refused"] = "answered"
    """Bars shorter than a day on the Free plan, whose price list excludes real-time ones."""
    refusal_status: Literal[200, 400] = 200
    """The HTTP status of refusals, those of the token and of the limits aside."""


def changed(readings: Readings, changes: Mapping[str, Any]) -> Readings:
    """Return *readings* with *changes*; unknown names are a TypeError, unknown values a ValueError."""
    hints = get_type_hints(Readings)
    names = [field.name for field in fields(Readings)]
    for name, value in changes.items():
        if name not in names:
            raise TypeError(f"readings: {name!r} is not one of {', '.join(names)}")
        allowed = get_args(hints[name])
        if value not in allowed:
            raise ValueError(f"readings: {name}={value!r} is not one of {', '.join(map(repr, allowed))}")
    return replace(readings, **changes)
