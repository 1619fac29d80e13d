"""The WebSocket connections of a sandbox: which there are, what was seen of them, and what is done to them."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

    from alltick_frames.sandbox.products import Family

__all__ = ["ACTIONS", "Streams", "Wire", "error"]

Action = Literal["drop", "half_open", "refuse", "garbage", "token_invalid", "too_many"]
ACTIONS: tuple[Action, ...] = ("drop", "half_open", "refuse", "garbage", "token_invalid", "too_many")
"""What can be done to the connections there are, or, ``refuse``, to those to come for some seconds."""


@dataclass(slots=True, eq=False)
class Wire:
    """One connection, and what it is subscribed to."""

    socket: WebSocket
    family: Family
    subscribed: dict[str, dict[str, int]] = field(default_factory=dict)
    heard_s: float = field(default_factory=time.monotonic)
    asked_s: float = float("-inf")
    half_open: bool = False
    pushed: dict[tuple[str, str], int] = field(default_factory=dict)

    async def say(self, message: dict[str, Any] | str) -> None:
        """Send *message*, unless the connection is only half open."""
        if not self.half_open:
            text = message if isinstance(message, str) else json.dumps(message, separators=(",", ":"))
            await self.socket.send_text(text)


@dataclass(slots=True)
class Streams:
    """All connections of one sandbox, and what was seen of them."""

    wires: list[Wire] = field(default_factory=list)
    opened: Counter[str] = field(default_factory=Counter)
    pushed: Counter[str] = field(default_factory=Counter)
    violations: Counter[str] = field(default_factory=Counter)
    log: list[dict[str, Any]] = field(default_factory=list)
    refused_until_s: float = float("-inf")

    def shown(self) -> dict[str, Any]:
        """Say what there is and has been."""
        return {
            "connections": [
                {"family": wire.family.value, **{kind: [*codes] for kind, codes in wire.subscribed.items()}}
                for wire in self.wires
            ],
            "opened": dict(self.opened),
            "pushed": dict(self.pushed),
            "violations": dict(self.violations),
            "messages": list(self.log),
        }

    def forget(self) -> None:
        """Forget what was seen; the connections stay."""
        for seen in (self.opened, self.pushed, self.violations, self.log):
            seen.clear()
        self.refused_until_s = float("-inf")

    async def act(self, action: str, seconds: float) -> None:
        """Do something to the connections."""
        if action not in ACTIONS:
            raise ValueError(f"action={action!r} is not one of {', '.join(ACTIONS)}")
        if action == "refuse":
            self.refused_until_s = time.monotonic() + seconds
        for wire in [*self.wires] if action != "refuse" else []:
            match action:
                case "drop":
                    await wire.socket.close(1011)
                case "half_open":
                    wire.half_open = True
                case "garbage":
                    await wire.say('{"cmd_id":22998,"data":{"code":"GOLD","tick_time":"soon"}}')
                case "token_invalid":
                    await wire.say(error(401, "token invalid"))
                case _:
                    await wire.say(error(606, "too many requests and connection will be closed"))
                    await wire.socket.close(1008)


def error(ret: int, message: str) -> dict[str, Any]:
    """Return an answer that matches no message."""
    return {"ret": ret, "msg": message, "cmd_id": 0, "seq_id": 0, "trace": "", "data": {}}
