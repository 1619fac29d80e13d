"""An AllTick-compatible server on loopback, with a model market: to try code against, and to test it.

Written from the vendor's protocol alone: nothing here knows the client. The server's packages come with the
``sandbox`` extra and are imported when it runs; prices are invented and must not be mistaken for data.

Examples
--------
>>> from alltick_frames import sandbox
>>> with sandbox.running(clock="2026-03-18T09:00Z", frozen=True) as s:
...     s.bars("EURUSD", "1h", "2026-03-17T08:00Z", "2026-03-17T11:00Z").num_rows
3
"""

from __future__ import annotations

from typing import Any

from alltick_frames.sandbox.handle import Sandbox, require_extra, running

__all__ = ["Sandbox", "running", "serve"]


def serve(host: str = "127.0.0.1", port: int = 0, plan: str = "professional", **options: Any) -> None:
    """Serve in this process until interrupted; see `alltick_frames.sandbox.server.serve` for the options."""
    require_extra()
    from alltick_frames.sandbox import server  # noqa: PLC0415 - needs the extra

    server.serve(host, port, plan, **options)
