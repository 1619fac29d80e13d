"""The `alltick` command.

Exit codes: 0 done, 2 usage, 3 incomplete, 4 budget, 5 authentication, 6 transport, 130 interrupted.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import shutil
import sys
import warnings
from pathlib import Path  # typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any, cast

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

    import polars as pl
    import pyarrow as pa

    from alltick_frames.catalog import ProductClass
    from alltick_frames.output import Target
    from alltick_frames.periods import Period
    from alltick_frames.spans import Missing, Span
    from alltick_frames.wire import Exchange

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


Codes = Annotated[list[str], typer.Argument(help="Product codes, such as EURUSD 700.HK")]
SomeCodes = Annotated[list[str] | None, typer.Argument(help="Only these codes")]
OnePeriod = Annotated[str, typer.Option("--period", "-p", help="1m 5m 15m 30m 1h 2h 4h 1d 1w 1mo")]
SomePeriod = Annotated[str | None, typer.Option("--period", "-p", help="Only this period")]
Range = Annotated[str, typer.Option("--range", "-r", help="30d, 2025-01-01/2025-03-31, max, …, or a number of bars")]
MaxWait = Annotated[
    float | None, typer.Option("--max-wait", help="Refuse what may take more seconds, before anything is sent")
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="Write a file: .parquet .csv .json .arrow, or as flagged")
]
Json = Annotated[bool, typer.Option("--json", help="JSON, times in ISO 8601")]
Csv = Annotated[bool, typer.Option("--csv", help="CSV, with a line of names")]
Parquet = Annotated[bool, typer.Option("--parquet", help="Parquet, for --output or a pipe")]


@app.command()
def get(
    codes: Codes,
    period: OnePeriod,
    range: Range,
    output: Output = None,
    max_wait: MaxWait = None,
    json: Json = False,  # noqa: FBT002  # a flag
    csv: Csv = False,  # noqa: FBT002
    parquet: Parquet = False,  # noqa: FBT002
) -> None:
    """Fetch bars and print them or write them to a file."""
    target = _target(output, json=json, csv=csv, parquet=parquet)
    from alltick_frames import api  # noqa: PLC0415  # --help should not wait for Polars

    def show(table: pa.Table) -> None:
        import polars as pl  # noqa: PLC0415

        typer.echo(_as_text(pl.DataFrame(pl.from_arrow(table)).with_columns(pl.col("code").cast(pl.String))))

    _hand_over(
        lambda: api.get_kline(codes, period, _range(range), frame="arrow", max_wait=max_wait), target, show, "bars"
    )


@app.command()
def estimate(
    codes: Codes,
    period: OnePeriod,
    range: Annotated[str, typer.Option("--range", "-r", help="As for get")],
) -> None:
    """Say what get would send and take; sends nothing."""
    from alltick_frames import api  # noqa: PLC0415

    typer.echo(api.estimate_kline(codes, period, _range(range)))


@app.command()
def latest(
    codes: Codes,
    period: Annotated[list[str], typer.Option("--period", "-p", help="A period; may be given several times")] = ["1m"],  # noqa: B006  # typer's
    output: Output = None,
    max_wait: MaxWait = None,
    json: Json = False,  # noqa: FBT002
    csv: Csv = False,  # noqa: FBT002
    parquet: Parquet = False,  # noqa: FBT002
) -> None:
    """Fetch the newest two bars of each code and period, the forming one marked."""
    target = _target(output, json=json, csv=csv, parquet=parquet)
    from alltick_frames import api  # noqa: PLC0415

    call = functools.partial(api.get_latest_kline, codes, period, frame="arrow", max_wait=max_wait)
    _hand_over(call, target, _drawn("The newest bars, in UTC", _BARS), "bars")


@app.command()
def trade(
    codes: Codes,
    output: Output = None,
    max_wait: MaxWait = None,
    json: Json = False,  # noqa: FBT002
    csv: Csv = False,  # noqa: FBT002
    parquet: Parquet = False,  # noqa: FBT002
) -> None:
    """Fetch the last trade of each code."""
    target = _target(output, json=json, csv=csv, parquet=parquet)
    from alltick_frames import api  # noqa: PLC0415

    call = functools.partial(api.get_last_trade, codes, frame="arrow", max_wait=max_wait)
    _hand_over(call, target, _drawn("The last trades, in UTC", _TRADES), "trades")


@app.command()
def book(
    codes: Codes,
    levels: Annotated[int | None, typer.Option("--levels", "-l", help="At most so many of each side")] = None,
    output: Output = None,
    max_wait: MaxWait = None,
    json: Json = False,  # noqa: FBT002
    csv: Csv = False,  # noqa: FBT002
    parquet: Parquet = False,  # noqa: FBT002
) -> None:
    """Fetch the order book of each code, the best level first."""
    target = _target(output, json=json, csv=csv, parquet=parquet)
    from alltick_frames import api  # noqa: PLC0415

    call = functools.partial(api.get_order_book, codes, levels, frame="arrow", max_wait=max_wait)
    _hand_over(call, target, _drawn("Order books, in UTC", _LEVELS), "levels")


@app.command("info")
def static_info(
    codes: Codes,
    output: Output = None,
    max_wait: MaxWait = None,
    json: Json = False,  # noqa: FBT002
    csv: Csv = False,  # noqa: FBT002
    parquet: Parquet = False,  # noqa: FBT002
) -> None:
    """Fetch names, lot sizes and share capital of stocks."""
    target = _target(output, json=json, csv=csv, parquet=parquet)
    from alltick_frames import api  # noqa: PLC0415

    def show(table: pa.Table) -> None:
        # A stock has more columns than a terminal.
        from alltick_frames.output import draw  # noqa: PLC0415

        for row in table.to_pylist():
            facts = [{"field": name, "value": _fact(value)} for name, value in row.items() if value is not None]
            draw(facts, row["code"])

    _hand_over(functools.partial(api.get_static_info, codes, frame="arrow", max_wait=max_wait), target, show, "stocks")


@app.command()
def halts(
    exchange: Annotated[str, typer.Argument(help="sse, nyse or nasdaq")],
    output: Output = None,
    max_wait: MaxWait = None,
    json: Json = False,  # noqa: FBT002
    csv: Csv = False,  # noqa: FBT002
    parquet: Parquet = False,  # noqa: FBT002
) -> None:
    """Fetch an exchange's trading halts of the last year, the newest first; once a minute."""
    target = _target(output, json=json, csv=csv, parquet=parquet)
    from alltick_frames import api  # noqa: PLC0415

    # What is none of the names is refused there, with those that are.
    call = functools.partial(api.get_suspensions, cast("Exchange", exchange), frame="arrow", max_wait=max_wait)
    _hand_over(call, target, _drawn(f"Halts of {exchange}, in its own time", _HALTS), "halts")


# What people look at; files have all columns.
_BARS = ("code", "period", "timestamp", "open", "high", "low", "close", "volume", "closed")
_TRADES = ("code", "timestamp", "price", "volume", "turnover", "side")
_LEVELS = ("code", "timestamp", "side", "level", "price", "volume", "limit_state")
_HALTS = ("code", "name", "reason", "halted_at", "resumes_at")
_LISTED = ("code", "asset_class", "name", "name_cn", "hours", "source")


@app.command()
def products(
    asset_class: Annotated[
        str | None, typer.Option("--class", "-c", help="forex metal energy crypto cfd_index index stock_hk stock_us …")
    ] = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Fetch the list anew")] = False,  # noqa: FBT002
    output: Output = None,
    json: Json = False,  # noqa: FBT002
    csv: Csv = False,  # noqa: FBT002
    parquet: Parquet = False,  # noqa: FBT002
) -> None:
    """List the vendor's products and their codes; needs no token."""
    target = _target(output, json=json, csv=csv, parquet=parquet)
    from alltick_frames import api  # noqa: PLC0415

    call = functools.partial(api.get_products, cast("ProductClass | None", asset_class), refresh=refresh, frame="arrow")
    _hand_over(call, target, _drawn("Products", _LISTED), "products")


@app.command()
def search(
    text: Annotated[str, typer.Argument(help="tencent, 腾讯, gold, 700, …")],
    asset_class: Annotated[
        str | None, typer.Option("--class", "-c", help="Only of this class, as for products")
    ] = None,
    output: Output = None,
    json: Json = False,  # noqa: FBT002
    csv: Csv = False,  # noqa: FBT002
    parquet: Parquet = False,  # noqa: FBT002
) -> None:
    """Find products by code or name, in English or Chinese; needs no token."""
    target = _target(output, json=json, csv=csv, parquet=parquet)
    from alltick_frames import api  # noqa: PLC0415

    call = functools.partial(
        api.search_products, text, asset_class=cast("ProductClass | None", asset_class), frame="arrow"
    )
    _hand_over(call, target, _drawn(f"Products like {text!r}", _LISTED, f"Nothing like {text!r}"), "products")


@app.command()
def watch(
    codes: Codes,
    period: OnePeriod = "1m",
    bars: Annotated[int | None, typer.Option("--bars", "-n", min=1, help="End after so many bars")] = None,
    json: Json = False,  # noqa: FBT002
    csv: Csv = False,  # noqa: FBT002
) -> None:
    """Print each bar once as it closes, until Ctrl-C."""
    target = _target(None, json=json, csv=csv, parquet=False)
    from alltick_frames import api, output  # noqa: PLC0415

    with warnings.catch_warnings():
        warnings.showwarning = _note
        closing = contextlib.closing(api.watch_kline(codes, period))  # type: ignore[type-var]  # a generator
        with closing as watched:
            rows = (bar._asdict() for bar in itertools.islice(watched, bars))
            form = target.format
            told = map(_as_line, rows) if form is None else output.lines(rows, form)  # type: ignore[arg-type]  # no other flag
            for line in told:
                # Who reads a pipe waits for it.
                print(line, flush=True)  # noqa: T201


@app.command()
def doctor(
    probe: Annotated[  # noqa: FBT002  # a flag
        bool, typer.Option("--probe", help="Also ask how the service reads what is undocumented: 12 requests at most")
    ] = False,
    output: Output = None,
    json: Json = False,  # noqa: FBT002
    csv: Csv = False,  # noqa: FBT002
    parquet: Parquet = False,  # noqa: FBT002
) -> None:
    """Check settings, token, addresses, clocks, allowance, archive and packages.

    Ends with 5 if the token is refused, 2 if none is set, 6 if anything else is a problem.
    """
    target = _target(output, json=json, csv=csv, parquet=parquet)
    from alltick_frames import api  # noqa: PLC0415

    found: list[dict[str, Any]] = []

    def show(table: pa.Table) -> None:
        from alltick_frames.output import draw  # noqa: PLC0415

        signs = {"ok": "✓", "note": "·", "problem": "✗"}
        rows = [{"": signs[row["status"]], **row} for row in table.to_pylist()]
        draw(rows, "How everything stands", {"": "", "topic": "topic", "finding": "finding", "assumed": "assumed"})

    def examined() -> pa.Table:
        table = api.doctor(probe=probe, frame="arrow")
        found.extend(row for row in table.to_pylist() if row["status"] == "problem")
        return table

    _hand_over(examined, target, show, "findings")
    if found:
        token = next((row for row in found if row["topic"] == "token"), None)
        code = 6 if token is None else 2 if "none is set" in token["finding"] else 5
        raise typer.Exit(code)


def _as_line(bar: dict[str, Any]) -> str:
    prices = "  ".join(f"{name} {bar[name]:<10.10g}" for name in ("open", "high", "low", "close"))
    volume = "" if bar["volume"] is None else f"  volume {bar['volume']:,.10g}"
    return f"{bar['timestamp']:%Y-%m-%d %H:%M}Z  {bar['code']:<10} {bar['period']:<3}  {prices}{volume}".rstrip()


def _target(output: Path | None, *, json: bool, csv: bool, parquet: bool) -> Target:
    from alltick_frames.output import target_of  # noqa: PLC0415

    return target_of(output, {"json": json, "csv": csv, "parquet": parquet})


def _drawn(title: str, columns: tuple[str, ...] = (), empty: str = "") -> Callable[[pa.Table], None]:
    """Give what draws a table, of its *columns* these alone."""
    from alltick_frames.output import draw  # noqa: PLC0415

    def show(table: pa.Table) -> None:
        rows = table.select([*columns] if columns else table.column_names).to_pylist()
        draw(rows, title if rows or not empty else empty)

    return show


def _hand_over(call: Callable[[], pa.Table], target: Target, show: Callable[[pa.Table], None], what: str) -> None:
    """Make the *call*, and hand over what there is, also of a call that fails."""
    from alltick_frames.output import write  # noqa: PLC0415

    failure: AllTickError | None = None
    with warnings.catch_warnings():
        warnings.showwarning = _note
        try:
            table = call()
        except KeyboardInterrupt:
            typer.echo("alltick: interrupted; what came is kept, and the same command goes on from there", err=True)
            raise
        except AllTickError as error:
            if error.frame is None or not (len(error.frame) or isinstance(error, IncompleteDataError)):
                raise
            failure, table = error, error.frame
    if target.format is None:
        show(table)
    else:
        write(table, target)
    if target.path is not None:
        typer.echo(f"{len(table):,} {what} → {target.path}")
    if failure is not None:
        raise failure  # after what there is has been handed over


def _fact(value: Any) -> str:
    return f"{value:,.12g}" if isinstance(value, int | float) else str(value)


def _note(message: Warning | str, *_where: object, **_more: object) -> None:
    typer.echo(f"alltick: note: {message}", err=True)


def _range(text: str) -> str | int:
    return int(text) if text.isdecimal() else text


def _as_text(frame: pl.DataFrame) -> str:
    """Show a frame without breaking its lines: in a narrow terminal with fewer columns and no frame around them."""
    import polars as pl  # noqa: PLC0415

    from alltick_frames.output import WIDE  # noqa: PLC0415

    if shutil.get_terminal_size(fallback=(WIDE, 24)).columns >= WIDE:
        with pl.Config(tbl_width_chars=WIDE):
            return str(frame)
    with pl.Config(tbl_formatting="NOTHING", tbl_hide_column_data_types=True, tbl_cols=6, tbl_width_chars=WIDE):
        return str(frame)


@app.command()
def coverage(
    codes: SomeCodes = None,
    period: SomePeriod = None,
    output: Output = None,
    json: Json = False,  # noqa: FBT002
    csv: Csv = False,  # noqa: FBT002
    parquet: Parquet = False,  # noqa: FBT002
) -> None:
    """List what the archive holds, and what is missing; sends nothing."""
    target = _target(output, json=json, csv=csv, parquet=parquet)
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

    _hand_over(functools.partial(api.coverage, codes or None, period, frame="arrow"), target, show, "spans")


_SPANS = {"code": "code", "period": "period", "start": "from", "end": "to (UTC, not included)", "bars": "bars"}


@app.command()
def gaps(
    codes: SomeCodes = None,
    period: SomePeriod = None,
    min_bars: Annotated[
        int | None, typer.Option("--min-bars", help="List every stretch of so many bars, and not only unusual ones")
    ] = None,
    output: Output = None,
    json: Json = False,  # noqa: FBT002
    csv: Csv = False,  # noqa: FBT002
    parquet: Parquet = False,  # noqa: FBT002
) -> None:
    """List suspicious holes within trading hours in what the archive holds; sends nothing."""
    target = _target(output, json=json, csv=csv, parquet=parquet)
    from alltick_frames import api  # noqa: PLC0415
    from alltick_frames.output import draw  # noqa: PLC0415

    def show(table: pa.Table) -> None:
        rows = [gap | {"why": ": ".join(filter(None, (gap["reason"], gap["detail"])))} for gap in table.to_pylist()]
        title = "Bars that lack within trading hours" if rows else "No suspicious holes"
        draw(rows, title, _SPANS | {"why": "because", "calendar": "hours by"})

    call = functools.partial(api.gaps, codes or None, period, frame="arrow", min_bars=min_bars)
    _hand_over(call, target, show, "holes")


@app.command()
def restatements(
    codes: SomeCodes = None,
    period: SomePeriod = None,
    output: Output = None,
    json: Json = False,  # noqa: FBT002
    csv: Csv = False,  # noqa: FBT002
    parquet: Parquet = False,  # noqa: FBT002
) -> None:
    """List the closed bars that a later answer changed; sends nothing."""
    target = _target(output, json=json, csv=csv, parquet=parquet)
    from alltick_frames import api  # noqa: PLC0415

    call = functools.partial(api.restatements, codes or None, period, frame="arrow")
    _hand_over(call, target, _drawn("Bars that were changed", (), "No bar was changed"), "values")


@app.command()
def update(
    codes: Annotated[list[str] | None, typer.Argument(help="Only these codes; default all that are held")] = None,
    period: Annotated[
        list[str] | None, typer.Option("--period", "-p", help="Only this period; may be given several times")
    ] = None,
    max_wait: MaxWait = None,
    when: Annotated[  # noqa: FBT002  # a flag
        bool, typer.Option("--when", help="Say when the next update must begin at the latest; sends nothing")
    ] = False,
    output: Output = None,
    json: Json = False,  # noqa: FBT002
    csv: Csv = False,  # noqa: FBT002
    parquet: Parquet = False,  # noqa: FBT002
) -> None:
    """Bring what the archive holds up to date, and report what came and what is lost."""
    target = _target(output, json=json, csv=csv, parquet=parquet)
    if when:
        _show_due(codes or None, period or None)
        return
    from alltick_frames import api  # noqa: PLC0415

    call = functools.partial(api.update, codes or None, period or None, frame="arrow", max_wait=max_wait)
    _hand_over(call, target, _show_report, "series")


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
app.add_typer(cache, name="cache")


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
