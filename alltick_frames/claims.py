"""Who fetches some bars right now: of all threads and processes that use an archive, one.

The others wait for what it stores, and send nothing for what is there by then. A claim is a lock on a file, which the
system lets go of with the process that held it. It saves requests and guards nothing: without one the archive is as
right as with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import filelock

if TYPE_CHECKING:
    from pathlib import Path

    from alltick_frames.periods import Period

__all__ = ["Claim", "claim_of"]


def claim_of(directory: Path, code: str, period: Period) -> Claim:
    """Give the claim to fetch the bars of one code and period into the archive in *directory*."""
    return Claim(directory, f"{period.value}-{quote(code, safe='')}")


class Claim:
    """The claim to fetch what *name* says into the archive in *directory*."""

    def __init__(self, directory: Path, name: str) -> None:
        self._path = directory / "claims" / f"{name}.lock"
        # Taken by one thread and let go of by another.
        self._lock = filelock.FileLock(self._path, blocking=False, thread_local=False)

    def take(self) -> bool:
        """Take the claim if nobody has it."""
        try:
            self._path.parent.mkdir(mode=0o700, exist_ok=True)
            self._lock.acquire()
        except filelock.Timeout:
            return False
        except OSError:
            return True  # Nobody can claim anything here, and storing will say why.
        return True

    def release(self) -> None:
        """Let go of the claim."""
        self._lock.release(force=True)
