"""Warnings that point at the user's line, not at ours."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType

    from alltick_frames.errors import AllTickWarning

__all__ = ["tell"]

_PACKAGE = __name__.partition(".")[0]


def tell(notices: Iterable[AllTickWarning]) -> None:
    """Warn of each of *notices* at the nearest line outside this package."""
    level = 1
    frame: FrameType | None = sys._getframe()  # noqa: SLF001  # what `warnings.warn(skip_file_prefixes=)` does from Python 3.12 on
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
        level, frame = level + 1, frame.f_back
    for notice in notices:
        warnings.warn(notice, stacklevel=level)
