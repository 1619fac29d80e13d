"""What both clients are made of: how a call is judged, priced, carried out, and its answer handed over."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import numbers
import threading
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from anyio.lowlevel import current_token

from alltick_frames import (
    charts,
    checkup,
    clocks,
    holdings,
    kline,
    porting,
    products,
    scan,
    schemas,
    streams,
    surveys,
    updating,
    watching,
)
from alltick_frames import estimate as estimates
from alltick_frames import progress as progress_bars
from alltick_frames.catalog import ProductClass
from alltick_frames.codes import check_codes
from alltick_frames.errors import (
    AllTickError,
    AllTickWarning,
    ApiError,
    ArgumentError,
    BudgetError,
    ClockSkewWarning,
    ConfigError,
    DecodeError,
    IncompleteDataWarning,
    LongWaitWarning,
    OutageWarning,
    PlanWarning,
    RateLimitError,
    StoreError,
    TransportError,
)
from alltick_frames.fetch import fetch
from alltick_frames.frames import to_frame
from alltick_frames.harvests import Saver
from alltick_frames.inquiry import Memory
from alltick_frames.ledger import ledger_for
from alltick_frames.listings import Listing, Listings
from alltick_frames.notices import tell
from alltick_frames.periods import Period
from alltick_frames.plans import plan_named
from alltick_frames.ranges import parse_range
from alltick_frames.scan import EVERYTHING, Scan
from alltick_frames.settings import FrameKind, Network, OnIncomplete, Settings, Token
from alltick_frames.sockets import STREAM_PATHS, open_socket
from alltick_frames.store import Archive
from alltick_frames.transport import LATENCY_GUESS_S, Transport

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from alltick_frames.backfill import Walk
    from alltick_frames.codes import Family
    from alltick_frames.drawing import Chart
    from alltick_frames.estimate import Estimate, Price
    from alltick_frames.exports import Format
    from alltick_frames.fetch import Report
    from alltick_frames.harvests import Harvest
    from alltick_frames.kline import Forming, Prices
    from alltick_frames.ledger import Ledger
    from alltick_frames.plans import Endpoint, Plan
    from alltick_frames.probe import Finding
    from alltick_frames.scan import Part
    from alltick_frames.sockets import Socket
    from alltick_frames.spans import Missing, Span
    from alltick_frames.streams import WhenFull
    from alltick_frames.subscription import Kind
    from alltick_frames.wire import Exchange, Group, SymbolsEndpoint

__all__ = ["UPDATING", "Calls", "one_of"]

S = TypeVar("S", bound="surveys.AnySurvey")


_FREE_ASSUMED = (
    "no plan is configured, so requests keep to the Free plan's limits (one in 10 s, 1,000 a day); "
    "set ALLTICK_PLAN, or plan=, to yours"
)


UPDATING = "the update"
# What a watch goes on after.
_SAT_OUT = (TransportError, RateLimitError, DecodeError)
# What takes longer is said before it begins.
_SAID_FROM = timedelta(minutes=1)


class Calls:
    """The settings of a client, what it has opened, and the parts of its calls, in the order in which they are needed.

    The clients differ in who waits: parts that await are coroutines here, and the synchronous client has its background
    loop run them.
    """

    settings: Settings
    _transport: Transport | None
    _loop: object
    _archive: Archive | None
    _listings: Listings
    _lock: threading.Lock
    _memory: Memory
    _remembered: bool
    _said_free: bool
    _said_skew: bool

    def _newest_bars(
        self,
        codes: str | Iterable[str],
        periods: Period | str | Iterable[Period | str],
        frame: FrameKind | None,
        on_incomplete: OnIncomplete | None,
        max_wait: float | timedelta | None,
        *,
        says_price: bool = True,
    ) -> surveys.BarsSurvey:
        make = functools.partial(surveys.BarsSurvey.of, codes, periods)
        return self._begin_survey(make, frame, on_incomplete, max_wait, says_price=says_price)

    def _halts(
        self,
        exchange: Exchange,
        frame: FrameKind | None,
        on_incomplete: OnIncomplete | None,
        max_wait: float | timedelta | None,
    ) -> surveys.HaltsSurvey:
        make = functools.partial(surveys.HaltsSurvey.of, exchange)
        return self._begin_survey(make, frame, on_incomplete, max_wait)

    def _symbols(
        self,
        endpoint: SymbolsEndpoint,
        codes: str | Iterable[str],
        levels: int | None,
        frame: FrameKind | None,
        on_incomplete: OnIncomplete | None,
        max_wait: float | timedelta | None,
    ) -> surveys.SymbolsSurvey:
        make = functools.partial(surveys.SymbolsSurvey.of, endpoint, codes, levels=levels)
        return self._begin_survey(make, frame, on_incomplete, max_wait)

    def _look_around(self) -> list[Finding]:
        """Find out what can be without sending anything."""
        self._know_plan()
        settings = self.settings
        findings = [*checkup.packages(), *checkup.settings_in_force(settings, remembered=self._remembered)]
        if settings.token is not None:
            self._agree_on_plan()
            findings += checkup.budget(self._ledger(settings.token), settings.plan)
        return [*findings, *checkup.archive_health(settings, self._archived)]

    async def _examine(self, report: Report, *, probe: bool) -> list[Finding]:
        clock = clocks.CallClock()
        transport = None if self.settings.token is None else self._connected()
        findings = await checkup.addresses(self.settings, transport, clock, report)
        refused = any(one.topic == "token" and one.status == "problem" for one in findings)
        if probe and transport is not None and not refused:
            findings += await checkup.probed(transport, self.settings.plan, clock, report)
        return findings

    def _ask_products(
        self,
        asset_class: ProductClass | None,
        *,
        refresh: bool = False,
        frame: FrameKind | None = None,
        text: Any = "any",
    ) -> tuple[Listing, FrameKind]:
        kind = one_of("frame", frame or self.settings.frame, FrameKind)
        chosen = None if asset_class is None else one_of("asset_class", asset_class, ProductClass)
        network = self.settings.network == "auto"
        if refresh and not network:
            raise ArgumentError("refresh=True with network='never': leave refresh out, or use network='auto'")
        if not isinstance(text, str) or not text.strip():
            raise ArgumentError(f"text={text!r} must be part of a code or a name, such as 'tencent'")
        return self._listings.begin(chosen, refresh=refresh, network=network), kind

    def _list_products(self, listing: Listing, kind: FrameKind, text: str | None = None) -> Any:
        tell(self._listings.conclude(listing))
        listed = listing.products()
        return to_frame(products.table(listed if text is None else products.found(listed, text)), kind)

    def _exporting(
        self,
        path: str | os.PathLike[str],
        codes: str | Iterable[str] | None,
        period: Period | str | None,
        range: Any,
        format: Format | None,
        frame: FrameKind | None,
    ) -> tuple[porting.Steps, porting.Ported, FrameKind]:
        kind = one_of("frame", frame or self.settings.frame, FrameKind)
        ported = porting.Ported(schemas.EXPORTED)
        selected = _selected(codes, period)
        where = Path(path).expanduser()
        steps = porting.exporting(self._archived(), where, *selected, range, format, clocks.utc_now(), ported)
        return steps, ported, kind

    def _importing(
        self, path: str | os.PathLike[str], frame: FrameKind | None
    ) -> tuple[porting.Steps, porting.Ported, FrameKind]:
        kind = one_of("frame", frame or self.settings.frame, FrameKind)
        ported = porting.Ported(schemas.IMPORTED)
        return porting.importing(self._archived(), Path(path).expanduser(), ported), ported, kind

    def _scan(
        self,
        codes: str | Iterable[str] | None,
        period: Period | str,
        range: Any,
        network: Network | None,
        complete: Callable[[Scan, Sequence[Part]], None] | None = None,
    ) -> Scan:
        """Say what is to be scanned."""
        named = "EURUSD" if codes is None else codes
        question = self._ask(named, period, "max" if range is None else range, "polars", network=network)
        if codes is None:
            question = dataclasses.replace(question, codes=())
        if range is None:
            question = dataclasses.replace(question, asked=EVERYTHING)
        return Scan(question, self._archived, self._plan_known, complete)

    def _plan_known(self) -> Plan:
        self._know_plan()
        return self.settings.plan

    def _begin_scans(self, scanned: Scan, parts: Sequence[Part]) -> Iterator[_Call]:
        """Begin the calls for *parts*, each when the one before has ended."""
        # It may be collected long after it was asked for, and again.
        for asked in scan.questions(scanned, parts, clocks.CallClock()):
            yield self._begin_call(asked[0], asked)

    def _judge_scan(self, scanned: Scan, parts: Sequence[Part], calls: Sequence[_Call]) -> None:
        if not calls:
            return
        failed = next((call.failure for call in calls if call.failure), None)
        verdict = kline.Verdict(failed) if failed else self._verdict_on(calls)
        self._deliver(scanned.as_held(parts).lazy(), verdict)

    def _verdict_on(self, calls: Sequence[_Call]) -> kline.Verdict:
        archive, plan = self._archived(), self.settings.plan
        asked = [(question, call) for call in calls for question in dict.fromkeys(call.questions.values())]
        verdicts = [
            kline.judge(question, [one for one in call.harvests if one.walk.code in question.codes], archive, plan)
            for question, call in asked
        ]
        if len(verdicts) == 1:
            return verdicts[0]
        refused = [verdict for verdict in verdicts if verdict.failure is not None and not verdict.missing]
        if refused:
            return refused[0]
        harvests = [harvest for call in calls for harvest in call.harvests]
        missing = [gap for verdict in verdicts for gap in verdict.missing]
        return kline.verdict_on(missing, harvests, calls[0].options.on_incomplete)

    def _list_coverage(
        self, codes: str | Iterable[str] | None, period: Period | str | None, frame: FrameKind | None
    ) -> Any:
        kind = one_of("frame", frame or self.settings.frame, FrameKind)
        self._know_plan()
        selected = _selected(codes, period)
        table = holdings.coverage_table(self._archived(), *selected, self.settings.plan, clocks.utc_now())
        return to_frame(table, kind)

    def _plot_coverage(self, codes: str | Iterable[str] | None, period: Period | str | None) -> Chart:
        return charts.coverage(self._list_coverage(codes, period, "arrow"))

    def _list_gaps(
        self,
        codes: str | Iterable[str] | None,
        period: Period | str | None,
        frame: FrameKind | None,
        min_bars: int | None,
    ) -> Any:
        kind = one_of("frame", frame or self.settings.frame, FrameKind)
        if min_bars is not None and not (type(min_bars) is int and min_bars > 0):
            raise ArgumentError(f"min_bars={min_bars!r} must be a whole number from 1 on, or None for the unusual ones")
        self._know_plan()
        selected = _selected(codes, period)
        table = holdings.gaps_table(self._archived(), *selected, self.settings.plan, clocks.utc_now(), min_bars)
        return to_frame(table, kind)

    def _list_restatements(
        self, codes: str | Iterable[str] | None, period: Period | str | None, frame: FrameKind | None
    ) -> Any:
        kind = one_of("frame", frame or self.settings.frame, FrameKind)
        return to_frame(holdings.restatements_table(self._archived(), *_selected(codes, period)), kind)

    def _ask(
        self,
        codes: str | Iterable[str],
        period: Period | str,
        range: Any,
        frame: FrameKind | None = None,
        forming: Forming = "drop",
        on_incomplete: OnIncomplete | None = None,
        refresh: str | bool | None = None,  # noqa: FBT001
        network: Network | None = None,
        max_wait: float | timedelta | None = None,
        categorical: bool = False,  # noqa: FBT001, FBT002
        prices: Prices = "float",
    ) -> kline.Question:
        """Judge what can be judged before anything is read or sent."""
        period = Period.parse(period)
        clock = clocks.CallClock()
        question = kline.Question(
            codes=check_codes(codes, period),
            period=period,
            asked=parse_range(range, period, clock.start),
            forming=one_of("forming", forming, kline.Forming),
            frame=one_of("frame", frame or self.settings.frame, FrameKind),
            on_incomplete=one_of("on_incomplete", on_incomplete or self.settings.on_incomplete, OnIncomplete),
            network=one_of("network", network or self.settings.network, Network),
            max_wait=_duration("max_wait", max_wait),
            categorical=categorical,
            clock=clock,
            refresh=_refreshed(refresh, period, clock.start),
            prices=one_of("prices", prices, kline.Prices),
        )
        if question.forming == "keep" and question.network == "never":
            raise ArgumentError(
                "forming='keep' with network='never': the archive holds closed bars only; use forming='drop', or "
                "network='auto'"
            )
        if question.refresh is not None and question.network == "never":
            raise ArgumentError(
                f"refresh={refresh!r} with network='never': bars can only be read anew from the vendor; leave refresh "
                f"out, or use network='auto'"
            )
        return question

    def _begin_update(
        self,
        codes: str | Iterable[str] | None,
        periods: Period | str | Iterable[Period | str] | None,
        frame: FrameKind | None,
        on_incomplete: OnIncomplete | None,
        max_wait: float | timedelta | None,
    ) -> _Call:
        """Ask of each group for what is newer than what is held of it."""
        named = None if periods is None else [periods] if isinstance(periods, str | Period) else [*periods]
        chosen = None if named is None else [Period.parse(period) for period in named]
        listed = None if codes is None else check_codes(codes)
        archive = self._archived()
        options = self._ask("EURUSD", Period.DAY, 1, frame, "drop", on_incomplete, None, "auto", max_wait)
        now = options.asked_at
        self._know_plan()
        questions = [
            dataclasses.replace(
                options,
                codes=check_codes(code, period),
                period=period,
                asked=updating.asked_of(archive.known(code, period), code, period, self.settings.plan, now),
            )
            for code, period in updating.groups(
                [group for group in archive.groups() if archive.holds(*group)], listed, chosen
            )
        ]
        return self._begin_call(options, questions)

    def _stream(
        self, kind: Kind, codes: str | Iterable[str], levels: int | None, buffer: int, when_full: WhenFull
    ) -> streams.AsyncStream:
        """Judge what can be judged before anything is sent."""
        if levels is not None and not (type(levels) is int and levels > 0):
            raise ArgumentError(f"levels={levels!r} must be a whole number from 1 on, or None for all there are")
        if not (type(buffer) is int and buffer > 0):
            raise ArgumentError(f"buffer={buffer!r} must be a whole number of ticks from 1 on")
        one_of("when_full", when_full, streams.WhenFull)
        if self.settings.network == "never":
            raise ArgumentError("network='never': nothing is streamed; use network='auto'")
        self._require_token()
        tell(self._agree_on_plan())
        return streams.AsyncStream(
            kind,
            codes,
            self.settings.plan,
            self._open_stream,
            self._refused_codes,
            levels=levels or 0,
            buffer=buffer,
            when_full=when_full,
        )

    async def _open_stream(self, family: Family) -> Socket:
        """Open a connection when the plan allows the next."""
        settings = self.settings
        if settings.token is None:
            raise AssertionError("a stream without a token is refused")
        ledger = self._ledger(settings.token)
        await ledger.wait_for(await ledger.reserve("stream"), "stream")
        return await open_socket(settings.ws_url, STREAM_PATHS[family], settings.token)

    async def _refused_codes(self, codes: Sequence[str]) -> dict[str, AllTickError]:
        """Ask for the last trade of each of *codes*: that names those that the vendor refuses."""
        survey = self._symbols("trade_tick", codes, None, "arrow", "ignore", None)
        await self._inquire(survey, progress_bars.quiet)
        if survey.findings.failure is not None:
            raise survey.findings.failure
        return dict(survey.findings.refused)

    def _begin_watch(
        self, codes: str | Iterable[str], period: Period | str, on_incomplete: OnIncomplete | None
    ) -> tuple[watching.Watch, surveys.BarsSurvey]:
        """Judge what can be judged, and ask what has closed before the watch begins."""
        period = Period.parse(period)
        listed = check_codes(codes, period)
        survey = self._newest_bars(listed, period, "arrow", on_incomplete, None, says_price=False)
        tell(watching.warned(listed, period, self.settings.plan))
        return watching.Watch.begin(listed, period, survey.options.clock.start), survey

    async def _look_first(self, survey: surveys.BarsSurvey) -> None:
        """Ask what has closed, and keep it: the next bars are to be seen to follow it."""
        await self._inquire(survey, progress_bars.quiet)
        await Saver([*survey.harvests()], self._archived(), self.settings.plan).save([])

    def _seed(self, watch: watching.Watch, survey: surveys.BarsSurvey) -> None:
        """Begin after what had closed; leave out what is refused."""
        verdict = survey.verdict()
        refused = {code: error for (code, _), error in survey.findings.refused.items()}
        if verdict.failure is not None and (survey.findings.failure or len(refused) == len(watch.since)):
            raise verdict.failure
        for code in refused:
            watch.drop(code)
        # What the vendor left out is asked for with the first look.
        self._warn_of([gap for gap in verdict.missing if gap.reason == "refused"], survey.options.on_incomplete)
        for (code, _), judged in survey.judged().items():
            watch.saw(code, judged)

    def _begin_look(self, watch: watching.Watch, codes: Sequence[str]) -> _Call:
        """Ask of each of *codes* for what closed since the last look."""
        options = self._ask(codes[0], watch.period, 1, "arrow", network="auto")
        now = options.asked_at
        questions = [dataclasses.replace(options, codes=(code,), asked=watch.asked(code, now)) for code in codes]
        return self._begin_call(options, questions, says_price=False, fewest_at_once=1)

    def _seen(
        self, watch: watching.Watch, codes: Sequence[str], call: _Call, on_incomplete: OnIncomplete
    ) -> list[watching.Bar]:
        """Give what came of a look, and say what did not."""
        archive, plan = self._archived(), self.settings.plan
        harvests = kline.by_group(call.harvests)
        bars: list[watching.Bar] = []
        missing: list[Missing] = []
        for code in codes:
            question, some = call.questions[code, watch.period], harvests.get((code, watch.period), [])
            bars += watch.pass_on(code, kline.rows_held(question, code, archive))
            verdict = kline.judge(question, some, archive, plan) if call.failure is None else kline.Verdict()
            missing += verdict.missing
            if isinstance(verdict.failure, ApiError):
                watch.drop(code)
                if not watch.since:
                    raise verdict.failure
                tell([IncompleteDataWarning(f"{code} is watched no longer: {verdict.failure}")])
        self._warn_of(missing, on_incomplete)
        if call.failure is None:
            watch.looked([code for code in codes if code in watch.since], call.options.asked_at)
        elif isinstance(call.failure, _SAT_OUT) and getattr(call.failure, "transient", True):
            if not watch.failing:
                tell([OutageWarning(f"{call.failure}; the watch goes on trying, and passes on then what it missed")])
            watch.failing = True
        else:
            raise call.failure
        return sorted(bars, key=lambda bar: bar.timestamp)

    def _warn_of(self, missing: Sequence[Missing], on_incomplete: OnIncomplete) -> None:
        """Warn where a call would raise: a watch goes on."""
        how: OnIncomplete = "ignore" if on_incomplete == "ignore" else "warn"
        tell(kline.verdict_on(missing, (), how).notices)

    def _begin_call(
        self,
        options: kline.Question,
        questions: Sequence[kline.Question],
        *,
        says_price: bool = True,
        fewest_at_once: int = 2,
    ) -> _Call:
        """See what has to be sent, and that it can be."""
        self._know_plan()
        archive = self._archived()
        walks = kline.to_ask(questions, archive, self.settings.plan)
        if walks:
            self._require_token()
            tell(self._agree_on_plan())
        if walks and says_price:
            what = str(questions[0]) if len(questions) == 1 else f"{UPDATING} of {len(questions)} series"
            tell(self._say_price(self._price(walks), what, options.max_wait))
        before = {(code, one.period): archive.known(code, one.period).rows for one in questions for code in one.codes}
        by_group = {(code, one.period): one for one in questions for code in one.codes}
        return _Call(options, by_group, walks, before, fewest_at_once)

    def _require_token(self) -> None:
        if self.settings.token is None:
            raise ConfigError(
                "no token: set the environment variable ALLTICK_TOKEN or ALLTICK_TOKEN_FILE, or call "
                "alltick_frames.configure(token=...); `alltick demo` works without one"
            )

    def _begin_survey(
        self,
        make: Callable[[surveys.Options, Plan, Memory], S],
        frame: FrameKind | None,
        on_incomplete: OnIncomplete | None,
        max_wait: float | timedelta | None,
        *,
        says_price: bool = True,
    ) -> S:
        """Judge what can be judged before anything is sent, and see that the rest can be."""
        options = surveys.Options(
            frame=one_of("frame", frame or self.settings.frame, FrameKind),
            on_incomplete=one_of("on_incomplete", on_incomplete or self.settings.on_incomplete, OnIncomplete),
            max_wait=_duration("max_wait", max_wait),
            clock=clocks.CallClock(),
        )
        self._know_plan()
        survey = make(options, self.settings.plan, self._memory)
        if self.settings.network == "never":
            raise ArgumentError(
                f"network='never': the archive holds bars, and no {survey.what} of anything; use network='auto'"
            )
        if survey.requests_left:
            self._require_token()
            tell(self._agree_on_plan())
        if survey.requests_left and says_price:
            price = self._price_of(survey.endpoint, survey.requests_left)
            tell(self._say_price(price, str(survey), options.max_wait))
        return survey

    async def _inquire(self, survey: surveys.AnySurvey, report: Report) -> None:
        await survey.work(self._connected(), self.settings.plan, survey.options.clock, report)

    def _show(self, survey: surveys.AnySurvey) -> Any:
        return self._deliver(to_frame(survey.table(self.settings), survey.options.frame), survey.verdict())

    def _say_price(self, price: Price, what: str, max_wait: timedelta | None) -> list[AllTickWarning]:
        """Refuse what takes longer than the caller waits; say beforehand what takes long."""
        longest = price.waits_for
        if max_wait is not None and longest > max_wait:
            raise BudgetError(
                f"max_wait={max_wait.total_seconds():,.0f} s does not suffice: {what} takes {price}. "
                f"Nothing was sent; ask for less, or for a longer wait"
            )
        if max_wait is not None or (longest <= _SAID_FROM and price.suffices):
            return []
        then = f"It should end by {clocks.utc_now() + longest:%Y-%m-%d %H:%M}Z"
        if not price.suffices:
            then = (
                "When they are used up a BudgetError ends it; what came is kept, and the same call goes on from there"
            )
        return [LongWaitWarning(f"{what} takes {price}. {then}")]

    def _price(self, walks: Mapping[Group, Sequence[Walk]]) -> Price:
        return estimates.price(walks, self.settings.plan, clocks.utc_now(), self._standing())

    def _price_of(self, endpoint: Endpoint, requests: int) -> Price:
        return estimates.price_of(endpoint, requests, self.settings.plan, self._standing(endpoint))

    def _standing(self, endpoint: Endpoint = "kline") -> estimates.Standing:
        settings = self.settings
        ledger = None if settings.token is None else self._ledger(settings.token)
        return estimates.Standing(
            left_today=None if ledger is None else ledger.left_today(settings.plan),
            queue_s=0.0 if ledger is None else ledger.queue_s(settings.plan, endpoint) or 0.0,
            latency_s=LATENCY_GUESS_S if self._transport is None else self._transport.latency_s,
        )

    def _estimate(
        self,
        codes: str | Iterable[str],
        period: Period | str,
        range: Any,
        refresh: str | bool | None,  # noqa: FBT001
    ) -> Estimate:
        question = self._ask(codes, period, range, refresh=refresh)
        self._know_plan()
        archive, plan, now = self._archived(), self.settings.plan, question.asked_at
        walks = estimates.permitted(kline.to_ask([question], archive, plan), plan)
        return estimates.estimate(question, walks, archive, plan, now, self._price(walks))

    def _know_plan(self) -> None:
        """Take the plan that the ledger remembers if none was named."""
        settings = self.settings
        if settings.plan_named or settings.token is None:
            return
        remembered = self._ledger(settings.token).remembered()
        if remembered is not None:
            self._remembered = True
            plan = plan_named(remembered.name, settings.limits) if settings.limits else remembered
            self.settings = dataclasses.replace(settings, plan=plan)

    def _agree_on_plan(self) -> list[AllTickWarning]:
        """Tell the ledger under which plan to count; give what the user should know of that."""
        settings = self.settings
        if settings.token is None:
            raise AssertionError("a question without a token is refused")
        ledger = self._ledger(settings.token)
        if settings.plan_named or (self._remembered and settings.limits):
            ledger.use(settings.plan)
        else:
            ledger.assume(settings.plan)
        notices: list[AllTickWarning] = [*ledger.warnings()]
        if not (settings.plan_named or self._remembered or self._said_free):
            self._said_free = True
            notices.append(PlanWarning(_FREE_ASSUMED))
        return notices

    def _ledger(self, token: Token) -> Ledger:
        settings = self.settings
        return ledger_for(token.fingerprint(settings.base_url), settings.plan, settings.state_dir)

    async def _fetch(self, call: _Call, report: Report) -> None:
        """Carry out the walks of *call* and note what goes wrong in it: what came is handed over all the same."""
        archive, plan = self._archived(), self.settings.plan

        def more(group: Group) -> Sequence[Walk]:
            return kline.walks_of(call.questions[group], group[0], archive, plan, earlier.get(group, []))

        walks: Mapping[Group, Sequence[Walk]] = call.walks
        while walks:
            earlier = kline.by_group(call.harvests)
            try:
                await fetch(
                    walks,
                    call.harvests,
                    replan=more,
                    transport=self._connected(),
                    archive=archive,
                    plan=plan,
                    clock=call.clock,
                    report=report,
                    fewest_at_once=call.fewest_at_once,
                )
            except AllTickError as error:
                call.failure = error
                return
            # Of a number of bars, the newest gap was filled; if that was not enough the next one follows. Of other
            # ranges more is lacking only if an answer has disproved what was known.
            walks = kline.to_ask(dict.fromkeys(call.questions.values()), archive, plan, call.harvests)

    def _hand_over(self, question: kline.Question, call: _Call) -> Any:
        """Make the frame and speak of it where the caller is: not in the background thread."""
        archive, settings, failure = self._archived(), self.settings, call.failure
        try:
            table = kline.to_table(question, call.harvests, archive, settings)
            verdict = kline.judge(question, call.harvests, archive, settings.plan) if failure is None else None
        except StoreError as error:
            raise failure or error from None
        frame = to_frame(table, question.frame, categorical=question.categorical)
        return self._deliver(frame, verdict or kline.Verdict(failure))

    def _report(self, call: _Call) -> Any:
        """Say what an update has brought, and speak of what it has not."""
        archive, plan = self._archived(), self.settings.plan
        harvests = kline.by_group(call.harvests)
        missing = {
            group: updating.said(kline.judge(question, harvests.get(group, []), archive, plan).missing)
            for group, question in call.questions.items()
        }
        table = updating.table(archive, call.before, missing)
        every = [gap for gaps in missing.values() for gap in gaps]
        verdict = kline.verdict_on(every, call.harvests, call.options.on_incomplete)
        return self._deliver(
            to_frame(table, call.options.frame), kline.Verdict(call.failure) if call.failure else verdict
        )

    def _deliver(self, frame: Any, verdict: kline.Verdict) -> Any:
        """Hand *frame* over, in the error if there is one."""
        tell(self._once(verdict).notices)
        if self._transport is not None:
            tell(self._transport.ledger.warnings())
        if verdict.failure is not None:
            verdict.failure.frame = frame
            raise verdict.failure
        return frame

    def _once(self, verdict: kline.Verdict) -> kline.Verdict:
        """Leave out what this client has said before and what will be so for every call."""
        if not self._said_skew:
            self._said_skew = any(isinstance(notice, ClockSkewWarning) for notice in verdict.notices)
            return verdict
        fresh = tuple(notice for notice in verdict.notices if not isinstance(notice, ClockSkewWarning))
        return dataclasses.replace(verdict, notices=fresh)

    def _connected(self) -> Transport:
        """Give the transport of the running event loop: connections cannot move to another one."""
        loop = current_token()
        settings = self.settings
        if settings.token is None:
            raise AssertionError("a question without a token is refused")
        if self._transport is None or self._loop != loop:
            ledger = self._ledger(settings.token)
            self._transport = Transport(settings.base_url, settings.token, ledger)
            self._loop = loop
        return self._transport

    def _archived(self) -> Archive:
        """Give the archive, opened when it is first needed."""
        with self._lock:
            if self._archive is None:
                self._archive = Archive.open(self.settings.cache_dir, self.settings.origin)
            return self._archive

    def _forget_connections(self) -> None:
        self._transport = None
        self._loop = None

    def _begin(self) -> None:
        self._forget_connections()
        self._archive = None
        self._listings = Listings(self.settings)
        self._lock = threading.Lock()
        self._memory = Memory()
        self._remembered = False
        self._said_free = False
        self._said_skew = False


@dataclass(slots=True)
class _Call:
    """What is under way for one call: what is asked of each group, what came of it, and what went wrong.

    Attributes
    ----------
    options
        What the caller chose for all of them.
    before
        How many bars were held of each group.
    """

    options: kline.Question
    questions: dict[Group, kline.Question]
    walks: dict[Group, list[Walk]]
    before: dict[Group, int]
    fewest_at_once: int = 2
    harvests: list[Harvest] = field(default_factory=list)
    failure: AllTickError | None = None

    @property
    def clock(self) -> clocks.CallClock:
        """The time during the call."""
        return self.options.clock


def _selected(
    codes: str | Iterable[str] | None, period: Period | str | None
) -> tuple[tuple[str, ...] | None, Period | None]:
    chosen = None if period is None else Period.parse(period)
    return None if codes is None else check_codes(codes, chosen or Period.DAY), chosen


def _duration(name: str, value: Any) -> timedelta | None:
    """Accept seconds or a timedelta."""
    if value is None:
        return None
    duration: object = value
    if isinstance(value, numbers.Real) and value is not True and value is not False:
        with contextlib.suppress(ValueError):
            duration = timedelta(seconds=min(float(value), timedelta.max.total_seconds()))
    if not isinstance(duration, timedelta) or duration < timedelta():
        raise ArgumentError(f"{name}={value!r} must be seconds of 0 or more, or a timedelta")
    return duration


def _refreshed(refresh: Any, period: Period, now: datetime) -> Span | None:
    """Give the span of which bars are to be read anew although they are held."""
    if refresh is None or refresh is False:
        return None
    lookback = "max" if refresh is True else refresh
    if not isinstance(lookback, str) or "/" in lookback:
        raise ArgumentError(f"refresh={refresh!r} must be True for all of the range, or a lookback such as '5d'")
    try:
        return parse_range(lookback, period, now).span
    except ArgumentError as error:
        why = str(error)
    raise ArgumentError(f"refresh={refresh!r} cannot be read as a lookback such as '5d': {why}")


def one_of(name: str, value: Any, allowed: Any) -> Any:
    """Give *value* if it is one of those *allowed*."""
    if value not in get_args(allowed):
        raise ArgumentError(f"{name}={value!r} is not known; use one of: {' '.join(map(repr, get_args(allowed)))}")
    return value
