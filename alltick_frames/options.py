"""What the commands have in common: their options, and how a call is made and what it brings handed over."""

from __future__ import annotations

import warnings
from pathlib import Path  # typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from alltick_frames.errors import (
    AllTickError,
    ArgumentError,
    AuthenticationError,
    BudgetError,
    ConfigError,
    IncompleteDataError,
    RateLimitError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from alltick_frames.output import Target

__all__ = [
    "Codes",
    "Csv",
    "Json",
    "MaxWait",
    "OnePeriod",
    "Output",
    "Parquet",
    "Range",
    "SomeCodes",
    "SomePeriod",
    "drawn",
    "exit_code",
    "hand_over",
    "note",
    "range_of",
    "target_for",
]

# The first class that fits decides; any other AllTickError is the vendor or the way to it.
_EXIT_CODES: tuple[tuple[type[AllTickError] | tuple[type[AllTickError], ...], int], ...] = (
    ((ArgumentError, ConfigError), 2),
    (IncompleteDataError, 3),
    ((BudgetError, RateLimitError), 4),
    (AuthenticationError, 5),
    (AllTickError, 6),
)


def exit_code(error: AllTickError) -> int:
    """Give the exit code for *error*."""
    return next(code for kinds, code in _EXIT_CODES if isinstance(error, kinds))


Codes = Annotated[list[str], typer.Argument(help="Product codes, such as EURUSD 700.HK")]


SomeCodes = Annotated[list[str] | None, typer.Argument(help="Only these codes")]


OnePeriod = Annotated[str, typer.Option("--period", "-p", help="1m 5m 15m 30m 1h 2h 4h 1d 1w 1mo")]


SomePeriod = Annotated[str | None, typer.Option("--period", "-p", help="Only this period")]


Range = Annotated[str, typer.Option("--range", "-r", help="30d, 2025-01-01/2025-03-31, max, …, or a number of bars")]


MaxWait = Annotated[
    float | None, typer.Option("--max-wait", help="Refuse what may take more seconds, before anything is sent")
]


Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="Write a file: .parquet .csv .json .arrow, or as flagged")
]


Json = Annotated[bool, typer.Option("--json", help="JSON, times in ISO 8601")]


Csv = Annotated[bool, typer.Option("--csv", help="CSV, with a line of names")]


Parquet = Annotated[bool, typer.Option("--parquet", help="Parquet, for --output or a pipe")]


def target_for(output: Path | None, *, json: bool, csv: bool, parquet: bool) -> Target:
    """Judge what the options say of where a table goes."""
    from alltick_frames.output import target_of  # noqa: PLC0415

    return target_of(output, {"json": json, "csv": csv, "parquet": parquet})


def drawn(title: str, columns: tuple[str, ...] = (), empty: str = "") -> Callable[[pa.Table], None]:
    """Give what draws a table, of its *columns* these alone."""
    from alltick_frames.output import draw  # noqa: PLC0415

    def show(table: pa.Table) -> None:
        rows = table.select([*columns] if columns else table.column_names).to_pylist()
        draw(rows, title if rows or not empty else empty)

    return show


def hand_over(call: Callable[[], pa.Table], target: Target, show: Callable[[pa.Table], None], what: str) -> None:
    """Make the *call*, and hand over what there is, also of a call that fails."""
    from alltick_frames.output import write  # noqa: PLC0415

    failure: AllTickError | None = None
    with warnings.catch_warnings():
        warnings.showwarning = note
        try:
            table = call()
        except KeyboardInterrupt:
            typer.echo("alltick: interrupted; what came is kept, and the same command goes on from there", err=True)
            raise
        except AllTickError as error:
            if error.frame is None or not (len(error.frame) or isinstance(error, IncompleteDataError)):
                raise
            failure, table = error, error.frame
    if target.format is None:
        show(table)
    else:
        write(table, target)
    if target.path is not None:
        typer.echo(f"{len(table):,} {what} → {target.path}")
    if failure is not None:
        raise failure  # after what there is has been handed over


def note(message: Warning | str, *_where: object, **_more: object) -> None:
    """Show a warning as people read it."""
    typer.echo(f"alltick: note: {message}", err=True)


def range_of(text: str) -> str | int:
    """Take digits for a number of bars."""
    return int(text) if text.isdecimal() else text
