"""The conversation over a WebSocket, on a clock of its own, with a server that follows the vendor's rules."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import alltick_frames as at
from alltick_frames.subscription import KINDS, Ack, Conversation, Gap, Kind, Refused, Subscribed, shares, wait_s

START = datetime(2026, 3, 18, tzinfo=UTC)
CODES = ["EURUSD", "GOLD", "BTCUSDT", "700.HK"]


def when(now_s: float) -> datetime:
    return START + timedelta(seconds=now_s)


class Server:
    """What the vendor's pages say of its side of one connection."""

    def __init__(self) -> None:
        self.live: dict[Kind, list[str]] = {}
        self.received_s: list[float] = []
        self.beats_s: list[float] = []

    def receive(self, message: bytes, now_s: float, refuses: int = 0) -> Ack:
        said: dict[str, Any] = json.loads(message)
        self.received_s.append(now_s)
        command, data = said["cmd_id"], said["data"]
        if command == 22000:
            self.beats_s.append(now_s)
        elif refuses and command != 22006:
            return Ack(command + 1, said["seq_id"], refuses, "code invalid")
        elif command == 22002:
            self.live["order_book"] = [one["code"] for one in data["symbol_list"]]
            assert all("depth_level" in one for one in data["symbol_list"])
        elif command == 22004:
            self.live["trades"] = [one["code"] for one in data["symbol_list"]]
        else:
            assert command == 22006
            self.live.pop({1: "order_book", 2: "trades"}[data["cancel_type"]], None)  # type: ignore[call-overload]
        return Ack(command + 1, said["seq_id"], 200, "ok")


class Talk(RuleBasedStateMachine):
    """Codes come and go, answers and connections are lost; time goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.talk = Conversation(levels=5)
        self.server: Server | None = None
        self.answers: list[Ack] = []
        self.heard_s = 0.0
        self.gaps: list[Gap] = []
        self.lost: dict[Kind, dict[str, datetime]] = {}

    @initialize()
    def connects(self) -> None:
        self.open()

    def open(self) -> None:
        self.server = Server()
        self.answers = []
        self.talk.opened(self.now_s, when(self.now_s))
        self.heard_s = self.now_s

    @rule(kind=st.sampled_from(KINDS), codes=st.lists(st.sampled_from(CODES), max_size=4))
    def wants(self, kind: Kind, codes: list[str]) -> None:
        self.talk.want(kind, codes)

    @rule(seconds=st.floats(0.01, 9), answered=st.booleans(), refuses=st.sampled_from([0, 0, 0, 600]))
    def time_passes(self, seconds: float, refuses: int, *, answered: bool) -> None:
        self.now_s += seconds
        if self.server is None:
            return
        if self.talk.is_dead(self.now_s):
            self.lose("silent")
            return
        try:
            message = self.talk.message(self.now_s, "trace")
        except at.StreamError:
            self.lose("never answered")
            return
        if message is not None:
            ack = self.server.receive(message, self.now_s, refuses)
            if answered:
                self.answers.append(ack)

    @precondition(lambda self: self.answers)
    @rule(unmatched=st.booleans())
    def an_answer_arrives(self, *, unmatched: bool) -> None:
        ack = self.answers.pop(0)
        self.hear()
        ack = Ack(0, 0, ack.ret, ack.message) if unmatched and ack.ret != 200 else ack
        for event in self.talk.answered(ack, when(self.now_s)):
            if isinstance(event, Gap):
                self.note(event)

    def note(self, gap: Gap) -> None:
        lost = self.lost.pop(gap.kind)
        # Of what had come before and comes again, since it was last heard of.
        assert set(gap.codes) == {*lost} & {*self.talk.live[gap.kind]}
        assert gap.start == min(lost.values())
        assert gap.end == when(self.now_s)
        self.gaps.append(gap)

    @precondition(lambda self: self.server is not None)
    @rule()
    def something_is_pushed(self) -> None:
        if not self.talk.is_dead(self.now_s):
            self.hear()

    def hear(self) -> None:
        self.talk.heard(self.now_s, when(self.now_s))
        self.heard_s = self.now_s

    @precondition(lambda self: self.server is not None)
    @rule()
    def the_connection_breaks(self) -> None:
        self.lose("broke")

    def lose(self, why: str) -> None:
        for kind, codes in self.talk.live.items():
            known = self.lost.setdefault(kind, {})
            for code in codes:
                known.setdefault(code, when(self.heard_s))
        self.talk.closed(when(self.now_s), why)
        self.server = None
        self.answers = []

    @precondition(lambda self: self.server is None)
    @rule()
    def opens_again(self) -> None:
        self.open()

    @invariant()
    def two_messages_are_a_second_apart(self) -> None:
        if self.server is not None:
            apart = [after - before for before, after in pairwise(self.server.received_s)]
            assert all(seconds >= 1 for seconds in apart)

    @invariant()
    def what_is_said_to_be_live_is(self) -> None:
        if self.server is not None and not self.answers and self.talk._pending is None:  # noqa: SLF001
            for kind, codes in self.talk.live.items():
                assert kind in self.talk._unsure or self.server.live.get(kind, []) == list(codes)  # noqa: SLF001

    def teardown(self) -> None:
        """Left in peace, the server ends with what is wanted, and hears a heartbeat every ten seconds."""
        if self.server is None or self.talk.is_dead(self.now_s):
            self.open()
        self.hear()
        server = self.server
        assert server is not None
        self.talk._refused.clear()  # noqa: SLF001  # as if the codes were wanted anew
        quiet_from_s = self.now_s
        while self.now_s < quiet_from_s + 80:
            self.now_s = max(self.now_s + 0.001, min(self.talk.wake_s(), self.now_s + 5))
            assert not self.talk.is_dead(self.now_s)
            message = self.talk.message(self.now_s, "trace")
            if message is not None:
                ack = server.receive(message, self.now_s)
                self.hear()
                self.talk.answered(ack, when(self.now_s))
            elif self.now_s - self.heard_s > 9:
                self.hear()
        for kind in KINDS:
            assert server.live.get(kind, []) == list(self.talk.wanted.get(kind, ()))
        beats = [beat for beat in server.beats_s if beat > quiet_from_s + 30]
        assert len(beats) >= 4
        assert all(after - before < 12 for before, after in pairwise(beats))


TestTalk = Talk.TestCase
TestTalk.settings = settings(max_examples=60, stateful_step_count=30)


def opened(**wanted: Any) -> Conversation:
    talk = Conversation()
    for kind, codes in wanted.items():
        talk.want(kind, codes)  # type: ignore[arg-type]
    talk.opened(0, START)
    return talk


def sent(talk: Conversation, now_s: float) -> dict[str, Any]:
    message = talk.message(now_s, "t")
    said: dict[str, Any] = {} if message is None else json.loads(message)
    return said


class TestWhatIsSaid:
    def test_of_both_kinds_a_second_apart_with_the_levels_of_books(self) -> None:
        talk = opened(trades=["GOLD", "EURUSD"], order_book=["GOLD"])
        first = sent(talk, 0)
        assert (first["cmd_id"], first["data"]) == (22004, {"symbol_list": [{"code": "GOLD"}, {"code": "EURUSD"}]})
        assert first["seq_id"] == 1
        # Neither too soon nor before the answer to the first.
        assert sent(talk, 2) == {}
        assert talk.answered(Ack(22005, 1, 200, "ok"), when(2)) == [Subscribed("trades", ("GOLD", "EURUSD"))]
        assert sent(talk, 2)["data"] == {"symbol_list": [{"code": "GOLD", "depth_level": 0}]}

    def test_the_union_when_codes_come_and_a_cancel_when_all_go(self) -> None:
        talk = opened(trades=["GOLD"])
        sent(talk, 0)
        talk.answered(Ack(22005, 1, 200, "ok"), when(0))
        talk.want("trades", ["GOLD", "EURUSD"])
        assert [one["code"] for one in sent(talk, 2)["data"]["symbol_list"]] == ["GOLD", "EURUSD"]
        talk.answered(Ack(22005, 2, 200, "ok"), when(2))
        talk.want("trades", [])
        assert sent(talk, 4) == {"cmd_id": 22006, "seq_id": 3, "trace": "t", "data": {"cancel_type": 2}}

    def test_a_subscription_without_an_answer_is_sent_again_and_given_up_in_the_end(self) -> None:
        talk = opened(trades=["GOLD"])
        for now_s in (0, 10, 20):
            assert sent(talk, now_s)["cmd_id"] == 22004
            talk.heard(now_s, when(now_s))
        with pytest.raises(at.StreamError, match="3 times"):
            talk.message(30, "t")

    def test_silence_of_thirty_seconds_is_death(self) -> None:
        talk = opened(trades=["GOLD"])
        assert not talk.is_dead(29.9)
        assert talk.is_dead(30)
        talk.heard(29, when(29))
        assert not talk.is_dead(58.9)


class TestWhatIsAnswered:
    def test_a_refusal_is_told_and_not_repeated(self) -> None:
        talk = opened(trades=["GOLD", "NOSUCH"])
        sent(talk, 0)
        refused = Refused("trades", ("GOLD", "NOSUCH"), 600, "code invalid")
        assert talk.answered(Ack(0, 0, 600, "code invalid"), when(1)) == [refused]
        assert sent(talk, 5) == {}
        talk.want("trades", ["GOLD"])
        assert sent(talk, 6)["data"] == {"symbol_list": [{"code": "GOLD"}]}

    def test_a_token_that_is_not_accepted_ends_it(self) -> None:
        with pytest.raises(at.AuthenticationError, match="token"):
            opened(trades=["GOLD"]).answered(Ack(0, 0, 401, "token invalid"), START)

    @pytest.mark.parametrize("ret", [429, 605, 606])
    def test_too_many_messages_are_the_end_of_the_connection(self, ret: int) -> None:
        with pytest.raises(at.StreamError, match=f"ret {ret}"):
            opened(trades=["GOLD"]).answered(Ack(0, 0, ret, "too many requests"), START)

    def test_a_gap_is_from_what_was_last_heard_to_the_new_subscription(self) -> None:
        talk = opened(trades=["GOLD", "EURUSD"])
        sent(talk, 0)
        talk.answered(Ack(22005, 1, 200, "ok"), when(0))
        talk.heard(7, when(7))
        talk.closed(when(9), "it broke")
        talk.want("trades", ["GOLD", "BTCUSDT"])
        talk.opened(12, when(12))
        sent(talk, 12)
        # A second loss before the subscription stands makes no second gap.
        talk.closed(when(13), "again")
        talk.opened(20, when(20))
        number = sent(talk, 20)["seq_id"]
        assert talk.answered(Ack(22005, number, 200, "ok"), when(21)) == [
            Subscribed("trades", ("GOLD", "BTCUSDT")),
            Gap("trades", ("GOLD",), when(7), when(21), "it broke"),
        ]


def test_connections_are_as_few_as_hold_the_codes() -> None:
    assert shares(CODES, 3) == [tuple(CODES[:3]), tuple(CODES[3:])]
    assert shares([], 3) == []
    assert shares(["A", "A", "B"], 2) == [("A", "B")]


def test_waits_grow_and_are_never_below_the_plans_spacing() -> None:
    waits = [wait_s(failures, 10, 0) for failures in range(1, 8)]
    assert waits[0] == 10
    assert waits == sorted(waits)
    assert max(waits) == 60
    assert wait_s(1, 3, 1) == 4.5
