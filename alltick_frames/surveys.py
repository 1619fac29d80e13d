"""The latest of many codes: from what is asked to what has to be sent, then to one table and the verdict on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_args

import pyarrow as pa

from alltick_frames import decode, halts, quotes, schemas
from alltick_frames.attempts import answered
from alltick_frames.backfill import Judged, walk_for
from alltick_frames.codes import Family, check_codes, family_of
from alltick_frames.errors import (
    AllTickError,
    ApiError,
    ArgumentError,
    AuthenticationError,
    DecodeError,
    IncompleteDataError,
    IncompleteDataWarning,
    RateLimitError,
)
from alltick_frames.harvests import Harvest
from alltick_frames.inquiry import Inquiry, Memory
from alltick_frames.kline import Verdict, clock_skew
from alltick_frames.periods import Period
from alltick_frames.spans import MOMENT, Missing, Span
from alltick_frames.wire import BatchRequest, Exchange, Group, HaltsRequest, SymbolsRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from alltick_frames.clocks import CallClock
    from alltick_frames.decode import Page
    from alltick_frames.errors import AllTickWarning
    from alltick_frames.fetch import Report
    from alltick_frames.inquiry import Findings
    from alltick_frames.plans import Endpoint, Plan
    from alltick_frames.settings import FrameKind, OnIncomplete, Settings
    from alltick_frames.spans import Reason
    from alltick_frames.transport import Transport
    from alltick_frames.wire import Answer, SymbolsEndpoint

__all__ = ["AnySurvey", "BarsSurvey", "HaltsSurvey", "Options", "Survey", "SymbolsSurvey", "schema_of"]

Item = TypeVar("Item", str, Group)

_NAMED_AT_MOST = 5
# Each attempt costs a minute.
_HALTS_FAULTS, _HALTS_EVERY_S = 3, 60
_TABLES: Mapping[SymbolsEndpoint, tuple[str, pa.Schema]] = {
    "trade_tick": ("last trade", schemas.LAST_TRADES),
    "depth_tick": ("order book", schemas.ORDER_BOOK),
    "static_info": ("static info", schemas.STATIC_INFO),
}


@dataclass(frozen=True, slots=True)
class Options:
    """What the caller chose of how to be answered."""

    frame: FrameKind
    on_incomplete: OnIncomplete
    max_wait: timedelta | None
    clock: CallClock


@dataclass(slots=True)
class Survey(Generic[Item]):
    """One call: what it is about, how it is asked, and what it found.

    Attributes
    ----------
    what
        What each of the items has one of.
    """

    what: str
    items: tuple[Item, ...]
    options: Options
    inquiry: Inquiry[Item, Any, Any]

    def __str__(self) -> str:
        some = ", ".join(self._named(item) for item in self.items[:_NAMED_AT_MOST])
        more = f" and {len(self.items) - _NAMED_AT_MOST} more" if len(self.items) > _NAMED_AT_MOST else ""
        return f"{self.what} of {some}{more}"

    @property
    def endpoint(self) -> Endpoint:
        """Where the requests go."""
        return self.inquiry.endpoint

    @property
    def requests_left(self) -> int:
        """How many requests are to be sent if none is refused."""
        return self.inquiry.requests_left

    @property
    def findings(self) -> Findings[Item, Any]:
        """What came of it."""
        return self.inquiry.findings

    async def work(self, transport: Transport, plan: Plan, clock: CallClock, report: Report) -> None:
        """Ask; what goes wrong is noted in the findings."""
        await self.inquiry.work(transport, plan, clock, report)

    def table(self, settings: Settings) -> pa.Table:
        """Give what was found, in the asked order."""
        raise NotImplementedError

    def verdict(self) -> Verdict:
        """Say what the vendor did not give: as an error, a warning or not at all, as asked."""
        findings: Findings[Item, Any] = self.findings
        notices: tuple[AllTickWarning, ...] = (*clock_skew(max_skew(findings)), *findings.notices)
        if findings.failure is not None:
            return Verdict(findings.failure, notices)
        if len(self.items) == 1 and self.items[0] in findings.refused:
            return Verdict(findings.refused[self.items[0]], notices)
        missing = [gap for item in self.items for gap in self._missing(item)]
        return _verdict(missing, len(self.items), self.what, self.options, notices)

    def _missing(self, item: Item) -> Iterable[Missing]:
        code, period = item if isinstance(item, tuple) else (item, None)
        now = self.options.clock.start
        gap = partial(Missing, code, period, Span(now, now + MOMENT))
        if item in self.findings.refused:
            yield gap("refused", str(self.findings.refused[item]))
        elif item not in self.findings.found:
            yield gap("no_data", "the vendor answered the request without it")
        else:
            yield from (gap(*flaw) for flaw in self._flaws(item))

    def _flaws(self, item: Item) -> Iterable[tuple[Reason, str]]:
        """Give reason and detail of what is wrong with what was found of *item*."""
        raise NotImplementedError

    def _named(self, item: Item) -> str:
        return item if isinstance(item, str) else f"{item[0]} {item[1].value}"


@dataclass(slots=True)
class SymbolsSurvey(Survey[str]):
    """The last trades, order books or static info of some codes."""

    endpoint: SymbolsEndpoint
    levels: int | None = None

    @classmethod
    def of(
        cls,
        endpoint: SymbolsEndpoint,
        codes: str | Iterable[str],
        options: Options,
        plan: Plan,
        memory: Memory,
        levels: int | None = None,
    ) -> SymbolsSurvey:
        """Judge what can be judged before anything is sent."""
        asked = check_codes(codes)
        if endpoint == "static_info":
            _refuse_quotes(asked)
        if levels is not None and not (type(levels) is int and levels > 0):
            raise ArgumentError(f"levels={levels!r} must be a whole number from 1 on, or None for all that there are")
        inquiry = Inquiry(
            endpoint, asked, plan.codes, family_of, partial(SymbolsRequest, endpoint), quotes.rows_of, memory
        )
        return cls(_TABLES[endpoint][0], asked, options, inquiry, endpoint, levels)

    def table(self, settings: Settings) -> pa.Table:
        """Give what was found, in the asked order."""
        rows = [row for code in self.items if code in self.findings.found for row in self._rows(code)]
        schema = schema_of(self.endpoint)
        columns = [pa.array([row[field.name] for row in rows], field.type) for field in schema]
        return pa.Table.from_arrays(columns, schema=schema.with_metadata(_metadata(settings, self.options)))

    def _rows(self, code: str) -> Sequence[quotes.Row]:
        rows = self.findings.found[code].rows
        return rows if self.levels is None else [row for row in rows if (row["level"] or 0) <= self.levels]

    def _flaws(self, item: str) -> Iterable[tuple[Reason, str]]:
        part = self.findings.found[item]
        if part.flaw:
            yield "invalid", part.flaw
        elif not part.rows:
            yield "no_data", "the vendor's answer has no price of it"


@dataclass(slots=True)
class BarsSurvey(Survey[Group]):
    """The newest bars of some codes and periods."""

    @classmethod
    def of(
        cls,
        codes: str | Iterable[str],
        periods: Period | str | Iterable[Period | str],
        options: Options,
        plan: Plan,
        memory: Memory,
    ) -> BarsSurvey:
        """Judge what can be judged before anything is sent."""
        named = [periods] if isinstance(periods, str | Period) else [*periods]
        chosen = tuple(dict.fromkeys(Period.parse(period) for period in named))
        if not chosen:
            raise ArgumentError("periods is empty; give one period ('1m') or several (['1m', '1d'])")
        asked = check_codes(codes)
        for period in chosen:
            check_codes(asked, period)
        groups = tuple((code, period) for code in asked for period in chosen)
        inquiry = Inquiry(
            "batch_kline", groups, plan.batch_groups, lambda group: family_of(group[0]), BatchRequest, _pages, memory
        )
        return cls("newest bar", groups, options, inquiry)

    def table(self, settings: Settings) -> pa.Table:
        """Give what was found, by code and period in the asked order, then time."""
        tables = [schemas.LATEST.empty_table()]
        for (code, period), judged in self.judged().items():
            rows, height = judged.page.bars, len(judged.page.bars)
            names = [pa.array([name] * height, pa.string()) for name in (code, period.value)]
            columns = [names[0].cast(schemas.CODE.type), names[1], *rows.columns, pa.array(judged.closed)]
            tables.append(pa.Table.from_arrays(columns, schema=schemas.LATEST))
        return pa.concat_tables(tables).unify_dictionaries().replace_schema_metadata(_metadata(settings, self.options))

    def _flaws(self, item: Group) -> Iterable[tuple[Reason, str]]:
        page, _ = self.findings.found[item]
        if page.bad:
            yield "invalid", "; ".join(f"{bad.why}: {bad.raw}" for bad in page.bad)
        elif not len(page.bars):
            yield "no_data", "the vendor has no bars of it"

    def judged(self) -> dict[Group, Judged]:
        """Give what was found, with what is known of each bar."""
        return {group: self._judge(group) for group in self.items if group in self.findings.found}

    def harvests(self) -> Iterator[Harvest]:
        """Give what the archive can be told: that these bars, and none between them, are the newest."""
        for group, judged in self.judged().items():
            if judged.oldest is not None and not judged.page.bad:
                span = Span(judged.oldest, max(judged.server_now, judged.oldest + MOMENT))
                harvest = Harvest.of(walk_for(*group, span, open_end=True), judged)
                if harvest is not None:
                    yield harvest

    def _judge(self, group: Group) -> Judged:
        page, answer = self.findings.found[group]
        walk = walk_for(*group, Span(answer.server_now - MOMENT, answer.server_now), open_end=True)
        return Judged.of(page, walk, answer.server_now, answer.asked_at)


@dataclass(slots=True)
class HaltsSurvey:
    """The halts of one exchange, page by page: what is asked, and what was found."""

    exchange: Exchange
    options: Options
    reading: halts.Reading
    failure: AllTickError | None = None
    _flaws: list[str] = field(default_factory=list)

    what = "halts"

    @classmethod
    def of(cls, exchange: Exchange, options: Options, _plan: Plan, _memory: Memory) -> HaltsSurvey:
        """Judge what can be judged before anything is sent."""
        if exchange not in get_args(Exchange):
            raise ArgumentError(
                f"exchange={exchange!r} is not one of those whose halts AllTick publishes: "
                f"{' '.join(get_args(Exchange))} (none of Shenzhen's and Hong Kong's)"
            )
        return cls(exchange, options, halts.Reading(exchange))

    def __str__(self) -> str:
        return f"halts of {self.exchange}"

    @property
    def endpoint(self) -> Endpoint:
        """Where the requests go."""
        return HaltsRequest(self.exchange).endpoint

    @property
    def requests_left(self) -> int:
        """How many requests are to be sent, as far as is known."""
        return self.reading.requests_left

    async def work(self, transport: Transport, _plan: Plan, clock: CallClock, report: Report) -> None:
        """Ask for one page after the other; what goes wrong is noted."""
        asked = 0
        while (request := self.reading.next_request) is not None:

            async def the_request(request: HaltsRequest = request) -> HaltsRequest:
                return request

            try:
                _, page = await answered(
                    transport, clock, self.endpoint, the_request, halts.halts_page, faults_borne=_HALTS_FAULTS
                )
                self.reading.absorb(page)
            except (ApiError, DecodeError) as error:
                if isinstance(error, AuthenticationError | RateLimitError) or not self.reading.refused():
                    self.failure = error
                    return
            except AllTickError as error:
                self.failure = error
                return
            asked += 1
            report(asked, asked + self.requests_left, self.requests_left * _HALTS_EVERY_S)

    def table(self, settings: Settings) -> pa.Table:
        """Give what was found, the newest announcement first."""
        table, self._flaws = halts.halts_table(self.exchange, [*self.reading.records.values()])
        return table.replace_schema_metadata(_metadata(settings, self.options))

    def verdict(self) -> Verdict:
        """Say what the vendor did not give."""
        if self.failure is not None:
            return Verdict(self.failure)
        now = self.options.clock.start
        said: list[tuple[Reason, str]] = []
        if self.reading.lacking:
            said.append(("no_data", f"{self.reading.lacking} of {self.reading.total} records are on no page"))
        said += [("invalid", flaw) for flaw in self._flaws]
        missing = [Missing(self.exchange, None, Span(now, now + MOMENT), *gap) for gap in said]
        return _verdict(missing, len(self.reading.records), self.what, self.options)


def _verdict(
    missing: Sequence[Missing], asked: int, what: str, options: Options, notices: tuple[AllTickWarning, ...] = ()
) -> Verdict:
    if not missing or options.on_incomplete == "ignore":
        return Verdict(None, notices, tuple(missing))
    told = "; ".join(map(str, missing[:_NAMED_AT_MOST]))
    more = f" and {len(missing) - _NAMED_AT_MOST} more" if len(missing) > _NAMED_AT_MOST else ""
    message = (
        f"{what} incomplete, {len(missing)} of {asked}: {told}{more}. What there is: .frame of this error, or "
        f"on_incomplete='warn' or 'ignore'"
    )
    if options.on_incomplete == "warn":
        return Verdict(None, (*notices, IncompleteDataWarning(message)), tuple(missing))
    return Verdict(IncompleteDataError(message, missing=missing), notices, tuple(missing))


def _metadata(settings: Settings, options: Options) -> dict[str, str]:
    return {
        "alltick.origin": settings.base_url,
        "alltick.plan": settings.plan.name,
        "alltick.fetched_at": options.clock().isoformat(timespec="seconds"),
    }


def schema_of(endpoint: SymbolsEndpoint) -> pa.Schema:
    """Give the schema of what *endpoint* answers."""
    return _TABLES[endpoint][1]


def max_skew(findings: Findings[Any, Any]) -> timedelta:
    """Give the greatest difference between the server's clock and ours that an answer has shown."""
    return max((answer.skew for answer in findings.answers), key=abs, default=timedelta())


def _pages(answer: Answer, request: BatchRequest) -> dict[Group, tuple[Page, Answer]]:
    return {group: (page, answer) for group, page in decode.batch_pages(answer, request).items()}


def _refuse_quotes(codes: Sequence[str]) -> None:
    wrong = [code for code in codes if family_of(code) is Family.QUOTE]
    if wrong:
        raise ArgumentError(
            f"code={wrong[0]!r} has no static info: the vendor gives it of stocks only (.HK .US .SH .SZ); what the "
            f"product list has of it is in search_products({wrong[0]!r})"
        )


AnySurvey = Survey[Any] | HaltsSurvey
