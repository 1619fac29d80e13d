"""The forms an export has on disk: Parquet or CSV files in Hive's layout, or one DuckDB database.

Beside the bars every group has a *journal*, which says what is whole: a line for each block, written after the block,
and at last one for the group. A line has a checksum; a block's holds the checksum of its bars.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args
from urllib.parse import quote

import filelock
import msgspec
import pyarrow as pa

from alltick_frames import schemas
from alltick_frames.disk import sync_directory
from alltick_frames.errors import ArgumentError, ConfigError, StoreError
from alltick_frames.periods import Period  # noqa: TC001  # msgspec reads the annotations
from alltick_frames.records import UNREADABLE, Answers, Checked, HistoryStart, Hole, Spans
from alltick_frames.segments import VALUES, Restatement, stamps_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["VERSION", "DamagedError", "Entry", "Export", "Format", "Head", "Journal", "Sheet", "opened"]

Format = Literal["parquet", "csv", "duckdb"]
VERSION = 1

# Readers of datasets leave out what begins so; Polars needs a pattern that leaves it out.
_BESIDE = "_alltick"
_DATABASES = (".duckdb", ".ddb", ".db")
_NOT_EXPORTED = "it is not what was exported: damaged, edited, or being exported anew"
# DuckDB would take most of the machine's.
_MEMORY = "512MiB"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class DamagedError(Exception):
    """Bars or a journal that are not what was written; the message completes the name of the place."""


class Head(msgspec.Struct, frozen=True, tag="export"):
    """Whose bars a journal is about."""

    version: int
    origin: str
    format: Format
    code: str
    period: Period


class Entry(msgspec.Struct, frozen=True, tag="block"):
    """One block of a group.

    Attributes
    ----------
    source
        What the archive's block was when it was written.
    first, last
        Keys; the stamps are what is in the file.
    sha256
        Empty while the block is being replaced.
    asked
        When the bars were last asked for.
    exact
        (row, column, string) of the values that float64 cannot hold.
    dates
        (rows, stamp - trading date) of bars that follow each other; empty if keys are stamps.
    """

    block: str
    source: str
    rows: int
    first: int
    last: int
    first_stamp: int
    last_stamp: int
    asked: Answers
    exact: tuple[tuple[int, str, str], ...] = ()
    dates: tuple[tuple[int, int], ...] = ()
    size: int = 0
    sha256: str = ""


class Sheet(msgspec.Struct, frozen=True, tag="group"):
    """What is known of a group beside its bars."""

    coverage: Spans
    checked: tuple[Checked, ...]
    holes: tuple[Hole, ...]
    history_start: HistoryStart | None
    restatements: tuple[Restatement, ...]


@dataclass(frozen=True, slots=True)
class Journal:
    """What is exported of a group; without a sheet, the export of it was not finished."""

    head: Head
    entries: dict[str, Entry] = field(default_factory=dict)
    sheet: Sheet | None = None

    def lines(self) -> list[bytes]:
        """Write it down, shortly."""
        parts: list[Head | Entry | Sheet] = [self.head, *self.entries.values()]
        return [_line(part) for part in (parts if self.sheet is None else [*parts, self.sheet])]

    @classmethod
    def read(cls, lines: Iterable[bytes]) -> Journal:
        """Read what was written, up to a line that is cut.

        Raises
        ------
        DamagedError
            It is no journal.
        StoreError
            A newer version of this library wrote it.
        """
        parts = [*_parts(lines)]
        if not parts or not isinstance(parts[0], Head):
            raise DamagedError("it is not what was exported: damaged, or edited")
        entries = {part.block: part for part in parts if isinstance(part, Entry)}
        return cls(parts[0], entries, parts[-1] if isinstance(parts[-1], Sheet) else None)


def _line(part: Head | Entry | Sheet) -> bytes:
    body = msgspec.json.encode(part)
    return b"%08x %s" % (zlib.crc32(body), body)


def _parts(lines: Iterable[bytes]) -> Iterator[Head | Entry | Sheet]:
    for line in lines:
        checksum, _, body = line.partition(b" ")
        if checksum != b"%08x" % zlib.crc32(body):
            return  # a process was killed while it wrote this: what follows is of no other
        try:
            version = msgspec.json.decode(body, type=_VersionOnly).version
            if version > VERSION:
                raise StoreError(
                    f"the export has version {version}, this alltick_frames reads up to {VERSION}; upgrade it"
                )
            yield msgspec.json.decode(body, type=Head | Entry | Sheet)
        except UNREADABLE as error:
            raise DamagedError(f"it cannot be read: {error}") from None


class _VersionOnly(msgspec.Struct):
    version: int = 0


class Export(Protocol):
    """One export, open to be written or read."""

    format: Format

    def journals(self) -> Iterator[tuple[str, list[bytes]]]:
        """Give the lines of every journal, with where it is."""

    def journal(self, code: str, period: Period) -> list[bytes]:
        """Give the lines of a group's journal; none if it has none."""

    def rewrite(self, journal: Journal) -> None:
        """Put a journal in place of the group's; without entries the group is to be written from the beginning."""

    def put(self, head: Head, entry: Entry, bars: pa.Table, replaced: Entry | None) -> Entry:
        """Write one block in place of *replaced*, and its line; durable when this returns."""

    def has(self, head: Head, entry: Entry) -> bool:
        """Say whether the bars of *entry* seem to be there still."""

    def bars(self, head: Head, entry: Entry) -> pa.Table:
        """Read the bars of *entry*, schema `schemas.BARS`.

        Raises
        ------
        DamagedError
            They are not those that were written.
        """

    def where(self, head: Head, entry: Entry) -> str:
        """Name the place of a block."""


@contextlib.contextmanager
def opened(path: Path, format: Format | None = None, *, writing: bool = False) -> Iterator[Export]:
    """Open the export at *path*; to write, it is made if there is none.

    Raises
    ------
    ArgumentError
        *path* is something else, or of another format.
    ConfigError
        DuckDB is not installed.
    StoreError
        It cannot be read or written, or nothing of it is ours.
    """
    kind = _format_of(path, format, writing=writing)
    why = ""
    try:
        if kind == "duckdb":
            with _database(path, writing=writing) as database:
                yield database
        else:
            with _directory(path, kind, writing=writing) as directory:
                yield directory
    except (OSError, pa.ArrowException) as error:
        why = str(error)
    if why:
        raise StoreError(f"the export at {path} cannot be {'written' if writing else 'read'}: {why}")


def _format_of(path: Path, asked: Format | None, *, writing: bool) -> Format:
    if asked is not None and asked not in get_args(Format):
        raise ArgumentError(f"format={asked!r} is not known; use one of: {' '.join(get_args(Format))}")
    there = _format_at(path)
    if there is None and (not writing or _is_anothers(path)):
        raise _foreign(path, writing=writing)
    if there is not None and asked not in (None, there):
        raise ArgumentError(f"format={asked!r}: the export at {str(path)!r} is {there}; use that, or another path")
    return asked or there or ("duckdb" if path.suffix in _DATABASES else "parquet")


def _format_at(path: Path) -> Format | None:
    """Say what export is at *path*, if any; of a file only that it may be one."""
    if path.is_file():
        return "duckdb"
    for journal in path.glob(f"{_BESIDE}/*/*.txt"):
        with contextlib.suppress(DamagedError):
            return Journal.read(journal.read_bytes().splitlines()).head.format
    return None


def _is_anothers(path: Path) -> bool:
    return path.is_dir() and not (path / _BESIDE).is_dir() and any(path.iterdir())


def _foreign(path: Path, *, writing: bool) -> ArgumentError | StoreError:
    if writing:
        return ArgumentError(f"path={str(path)!r} holds something else than an export; give a new or empty directory")
    if not path.exists():
        return ArgumentError(f"path={str(path)!r} does not exist; give what export() has written")
    return StoreError(
        f"{path} is no export of alltick_frames: nothing proves its bars to be the vendor's, or all, so they are not "
        f"imported. Fetch them with get_kline; to look at them, read them with Polars or pandas"
    )


def _checked(bars: pa.Table, entry: Entry) -> pa.Table:
    """Give the bars with the schema they had, if these are their columns and number."""
    try:
        bars = bars.select(schemas.BARS.names).cast(schemas.BARS).combine_chunks()
        bars.validate(full=True)
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise DamagedError(f"{_NOT_EXPORTED} ({error})") from None
    if len(bars) != entry.rows or not len(bars):
        raise DamagedError(f"{_NOT_EXPORTED} ({len(bars)} bars instead of {entry.rows})")
    return bars


def _segment_of(head: Head) -> str:
    # Hive's way to write a value in a path; what readers make of it again is the code, byte for byte.
    return f"period={head.period.value}/code={quote(head.code, safe='')}"


@contextlib.contextmanager
def _directory(root: Path, format: Format, *, writing: bool) -> Iterator[_Directory]:
    if not writing:
        yield _Directory(root, format)
        return
    beside = root / _BESIDE
    beside.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(beside / "writing.lock", timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise StoreError(f"another process is exporting to {root}; wait for it, or use another path") from None
    with lock:
        yield _Directory(root, format)


class _Directory:
    """`period=…/code=…/<block>.parquet` or `.csv`, each written under another name and renamed when it is whole."""

    def __init__(self, root: Path, format: Format) -> None:
        self.format = format
        self._root = root

    def journals(self) -> Iterator[tuple[str, list[bytes]]]:
        for path in sorted((self._root / _BESIDE).glob("*/*.txt")):
            yield str(path), path.read_bytes().splitlines()

    def journal(self, code: str, period: Period) -> list[bytes]:
        path = self._journal(Head(VERSION, "", self.format, code, period))
        return path.read_bytes().splitlines() if path.exists() else []

    def rewrite(self, journal: Journal) -> None:
        self._write(self._journal(journal.head), b"".join(line + b"\n" for line in journal.lines()))

    def put(self, head: Head, entry: Entry, bars: pa.Table, replaced: Entry | None) -> Entry:
        data = _encode(bars, self.format)
        whole = msgspec.structs.replace(entry, size=len(data), sha256=hashlib.sha256(data).hexdigest())
        if replaced is not None:
            # A kill before the next line leaves a new file that the old line is not about.
            self._append(head, msgspec.structs.replace(replaced, sha256=""))
        self._write(self._file(head, entry), data)
        self._append(head, whole)
        return whole

    def has(self, head: Head, entry: Entry) -> bool:
        path = self._file(head, entry)
        return path.is_file() and path.stat().st_size == entry.size

    def bars(self, head: Head, entry: Entry) -> pa.Table:
        path = self._file(head, entry)
        if not entry.sha256:
            raise DamagedError("its export was not finished")
        if not path.is_file():
            raise DamagedError("it is missing")
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise DamagedError(_NOT_EXPORTED)
        return _checked(_decode(data, self.format), entry)

    def where(self, head: Head, entry: Entry) -> str:
        return str(self._file(head, entry))

    def _file(self, head: Head, entry: Entry) -> Path:
        return self._root / _segment_of(head) / f"{quote(entry.block, safe='')}.{self.format}"

    def _journal(self, head: Head) -> Path:
        return self._root / _BESIDE / f"{_segment_of(head)}.txt"

    def _append(self, head: Head, entry: Entry) -> None:
        with self._journal(head).open("ab") as file:
            file.write(_line(entry) + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def _write(self, path: Path, data: bytes) -> None:
        # One at a time, so one name serves; what a killed export left there is overwritten.
        unfinished = self._root / _BESIDE / "unfinished"
        with unfinished.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.replace(path)
        sync_directory(path.parent)


def _encode(bars: pa.Table, format: Format) -> bytes:
    # Loaded when needed: a client that fetches needs neither.
    sink = io.BytesIO()
    if format == "csv":
        from pyarrow import csv  # noqa: PLC0415

        csv.write_csv(bars, sink)
    else:
        from pyarrow import parquet  # noqa: PLC0415

        parquet.write_table(bars, sink, compression="zstd")
    return sink.getvalue()


def _decode(data: bytes, format: Format) -> pa.Table:
    try:
        if format == "csv":
            from pyarrow import csv  # noqa: PLC0415

            types = {one.name: one.type for one in schemas.BARS}
            return csv.read_csv(io.BytesIO(data), convert_options=csv.ConvertOptions(column_types=types))
        from pyarrow import parquet  # noqa: PLC0415

        return parquet.read_table(io.BytesIO(data))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DamagedError(f"{_NOT_EXPORTED} ({error})") from None


@contextlib.contextmanager
def _database(path: Path, *, writing: bool) -> Iterator[_Database]:
    try:
        import duckdb  # noqa: PLC0415  # an extra
    except ImportError:
        raise ConfigError(f"{str(path)!r} needs DuckDB: pip install 'alltick-frames[duckdb]'") from None
    why = ""
    try:
        if writing:
            path.parent.mkdir(parents=True, exist_ok=True)
        with duckdb.connect(str(path), read_only=not writing, config={"memory_limit": _MEMORY}) as connection:
            database = _Database(connection, path)
            if writing:
                database.prepare()
            elif not database.is_ours():
                raise _foreign(path, writing=False)
            yield database
    except duckdb.Error as error:
        why = str(error)
    if why:
        raise StoreError(
            f"the DuckDB database {path} cannot be used: {why}; it must be one that export() wrote, and be open "
            f"nowhere else"
        )


_KLINE = """
CREATE TABLE IF NOT EXISTS kline (
    code VARCHAR NOT NULL, period VARCHAR NOT NULL, timestamp TIMESTAMPTZ NOT NULL,
    open DOUBLE NOT NULL, high DOUBLE NOT NULL, low DOUBLE NOT NULL, close DOUBLE NOT NULL,
    volume DOUBLE, turnover DOUBLE
)
"""
_JOURNALS = """
CREATE TABLE IF NOT EXISTS _alltick (
    code VARCHAR NOT NULL, period VARCHAR NOT NULL, number INTEGER NOT NULL, line VARCHAR NOT NULL
)
"""


class _Database:
    """One table `kline`, and a table of the journals' lines, changed in the same transactions."""

    format: Format = "duckdb"

    def __init__(self, connection: Any, path: Path) -> None:
        self._connection = connection
        self._path = path

    def is_ours(self) -> bool:
        """Say whether it is an export."""
        return _BESIDE in self._tables()

    def prepare(self) -> None:
        """Make the tables if there are none."""
        if "kline" in self._tables() and not self.is_ours():
            raise ArgumentError(f"path={str(self._path)!r} has a table kline that is no export; give another path")
        with self._transaction():
            self._connection.execute(_KLINE)
            self._connection.execute(_JOURNALS)

    def journals(self) -> Iterator[tuple[str, list[bytes]]]:
        groups = self._connection.execute("SELECT DISTINCT code, period FROM _alltick ORDER BY ALL").fetchall()
        for code, period in groups:
            yield f"{self._path}, journal of {code} {period}", self._lines(code, period)

    def journal(self, code: str, period: Period) -> list[bytes]:
        return self._lines(code, period.value)

    def _lines(self, code: str, period: str) -> list[bytes]:
        query = "SELECT line FROM _alltick WHERE code = ? AND period = ? ORDER BY number"
        return [line.encode() for (line,) in self._connection.execute(query, [code, period]).fetchall()]

    def rewrite(self, journal: Journal) -> None:
        head = journal.head
        group = [head.code, head.period.value]
        with self._transaction():
            self._connection.execute("DELETE FROM _alltick WHERE code = ? AND period = ?", group)
            if not journal.entries:
                self._connection.execute("DELETE FROM kline WHERE code = ? AND period = ?", group)
            for line in journal.lines():
                self._append(head, line)

    def put(self, head: Head, entry: Entry, bars: pa.Table, replaced: Entry | None) -> Entry:
        whole = msgspec.structs.replace(entry, sha256=_sha256(bars))
        group = [head.code, head.period.value]
        with self._transaction():
            if replaced is not None:
                delete = "DELETE FROM kline WHERE code = ? AND period = ? AND timestamp >= ? AND timestamp <= ?"
                self._connection.execute(delete, [*group, *_instants(replaced)])
            self._connection.register("bars", bars)
            self._connection.execute("INSERT INTO kline SELECT ?, ?, * FROM bars", group)
            self._connection.unregister("bars")
            self._append(head, _line(whole))
        return whole

    def has(self, head: Head, entry: Entry) -> bool:  # noqa: ARG002  # a line and its bars are one transaction
        return True

    def bars(self, head: Head, entry: Entry) -> pa.Table:
        query = (
            "SELECT * EXCLUDE (code, period) FROM kline "
            "WHERE code = ? AND period = ? AND timestamp >= ? AND timestamp <= ? ORDER BY timestamp"
        )
        found = self._connection.sql(query, params=[head.code, head.period.value, *_instants(entry)])
        bars = _checked(found.to_arrow_table(), entry)
        if _sha256(bars) != entry.sha256:
            raise DamagedError(_NOT_EXPORTED)
        return bars

    def where(self, head: Head, entry: Entry) -> str:
        return f"{self._path}, block {entry.block} of {head.code} {head.period.value}"

    def _append(self, head: Head, line: bytes) -> None:
        self._connection.execute(
            "INSERT INTO _alltick SELECT $code, $period, count(*), $line FROM _alltick "
            "WHERE code = $code AND period = $period",
            {"code": head.code, "period": head.period.value, "line": line.decode()},
        )

    def _tables(self) -> set[str]:
        query = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'main'"
        return {name for (name,) in self._connection.execute(query).fetchall()}

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.begin()
        try:
            yield
        except BaseException:
            self._connection.rollback()
            raise
        self._connection.commit()


def _instants(entry: Entry) -> list[datetime]:
    return [_EPOCH + timedelta(microseconds=stamp) for stamp in (entry.first_stamp, entry.last_stamp)]


def _sha256(bars: pa.Table) -> str:
    """Sum up values bit by bit, whatever pages of a database they came from."""
    digest = hashlib.sha256(stamps_of(bars).astype("<i8").tobytes())
    for name in VALUES:
        digest.update(bars[name].is_null().to_numpy().tobytes())
        digest.update(bars[name].fill_null(0.0).to_numpy().astype("<f8").tobytes())
    return digest.hexdigest()
