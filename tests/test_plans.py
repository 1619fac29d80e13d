"""What each plan allows, and replacing single figures of it."""

from __future__ import annotations

from typing import Any

import pytest

import alltick_frames as at
from alltick_frames.plans import PLANS, Rate, plan_named

# (plan, requests to an endpoint, in seconds, a minute, a day, years of history), as on the vendor's pages
FIGURES = [
    ("free", 1, 10, 6, 1_000, 1),
    ("basic", 1, 1, 60, 86_400, 1),
    ("premium", 10, 1, 600, 864_000, 3),
    ("professional", 20, 1, 1_200, 1_728_000, 5),
    ("all_hk", 20, 1, 1_200, 1_728_000, None),
    ("all_cn", 20, 1, 1_200, 1_728_000, None),
    ("all_us", 20, 1, 1_200, 1_728_000, None),
]


@pytest.mark.parametrize(
    ("name", "requests", "seconds", "minute", "day", "years"), FIGURES, ids=[row[0] for row in FIGURES]
)
def test_a_plan_allows(name: str, requests: int, seconds: int, minute: int, day: int, years: int | None) -> None:
    plan = plan_named(name)
    assert plan.kline == plan.combined == Rate(requests, seconds)
    assert (plan.minute, plan.day) == (Rate(minute, 60), Rate(day, 86_400))
    assert (plan.name, plan.history_years) == (name, years)


def test_there_are_no_other_plans() -> None:
    assert list(PLANS) == [row[0] for row in FIGURES]


@pytest.mark.parametrize("plan", PLANS.values(), ids=list(PLANS))
def test_every_window_has_a_margin(plan: at.Plan) -> None:
    assert plan.margin_s >= 0.02
    assert plan.pause_s >= plan.kline.seconds


@pytest.mark.parametrize("name", ["Free", "pro", "", "all-hk", "enterprise"])
def test_an_unknown_plan_is_refused_with_the_names(name: str) -> None:
    with pytest.raises(at.ConfigError) as caught:
        plan_named(name)
    assert str(caught.value) == (
        f"plan={name!r} is not an AllTick plan; use one of: free basic premium professional all_hk all_cn all_us"
    )


def test_limits_replace_the_figures_they_name_and_no_others() -> None:
    plan = plan_named("premium", {"minute": [300, 60], "history_years": 2})
    assert (plan.minute, plan.history_years) == (Rate(300, 60), 2)
    assert (plan.kline, plan.day, plan.margin_s) == (PLANS["premium"].kline, PLANS["premium"].day, 0.03)
    assert PLANS["premium"].minute == Rate(600, 60)


@pytest.mark.parametrize("limits", [None, {}])
def test_without_limits_the_plan_is_as_sold(limits: dict[str, Any] | None) -> None:
    assert plan_named("basic", limits) == PLANS["basic"]


@pytest.mark.parametrize(
    "rate", [(0, 1), (1, 0), (-1, 1), (1,), (1, 2, 3), 5, None, "fast", (float("nan"), 1), (float("inf"), 1)], ids=repr
)
@pytest.mark.parametrize("figure", ["kline", "combined", "minute", "day"])
def test_a_figure_that_is_no_rate_is_refused(figure: str, rate: Any) -> None:
    with pytest.raises(at.ConfigError) as caught:
        plan_named("free", {figure: rate})
    assert str(caught.value) == f"limits[{figure!r}]={rate!r} must be (requests, seconds), such as (10, 1)"


@pytest.mark.parametrize("figure", ["name", "hourly", 3])
def test_a_figure_that_plans_do_not_have_is_refused_with_those_they_have(figure: Any) -> None:
    with pytest.raises(at.ConfigError) as caught:
        plan_named("free", {figure: (1, 1)})
    assert str(caught.value) == (
        f"limits has no figure {figure!r}; use some of: batch_groups batch_kline codes codes_a_connection combined "
        "connections day halts history_years kline margin_s minute pause_s share"
    )


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ([1, 2], "limits=[1, 2] must be a mapping of figures, such as {'kline': (10, 1)}"),
        ({"margin_s": "a"}, "limits['margin_s']='a' must be a number of 0 or more"),
        ({"pause_s": -1}, "limits['pause_s']=-1 must be a number of 0 or more"),
    ],
    ids=str,
)
def test_a_figure_that_is_none_is_refused(limits: Any, message: str) -> None:
    with pytest.raises(at.ConfigError) as caught:
        plan_named("basic", limits)
    assert str(caught.value) == message
