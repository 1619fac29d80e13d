"""The conversation over one WebSocket connection, without the socket: what to send and when, and what was missed. Pure.

The vendor's rules ("Websocket interface"): a subscription replaces the earlier one of its kind, so the union is sent,
always; any two messages are a second apart; a heartbeat every 10 s, and a peer that says nothing for 30 s is dead.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from alltick_frames.errors import AuthenticationError, StreamError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

__all__ = ["DEAD_S", "KINDS", "Ack", "Conversation", "Gap", "Kind", "Refused", "Subscribed", "shares", "wait_s"]

Kind = Literal["trades", "order_book"]
KINDS: tuple[Kind, ...] = ("trades", "order_book")

HEARTBEAT, CANCEL = 22000, 22006
_SUBSCRIBE: dict[Kind, int] = {"order_book": 22002, "trades": 22004}
_CANCEL_TYPES: dict[Kind, int] = {"order_book": 1, "trades": 2}
_OK, _UNAUTHORISED, _LAST_WARNING = 200, 401, 606
_THROTTLED = (429, 605, _LAST_WARNING)

_HEARTBEAT_S, DEAD_S = 10.0, 30.0
# "At least 1 s apart": what the network takes away of it is added.
_SPACING_S = 1.05
# An error may come without the number of what it answers, and so may be no answer at all.
_ANSWERED_WITHIN_S = 10.0
_ASKED_AT_MOST = 3
_LONGEST_WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Ack:
    """The server's answer to a message: its command is the message's plus one, or 0 in errors that match none."""

    command: int
    sequence: int
    ret: int
    message: str


@dataclass(frozen=True, slots=True)
class Subscribed:
    """From now on these come, and nothing else of the kind."""

    kind: Kind
    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """The server did not take a subscription; what was live of the kind before still is."""

    kind: Kind
    codes: tuple[str, ...]
    ret: int
    message: str


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch of which ticks may be missing: nobody can ask for them again.

    Attributes
    ----------
    start, end
        From the last that was heard before the connection was lost, to when the subscription stood again.
    why
        What ended the connection.
    """

    kind: Kind
    codes: tuple[str, ...]
    start: datetime
    end: datetime
    why: str


@dataclass(frozen=True, slots=True)
class _Sent:
    """A message that waits for its answer."""

    command: int
    sequence: int
    at_s: float
    kind: Kind | None = None
    codes: tuple[str, ...] = ()


@dataclass(slots=True)
class Conversation:
    """What one connection of one family carries, and where the talk stands.

    Times in seconds are of any clock that does not go back.

    Attributes
    ----------
    wanted
        By kind, the codes that are to come.
    live
        By kind, those that the server has confirmed.
    levels
        Of order books; 0 for as many as there are.
    """

    levels: int = 0
    wanted: dict[Kind, tuple[str, ...]] = field(default_factory=dict)
    live: dict[Kind, tuple[str, ...]] = field(default_factory=dict)
    _refused: dict[Kind, tuple[str, ...]] = field(default_factory=dict)
    # Of which the server has been told and has not answered: it may have one or the other.
    _unsure: set[Kind] = field(default_factory=set)
    _pending: _Sent | None = None
    _unanswered: int = 0
    _sequence: int = 0
    _sent_s: float | None = None
    _beat_s: float = 0.0
    _heard_s: float | None = None
    _heard_at: datetime | None = None
    _lost: dict[Kind, tuple[tuple[str, ...], datetime, str]] = field(default_factory=dict)

    def want(self, kind: Kind, codes: Iterable[str]) -> None:
        """Change what is to come of *kind*: all of it, whatever came before."""
        self.wanted[kind] = tuple(dict.fromkeys(codes))
        self._refused.pop(kind, None)

    def opened(self, now_s: float, now: datetime) -> None:
        """Begin anew, on a connection that has just been opened."""
        self.live.clear()
        self._unsure.clear()
        self._pending, self._unanswered, self._sent_s = None, 0, None
        self._beat_s = now_s
        self.heard(now_s, now)

    def closed(self, now: datetime, why: str) -> None:
        """Note that the connection is gone, and since when nothing can have come."""
        since = self._heard_at or now
        for kind, codes in self.live.items():
            lost, start, first = self._lost.get(kind, ((), since, why))
            self._lost[kind] = (tuple(dict.fromkeys([*lost, *codes])), start, first)
        self.live.clear()
        self._pending = self._heard_s = None

    def heard(self, now_s: float, now: datetime) -> None:
        """Note that something came, whatever it was."""
        self._heard_s, self._heard_at = now_s, now

    def is_dead(self, now_s: float) -> bool:
        """Whether the peer has been silent for so long that it is gone."""
        return self._heard_s is not None and now_s >= self._heard_s + DEAD_S

    def message(self, now_s: float, trace: str) -> bytes | None:
        """Give what is to be sent now, if anything.

        Raises
        ------
        StreamError
            A subscription was not answered, as often as it was sent.
        """
        self._give_up_waiting(now_s)
        if self._pending is not None or now_s < self._may_send_s:
            return None
        kind = self._to_change()
        if kind is not None:
            return self._subscribe(kind, now_s, trace)
        if now_s < self._beat_s + _HEARTBEAT_S:
            return None
        self._beat_s = now_s
        # Not waited for: anything that is heard shows that the peer lives.
        return self._say(HEARTBEAT, {}, now_s, trace)

    def wake_s(self) -> float:
        """Say by when `message` or `is_dead` may have something new."""
        beat_s = max(self._may_send_s, self._beat_s + _HEARTBEAT_S)
        if self._pending is not None:
            beat_s = self._pending.at_s + _ANSWERED_WITHIN_S
        elif self._to_change() is not None:
            beat_s = self._may_send_s
        return min(beat_s, float("inf") if self._heard_s is None else self._heard_s + DEAD_S)

    def answered(self, ack: Ack, now: datetime) -> list[Subscribed | Refused | Gap]:
        """Take an answer; say what it changes.

        Raises
        ------
        AuthenticationError
            The token is not accepted: no other connection will be, either.
        StreamError
            The server is about to close the connection because of too many messages.
        """
        if ack.ret == _UNAUTHORISED:
            raise AuthenticationError(f"the vendor does not accept the token (ret 401 {ack.message})", ret=401)
        if ack.ret in _THROTTLED:
            raise StreamError(f"the vendor closes the connection: too many messages (ret {ack.ret} {ack.message})")
        sent = self._pending
        # An error may lack the numbers by which it could be matched.
        if sent is None or ack.command not in (0, sent.command + 1) or ack.sequence not in (0, sent.sequence):
            return []
        self._pending, self._unanswered = None, 0
        kind = sent.kind
        if kind is None:
            raise AssertionError("only subscriptions wait for an answer")
        self._unsure.discard(kind)
        if ack.ret != _OK:
            self._refused[kind] = sent.codes
            return [Refused(kind, sent.codes, ack.ret, ack.message)]
        self.live[kind] = sent.codes
        return [Subscribed(kind, sent.codes), *self._gaps(kind, now)]

    @property
    def _may_send_s(self) -> float:
        return float("-inf") if self._sent_s is None else self._sent_s + _SPACING_S

    def _to_change(self) -> Kind | None:
        """Name the kind that is not as it is wanted; what was refused is not asked for again."""
        for kind in KINDS:
            wanted = self.wanted.get(kind, ())
            changed = wanted != self.live.get(kind, ()) or kind in self._unsure
            if changed and wanted != self._refused.get(kind):
                return kind
        return None

    def _subscribe(self, kind: Kind, now_s: float, trace: str) -> bytes:
        codes = self.wanted.get(kind, ())
        depth = {"depth_level": self.levels} if kind == "order_book" else {}
        data: dict[str, object] = {"symbol_list": [{"code": code, **depth} for code in codes]}
        command = _SUBSCRIBE[kind]
        if not codes:
            command, data = CANCEL, {"cancel_type": _CANCEL_TYPES[kind]}
        said = self._say(command, data, now_s, trace)
        self._pending = _Sent(command, self._sequence, now_s, kind, codes)
        self._unsure.add(kind)
        return said

    def _say(self, command: int, data: dict[str, object], now_s: float, trace: str) -> bytes:
        self._sequence += 1
        self._sent_s = now_s
        message = {"cmd_id": command, "seq_id": self._sequence, "trace": trace, "data": data}
        return json.dumps(message, separators=(",", ":")).encode()

    def _give_up_waiting(self, now_s: float) -> None:
        if self._pending is None or now_s < self._pending.at_s + _ANSWERED_WITHIN_S:
            return
        self._pending = None
        self._unanswered += 1
        if self._unanswered >= _ASKED_AT_MOST:
            raise StreamError(f"a subscription was sent {_ASKED_AT_MOST} times and never answered")

    def _gaps(self, kind: Kind, now: datetime) -> list[Gap]:
        """Close the gap of *kind*, for the codes that come again."""
        lost, start, why = self._lost.pop(kind, ((), now, ""))
        again = tuple(code for code in lost if code in self.live[kind])
        return [Gap(kind, again, start, now, why)] if again else []


def wait_s(failures: int, spacing_s: float, chance: float) -> float:
    """Say how long to wait before a connection is opened again: longer each time, and never below the plan's spacing.

    Examples
    --------
    >>> [wait_s(failures, 3, 0.5) for failures in (1, 2, 3, 10)]
    [3.75, 7.5, 15.0, 75.0]
    """
    return min(spacing_s * 2.0 ** (failures - 1), _LONGEST_WAIT_S) * (1 + chance / 2)


def shares(codes: Iterable[str], a_connection: int) -> list[tuple[str, ...]]:
    """Cut *codes* into as few connections as hold them.

    Examples
    --------
    >>> shares(["A", "B", "C"], 2)
    [('A', 'B'), ('C',)]
    """
    listed = tuple(dict.fromkeys(codes))
    return [listed[start : start + a_connection] for start in range(0, len(listed), a_connection)]
