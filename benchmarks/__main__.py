"""`python -m benchmarks [full]`: what this project measures, each as a ratio to its own yardstick."""

from __future__ import annotations

import itertools
import sys

from rich.console import Console
from rich.table import Table

from benchmarks import archiving, asking, decoding, fetching, importing, sharing, size


def main() -> None:
    """Run every measure and print one table; *full* writes the day of 500 codes, fetches years and scans 10 GB."""
    table = Table("measure", "ratio", "goal", "how")
    full = sys.argv[1:] == ["full"]
    others = (part.measure() for part in (decoding, importing, asking, sharing))
    parts = (archiving.measure(full=full), fetching.measure(full=full), size.measure(full=full), *others)
    for result in itertools.chain(*parts):
        table.add_row(result.name, f"{result.ratio:.3f}", result.goal, result.how)
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
