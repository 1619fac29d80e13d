"""One request to the vendor's side, from arrival to answer."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import secrets
import time
from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, TypeVar

from alltick_frames.sandbox import batch, books, halts, kline, sheets, static, ticks
from alltick_frames.sandbox.delivery import WAYS, Answer, Delivery
from alltick_frames.sandbox.envelopes import envelope
from alltick_frames.sandbox.faults import DAMAGE
from alltick_frames.sandbox.products import Family
from alltick_frames.sandbox.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request
    from starlette.types import Receive, Send

    from alltick_frames.sandbox.state import State

__all__ = ["Exchange"]

_Read = TypeVar("_Read")
_JSON = {"content-type": "application/json"}


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """A path that is asked with an envelope: what it is called in log and limits, and what answers it."""

    name: str
    answer: Callable[[State, Family, dict[str, Any]], tuple[dict[str, Any], int]]
    """Returns the members that follow ``trace``, and how many bars they hold."""
    method: str = "GET"
    families: tuple[Family, ...] = tuple(Family)


_ENDPOINTS = (
    _Endpoint("kline", kline.answer),
    _Endpoint("batch-kline", batch.answer, method="POST"),
    _Endpoint("trade-tick", ticks.answer),
    _Endpoint("depth-tick", books.answer),
    _Endpoint("static_info", static.answer, families=(Family.STOCK,)),
)
_PATHS: Mapping[str, tuple[Family, _Endpoint]] = {
    f"/{family}/{endpoint.name}": (family, endpoint) for endpoint in _ENDPOINTS for family in endpoint.families
}
"""Path to family and endpoint; only what is listed is answered."""
_HALT_PATHS: Mapping[str, str] = {f"/api/suspension/{exchange}": exchange for exchange in halts.EXCHANGES}

_AFTER_ADMISSION = {*WAYS, *DAMAGE}
"""Faults of an answer that was made; all others are answers instead."""


class Exchange:
    """One request to the vendor's side and its answer.

    The order is a gateway's: token, path, limits, and only then what was asked. Sheets are not behind it.
    """

    def __init__(self, state: State, request: Request, receive: Receive, send: Send) -> None:
        self._state = state
        self._request = request
        self._receive = receive
        self._send = send
        self._body = b""
        self._trace = ""
        self._fault: str | None = None
        self._entry: dict[str, Any] = {
            "time": state.clock.now(),
            "received": time.time(),
            "endpoint": request.url.path,
            "family": None,
            "code": None,
            "kline_type": None,
            "end": None,
            "num": None,
            "groups": None,
            "trace": None,
            "answer": "ok",
            "bars": 0,
        }

    async def run(self) -> None:
        """Answer, or fail in the way that was asked for."""
        if self._request.method == "POST":
            self._body = await self._request.body()
        answer = self._answer()
        entry, fault = self._entry, self._fault
        if fault in _AFTER_ADMISSION:
            entry["answer"] = fault
        self._state.record(entry)
        await asyncio.sleep(self._state.latency_ms / 1000)
        body = DAMAGE[fault](answer.body) if fault is not None and fault in DAMAGE else answer.body
        headers = {**answer.headers, **self._headers()}
        accepted = self._request.headers.get("accept-encoding", "")
        if self._state.readings.compression == "gzip" and "gzip" in accepted and fault != "flood_packed":
            headers["content-encoding"] = "gzip"
            body = gzip.compress(body, 1)
        delivery = Delivery(self._request.scope["client"], self._receive, self._send)
        await delivery.run(Answer(answer.status, headers, body), fault)

    def _answer(self) -> Answer:
        try:
            if sheets.is_sheet(self._request.url.path):
                return self._sheet()
            self._authenticate()
            exchange = _HALT_PATHS.get(self._request.url.path)
            return self._members() if exchange is None else self._halts(exchange)
        except Refusal as refusal:
            self._entry["answer"] = refusal.name
            refused = envelope(refusal.name, self._state.readings)
            return Answer(refused.status, {"content-type": refused.content_type}, refused.content(self._trace))

    def _authenticate(self) -> None:
        token = self._request.query_params.get("token")
        if not token:
            raise Refusal("token_required")
        if not secrets.compare_digest(token.encode(), self._state.token.encode()):
            raise Refusal("token_invalid")

    def _members(self) -> Answer:
        """Answer what is asked with an envelope."""
        found = _PATHS.get(self._request.url.path)
        if found is None or self._request.method != found[1].method:
            raise Refusal("not_found")
        family, endpoint = found
        self._entry["family"] = family.value
        data = self._admitted(endpoint.name, self._read)
        members, self._entry["bars"] = endpoint.answer(self._state, family, data)
        return Answer(200, _JSON, _compact({"ret": 200, "msg": "ok", "trace": self._trace, **members}))

    def _halts(self, exchange: str) -> Answer:
        if self._request.method != "GET":
            raise Refusal("not_found")
        query = self._admitted(f"suspension/{exchange}", self._read_halts)
        return Answer(200, _JSON, _compact(halts.answer(self._state, exchange, query)))

    def _read_halts(self) -> halts.HaltQuery:
        query = halts.HaltQuery(*(self._request.query_params.get(name) for name in ("page", "size")))
        self._entry |= {"page": query.page, "size": query.size}
        return query

    def _sheet(self) -> Answer:
        """Answer in Google's place, who knows no token and counts nothing."""
        if self._request.method != "GET":
            raise Refusal("not_found")
        self._entry["endpoint"] = "sheet"
        return sheets.answer(self._state, self._unless_faulty(self._read_sheet))

    def _read_sheet(self) -> sheets.SheetQuery:
        asked = self._request.query_params
        # By the names it is seen whether a token was sent to where it must not go.
        self._entry |= {"gid": asked.get("gid"), "parameters": sorted(asked)}
        return sheets.SheetQuery(self._request.url.path, asked.get("format"), asked.get("gid"))

    def _admitted(self, name: str, read: Callable[[], _Read]) -> _Read:
        """Count a request to the endpoint called *name* and return what it says, or raise what stops it before."""
        self._entry["endpoint"] = name
        if not self._state.limiter.admits(self._state.plan, name):
            raise Refusal("throttled")
        # Faults come after the limits: a request that fails has been a request.
        return self._unless_faulty(read)

    def _unless_faulty(self, read: Callable[[], _Read]) -> _Read:
        self._fault = self._state.faults.next_fault()
        if self._fault is not None and self._fault not in _AFTER_ADMISSION:
            with contextlib.suppress(Refusal):
                read()
            raise Refusal(self._fault)
        return read()

    def _read(self) -> dict[str, Any]:
        """Return the ``data`` that was sent, and log what was asked, right or wrong."""
        if self._request.method == "POST":
            self._trace, data = batch.envelope_of_body(self._body)
        else:
            self._trace, data = kline.envelope_of_query(self._request.query_params.get("query"))
        self._note(data)
        asked: dict[str, Any] = data
        return asked

    def _note(self, data: Mapping[str, Any]) -> None:
        self._entry["trace"] = self._trace
        if (groups := _objects(data.get("data_list"))) is not None:
            self._entry["groups"] = [[_plain(group.get("code")), _plain(group.get("kline_type"))] for group in groups]
            return
        if (asked := _objects(data.get("symbol_list"))) is not None:
            self._entry["codes"] = [_plain(each.get("code")) for each in asked]
            return
        names = {
            "code": "code",
            "kline_type": "kline_type",
            "end": "kline_timestamp_end",
            "num": "query_kline_num",
        }
        self._entry |= {ours: _plain(data.get(theirs)) for ours, theirs in names.items()}

    def _headers(self) -> dict[str, str]:
        headers = {}
        if self._state.readings.connections == "closed":
            headers["connection"] = "close"
        if self._state.readings.date_header == "present":
            headers["date"] = formatdate(self._state.clock.now(), usegmt=True)
        return headers


def _compact(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def _objects(listed: Any) -> list[dict[str, Any]] | None:
    """Return the objects in a list, None if it is no list."""
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else None


def _plain(value: Any) -> Any:
    """Return *value* if it can be counted and logged, else how it looked."""
    return value if value is None or isinstance(value, str | int | float) else repr(value)[:80]
