"""The control channel: look into a running sandbox and change it. Not the vendor's, not counted, no token."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from alltick_frames.sandbox.answers import closed, truth
from alltick_frames.sandbox.bars import FIELDS
from alltick_frames.sandbox.periods import aligned, period_named
from alltick_frames.sandbox.state import State

__all__ = ["control_app"]

Handler = Callable[[State, Request], Awaitable[Response]]


def control_app(state: State, prefix: str) -> Starlette:
    """Return the application that answers under *prefix*."""
    return Starlette(routes=[_route(state, prefix, *entry) for entry in _HANDLERS])


def _route(state: State, prefix: str, method: str, name: str, handler: Handler) -> Route:
    async def endpoint(request: Request) -> Response:
        try:
            return await handler(state, request)
        except (TypeError, ValueError, KeyError) as error:
            # The handle raises it again in the caller's process.
            return JSONResponse({"kind": type(error).__name__, "error": str(error)}, 400)

    return Route(prefix + name, endpoint, methods=[method])


async def _state(state: State, request: Request) -> Response:
    shown: dict[str, Any] = {"now": state.clock.now(), "plan": state.plan.name, "counters": state.counters()}
    if "requests" in request.query_params:
        shown["requests"] = list(state.log)
    return JSONResponse(shown)


async def _reset(state: State, _request: Request) -> Response:
    state.reset()
    return JSONResponse({})


async def _configure(state: State, request: Request) -> Response:
    state.configure(await request.json())
    return JSONResponse({})


async def _replay(state: State, request: Request) -> Response:
    import pyarrow as pa  # noqa: PLC0415 - slow to import, and rarely needed

    period = period_named(request.query_params["period"])
    table = pa.ipc.open_stream(await request.body()).read_all()
    bars = np.stack([table[name].to_numpy().astype(np.float64) for name in FIELDS])
    state.replay(request.query_params["code"]).put(period, bars)
    return JSONResponse({"bars": bars.shape[1]})


async def _end_replays(state: State, request: Request) -> Response:  # noqa: ARG001 - the signature of all
    state.replays.clear()
    return JSONResponse({})


async def _bars(state: State, request: Request) -> Response:
    import pyarrow as pa  # noqa: PLC0415 - slow to import, and rarely needed

    asked = request.query_params
    period = aligned(period_named(asked["period"]), asked["code"], state.readings.alignment)
    now = state.clock.now()
    found = state.source(asked["code"])
    if found is None:
        raise ValueError(f"code={asked['code']!r} is not a product of the sandbox and has no replay")
    series, product = found
    start, end = float(asked.get("start", "-inf")), float(asked.get("end", "inf"))
    stamping = state.readings.daily_stamps
    bars = series.between(period, start, min(end, now + 2 * period.length_s), now, stamping)
    table = truth(bars, product, closed(bars, asked["code"], period, now, stamping))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return Response(sink.getvalue().to_pybytes(), media_type="application/vnd.apache.arrow.stream")


async def _streams(state: State, request: Request) -> Response:
    if request.method == "POST":
        await state.streams.act(request.query_params["action"], float(request.query_params.get("seconds", 0)))
    return JSONResponse(state.streams.shown())


_HANDLERS: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "state", _state),
    ("POST", "reset", _reset),
    ("POST", "configure", _configure),
    ("POST", "replay", _replay),
    ("POST", "end_replays", _end_replays),
    ("GET", "bars", _bars),
    ("GET", "streams", _streams),
    ("POST", "streams", _streams),
)
