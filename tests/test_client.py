"""Clients where researchers run them: scripts, running loops, threads, forks, other processes."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

import alltick_frames as at
from alltick_frames import api

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import polars as pl

CALL = ("EURUSD", "1h", "2026-03-02/2026-03-06")


@pytest.fixture
def environment(server: at.sandbox.Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[at.sandbox.Sandbox]:
    """Point the environment at the sandbox and forget the default client before and after."""
    monkeypatch.setenv("ALLTICK_TOKEN", server.token)
    monkeypatch.setenv("ALLTICK_BASE_URL", server.url)
    monkeypatch.setenv("ALLTICK_PLAN", "professional")
    api.forget()
    yield server
    api.forget()


def run(source: str, server: at.sandbox.Sandbox, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run *source* in a fresh interpreter with the environment set up for *server*."""
    settings = {"ALLTICK_TOKEN": server.token, "ALLTICK_BASE_URL": server.url, "ALLTICK_PLAN": "professional"}
    return subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore:this machine's clock", "-c", textwrap.dedent(source)],
        env={**os.environ, **settings, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_script_ends_by_itself(server: at.sandbox.Sandbox) -> None:
    done = run(
        """
        import alltick_frames as at
        print(at.get_kline("EURUSD", "1h", "2026-03-02/2026-03-06").height)
        """,
        server,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("118\n", "", 0)


def test_a_running_loop_is_no_obstacle(environment: at.sandbox.Sandbox) -> None:
    async def cell() -> pl.DataFrame:
        return at.get_kline(*CALL)  # as a notebook cell does: synchronously, inside a loop that runs

    assert asyncio.run(cell()).height == 118


def test_the_async_client_gives_the_same_frame(environment: at.sandbox.Sandbox) -> None:
    async def fetch() -> pl.DataFrame:
        async with at.AsyncClient() as client:
            first, second = await asyncio.gather(client.get_kline(*CALL), client.get_kline(*CALL))
            assert first.equals(second)
            return first

    assert asyncio.run(fetch()).equals(at.get_kline(*CALL))


def test_the_async_client_serves_one_event_loop_after_another(environment: at.sandbox.Sandbox) -> None:
    client = at.AsyncClient()
    heights = [asyncio.run(_fetch_and_close(client)) for _ in range(2)]
    assert heights == [118, 118]


async def _fetch_and_close(client: at.AsyncClient) -> int:
    height = (await client.get_kline(*CALL)).height
    await client.aclose()
    return height


def test_eight_threads_share_one_client(connect: Callable[..., at.Client]) -> None:
    client = connect()
    codes = ["EURUSD", "GBPUSD", "USDJPY", "AUDUSD", "USDCAD", "USDCHF", "EURGBP", "EURJPY"]
    barrier = threading.Barrier(8)

    def fetch(code: str) -> pl.DataFrame:
        barrier.wait()
        return client.get_kline(code, "1m", "2026-03-10/2026-03-11")

    with ThreadPoolExecutor(8) as threads:
        frames = list(threads.map(fetch, codes))
    assert [frame["code"].unique().item() for frame in frames] == codes
    assert {frame.height for frame in frames} == {2 * 1440}


def _fetch_in_child(client: at.Client, results: Any) -> None:
    results.put(client.get_kline(*CALL).height)
    client.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")
def test_a_forked_child_fetches_with_the_clients_of_its_parent(connect: Callable[..., at.Client]) -> None:
    client = connect()
    assert client.get_kline(*CALL).height == 118  # the parent's loop and connections exist
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    with warnings.catch_warnings():
        # From Python 3.12 on forking beside threads warns; that it works all the same is what is tested.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = context.Process(target=_fetch_in_child, args=(client, results))
        child.start()
    assert results.get(timeout=30) == 118
    child.join(timeout=10)
    assert child.exitcode == 0
    assert client.get_kline(*CALL).height == 118


def test_a_closed_client_starts_again(connect: Callable[..., at.Client]) -> None:
    client = connect()
    for _ in range(2):
        assert client.get_kline(*CALL).height == 118
        client.close()


def loop_thread_since(before: set[threading.Thread]) -> threading.Thread:
    """Give the client's own thread; the one that wrote to the archive may take a moment to end."""
    (background,) = [one for one in set(threading.enumerate()) - before if one.name == "alltick_frames"]
    return background


def test_closing_ends_the_background_thread(connect: Callable[..., at.Client]) -> None:
    before = set(threading.enumerate())
    with connect() as client:
        client.get_kline(*CALL)
        background = loop_thread_since(before)
    background.join(timeout=2)
    assert not background.is_alive()


def test_a_forgotten_client_ends_its_background_thread(server: at.sandbox.Sandbox, tmp_path: Path) -> None:
    before = set(threading.enumerate())
    client = at.Client(**{**server.settings, "cache_dir": tmp_path})
    client.get_kline(*CALL)
    background = loop_thread_since(before)
    del client
    background.join(timeout=2)
    assert not background.is_alive()


def test_a_pickle_has_no_token_and_takes_it_from_the_environment(
    environment: at.sandbox.Sandbox, connect: Callable[..., at.Client]
) -> None:
    client = connect(frame="pandas")
    pickled = pickle.dumps(client)
    assert environment.token.encode() not in pickled
    copy = pickle.loads(pickled)
    assert copy.settings == client.settings
    assert len(copy.get_kline(*CALL)) == 118
    copy.close()


def test_a_pickle_opened_without_a_token_says_so(
    connect: Callable[..., at.Client],
) -> None:
    copy = pickle.loads(pickle.dumps(connect()))
    with pytest.raises(at.ConfigError, match="ALLTICK_TOKEN"):
        copy.get_kline(*CALL)
    copy.close()


class TestDefaultClient:
    def test_it_is_made_from_the_environment_of_the_moment(
        self, environment: at.sandbox.Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ALLTICK_FRAME", "pandas")
        assert type(at.get_kline(*CALL)).__module__.startswith("pandas")

    def test_configure_adds_to_what_was_configured(self, environment: at.sandbox.Sandbox) -> None:
        at.configure(token=environment.token, limits={"day": (1_000_000, 86_400)})
        at.configure(frame="arrow")
        table: Any = at.get_kline(*CALL)
        assert table.num_rows == 118

    def test_a_setting_that_cannot_be_used_changes_nothing(self, environment: at.sandbox.Sandbox) -> None:
        at.configure(frame="arrow")
        with pytest.raises(at.ConfigError, match="plan='gold'"):
            at.configure(plan="gold", frame="pandas")
        table: Any = at.get_kline(*CALL)
        assert table.num_rows == 118

    def test_a_misspelt_setting_is_a_type_error(self) -> None:
        with pytest.raises(TypeError, match="tokn"):
            at.configure(tokn="x")  # type: ignore[call-arg]

    def test_no_token_says_how_to_give_one(
        self, environment: at.sandbox.Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("ALLTICK_TOKEN")
        with pytest.raises(at.ConfigError, match=r"ALLTICK_TOKEN.*configure\(token=\.\.\.\).*alltick demo"):
            at.get_kline(*CALL)

    def test_no_plan_means_free_and_is_said_once(
        self, environment: at.sandbox.Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("ALLTICK_PLAN")
        with pytest.warns(at.PlanWarning, match="Free plan's limits"):
            at.get_kline(*CALL)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert at.get_kline("EURUSD", "1h", "2026-03-06T10:00Z/2026-03-06T10:00Z").is_empty()
