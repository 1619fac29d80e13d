"""What each plan allows, and replacing single figures of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

import alltick_frames as at
from alltick_frames.plans import CONTRADICTIONS, FREE_CODES, PLANS, SOURCES, Plan, Rate, plan_named
from alltick_frames.sandbox.products import DEMO_CODES

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
    assert (plan.kline, plan.day, plan.margin_s) == (PLANS["premium"].kline, PLANS["premium"].day, 0.025)
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
        "connections day halts history_years kline margin_s minute pause_s share stream"
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


def test_every_figure_of_the_vendors_has_its_page_and_date() -> None:
    ours = {"name", "margin_s", "pause_s"}
    assert set(SOURCES) | ours == {field.name for field in dataclasses.fields(Plan)}
    assert {(each.plan in PLANS, each.figure in SOURCES) for each in CONTRADICTIONS} == {(True, True)}


def test_the_free_plans_codes_are_those_of_the_sandbox() -> None:
    assert set(FREE_CODES) == DEMO_CODES


# (plan, requests to /batch-kline, in seconds, groups in one, codes in one request, connections, codes on one)
SIZES = [
    ("free", 1, 10, 5, 5, 1, 5),
    ("basic", 1, 3, 100, 50, 1, 100),
    ("premium", 1, 2, 200, 50, 3, 200),
    ("professional", 1, 1, 500, 50, 10, 3_000),
    ("all_hk", 1, 1, 500, 50, 10, 3_000),
    ("all_cn", 1, 1, 500, 50, 10, 3_000),
    ("all_us", 1, 1, 500, 50, 10, 3_000),
]


@pytest.mark.parametrize("row", SIZES, ids=[row[0] for row in SIZES])
def test_a_plan_allows_as_much_at_once(row: tuple[str, int, int, int, int, int, int]) -> None:
    plan = PLANS[row[0]]
    assert (plan.batch_kline, plan.halts) == (Rate(row[1], row[2]), Rate(1, 60))
    assert (plan.batch_groups, plan.codes, plan.connections, plan.codes_a_connection) == row[3:]


@pytest.mark.parametrize(
    ("plan", "kline", "minute", "day"),
    [
        ("professional", Rate(10, 1), Rate(600, 60), Rate(864_000, 86_400)),
        ("basic", Rate(1, 2), Rate(30, 60), Rate(43_200, 86_400)),
        ("free", Rate(1, 20), Rate(3, 60), Rate(500, 86_400)),
    ],
)
def test_half_a_plan_for_each_of_two_machines(plan: str, kline: Rate, minute: Rate, day: Rate) -> None:
    half = plan_named(plan, {"share": 0.5})
    assert (half.kline, half.combined, half.minute, half.day) == (kline, kline, minute, day)
    assert half.batch_groups == PLANS[plan].batch_groups


@pytest.mark.parametrize("share", [0, -1, 2, "half", None, float("nan")])
def test_a_share_is_a_part_of_one(share: Any) -> None:
    with pytest.raises(at.ConfigError) as caught:
        plan_named("basic", {"share": share})
    assert str(caught.value) == f"limits['share']={share!r} must be more than 0 and at most 1"
