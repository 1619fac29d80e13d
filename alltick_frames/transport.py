"""One request over HTTP. The only importer of httpx, and the only place where the token is read: `Transport`.

A token in a URL ends up wherever a URL ends up: in reprs of requests, in exceptions that hold them, in debug logs
and in the locals of tracebacks. So the URL with the token is made in the innermost frame; every exception is
caught outside of it, and what is raised instead is raised after the `except` block, without that frame.

A server, or a proxy before it, may send the URL back: of its headers nothing is logged, and in the body the token
is blanked before anybody reads it.

What anybody may read is read by `PublicPages`, which knows no token.
"""

from __future__ import annotations

import logging
import re
import ssl
import statistics
import time
import urllib.request
import zlib
from collections import deque
from contextvars import ContextVar
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import anyio
import httpx

from alltick_frames import __version__
from alltick_frames.errors import TransportError
from alltick_frames.settings import is_loopback
from alltick_frames.wire import Answer, excerpt, new_trace

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from alltick_frames.ledger import Ledger
    from alltick_frames.plans import Endpoint
    from alltick_frames.settings import Token
    from alltick_frames.wire import Request

__all__ = ["LATENCY_GUESS_S", "PublicPages", "Transport"]

_READ_S = 30.0
_TIMEOUT = httpx.Timeout(_READ_S, connect=10.0)
# An answer may trickle in within the read timeout of each piece; all of it must be there by then. Some requests are
# given several times as long.
_ANSWERED_WITHIN_S = 60
# A page is some 100 kB; nothing honest comes near this.
_LARGEST_BODY = 16 * 2**20
_GZIP = 16 + zlib.MAX_WBITS
_HEADERS = {"User-Agent": f"alltick_frames/{__version__}", "Accept-Encoding": "gzip"}
# Time to open a connection before the reserved slot comes. Longer, and an idle connection may be closed meanwhile.
_LEAD_S = 0.2
# Of so many answers the latency is known, until there are so few it is guessed.
_REMEMBERED, _TELLING, LATENCY_GUESS_S = 20, 5, 0.2
# A shorter token is no secret, and its characters may be part of a price.
_SECRET_FROM = 8
_MOST_REDIRECTS = 5
_OK, _TOO_MANY, _FIRST_SERVER_ERROR = 200, 429, 500
_SENDING, _ANSWERED = "http11.send_request_headers.started", "http11.receive_response_headers.complete"
# What httpcore logs of an answer: to be kept up to its status, or up to the name of the error that quotes it.
_RECEIVED = re.compile(
    r"(receive_response_\w+\.(?:complete return_value=\(b'[^']*', \d+|failed exception=\w+)).*", re.DOTALL
)
# Whether httpcore is at work for us: other users of it may log what they like.
_ours = ContextVar("ours", default=False)


class Transport:
    """Sends requests to *base_url* with *token*, each in its slot of *ledger*."""

    def __init__(
        self,
        base_url: str,
        token: Token,
        ledger: Ledger,
        http: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._base_url = base_url
        self._token = token
        self.ledger = ledger
        self._latencies_s: deque[float] = deque(maxlen=_REMEMBERED)
        self._http = http or httpx.AsyncHTTPTransport(
            verify=True, proxy=_proxy_for(base_url), limits=httpx.Limits(keepalive_expiry=4.0)
        )
        logging.getLogger("httpcore.http11").addFilter(_without_answers)

    @property
    def latency_s(self) -> float:
        """How long an answer takes, going by the last ones."""
        enough = len(self._latencies_s) >= _TELLING
        return statistics.median(self._latencies_s) if enough else LATENCY_GUESS_S

    async def turn(self, endpoint: Endpoint) -> float:
        """Take the next slot for *endpoint*, and return shortly before it comes.

        Raises
        ------
        BudgetError
            The day's allowance is used up.
        """
        slot = await self.ledger.reserve(endpoint)
        await self.ledger.wait_until_near(slot, _LEAD_S)
        return slot

    async def send(self, request: Request, slot: float, clock: Callable[[], datetime]) -> Answer:
        """Send *request* in its *slot*, or a later one if that has passed, and read all of the answer.

        *clock* says when.

        Raises
        ------
        TransportError
            No whole answer came.
        BudgetError
            The day's allowance is used up.
        """
        trace = new_trace()
        try:
            return await self._exchange(request, trace, slot, clock)
        except Exception as error:  # noqa: BLE001  # whatever httpx raises, its frames hold the URL
            failure: BaseException = self._translated(error, trace)
        except BaseException as error:  # noqa: BLE001  # cancellation goes on, without those frames
            failure = error
        failure.__context__ = failure.__cause__ = None
        raise failure.with_traceback(None)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _exchange(self, request: Request, trace: str, slot: float, clock: Callable[[], datetime]) -> Answer:
        asked_at, sent_s, unused = clock(), time.monotonic(), True

        async def on_event(event: str, _info: dict[str, Any]) -> None:
            nonlocal asked_at, sent_s, slot, unused
            if event == _SENDING:
                unused = False  # or given back there
                slot = await self.ledger.wait_for(slot, request.endpoint)
                asked_at, sent_s = clock(), time.monotonic()
                patience.deadline = anyio.current_time() + _ANSWERED_WITHIN_S * request.patience
            elif event == _ANSWERED:
                self.ledger.arrived(slot)

        parameters, body = request.parameters(trace), request.body(trace)
        _ours.set(True)
        try:
            with anyio.fail_after(None) as patience:
                response = await self._http.handle_async_request(
                    httpx.Request(
                        request.method,
                        f"{self._base_url}{request.path}?token={quote(self._token.reveal(), safe='')}{parameters}",
                        headers=_HEADERS | ({"Content-Type": "application/json"} if body else {}),
                        content=body,
                        extensions={
                            "timeout": _TIMEOUT.as_dict() | {"read": _READ_S * request.patience},
                            "trace": on_event,
                        },
                    )
                )
                try:
                    answered = await _body(response)
                finally:
                    await response.aclose()
        finally:
            if unused:
                self.ledger.give_back(slot)
        self._latencies_s.append(time.monotonic() - sent_s)
        return Answer(response.status_code, self._blanked(answered), trace, asked_at, _date(response))

    def _translated(self, error: Exception, trace: str) -> Exception:
        """Say what happened in our words; httpx's objects hold the URL, its messages what a server sent at most."""
        kind = type(error).__name__
        if isinstance(error, httpx.TimeoutException | TimeoutError):
            return TransportError(
                f"no whole answer from {self._base_url} in time ({kind}; trace {trace}); check the network"
            )
        if isinstance(error, httpx.HTTPError | ssl.SSLError | zlib.error | OSError):
            permanent = "CERTIFICATE_VERIFY_FAILED" in str(error)
            why = self._blanked(str(error).encode(errors="replace")).decode() or "the connection broke"
            return TransportError(
                f"no whole answer from {self._base_url}: {why} ({kind}; trace {trace}); check the network and base_url",
                transient=not permanent,
            )
        return error

    def _blanked(self, sent: bytes) -> bytes:
        """Take the token out of what a server *sent*: as it is, as in our URL, and as in a URL within one."""
        if len(self._token.reveal()) >= _SECRET_FROM:
            sent = sent.replace(self._token.reveal().encode(), b"***")
            sent = sent.replace(quote(self._token.reveal(), safe="").encode(), b"***")
            sent = sent.replace(quote(quote(self._token.reveal(), safe=""), safe="").encode(), b"***")
        return sent


class PublicPages:
    """Fetches what anybody may read, with no token and outside of the budget; redirects are followed.

    *address* is one of the pages: from https only https is gone to.
    """

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self._host = parts.netloc
        self._schemes = ("https",) if parts.scheme == "https" else ("https", "http")
        self._http = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(verify=True, proxy=_proxy_for(address)),
            headers=_HEADERS,
            timeout=_TIMEOUT,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def fetch(self, url: str) -> bytes:
        """Give the body at *url*.

        Raises
        ------
        TransportError
            None came, or not from where it may come.
        """
        transient = True
        try:
            with anyio.fail_after(_ANSWERED_WITHIN_S):
                status, body = await self._follow(url)
        except (httpx.TimeoutException, TimeoutError) as error:
            why = f"no whole answer in time ({type(error).__name__}); check the network"
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, zlib.error, OSError) as error:
            transient = "CERTIFICATE_VERIFY_FAILED" not in str(error)
            why = f"{excerpt(str(error)) or 'the connection broke'} ({type(error).__name__}); check the network"
        else:
            if status == _OK:
                return body
            transient = status == _TOO_MANY or status >= _FIRST_SERVER_ERROR
            why = f"the server answered HTTP {status}"
        raise TransportError(f"no page from {self._host}: {why}", transient=transient)

    async def _follow(self, url: str) -> tuple[int, bytes]:
        request = self._http.build_request("GET", url)
        for _ in range(_MOST_REDIRECTS + 1):
            host = request.url.host
            if request.url.scheme not in self._schemes or (request.url.scheme == "http" and not is_loopback(host)):
                raise TransportError(
                    f"no page from {self._host}: it redirects to {request.url.scheme}://{host}, which is refused",
                    transient=False,
                )
            response = await self._http.send(request, stream=True)
            try:
                if response.next_request is None:
                    return response.status_code, await _body(response)
                request = response.next_request
            finally:
                await response.aclose()
        raise TransportError(f"no page from {self._host}: more than {_MOST_REDIRECTS} redirects", transient=False)


async def _body(response: httpx.Response) -> bytes:
    """Read the body, and unpack it here: a few bytes can be packed from any number, of which httpx would make all."""
    packed = response.headers.get("content-encoding", "identity") != "identity"
    unpacker = zlib.decompressobj(wbits=_GZIP) if packed else None
    body, received = bytearray(), 0
    async for piece in response.aiter_raw():
        received += len(piece)
        body += piece if unpacker is None else unpacker.decompress(piece, _LARGEST_BODY + 1 - len(body))
        if max(len(body), received) > _LARGEST_BODY:
            raise httpx.DecodingError(f"it is larger than {_LARGEST_BODY >> 20} MiB, as none of the service's is")
    if unpacker is not None and not unpacker.eof:
        raise httpx.DecodingError("its packed body ends too early")
    return bytes(body)


def _date(response: httpx.Response) -> datetime | None:
    try:
        return parsedate_to_datetime(response.headers["date"]).astimezone(UTC)
    except (KeyError, ValueError):
        return None


def _proxy_for(base_url: str) -> str | None:
    parts = urlsplit(base_url)
    if parts.scheme != "https" or urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    # https through a proxy is a tunnel: the proxy sees the host, not the URL.
    return urllib.request.getproxies().get("https")


def _without_answers(record: logging.LogRecord) -> bool:
    """Leave what a server sent us out of httpcore's log: one of its headers may hold the URL, in whatever encoding."""
    if _ours.get():
        record.msg = _RECEIVED.sub(r"\1, …)", record.getMessage())
        record.args = ()
    return True
