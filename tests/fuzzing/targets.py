"""One function per target: bytes in, nothing out; an exception means that an outcome was neither right nor ours."""

from __future__ import annotations

import contextlib
import functools
import json
import shutil
import sqlite3
import tempfile
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from unittest.mock import patch
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa

from alltick_frames import products, quotes, schemas, sheets, store
from alltick_frames.catalog import CLASSES
from alltick_frames.codes import check_codes
from alltick_frames.decode import Page, kline_page
from alltick_frames.errors import (
    RET_CODES,
    AllTickError,
    ApiError,
    ArgumentError,
    AuthenticationError,
    DecodeError,
    RateLimitError,
    StoreError,
    TransportError,
)
from alltick_frames.halts import halts_page, halts_table
from alltick_frames.periods import Period
from alltick_frames.ranges import parse_range
from alltick_frames.segments import UnreadableError, decode
from alltick_frames.spans import BEGINNING
from alltick_frames.store import Archive
from alltick_frames.surveys import schema_of
from alltick_frames.wire import Answer, Exchange, HaltsRequest, KlineRequest, SymbolsEndpoint, SymbolsRequest
from tests.archives import DAY, EVER, START, batch, minutes, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from alltick_frames.catalog import ProductClass
    from tests.archives import Row

__all__ = ["CORPUS", "TARGETS"]

E = TypeVar("E", bound=Exception)

CORPUS = Path(__file__).parent / "corpus"
NOW = datetime(2026, 3, 18, 15, 0, 30, tzinfo=UTC)
REQUEST = KlineRequest("EURUSD", Period.MINUTE_1)
SYMBOLS: dict[bytes, SymbolsEndpoint] = {b"depth": "depth_tick", b"static": "static_info"}
EXCHANGES: dict[bytes, Exchange] = {b"sse": "sse", b"nyse": "nyse"}
# Of what came: a message is for people and logs, and the trace and the advice need their place in it.
LONGEST_MESSAGE = 1_000
# SQLite waits for the disk twice a run.
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


def page(data: bytes) -> None:
    """Read an answer's body: a true table, or an error of ours."""
    _page_of(200, data)


def symbols(data: bytes) -> None:
    """Read the answer about some codes, of the endpoint that the first line names: rows of the schema, or an error."""
    line, _, body = data.partition(b"\n")
    endpoint = SYMBOLS.get(line, "trade_tick")
    asked = SymbolsRequest(endpoint, ("700.HK", "EURUSD"))
    try:
        parts = quotes.rows_of(Answer(200, body, "trace", NOW, None), asked)
    except AllTickError as error:
        _judged(error)
        return
    assert set(parts) <= set(asked.codes)
    for code, part in parts.items():
        assert endpoint == "static_info" or not (part.rows and part.flaw)
        for field in schema_of(endpoint):
            column = pa.array([row[field.name] for row in part.rows], field.type)
            column.validate(full=True)
            assert field.nullable or not column.null_count, f"{code}: {field.name} is null"


def halted(data: bytes) -> None:
    """Read an answer about halts, of the exchange that the first line names: a table, or an error of ours."""
    line, _, body = data.partition(b"\n")
    exchange = EXCHANGES.get(line, "nasdaq")
    try:
        page = halts_page(Answer(200, body, "trace", NOW, None), HaltsRequest(exchange))
    except AllTickError as error:
        _judged(error)
        return
    table, flaws = halts_table(exchange, page.records)
    table.validate(full=True)
    assert len(table) <= len(page.records) <= page.total
    assert len(table) == len(page.records) or flaws


def envelope(data: bytes) -> None:
    """Read an answer with any status (the first line): the error is the one that status and `ret` ask for."""
    line, _, body = data.partition(b"\n")
    status = int(line) if line.isdigit() and len(line) <= 3 else 200
    error = _page_of(status, body)
    ret, throttled = _ret_of(body)
    expected: type[AllTickError] | None = None
    if status in {401, 429}:
        expected = AuthenticationError if status == 401 else RateLimitError
    elif 300 <= status < 400 or status >= 500:
        expected = TransportError
    elif throttled:
        expected = RateLimitError
    elif ret not in {None, 200}:
        expected = RET_CODES.get(ret or 0, ApiError)
    # An envelope of which another part cannot be read is none: that may be said first.
    assert expected is None or (error is not None and type(error).__name__ in {expected.__name__, "DecodeError"}), error
    assert error is not None or ret == 200, "a page without a ret of 200"


def _page_of(status: int, body: bytes) -> AllTickError | None:
    try:
        got = kline_page(Answer(status, body, "trace", NOW, None), REQUEST)
    except AllTickError as error:
        return _judged(error)
    assert got.bars.schema.equals(schemas.BARS)
    got.bars.validate(full=True)
    assert got.stamps_us.tolist() == got.bars["timestamp"].cast(pa.int64()).to_pylist()
    assert bool(np.all(np.diff(got.stamps_us) > 0)), "stamps are not ascending or not unique"
    for name in schemas.BARS.names[1:]:
        assert np.isfinite(got.bars[name].drop_null().to_numpy()).all(), f"{name} is not finite"
    assert all(0 <= row < len(got.bars) and name in schemas.BARS.names for row, name, _ in got.exact)
    assert len(got.bars) + len(got.bad) <= got.received
    assert len(got.bars) > 0 or len(got.bad) == got.received, "rows are neither in the table nor named"
    _check_values(got, body)
    return None


def _judged(error: E) -> E:
    assert len(str(error)) <= LONGEST_MESSAGE, f"a message of {len(str(error))} characters"
    return error


def _check_values(got: Page, body: bytes) -> None:
    """See that every bar of the table is one that was sent, by another reader of JSON."""
    try:
        sent = json.loads(body)
    except (ValueError, RecursionError):
        return
    # Where the documented names are nowhere, those of the vendor's other pages stand for them.
    list_name = "kline_list" if b'"kline_list"' in body else "kline_data"
    volume = "volume" if b'"volume"' in body else "volumn"
    rows = (sent.get("data") or {}).get(list_name) or []
    assert len(rows) == got.received
    names = ("open_price", "high_price", "low_price", "close_price", volume, "turnover")
    for stamp_us, bar in zip(got.stamps_us.tolist(), got.bars.slice(0, 20).to_pylist(), strict=False):
        values = tuple(bar[name] for name in schemas.BARS.names[1:])
        same = (
            row for row in rows if isinstance(row, dict) and values == tuple(_number(row.get(name)) for name in names)
        )
        stamps = {stamp_us / 1_000_000, stamp_us / 1_000}
        assert any(_number(row.get("timestamp")) in stamps for row in same), bar


def _number(value: Any) -> float | None:
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        return None if value in ("", None) else float(value)
    return None


def _ret_of(body: bytes) -> tuple[int | None, bool]:
    """Give `ret`, and whether the body is the gateway's throttle, as far as another reader of JSON can tell."""
    try:
        sent = json.loads(body)
    except (ValueError, RecursionError):
        return 200, False
    if not isinstance(sent, dict):
        return None, False
    ret = _number(sent.get("ret"))
    integral = ret is not None and ret.is_integer() and abs(ret) < 2**53
    return int(ret) if ret is not None and integral else None, ret is None and isinstance(sent.get("error_msg"), str)


# How a part of a range is made of text; the others of these names are parsed by libraries that may refuse.
_SCALARS: dict[str, Callable[[str], Any]] = {
    "s": str,
    "i": int,
    "f": float,
    "b": str.encode,
    "d": date.fromisoformat,
    "t": datetime.fromisoformat,
    "p": pd.Timestamp,
    "n": np.datetime64,
    "q": lambda text: np.datetime64(int(text), "ns"),
    "c": lambda text: np.int64(int(text)),
    "z": lambda text: datetime.max.replace(tzinfo=timezone(timedelta(minutes=int(text)))),
    "a": lambda text: datetime.min.replace(tzinfo=timezone(timedelta(minutes=int(text)))),
    "0": lambda text: None,
}


def range_(data: bytes) -> None:
    """Read a range: `1d s30d`, `1m t:s2025-01-01|d2025-02-01`, `1h l:0|p2025`, or refuse it."""
    period_text, _, text = data.decode("utf-8", "replace").partition(" ")
    period = Period(period_text) if period_text in {one.value for one in Period} else Period.MINUTE_1
    try:
        asked_for = _range_of(text)
    except (ValueError, TypeError, OverflowError, AttributeError, RecursionError):
        return  # pandas, NumPy or datetime refused it: nothing that could be passed
    try:
        asked = parse_range(asked_for, period, NOW)
    except ArgumentError:
        return
    span = asked.span
    assert span.start.utcoffset() == span.end.utcoffset() == timedelta()
    assert span.start <= span.end <= NOW + timedelta(days=2), span
    assert span.start == BEGINNING if asked.from_beginning else span.start < NOW + timedelta(days=2)
    assert asked.count is None or (asked.count >= 1 and type(asked.count) is int)


def _range_of(text: str) -> Any:
    shape, _, rest = text.partition(":")
    if shape in {"t", "l"}:
        parts = [_scalar(part) for part in rest.split("|")]
        return tuple(parts) if shape == "t" else slice(*parts)
    return _scalar(text)


def _scalar(text: str) -> Any:
    return _SCALARS.get(text[:1], str)(text[1:])


def segment(data: bytes) -> None:
    """Read a segment without its checksum: bars that can be used, or `UnreadableError`; never the process's end."""
    buffer = pa.py_buffer(data)
    for expected in (None, {"code": "EURUSD", "period": "1m"}):
        try:
            bars = decode(buffer, expected)
        except UnreadableError as error:
            _judged(error)
            continue
        assert bars.table.schema.equals(schemas.BARS)
        assert len(bars) == len(bars.stamps_us) == len(bars.keys_us) == len(bars.asked_us) == bars.table.num_rows
        bars.updated(bars)
        bars.differs(np.arange(len(bars)), bars, np.arange(len(bars)))
        bars.exact_by_row()
        for row in range(len(bars)):
            bars.values(row)


def archive(data: bytes) -> None:
    """Read an archive on a disk that went bad: what is served is true and as whole as is said, or `StoreError`.

    The first byte says what is damaged, each further three an offset and what is turned over there; a rest is where
    it is cut.
    """
    if not data:
        return
    truth = _whole()
    # Nobody writes meanwhile, so another look sees the same.
    with (
        tempfile.TemporaryDirectory(prefix="alltick-fuzz-", dir=MEMORY) as within,
        patch.object(store, "_PAUSES_S", (0.0,)),
    ):
        shutil.copytree(truth.directory, within, dirs_exist_ok=True)
        _damage(Path(within) / truth.origin, data)
        try:
            opened = Archive.open(Path(within), truth.origin)
        except StoreError:
            return
        try:
            held = opened.read("EURUSD", Period.MINUTE_1, *EVER)
            opened.known("EURUSD", Period.MINUTE_1)
            opened.groups()
            opened.restatements("EURUSD", Period.MINUTE_1)
        except StoreError:
            return
        finally:
            opened.close()
        served = rows_of(held)
        assert served.items() <= truth.rows.items(), "a bar that is not true"
        proven = {stamp for start, end in held.coverage for stamp in truth.rows if start <= stamp < end}
        assert proven <= served.keys(), "proven to be whole, and bars are missing"


class _Truth:
    """An archive with segments, a tail and a log, as it was before the damage."""

    def __init__(self) -> None:
        self._made = tempfile.TemporaryDirectory(prefix="alltick-fuzz-", dir=MEMORY)
        self.directory, self.origin = Path(self._made.name), "alltick"
        self.rows: Mapping[int, Row] = minutes(0, 900)
        opened = Archive.open(self.directory, self.origin)
        exact = ((0, "volume", "0.00000000000000001"),)
        for asked_at, (first, stop) in enumerate([(0, 600), (600, 890), (890, 897), (897, 900)], start=1):
            opened.write("EURUSD", Period.MINUTE_1, batch(minutes(first, stop), asked_at, exact=exact))
        opened.write("GBPUSD", Period.DAY, batch({START - START % DAY: (1.0, None)}))
        opened.close()
        with contextlib.closing(sqlite3.connect(self.directory / self.origin / "cache.db")) as index:
            index.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@functools.cache
def _whole() -> _Truth:
    return _Truth()


_ENTRIES = {0: "index:quote:1m:EURUSD", 1: "log:%", 2: "progress", 3: "archive"}


def _damage(directory: Path, data: bytes) -> None:
    what = data[0] % 8
    if what in _ENTRIES:
        with contextlib.closing(sqlite3.connect(directory / "cache.db", isolation_level=None)) as index:
            key, value = index.execute("SELECT key, value FROM Cache WHERE key LIKE ?", (_ENTRIES[what],)).fetchone()
            index.execute("UPDATE Cache SET value = ? WHERE key = ?", (_turned_over(value, data[1:]), key))
        return
    files = sorted((directory / "segments").iterdir()) if what < 7 else [directory / "cache.db"]
    path = files[what % len(files)]
    path.write_bytes(_turned_over(path.read_bytes(), data[1:]))


def _turned_over(value: bytes, edits: bytes) -> bytes:
    spoilt = bytearray(value)
    whole = len(edits) - len(edits) % 3
    for at in range(0, whole, 3):
        spoilt[int.from_bytes(edits[at : at + 2], "little") % len(spoilt)] ^= edits[at + 2]
    return bytes(spoilt[: len(spoilt) * edits[-1] // 255 if len(edits) > whole else None])


def sheet(data: bytes) -> None:
    """Read a tab of the product sheet (its class is the first line): products that can be, or `DecodeError`."""
    line, _, body = data.partition(b"\n")
    asset_class: ProductClass = next((one for one in CLASSES if one.encode() == line), "forex")
    try:
        got = sheets.parse(body, asset_class, NOW)
    except DecodeError as error:
        _judged(error)
        return
    codes = [one.code for one in got.products]
    assert codes
    assert check_codes(codes) == tuple(codes), "a code twice, or one that cannot be"
    assert all(sheets.RULES[asset_class].fullmatch(code) for code in codes)
    assert len(got.examples) == min(got.skipped, 3)
    table = products.table(got.products)
    table.validate(full=True)
    for week in (week for one in got.products for week in one.weeks or ()):
        assert week.zone is None or ZoneInfo(week.zone)
        assert 0 <= week.opens < 7 * 1440 > week.closes >= 0


TARGETS: dict[str, Callable[[bytes], None]] = {
    "page": page,
    "envelope": envelope,
    "symbols": symbols,
    "halts": halted,
    "range": range_,
    "segment": segment,
    "archive": archive,
    "sheet": sheet,
}
