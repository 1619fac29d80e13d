"""How the command line hands a table over: drawn for people, or as JSON, CSV, Parquet or Arrow for programs."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import sys
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import IO, TYPE_CHECKING, Any, Literal, get_args

import pyarrow as pa

from alltick_frames.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

__all__ = ["WIDE", "Target", "draw", "lines", "minute", "target_of", "write"]

Format = Literal["json", "csv", "parquet", "arrow"]

# What a table of bars needs; where nobody looks, this is how wide it is.
WIDE = 104
_ROWS_AT_ONCE = 10_000
# Longer texts are broken.
_LONG, _NARROW, _UNBOUNDED = 24, 16, 10_000


@dataclass(frozen=True, slots=True)
class Target:
    """Where a table goes: into *path*, else to stdout; without a *format* drawn for people."""

    format: Format | None = None
    path: Path | None = None


def target_of(output: Path | None, flags: Mapping[Format, bool]) -> Target:
    """Judge, before anything is paid for, what the command line asks for: a flag, or the file's ending."""
    flagged = [name for name, given in flags.items() if given]
    if len(flagged) > 1:
        raise ArgumentError(f"--{flagged[0]} and --{flagged[1]} cannot both be; choose one")
    if output is not None and not output.parent.is_dir():
        raise ArgumentError(f"--output={str(output)!r}: there is no directory {str(output.parent)!r}")
    if flagged:
        if flagged[0] == "parquet" and output is None and sys.stdout.isatty():
            raise ArgumentError("--parquet is not for a terminal; add --output FILE, or send it on with a pipe")
        return Target(flagged[0], output)
    if output is None:
        return Target()
    named = output.suffix.removeprefix(".")
    if named not in get_args(Format):
        endings = " ".join(f".{name}" for name in get_args(Format))
        raise ArgumentError(
            f"--output={str(output)!r} must end in one of: {endings}; or add --json, --csv or --parquet"
        )
    return Target(named, output)  # type: ignore[arg-type]  # one of them, as just checked


def write(table: pa.Table, target: Target) -> None:
    """Write *table* in the target's format."""
    if target.format is None:
        raise AssertionError("a table for people is drawn")
    with contextlib.ExitStack() as stack:
        sink: IO[bytes] = sys.stdout.buffer if target.path is None else stack.enter_context(target.path.open("wb"))
        _WRITERS[target.format](table, sink)
        sink.flush()


def lines(rows: Iterable[Mapping[str, Any]], form: Literal["json", "csv"]) -> Iterator[str]:
    """Give each of *rows* as soon as it comes: a JSON object, or a line of CSV after one with the names."""
    for number, row in enumerate(rows):
        if form == "json":
            yield json.dumps(row, default=_plain, ensure_ascii=False)
        else:
            yield from ([_csv_line(row)] if number else [_csv_line(dict(zip(row, row, strict=True))), _csv_line(row)])


def draw(
    rows: Iterable[Mapping[str, Any]],
    title: str,
    columns: Mapping[str, str] | None = None,
    *,
    shown: Mapping[str, Callable[[Any], str]] | None = None,
) -> None:
    """Draw a table for people.

    Parameters
    ----------
    columns
        Names and headings; default those of the first row.
    shown
        How the values of some columns are written.
    """
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415  # --help should not wait for it
    from rich.cells import cell_len  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415
    from rich.measure import Measurement  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    listed = [*rows]
    if not (columns or listed):
        print(title)  # noqa: T201
        return
    headings = columns or {name: name.replace("_", " ") for name in listed[0]}
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for name, heading in headings.items():
        values = [row[name] for row in listed if row[name] is not None]
        right = bool(values) and all(isinstance(value, int | float) for value in values)
        widest = max(cell_len(text) for text in (heading, *map((shown or {}).get(name, _shown), values)))
        # What is long is broken, what is not never cut.
        table.add_column(
            heading,
            justify="right" if right else "left",
            min_width=min(widest, _LONG if widest <= _LONG else _NARROW),
            no_wrap=widest <= _LONG,
        )
    for row in listed:
        table.add_row(*((shown or {}).get(name, _shown)(row[name]) for name in headings))
    console = Console(width=None if sys.stdout.isatty() else WIDE)
    # Lines that a narrow terminal breaks are better than numbers cut short.
    wanted = Measurement.get(console, console.options.update(max_width=_UNBOUNDED), table)
    console.width = max(console.width, wanted.minimum)
    console.print(table)


def minute(instant: datetime) -> str:
    """Write an instant in UTC to the minute."""
    return f"{instant:%Y-%m-%d %H:%M}"


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}".removesuffix(":00")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.12g}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> str:
    """Write times as ISO 8601 has them, in UTC with a Z."""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date | time):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no place in JSON")


def _rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in table.to_batches(max_chunksize=_ROWS_AT_ONCE):
        yield from batch.to_pylist()


def _write_json(table: pa.Table, sink: IO[bytes]) -> None:
    separator = b"[\n"
    for line in lines(_rows(table), "json"):
        sink.write(separator + line.encode())
        separator = b",\n"
    sink.write(b"[]\n" if separator == b"[\n" else b"\n]\n")


def _write_csv(table: pa.Table, sink: IO[bytes]) -> None:
    sink.write(f"{_csv_line(dict(zip(table.column_names, table.column_names, strict=True)))}\n".encode())
    for row in _rows(table):
        sink.write(f"{_csv_line(row)}\n".encode())


def _csv_line(row: Mapping[str, Any]) -> str:
    cells = [
        json.dumps(cell, default=_plain, ensure_ascii=False)
        if isinstance(cell, list | dict)
        else _plain(cell)
        if isinstance(cell, date | time)
        else cell
        for cell in row.values()
    ]
    line = io.StringIO()
    # Quoted is what holds the end of a line.
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue().removesuffix("\n")


def _write_parquet(table: pa.Table, sink: IO[bytes]) -> None:
    import pyarrow.parquet as pq  # noqa: PLC0415  # slow to import

    pq.write_table(table, sink)


def _write_arrow(table: pa.Table, sink: IO[bytes]) -> None:
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


_WRITERS: Mapping[Format, Callable[[pa.Table, IO[bytes]], None]] = {
    "json": _write_json,
    "csv": _write_csv,
    "parquet": _write_parquet,
    "arrow": _write_arrow,
}
