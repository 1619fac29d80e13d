"""A sandbox to ask, and a way to ask it: real HTTP against the real process."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from alltick_frames import sandbox as sandbox_package
from alltick_frames.sandbox.readings import Readings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alltick_frames.sandbox import Sandbox

NUMBERS = {"1m": 1, "5m": 2, "15m": 3, "30m": 4, "1h": 5, "2h": 6, "4h": 7, "1d": 8, "1w": 9, "1mo": 10}


class Asker:
    """A minimal client written from the protocol's text."""

    def __init__(self, sandbox: Sandbox, http: httpx.Client) -> None:
        self.sandbox = sandbox
        self.http = http

    def raw(self, path: str, **parameters: str) -> httpx.Response:
        return self.http.get(self.sandbox.url + path, params=parameters)

    def query(self, query: Any, family: str = "quote-b-api", token: str | None = None) -> httpx.Response:
        text = query if isinstance(query, str) else json.dumps(query)
        return self.raw(f"/{family}/kline", token=token or self.sandbox.token, query=text)

    def symbols(self, endpoint: str, *codes: str, family: str | None = None) -> httpx.Response:
        """Ask one of the endpoints that take a list of codes, of the family of the first one."""
        if family is None:
            family = "quote-stock-b-api" if codes[0].endswith((".HK", ".US", ".SH", ".SZ")) else "quote-b-api"
        query = {"trace": "t-1", "data": {"symbol_list": [{"code": code} for code in codes]}}
        return self.raw(f"/{family}/{endpoint}", token=self.sandbox.token, query=json.dumps(query))

    def listed(self, endpoint: str, *codes: str) -> list[dict[str, Any]]:
        """Return the list in such an endpoint's answer."""
        answer = self.symbols(endpoint, *codes).json()
        assert answer["ret"] == 200, answer
        (rows,) = answer["data"].values()
        listed: list[dict[str, Any]] = rows
        return listed

    def kline(self, code: str, period: str | int, end: float = 0, num: int = 500, **data: Any) -> httpx.Response:
        fields = {
            "code": code,
            "kline_type": NUMBERS[period] if isinstance(period, str) else period,
            "kline_timestamp_end": int(end),
            "query_kline_num": num,
            "adjust_type": 0,
        }
        family = "quote-stock-b-api" if code.endswith((".HK", ".US", ".SH", ".SZ")) else "quote-b-api"
        return self.query({"trace": "t-1", "data": fields | data}, family)

    def bars(self, code: str, period: str, end: float = 0, num: int = 500) -> list[dict[str, Any]]:
        answer = self.kline(code, period, end, num).json()
        assert answer["ret"] == 200, answer
        rows: list[dict[str, Any]] = answer["data"]["kline_list"]
        return rows

    def stamps(self, code: str, period: str, end: float = 0, num: int = 500) -> list[int]:
        return [int(bar["timestamp"]) for bar in self.bars(code, period, end, num)]


def at(text: str) -> int:
    """Return ISO *text* (UTC) as epoch seconds."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@pytest.fixture(scope="session")
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=20) as client:
        yield client


@pytest.fixture(scope="module")
def shared(http: httpx.Client) -> Iterator[Asker]:
    """Give one sandbox per file: Professional, no limits, Wednesday 2026-03-18 09:00:30 UTC for ever."""
    with sandbox_package.running(clock="2026-03-18T09:00:30Z", frozen=True, limits=False) as running:
        yield Asker(running, http)


@pytest.fixture
def ask(shared: Asker) -> Iterator[Asker]:
    """Give the file's sandbox with nothing counted and default readings afterwards."""
    shared.sandbox.reset()
    yield shared
    shared.sandbox.reset()
    shared.sandbox.configure(
        plan="professional",
        limits=False,
        count_rejected=False,
        readings=asdict(Readings()),
        faults={},
        latency_ms=0,
        jitter_ms=0,
        seed=0,
        books={},
        silent_codes=[],
        sheets={},
    )
    shared.sandbox.end_replays()
    shared.sandbox.set_clock("2026-03-18T09:00:30Z", frozen=True)
