"""What time the sandbox says it is."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, date, datetime

__all__ = ["Clock", "clock_at", "epoch_of"]


@dataclass(frozen=True, slots=True)
class Clock:
    """The real clock shifted by *offset_s*, or a clock that stands still at *frozen_at*."""

    offset_s: float = 0.0
    frozen_at: float | None = None

    def now(self) -> float:
        """Return the time as UTC epoch seconds."""
        return time.time() + self.offset_s if self.frozen_at is None else self.frozen_at


def clock_at(at: str | float | date | None, *, frozen: bool) -> Clock:
    """Return a clock that shows *at* now; None is the real time."""
    if at is None:
        return Clock(frozen_at=time.time() if frozen else None)
    instant = epoch_of(at)
    return Clock(frozen_at=instant) if frozen else Clock(offset_s=instant - time.time())


def epoch_of(at: str | float | date) -> float:
    """Return *at* (ISO text, datetime, date or epoch seconds) as epoch seconds; naive means UTC."""
    if isinstance(at, int | float):
        return float(at)
    moment = at if isinstance(at, datetime) else datetime.fromisoformat(str(at))
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
