"""Every question the protocol leaves open (alltick-api.md section 11), as a switch with its answers."""

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
    order: Literal["ascending", "descending", "shuffled", "duplicated"] = "ascending"
    """Order of the bars; duplicated repeats the three newest in front, as a 2025 report shows."""
    numbers: Literal["strings", "json"] = "strings"
    """Prices, amounts and stamps as documented strings, or as JSON numbers."""
    stamps: Literal["seconds", "milliseconds"] = "seconds"
    daily_stamps: Literal["utc_midnight", "local_midnight", "session_open", "session_close"] = "utc_midnight"
    """What 1d, 1w and 1mo bars are stamped with: midnight of the first nominal day (a week's Monday, a
    month's first), or the first session's open, or the last session's close."""
    forex_volume: Literal["ticks", "none"] = "ticks"
    """Volume of forex, metals, energy and CFD indices: a tick count, or empty."""
    empty_volume: Literal["", "null", "missing", "0"] = ""
    """How a volume or turnover that does not exist is written."""
    empty_answer: Literal["[]", "null", "missing", "data {}", "data null", "data missing"] = "[]"
    """How an answer without bars is written."""
    newest_bar: Literal["present", "missing", "twice"] = "present"
    """The newest bar of a newest page (one that was asked for with end 0)."""
    page_maximum: Literal[500, 1000] = 500
    date_header: Literal["present", "absent"] = "present"
    throttled: Literal["http_429", "ret_605", "ret_429"] = "http_429"
    """The answer to a request over the limits: the gateway's, or HTTP 200 with a ``ret``."""
    bad_token: Literal["http_401", "http_200"] = "http_401"  # noqa: S105 - the name of a reading
    bad_request: Literal[400, 201, 202] = 400
    """The ``ret`` of a request whose fields are wrong."""


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
