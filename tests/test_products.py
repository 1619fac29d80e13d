"""The product list: what is built in, what is read of the vendor's sheet, what is kept of it, how it is searched."""

from __future__ import annotations

import asyncio
import gzip
import re
import ssl
from datetime import UTC, datetime, time
from typing import TYPE_CHECKING, get_args
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

import alltick_frames as at
from alltick_frames import products, schemas, sheets
from alltick_frames.catalog import CLASSES, EXAMPLES, ProductClass, did_you_mean
from alltick_frames.codes import Family, check_codes, family_of
from alltick_frames.frames import to_frame
from alltick_frames.plans import FREE_CODES
from alltick_frames.trading_hours import DAYS, Week, weeks_of, zone_of_header
from alltick_frames.transport import PublicPages
from tests.test_secrets import Listener, Sent

if TYPE_CHECKING:
    from collections.abc import Sequence
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
