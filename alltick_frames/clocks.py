"""What time it is: the only reader of this machine's clocks, but for measuring how long something took."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CallClock", "naps", "uptime_s", "utc_now"]

# Python's monotonic clock stands still in a laptop that sleeps; these go on.
_UPTIMES = {"linux": "CLOCK_BOOTTIME", "darwin": "CLOCK_MONOTONIC_RAW"}
_NAP_S = 1.0
# A clock that is being corrected runs a little faster or slower for a while.
_DRIFT = timedelta(seconds=1)


def utc_now() -> datetime:
    """Read the clock on the wall, which may be set."""
    return datetime.now(UTC)


def naps(until: datetime) -> Iterator[float]:
    """Give seconds to sleep, one after the other, until the clock on the wall shows *until*.

    That clock may be set, and what one sleeps by stands still in a laptop that sleeps.
    """
    while (left_s := (until - utc_now()).total_seconds()) > 0:
        yield min(left_s, _NAP_S)


def uptime_s() -> float:
    """Give seconds that no one can set back, equal for all processes, counted while the machine sleeps."""
    clock = _UPTIMES.get(sys.platform)
    return time.monotonic() if clock is None else time.clock_gettime(getattr(time, clock))


class CallClock:
    """The time during one call.

    The wall's clock may be set meanwhile: by that alone, bars that were closed would be forming again, or forming ones
    closed. So within a call it goes neither back nor faster than time passes.
    """

    def __init__(self) -> None:
        self.start = self._latest = utc_now()
        self._started_s = uptime_s()

    def __call__(self) -> datetime:
        """Read it."""
        passed = timedelta(seconds=uptime_s() - self._started_s)
        self._latest = min(max(self._latest, utc_now()), self.start + passed + _DRIFT)
        return self._latest
