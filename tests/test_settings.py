"""Where a setting comes from: the argument, else the environment, else the default."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import platformdirs
import pytest

import alltick_frames as at
from alltick_frames.plans import Rate
from alltick_frames.settings import Token, resolve

SHEET = "/spreadsheets/d/1avkeR1heZSj6gXIkDeBt8X3nv4EzJetw4yFuKjSDYtA/export?format=csv&gid={gid}"
SOURCES: list[tuple[str, str, Any, str, Any]] = [
    ("frame", "pandas", "pandas", "arrow", "arrow"),
    ("network", "never", "never", "auto", "auto"),
    ("on_incomplete", "warn", "warn", "ignore", "ignore"),
    ("base_url", "https://a.example/", "https://a.example", "http://127.0.0.1:8000", "http://127.0.0.1:8000"),
    ("ws_url", "wss://a.example", "wss://a.example", "ws://localhost:8000", "ws://localhost:8000"),
    (
        "products_url",
        "https://a.example/{gid}.csv",
        "https://a.example/{gid}.csv",
        "http://[::1]:80/?g={gid}",
        "http://[::1]:80/?g={gid}",
    ),
    ("cache_dir", "/tmp/a", Path("/tmp/a"), "/tmp/b", Path("/tmp/b")),
    ("token", "from-environment", Token("from-environment"), "argument", Token("argument")),
]
DEFAULTS = {
    "frame": "polars",
    "network": "auto",
    "on_incomplete": "raise",
    "base_url": "https://quote.alltick.co",
    "ws_url": "wss://quote.alltick.co",
    "products_url": f"https://docs.google.com{SHEET}",
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


def test_the_archive_is_kept_in_the_users_data_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ALLTICK_CACHE_DIR")
    assert "alltick_frames" in resolve().cache_dir.parts


def test_the_ledger_is_kept_in_the_users_state_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLTICK_STATE_DIR", "~/elsewhere")
    assert resolve().state_dir == Path("~/elsewhere").expanduser()
    monkeypatch.delenv("ALLTICK_STATE_DIR")
    assert resolve().state_dir == Path(platformdirs.user_state_dir("alltick_frames", appauthor=False))


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


@pytest.mark.parametrize(
    "url",
    [
        "https://me:hush@exa\u2100mple.com",
        "https://me:hush@[::1",
        "https://me:hu?sh@h.example",
        "https://h.example/?token=hu@sh",
        "https://h.example/#hush",
        "http://h.example/#hush",
        "me:hush@h.example",
        "https:me:hush@h.example",
        "//hush@h.example",
        "https://h.example:hush@80",
    ],
)
@pytest.mark.parametrize("name", ["base_url", "ws_url"])
def test_of_what_is_no_address_no_secret_is_shown_either(name: str, url: str) -> None:
    url = url.replace("http", "ws") if name == "ws_url" else url
    with pytest.raises(at.ConfigError) as caught:
        resolve(base_url=url) if name == "base_url" else resolve(ws_url=url)
    raised: BaseException | None = caught.value
    while raised is not None:
        assert "hu" not in str(raised)
        assert "sh" not in str(raised)
        raised = raised.__cause__ or raised.__context__


@pytest.mark.parametrize(
    "url",
    [
        *("quote.alltick.co", "ftp://h.example", "https://", "https:///path", "", " ", "http://[::1"),
        *("https://h.example:abc", "https://h.example:99999", "https://a b", "https://h.example/?"),
        *("http://evil.example\\.localhost", "wss://h.example"),
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    if not url:
        assert resolve(base_url=url).base_url == DEFAULTS["base_url"]
        return
    with pytest.raises(at.ConfigError, match=r"^base_url='.*' (is not an address|must be scheme and host only)"):
        resolve(base_url=url)


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:8000", "https://quotes.example"])
def test_another_service_has_its_own_product_sheet(base_url: str) -> None:
    assert resolve(base_url=base_url).products_url == f"{base_url}{SHEET}"
    assert resolve(base_url="https://quote.alltick.io").products_url == DEFAULTS["products_url"]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("docs.google.com/{gid}", "is not an address"),
        ("ftp://h.example/{gid}", "is not an address"),
        ("https:///{gid}", "is not an address"),
        ("https://hush@h.example/{gid}", "is not an address"),
        ("https://me:hush@h.example/{gid}", "is not an address"),
        ("https://h.example:abc/{gid}", "is not an address"),
        ("https://h.example/a b/{gid}", "is not an address"),
        ("http://h.example/{gid}?key=hush", "must be https://"),
        ("https://h.example/list.csv?key=hush", "write {gid} there"),
        ("https://h.example/{gid}?token=hush-token", "holds the token"),
    ],
)
def test_an_address_of_the_product_sheet_that_cannot_be_is_refused(url: str, why: str) -> None:
    with pytest.raises(at.ConfigError, match=r"^products_url") as caught:
        resolve(token="hush-token", products_url=url)
    assert why in str(caught.value)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660, 0o610, 0o601])
def test_a_token_file_that_others_may_touch_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    path = tmp_path / "token"
    path.write_text("hush")
    path.chmod(mode)
    monkeypatch.setenv("ALLTICK_TOKEN_FILE", str(path))
    with pytest.raises(at.ConfigError, match="may be read by others; run: chmod 600"):
        resolve()


def test_a_directory_is_no_token_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setenv("ALLTICK_TOKEN_FILE", str(tmp_path))
    with pytest.raises(at.ConfigError, match="cannot be read: Is a directory"):
        resolve()


def test_a_token_wins_over_a_token_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLTICK_TOKEN_FILE", str(tmp_path / "not read"))
    assert resolve(token="argument").token == Token("argument")
    monkeypatch.setenv("ALLTICK_TOKEN", " environment\n")
    assert resolve().token == Token("environment")


def test_an_empty_setting_is_none_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PLAN", "FRAME", "NETWORK", "ON_INCOMPLETE", "BASE_URL", "TOKEN", "TOKEN_FILE"):
        monkeypatch.setenv(f"ALLTICK_{name}", "")
    settled = resolve(token="", plan="", base_url="")
    assert {name: getattr(settled, name) for name in DEFAULTS} == DEFAULTS
    assert (settled.plan.name, settled.plan_named) == ("free", False)


def test_limits_replace_figures_of_the_plan() -> None:
    settled = resolve(plan="premium", limits={"kline": (5, 1)})
    assert (settled.plan.kline, settled.plan.minute) == (Rate(5, 1), Rate(600, 60))


def test_settings_can_be_shown_and_compared() -> None:
    one, other = resolve(token="hush", plan="basic"), resolve(token="hush", plan="basic")
    assert one == other
    assert "hush" not in repr(one)
