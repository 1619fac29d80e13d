"""A griffe extension: what our docstrings say in numpy's way becomes what griffe and Markdown read as it is meant."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from griffe import Extension

import alltick_frames as at

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from griffe import Object

_RULER = re.compile(r" *=+( +=+)+ *")
_PARAMETERS = "Parameters\n----------\n"
_NEXT_SECTION = re.compile(r"(?=^\w+\n-+\n)", re.MULTILINE)
_JOINT = re.compile(r"^(?P<names>\w+(?:, \w+)+)\n(?P<text>(?:[ ].*\n?|\n)+)", re.MULTILINE)
# What the columns of all our tables are: those of a frame.
_HEADINGS = ("column", "type", "")
_NAMED = re.compile(rf"(?<![`\[])`({'|'.join(at.__all__)})`(?!`)")


class Docstrings(Extension):
    """Translate every docstring before it is parsed."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Translate that of *obj*."""
        if obj.docstring:
            obj.docstring.value = linked(in_markdown(apart(obj.docstring.value)))


def apart(docstring: str) -> str:
    r"""Give each of several parameters its own entry: griffe would give all of them the type and default of the first.

    Examples
    --------
    >>> apart("Parameters\n----------\ncodes, period\n    Only of these.")
    'Parameters\n----------\ncodes\n    Only of these.\nperiod\n    Only of these.'
    """
    head, parameters, rest = docstring.partition(_PARAMETERS)
    body, *others = _NEXT_SECTION.split(rest, maxsplit=1)
    return "".join((head, parameters, _JOINT.sub(_each, body), *others))


def _each(joint: re.Match[str]) -> str:
    return "\n".join(f"{name}\n{joint['text']}" for name in joint["names"].split(", "))


def linked(docstring: str) -> str:
    """Make links of the public names that stand in backticks.

    Examples
    --------
    >>> linked("As of `get_kline`.")
    'As of [`get_kline`][alltick_frames.get_kline].'
    """
    return _NAMED.sub(r"[`\1`][alltick_frames.\1]", docstring)


def in_markdown(docstring: str) -> str:
    r"""Replace simple tables without headings (a ruler, rows, a ruler) by Markdown's, with headings.

    Examples
    --------
    >>> print(in_markdown("===== ====\ncode  text\nprice float64\n      null if none\n===== ===="))
    | column | type |
    | --- | --- |
    | code | text |
    | price | float64 null if none |
    """
    lines = docstring.split("\n")
    rulers = [number for number, line in enumerate(lines) if _RULER.fullmatch(line)]
    if len(rulers) % 2:
        raise ValueError(f"a table has {len(rulers)} rulers where it must have two:\n{docstring}")
    for first, last in reversed(list(zip(rulers[::2], rulers[1::2], strict=True))):
        lines[first : last + 1] = _table(lines[first], lines[first + 1 : last])
    return "\n".join(lines)


def _table(ruler: str, rows: Sequence[str]) -> Iterator[str]:
    starts = [found.start() for found in re.finditer("=+", ruler)]
    merged: list[list[str]] = []
    for row in rows:
        cells = [row[start:end].strip() for start, end in zip(starts, [*starts[1:], None], strict=True)]
        if cells[0]:
            merged.append(cells)
        else:  # a line that goes on
            merged[-1] = [f"{above} {cell}".strip() for above, cell in zip(merged[-1], cells, strict=True)]
    indent = " " * starts[0]
    for cells in ([*_HEADINGS[: len(starts)]], ["---"] * len(starts), *merged):
        yield f"{indent}| {' | '.join(cells)} |"
