"""When requests may leave: never more than the plan allows, in any window, however they are asked for."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from contextlib import nullcontext, suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import alltick_frames as at
from alltick_frames.budget import Budget, State
from alltick_frames.plans import PLANS, Rate, plan_named

WAITS = st.lists(st.floats(0, 30) | st.just(0.0), min_size=1, max_size=150)


def slots_of(budget: Budget, waits: list[float]) -> list[float]:
    now, slots = 0.0, []
    for wait in waits:
        now += wait
        slots.append(budget.reserve(now))
    return slots


@given(plan=st.sampled_from(sorted(PLANS)), waits=WAITS, jitter=st.floats(0, 0.1), measured=st.booleans())
def test_no_window_wherever_it_begins_holds_more_than_the_plan_allows(
    *, plan: str, waits: list[float], jitter: float, measured: bool
) -> None:
    budget, jitter_s = Budget(PLANS[plan]), jitter * PLANS[plan].kline.seconds
    if measured:
        budget.delayed([0.0, jitter_s] * 25)
    else:
        jitter_s = min(jitter_s, PLANS[plan].margin_s)
    slots = slots_of(budget, waits)
    # The network delays each request a little; what every window is longer than the plan's is there for that.
    arrivals = sorted(slot + jitter_s * (number % 2) for number, slot in enumerate(slots))
    for rate in (PLANS[plan].kline, PLANS[plan].combined, PLANS[plan].minute):
        for first, arrival in enumerate(arrivals):
            inside = bisect_left(arrivals, arrival + rate.seconds - 1e-6) - first
            assert inside <= rate.requests, (rate, arrival)


@given(waits=WAITS)
def test_slots_are_given_in_the_order_of_asking_and_never_in_the_past(waits: list[float]) -> None:
    slots = slots_of(Budget(PLANS["premium"]), waits)
    assert slots == sorted(slots)
    asked = 0.0
    for wait, slot in zip(waits, slots, strict=True):
        asked += wait
        assert slot >= asked


def test_a_burst_leaves_at_the_plans_rate() -> None:
    slots = slots_of(Budget(PLANS["professional"]), [0.0] * 401)
    assert slots[-1] == pytest.approx(400 / 20, rel=0.04)


def test_the_second_request_of_a_free_token_waits_out_the_interval_and_a_margin() -> None:
    assert slots_of(Budget(PLANS["free"]), [0, 0, 0]) == [0.0, 10.5, 21.0]


def test_a_used_up_day_is_an_error_until_it_rolls_over() -> None:
    budget = Budget(plan_named("professional", {"day": (50, 86_400)}))
    slots_of(budget, [0.0] * 50)
    with pytest.raises(at.BudgetError, match=r"50 requests a day are used up; .* returns in 24\.0 hours"):
        budget.reserve(10.0)
    assert budget.reserve(86_400 + 60.5) == 86_460.5


def test_every_pause_is_twice_the_last_until_the_vendor_answers() -> None:
    budget = Budget(PLANS["basic"])
    budget.throttled(0.0)
    assert budget.reserve(0.0) == 1.0
    budget.throttled(2.0)
    assert budget.reserve(2.0) == 4.0
    budget.answered()
    budget.throttled(10.0)
    assert budget.reserve(10.0) == 11.0


def test_several_refusals_of_one_moment_are_one_pause() -> None:
    budget = Budget(PLANS["professional"])
    for _ in range(20):
        budget.throttled(5.0)
    assert budget.reserve(5.0) == 6.0


def test_the_last_slot_can_be_given_back() -> None:
    budget = Budget(PLANS["free"])
    budget.reserve(0.0)
    slot = budget.reserve(0.0)
    budget.give_back(slot)
    assert budget.reserve(0.0) == slot


RATES = st.builds(Rate, st.integers(1, 12), st.sampled_from([0.5, 1.0, 10.0, 60.0]))
WHAT = ["send", "give back", "wake late", "throttled", "jitter", "calm"]
STEPS = st.tuples(st.floats(0, 5) | st.just(0.0), st.sampled_from(WHAT))


@given(kline=RATES, combined=RATES, minute=RATES, steps=st.lists(STEPS, min_size=1, max_size=120))
def test_whatever_happens_no_window_in_either_reading_holds_too_many(
    kline: Rate, combined: Rate, minute: Rate, steps: list[tuple[float, str]]
) -> None:
    plan = plan_named("premium", {"kline": kline, "combined": combined, "minute": minute, "day": (50, 86_400)})
    state, now, sent = State(), 0.0, list[float]()
    with suppress(at.BudgetError):
        for wait, step in steps:
            now += wait
            # As between processes, which hand the state on as bytes.
            state = msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=State)
            budget = Budget(plan, state)
            slot = budget.reserve(now)
            assert slot >= state.paused_until
            if step == "give back" and slot > now:
                budget.give_back(slot)
            elif step == "wake late":
                now = slot + 0.2
                sent.append(budget.reserve(now))
            else:
                sent.append(slot)
            if step == "throttled":
                budget.throttled(now)
            if step in ("jitter", "calm"):
                budget.delayed([0.0, 9.0 * (step == "jitter")] * 25)
    for rate in (kline, combined, minute, plan.day):
        for first, slot in enumerate(sent):
            assert bisect_left(sent, slot + rate.seconds) - first <= rate.requests, (rate, slot)
        assert max(Counter(slot // rate.seconds for slot in sent).values(), default=0) <= rate.requests, rate


def test_the_state_of_a_busy_token_stays_small() -> None:
    budget, now = Budget(PLANS["professional"]), 0.0
    while now < 300:
        now = budget.reserve(now)
        budget.delayed([now])
    assert len(msgspec.msgpack.encode(budget.state)) < 1_500


@pytest.mark.parametrize(
    ("delays", "window_s"),
    [
        ([], 1.025),
        ([0.05, 0.06] * 25, 1.025),
        ([0.05, 0.09] * 25, 1.05),
        ([0.05, 7.05] * 25, 1.1),
        ([0.05] * 45 + [60.0] * 5, 1.025),
        ([0.05] * 44 + [60.0] * 6, 1.1),
        ([0.05, 7.05] * 25 + [0.05] * 46, 1.025),
    ],
    ids=["unknown", "calm", "jitter", "much jitter", "stragglers", "many stragglers", "calm again"],
)
def test_windows_are_longer_by_the_jitter_of_the_last_answers(delays: list[float], window_s: float) -> None:
    budget = Budget(PLANS["basic"])
    for delay in delays:
        budget.delayed([delay])
    assert slots_of(budget, [0.0] * 3) == pytest.approx([0, window_s, 2 * window_s])


def test_after_throttling_requests_are_slower_and_only_slowly_as_fast_again() -> None:
    budget = Budget(PLANS["basic"])

    def interval(now: float) -> float:
        return -(budget.reserve(now) - budget.reserve(now))

    assert interval(0) == pytest.approx(1.025)
    budget.throttled(10)
    assert interval(100) == pytest.approx(1.025 * 1.08, abs=0.01)
    assert interval(310) == pytest.approx(1.025 * 1.05)
    assert interval(3_600) == pytest.approx(1.025, abs=0.001)


def test_a_token_that_is_often_throttled_goes_at_half_its_rate() -> None:
    budget, now = Budget(PLANS["basic"]), 0.0
    for _ in range(50):
        budget.throttled(now)
        budget.answered()
        now = budget.reserve(now)
    assert budget.reserve(now) - now == pytest.approx(2.05, abs=0.01)


@given(waits=st.lists(st.floats(0, 4_000), min_size=1, max_size=150), a_day=st.integers(1, 20))
def test_no_day_wherever_it_begins_holds_more_than_the_plan_allows(waits: list[float], a_day: int) -> None:
    budget = Budget(plan_named("professional", {"day": (a_day, 86_400)}))
    now, slots = 0.0, list[float]()
    for wait in waits:
        now += wait
        with suppress(at.BudgetError):
            slots.append(budget.reserve(now))
    for first, slot in enumerate(slots):
        assert bisect_left(slots, slot + 86_400) - first <= a_day


@given(
    steps=st.lists(st.tuples(st.floats(0, 4_000), st.booleans()), min_size=1, max_size=150),
    a_day=st.integers(1, 20),
)
def test_what_is_left_of_the_day_is_what_can_be_reserved(steps: list[tuple[float, bool]], a_day: int) -> None:
    budget = Budget(plan_named("basic", {"day": (a_day, 86_400)}))
    now, slots = 0.0, list[float]()
    for wait, throttled in steps:
        now += wait
        if throttled:
            budget.throttled(now)
        before = msgspec.msgpack.encode(budget.state)
        left, returns_in = budget.left_today(now), budget.returns_in(now)
        assert msgspec.msgpack.encode(budget.state) == before
        # A minute's requests count until all of it has left the day.
        assert max(0, a_day - sum(slot > now - 86_400 - 61 for slot in slots)) <= left <= a_day
        assert returns_in == 0 if left == a_day else budget.left_today(now + returns_in + 1e-6) > left
        with pytest.raises(at.BudgetError) if left == 0 else nullcontext():
            slots.append(budget.reserve(now))


def test_a_slot_that_is_not_the_last_stays_taken() -> None:
    budget = Budget(PLANS["free"])
    first, second = budget.reserve(0.0), budget.reserve(0.0)
    budget.give_back(first)
    assert budget.reserve(0.0) == second + 10.5


def test_the_longest_pause_is_three_minutes() -> None:
    budget, now = Budget(PLANS["free"]), 0.0
    pauses = []
    for _ in range(7):
        budget.throttled(now)
        slot = budget.reserve(now)
        pauses.append(slot - now)
        now = slot
    assert pauses == [10, 20, 40, 80, 160, 180, 180]


def test_a_figure_of_the_plan_can_be_replaced() -> None:
    plan = plan_named("free", {"kline": (2, 1), "combined": Rate(2, 1), "minute": (100, 60), "margin_s": 0})
    assert slots_of(Budget(plan), [0.0] * 5) == pytest.approx([0, 0.45, 1, 1.45, 2])


def test_a_batch_waits_for_its_own_window_and_holds_up_no_page() -> None:
    plan = plan_named("basic")
    budget = Budget(plan)
    assert budget.opens_in("batch_kline", 0.0) == 0
    assert budget.reserve(0.0, "batch_kline") == 0
    # The next is three seconds later; reserved now, it would make every page before it wait.
    assert budget.opens_in("batch_kline", 0.0) == pytest.approx(3 + plan.margin_s - 1 - plan.margin_s)
    assert budget.opens_in("kline", 0.0) == 0
    page = budget.reserve(0.0)
    assert page == pytest.approx(1 + plan.margin_s)
    assert budget.opens_in("batch_kline", 3.1) == 0
    assert budget.reserve(3.1, "batch_kline") == pytest.approx(3.1)


def test_a_batch_given_back_frees_its_window() -> None:
    budget = Budget(plan_named("professional"))
    first = budget.reserve(0.0, "batch_kline")
    second = budget.reserve(2.0, "batch_kline")
    budget.give_back(second)
    assert budget.opens_in("batch_kline", 1.5) == 0
    assert budget.opens_in("batch_kline", 0.5) == pytest.approx(first + 1.025 - 0.5)
