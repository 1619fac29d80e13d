"""What the vendor sells, as far as its documentation names it: the classes, some seventy codes, and likely slips.

Enough to name an example or to see what a wrong code may have meant, with no network at all. The whole list is the
vendor's product sheet (`sheets`).
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

__all__ = ["CLASSES", "EXAMPLES", "Example", "ProductClass", "did_you_mean"]

ProductClass = Literal["forex", "metal", "energy", "crypto", "cfd_index", "index", "stock_hk", "stock_us", "stock_cn"]
CLASSES: tuple[ProductClass, ...] = get_args(ProductClass)


@dataclass(frozen=True, slots=True)
class Example:
    """A code that the vendor's pages name, and what it stands for.

    Attributes
    ----------
    name_cn
        In simplified characters.
    hours
        As in the vendor's list of 2025-01, in our words; stocks and market indices were not in it.
    """

    code: str
    asset_class: ProductClass
    name: str
    name_cn: str
    hours: str | None


# The vendor's list of 2025-01 gives all but the CFD indices in GMT.
_FOREX = "Summer: Sun 21:00 to Fri 21:00; winter: Sun 22:00 to Fri 22:00 (GMT)"
_METALS_AND_ENERGY = (
    "Summer: Sun 22:00 to Fri 21:00, break 21:00-22:00 daily; "
    "winter: Sun 23:00 to Fri 22:00, break 22:00-23:00 daily (GMT)"
)
_UKOIL = (
    "Summer: Mon 00:00 to Fri 21:00, break 21:00-24:00 daily; "
    "winter: Mon 01:00 to Fri 22:00, break 22:00-01:00 daily (GMT)"
)
_INDUSTRIAL_METALS = (
    "Summer: Mon 00:00 to Fri 18:00, break 18:00-24:00 daily; "
    "winter: Mon 01:00 to Fri 19:00, break 19:00-01:00 daily (GMT)"
)
_INDICES = "Sun 18:00 to Fri 17:00, break 17:00-18:00 daily (US Eastern)"
_AUS200 = "Sun 17:50 to Fri 17:00, break 17:00-18:00 daily (US Eastern)"
_CRYPTO = "around the clock"

_LISTED: dict[tuple[ProductClass, str | None], tuple[tuple[str, str, str], ...]] = {
    ("forex", _FOREX): (
        ("EURUSD", "Euro / US Dollar", "欧元/美元"),
        ("GBPUSD", "British Pound / US Dollar", "英镑/美元"),
        ("USDJPY", "US Dollar / Japanese Yen", "美元/日元"),
        ("USDCNH", "US Dollar / Offshore Chinese Renminbi", "美元/离岸人民币"),
        ("AUDUSD", "Australian Dollar / US Dollar", "澳元/美元"),
        ("NZDUSD", "New Zealand Dollar / US Dollar", "新西兰元/美元"),
        ("USDCAD", "US Dollar / Canadian Dollar", "美元/加元"),
        ("USDCHF", "US Dollar / Swiss Franc", "美元/瑞士法郎"),
        ("USDHKD", "US Dollar / Hong Kong Dollar", "美元/港元"),
        ("EURJPY", "Euro / Japanese Yen", "欧元/日元"),
    ),
    ("metal", _METALS_AND_ENERGY): (
        ("GOLD", "Gold / US Dollar, spot", "黄金/美元"),
        ("Silver", "Silver / US Dollar, spot", "白银/美元"),
        ("Platinum", "Platinum / US Dollar, spot", "铂金/美元"),
        ("Palladium", "Palladium / US Dollar, spot", "钯金/美元"),
        ("XAUEUR", "Gold / Euro", "黄金/欧元"),
        ("XAUCNH", "Gold / Offshore Chinese Renminbi", "黄金/离岸人民币"),
        ("XAGEUR", "Silver / Euro", "白银/欧元"),
    ),
    ("metal", _INDUSTRIAL_METALS): (
        ("COPPER", "Copper", "铜"),
        ("Aluminum", "Aluminum", "铝"),
        ("Nickel", "Nickel", "镍"),
        ("Lead", "Lead", "铅"),
        ("Zinc", "Zinc", "锌"),
    ),
    ("energy", _METALS_AND_ENERGY): (
        ("USOIL", "US Crude Oil (WTI)", "美国原油"),
        ("NGAS", "Natural Gas", "天然气"),
    ),
    ("energy", _UKOIL): (("UKOIL", "UK Crude Oil (Brent)", "布伦特原油"),),
    ("crypto", _CRYPTO): (
        ("BTCUSDT", "Bitcoin / Tether", "比特币"),
        ("ETHUSDT", "Ethereum / Tether", "以太坊"),
        ("SOLUSDT", "Solana / Tether", "索拉纳"),
        ("XRPUSDT", "XRP / Tether", "瑞波币"),
        ("BNBUSDT", "BNB / Tether", "币安币"),
        ("DOGEUSDT", "Dogecoin / Tether", "狗狗币"),
    ),
    ("cfd_index", _INDICES): (
        ("US500", "S&P 500 (CFD)", "标普500指数差价合约"),
        ("US30", "Dow Jones Industrial Average (CFD)", "道琼斯工业指数差价合约"),
        ("NAS100", "Nasdaq 100 (CFD)", "纳斯达克100指数差价合约"),
        ("HK50", "Hang Seng Index (CFD)", "恒生指数差价合约"),
        ("CHA50", "China A50 (CFD)", "中国A50指数差价合约"),
        ("JPN225", "Nikkei 225 (CFD)", "日经225指数差价合约"),
        ("GER30", "DAX, Germany (CFD)", "德国DAX指数差价合约"),
        ("UK100", "FTSE 100 (CFD)", "英国富时100指数差价合约"),
    ),
    ("cfd_index", _AUS200): (("AUS200", "S&P/ASX 200 (CFD)", "澳洲标普200指数差价合约"),),
    ("index", None): (
        ("000001.SH", "SSE Composite Index", "上证指数"),
        ("399001.SZ", "SZSE Component Index", "深证成指"),
        ("399006.SZ", "ChiNext Index", "创业板指"),
        ("HSI.HK", "Hang Seng Index", "恒生指数"),
        ("HSCEI.HK", "Hang Seng China Enterprises Index", "恒生中国企业指数"),
        ("HSTECH.HK", "Hang Seng TECH Index", "恒生科技指数"),
        (".DJI.US", "Dow Jones Industrial Average", "道琼斯工业平均指数"),
        (".IXIC.US", "Nasdaq Composite", "纳斯达克综合指数"),
        (".SPX.US", "S&P 500", "标普500指数"),
    ),
    ("stock_hk", None): (
        ("700.HK", "Tencent Holdings", "腾讯控股"),
        ("9988.HK", "Alibaba Group", "阿里巴巴"),
        ("388.HK", "Hong Kong Exchanges and Clearing", "香港交易所"),
        ("5.HK", "HSBC Holdings", "汇丰控股"),
    ),
    ("stock_us", None): (
        ("AAPL.US", "Apple", "苹果"),
        ("MSFT.US", "Microsoft", "微软"),
        ("TSLA.US", "Tesla", "特斯拉"),
        ("BRK.A.US", "Berkshire Hathaway, class A", "伯克希尔哈撒韦A"),
        ("BRK.B.US", "Berkshire Hathaway, class B", "伯克希尔哈撒韦B"),
        ("ABRpD.US", "Arbor Realty Trust, preferred series D", "Arbor房地产信托优先股D"),
        ("AACT.U.US", "Ares Acquisition Corporation II, units", "Ares收购二号单位"),
        ("ACHR.WS.US", "Archer Aviation, warrants", "Archer Aviation权证"),
        ("AACIW.US", "Armada Acquisition Corp. I, warrants", "Armada收购一号权证"),
    ),
    ("stock_cn", None): (
        ("600519.SH", "Kweichow Moutai", "贵州茅台"),
        ("000001.SZ", "Ping An Bank", "平安银行"),
        ("600416.SH", "Xiangtan Electric Manufacturing", "湘电股份"),
        ("000627.SZ", "Hubei Biocause (Tianmao Group)", "天茂集团"),
        ("002035.SZ", "Vatti", "华帝股份"),
        ("000055.SZ", "China Fangda Group", "方大集团"),
    ),
}

EXAMPLES: dict[str, Example] = {
    code: Example(code, asset_class, name, name_cn, hours)
    for (asset_class, hours), rows in _LISTED.items()
    for code, name, name_cn in rows
}

# Descriptions in the vendor's list that are no codes of it (whether the alias works is unknown).
_DESCRIPTIONS = {"XAUUSD": "GOLD", "XAGUSD": "Silver"}
_SUFFIXES = (".HK", ".US", ".SH", ".SZ")
_LEADING_ZEROS = re.compile(r"^0+(?=\d+\.HK$)")
_SHANGHAI = re.compile(r"\.SS$")
_SEPARATORS = re.compile(r"[-/_ ]")
_MOST = 3
# From here on two words differ by a slip; below it any two tickers would do.
_ALIKE = 0.75


def did_you_mean(code: str, known: Collection[str]) -> tuple[str, ...]:
    """Find those of *known* that *code* may have been meant to be, the likeliest first; none if it is one of them.

    Examples
    --------
    >>> [did_you_mean(code, EXAMPLES) for code in ("XAUUSD", "silver", "00700.HK", "600519.SS", "EURUSB", "Tencent")]
    [('GOLD',), ('Silver',), ('700.HK',), ('600519.SH',), ('EURUSD',), ('700.HK',)]
    """
    if code in known:
        return ()
    by_fold: dict[str, list[str]] = {}
    for one in known:
        by_fold.setdefault(one.casefold(), []).append(one)
    respelt = [one for spelling in _spellings(code) for one in by_fold.get(spelling.casefold(), ())]
    if respelt:
        return tuple(dict.fromkeys(respelt))[:_MOST]
    named = [one for one in known if one in EXAMPLES and code.strip().casefold() in _names(EXAMPLES[one])]
    if named:
        return tuple(named)[:_MOST]
    # A number one digit off is another company, not a slip.
    if code.rpartition(".")[0].isdigit() or code.isdigit():
        return ()
    alike = difflib.get_close_matches(code.casefold(), by_fold, n=_MOST, cutoff=_ALIKE)
    return tuple(one for fold in alike for one in by_fold[fold])[:_MOST]


def _names(example: Example) -> set[str]:
    """Give what an example is called: its whole names, and the first word of the English one."""
    whole = {example.name.casefold(), example.name_cn.casefold()}
    return whole | {example.name.split()[0].casefold()}


def _spellings(code: str) -> Iterator[str]:
    """Give *code* as it may have to be written, the surest first."""
    text = code.strip()
    yield text
    yield _DESCRIPTIONS.get(text.upper(), text)
    text = _SHANGHAI.sub(".SH", _LEADING_ZEROS.sub("", text.upper()))
    yield text
    yield _SEPARATORS.sub("", text)
    yield f".{text}"
    for suffix in _SUFFIXES:
        yield f"{text}{suffix}"
        yield f".{text}{suffix}"
        yield _LEADING_ZEROS.sub("", f"{text}{suffix}")
    yield f"{text}T"
    yield f"{text}USDT"
