"""The `alltick` command as a person runs it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import alltick_frames as at

COMMAND = str(Path(sys.executable).with_name("alltick"))


def alltick(server: at.sandbox.Sandbox | None, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    settings = (
        {"ALLTICK_TOKEN": server.token, "ALLTICK_BASE_URL": server.url, "ALLTICK_PLAN": "professional"}
        if server
        else {}
    )
    return subprocess.run(
        [COMMAND, *arguments],
        env={**os.environ, **settings, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_get_prints_a_frame(server: at.sandbox.Sandbox) -> None:
    done = alltick(server, "get", "EURUSD", "GOLD", "-p", "1d", "-r", "2026-03-02/2026-03-06")
    assert done.returncode == 0
    assert done.stderr.startswith("alltick: note: this machine's clock is")  # the sandbox's is set
    assert done.stderr.count("\n") == 1
    assert "shape: (10, 8)" in done.stdout


def test_estimate_sends_nothing(server: at.sandbox.Sandbox) -> None:
    done = alltick(server, "estimate", "EURUSD", "BTCUSDT", "-p", "1m", "-r", "2025-01-01/2025-12-31")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "EURUSD, BTCUSDT 1m on the professional plan"
    assert [line.split()[0] for line in lines[1:]] == ["requests", "bars", "time", "allowance"]
    assert server.counters()["requests"] == 0


def test_a_long_wait_is_said_before_it_begins(server: at.sandbox.Sandbox) -> None:
    command = [COMMAND, "get", "BTCUSDT", "-p", "1m", "-r", "2026-03-01/2026-03-12"]
    settings = {"ALLTICK_TOKEN": server.token, "ALLTICK_BASE_URL": server.url, "ALLTICK_PLAN": "free"}
    with subprocess.Popen(command, env={**os.environ, **settings}, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        assert running.stderr.readline().startswith("alltick: note: BTCUSDT 1m takes ")
        assert server.counters()["requests"] <= 1
        running.send_signal(signal.SIGINT)
        assert running.wait(timeout=5) == 130
        assert (
            "alltick: interrupted; what came is kept, and the same command goes on from there" in running.stderr.read()
        )
    done = alltick(server, "get", "BTCUSDT", "-p", "1m", "-r", "30d", "--max-wait", "1")
    assert done.returncode == 4
    assert "max_wait=1 s does not suffice" in done.stderr


@pytest.mark.parametrize(("kind", "read"), [("parquet", pl.read_parquet), ("csv", pl.read_csv), ("arrow", pl.read_ipc)])
def test_get_writes_a_file(server: at.sandbox.Sandbox, tmp_path: Path, kind: str, read: type) -> None:
    path = tmp_path / f"bars.{kind}"
    done = alltick(server, "get", "EURUSD", "-p", "1h", "-r", "500", "-o", str(path))
    assert done.stdout == f"500 bars → {path}\n"
    assert read(path).height == 500


EXITS = [
    pytest.param(("get", "00700.HK", "-p", "1d", "-r", "5d"), {}, 2, "write '700.HK'", id="argument"),
    pytest.param(("get", "EURUSD", "-p", "1d", "-r", "5d", "-o", "x.xls"), {}, 2, ".parquet", id="output"),
    pytest.param(("get", "EURUSD", "-p", "1d", "-r", "5d"), {"ALLTICK_PLAN": "gold"}, 2, "plan='gold'", id="config"),
    pytest.param(("get", "AAPL.US", "-p", "1m", "-r", "2026-01-01/"), {}, 3, "beyond_reach", id="incomplete"),
    pytest.param(
        ("get", "EURUSD", "-p", "1d", "-r", "5d"), {"ALLTICK_TOKEN": "wrong"}, 5, "check ALLTICK_TOKEN", id="token"
    ),
    pytest.param(("get", "NOSUCH", "-p", "1d", "-r", "5d"), {}, 6, "ret 600", id="vendor"),
]


@pytest.mark.parametrize(("arguments", "environment", "code", "words"), EXITS)
def test_an_error_is_one_line_and_an_exit_code(
    server: at.sandbox.Sandbox, arguments: tuple[str, ...], environment: dict[str, str], code: int, words: str
) -> None:
    done = alltick(server, *arguments, **environment)
    assert done.returncode == code
    *notes, line = done.stderr.splitlines()
    assert line.startswith("alltick: ")
    assert words in line
    assert all(note.startswith("alltick: note: ") for note in notes)


def test_an_incomplete_answer_is_handed_over_all_the_same(server: at.sandbox.Sandbox) -> None:
    done = alltick(server, "get", "AAPL.US", "-p", "1m", "-r", "2026-01-01/")
    assert done.returncode == 3
    assert "shape: (499, 8)" in done.stdout


def test_the_demo_fetches_a_month_at_the_honest_rate() -> None:
    done = alltick(None, "demo")
    assert done.returncode == 0, done.stderr
    assert re.search(r"(9\d|100)%", done.stderr)  # the progress bar, which is not drawn for every request
    cost = re.search(r"1m 1mo.*?([\d,]+) │ +(\d+) │ +(\d+) │ +([\d.]+) │ +(\d+) ", done.stdout)
    assert cost is not None, done.stdout
    bars, requests, fewest, too_fast = (int(cost[group].replace(",", "")) for group in (1, 2, 3, 5))
    assert bars > 50_000
    assert fewest <= requests <= 1.02 * fewest
    assert too_fast == 0


def test_the_sandbox_serves_until_interrupted() -> None:
    with subprocess.Popen(
        [COMMAND, "sandbox", "--port", "0", "--token", "mine"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        export = process.stdout.readline()
        url = re.search(r"ALLTICK_BASE_URL=(\S+)", export)
        assert url is not None
        with at.Client("mine", plan="professional", base_url=url[1]) as client:
            assert client.get_kline("EURUSD", "1h", 5).height == 5
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) in (0, 130)


def test_the_archive_is_listed_without_a_token(server: at.sandbox.Sandbox) -> None:
    assert alltick(server, "get", "EURUSD", "GOLD", "-p", "1h", "-r", "2026-03-02/2026-03-02").returncode == 0
    alltick(server, "get", "AAPL.US", "-p", "1m", "-r", "2026-02-02/2026-02-03")
    listed = alltick(None, "coverage", ALLTICK_BASE_URL=server.url)
    lines = [line for line in listed.stdout.splitlines() if line.startswith("│")]
    assert [line.split()[1] for line in lines if line.split()[1] != "│"] == ["AAPL.US", "AAPL.US", "EURUSD", "GOLD"]
    assert "(always)" in lines[0]
    assert "beyond_reach" in lines[0]
    assert max(map(len, listed.stdout.splitlines())) <= 104
    only = alltick(None, "coverage", "GOLD", "-p", "1h", ALLTICK_BASE_URL=server.url)
    assert "EURUSD" not in only.stdout
    assert "GOLD" in only.stdout
    assert "holds nothing" in alltick(None, "coverage", "GOLD", "-p", "1d", ALLTICK_BASE_URL=server.url).stdout


def test_suspicious_holes_are_listed_without_a_token(server: at.sandbox.Sandbox) -> None:
    for week in ("2026-03-02/2026-03-03", "2026-03-10/2026-03-11"):
        assert alltick(server, "get", "GOLD", "-p", "1m", "-r", week).returncode == 0
    listed = alltick(None, "gaps", "-p", "1m", ALLTICK_BASE_URL=server.url)
    (row,) = [line for line in listed.stdout.splitlines() if line.startswith("│ GOLD")]
    assert "not_proven" in row
    assert "alltick 2025-01" in row
    assert max(map(len, listed.stdout.splitlines())) <= 104
    assert "No suspicious holes" in alltick(None, "gaps", "-p", "1d", ALLTICK_BASE_URL=server.url).stdout
    assert alltick(None, "gaps", "--min-bars", "0", ALLTICK_BASE_URL=server.url).returncode == 2


def test_the_archive_says_where_and_how_large_it_is(server: at.sandbox.Sandbox) -> None:
    assert "MiB" in alltick(None, "cache", "info").stdout  # nothing is there yet, and nothing is made
    assert not Path(os.environ["ALLTICK_CACHE_DIR"]).exists()
    alltick(server, "get", "EURUSD", "-p", "1h", "-r", "2026-03-02/2026-03-02")
    shown = alltick(None, "cache", "info").stdout
    assert Path(os.environ["ALLTICK_CACHE_DIR"]).name in shown
    (row,) = [line for line in shown.splitlines() if line.startswith("│")]
    assert row.split("│")[1].strip() == server.url.replace("://", "-").replace(":", "-")
    assert [int(cell) for cell in row.split("│")[2:5]] == [1, 1, 500]
