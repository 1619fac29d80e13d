"""Whatever fails: the same frame comes, nothing that came is asked for again, and what cannot be cured is said."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
import tenacity
from pyarrow import feather

import alltick_frames as at
from alltick_frames import attempts, clocks, transport
from alltick_frames.sandbox.delivery import WAYS
from alltick_frames.sandbox.faults import DAMAGE, FAULTS

from .conftest import NOW, UNHURRIED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Connect = Callable[..., at.Client]

THROTTLES = ("throttled_http_429", "throttled_ret_605", "connection_will_be_closed")
PASSING = (*WAYS, *DAMAGE, *THROTTLES, "halt_failure", "not_found", "server_error", "bad_gateway", "empty_body")
QUESTION = (["EURUSD", "GOLD"], "1m", "2026-03-02/2026-03-13")
MANY = f"{os.environ.get('ALLTICK_TEST_FAULTS_SINCE', '2026-01-01')}/2026-03-13"
SHORT_PAUSES = {**UNHURRIED, "pause_s": 0.05}
# So that no answer is late for being one of a hundred.
FEW_WALKERS = {"kline": (200, 1), "combined": (200, 1), "minute": (12_000, 60)}
TRACE = re.compile(r"trace alltick-frames-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")


@pytest.fixture
def whole(connect: Connect) -> pl.DataFrame:
    frame: pl.DataFrame = connect().get_kline(*QUESTION)
    return frame


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for no answer for a minute, and not between two attempts."""
    monkeypatch.setattr(transport, "_ANSWERED_WITHIN_S", 0.8)
    monkeypatch.setattr(attempts, "_BACK_OFF", tenacity.wait_none())


def table(path: Path) -> pl.DataFrame:
    frame = pl.from_arrow(feather.read_table(path))
    assert isinstance(frame, pl.DataFrame)
    return frame.with_columns(pl.col("code").cast(pl.String))


def failed(server: at.sandbox.Sandbox) -> int:
    """Count the requests that did not bring a page."""
    counters = server.counters()
    number: int = counters["requests"] - counters["answers"].get("ok", 0)
    return number


def test_the_whole_is_the_truth(whole: pl.DataFrame, server: at.sandbox.Sandbox) -> None:
    for code in QUESTION[0]:
        truth = pl.DataFrame(pl.from_arrow(server.bars(code, "1m", "2026-03-02", "2026-03-14"))).drop("closed")
        assert whole.filter(code=code).drop("code").equals(truth)


@pytest.mark.parametrize("fault", PASSING)
@pytest.mark.usefixtures("impatient")
def test_the_same_frame_comes_when_some_requests_fail(
    server: at.sandbox.Sandbox, connect: Connect, whole: pl.DataFrame, fewest: int, fault: str
) -> None:
    server.configure(faults={fault: 0.15}, fault_seed=5)
    client = connect(limits=SHORT_PAUSES)
    assert client.get_kline(*QUESTION).equals(whole)
    assert failed(server) >= 2
    assert server.counters()["answers"]["ok"] == fewest
    server.reset()
    assert client.get_kline(*QUESTION).equals(whole)
    assert server.counters()["requests"] == 0


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.usefixtures("impatient")
def test_what_cannot_be_cured_is_said_with_its_trace(
    server: at.sandbox.Sandbox,
    connect: Connect,
    whole: pl.DataFrame,
    fewest: int,
    fault: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attempts, "_FAULTS_BORNE", 3)
    monkeypatch.setattr(attempts, "_THROTTLED_AT_MOST_S", 0.5)

    def fail(done: int, _total: int, _eta: float) -> None:
        if done >= fewest // 2:
            server.configure(faults={fault: 1.0})

    client = connect(limits=SHORT_PAUSES)
    with pytest.raises(at.AllTickError) as caught:
        client.get_kline(*QUESTION, progress=fail)
    # What is refused of a code is missing, and says so; the others are failures.
    assert isinstance(caught.value, at.ApiError | at.TransportError | at.DecodeError | at.IncompleteDataError)
    assert TRACE.search(str(caught.value))
    assert server.counters()["answers"]["ok"] < fewest
    server.configure(faults={})
    assert caught.value.frame.equals(client.get_kline(*QUESTION, network="never", on_incomplete="ignore"))
    assert client.get_kline(*QUESTION).equals(whole)
    assert server.counters()["answers"]["ok"] <= fewest + 1


@pytest.mark.parametrize("fault", THROTTLES)
def test_a_storm_of_throttling_is_sat_out(
    server: at.sandbox.Sandbox, connect: Connect, whole: pl.DataFrame, fewest: int, fault: str
) -> None:
    client = connect(limits=SHORT_PAUSES)

    def begin(done: int, _total: int, _eta: float) -> None:
        if done == fewest // 2:
            server.fail_next(25, fault)

    # More failures than any other fault is forgiven, each pause twice as long as the one before.
    assert client.get_kline(*QUESTION, progress=begin).equals(whole)
    assert server.counters()["answers"] == {"ok": fewest, fault: 25}


def test_a_request_is_sent_ten_times_before_it_has_failed(
    server: at.sandbox.Sandbox, client: at.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "_BACK_OFF", tenacity.wait_none())
    server.configure(faults={"bad_gateway": 1.0})
    with pytest.raises(at.TransportError, match="HTTP 502"):
        client.get_kline("EURUSD", "1h", "2026-03-02/2026-03-06")
    assert server.counters()["requests"] == 10


def test_a_request_that_never_left_uses_up_nothing_of_the_day(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "_BACK_OFF", tenacity.wait_none())
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    client = connect(base_url=nobody, limits={**UNHURRIED, "day": (100, 86_400)})
    with pytest.raises(at.TransportError, match="ConnectError"):
        client.get_kline(*QUESTION)
    assert client.estimate_kline(*QUESTION).left_today == 100


# A child, so that what it needed at most is its own.
MIXED = """
import json, resource, sys
import pyarrow.feather
import alltick_frames as at
from alltick_frames import transport

settings, question = json.loads(sys.argv[1]), json.loads(sys.argv[2])
transport._ANSWERED_WITHIN_S = 1.5
with at.Client(**settings) as client:
    frame = client.get_kline(*question, frame="arrow", max_wait=3600, progress=False)
pyarrow.feather.write_feather(frame, sys.argv[3])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_of_many_requests_15_percent_may_fail_in_any_way(server: at.sandbox.Sandbox, tmp_path: Path) -> None:
    question = (QUESTION[0], "1m", MANY)
    kinds = [fault for fault in PASSING if fault not in THROTTLES[1:]]
    came: list[tuple[int, int, pl.DataFrame]] = []
    for name, faults in (("none", {}), ("some", dict.fromkeys(kinds, 0.15 / len(kinds)))):
        server.reset()
        server.configure(faults=faults, fault_seed=33)
        settings = {**server.settings, "cache_dir": str(tmp_path / name), "limits": FEW_WALKERS}
        arguments = [json.dumps(settings), json.dumps(question), str(tmp_path / f"{name}.feather")]
        done = subprocess.run(
            [sys.executable, "-c", MIXED, *arguments], capture_output=True, text=True, check=True, timeout=3_600
        )
        answered = server.counters()["answers"]["ok"]
        came.append((int(done.stdout), answered, table(tmp_path / f"{name}.feather")))
    (clean_mb, fewest, expected), (faulty_mb, answered, got) = came
    assert got.equals(expected)
    assert answered <= fewest + 5
    assert set(server.counters()["answers"]) == {"ok", *kinds}
    # Some answers of 16 MiB at a time; one of a gibibyte would be seen.
    assert faulty_mb < clean_mb + 300


class Lives:
    """A sandbox that can be killed and started anew where it was."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self._options: dict[str, Any] = {"port": port, "token": "lives-c-app", "clock": NOW, "frozen": True}
        self._stack = stack
        self.answered = 0
        self.server = self._start()

    def end(self) -> None:
        self.answered += self.server.counters()["answers"]["ok"]
        self._stack.close()

    def begin(self) -> None:
        self.server = self._start()

    def _start(self) -> at.sandbox.Sandbox:
        return self._stack.enter_context(at.sandbox.running(limits=False, latency_ms=5, **self._options))


@pytest.fixture
def lives() -> Iterator[Lives]:
    with contextlib.ExitStack() as stack:
        yield Lives(stack)


def settings_for(server: at.sandbox.Sandbox, tmp_path: Path) -> dict[str, Any]:
    return {**server.settings, "cache_dir": str(tmp_path / "archive"), "limits": UNHURRIED}


def test_a_server_that_restarts_is_waited_for(lives: Lives, whole: pl.DataFrame, fewest: int, tmp_path: Path) -> None:
    def restart(done: int, _total: int, _eta: float) -> None:
        if done >= fewest // 2 and not lives.answered:
            lives.end()
            time.sleep(0.3)
            lives.begin()

    with at.Client(**settings_for(lives.server, tmp_path)) as client:
        assert client.get_kline(*QUESTION, progress=restart).equals(whole)
    lives.end()
    # Those under way were answered to nobody: as many as the latency asks for, which is that of a busy machine.
    assert fewest <= lives.answered <= fewest + 12


ASLEEP = """
import json, sys
import pyarrow.feather
import alltick_frames as at
with at.Client(**json.loads(sys.argv[1])) as client:
    frame = client.get_kline(*json.loads(sys.argv[2]), frame="arrow", progress=lambda *_: print(flush=True))
pyarrow.feather.write_feather(frame, sys.argv[3])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="no SIGSTOP on this system")
def test_a_machine_that_sleeps_goes_on_when_it_wakes(
    lives: Lives, whole: pl.DataFrame, fewest: int, tmp_path: Path
) -> None:
    settings = json.dumps(settings_for(lives.server, tmp_path))
    arguments = [settings, json.dumps(QUESTION), str(tmp_path / "frame")]
    with subprocess.Popen([sys.executable, "-c", ASLEEP, *arguments], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        for _ in range(fewest // 2):
            child.stdout.readline()
        child.send_signal(signal.SIGSTOP)
        # Of what the server remembers of its connections, nothing outlives the night.
        lives.end()
        lives.begin()
        child.send_signal(signal.SIGCONT)
        child.communicate(timeout=60)
    assert child.returncode == 0
    assert table(tmp_path / "frame").equals(whole)
    lives.end()
    assert fewest <= lives.answered <= fewest + 5


class TestNames:
    def test_that_do_not_resolve_are_said(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(attempts, "_BACK_OFF", tenacity.wait_none())
        settings: dict[str, Any] = {"token": "unresolved-c-app", "plan": "professional", "cache_dir": tmp_path}
        with (
            at.Client(base_url="https://quote.alltick.invalid", **settings) as client,
            pytest.raises(at.TransportError, match=r"no whole answer from https://quote\.alltick\.invalid") as caught,
        ):
            client.get_kline(*QUESTION)
        assert TRACE.search(str(caught.value))

    def test_that_resolve_now_and_then_are_asked_for_again(
        self, server: at.sandbox.Sandbox, connect: Connect, whole: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        resolve, chance, failures = socket.getaddrinfo, random.Random(2), []

        def resolve_sometimes(*args: Any, **options: Any) -> Any:
            if chance.random() < 0.15:
                failures.append(args)
                raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
            return resolve(*args, **options)

        server.configure(readings={"connections": "closed"})
        client = connect(base_url=server.url.replace("127.0.0.1", "localhost"))
        monkeypatch.setattr(socket, "getaddrinfo", resolve_sometimes)
        assert client.get_kline(*QUESTION).equals(whole)
        assert len(failures) > 3


@pytest.mark.parametrize("date_header", ["present", "absent"])
@pytest.mark.parametrize("days", [1, -1, 3_650, -3_650])
def test_a_clock_that_jumps_changes_no_bar(
    server: at.sandbox.Sandbox,
    connect: Connect,
    set_clocks: Callable[[str], None],
    whole: pl.DataFrame,
    fewest: int,
    days: int,
    date_header: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server.configure(readings={"date_header": date_header})
    now = datetime.fromisoformat(NOW)

    def jump(done: int, _total: int, _eta: float) -> None:
        if done == fewest // 3:
            monkeypatch.setattr(clocks, "utc_now", lambda: now + timedelta(days=days))

    set_clocks(NOW)
    client = connect()
    assert client.get_kline(*QUESTION, progress=jump).equals(whole)
    set_clocks(NOW)
    assert client.get_kline(*QUESTION).equals(whole)
    assert server.counters()["answers"]["ok"] == fewest
