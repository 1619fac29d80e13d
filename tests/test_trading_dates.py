"""Of daily and longer bars the same call returns the same ones, whatever the server stamps them with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import alltick_frames as at

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

CODES = ("700.HK", "AAPL.US", "600519.SH", "EURUSD", "BTCUSDT")
READINGS = ("utc_midnight", "local_midnight", "session_open", "session_close", "last_date")
# Over the weekend nothing tells that a forex week, or a month whose last date is still running, is over.
UNSURE_AT = {"2026-03-21T12:00Z": ("1w",), "2026-02-28T12:00Z": ("1w", "1mo")}
NOW = "2026-03-18T15:00:30Z"


def prices(table: pa.Table) -> list[dict[str, float]]:
    """Give what tells the bars of one product apart, other than their stamps."""
    rows: list[dict[str, float]] = table.select(["open", "high", "low", "close"]).to_pylist()
    return rows


def dated(server: at.sandbox.Sandbox, code: str, period: str, start: str, end: str) -> pa.Table:
    """Give the server's bars from *start* to before *end*, stamped with the first date of each."""
    server.configure(readings={"daily_stamps": "utc_midnight"})
    return server.bars(code, period, start, end)


@pytest.fixture(params=READINGS)
def reading(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("period", ["1d", "1w", "1mo"])
@pytest.mark.parametrize("code", CODES)
class TestUnderEveryReading:
    def test_a_past_range_has_the_bars_of_its_dates(
        self, server: at.sandbox.Sandbox, client: at.Client, code: str, period: str, reading: str
    ) -> None:
        expected = prices(dated(server, code, period, "2025-11-01", "2026-03-01"))
        server.configure(readings={"daily_stamps": reading})
        assert prices(client.get_kline(code, period, "2025-11-01/2026-02-28", frame="arrow")) == expected
        assert len(expected) in {"1d": range(75, 121), "1w": (16, 17), "1mo": (4,)}[period]

    @pytest.mark.parametrize("now", [NOW, "2026-03-21T12:00Z", "2026-02-28T12:00Z"])
    def test_a_lookback_ends_with_the_same_closed_bar(
        self,
        server: at.sandbox.Sandbox,
        client: at.Client,
        set_clocks: Callable[[str], None],
        code: str,
        period: str,
        reading: str,
        now: str,
    ) -> None:
        set_clocks(now)
        truth = dated(server, code, period, "2025-06-01", "2026-04-01")
        expected = prices(truth.filter(truth["closed"]))
        if code == "EURUSD" and period in UNSURE_AT.get(now, ()):
            expected.pop()
        server.configure(readings={"daily_stamps": reading})
        assert prices(client.get_kline(code, period, ("2025-06-01", None), frame="arrow")) == expected

    def test_what_is_held_is_joined_on_both_sides(
        self,
        server: at.sandbox.Sandbox,
        client: at.Client,
        set_clocks: Callable[[str], None],
        code: str,
        period: str,
        reading: str,
    ) -> None:
        truth = dated(server, code, period, "2024-09-01", "2026-04-01")
        server.configure(readings={"daily_stamps": reading})
        set_clocks("2026-02-03T15:00:30Z")
        client.get_kline(code, period, "2025-11-01/2025-12-31")
        set_clocks(NOW)
        got = client.get_kline(code, period, ("2024-09-01", None), frame="arrow")
        assert prices(got) == prices(truth.filter(truth["closed"]))


@pytest.mark.parametrize("days", ["2022/2024", "2025-12-30/2026-01-02", "2026-03-17/2026-03-17"])
def test_crypto_days_stamped_at_their_close_are_found_near_and_far(
    server: at.sandbox.Sandbox, connect: Callable[..., at.Client], days: str
) -> None:
    expected = connect().get_kline("BTCUSDT", "1d", days, frame="arrow")
    server.configure(readings={"daily_stamps": "session_close"})
    client = connect()
    for _ in range(2):
        assert prices(client.get_kline("BTCUSDT", "1d", days, frame="arrow")) == prices(expected)
    assert expected.num_rows in (1, 4, 3 * 365 + 1)


def test_the_newest_page_is_asked_for_first_to_see_what_crypto_stamps_are(
    server: at.sandbox.Sandbox, client: at.Client
) -> None:
    client.get_kline("BTCUSDT", "1d", "2022-01-01/2022-03-31")
    assert [request["end"] > 0 for request in server.requests()] == [False, True]
