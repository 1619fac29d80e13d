"""The application and the process that serves it, on loopback only."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import secrets
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.requests import Request

from alltick_frames.sandbox.connections import Connection
from alltick_frames.sandbox.control import control_app
from alltick_frames.sandbox.exchange import Exchange
from alltick_frames.sandbox.limits import plan_named
from alltick_frames.sandbox.state import State
from alltick_frames.sandbox.stream import serve_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from types import FrameType

    from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["create_app", "serve"]

CONTROL_PREFIX = "/_sandbox/"


def create_app(state: State) -> ASGIApp:
    """Return the ASGI application over *state*."""
    control = control_app(state, CONTROL_PREFIX)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(CONTROL_PREFIX):
            await control(scope, receive, send)
        elif scope["type"] == "http":
            # Before the limits count it: that is how a network brings two honest requests too close together.
            await asyncio.sleep(state.faults.jitter_s(state.jitter_ms))
            await Exchange(state, Request(scope, receive), receive, send).run()
        elif scope["type"] == "websocket":
            await serve_stream(state, scope, receive, send)

    return app


class _Server(uvicorn.Server):
    """uvicorn's server that says when it listens and goes quietly."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        # uvicorn raises the signal anew after shutting down, which ends in a traceback.
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handled = (signal.SIGINT, signal.SIGTERM)
        before = [signal.signal(each, self._leave) for each in handled]
        try:
            yield
        finally:
            for each, handler in zip(handled, before, strict=True):
                signal.signal(each, handler)

    def _leave(self, _signal: int, _frame: FrameType | None) -> None:
        self.should_exit = True


def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    plan: str = "professional",
    token: str | None = None,
    *,
    until_stdin_closes: bool = False,
    on_ready: Callable[[dict[str, str]], None] | None = None,
    **settings: Any,
) -> None:
    """Serve a sandbox until SIGINT, SIGTERM or, if asked for, the end of stdin.

    Parameters
    ----------
    host
        A loopback address; any other is refused.
    port
        0 for any free one.
    plan
        Whose limits, history and codes apply.
    token
        The one token that is accepted; None makes one up.
    until_stdin_closes
        Also stop when stdin ends, so that a parent that dies takes the sandbox along.
    on_ready
        Called with ``url``, ``token`` and ``plan`` once requests are answered; default: print them as JSON.
    settings
        What `Sandbox.configure` accepts: ``latency_ms=50``, ``readings={...}``, ``clock={"at": ...}``.

    Raises
    ------
    ValueError
        If *host* is not loopback, or a setting's value is not one of those allowed.
    TypeError
        If a setting does not exist.
    """
    if not _is_loopback(host):
        raise ValueError(f"host={host!r} is not a loopback address: the sandbox serves this machine only")
    state = State(token or f"{secrets.token_hex(16)}-c-app", plan_named(plan))
    state.configure(settings)
    listener = _listener(host, port)
    address = f"[{host}]" if ":" in host else host
    ready = {"url": f"http://{address}:{listener.getsockname()[1]}", "token": state.token, "plan": plan}
    config = uvicorn.Config(
        create_app(state),
        http=Connection,
        ws="websockets-sansio",
        lifespan="off",
        loop="asyncio",
        log_level="error",
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=1,
    )
    server = _Server(config, lambda: (on_ready or _print_ready)(ready))
    if until_stdin_closes:
        threading.Thread(target=_leave_at_end_of_stdin, args=(server,), daemon=True).start()
    server.run(sockets=[listener])


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio switches Nagle's algorithm off only where the protocol is named; left on, it costs 40 ms a page.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    return listener


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _print_ready(ready: Mapping[str, str]) -> None:
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()


def _leave_at_end_of_stdin(server: uvicorn.Server) -> None:
    while sys.stdin.buffer.read(1 << 12):
        pass
    server.should_exit = True
