"""Bars as one array of seven rows, and the one way bars become longer bars."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CLOSE",
    "FIELDS",
    "HIGH",
    "LOW",
    "OPEN",
    "STAMP",
    "TURNOVER",
    "VOLUME",
    "Bars",
    "Ints",
    "aggregate",
]

FIELDS = ("timestamp", "open", "high", "low", "close", "volume", "turnover")
STAMP, OPEN, HIGH, LOW, CLOSE, VOLUME, TURNOVER = range(7)

# Shape (7, n), rows in the order of FIELDS. The model's are int64 (prices in ticks, so that sums are exact);
# a replay's are float64, as the user gave them.
Bars = NDArray[Any]
Ints = NDArray[np.int64]


def aggregate(bars: Bars, groups: Ints) -> Bars:
    """Return one bar for each run of equal *groups*, stamped with the group's number."""
    if not bars.shape[1]:
        return bars
    starts = np.flatnonzero(np.diff(groups, prepend=groups[0] - 1))
    ends = np.append(starts[1:], len(groups)) - 1
    longer = np.empty((len(FIELDS), len(starts)), bars.dtype)
    longer[STAMP] = groups[starts]
    longer[OPEN] = bars[OPEN, starts]
    longer[HIGH] = np.maximum.reduceat(bars[HIGH], starts)
    longer[LOW] = np.minimum.reduceat(bars[LOW], starts)
    longer[CLOSE] = bars[CLOSE, ends]
    longer[VOLUME] = np.add.reduceat(bars[VOLUME], starts)
    longer[TURNOVER] = np.add.reduceat(bars[TURNOVER], starts)
    return longer
