"""What `df.alltick` does: functions from one Polars frame of bars to another, and the accessor in front of them.

Polars, lazy Polars and pandas frames all go through these; `alltick_frames.polars` and `alltick_frames.pandas` attach
the accessor to the libraries. Importing this package loads neither.
"""

from __future__ import annotations

__all__: list[str] = []
