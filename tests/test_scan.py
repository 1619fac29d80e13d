"""`scan_kline`: lazily the same as `get_kline`, whatever is asked of it; what it sends, and what it says."""

from __future__ import annotations

import asyncio
import pickle
from typing import TYPE_CHECKING, Any, Literal, cast

import polars as pl
import pytest

import alltick_frames as at
from alltick_frames.scan import Scan
from alltick_frames.store import Archive
from tests.archives import EVER, MINUTE, START, batch, minutes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Connect = Callable[..., at.Client]
    SetClocks = Callable[[str], None]
    Query = Callable[[pl.LazyFrame], pl.LazyFrame]

CODES = ["GOLD", "EURUSD", "BTCUSDT"]
ASKED: tuple[list[str], str, str] = (CODES, "15m", "2026-02-27/2026-03-06")
NEVER: dict[str, Any] = {"network": "never", "token": None}
ENGINES: tuple[Literal["in-memory", "streaming"], ...] = ("in-memory", "streaming")
STAMP = pl.col("timestamp")
NOON = pl.datetime(2026, 3, 2, 12, time_zone="UTC")


@pytest.fixture(autouse=True)
def _at_rest(set_clocks: SetClocks) -> None:
    set_clocks("2026-03-18T15:00:30Z")


def collected(lazy: pl.LazyFrame, engine: Literal["in-memory", "streaming"] = "in-memory") -> pl.DataFrame:
    return lazy.collect(engine=engine)


QUERIES: dict[str, Query] = {
    "all": lambda bars: bars,
    "no columns but how many rows": lambda bars: bars.with_row_index().select("index"),
    "a count": lambda bars: bars.select(pl.len()),
    "one column": lambda bars: bars.select("close"),
    "columns in another order": lambda bars: bars.select("volume", "code", "low"),
    "without the code": lambda bars: bars.drop("code"),
    "only the code": lambda bars: bars.select("code"),
    "a predicate": lambda bars: bars.filter(pl.col("close") > pl.col("open")),
    "a predicate on what is not selected": lambda bars: bars.filter(pl.col("timestamp") >= NOON).select("high"),
    "a predicate on the code": lambda bars: bars.filter(pl.col("code").is_in(["EURUSD"])),
    "a predicate that nothing meets": lambda bars: bars.filter(pl.col("close") < 0),
    "two predicates": lambda bars: bars.filter(pl.col("code") != "GOLD").filter(pl.col("volume") > 100),
    "the first rows": lambda bars: bars.head(5),
    "no rows": lambda bars: bars.head(0),
    "more rows than the first code has": lambda bars: bars.head(700),
    "the first rows, then a predicate": lambda bars: bars.head(700).filter(pl.col("code") == "EURUSD").select("close"),
    "a predicate, then the first rows": lambda bars: bars.filter(pl.col("code") == "EURUSD").head(3).select("close"),
    "a slice": lambda bars: bars.slice(650, 10),
    "the last rows": lambda bars: bars.tail(3),
    "nulls": lambda bars: bars.filter(pl.col("turnover").is_null()).select("code", "turnover"),
    "an aggregate": lambda bars: bars.group_by("code", pl.col("timestamp").dt.date(), maintain_order=True).agg(
        pl.col("open").first(), pl.col("high").max(), pl.col("volume").sum()
    ),
    "itself joined": lambda bars: bars.join(bars.filter(pl.col("code") == "GOLD"), on="timestamp").sort(
        "code", "timestamp"
    ),
}


class TestWhatItGives:
    def test_is_what_get_kline_gives_under_any_query_and_engine(self, client: at.Client) -> None:
        eager = client.get_kline(*ASKED)
        # In several segments, in the tail, and in the log.
        assert eager.height > 1_500
        for lazy in (client.scan_kline(*ASKED), client.scan_kline(*ASKED, network="never")):
            assert lazy.collect_schema() == eager.schema
            for name, query in QUERIES.items():
                expected = collected(query(eager.lazy()))
                for engine in ENGINES:
                    assert collected(query(lazy), engine).equals(expected), (name, engine)

    def test_each_frame_has_the_columns_asked_for_and_no_other_is_made(self, client: at.Client) -> None:
        client.get_kline(*ASKED)
        frames: list[pl.DataFrame] = []
        with pytest.MonkeyPatch.context() as patch:
            original = Scan.frames

            def noted(*arguments: Any) -> Any:
                for frame in original(*arguments):
                    frames.append(frame)
                    yield frame

            patch.setattr(Scan, "frames", noted)
            collected(client.scan_kline(*ASKED).select("code", "close").head(600))
            assert {tuple(frame.columns) for frame in frames} == {("code", "close")}
            assert sum(frame.height for frame in frames) == 600

    def test_the_newest_so_many_bars_of_each(self, client: at.Client) -> None:
        asked = (CODES, "15m", 40)
        assert collected(client.scan_kline(*asked)).equals(client.get_kline(*asked))

    def test_days(self, client: at.Client) -> None:
        asked = (["700.HK", "EURUSD"], "1d", "2026-01-01/2026-02-28")
        assert collected(client.scan_kline(*asked)).equals(client.get_kline(*asked))

    def test_nothing_is_an_empty_frame_with_the_schema(self, client: at.Client) -> None:
        weekend = ("EURUSD", "15m", "2026-03-07/2026-03-07")
        for lazy in (client.scan_kline(*weekend), client.scan_kline(None, "4h"), client.scan_kline(None, "4h", "1y")):
            got = collected(lazy)
            assert got.is_empty()
            assert got.schema == client.get_kline(*weekend).schema

    def test_without_a_range_it_is_all_that_is_held_when_it_is_collected(
        self, client: at.Client, server: at.sandbox.Sandbox
    ) -> None:
        for code in ("EURUSD", "BTCUSDT"):
            client.get_kline(code, "15m", "2026-03-02/2026-03-03")
        lazy, named = client.scan_kline(None, "15m"), client.scan_kline("EURUSD", "15m")
        assert collected(lazy)["code"].unique(maintain_order=True).to_list() == ["BTCUSDT", "EURUSD"]
        before = collected(named).height
        client.get_kline("EURUSD", "15m", "2026-03-04/2026-03-05")
        sent = server.counters()["requests"]
        assert collected(named).height == before + 2 * 96
        assert collected(named).equals(
            client.get_kline("EURUSD", "15m", "max", network="never", on_incomplete="ignore")
        )
        assert server.counters()["requests"] == sent

    def test_a_code_is_seen_as_of_one_instant_whatever_is_written_meanwhile(self, tmp_path: Path) -> None:
        client = at.Client(cache_dir=tmp_path, base_url="http://127.0.0.1:9", **NEVER)
        archive = Archive.open(tmp_path, client.settings.origin)
        for code in ("EURUSD", "GOLD"):
            archive.write(code, at.Period("1m"), batch(minutes(0, 2_000)))
        scanned = client._client._scan(["EURUSD", "GOLD"], "1m", None, None)  # noqa: SLF001
        frames = scanned.frames(None, None, None, None)
        before = [next(frames)]
        for code in ("EURUSD", "GOLD"):
            archive.write(code, at.Period("1m"), batch(minutes(0, 3_000, price=9.0), 5))
            for path in (tmp_path / client.settings.origin / "segments").iterdir():
                listed = {one.key.rpartition(":")[2] for one in archive.snapshot(code, at.Period("1m")).record.segments}
                if code in path.name and path.stem.rpartition("_")[2] not in listed:
                    path.unlink()  # as a minute later
        got = pl.concat([*before, *frames])
        assert got.group_by("code", maintain_order=True).agg(pl.len(), pl.col("close").min()).rows() == [
            ("EURUSD", 2_000, 1.0),
            ("GOLD", 3_000, 9.0),
        ]
        assert (got["timestamp"].cast(pl.Int64).to_numpy()[:2_000] == [START + n * MINUTE for n in range(2_000)]).all()
        assert len(archive.read("EURUSD", at.Period("1m"), *EVER).bars) == 3_000


class TestWhatItSends:
    def test_what_is_missing_when_it_is_collected_and_nothing_the_second_time(
        self, client: at.Client, connect: Connect, server: at.sandbox.Sandbox
    ) -> None:
        connect().get_kline(*ASKED)
        fewest = server.counters()["requests"]
        server.reset()
        lazy = client.scan_kline(*ASKED)
        assert server.counters()["requests"] == 0
        whole = collected(lazy.select(pl.len()), "streaming")
        assert server.counters()["requests"] == fewest
        assert collected(lazy.select(pl.len())).equals(whole)
        assert server.counters()["requests"] == fewest
        collected(client.scan_kline(CODES, "15m", "2026-02-27/2026-03-09"))
        assert fewest < server.counters()["requests"] <= fewest + len(CODES)

    def test_of_every_code_held_the_rest_of_the_range(self, client: at.Client, server: at.sandbox.Sandbox) -> None:
        client.get_kline(["GOLD", "EURUSD"], "1h", "2026-03-02/2026-03-02")
        server.reset()
        got = collected(client.scan_kline(None, "1h", "2026-03-02/2026-03-04"))
        assert server.counters()["requests"] == 2
        assert got.equals(client.get_kline(["EURUSD", "GOLD"], "1h", "2026-03-02/2026-03-04"))

    def test_an_async_client_fetches_when_it_is_awaited(self, server: at.sandbox.Sandbox, tmp_path: Path) -> None:
        async def scan(**settings: Any) -> pl.LazyFrame:
            async with at.AsyncClient(**{**server.settings, "cache_dir": tmp_path / "async", **settings}) as client:
                return await client.scan_kline(["EURUSD"], "1h", "2026-03-02/2026-03-03")

        lazy = asyncio.run(scan())
        sent = server.counters()["requests"]
        assert sent == 1
        assert collected(lazy, "streaming").height == 48
        assert server.counters()["requests"] == sent
        with pytest.raises(at.IncompleteDataError) as raised:
            asyncio.run(scan(cache_dir=tmp_path / "none", **NEVER))
        assert collected(cast("pl.LazyFrame", raised.value.frame)).is_empty()


class TestWhatItSays:
    @pytest.mark.parametrize("engine", ENGINES)
    def test_what_cannot_be_had_is_raised_out_of_collect_with_what_there_is(
        self, client: at.Client, engine: Literal["in-memory", "streaming"]
    ) -> None:
        asked = (["EURUSD", "AAPL.US"], "1m", "2026-03-13/2026-03-17")
        lazy = client.scan_kline(*asked).select("code", "close")
        with pytest.raises(at.IncompleteDataError) as scanned:
            collected(lazy, engine)
        with pytest.raises(at.IncompleteDataError) as got:
            client.get_kline(*asked)
        assert scanned.value.missing == got.value.missing
        assert str(scanned.value) == str(got.value)
        assert collected(cast("pl.LazyFrame", scanned.value.frame)).equals(cast("pl.DataFrame", got.value.frame))

    def test_what_is_not_held_with_the_network_off(self, client: at.Client, server: at.sandbox.Sandbox) -> None:
        lazy = client.scan_kline("EURUSD", "1h", "2026-03-02/2026-03-03", network="never")
        with pytest.raises(at.IncompleteDataError, match="not in the archive"):
            collected(lazy)
        assert server.counters()["requests"] == 0
        client.get_kline("EURUSD", "1h", "2026-03-02/2026-03-03")
        assert collected(lazy).height == 48

    def test_a_refused_code(self, client: at.Client) -> None:
        with pytest.raises(at.UnknownCodeError):
            collected(client.scan_kline("NOSUCH", "1h", "2026-03-02/2026-03-03"))

    def test_no_token(self, connect: Connect) -> None:
        with pytest.raises(at.ConfigError, match="no token"):
            collected(connect(token=None).scan_kline("EURUSD", "1h", "2026-03-02/2026-03-03"))

    def test_what_can_be_judged_at_once_is_said_at_once(self, client: at.Client) -> None:
        with pytest.raises(at.ArgumentError, match=r"00700\.HK"):
            client.scan_kline("00700.HK", "1h", "5d")
        with pytest.raises(at.ArgumentError, match="ambiguous"):
            client.scan_kline("EURUSD", "1h", "5m")

    def test_without_a_beginning_a_code_of_which_nothing_is_held_is_refused(
        self, client: at.Client, server: at.sandbox.Sandbox
    ) -> None:
        scans = (
            client.scan_kline("EURUSD", "1h"),
            client.scan_kline("EURUSD", "1h").filter(STAMP <= NOON),
            client.scan_kline("EURUSD", "1h").filter(STAMP.dt.hour() == 9, pl.col("close") > 1),
            client.scan_kline(None, "1h").filter(pl.col("code") == "EURUSD"),
            client.scan_kline("EURUSD", "1h").head(3).filter(STAMP > NOON),
        )
        for lazy in scans:
            with pytest.raises(at.ArgumentError, match=r"nothing of it 1h is held.*give a range"):
                collected(lazy)
        assert server.counters()["requests"] == 0

    def test_holes_between_what_is_held_are_said_where_no_range_asks_for_them(
        self, client: at.Client, connect: Connect
    ) -> None:
        for day in ("2025-12-01", "2026-03-02"):
            client.get_kline(["EURUSD", "BTCUSDT"], "1h", f"{day}/{day}")
        lazy = client.scan_kline(None, "1h")
        with pytest.warns(at.IncompleteDataWarning, match="2 spans are missing: BTCUSDT 1h .2025-12-02T01:00Z, "):
            whole = collected(lazy)
        quiet = connect(cache_dir=client.settings.cache_dir, on_incomplete="ignore", **NEVER)
        assert whole.equals(collected(quiet.scan_kline(["BTCUSDT", "EURUSD"], "1h")))
        # Of what is not asked for nothing is said.
        assert len(collected(lazy.filter(STAMP.dt.date() == pl.date(2025, 12, 1)))) == 48

    def test_the_token_is_in_no_plan(self, client: at.Client, server: at.sandbox.Sandbox) -> None:
        lazy = client.scan_kline("EURUSD", "1h", "2026-03-02/2026-03-03")
        scanned = client._client._scan("EURUSD", "1h", "1d", None, client._complete_scan)  # noqa: SLF001
        shown = [lazy.explain(), repr(lazy), lazy.explain(optimized=False), lazy._repr_html_(), repr(scanned)]
        assert not any(server.token in text for text in shown)
        assert server.token.encode() not in pickle.dumps(scanned)
