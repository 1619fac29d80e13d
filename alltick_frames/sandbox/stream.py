"""The WebSocket of both families: subscriptions, pushes and heartbeats (alltick-api.md sections 3.4, 7 and 8.3)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from alltick_frames.sandbox import books, ticks
from alltick_frames.sandbox.products import Family, find_product
from alltick_frames.sandbox.streams import Wire, error

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from alltick_frames.sandbox.state import State

__all__ = ["PATHS", "serve_stream"]

PATHS = {"/quote-stock-b-ws-api": Family.STOCK, "/quote-b-ws-api": Family.QUOTE}

_HEARTBEAT, _BOOKS, _TRADES, _CANCEL, _TRADE, _BOOK = 22000, 22002, 22004, 22006, 22998, 22999
_KINDS = {_TRADES: "trades", _BOOKS: "order_book"}
_CANCELS = {0: ("trades", "order_book"), 1: ("order_book",), 2: ("trades",)}
_SILENT_S = 30.0
_SPACING_S = 1.0
_PUSH_EVERY_S = 0.1
_OPEN_APART_S = 3.0


async def serve_stream(state: State, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one connection."""
    socket = WebSocket(scope, receive, send)
    streams = state.streams
    family = PATHS.get(scope["path"])
    refusal = _refusal(state, socket, family)
    if refusal is not None or family is None:
        status, body = refusal or (404, {})
        await socket.send_denial_response(JSONResponse(body, status))
        # uvicorn takes whoever leaves before the client does for one that never answered.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(receive(), _SPACING_S)
        return
    await socket.accept()
    wire = Wire(socket, family)
    streams.wires.append(wire)
    streams.opened[family.value] += 1
    jobs = [asyncio.ensure_future(job) for job in (_listen(state, wire), _push(state, wire))]
    try:
        await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
    finally:
        streams.wires.remove(wire)
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        # It may be closed already, by either side.
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            await socket.close()


def _refusal(state: State, socket: WebSocket, family: Family | None) -> tuple[int, dict[str, Any]] | None:
    token = socket.query_params.get("token")
    if token is None:
        return 401, {"msg": "token is required", "ret": 401}
    if token != state.token:
        return 401, {"msg": "token invalid", "trace": "", "ret": 401}
    if family is None:
        return 404, {}
    streams = state.streams
    held = sum(wire.family is family for wire in streams.wires)
    if time.monotonic() < streams.refused_until_s or held >= state.plan.connections:
        if held >= state.plan.connections:
            streams.violations["connections"] += 1
        return 429, {"error_msg": "Too many requests"}
    return None


async def _listen(state: State, wire: Wire) -> None:
    """Answer what the client says, until it leaves, or is silent for too long."""
    while True:
        left = wire.heard_s + _SILENT_S - time.monotonic()
        try:
            text = await asyncio.wait_for(wire.socket.receive_text(), max(0.0, left))
        except (TimeoutError, WebSocketDisconnect, RuntimeError):
            return
        if wire.half_open:
            continue
        answer, stays = _answered(state, wire, text)
        await wire.say(answer)
        if not stays:
            return


def _answered(state: State, wire: Wire, text: str) -> tuple[dict[str, Any], bool]:
    """Carry out one message; say the answer, and whether the connection stays."""
    try:
        said = json.loads(text)
        command, sequence, trace, data = said["cmd_id"], said["seq_id"], said["trace"], said["data"]
    except (ValueError, KeyError, TypeError):
        return error(201, "request header param invalid"), True
    state.streams.log.append({"time": state.clock.now(), "cmd_id": command, "data": data})
    now_s = time.monotonic()
    if command == _HEARTBEAT:
        wire.heard_s = now_s
    if now_s - wire.asked_s < _SPACING_S:
        state.streams.violations["spacing"] += 1
        return {**error(606, "too many requests and connection will be closed"), "seq_id": sequence}, False
    wire.asked_s = now_s
    ret, message = 200, "ok"
    if command in _KINDS:
        ret, message = _subscribe(state, wire, command, data)
    elif command == _CANCEL:
        for kind in _CANCELS.get(data.get("cancel_type"), ()):
            wire.subscribed.pop(kind, None)
    return {
        "ret": ret,
        "msg": message,
        "cmd_id": command + 1,
        "seq_id": sequence,
        "trace": trace,
        "data": {},
    }, True


def _subscribe(state: State, wire: Wire, command: int, data: Any) -> tuple[int, str]:
    try:
        asked = {one["code"]: int(one.get("depth_level") or 0) for one in data["symbol_list"]}
    except (KeyError, TypeError, ValueError):
        return 400, "request data param invalid"
    for code in asked:
        product = find_product(code)
        if state.source(code) is None or (product is not None and product.family is not wire.family):
            return 600, "code invalid"
    if len(asked) > state.plan.stream_codes:
        state.streams.violations["codes"] += 1
        asked = dict(list(asked.items())[: state.plan.stream_codes])
    wire.subscribed[_KINDS[command]] = asked
    return 200, "ok"


async def _push(state: State, wire: Wire) -> None:
    """Push the newest trades and books, each once."""
    while True:
        await asyncio.sleep(_PUSH_EVERY_S)
        for kind, codes in [*wire.subscribed.items()]:
            for code, levels in codes.items():
                trade = ticks.newest_trade(state, code)
                if trade is None or wire.pushed.get((kind, code)) == trade.at_ms:
                    continue
                wire.pushed[kind, code] = trade.at_ms
                row = ticks.row(trade, state.readings) if kind == "trades" else books.row(state, trade, levels)
                if row is not None:
                    await wire.say({"cmd_id": _TRADE if kind == "trades" else _BOOK, "data": row})
                    state.streams.pushed[code] += 1
