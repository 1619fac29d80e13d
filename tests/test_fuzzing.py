"""Whatever bytes come from the network, a user or a bad disk: a right result or an error of ours."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzzing.__main__ import NAMES, TOKENS
from tests.fuzzing.targets import CORPUS, TARGETS

FILES = sorted(path for path in CORPUS.rglob("*") if path.is_file())
SECONDS = 8


def test_every_target_has_a_corpus_and_is_in_the_long_run() -> None:
    assert {path.parent.name for path in FILES} == set(TARGETS) == set(NAMES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_the_corpus_has_right_outcomes(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())


@st.composite
def mutated(draw: st.DrawFn, name: str) -> bytes:
    """Take two of the corpus, cut and join them, and put bytes and tokens anywhere."""
    corpus = st.sampled_from([path.read_bytes() for path in FILES if path.parent.name == name])
    value = draw(corpus)
    if draw(st.booleans()):
        other = draw(corpus)
        value = value[: draw(st.integers(0, len(value)))] + other[draw(st.integers(0, len(other))) :]
    pieces = st.sampled_from([token.encode() for token in TOKENS]) | st.binary(max_size=4)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(value)))
        value = value[:at] + draw(pieces) + value[at + draw(st.integers(0, 8)) :]
    return value


@pytest.mark.parametrize("name", NAMES)
def test_what_is_like_the_corpus_has_right_outcomes(name: str) -> None:
    """Runs where atheris cannot, with the same inputs each time; it does not look for new paths through the code."""

    @settings(
        max_examples=100 if name == "archive" else 400,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(mutated(name))
    def run(data: bytes) -> None:
        TARGETS[name](data)

    run()


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris has no wheel for this platform")
@pytest.mark.parametrize("name", NAMES)
def test_atheris_finds_nothing_within_seconds(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzzing", str(SECONDS), name, "--seed", "1", "--kept", str(tmp_path)]
    done = subprocess.run(
        command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, errors="replace", check=False
    )
    # A copy of what it found: tmp_path does not outlive the next runs.
    found = {path.name: path.read_bytes()[:2_000] for path in tmp_path.glob(f"{name}-*")}
    assert done.returncode == 0, f"{found}\n{done.stderr[-4_000:]}"
    assert "stat::number_of_executed_units" in done.stderr
