"""The README and the docstrings say what runs."""

from __future__ import annotations

import ast
import doctest
import inspect
import re
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import alltick_frames as at
from alltick_frames import api, clocks
from alltick_frames.errors import RET_CODES
from alltick_frames.plans import FREE_CODES, PLANS, Plan, Rate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

ROOT = Path(__file__).parent.parent
PACKAGE = Path(at.__file__).parent
READMES = ("README.md", "README.zh.md")
GUIDES = ("docs/en/getting-started.md", "docs/zh/getting-started.md")


@pytest.fixture
def default_client(
    server: at.sandbox.Sandbox, monkeypatch: pytest.MonkeyPatch, set_clocks: Callable[[datetime], None]
) -> Iterator[None]:
    """Let the module-level functions ask the sandbox, as a reader's environment lets them ask the service."""

    def jump(until: datetime) -> Iterator[float]:
        set_clocks(until)
        return iter(())

    server.set_clock(None)
    # A watch waits for bars to close; here the time comes to it.
    monkeypatch.setattr(clocks, "naps", jump)
    for name, value in {"TOKEN": server.token, "BASE_URL": server.url, "PLAN": "professional"}.items():
        monkeypatch.setenv(f"ALLTICK_{name}", value)
    api.forget()
    yield
    api.forget()


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)


EXAMPLES = [
    pytest.param(block, id=f"{name}-{number}")
    for name in (*READMES, *GUIDES)
    for number, block in enumerate(blocks(name, "python"))
]


NO_RESULTS = ("at", "pa", "pl", "__builtins__", "client", "sandbox", "stream", "item")


@pytest.mark.usefixtures("default_client")
@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_of_the_readme_or_a_guide_runs(example: str) -> None:
    names: dict[str, object] = {}
    exec(compile(example, "README", "exec"), names)
    results = [value for name, value in names.items() if name not in NO_RESULTS]
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


def test_both_guides_hold_the_same_commands_and_code() -> None:
    def code(name: str) -> list[str]:
        return blocks(name, "sh") + [ast.dump(ast.parse(block)) for block in blocks(name, "python")]

    english, chinese = map(code, GUIDES)
    assert len(english) > 10
    assert english == chinese


def rows(name: str) -> list[list[str]]:
    """Give the cells of all tables of a guide."""
    lines = (ROOT / name).read_text().splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]


def figures(plan: Plan) -> list[str]:
    def rate(rate: Rate) -> str:
        return f"{rate.requests} {rate.seconds:g}"

    years = "" if plan.history_years is None else str(plan.history_years)
    sizes = (plan.minute.requests, plan.day.requests, plan.batch_groups, plan.codes)
    return [rate(plan.combined), rate(plan.batch_kline), *map(str, sizes), years]


@pytest.mark.parametrize("name", GUIDES)
def test_a_guide_has_the_figures_of_every_plan(name: str) -> None:
    told = {
        plan: [" ".join(re.findall(r"\d+", cell.replace(",", ""))) for cell in cells]
        for first, *cells in rows(name)
        for plan in re.findall("`(.*?)`", first)
        if plan in PLANS
    }
    assert told == {plan: figures(PLANS[plan]) for plan in PLANS}
    assert all(f"`{code}`" in (ROOT / name).read_text() for code in FREE_CODES)


@pytest.mark.parametrize("name", GUIDES)
def test_a_guide_says_what_each_code_of_the_vendor_raises(name: str) -> None:
    told = {
        int(ret): cells[1].split("`")[1]
        for first, *cells in rows(name)
        for ret in re.findall(r"\b\d{3}\b", first)
        if "Error`" in cells[1]
    }
    plain = dict.fromkeys((201, 202, 400, 402), "ApiError")
    assert told == {ret: kind.__name__ for ret, kind in RET_CODES.items()} | plain


@pytest.mark.parametrize("name", GUIDES)
def test_a_guide_names_every_function_and_setting(name: str) -> None:
    settings = {"token_file", "state_dir", *inspect.signature(api.configure).parameters} - {"limits"}
    text = (ROOT / name).read_text()
    assert [each for each in api.__all__ if f"`{each}`" not in text] == []
    assert {f"`ALLTICK_{each.upper()}`" for each in settings} == {row[0] for row in rows(name) if "`ALLTICK_" in row[0]}


def test_every_setting_of_the_environment_is_documented() -> None:
    documented = (api.configure.__doc__ or "") + (ROOT / "README.md").read_text()
    for name in ("ALLTICK_TOKEN", "ALLTICK_TOKEN_FILE", "ALLTICK_PLAN", "ALLTICK_BASE_URL"):
        assert name in documented
