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
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from alltick_frames import archive_commands
from alltick_frames.errors import (
    AllTickError,
)
from alltick_frames.options import (
    Codes,
    Csv,
    Json,
    MaxWait,
    OnePeriod,
    Output,
    Parquet,
    Range,
    drawn,
    exit_code,
    hand_over,
    note,
    range_of,
    target_for,
)
from alltick_frames.plans import PLANS, plan_named

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from alltick_frames.catalog import ProductClass
    from alltick_frames.wire import Exchange

__all__ = ["main"]

# No locals in crash output: they could hold what a log must not. The traceback itself is wanted.
app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="AllTick market data as typed frames.",
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


@app.command()
def get(
    codes: Codes,
    period: OnePeriod,
    range: Range,
    output: Output = None,
    max_wait: MaxWait = None,
    json: Json = False,
    csv: Csv = False,
    parquet: Parquet = False,
) -> None:
    """Fetch bars and print them or write them to a file."""
    target = target_for(output, json=json, csv=csv, parquet=parquet)
    from alltick_frames import api  # noqa: PLC0415  # --help should not wait for Polars

    def show(table: pa.Table) -> None:
        import polars as pl  # noqa: PLC0415

        typer.echo(_as_text(pl.DataFrame(pl.from_arrow(table)).with_columns(pl.col("code").cast(pl.String))))

    hand_over(
        lambda: api.get_kline(codes, period, range_of(range), frame="arrow", max_wait=max_wait), target, show, "bars"
    )


@app.command()
def estimate(
    codes: Codes,
    period: OnePeriod,
    range: Annotated[str, typer.Option("--range", "-r", help="As for get")],
) -> None:
    """Say what get would send and take; sends nothing."""
    from alltick_frames import api  # noqa: PLC0415

    typer.echo(api.estimate_kline(codes, period, range_of(range)))


@app.command()
def latest(
    codes: Codes,
    period: Annotated[list[str], typer.Option("--period", "-p", help="A period; may be given several times")] = ["1m"],  # noqa: B006  # typer's
    output: Output = None,
    max_wait: MaxWait = None,
    json: Json = False,
    csv: Csv = False,
    parquet: Parquet = False,
) -> None:
    """Fetch the newest two bars of each code and period, the forming one marked."""
    target = target_for(output, json=json, csv=csv, parquet=parquet)
    from alltick_frames import api  # noqa: PLC0415

    call = functools.partial(api.get_latest_kline, codes, period, frame="arrow", max_wait=max_wait)
    hand_over(call, target, drawn("The newest bars, in UTC", _BARS), "bars")


@app.command()
def trade(
    codes: Codes,
    output: Output = None,
    max_wait: MaxWait = None,
    json: Json = False,
    csv: Csv = False,
    parquet: Parquet = False,
) -> None:
    """Fetch the last trade of each code."""
    target = target_for(output, json=json, csv=csv, parquet=parquet)
    from alltick_frames import api  # noqa: PLC0415

    call = functools.partial(api.get_last_trade, codes, frame="arrow", max_wait=max_wait)
    hand_over(call, target, drawn("The last trades, in UTC", _TRADES), "trades")


@app.command()
def book(
    codes: Codes,
    levels: Annotated[int | None, typer.Option("--levels", "-l", help="At most so many of each side")] = None,
    output: Output = None,
    max_wait: MaxWait = None,
    json: Json = False,
    csv: Csv = False,
    parquet: Parquet = False,
) -> None:
    """Fetch the order book of each code, the best level first."""
    target = target_for(output, json=json, csv=csv, parquet=parquet)
    from alltick_frames import api  # noqa: PLC0415

    call = functools.partial(api.get_order_book, codes, levels, frame="arrow", max_wait=max_wait)
    hand_over(call, target, drawn("Order books, in UTC", _LEVELS), "levels")


@app.command("info")
def static_info(
    codes: Codes,
    output: Output = None,
    max_wait: MaxWait = None,
    json: Json = False,
    csv: Csv = False,
    parquet: Parquet = False,
) -> None:
    """Fetch names, lot sizes and share capital of stocks."""
    target = target_for(output, json=json, csv=csv, parquet=parquet)
    from alltick_frames import api  # noqa: PLC0415

    def show(table: pa.Table) -> None:
        # A stock has more columns than a terminal.
        from alltick_frames.output import draw  # noqa: PLC0415

        for row in table.to_pylist():
            facts = [{"field": name, "value": _fact(value)} for name, value in row.items() if value is not None]
            draw(facts, row["code"])

    hand_over(functools.partial(api.get_static_info, codes, frame="arrow", max_wait=max_wait), target, show, "stocks")


@app.command()
def halts(
    exchange: Annotated[str, typer.Argument(help="sse, nyse or nasdaq")],
    output: Output = None,
    max_wait: MaxWait = None,
    json: Json = False,
    csv: Csv = False,
    parquet: Parquet = False,
) -> None:
    """Fetch an exchange's trading halts of the last year, the newest first; once a minute."""
    target = target_for(output, json=json, csv=csv, parquet=parquet)
    from alltick_frames import api  # noqa: PLC0415

    # What is none of the names is refused there, with those that are.
    call = functools.partial(api.get_suspensions, cast("Exchange", exchange), frame="arrow", max_wait=max_wait)
    hand_over(call, target, drawn(f"Halts of {exchange}, in its own time", _HALTS), "halts")


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
    refresh: Annotated[bool, typer.Option("--refresh", help="Fetch the list anew")] = False,
    output: Output = None,
    json: Json = False,
    csv: Csv = False,
    parquet: Parquet = False,
) -> None:
    """List the vendor's products and their codes; needs no token."""
    target = target_for(output, json=json, csv=csv, parquet=parquet)
    from alltick_frames import api  # noqa: PLC0415

    call = functools.partial(api.get_products, cast("ProductClass | None", asset_class), refresh=refresh, frame="arrow")
    hand_over(call, target, drawn("Products", _LISTED), "products")


@app.command()
def search(
    text: Annotated[str, typer.Argument(help="tencent, 腾讯, gold, 700, …")],
    asset_class: Annotated[
        str | None, typer.Option("--class", "-c", help="Only of this class, as for products")
    ] = None,
    output: Output = None,
    json: Json = False,
    csv: Csv = False,
    parquet: Parquet = False,
) -> None:
    """Find products by code or name, in English or Chinese; needs no token."""
    target = target_for(output, json=json, csv=csv, parquet=parquet)
    from alltick_frames import api  # noqa: PLC0415

    call = functools.partial(
        api.search_products, text, asset_class=cast("ProductClass | None", asset_class), frame="arrow"
    )
    hand_over(call, target, drawn(f"Products like {text!r}", _LISTED, f"Nothing like {text!r}"), "products")


@app.command()
def watch(
    codes: Codes,
    period: OnePeriod = "1m",
    bars: Annotated[int | None, typer.Option("--bars", "-n", min=1, help="End after so many bars")] = None,
    json: Json = False,
    csv: Csv = False,
) -> None:
    """Print each bar once as it closes, until Ctrl-C."""
    target = target_for(None, json=json, csv=csv, parquet=False)
    from alltick_frames import api, output  # noqa: PLC0415

    with warnings.catch_warnings():
        warnings.showwarning = note
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
    probe: Annotated[
        bool, typer.Option("--probe", help="Also ask how the service reads what is undocumented: 12 requests at most")
    ] = False,
    output: Output = None,
    json: Json = False,
    csv: Csv = False,
    parquet: Parquet = False,
) -> None:
    """Check settings, token, addresses, clocks, allowance, archive and packages.

    Ends with 5 if the token is refused, 2 if none is set, 6 if anything else is a problem.
    """
    target = target_for(output, json=json, csv=csv, parquet=parquet)
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

    hand_over(examined, target, show, "findings")
    if found:
        token = next((row for row in found if row["topic"] == "token"), None)
        code = 6 if token is None else 2 if "none is set" in token["finding"] else 5
        raise typer.Exit(code)


def _as_line(bar: dict[str, Any]) -> str:
    prices = "  ".join(f"{name} {bar[name]:<10.10g}" for name in ("open", "high", "low", "close"))
    volume = "" if bar["volume"] is None else f"  volume {bar['volume']:,.10g}"
    return f"{bar['timestamp']:%Y-%m-%d %H:%M}Z  {bar['code']:<10} {bar['period']:<3}  {prices}{volume}".rstrip()


def _fact(value: Any) -> str:
    return f"{value:,.12g}" if isinstance(value, int | float) else str(value)


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


# Those about the archive are commands like the others.
app.registered_commands += archive_commands.app.registered_commands
app.add_typer(archive_commands.cache, name="cache")


if __name__ == "__main__":
    main()
