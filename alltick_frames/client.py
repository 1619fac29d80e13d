"""`AsyncClient`, where a call is put together, and `Client`, the same methods for code that does not await."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
from typing import TYPE_CHECKING, Any, overload

import anyio
from anyio.lowlevel import checkpoint

from alltick_frames import (
    checkup,
    clocks,
    kline,
    surveys,
    watching,
)
from alltick_frames import progress as progress_bars
from alltick_frames.background import BackgroundLoop
from alltick_frames.calls import UPDATING, Calls, one_of
from alltick_frames.frames import to_frame
from alltick_frames.settings import FrameKind, Network, OnIncomplete, Settings, Token, resolve
from alltick_frames.streams import AsyncStream, Stream

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
    from datetime import timedelta
    from types import TracebackType
    from typing import Self, Unpack

    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from alltick_frames.catalog import ProductClass
    from alltick_frames.drawing import Chart
    from alltick_frames.estimate import Estimate
    from alltick_frames.exports import Format
    from alltick_frames.kline import Forming, Prices
    from alltick_frames.listings import Listing
    from alltick_frames.periods import Period
    from alltick_frames.progress import Progress
    from alltick_frames.scan import Part, Scan
    from alltick_frames.signatures import (
        AnyFrame,
        AnyPeriod,
        AnyPeriods,
        AsArrow,
        AsPandas,
        AsPolars,
        CallOptions,
        Codes,
        KlineOptions,
    )
    from alltick_frames.streams import WhenFull
    from alltick_frames.wire import Exchange

__all__ = ["AsyncClient", "Client"]

_EXAMINING = "the examination"


class AsyncClient(Calls):
    """AllTick for code that awaits; the arguments are the settings of `alltick_frames.configure`.

    Use it from one event loop at a time. Equal tokens share one budget, whatever number of clients use them.

    Examples
    --------
    >>> import alltick_frames as at
    >>> async def closes():
    ...     async with at.AsyncClient("my-token", plan="professional") as client:
    ...         return await client.get_kline("EURUSD", "1h", "7d")
    """

    def __init__(
        self,
        token: str | Token | None = None,
        *,
        plan: str | None = None,
        base_url: str | None = None,
        ws_url: str | None = None,
        products_url: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        frame: FrameKind | None = None,
        network: Network | None = None,
        on_incomplete: OnIncomplete | None = None,
        limits: Mapping[str, Any] | None = None,
    ) -> None:
        token = Token.of(token)
        self.settings = resolve(
            token=token,
            plan=plan,
            base_url=base_url,
            ws_url=ws_url,
            products_url=products_url,
            cache_dir=cache_dir,
            frame=frame,
            network=network,
            on_incomplete=on_incomplete,
            limits=limits,
        )
        self._begin()

    def __repr__(self) -> str:
        settings = getattr(self, "settings", None)
        if settings is None:
            return f"{type(self).__name__}(not initialised)"
        token = "***" if settings.token else "none"
        return f"{type(self).__name__}(token={token}, plan={settings.plan.name!r}, base_url={settings.base_url!r})"

    def __getstate__(self) -> Settings:
        return dataclasses.replace(self.settings, token=None)

    def __setstate__(self, state: Settings) -> None:
        # A pickle never carries the token: where it is opened, the environment gives it.
        self.settings = dataclasses.replace(state, token=resolve().token)
        self._begin()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; a later call opens new ones."""
        transport = self._transport
        self._forget_connections()
        if transport is not None:
            await transport.aclose()

    @overload
    async def get_kline(
        self, codes: Codes, period: AnyPeriod, range: Any, *, frame: AsPolars = ..., **options: Unpack[KlineOptions]
    ) -> pl.DataFrame: ...

    @overload
    async def get_kline(
        self, codes: Codes, period: AnyPeriod, range: Any, *, frame: AsPandas, **options: Unpack[KlineOptions]
    ) -> pd.DataFrame: ...

    @overload
    async def get_kline(
        self, codes: Codes, period: AnyPeriod, range: Any, *, frame: AsArrow, **options: Unpack[KlineOptions]
    ) -> pa.Table: ...

    @overload
    async def get_kline(
        self, codes: Codes, period: AnyPeriod, range: Any, *, frame: FrameKind | None, **options: Unpack[KlineOptions]
    ) -> AnyFrame: ...

    async def get_kline(
        self,
        codes: str | Iterable[str],
        period: Period | str,
        range: Any,
        *,
        frame: FrameKind | None = None,
        forming: Forming = "drop",
        on_incomplete: OnIncomplete | None = None,
        refresh: str | bool | None = None,
        network: Network | None = None,
        max_wait: float | timedelta | None = None,
        prices: Prices = "float",
        categorical: bool = False,
        progress: Progress = None,
    ) -> Any:
        """Fetch bars; see `alltick_frames.get_kline` for the arguments, the columns and the errors."""
        question = self._ask(
            codes, period, range, frame, forming, on_incomplete, refresh, network, max_wait, categorical, prices
        )
        call = self._begin_call(question, [question])
        if call.walks:
            with progress_bars.shown(progress, str(question)) as report:
                await self._fetch(call, report)
        return self._hand_over(question, call)

    async def scan_kline(
        self,
        codes: str | Iterable[str] | None,
        period: Period | str,
        range: Any = None,
        *,
        network: Network | None = None,
    ) -> pl.LazyFrame:
        """Scan bars; see `alltick_frames.scan_kline`. What is missing is fetched here, before it is collected."""
        scanned = self._scan(codes, period, range, network)
        parts, calls = scanned.parts(None) if scanned.ranged else [], []
        for call in self._begin_scans(scanned, parts):
            calls.append(call)
            if call.walks:
                with progress_bars.shown(None, str(call.options)) as report:
                    await self._fetch(call, report)
        self._judge_scan(scanned, parts, calls)
        return scanned.lazy()

    @overload
    async def get_latest_kline(
        self, codes: Codes, periods: AnyPeriods = ..., *, frame: AsPolars = ..., **options: Unpack[CallOptions]
    ) -> pl.DataFrame: ...

    @overload
    async def get_latest_kline(
        self, codes: Codes, periods: AnyPeriods = ..., *, frame: AsPandas, **options: Unpack[CallOptions]
    ) -> pd.DataFrame: ...

    @overload
    async def get_latest_kline(
        self, codes: Codes, periods: AnyPeriods = ..., *, frame: AsArrow, **options: Unpack[CallOptions]
    ) -> pa.Table: ...

    @overload
    async def get_latest_kline(
        self, codes: Codes, periods: AnyPeriods = ..., *, frame: FrameKind | None, **options: Unpack[CallOptions]
    ) -> AnyFrame: ...

    async def get_latest_kline(
        self,
        codes: str | Iterable[str],
        periods: Period | str | Iterable[Period | str] = "1m",
        *,
        frame: FrameKind | None = None,
        on_incomplete: OnIncomplete | None = None,
        max_wait: float | timedelta | None = None,
        progress: Progress = None,
    ) -> Any:
        """Fetch the newest bars of many codes; see `alltick_frames.get_latest_kline`."""
        survey = self._newest_bars(codes, periods, frame, on_incomplete, max_wait)
        return await self._answer(survey, progress)

    @overload
    async def get_last_trade(
        self, codes: Codes, *, frame: AsPolars = ..., **options: Unpack[CallOptions]
    ) -> pl.DataFrame: ...

    @overload
    async def get_last_trade(
        self, codes: Codes, *, frame: AsPandas, **options: Unpack[CallOptions]
    ) -> pd.DataFrame: ...

    @overload
    async def get_last_trade(self, codes: Codes, *, frame: AsArrow, **options: Unpack[CallOptions]) -> pa.Table: ...

    @overload
    async def get_last_trade(
        self, codes: Codes, *, frame: FrameKind | None, **options: Unpack[CallOptions]
    ) -> AnyFrame: ...

    async def get_last_trade(
        self,
        codes: str | Iterable[str],
        *,
        frame: FrameKind | None = None,
        on_incomplete: OnIncomplete | None = None,
        max_wait: float | timedelta | None = None,
        progress: Progress = None,
    ) -> Any:
        """Fetch the last trades of many codes; see `alltick_frames.get_last_trade`."""
        survey = self._symbols("trade_tick", codes, None, frame, on_incomplete, max_wait)
        return await self._answer(survey, progress)

    @overload
    async def get_order_book(
        self, codes: Codes, levels: int | None = ..., *, frame: AsPolars = ..., **options: Unpack[CallOptions]
    ) -> pl.DataFrame: ...

    @overload
    async def get_order_book(
        self, codes: Codes, levels: int | None = ..., *, frame: AsPandas, **options: Unpack[CallOptions]
    ) -> pd.DataFrame: ...

    @overload
    async def get_order_book(
        self, codes: Codes, levels: int | None = ..., *, frame: AsArrow, **options: Unpack[CallOptions]
    ) -> pa.Table: ...

    @overload
    async def get_order_book(
        self, codes: Codes, levels: int | None = ..., *, frame: FrameKind | None, **options: Unpack[CallOptions]
    ) -> AnyFrame: ...

    async def get_order_book(
        self,
        codes: str | Iterable[str],
        levels: int | None = None,
        *,
        frame: FrameKind | None = None,
        on_incomplete: OnIncomplete | None = None,
        max_wait: float | timedelta | None = None,
        progress: Progress = None,
    ) -> Any:
        """Fetch the order books of many codes; see `alltick_frames.get_order_book`."""
        survey = self._symbols("depth_tick", codes, levels, frame, on_incomplete, max_wait)
        return await self._answer(survey, progress)

    @overload
    async def get_static_info(
        self, codes: Codes, *, frame: AsPolars = ..., **options: Unpack[CallOptions]
    ) -> pl.DataFrame: ...

    @overload
    async def get_static_info(
        self, codes: Codes, *, frame: AsPandas, **options: Unpack[CallOptions]
    ) -> pd.DataFrame: ...

    @overload
    async def get_static_info(self, codes: Codes, *, frame: AsArrow, **options: Unpack[CallOptions]) -> pa.Table: ...

    @overload
    async def get_static_info(
        self, codes: Codes, *, frame: FrameKind | None, **options: Unpack[CallOptions]
    ) -> AnyFrame: ...

    async def get_static_info(
        self,
        codes: str | Iterable[str],
        *,
        frame: FrameKind | None = None,
        on_incomplete: OnIncomplete | None = None,
        max_wait: float | timedelta | None = None,
        progress: Progress = None,
    ) -> Any:
        """Fetch what the vendor knows of many stocks; see `alltick_frames.get_static_info`."""
        survey = self._symbols("static_info", codes, None, frame, on_incomplete, max_wait)
        return await self._answer(survey, progress)

    @overload
    async def get_suspensions(
        self, exchange: Exchange, *, frame: AsPolars = ..., **options: Unpack[CallOptions]
    ) -> pl.DataFrame: ...

    @overload
    async def get_suspensions(
        self, exchange: Exchange, *, frame: AsPandas, **options: Unpack[CallOptions]
    ) -> pd.DataFrame: ...

    @overload
    async def get_suspensions(
        self, exchange: Exchange, *, frame: AsArrow, **options: Unpack[CallOptions]
    ) -> pa.Table: ...

    @overload
    async def get_suspensions(
        self, exchange: Exchange, *, frame: FrameKind | None, **options: Unpack[CallOptions]
    ) -> AnyFrame: ...

    async def get_suspensions(
        self,
        exchange: Exchange,
        *,
        frame: FrameKind | None = None,
        on_incomplete: OnIncomplete | None = None,
        max_wait: float | timedelta | None = None,
        progress: Progress = None,
    ) -> Any:
        """Fetch an exchange's trading halts; see `alltick_frames.get_suspensions`."""
        return await self._answer(self._halts(exchange, frame, on_incomplete, max_wait), progress)

    async def _answer(self, survey: surveys.AnySurvey, progress: Progress) -> Any:
        if survey.requests_left:
            with progress_bars.shown(progress, str(survey)) as report:
                await self._inquire(survey, report)
        return self._show(survey)

    @overload
    async def coverage(
        self, codes: Codes | None = ..., period: AnyPeriod | None = ..., *, frame: AsPolars = ...
    ) -> pl.DataFrame: ...

    @overload
    async def coverage(
        self, codes: Codes | None = ..., period: AnyPeriod | None = ..., *, frame: AsPandas
    ) -> pd.DataFrame: ...

    @overload
    async def coverage(
        self, codes: Codes | None = ..., period: AnyPeriod | None = ..., *, frame: AsArrow
    ) -> pa.Table: ...

    @overload
    async def coverage(
        self, codes: Codes | None = ..., period: AnyPeriod | None = ..., *, frame: FrameKind | None
    ) -> AnyFrame: ...

    async def coverage(
        self,
        codes: str | Iterable[str] | None = None,
        period: Period | str | None = None,
        *,
        frame: FrameKind | None = None,
    ) -> Any:
        """List what the archive holds; see `alltick_frames.coverage`."""
        return self._list_coverage(codes, period, frame)

    async def plot_coverage(
        self, codes: str | Iterable[str] | None = None, period: Period | str | None = None
    ) -> Chart:
        """Draw what the archive holds; see `alltick_frames.plot_coverage`."""
        return self._plot_coverage(codes, period)

    @overload
    async def gaps(
        self,
        codes: Codes | None = ...,
        period: AnyPeriod | None = ...,
        *,
        frame: AsPolars = ...,
        min_bars: int | None = ...,
    ) -> pl.DataFrame: ...

    @overload
    async def gaps(
        self, codes: Codes | None = ..., period: AnyPeriod | None = ..., *, frame: AsPandas, min_bars: int | None = ...
    ) -> pd.DataFrame: ...

    @overload
    async def gaps(
        self, codes: Codes | None = ..., period: AnyPeriod | None = ..., *, frame: AsArrow, min_bars: int | None = ...
    ) -> pa.Table: ...

    @overload
    async def gaps(
        self,
        codes: Codes | None = ...,
        period: AnyPeriod | None = ...,
        *,
        frame: FrameKind | None,
        min_bars: int | None = ...,
    ) -> AnyFrame: ...

    async def gaps(
        self,
        codes: str | Iterable[str] | None = None,
        period: Period | str | None = None,
        *,
        frame: FrameKind | None = None,
        min_bars: int | None = None,
    ) -> Any:
        """List suspicious holes within trading hours; see `alltick_frames.gaps`."""
        return self._list_gaps(codes, period, frame, min_bars)

    @overload
    async def restatements(
        self, codes: Codes | None = ..., period: AnyPeriod | None = ..., *, frame: AsPolars = ...
    ) -> pl.DataFrame: ...

    @overload
    async def restatements(
        self, codes: Codes | None = ..., period: AnyPeriod | None = ..., *, frame: AsPandas
    ) -> pd.DataFrame: ...

    @overload
    async def restatements(
        self, codes: Codes | None = ..., period: AnyPeriod | None = ..., *, frame: AsArrow
    ) -> pa.Table: ...

    @overload
    async def restatements(
        self, codes: Codes | None = ..., period: AnyPeriod | None = ..., *, frame: FrameKind | None
    ) -> AnyFrame: ...

    async def restatements(
        self,
        codes: str | Iterable[str] | None = None,
        period: Period | str | None = None,
        *,
        frame: FrameKind | None = None,
    ) -> Any:
        """List the closed bars that a later answer changed; see `alltick_frames.restatements`."""
        return self._list_restatements(codes, period, frame)

    @overload
    async def doctor(self, *, probe: bool = ..., frame: AsPolars = ..., progress: Progress = ...) -> pl.DataFrame: ...

    @overload
    async def doctor(self, *, probe: bool = ..., frame: AsPandas, progress: Progress = ...) -> pd.DataFrame: ...

    @overload
    async def doctor(self, *, probe: bool = ..., frame: AsArrow, progress: Progress = ...) -> pa.Table: ...

    @overload
    async def doctor(self, *, probe: bool = ..., frame: FrameKind | None, progress: Progress = ...) -> AnyFrame: ...

    async def doctor(self, *, probe: bool = False, frame: FrameKind | None = None, progress: Progress = None) -> Any:
        """Check settings, token, addresses, clocks, budget and archive; see `alltick_frames.doctor`."""
        kind = one_of("frame", frame or self.settings.frame, FrameKind)
        findings = self._look_around()
        with progress_bars.shown(progress, _EXAMINING) as report:
            findings += await self._examine(report, probe=probe)
        return to_frame(checkup.table(findings), kind)

    def stream_trades(
        self, codes: str | Iterable[str], *, buffer: int = 100_000, when_full: WhenFull = "block"
    ) -> AsyncStream:
        """Stream trades as they happen; see `alltick_frames.stream_trades`."""
        return self._stream("trades", codes, None, buffer, when_full)

    def stream_order_book(
        self,
        codes: str | Iterable[str],
        levels: int | None = None,
        *,
        buffer: int = 100_000,
        when_full: WhenFull = "block",
    ) -> AsyncStream:
        """Stream order books as they change; see `alltick_frames.stream_order_book`."""
        return self._stream("order_book", codes, levels, buffer, when_full)

    def watch_kline(
        self, codes: str | Iterable[str], period: Period | str, *, on_incomplete: OnIncomplete | None = None
    ) -> AsyncIterator[watching.Bar]:
        """Yield each bar once as it closes; see `alltick_frames.watch_kline`."""
        return self._watch(*self._begin_watch(codes, period, on_incomplete))

    async def _watch(self, watch: watching.Watch, survey: surveys.BarsSurvey) -> AsyncIterator[watching.Bar]:
        await self._look_first(survey)
        self._seed(watch, survey)
        while True:
            for nap_s in clocks.naps(watch.next_look(clocks.utc_now())):
                await anyio.sleep(nap_s)
            codes = watch.due(clocks.utc_now())
            if codes:
                call = self._begin_look(watch, codes)
                if call.walks:
                    await self._fetch(call, progress_bars.quiet)
                for bar in self._seen(watch, codes, call, survey.options.on_incomplete):
                    yield bar

    async def estimate_kline(
        self, codes: str | Iterable[str], period: Period | str, range: Any, *, refresh: str | bool | None = None
    ) -> Estimate:
        """Say what `get_kline` would cost; see `alltick_frames.estimate_kline`."""
        return self._estimate(codes, period, range, refresh)

    @overload
    async def update(
        self,
        codes: Codes | None = ...,
        periods: AnyPeriods | None = ...,
        *,
        frame: AsPolars = ...,
        **options: Unpack[CallOptions],
    ) -> pl.DataFrame: ...

    @overload
    async def update(
        self,
        codes: Codes | None = ...,
        periods: AnyPeriods | None = ...,
        *,
        frame: AsPandas,
        **options: Unpack[CallOptions],
    ) -> pd.DataFrame: ...

    @overload
    async def update(
        self,
        codes: Codes | None = ...,
        periods: AnyPeriods | None = ...,
        *,
        frame: AsArrow,
        **options: Unpack[CallOptions],
    ) -> pa.Table: ...

    @overload
    async def update(
        self,
        codes: Codes | None = ...,
        periods: AnyPeriods | None = ...,
        *,
        frame: FrameKind | None,
        **options: Unpack[CallOptions],
    ) -> AnyFrame: ...

    async def update(
        self,
        codes: str | Iterable[str] | None = None,
        periods: Period | str | Iterable[Period | str] | None = None,
        *,
        frame: FrameKind | None = None,
        on_incomplete: OnIncomplete | None = None,
        max_wait: float | timedelta | None = None,
        progress: Progress = None,
    ) -> Any:
        """Bring the archive up to date; see `alltick_frames.update`."""
        call = self._begin_update(codes, periods, frame, on_incomplete, max_wait)
        if call.walks:
            with progress_bars.shown(progress, UPDATING) as report:
                await self._fetch(call, report)
        return self._report(call)

    @overload
    async def export(
        self,
        path: str | os.PathLike[str],
        codes: Codes | None = ...,
        period: AnyPeriod | None = ...,
        range: Any = ...,
        *,
        format: Format | None = ...,
        frame: AsPolars = ...,
        progress: Progress = ...,
    ) -> pl.DataFrame: ...

    @overload
    async def export(
        self,
        path: str | os.PathLike[str],
        codes: Codes | None = ...,
        period: AnyPeriod | None = ...,
        range: Any = ...,
        *,
        format: Format | None = ...,
        frame: AsPandas,
        progress: Progress = ...,
    ) -> pd.DataFrame: ...

    @overload
    async def export(
        self,
        path: str | os.PathLike[str],
        codes: Codes | None = ...,
        period: AnyPeriod | None = ...,
        range: Any = ...,
        *,
        format: Format | None = ...,
        frame: AsArrow,
        progress: Progress = ...,
    ) -> pa.Table: ...

    @overload
    async def export(
        self,
        path: str | os.PathLike[str],
        codes: Codes | None = ...,
        period: AnyPeriod | None = ...,
        range: Any = ...,
        *,
        format: Format | None = ...,
        frame: FrameKind | None,
        progress: Progress = ...,
    ) -> AnyFrame: ...

    async def export(
        self,
        path: str | os.PathLike[str],
        codes: str | Iterable[str] | None = None,
        period: Period | str | None = None,
        range: Any = None,
        *,
        format: Format | None = None,
        frame: FrameKind | None = None,
        progress: Progress = None,
    ) -> Any:
        """Write the archive to files; see `alltick_frames.export`."""
        steps, ported, kind = self._exporting(path, codes, period, range, format, frame)
        with progress_bars.shown(progress, "the export", "bars") as report, contextlib.closing(steps):
            for step in steps:
                report(*step)
                await checkpoint()
        return self._deliver(to_frame(ported.table, kind), kline.Verdict(ported.failure))

    @overload
    async def import_(
        self, path: str | os.PathLike[str], *, frame: AsPolars = ..., progress: Progress = ...
    ) -> pl.DataFrame: ...

    @overload
    async def import_(
        self, path: str | os.PathLike[str], *, frame: AsPandas, progress: Progress = ...
    ) -> pd.DataFrame: ...

    @overload
    async def import_(self, path: str | os.PathLike[str], *, frame: AsArrow, progress: Progress = ...) -> pa.Table: ...

    @overload
    async def import_(
        self, path: str | os.PathLike[str], *, frame: FrameKind | None, progress: Progress = ...
    ) -> AnyFrame: ...

    async def import_(
        self, path: str | os.PathLike[str], *, frame: FrameKind | None = None, progress: Progress = None
    ) -> Any:
        """Bring an export into the archive; see `alltick_frames.import_`."""
        steps, ported, kind = self._importing(path, frame)
        with progress_bars.shown(progress, "the import", "bars") as report, contextlib.closing(steps):
            for step in steps:
                report(*step)
                await checkpoint()
        return self._deliver(to_frame(ported.table, kind), kline.Verdict(ported.failure))

    @overload
    async def get_products(
        self, asset_class: ProductClass | None = ..., *, refresh: bool = ..., frame: AsPolars = ...
    ) -> pl.DataFrame: ...

    @overload
    async def get_products(
        self, asset_class: ProductClass | None = ..., *, refresh: bool = ..., frame: AsPandas
    ) -> pd.DataFrame: ...

    @overload
    async def get_products(
        self, asset_class: ProductClass | None = ..., *, refresh: bool = ..., frame: AsArrow
    ) -> pa.Table: ...

    @overload
    async def get_products(
        self, asset_class: ProductClass | None = ..., *, refresh: bool = ..., frame: FrameKind | None
    ) -> AnyFrame: ...

    async def get_products(
        self, asset_class: ProductClass | None = None, *, refresh: bool = False, frame: FrameKind | None = None
    ) -> Any:
        """List the products; see `alltick_frames.get_products`."""
        listing, kind = self._ask_products(asset_class, refresh=refresh, frame=frame)
        if listing.lacking:
            await self._listings.fetch(listing)
        return self._list_products(listing, kind)

    @overload
    async def search_products(
        self, text: str, *, asset_class: ProductClass | None = ..., frame: AsPolars = ...
    ) -> pl.DataFrame: ...

    @overload
    async def search_products(
        self, text: str, *, asset_class: ProductClass | None = ..., frame: AsPandas
    ) -> pd.DataFrame: ...

    @overload
    async def search_products(
        self, text: str, *, asset_class: ProductClass | None = ..., frame: AsArrow
    ) -> pa.Table: ...

    @overload
    async def search_products(
        self, text: str, *, asset_class: ProductClass | None = ..., frame: FrameKind | None
    ) -> AnyFrame: ...

    async def search_products(
        self, text: str, *, asset_class: ProductClass | None = None, frame: FrameKind | None = None
    ) -> Any:
        """Find products; see `alltick_frames.search_products`."""
        listing, kind = self._ask_products(asset_class, frame=frame, text=text)
        if listing.lacking:
            await self._listings.fetch(listing)
        return self._list_products(listing, kind, text)


class Client:
    """AllTick for scripts and notebooks; the arguments are the settings of `alltick_frames.configure`.

    Safe to use from many threads, in Jupyter, and after a fork; a context manager; its pickle has no token.

    Examples
    --------
    >>> import alltick_frames as at
    >>> at.Client("my-token", plan="professional", base_url="https://quote.alltick.co")
    Client(token=***, plan='professional', base_url='https://quote.alltick.co')
    """

    def __init__(
        self,
        token: str | Token | None = None,
        *,
        plan: str | None = None,
        base_url: str | None = None,
        ws_url: str | None = None,
        products_url: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        frame: FrameKind | None = None,
        network: Network | None = None,
        on_incomplete: OnIncomplete | None = None,
        limits: Mapping[str, Any] | None = None,
    ) -> None:
        token = Token.of(token)
        self._share(
            AsyncClient(
                token,
                plan=plan,
                base_url=base_url,
                ws_url=ws_url,
                products_url=products_url,
                cache_dir=cache_dir,
                frame=frame,
                network=network,
                on_incomplete=on_incomplete,
                limits=limits,
            )
        )

    @property
    def settings(self) -> Settings:
        """What this client was set up with."""
        return self._client.settings

    def __repr__(self) -> str:
        client = getattr(self, "_client", None)
        return f"{type(self).__name__}(not initialised)" if client is None else repr(client).removeprefix("Async")

    def __getstate__(self) -> AsyncClient:
        return self._client

    def __setstate__(self, state: AsyncClient) -> None:
        self._share(state)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections and stop the background thread; a later call starts them again."""
        self._background.close()

    @overload
    def get_kline(
        self, codes: Codes, period: AnyPeriod, range: Any, *, frame: AsPolars = ..., **options: Unpack[KlineOptions]
    ) -> pl.DataFrame: ...

    @overload
    def get_kline(
        self, codes: Codes, period: AnyPeriod, range: Any, *, frame: AsPandas, **options: Unpack[KlineOptions]
    ) -> pd.DataFrame: ...

    @overload
    def get_kline(
        self, codes: Codes, period: AnyPeriod, range: Any, *, frame: AsArrow, **options: Unpack[KlineOptions]
    ) -> pa.Table: ...

    @overload
    def get_kline(
        self, codes: Codes, period: AnyPeriod, range: Any, *, frame: FrameKind | None, **options: Unpack[KlineOptions]
    ) -> AnyFrame: ...

    def get_kline(
        self,
        codes: str | Iterable[str],
        period: Period | str,
        range: Any,
        *,
        frame: FrameKind | None = None,
        forming: Forming = "drop",
        on_incomplete: OnIncomplete | None = None,
        refresh: str | bool | None = None,
        network: Network | None = None,
        max_wait: float | timedelta | None = None,
        prices: Prices = "float",
        categorical: bool = False,
        progress: Progress = None,
    ) -> Any:
        """Fetch bars; see `alltick_frames.get_kline` for the arguments, the columns and the errors."""
        client = self._client
        question = client._ask(
            codes, period, range, frame, forming, on_incomplete, refresh, network, max_wait, categorical, prices
        )
        call = client._begin_call(question, [question])
        if call.walks:
            with progress_bars.shown(progress, str(question)) as report:
                self._background.run(lambda post: client._fetch(call, post), report)
        return client._hand_over(question, call)

    def scan_kline(
        self,
        codes: str | Iterable[str] | None,
        period: Period | str,
        range: Any = None,
        *,
        network: Network | None = None,
    ) -> pl.LazyFrame:
        """Scan bars, whatever number of them; see `alltick_frames.scan_kline`."""
        return self._client._scan(codes, period, range, network, self._complete_scan).lazy()

    def _complete_scan(self, scanned: Scan, parts: Sequence[Part]) -> None:
        client = self._client
        calls = []
        for call in client._begin_scans(scanned, parts):
            calls.append(call)
            if call.walks:
                with progress_bars.shown(None, str(call.options)) as report:
                    self._background.run(functools.partial(client._fetch, call), report)
            if call.failure is not None:
                break
        client._judge_scan(scanned, parts, calls)

    @overload
    def get_latest_kline(
        self, codes: Codes, periods: AnyPeriods = ..., *, frame: AsPolars = ..., **options: Unpack[CallOptions]
    ) -> pl.DataFrame: ...

    @overload
    def get_latest_kline(
        self, codes: Codes, periods: AnyPeriods = ..., *, frame: AsPandas, **options: Unpack[CallOptions]
    ) -> pd.DataFrame: ...

    @overload
    def get_latest_kline(
        self, codes: Codes, periods: AnyPeriods = ..., *, frame: AsArrow, **options: Unpack[CallOptions]
    ) -> pa.Table: ...

    @overload
    def get_latest_kline(
        self, codes: Codes, periods: AnyPeriods = ..., *, frame: FrameKind | None, **options: Unpack[CallOptions]
    ) -> AnyFrame: ...

    def get_latest_kline(
        self,
        codes: str | Iterable[str],
        periods: Period | str | Iterable[Period | str] = "1m",
        *,
        frame: FrameKind | None = None,
        on_incomplete: OnIncomplete | None = None,
        max_wait: float | timedelta | None = None,
        progress: Progress = None,
    ) -> Any:
        """Fetch the newest bars of many codes; see `alltick_frames.get_latest_kline`."""
        return self._answer(self._client._newest_bars(codes, periods, frame, on_incomplete, max_wait), progress)

    @overload
    def get_last_trade(
        self, codes: Codes, *, frame: AsPolars = ..., **options: Unpack[CallOptions]
    ) -> pl.DataFrame: ...

    @overload
    def get_last_trade(self, codes: Codes, *, frame: AsPandas, **options: Unpack[CallOptions]) -> pd.DataFrame: ...

    @overload
    def get_last_trade(self, codes: Codes, *, frame: AsArrow, **options: Unpack[CallOptions]) -> pa.Table: ...

    @overload
    def get_last_trade(self, codes: Codes, *, frame: FrameKind | None, **options: Unpack[CallOptions]) -> AnyFrame: ...

    def get_last_trade(
        self,
        codes: str | Iterable[str],
        *,
        frame: FrameKind | None = None,
        on_incomplete: OnIncomplete | None = None,
        max_wait: float | timedelta | None = None,
        progress: Progress = None,
    ) -> Any:
        """Fetch the last trades of many codes; see `alltick_frames.get_last_trade`."""
        survey = self._client._symbols("trade_tick", codes, None, frame, on_incomplete, max_wait)
        return self._answer(survey, progress)

    @overload
    def get_order_book(
        self, codes: Codes, levels: int | None = ..., *, frame: AsPolars = ..., **options: Unpack[CallOptions]
    ) -> pl.DataFrame: ...

    @overload
    def get_order_book(
        self, codes: Codes, levels: int | None = ..., *, frame: AsPandas, **options: Unpack[CallOptions]
    ) -> pd.DataFrame: ...

    @overload
    def get_order_book(
        self, codes: Codes, levels: int | None = ..., *, frame: AsArrow, **options: Unpack[CallOptions]
    ) -> pa.Table: ...

    @overload
    def get_order_book(
        self, codes: Codes, levels: int | None = ..., *, frame: FrameKind | None, **options: Unpack[CallOptions]
    ) -> AnyFrame: ...

    def get_order_book(
        self,
        codes: str | Iterable[str],
        levels: int | None = None,
        *,
        frame: FrameKind | None = None,
        on_incomplete: OnIncomplete | None = None,
        max_wait: float | timedelta | None = None,
        progress: Progress = None,
    ) -> Any:
        """Fetch the order books of many codes; see `alltick_frames.get_order_book`."""
        survey = self._client._symbols("depth_tick", codes, levels, frame, on_incomplete, max_wait)
        return self._answer(survey, progress)

    @overload
    def get_static_info(
        self, codes: Codes, *, frame: AsPolars = ..., **options: Unpack[CallOptions]
    ) -> pl.DataFrame: ...

    @overload
    def get_static_info(self, codes: Codes, *, frame: AsPandas, **options: Unpack[CallOptions]) -> pd.DataFrame: ...

    @overload
    def get_static_info(self, codes: Codes, *, frame: AsArrow, **options: Unpack[CallOptions]) -> pa.Table: ...

    @overload
    def get_static_info(self, codes: Codes, *, frame: FrameKind | None, **options: Unpack[CallOptions]) -> AnyFrame: ...

    def get_static_info(
        self,
        codes: str | Iterable[str],
        *,
        frame: FrameKind | None = None,
        on_incomplete: OnIncomplete | None = None,
        max_wait: float | timedelta | None = None,
        progress: Progress = None,
    ) -> Any:
        """Fetch what the vendor knows of many stocks; see `alltick_frames.get_static_info`."""
        survey = self._client._symbols("static_info", codes, None, frame, on_incomplete, max_wait)
        return self._answer(survey, progress)

    @overload
    def get_suspensions(
        self, exchange: Exchange, *, frame: AsPolars = ..., **options: Unpack[CallOptions]
    ) -> pl.DataFrame: ...

    @overload
    def get_suspensions(
        self, exchange: Exchange, *, frame: AsPandas, **options: Unpack[CallOptions]
    ) -> pd.DataFrame: ...

    @overload
    def get_suspensions(self, exchange: Exchange, *, frame: AsArrow, **options: Unpack[CallOptions]) -> pa.Table: ...

    @overload
    def get_suspensions(
        self, exchange: Exchange, *, frame: FrameKind | None, **options: Unpack[CallOptions]
    ) -> AnyFrame: ...

    def get_suspensions(
        self,
        exchange: Exchange,
        *,
        frame: FrameKind | None = None,
        on_incomplete: OnIncomplete | None = None,
        max_wait: float | timedelta | None = None,
        progress: Progress = None,
    ) -> Any:
        """Fetch an exchange's trading halts; see `alltick_frames.get_suspensions`."""
        return self._answer(self._client._halts(exchange, frame, on_incomplete, max_wait), progress)

    def _answer(self, survey: surveys.AnySurvey, progress: Progress) -> Any:
        if survey.requests_left:
            with progress_bars.shown(progress, str(survey)) as report:
                self._background.run(lambda post: self._client._inquire(survey, post), report)
        return self._client._show(survey)

    @overload
    def update(
        self,
        codes: Codes | None = ...,
        periods: AnyPeriods | None = ...,
        *,
        frame: AsPolars = ...,
        **options: Unpack[CallOptions],
    ) -> pl.DataFrame: ...

    @overload
    def update(
        self,
        codes: Codes | None = ...,
        periods: AnyPeriods | None = ...,
        *,
        frame: AsPandas,
        **options: Unpack[CallOptions],
    ) -> pd.DataFrame: ...

    @overload
    def update(
        self,
        codes: Codes | None = ...,
        periods: AnyPeriods | None = ...,
        *,
        frame: AsArrow,
        **options: Unpack[CallOptions],
    ) -> pa.Table: ...

    @overload
    def update(
        self,
        codes: Codes | None = ...,
        periods: AnyPeriods | None = ...,
        *,
        frame: FrameKind | None,
        **options: Unpack[CallOptions],
    ) -> AnyFrame: ...

    def update(
        self,
        codes: str | Iterable[str] | None = None,
        periods: Period | str | Iterable[Period | str] | None = None,
        *,
        frame: FrameKind | None = None,
        on_incomplete: OnIncomplete | None = None,
        max_wait: float | timedelta | None = None,
        progress: Progress = None,
    ) -> Any:
        """Bring the archive up to date; see `alltick_frames.update`."""
        client = self._client
        call = client._begin_update(codes, periods, frame, on_incomplete, max_wait)
        if call.walks:
            with progress_bars.shown(progress, UPDATING) as report:
                self._background.run(lambda post: client._fetch(call, post), report)
        return client._report(call)

    @overload
    def doctor(self, *, probe: bool = ..., frame: AsPolars = ..., progress: Progress = ...) -> pl.DataFrame: ...

    @overload
    def doctor(self, *, probe: bool = ..., frame: AsPandas, progress: Progress = ...) -> pd.DataFrame: ...

    @overload
    def doctor(self, *, probe: bool = ..., frame: AsArrow, progress: Progress = ...) -> pa.Table: ...

    @overload
    def doctor(self, *, probe: bool = ..., frame: FrameKind | None, progress: Progress = ...) -> AnyFrame: ...

    def doctor(self, *, probe: bool = False, frame: FrameKind | None = None, progress: Progress = None) -> Any:
        """Check settings, token, addresses, clocks, budget and archive; see `alltick_frames.doctor`."""
        client = self._client
        kind = one_of("frame", frame or self.settings.frame, FrameKind)
        findings = client._look_around()
        with progress_bars.shown(progress, _EXAMINING) as report:
            findings += self._background.run(lambda post: client._examine(post, probe=probe), report)
        return to_frame(checkup.table(findings), kind)

    def stream_trades(
        self, codes: str | Iterable[str], *, buffer: int = 100_000, when_full: WhenFull = "block"
    ) -> Stream:
        """Stream trades as they happen; see `alltick_frames.stream_trades`."""
        return Stream(self._client._stream("trades", codes, None, buffer, when_full), self._background)

    def stream_order_book(
        self,
        codes: str | Iterable[str],
        levels: int | None = None,
        *,
        buffer: int = 100_000,
        when_full: WhenFull = "block",
    ) -> Stream:
        """Stream order books as they change; see `alltick_frames.stream_order_book`."""
        return Stream(self._client._stream("order_book", codes, levels, buffer, when_full), self._background)

    def watch_kline(
        self, codes: str | Iterable[str], period: Period | str, *, on_incomplete: OnIncomplete | None = None
    ) -> Iterator[watching.Bar]:
        """Yield each bar once as it closes; see `alltick_frames.watch_kline`."""
        return self._watch(*self._client._begin_watch(codes, period, on_incomplete))

    def _watch(self, watch: watching.Watch, survey: surveys.BarsSurvey) -> Iterator[watching.Bar]:
        client = self._client
        self._background.run(lambda _: client._look_first(survey), progress_bars.quiet)
        client._seed(watch, survey)
        while True:
            for nap_s in clocks.naps(watch.next_look(clocks.utc_now())):
                time.sleep(nap_s)
            codes = watch.due(clocks.utc_now())
            if codes:
                yield from self._look(watch, codes, survey.options.on_incomplete)

    def _look(self, watch: watching.Watch, codes: Sequence[str], on_incomplete: OnIncomplete) -> list[watching.Bar]:
        client = self._client
        call = client._begin_look(watch, codes)
        if call.walks:
            self._background.run(lambda post: client._fetch(call, post), progress_bars.quiet)
        return client._seen(watch, codes, call, on_incomplete)

    def estimate_kline(
        self, codes: str | Iterable[str], period: Period | str, range: Any, *, refresh: str | bool | None = None
    ) -> Estimate:
        """Say what `get_kline` would cost; see `alltick_frames.estimate_kline`."""
        return self._client._estimate(codes, period, range, refresh)

    @overload
    def coverage(
        self, codes: Codes | None = ..., period: AnyPeriod | None = ..., *, frame: AsPolars = ...
    ) -> pl.DataFrame: ...

    @overload
    def coverage(
        self, codes: Codes | None = ..., period: AnyPeriod | None = ..., *, frame: AsPandas
    ) -> pd.DataFrame: ...

    @overload
    def coverage(self, codes: Codes | None = ..., period: AnyPeriod | None = ..., *, frame: AsArrow) -> pa.Table: ...

    @overload
    def coverage(
        self, codes: Codes | None = ..., period: AnyPeriod | None = ..., *, frame: FrameKind | None
    ) -> AnyFrame: ...

    def coverage(
        self,
        codes: str | Iterable[str] | None = None,
        period: Period | str | None = None,
        *,
        frame: FrameKind | None = None,
    ) -> Any:
        """List what the archive holds; see `alltick_frames.coverage`."""
        return self._client._list_coverage(codes, period, frame)

    def plot_coverage(self, codes: str | Iterable[str] | None = None, period: Period | str | None = None) -> Chart:
        """Draw what the archive holds; see `alltick_frames.plot_coverage`."""
        return self._client._plot_coverage(codes, period)

    @overload
    def gaps(
        self,
        codes: Codes | None = ...,
        period: AnyPeriod | None = ...,
        *,
        frame: AsPolars = ...,
        min_bars: int | None = ...,
    ) -> pl.DataFrame: ...

    @overload
    def gaps(
        self, codes: Codes | None = ..., period: AnyPeriod | None = ..., *, frame: AsPandas, min_bars: int | None = ...
    ) -> pd.DataFrame: ...

    @overload
    def gaps(
        self, codes: Codes | None = ..., period: AnyPeriod | None = ..., *, frame: AsArrow, min_bars: int | None = ...
    ) -> pa.Table: ...

    @overload
    def gaps(
        self,
        codes: Codes | None = ...,
        period: AnyPeriod | None = ...,
        *,
        frame: FrameKind | None,
        min_bars: int | None = ...,
    ) -> AnyFrame: ...

    def gaps(
        self,
        codes: str | Iterable[str] | None = None,
        period: Period | str | None = None,
        *,
        frame: FrameKind | None = None,
        min_bars: int | None = None,
    ) -> Any:
        """List suspicious holes within trading hours; see `alltick_frames.gaps`."""
        return self._client._list_gaps(codes, period, frame, min_bars)

    @overload
    def restatements(
        self, codes: Codes | None = ..., period: AnyPeriod | None = ..., *, frame: AsPolars = ...
    ) -> pl.DataFrame: ...

    @overload
    def restatements(
        self, codes: Codes | None = ..., period: AnyPeriod | None = ..., *, frame: AsPandas
    ) -> pd.DataFrame: ...

    @overload
    def restatements(
        self, codes: Codes | None = ..., period: AnyPeriod | None = ..., *, frame: AsArrow
    ) -> pa.Table: ...

    @overload
    def restatements(
        self, codes: Codes | None = ..., period: AnyPeriod | None = ..., *, frame: FrameKind | None
    ) -> AnyFrame: ...

    def restatements(
        self,
        codes: str | Iterable[str] | None = None,
        period: Period | str | None = None,
        *,
        frame: FrameKind | None = None,
    ) -> Any:
        """List the closed bars that a later answer changed; see `alltick_frames.restatements`."""
        return self._client._list_restatements(codes, period, frame)

    @overload
    def export(
        self,
        path: str | os.PathLike[str],
        codes: Codes | None = ...,
        period: AnyPeriod | None = ...,
        range: Any = ...,
        *,
        format: Format | None = ...,
        frame: AsPolars = ...,
        progress: Progress = ...,
    ) -> pl.DataFrame: ...

    @overload
    def export(
        self,
        path: str | os.PathLike[str],
        codes: Codes | None = ...,
        period: AnyPeriod | None = ...,
        range: Any = ...,
        *,
        format: Format | None = ...,
        frame: AsPandas,
        progress: Progress = ...,
    ) -> pd.DataFrame: ...

    @overload
    def export(
        self,
        path: str | os.PathLike[str],
        codes: Codes | None = ...,
        period: AnyPeriod | None = ...,
        range: Any = ...,
        *,
        format: Format | None = ...,
        frame: AsArrow,
        progress: Progress = ...,
    ) -> pa.Table: ...

    @overload
    def export(
        self,
        path: str | os.PathLike[str],
        codes: Codes | None = ...,
        period: AnyPeriod | None = ...,
        range: Any = ...,
        *,
        format: Format | None = ...,
        frame: FrameKind | None,
        progress: Progress = ...,
    ) -> AnyFrame: ...

    def export(
        self,
        path: str | os.PathLike[str],
        codes: str | Iterable[str] | None = None,
        period: Period | str | None = None,
        range: Any = None,
        *,
        format: Format | None = None,
        frame: FrameKind | None = None,
        progress: Progress = None,
    ) -> Any:
        """Write the archive to files; see `alltick_frames.export`."""
        steps, ported, kind = self._client._exporting(path, codes, period, range, format, frame)
        with progress_bars.shown(progress, "the export", "bars") as report, contextlib.closing(steps):
            for step in steps:
                report(*step)
        return self._client._deliver(to_frame(ported.table, kind), kline.Verdict(ported.failure))

    @overload
    def import_(
        self, path: str | os.PathLike[str], *, frame: AsPolars = ..., progress: Progress = ...
    ) -> pl.DataFrame: ...

    @overload
    def import_(self, path: str | os.PathLike[str], *, frame: AsPandas, progress: Progress = ...) -> pd.DataFrame: ...

    @overload
    def import_(self, path: str | os.PathLike[str], *, frame: AsArrow, progress: Progress = ...) -> pa.Table: ...

    @overload
    def import_(
        self, path: str | os.PathLike[str], *, frame: FrameKind | None, progress: Progress = ...
    ) -> AnyFrame: ...

    def import_(
        self, path: str | os.PathLike[str], *, frame: FrameKind | None = None, progress: Progress = None
    ) -> Any:
        """Bring an export into the archive; see `alltick_frames.import_`."""
        steps, ported, kind = self._client._importing(path, frame)
        with progress_bars.shown(progress, "the import", "bars") as report, contextlib.closing(steps):
            for step in steps:
                report(*step)
        return self._client._deliver(to_frame(ported.table, kind), kline.Verdict(ported.failure))

    @overload
    def get_products(
        self, asset_class: ProductClass | None = ..., *, refresh: bool = ..., frame: AsPolars = ...
    ) -> pl.DataFrame: ...

    @overload
    def get_products(
        self, asset_class: ProductClass | None = ..., *, refresh: bool = ..., frame: AsPandas
    ) -> pd.DataFrame: ...

    @overload
    def get_products(
        self, asset_class: ProductClass | None = ..., *, refresh: bool = ..., frame: AsArrow
    ) -> pa.Table: ...

    @overload
    def get_products(
        self, asset_class: ProductClass | None = ..., *, refresh: bool = ..., frame: FrameKind | None
    ) -> AnyFrame: ...

    def get_products(
        self, asset_class: ProductClass | None = None, *, refresh: bool = False, frame: FrameKind | None = None
    ) -> Any:
        """List the products; see `alltick_frames.get_products`."""
        listing, kind = self._client._ask_products(asset_class, refresh=refresh, frame=frame)
        self._fetch_products(listing)
        return self._client._list_products(listing, kind)

    @overload
    def search_products(
        self, text: str, *, asset_class: ProductClass | None = ..., frame: AsPolars = ...
    ) -> pl.DataFrame: ...

    @overload
    def search_products(
        self, text: str, *, asset_class: ProductClass | None = ..., frame: AsPandas
    ) -> pd.DataFrame: ...

    @overload
    def search_products(self, text: str, *, asset_class: ProductClass | None = ..., frame: AsArrow) -> pa.Table: ...

    @overload
    def search_products(
        self, text: str, *, asset_class: ProductClass | None = ..., frame: FrameKind | None
    ) -> AnyFrame: ...

    def search_products(
        self, text: str, *, asset_class: ProductClass | None = None, frame: FrameKind | None = None
    ) -> Any:
        """Find products; see `alltick_frames.search_products`."""
        listing, kind = self._client._ask_products(asset_class, frame=frame, text=text)
        self._fetch_products(listing)
        return self._client._list_products(listing, kind, text)

    def _fetch_products(self, listing: Listing) -> None:
        if listing.lacking:
            self._background.run(lambda _: self._client._listings.fetch(listing), lambda *_: None)

    def _share(self, client: AsyncClient) -> None:
        self._client = client
        self._background = BackgroundLoop(on_stop=client.aclose)
