"""One measure's outcome."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Result:
    """A ratio, the goal it is held against, and the two quantities behind it."""

    name: str
    ratio: float
    goal: str
    how: str
