"""What each AllTick plan allows, as data.

Figures are those of the vendor's pages "interface limitation" and "pricing" as read in 2026-07 and 2026-08.
Where pages contradict each other the cautious reading stands here and the other one in the comment.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from alltick_frames.errors import ConfigError

__all__ = ["PLANS", "Plan", "Rate", "plan_named"]


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
        Requests to `/kline`.
    combined
        Requests to all endpoints together.
    minute, day
        Requests to all endpoints together in a minute and in a day.
    margin_s
        Added to every window, so that network jitter does not make two honest requests arrive too close.
    pause_s
        The first pause after the vendor answers that requests come too fast; it doubles while that goes on.
    history_years
        Depth of quote-family history that the plan sells; None where the price list only says "about 500 bars".
    """

    name: str
    kline: Rate
    combined: Rate
    minute: Rate
    day: Rate
    margin_s: float
    pause_s: float
    history_years: int | None


def _plan(name: str, each: Rate, per_minute: int, per_day: int, history_years: int | None) -> Plan:
    slow = each.seconds > 1
    return Plan(
        name=name,
        kline=each,
        combined=each,
        minute=Rate(per_minute, 60),
        day=Rate(per_day, 86_400),
        margin_s=0.5 if slow else 0.03,
        pause_s=10 if slow else 1,
        history_years=history_years,
    )


_PER_SECOND_20 = Rate(20, 1)

PLANS: Mapping[str, Plan] = MappingProxyType(
    {
        plan.name: plan
        for plan in (
            # Per minute: 10 on every page, 6 by the 10-second rule, which binds. Per day: 14,400 until 2026-04.
            _plan("free", Rate(1, 10), 10, 1_000, 1),
            _plan("basic", Rate(1, 1), 60, 86_400, 1),
            _plan("premium", Rate(10, 1), 600, 864_000, 3),
            _plan("professional", _PER_SECOND_20, 1_200, 1_728_000, 5),
            _plan("all_hk", _PER_SECOND_20, 1_200, 1_728_000, None),
            _plan("all_cn", _PER_SECOND_20, 1_200, 1_728_000, None),
            # Absent from the English limit tables; the Chinese ones give it Professional's figures.
            _plan("all_us", _PER_SECOND_20, 1_200, 1_728_000, None),
        )
    }
)


def plan_named(name: str, limits: Mapping[str, Any] | None = None) -> Plan:
    """Look up a plan; *limits* replaces single figures of it.

    Examples
    --------
    >>> plan_named("professional").kline
    Rate(requests=20, seconds=1)
    >>> plan_named("professional", {"minute": (600, 60)}).minute
    Rate(requests=600, seconds=60.0)

    Raises
    ------
    ConfigError
        An unknown plan or figure.
    """
    try:
        plan = PLANS[name]
    except KeyError:
        raise ConfigError(f"plan={name!r} is not an AllTick plan; use one of: {' '.join(PLANS)}") from None
    figures = {field.name for field in dataclasses.fields(Plan)} - {"name"}
    if limits is not None and not isinstance(limits, Mapping):
        raise ConfigError(f"limits={limits!r} must be a mapping of figures, such as {{'kline': (10, 1)}}")
    changes = dict(limits or {})
    if unknown := sorted(changes.keys() - figures):
        raise ConfigError(f"limits has no figure {unknown[0]!r}; use some of: {' '.join(sorted(figures))}")
    for figure, value in changes.items():
        changes[figure] = _rate(figure, value) if figure in _RATES else _number(figure, value)
    return dataclasses.replace(plan, **changes)


_RATES = ("kline", "combined", "minute", "day")


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
