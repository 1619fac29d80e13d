"""Every answer that carries no bars (alltick-api.md sections 3.3 and 10)."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from alltick_frames.sandbox.readings import Readings

__all__ = ["ENVELOPES", "VARIANTS", "Envelope", "envelope"]


@dataclass(frozen=True, slots=True)
class Envelope:
    """An HTTP status and a body; a body that has a ``trace`` echoes the request's."""

    status: int
    body: Mapping[str, Any] | str
    content_type: str = "application/json"
    echoes: bool = True

    def content(self, trace: str) -> bytes:
        """Return the body's bytes for a request with this *trace*."""
        if isinstance(self.body, str):
            return self.body.encode()
        body = dict(self.body)
        if self.echoes and "trace" in body:
            body["trace"] = trace
        return json.dumps(body, separators=(",", ":")).encode()


def _ret(ret: int, msg: str, *, status: int = 200, data: bool = True, echoes: bool = True) -> Envelope:
    body = {"ret": ret, "msg": msg, "trace": ""} | ({"data": {}} if data else {})
    return Envelope(status, MappingProxyType(body), echoes=echoes)


def _html(status: int, title: str) -> Envelope:
    page = f"<html><head><title>{title}</title></head><body><center><h1>{title}</h1></center></body></html>"
    return Envelope(status, page, "text/html")


_BAD_HEADER, _BAD_DATA = "request header param invalid", "request data param invalid"

ENVELOPES: Mapping[str, Envelope] = MappingProxyType(
    {
        "token_required": Envelope(401, {"msg": "token is required", "ret": 401}),
        "token_invalid_http_401": Envelope(401, {"msg": "token invalid", "trace": "", "ret": 401}, echoes=False),
        "token_invalid_http_200": Envelope(200, {"msg": "token invalid", "trace": "", "ret": 401}, echoes=False),
        "query_invalid": _ret(402, "query invalid", echoes=False),
        "header_invalid_400": _ret(400, _BAD_HEADER),
        "header_invalid_201": _ret(201, _BAD_HEADER),
        # 202 is only documented for bad data; where that reading is chosen the header keeps its 201.
        "header_invalid_202": _ret(201, _BAD_HEADER),
        "data_invalid_400": _ret(400, _BAD_DATA),
        "data_invalid_201": _ret(201, _BAD_HEADER),
        "data_invalid_202": _ret(202, _BAD_DATA),
        "code_invalid": _ret(600, "code invalid"),
        "body_empty": _ret(601, "body empty"),
        "level_not_enough": _ret(603, "token level not enough"),
        "code_unauthorized_604": _ret(604, "code unauthorized", data=False),
        "code_unauthorized_601": _ret(601, "no permission for this product", data=False),
        "throttled_http_429": Envelope(429, {"error_msg": "Too many requests"}),
        "throttled_ret_605": _ret(605, "too many requests", data=False),
        "throttled_ret_429": _ret(429, "Too Many Requests", data=False),
        "connection_will_be_closed": _ret(606, "too many requests and connection will be closed", data=False),
        "halt_failure": Envelope(500, {"success": False, "error": "suspension source unavailable"}),
        "not_found": _html(404, "404 Not Found"),
        "server_error": _html(500, "500 Internal Server Error"),
        "bad_gateway": _html(502, "502 Bad Gateway"),
        "empty_body": Envelope(200, ""),
    }
)
"""Name to answer. The names are accepted wherever a failure can be asked for."""

VARIANTS: Mapping[str, Callable[[Readings], str]] = MappingProxyType(
    {
        "token_invalid": lambda readings: f"token_invalid_{readings.bad_token}",
        "header_invalid": lambda readings: f"header_invalid_{readings.bad_request}",
        "data_invalid": lambda readings: f"data_invalid_{readings.bad_request}",
        "code_unauthorized": lambda readings: f"code_unauthorized_{readings.unauthorized}",
        "throttled": lambda readings: f"throttled_{readings.throttled}",
    }
)
"""Names whose answer depends on a reading."""

_REFUSALS = {201, 202, 400, 402, 600, 601, 603, 604}


def envelope(name: str, readings: Readings) -> Envelope:
    """Return the envelope called *name*, in the style that *readings* choose."""
    found = ENVELOPES[VARIANTS[name](readings) if name in VARIANTS else name]
    ret = None if isinstance(found.body, str) else found.body.get("ret")
    return replace(found, status=readings.refusal_status) if ret in _REFUSALS else found
