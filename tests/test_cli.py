"""The `alltick` command as a person runs it."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import re
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import polars as pl
import pytest

import alltick_frames as at
from alltick_frames import api, cli

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
    lines = [line for line in listed.stdout.splitlines() if line.startswith((" AAPL.US", " EURUSD", " GOLD"))]
    assert [line.split()[0] for line in lines] == ["AAPL.US", "AAPL.US", "EURUSD", "GOLD"]
    assert "(always)" in lines[0]
    assert "beyond_reach" in lines[0]
    assert max(len(line.rstrip()) for line in listed.stdout.splitlines()) <= 104
    only = alltick(None, "coverage", "GOLD", "-p", "1h", ALLTICK_BASE_URL=server.url)
    assert "EURUSD" not in only.stdout
    assert "GOLD" in only.stdout
    assert "holds nothing" in alltick(None, "coverage", "GOLD", "-p", "1d", ALLTICK_BASE_URL=server.url).stdout


def test_suspicious_holes_are_listed_without_a_token(server: at.sandbox.Sandbox) -> None:
    for week in ("2026-03-02/2026-03-03", "2026-03-10/2026-03-11"):
        assert alltick(server, "get", "GOLD", "-p", "1m", "-r", week).returncode == 0
    listed = alltick(None, "gaps", "-p", "1m", ALLTICK_BASE_URL=server.url)
    (row,) = [line for line in listed.stdout.splitlines() if line.startswith(" GOLD")]
    assert "not_proven" in row
    assert "alltick 2025-01" in row
    assert max(len(line.rstrip()) for line in listed.stdout.splitlines()) <= 104
    assert "No suspicious holes" in alltick(None, "gaps", "-p", "1d", ALLTICK_BASE_URL=server.url).stdout
    assert alltick(None, "gaps", "--min-bars", "0", ALLTICK_BASE_URL=server.url).returncode == 2


def test_the_archive_says_where_and_how_large_it_is(server: at.sandbox.Sandbox) -> None:
    assert "MiB" in alltick(None, "cache", "info").stdout  # nothing is there yet, and nothing is made
    assert not Path(os.environ["ALLTICK_CACHE_DIR"]).exists()
    alltick(server, "get", "EURUSD", "-p", "1h", "-r", "2026-03-02/2026-03-02")
    shown = alltick(None, "cache", "info").stdout
    assert Path(os.environ["ALLTICK_CACHE_DIR"]).name in shown
    (row,) = [line for line in shown.splitlines() if line.startswith(" http-")]
    assert row.split()[0] == server.url.replace("://", "-").replace(":", "-")
    assert [int(cell) for cell in row.split()[1:4]] == [1, 1, 500]


LATEST = {
    "latest": ["latest", "BTCUSDT", "700.HK", "-p", "1m", "-p", "1d"],
    "trade": ["trade", "BTCUSDT", "700.HK"],
    "book": ["book", "BTCUSDT", "700.HK", "--levels", "1"],
    "info": ["info", "700.HK", "AAPL.US"],
    "halts": ["halts", "sse"],
    "products": ["products", "--class", "forex"],
    "search": ["search", "腾讯", "--class", "stock_hk"],
    "get": ["get", "EURUSD", "-p", "1h", "-r", "5"],
}


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def run(
    server: at.sandbox.Sandbox, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[Callable[..., Done]]:
    """Run the command in this process, which saves starting one, with a budget of its own each time."""
    settings = {"TOKEN": server.token, "BASE_URL": server.url, "PLAN": "professional"}
    for name, value in settings.items():
        monkeypatch.setenv(f"ALLTICK_{name}", value)
    calls = itertools.count()

    def invoke(*arguments: str, **environment: str) -> Done:
        api.forget()
        monkeypatch.setenv("ALLTICK_STATE_DIR", str(tmp_path / f"state-{next(calls)}"))
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["alltick", *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return Done(int(ended.value.code or 0), *capfd.readouterr())

    yield invoke
    api.forget()


@pytest.mark.parametrize("command", LATEST)
def test_what_is_latest_is_drawn_whole_and_handed_to_programs(
    run: Callable[..., Done], tmp_path: Path, command: str
) -> None:
    drawn = run(*LATEST[command], COLUMNS="60")
    assert drawn.returncode == 0, drawn.stderr
    assert "…" not in drawn.stdout or command == "get"
    rows = json.loads(run(*LATEST[command], "--json").stdout)
    assert command == "halts" or {"700.HK", "EURUSD"} & {row["code"] for row in rows}
    cells = list(csv.reader(io.StringIO(run(*LATEST[command], "--csv").stdout)))
    assert (cells[0], len(cells)) == (list(rows[0]), len(rows) + 1)
    written = run(*LATEST[command], "--parquet", "--output", str(tmp_path / "table"))
    assert written.returncode == 0, written.stderr
    table = pl.read_parquet(tmp_path / "table")
    assert (table.columns, len(table)) == (list(rows[0]), len(rows))
    stamps = [row[name] for row in rows for name in row if name in ("timestamp", "halted_at") and row[name]]
    assert all(datetime.fromisoformat(stamp).tzinfo is not None for stamp in stamps)


def test_a_pipe_gets_whole_parquet(server: at.sandbox.Sandbox) -> None:
    piped = subprocess.run(
        [COMMAND, *LATEST["trade"], "--parquet"],
        env=os.environ
        | {"ALLTICK_BASE_URL": server.url, "ALLTICK_TOKEN": server.token, "ALLTICK_PLAN": "professional"},
        capture_output=True,
        check=True,
    )
    assert pl.read_parquet(io.BytesIO(piped.stdout))["code"].to_list() == ["BTCUSDT", "700.HK"]


def test_the_archives_tables_are_handed_to_programs(run: Callable[..., Done]) -> None:
    run(*LATEST["get"])
    for command in ("coverage", "gaps", "restatements", "update"):
        done = run(command, "--json")
        assert done.returncode == 0, done.stderr
        rows = json.loads(done.stdout)
        assert not rows or rows[0]["code"] == "EURUSD"
        assert run(command, "--csv").stdout.startswith("code,period,")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["trade", "BTCUSDT", "NOSUCH"], 3, "NOSUCH refused"),
        (["trade", "NOSUCH"], 6, "ret 600"),
        (["halts", "szse"], 2, "sse nyse nasdaq"),
        (["book", "700.HK", "--levels", "0"], 2, "levels=0"),
        (["info", "EURUSD"], 2, "no static info"),
        (["latest", "700.HK", "-p", "4h"], 2, "not offered for 700.HK"),
        (["products", "--class", "tulips"], 2, "forex"),
        (["trade", "BTCUSDT", "--json", "--csv"], 2, "choose one"),
        (["trade", "BTCUSDT", "--output", "table.xls"], 2, ".parquet"),
        (["watch", "NOSUCH"], 6, "ret 600"),
    ],
)
def test_what_goes_wrong_is_one_line_and_an_exit_code(
    run: Callable[..., Done], arguments: list[str], code: int, said: str
) -> None:
    done = run(*arguments)
    assert done.returncode == code, done.stderr
    assert said in done.stderr.splitlines()[-1]


def test_what_there_is_is_handed_over_before_the_rest_is_named(run: Callable[..., Done]) -> None:
    done = run("trade", "BTCUSDT", "NOSUCH", "--json")
    assert [row["code"] for row in json.loads(done.stdout)] == ["BTCUSDT"]
    assert done.returncode == 3


@pytest.mark.parametrize("command", [*LATEST, "watch", "coverage", "gaps", "restatements", "update", "estimate"])
def test_every_command_says_what_it_does(run: Callable[..., Done], command: str) -> None:
    done = run(command, "--help", COLUMNS="120")
    assert done.returncode == 0
    assert f" {command} " in done.stdout
    assert "Traceback" not in done.stderr
