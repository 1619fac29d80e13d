"""One request, sent until a page comes: what is borne, for how long, and when it is sent again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

import anyio
import tenacity

from alltick_frames.errors import DecodeError, RateLimitError, TransportError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from alltick_frames.clocks import CallClock
    from alltick_frames.ledger import Ledger
    from alltick_frames.plans import Endpoint
    from alltick_frames.transport import Transport
    from alltick_frames.wire import Answer, Request

__all__ = ["NothingToSend", "answered"]

T = TypeVar("T")
R = TypeVar("R", bound="Request")

_FAULTS_BORNE = 10
_THROTTLED_AT_MOST_S = 600
_BACK_OFF = tenacity.wait_random_exponential(multiplier=0.2, max=5)


class NothingToSend(Exception):  # noqa: N818  # no error
    """By the time its slot came there was nothing left to ask."""


async def answered(
    transport: Transport,
    clock: CallClock,
    endpoint: Endpoint,
    next_request: Callable[[], Awaitable[R | None]],
    read: Callable[[Answer, R], T],
    *,
    faults_borne: int | None = None,
) -> tuple[Answer, T]:
    """Send what *next_request* says when its slot comes, until *read* makes something of the answer.

    Every attempt takes a slot of its own.

    Raises
    ------
    NothingToSend
        *next_request* gave none.
    AllTickError
        What is not borne, or not any longer.
    """
    patience = _Patience(transport.ledger, _FAULTS_BORNE if faults_borne is None else faults_borne)
    async for attempt in tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception(patience.bears),
        wait=patience.wait,
        sleep=anyio.sleep,
        reraise=True,
    ):
        with attempt:
            slot = await transport.turn(endpoint)
            request = await next_request()
            if request is None:
                transport.ledger.give_back(slot)
                raise NothingToSend
            answer = await transport.send(request, slot, clock)
            result = read(answer, request)
            transport.ledger.answered()
    return answer, result


class _Patience:
    """What one request bears: some faults, and throttling for some minutes, which uses up no attempts."""

    def __init__(self, ledger: Ledger, faults_borne: int) -> None:
        self._ledger = ledger
        self._faults_borne = faults_borne
        self._faults = 0
        self._throttled_since: float | None = None
        self._throttled = False

    def bears(self, error: BaseException) -> bool:
        self._throttled = isinstance(error, RateLimitError)
        if self._throttled:
            self._ledger.throttled()
            now = time.monotonic()
            self._throttled_since = self._throttled_since or now
            return now - self._throttled_since < _THROTTLED_AT_MOST_S
        if isinstance(error, DecodeError) or (isinstance(error, TransportError) and error.transient):
            self._faults += 1
            return self._faults < self._faults_borne
        return False

    def wait(self, state: tenacity.RetryCallState) -> float:
        # The ledger's pause holds back the next slot, for every request and not just this one.
        return 0.0 if self._throttled else _BACK_OFF(state)
