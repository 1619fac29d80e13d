"""What a call costs is known before it is made, and is not exceeded."""

from __future__ import annotations

import warnings
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

import alltick_frames as at

if TYPE_CHECKING:
    from collections.abc import Callable

    Connect = Callable[..., at.Client]

# Of twenty requests a second and 10 ms, as many walkers follow as on a real plan.
LIKE_A_PLAN = {"kline": (300, 1), "combined": (300, 1), "minute": (18_000, 60)}


@pytest.fixture(autouse=True)
def _at_rest(set_clocks: Callable[[str], None]) -> None:
    set_clocks("2026-03-18T15:00:30Z")


@pytest.mark.parametrize("code", ["EURUSD", "BTCUSDT", "GOLD", "700.HK"])
@pytest.mark.parametrize(
    ("period", "range"), [("1m", "2025-12-01/2026-02-28"), ("1m", "3d"), ("1h", "1y"), ("1d", "2y"), ("15m", 3_000)]
)
def test_no_more_is_sent_and_returned_than_was_said(
    server: at.sandbox.Sandbox, connect: Connect, code: str, period: str, range: Any
) -> None:
    client = connect(limits=LIKE_A_PLAN, on_incomplete="ignore")
    client.get_kline("USDJPY", "1m", "2026-03-16/2026-03-17")  # shows the latency
    server.reset()
    estimate = client.estimate_kline(code, period, range)
    assert server.counters()["requests"] == 0
    frame = client.get_kline(code, period, range)
    sent = server.counters()["requests"]
    assert estimate.requests[0] <= sent <= estimate.requests[1]
    assert frame.height <= estimate.bars[1]
    if code != "700.HK" or period == "1d":
        assert estimate.bars[0] <= frame.height
    # Then all is held, and costs nothing.
    again = client.estimate_kline(code, period, range)
    assert (again.requests, again.seconds) == ((0, 0), (0, 0))
    assert again.bars == (frame.height, frame.height)
    assert again.held == (1 if frame.height else 0)


@pytest.mark.parametrize("code", ["EURUSD", "BTCUSDT"])
def test_a_year_of_minutes_is_known_within_a_twentieth(server: at.sandbox.Sandbox, connect: Connect, code: str) -> None:
    client = connect(limits=LIKE_A_PLAN)
    estimate = client.estimate_kline(code, "1m", "2025-03-01/2026-02-28")
    frame = client.get_kline(code, "1m", "2025-03-01/2026-02-28")
    sent = server.counters()["requests"]
    assert sent <= estimate.requests[1] <= 1.05 * sent
    assert frame.height <= estimate.bars[1] <= 1.05 * frame.height


def test_what_is_held_costs_nothing(connect: Connect) -> None:
    client = connect(limits=LIKE_A_PLAN)
    client.get_kline("BTCUSDT", "1m", "2026-03-10/2026-03-16")
    estimate = client.estimate_kline("BTCUSDT", "1m", "2026-03-03/2026-03-16")
    assert estimate.held == pytest.approx(0.5, abs=0.03)
    assert estimate.requests == (19, 20 + 10)  # ten cuts can cost a request each


class TestWhatIsSaid:
    def test_it_prints_as_a_table(self, connect: Connect) -> None:
        client = connect(limits=None)
        assert repr(client.estimate_kline(["EURUSD", "BTCUSDT"], "1m", "2025-01-01/2025-12-31")).splitlines() == [
            "EURUSD, BTCUSDT 1m on the professional plan",
            "  requests   1,712 to 1,839",
            "  bars       855,604 to 901,440",
            "  time       85.8 to 95.0 seconds",
            "  allowance  1,728,000 of 1,728,000 requests left today",
        ]

    def test_a_notebook_shows_it_as_one(self, connect: Connect) -> None:
        shown = connect().estimate_kline("EURUSD", "1d", "2y")._repr_html_()
        assert shown.startswith("<table><caption>EURUSD 1d on the professional plan</caption><tr><th")
        assert "requests" in shown

    def test_many_codes_are_not_all_named(self, connect: Connect) -> None:
        codes = [f"{number}.HK" for number in range(1, 41)]
        estimate = connect().estimate_kline(codes, "1m", "1y")
        lines = repr(estimate).splitlines()
        assert lines[0] == "1.HK, 2.HK, 3.HK, 4.HK, 5.HK and 35 more 1m on the professional plan"
        assert lines[-1] == "  out of reach  and 35 spans more"
        assert len(estimate.missing) == 40
        assert estimate.requests == (40, 80)

    @pytest.mark.parametrize(
        ("plan", "code", "period", "range", "reasons"),
        [
            ("professional", "700.HK", "1m", "30d", ["beyond_reach"]),
            ("professional", "700.HK", "1d", "1y", []),
            ("professional", "EURUSD", "1d", "3y", []),
            ("professional", "EURUSD", "1d", "max", []),
            ("free", "GOLD", "1d", "3y", ["beyond_plan"]),
            ("free", "EURUSD", "1d", "1mo", ["refused"]),
        ],
    )
    def test_what_is_out_of_reach_is_named(
        self, connect: Connect, plan: str, code: str, period: str, range: str, reasons: list[str]
    ) -> None:
        estimate = connect(plan=plan).estimate_kline(code, period, range)
        assert [gap.reason for gap in estimate.missing] == reasons

    def test_a_hole_that_is_known_is_named(
        self, server: at.sandbox.Sandbox, connect: Connect, set_clocks: Callable[[str], None]
    ) -> None:
        client = connect(on_incomplete="ignore")
        set_clocks("2026-03-10T15:00:30Z")
        client.get_kline("AAPL.US", "1m", "5d")
        set_clocks("2026-03-17T15:00:30Z")
        client.get_kline("AAPL.US", "1m", "12d")
        assert "lost" in {gap.reason for gap in client.estimate_kline("AAPL.US", "1m", "12d").missing}

    def test_it_needs_no_token(self, connect: Connect) -> None:
        assert connect(token=None).estimate_kline("EURUSD", "1h", "7d").requests == (1, 1)

    def test_others_share_the_day(self, connect: Connect) -> None:
        client = connect(limits={**LIKE_A_PLAN, "day": (100, 86_400)})
        client.get_kline("EURUSD", "1h", "7d")
        estimate = connect(limits={**LIKE_A_PLAN, "day": (100, 86_400)}).estimate_kline("EURUSD", "1m", "2mo")
        assert estimate.left_today == 99
        assert not estimate.suffices
        assert estimate.days == 2
        assert repr(estimate).splitlines()[-2:] == [
            f"  time       {estimate.time}",
            "  allowance  99 of 100 requests left today",
        ]
        assert estimate.time.endswith(" seconds of sending, over 2 days")


class TestMaxWait:
    @pytest.mark.parametrize("max_wait", [60, 60.0, timedelta(minutes=1)])
    def test_what_takes_longer_is_refused_before_anything_is_sent(
        self, server: at.sandbox.Sandbox, connect: Connect, max_wait: float | timedelta
    ) -> None:
        client = connect(plan="free", limits=None)
        with pytest.raises(at.BudgetError) as caught:
            client.get_kline("BTCUSDT", "1m", "7d", max_wait=max_wait)
        assert str(caught.value) == (
            "max_wait=60 s does not suffice: BTCUSDT 1m takes 20 to 21 requests and 3.2 to 3.7 minutes on the free "
            "plan; 1,000 of 1,000 requests left today. Nothing was sent; ask for less, or for a longer wait"
        )
        assert server.counters()["requests"] == 0

    def test_what_does_not_is_fetched_without_a_word(self, connect: Connect) -> None:
        client = connect(plan="free", limits=None)
        assert client.get_kline("BTCUSDT", "1h", "7d", max_wait=60).height == 7 * 24

    def test_what_is_held_takes_no_time(self, connect: Connect) -> None:
        client = connect()
        frame = client.get_kline("BTCUSDT", "1h", "7d")
        assert client.get_kline("BTCUSDT", "1h", "7d", max_wait=0).equals(frame)

    def test_a_wait_until_tomorrow_is_longer_than_any(self, connect: Connect) -> None:
        client = connect(limits={**LIKE_A_PLAN, "day": (5, 86_400)})
        with pytest.raises(at.BudgetError, match="max_wait=3,600 s does not suffice"):
            client.get_kline("BTCUSDT", "1m", "7d", max_wait=timedelta(hours=1))


class TestALongWait:
    def test_it_is_said_at_once(self, connect: Connect) -> None:
        client = connect(plan="free", limits=None)

        def stop(_done: int, _total: int, _eta: float) -> None:
            raise KeyboardInterrupt

        with pytest.warns(at.LongWaitWarning) as told, pytest.raises(KeyboardInterrupt):
            client.get_kline("BTCUSDT", "1m", "7d", progress=stop)
        assert str(told[0].message) == (
            "BTCUSDT 1m takes 20 to 21 requests and 3.2 to 3.7 minutes on the free plan; 1,000 of 1,000 requests left "
            "today. It should end by 2026-03-18 15:04Z"
        )

    def test_a_short_one_is_not_spoken_of(self, connect: Connect) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            connect(limits=None).get_kline("BTCUSDT", "1m", "7d")
