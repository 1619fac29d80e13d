"""When an exchange's sessions open and close, as far as `exchange_calendars` is installed and knows."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from alltick_frames.codes import AssetClass, asset_class_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Schedule", "schedule", "session_close"]

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


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """Every session a calendar knows, oldest first; all but the name in epoch microseconds.

    Attributes
    ----------
    name
        The calendar's.
    dates
        Trading dates, as 00:00 UTC.
    opens, pauses, resumes, closes
        A session without a break pauses and resumes at its close.
    """

    name: str
    dates: NDArray[np.int64]
    opens: NDArray[np.int64]
    pauses: NDArray[np.int64]
    resumes: NDArray[np.int64]
    closes: NDArray[np.int64]


def schedule(code: str) -> Schedule | None:
    """Give the sessions of the exchange of *code*; None if the package is absent or the code is no stock."""
    name = _NAMES.get(asset_class_of(code))
    calendar = None if name is None else _calendar(name)
    return None if calendar is None else _schedule(calendar)


@lru_cache
def _schedule(calendar: Any) -> Schedule:
    opens, closes = _microseconds(calendar.opens), _microseconds(calendar.closes)
    pauses, resumes = (
        np.where(times.isna().to_numpy(), closes, _microseconds(times))
        for times in (calendar.break_starts, calendar.break_ends)
    )
    dates = calendar.sessions.to_numpy().astype("datetime64[us]").astype(np.int64)
    return Schedule(calendar.name, dates, opens, pauses, resumes, closes)


def _microseconds(times: Any) -> NDArray[np.int64]:
    utc = times.dt.tz_convert(None).to_numpy().astype("datetime64[us]")
    return np.asarray(utc.astype(np.int64))


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
