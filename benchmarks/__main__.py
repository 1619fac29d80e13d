"""`python -m benchmarks [full]`: requests, wall time, decoding, archive, import and sharing, as ratios to yardsticks."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table

from benchmarks import archiving, decoding, fetching, importing, sharing


def main() -> None:
    """Run every measure and print one table; *full* writes the archive's day of 500 codes, for ten minutes."""
    table = Table("measure", "ratio", "goal", "how")
    full = sys.argv[1:] == ["full"]
    for measured in (decoding.measure(), importing.measure(), archiving.measure(full=full), fetching.measure(), sharing.measure()):
        for result in measured:
            table.add_row(result.name, f"{result.ratio:.3f}", result.goal, result.how)
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
