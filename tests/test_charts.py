"""Bars and coverage as charts: what they say is what the frame says, and it is to be seen with and without scripts."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
import sys
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, get_args

import altair as alt
import nbformat
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import vl_convert
from hypothesis import given, settings
from hypothesis import strategies as st
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from PIL import Image

import alltick_frames as at
from alltick_frames import charts, schemas
from alltick_frames.spans import Reason

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MIME = "application/vnd.vegalite.v5+json"
START = datetime(2026, 3, 16, tzinfo=UTC)
PRICES = ["open", "high", "low", "close"]


def bars(
    code: str = "BTCUSDT", count: int = 50, length: timedelta = timedelta(minutes=1), **columns: Any
) -> pl.DataFrame:
    """Make bars that rise and fall, the last of which falls."""
    opens = 100 + 5 * np.sin(np.arange(count) / 3).round(2)
    closes = np.append(opens[1:], opens[-1] - 1)
    values = {
        "code": [code] * count,
        "timestamp": [START + number * length for number in range(count)],
        "open": opens,
        "high": np.maximum(opens, closes) + 0.25,
        "low": np.minimum(opens, closes) - 0.25,
        "close": closes,
        "volume": np.arange(count) + 0.5,
    }
    return pl.DataFrame(values | columns).with_columns(pl.col("timestamp").cast(pl.Datetime("us", "UTC")))


@pytest.fixture(scope="module")
def plain() -> Any:
    """Draw `bars()`, once."""
    return charts.candlesticks(bars())


def rows(chart: Any) -> list[list[dict[str, Any]]]:
    """Give the data of each row of panels, as the chart's specification has it."""
    return [*chart.to_dict()["datasets"].values()]


def walk(spec: Any) -> Any:
    """Give every mapping within a specification."""
    if isinstance(spec, dict):
        yield spec
        for value in spec.values():
            yield from walk(value)
    if isinstance(spec, list):
        for value in spec:
            yield from walk(value)


def said(chart: Any) -> str:
    """Give all titles of a chart."""
    titles = [each["title"] for each in walk(chart.to_dict()) if "text" in (each.get("title") or ())]
    return "\n".join(line for title in titles for line in (title["text"], *title["subtitle"]))


def pixels(png: bytes, color: str, *, tolerance: int = 12) -> int:
    """Count the pixels that have nearly *color*."""
    picture = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    wanted = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)])
    return int((np.abs(picture - wanted).max(axis=2) <= tolerance).sum())


class TestCandles:
    def test_the_chart_has_exactly_the_bars_of_the_frame(self, client: at.Client) -> None:
        frame = client.get_kline("700.HK", "5m", "2026-03-17/2026-03-17")
        (shown,) = rows(charts.candlesticks(frame))
        assert frame.height > 60
        columns = [*PRICES, "volume"]
        assert [[row[name] for name in columns] for row in shown] == [[*row] for row in frame.select(columns).rows()]
        local = frame["timestamp"].dt.convert_time_zone("Asia/Hong_Kong").dt.strftime("%Y-%m-%d %H:%M").to_list()
        assert [row["time"] for row in shown] == local
        assert [row["bar"] for row in shown] == [*range(frame.height)]

    @pytest.mark.parametrize("kind", ["pandas", "arrow", "pandas of numpy", "reversed", "categorical"])
    def test_every_kind_of_frame_gives_the_same_chart(self, kind: str) -> None:
        frame = bars("EURUSD")
        kinds: dict[str, Callable[[], Any]] = {
            "pandas": lambda: frame.to_pandas(use_pyarrow_extension_array=True),
            "arrow": lambda: frame.to_arrow().cast(pa.schema([schemas.CODE, *list(frame.to_arrow().schema)[1:]])),
            "pandas of numpy": frame.to_pandas,
            "reversed": frame.reverse,
            "categorical": lambda: frame.cast({"code": pl.Categorical}),
        }
        columns = [*PRICES, "volume"]
        expected = frame.select(columns).rows()
        (shown,) = rows(charts.candlesticks(kinds[kind]()))
        assert [tuple(row[name] for name in columns) for row in shown] == expected

    def test_a_break_takes_no_room_and_every_new_date_is_named(self, client: at.Client) -> None:
        frame = client.get_kline("700.HK", "15m", "2026-03-16/2026-03-17")
        table = charts.candles_of(frame.to_arrow(), "700.HK")
        morning, afternoon = (next(row for row in table.rows if row["time"].endswith(at)) for at in ("11:45", "13:00"))
        assert afternoon["bar"] == morning["bar"] + 1
        named = [table.labels[bar] for bar in table.ticks[0] if table.marked[bar]]
        assert named == ["16 Mar", "17 Mar"]
        assert table.labels[afternoon["bar"]] == "13:00"

    def test_prices_do_not_begin_at_zero_and_volumes_do(self, plain: Any) -> None:
        spec = vl_convert.vegalite_to_vega(plain.to_dict())
        scales = {scale["name"]: scale for scale in spec["scales"] if scale["name"].endswith("_y")}
        price, volume = (scales[f"concat_0_concat_{panel}_y"] for panel in (0, 1))
        assert price.get("zero") is False
        assert volume.get("zero") is not False

    def test_the_title_says_code_period_dates_and_whose_times_they_are(self, plain: Any) -> None:
        assert "BTCUSDT · 1m\n16 Mar 2026, 00:00 – 00:49, time in UTC" in said(plain)
        assert "BTCUSDT\n16 Mar 2026, 00:00, time in UTC" in said(charts.candlesticks(bars(count=1)))
        hourly = charts.candlesticks(bars("700.HK", length=timedelta(hours=1)))
        assert "700.HK · 1h\n16 Mar 2026 – 18 Mar 2026, time in Asia/Hong_Kong" in said(hourly)
        # Midnight in Hong Kong is on the day before in UTC.
        midnights = [START + timedelta(days=day, hours=-8) for day in range(50)]
        daily = charts.candlesticks(bars("700.HK", timestamp=midnights))
        assert "700.HK · 1d\n16 Mar 2026 – 4 May 2026, trading dates" in said(daily)
        assert rows(daily)[0][0]["time"] == "2026-03-16"

    @pytest.mark.parametrize(
        ("length", "named"),
        [*((period.nominal, period.value) for period in at.Period), (timedelta(minutes=7), "")],
    )
    def test_the_period_is_read_from_the_distance_of_bars_or_not_named(self, length: timedelta, named: str) -> None:
        assert charts.candles_of(bars(length=length).to_arrow(), "BTCUSDT").period == named

    def test_a_period_that_is_named_is_believed(self) -> None:
        sparse = bars(length=timedelta(minutes=2))
        assert "BTCUSDT · 1m" in said(charts.candlesticks(sparse, period="1m"))
        assert "BTCUSDT · 5m" in said(charts.candlesticks(sparse.with_columns(period=pl.lit("5m"))))
        with pytest.raises(at.ArgumentError, match="'3m'"):
            charts.candlesticks(sparse, period="3m")

    def test_several_codes_are_rows_that_move_by_themselves(self) -> None:
        frame = pl.concat([bars(code, count) for code, count in (("EURUSD", 30), ("700.HK", 40), ("BTCUSDT", 50))])
        frame = frame.drop("volume")
        chart = charts.candlesticks(frame)
        assert [len(row) for row in rows(chart)] == [30, 40, 50]
        assert {param["name"] for param in chart.to_dict()["params"]} >= {"zoom0", "zoom1", "zoom2"}
        assert [len(row) for row in rows(charts.candlesticks(frame, ["BTCUSDT", "EURUSD"]))] == [50, 30]

    @pytest.mark.parametrize(("volume", "panels"), [(None, 1), (1.0, 2)])
    def test_without_volumes_there_is_no_panel_for_them(self, volume: float | None, panels: int) -> None:
        chart = charts.candlesticks(bars(volume=pl.Series([volume] * 50, dtype=pl.Float64)))
        assert len(chart.to_dict()["vconcat"][0]["vconcat"]) == panels

    @pytest.mark.parametrize(("volume", "label"), [(0.4, "0.4"), (3e9, "2B")])
    def test_volumes_are_labelled_as_traders_write_them(self, volume: float, label: str) -> None:
        chart = charts.candlesticks(bars(count=3, volume=volume))
        labels = re.findall(r">([^<>]+)</text>", vl_convert.vegalite_to_svg(chart.to_dict()))
        assert label in labels

    def test_forming_bars_are_hollow_and_said(self) -> None:
        forming = charts.candlesticks(bars(closed=[True] * 49 + [False]))
        assert "hollow: still forming" in said(forming)
        assert not charts.candles_of(bars(closed=[True] * 50).to_arrow(), "BTCUSDT").forming
        hollow = re.findall(r'fill-opacity="0"', vl_convert.vegalite_to_svg(forming.to_dict()))
        # Its body and its volume.
        assert len(hollow) == 2

    @pytest.mark.parametrize("colors", get_args(charts.Colors))
    def test_rising_and_falling_bars_have_the_colours_asked_for(self, colors: charts.Colors) -> None:
        expected = {
            "safe": ["#2f8bd0", "#dd6a10"],
            "western": ["#1f9e6e", "#e0524d"],
            "chinese": ["#e0524d", "#1f9e6e"],
        }
        spec = charts.candlesticks(bars().drop("volume"), colors=colors).to_dict()
        scales = [each["scale"] for each in walk(spec) if each.get("field") == "direction"]
        assert scales
        assert all(scale == {"domain": ["up", "down"], "range": expected[colors]} for scale in scales)

    def test_a_rising_market_is_red_in_china(self) -> None:
        frame = bars(count=9, open=[1.0] * 9, close=[2.0] * 8 + [0.5], high=2.0, low=0.5).drop("volume")
        bundle, _ = charts.candlesticks(frame, colors="chinese")._repr_mimebundle_()
        assert pixels(bundle["image/png"], "#e0524d") > 4 * pixels(bundle["image/png"], "#1f9e6e") > 1_000

    def test_numbers_have_the_decimals_of_the_prices(self) -> None:
        prices = [1.16927, 1.17, 1.1692]
        frame = bars("EURUSD", 3, open=prices, close=prices, high=1.2, low=1.1)
        formats = {each.get("format") for each in walk(charts.candlesticks(frame).to_dict()) if "format" in each}
        assert formats == {",.5f", ",.8~f"}


class TestAggregation:
    @settings(max_examples=30)
    @given(
        st.integers(charts.MOST_BARS + 1, 9_000),
        st.integers(0, 2**32 - 1),
    )
    def test_candles_of_several_bars_are_exact_aggregates(self, count: int, seed: int) -> None:
        noise = np.random.default_rng(seed)
        low, high = noise.random(count), 2 + noise.random(count)
        inside: dict[str, Any] = {name: 1 + noise.random(count) for name in ("open", "close")}
        frame = bars(count=count, low=low, high=high, volume=noise.integers(0, 99, count).astype(float), **inside)
        candles = charts.candles_of(frame.to_arrow(), "BTCUSDT")
        assert candles.each > 1
        assert len(candles.rows) <= charts.MOST_BARS
        expected = (
            frame.with_row_index()
            .group_by(pl.col("index") // candles.each, maintain_order=True)
            .agg(
                pl.col("open").first(),
                pl.col("high").max(),
                pl.col("low").min(),
                pl.col("close").last(),
                pl.col("volume").sum(),
                pl.len().alias("bars"),
                pl.col("timestamp").first().dt.strftime("%Y-%m-%d %H:%M").alias("time"),
                pl.col("timestamp").last().dt.strftime("%Y-%m-%d %H:%M").alias("last"),
            )
            .drop("index")
        )
        assert pl.DataFrame([*candles.rows]).select(expected.columns).equals(expected)

    def test_it_is_said_how_many_bars_a_candle_is(self) -> None:
        assert charts.candles_of(bars(count=charts.MOST_BARS).to_arrow(), "BTCUSDT").each == 1
        told = said(charts.candlesticks(bars(count=2_885).drop("volume")))
        assert "each candle is 10 bars of 1m: 289 candles of 2,885 bars, the last of 5" in told

    def test_of_several_codes_each_has_fewer_candles(self) -> None:
        frame = pl.concat([bars("1.HK", 1_001), bars("2.HK", 1_000), bars("3.HK", 10)]).drop("volume")
        told = said(charts.candlesticks(frame))
        assert re.findall(r"each candle is .*:", told) == ["each candle is 3 bars of 1m:"]

    def test_a_candle_with_a_forming_bar_is_forming_and_one_that_lacks_a_volume_has_none(self) -> None:
        frame = bars(count=2_880, closed=[True] * 2_879 + [False])
        frame = frame.with_columns(volume=pl.when(pl.int_range(pl.len()) != 15).then("volume"))
        shown = charts.candles_of(frame.to_arrow(), "BTCUSDT").rows
        assert [row["bar"] for row in shown if not row["closed"]] == [287]
        assert [row["bar"] for row in shown if row["volume"] is None] == [1]


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("frame", "words"),
        [
            (bars().drop("open"), "no column 'open'; its columns are: code timestamp high"),
            (bars().clear(), "frame has no bars"),
            (bars().lazy(), "LazyFrame.*collect"),
            ([1, 2], "of type list"),
            (pl.concat([bars(), bars()]), "several bars of BTCUSDT at 2026-03-16T00:00:00Z"),
            (bars(low=[None] + [1.0] * 49), "no low of BTCUSDT at 2026-03-16T00:00:00Z"),
            (bars(close=[float("nan")] + [1.0] * 49), "no close of BTCUSDT at 2026-03-16T00:00:00Z"),
            (
                bars().with_columns(pl.col("timestamp").dt.replace_time_zone(None)),
                r"timestamps of type timestamp\[us\]",
            ),
            (bars(open=["much"] * 50), "cannot be read as bars"),
            (bars(period=["1m", "5m"] * 25), "BTCUSDT of the periods 1m 5m"),
        ],
        ids=lambda value: value[:20] if isinstance(value, str) else "",
    )
    def test_a_frame_of_another_shape(self, frame: Any, words: str) -> None:
        with pytest.raises(at.ArgumentError, match=words):
            charts.candlesticks(frame)

    def test_more_codes_than_a_chart_has_rows_for(self) -> None:
        many = pl.concat([bars(f"{number}.HK") for number in range(1, 15)])
        with pytest.raises(
            at.ArgumentError, match=r"1 to 6 codes, not 14; name them with code=: 1.HK .* 10.HK and 4 more"
        ):
            charts.candlesticks(many)
        assert len(rows(charts.candlesticks(many, ["14.HK", "2.HK"]))) == 2

    def test_a_code_or_colours_that_are_not_there(self) -> None:
        with pytest.raises(at.ArgumentError, match=r"code='GOLD' is not in the frame; it has: BTCUSDT"):
            charts.candlesticks(bars(), "GOLD")
        with pytest.raises(at.ArgumentError, match=r"colors='pink' must be one of: safe western chinese"):
            charts.candlesticks(bars(), colors="pink")  # type: ignore[arg-type]

    @pytest.mark.parametrize("package", ["altair", "vl_convert"])
    def test_without_the_extra_the_error_names_it(self, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, package, None)
        monkeypatch.delitem(sys.modules, "alltick_frames.drawing")
        monkeypatch.delattr(at, "drawing")
        with pytest.raises(at.ConfigError, match=r"pip install 'alltick-frames\[plot\]'") as raised:
            charts.candlesticks(bars())
        assert raised.value.__cause__ is None


class TestAxis:
    @given(
        st.lists(st.integers(1, 3_000), min_size=1, max_size=300).map(np.cumsum),
        st.sampled_from(["BTCUSDT", "700.HK", "AAPL.US", "EURUSD"]),
    )
    def test_labels_grow_fewer_and_no_date_is_left_out_where_hours_are_told(self, minutes: Any, code: str) -> None:
        stamps = [START + timedelta(minutes=int(minute)) for minute in minutes]
        candles = charts.candles_of(bars(code, len(stamps), timestamp=stamps).to_arrow(), code, at.Period("1m"))
        assert [len(level) for level in candles.ticks] == sorted({len(level) for level in candles.ticks}, reverse=True)
        for level in candles.ticks:
            assert level == sorted({*level})
            assert 0 <= level[0] <= level[-1] < len(stamps)
            if any(":" in candles.labels[bar] for bar in level):
                assert {bar for bar, new in enumerate(candles.marked) if new} - {0} <= {*level}

    def test_an_evening_that_opens_a_week_keeps_its_date(self) -> None:
        # Brent opens on Sunday at 20:00 in New York, four bars before Monday.
        opens = datetime(2026, 3, 16, tzinfo=UTC)
        stamps = [opens + timedelta(hours=hour) for hour in (*range(-123, -51), *range(28))]
        week = charts.candles_of(bars("UKOIL", len(stamps), timestamp=stamps).to_arrow(), "UKOIL")
        told = [[week.labels[bar] for bar in level] for level in week.ticks]
        assert all({"13 Mar", "15 Mar", "16 Mar"} <= {*labels} for labels in told if "12:00" in labels)
        assert any("12:00" in labels for labels in told)

    def test_labels_of_days_tell_the_month_and_year(self) -> None:
        daily = charts.candles_of(bars(count=400, length=timedelta(days=1)).to_arrow(), "BTCUSDT")
        told = [daily.labels[bar] for bar, new in enumerate(daily.marked) if new]
        assert told[:2] == ["Mar 2026", "Apr 2026"]
        assert "Jan 2027" in told
        assert daily.labels[1] == "17 Mar"


class TestBundle:
    def test_it_has_what_notebooks_can_move_and_a_picture_for_where_scripts_do_not_run(self, plain: Any) -> None:
        bundle, metadata = plain._repr_mimebundle_()
        assert {*bundle} == {MIME, "image/png", "text/plain"}
        # JupyterLab and VS Code come with Vega-Lite 5.
        assert bundle[MIME]["$schema"].endswith("/v5.json")
        assert vl_convert.vegalite_to_vega(bundle[MIME], vl_version="5.20")["marks"]
        picture = Image.open(io.BytesIO(bundle["image/png"]))
        assert picture.format == "PNG"
        shown = metadata["image/png"]
        assert picture.size == (2 * shown["width"], 2 * shown["height"])
        assert pixels(bundle["image/png"], "#2f8bd0") > 5_000
        assert pixels(bundle["image/png"], "#dd6a10") > 5_000
        assert pixels(bundle["image/png"], "#ffffff") > 100_000

    def test_what_altair_makes_of_it_still_has_both(self, plain: Any) -> None:
        changed = plain.properties(title="Mine").configure_view(fill="#abcdef")
        bundle, _ = changed._repr_mimebundle_()
        assert bundle[MIME]["title"] == "Mine"
        assert pixels(bundle["image/png"], "#abcdef") > 50_000

    def test_another_renderer_of_altair_is_respected(self, plain: Any) -> None:
        with alt.renderers.enable("json"):
            assert MIME not in plain._repr_mimebundle_()[0]

    @pytest.mark.parametrize("kind", ["html", "png", "svg"])
    def test_it_is_saved_without_a_network(self, plain: Any, kind: str, tmp_path: Path) -> None:
        path = tmp_path / f"bars.{kind}"
        plain.save(path)
        content = path.read_bytes()
        if kind == "png":
            assert pixels(content, "#2f8bd0") > 5_000
        else:
            text = content.decode()
            assert "BTCUSDT · 1m" in text.replace("\\u00b7", "·")
            assert not re.search(r"<(script|link)[^>]+(src|href)=", text)

    def test_a_notebook_shows_the_picture_when_it_is_exported(self) -> None:
        source = (
            "import datetime as dt, polars as pl\nfrom alltick_frames import charts\n"
            "stamp = pl.Series([dt.datetime(2026, 3, 16, hour) for hour in range(9)]).dt.replace_time_zone('UTC')\n"
            "rise = [float(hour) for hour in range(9)]\n"
            "charts.candlesticks(pl.DataFrame({'code': 'EURUSD', 'timestamp': stamp, 'open': rise,"
            " 'high': [9.0] * 9, 'low': [0.0] * 9, 'close': rise[1:] + [1.0]}))"
        )
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
        NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
        (output,) = notebook.cells[0].outputs
        nbformat.validate(notebook)
        page, _ = HTMLExporter(embed_images=True).from_notebook_node(notebook)
        (picture,) = re.findall(r'<img[^>]*src="data:image/png;base64,([^"]+)"', page)
        assert pixels(base64.b64decode(picture), "#2f8bd0") > 1_000
        assert output.data[MIME]["vconcat"]


SPANS = pl.DataFrame(
    [
        ("700.HK", "1m", None, START, False, None, "beyond_reach", "only the newest 500 bars"),
        ("700.HK", "1m", START, START + timedelta(hours=2), True, 120, None, None),
        ("700.HK", "1m", START + timedelta(hours=2), START + timedelta(hours=3), False, None, "lost", "overtaken"),
        ("700.HK", "1d", START, START + timedelta(days=2), True, 2, None, None),
    ],
    schema={
        **dict.fromkeys(("code", "period"), pl.String),
        **dict.fromkeys(("start", "end"), pl.Datetime("us", "UTC")),
        "held": pl.Boolean,
        "bars": pl.Int64,
        **dict.fromkeys(("reason", "detail"), pl.String),
    },
    orient="row",
)


class TestCoverage:
    def test_the_chart_has_exactly_the_spans_of_the_table(self) -> None:
        (shown,) = rows(charts.coverage(SPANS))
        assert [(row["row"], row["state"], row["start"], row["end"], row["bars"]) for row in shown] == [
            ("700.HK · 1m", "beyond_reach", "the beginning", "2026-03-16 00:00", None),
            ("700.HK · 1m", "held", "2026-03-16 00:00", "2026-03-16 02:00", 120),
            ("700.HK · 1m", "lost", "2026-03-16 02:00", "2026-03-16 03:00", None),
            ("700.HK · 1d", "held", "2026-03-16", "2026-03-18", 2),
        ]
        instants = [[1_000 * row[name] for name in ("from_ms", "to_ms")] for row in shown[1:]]
        assert instants == [[*row] for row in SPANS[1:].select(pl.col("start", "end").dt.epoch("us")).rows()]

    def test_what_has_no_beginning_reaches_out_of_sight(self) -> None:
        stretches = charts.stretches_of(SPANS.to_arrow())
        assert stretches.rows[0]["from_ms"] < stretches.from_ms < stretches.rows[0]["to_ms"]
        assert stretches.to_ms == max(row["to_ms"] for row in stretches.rows)

    def test_every_reason_has_a_colour_of_its_own(self) -> None:
        reasons = ["history_start", *get_args(Reason)]
        table = pl.concat([SPANS[2].with_columns(reason=pl.lit(reason)) for reason in reasons])
        color = charts.coverage(table).to_dict()["vconcat"][0]["encoding"]["color"]["scale"]
        assert {*color["domain"]} == {*reasons}
        assert len({*color["range"]}) == len(reasons)

    def test_the_picture_shows_what_is_held_and_what_is_lost(self) -> None:
        bundle, _ = charts.coverage(SPANS)._repr_mimebundle_()
        assert pixels(bundle["image/png"], "#2f8bd0") > 5_000
        assert pixels(bundle["image/png"], "#e5502a") > 100

    def test_rows_that_are_left_out_are_counted(self) -> None:
        many = pl.concat([SPANS[1].with_columns(code=pl.lit(f"{number}.HK")) for number in range(140)])
        told = said(charts.coverage(many))
        assert "the first 100 of 140 codes and periods; 40 are left out: choose with codes= and period=" in told
        assert {row["code"] for row in rows(charts.coverage(many))[0]} == {f"{number}.HK" for number in range(100)}
        assert "left out" not in said(charts.coverage(many[:100]))

    def test_an_empty_archive_is_a_chart_that_says_so(self, client: at.Client) -> None:
        chart = client.plot_coverage()
        assert "nothing is held" in said(chart)
        assert chart._repr_mimebundle_()[0]["image/png"]

    def test_something_else_than_coverage_is_refused(self) -> None:
        with pytest.raises(at.ArgumentError, match="table has no column 'period'"):
            charts.coverage(bars())

    def test_both_clients_and_the_function_draw_the_same(
        self, client: at.Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client.get_kline(["EURUSD", "GOLD"], "1h", "2026-03-02/2026-03-03")
        client.get_kline("EURUSD", "1h", "2025-12-01/2025-12-02")
        drawn = rows(client.plot_coverage(["EURUSD"], "1h"))
        held = client.coverage("EURUSD", "1h")
        assert [row["state"] for row in drawn[0]] == ["held", "not_held", "held"]
        assert [row["bars"] for row in drawn[0]] == held["bars"].to_list()

        async def draw() -> Any:
            async with at.AsyncClient(**own) as other:
                return await other.plot_coverage(["EURUSD"], "1h")

        own: dict[str, Any] = {"base_url": client.settings.base_url, "cache_dir": client.settings.cache_dir}
        assert rows(asyncio.run(draw())) == drawn
        at.configure(**own)
        try:
            assert rows(at.plot_coverage(["EURUSD"], "1h")) == drawn
        finally:
            at.api.forget()

    def test_the_token_is_in_no_chart(self, server: at.sandbox.Sandbox, client: at.Client) -> None:
        frame = client.get_kline("EURUSD", "1h", "2026-03-02/2026-03-03")
        for chart in (client.plot_coverage(), charts.candlesticks(frame)):
            assert server.token not in chart.to_json() + repr(chart)
        bundle, _ = client.plot_coverage()._repr_mimebundle_()
        assert server.token not in json.dumps(bundle[MIME]) + bundle["text/plain"]
        assert server.token.encode() not in bundle["image/png"]


@pytest.mark.parametrize(
    ("prices", "places"),
    [([1.16927, 1.1], 5), ([67_012.5, 67_000.25], 2), ([7.0], 0), ([-37.63, 10.01], 2), ([1 / 3], 10), ([1e9 / 3], 1)],
)
def test_decimals_are_those_that_prices_are_given_with(prices: list[float], places: int) -> None:
    assert charts.decimals(np.array(prices)) == places


def test_a_day_in_new_york_of_23_hours_is_a_day() -> None:
    stamps = [datetime.combine(date(2026, 3, 5) + timedelta(days=day), datetime.min.time(), UTC) for day in range(8)]
    local = [stamp + timedelta(hours=5 if stamp < datetime(2026, 3, 8, 6, tzinfo=UTC) else 4) for stamp in stamps]
    daily = charts.candles_of(bars("AAPL.US", 8, timestamp=local).to_arrow(), "AAPL.US")
    assert (daily.period, daily.rows[-1]["time"]) == ("1d", "2026-03-12")


class TestThePlotOfAFrame:
    def test_is_the_same_chart_from_every_kind_of_frame(self) -> None:
        import alltick_frames.pandas  # noqa: PLC0415
        import alltick_frames.polars  # noqa: F401, PLC0415

        bars = pl.DataFrame(
            {
                "code": ["EURUSD"] * 5,
                "timestamp": [datetime(2026, 3, 17, hour, tzinfo=UTC) for hour in range(5)],
                **{name: [1.1 + step / 100 for step in range(5)] for name in ("open", "high", "low", "close")},
            }
        )
        pandas = bars.to_pandas(use_pyarrow_extension_array=True)
        frames: list[Any] = [bars, bars.lazy(), pandas, pandas.set_index("timestamp")]
        drawn = [frame.alltick.plot(colors="chinese").to_dict() for frame in frames]
        # Older Altairs number all views that there are.
        plain = [re.sub(r"view_\d+", "view", str(one)) for one in drawn]
        assert all(one == plain[0] for one in plain)
        assert "EURUSD · 1h" in str(drawn[0])
        with pytest.raises(at.ArgumentError, match="code='GOLD'"):
            frames[0].alltick.plot("GOLD")
        with pytest.raises(at.ArgumentError, match="lacks open"):
            pl.DataFrame({"code": ["A"], "timestamp": [datetime(2026, 1, 1, tzinfo=UTC)]}).alltick.plot()  # type: ignore[attr-defined]
