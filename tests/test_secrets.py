"""The token is nowhere but in the request."""

from __future__ import annotations

import asyncio
import base64
import copy
import io
import logging
import pickle
import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
import pytest
from rich.console import Console
from rich.traceback import Traceback

import alltick_frames as at
from alltick_frames.ledger import ledger_for
from alltick_frames.plans import plan_named
from alltick_frames.settings import Token
from alltick_frames.transport import Transport
from alltick_frames.wire import Answer, KlineRequest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Characters that URLs must escape, so that its encoded form differs.
TOKEN = "s3cr3t/+tok en=0123456789abcdef-c-app"
FORMS = (TOKEN, quote(TOKEN, safe=""), quote(TOKEN), base64.b64encode(TOKEN.encode()).decode(), "s3cr3t")
CALL = ("EURUSD", "1h", "2026-03-02/2026-03-06")


@pytest.fixture(scope="module")
def one_guarded() -> Iterator[at.sandbox.Sandbox]:
    with at.sandbox.running(token=TOKEN, clock="2026-03-18T15:00:30Z", frozen=True) as server:
        yield server


@pytest.fixture
def guarded(one_guarded: at.sandbox.Sandbox, tmp_path: Path) -> at.sandbox.Sandbox:
    one_guarded.settings["cache_dir"] = tmp_path / "archive"
    return one_guarded


@pytest.fixture
def everything_logged() -> Iterator[io.StringIO]:
    """Collect what every logger says at DEBUG."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield written
    root.removeHandler(handler)
    root.setLevel(level)


def holds_token(text: str | bytes) -> bool:
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    return any(form in text for form in FORMS)


def everything_a_traceback_shows(error: BaseException) -> str:
    """Render *error* with all locals, chained exceptions included, as pytest, rich and sentry would."""
    shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    console = Console(file=io.StringIO(), width=10_000)
    console.print(
        Traceback.from_exception(
            type(error), error, error.__traceback__, show_locals=True, locals_max_string=9_999, locals_max_length=999
        )
    )
    assert isinstance(console.file, io.StringIO)
    return shown + console.file.getvalue() + repr(error) + repr(vars(error)) + _chain(error)


def _chain(error: BaseException | None) -> str:
    return "" if error is None else repr(error) + _chain(error.__cause__) + _chain(error.__context__)


def test_the_search_would_find_a_token() -> None:
    def careless(url: str) -> None:
        raise RuntimeError(len(url))

    with pytest.raises(RuntimeError) as caught:
        careless(f"https://quote.example/?token={quote(TOKEN, safe='')}")
    assert holds_token(everything_a_traceback_shows(caught.value))


def test_logs_at_debug_do_not_hold_it(guarded: at.sandbox.Sandbox, everything_logged: io.StringIO) -> None:
    with at.Client(**guarded.settings) as client:
        assert client.get_kline(*CALL).height == 118
    written = everything_logged.getvalue()
    assert "send_request_headers" in written  # httpcore did log
    assert not holds_token(written)


@pytest.mark.parametrize(
    "fault",
    ["drop", "drop_mid_body", "truncated", "garbage", "throttled", "token_invalid", "header_invalid", "bad_gateway"],
)
def test_no_failure_shows_it(guarded: at.sandbox.Sandbox, everything_logged: io.StringIO, fault: str) -> None:
    async def ask() -> None:
        async with at.AsyncClient(**guarded.settings) as client:
            # Faults that may pass are retried for longer than this test waits: then the interruption must be clean.
            await asyncio.wait_for(client.get_kline(*CALL), 0.6)

    guarded.configure(faults={fault: 1.0})
    with pytest.raises((at.AllTickError, TimeoutError)) as caught:
        asyncio.run(ask())
    guarded.configure(faults={})
    assert not holds_token(everything_a_traceback_shows(caught.value))
    assert not holds_token(everything_logged.getvalue())


async def send(transport: Transport, request: KlineRequest) -> Answer:
    return await transport.send(request, await transport.turn())


def test_an_unreachable_host_does_not_show_it(everything_logged: io.StringIO) -> None:
    transport = Transport("http://127.0.0.1:9", Token(TOKEN), _free_ledger("unreachable"), _clock)
    with pytest.raises(at.TransportError, match="ConnectError") as caught:
        asyncio.run(send(transport, KlineRequest("EURUSD", at.Period("1h"))))
    assert not holds_token(everything_a_traceback_shows(caught.value))
    assert not holds_token(everything_logged.getvalue())


def test_whatever_the_http_library_raises_is_raised_without_its_frames() -> None:
    class Breaking(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            url = str(request.url)  # a local that holds the token, as httpx's own frames do
            raise self.error from RuntimeError(url)

        error: BaseException = httpx.ReadError("gone")

    kinds: list[BaseException] = [
        httpx.ReadError("gone"),
        httpx.ConnectTimeout("slow"),
        OSError("no route"),
        RuntimeError("a bug of the library"),
        asyncio.CancelledError("stopped"),
    ]
    for kind in kinds:
        http = Breaking()
        http.error = kind
        transport = Transport("https://quote.example", Token(TOKEN), _free_ledger("breaking"), _clock, http)
        with pytest.raises((at.TransportError, RuntimeError, asyncio.CancelledError)) as caught:
            asyncio.run(send(transport, KlineRequest("EURUSD", at.Period("1h"))))
        assert not holds_token(everything_a_traceback_shows(caught.value)), kind


def test_a_redirect_is_refused_and_its_address_not_logged(everything_logged: io.StringIO) -> None:
    sent: list[str] = []

    def redirect(request: httpx.Request) -> httpx.Response:
        sent.append(str(request.url))
        return httpx.Response(302, headers={"location": f"https://elsewhere.example/?token={quote(TOKEN, safe='')}"})

    transport = Transport(
        "https://quote.example", Token(TOKEN), _free_ledger("redirect"), _clock, httpx.MockTransport(redirect)
    )
    answer = asyncio.run(send(transport, KlineRequest("EURUSD", at.Period("1h"))))
    assert answer.status == 302
    assert len(sent) == 1
    assert holds_token(sent[0])  # the one place where it belongs
    logging.getLogger("httpcore.http11").debug("location: https://x/?token=%s", quote(TOKEN, safe=""))
    assert not holds_token(everything_logged.getvalue())


def test_reprs_and_pickles_do_not_hold_it(guarded: at.sandbox.Sandbox) -> None:
    with at.Client(**guarded.settings) as client:
        asynchronous = at.AsyncClient(**guarded.settings)
        for thing in (client, asynchronous, client.settings, Token(TOKEN), guarded, at.IncompleteDataError("x")):
            assert not holds_token(repr(thing))
            assert not holds_token(str(thing))
            assert not holds_token(f"{thing}")
        for thing in (client, asynchronous, copy.copy(asynchronous)):
            assert not holds_token(pickle.dumps(thing))
        with pytest.raises(TypeError, match="never pickled"):
            pickle.dumps(Token(TOKEN))


@pytest.mark.parametrize("make", [at.Client, at.AsyncClient, at.configure], ids=lambda make: make.__name__)
def test_a_setting_refused_beside_it_does_not_show_it(make: Any) -> None:
    with pytest.raises(at.ConfigError, match="plan='gold'") as caught:
        make(token=Token(TOKEN).reveal(), plan="gold")
    assert not holds_token(everything_a_traceback_shows(caught.value))


def test_a_half_made_client_can_be_shown() -> None:
    assert repr(at.Client.__new__(at.Client)) == "Client(not initialised)"
    assert repr(at.AsyncClient.__new__(at.AsyncClient)) == "AsyncClient(not initialised)"


def test_frames_do_not_hold_it(guarded: at.sandbox.Sandbox) -> None:
    with at.Client(**guarded.settings) as client:
        table = client.get_kline(*CALL, frame="arrow")
    assert not holds_token(str(table.schema.metadata) + table.schema.to_string())
    assert not holds_token(pickle.dumps(table))


def _clock() -> datetime:
    return datetime.now(UTC)


def _free_ledger(name: str) -> Any:
    return ledger_for(name, plan_named("professional"))
