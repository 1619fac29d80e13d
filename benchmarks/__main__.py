"""`python -m benchmarks`: requests, wall time, decoding, archive and import, each as a ratio to its own yardstick."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from benchmarks import archiving, decoding, fetching, importing


def main() -> None:
    """Run every measure and print one table."""
    table = Table("measure", "ratio", "goal", "how")
    for part in (decoding, importing, archiving, fetching):
        for result in part.measure():
            table.add_row(result.name, f"{result.ratio:.3f}", result.goal, result.how)
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
