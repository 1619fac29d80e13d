"""One sandbox process for the whole run, fresh for each test; clients that do not wait where a test need not."""

from __future__ import annotations

import os
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

import alltick_frames as at
from alltick_frames import clocks
from alltick_frames.sandbox.readings import Readings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import polars as pl

# A Wednesday in European and American trading hours; the 1-minute bar of 15:00 is forming.
NOW = "2026-03-18T15:00:30Z"
# A busy machine is slow, which is no finding.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")
# The person's own settings, for the tests that ask the live service.
LIVE = {name: os.environ[name] for name in ("ALLTICK_TOKEN", "ALLTICK_PLAN") if os.environ.get(name)}
UNHURRIED = {"kline": (2_000, 1), "combined": (2_000, 1), "minute": (60_000, 60)}


@pytest.fixture(scope="session")
def shared_server() -> Iterator[at.sandbox.Sandbox]:
    with at.sandbox.running(clock=NOW, frozen=True, limits=False) as server:
        yield server


@pytest.fixture
def server(shared_server: at.sandbox.Sandbox) -> Iterator[at.sandbox.Sandbox]:
    """A sandbox at `NOW` that counts from zero and does not limit rates."""
    shared_server.reset()
    yield shared_server
    shared_server.reset()
    shared_server.end_replays()
    shared_server.configure(
        readings=asdict(Readings()),
        faults={},
        latency_ms=0,
        jitter_ms=0,
        plan="professional",
        limits=False,
        books={},
        silent_codes=[],
        sheets={},
    )
    shared_server.set_clock(NOW, frozen=True)


@pytest.fixture
def connect(server: at.sandbox.Sandbox, tmp_path: Path) -> Iterator[Callable[..., at.Client]]:
    """Make clients of the sandbox, each with an archive of its own, closed after the test."""
    clients: list[at.Client] = []

    def make(**settings: Any) -> at.Client:
        own = {"limits": UNHURRIED, "cache_dir": tmp_path / f"archive-{len(clients)}"}
        client = at.Client(**{**server.settings, **own, **settings})
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(connect: Callable[..., at.Client]) -> at.Client:
    return connect()


@pytest.fixture
def fewest(whole: pl.DataFrame, server: at.sandbox.Sandbox) -> int:
    """Give how many requests the file's `whole` costs where nothing fails, and count from zero."""
    assert whole.height
    requests: int = server.counters()["requests"]
    server.reset()
    return requests


@pytest.fixture
def set_clocks(server: at.sandbox.Sandbox, monkeypatch: pytest.MonkeyPatch) -> Callable[[str | datetime], None]:
    """Let the sandbox and its clients agree on what time it is, and stand still there."""

    def set_both(at: str | datetime) -> None:
        now = datetime.fromisoformat(at) if isinstance(at, str) else at
        server.set_clock(now, frozen=True)
        monkeypatch.setattr(clocks, "utc_now", lambda: now)

    return set_both


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (
        "TOKEN",
        "TOKEN_FILE",
        "PLAN",
        "BASE_URL",
        "WS_URL",
        "PRODUCTS_URL",
        "FRAME",
        "NETWORK",
        "ON_INCOMPLETE",
    ):
        monkeypatch.delenv(f"ALLTICK_{name}", raising=False)
    # Nothing that a test does may reach the archive or the ledger of the person who runs it.
    monkeypatch.setenv("ALLTICK_CACHE_DIR", str(tmp_path / "default archive"))
    monkeypatch.setenv("ALLTICK_STATE_DIR", str(tmp_path / "state"))
