"""Connections that can be written to and cut from within a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio

__all__ = ["Connection", "cut", "write"]

# ASGI has no way to break a connection or to send half a header, so open ones are known by the address of their client.
_TRANSPORTS: dict[Any, asyncio.Transport] = {}


class Connection(H11Protocol):
    """uvicorn's connection, findable by its client's address."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Remember the transport."""
        super().connection_made(transport)
        _TRANSPORTS[self.client] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the transport."""
        _TRANSPORTS.pop(self.client, None)
        super().connection_lost(exc)


def write(client: Any, piece: bytes) -> None:
    """Send *piece* as it is to the client with this address."""
    if (transport := _TRANSPORTS.get(client)) is not None:
        transport.write(piece)


def cut(client: Any) -> None:
    """Close the connection of the client with this address at once, sending nothing more."""
    # It may have hung up first.
    if (transport := _TRANSPORTS.get(client)) is not None:
        transport.abort()
