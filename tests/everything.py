"""`python -m tests.everything DIRECTORY`: whatever can leave a trace is done once, and leaves it in DIRECTORY.

The sandbox and its token are in the environment.
"""

from __future__ import annotations

import asyncio
import copy
import faulthandler
import io
import logging
import os
import pickle
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import httpx
import polars as pl
import tenacity

import alltick_frames as at
from alltick_frames import attempts, transport
from alltick_frames.exports import Format
from alltick_frames.sandbox.faults import FAULTS
from tests.leaks import everything_a_traceback_shows

if TYPE_CHECKING:
    from collections.abc import Callable

CALL = ("EURUSD", "1h", "2026-03-02/2026-03-06")
LIMITS = {"kline": (500, 1), "combined": (500, 1), "minute": (30_000, 60)}


class Stopped(Exception):  # noqa: N818  # no error
    """What a caller raises to stop."""


def main(directory: Path) -> None:
    """Do everything."""
    logging.basicConfig(filename=directory / "log.txt", level=logging.DEBUG)
    logging.captureWarnings(capture=True)
    warnings.simplefilter("always")
    url, token = os.environ["ALLTICK_BASE_URL"], os.environ["ALLTICK_TOKEN"]
    server = at.sandbox.Sandbox(url, token, "professional", directory / "unused")
    del token
    (directory / "errors").mkdir()

    def failing(name: str, call: Callable[[], object]) -> None:
        try:
            call()
        except BaseException as error:  # noqa: BLE001  # all are to be seen
            (directory / "errors" / f"{name}.txt").write_text(everything_a_traceback_shows(error))
        else:
            raise AssertionError(f"{name} did not fail")

    succeed(directory)
    # What cannot be cured is given up soon.
    for module, name, value in (
        (transport, "_ANSWERED_WITHIN_S", 0.3),
        (attempts, "_FAULTS_BORNE", 2),
        (attempts, "_BACK_OFF", tenacity.wait_none()),
        (attempts, "_THROTTLED_AT_MOST_S", 0.2),
    ):
        setattr(module, name, value)
    at.Client(cache_dir=directory / "damaged").get_kline(*CALL)
    for index in (directory / "damaged").glob("*/cache.db*"):
        index.write_bytes(b"no database" * 1_000)
    for fault in FAULTS:
        server.configure(faults={fault: 1.0})
        # A pause is twice as long as the one before it.
        os.environ["ALLTICK_STATE_DIR"] = str(directory / "states" / fault)
        with at.Client(cache_dir=directory / "faults" / fault, limits=LIMITS) as client:
            failing(fault, lambda client=client: client.get_kline(*CALL))  # type: ignore[misc]
    server.configure(faults={})
    os.environ["ALLTICK_STATE_DIR"] = str(directory / "state")
    for name, settings in (
        ("unreachable", {"base_url": "http://127.0.0.1:9"}),
        ("unresolved", {"base_url": "https://quote.alltick.invalid"}),
        ("archive is a file", {"cache_dir": __file__}),
        ("archive is damaged", {"cache_dir": directory / "damaged"}),
        ("plan", {"plan": "gold"}),
        ("plain http", {"base_url": "http://quote.alltick.co"}),
        ("limits", {"limits": {"kline": "fast"}}),
    ):
        failing(name, lambda settings=settings: at.Client(**settings).get_kline(*CALL))  # type: ignore[misc]
    for name, arguments in (
        ("code", ("00700.HK", "1h", "1d")),
        ("period", ("EURUSD", "7m", "1d")),
        ("range", ("EURUSD", "1h", "2026-03-06/2026-03-02")),
        ("incomplete", ("700.HK", "1m", "2024-01-01/2024-01-31")),
        ("unknown", ("NOSUCHCODE", "1h", "1d")),
    ):
        failing(name, lambda arguments=arguments: at.get_kline(*arguments))  # type: ignore[misc]
    failing("among others", lambda: at.get_last_trade(["NOSUCHCODE", "EURUSD"]))
    failing("halts", lambda: at.get_suspensions("nowhere"))  # type: ignore[call-overload]
    failing("scanned", lambda: at.scan_kline("700.HK", "1m", "2024-01-01/2024-01-31").collect())
    failing("budget", lambda: at.get_kline("BTCUSDT", "1m", "30d", max_wait=0))
    failing("stopped", lambda: at.get_kline("BTCUSDT", "1m", "30d", progress=stop))
    address = server.url
    for name, act in (
        ("streamed, refused", lambda: next(at.stream_trades("NOSUCHCODE"))),
        ("streamed, wrong token", lambda: next(at.Client("wrong").stream_trades("BTCUSDT"))),
        ("streamed, plan", lambda: at.Client(limits={"codes_a_connection": 0}).stream_trades("BTCUSDT")),
        ("streamed to nobody", lambda: unreachable(directory)),
        ("streamed and cut off", lambda: cut_off(address)),
    ):
        failing(name, act)
    server.configure(latency_ms=300)
    failing("cancelled", lambda: asyncio.run(cancelled(), debug=True))
    server.configure(latency_ms=0)


def unreachable(directory: Path) -> None:
    """Wait a moment for a stream of which no connection opens."""

    async def waited() -> None:
        client = at.AsyncClient(
            base_url="http://127.0.0.1:9", cache_dir=directory / "none", limits={"stream": (1, 0.1)}
        )
        async with client, client.stream_trades("BTCUSDT") as stream:
            await asyncio.wait_for(anext(stream), 0.5)

    asyncio.run(waited(), debug=True)


def cut_off(address: str) -> None:
    """Be told in the middle of a stream that the token is no longer good."""
    # Not by its handle, which has the token.
    with at.Client(limits={"stream": (1, 0.1)}).stream_trades("BTCUSDT") as stream:
        next(stream)
        for disturbance in ("drop", "token_invalid"):
            httpx.post(f"{address}/_sandbox/streams?action={disturbance}")
            if disturbance == "drop":
                next(item for item in stream if isinstance(item, at.Gap))
        for _ in stream:
            pass


def succeed(directory: Path) -> None:
    """Fetch, show and keep everything that there is to be had."""
    with (directory / "progress.txt").open("w") as bar:
        stderr, sys.stderr = sys.stderr, bar
        frame = at.get_kline(*CALL, progress=True)
        sys.stderr = stderr
    table, pandas = at.get_kline(*CALL, frame="arrow"), at.get_kline(*CALL, frame="pandas")
    at.get_kline("GOLD", "1m", "2026-03-02/2026-03-03")  # more than the index keeps
    latest = [
        at.get_latest_kline(["EURUSD", "700.HK"], "1d"),
        at.get_last_trade(["EURUSD", "700.HK"]),
        at.get_order_book("700.HK"),
        at.get_static_info("700.HK"),
        at.get_suspensions("sse"),
        at.watch_kline("EURUSD", "1m"),
    ]
    updated = at.update(["EURUSD", "GOLD"], ["1h", "1d"])
    client = at.Client()
    asynchronous = at.AsyncClient()
    things: list[Any] = [client, asynchronous, client.settings, client.settings.token, at.Client.__new__(at.Client)]
    things += [
        client.estimate_kline("BTCUSDT", "1m", "1y"),
        at.coverage(),
        at.plot_coverage(),
        at.gaps(),
        at.restatements(),
        at.get_products(),
        at.search_products("gold"),
        frame,
        pandas,
        table,
    ]
    scanned = at.scan_kline(*CALL)
    things += [*latest, updated, scanned, scanned.explain(), scanned.explain(optimized=False), scanned.collect()]
    shown = io.StringIO()
    for thing in things:
        print(repr(thing), str(thing), f"{thing}", getattr(thing, "_repr_html_", str)(), file=shown)
        print(getattr(thing, "_repr_mimebundle_", dict)(), file=shown)
    (directory / "shown.txt").write_text(shown.getvalue() + table.schema.to_string() + str(table.schema.metadata))
    copies = [client, asynchronous, copy.copy(asynchronous), frame, pandas, table]
    (directory / "pickled").write_bytes(b"".join(map(pickle.dumps, copies)))
    for kind in get_args(Format):
        client.export(directory / f"export.{kind}", format=kind)
    frame.write_parquet(directory / "frame.parquet")
    frame.write_csv(directory / "frame.csv")
    frame.write_ipc(directory / "frame.arrow")
    pandas.to_pickle(directory / "frame.pickle")
    pl.DataFrame(pl.from_arrow(table)).write_json(directory / "frame.json")
    with (directory / "threads.txt").open("w") as file:
        faulthandler.dump_traceback(file)


def stop(_done: int, _total: int, _eta: float) -> None:
    """Stop at the first answer."""
    raise Stopped


async def cancelled() -> None:
    """Leave a call that takes too long."""
    async with at.AsyncClient(limits=LIMITS) as client:
        await asyncio.wait_for(client.get_kline(["BTCUSDT", "GOLD"], "1m", "10d"), 0.5)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
