"""A token that is easy to find, all that it could be written as, and all that a traceback shows."""

from __future__ import annotations

import base64
import json
import traceback
from types import ModuleType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

from rich.traceback import Traceback

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["FORMS", "TOKEN", "everything_a_traceback_shows", "holds_token"]

# Characters that URLs must escape, so that its encoded forms differ.
TOKEN = "s3cr3t/+tok en=0123456789abcdef-c-app"


def _base64(content: bytes) -> Iterator[bytes]:
    """Give what is seen of *content* in base64 of something longer, wherever in it it begins."""
    for before in range(3):
        first, end = -(-8 * before // 6), 8 * (before + len(content)) // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(bytes(before) + content)[first:end]


def _forms() -> dict[str, bytes]:
    texts = {
        "plain": TOKEN,
        "its beginning": "s3cr3t",
        "its end": "0123456789abcdef",
        "quoted": quote(TOKEN, safe=""),
        "quoted but for /": quote(TOKEN),
        "quoted twice": quote(quote(TOKEN, safe=""), safe=""),
        "form-encoded": quote_plus(TOKEN),
        "JSON with /": json.dumps(TOKEN).replace("/", "\\/")[1:-1],
        "hexadecimal": TOKEN.encode().hex(),
    }
    forms = {name: text.encode() for name, text in texts.items()}
    for name in ("plain", "quoted"):
        forms |= {f"{name}, base64 {number}": form for number, form in enumerate(_base64(forms[name]))}
    return forms | {f"{name}, UTF-16": form.decode().encode("utf-16-le") for name, form in forms.items()}


FORMS = _forms()


def holds_token(content: str | bytes) -> bool:
    """Whether *content* has the token in any form."""
    content = content.encode(errors="replace") if isinstance(content, str) else content
    return any(form in content for form in FORMS.values())


def everything_a_traceback_shows(error: BaseException) -> str:
    """Render *error* with all locals, chained exceptions included, as pytest, rich, sentry and a debugger would."""
    shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    # All that rich shows but for the code, whose colours take a second for each error.
    trace = Traceback.extract(
        type(error), error, error.__traceback__, show_locals=True, locals_max_string=9_999, locals_max_length=999
    )
    by_rich = [
        f"{name} = {value}"
        for stack in trace.stacks
        for frame in stack.frames
        for name, value in ({"raised": stack.exc_value} | (frame.locals or {})).items()
    ]
    chain = list(_chain(error))
    locals_of = [frame.f_locals for each in chain for frame, _ in traceback.walk_tb(each.__traceback__)]
    looked_into = [line for each in (*chain, *locals_of) for line in _inside(each, depth=3)]
    return "\n".join([shown, *by_rich, *looked_into])


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    if error is not None:
        yield error
        yield from _chain(error.__cause__)
        yield from _chain(error.__context__)
        for each in getattr(error, "exceptions", ()):
            yield from _chain(each)


def _inside(value: Any, depth: int) -> Iterator[str]:
    """Show *value* and, some levels deep, what it consists of."""
    yield _shown(value)
    if depth and not isinstance(value, ModuleType | type):
        for part in _parts(value):
            yield from _inside(part, depth - 1)


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return [*value.values()]
    if isinstance(value, list | tuple | set | frozenset):
        return [*value][:50]
    slots = [getattr(value, name, None) for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    return [*getattr(value, "__dict__", {}).values(), *slots]


def _shown(value: Any) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001  # what cannot be shown shows nothing
        return repr(error)
