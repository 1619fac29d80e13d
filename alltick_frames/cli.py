"""The `alltick` command.

Exit codes: 0 done, 2 usage, 3 incomplete, 4 budget, 5 authentication, 6 transport, 130 interrupted.
"""

from __future__ import annotations

import shutil
import sys
import warnings
from pathlib import Path  # noqa: TC003  # typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alltick_frames.errors import (
    AllTickError,
    ArgumentError,
    AuthenticationError,
    BudgetError,
    ConfigError,
    IncompleteDataError,
    RateLimitError,
    StoreError,
)
from alltick_frames.plans import PLANS, plan_named

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import polars as pl
    import pyarrow as pa

    from alltick_frames.periods import Period
    from alltick_frames.spans import Missing, Span

__all__ = ["main"]

# No locals in crash output: they could hold what a log must not. The traceback itself is wanted.
app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="AllTick market data as typed frames.",
)

# The first class that fits decides; any other AllTickError is the vendor or the way to it.
_EXIT_CODES: tuple[tuple[type[AllTickError] | tuple[type[AllTickError], ...], int], ...] = (
    ((ArgumentError, ConfigError), 2),
    (IncompleteDataError, 3),
    ((BudgetError, RateLimitError), 4),
    (AuthenticationError, 5),
    (AllTickError, 6),
)
_INTERRUPTED = 130


def main() -> None:
    """Run the command; errors become one line and an exit code."""
    try:
        app(standalone_mode=True)
    except AllTickError as error:
        typer.echo(f"alltick: {error}", err=True)
        sys.exit(exit_code(error))
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


def exit_code(error: AllTickError) -> int:
    """Give the exit code for *error*."""
    return next(code for kinds, code in _EXIT_CODES if isinstance(error, kinds))


@app.command()
def get(
    codes: Annotated[list[str], typer.Argument(help="Product codes, such as EURUSD 700.HK")],
    period: Annotated[str, typer.Option("--period", "-p", help="1m 5m 15m 30m 1h 2h 4h 1d 1w 1mo")],
    range: Annotated[
        str, typer.Option("--range", "-r", help="30d, 2025-01-01/2025-03-31, max, …, or a number of bars")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write .parquet, .csv or .arrow instead of printing")
    ] = None,
    max_wait: Annotated[
        float | None, typer.Option("--max-wait", help="Refuse what may take more seconds, before anything is sent")
    ] = None,
) -> None:
    """Fetch bars and print them or write them to a file."""
    writer = _writer(output)
    from alltick_frames import api  # noqa: PLC0415  # --help should not wait for Polars

    incomplete: IncompleteDataError | None = None
    with warnings.catch_warnings():
        warnings.showwarning = _note
        try:
            frame = api.get_kline(codes, period, _range(range), frame="polars", max_wait=max_wait)
        except IncompleteDataError as error:
            incomplete = error
            frame = error.frame
        except KeyboardInterrupt:
            typer.echo("alltick: interrupted; what came is kept, and the same command goes on from there", err=True)
            raise
    if output is None or writer is None:
        typer.echo(_as_text(frame))
    else:
        getattr(frame, writer)(output)
        typer.echo(f"{frame.height:,} bars → {output}")
    if incomplete is not None:
        raise incomplete  # after what there is has been handed over


@app.command()
def estimate(
    codes: Annotated[list[str], typer.Argument(help="Product codes, such as EURUSD 700.HK")],
    period: Annotated[str, typer.Option("--period", "-p", help="1m 5m 15m 30m 1h 2h 4h 1d 1w 1mo")],
    range: Annotated[str, typer.Option("--range", "-r", help="As for get")],
) -> None:
    """Say what get would send and take; sends nothing."""
    from alltick_frames import api  # noqa: PLC0415

    typer.echo(api.estimate_kline(codes, period, _range(range)))


def _note(message: Warning | str, *_where: object, **_more: object) -> None:
    typer.echo(f"alltick: note: {message}", err=True)


def _range(text: str) -> str | int:
    return int(text) if text.isdecimal() else text


def _as_text(frame: pl.DataFrame) -> str:
    """Show a frame without breaking its lines: in a narrow terminal with fewer columns and no frame around them."""
    import polars as pl  # noqa: PLC0415

    if shutil.get_terminal_size(fallback=(_WIDE, 24)).columns >= _WIDE:
        with pl.Config(tbl_width_chars=_WIDE):
            return str(frame)
    with pl.Config(tbl_formatting="NOTHING", tbl_hide_column_data_types=True, tbl_cols=6, tbl_width_chars=_WIDE):
        return str(frame)


# What a frame of bars needs.
_WIDE = 104
_WRITERS = {".parquet": "write_parquet", ".csv": "write_csv", ".arrow": "write_ipc"}


def _writer(output: Path | None) -> str | None:
    """Choose by the file's ending, before anything is paid for."""
    if output is None:
        return None
    if output.suffix not in _WRITERS:
        raise ArgumentError(f"--output={str(output)!r} must end in one of: {' '.join(_WRITERS)}")
    if not output.parent.is_dir():
        raise ArgumentError(f"--output={str(output)!r}: there is no directory {str(output.parent)!r}")
    return _WRITERS[output.suffix]


@app.command()
def coverage(
    codes: Annotated[list[str] | None, typer.Argument(help="Only these codes")] = None,
    period: Annotated[str | None, typer.Option("--period", "-p", help="Only this period")] = None,
) -> None:
    """List what the archive holds, and what is missing; sends nothing."""
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    from alltick_frames import api  # noqa: PLC0415

    spans = api.coverage(codes or None, period, frame="arrow").to_pylist()
    table = Table(
        title="What the archive holds" if spans else "The archive holds nothing of this", title_justify="left"
    )
    for heading in ("code", "period", "from", "to (UTC, not included)"):
        table.add_column(heading, no_wrap=True)
    table.add_column("bars", justify="right")
    table.add_column("missing because")
    for span in spans:
        start = "(always)" if span["start"] is None else _minute(span["start"])
        bars = f"{span['bars']:,}" if span["held"] else ""
        why = ": ".join(filter(None, (span["reason"], span["detail"])))
        table.add_row(span["code"], span["period"], start, _minute(span["end"]), bars, why)
    Console(width=None if sys.stdout.isatty() else _WIDE).print(table)


@app.command()
def gaps(
    codes: Annotated[list[str] | None, typer.Argument(help="Only these codes")] = None,
    period: Annotated[str | None, typer.Option("--period", "-p", help="Only this period")] = None,
    min_bars: Annotated[
        int | None, typer.Option("--min-bars", help="List every stretch of so many bars, and not only unusual ones")
    ] = None,
) -> None:
    """List suspicious holes within trading hours in what the archive holds; sends nothing."""
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    from alltick_frames import api  # noqa: PLC0415

    found = api.gaps(codes or None, period, frame="arrow", min_bars=min_bars).to_pylist()
    table = Table(title="Bars that lack within trading hours" if found else "No suspicious holes", title_justify="left")
    for heading in ("code", "period", "from", "to (UTC, not included)"):
        table.add_column(heading, no_wrap=True)
    table.add_column("bars", justify="right")
    table.add_column("because")
    table.add_column("hours by", no_wrap=True)
    for gap in found:
        why = ": ".join(filter(None, (gap["reason"], gap["detail"])))
        where = (gap["code"], gap["period"], _minute(gap["start"]), _minute(gap["end"]))
        table.add_row(*where, f"{gap['bars']:,}", why, gap["calendar"])
    Console(width=None if sys.stdout.isatty() else _WIDE).print(table)


@app.command()
def update(
    codes: Annotated[list[str] | None, typer.Argument(help="Only these codes; default all that are held")] = None,
    period: Annotated[
        list[str] | None, typer.Option("--period", "-p", help="Only this period; may be given several times")
    ] = None,
    max_wait: Annotated[
        float | None, typer.Option("--max-wait", help="Refuse what may take more seconds, before anything is sent")
    ] = None,
    when: Annotated[  # noqa: FBT002  # a flag
        bool, typer.Option("--when", help="Say when the next update must begin at the latest; sends nothing")
    ] = False,
) -> None:
    """Bring what the archive holds up to date, and report what came and what is lost."""
    if when:
        _show_due(codes or None, period or None)
        return
    from alltick_frames import api  # noqa: PLC0415

    failure: AllTickError | None = None
    with warnings.catch_warnings():
        warnings.showwarning = _note
        try:
            report = api.update(codes or None, period or None, frame="arrow", max_wait=max_wait)
        except KeyboardInterrupt:
            typer.echo("alltick: interrupted; what came is kept, and the same command goes on from there", err=True)
            raise
        except AllTickError as error:
            if error.frame is None:
                raise
            failure, report = error, error.frame
    _show_report(report.to_pylist())
    if failure is not None:
        raise failure


def _show_report(groups: list[dict[str, Any]]) -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    if not groups:
        typer.echo("The archive holds nothing yet. Name what to follow: alltick update EURUSD 700.HK -p 1m -p 1d")
        return
    table = Table(title=f"{sum(group['added'] for group in groups):,} bars came", title_justify="left")
    for heading in ("code", "period"):
        table.add_column(heading, no_wrap=True)
    table.add_column("added", justify="right")
    table.add_column("newest (UTC)", no_wrap=True)
    table.add_column("cannot be had")
    for group in groups:
        missing = [
            f"{gap['reason']} from {_minute(gap['start'])} to {_minute(gap['end'])}: {gap['detail']}"
            for gap in group["missing"]
        ]
        newest = "" if group["newest"] is None else _minute(group["newest"])
        table.add_row(group["code"], group["period"], f"{group['added']:,}", newest, "; ".join(missing))
    Console(width=None if sys.stdout.isatty() else _WIDE).print(table)


def _show_due(codes: list[str] | None, periods: list[str] | None) -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    from alltick_frames import clocks, updating  # noqa: PLC0415
    from alltick_frames.codes import check_codes  # noqa: PLC0415
    from alltick_frames.periods import Period  # noqa: PLC0415
    from alltick_frames.settings import resolve  # noqa: PLC0415
    from alltick_frames.store import Archive  # noqa: PLC0415

    listed = None if codes is None else check_codes(codes)
    chosen = None if periods is None else [Period.parse(period) for period in periods]
    settings = resolve()
    archive = Archive.open(settings.cache_dir, settings.origin)
    groups = updating.groups(archive.groups(), listed, chosen)
    due = updating.due_table(archive, groups, clocks.utc_now()).to_pylist()
    if not due:
        typer.echo("No stocks are held: what else there is can be asked for at any time.")
        return
    table = Table(title="Of a stock the newest 500 bars can be asked for", title_justify="left")
    for heading in ("code", "period", "newest held (UTC)", "next update before (UTC)"):
        table.add_column(heading, no_wrap=True)
    table.add_column("bars left", justify="right")
    table.add_column("by the calendar")
    for group in due:
        where = (group["code"], group["period"], _minute(group["newest"]), _minute(group["by"]))
        table.add_row(*where, f"{group['left']:,}", group["calendar"])
    Console(width=None if sys.stdout.isatty() else _WIDE).print(table)
    late = [group for group in due if group["lost_from"] is not None]
    for group in late:
        typer.echo(
            f"{group['code']} {group['period']}: about {-group['left']:,} bars from {_minute(group['lost_from'])} to "
            f"{_minute(group['lost_to'])} UTC are lost: no update can bring them any more"
        )
    in_time = [group for group in due if group["lost_from"] is None]
    if in_time:
        by, left = in_time[0]["by"], in_time[0]["left"]
        here = f"{by.astimezone():%Y-%m-%d %H:%M %Z} here"
        typer.echo(f"The next update must begin before {_minute(by)} UTC ({here}): {left:,} bars from now")
    if late:
        raise typer.Exit(exit_code(IncompleteDataError("", missing=())))


def _minute(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M}"


cache = typer.Typer(no_args_is_help=True, help="The archive on this machine.")
app.add_typer(cache, name="cache")


@cache.command()
def info() -> None:
    """Say where the archive is, whose bars it holds and how large it is; sends nothing."""
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    from alltick_frames.settings import resolve  # noqa: PLC0415
    from alltick_frames.store import summaries  # noqa: PLC0415

    directory = resolve().cache_dir
    table = Table(title=str(directory), title_justify="left")
    table.add_column("origin", no_wrap=True)
    for heading in ("codes", "series", "bars", "files", "MiB"):
        table.add_column(heading, justify="right")
    for origin in summaries(directory):
        counts = (origin.codes, origin.groups, origin.bars, origin.files)
        table.add_row(origin.name, *(f"{count:,}" for count in counts), f"{origin.bytes / 2**20:,.1f}")
    Console(width=None if sys.stdout.isatty() else _WIDE).print(table)


@cache.command()
def export(
    path: Annotated[Path, typer.Argument(help="A directory, or a database if it ends in .duckdb")],
    codes: Annotated[list[str] | None, typer.Argument(help="Only these codes")] = None,
    period: Annotated[str | None, typer.Option("--period", "-p", help="Only this period")] = None,
    range: Annotated[str | None, typer.Option("--range", "-r", help="Only this range of time, as for get")] = None,
    format: Annotated[str | None, typer.Option("--format", "-f", help="parquet, csv or duckdb")] = None,
) -> None:
    """Write what is held to Parquet, CSV or DuckDB; again, only what is new."""
    from alltick_frames import api  # noqa: PLC0415

    said = None if range is None else _range(range)
    report = _carried(lambda: api.export(path, codes or None, period, said, format=format, frame="arrow"))  # type: ignore[arg-type]  # judged there
    typer.echo(f"{_counted(report)}, {sum(report['written'].to_pylist()):,} of them written now → {path}")


@cache.command("import")
def import_(path: Annotated[Path, typer.Argument(help="What export has written")]) -> None:
    """Bring an export into the archive."""
    from alltick_frames import api  # noqa: PLC0415

    report = _carried(lambda: api.import_(path, frame="arrow"))
    typer.echo(f"{path}: {_counted(report)}, {sum(report['added'].to_pylist()):,} of them not held before")


def _carried(port: Callable[[], pa.Table]) -> pa.Table:
    try:
        return port()
    except KeyboardInterrupt:
        typer.echo("alltick: interrupted; the same command goes on from there", err=True)
        raise


def _counted(report: pa.Table) -> str:
    return f"{sum(report['bars'].to_pylist()):,} bars in {len(report):,} series"


@cache.command()
def verify(
    repair: Annotated[  # noqa: FBT002  # a flag
        bool, typer.Option("--repair", help="Keep what is whole, put the rest aside, and fetch it anew")
    ] = False,
) -> None:
    """Read every file and every entry of the archive, and name what is damaged; sends nothing without --repair.

    Stop other programs that use the archive before a repair. Ends with 6 if anything is damaged, after a repair with 3
    if bars are gone for good.
    """
    from alltick_frames import repair as repairs  # noqa: PLC0415
    from alltick_frames.settings import resolve  # noqa: PLC0415

    settings = resolve()
    if not repair:
        findings = repairs.verify(settings.cache_dir, settings.origin)
        for finding in findings:
            typer.echo(str(finding))
        if findings:
            raise StoreError(
                f"{len(findings)} things in {settings.cache_dir / settings.origin} are damaged; "
                f"`alltick cache verify --repair` keeps what is whole and fetches the rest anew"
            )
        typer.echo(f"{settings.cache_dir / settings.origin} is whole")
        return
    findings, repaired = repairs.repair(settings.cache_dir, settings.origin)
    for finding in findings:
        typer.echo(str(finding))
    typer.echo(f"{len(findings)} things were damaged; what could not be read is in quarantine/")
    _restore([(one.code, one.period, span) for one in repaired for span in one.lost], has_token=bool(settings.token))


def _restore(lost: list[tuple[str, Period, Span]], *, has_token: bool) -> None:
    """Fetch what a repair could not keep, and say what cannot be had any more."""
    from alltick_frames import api  # noqa: PLC0415

    gone: list[Missing] = []
    for code, period, span in lost:
        typer.echo(f"{code} {period.value} {span}: {'fetched anew' if has_token else 'to be fetched; no token is set'}")
        if not has_token:
            continue
        try:
            api.get_kline(code, period, (span.start, span.end), frame="arrow")
        except IncompleteDataError as error:
            gone += error.missing
    for gap in gone:
        typer.echo(f"gone for good: {gap}")
    if gone:
        raise IncompleteDataError(f"{len(gone)} spans cannot be had any more", missing=gone)


@cache.command()
def clear(
    codes: Annotated[list[str] | None, typer.Argument(help="Only these codes")] = None,
    period: Annotated[str | None, typer.Option("--period", "-p", help="Only this period")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All codes and periods")] = False,  # noqa: FBT002
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this, only say what would be")] = False,  # noqa: FBT002
    unrecoverable: Annotated[  # noqa: FBT002
        bool, typer.Option("--including-unrecoverable", help="Also bars of stocks, which cannot be fetched again")
    ] = False,
) -> None:
    """Move bars out of the archive, to trash/ within it."""
    import time  # noqa: PLC0415

    from alltick_frames.codes import Family, check_codes, family_of  # noqa: PLC0415
    from alltick_frames.periods import Period  # noqa: PLC0415
    from alltick_frames.settings import resolve  # noqa: PLC0415
    from alltick_frames.store import Archive  # noqa: PLC0415

    if not (codes or period or everything):
        raise ArgumentError("nothing is selected; name codes, a --period, or --all")
    chosen, listed = None if period is None else Period.parse(period), check_codes(codes) if codes else None
    settings = resolve()
    archive = Archive.open(settings.cache_dir, settings.origin)
    groups = [
        (code, of_period)
        for code, of_period in archive.groups()
        if archive.holds(code, of_period) and chosen in (None, of_period) and (listed is None or code in listed)
    ]
    stocks = [group for group in groups if family_of(group[0]) is Family.STOCK]
    if stocks and not unrecoverable:
        raise ArgumentError(
            f"{len(stocks)} of the selected are of stocks, such as {stocks[0][0]} {stocks[0][1].value}, whose bars can "
            f"not be fetched again; add --including-unrecoverable, or leave them out"
        )
    for code, of_period in groups:
        typer.echo(f"{code} {of_period.value}: {archive.known(code, of_period).rows:,} bars")
    if not yes:
        typer.echo(f"{len(groups)} series would be moved to trash/; add --yes to do it")
        return
    trash = archive.directory / "trash" / time.strftime("%Y%m%dT%H%M%S")
    bars = sum(archive.discard(code, of_period, trash) for code, of_period in groups)
    archive.close()
    typer.echo(
        f"{bars:,} bars are in {trash}. Delete that to free the space; to have them back, move its files to "
        f"{archive.directory / 'segments'} and run alltick cache verify --repair"
    )


@app.command()
def sandbox(
    port: Annotated[int, typer.Option(help="0 for any free one")] = 8765,
    plan: Annotated[str, typer.Option(help=f"Whose limits and codes apply: {' '.join(PLANS)}")] = "professional",
    token: Annotated[str | None, typer.Option(help="The token to accept; made up by default")] = None,
    latency_ms: Annotated[float, typer.Option(help="How long every answer is held back")] = 0.0,
) -> None:
    """Serve an AllTick-compatible test server with a model market on this machine."""
    import tempfile  # noqa: PLC0415

    from alltick_frames import sandbox as server  # noqa: PLC0415

    def announce(ready: dict[str, str]) -> None:
        # The token is the sandbox's own, and opens nothing else.
        typer.echo(
            f"AllTick sandbox with model prices; Ctrl-C stops it. In another terminal:\n"
            f"  export ALLTICK_BASE_URL={ready['url']} ALLTICK_TOKEN={ready['token']} ALLTICK_PLAN={ready['plan']}\n"
            f"  export ALLTICK_CACHE_DIR={cache_dir}\n"
            f"  alltick get EURUSD --period 1h --range 7d"
        )

    # An archive of its own: the next sandbox on this port may have other prices.
    with tempfile.TemporaryDirectory(prefix="alltick-sandbox-", ignore_cleanup_errors=True) as cache_dir:
        server.serve(port=port, plan=plan_named(plan).name, token=token, latency_ms=latency_ms, on_ready=announce)


@app.command()
def demo(
    range: Annotated[str, typer.Option("--range", "-r", help="Of the 1-minute bars: 1mo, 1y, …")] = "1mo",
) -> None:
    """Fetch from a sandbox started for it, at the Professional plan's rate; needs no token."""
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    from alltick_frames import demo as program  # noqa: PLC0415

    typer.echo("Starting the sandbox: an AllTick-compatible server with model prices, on this machine only.")
    costs = Table(title="What it cost, as the server counted", title_justify="left")
    costs.add_column("get_kline", no_wrap=True)
    for heading in ("bars", "requests", "fewest", "seconds", "too fast"):
        costs.add_column(heading, justify="right")
    for frame, cost in program.run(range):
        typer.echo(f"\n{_as_text(frame)}")
        counts = (f"{cost.bars:,}", cost.requests, cost.fewest, f"{cost.seconds:.2f}", cost.too_fast)
        costs.add_row(cost.call, *map(str, counts))
    typer.echo()
    Console().print(costs)


if __name__ == "__main__":
    main()
