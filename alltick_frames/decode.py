"""Answer bytes to Arrow tables, or the right error. **Here a page becomes a table**: `kline_page`.

One typed pass of msgspec reads nearly every page. What it refuses (a value that is no number, a row that is no
object) is read again row by row, so that one bad bar costs that bar and is named, never the page.
"""

from __future__ import annotations

import contextlib
import json
import math
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from alltick_frames import schemas
from alltick_frames.errors import DecodeError
from alltick_frames.wire import KlineRequest, api_error, excerpt, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from alltick_frames.wire import Answer, BatchRequest, Group

T = TypeVar("T")

__all__ = ["BadRow", "Page", "batch_pages", "check_ret", "kline_page", "no_json", "payload"]

_OK = 200
_THROTTLED = 429
_FIRST_CLIENT_ERROR = 400
# Bar stamps are seconds in every recorded answer; from here on they can only be milliseconds.
_FIRST_MILLISECONDS = 100_000_000_000
_US_PER_SECOND, _US_PER_MS, _MS_PER_SECOND = 1_000_000, 1_000, 1_000
# 1973 and 9999. A page of 500 months reaches back to the 1980s: a smaller number is no epoch second of a bar.
_FIRST_SECOND = 100_000_000
_LAST_SECOND = 253_402_300_799


@dataclass(frozen=True, slots=True)
class BadRow:
    """A bar that cannot be true, with the vendor's own values; *stamp_us* is None if even that is unreadable."""

    stamp_us: int | None
    why: str
    raw: str


@dataclass(frozen=True, slots=True)
class Page:
    """The bars of one answer: ascending, one row per stamp.

    Attributes
    ----------
    bars
        Schema `schemas.BARS`.
    stamps_us
        Their stamps as integers.
    received
        Rows as sent, before duplicates and bad rows were taken out.
    exact
        (row, column, string) of the values that float64 cannot hold.
    """

    bars: pa.Table
    stamps_us: NDArray[np.int64]
    received: int
    bad: tuple[BadRow, ...] = ()
    exact: tuple[tuple[int, str, str], ...] = ()


class HasRet(Protocol):
    """What all envelopes have but those of halts."""

    ret: int | None
    msg: str | None
    error_msg: str | None


class _Bar(msgspec.Struct, gc=False):
    timestamp: int
    open_price: float
    close_price: float
    high_price: float
    low_price: float
    # "" stands for "no value": in every forex turnover, so the typed pass must take it in its stride.
    volume: float | Literal[""] | None = None
    turnover: float | Literal[""] | None = None


_VENDOR_NAMES = {
    "open": "open_price",
    "high": "high_price",
    "low": "low_price",
    "close": "close_price",
    "volume": "volume",
    "turnover": "turnover",
}
# `/batch-kline` has its bars under `kline_data`, and a table of older pages misspells the volume. Within a text the
# quotes would be escaped.
_OTHER_NAMES = ((b'"kline_data"', b'"kline_list"'), (b'"volumn"', b'"volume"'))
# Any 15 significant digits survive float64 and back.
_SURELY_HELD = b"0" * 15
_DIGITS_TO_ZERO = bytes.maketrans(b"123456789", b"000000000")


class _Data(msgspec.Struct):
    code: str | None = None
    kline_type: int | None = None
    kline_list: list[_Bar] | None = None


class _Envelope(msgspec.Struct):
    ret: int | None = None
    msg: str | None = None
    error_msg: str | None = None
    data: _Data | None = None


class _BatchData(msgspec.Struct):
    # Read one by one, so that one that is not as documented costs no other.
    kline_list: list[msgspec.Raw] | None = None


class _AnyEnvelope(msgspec.Struct):
    """An envelope whose `data` is read when its `ret` has been: of a refusal it may be anything."""

    ret: int | None = None
    msg: str | None = None
    error_msg: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"null")


class _BatchGroup(msgspec.Struct):
    code: str | None = None
    symbol: str | None = None
    kline_type: int | None = None


# "`{}`, null or missing on errors", and of what other services send for nothing.
_NO_DATA = (b"null", b'""', b"[]")

_typed = msgspec.json.Decoder(_Envelope, strict=False)
_any = msgspec.json.Decoder(_AnyEnvelope, strict=False)
_batch = msgspec.json.Decoder(_BatchData)
_batch_group = msgspec.json.Decoder(_BatchGroup, strict=False)
_untyped = msgspec.json.Decoder()


def kline_page(answer: Answer, request: KlineRequest) -> Page:
    """Read the answer to a `/kline` request.

    Raises
    ------
    ApiError
        The vendor refused (`ret` or HTTP status).
    TransportError
        A redirect or a server error.
    DecodeError
        No JSON, no envelope, or an answer to another question.
    """
    refused = refusal(answer, [request.code])
    if refused is not None:
        raise refused
    answer = _as_documented(answer)
    envelope, bad = _read(answer)
    _check_envelope(envelope, answer, request)
    rows = (envelope.data and envelope.data.kline_list) or []
    page = _page(rows, bad, answer)
    return replace(page, exact=_exact(page, answer)) if _has_long_numbers(answer.body) else page


def batch_pages(answer: Answer, request: BatchRequest) -> dict[Group, Page]:
    """Read the answer to a `/batch-kline` request: a page of each group that was answered and can be read.

    Groups are told by their code and period, never by their position; they may be missing.

    Raises
    ------
    ApiError
        The vendor refused (`ret` or HTTP status).
    TransportError
        A redirect or a server error.
    DecodeError
        No JSON, or no envelope.
    """
    refused = refusal(answer, request.codes)
    if refused is not None:
        raise refused
    data = payload(answer, request.codes, _batch)
    pages = {}
    for group, raw in _groups(data.kline_list or [], request):
        # As its own `/kline` answer, of which it has all but the envelope.
        alone = replace(answer, body=b'{"ret":200,"data":' + bytes(raw) + b"}")
        with contextlib.suppress(DecodeError):
            pages[group] = kline_page(alone, KlineRequest(*group))
    return pages


def payload(answer: Answer, codes: Sequence[str], decoder: msgspec.json.Decoder[T]) -> T:
    """Read the `data` of an answer that is no refusal; none at all, however it is written, is an empty one.

    Raises
    ------
    ApiError
        `ret` says so.
    DecodeError
        No JSON, no envelope, or other data.
    """
    try:
        envelope = _any.decode(answer.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        why = str(error)
    else:
        check_ret(envelope, answer, codes)
        data = bytes(envelope.data)
        try:
            return decoder.decode(b"{}" if data in _NO_DATA else data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            why = str(error)
    raise no_json(answer, why)


def _groups(listed: Sequence[msgspec.Raw], request: BatchRequest) -> Iterator[tuple[Group, msgspec.Raw]]:
    """Tell which of the asked groups each of the *listed* is; the others were not asked for."""
    asked = {(code, period.vendor_number): (code, period) for code, period in request.groups}
    for raw in listed:
        try:
            named = _batch_group.decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
        group = asked.get((named.code or named.symbol or "", named.kline_type or 0))
        if group is not None:
            yield group, raw


def _as_documented(answer: Answer) -> Answer:
    """Give the answer with the names of the `/kline` page where it has those of the vendor's other pages alone."""
    body = answer.body
    for other, name in _OTHER_NAMES:
        if name not in body and other in body:
            body = body.replace(other, name)
    return answer if body is answer.body else replace(answer, body=body)


def _read(answer: Answer) -> tuple[_Envelope, list[BadRow]]:
    try:
        return _typed.decode(answer.body), []
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return _leniently(_untyped.decode(answer.body))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        why = str(error)
    raise no_json(answer, why)


def no_json(answer: Answer, why: str) -> DecodeError:
    """Make the error for a body that cannot be read at all."""
    # What the service itself refuses it refuses in JSON, so a page like "404 Not Found" may be another server's.
    advice = "" if answer.status < _FIRST_CLIENT_ERROR else "; check base_url"
    return DecodeError(
        f"the answer (HTTP {answer.status}, {len(answer.body)} bytes) is not the service's JSON: {why}{advice} "
        f"(trace {answer.trace})"
    )


def _leniently(value: Any) -> tuple[_Envelope, list[BadRow]]:
    """Convert what can be, row by row."""
    envelope = dict(value) if isinstance(value, dict) else {}
    if envelope.get("ret") not in (_OK, str(_OK)):
        envelope.pop("data", None)  # of a refusal it may be anything
    data = dict(_or_nothing(envelope.pop("data", None), "data", dict))
    rows = _or_nothing(data.pop("kline_list", None), "data.kline_list", list)
    bars: list[_Bar] = []
    bad: list[BadRow] = []
    for row in rows:
        try:
            bars.append(msgspec.convert(_without_blanks(row), _Bar, strict=False))
        except msgspec.ValidationError as error:
            bad.append(BadRow(_stamp_of(row), str(error), excerpt(repr(row))))
    read = msgspec.convert(_without_blanks(envelope), _Envelope, strict=False)
    read.data = msgspec.convert(_without_blanks(data), _Data, strict=False)
    read.data.kline_list = bars
    return read, bad


def _or_nothing(value: Any, name: str, kind: type) -> Any:
    """Take an absent or empty *value*, however it is written, as none of its *kind*; refuse any other kind."""
    if value and not isinstance(value, kind):
        raise msgspec.ValidationError(f"Expected `{kind.__name__}` - at `$.{name}`")
    return value or kind()


def _without_blanks(value: Any) -> Any:
    return {key: item for key, item in value.items() if item != ""} if isinstance(value, dict) else value


def _stamp_of(row: Any) -> int | None:
    value = row.timestamp if isinstance(row, _Bar) else row.get("timestamp") if isinstance(row, dict) else None
    try:
        stamp = msgspec.convert(value, int, strict=False)
    except msgspec.ValidationError:
        return None
    if not _FIRST_SECOND < stamp < _LAST_SECOND * _MS_PER_SECOND:
        return None
    return int(_microseconds(np.array([stamp], dtype=np.int64))[0])


def check_ret(envelope: HasRet, answer: Answer, codes: Sequence[str]) -> None:
    """Judge an answer by its `ret`; raises what it means."""
    if envelope.ret is None and envelope.error_msg is not None:
        # The gateway's own throttle has no ret; it was seen with HTTP 429 only, but the status may be lost.
        raise api_error(_THROTTLED, envelope.error_msg, answer.trace, codes)
    if envelope.ret is None:
        raise DecodeError(
            f"the answer (HTTP {answer.status}) has no 'ret': not the AllTick service; check base_url "
            f"(trace {answer.trace})"
        )
    if envelope.ret != _OK:
        raise api_error(envelope.ret, envelope.msg or "", answer.trace, codes)


def _check_envelope(envelope: _Envelope, answer: Answer, request: KlineRequest) -> None:
    check_ret(envelope, answer, request.codes)
    data = envelope.data
    if data is None:
        return
    other_code = data.code is not None and data.code != request.code
    other_period = data.kline_type is not None and data.kline_type != request.period.vendor_number
    if other_code or other_period:
        raise DecodeError(
            f"asked for {request.code} kline_type {request.period.vendor_number}, answered with "
            f"{excerpt(str(data.code))} kline_type {data.kline_type} (trace {answer.trace})"
        )


def _page(rows: Sequence[_Bar], bad: list[BadRow], answer: Answer) -> Page:
    received = len(rows) + len(bad)
    stamps = [row.timestamp for row in rows]
    prices = [
        np.array([row.open_price for row in rows], dtype=np.float64),
        np.array([row.high_price for row in rows], dtype=np.float64),
        np.array([row.low_price for row in rows], dtype=np.float64),
        np.array([row.close_price for row in rows], dtype=np.float64),
    ]
    quantities = [_nullable([row.volume for row in rows]), _nullable([row.turnover for row in rows])]
    if not _all_true(stamps, prices, quantities):
        reasons = [_why_untrue(row) for row in rows]
        as_sent = {_stamp_of(row): excerpt(repr(row)) for row in _rows_as_text(answer)}
        untrue = [(_stamp_of(row), why) for row, why in zip(rows, reasons, strict=True) if why]
        bad += [BadRow(stamp_us, why, as_sent.get(stamp_us, "")) for stamp_us, why in untrue]
        true = _page([row for row, why in zip(rows, reasons, strict=True) if not why], [], answer)
        return Page(true.bars, true.stamps_us, received, tuple(bad))
    stamps_us = _microseconds(np.array(stamps, dtype=np.int64))
    bars = pa.Table.from_arrays(
        [pa.array(stamps_us).cast(schemas.TIMESTAMP), *map(pa.array, prices), *quantities],
        schema=schemas.BARS,
    )
    if not bool(np.all(stamps_us[1:] > stamps_us[:-1])):
        order = ascending_last_wins(stamps_us)
        bars, stamps_us = bars.take(pa.array(order)), stamps_us[order]
    return Page(bars, stamps_us, received, tuple(bad))


def _has_long_numbers(body: bytes) -> bool:
    """Whether any number has more digits than float64 surely holds; stamps have 13, traces no run so long."""
    return _SURELY_HELD + b"0" in body.translate(_DIGITS_TO_ZERO, b".")


def _exact(page: Page, answer: Answer) -> tuple[tuple[int, str, str], ...]:
    """Find the values whose shortest float64 text is another number than the one sent."""
    number_of = {stamp_us: number for number, stamp_us in enumerate(page.stamps_us.tolist())}
    bars = page.bars.to_pylist()
    found: dict[int, list[tuple[int, str, str]]] = {}
    for row in _rows_as_text(answer):
        number = number_of.get(_stamp_of(row) or 0)
        texts = {column: row.get(name) for column, name in _VENDOR_NAMES.items()}
        # Of rows with one stamp, the page has the last that could be read.
        if number is not None and all(bars[number][column] == _value(text) for column, text in texts.items()):
            found[number] = [
                (number, column, text)
                for column, text in texts.items()
                if text and not _holds(bars[number][column], text)
            ]
    return tuple(exact for number in sorted(found) for exact in found[number])


def _holds(value: float, text: str) -> bool:
    try:
        return Decimal(text) == Decimal(repr(value))
    except InvalidOperation:
        return False  # an exponent that is beyond Decimal too


def _value(text: Any) -> float | None:
    if text is None or text == "":
        return None
    try:
        return float(text) if isinstance(text, str) else math.nan
    except ValueError:
        return math.nan  # a row that was set aside: equal to nothing


def _rows_as_text(answer: Answer) -> list[dict[str, Any]]:
    """Read the rows again with every number as the vendor wrote it."""
    why = ""
    try:
        sent = json.loads(answer.body, parse_float=str, parse_int=str, parse_constant=str)
        rows = (sent.get("data") or {}).get("kline_list") or []
        return [row for row in rows if isinstance(row, dict)]
    except (ValueError, RecursionError) as error:
        # The typed pass does not look into what it skips.
        why = str(error)
    raise no_json(answer, why)


def _nullable(column: list[float | Literal[""] | None]) -> pa.Array:
    if "" in column:
        column = [None if value == "" else value for value in column]
    return pa.array(column, pa.float64())


def ascending_last_wins(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give the order that sorts *keys* and keeps, of equal ones, the last."""
    order = np.argsort(keys, kind="stable").astype(np.int64)
    ordered = keys[order]
    last = np.ones(len(order), dtype=np.bool_)
    last[:-1] = ordered[1:] != ordered[:-1]
    return order[last]


def _all_true(stamps: list[int], prices: list[NDArray[np.float64]], quantities: list[pa.Array]) -> bool:
    if not stamps:
        return True
    _, high, low, _ = prices
    return (
        min(stamps) > _FIRST_SECOND
        and max(stamps) < _LAST_SECOND * _MS_PER_SECOND
        and all(bool(np.isfinite(column).all()) for column in prices)
        and bool((high >= low).all())
        and all(pc.all(pc.is_finite(column), min_count=0).as_py() for column in quantities)
    )


def _finite_or_none(value: float | Literal[""] | None) -> bool:
    return value is None or value == "" or math.isfinite(value)


def _why_untrue(row: _Bar) -> str:
    if not _FIRST_SECOND < row.timestamp < _LAST_SECOND * _MS_PER_SECOND:
        return "the stamp is no time"
    if not all(map(math.isfinite, (row.open_price, row.high_price, row.low_price, row.close_price))):
        return "a price is not finite"
    if row.high_price < row.low_price:
        return "high is below low"
    if not (_finite_or_none(row.volume) and _finite_or_none(row.turnover)):
        return "volume or turnover is not finite"
    return ""


def _microseconds(stamps: NDArray[np.int64]) -> NDArray[np.int64]:
    factor = np.where(stamps >= _FIRST_MILLISECONDS, _US_PER_MS, _US_PER_SECOND)
    return stamps * factor
