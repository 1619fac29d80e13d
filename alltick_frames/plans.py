"""What each AllTick plan allows, as data.

Where the vendor's pages contradict each other the cautious reading stands in `PLANS` and the other one in
`CONTRADICTIONS`; `SOURCES` names the page of every figure and when it was read.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Literal

from alltick_frames.errors import ConfigError

__all__ = [
    "CONTRADICTIONS",
    "DEPTH_TOLERANCE",
    "FREE_CODES",
    "PLANS",
    "SOURCES",
    "Contradiction",
    "Endpoint",
    "Plan",
    "Rate",
    "Source",
    "plan_named",
]


_YEAR = timedelta(days=365.25)
# Within a tenth of the depth that is sold, the start of history is the plan's, not the listing's.
DEPTH_TOLERANCE = 0.1


# What a request can be sent to.
Endpoint = Literal[
    "kline",
    "batch_kline",
    "trade_tick",
    "depth_tick",
    "static_info",
    "halts_sse",
    "halts_nyse",
    "halts_nasdaq",
    "stream",
]


@dataclass(frozen=True, slots=True)
class Rate:
    """At most *requests* in any *seconds*."""

    requests: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Plan:
    """One plan's limits per token.

    Attributes
    ----------
    kline
        Requests to `/kline`, and as many to each of `/depth-tick`, `/trade-tick` and `/static_info`.
    batch_kline
        Requests to `/batch-kline`.
    halts
        Requests to each page of `/api/suspension`.
    combined
        Requests to all endpoints together.
    minute, day
        Requests to all endpoints together in a minute and in a day.
    batch_groups
        Pairs of code and period in one request to `/batch-kline`.
    codes
        Codes in one request to `/depth-tick`, `/trade-tick` or `/static_info`; more are silently left out.
    stream
        WebSocket connections opened.
    connections, codes_a_connection
        Of the WebSocket.
    history_years
        Depth of quote-family history that the plan sells; None where the price list only says "about 500 bars".
    margin_s
        The least that is added to every window, so that network jitter does not make two honest requests arrive too
        close; measured jitter adds up to a tenth of the shortest window.
    pause_s
        The first pause after the vendor answers that requests come too fast; it doubles while that goes on.
    """

    name: str
    kline: Rate
    batch_kline: Rate
    halts: Rate
    stream: Rate
    combined: Rate
    minute: Rate
    day: Rate
    batch_groups: int
    codes: int
    connections: int
    codes_a_connection: int
    history_years: int | None
    margin_s: float
    pause_s: float

    @property
    def rates(self) -> tuple[Rate, ...]:
        """All that hold back every request, but for the day's."""
        return self.kline, self.combined, self.minute

    def own_rate(self, endpoint: Endpoint) -> Rate | None:
        """Give the rate that *endpoint* has beside those of all requests together; None if there is no such one."""
        if endpoint == "batch_kline":
            return self.batch_kline
        if endpoint == "stream":
            return self.stream
        return self.halts if endpoint.startswith("halts_") else None

    @property
    def history(self) -> timedelta | None:
        """The depth of quote-family history that the plan sells, "about"."""
        return None if self.history_years is None else self.history_years * _YEAR

    def may_end_after(self, back: timedelta) -> bool:
        """Whether history may end so far back because the plan sells no more."""
        return self.history is not None and back >= (1 - DEPTH_TOLERANCE) * self.history

    def ends_before(self, back: timedelta) -> bool:
        """Whether the plan surely sells nothing so far back."""
        return self.history is not None and back > (1 + DEPTH_TOLERANCE) * self.history

    @property
    def sells(self) -> str:
        """Say what is sold of history."""
        return f"the {self.name} plan sells about {self.history_years} year{'s' if self.history_years != 1 else ''}"


@dataclass(frozen=True, slots=True)
class Source:
    """The vendor's page that states a figure, and the month in which it was read."""

    page: str
    read: str


@dataclass(frozen=True, slots=True)
class Contradiction:
    """What another page of the vendor says about one *figure* of *plan*, and which."""

    plan: str
    figure: str
    says: str
    page: str


_LIMITS = Source("limits tables (interface_limitation)", "2026-07")
_PRICES = Source("price list (pricing)", "2026-08")

SOURCES: Mapping[str, Source] = MappingProxyType(
    {
        **dict.fromkeys(("kline", "batch_kline", "combined", "minute", "day", "batch_groups", "codes"), _LIMITS),
        **dict.fromkeys(("connections", "codes_a_connection"), _LIMITS),
        "stream": Source("Websocket interface", "2026-06"),
        "halts": Source("GET /api/suspension", "2026-07"),
        "history_years": _PRICES,
    }
)

CONTRADICTIONS = (
    Contradiction("free", "day", "14,400", "limits tables before 2026-04-14, Chinese pages of the older site"),
    Contradiction("free", "combined", "one a second", "the endpoints' pages"),
    Contradiction("free", "minute", "10, which one in 10 s never reaches", "every page"),
    Contradiction("free", "batch_groups", "10", "POST /batch-kline"),
    Contradiction("free", "codes", "50 to /depth-tick", "limits tables in Chinese"),
    Contradiction("free", "codes_a_connection", "no order book and no ticks at all", "price list (pricing)"),
    Contradiction("basic", "combined", "two endpoints in the same second", "limits tables in English, the example"),
    Contradiction("all_us", "kline", "no such plan", "limits tables in English"),
)

# "10 fixed demo symbols" (price list, 2026-08); their spelling is from a public client's configuration.
FREE_CODES = ("USDJPY", "GOLD", "USOIL", "BTCUSDT", "HSI.HK", "700.HK", ".DJI.US", "TSLA.US", "000001.SH", "399001.SZ")


def _plan(
    name: str,
    each: tuple[int, float],
    batch_kline: tuple[int, float],
    *,
    a_minute: int,
    a_day: int,
    batch_groups: int,
    codes: int,
    streams: tuple[int, int],
    history_years: int | None,
) -> Plan:
    rate = Rate(*each)
    slow = rate.seconds > 1
    return Plan(
        name=name,
        kline=rate,
        batch_kline=Rate(*batch_kline),
        halts=Rate(1, 60),
        stream=Rate(1, 10 if slow else 3),
        combined=rate,
        minute=Rate(a_minute, 60),
        day=Rate(a_day, 86_400),
        batch_groups=batch_groups,
        codes=codes,
        connections=streams[0],
        codes_a_connection=streams[1],
        history_years=history_years,
        margin_s=0.5 if slow else 0.025,
        pause_s=10 if slow else 1,
    )


def _professional(name: str, history_years: int | None) -> Plan:
    return _plan(
        name,
        (20, 1),
        (1, 1),
        a_minute=1_200,
        a_day=1_728_000,
        batch_groups=500,
        codes=50,
        streams=(10, 3_000),
        history_years=history_years,
    )


PLANS: Mapping[str, Plan] = MappingProxyType(
    {
        plan.name: plan
        for plan in (
            _plan(
                "free",
                (1, 10),
                (1, 10),
                a_minute=6,
                a_day=1_000,
                batch_groups=5,
                codes=5,
                streams=(1, 5),
                history_years=1,
            ),
            _plan(
                "basic",
                (1, 1),
                (1, 3),
                a_minute=60,
                a_day=86_400,
                batch_groups=100,
                codes=50,
                streams=(1, 100),
                history_years=1,
            ),
            # Called "Advanced" on some pages.
            _plan(
                "premium",
                (10, 1),
                (1, 2),
                a_minute=600,
                a_day=864_000,
                batch_groups=200,
                codes=50,
                streams=(3, 200),
                history_years=3,
            ),
            _professional("professional", 5),
            _professional("all_hk", None),
            _professional("all_cn", None),
            _professional("all_us", None),
        )
    }
)

_RATES = ("kline", "batch_kline", "halts", "stream", "combined", "minute", "day")


def plan_named(name: str, limits: Mapping[str, Any] | None = None) -> Plan:
    """Look up a plan; *limits* replaces single figures of it.

    `"share"` scales every rate, for machines that use one token: two of them with 0.5 each.

    Examples
    --------
    >>> plan_named("professional").kline
    Rate(requests=20, seconds=1)
    >>> plan_named("professional", {"minute": (600, 60)}).minute
    Rate(requests=600, seconds=60.0)
    >>> plan_named("premium", {"share": 0.5}).kline, plan_named("free", {"share": 0.5}).kline
    (Rate(requests=5, seconds=1), Rate(requests=1, seconds=20.0))

    Raises
    ------
    ConfigError
        An unknown plan or figure.
    """
    try:
        plan = PLANS[name]
    except KeyError:
        raise ConfigError(f"plan={name!r} is not an AllTick plan; use one of: {' '.join(PLANS)}") from None
    figures = ({field.name for field in dataclasses.fields(Plan)} | {"share"}) - {"name"}
    if limits is not None and not isinstance(limits, Mapping):
        raise ConfigError(f"limits={limits!r} must be a mapping of figures, such as {{'kline': (10, 1)}}")
    changes = dict(limits or {})
    if unknown := sorted(changes.keys() - figures):
        raise ConfigError(f"limits has no figure {unknown[0]!r}; use some of: {' '.join(sorted(figures))}")
    share = _share(changes.pop("share", 1))
    for figure, value in changes.items():
        changes[figure] = _rate(figure, value) if figure in _RATES else _number(figure, value)
    plan = dataclasses.replace(plan, **changes)
    parts: dict[str, Any] = {figure: _part(getattr(plan, figure), share) for figure in _RATES}
    return dataclasses.replace(plan, **parts)


def _part(rate: Rate, share: float) -> Rate:
    """Scale *rate*; of less than one request, the window grows instead."""
    requests = rate.requests * share
    return Rate(int(requests), rate.seconds) if requests >= 1 else Rate(1, rate.seconds / requests)


def _share(value: Any) -> float:
    if isinstance(value, int | float) and 0 < value <= 1:
        return value
    raise ConfigError(f"limits['share']={value!r} must be more than 0 and at most 1")


def _number(figure: str, value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf:
        return value
    raise ConfigError(f"limits[{figure!r}]={value!r} must be a number of 0 or more")


def _rate(figure: str, value: Any) -> Rate:
    if isinstance(value, Rate):
        return value
    try:
        requests, seconds = value
        if requests >= 1 and seconds > 0:
            return Rate(int(requests), float(seconds))
    except (OverflowError, TypeError, ValueError):
        pass
    raise ConfigError(f"limits[{figure!r}]={value!r} must be (requests, seconds), such as (10, 1)")
