"""The commands about the archive: what it holds, bringing it up to date, and looking after it."""

from __future__ import annotations

import functools
from pathlib import Path  # noqa: TC003  # typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from alltick_frames.errors import (
    ArgumentError,
    IncompleteDataError,
    StoreError,
)
from alltick_frames.options import (
    Csv,
    Json,
    MaxWait,
    Output,
    Parquet,
    SomeCodes,
    SomePeriod,
    drawn,
    exit_code,
    hand_over,
    range_of,
    target_for,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from alltick_frames.periods import Period
    from alltick_frames.spans import Missing, Span

__all__ = ["app", "cache"]

app = typer.Typer()


@app.command()
def coverage(
    codes: SomeCodes = None,
    period: SomePeriod = None,
    output: Output = None,
    json: Json = False,
    csv: Csv = False,
    parquet: Parquet = False,
) -> None:
    """List what the archive holds, and what is missing; sends nothing."""
    target = target_for(output, json=json, csv=csv, parquet=parquet)
    from alltick_frames import api  # noqa: PLC0415
    from alltick_frames.output import draw  # noqa: PLC0415

    def show(table: pa.Table) -> None:
        rows = [
            {
                **{name: span[name] for name in ("code", "period", "start", "end")},
                "start": "(always)" if span["start"] is None else span["start"],
                "bars": span["bars"] if span["held"] else None,
                "why": ": ".join(filter(None, (span["reason"], span["detail"]))),
            }
            for span in table.to_pylist()
        ]
        draw(
            rows,
            "What the archive holds" if rows else "The archive holds nothing of this",
            _SPANS | {"why": "missing because"},
        )

    hand_over(functools.partial(api.coverage, codes or None, period, frame="arrow"), target, show, "spans")


_SPANS = {"code": "code", "period": "period", "start": "from", "end": "to (UTC, not included)", "bars": "bars"}


@app.command()
def gaps(
    codes: SomeCodes = None,
    period: SomePeriod = None,
    min_bars: Annotated[
        int | None, typer.Option("--min-bars", help="List every stretch of so many bars, and not only unusual ones")
    ] = None,
    output: Output = None,
    json: Json = False,
    csv: Csv = False,
    parquet: Parquet = False,
) -> None:
    """List suspicious holes within trading hours in what the archive holds; sends nothing."""
    target = target_for(output, json=json, csv=csv, parquet=parquet)
    from alltick_frames import api  # noqa: PLC0415
    from alltick_frames.output import draw  # noqa: PLC0415

    def show(table: pa.Table) -> None:
        rows = [gap | {"why": ": ".join(filter(None, (gap["reason"], gap["detail"])))} for gap in table.to_pylist()]
        title = "Bars that lack within trading hours" if rows else "No suspicious holes"
        draw(rows, title, _SPANS | {"why": "because", "calendar": "hours by"})

    call = functools.partial(api.gaps, codes or None, period, frame="arrow", min_bars=min_bars)
    hand_over(call, target, show, "holes")


@app.command()
def restatements(
    codes: SomeCodes = None,
    period: SomePeriod = None,
    output: Output = None,
    json: Json = False,
    csv: Csv = False,
    parquet: Parquet = False,
) -> None:
    """List the closed bars that a later answer changed; sends nothing."""
    target = target_for(output, json=json, csv=csv, parquet=parquet)
    from alltick_frames import api  # noqa: PLC0415

    call = functools.partial(api.restatements, codes or None, period, frame="arrow")
    hand_over(call, target, drawn("Bars that were changed", (), "No bar was changed"), "values")


@app.command()
def update(
    codes: Annotated[list[str] | None, typer.Argument(help="Only these codes; default all that are held")] = None,
    period: Annotated[
        list[str] | None, typer.Option("--period", "-p", help="Only this period; may be given several times")
    ] = None,
    max_wait: MaxWait = None,
    when: Annotated[
        bool, typer.Option("--when", help="Say when the next update must begin at the latest; sends nothing")
    ] = False,
    output: Output = None,
    json: Json = False,
    csv: Csv = False,
    parquet: Parquet = False,
) -> None:
    """Bring what the archive holds up to date, and report what came and what is lost."""
    target = target_for(output, json=json, csv=csv, parquet=parquet)
    if when:
        _show_due(codes or None, period or None)
        return
    from alltick_frames import api  # noqa: PLC0415

    call = functools.partial(api.update, codes or None, period or None, frame="arrow", max_wait=max_wait)
    hand_over(call, target, _show_report, "series")


def _show_report(report: pa.Table) -> None:
    from alltick_frames.output import draw, minute  # noqa: PLC0415

    groups = report.to_pylist()
    if not groups:
        typer.echo("The archive holds nothing yet. Name what to follow: alltick update EURUSD 700.HK -p 1m -p 1d")
        return
    for group in groups:
        group["missing"] = "; ".join(
            f"{gap['reason']} from {minute(gap['start'])} to {minute(gap['end'])}: {gap['detail']}"
            for gap in group["missing"]
        )
    headings = {
        "code": "code",
        "period": "period",
        "added": "added",
        "newest": "newest (UTC)",
        "missing": "cannot be had",
    }
    draw(groups, f"{sum(group['added'] for group in groups):,} bars came", headings)


def _show_due(codes: list[str] | None, periods: list[str] | None) -> None:
    from alltick_frames import clocks, updating  # noqa: PLC0415
    from alltick_frames.codes import check_codes  # noqa: PLC0415
    from alltick_frames.output import draw, minute  # noqa: PLC0415
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
    headings = {
        "code": "code",
        "period": "period",
        "newest": "newest held (UTC)",
        "by": "next update before (UTC)",
        "left": "bars left",
        "calendar": "by the calendar",
    }
    draw(due, "Of a stock the newest 500 bars can be asked for", headings, shown={"newest": minute, "by": minute})
    late = [group for group in due if group["lost_from"] is not None]
    for group in late:
        typer.echo(
            f"{group['code']} {group['period']}: about {-group['left']:,} bars from {minute(group['lost_from'])} to "
            f"{minute(group['lost_to'])} UTC are lost: no update can bring them any more"
        )
    in_time = [group for group in due if group["lost_from"] is None]
    if in_time:
        by, left = in_time[0]["by"], in_time[0]["left"]
        here = f"{by.astimezone():%Y-%m-%d %H:%M %Z} here"
        typer.echo(f"The next update must begin before {minute(by)} UTC ({here}): {left:,} bars from now")
    if late:
        raise typer.Exit(exit_code(IncompleteDataError("", missing=())))


cache = typer.Typer(no_args_is_help=True, help="The archive on this machine.")


@cache.command()
def info() -> None:
    """Say where the archive is, whose bars it holds and how large it is; sends nothing."""
    from alltick_frames.output import draw  # noqa: PLC0415
    from alltick_frames.settings import resolve  # noqa: PLC0415
    from alltick_frames.store import summaries  # noqa: PLC0415

    directory = resolve().cache_dir
    rows = [
        {
            "origin": origin.name,
            "codes": origin.codes,
            "series": origin.groups,
            "bars": origin.bars,
            "files": origin.files,
            "MiB": round(origin.bytes / 2**20, 1),
        }
        for origin in summaries(directory)
    ]
    draw(rows, str(directory), {name: name for name in ("origin", "codes", "series", "bars", "files", "MiB")})


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

    said = None if range is None else range_of(range)
    report = _carried(lambda: api.export(path, codes or None, period, said, format=format, frame="arrow"))  # type: ignore[call-overload]  # judged there
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
    repair: Annotated[
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
    everything: Annotated[bool, typer.Option("--all", help="All codes and periods")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this, only say what would be")] = False,
    unrecoverable: Annotated[
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
