"""The names of products: those of well-known ones, and invented ones for the rest.

Each line of the tables is a code, an English name and, where there is one, a simplified and a traditional Chinese name.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from alltick_frames.sandbox.hashing import key_of

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LISTED", "Names", "names_of"]


@dataclass(frozen=True, slots=True)
class Names:
    """What one product is called."""

    english: str
    simplified: str = ""
    traditional: str = ""


_INDEX = """
000001.SH | SSE Composite Index | 上证指数 | 上證指數
399001.SZ | SZSE Component Index | 深证成指 | 深證成指
399006.SZ | ChiNext Index | 创业板指 | 創業板指
HSI.HK | Hang Seng Index | 恒生指数 | 恒生指數
HSCEI.HK | Hang Seng China Enterprises Index | 国企指数 | 國企指數
HSTECH.HK | Hang Seng TECH Index | 恒生科技指数 | 恒生科技指數
.DJI.US | Dow Jones Industrial Average | 道琼斯工业平均指数 | 道瓊斯工業平均指數
.IXIC.US | NASDAQ Composite | 纳斯达克综合指数 | 納斯達克綜合指數
.SPX.US | S&P 500 Index | 标普500指数 | 標普500指數
"""

_HK = """
1.HK | CKH Holdings | 长和 | 長和
2.HK | CLP Holdings | 中电控股 | 中電控股
3.HK | HK & China Gas | 香港中华煤气 | 香港中華煤氣
5.HK | HSBC Holdings | 汇丰控股 | 滙豐控股
11.HK | Hang Seng Bank | 恒生银行 | 恒生銀行
16.HK | SHK Properties | 新鸿基地产 | 新鴻基地產
27.HK | Galaxy Entertainment | 银河娱乐 | 銀河娛樂
66.HK | MTR Corporation | 港铁公司 | 港鐵公司
175.HK | Geely Auto | 吉利汽车 | 吉利汽車
267.HK | CITIC | 中信股份 | 中信股份
386.HK | Sinopec Corp. | 中国石油化工股份 | 中國石油化工股份
388.HK | HKEX | 香港交易所 | 香港交易所
669.HK | Techtronic Industries | 创科实业 | 創科實業
700.HK | Tencent | 腾讯控股 | 騰訊控股
762.HK | China Unicom | 中国联通 | 中國聯通
857.HK | PetroChina | 中国石油股份 | 中國石油股份
883.HK | CNOOC | 中国海洋石油 | 中國海洋石油
939.HK | CCB | 建设银行 | 建設銀行
941.HK | China Mobile | 中国移动 | 中國移動
981.HK | SMIC | 中芯国际 | 中芯國際
992.HK | Lenovo Group | 联想集团 | 聯想集團
1024.HK | Kuaishou | 快手 | 快手
1088.HK | China Shenhua | 中国神华 | 中國神華
1211.HK | BYD Company | 比亚迪股份 | 比亞迪股份
1288.HK | ABC | 农业银行 | 農業銀行
1299.HK | AIA | 友邦保险 | 友邦保險
1398.HK | ICBC | 工商银行 | 工商銀行
1810.HK | Xiaomi | 小米集团 | 小米集團
2318.HK | Ping An | 中国平安 | 中國平安
2800.HK | Tracker Fund | 盈富基金 | 盈富基金
3690.HK | Meituan | 美团 | 美團
3988.HK | Bank of China | 中国银行 | 中國銀行
9618.HK | JD.com | 京东集团 | 京東集團
9888.HK | Baidu | 百度集团 | 百度集團
9988.HK | Alibaba | 阿里巴巴 | 阿里巴巴
9999.HK | NetEase | 网易 | 網易
"""

_CN = """
600000.SH | SPD Bank | 浦发银行 | 浦發銀行
600009.SH | Shanghai Airport | 上海机场 | 上海機場
600028.SH | Sinopec | 中国石化 | 中國石化
600030.SH | CITIC Securities | 中信证券 | 中信証券
600036.SH | China Merchants Bank | 招商银行 | 招商銀行
600104.SH | SAIC Motor | 上汽集团 | 上汽集團
600276.SH | Hengrui Pharma | 恒瑞医药 | 恆瑞醫藥
600416.SH | XEMC | 湘电股份 | 湘電股份
600519.SH | Kweichow Moutai | 贵州茅台 | 貴州茅台
600887.SH | Yili | 伊利股份 | 伊利股份
600900.SH | Yangtze Power | 长江电力 | 長江電力
601012.SH | LONGi | 隆基绿能 | 隆基綠能
601318.SH | Ping An | 中国平安 | 中國平安
601398.SH | ICBC | 工商银行 | 工商銀行
601857.SH | PetroChina | 中国石油 | 中國石油
601899.SH | Zijin Mining | 紫金矿业 | 紫金礦業
603288.SH | Haitian | 海天味业 | 海天味業
688111.SH | Kingsoft Office | 金山办公 | 金山辦公
688981.SH | SMIC | 中芯国际 | 中芯國際
000001.SZ | Ping An Bank | 平安银行 | 平安銀行
000002.SZ | Vanke A | 万科A | 萬科A
000063.SZ | ZTE | 中兴通讯 | 中興通訊
000333.SZ | Midea Group | 美的集团 | 美的集團
000627.SZ | Tianmao Group | 天茂集团 | 天茂集團
000651.SZ | Gree Electric | 格力电器 | 格力電器
000725.SZ | BOE A | 京东方A | 京東方A
000858.SZ | Wuliangye | 五粮液 | 五糧液
002035.SZ | Vatti | 华帝股份 | 華帝股份
002415.SZ | Hikvision | 海康威视 | 海康威視
002594.SZ | BYD | 比亚迪 | 比亞迪
300059.SZ | East Money | 东方财富 | 東方財富
300124.SZ | Inovance | 汇川技术 | 匯川技術
300750.SZ | CATL | 宁德时代 | 寧德時代
300760.SZ | Mindray | 迈瑞医疗 | 邁瑞醫療
"""

_US = """
AAPL.US | Apple | 苹果 | 蘋果
ABR.US | Arbor Realty Trust
ABRpD.US | Arbor Realty Trust Preferred D
AACT.U.US | Ares Acquisition II Units
AACIW.US | Armada Acquisition I Warrants
ACHR.US | Archer Aviation
ACHR.WS.US | Archer Aviation Warrants
ADBE.US | Adobe | 奥多比 | 奧多比
AMD.US | Advanced Micro Devices | 超微半导体 | 超微半導體
AMZN.US | Amazon | 亚马逊 | 亞馬遜
AVGO.US | Broadcom | 博通 | 博通
BA.US | Boeing | 波音 | 波音
BABA.US | Alibaba | 阿里巴巴 | 阿里巴巴
BAC.US | Bank of America | 美国银行 | 美國銀行
BF.B.US | Brown-Forman B
BRK.A.US | Berkshire Hathaway A | 伯克希尔A | 伯克希爾A
BRK.B.US | Berkshire Hathaway B | 伯克希尔B | 伯克希爾B
C.US | Citigroup | 花旗集团 | 花旗集團
COST.US | Costco | 好市多 | 好市多
CRM.US | Salesforce | 赛富时 | 賽富時
CSCO.US | Cisco | 思科 | 思科
DIA.US | SPDR Dow Jones ETF
DIS.US | Walt Disney | 迪士尼 | 迪士尼
F.US | Ford Motor | 福特汽车 | 福特汽車
GE.US | GE Aerospace
GM.US | General Motors | 通用汽车 | 通用汽車
GOOG.US | Alphabet C | 谷歌C | 谷歌C
GOOGL.US | Alphabet A | 谷歌A | 谷歌A
IBM.US | IBM | 国际商业机器 | 國際商業機器
INTC.US | Intel | 英特尔 | 英特爾
IWM.US | iShares Russell 2000 ETF
JNJ.US | Johnson & Johnson | 强生 | 強生
JPM.US | JPMorgan Chase | 摩根大通 | 摩根大通
KO.US | Coca-Cola | 可口可乐 | 可口可樂
LLY.US | Eli Lilly | 礼来 | 禮來
MA.US | Mastercard | 万事达 | 萬事達
META.US | Meta Platforms
MSFT.US | Microsoft | 微软 | 微軟
NFLX.US | Netflix | 奈飞 | 奈飛
NIO.US | NIO | 蔚来 | 蔚來
NKE.US | Nike | 耐克 | 耐克
NVDA.US | NVIDIA | 英伟达 | 英偉達
ORCL.US | Oracle | 甲骨文 | 甲骨文
PFE.US | Pfizer | 辉瑞 | 輝瑞
PLTR.US | Palantir
QQQ.US | Invesco QQQ ETF
SPY.US | SPDR S&P 500 ETF
T.US | AT&T
TSLA.US | Tesla | 特斯拉 | 特斯拉
TSM.US | TSMC | 台积电 | 台積電
UNH.US | UnitedHealth | 联合健康 | 聯合健康
V.US | Visa | 维萨 | 維薩
WMT.US | Walmart | 沃尔玛 | 沃爾瑪
XOM.US | Exxon Mobil | 埃克森美孚 | 埃克森美孚
ZG.US | Zillow A
"""

_FOREX = """
EURUSD | Euro / US Dollar
GBPUSD | Pound / US Dollar
AUDUSD | Australian Dollar / US Dollar
NZDUSD | New Zealand Dollar / US Dollar
USDJPY | US Dollar / Yen
USDCAD | US Dollar / Canadian Dollar
USDCHF | US Dollar / Swiss Franc
USDCNH | US Dollar / Offshore Renminbi
USDHKD | US Dollar / Hong Kong Dollar
USDTWD | US Dollar / Taiwan Dollar
USDTHB | US Dollar / Baht
USDINR | US Dollar / Indian Rupee
USDSEK | US Dollar / Swedish Krona
USDNOK | US Dollar / Norwegian Krone
USDDKK | US Dollar / Danish Krone
USDPLN | US Dollar / Zloty
USDCZK | US Dollar / Czech Koruna
USDHUF | US Dollar / Forint
USDTRY | US Dollar / Turkish Lira
USDZAR | US Dollar / Rand
USDMXN | US Dollar / Mexican Peso
USDRUB | US Dollar / Rouble
EURGBP | Euro / Pound
EURJPY | Euro / Yen
EURCHF | Euro / Swiss Franc
EURAUD | Euro / Australian Dollar
EURCAD | Euro / Canadian Dollar
EURNZD | Euro / New Zealand Dollar
EURCNH | Euro / Offshore Renminbi
EURSEK | Euro / Swedish Krona
EURNOK | Euro / Norwegian Krone
GBPJPY | Pound / Yen
GBPCHF | Pound / Swiss Franc
GBPAUD | Pound / Australian Dollar
GBPCAD | Pound / Canadian Dollar
GBPNZD | Pound / New Zealand Dollar
AUDJPY | Australian Dollar / Yen
AUDCAD | Australian Dollar / Canadian Dollar
AUDCHF | Australian Dollar / Swiss Franc
AUDNZD | Australian Dollar / New Zealand Dollar
NZDJPY | New Zealand Dollar / Yen
CADJPY | Canadian Dollar / Yen
CADCHF | Canadian Dollar / Swiss Franc
CHFJPY | Swiss Franc / Yen
CNHJPY | Offshore Renminbi / Yen
SGDJPY | Singapore Dollar / Yen
USDSGD | US Dollar / Singapore Dollar
"""

_WON = """
USDKRW | US Dollar / Won
EURKRW | Euro / Won
JPYKRW | Yen / Won
CNHKRW | Offshore Renminbi / Won
HKDKRW | Hong Kong Dollar / Won
"""

_METAL = """
GOLD | Spot gold, XAUUSD
Silver | Spot silver, XAGUSD
Platinum | Platinum, XPTUSD
Palladium | Palladium, XPDUSD
COPPER | Copper, XCUUSD
Aluminum | Aluminium, XALUSD
Nickel | Nickel, XNIUSD
Lead | Lead, XPBUSD
Zinc | Zinc, XZNUSD
XAUEUR | Gold / Euro
XAUCNH | Gold / Offshore Renminbi
XAUAUD | Gold / Australian Dollar
XAUJPY | Gold / Yen
XAUTHB | Gold / Baht
XAGEUR | Silver / Euro
XAGSGD | Silver / Singapore Dollar
"""

_ENERGY = """
USOIL | WTI crude oil
UKOIL | Brent crude oil
NGAS | Natural gas
"""

_CFD = """
US500 | S&P 500
US30 | Dow Jones 30
NAS100 | NASDAQ 100
ND25 | NASDAQ 25
HK50 | Hong Kong 50
CHA50 | China A50
GER30 | Germany 30
FRA40 | France 40
ESP35 | Spain 35
EUSTX50 | Euro Stoxx 50
UK100 | UK 100
SMI | Switzerland 20
JPN225 | Japan 225
TWRIC | Taiwan Index
SG20 | Singapore 20
AUS200 | Australia 200
"""

_CRYPTO = """
BTCUSDT | Bitcoin
ETHUSDT | Ethereum
BNBUSDT | BNB
SOLUSDT | Solana
XRPUSDT | XRP
ADAUSDT | Cardano
DOGEUSDT | Dogecoin
LTCUSDT | Litecoin
DOTUSDT | Polkadot
AVAXUSDT | Avalanche
LINKUSDT | Chainlink
TRXUSDT | TRON
BCHUSDT | Bitcoin Cash
SHIBUSDT | Shiba Inu
ETCUSDT | Ethereum Classic
XLMUSDT | Stellar
UNIUSDT | Uniswap
ATOMUSDT | Cosmos
FILUSDT | Filecoin
NEARUSDT | NEAR
APTUSDT | Aptos
ARBUSDT | Arbitrum
OPUSDT | Optimism
SUIUSDT | Sui
AAVEUSDT | Aave
1INCHUSDT | 1inch
"""


def _lines(text: str) -> Mapping[str, Names]:
    cells = (line.split(" | ") for line in text.strip().splitlines())
    return MappingProxyType({code: Names(*names) for code, *names in cells})


LISTED: Mapping[str, Mapping[str, Names]] = MappingProxyType(
    {
        "forex": _lines(_FOREX),
        "won": _lines(_WON),
        "metal": _lines(_METAL),
        "energy": _lines(_ENERGY),
        "cfd": _lines(_CFD),
        "crypto": _lines(_CRYPTO),
        "us": _lines(_US),
        "hk": _lines(_HK),
        "index": _lines(_INDEX),
        "cn": _lines(_CN),
    }
)
"""The names of the products that the vendor's product sheets list, by group and code."""

_FIRST = (
    ("Golden", "金", "金"),
    ("Eastern", "东", "東"),
    ("Cloud", "云", "雲"),
    ("Dragon", "龙", "龍"),
    ("Harbour", "港", "港"),
    ("Blue Sea", "蓝海", "藍海"),
    ("Northern", "北方", "北方"),
)
_SECOND = (
    ("Bridge", "桥", "橋"),
    ("Gate", "门", "門"),
    ("Star", "星", "星"),
    ("Peak", "峰", "峰"),
    ("River", "河", "河"),
)
_THIRD = (
    ("Holdings", "控股", "控股"),
    ("Technology", "科技", "科技"),
    ("Pharma", "医药", "醫藥"),
    ("Electric", "电气", "電氣"),
)


@lru_cache(maxsize=4096)
def names_of(code: str) -> Names:
    """Return what *code* is called: as it is listed, or by an invented name that stays the same."""
    known = next((names[code] for names in LISTED.values() if code in names), None)
    if known is not None:
        return known
    words = [
        choices[key_of("name", place, code) % len(choices)] for place, choices in enumerate((_FIRST, _SECOND, _THIRD))
    ]
    english, simplified, traditional = zip(*words, strict=True)
    return Names(" ".join(english), "".join(simplified), "".join(traditional))
