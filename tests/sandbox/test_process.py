"""The handle, and the process behind it."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import httpx
import pytest

from alltick_frames import sandbox
from alltick_frames.sandbox.server import serve

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Asker

COMMAND = [sys.executable, "-m", "alltick_frames.sandbox"]


def started(*options: str) -> tuple[subprocess.Popen[bytes], dict[str, str]]:
    process = subprocess.Popen(
        [*COMMAND, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


def is_answering(url: str) -> bool:
    try:
        httpx.get(url)
    except httpx.ConnectError:
        return False
    return True


def test_importing_the_package_imports_no_server_and_no_numpy() -> None:
    heavy = "{'numpy', 'starlette', 'uvicorn', 'pyarrow', 'pandas', 'exchange_calendars', 'asyncio'}"
    code = f"import sys, alltick_frames.sandbox; print({heavy} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "set()"


def test_the_command_says_where_it_listens_and_leaves_quietly() -> None:
    for leave in (signal.SIGINT, signal.SIGTERM):
        process, ready = started("--plan", "free", "--token", "abc")
        assert sorted(ready) == ["plan", "token", "url"]
        assert (ready["plan"], ready["token"]) == ("free", "abc")
        assert httpx.get(ready["url"]).status_code == 401
        process.send_signal(leave)
        _, errors = process.communicate(timeout=5)
        assert (process.returncode, errors) == (0, b"")


def test_it_leaves_when_stdin_ends() -> None:
    process, _ = started("--until-stdin-closes")
    _, errors = process.communicate(timeout=5)
    assert (process.returncode, errors) == (0, b"")


def test_it_does_not_outlive_a_killed_parent() -> None:
    code = (
        "import os, signal, alltick_frames.sandbox as s\n"
        "with s.running() as r:\n"
        "    print(r.url, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    parent = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert parent.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 5
    while is_answering(parent.stdout.strip()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_after_the_block_server_and_directory_are_gone() -> None:
    with sandbox.running() as running:
        directory = running.settings["cache_dir"]
        assert directory.is_dir()
        assert httpx.get(running.url).status_code == 401
    assert not directory.exists()
    with pytest.raises(httpx.ConnectError):
        httpx.get(running.url)


def test_settings_are_a_clients_arguments_and_repr_hides_the_token() -> None:
    with sandbox.running(plan="basic", token="very-secret") as running:
        assert running.settings == {
            "token": "very-secret",
            "plan": "basic",
            "base_url": running.url,
            "cache_dir": running.settings["cache_dir"],
        }
        assert "secret" not in repr(running)


def test_a_child_that_does_not_start_shows_its_error() -> None:
    with pytest.raises(RuntimeError, match="invalid choice: 'gold'"), sandbox.running(plan="gold"):
        pass


def test_modules_in_the_current_directory_do_not_get_in_the_way(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "random.py").write_text("raise AssertionError")
    monkeypatch.chdir(tmp_path)
    with sandbox.running() as running:
        assert is_answering(running.url)


def test_wrong_settings_stop_the_start() -> None:
    with pytest.raises(ValueError, match="limits='maybe'"), sandbox.running(limits="maybe"):
        pass


def test_only_loopback_is_served() -> None:
    with pytest.raises(ValueError, match=r"host='0\.0\.0\.0' is not a loopback address"):
        serve("0.0.0.0")


def test_a_missing_extra_names_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "uvicorn" else name)
    with pytest.raises(ImportError, match=r"pip install 'alltick-frames\[sandbox\]'"), sandbox.running():
        pass


def test_requests_are_logged_and_counted_and_the_control_channel_is_not(ask: Asker) -> None:
    ask.kline("EURUSD", "1h", 1773745200, 7)
    ask.kline("700.HK", "1d")
    ask.raw("/nothing")
    first, _, last = ask.sandbox.requests()
    assert first | {"received": 0} == {
        "time": 1773824430.0, "received": 0, "endpoint": "kline", "family": "quote-b-api", "code": "EURUSD",
        "kline_type": 5, "end": 1773745200, "num": 7, "groups": None, "trace": "t-1", "answer": "ok", "bars": 7,
    }  # fmt: skip
    assert last["answer"] == "token_required"
    assert ask.sandbox.counters() == {
        "requests": 3,
        "bars": 507,
        "endpoints": {"kline": 2, "/nothing": 1},
        "codes": {"EURUSD": 1, "700.HK": 1},
        "answers": {"ok": 2, "token_required": 1},
        "violations": {},
    }
    ask.sandbox.reset()
    assert ask.sandbox.counters()["requests"] == 0
    assert ask.sandbox.requests() == []


def test_tokens_are_not_in_the_log(ask: Asker) -> None:
    ask.kline("EURUSD", "1m")
    ask.query("{}", token="someone-elses")
    assert ask.sandbox.token not in str(ask.sandbox.requests())
    assert "someone-elses" not in str(ask.sandbox.requests())


def test_two_sandboxes_live_side_by_side() -> None:
    with sandbox.running() as one, sandbox.running() as two:
        assert one.url != two.url
        assert one.token != two.token
        assert os.path.commonpath([one.settings["cache_dir"], two.settings["cache_dir"]])
