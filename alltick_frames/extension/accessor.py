"""The accessor `df.alltick`: one class of methods for Polars, lazy Polars and pandas."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial as partial_
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import polars as pl

    from alltick_frames.extension.resampling import Partial, Session
    from alltick_frames.extension.reshaping import How, Kind
    from alltick_frames.periods import Period

__all__ = ["Extension"]

Frame = TypeVar("Frame")


class Extension(ABC, Generic[Frame]):
    """`df.alltick`: what there is to do with a frame of bars.

    On Polars and pandas DataFrames and Polars LazyFrames after `import alltick_frames.polars` or
    `import alltick_frames.pandas`; on those that this library makes, always. The frame need not be ours. It has

    - `code` (text), `timestamp` (a datetime with a time zone, of any unit: the bar's open), and `open`, `high`, `low`
      and `close` (float, integer or decimal);
    - where there are any, `volume` and `turnover`, and `closed` (Boolean: whether the bar can no longer change).

    Anything else is an `ArgumentError` that names what lacks. Rows come back sorted by code, as the codes first
    appear, and time; two rows of one code and timestamp are an `ArgumentError`. Where the length of the bars matters
    it is the smallest spacing of timestamps, or what a column `period` says, unless it is given.

    Pure: nothing is sent and no archive is read.

    Examples
    --------
    >>> import alltick_frames as at
    >>> with at.sandbox.running() as sandbox, at.Client(**sandbox.settings) as client:
    ...     bars = client.get_kline(["GOLD", "BTCUSDT"], "1h", "2026-03-16/2026-03-18", frame="pandas")
    >>> days = bars.alltick.resample("1d", partial="drop").alltick.returns("log")
    >>> days.groupby("code")["return"].count().to_dict()
    {'BTCUSDT': 2, 'GOLD': 1}
    """

    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    @abstractmethod
    def _through(self, function: Callable[[pl.DataFrame], pl.DataFrame]) -> Frame: ...

    def _indexed(self, function: Callable[[pl.DataFrame], pl.DataFrame], *, capitals: bool = False) -> Frame:  # noqa: ARG002  # pandas alone has indexes
        return self._through(function)

    def resample(
        self,
        period: Period | str,
        session: Session | None = None,
        *,
        of: Period | str | None = None,
        partial: Partial = "keep",
    ) -> Frame:
        """Make longer bars.

        The open is that of the first bar, the high the highest, the low the lowest, the close that of the last; volume
        and turnover are sums, null if all are null. There is a bar where there are bars: none is filled in. The stamp
        is where a bar begins, as the vendor's is, and a bar of trading dates has its first date at 00:00 UTC.

        By the clock (default), bars of minutes and hours begin at multiples of *period* after midnight: at the
        exchange for stocks, in UTC for all else, so that they are made of whole bars of the vendor's, and equal those
        that the vendor has itself. The stamp stays on this grid also where a session opens later. Of forex and its
        like, a bar of 2h or 4h may lie across the end of a trading date, as the vendor's do.

        With `session="open"` they are counted in trading time from each opening, breaks skipped, and never go beyond
        the session: in Shanghai 2h bars are morning and afternoon, and the 4h bar is the day. The closing auction is in
        the last one. When such a bar is known no longer follows from its stamp, so a column `known_at` says it.

        Days and more are made of trading dates (see `trading_date`), of crypto UTC days. Weeks begin on Monday;
        multiples of days and weeks are counted from Monday 1970-01-05, of months from January 1970.

        Parameters
        ----------
        period
            A period or any multiple of the frame's: `"45min"`, `"3h"`, `"1d"`, `"2w"`, `"3mo"`. `"1m"` and `"1min"` are
            a minute, `"1mo"` is a month. From 24 hours on it is days.
        session
            `"clock"`, as None, or `"open"`; days and more have no choice.
        of
            How long the frame's bars are, where it does not tell.
        partial
            The first and the last bar of each code may lack some that the frame does not reach, and one that is forming
            will change: `"keep"` marks them in a column `partial`, `"drop"` leaves them and the column out. Holes
            between them, as quiet minutes leave, are no matter.

        Returns
        -------
        polars.DataFrame, polars.LazyFrame or pandas.DataFrame
            `code timestamp open high low close`, `volume` and `turnover` as far as they are there, `closed` (all of a
            bar's are) if it is there, `partial`, and `known_at` of trading time. Other columns are left out.

        Raises
        ------
        ArgumentError
            A frame that holds no bars; a period that cannot be told, or is not made of whole bars of the frame; a bar
            that lies across two of the new ones, as one of 1h may where a session opens at half past.

        Examples
        --------
        >>> from datetime import UTC, datetime
        >>> import polars as pl
        >>> import alltick_frames.polars
        >>> stamps = [datetime(2026, 3, 18, 14, minute, tzinfo=UTC) for minute in range(58, 60)]
        >>> stamps += [datetime(2026, 3, 18, 15, minute, tzinfo=UTC) for minute in range(4)]
        >>> prices = {"open": range(6), "high": range(6, 12), "low": range(6), "close": range(1, 7)}
        >>> bars = pl.DataFrame({"code": "BTCUSDT", "timestamp": stamps, **{k: list(v) for k, v in prices.items()}})
        >>> for row in bars.alltick.resample("2min").drop("code").iter_rows():
        ...     print(f"{row[0]:%H:%M}", *row[1:])
        14:58 0 7 0 2 False
        15:00 2 9 2 4 False
        15:02 4 11 4 6 False
        """
        from alltick_frames.extension.resampling import resample

        return self._through(partial_(resample, period=period, session=session, of=of, partial=partial))

    def ohlcv(self, code: str | None = None) -> Frame:
        """Give one code's closed bars as charting and backtesting libraries take them.

        Polars: `timestamp open high low close volume`. pandas: `Open High Low Close Volume`, float64 of NumPy, with a
        DatetimeIndex named `timestamp` in the frame's time zone and unit (UTC and µs of our frames), as backtesting.py
        and its like want it.

        Parameters
        ----------
        code
            Which; not needed if the frame has one.

        Returns
        -------
        polars.DataFrame, polars.LazyFrame or pandas.DataFrame
            The numbers are float64. A volume that the vendor does not give is null, in pandas NaN, and never an
            invented zero. Forming bars (`closed` is False) are left out.

        Raises
        ------
        ArgumentError
            A frame that holds no bars, several codes of which none was chosen, or a code it does not have.

        Examples
        --------
        >>> import pandas as pd
        >>> import alltick_frames.pandas
        >>> stamps = pd.to_datetime(["2026-03-18T14:00Z", "2026-03-18T15:00Z"])
        >>> bars = pd.DataFrame({"code": "EURUSD", "timestamp": stamps}).assign(open=1.1, high=1.3, low=1.0, close=1.2)
        >>> table = bars.alltick.ohlcv()
        >>> table.index.name, str(table.index.tz)
        ('timestamp', 'UTC')
        >>> table.iloc[0].to_dict()
        {'Open': 1.1, 'High': 1.3, 'Low': 1.0, 'Close': 1.2, 'Volume': nan}
        """
        from alltick_frames.extension.reshaping import ohlcv

        return self._indexed(partial_(ohlcv, code=code), capitals=True)

    def pivot(self, field: str = "close", codes: Iterable[str] | None = None) -> Frame:
        """Give one field as a wide frame: a row per timestamp, a column per code.

        Parameters
        ----------
        field
            Any column of numbers, such as `close`, `volume` or what `returns` has added.
        codes
            These alone, in this order; default all, as they first appear. A lazy frame must be told.

        Returns
        -------
        polars.DataFrame, polars.LazyFrame or pandas.DataFrame
            Sorted by time, null (in pandas NaN) where a code has no bar: nothing is filled. Polars: a column
            `timestamp`, and the field's own type. pandas: float64 of NumPy and a DatetimeIndex named `timestamp`, as
            numerical libraries take it. Forming bars (`closed` is False) are left out, since nothing would mark them.

        Raises
        ------
        ArgumentError
            A frame that holds no bars, a field that is no column of numbers, or a code it does not have.

        Examples
        --------
        >>> from datetime import datetime
        >>> import polars as pl
        >>> import alltick_frames.polars
        >>> stamps = pl.datetime_range(datetime(2026, 3, 18, 14), datetime(2026, 3, 18, 15), "1h", time_zone="UTC")
        >>> bars = pl.select(code=pl.lit("GOLD"), timestamp=stamps, open=1.0, high=3.0, low=1.0, close=2.0)
        >>> both = pl.concat([bars, bars.tail(1).with_columns(code=pl.lit("Silver"), close=1.5)])
        >>> both.alltick.pivot("close").select("GOLD", "Silver").rows()
        [(2.0, None), (2.0, 1.5)]
        """
        from alltick_frames.extension.reshaping import pivot

        # An iterator is read once, a lazy frame maybe often.
        chosen = codes if codes is None or isinstance(codes, str) else tuple(codes)
        return self._indexed(partial_(pivot, field=field, codes=chosen))

    def align(self, how: How = "inner") -> Frame:
        """Give every code the same timestamps.

        Parameters
        ----------
        how
            `"inner"` keeps the timestamps that all codes have; `"outer"` gives each code a row for every timestamp
            that any has.

        Returns
        -------
        polars.DataFrame, polars.LazyFrame or pandas.DataFrame
            The same columns. Rows that `"outer"` adds are null in all but code and timestamp: no price is invented.

        Raises
        ------
        ArgumentError
            A frame that holds no bars, or another *how*.

        Examples
        --------
        >>> from datetime import datetime
        >>> import polars as pl
        >>> import alltick_frames.polars
        >>> stamps = pl.datetime_range(datetime(2026, 3, 18, 14), datetime(2026, 3, 18, 15), "1h", time_zone="UTC")
        >>> bars = pl.select(code=pl.lit("GOLD"), timestamp=stamps, open=1.0, high=3.0, low=1.0, close=2.0)
        >>> both = pl.concat([bars, bars.tail(1).with_columns(code=pl.lit("Silver"))])
        >>> both.alltick.align("inner").height, both.alltick.align("outer")["close"].to_list()
        (2, [2.0, 2.0, None, 2.0])
        """
        from alltick_frames.extension.reshaping import align

        return self._through(partial_(align, how=how))

    def gaps(self, min_bars: int | None = None, *, period: Period | str | None = None) -> Frame:
        """List suspicious holes within trading hours, between the first and the last bar of each code.

        As the function `gaps` does of the archive, and by the same rules, but of this frame alone, which has no
        evidence of why a bar is not in it: nothing traded, nobody asked, or it was left out.

        Parameters
        ----------
        min_bars
            List instead every stretch in which so many bars lack; 1 lists all.
        period
            How long the bars are, where the frame does not tell.

        Returns
        -------
        polars.DataFrame, polars.LazyFrame or pandas.DataFrame
            The columns of `gaps`, `start` and `end` in UTC; the reason is always `not_in_frame`.

        Raises
        ------
        ArgumentError
            A frame that holds no bars, a *min_bars* that is no whole number from 1 on, or a period that cannot be
            told or is none of the vendor's.

        Examples
        --------
        >>> from datetime import datetime
        >>> import polars as pl
        >>> import alltick_frames.polars
        >>> stamps = pl.datetime_range(datetime(2026, 3, 16), datetime(2026, 3, 20), "15m", time_zone="UTC")
        >>> bars = pl.select(code=pl.lit("EURUSD"), timestamp=stamps, open=1.0, high=3.0, low=1.0, close=2.0)
        >>> a_day_off = bars.filter(pl.col("timestamp").dt.day() != 18)
        >>> a_day_off.alltick.gaps().select("start", "bars", "reason").row(0)[1:]
        (96, 'not_in_frame')
        """
        from alltick_frames.extension.holes import gaps

        return self._through(partial_(gaps, min_bars=min_bars, period=period))

    def returns(self, kind: Kind = "simple", field: str = "close") -> Frame:
        """Add a column `return`: the change of a price since the code's bar before.

        Parameters
        ----------
        kind
            `"simple"`: p₁/p₀ - 1; `"log"`: ln(p₁/p₀).
        field
            `open`, `high`, `low` or `close`.

        Returns
        -------
        polars.DataFrame, polars.LazyFrame or pandas.DataFrame
            With `return`, float64: null of each code's first bar, next to a row without prices, where the price before
            is 0, and the logarithm also where one is negative. That of a forming bar is there, and `closed` beside it.

        Raises
        ------
        ArgumentError
            A frame that holds no bars, another *kind*, or a field that is no price.

        Examples
        --------
        >>> from datetime import datetime
        >>> import polars as pl
        >>> import alltick_frames.polars
        >>> stamps = pl.datetime_range(datetime(2026, 3, 18, 14), datetime(2026, 3, 18, 15), "1h", time_zone="UTC")
        >>> bars = pl.select(code=pl.lit("GOLD"), timestamp=stamps, open=1.0, high=3.0, low=1.0, close=2.0)
        >>> bars.with_columns(close=pl.Series([2.0, 2.5])).alltick.returns()["return"].to_list()
        [None, 0.25]
        """
        from alltick_frames.extension.reshaping import returns

        return self._through(partial_(returns, kind=kind, field=field))

    def tz(self, zone: str = "exchange") -> Frame:
        """Show the timestamps in another time zone; the instants stay.

        Parameters
        ----------
        zone
            A name of the IANA database such as `"Asia/Hong_Kong"`, or `"exchange"`: Hong Kong, Shanghai or New York,
            of forex, metals, energy and CFD indices New York, of crypto UTC. A lazy frame must be told the name.

        Returns
        -------
        polars.DataFrame, polars.LazyFrame or pandas.DataFrame
            The same rows and columns.

        Raises
        ------
        ArgumentError
            A frame that holds no bars, no such zone, or `"exchange"` for codes of several zones.

        Examples
        --------
        >>> from datetime import datetime
        >>> import polars as pl
        >>> import alltick_frames.polars
        >>> stamps = pl.datetime_range(datetime(2026, 3, 18, 2), datetime(2026, 3, 18, 2), "1h", time_zone="UTC")
        >>> bars = pl.select(code=pl.lit("700.HK"), timestamp=stamps, open=1.0, high=3.0, low=1.0, close=2.0)
        >>> print(bars.alltick.tz()["timestamp"].item())
        2026-03-18 10:00:00+08:00
        """
        from alltick_frames.extension.reshaping import tz

        return self._through(partial_(tz, zone=zone))

    def trading_date(self, *, period: Period | str | None = None) -> Frame:
        """Add a column `trading_date`: the date of the session that a bar belongs to.

        Of stocks it is the date at the exchange. The date of forex, metals, energy and CFD indices begins at their
        opening the evening before, at 17:00 in New York or later, by the vendor's list of hours; a code in no list has
        these days, or UTC's if there are bars of Saturdays. Crypto: the UTC date. Of daily bars it is what their stamp
        says, whichever the vendor's is; of weekly and monthly ones the Monday, and the first of the month.

        Parameters
        ----------
        period
            How long the bars are, where the frame does not tell.

        Returns
        -------
        polars.DataFrame, polars.LazyFrame or pandas.DataFrame
            With `trading_date`, a date without time.

        Raises
        ------
        ArgumentError
            A frame that holds no bars, or one of a period that cannot be told.

        Examples
        --------
        >>> from datetime import datetime
        >>> import polars as pl
        >>> import alltick_frames.polars
        >>> stamps = pl.datetime_range(datetime(2026, 3, 17, 20), datetime(2026, 3, 17, 22), "1h", time_zone="UTC")
        >>> bars = pl.select(code=pl.lit("EURUSD"), timestamp=stamps, open=1.0, high=3.0, low=1.0, close=2.0)
        >>> for stamp, date in bars.alltick.trading_date().select("timestamp", "trading_date").rows():
        ...     print(f"{stamp:%d. %H:%M} UTC: {date:%d.}")
        17. 20:00 UTC: 17.
        17. 21:00 UTC: 18.
        17. 22:00 UTC: 18.
        """
        from alltick_frames.extension.dates import trading_date

        return self._through(partial_(trading_date, period=period))

    def known_at(self, *, period: Period | str | None = None) -> Frame:
        """Add a column `known_at`: when a bar could first be acted on, which is when it closes and not its stamp.

        Join and shift by it instead of `timestamp` and nothing looks ahead. It is never earlier than the truth:

        - Up to 4h: the stamp plus the period, or the close or break that comes before, by `exchange_calendars` if it
          is installed. In Hong Kong and Shanghai, a bar that begins at the close or reaches over it has the closing
          auction's price in it, which takes some minutes: an hour after the close.
        - Daily and longer bars of stocks: an hour after the last session's close, when the closing auction and what is
          reported late is in; without a calendar, the end of the last trading date at the exchange.
        - Daily and longer bars of all else, of which nobody knows when the vendor's days begin: the end of the last
          trading date (17:00 in New York, of crypto 24:00 UTC), but not before the stamp plus the period.

        What the vendor needs to send it, and its later corrections, come on top. A column `known_at` that is there, as
        in what `resample` makes of `session="open"`, stays as it is.

        Parameters
        ----------
        period
            How long the bars are, where the frame does not tell.

        Returns
        -------
        polars.DataFrame, polars.LazyFrame or pandas.DataFrame
            With `known_at`, of the same type as `timestamp`.

        Raises
        ------
        ArgumentError
            A frame that holds no bars, or one of a period that cannot be told.

        Examples
        --------
        Each hour beside the last day that was known by then:

        >>> import polars as pl
        >>> import alltick_frames as at
        >>> with at.sandbox.running() as sandbox, at.Client(**sandbox.settings) as client:
        ...     hours, days = (client.get_kline("GOLD", each, "2026-03-16/2026-03-18") for each in ("1h", "1d"))
        >>> by_then = days.alltick.known_at().select("code", "known_at", day=pl.col("timestamp").dt.date())
        >>> joined = hours.alltick.known_at().join_asof(by_then, on="known_at", by="code", check_sortedness=False)
        >>> for row in joined.select("timestamp", "known_at", "day").rows()[21:23]:
        ...     print(f"the hour of {row[0]:%H:%M} is known at {row[1]:%H:%M}, and then the day {row[2]}")
        the hour of 22:00 is known at 23:00, and then the day None
        the hour of 23:00 is known at 00:00, and then the day 2026-03-16
        """
        from alltick_frames.extension.dates import known_at

        return self._through(partial_(known_at, period=period))
