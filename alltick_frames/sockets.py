"""WebSocket connections. The only importer of websockets, and beside `transport` the only place that reads the token.

The token is in the handshake's URL, which the library logs and puts into errors: it is given a logger that is off, and
what goes wrong is raised anew outside of the `except` block, without that frame.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote, urlsplit

from alltick_frames.codes import Family
from alltick_frames.errors import AuthenticationError, ConfigError, StreamError
from alltick_frames.settings import is_loopback

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

    from alltick_frames.settings import Token

__all__ = ["STREAM_PATHS", "Socket", "open_socket"]

STREAM_PATHS = {Family.STOCK: "/quote-stock-b-ws-api", Family.QUOTE: "/quote-b-ws-api"}

_UNAUTHORISED, _TOO_MANY = 401, 429
# No status of HTTP's.
_CANCELLED = -1
_OPEN_WITHIN_S = 10.0
# A book of all levels is some kilobytes.
_LARGEST_FRAME = 4 * 2**20
_off = logging.Logger("alltick_frames.sockets")  # noqa: LOG001  # it is to be nobody's child
_off.disabled = True


class Socket:
    """An open connection."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def send(self, message: bytes) -> None:
        """Send one text frame.

        Raises
        ------
        StreamError
            The connection is gone.
        """
        from websockets.exceptions import ConnectionClosed  # noqa: PLC0415

        try:
            await self._connection.send(message, text=True)
        except ConnectionClosed as error:
            why = _closed(error)
        else:
            return
        raise StreamError(why)

    async def receive(self) -> bytes:
        """Wait for the next frame.

        Raises
        ------
        StreamError
            The connection is gone.
        """
        from websockets.exceptions import ConnectionClosed  # noqa: PLC0415

        try:
            return await self._connection.recv(decode=False)
        except ConnectionClosed as error:
            why = _closed(error)
        raise StreamError(why)

    async def close(self) -> None:
        """Close it, without waiting long for the peer."""
        await self._connection.close()


def _closed(error: Exception) -> str:
    received = getattr(error, "rcvd", None)
    if received is None:
        return "the connection broke"
    reason = f" {received.reason}" if received.reason else ""
    return f"the server closed the connection ({received.code}{reason})"


async def open_socket(ws_url: str, path: str, token: Token) -> Socket:
    """Open a connection to *path* of *ws_url*.

    Raises
    ------
    AuthenticationError
        The token is not accepted.
    StreamError
        It did not open.
    ConfigError
        The package websockets is missing.
    """
    try:
        import websockets.asyncio.client  # noqa: F401, PLC0415
    except ImportError:
        raise ConfigError(
            "streams need the package websockets: pip install 'alltick-frames[stream]' (websockets 15 or newer)"
        ) from None
    status, why, connection = await _open(ws_url, path, token)
    if connection is not None:
        return Socket(connection)
    if status == _CANCELLED:
        # Anew: the traceback of the one that was caught has the URL.
        raise asyncio.CancelledError
    if status == _UNAUTHORISED:
        raise AuthenticationError("the vendor does not accept the token (HTTP 401)", ret=_UNAUTHORISED)
    said = {_TOO_MANY: "too many or too frequent connections (HTTP 429)", 0: why}.get(status, f"HTTP {status}")
    raise StreamError(f"no connection to {ws_url}{path}: {said}")


async def _open(ws_url: str, path: str, token: Token) -> tuple[int, str, ClientConnection | None]:
    """Give the connection, or the status of the answer, or what went wrong."""
    from websockets.asyncio.client import connect  # noqa: PLC0415
    from websockets.exceptions import InvalidStatus, WebSocketException  # noqa: PLC0415

    class Straight(connect):
        """Goes nowhere but where it was sent: the token is in the URL."""

        def process_redirect(self, exc: Exception) -> Exception | str:
            return exc

    proxy: Literal[True] | None = None if is_loopback(urlsplit(ws_url).hostname or "") else True
    try:
        connection = await Straight(
            f"{ws_url}{path}?token={quote(token.reveal(), safe='')}",
            proxy=proxy,
            logger=_off,
            compression=None,
            open_timeout=_OPEN_WITHIN_S,
            # The service has heartbeats of its own.
            ping_interval=None,
            close_timeout=1,
            max_size=_LARGEST_FRAME,
        )
        # It remembers its URL, in two places.
        connection.protocol.uri = replace(connection.protocol.uri, query="")
        connection.request = None
    except InvalidStatus as error:
        return error.response.status_code, "", None
    except asyncio.CancelledError:
        return _CANCELLED, "", None
    except (OSError, TimeoutError, WebSocketException, ValueError) as error:
        return 0, _named(error), None
    return 0, "", connection


def _named(error: Exception) -> str:
    """Name an error without its text, which may have the URL."""
    cause = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
    return f"{cause}"
