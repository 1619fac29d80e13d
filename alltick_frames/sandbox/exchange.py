"""One request to the vendor's side, from arrival to answer."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import secrets
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from alltick_frames.sandbox import batch, kline
from alltick_frames.sandbox.delivery import WAYS, Answer, Delivery
from alltick_frames.sandbox.envelopes import envelope
from alltick_frames.sandbox.faults import DAMAGE
from alltick_frames.sandbox.kline import Refusal
from alltick_frames.sandbox.products import Family

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.types import Receive, Send

    from alltick_frames.sandbox.state import State

__all__ = ["Exchange"]

_METHODS = {"kline": "GET", "batch-kline": "POST"}
_ENDPOINTS: Mapping[str, tuple[Family, str]] = {
    f"/{family}/{endpoint}": (family, endpoint) for family in Family for endpoint in _METHODS
}
"""Path to family and endpoint; only what is listed is answered."""

_AFTER_ADMISSION = {*WAYS, *DAMAGE}
"""Faults of an answer that was made; all others are answers instead."""


class Exchange:
    """One request to the vendor's side and its answer.

    The order is a gateway's: token, path, limits, and only then what was asked.
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
        status, content_type, body = self._answer()
        entry, fault = self._entry, self._fault
        if fault in _AFTER_ADMISSION:
            entry["answer"] = fault
        self._state.record(entry)
        await asyncio.sleep(self._state.latency_ms / 1000)
        if fault is not None and fault in DAMAGE:
            body = DAMAGE[fault](body)
        headers = {"content-type": content_type, **self._headers()}
        accepted = self._request.headers.get("accept-encoding", "")
        if self._state.readings.compression == "gzip" and "gzip" in accepted and fault != "flood_packed":
            headers["content-encoding"] = "gzip"
            body = gzip.compress(body, 1)
        delivery = Delivery(self._request.scope["client"], self._receive, self._send)
        await delivery.run(Answer(status, headers, body), fault)

    def _answer(self) -> tuple[int, str, bytes]:
        try:
            members = self._members()
        except Refusal as refusal:
            self._entry["answer"] = refusal.name
            refused = envelope(refusal.name, self._state.readings)
            return refused.status, refused.content_type, refused.content(self._trace)
        body = {"ret": 200, "msg": "ok", "trace": self._trace, **members}
        return 200, "application/json", json.dumps(body, separators=(",", ":")).encode()

    def _members(self) -> dict[str, Any]:
        family = self._admit()
        data = self._read()
        if self._entry["endpoint"] == "batch-kline":
            members, self._entry["bars"] = batch.answer(self._state, family, batch.batch_queries(data))
        else:
            members, self._entry["bars"] = kline.answer(self._state, family, kline.kline_query(data))
        return members

    def _read(self) -> dict[str, Any]:
        """Return the ``data`` that was sent, and log what was asked, right or wrong."""
        if self._request.method == "POST":
            self._trace, data = batch.envelope_of_body(self._body)
        else:
            self._trace, data = kline.envelope_of_query(self._request.query_params.get("query"))
        self._note(data)
        asked: dict[str, Any] = data
        return asked

    def _admit(self) -> Family:
        """Return the family that is asked, or raise what stops a request before it is read."""
        token = self._request.query_params.get("token")
        if not token:
            raise Refusal("token_required")
        if not secrets.compare_digest(token.encode(), self._state.token.encode()):
            raise Refusal("token_invalid")
        found = _ENDPOINTS.get(self._request.url.path)
        if found is None or self._request.method != _METHODS[found[1]]:
            raise Refusal("not_found")
        family, endpoint = found
        self._entry |= {"family": family.value, "endpoint": endpoint}
        if not self._state.limiter.admits(self._state.plan, endpoint):
            raise Refusal("throttled")
        # Faults come after the limits: a request that fails has been a request.
        self._fault = self._state.faults.next_fault()
        if self._fault is not None and self._fault not in _AFTER_ADMISSION:
            with contextlib.suppress(Refusal):
                self._read()
            raise Refusal(self._fault)
        return family

    def _note(self, data: Mapping[str, Any]) -> None:
        self._entry["trace"] = self._trace
        listed = data.get("data_list")
        if isinstance(listed, list):
            asked = [group for group in listed if isinstance(group, dict)]
            self._entry["groups"] = [[_plain(group.get("code")), _plain(group.get("kline_type"))] for group in asked]
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


def _plain(value: Any) -> Any:
    """Return *value* if it can be counted and logged, else how it looked."""
    return value if value is None or isinstance(value, str | int | float) else repr(value)[:80]
