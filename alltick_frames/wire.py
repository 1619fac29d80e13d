"""One request as data, and what an answer's status and `ret` mean.

The vendor's spellings live here and in `decode`. Nothing here knows the token: `transport` adds it last.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar, Literal
from urllib.parse import quote

import msgspec

from alltick_frames.codes import family_of, hint_for
from alltick_frames.errors import RET_CODES, ApiError, RateLimitError, TransportError, UnknownCodeError
from alltick_frames.periods import Period
from alltick_frames.plans import FREE_CODES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from alltick_frames.errors import AllTickError
    from alltick_frames.plans import Endpoint

__all__ = [
    "PAGE_BARS",
    "Answer",
    "BatchRequest",
    "Exchange",
    "Group",
    "HaltsRequest",
    "KlineRequest",
    "Request",
    "SymbolsEndpoint",
    "SymbolsRequest",
    "api_error",
    "excerpt",
    "new_trace",
    "refusal",
]

# "1 to 500; more is silently treated as 500" (vendor page "GET /kline", since 2025-07-11).
PAGE_BARS = 500
# "1 or 2" (vendor page "POST /batch-kline").
_BATCH_BARS = 2

# A code and a period: what `/batch-kline` counts as a group.
Group = tuple[str, Period]
# What takes a list of codes.
SymbolsEndpoint = Literal["trade_tick", "depth_tick", "static_info"]
# Those whose halts are told of: there is no page of Shenzhen's or Hong Kong's.
Exchange = Literal["sse", "nyse", "nasdaq"]
_HALTS_OF: Mapping[str, Endpoint] = {"sse": "halts_sse", "nyse": "halts_nyse", "nasdaq": "halts_nasdaq"}

# A whole bar fits; whatever else a server sends must not fill messages and logs.
_EXCERPT = 400
_NAMED_AT_MOST = 5

_OK = 200
_UNAUTHORISED = 401
_TOO_MANY = 429
_FIRST_REDIRECT, _FIRST_CLIENT_ERROR, _FIRST_SERVER_ERROR = 300, 400, 500


class _Query:
    """A request whose envelope travels as the parameter `query`."""

    __slots__ = ()

    method: ClassVar = "GET"
    patience: ClassVar = 1

    def envelope(self, trace: str) -> bytes:
        """Make the compact JSON."""
        raise NotImplementedError

    def parameters(self, trace: str) -> str:
        """Give what follows the token in the URL."""
        return f"&query={quote(self.envelope(trace), safe='')}"

    def body(self, _trace: str) -> bytes | None:
        """Give the body, if there is one."""
        return None


@dataclass(frozen=True, slots=True)
class KlineRequest(_Query):
    """GET `/kline`: the newest *count* bars of *code*, or those at or before *end*.

    `adjust_type` is always 0: the API offers nothing else.
    """

    code: str
    period: Period
    end: datetime | None = None
    count: int = PAGE_BARS

    endpoint: ClassVar[Endpoint] = "kline"

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes that are asked for."""
        return (self.code,)

    @property
    def path(self) -> str:
        """The path below the host."""
        return f"/{family_of(self.code).value}/kline"

    def envelope(self, trace: str) -> bytes:
        """Make the compact JSON that travels as the `query` parameter."""
        end = 0 if self.end is None else int(self.end.timestamp())
        return _envelope(trace, _asked(self.code, self.period, end, self.count))


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """POST `/batch-kline`: the newest two bars of each of *groups*, which are of one family."""

    groups: tuple[Group, ...]

    method: ClassVar = "POST"
    endpoint: ClassVar[Endpoint] = "batch_kline"
    patience: ClassVar = 1

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes that are asked for."""
        return tuple(dict.fromkeys(code for code, _ in self.groups))

    @property
    def path(self) -> str:
        """The path below the host."""
        return f"/{family_of(self.groups[0][0]).value}/batch-kline"

    def parameters(self, _trace: str) -> str:
        """Give what follows the token in the URL: nothing."""
        return ""

    def body(self, trace: str) -> bytes | None:
        """Make the JSON that travels as the body."""
        return _envelope(trace, {"data_list": [_asked(*group, 0, _BATCH_BARS) for group in self.groups]})


@dataclass(frozen=True, slots=True)
class SymbolsRequest(_Query):
    """GET `/trade-tick`, `/depth-tick` or `/static_info`: the latest of each of *codes*, which are of one family."""

    endpoint: SymbolsEndpoint
    codes: tuple[str, ...]

    @property
    def path(self) -> str:
        """The path below the host."""
        return f"/{family_of(self.codes[0]).value}/{_SYMBOLS_PATHS[self.endpoint]}"

    def envelope(self, trace: str) -> bytes:
        """Make the compact JSON that travels as the `query` parameter."""
        return _envelope(trace, {"symbol_list": [{"code": code} for code in self.codes]})


@dataclass(frozen=True, slots=True)
class HaltsRequest:
    """GET `/api/suspension/{exchange}`: halts and resumptions, newest first; all of them, or a *page* of *size*."""

    exchange: Exchange
    page: int | None = None
    size: int | None = None

    method: ClassVar = "GET"
    # "Use a long read timeout" (vendor page "GET /api/suspension").
    patience: ClassVar = 2
    codes: ClassVar[tuple[str, ...]] = ()

    @property
    def endpoint(self) -> Endpoint:
        """Each exchange's page has a limit of its own."""
        return _HALTS_OF[self.exchange]

    @property
    def path(self) -> str:
        """The path below the host."""
        return f"/api/suspension/{self.exchange}"

    def parameters(self, _trace: str) -> str:
        """Give what follows the token in the URL; this endpoint knows neither `query` nor `trace`."""
        given = {"page": self.page, "size": self.size}
        return "".join(f"&{name}={value}" for name, value in given.items() if value is not None)

    def body(self, _trace: str) -> bytes | None:
        """Give the body: there is none."""
        return None


_SYMBOLS_PATHS: Mapping[SymbolsEndpoint, str] = {
    "trade_tick": "trade-tick",
    "depth_tick": "depth-tick",
    "static_info": "static_info",
}

Request = KlineRequest | BatchRequest | SymbolsRequest | HaltsRequest


def _asked(code: str, period: Period, end: int, count: int) -> dict[str, str | int]:
    return {
        "code": code,
        "kline_type": period.vendor_number,
        "kline_timestamp_end": end,
        "query_kline_num": count,
        "adjust_type": 0,
    }


def _envelope(trace: str, data: object) -> bytes:
    return msgspec.json.encode({"trace": trace, "data": data})


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one request.

    Attributes
    ----------
    trace
        The identifier this client gave the request; the vendor's support asks for it.
    asked_at, date
        Our clock when it was sent, and the server's from its `Date` header, if it sent one.
    """

    status: int
    body: bytes
    trace: str
    asked_at: datetime
    date: datetime | None

    @property
    def server_now(self) -> datetime:
        """The earlier of our clock and the server's: a bar is not called closed on a clock that runs ahead."""
        return self.asked_at if self.date is None else min(self.asked_at, self.date)

    @property
    def skew(self) -> timedelta:
        """How far the server's clock is ahead of ours, as far as is known."""
        return timedelta() if self.date is None else self.date - self.asked_at


def new_trace() -> str:
    """Make an identifier for one request; the API allows 64 characters."""
    return f"alltick-frames-{uuid.uuid4()}"


def excerpt(text: str) -> str:
    """Cut what the server sent to what a message may hold of it."""
    return text if len(text) <= _EXCERPT else f"{text[:_EXCERPT]}…"


def refusal(answer: Answer, codes: Sequence[str]) -> AllTickError | None:
    """Judge *answer* by its HTTP status alone; None leaves the verdict to the body.

    Status and `ret` need not agree, so 400 and the like are left to the body, which says why.
    """
    if answer.status == _TOO_MANY:
        return api_error(_TOO_MANY, "Too many requests", answer.trace, codes)
    if answer.status == _UNAUTHORISED:
        return api_error(_UNAUTHORISED, "token refused", answer.trace, codes)
    if _FIRST_REDIRECT <= answer.status < _FIRST_CLIENT_ERROR:
        return TransportError(
            f"the server answered with a redirect (HTTP {answer.status}), which is refused because the token "
            f"would travel along; check base_url (trace {answer.trace})",
            transient=False,
        )
    if answer.status >= _FIRST_SERVER_ERROR:
        return TransportError(f"the server answered HTTP {answer.status} (trace {answer.trace})")
    return None


_ADVICE = {
    401: "the token is wrong, missing or expired; check ALLTICK_TOKEN against the vendor's dashboard",
    402: "the request was not understood; this is a fault of alltick_frames, please report it with the trace",
    601: "your plan does not include it",
    603: "your plan does not allow that much; see the vendor's limits page",
    604: f"your plan does not include it (the Free plan has {' '.join(FREE_CODES)})",
}
_BAD_REQUEST = frozenset({201, 202, 400})


def api_error(ret: int, msg: str, trace: str, codes: Sequence[str]) -> ApiError:
    """Make the typed error for an answer's `ret`."""
    kind = RET_CODES.get(ret, ApiError)
    about = f" for {', '.join(codes[:_NAMED_AT_MOST])}" if codes else ""
    if len(codes) > _NAMED_AT_MOST:
        about += f" and {len(codes) - _NAMED_AT_MOST} more"
    if kind is UnknownCodeError:
        advice = "; ".join(dict.fromkeys(hint_for(code) for code in codes[:_NAMED_AT_MOST]))
    elif kind is RateLimitError:
        advice = "requests came faster than the plan allows; is another machine using this token?"
    elif ret in _BAD_REQUEST:
        advice = _ADVICE[402]
    else:
        advice = _ADVICE.get(ret, "an answer the API's pages do not list")
    return kind(
        f"AllTick refused the request{about}: ret {ret} ({excerpt(msg)}); {advice} (trace {trace})",
        ret=ret,
        msg=msg,
        trace=trace,
        codes=codes,
    )
