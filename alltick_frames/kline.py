"""From what was asked, and what is held, to what has to be sent; then to one table, and the verdict on it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa

from alltick_frames import evidence, finality, horizon, schemas
from alltick_frames.backfill import SHOWS_STAMPS, Stop
from alltick_frames.codes import Family, family_of
from alltick_frames.decimals import exactly
from alltick_frames.decode import ascending_last_wins
from alltick_frames.errors import ClockSkewWarning, HistoryStartWarning, IncompleteDataError, IncompleteDataWarning
from alltick_frames.segments import stamps_of
from alltick_frames.spans import BEGINNING, Missing, Span, SpanSet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from alltick_frames.backfill import Judged, Walk
    from alltick_frames.clocks import CallClock
    from alltick_frames.decode import Page
    from alltick_frames.errors import AllTickError, AllTickWarning
    from alltick_frames.harvests import Harvest
    from alltick_frames.periods import Period
    from alltick_frames.plans import Plan
    from alltick_frames.ranges import Asked
    from alltick_frames.records import HistoryStart
    from alltick_frames.settings import FrameKind, Network, OnIncomplete, Settings
    from alltick_frames.store import Archive, Held
    from alltick_frames.wire import Group

__all__ = [
    "Forming",
    "Prices",
    "Question",
    "Verdict",
    "by_group",
    "clock_skew",
    "held_bars",
    "judge",
    "rows_held",
    "to_ask",
    "to_table",
    "verdict_on",
    "walks_of",
]

Forming = Literal["drop", "keep"]
Prices = Literal["float", "decimal"]
_NAMED_AT_MOST = 5
# More than a slow answer explains.
_SKEW_BORNE = timedelta(seconds=30)
_END_OF_TIME = datetime.max.replace(tzinfo=UTC)
_LEFT_EDGE = ("beyond_reach", "beyond_plan")


@dataclass(frozen=True, slots=True)
class Question:
    """One call, validated; of *refresh*, what is held is asked for again."""

    codes: tuple[str, ...]
    period: Period
    asked: Asked
    forming: Forming
    frame: FrameKind
    on_incomplete: OnIncomplete
    categorical: bool
    network: Network
    max_wait: timedelta | None
    clock: CallClock
    refresh: Span | None = None
    prices: Prices = "float"

    @property
    def asked_at(self) -> datetime:
        """When the call began."""
        return self.clock.start

    def __str__(self) -> str:
        more = f" and {len(self.codes) - 1} more" if len(self.codes) > 1 else ""
        return f"{self.codes[0]}{more} {self.period.value}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to say of an answer: the error to raise, if any, and warnings; and what is missing, whether said or not."""

    failure: AllTickError | None = None
    notices: tuple[AllTickWarning, ...] = ()
    missing: tuple[Missing, ...] = ()


def to_ask(
    questions: Iterable[Question], archive: Archive, plan: Plan, harvests: Sequence[Harvest] = ()
) -> dict[Group, list[Walk]]:
    """Give by group the walks through what has to be asked for after *harvests*: nothing if all is held."""
    walked = by_group(harvests)
    return {
        (code, question.period): walks
        for question in questions
        for code in question.codes
        if (walks := walks_of(question, code, archive, plan, walked.get((code, question.period), [])))
    }


def by_group(harvests: Iterable[Harvest]) -> dict[Group, list[Harvest]]:
    """Sort *harvests* by their code and period."""
    sorted_: dict[Group, list[Harvest]] = {}
    for harvest in harvests:
        sorted_.setdefault((harvest.walk.code, harvest.walk.period), []).append(harvest)
    return sorted_


def walks_of(
    question: Question, code: str, archive: Archive, plan: Plan, harvests: Sequence[Harvest] = ()
) -> list[Walk]:
    """Give the walks through what has to be asked of *code* after *harvests*, which are of it.

    Of a number of bars, only the newest gap: what comes may be enough.
    """
    if question.network == "never" or any(harvest.refusal is not None for harvest in harvests):
        return []
    walks = _walks(question, code, archive, plan, [harvest.walk for harvest in harvests])
    # A gap that stays is for the verdict to name, not to be asked for again and again.
    planned = [harvest.planned for harvest in harvests]
    return [walk for walk in walks if walk.span not in planned]


def _walks(question: Question, code: str, archive: Archive, plan: Plan, walked: Sequence[Walk]) -> Iterator[Walk]:
    period, asked = question.period, question.asked
    known: evidence.Known = archive.known(code, period)
    span = _needed(question, code, archive)
    if question.refresh is not None:
        known = evidence.forgotten(known, question.refresh)
    looked_at = _looked_at(walked)
    asked_at, clock = question.asked_at, question.clock()
    lacking = evidence.gaps(known, code, period, span, plan, asked_at, looked_at=looked_at, clock=clock)
    gaps = [gap.span for gap in lacking if gap.reason == "not_held"]
    if question.forming == "keep" and asked.open_end and not walked:
        gaps = _with_newest(gaps, span, evidence.held(known))
    if gaps and not family_of(code).pageable:
        gaps = [Span(gaps[0].start, gaps[-1].end)]
    for gap in gaps if asked.count is None else gaps[-1:]:
        after = next((other for other in evidence.held(known) if other.start == gap.end), None)
        walk = evidence.walk_into(
            gap,
            known,
            code,
            period,
            asked,
            first_held=None if after is None else _first_stamp(_read(archive, code, period, after)),
            at_close=_at_close(archive, code, period),
            held_stamps=_last_stamps(archive, code, period, gap.start),
        )
        if question.refresh is not None:
            walk = dataclasses.replace(walk, rereads=True, to_newest=False)
        if asked.count is not None:
            held_later = _read(archive, code, period, Span(gap.end, asked.span.end))
            walk = dataclasses.replace(walk, wanted=asked.count - len(held_later.bars))
        yield walk


def _last_stamps(archive: Archive, code: str, period: Period, end: datetime) -> tuple[int, ...]:
    """Give the stamps of the last bars before *end*, where the stamps of days are to be told from them."""
    if not period.by_date or family_of(code) is Family.STOCK:
        return ()
    before = _read(archive, code, period, Span(end - SHOWS_STAMPS * period.nominal, end))
    return tuple(stamps_of(before.bars).tolist())


def _looked_at(walked: Sequence[Walk]) -> SpanSet:
    return SpanSet.of(map(evidence.looked_at, walked))


def _at_close(archive: Archive, code: str, period: Period) -> bool | None:
    """Say what the stamps of the bars held are, if that is not always the same; None if there are none."""
    if not finality.may_be_at_close(code, period):
        return None
    held = _read(archive, code, period, Span(BEGINNING, _END_OF_TIME))
    if not len(held.keys_us):
        return None
    as_opens = finality.keys(stamps_of(held.bars)[:1], code, period)
    return bool(held.keys_us[0] != as_opens[0])


def _needed(question: Question, code: str, archive: Archive) -> Span:
    """Give the span that has to be held: of a number of bars that are there, from the first of them on."""
    asked = question.asked
    if asked.count is None:
        return asked.span
    keys_us = _read(archive, code, question.period, asked.span).keys_us
    if len(keys_us) < asked.count:
        return asked.span
    return Span(finality.instant(int(keys_us[-asked.count])), asked.span.end)


def held_bars(question: Question, code: str, archive: Archive) -> int:
    """Count the bars of *code* that are held of what was asked for."""
    return len(rows_held(question, code, archive))


def rows_held(question: Question, code: str, archive: Archive) -> pa.Table:
    """Give the bars of *code* that are held of what was asked for; schema `schemas.BARS`."""
    bars = _read(archive, code, question.period, question.asked.span).bars
    return bars if question.asked.count is None else bars.slice(max(0, len(bars) - question.asked.count))


def _with_newest(gaps: list[Span], span: Span, held: SpanSet) -> list[Span]:
    """Ask for the newest page whatever is held: the forming bar is in no archive."""
    newest = Span(max([span.start, *(other.end for other in held)]), span.end)
    return [*(gap for gap in gaps if gap.end <= newest.start), newest]


def _read(archive: Archive, code: str, period: Period, span: Span) -> Held:
    held = archive.read(code, period, finality.microseconds(span.start), finality.microseconds(span.end))
    if not period.by_date or len(np.unique(held.keys_us)) == len(held.keys_us):
        return held
    # The vendor has changed what it stamps days with, and gave some twice: one of each date.
    order = ascending_last_wins(held.keys_us)
    return dataclasses.replace(held, bars=held.bars.take(pa.array(order)), keys=(held.keys_us[order],))


def _first_stamp(held: Held) -> datetime | None:
    return held.bars["timestamp"][0].as_py() if len(held.bars) else None


def to_table(question: Question, harvests: Sequence[Harvest], archive: Archive, settings: Settings) -> pa.Table:
    """Give what is held: by code in the asked order, then time; one row per code and stamp."""
    names = pa.array(question.codes, pa.string())
    schema = schemas.KLINE_DECIMAL if question.prices == "decimal" else schemas.KLINE
    schema = schema.append(schemas.CLOSED) if question.forming == "keep" else schema
    tables = []
    for position, code in enumerate(question.codes):
        rows = _rows(question, code, [harvest for harvest in harvests if harvest.walk.code == code], archive)
        tables.append(rows.add_column(0, schemas.CODE, _codes(rows, position, names)))
    described = schema.with_metadata(_metadata(question, settings, question.clock()))
    return pa.concat_tables(tables).cast(schema).replace_schema_metadata(described.metadata)


def _codes(rows: pa.Table, position: int, names: pa.Array) -> pa.ChunkedArray:
    """Give the column `code`, chunked as the rows are: one run of the position serves all chunks."""
    lengths = [len(chunk) for chunk in rows["timestamp"].chunks]
    positions = pa.array(np.full(max(lengths, default=0), position, dtype=np.int32))
    run = pa.DictionaryArray.from_arrays(positions, names)
    return pa.chunked_array([run[:length] for length in lengths], type=schemas.CODE.type)


def _rows(question: Question, code: str, harvests: Sequence[Harvest], archive: Archive) -> pa.Table:
    span = question.asked.span
    held = _read(archive, code, question.period, span)
    bars, exact = held.bars, dict(held.exact)
    if unsaved := [judged for harvest in harvests for judged in harvest.pages]:
        # Only after the archive could not be written: what came is handed over all the same.
        bars = pa.concat_tables([bars, *(_selected(judged, span, closed=True) for judged in unsaved)])
        bars = bars.take(pa.array(ascending_last_wins(stamps_of(bars))))
        for judged in unsaved:
            exact = _with_exact(exact, judged.page)
    if question.asked.count is not None:
        bars = bars.slice(max(0, len(bars) - question.asked.count))
    if question.forming == "drop":
        return bars if question.prices == "float" else exactly(bars, exact, code)
    newest = [_selected(harvest.newest, span, closed=False) for harvest in harvests if harvest.newest]
    # Another client may have archived the bar as closed meanwhile.
    last = int(stamps_of(bars)[-1]) if len(bars) else -1
    forming = [rows.filter(pa.array(stamps_of(rows) > last)) for rows in newest]
    joined = pa.concat_tables([bars, *forming])
    if question.prices == "decimal":
        for harvest in harvests:
            if harvest.newest:
                of_newest = _with_exact({}, harvest.newest.page)
                exact |= {place: text for place, text in of_newest.items() if place[0] > last}
        joined = exactly(joined, exact, code)
    return joined.append_column(schemas.CLOSED, pa.array(np.arange(len(joined)) < len(bars)))


def _with_exact(exact: Mapping[tuple[int, str], str], page: Page) -> dict[tuple[int, str], str]:
    """Put the strings of *page* in place of those of the bars that it has."""
    stamps = page.stamps_us.tolist()
    kept = {place: text for place, text in exact.items() if place[0] not in set(stamps)}
    return kept | {(stamps[row], column): text for row, column, text in page.exact}


def _selected(judged: Judged, span: Span, *, closed: bool) -> pa.Table:
    inside = (judged.keys_us >= finality.microseconds(span.start)) & (judged.keys_us < finality.microseconds(span.end))
    return judged.page.bars.filter(pa.array(inside & (judged.closed == closed)))


def _metadata(question: Question, settings: Settings, now: datetime) -> dict[str, str]:
    return {
        "alltick.origin": settings.base_url,
        "alltick.plan": settings.plan.name,
        "alltick.period": question.period.value,
        "alltick.fetched_at": now.isoformat(timespec="seconds"),
        "alltick.adjustment": "unadjusted",
        "alltick.units": (
            "prices in the product's quote currency; volume as the vendor gives it (A shares in lots of 100, "
            "other stocks in shares, forex a tick count if any); turnover in the quote currency"
        ),
    }


def judge(question: Question, harvests: Sequence[Harvest], archive: Archive, plan: Plan) -> Verdict:
    """Say what the vendor could not give: as an error, a warning or not at all, as asked."""
    refusals = {harvest.walk.code: harvest for harvest in harvests if harvest.refusal is not None}
    if refusals and len(question.codes) == 1:
        return Verdict(refusals[question.codes[0]].refusal)
    # What closed while pages came is not missing: it could not be asked for when the call was made.
    now, clock = question.asked_at, question.clock()
    walked = [harvest.walk for harvest in harvests]
    missing: list[Missing] = []
    starts: dict[str, HistoryStart] = {}
    held_from: dict[str, datetime] = {}
    for code in question.codes:
        known = archive.known(code, question.period)
        span = _needed(question, code, archive)
        if code in refusals:
            missing += _refused(refusals[code], evidence.gaps(known, code, question.period, span, plan, now), question)
            continue
        looked_at = _looked_at([walk for walk in walked if walk.code == code])
        gaps = evidence.gaps(known, code, question.period, span, plan, now, looked_at=looked_at, clock=clock)
        missing += [_missing(gap, code, question, walked) for gap in gaps]
        # A refusal before the first answer says so in this call alone.
        missing += [gap for walk in walked if walk.code == code and walk.asked_at is None for gap in walk.missing]
        start = evidence.begins(known, plan, now)
        if start is not None and finality.instant(start.key_us) > span.start:
            starts[code] = start
            held_from[code] = min([finality.instant(start.key_us), *(held.start for held in evidence.held(known))])
    late = [code for code, start in starts.items() if not start.reason]
    notices = (*_clock_skews(harvests), *_late_starts(question, {code: starts[code] for code in late}, archive))
    missing = [gap for gap in missing if not _waived(gap, question)]
    message = _message(missing, held_from, question.network) if missing else ""
    return _verdict(missing, message, question.on_incomplete, notices)


def verdict_on(missing: Sequence[Missing], harvests: Sequence[Harvest], on_incomplete: OnIncomplete) -> Verdict:
    """Say what the vendor could not give of many questions."""
    message = _message(missing, {}, "auto") if missing else ""
    return _verdict(missing, message, on_incomplete, _clock_skews(harvests))


def _verdict(
    missing: Sequence[Missing],
    message: str,
    on_incomplete: OnIncomplete,
    notices: tuple[AllTickWarning, ...] = (),
) -> Verdict:
    if not missing or on_incomplete == "ignore":
        return Verdict(None, notices, tuple(missing))
    if on_incomplete == "warn":
        return Verdict(None, (*notices, IncompleteDataWarning(message)), tuple(missing))
    return Verdict(IncompleteDataError(message, missing=missing), notices, tuple(missing))


def _refused(harvest: Harvest, gaps: Sequence[evidence.Gap], question: Question) -> list[Missing]:
    """Name all that is not held of a refused code: others of its walks may have been on their way."""
    said = harvest.walk.missing[-1]
    named = [Missing(said.code, question.period, gap.span, gap.reason, gap.detail) for gap in gaps]
    named = [dataclasses.replace(said, span=gap.span) if gap.reason == "not_held" else gap for gap in named]
    return named or [said]


def _missing(gap: evidence.Gap, code: str, question: Question, walked: Sequence[Walk]) -> Missing:
    contradicted = any(
        walk.code == code and walk.stop is Stop.CONTRADICTED and walk.span.start < gap.span.end for walk in walked
    )
    detail = Stop.CONTRADICTED.value if contradicted and gap.reason == "not_held" else gap.detail
    if detail == evidence.OVERTAKEN:
        detail += f", about {horizon.bars_within(code, question.period, gap.span):,} of them in this span"
    return Missing(code, question.period, gap.span, gap.reason, detail)


def _clock_skews(harvests: Sequence[Harvest]) -> tuple[ClockSkewWarning, ...]:
    return clock_skew(max((harvest.skew for harvest in harvests), key=abs, default=timedelta()))


def clock_skew(skew: timedelta) -> tuple[ClockSkewWarning, ...]:
    """Say so if the server's clock is far from ours."""
    if abs(skew) <= _SKEW_BORNE:
        return ()
    ours, seconds = ("behind", skew) if skew > timedelta() else ("ahead of", -skew)
    return (
        ClockSkewWarning(
            f"this machine's clock is {seconds.total_seconds():,.0f} s {ours} the server's; bars count as closed by "
            f"the earlier of the two, so set the clock if the newest bars are missing"
        ),
    )


def _waived(gap: Missing, question: Question) -> bool:
    """`range="max"` asks for what there is: its left edge cannot be missing, a hole can."""
    asked = question.asked
    at_left_edge = gap.reason in _LEFT_EDGE and gap.span.start == asked.span.start
    return at_left_edge and asked.from_beginning and asked.count is None


def _late_starts(
    question: Question, starts: Mapping[str, HistoryStart], archive: Archive
) -> tuple[HistoryStartWarning, ...]:
    asked = question.asked
    if not starts or (asked.from_beginning and asked.count is None):
        return ()
    late = [f"{code} ({_from(start, archive.known(code, question.period))})" for code, start in starts.items()]
    wanted = f"{asked.count} bars" if asked.count is not None else f"{asked.span.start:%Y-%m-%d}"
    return (
        HistoryStartWarning(
            f"the vendor's {question.period.value} history begins later than asked ({wanted}) for: {_some(late)}"
        ),
    )


def _from(start: HistoryStart, known: evidence.Known) -> str:
    # Where nothing is held of what was asked, the vendor may have later bars for which nobody asked.
    how = "from" if any(first == start.key_us for first, _ in known.coverage) else "no bars before"
    return f"{how} {_minute(finality.instant(start.key_us))}"


def _minute(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M}Z"


def _message(missing: Sequence[Missing], held_from: Mapping[str, datetime], network: Network) -> str:
    spans = f"{len(missing)} span{'s' if len(missing) > 1 else ''}"
    told = _some([f"{gap}{_reachable(gap, held_from)}" for gap in missing])
    what_there_is = "What there is: .frame of this error, or on_incomplete='warn' or 'ignore'"
    if network == "never" and all(gap.reason == "not_held" for gap in missing):
        return f"{spans} not in the archive: {told}. {what_there_is}; network='auto' fetches the rest"
    if all(gap.reason in _LEFT_EDGE for gap in missing):
        what_there_is += "; range='max' asks for all that is reachable"
    return f"{spans} cannot be had: {told}. {what_there_is}"


def _reachable(gap: Missing, held_from: Mapping[str, datetime]) -> str:
    return f"; reachable from {_minute(held_from[gap.code])}" if gap.reason == "beyond_reach" else ""


def _some(items: Sequence[str]) -> str:
    more = f" and {len(items) - _NAMED_AT_MOST} more" if len(items) > _NAMED_AT_MOST else ""
    return "; ".join(items[:_NAMED_AT_MOST]) + more
