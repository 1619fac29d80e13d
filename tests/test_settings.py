"""Where a setting comes from: the argument, else the environment, else the default."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import alltick_frames as at
from alltick_frames.settings import Token, resolve

SOURCES: list[tuple[str, str, Any, str, Any]] = [
    ("frame", "pandas", "pandas", "arrow", "arrow"),
    ("network", "never", "never", "auto", "auto"),
    ("on_incomplete", "warn", "warn", "ignore", "ignore"),
    ("base_url", "https://a.example/", "https://a.example", "http://127.0.0.1:8000", "http://127.0.0.1:8000"),
    ("ws_url", "wss://a.example", "wss://a.example", "ws://localhost:8000", "ws://localhost:8000"),
    ("cache_dir", "/tmp/a", Path("/tmp/a"), "/tmp/b", Path("/tmp/b")),
    ("token", "from-environment", Token("from-environment"), "argument", Token("argument")),
]
DEFAULTS = {
    "frame": "polars",
    "network": "auto",
    "on_incomplete": "raise",
    "base_url": "https://quote.alltick.co",
    "ws_url": "wss://quote.alltick.co",
    "token": None,
}


@pytest.mark.parametrize(("name", "in_environment", "settles_as", "argument", "settled_argument"), SOURCES, ids=str)
def test_the_argument_wins_over_the_environment_and_that_over_the_default(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    in_environment: str,
    settles_as: Any,
    argument: Any,
    settled_argument: Any,
) -> None:
    if name in DEFAULTS:
        assert getattr(resolve(), name) == DEFAULTS[name]
    monkeypatch.setenv(f"ALLTICK_{name.upper()}", in_environment)
    assert getattr(resolve(), name) == settles_as
    assert getattr(resolve(**{name: argument}), name) == settled_argument


def test_the_archive_is_kept_in_the_users_data_directory() -> None:
    assert "alltick_frames" in resolve().cache_dir.parts


def test_the_plan_is_free_unless_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (resolve().plan.name, resolve().plan_named) == ("free", False)
    monkeypatch.setenv("ALLTICK_PLAN", "basic")
    assert (resolve().plan.name, resolve().plan_named) == ("basic", True)
    assert resolve(plan="premium").plan.name == "premium"


def test_a_token_is_read_from_a_file_that_only_its_owner_may_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "token"
    path.write_text("  from-file\n")
    path.chmod(0o600)
    monkeypatch.setenv("ALLTICK_TOKEN_FILE", str(path))
    assert resolve().token == Token("from-file")
    path.write_text("")
    with pytest.raises(at.ConfigError, match="is empty"):
        resolve()
    path.unlink()
    with pytest.raises(at.ConfigError, match="cannot be read: No such file"):
        resolve()


@pytest.mark.parametrize("host", ["127.0.0.1:80", "localhost", "[::1]:9000", "127.8.9.1"])
def test_plain_http_is_for_this_machine(host: str) -> None:
    assert resolve(base_url=f"http://{host}").base_url == f"http://{host}"


@pytest.mark.parametrize("url", ["http://10.0.0.1", "http://quote.alltick.co", "http://127.0.0.1.example.com"])
def test_plain_http_elsewhere_is_refused(url: str) -> None:
    with pytest.raises(at.ConfigError, match="in clear text"):
        resolve(base_url=url)


@pytest.mark.parametrize(
    "url", ["https://h.example/?token=hush", "https://me:hush@h.example", "https://hush@h.example"]
)
def test_what_may_be_a_secret_in_an_address_is_not_repeated(url: str) -> None:
    with pytest.raises(at.ConfigError) as caught:
        resolve(base_url=url)
    assert "hush" not in str(caught.value)


def test_settings_can_be_shown_and_compared() -> None:
    one, other = resolve(token="hush", plan="basic"), resolve(token="hush", plan="basic")
    assert one == other
    assert "hush" not in repr(one)
