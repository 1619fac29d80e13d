"""Faults on demand: for the next n requests, or at a probability."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from alltick_frames.sandbox.delivery import WAYS
from alltick_frames.sandbox.envelopes import ENVELOPES, VARIANTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["DAMAGE", "FAULTS", "FaultPlan"]

DAMAGE: Mapping[str, Callable[[bytes], bytes]] = MappingProxyType(
    {
        "truncated": lambda body: body[: len(body) // 2],
        "garbage": lambda body: b"\x00\xff<" + body[::-1],
    }
)
"""What happens to the body of an otherwise good answer."""

FAULTS = (*WAYS, *DAMAGE, *VARIANTS, *ENVELOPES)
"""Every name that can be asked for."""


@dataclass(slots=True)
class FaultPlan:
    """Which of the coming requests fail, and how; the same seed fails the same ones."""

    seed: int = 0
    probabilities: dict[str, float] = field(default_factory=dict)
    upcoming: deque[str] = field(default_factory=deque)
    _random: random.Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - repeatable on purpose

    def next_fault(self) -> str | None:
        """Return the fault of this request, or None."""
        if self.upcoming:
            return self.upcoming.popleft()
        for name, probability in self.probabilities.items():
            if self._random.random() < probability:
                return name
        return None

    def fail_next(self, count: int, name: str) -> None:
        """Let the next *count* requests fail by *name*, after those already waiting to fail."""
        self.upcoming.extend([_known(name)] * count)

    def set_probabilities(self, probabilities: Mapping[str, float]) -> None:
        """Replace the probabilities; names that are left out no longer fail by chance."""
        self.probabilities = {_known(name): float(value) for name, value in probabilities.items()}

    def jitter_s(self, jitter_ms: float) -> float:
        """Return how much later than sent this request arrives."""
        return jitter_ms * self._random.random() / 1000 if jitter_ms else 0.0


def _known(name: str) -> str:
    if name not in FAULTS:
        raise ValueError(f"fault {name!r} is not one of {', '.join(FAULTS)}")
    return name
