"""The product sheets: CSV as people and Google write it, where no token is asked for."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import pytest

from alltick_frames.sandbox.products import DEMO_CODES, AssetClass, find_product
from alltick_frames.sandbox.sheets import DOCUMENT, TABS

if TYPE_CHECKING:
    import httpx

    from .conftest import Asker

GIDS = {tab.name: gid for gid, tab in TABS.items()}
CLASSES = {
    "forex": AssetClass.FOREX,
    "metal": AssetClass.METAL,
    "energy": AssetClass.ENERGY,
    "cfd": AssetClass.CFD_INDEX,
    "crypto": AssetClass.CRYPTO,
    "us": AssetClass.STOCK_US,
    "hk": AssetClass.STOCK_HK,
    "index": AssetClass.INDEX,
    "cn": AssetClass.STOCK_CN,
}


def export(ask: Asker, tab: str = "forex", **parameters: str) -> httpx.Response:
    document = parameters.pop("document", DOCUMENT)
    return ask.raw(f"/spreadsheets/d/{document}/export", **{"format": "csv", "gid": GIDS[tab], **parameters})


def rows(ask: Asker, tab: str) -> list[dict[str, str]]:
    """Return the rows below the header, by its names."""
    lines = list(csv.reader(export(ask, tab).text.splitlines(keepends=True)))
    header = next(number for number, line in enumerate(lines) if line[0] == "Code")
    return [dict(zip(lines[header], line, strict=True)) for line in lines[header + 1 :]]


def code_of(row: dict[str, str]) -> str:
    return row["Code"].splitlines()[0].strip()


def by_code(ask: Asker, tab: str) -> dict[str, dict[str, str]]:
    return {code_of(row): row for row in rows(ask, tab)}


@pytest.mark.parametrize("tab", GIDS)
def test_a_sheet_is_csv_under_a_banner(ask: Asker, tab: str) -> None:
    answer = export(ask, tab)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/csv")
    assert answer.headers["content-disposition"].startswith("attachment")
    lines = list(csv.reader(answer.text.splitlines(keepends=True)))
    header = [line[0] for line in lines].index("Code")
    assert header >= 1
    assert len({len(line) for line in lines}) == 1


@pytest.mark.parametrize("tab", GIDS)
def test_every_product_of_a_sheet_is_one_of_the_sandbox(ask: Asker, tab: str) -> None:
    found = {code: find_product(code) for code in by_code(ask, tab)}
    unknown = [code for code, product in found.items() if product is None]
    assert unknown == {"metal": ["XAU/USD (see GOLD)"], "us": ["More to come"]}.get(tab, [])
    assert {product.asset_class for product in found.values() if product is not None} == {CLASSES[tab]}
    assert len(found) >= 3


def test_the_demo_codes_and_every_documented_form_are_listed(ask: Asker) -> None:
    listed = {code for tab in GIDS for code in by_code(ask, tab)}
    assert listed >= DEMO_CODES
    assert listed >= {"BRK.B.US", "ABRpD.US", "AACT.U.US", "ACHR.WS.US", "AACIW.US", "XAUCNH", "1INCHUSDT", "5.HK"}


def test_columns_are_those_of_the_vendor(ask: Asker) -> None:
    assert list(rows(ask, "forex")[0]) == ["Code", "Name", "Transaction hours", "Category"]
    assert list(rows(ask, "crypto")[0]) == ["Code", "Transaction hours", "Category"]


def test_names_are_chinese_where_the_products_are(ask: Asker) -> None:
    assert by_code(ask, "hk")["700.HK"]["Name"] == "腾讯控股 Tencent"
    assert by_code(ask, "cn")["600519.SH"]["Name"] == "贵州茅台 Kweichow Moutai"
    assert by_code(ask, "index")["HSI.HK"]["Name"] == "恒生指数 Hang Seng Index"


def test_cells_are_as_people_fill_them_in(ask: Asker) -> None:
    forex, metal = by_code(ask, "forex"), by_code(ask, "metal")
    assert forex["USDSGD"]["Code"] == " USDSGD "
    assert metal["Silver"]["Code"] == "Silver "
    assert forex["USDKRW"]["Code"].splitlines()[1:] == ["Only kept for conversion rates 仅用于汇率换算"]
    won = {code: row["Category"] for code, row in forex.items() if code.endswith("KRW")}
    assert len(won) == 5
    assert not any(won.values())
    assert all(row["Category"] == "Forex" for code, row in forex.items() if code not in won)


def test_hours_are_those_of_the_vendors_list(ask: Asker) -> None:
    forex, energy, stocks = by_code(ask, "forex"), by_code(ask, "energy"), by_code(ask, "us")
    assert "Sun 21:00 - Fri 21:00" in forex["EURUSD"]["Transaction hours"]
    assert energy["UKOIL"]["Transaction hours"] != energy["USOIL"]["Transaction hours"]
    assert stocks["AAPL.US"]["Transaction hours"] == ""


@pytest.mark.parametrize("wrong", [{"gid": "1"}, {"gid": ""}, {"document": "another"}, {"format": "xlsx"}])
def test_what_does_not_exist_is_not_found(ask: Asker, wrong: dict[str, str]) -> None:
    answer = export(ask, **wrong)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html")


def test_a_request_without_a_tab_is_not_found(ask: Asker) -> None:
    assert ask.raw(f"/spreadsheets/d/{DOCUMENT}/export", format="csv").status_code == 404
    assert ask.raw("/spreadsheets/", format="csv").status_code == 404
    address = f"{ask.sandbox.url}/spreadsheets/d/{DOCUMENT}/export"
    assert ask.http.post(address, params={"format": "csv", "gid": GIDS["forex"]}).status_code == 404


def test_sheets_are_logged_and_use_up_no_allowance(ask: Asker) -> None:
    ask.sandbox.configure(plan="free", limits=True)
    assert [export(ask).status_code for _ in range(12)] == [200] * 12
    assert ask.kline("USDJPY", "1d", num=1).status_code == 200
    assert ask.sandbox.violations() == {}
    assert ask.sandbox.counters()["endpoints"] == {"sheet": 12, "kline": 1}
    entry = ask.sandbox.requests()[0]
    assert (entry["endpoint"], entry["gid"], entry["answer"]) == ("sheet", GIDS["forex"], "ok")
    assert entry["parameters"] == ["format", "gid"]


def test_sheets_can_fail(ask: Asker) -> None:
    ask.sandbox.fail_next(1, "bad_gateway")
    assert export(ask).status_code == 502
    assert export(ask).status_code == 200
    assert [entry["answer"] for entry in ask.sandbox.requests()] == ["bad_gateway", "ok"]


def test_a_sheet_can_be_elsewhere(ask: Asker) -> None:
    text = export(ask).text
    ask.sandbox.configure(readings={"sheet_delivery": "redirected"})
    answer = export(ask)
    assert (answer.status_code, answer.text) == (307, "")
    assert ask.http.get(ask.sandbox.url + answer.headers["location"]).text == text


def test_a_sheet_can_be_another(ask: Asker) -> None:
    ask.sandbox.configure(sheets={"crypto": "Code,Category\nXUSDT,Crypto\n"})
    assert export(ask, "crypto").text == "Code,Category\nXUSDT,Crypto\n"
    assert export(ask, "forex").text.startswith("Forex")
    with pytest.raises(ValueError, match="sheets: 'bonds' is not one of forex, metal"):
        ask.sandbox.configure(sheets={"bonds": ""})
