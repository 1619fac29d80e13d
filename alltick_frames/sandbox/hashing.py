"""Seeded randomness that can be asked for at any position: a counter hashed, not a generator stepped."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

__all__ = ["Hashes", "hash_at", "key_of", "uniform"]

Hashes = NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def key_of(*parts: object) -> int:
    """Return a 64-bit key for *parts*, the same in every process (``hash()`` is not)."""
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def hash_at(key: int, position: NDArray[np.int64]) -> Hashes:
    """Return 64 random bits for every *position* (splitmix64 of a counter that starts at *key*)."""
    # The first step allocates, the rest work in place: a page of 4h bars hashes 120,000 minutes.
    state = position.astype(np.uint64)
    state *= _GOLDEN
    state += np.uint64(key)
    shifted = state >> np.uint64(30)
    state ^= shifted
    state *= _MIX_1
    np.right_shift(state, np.uint64(27), out=shifted)
    state ^= shifted
    state *= _MIX_2
    np.right_shift(state, np.uint64(31), out=shifted)
    state ^= shifted
    return state


def uniform(hashes: Hashes) -> NDArray[np.float64]:
    """Return numbers in [0, 1) from the upper 53 bits of *hashes*."""
    return (hashes >> np.uint64(11)).astype(np.float64) * 2.0**-53
