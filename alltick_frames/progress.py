"""Showing how far a call is: a bar in terminals and notebooks, or the caller's own function."""

from __future__ import annotations

import contextlib
import sys
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from alltick_frames.fetch import Report

    Progress = bool | Callable[[int, int, float], None] | None

__all__ = ["quiet", "shown"]

# A call that is over sooner shows no bar.
_DELAY_S = 1


@contextlib.contextmanager
def shown(progress: Progress, label: str, unit: str = "requests") -> Iterator[Report]:
    """Give the function to be told of progress.

    True shows a bar at once; None shows one on a terminal or in a notebook when the call takes over a second.
    """
    if callable(progress):
        yield progress
    elif progress or (progress is None and _somebody_looks()):
        with _bar(label, unit, delay_s=0 if progress else _DELAY_S) as report:
            yield report
    else:
        yield quiet


def quiet(done: int, total: int, eta: float) -> None:
    """Show nothing."""


def _somebody_looks() -> bool:
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    # Only the shells of kernels, behind notebooks, have one.
    return hasattr(shell, "kernel") or (sys.stderr is not None and sys.stderr.isatty())


@contextlib.contextmanager
def _bar(label: str, unit: str, delay_s: int) -> Iterator[Report]:
    with warnings.catch_warnings():
        # Without ipywidgets tqdm shows its text bar in notebooks, which is good enough to say nothing about.
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm  # noqa: PLC0415
    bar_format = f"{{desc}}: {{percentage:3.0f}}%|{{bar}}| {{n_fmt}}/{{total_fmt}} {unit} [{{elapsed}}{{postfix}}]"
    with tqdm(desc=label, delay=delay_s, bar_format=bar_format, leave=False, total=1) as bar:

        def report(done: int, total: int, eta: float) -> None:
            bar.total = total
            bar.set_postfix_str(f"{eta:.0f} s left", refresh=False)
            bar.update(done - bar.n)
            if done == total:
                bar.refresh()  # tqdm leaves out updates that follow each other closely

        yield report
