"""`get_kline` and its siblings on one default client."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, overload

from alltick_frames.client import Client
from alltick_frames.settings import Token

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import timedelta
    from typing import Unpack

    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from alltick_frames.catalog import ProductClass
    from alltick_frames.drawing import Chart
    from alltick_frames.estimate import Estimate
    from alltick_frames.exports import Format
    from alltick_frames.kline import Forming, Prices
    from alltick_frames.periods import Period
    from alltick_frames.progress import Progress
    from alltick_frames.settings import FrameKind, Network, OnIncomplete
    from alltick_frames.signatures import (
        AnyFrame,
        AnyPeriod,
        AnyPeriods,
        AsArrow,
        AsPandas,
        AsPolars,
        CallOptions,
        Codes,
        KlineOptions,
    )
    from alltick_frames.streams import Stream, WhenFull
    from alltick_frames.watching import Bar
    from alltick_frames.wire import Exchange

__all__ = [
    "configure",
    "coverage",
    "doctor",
    "estimate_kline",
    "export",
    "get_kline",
    "get_last_trade",
    "get_latest_kline",
    "get_order_book",
    "get_products",
    "get_static_info",
    "get_suspensions",
    "import_",
    "plot_coverage",
    "restatements",
    "scan_kline",
    "search_products",
    "stream_order_book",
    "stream_trades",
    "update",
    "watch_kline",
]

_lock = threading.Lock()
_client: Client | None = None
_configured: dict[str, Any] = {}


def configure(
    *,
    token: str | Token | None = None,
    plan: str | None = None,
    frame: FrameKind | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    base_url: str | None = None,
    ws_url: str | None = None,
    products_url: str | None = None,
    network: Network | None = None,
    on_incomplete: OnIncomplete | None = None,
    limits: Mapping[str, Any] | None = None,
) -> None:
    """Set up the module-level functions; what is left out keeps its earlier setting.

    Precedence of every setting: this call, then the environment variable `ALLTICK_<NAME>`, then the default.
    Calls in flight finish with the earlier settings.

    Parameters
    ----------
    token
        The API token. Better in `ALLTICK_TOKEN`, or in a file of mode 600 named by `ALLTICK_TOKEN_FILE`, than in
        a notebook.
    plan
        `free` `basic` `premium` `professional` `all_hk` `all_cn` `all_us`: whose limits requests keep to. By
        default the one that was last named for this token on this machine, else `free`, said once.
    frame
        What is returned: `"polars"` (default), `"pandas"` or `"arrow"`.
    cache_dir
        Where bars are kept: a directory on a local disk.
    base_url, ws_url
        Scheme and host of the service; plain http and ws only to this machine, such as the sandbox.
    products_url
        Of the product sheet as CSV, with `{gid}` where the tab's id goes; by default Google's address of the vendor's
        document, or the same path of another *base_url*. The token is not sent there.
    network
        `"auto"` (default), or `"never"` to answer from the archive alone, for which no token is needed.
    on_incomplete
        `"raise"` (default), `"warn"` or `"ignore"` what the vendor cannot give.
    limits
        Figures that replace the plan's, such as `{"kline": (10, 1)}`: 10 requests in a second; `{"share": 0.5}` is
        half of all rates, for each of two machines that use one token.

    Raises
    ------
    ConfigError
        A setting that cannot be used.

    Examples
    --------
    >>> configure(plan="professional", frame="pandas")
    """
    global _client  # noqa: PLW0603
    token = Token.of(token)
    given = {
        "token": token,
        "plan": plan,
        "frame": frame,
        "cache_dir": cache_dir,
        "base_url": base_url,
        "ws_url": ws_url,
        "products_url": products_url,
        "network": network,
        "on_incomplete": on_incomplete,
        "limits": limits,
    }
    with _lock:
        merged = _configured | {name: value for name, value in given.items() if value is not None}
        # Made before anything is replaced: a setting that cannot be used changes nothing.
        client = Client(**merged)
        _configured.update(merged)
        _client = client


@overload
def get_kline(
    codes: Codes, period: AnyPeriod, range: Any, *, frame: AsPolars = ..., **options: Unpack[KlineOptions]
) -> pl.DataFrame: ...


@overload
def get_kline(
    codes: Codes, period: AnyPeriod, range: Any, *, frame: AsPandas, **options: Unpack[KlineOptions]
) -> pd.DataFrame: ...


@overload
def get_kline(
    codes: Codes, period: AnyPeriod, range: Any, *, frame: AsArrow, **options: Unpack[KlineOptions]
) -> pa.Table: ...


@overload
def get_kline(
    codes: Codes, period: AnyPeriod, range: Any, *, frame: FrameKind | None, **options: Unpack[KlineOptions]
) -> AnyFrame: ...


def get_kline(
    codes: str | Iterable[str],
    period: Period | str,
    range: Any,
    *,
    frame: FrameKind | None = None,
    forming: Forming = "drop",
    on_incomplete: OnIncomplete | None = None,
    refresh: str | bool | None = None,
    network: Network | None = None,
    max_wait: float | timedelta | None = None,
    prices: Prices = "float",
    categorical: bool = False,
    progress: Progress = None,
) -> Any:
    """Get bars (OHLCV) of any number of products, over any range, as one frame.

    What the archive on this machine holds is not asked for again. The rest is paged in requests of 500 bars that
    keep to the plan's limits, several codes at once, and kept; of many codes that lack only their newest bars, one
    request brings those of a plan's number of them. The vendor's pages: "GET /kline", "POST /batch-kline",
    "kline_type", "interface limitation".

    Parameters
    ----------
    codes
        One code or several, exactly as in the vendor's product list: `"EURUSD"`, `"BTCUSDT"`, `"GOLD"`,
        `"700.HK"`, `"AAPL.US"`, `"600519.SH"`. Duplicates collapse, order is kept.
    period
        `"1m" "5m" "15m" "30m" "1h" "2h" "4h" "1d" "1w" "1mo"`; no 2h and 4h for stocks.
    range
        Half-open, start included and end excluded, naive times in UTC:

        - a lookback, starting on a period boundary: `"30d" "6mo" "1y" "90min" "ytd" "max"`;
        - an ISO interval: `"2025-01-01/2025-03-31"`, `"2025-01-01/"`; a date, month or year as end means all
          of it;
        - `(start, end)` or a slice of str, date, datetime, pandas or NumPy scalars; None leaves an end open;
        - an int: the newest so many closed bars of each code.

        Of 1d, 1w and 1mo bars it selects trading dates. Without an end it goes up to the last closed bar.
    frame
        `"polars"`, `"pandas"` (Arrow-backed) or `"arrow"`; default as configured, else Polars.
    forming
        `"drop"` (default) leaves out the bar that is still forming; `"keep"` appends it and adds a column
        `closed`.
    on_incomplete
        What to do about what the vendor cannot give, such as stock history past the newest 500 bars:
        `"raise"` (default), `"warn"` or `"ignore"`.
    refresh
        Bars to ask for anew although they are held: a lookback such as `"5d"`, or True for all of the range. What the
        vendor has changed since replaces what is held and is listed by `restatements`.
    network
        `"auto"` or `"never"`; default as configured, else `"auto"`. `"never"` sends nothing: what the archive
        does not hold is missing (`not_held`).
    max_wait
        Seconds, or a timedelta: what is expected to take longer (`estimate_kline`) is refused before the first request.
        No deadline: others that use the token, and a server that does not answer, can make it longer. Without it a
        `LongWaitWarning` says beforehand what takes more than a minute, or more than the day's allowance.
    prices
        `"float"` (default): the nearest doubles. `"decimal"`: decimals equal to the vendor's strings digit for digit,
        as decimal128 with 18 digits before and 18 after the point, of prices, volume and turnover.
    categorical
        Make `code` categorical instead of text.
    progress
        True or False, or a callable `(done, total, eta)` of requests and seconds, called in this thread; an
        exception in it cancels. Default: a bar on a terminal or in a notebook when it takes over a second.

    Returns
    -------
    polars.DataFrame, pandas.DataFrame or pyarrow.Table
        Sorted by code in the asked order, then time; one row per code and timestamp; the same columns when empty:

        ========== ================= ==============================================================
        code       text              the product code
        timestamp  timestamp[us,UTC] the vendor's stamp, the bar's open
        open …     float64           open, high, low, close, unadjusted, in the quote currency
        volume     float64           as the vendor gives it (A shares in lots of 100); null if none
        turnover   float64           traded value; null where none is given, as for forex
        closed     bool              with `forming="keep"` only
        ========== ================= ==============================================================

        Bars without trades do not exist, they are not filled in. A stock's daily bar is closed an hour after its
        session if `exchange_calendars` is installed, otherwise at midnight at the exchange.

    Raises
    ------
    ArgumentError
        What can be judged without the network; nothing was sent.
    ConfigError
        No token, or another setting that cannot be used.
    IncompleteDataError
        The vendor cannot give everything: `.missing` says what and why, `.frame` holds what there is.
    AuthenticationError, UnknownCodeError, CodeNotPermittedError, PlanLimitError
        The vendor refused; a refused code among good ones counts as incomplete instead.
    BudgetError, RateLimitError, TransportError, DecodeError
        The allowance is used up or `max_wait` does not suffice, or no answer came after every retry; `.frame` holds
        what there is, and what had been fetched is archived: the same call goes on from there.
    StoreError
        The archive cannot be read or written; `.frame` holds what had been fetched.

    Examples
    --------
    >>> import alltick_frames as at
    >>> with at.sandbox.running(plan="professional") as sandbox, at.Client(**sandbox.settings) as client:
    ...     bars = client.get_kline(["EURUSD", "GOLD"], "1h", "2026-03-02/2026-03-03")
    >>> bars.columns
    ['code', 'timestamp', 'open', 'high', 'low', 'close', 'volume', 'turnover']
    >>> bars["code"].unique(maintain_order=True).to_list()
    ['EURUSD', 'GOLD']
    """
    return _default().get_kline(
        codes,
        period,
        range,
        frame=frame,
        forming=forming,
        on_incomplete=on_incomplete,
        refresh=refresh,
        network=network,
        max_wait=max_wait,
        prices=prices,
        categorical=categorical,
        progress=progress,
    )


def scan_kline(
    codes: str | Iterable[str] | None,
    period: Period | str,
    range: Any = None,
    *,
    network: Network | None = None,
) -> pl.LazyFrame:
    """Scan bars as a Polars LazyFrame that need not fit in memory: they are read when it is collected, file by file.

    What `filter` says of `code` and `timestamp` decides what is read, and what is fetched: comparisons, `is_between`,
    `is_in`, `==`, their `&`, `|` and `~`, also of `.dt.date()`, `.dt.year()`, `.dt.truncate(…)`,
    `.dt.convert_time_zone(…)`, casts that cannot fail and added durations. All else is applied to what those leave.
    Columns that are not needed are not read. `collect(engine="streaming")` of an aggregate holds a few files' bars at a
    time. A predicate with a Python function needs `cloudpickle`, as with every source of Polars.

    Parameters
    ----------
    codes
        As of `get_kline`. None is the codes that the filter names, or else every code of which the archive holds
        anything of the period when the frame is collected; in alphabetical order.
    period
        As of `get_kline`.
    range
        As of `get_kline`, reckoned from now, not from when the frame is collected. What is missing of it, within what
        the filter leaves, is fetched when the frame is collected, as `get_kline` would (of an `AsyncClient`, when
        `scan_kline` is awaited, without knowing of a filter). With None, the default, a filter that begins somewhere
        (`timestamp >= …`) is as good as a range; without such a filter the frame is all that the archive holds when it
        is collected, and nothing is sent (nor for an `AsyncClient`). `head(n)` fetches only as many codes as have n
        rows.
    network
        `"auto"` or `"never"`, as of `get_kline`.

    Returns
    -------
    polars.LazyFrame
        The columns of `get_kline`, sorted as there: by code in the asked order, then time. Each code is read as the
        archive has it at one instant, whatever others write meanwhile; the next code may be read as of later.

    Raises
    ------
    ArgumentError
        What can be judged without the network; when the frame is collected without a beginning, also a code of which
        nothing is held.
    StoreError
        The archive cannot be read; while collecting, Polars before 2.0 makes a `ComputeError` of it.
    IncompleteDataError, TransportError, BudgetError and the others of `get_kline`
        With a beginning, when the frame is collected, before any bar is read. `.frame` is a LazyFrame of what there is.

    Warns
    -----
    IncompleteDataWarning
        Without a beginning, when the frame is collected: there are holes between the bars held (not with
        `on_incomplete="ignore"`).

    Examples
    --------
    >>> import alltick_frames as at
    >>> import polars as pl
    >>> with at.sandbox.running() as sandbox, at.Client(**sandbox.settings) as client:
    ...     day, date = pl.col("timestamp").dt.date(), pl.date
    ...     bars = client.scan_kline(None, "1h").filter(
    ...         pl.col("code").is_in(["EURUSD", "GOLD"]), day.is_between(date(2026, 3, 2), date(2026, 3, 3))
    ...     )
    ...     days = bars.group_by("code", day).agg(pl.col("close").last())
    ...     closes = days.collect(engine="streaming")  # fetches 96 bars first
    >>> closes.shape
    (4, 3)
    """
    return _default().scan_kline(codes, period, range, network=network)


@overload
def update(
    codes: Codes | None = ...,
    periods: AnyPeriods | None = ...,
    *,
    frame: AsPolars = ...,
    **options: Unpack[CallOptions],
) -> pl.DataFrame: ...


@overload
def update(
    codes: Codes | None = ..., periods: AnyPeriods | None = ..., *, frame: AsPandas, **options: Unpack[CallOptions]
) -> pd.DataFrame: ...


@overload
def update(
    codes: Codes | None = ..., periods: AnyPeriods | None = ..., *, frame: AsArrow, **options: Unpack[CallOptions]
) -> pa.Table: ...


@overload
def update(
    codes: Codes | None = ...,
    periods: AnyPeriods | None = ...,
    *,
    frame: FrameKind | None,
    **options: Unpack[CallOptions],
) -> AnyFrame: ...


def update(
    codes: str | Iterable[str] | None = None,
    periods: Period | str | Iterable[Period | str] | None = None,
    *,
    frame: FrameKind | None = None,
    on_incomplete: OnIncomplete | None = None,
    max_wait: float | timedelta | None = None,
    progress: Progress = None,
) -> Any:
    """Bring what the archive holds up to date: of each code and period, all bars that closed since the newest held.

    It costs the fewest requests there can be: where two bars may be all that is lacking, those of many codes and
    periods come with one request ("POST /batch-kline"), the rest in pages ("GET /kline"). A code and period of which
    nothing is held begins with its newest page. What an earlier update left undone is done as well; older gaps between
    what is held (`coverage`) are not filled.

    Parameters
    ----------
    codes, periods
        Only of these; default all that are held. Of codes alone, the periods held of them.
    frame
        `"polars"`, `"pandas"` or `"arrow"`; default as configured, else Polars.
    on_incomplete
        What to do about bars that were not asked for in time and cannot be had any more: `"raise"` (default), when all
        else is done, `"warn"` or `"ignore"`. Each is said once: a later update does not find them missing again.
    max_wait, progress
        As for `get_kline`.

    Returns
    -------
    polars.DataFrame, pandas.DataFrame or pyarrow.Table
        One row per code and period:

        ============ ================= ==================================================================
        code, period text
        added        int64             bars that were not held before
        newest       timestamp[us,UTC] the stamp of the newest bar held
        missing      list of structs   what cannot be had: `start`, `end`, `reason`, `detail`, as a
                                       `Missing`
        ============ ================= ==================================================================

    Raises
    ------
    ArgumentError
        What can be judged without the network; a code of which nothing is held, without periods.
    ConfigError
        No token, or another setting that cannot be used.
    IncompleteDataError
        Bars are lost: `.missing` says which and why; `.frame` is the report.
    AllTickError
        As for `get_kline`; `.frame` reports what came before.

    Examples
    --------
    >>> import alltick_frames as at
    >>> with at.sandbox.running(clock="2026-03-18T12:00Z") as sandbox, at.Client(**sandbox.settings) as client:
    ...     report = client.update(["EURUSD", "GOLD"], "1h")
    >>> report.select("code", "period", "added").rows()
    [('EURUSD', '1h', 498), ('GOLD', '1h', 498)]
    """
    return _default().update(
        codes, periods, frame=frame, on_incomplete=on_incomplete, max_wait=max_wait, progress=progress
    )


def estimate_kline(
    codes: str | Iterable[str], period: Period | str, range: Any, *, refresh: str | bool | None = None
) -> Estimate:
    """Say what `get_kline` would send, return and take with the same arguments; sends nothing and needs no token.

    What the archive holds costs nothing. The limits are those of the vendor's page "interface limitation", for the
    plan that is configured or remembered; the trading hours are those of its product sheet.

    Parameters
    ----------
    codes, period, range, refresh
        As for `get_kline`.

    Returns
    -------
    Estimate
        Requests, bars and seconds at least and at most, the share of the bars that is held, what is left of the day's
        allowance and whether it suffices, and what is out of reach and why. Prints as a table, also in notebooks.

    Raises
    ------
    ArgumentError
        What can be judged without the network.
    StoreError
        The archive cannot be read.

    Examples
    --------
    >>> import alltick_frames as at
    >>> with at.sandbox.running(plan="free") as sandbox, at.Client(**sandbox.settings) as client:
    ...     client.estimate_kline("USDJPY", "1h", "2026-03-02/2026-03-06")
    USDJPY 1h on the free plan
      requests   1
      bars       108 to 118
      time       0.2 to 10.7 seconds
      allowance  1,000 of 1,000 requests left today
    """
    return _default().estimate_kline(codes, period, range, refresh=refresh)


@overload
def get_latest_kline(
    codes: Codes, periods: AnyPeriods = ..., *, frame: AsPolars = ..., **options: Unpack[CallOptions]
) -> pl.DataFrame: ...


@overload
def get_latest_kline(
    codes: Codes, periods: AnyPeriods = ..., *, frame: AsPandas, **options: Unpack[CallOptions]
) -> pd.DataFrame: ...


@overload
def get_latest_kline(
    codes: Codes, periods: AnyPeriods = ..., *, frame: AsArrow, **options: Unpack[CallOptions]
) -> pa.Table: ...


@overload
def get_latest_kline(
    codes: Codes, periods: AnyPeriods = ..., *, frame: FrameKind | None, **options: Unpack[CallOptions]
) -> AnyFrame: ...


def get_latest_kline(
    codes: str | Iterable[str],
    periods: Period | str | Iterable[Period | str] = "1m",
    *,
    frame: FrameKind | None = None,
    on_incomplete: OnIncomplete | None = None,
    max_wait: float | timedelta | None = None,
    progress: Progress = None,
) -> Any:
    """Fetch the newest two bars of each code and period, the forming one marked.

    One request takes up to 500 pairs of code and period (Free 5, Basic 100, Premium 200). Neither reads the archive nor
    adds to it: for bars that are kept, ask `get_kline` or `update`. Vendor page: "POST /batch-kline".

    Parameters
    ----------
    codes, periods
        Every code in every period; 2h and 4h are not offered for stocks.
    frame
        `"polars"`, `"pandas"` or `"arrow"`; default as configured, else Polars.
    on_incomplete
        `"raise"`, `"warn"` or `"ignore"` what the vendor refuses or leaves out; default as configured, else raise.
    max_wait
        Seconds, or a timedelta: what would take longer is refused before the first request.
    progress
        True, False, or a function of requests done, requests in all and seconds to go.

    Returns
    -------
    polars.DataFrame, pandas.DataFrame or pyarrow.Table
        By code in the asked order, period in the asked order, then time:

        ==================== ================= =======================================================
        code, period         text
        timestamp            timestamp[us,UTC] the vendor's stamp, the bar's open
        open high low close  float64           unadjusted
        volume turnover      float64           null where the vendor gives none; A shares in lots of 100
        closed               bool              whether the bar can no longer change
        ==================== ================= =======================================================

    Raises
    ------
    ArgumentError
        A code or period that cannot be.
    IncompleteDataError
        Codes that the vendor refuses or does not answer, each with its reason in `.missing`; the rest is in `.frame`.
    UnknownCodeError, CodeNotPermittedError
        The one code that was asked for is refused.
    AuthenticationError, BudgetError, RateLimitError, TransportError, DecodeError
        As of `get_kline`; `.frame` holds what came.

    Examples
    --------
    >>> import alltick_frames as at
    >>> with at.sandbox.running() as sandbox, at.Client(**sandbox.settings) as client:
    ...     bars = client.get_latest_kline(["BTCUSDT", "EURUSD"], ["1h", "1d"])
    >>> bars.select("code", "period").unique(maintain_order=True).rows()
    [('BTCUSDT', '1h'), ('BTCUSDT', '1d'), ('EURUSD', '1h'), ('EURUSD', '1d')]
    """
    return _default().get_latest_kline(
        codes, periods, frame=frame, on_incomplete=on_incomplete, max_wait=max_wait, progress=progress
    )


@overload
def get_last_trade(codes: Codes, *, frame: AsPolars = ..., **options: Unpack[CallOptions]) -> pl.DataFrame: ...


@overload
def get_last_trade(codes: Codes, *, frame: AsPandas, **options: Unpack[CallOptions]) -> pd.DataFrame: ...


@overload
def get_last_trade(codes: Codes, *, frame: AsArrow, **options: Unpack[CallOptions]) -> pa.Table: ...


@overload
def get_last_trade(codes: Codes, *, frame: FrameKind | None, **options: Unpack[CallOptions]) -> AnyFrame: ...


def get_last_trade(
    codes: str | Iterable[str],
    *,
    frame: FrameKind | None = None,
    on_incomplete: OnIncomplete | None = None,
    max_wait: float | timedelta | None = None,
    progress: Progress = None,
) -> Any:
    """Fetch the last trade of each code.

    One request takes 50 codes (Free 5); more are split, because the vendor leaves the rest out without a word. There is
    no history of trades to be had. The change on the day, which the API does not have, is the last price over the
    previous close, the older of the newest two daily bars: see the example. The change over 24 hours is the same over
    `get_kline(code, "1m", "24h")["close"][0]`. Vendor page: "GET /trade-tick".

    Parameters
    ----------
    codes
        One code or several, of any market.
    frame, on_incomplete, max_wait, progress
        As of `get_latest_kline`.

    Returns
    -------
    polars.DataFrame, pandas.DataFrame or pyarrow.Table
        One row per code, in the asked order:

        ========= ================= ==================================================================
        code      text
        timestamp timestamp[us,UTC] of the trade
        price     float64
        volume    float64           A shares: in shares (their bars and order books are in lots of 100)
        turnover  float64           null for forex, metals and energy
        side      text              `buy`: at the ask or above; `sell`: at the bid or below; `neutral`:
                                    between; null for forex, metals, energy and CFD indices
        seq       int64             the vendor's number of the quote: only good for telling repeats
        ========= ================= ==================================================================

    Raises
    ------
    ArgumentError
        A code that cannot be.
    IncompleteDataError
        Codes that the vendor refuses or does not answer, each with its reason in `.missing`; the rest is in `.frame`.
    UnknownCodeError, CodeNotPermittedError
        The one code that was asked for is refused.
    AuthenticationError, BudgetError, RateLimitError, TransportError, DecodeError
        As of `get_kline`; `.frame` holds what came.

    Examples
    --------
    >>> import alltick_frames as at
    >>> import polars as pl
    >>> codes = ["700.HK", "BTCUSDT"]
    >>> with at.sandbox.running() as sandbox, at.Client(**sandbox.settings) as client:
    ...     last = client.get_last_trade(codes)
    ...     days = client.get_latest_kline(codes, "1d")
    >>> previous = days.group_by("code").agg(pl.col("close").sort_by("timestamp").first())
    >>> change = last.join(previous, on="code").select("code", day_change=pl.col("price") / pl.col("close") - 1)
    >>> change.height
    2
    """
    return _default().get_last_trade(
        codes, frame=frame, on_incomplete=on_incomplete, max_wait=max_wait, progress=progress
    )


@overload
def get_order_book(
    codes: Codes, levels: int | None = ..., *, frame: AsPolars = ..., **options: Unpack[CallOptions]
) -> pl.DataFrame: ...


@overload
def get_order_book(
    codes: Codes, levels: int | None = ..., *, frame: AsPandas, **options: Unpack[CallOptions]
) -> pd.DataFrame: ...


@overload
def get_order_book(
    codes: Codes, levels: int | None = ..., *, frame: AsArrow, **options: Unpack[CallOptions]
) -> pa.Table: ...


@overload
def get_order_book(
    codes: Codes, levels: int | None = ..., *, frame: FrameKind | None, **options: Unpack[CallOptions]
) -> AnyFrame: ...


def get_order_book(
    codes: str | Iterable[str],
    levels: int | None = None,
    *,
    frame: FrameKind | None = None,
    on_incomplete: OnIncomplete | None = None,
    max_wait: float | timedelta | None = None,
    progress: Progress = None,
) -> Any:
    """Fetch the order book of each code.

    One request takes 50 codes (Free 5), as of `get_last_trade`. The vendor has 10 levels of Hong Kong stocks, 5 of A
    shares and crypto, and 1 of everything else. Vendor page: "GET /depth-tick".

    Parameters
    ----------
    codes
        One code or several, of any market.
    levels
        At most so many of each side; default all that there are. It saves no request.
    frame, on_incomplete, max_wait, progress
        As of `get_latest_kline`.

    Returns
    -------
    polars.DataFrame, pandas.DataFrame or pyarrow.Table
        One row per code, side and level: bids before asks, the best level first:

        =========== ================= ================================================================
        code        text
        timestamp   timestamp[us,UTC] of the quote
        side        text              `bid` or `ask`
        level       int32             1 is the best
        price       float64
        volume      float64           A shares in lots of 100; null where the vendor gives none
        seq         int64             the vendor's number of the quote: only good for telling repeats
        limit_state text              null if there are both sides
        =========== ================= ================================================================

        `limit_state` is a hint and no more: `limit_up` (bids only) and `limit_down` (asks only) of A shares, which
        alone have price limits; `one_sided` of others; `empty` if there is neither side, outside trading hours or of a
        product that is halted or delisted: then the code has a single row without side, level, price and volume.

    Raises
    ------
    ArgumentError
        A code or number of levels that cannot be.
    IncompleteDataError
        Codes that the vendor refuses or does not answer, each with its reason in `.missing`; the rest is in `.frame`.
    UnknownCodeError, CodeNotPermittedError
        The one code that was asked for is refused.
    AuthenticationError, BudgetError, RateLimitError, TransportError, DecodeError
        As of `get_kline`; `.frame` holds what came.

    Examples
    --------
    >>> import alltick_frames as at
    >>> with at.sandbox.running() as sandbox, at.Client(**sandbox.settings) as client:
    ...     book = client.get_order_book(["700.HK", "EURUSD"], levels=1)
    >>> book.select("code", "side", "level").rows()
    [('700.HK', 'bid', 1), ('700.HK', 'ask', 1), ('EURUSD', 'bid', 1), ('EURUSD', 'ask', 1)]
    """
    return _default().get_order_book(
        codes, levels, frame=frame, on_incomplete=on_incomplete, max_wait=max_wait, progress=progress
    )


@overload
def get_static_info(codes: Codes, *, frame: AsPolars = ..., **options: Unpack[CallOptions]) -> pl.DataFrame: ...


@overload
def get_static_info(codes: Codes, *, frame: AsPandas, **options: Unpack[CallOptions]) -> pd.DataFrame: ...


@overload
def get_static_info(codes: Codes, *, frame: AsArrow, **options: Unpack[CallOptions]) -> pa.Table: ...


@overload
def get_static_info(codes: Codes, *, frame: FrameKind | None, **options: Unpack[CallOptions]) -> AnyFrame: ...


def get_static_info(
    codes: str | Iterable[str],
    *,
    frame: FrameKind | None = None,
    on_incomplete: OnIncomplete | None = None,
    max_wait: float | timedelta | None = None,
    progress: Progress = None,
) -> Any:
    """Fetch names, lot sizes and share capital of stocks.

    One request takes 50 codes (Free 5). That a stock is answered does not prove that the plan has its quotes. Vendor
    page: "GET /static_info".

    Parameters
    ----------
    codes
        Stocks of Hong Kong, the US and the mainland (.HK .US .SH .SZ); nothing else has static info.
    frame, on_incomplete, max_wait, progress
        As of `get_latest_kline`.

    Returns
    -------
    polars.DataFrame, pandas.DataFrame or pyarrow.Table
        One row per code, in the asked order; null where the vendor gives nothing:

        ============================= ======= ========================================================
        code                          text
        name_en, name_cn, name_hk     text    English, simplified and traditional Chinese
        exchange, board, currency     text    such as SEHK, HKEquity, HKD
        lot_size                      int64   shares in a lot
        total_shares                  int64
        circulating_shares, hk_shares int64   the latter of Hong Kong only
        eps, eps_ttm, bps             float64 earnings and net assets per share, in `currency`
        dividend_yield                float64 the vendor does not say if per cent or an amount
        ============================= ======= ========================================================

    Raises
    ------
    ArgumentError
        A code that cannot be, or one that is no stock.
    IncompleteDataError
        Codes that the vendor refuses or does not answer, each with its reason in `.missing`; the rest is in `.frame`.
    UnknownCodeError, CodeNotPermittedError
        The one code that was asked for is refused.
    AuthenticationError, BudgetError, RateLimitError, TransportError, DecodeError
        As of `get_kline`; `.frame` holds what came.

    Examples
    --------
    >>> import alltick_frames as at
    >>> with at.sandbox.running() as sandbox, at.Client(**sandbox.settings) as client:
    ...     info = client.get_static_info(["700.HK", "AAPL.US"])
    >>> info["currency"].to_list()
    ['HKD', 'USD']
    """
    return _default().get_static_info(
        codes, frame=frame, on_incomplete=on_incomplete, max_wait=max_wait, progress=progress
    )


@overload
def get_suspensions(exchange: Exchange, *, frame: AsPolars = ..., **options: Unpack[CallOptions]) -> pl.DataFrame: ...


@overload
def get_suspensions(exchange: Exchange, *, frame: AsPandas, **options: Unpack[CallOptions]) -> pd.DataFrame: ...


@overload
def get_suspensions(exchange: Exchange, *, frame: AsArrow, **options: Unpack[CallOptions]) -> pa.Table: ...


@overload
def get_suspensions(exchange: Exchange, *, frame: FrameKind | None, **options: Unpack[CallOptions]) -> AnyFrame: ...


def get_suspensions(
    exchange: Exchange,
    *,
    frame: FrameKind | None = None,
    on_incomplete: OnIncomplete | None = None,
    max_wait: float | timedelta | None = None,
    progress: Progress = None,
) -> Any:
    """Fetch the trading halts and resumptions of the last year on one exchange.

    Each exchange may be asked once a minute, on every plan: a second call within the minute waits. As a rule one
    request brings all of them; where the vendor gives a page at a time, so many requests a minute apart. Vendor page:
    "GET /api/suspension".

    Parameters
    ----------
    exchange
        `"sse"` (Shanghai), `"nyse"` or `"nasdaq"`; there are none of Shenzhen's and Hong Kong's.
    frame, on_incomplete, max_wait, progress
        As of `get_latest_kline`.

    Returns
    -------
    polars.DataFrame, pandas.DataFrame or pyarrow.Table
        One row per announcement, the newest first. Times are taken as the exchange's own, which the vendor does not
        say: `timestamp[us]` in Asia/Shanghai or America/New_York. Everything but code and symbol may be null.

        =========================== ========= ========================================================
        code                        text      as other calls take it: 600000.SH, AAPL.US
        symbol                      text      as the vendor has it here: 600000, AAPL
        name, reason                text
        halt_date, resume_date      date
        halted_at                   timestamp
        halt_period                 text      sse only
        quotes_resume_at            timestamp nyse and nasdaq: when quoting begins again
        resumes_at                  timestamp when trading begins again
        source_exchange             text      nyse and nasdaq
        pause_threshold_price       float64   nasdaq only
        published_at                timestamp
        =========================== ========= ========================================================

    Raises
    ------
    ArgumentError
        Another exchange.
    IncompleteDataError
        Records that are on no page, or cells that cannot be read; what there is is in `.frame`.
    AuthenticationError, BudgetError, RateLimitError, TransportError, DecodeError
        As of `get_kline`; `.frame` holds what came.

    Examples
    --------
    >>> import alltick_frames as at
    >>> with at.sandbox.running() as sandbox, at.Client(**sandbox.settings) as client:
    ...     halts = client.get_suspensions("nasdaq")
    >>> halts.schema["halted_at"].time_zone
    'America/New_York'
    """
    return _default().get_suspensions(
        exchange, frame=frame, on_incomplete=on_incomplete, max_wait=max_wait, progress=progress
    )


@overload
def coverage(codes: Codes | None = ..., period: AnyPeriod | None = ..., *, frame: AsPolars = ...) -> pl.DataFrame: ...


@overload
def coverage(codes: Codes | None = ..., period: AnyPeriod | None = ..., *, frame: AsPandas) -> pd.DataFrame: ...


@overload
def coverage(codes: Codes | None = ..., period: AnyPeriod | None = ..., *, frame: AsArrow) -> pa.Table: ...


@overload
def coverage(codes: Codes | None = ..., period: AnyPeriod | None = ..., *, frame: FrameKind | None) -> AnyFrame: ...


def coverage(
    codes: str | Iterable[str] | None = None, period: Period | str | None = None, *, frame: FrameKind | None = None
) -> Any:
    """List what the archive holds of each code and period, and what is missing between and before it.

    Needs no token and sends nothing.

    Parameters
    ----------
    codes, period
        Only of these; default all.
    frame
        `"polars"`, `"pandas"` or `"arrow"`; default as configured, else Polars.

    Returns
    -------
    polars.DataFrame, pandas.DataFrame or pyarrow.Table
        One row per span, by code, period and time:

        ============ ================= ============================================================
        code, period text
        start, end   timestamp[us,UTC] the span, end excluded; trading dates of 1d, 1w and 1mo; no
                               start: everything before `end`
        held         bool              whether every bar that the vendor had is held
        bars         int64             how many; null where nothing is held
        reason       text              why not: `history_start` (the product is no older), `not_held`
                               (not asked for yet), or a reason of `Missing`
        detail       text              what else is known
        ============ ================= ============================================================

    Raises
    ------
    ArgumentError
        A code or period that cannot be.
    StoreError
        The archive cannot be read.

    Examples
    --------
    >>> import alltick_frames as at
    >>> with at.sandbox.running() as sandbox, at.Client(**sandbox.settings) as client:
    ...     bars = client.get_kline("EURUSD", "1h", "2026-03-02/2026-03-03")
    ...     held = client.coverage("EURUSD")
    >>> held.select("start", "end", "held", "bars").row(0)[2:]
    (True, 500)
    """
    return _default().coverage(codes, period, frame=frame)


def plot_coverage(codes: str | Iterable[str] | None = None, period: Period | str | None = None) -> Chart:
    """Draw what `coverage` lists: a row per code and period, a bar per span, coloured by what is held and why not.

    Needs no token and sends nothing; needs `pip install 'alltick-frames[plot]'`. In a notebook the chart can be moved,
    zoomed and asked for details, without a network; where scripts do not run, as on GitHub, its picture is shown.

    Parameters
    ----------
    codes, period
        Only of these; default all. A chart has up to 100 rows, and says how many are left out.

    Returns
    -------
    Chart
        An `altair.VConcatChart`: Altair's methods change it, and `.save("coverage.html")`, `.png` or `.svg` writes it
        to a file that needs no network either.

    Raises
    ------
    ArgumentError
        A code or period that cannot be.
    ConfigError
        Altair or vl-convert is not installed.
    StoreError
        The archive cannot be read.

    Examples
    --------
    >>> import alltick_frames as at
    >>> with at.sandbox.running() as sandbox, at.Client(**sandbox.settings) as client:
    ...     bars = client.get_kline("EURUSD", "1h", "2026-03-02/2026-03-03")
    ...     chart = client.plot_coverage("EURUSD")
    >>> chart.title.text
    'Coverage'
    """
    return _default().plot_coverage(codes, period)


@overload
def gaps(
    codes: Codes | None = ..., period: AnyPeriod | None = ..., *, frame: AsPolars = ..., min_bars: int | None = ...
) -> pl.DataFrame: ...


@overload
def gaps(
    codes: Codes | None = ..., period: AnyPeriod | None = ..., *, frame: AsPandas, min_bars: int | None = ...
) -> pd.DataFrame: ...


@overload
def gaps(
    codes: Codes | None = ..., period: AnyPeriod | None = ..., *, frame: AsArrow, min_bars: int | None = ...
) -> pa.Table: ...


@overload
def gaps(
    codes: Codes | None = ..., period: AnyPeriod | None = ..., *, frame: FrameKind | None, min_bars: int | None = ...
) -> AnyFrame: ...


def gaps(
    codes: str | Iterable[str] | None = None,
    period: Period | str | None = None,
    *,
    frame: FrameKind | None = None,
    min_bars: int | None = None,
) -> Any:
    """List suspicious holes within trading hours, between the first bar held and the last that is, or was looked for.

    Needs no token and sends nothing. What is not proven to be empty is always listed, and every daily or longer bar
    that lacks. Where the archive proves that the vendor had no bar, as in most quiet minutes of a thin stock, a stretch
    of slots without bars is listed if it is unusual for its product:

    - a whole session is in it; or
    - slots × shareⁿ < 0.01, the number of stretches of n slots to be expected in all that is proven. The share of
      slots without bars is the largest of three: in all the rest (whole sessions aside), in the rest of its session,
      and in the other sessions of its weekday at that time after the opening, by ten minutes; or
    - it lasts an hour or more, and the first of these shares is 0.01 at most and the third 0.25.

    Parameters
    ----------
    codes, period
        Only of these; default all.
    frame
        `"polars"`, `"pandas"` or `"arrow"`; default as configured, else Polars.
    min_bars
        List instead every stretch in which so many bars lack; 1 lists all.

    Returns
    -------
    polars.DataFrame, pandas.DataFrame or pyarrow.Table
        One row per stretch, by code, period and time:

        ============ ================= ============================================================
        code, period text
        start, end   timestamp[us,UTC] from the first bar that lacks to the end of the last; trading
                               dates of 1d, 1w and 1mo; `end` excluded
        bars         int64             how many lack; nights, weekends and breaks have none
        reason       text              `no_trade`: the vendor had none; `not_proven`: not asked for,
                               refused, or seen empty too early; or a reason of `Missing`
        calendar     text              by what these are trading hours: `XHKG`, `XSHG` or `XNYS` of
                               `exchange_calendars`; `weekdays` past their ends or without
                               the package; `alltick 2025-01`, the vendor's list; `24/7`; or
                               what was `observed` of a code in no list
        detail       text              what else is known
        ============ ================= ============================================================

        The vendor's list has no holidays of forex, metals, energy and CFD indices: those are listed.

    Raises
    ------
    ArgumentError
        A code or period that cannot be, or a *min_bars* that is no whole number from 1 on.
    StoreError
        The archive cannot be read.

    Examples
    --------
    >>> import alltick_frames as at
    >>> with at.sandbox.running() as sandbox, at.Client(**sandbox.settings) as client:
    ...     for week in ("2026-03-02/2026-03-06", "2026-03-16/2026-03-20"):
    ...         bars = client.get_kline("EURUSD", "15m", week)
    ...     found = client.gaps("EURUSD")
    >>> found.select("start", "bars", "reason", "calendar").row(0)[1:]
    (460, 'not_proven', 'alltick 2025-01')
    """
    return _default().gaps(codes, period, frame=frame, min_bars=min_bars)


@overload
def restatements(
    codes: Codes | None = ..., period: AnyPeriod | None = ..., *, frame: AsPolars = ...
) -> pl.DataFrame: ...


@overload
def restatements(codes: Codes | None = ..., period: AnyPeriod | None = ..., *, frame: AsPandas) -> pd.DataFrame: ...


@overload
def restatements(codes: Codes | None = ..., period: AnyPeriod | None = ..., *, frame: AsArrow) -> pa.Table: ...


@overload
def restatements(codes: Codes | None = ..., period: AnyPeriod | None = ..., *, frame: FrameKind | None) -> AnyFrame: ...


def restatements(
    codes: str | Iterable[str] | None = None, period: Period | str | None = None, *, frame: FrameKind | None = None
) -> Any:
    """List what the vendor changed of closed bars after they were archived; frames hold the later values.

    Needs no token and sends nothing.

    Parameters
    ----------
    codes, period
        Only of these; default all.
    frame
        `"polars"`, `"pandas"` or `"arrow"`; default as configured, else Polars.

    Returns
    -------
    polars.DataFrame, pandas.DataFrame or pyarrow.Table
        One row per changed value, by code, period and when it was seen:

        ============ ================= ====================================================
        code, period text
        timestamp    timestamp[us,UTC] the bar's stamp
        asked_at     timestamp[us,UTC] when the answer was asked for that changed it
        field        text              `open` … `turnover`
        old, new     float64           null where the vendor gave none
        ============ ================= ====================================================

    Raises
    ------
    ArgumentError
        A code or period that cannot be.
    StoreError
        The archive cannot be read.

    Examples
    --------
    >>> import alltick_frames as at
    >>> with at.sandbox.running() as sandbox, at.Client(**sandbox.settings) as client:
    ...     client.restatements().height
    0
    """
    return _default().restatements(codes, period, frame=frame)


@overload
def doctor(*, probe: bool = ..., frame: AsPolars = ..., progress: Progress = ...) -> pl.DataFrame: ...


@overload
def doctor(*, probe: bool = ..., frame: AsPandas, progress: Progress = ...) -> pd.DataFrame: ...


@overload
def doctor(*, probe: bool = ..., frame: AsArrow, progress: Progress = ...) -> pa.Table: ...


@overload
def doctor(*, probe: bool = ..., frame: FrameKind | None, progress: Progress = ...) -> AnyFrame: ...


def doctor(*, probe: bool = False, frame: FrameKind | None = None, progress: Progress = None) -> Any:
    """Check whether everything is as a call needs it, and with *probe* how the service reads what is undocumented.

    Looks at settings, token, addresses, clocks, the day's allowance, archive, disk and installed packages, for which it
    sends two requests, or none without a token. With *probe* it sends at most twelve more, about products that every
    plan has, and tells how the live service answers each question that the vendor's documents leave open (is the bar
    at an end time included, the order of bars, the stamps of days, end times of stocks, 500 or 1,000 bars, which plan
    the token really has), beside what the client assumes: it copes with all of them, so a note is no fault. Fields and
    error codes that no document knows are named as problems: then the vendor has changed something.

    Parameters
    ----------
    probe
        Whether to ask the twelve questions; on the Free plan they take two minutes.
    frame
        `"polars"`, `"pandas"` or `"arrow"`; default as configured, else Polars.
    progress
        As of `get_kline`.

    Returns
    -------
    polars.DataFrame, pandas.DataFrame or pyarrow.Table
        One row per finding: `topic`, `status` (`ok`, `note` or `problem`), `finding`, and of open questions what is
        `assumed` and the vendor's page that leaves it open (`source`); all text.

    Raises
    ------
    ConfigError
        A setting that cannot be used.
    BudgetError
        The day's allowance is used up.

    Examples
    --------
    >>> import alltick_frames as at
    >>> with at.sandbox.running() as sandbox, at.Client(**sandbox.settings) as client:
    ...     report = client.doctor(probe=True)
    >>> dict(report.select("topic", "finding").rows())["end"]
    'inclusive'
    """
    return _default().doctor(probe=probe, frame=frame, progress=progress)


def watch_kline(
    codes: str | Iterable[str], period: Period | str, *, on_incomplete: OnIncomplete | None = None
) -> Iterator[Bar]:
    """Yield each bar once, as it closes.

    Asks for the newest two bars of all codes when a bar can have closed, a few seconds after its end: by the exchanges'
    hours, so not at night. What was missed meanwhile, while the network was down, the vendor throttled or the laptop
    slept, is fetched as `get_kline` would, and yielded in order. All of it goes into the archive. The first bar is the
    one that was forming when the watch began. It ends when the caller stops asking for more, such as with Ctrl-C.

    Where the day's allowance does not suffice for a look at every bar, that is said at once (LongWaitWarning) with the
    shortest period for which it does. Vendor pages: "POST /batch-kline", "GET /kline"; the WebSocket has no bars.

    Parameters
    ----------
    codes
        One code or several.
    period
        `1m` to `1mo`; 2h and 4h are not offered for stocks.
    on_incomplete
        What cannot be had any more, such as of a stock after a long sleep, and refused codes among others, are warned
        of (IncompleteDataWarning) unless this is `"ignore"`: a watch goes on.

    Yields
    ------
    Bar
        A named tuple of code, period, timestamp, open, high, low, close, volume and turnover; by time, then in the
        order of *codes*. `polars.DataFrame([bar._asdict() for bar in bars])` makes a frame of them.

    Warns
    -----
    OutageWarning
        The vendor cannot be reached; once for each outage, which is sat out.

    Raises
    ------
    ArgumentError
        A code or period that cannot be.
    UnknownCodeError, CodeNotPermittedError
        No code is left that the vendor does not refuse.
    BudgetError
        The day's allowance is used up.
    AuthenticationError, ConfigError, StoreError
        As of `get_kline`.

    Examples
    --------
    >>> import alltick_frames as at
    >>> with at.sandbox.running(clock="2026-03-18T15:00:53Z") as sandbox, at.Client(**sandbox.settings) as client:
    ...     bars = client.watch_kline(["BTCUSDT", "EURUSD"], "1m")  # for bar in bars: …
    """
    return _default().watch_kline(codes, period, on_incomplete=on_incomplete)


@overload
def export(
    path: str | os.PathLike[str],
    codes: Codes | None = ...,
    period: AnyPeriod | None = ...,
    range: Any = ...,
    *,
    format: Format | None = ...,
    frame: AsPolars = ...,
    progress: Progress = ...,
) -> pl.DataFrame: ...


@overload
def export(
    path: str | os.PathLike[str],
    codes: Codes | None = ...,
    period: AnyPeriod | None = ...,
    range: Any = ...,
    *,
    format: Format | None = ...,
    frame: AsPandas,
    progress: Progress = ...,
) -> pd.DataFrame: ...


@overload
def export(
    path: str | os.PathLike[str],
    codes: Codes | None = ...,
    period: AnyPeriod | None = ...,
    range: Any = ...,
    *,
    format: Format | None = ...,
    frame: AsArrow,
    progress: Progress = ...,
) -> pa.Table: ...


@overload
def export(
    path: str | os.PathLike[str],
    codes: Codes | None = ...,
    period: AnyPeriod | None = ...,
    range: Any = ...,
    *,
    format: Format | None = ...,
    frame: FrameKind | None,
    progress: Progress = ...,
) -> AnyFrame: ...


def export(
    path: str | os.PathLike[str],
    codes: str | Iterable[str] | None = None,
    period: Period | str | None = None,
    range: Any = None,
    *,
    format: Format | None = None,
    frame: FrameKind | None = None,
    progress: Progress = None,
) -> Any:
    """Write what the archive holds to Parquet, CSV or DuckDB, for other programs and for `import_`.

    Needs no token and sends nothing. A second call writes only what *path* lacks and what has changed since; so does
    one after a kill, which leaves no file that is not whole. Bars that are at *path* and not in the archive stay: a
    call that would take some of them away raises.

    Parquet and CSV files lie in Hive's layout, `period=1m/code=EURUSD/2026-03.parquet`, with the columns of
    `get_kline` from `timestamp` on; codes are quoted as in URLs, which readers undo. A DuckDB database has one table
    `kline` with `code` and `period` as well. Beside them (`_alltick`) is written what the archive knows of the bars:
    what is proven and missing, what was restated, checksums, and prices that float64 cannot hold.

    Parameters
    ----------
    path
        A directory, or the file of a database; made if it does not exist.
    codes, period
        Only of these; default all that is held.
    range
        As for `get_kline`, but no number of bars; default all.
    format
        `"parquet"`, `"csv"` or `"duckdb"` (needs `pip install 'alltick-frames[duckdb]'`). By default what is at
        *path*, or DuckDB if it ends in `.duckdb` or `.db`, or Parquet.
    frame
        Of the report; `"polars"`, `"pandas"` or `"arrow"`; default as configured, else Polars.
    progress
        As for `get_kline`, in bars.

    Returns
    -------
    polars.DataFrame, pandas.DataFrame or pyarrow.Table
        One row per code and period:

        ============ ===== ============================================
        code, period text
        bars         int64 how many of them *path* holds now
        written      int64 how many this call wrote
        ============ ===== ============================================

    Raises
    ------
    ArgumentError
        A code of which nothing is held, a range that cannot be read, a *path* that holds something else.
    ConfigError
        DuckDB is not installed.
    StoreError
        Of a group, the archive cannot be read (all others are written, `.frame` reports them); *path* cannot be
        written, is of another origin, or holds bars that the archive does not.

    Examples
    --------
    >>> import tempfile
    >>> import alltick_frames as at
    >>> import polars as pl
    >>> with at.sandbox.running() as sandbox, at.Client(**sandbox.settings) as client:
    ...     bars = client.get_kline(["EURUSD", "700.HK"], "1d", 100)
    ...     with tempfile.TemporaryDirectory() as directory:
    ...         report = client.export(directory, "700.HK")
    ...         back = pl.read_parquet(f"{directory}/**/*.parquet", hive_partitioning=True)
    >>> report.columns, back.columns[-2:], back["code"].unique().to_list()
    (['code', 'period', 'bars', 'written'], ['period', 'code'], ['700.HK'])
    """
    return _default().export(path, codes, period, range, format=format, frame=frame, progress=progress)


@overload
def import_(path: str | os.PathLike[str], *, frame: AsPolars = ..., progress: Progress = ...) -> pl.DataFrame: ...


@overload
def import_(path: str | os.PathLike[str], *, frame: AsPandas, progress: Progress = ...) -> pd.DataFrame: ...


@overload
def import_(path: str | os.PathLike[str], *, frame: AsArrow, progress: Progress = ...) -> pa.Table: ...


@overload
def import_(path: str | os.PathLike[str], *, frame: FrameKind | None, progress: Progress = ...) -> AnyFrame: ...


def import_(path: str | os.PathLike[str], *, frame: FrameKind | None = None, progress: Progress = None) -> Any:
    """Bring what `export` wrote into the archive: bars, and what is proven, missing and restated.

    Needs no token and sends nothing. Of two values for a bar the one asked for later stays, as always; nothing that
    the archive holds is lost. A second call changes nothing, and one after a kill completes it. Of bars that are not
    as they were exported nothing is imported, and what lies between their neighbours is not claimed to be held.

    Parameters
    ----------
    path
        What `export` wrote, of the same origin as the archive.
    frame
        Of the report; `"polars"`, `"pandas"` or `"arrow"`; default as configured, else Polars.
    progress
        As for `get_kline`, in bars.

    Returns
    -------
    polars.DataFrame, pandas.DataFrame or pyarrow.Table
        One row per code and period:

        ============ ===== ===================================
        code, period text
        bars         int64 how many of them were whole at *path*
        added        int64 how many the archive did not hold
        ============ ===== ===================================

    Raises
    ------
    ArgumentError
        There is nothing at *path*.
    ConfigError
        It is a DuckDB database, and DuckDB is not installed.
    StoreError
        It is not ours, so that nothing proves its bars; it is of another origin; or some of it is damaged or was
        edited (all else is imported, `.frame` reports it).

    Examples
    --------
    >>> import tempfile
    >>> import alltick_frames as at
    >>> with at.sandbox.running() as sandbox, tempfile.TemporaryDirectory() as directory:
    ...     with at.Client(**sandbox.settings) as client:
    ...         bars = client.get_kline("EURUSD", "1h", "2026-03-02/2026-03-06")
    ...         report = client.export(f"{directory}/bars")
    ...     with at.Client(**{**sandbox.settings, "cache_dir": f"{directory}/archive"}) as other:
    ...         report = other.import_(f"{directory}/bars")
    ...         same = other.get_kline("EURUSD", "1h", "2026-03-02/2026-03-06", network="never").equals(bars)
    >>> report["added"].to_list(), same
    ([500], True)
    """
    return _default().import_(path, frame=frame, progress=progress)


@overload
def get_products(
    asset_class: ProductClass | None = ..., *, refresh: bool = ..., frame: AsPolars = ...
) -> pl.DataFrame: ...


@overload
def get_products(asset_class: ProductClass | None = ..., *, refresh: bool = ..., frame: AsPandas) -> pd.DataFrame: ...


@overload
def get_products(asset_class: ProductClass | None = ..., *, refresh: bool = ..., frame: AsArrow) -> pa.Table: ...


@overload
def get_products(
    asset_class: ProductClass | None = ..., *, refresh: bool = ..., frame: FrameKind | None
) -> AnyFrame: ...


def get_products(
    asset_class: ProductClass | None = None, *, refresh: bool = False, frame: FrameKind | None = None
) -> Any:
    """List what the vendor sells: codes, names and trading hours, from its public product sheet.

    Needs no token, sends none and costs nothing of the plan's allowance. Each tab of the sheet (vendor page "product
    code list") is fetched once and kept, with its date, beside the archive; from then on what is kept is used,
    whatever its age, until *refresh*. Without the network, and of tabs never fetched, some seventy codes are listed
    that are built in: those that the vendor's pages name. Energy is always built in, for no page says where it is.

    Parameters
    ----------
    asset_class
        `"forex"` `"metal"` `"energy"` `"crypto"` `"cfd_index"` `"index"` `"stock_hk"` `"stock_us"` `"stock_cn"`;
        default all, in this order. A code that two tabs have is then listed once, with the first.
    refresh
        Fetch the sheet anew.
    frame
        `"polars"`, `"pandas"` or `"arrow"`; default as configured, else Polars.

    Returns
    -------
    polars.DataFrame, pandas.DataFrame or pyarrow.Table
        One row per code, in the sheet's order; the same columns when empty:

        =========== ================= ==================================================================
        code        text              the product code, as `get_kline` takes it
        asset_class text              the sheet's tab
        family      text              `quote` or `stock`: the half of the API that serves it
        name        text              the English name; null where none is known, as of most coins
        name_cn     text              the Chinese name; null where none is known
        category    text              as in the sheet; null where it gives none
        hours       text              the trading hours, as in the sheet; null where it gives none
        sessions    list of structs   the same, one item the year round or one each for `summer` and
                                      `winter`; null where `hours` cannot be read to the last word
        as_of       timestamp[us,UTC] when the sheet was read; null of what is built in
        source      text              `sheet` or `built-in`
        =========== ================= ==================================================================

        An item of `sessions` is a week in wall time: `season` (null the year round), `zone` (IANA name; null if the
        sheet does not say), `open_day` and `open`, `close_day` and `close` (`Mon` to `Sun`, and a time), and `breaks`
        of every day (`start`, `end`; over midnight if it ends before it starts). A week that closes when it opens
        does not close. There are no holidays in it.

    Raises
    ------
    ArgumentError
        An unknown *asset_class*, or *refresh* with `network="never"`.

    Warns
    -----
    ProductListWarning
        A tab could not be fetched or kept, and what is listed of it instead, and how old that is; or, when a tab has
        been fetched, rows of it are left out because what stands for their code cannot be one.

    Examples
    --------
    >>> import alltick_frames as at
    >>> with at.sandbox.running() as sandbox, at.Client(**sandbox.settings) as client:
    ...     coins = client.get_products("crypto")
    >>> coins.select("code", "family", "hours", "source").row(0)
    ('BTCUSDT', 'quote', '7 x 24', 'sheet')
    """
    return _default().get_products(asset_class, refresh=refresh, frame=frame)


@overload
def search_products(text: str, *, asset_class: ProductClass | None = ..., frame: AsPolars = ...) -> pl.DataFrame: ...


@overload
def search_products(text: str, *, asset_class: ProductClass | None = ..., frame: AsPandas) -> pd.DataFrame: ...


@overload
def search_products(text: str, *, asset_class: ProductClass | None = ..., frame: AsArrow) -> pa.Table: ...


@overload
def search_products(text: str, *, asset_class: ProductClass | None = ..., frame: FrameKind | None) -> AnyFrame: ...


def search_products(text: str, *, asset_class: ProductClass | None = None, frame: FrameKind | None = None) -> Any:
    """Find products by part of their code, name, Chinese name or category: `"700"`, `"tencent"`, `"腾讯"`, `"gold"`.

    Upper and lower case are alike. What is searched is what `get_products` lists; nothing else is fetched.

    Parameters
    ----------
    text
        What to look for.
    asset_class, frame
        As for `get_products`.

    Returns
    -------
    polars.DataFrame, pandas.DataFrame or pyarrow.Table
        The columns of `get_products`, the likeliest first: codes that are *text*, with or without suffix; names that
        are; codes that begin with it; names of which a word does; and all else that holds it. Empty if nothing does.

    Raises
    ------
    ArgumentError
        An empty *text*, or an unknown *asset_class*.

    Warns
    -----
    ProductListWarning
        As of `get_products`.

    Examples
    --------
    >>> import alltick_frames as at
    >>> with at.sandbox.running() as sandbox, at.Client(**sandbox.settings) as client:
    ...     found = client.search_products("腾讯", asset_class="stock_hk")
    >>> found.select("code", "name_cn").rows()
    [('700.HK', '腾讯控股')]
    """
    return _default().search_products(text, asset_class=asset_class, frame=frame)


def _default() -> Client:
    """Give the default client, made from the environment of the moment it is first needed."""
    global _client  # noqa: PLW0603
    with _lock:
        if _client is None:
            _client = Client()
        return _client


def forget() -> None:
    """Drop the default client and what was configured, as if nothing had been called yet."""
    global _client  # noqa: PLW0603
    with _lock:
        _client = None
        _configured.clear()


def stream_trades(codes: str | Iterable[str], *, buffer: int = 100_000, when_full: WhenFull = "block") -> Stream:
    """Stream trades as they happen, as Arrow batches, until it is closed.

    Needs `pip install 'alltick-frames[stream]'`. Both of the vendor's WebSockets are used as the codes ask for, with as
    few connections as the plan allows codes on. What breaks is opened again, after waits that grow and are never below
    the plan's spacing, and subscribed to again; the vendor sends no missed ticks afterwards, so each such stretch is a
    record in the stream. Vendor pages: "Websocket interface", "Transaction quotation subscription".

    Parameters
    ----------
    codes
        As of `get_kline`, of any kinds. `stream.add(codes)` and `stream.remove(codes)` change them while it runs. A
        code that the vendor refuses is left out, with a `StreamWarning`.
    buffer
        How many ticks may wait to be taken.
    when_full
        What then: `"block"` (default) reads no further until some are taken, so that the server may close the
        connection in the end; `"drop"` drops the oldest, and says how many in a record; `"raise"` is a `StreamError`.

    Returns
    -------
    Stream
        Iterate over it (of an `AsyncClient`, with `async for`), and close it, or use it as a context manager. Each item
        is one of:

        - a `pyarrow.RecordBatch` of all that came since the last: `code`, `timestamp` (the trade's, UTC), `price`,
          `volume` (shares, also of A shares; null where none is given), `turnover`, `side` (`buy` `sell` `neutral`;
          null where there is none, as for forex), `seq`, `received_at`. In the order of arrival; repeats are left out.
        - a `Gap`: from what was last heard of a connection to when its subscription stood again.
        - a `Dropped`: ticks that came and are not handed over, and why.

    Raises
    ------
    ArgumentError, ConfigError
        What can be judged at once; also, when it begins, that the package websockets is missing.
    PlanLimitError
        More codes than the plan's connections carry.
    AuthenticationError
        While it runs: the token is not accepted. Nothing is tried again.
    StreamError
        While it runs: the buffer is full (`when_full="raise"`), or the vendor refuses a subscription without saying
        which code is to blame.

    Examples
    --------
    >>> import alltick_frames as at
    >>> with at.sandbox.running() as sandbox, at.Client(**sandbox.settings) as client:
    ...     with client.stream_trades(["BTCUSDT"]) as stream:
    ...         batch = next(stream)
    >>> batch.schema.names
    ['code', 'timestamp', 'price', 'volume', 'turnover', 'side', 'seq', 'received_at']
    """
    return _default().stream_trades(codes, buffer=buffer, when_full=when_full)


def stream_order_book(
    codes: str | Iterable[str],
    levels: int | None = None,
    *,
    buffer: int = 100_000,
    when_full: WhenFull = "block",
) -> Stream:
    """Stream order books as they change, as Arrow batches, until it is closed.

    As `stream_trades`; vendor page "Order book subscription".

    Parameters
    ----------
    codes, buffer, when_full
        As of `stream_trades`.
    levels
        At most so many on each side; None is all that there are: up to 10 for Hong Kong, 5 for A shares and crypto, 1
        for the rest.

    Returns
    -------
    Stream
        As of `stream_trades`; a batch has a row per side and level, or one without if a book is empty: `code`,
        `timestamp`, `side` (`bid` `ask`), `level` (1 is the best), `price`, `volume` (A shares in lots of 100; null if
        none), `seq`, `received_at`.

    Raises
    ------
    ArgumentError, ConfigError, PlanLimitError, AuthenticationError, StreamError
        As of `stream_trades`.

    Examples
    --------
    >>> import alltick_frames as at
    >>> with at.sandbox.running() as sandbox, at.Client(**sandbox.settings) as client:
    ...     with client.stream_order_book("BTCUSDT", levels=2) as stream:
    ...         batch = next(stream)
    >>> batch["side"].to_pylist(), batch["level"].to_pylist()
    (['bid', 'bid', 'ask', 'ask'], [1, 2, 1, 2])
    """
    return _default().stream_order_book(codes, levels, buffer=buffer, when_full=when_full)
