"""When an exchange's sessions close, as far as `exchange_calendars` is installed and knows."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from alltick_frames.codes import AssetClass, asset_class_of

__all__ = ["session_close"]

_NAMES = {AssetClass.STOCK_HK: "XHKG", AssetClass.STOCK_CN: "XSHG", AssetClass.STOCK_US: "XNYS"}


def session_close(code: str, first: datetime, after: datetime) -> datetime | None:
    """Give the close of the last session dated from *first* to before *after*, two dates as 00:00 UTC.

    None where no calendar can tell: the package is absent, the code is no stock, the dates are not all within
    the calendar, or none of them is a session's.
    """
    name = _NAMES.get(asset_class_of(code))
    calendar = None if name is None else _calendar(name)
    if calendar is None:
        return None
    begins, ends = (day.replace(tzinfo=None) for day in (first, after - timedelta(days=1)))
    if begins < calendar.first_session or ends > calendar.last_session:
        return None
    closes = calendar.closes.loc[begins:ends]
    return closes.iloc[-1].to_pydatetime().astimezone(UTC) if len(closes) else None


@lru_cache
def _calendar(name: str) -> Any:
    try:
        # It brings pandas: half a second that only the newest daily bars of stocks need.
        import exchange_calendars  # noqa: PLC0415
    except ImportError:
        return None
    with warnings.catch_warnings():
        # Its deprecated calls into pandas are not our users' to mend.
        warnings.simplefilter("ignore")
        return exchange_calendars.get_calendar(name)
