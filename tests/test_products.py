"""The product list: what is built in, what is read of the vendor's sheet, what is kept of it, how it is searched."""

from __future__ import annotations

import asyncio
import gzip
import re
import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, time
from typing import TYPE_CHECKING, Any, get_args
from zoneinfo import ZoneInfo

import polars as pl
import pyarrow as pa
import pytest
import tenacity
import trustme
from hypothesis import given
from hypothesis import strategies as st

import alltick_frames as at
from alltick_frames import listings, products, repair, schemas, sheets
from alltick_frames.catalog import CLASSES, EXAMPLES, ProductClass, did_you_mean
from alltick_frames.codes import Family, check_codes, family_of
from alltick_frames.frames import to_frame
from alltick_frames.plans import FREE_CODES
from alltick_frames.trading_hours import DAYS, Week, weeks_of, zone_of_header
from alltick_frames.transport import PublicPages
from tests.leaks import TOKEN, holds_token
from tests.test_secrets import Listener, Sent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from alltick_frames.settings import FrameKind


class TestTheBuiltInList:
    def test_every_class_has_examples_with_both_names(self) -> None:
        assert {one.asset_class for one in EXAMPLES.values()} == set(CLASSES) == set(get_args(ProductClass))
        for code, one in EXAMPLES.items():
            assert check_codes(code) == (one.code,)
            assert one.name.isascii()
            assert re.search("[\u4e00-\u9fff]", one.name_cn), code

    def test_it_has_the_codes_of_the_free_plan(self) -> None:
        assert set(FREE_CODES) <= set(EXAMPLES)

    @pytest.mark.parametrize(
        ("code", "meant"),
        [
            ("XAUUSD", ["GOLD"]),
            ("xagusd", ["Silver"]),
            ("SILVER", ["Silver"]),
            ("copper", ["COPPER"]),
            ("00700.HK", ["700.HK"]),
            ("00700", ["700.HK"]),
            ("5", ["5.HK"]),
            ("600519.SS", ["600519.SH"]),
            ("600519", ["600519.SH"]),
            ("000001", ["000001.SH", "000001.SZ"]),
            ("DJI", [".DJI.US"]),
            ("tsla", ["TSLA.US"]),
            ("abrpd.us", ["ABRpD.US"]),
            ("BTC", ["BTCUSDT"]),
            ("BTCUSD", ["BTCUSDT"]),
            ("eur/usd", ["EURUSD"]),
            ("EURUSB", ["EURUSD"]),
            ("USOL", ["USOIL"]),
            ("BRK.US", ["BRK.B.US", "BRK.A.US"]),
            # A neighbouring number is another company.
            ("600518.SH", []),
            ("701.HK", []),
            ("ZZZZZZ.US", []),
            ("GOLD", []),
            ("", []),
        ],
    )
    def test_a_slip_is_seen_through(self, code: str, meant: Sequence[str]) -> None:
        assert list(did_you_mean(code, EXAMPLES)) == meant

    @given(st.text(max_size=15) | st.sampled_from(sorted(EXAMPLES)).map(str.swapcase))
    def test_only_what_is_known_is_suggested(self, code: str) -> None:
        meant = did_you_mean(code, EXAMPLES)
        assert set(meant) <= EXAMPLES.keys() - {code}
        assert len(meant) == len(set(meant)) <= 3

    def test_its_hours_can_be_read(self) -> None:
        for one in EXAMPLES.values():
            listed = one.asset_class.startswith(("stock", "index"))
            assert (one.hours is None) is listed
            assert listed or weeks_of(one.hours or "")


def told(weeks: Sequence[Week] | None) -> str | None:
    """Write *weeks* so that a person can compare them with the text."""
    return None if weeks is None else "; ".join(map(_told, weeks))


def _told(week: Week) -> str:
    season = f"{week.season} " if week.season else ""
    breaks = "".join(f", break {clock(begin)}-{clock(end)}" for begin, end in week.breaks)
    return f"{season}{on(week.opens)}-{on(week.closes)}{breaks} {week.zone}"


def clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def on(minutes: int) -> str:
    return f"{DAYS[minutes // 1440]} {clock(minutes % 1440)}"


FOREX = "summer Sun 21:00-Fri 21:00 UTC; winter Sun 22:00-Fri 22:00 UTC"
METALS = "summer Sun 22:00-Fri 21:00, break 21:00-22:00 UTC; winter Sun 23:00-Fri 22:00, break 22:00-23:00 UTC"
INDICES = "Sun 18:00-Fri 17:00, break 17:00-18:00 America/New_York"
ALWAYS = "Mon 00:00-Mon 00:00 UTC"
HOURS: list[tuple[str, str | None]] = [
    # The forms of the vendor's list of 2025-01.
    ("Summer: Sun 21:00 to Fri 21:00; Winter: Sun 22:00 to Fri 22:00 (GMT)", FOREX),
    (EXAMPLES["GOLD"].hours or "", METALS),
    (
        EXAMPLES["UKOIL"].hours or "",
        "summer Mon 00:00-Fri 21:00, break 21:00-00:00 UTC; winter Mon 01:00-Fri 22:00, break 22:00-01:00 UTC",
    ),
    (
        EXAMPLES["Zinc"].hours or "",
        "summer Mon 00:00-Fri 18:00, break 18:00-00:00 UTC; winter Mon 01:00-Fri 19:00, break 19:00-01:00 UTC",
    ),
    (EXAMPLES["AUS200"].hours or "", INDICES.replace("18:00-Fri", "17:50-Fri")),
    ("Sun 18:00 to Fri 17:00 US Eastern, break 17:00-18:00 daily", INDICES),
    ("around the clock", ALWAYS),
    # The same, written otherwise.
    ("Sunday 21:00 - Friday 21:00 (summer), Sunday 22:00 - Friday 22:00 (winter), GMT", FOREX),
    ("GMT\nSummer time: Sun 21:00–Fri 21:00\nWinter time: Sun 22:00–Fri 22:00", FOREX),
    ("winter Sun 22:00 ~ Fri 22:00 UTC / summer Sun 21:00 ~ Fri 21:00 UTC", FOREX),
    ("Sun 21:00/22:00 to Fri 21:00/22:00 (GMT, summer/winter)", FOREX),
    ("Sun 9 PM - Fri 9:00 p.m. GMT (summer); Sun 10pm - Fri 10 PM GMT (winter)", FOREX),
    ("夏令时:周日21：00至周五21：00,冬令时:星期天22：00到星期五22：00 GMT", FOREX),
    ("Sun 22:00/23:00 - Fri 21:00/22:00, daily break 21:00/22:00 - 22:00/23:00 GMT summer / winter", METALS),
    ("SUN. 18:00:00 to FRI. 17:00:00 (Eastern Time); Break: 17:00 - 18:00 every day", INDICES),
    ("From Sun 6 pm until Fri 5 pm, pause 5 pm to 6 pm, New York time", INDICES),
    ("24/7", ALWAYS),
    ("7×24", ALWAYS),
    ("24 hours a day, 7 days a week (GMT+0)", ALWAYS),
    ("Mon 00:00 - Sun 24:00 UTC", ALWAYS),
    ("Mon-Sun 00:00-24:00 UTC", ALWAYS),
    # Exchanges: what lies between the hours of a day are breaks, the night too.
    (
        "Mon - Fri 09:30-12:00, 13:00-16:00 (Hong Kong time)",
        "Mon 09:30-Fri 16:00, break 12:00-13:00, break 16:00-09:30 Asia/Hong_Kong",
    ),
    (
        "9:30-11:30/13:00-15:00 周一至周五 北京时间",
        "Mon 09:30-Fri 15:00, break 11:30-13:00, break 15:00-09:30 Asia/Shanghai",
    ),
    ("Mon-Fri 9:30 am - 4 pm ET", "Mon 09:30-Fri 16:00, break 16:00-09:30 America/New_York"),
    # What is not said is not made up.
    ("Sun 21:00 to Fri 21:00", "Sun 21:00-Fri 21:00 None"),
    ("Summer: Sun 21:00 to Fri 21:00 GMT", "summer Sun 21:00-Fri 21:00 UTC"),
    ("Mon 08:00 - Fri 20:00 GMT+8", "Mon 08:00-Fri 20:00 Etc/GMT-8"),
    ("Mon 08:00 - Fri 20:00 UTC -05:00", "Mon 08:00-Fri 20:00 Etc/GMT+5"),
    # What cannot be read to the last word is not read.
    ("", None),
    ("see the website", None),
    ("Sun 21:00 to Fri 21:00 except holidays", None),
    ("Sun 21:00", None),
    ("21:00 to 22:00", None),
    ("24 hours", None),
    ("Sun 25:00 to Fri 21:00", None),
    ("Sun 21:60 to Fri 21:00", None),
    ("Sun 13 pm to Fri 21:00", None),
    ("Sunny 21:00 to Fri 21:00", None),
    ("Sun 21:00 to Fri 21:00 EST", None),
    ("Sun 21:00 to Fri 21:00 US Eastern Standard Time", None),
    ("Sun 21:00 GMT to Fri 21:00 US Eastern", None),
    ("Sun 21:00 to Fri 21:00 UTC+15", None),
    ("Sun 21:00 to Fri 21:00, break Fri 21:00-22:00", None),
    ("Sun 21:00 to Fri 21:00, break 21:00-21:00", None),
    ("Mon-Fri 18:00-17:00", None),
    ("Mon-Fri 09:30-12:00, 11:00-16:00", None),
    ("Mon-Mon 09:30-12:00", None),
    ("Sun 21:00 to Fri 21:00; Sun 22:00 to Fri 22:00", None),
    ("Summer: Sun 21:00 to Fri 21:00; Summer: Sun 22:00 to Fri 22:00", None),
    ("Sun 21:00 to Fri 21:00; winter: Sun 22:00 to Fri 22:00; winter", None),
    ("Sun 21:00/22:00 to Fri 21:00/22:00 GMT", None),
]


class TestTradingHours:
    @pytest.mark.parametrize(("text", "weeks"), HOURS, ids=[text for text, _ in HOURS])
    def test_a_text_is_read_whole_or_not_at_all(self, text: str, weeks: str | None) -> None:
        assert told(weeks_of(text)) == weeks

    def test_the_zone_of_the_column_is_that_of_a_text_without_one(self) -> None:
        zone = zone_of_header("Transaction hours (GMT)")
        assert told(weeks_of("Sun 21:00 to Fri 21:00", zone)) == "Sun 21:00-Fri 21:00 UTC"
        assert (
            told(weeks_of("Mon-Fri 9:30-16:00 ET", zone)) == "Mon 09:30-Fri 16:00, break 16:00-09:30 America/New_York"
        )
        assert zone_of_header("Transaction hours") is None
        assert zone_of_header("Transaction hours (GMT or US Eastern)") is None

    @given(
        st.lists(
            st.sampled_from(
                [
                    *("Sun", "Fri", "周一", "21:00", "24:00", "12 pm", "to", "-", "/", ",", "break", "daily"),
                    *("summer", "winter", "GMT", "+8", "ET", "24/7", "x"),
                ]
            ),
            max_size=14,
        ).map(" ".join)
        | st.text(max_size=30)
    )
    def test_whatever_is_written_a_week_that_can_be_comes_of_it_or_nothing(self, text: str) -> None:
        weeks = weeks_of(text)
        if weeks is None:
            return
        assert 1 <= len(weeks) <= 2
        assert len({week.season for week in weeks}) == len(weeks)
        for week in weeks:
            assert week.zone is None or ZoneInfo(week.zone)
            assert 0 <= week.opens < 7 * 1440 > week.closes >= 0
            assert all(0 <= begin < 1440 > end >= 0 != begin - end for begin, end in week.breaks)


AS_OF = datetime(2026, 3, 1, 8, tzinfo=UTC)
# As people write such a sheet: banners, a header that is not tidy, remarks below codes, rows that are none.
FOREX_TAB = """\ufeff"AllTick FOREX, all products",,,,
,,,,
Last update,2026-02-27,,,
No., cOdE\u00a0,Transaction Hours (GMT),NAME , Category
1,EURUSD,Summer: Sun 21:00 to Fri 21:00; Winter: Sun 22:00 to Fri 22:00,Euro / Dollar,Majors
2," USDCNH ",by arrangement,美元/人民币,Crosses
3,"USDKRW
only kept for conversion rates",,USD/KRW
4,EURUSD,,the second one,
5,XAUUSD,,Gold,
6,usdjpy,,small,
7,,,no code at all,
Code,Code,,,
8,XAUEUR
see also,the metals' tab,,,
"""


def rows(sheet: sheets.Sheet) -> list[tuple[object, ...]]:
    return [(one.code, one.name, one.name_cn, one.category, one.hours, told(one.weeks)) for one in sheet.products]


class TestASheet:
    def test_its_products_are_found_whatever_is_around_them(self) -> None:
        sheet = sheets.parse(FOREX_TAB.encode(), "forex", AS_OF)
        hours = "Summer: Sun 21:00 to Fri 21:00; Winter: Sun 22:00 to Fri 22:00"
        assert rows(sheet) == [
            ("EURUSD", "Euro / Dollar", "欧元/美元", "Majors", hours, FOREX),
            ("USDCNH", EXAMPLES["USDCNH"].name, "美元/人民币", "Crosses", "by arrangement", None),
            ("USDKRW", "USD/KRW", None, None, None, None),
            ("XAUEUR", "Gold / Euro", "黄金/欧元", None, None, None),
        ]
        assert {(one.asset_class, one.as_of, one.source) for one in sheet.products} == {("forex", AS_OF, "sheet")}

    def test_rows_that_are_no_products_are_counted_and_shown(self) -> None:
        sheet = sheets.parse(FOREX_TAB.encode(), "forex", AS_OF)
        assert (sheet.skipped, sheet.examples) == (3, ("XAUUSD", "usdjpy", "the metals' tab"))

    @pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
    def test_a_tab_without_names_has_those_that_are_built_in(self, newline: str) -> None:
        tab = newline.join(["Crypto,,", "Code,Category,Transaction hours", "BTCUSDT,Coins,24/7", "PEPEUSDT,,24/7", ""])
        assert rows(sheets.parse(tab.encode(), "crypto", AS_OF)) == [
            ("BTCUSDT", "Bitcoin / Tether", "比特币", "Coins", "24/7", ALWAYS),
            ("PEPEUSDT", None, None, None, "24/7", ALWAYS),
        ]

    @pytest.mark.parametrize(
        "header", ["Code,Name,Chinese name", "产品代码,Name,中文名称", '"Code\n代码",Name,Name (CN)']
    )
    def test_chinese_names_may_have_a_column(self, header: str) -> None:
        sheet = sheets.parse(f"{header}\n1810.HK,Xiaomi,小米集团\n".encode(), "stock_hk", AS_OF)
        assert rows(sheet) == [("1810.HK", "Xiaomi", "小米集团", None, None, None)]

    @pytest.mark.parametrize(
        ("asset_class", "products", "others"),
        [
            ("forex", "EURUSD USDCNH XAUEUR", "XAUUSD XAGUSD EUR/USD eurusd EURUSDT GOLD"),
            ("metal", "GOLD Silver Aluminum XAUCNH", "gold SILVER XAUUSD EURUSD"),
            ("energy", "USOIL UKOIL NGAS", "usoil OIL"),
            ("crypto", "BTCUSDT 1000SATSUSDT", "BTCUSD USDT btcUSDT BTC-USDT"),
            ("cfd_index", "US500 HK50 SMI EUSTX50", "us500 HSI.HK CODE X"),
            ("index", "000001.SH 399006.SZ HSI.HK .DJI.US", "HK50 700.HK DJI.US 1.SH"),
            ("stock_hk", "5.HK 700.HK 89988.HK", "00700.HK 700 700.hk HSI.HK 0.HK"),
            ("stock_us", "A.US AAPL.US BRK.A.US ABRpD.US AACT.U.US ACHR.WS.US AACIW.US", "AAPL aapl.US .DJI.US"),
            ("stock_cn", "600519.SH 000001.SZ", "600519.SS 600519 60051.SH 430047.BJ"),
        ],
    )
    def test_a_code_must_be_one_of_the_tabs_class(self, asset_class: ProductClass, products: str, others: str) -> None:
        tab = "\n".join(["Code", *products.split(), *others.split()])
        sheet = sheets.parse(tab.encode(), asset_class, AS_OF)
        assert [one.code for one in sheet.products] == products.split()
        assert sheet.skipped == len([code for code in others.split() if code != "CODE"])

    @pytest.mark.parametrize(
        ("body", "why"),
        [
            (b"<!DOCTYPE html><html>Sign in</html>", "a web page came instead of CSV"),
            (b"\n <html>", "a web page came instead of CSV"),
            (b"", "no row has a cell 'Code'"),
            (b"Name,Category\nEURUSD,Majors\n", "no row has a cell 'Code'"),
            (b"Code,Name\n", "none of its rows is a product of that class"),
            (b"Code\n700.HK\nEUR/USD\n", "none of its rows is a product of that class, but '700.HK', 'EUR/USD'"),
            (b"Code\n\xff\xfe\n", "it is no CSV in UTF-8 (UnicodeDecodeError)"),
            (b"Code\n" + b"x" * 200_000, "it is no CSV in UTF-8 (Error)"),
        ],
    )
    def test_what_is_no_list_is_refused(self, body: bytes, why: str) -> None:
        with pytest.raises(at.DecodeError) as caught:
            sheets.parse(body, "forex", AS_OF)
        assert str(caught.value).startswith(f"the forex tab of the product list cannot be read: {why}")

    @given(
        st.sampled_from(CLASSES),
        st.lists(
            st.lists(
                st.sampled_from(["Code", "Name", "Hours", "EURUSD", "700.HK", "GOLD", "BTCUSDT", ".DJI.US", "US500"])
                | st.sampled_from(['"', "\n", "\r", "\0", "EURUSD\nremark", "<", "24/7", "黄金"])
                | st.text(max_size=8),
                max_size=4,
            ).map(",".join),
            max_size=8,
        ).map("\n".join),
    )
    def test_whatever_is_in_it_no_code_breaks_the_rules(self, asset_class: ProductClass, text: str) -> None:
        try:
            sheet = sheets.parse(text.encode(errors="surrogatepass"), asset_class, AS_OF)
        except at.DecodeError:
            return
        codes = [one.code for one in sheet.products]
        assert check_codes(codes) == tuple(codes)
        stocks = asset_class.startswith(("stock", "index"))
        assert {family_of(code) for code in codes} == {Family.STOCK if stocks else Family.QUOTE}
        assert products.table(sheet.products).num_rows == len(codes)


class TestTheFrame:
    @pytest.mark.parametrize("kind", ["polars", "pandas", "arrow"])
    @pytest.mark.parametrize("count", [0, 3])
    def test_it_has_the_same_columns_in_every_kind(self, kind: FrameKind, count: int) -> None:
        frame = to_frame(products.table(products.built_in("index")[:count]), kind)
        names = frame.column_names if kind == "arrow" else list(frame.columns)
        assert (names, len(frame)) == (schemas.PRODUCTS.names, count)

    def test_the_hours_are_days_and_times(self) -> None:
        frame = products.table([*products.built_in("crypto")[:1], *products.built_in("stock_cn")[:1]])
        frame = pa.concat_tables([products.table(products.built_in("energy")[-1:]), frame])
        oil, crypto, stock = frame["sessions"].to_pylist()
        assert oil[1] == {
            "season": "winter",
            "zone": "UTC",
            "open_day": "Mon",
            "open": time(1),
            "close_day": "Fri",
            "close": time(22),
            "breaks": [{"start": time(22), "end": time(1)}],
        }
        assert (crypto[0]["open_day"], crypto[0]["open"]) == (crypto[0]["close_day"], crypto[0]["close"])
        assert stock is None
        assert frame["family"].to_pylist() == ["quote", "quote", "stock"]
        assert frame["as_of"].null_count == 3


class TestSearching:
    LISTED = (
        *("7000.HK", "700.HK", "1700.HK", "GOLD", "XAUEUR", "GDX.US", "GOLDA.US"),
        *("600519.SH", "9988.HK", "BRK.A.US", "BTCUSDT", ".DJI.US", "US30"),
    )

    @pytest.mark.parametrize(
        ("text", "codes"),
        [
            ("700.hk", ["700.HK", "1700.HK"]),
            ("700", ["700.HK", "7000.HK", "1700.HK"]),
            ("Gold", ["GOLD", "GOLDA.US", "XAUEUR", "GDX.US"]),
            ("茅台", ["600519.SH"]),
            ("阿里", ["9988.HK"]),
            ("ALI", ["9988.HK"]),
            ("  berkshire   hath ", ["BRK.A.US"]),
            ("ＢＴＣ", ["BTCUSDT"]),
            ("dji", [".DJI.US"]),
            ("dow jones", [".DJI.US", "US30"]),
            ("miners", ["GDX.US"]),
            ("nothing like it", []),
            ("[a-z]*", []),
        ],
    )
    def test_the_likeliest_comes_first(self, text: str, codes: list[str]) -> None:
        named = {"GDX.US": "VanEck Gold", "GOLDA.US": "A fund"}
        listed = [
            products.Product(
                code=code,
                asset_class="stock_us",
                name=named.get(code) or (EXAMPLES[code].name if code in EXAMPLES else None),
                name_cn=EXAMPLES[code].name_cn if code in EXAMPLES else None,
                category="Miners" if code == "GDX.US" else None,
                hours=None,
                weeks=None,
                as_of=None,
                source="sheet",
            )
            for code in self.LISTED
        ]
        assert [one.code for one in products.found(listed, text)] == codes


class TestAPublicPage:
    def fetched(self, url: str) -> bytes:
        async def fetch() -> bytes:
            async with PublicPages(url) as pages:
                return await pages.fetch(url)

        return asyncio.run(fetch())

    def refused(self, url: str) -> at.TransportError:
        with pytest.raises(at.TransportError) as caught:
            self.fetched(url)
        assert str(caught.value).startswith("no page from ")
        return caught.value

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_redirects_are_followed(self, status: int) -> None:
        def answer(path: str) -> Sent:
            return Sent(status, {"location": "/there?b=2"}) if path == "/here?a=1" else Sent(body=b"the list")

        with Listener(answer).running() as server:
            assert self.fetched(f"http://127.0.0.1:{server.port}/here?a=1") == b"the list"
        assert server.asked == ["/here?a=1", "/there?b=2"]

    def test_not_more_than_five_redirects_are(self) -> None:
        def answer(path: str) -> Sent:
            return Sent(302, {"location": f"/{int(path[1:]) - 1}"}) if path != "/0" else Sent(body=b"the list")

        with Listener(answer).running() as server:
            assert self.fetched(f"http://127.0.0.1:{server.port}/5") == b"the list"
            error = self.refused(f"http://127.0.0.1:{server.port}/6")
        assert "more than 5 redirects" in str(error)
        assert not error.transient

    @pytest.mark.parametrize("target", ["http://192.0.2.1/list", "ftp://127.0.0.1/list", "http://lists.example/"])
    def test_a_redirect_to_plain_http_elsewhere_is_refused(self, target: str) -> None:
        with Listener(lambda _: Sent(302, {"location": target})).running() as server:
            error = self.refused(f"http://127.0.0.1:{server.port}/")
        assert f"it redirects to {target.rpartition('/')[0]}, which is refused" in str(error)
        assert not error.transient

    def test_from_https_no_redirect_leads_to_http(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, authority: trustme.CA
    ) -> None:
        authority.cert_pem.write_to_path(tmp_path / "authority.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(tls)
        with (
            Listener(lambda _: Sent(body=b"the list")).running() as plain,
            Listener(lambda _: Sent(302, {"location": f"http://localhost:{plain.port}/"}), tls).running() as server,
        ):
            assert "which is refused" in str(self.refused(f"https://localhost:{server.port}/"))
        assert plain.asked == []

    @pytest.fixture
    def authority(self) -> trustme.CA:
        return trustme.CA()

    @pytest.mark.parametrize(("status", "transient"), [(403, False), (404, False), (429, True), (500, True)])
    def test_another_status_is_an_error(self, status: int, transient: bool) -> None:  # noqa: FBT001
        with Listener(lambda _: Sent(status, body=b"the list")).running() as server:
            error = self.refused(f"http://127.0.0.1:{server.port}/")
        assert str(error) == f"no page from 127.0.0.1:{server.port}: the server answered HTTP {status}"
        assert error.transient is transient

    def test_what_never_ends_is_not_read_to_the_end(self) -> None:
        packed = gzip.compress(bytes(20 * 2**20))
        with Listener(lambda _: Sent(headers={"content-encoding": "gzip"}, body=packed)).running() as server:
            assert "it is larger than 16 MiB" in str(self.refused(f"http://127.0.0.1:{server.port}/"))

    def test_nobody_there_is_an_error_that_may_pass(self) -> None:
        assert self.refused("http://127.0.0.1:9/").transient


# The sandbox's sheets have rows that are no products, as the vendor's have.
pytestmark = pytest.mark.filterwarnings("ignore:one row of the (metal|stock_us) tab:UserWarning")


def asked(server: at.sandbox.Sandbox) -> list[str]:
    """Name the tabs of which the sandbox was asked, and gave, the sheet."""
    tabs = {gid: one for one, gid in sheets.TABS.items()}
    return sorted(tabs[one["gid"]] for one in server.requests() if one["answer"] == "ok")


def kept_in(client: at.Client) -> Path:
    return client.settings.cache_dir / client.settings.origin / "products"


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listings, "_BACK_OFF", tenacity.wait_none())


class TestGettingProducts:
    def test_every_class_is_listed_from_the_sheet_and_energy_from_what_is_built_in(
        self, client: at.Client, server: at.sandbox.Sandbox
    ) -> None:
        frame = client.get_products()
        assert frame.columns == schemas.PRODUCTS.names
        assert frame["code"].is_unique().all()
        assert frame["asset_class"].unique(maintain_order=True).to_list() == list(CLASSES)
        sources = frame.group_by("asset_class").agg(pl.col("source").unique())
        assert dict(sources.rows()) == {one: ["sheet" if one in sheets.TABS else "built-in"] for one in CLASSES}
        assert frame.filter(code="USDKRW").select("category", "source").rows() == [(None, "sheet")]
        assert frame.filter(source="sheet")["as_of"].null_count() == 0
        assert asked(server) == sorted(sheets.TABS)

    def test_its_hours_can_be_read(self, client: at.Client) -> None:
        frame = client.get_products()
        assert frame.filter(pl.col("hours").is_not_null() != pl.col("sessions").is_not_null()).is_empty()
        quoted = frame.filter(family="quote", source="sheet")
        assert quoted.filter(pl.col("hours").is_null())["code"].to_list() == []

    def test_one_class_costs_one_sheet_and_the_next_time_nothing(
        self, client: at.Client, connect: Callable[..., at.Client], server: at.sandbox.Sandbox
    ) -> None:
        first = client.get_products("stock_hk")
        assert asked(server) == ["stock_hk"]
        other = connect(cache_dir=client.settings.cache_dir, token=None, network="never")
        assert client.get_products("stock_hk").equals(first)
        assert other.get_products("stock_hk").equals(first)
        assert client.search_products("tencent", asset_class="stock_hk").equals(first.filter(code="700.HK"))
        assert asked(server) == ["stock_hk"]

    def test_what_is_kept_is_used_until_it_is_refreshed(
        self,
        client: at.Client,
        server: at.sandbox.Sandbox,
        set_clocks: Callable[[str], None],
    ) -> None:
        set_clocks("2026-03-01T08:00Z")
        old = client.get_products("crypto")
        set_clocks("2026-09-01T08:00Z")
        server.configure(sheets={"crypto": "Code,Category\nNEWUSDT,Crypto\n"})
        assert client.get_products("crypto").equals(old)
        new = client.get_products("crypto", refresh=True)
        assert new.select("code", "as_of").rows() == [("NEWUSDT", datetime(2026, 9, 1, 8, tzinfo=UTC))]
        assert client.get_products("crypto").equals(new)
        assert asked(server) == ["crypto", "crypto"]

    def test_nothing_of_the_allowance_is_used(self, client: at.Client, server: at.sandbox.Sandbox) -> None:
        before = client.estimate_kline("EURUSD", "1h", 10).left_today
        client.get_products()
        assert client.estimate_kline("EURUSD", "1h", 10).left_today == before
        assert {(one["endpoint"], *one["parameters"]) for one in server.requests()} == {("sheet", "format", "gid")}

    def test_no_token_is_sent(self, connect: Callable[..., at.Client]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            received: list[bytes] = []

            def answer() -> None:
                connection, _ = server.accept()
                with connection:
                    received.append(connection.recv(1 << 16))
                    connection.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nCode\n5.HK\n")

            thread = threading.Thread(target=answer)
            thread.start()
            client = connect(token=TOKEN, base_url=f"http://127.0.0.1:{server.getsockname()[1]}")
            assert client.get_products("stock_hk")["code"].to_list() == ["5.HK"]
            thread.join()
        assert received[0].startswith(b"GET /spreadsheets/d/1avkeR1heZSj6gXIkDeBt8X3nv4EzJetw4yFuKjSDYtA/export?")
        assert not holds_token(received[0])
        assert b"uthorization" not in received[0]
        assert b"ookie" not in received[0]
        (kept,) = kept_in(client).iterdir()
        assert not holds_token(kept.read_bytes())

    def test_the_sheet_may_be_elsewhere(self, connect: Callable[..., at.Client]) -> None:
        with Listener(lambda _: Sent(body=b"Code\n700.HK\n")).running() as mirror:
            client = connect(products_url=f"http://127.0.0.1:{mirror.port}/copy/{{gid}}.csv")
            assert client.get_products("stock_hk", frame="arrow")["code"].to_pylist() == ["700.HK"]
            assert mirror.asked == [f"/copy/{sheets.TABS['stock_hk']}.csv"]

    def test_as_google_does_the_sandbox_may_redirect(self, client: at.Client, server: at.sandbox.Sandbox) -> None:
        server.configure(readings={"sheet_delivery": "redirected"})
        assert client.get_products("index")["source"].unique().to_list() == ["sheet"]

    def test_rows_that_are_left_out_are_said_once(self, client: at.Client, server: at.sandbox.Sandbox) -> None:
        server.configure(sheets={"cn": "Code\n600519.SH\n600519.SS\n1\n2\nsee www.alltick.co\n"})
        with pytest.warns(at.ProductListWarning) as caught:
            client.get_products("stock_cn")
        assert [str(one.message) for one in caught] == [
            "4 rows of the stock_cn tab of the product list are left out, having no code of that class: "
            "'600519.SS', '1', '2', …"
        ]
        assert caught[0].filename == __file__
        assert len(client.get_products("stock_cn")) == 1

    @pytest.mark.usefixtures("hurried")
    @pytest.mark.parametrize("fault", ["drop", "drop_mid_body", "server_error", "throttled_http_429"])
    def test_a_fault_that_passes_is_borne(self, client: at.Client, server: at.sandbox.Sandbox, fault: str) -> None:
        server.fail_next(2, fault)
        assert client.get_products("index")["source"].unique().to_list() == ["sheet"]
        assert server.counters()["requests"] == 3

    @pytest.mark.usefixtures("hurried")
    def test_without_the_network_what_is_built_in_is_listed_and_said(self, connect: Callable[..., at.Client]) -> None:
        client = connect(base_url="http://127.0.0.1:9")
        with pytest.warns(at.ProductListWarning) as caught:
            frame = client.get_products()
        assert len(caught) == 1
        said = str(caught[0].message)
        assert said.startswith("the product list of forex, metal, crypto, cfd_index, index, stock_hk, stock_us, stock_")
        assert said.count("no page from 127.0.0.1:9") == 1
        assert "Listed is only the examples that are built in: forex, metal, crypto" in said
        assert said.endswith("set ALLTICK_PRODUCTS_URL to a copy of the sheet that you can reach")
        assert frame["code"].to_list() == [
            code for asset_class in CLASSES for code, one in EXAMPLES.items() if one.asset_class == asset_class
        ]
        assert frame["source"].unique().to_list() == ["built-in"]

    @pytest.mark.usefixtures("hurried")
    def test_what_could_not_be_had_is_not_asked_for_again_at_once(
        self, client: at.Client, server: at.sandbox.Sandbox
    ) -> None:
        server.configure(faults={"server_error": 1.0})
        for _ in range(2):
            with pytest.warns(at.ProductListWarning, match="HTTP 500"):
                client.search_products("moutai", asset_class="stock_cn")
        assert server.counters()["requests"] == 3
        server.configure(faults={})
        assert client.get_products("stock_cn", refresh=True)["source"].unique().to_list() == ["sheet"]
        assert client.get_products("stock_cn")["source"].unique().to_list() == ["sheet"]

    @pytest.mark.usefixtures("hurried")
    @pytest.mark.parametrize(
        ("sheet", "why"),
        [
            ("<html>Sign in</html>", "a web page came instead of CSV"),
            ("nothing,here\n", "no row has a cell 'Code'"),
            (None, "the server answered HTTP 500"),
        ],
    )
    def test_what_was_kept_stands_in_for_a_sheet_that_is_none(
        self,
        client: at.Client,
        server: at.sandbox.Sandbox,
        set_clocks: Callable[[str], None],
        sheet: str | None,
        why: str,
    ) -> None:
        set_clocks("2026-03-01T08:00Z")
        old = client.get_products("crypto")
        set_clocks("2026-03-13T09:00Z")
        server.configure(**({"sheets": {"crypto": sheet}} if sheet else {"faults": {"server_error": 1.0}}))
        with pytest.warns(at.ProductListWarning) as caught:
            frame = client.get_products("crypto", refresh=True)
        assert frame.equals(old)
        (said,) = [str(one.message) for one in caught]
        assert why in said
        assert "Listed is what was kept: crypto of 2026-03-01 (12 days ago); try again later" in said

    @pytest.mark.parametrize(
        "damage", ["cut", "turned over", "empty", "no text", "another tab's", "no date", "no file"]
    )
    def test_a_damaged_file_counts_as_absent(self, client: at.Client, server: at.sandbox.Sandbox, damage: str) -> None:
        whole = client.get_products("crypto")
        client.get_products("index")
        path, other = kept_in(client) / "crypto.sheet", kept_in(client) / "index.sheet"
        content = path.read_bytes()
        path.unlink()
        match damage:
            case "cut":
                path.write_bytes(content[:-20])
            case "turned over":
                path.write_bytes(content[:-20] + bytes([content[-20] ^ 1]) + content[-19:])
            case "another tab's":
                path.write_bytes(other.read_bytes())
            case "no date":
                path.write_bytes(re.sub(rb'"as_of":"[^"]*"', b'"as_of":"2026-03-01T08:00:00"', content))
            case "no file":
                path.mkdir()
            case _:
                path.write_bytes(b"" if damage == "empty" else b"\0\xff" * 99)
        server.reset()
        if damage == "no file":
            with pytest.warns(at.ProductListWarning, match="could not be kept in .*: Is a directory"):
                again = client.get_products("crypto")
        else:
            again = client.get_products("crypto")
            assert path.read_bytes().partition(b"\n")[2] == content.partition(b"\n")[2]
        assert again.drop("as_of").equals(whole.drop("as_of"))
        assert asked(server) == ["crypto"]
        assert sorted(one.name for one in kept_in(client).iterdir()) == ["crypto.sheet", "index.sheet"]

    def test_with_the_network_off_nothing_is_sent_and_it_is_said_what_is_not_kept(
        self, client: at.Client, connect: Callable[..., at.Client], server: at.sandbox.Sandbox
    ) -> None:
        client.get_products("crypto")
        server.reset()
        offline = connect(cache_dir=client.settings.cache_dir, network="never")
        with pytest.warns(at.ProductListWarning, match="no product list is kept of forex, metal, cfd_index, index, "):
            frame = offline.get_products()
        assert dict(frame.group_by("source").len().rows()) == {
            "sheet": len(client.get_products("crypto")),
            "built-in": len([one for one in EXAMPLES.values() if one.asset_class != "crypto"]),
        }
        with pytest.raises(at.ArgumentError, match="refresh=True with network='never'"):
            offline.get_products(refresh=True)
        assert server.requests() == []

    def test_it_is_kept_for_its_owner_only_and_not_in_the_way_of_the_archive(self, client: at.Client) -> None:
        client.get_products("crypto")
        modes = {path.stat().st_mode & 0o777 for path in (kept_in(client), kept_in(client).parent)}
        assert modes == {0o700}
        assert len(client.get_kline("BTCUSDT", "1h", 10)) == 10
        assert repair.verify(client.settings.cache_dir, client.settings.origin) == []

    def test_it_works_where_nothing_can_be_kept(self, connect: Callable[..., at.Client], tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        client = connect(cache_dir=tmp_path / "file")
        with pytest.warns(at.ProductListWarning, match="could not be kept in .*: Not a directory; it will be fetched"):
            assert "BTCUSDT" in client.get_products("crypto")["code"]

    def test_many_threads_leave_whole_files(self, client: at.Client) -> None:
        with ThreadPoolExecutor(4) as pool:
            frames = list(pool.map(lambda _: client.get_products("stock_us", refresh=True), range(8)))
        assert len({one.height for one in frames}) == 1
        assert [one.name for one in kept_in(client).iterdir()] == ["stock_us.sheet"]
        assert client.get_products("stock_us").height == frames[0].height

    def test_asynchronously_it_is_the_same(self, client: at.Client) -> None:
        async def both() -> tuple[pl.DataFrame, pl.DataFrame]:
            async with at.AsyncClient(base_url=client.settings.base_url) as other:
                return await other.get_products("crypto"), await other.search_products("doge", asset_class="crypto")

        listed, found = asyncio.run(both())
        assert listed.drop("as_of").equals(client.get_products("crypto").drop("as_of"))
        assert found["code"].to_list() == ["DOGEUSDT"]

    @pytest.mark.parametrize("kind", ["pandas", "arrow"])
    def test_a_search_without_a_result_is_an_empty_frame(self, client: at.Client, kind: FrameKind) -> None:
        frame: Any = client.search_products("nothing is called so", asset_class="index", frame=kind)
        assert len(frame) == 0
        assert list(frame.column_names if kind == "arrow" else frame.columns) == schemas.PRODUCTS.names

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda client: client.get_products("stocks"), "asset_class='stocks' is not known; use one of: 'forex' "),
            (lambda client: client.get_products(frame="excel"), "frame='excel' is not known; use one of: 'polars' "),
            (
                lambda client: client.search_products(" "),
                "text=' ' must be part of a code or a name, such as 'tencent'",
            ),
            (lambda client: client.search_products(700), "text=700 must be part of a code or a name"),
            (lambda client: client.search_products("a", asset_class="x"), "asset_class='x' is not known"),
        ],
    )
    def test_what_cannot_be_asked_is_refused_before_anything_is_sent(
        self, client: at.Client, server: at.sandbox.Sandbox, call: Callable[[at.Client], Any], message: str
    ) -> None:
        with pytest.raises(at.ArgumentError) as caught:
            call(client)
        assert str(caught.value).startswith(message)
        assert server.requests() == []
