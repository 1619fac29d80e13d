"""Many groups kept up to date with the fewest requests, and no gap: `/batch-kline` where it proves enough."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import alltick_frames as at
from tests.conftest import UNHURRIED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    SetClocks = Callable[[str | datetime], None]
    Connect = Callable[..., at.Client]

SHANGHAI = [f"{number}.SH" for number in range(600000, 600300)]
HONG_KONG = ["700.HK", "5.HK", "9988.HK", "1288.HK", "388.HK"]
QUOTES = ["EURUSD", "GBPUSD", "GOLD", "USOIL", "BTCUSDT", "ETHUSDT"]
UNHURRIED_BATCHES = UNHURRIED | {"batch_kline": (1_000, 1)}
EVENING = "2026-03-17T09:30:00Z"  # of a Tuesday in Shanghai and Hong Kong


def truth(server: at.sandbox.Sandbox, codes: Iterable[str], period: str, since: str | datetime) -> pl.DataFrame:
    """Give the server's own closed bars."""
    frames = [
        pl.DataFrame(server.bars(code, period, since))
        .filter("closed")
        .select(pl.lit(code).alias("code"), pl.exclude("closed"))
        for code in codes
    ]
    return pl.concat(frames)


def sent(server: at.sandbox.Sandbox) -> dict[str, int]:
    """Give the number of requests by endpoint, and count from zero."""
    counted: dict[str, int] = server.counters()["endpoints"]
    server.reset()
    return counted


def days(client: at.Client, codes: Sequence[str], bars: int = 5) -> pl.DataFrame:
    return client.get_kline(codes, "1d", bars)


@pytest.fixture(scope="module")
def a_day_old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the archive of 300 codes is copied from once one test has fetched them."""
    return tmp_path_factory.mktemp("a day old") / "archive"


@pytest.fixture
def held(
    a_day_old: Path, tmp_path: Path, server: at.sandbox.Sandbox, connect: Connect, set_clocks: SetClocks
) -> dict[str, Any]:
    """Give the settings of a client that holds 300 codes up to yesterday."""
    if not a_day_old.exists():
        set_clocks(EVENING)
        client = connect(limits=UNHURRIED_BATCHES, cache_dir=tmp_path / "first")
        assert days(client, SHANGHAI).height == 5 * 300
        assert sent(server) == {"kline": 300}
        client.close()
        shutil.copytree(tmp_path / "first", a_day_old)
    shutil.copytree(a_day_old, tmp_path / "held")
    set_clocks("2026-03-18T09:30:00Z")
    return {"cache_dir": tmp_path / "held", "limits": UNHURRIED_BATCHES | {"day": (10_000, 86_400)}}


@pytest.mark.parametrize(("plan", "requests"), [("professional", 1), ("basic", 3), ("free", 60)])
def test_300_codes_a_day_behind_cost_as_many_requests_as_the_plan_has_sets(
    server: at.sandbox.Sandbox, connect: Connect, held: dict[str, Any], plan: str, requests: int
) -> None:
    client = connect(plan=plan, **held)
    if plan != "free":  # which does not have the codes, says the estimate; the sandbox lets it have them
        assert client.estimate_kline(SHANGHAI, "1d", 5).requests[0] == requests
    bars = days(client, SHANGHAI)
    assert sent(server) == {"batch-kline": requests}
    assert bars.height == 5 * 300
    since = bars["timestamp"].min()
    assert isinstance(since, datetime)
    assert_frame_equal(bars, truth(server, SHANGHAI, "1d", since))
    days(client, SHANGHAI)
    assert sent(server) == {}


# Called once a day: in session, before it, after it, and over a weekend.
@pytest.mark.parametrize("hour", [1, 3, 10])
@pytest.mark.parametrize("codes", [SHANGHAI[:20], HONG_KONG], ids=["shanghai", "hong kong"])
def test_a_call_a_day_costs_a_request_a_day_and_leaves_no_gap(
    server: at.sandbox.Sandbox, connect: Connect, set_clocks: SetClocks, hour: int, codes: list[str]
) -> None:
    client = connect(limits=UNHURRIED_BATCHES)
    # From a Monday on; 2026-04-03, -06 and -07 are holidays in Hong Kong, -06 is one in Shanghai.
    begin = datetime(2026, 3, 23, hour, 30, tzinfo=UTC)
    set_clocks(begin)
    days(client, codes)
    sent(server)
    since = client.get_kline(codes[0], "1d", 5, network="never")["timestamp"][0]
    for day in range(1, 23):
        set_clocks(begin + day * timedelta(days=1))
        bars = client.get_kline(codes, "1d", (since, None))
        assert_frame_equal(bars, truth(server, codes, "1d", since))
        requests = sum(sent(server).values())
        holidays_near = day >= 11
        assert requests <= (len(codes) if holidays_near else 1)


@pytest.mark.parametrize("stamps", ["utc_midnight", "local_midnight", "session_open", "session_close", "last_date"])
@pytest.mark.parametrize("period", ["1d", "1w", "1mo"])
def test_days_of_all_markets_are_told_apart_whatever_they_are_stamped_with(
    server: at.sandbox.Sandbox, connect: Connect, set_clocks: SetClocks, stamps: str, period: str
) -> None:
    server.configure(readings={"daily_stamps": stamps})
    client = connect(limits=UNHURRIED_BATCHES)
    codes = [*QUOTES, *HONG_KONG, "AAPL.US", "MSFT.US"]
    begin = datetime(2026, 2, 20, 15, 0, tzinfo=UTC)
    set_clocks(begin)
    held = client.get_kline(codes, period, 20)
    assert sum(sent(server).values()) <= 2 * len(codes)
    oldest = {code: bars["timestamp"][0] for (code,), bars in held.group_by("code")}
    for day in (3, 4, 7, 10, 11):
        set_clocks(begin + timedelta(days=day))
        bars = client.get_kline(codes, period, "2025-01-01/")
        assert sum(sent(server).values()) <= len(codes) + 2 + (len(codes) if day == 3 else 0)
        for code in codes:
            mine = bars.filter(pl.col("code") == code, pl.col("timestamp") >= oldest[code])
            expected = truth(server, [code], period, mine["timestamp"][0])
            # What a market has closed by then is finality's to judge, and nothing in between is missing.
            assert_frame_equal(mine, expected.head(mine.height))
            assert expected.height - mine.height <= 1


READINGS = [
    {"batch_groups": "shuffled"},
    {"batch_groups": "some_missing"},
    {"batch_bad_code": "missing"},
    {"fields": "renamed"},
    {"fields": "extra"},
    {"numbers": "json", "stamps": "milliseconds"},
    {"newest_bar": "missing"},
    {"newest_bar": "twice"},
    {"order": "descending"},
    {"empty_volume": "missing"},
    {"date_header": "absent", "compression": "gzip"},
    {"surplus": "ret_603"},
]


@pytest.mark.parametrize("readings", READINGS, ids=str)
def test_minutes_are_whole_under_every_reading(
    server: at.sandbox.Sandbox, connect: Connect, set_clocks: SetClocks, readings: dict[str, Any]
) -> None:
    server.configure(readings=readings)
    client = connect(limits=UNHURRIED_BATCHES)
    # Of the metals, one minute in seven has no trade; a bar that is withheld must have another after it.
    codes = [*QUOTES, *(["Aluminum", "Zinc", *HONG_KONG] if "newest_bar" not in readings else [])]
    begin = datetime(2026, 3, 18, 7, 0, 10, tzinfo=UTC)
    requests = {"kline": 0, "batch-kline": 0}
    for minute in range(8):
        now = begin + minute * timedelta(minutes=1)
        set_clocks(now)
        bars = client.get_kline(codes, "1m", (begin - timedelta(hours=1), None))
        expected = truth(server, codes, "1m", begin - timedelta(hours=1))
        # Closed for the client is what ended five seconds ago.
        assert_frame_equal(bars, expected.filter(pl.col("timestamp") <= now - timedelta(seconds=65)), check_exact=True)
        for endpoint, count in sent(server).items():
            requests[endpoint] += count if minute else 0
    assert requests["batch-kline"] > 0
    assert requests["kline"] < 7 * len(codes) / 2


def test_two_sets_too_large_for_the_token_are_halved_until_they_are_not(
    server: at.sandbox.Sandbox, connect: Connect, held: dict[str, Any]
) -> None:
    server.configure(plan="basic", readings={"surplus": "ret_603"})
    client = connect(plan="professional", **held)
    bars = days(client, SHANGHAI)
    # 300 are refused, 150 twice; then 75 four times.
    assert sent(server) == {"batch-kline": 7}
    assert bars.group_by("code").len()["len"].to_list() == [5] * 300


def test_one_code_that_is_gone_costs_the_others_few_requests(
    server: at.sandbox.Sandbox, connect: Connect, set_clocks: SetClocks
) -> None:
    client = connect(limits=UNHURRIED_BATCHES)
    codes = [*SHANGHAI[:63], "GONE.SH"]
    set_clocks(EVENING)
    server.replay("GONE.SH", "1d", pl.DataFrame(server.bars("600519.SH", "1d", "2026-03-01")).drop("closed"))
    days(client, codes)
    sent(server)
    server.end_replays()
    set_clocks("2026-03-18T09:30:00Z")
    with pytest.raises(at.IncompleteDataError) as caught:
        days(client, codes)
    assert {(gap.code, gap.reason) for gap in caught.value.missing} == {("GONE.SH", "refused")}
    assert caught.value.frame.filter(pl.col("code") != "GONE.SH").height == 5 * 63
    requests = sent(server)
    # Halved six times; of the last two, each goes on alone.
    assert requests["batch-kline"] <= 1 + 2 * 6
    assert requests["kline"] <= 2


@pytest.mark.parametrize("fault", ["bad_gateway", "garbage", "drop", "not_found", "data_invalid"])
def test_where_the_endpoint_fails_the_bars_come_from_the_other(
    server: at.sandbox.Sandbox, connect: Connect, set_clocks: SetClocks, fault: str
) -> None:
    client = connect(limits=UNHURRIED_BATCHES)
    set_clocks(EVENING)
    days(client, HONG_KONG)
    sent(server)
    set_clocks("2026-03-18T09:30:00Z")
    server.fail_next(3 if fault != "data_invalid" else 1, fault)
    assert days(client, HONG_KONG)["timestamp"].max() == datetime(2026, 3, 18, tzinfo=UTC)
    assert sent(server)["kline"] == len(HONG_KONG)


def test_a_refused_token_ends_the_call(server: at.sandbox.Sandbox, connect: Connect, set_clocks: SetClocks) -> None:
    client = connect(limits=UNHURRIED_BATCHES)
    set_clocks(EVENING)
    days(client, HONG_KONG)
    set_clocks("2026-03-18T09:30:00Z")
    server.fail_next(1, "token_invalid")
    with pytest.raises(at.AuthenticationError) as caught:
        days(client, HONG_KONG)
    assert caught.value.frame.height == 5 * len(HONG_KONG)


def test_the_forming_bar_of_many_codes_costs_one_request(
    server: at.sandbox.Sandbox, connect: Connect, set_clocks: SetClocks
) -> None:
    client = connect(limits=UNHURRIED_BATCHES)
    set_clocks("2026-03-18T07:00:10Z")
    client.get_kline(QUOTES, "1m", "30min")
    sent(server)
    set_clocks("2026-03-18T07:01:10Z")
    bars = client.get_kline(QUOTES, "1m", "30min", forming="keep")
    assert sent(server) == {"batch-kline": 1}
    assert bars.filter(~pl.col("closed"))["timestamp"].to_list() == [datetime(2026, 3, 18, 7, 1, tzinfo=UTC)] * 6


def test_clients_that_want_the_same_news_ask_once(
    server: at.sandbox.Sandbox, connect: Connect, set_clocks: SetClocks
) -> None:
    first = connect(limits=UNHURRIED_BATCHES)
    clients = [first, *(connect(limits=UNHURRIED_BATCHES, cache_dir=first.settings.cache_dir) for _ in range(3))]
    set_clocks(EVENING)
    days(first, SHANGHAI[:50])
    sent(server)
    set_clocks("2026-03-18T09:30:00Z")
    server.configure(latency_ms=300)
    with ThreadPoolExecutor(4) as threads:
        frames = list(threads.map(lambda client: days(client, SHANGHAI[:50]), clients))
    assert sent(server) == {"batch-kline": 1}
    for frame in frames[1:]:
        assert_frame_equal(frame, frames[0])


def test_the_endpoints_own_limit_is_kept_and_holds_up_no_page(
    server: at.sandbox.Sandbox, connect: Connect, set_clocks: SetClocks
) -> None:
    client = connect(limits={"batch_groups": 2})
    set_clocks(EVENING)
    client.update([*HONG_KONG[:4], "EURUSD"], ["1d", "1h"])
    server.configure(limits="count")
    sent(server)
    set_clocks("2026-03-18T09:30:00Z")
    client.update([*HONG_KONG[:4], "EURUSD"], ["1d", "1h"])
    log = server.requests()
    batches = [entry["received"] for entry in log if entry["endpoint"] == "batch-kline"]
    pages = [entry["received"] for entry in log if entry["endpoint"] == "kline"]
    assert len(batches) == 2
    assert batches[1] - batches[0] >= 1
    assert max(pages) < batches[1]
    assert server.violations() == {}
