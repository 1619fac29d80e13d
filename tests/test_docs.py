"""The README and the docstrings say what runs."""

from __future__ import annotations

import doctest
import re
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import alltick_frames as at
from alltick_frames import api

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
PACKAGE = Path(at.__file__).parent
READMES = ("README.md", "README.zh.md")


@pytest.fixture
def default_client(server: at.sandbox.Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the module-level functions ask the sandbox, as a reader's environment lets them ask the service."""
    server.set_clock(None)
    for name, value in {"TOKEN": server.token, "BASE_URL": server.url, "PLAN": "professional"}.items():
        monkeypatch.setenv(f"ALLTICK_{name}", value)
    api.forget()
    yield
    api.forget()


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)


EXAMPLES = [
    pytest.param(block, id=f"{name}-{number}")
    for name in READMES
    for number, block in enumerate(blocks(name, "python"))
]


@pytest.mark.usefixtures("default_client")
@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_of_the_readme_runs(example: str) -> None:
    names: dict[str, object] = {}
    exec(compile(example, "README", "exec"), names)
    results = [value for name, value in names.items() if name not in ("at", "pl", "__builtins__", "client", "sandbox")]
    assert results
    for result in results:
        assert result.bars[1] if isinstance(result, at.Estimate) else len(result)  # type: ignore[arg-type]


@pytest.mark.usefixtures("default_client")
@pytest.mark.parametrize(
    "name",
    [
        ".".join(("alltick_frames", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
        for path in sorted(PACKAGE.rglob("*.py"))
        if ">>>" in path.read_text()
    ],
)
def test_the_examples_of_a_docstring_hold(name: str) -> None:
    failed, tried = doctest.testmod(import_module(name), optionflags=doctest.ELLIPSIS)
    assert tried > 0
    assert failed == 0


@pytest.mark.parametrize("name", READMES)
def test_ci_runs_exactly_the_second_command_of_the_readme(name: str) -> None:
    _, tests = blocks(name, "sh")
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == tests.strip()


def test_both_readmes_hold_the_same_commands() -> None:
    english, chinese = (blocks(name, "sh") for name in READMES)
    assert english == chinese


def test_every_setting_of_the_environment_is_documented() -> None:
    documented = (api.configure.__doc__ or "") + (ROOT / "README.md").read_text()
    for name in ("ALLTICK_TOKEN", "ALLTICK_TOKEN_FILE", "ALLTICK_PLAN", "ALLTICK_BASE_URL"):
        assert name in documented
