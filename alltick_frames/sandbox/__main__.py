"""``python -m alltick_frames.sandbox``: serve a sandbox and print where it is, as one line of JSON."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from alltick_frames.sandbox import serve
from alltick_frames.sandbox.limits import PLANS

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse *arguments* and serve."""
    parser = argparse.ArgumentParser(prog="alltick_frames.sandbox", description="An AllTick-compatible server.")
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address")
    parser.add_argument("--port", type=int, default=0, help="0 (the default) for any free port")
    parser.add_argument("--plan", choices=PLANS, default="professional")
    parser.add_argument("--token", help="the token to accept; made up by default")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other prices")
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--jitter-ms", type=float, default=0.0)
    parser.add_argument("--no-limits", dest="limits", action="store_false", help="answer however often asked")
    parser.add_argument("--until-stdin-closes", action="store_true", help="stop when the parent process is gone")
    serve(**vars(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
