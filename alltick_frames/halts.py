"""Answers of `/api/suspension/*` to one table; and which page to ask for next. Pure.

The endpoints have an envelope of their own. Their page documents paging and denies it in its notes, so the first
request asks for no page; where that brings less than there is, for all of it at once; and where a page has a limit,
for one after the other.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import msgspec
import pyarrow as pa

from alltick_frames import schemas
from alltick_frames.decode import check_ret, no_json
from alltick_frames.errors import TransportError
from alltick_frames.wire import HaltsRequest, excerpt, refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from alltick_frames.wire import Answer, Exchange

__all__ = ["Page", "Reading", "halts_page", "halts_table"]

_ZONES: Mapping[Exchange, str] = {
    "sse": "Asia/Shanghai",
    "nyse": "America/New_York",
    "nasdaq": "America/New_York",
}
_SUFFIXES: Mapping[Exchange, str] = {"sse": "SH", "nyse": "US", "nasdaq": "US"}

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """One answer: its *records* as sent, and how many there are in *total*, at least, on how many *pages*."""

    records: tuple[Record, ...]
    total: int
    pages: int


class _Envelope(msgspec.Struct, rename={"total_count": "totalCount", "total_pages": "totalPages"}):
    success: bool | None = None
    error: str | None = None
    total_count: int | None = None
    total_pages: int | None = None
    data: list[dict[str, Any]] | None = None
    # The gateway's own answers have the envelope of the other endpoints.
    ret: int | None = None
    msg: str | None = None
    error_msg: str | None = None


_decoder = msgspec.json.Decoder(_Envelope, strict=False)


def halts_page(answer: Answer, _request: HaltsRequest) -> Page:
    """Read one page.

    Raises
    ------
    ApiError
        The gateway refused.
    TransportError
        The vendor's source of halts failed (HTTP 500, `success` false), or another server error.
    DecodeError
        No JSON, or another envelope.
    """
    envelope, why = _Envelope(), ""
    try:
        envelope = _decoder.decode(answer.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        why = str(error)
    if envelope.success is False or envelope.error is not None:
        raise TransportError(
            f"the vendor's source of halts failed: {excerpt(envelope.error or 'no reason given')} "
            f"(HTTP {answer.status}, trace {answer.trace}); it may be asked once a minute, try again later"
        )
    refused = refusal(answer, ())
    if refused is not None:
        raise refused
    if why:
        raise no_json(answer, why)
    if envelope.success is None:
        check_ret(envelope, answer, ())
    records = tuple(envelope.data or ())
    pages = max(1, envelope.total_pages or 1)
    return Page(records, _total(envelope.total_count or 0, pages, len(records)), pages)


def _total(counted: int, pages: int, shown: int) -> int:
    """Say how many records there are, or how many at least if all that is said is on how many pages."""
    return counted if counted >= shown else max(shown, (pages - 1) * shown + 1)


@dataclass(slots=True)
class Reading:
    """How far the halts of one exchange have been read.

    Attributes
    ----------
    records
        Without repeats, in the order of the pages.
    total
        How many the vendor says there are.
    """

    exchange: Exchange
    records: dict[tuple[tuple[str, str], ...], Record] = field(default_factory=dict)
    total: int = 0
    _next: HaltsRequest | None = field(init=False)
    _largest: int = 0

    def __post_init__(self) -> None:
        self._next = HaltsRequest(self.exchange)

    @property
    def next_request(self) -> HaltsRequest | None:
        """What to ask for next; None at the end."""
        return self._next

    @property
    def requests_left(self) -> int:
        """How many requests follow, as far as is known."""
        if self._next is None:
            return 0
        return max(1, math.ceil((self.total - len(self.records)) / (self._next.size or self.total or 1)))

    @property
    def lacking(self) -> int:
        """How many records the vendor has and has not given."""
        return max(0, self.total - len(self.records))

    def absorb(self, page: Page) -> None:
        """Take in the answer to `next_request`."""
        asked, before = self._next, len(self.records)
        for record in page.records:
            self.records.setdefault(tuple(sorted((name, str(cell)) for name, cell in record.items())), record)
        self.total = max(self.total, page.total)
        self._largest = max(self._largest, len(page.records))
        came = len(self.records) - before
        if asked is None or not self.lacking or (page.pages <= 1 and asked.page is None and not page.total):
            self._next = None
        elif asked.page is None:
            self._next = HaltsRequest(self.exchange, 1, max(self.total, page.pages * len(page.records)))
        elif asked.page == 1 or came:
            self._next = HaltsRequest(self.exchange, asked.page + 1, self._largest)
        else:
            self._next = None

    def refused(self) -> bool:
        """Say whether there is another way to ask, after an error; a size may be too large."""
        if self._next is None or self._next.size is None or self._next.size <= self._largest:
            return False
        self._next = HaltsRequest(self.exchange, 2)
        return True


def halts_table(exchange: Exchange, records: Sequence[Record]) -> tuple[pa.Table, list[str]]:
    """Make one table of *records*, and name what cannot be read in them."""
    zone = ZoneInfo(_ZONES[exchange])
    flaws: list[str] = []

    def read(record: Record, name: str, reader: Callable[[str], Any]) -> Any:
        text = "" if record.get(name) is None else str(record[name]).strip()
        try:
            return reader(text) if text else None
        except ValueError:
            flaws.append(f"{record.get('symbol')}: {name}={excerpt(text)!r}")
            return None

    def joined(record: Record, day: date | None, name: str) -> datetime | None:
        moment = read(record, name, _moment)
        if isinstance(moment, time):
            moment = None if day is None else datetime.combine(day, moment)
        return _local(moment, zone)

    rows = []
    for record in records:
        halt_day, resume_day = (read(record, name, _date) for name in ("haltDate", "resumeDate"))
        halted = joined(record, halt_day, "haltDateTime") or joined(record, halt_day, "haltTime")
        resumes, at_time = joined(record, resume_day, "resumeDateTime"), joined(record, resume_day, "resumeTime")
        symbol = read(record, "symbol", str)
        if symbol is None:
            flaws.append(f"a record without a symbol: {excerpt(str(record))}")
            continue
        rows.append(
            {
                "code": f"{symbol}.{_SUFFIXES[exchange]}",
                "symbol": symbol,
                "name": read(record, "symbolName", str),
                "reason": read(record, "haltReason", str),
                "halt_date": halt_day or (halted and halted.date()),
                "halted_at": halted,
                "halt_period": read(record, "haltPeriod", str),
                "resume_date": resume_day or (resumes and resumes.date()),
                # Of the American exchanges `resumeTime` is that of quotes, trading follows some minutes later.
                "quotes_resume_at": at_time if exchange != "sse" else None,
                "resumes_at": resumes or (at_time if exchange == "sse" else None),
                "source_exchange": read(record, "sourceExchange", str),
                "pause_threshold_price": read(record, "pauseThresholdPrice", _price),
                "published_at": joined(record, None, "publishDate"),
            }
        )
    return pa.Table.from_pylist(rows, schema=schemas.halts(_ZONES[exchange])), flaws


Moment = datetime | date | time
_DATE, _TIME = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}"), re.compile(r"[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?")


def _moment(text: str) -> Moment:
    """Read any of the three forms that the page has: a date, a time, or both."""
    if _DATE.fullmatch(text):
        return date.fromisoformat(text)
    return (time if _TIME.fullmatch(text) else datetime).fromisoformat(text)


def _date(text: str) -> date:
    moment = _moment(text)
    if isinstance(moment, time):
        raise ValueError("a time has no date")  # noqa: TRY004  # of text, that is
    return moment.date() if isinstance(moment, datetime) else moment


def _local(moment: Moment | None, zone: ZoneInfo) -> datetime | None:
    if not isinstance(moment, datetime):
        return None
    return moment.replace(tzinfo=zone) if moment.tzinfo is None else moment.astimezone(zone)


def _price(text: str) -> float:
    price = float(text)
    if not math.isfinite(price):
        raise ValueError(text)
    return price
