"""How an answer travels to the client: whole, or in the way of a fault."""

from __future__ import annotations

import asyncio
import http
import itertools
import zlib
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from alltick_frames.sandbox.connections import cut, write

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

    from starlette.types import Message, Receive, Send

__all__ = ["WAYS", "Answer", "Delivery"]

_DRIP_S = 0.2
# Blanks after a JSON value are valid, and pack a thousandfold.
_BLANKS, _FLOOD_PIECES = b" " * 2**20, 2**10
_GZIP = 16 + zlib.MAX_WBITS


@dataclass(frozen=True, slots=True)
class Answer:
    """What is to arrive; its length is a header of its own."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def head(self, *, length: bool = True) -> list[tuple[bytes, bytes]]:
        """Return the headers as ASGI wants them."""
        headers = {**self.headers, "content-length": str(len(self.body))} if length else self.headers
        return [(name.encode(), value.encode()) for name, value in headers.items()]


class Delivery:
    """The way back to the client of one request."""

    def __init__(self, client: Any, receive: Receive, send: Send) -> None:
        self._client = client
        self._receive = receive
        self._send = send

    async def run(self, answer: Answer, fault: str | None) -> None:
        """Send *answer*, in the way of *fault* if that is one of `WAYS`."""
        await WAYS.get(fault or "", Delivery.whole)(self, answer)

    async def whole(self, answer: Answer) -> None:
        """Send it as it is."""
        await self._start(answer)
        await self._send({"type": "http.response.body", "body": answer.body})

    async def drop(self, _: Answer) -> None:
        """Cut the connection before the answer."""
        cut(self._client)
        await self._left_within(None)

    async def drop_mid_body(self, answer: Answer) -> None:
        """Cut it in the middle of the body."""
        await self._start(answer)
        await self._go_on(answer.body[: len(answer.body) // 2])
        await self.drop(answer)

    async def hang(self, _: Answer) -> None:
        """Answer nothing."""
        await self._left_within(None)

    async def trickle(self, answer: Answer) -> None:
        """Send the body byte by byte."""
        await self._start(answer)
        for byte in answer.body:
            await self._go_on(bytes([byte]))
            if await self._left_within(_DRIP_S):
                return

    async def trickle_head(self, answer: Answer) -> None:
        """Send status and headers byte by byte, and then nothing."""
        lines = (b"%s: %s\r\n" % header for header in answer.head())
        status = f"HTTP/1.1 {answer.status} {http.HTTPStatus(answer.status).phrase}\r\n".encode()
        for byte in itertools.chain(status, *lines):
            write(self._client, bytes([byte]))
            if await self._left_within(_DRIP_S):
                return
        await self.drop(answer)

    async def flood(self, answer: Answer) -> None:
        """Send a gibibyte of blanks after the body."""
        await self._pour(answer, _with_blanks(answer.body))

    async def flood_packed(self, answer: Answer) -> None:
        """Send them packed."""
        packed = Answer(answer.status, {**answer.headers, "content-encoding": "gzip"}, answer.body)
        await self._pour(packed, _packed(_with_blanks(answer.body)))

    async def _pour(self, answer: Answer, pieces: Iterable[bytes]) -> None:
        """Send *pieces* until the client has had enough; how long they are nobody says beforehand."""
        await self._start(answer, length=False)
        for piece in pieces:
            await self._go_on(piece)
            if await self._left_within(0):
                return
        await self._send({"type": "http.response.body", "body": b""})

    async def _start(self, answer: Answer, *, length: bool = True) -> None:
        headers = answer.head(length=length)
        await self._send({"type": "http.response.start", "status": answer.status, "headers": headers})

    async def _go_on(self, piece: bytes) -> None:
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def _left_within(self, seconds: float | None) -> bool:
        """Say whether the client hangs up in that time, without limit if None."""
        message: Message = {"type": ""}
        try:
            async with asyncio.timeout(seconds):
                while message["type"] != "http.disconnect":
                    message = await self._receive()
        except TimeoutError:
            return False
        return True


def _with_blanks(body: bytes) -> Iterator[bytes]:
    yield body
    yield from itertools.repeat(_BLANKS, _FLOOD_PIECES)


def _packed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(1, wbits=_GZIP)
    yield from map(packer.compress, pieces)
    yield packer.flush()


WAYS: Mapping[str, Callable[[Delivery, Answer], Awaitable[None]]] = MappingProxyType(
    {
        "drop": Delivery.drop,
        "drop_mid_body": Delivery.drop_mid_body,
        "hang": Delivery.hang,
        "trickle": Delivery.trickle,
        "trickle_head": Delivery.trickle_head,
        "flood": Delivery.flood,
        "flood_packed": Delivery.flood_packed,
    }
)
"""How an otherwise good answer does not arrive: cut off before or in it, never, byte by byte, or with 1 GiB of blanks
at its end."""
