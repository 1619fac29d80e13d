"""A watch passes on each bar once, as it closes, whatever happens in between."""

from __future__ import annotations

import asyncio
import http.server
import itertools
import json
import threading
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import alltick_frames as at
from alltick_frames import api, attempts, cli, clocks, finality
from alltick_frames.periods import Period
from alltick_frames.plans import PLANS
from alltick_frames.watching import Watch, warned
from tests.conftest import UNHURRIED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOW = datetime(2026, 3, 18, 15, 0, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
UNHURRIED_BATCHES = UNHURRIED | {"batch_kline": (1_000, 1)}


class Wall:
    """The clock on the wall of client and server, which jumps to when a nap ends, or beyond."""

    def __init__(self, server: at.sandbox.Sandbox, set_clocks: Callable[[datetime], None]) -> None:
        self.server, self.set = server, set_clocks
        self.oversleeps: dict[int, timedelta] = {}
        self.naps = 0

    def jump(self, until: datetime) -> Iterator[float]:
        self.naps += 1
        self.set(until + self.oversleeps.get(self.naps, timedelta()))
        return iter(())


@pytest.fixture
def wall(server: at.sandbox.Sandbox, set_clocks: Callable[[datetime], None], monkeypatch: pytest.MonkeyPatch) -> Wall:
    set_clocks(NOW)
    wall = Wall(server, set_clocks)
    monkeypatch.setattr(clocks, "naps", wall.jump)
    return wall


@pytest.fixture
def watcher(connect: Callable[..., at.Client]) -> at.Client:
    return connect(limits=UNHURRIED_BATCHES)


def truth(server: at.sandbox.Sandbox, code: str, period: str, since: datetime) -> list[tuple[Any, ...]]:
    return list(pl.DataFrame(server.bars(code, period, since)).filter("closed").drop("closed").rows())


def of(bars: list[at.Bar], code: str) -> list[tuple[Any, ...]]:
    return [tuple(bar[2:]) for bar in bars if bar.code == code]


def test_each_bar_comes_once_as_it_closes_at_one_request_a_family(
    server: at.sandbox.Sandbox, wall: Wall, watcher: at.Client
) -> None:
    codes = ["BTCUSDT", "EURUSD", "AAPL.US"]
    bars = list(itertools.islice(watcher.watch_kline(codes, "1m"), 30))
    for code in codes:
        assert of(bars, code) == truth(server, code, "1m", NOW - 30 * timedelta(seconds=1))
    assert len(bars) == 30
    # The first look and ten more, each of two families.
    assert server.counters()["endpoints"] == {"batch-kline": 2 * 11}


def test_a_minute_without_a_trade_is_known_by_the_next_and_costs_no_page(
    server: at.sandbox.Sandbox, wall: Wall, watcher: at.Client
) -> None:
    """A fifth of the minutes of these coins have no trade: only where two in a row have none, a page is asked for."""
    codes = [f"C{number}USDT" for number in range(40)]
    bars = list(itertools.islice(watcher.watch_kline(codes, "1m"), 360))
    for code in codes[:5]:
        assert of(bars, code) == truth(server, code, "1m", NOW - 30 * timedelta(seconds=1))[: len(of(bars, code))]
    looks = server.counters()["endpoints"]["batch-kline"] - 1
    assert len(codes) * looks - len(bars) > 50
    assert server.counters()["endpoints"]["kline"] < 0.4 * (len(codes) * looks - len(bars))


def test_what_it_passed_on_is_in_the_archive(wall: Wall, watcher: at.Client) -> None:
    bars = list(itertools.islice(watcher.watch_kline("BTCUSDT", "1m"), 5))
    held = watcher.get_kline("BTCUSDT", "1m", (bars[0].timestamp, bars[-1].timestamp + MINUTE), network="never")
    assert held.drop("code").rows() == of(bars, "BTCUSDT")


def test_one_code_is_watched_by_its_newest_two_bars(server: at.sandbox.Sandbox, wall: Wall, watcher: at.Client) -> None:
    list(itertools.islice(watcher.watch_kline("BTCUSDT", "5m"), 4))
    assert server.counters()["endpoints"] == {"batch-kline": 5}


@pytest.mark.parametrize("period", ["1m", "4h", "1d"])
def test_what_a_laptop_slept_through_is_passed_on_in_order(
    server: at.sandbox.Sandbox, wall: Wall, watcher: at.Client, period: str
) -> None:
    wall.oversleeps[2] = timedelta(days=5)
    watch = watcher.watch_kline("BTCUSDT", period)
    expected = {"1m": 5 * 24 * 60, "4h": 5 * 6, "1d": 5}[period]
    bars = list(itertools.islice(watch, expected))
    stamps = [bar.timestamp for bar in bars]
    assert stamps == sorted(set(stamps))
    assert of(bars, "BTCUSDT") == truth(server, "BTCUSDT", period, stamps[0])[:expected]
    assert stamps[0] <= NOW < stamps[1]


def test_an_outage_is_said_once_and_sat_out(
    server: at.sandbox.Sandbox, wall: Wall, watcher: at.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "_FAULTS_BORNE", 1)
    watch = watcher.watch_kline(["BTCUSDT", "EURUSD"], "1m")
    first = list(itertools.islice(watch, 2))
    # Three looks fail: at each, the pair at once and then each code alone.
    server.fail_next(7, "bad_gateway")
    with pytest.warns(at.OutageWarning, match="goes on trying") as said:
        rest = list(itertools.islice(watch, 8))
    assert len(said) == 1
    for code in ("BTCUSDT", "EURUSD"):
        assert of(first + rest, code) == truth(server, code, "1m", NOW - 30 * timedelta(seconds=1))[:5]


def test_what_a_stock_lost_meanwhile_is_said_and_the_watch_goes_on(
    server: at.sandbox.Sandbox, wall: Wall, watcher: at.Client
) -> None:
    wall.oversleeps[2] = timedelta(days=7)
    watch = watcher.watch_kline("AAPL.US", "1m")
    next(watch)
    with pytest.warns(at.IncompleteDataWarning, match="AAPL.US 1m .* lost"):
        bars = list(itertools.islice(watch, 500))
    assert of(bars, "AAPL.US") == truth(server, "AAPL.US", "1m", bars[0].timestamp)[:500]


def test_a_refused_code_is_named_and_the_others_are_watched(wall: Wall, watcher: at.Client) -> None:
    watch = watcher.watch_kline(["BTCUSDT", "NOSUCH"], "1m")
    with pytest.warns(at.IncompleteDataWarning, match="NOSUCH .*refused"):
        bars = list(itertools.islice(watch, 3))
    assert {bar.code for bar in bars} == {"BTCUSDT"}


def test_one_refused_code_alone_raises_its_own_error(wall: Wall, watcher: at.Client) -> None:
    with pytest.raises(at.UnknownCodeError, match="NOSUCH"):
        next(watcher.watch_kline("NOSUCH", "1m"))


def test_a_token_that_is_refused_ends_it(server: at.sandbox.Sandbox, wall: Wall, watcher: at.Client) -> None:
    watch = watcher.watch_kline("BTCUSDT", "1m")
    next(watch)
    server.fail_next(1, "token_invalid")
    with pytest.raises(at.AuthenticationError):
        list(itertools.islice(watch, 2))


def test_a_redirect_which_no_waiting_cures_ends_it(server: at.sandbox.Sandbox, wall: Wall, connect: Any) -> None:
    moved = threading.Event()

    class Gateway(http.server.BaseHTTPRequestHandler):
        """Hands on to the sandbox until it has moved."""

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with urllib.request.urlopen(urllib.request.Request(server.url + self.path, body)) as answer:
                content = answer.read()
            self.send_response(302 if moved.is_set() else 200)
            self.send_header("Location", server.url)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            self.send_response(302)
            self.end_headers()

        def log_message(self, format: str, *arguments: Any) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Gateway) as gateway:
        threading.Thread(target=gateway.serve_forever, daemon=True).start()
        client = connect(base_url=f"http://127.0.0.1:{gateway.server_port}", limits=UNHURRIED_BATCHES)
        watch = client.watch_kline("BTCUSDT", "1m")
        assert next(watch).code == "BTCUSDT"
        moved.set()
        with pytest.raises(at.TransportError, match="redirect"):
            next(watch)
        gateway.shutdown()


def test_a_wrong_period_is_refused_before_the_first_bar_is_asked_for(watcher: at.Client) -> None:
    with pytest.raises(at.ArgumentError, match=r"not offered for 700\.HK"):
        watcher.watch_kline(["700.HK"], "4h")


def test_a_closed_exchange_is_not_asked_at_night(server: at.sandbox.Sandbox, wall: Wall, watcher: at.Client) -> None:
    watch = watcher.watch_kline(["700.HK", "BTCUSDT"], "1m")
    list(itertools.islice(watch, 30))
    assert server.counters()["codes"]["700.HK"] == 1


def test_awaited_it_passes_on_the_same(server: at.sandbox.Sandbox, wall: Wall, tmp_path: Any) -> None:
    async def watch() -> list[at.Bar]:
        settings = server.settings | {"cache_dir": tmp_path / "async", "limits": UNHURRIED_BATCHES}
        async with at.AsyncClient(**settings) as client:
            bars = client.watch_kline(["BTCUSDT", "EURUSD"], "1m")
            return [await anext(bars) for _ in range(6)]

    bars = asyncio.run(watch())
    assert of(bars, "EURUSD") == truth(server, "EURUSD", "1m", NOW - 30 * timedelta(seconds=1))


@pytest.mark.parametrize("form", ["--json", "--csv", None])
def test_from_the_shell_they_come_line_by_line(
    server: at.sandbox.Sandbox, wall: Wall, monkeypatch: pytest.MonkeyPatch, form: str | None
) -> None:
    for name, value in {"TOKEN": server.token, "BASE_URL": server.url, "PLAN": "professional"}.items():
        monkeypatch.setenv(f"ALLTICK_{name}", value)
    api.forget()
    done = CliRunner().invoke(cli.app, ["watch", "BTCUSDT", "-p", "1h", "--bars", "3", *filter(None, [form])])
    api.forget()
    assert done.exit_code == 0, done.output
    bars = truth(server, "BTCUSDT", "1h", NOW.replace(minute=0, second=0))
    if form == "--json":
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        assert [row["close"] for row in rows] == [bar[4] for bar in bars]
        assert rows[0]["timestamp"] == "2026-03-18T15:00:00Z"
    else:
        lines = done.stdout.splitlines()[form == "--csv" :]
        assert len(lines) == 3
        assert all(str(bar[4]) in line for bar, line in zip(bars, lines, strict=True))


class TestAPlanThatDoesNotSuffice:
    def test_is_said_with_the_shortest_period_that_fits(
        self, server: at.sandbox.Sandbox, wall: Wall, connect: Callable[..., at.Client]
    ) -> None:
        server.configure(plan="free")
        client = connect(plan="free", limits={"kline": (1_000, 1), "combined": (1_000, 1), "minute": (60_000, 60)})
        with pytest.warns(at.LongWaitWarning, match="1,440 requests a day.*1,000 a day; '5m' is the shortest"):
            client.watch_kline("BTCUSDT", "1m")

    @pytest.mark.parametrize(
        ("plan", "codes", "period", "said"),
        [
            ("free", ["BTCUSDT"], Period.MINUTE_5, ""),
            ("free", ["700.HK"], Period.MINUTE_1, ""),  # 331 minutes a day
            ("free", [f"C{number}USDT" for number in range(100)], Period.MINUTE_5, "'30m' is the shortest"),
            ("professional", [f"C{number}USDT" for number in range(500)], Period.MINUTE_1, ""),
            ("free", [f"C{number}USDT" for number in range(50_000)], Period.DAY, "no period suffices"),
        ],
    )
    def test_by_hours_codes_and_time(self, plan: str, codes: list[str], period: Period, said: str) -> None:
        notices = [str(notice) for notice in warned(codes, period, PLANS[plan])]
        assert len(notices) == bool(said)
        assert all(said in notice for notice in notices)


@given(
    start=st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC)),
    period=st.sampled_from(list(Period)),
)
def test_the_next_look_comes_after_the_next_bar_can_have_closed_and_soon(start: datetime, period: Period) -> None:
    watch = Watch.begin(["BTCUSDT"], period, start)
    look = watch.next_look(start)
    assert start < look
    assert watch.next_look(look) > look
    if period.grid_known:
        closes = look - finality.grace_of(period)
        assert timedelta() < (closes - datetime(1970, 1, 1, tzinfo=UTC)) % min(period.nominal, timedelta(minutes=30))
        assert look - start <= min(period.nominal, timedelta(minutes=30))
