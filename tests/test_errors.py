"""The tree of errors is as it is drawn, and every error survives pickling."""

from __future__ import annotations

import pickle
import re
from datetime import UTC, datetime

import pytest

import alltick_frames as at
from alltick_frames import errors
from alltick_frames.errors import RET_CODES
from alltick_frames.periods import Period
from alltick_frames.spans import Missing, Span
from alltick_frames.wire import api_error

_LINE = re.compile(r"(?P<stem>[│├└─ ]*)(?P<name>[A-Z]\w+)(?: \((?:also )?(?P<other>\w+)\))?(?: +(?P<about>.*))?")


def drawn() -> dict[str, tuple[str, ...]]:
    """Read from the docstring which bases each class has."""
    tree: dict[str, tuple[str, ...]] = {}
    path: list[str] = []
    (block,) = re.findall(r"```\n(.*?)```", errors.__doc__ or "", re.DOTALL)
    for line in block.splitlines():
        if match := _LINE.fullmatch(line):
            path = [*path[: len(match["stem"]) // 4], match["name"]]
            tree[match["name"]] = (*path[-2:-1], *([match["other"]] if match["other"] else []))
    return tree


def real() -> dict[str, tuple[str, ...]]:
    kinds = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, (Exception, Warning))
    ]
    return {kind.__name__: tuple(base.__name__ for base in kind.__bases__ if base is not Exception) for kind in kinds}


def test_the_tree_is_as_it_is_drawn() -> None:
    assert drawn() == real()
    assert len(drawn()) > 15


def test_every_class_of_the_tree_is_exported() -> None:
    assert {*drawn(), "RET_CODES"} == set(errors.__all__)
    assert all(getattr(at, name) is getattr(errors, name) for name in drawn())


def test_every_class_says_what_it_is() -> None:
    assert all(getattr(errors, name).__doc__ for name in drawn())


@pytest.mark.parametrize(
    ("ret", "kind"),
    [
        (401, at.AuthenticationError),
        (429, at.RateLimitError),
        (600, at.UnknownCodeError),
        (601, at.CodeNotPermittedError),
        (603, at.PlanLimitError),
        (604, at.CodeNotPermittedError),
        (605, at.RateLimitError),
        (606, at.RateLimitError),
        *((ret, at.ApiError) for ret in (201, 202, 400, 402, 500, 999)),
    ],
)
def test_a_ret_is_an_error_of(ret: int, kind: type[at.ApiError]) -> None:
    error = api_error(ret, "why", "trace-1", ["EURUSD", "GOLD"])
    assert type(error) is kind
    assert (error.ret, error.msg, error.trace, error.codes) == (ret, "why", "trace-1", ("EURUSD", "GOLD"))


def test_the_drawing_names_the_rets_of_each_class() -> None:
    listed: dict[str, set[int]] = {}
    for ret, kind in RET_CODES.items():
        listed.setdefault(kind.__name__, set()).add(ret)
    for name, numbers in re.findall(r"(\w+Error) +(\d{3}(?:, \d{3})*)\n", errors.__doc__ or ""):
        assert {int(number) for number in numbers.split(", ")} <= listed[name]


MISSING = Missing(
    "EURUSD", Period.DAY, Span(datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 2, 1, tzinfo=UTC)), "lost", "a hole"
)


def every_error() -> list[at.AllTickError]:
    special: list[at.AllTickError] = [
        at.TransportError("no answer", transient=False),
        at.IncompleteDataError("not all", missing=[MISSING]),
        *(api_error(ret, "msg", "trace", ["EURUSD"]) for ret in (*RET_CODES, 999)),
    ]
    kinds = [getattr(errors, name) for name in drawn() if name.endswith("Error")]
    return special + [kind("why") for kind in kinds]


@pytest.mark.parametrize("error", every_error(), ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("protocol", [0, pickle.HIGHEST_PROTOCOL])
def test_an_error_is_the_same_after_pickling(error: at.AllTickError, protocol: int) -> None:
    error.frame = {"rows": 3}
    copy = pickle.loads(pickle.dumps(error, protocol))
    assert type(copy) is type(error)
    assert (str(copy), copy.args, vars(copy)) == (str(error), error.args, vars(error))
    assert copy.frame == {"rows": 3}


def test_nothing_asked_for_is_no_frame() -> None:
    assert at.AllTickError("why").frame is None


def test_an_argument_error_is_a_value_error() -> None:
    assert issubclass(at.ArgumentError, ValueError)
    assert not issubclass(at.ConfigError, ValueError)
