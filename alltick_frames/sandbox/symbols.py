"""The requests for a list of codes, and the lists that answer them (alltick-api.md sections 6.3 to 6.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from alltick_frames.sandbox.cells import ABSENT, MISSING, emptied, json_number
from alltick_frames.sandbox.products import Family, family_of
from alltick_frames.sandbox.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alltick_frames.sandbox.readings import Readings
    from alltick_frames.sandbox.state import State

__all__ = ["answered_codes", "listed", "with_amounts"]

_RENAMED = {"code": "symbol", "symbol": "code", "volume": "volumn"}
_TEXTS = {"code", "symbol", "name_cn", "name_en", "name_hk", "exchange", "board", "currency"}

Row = dict[str, Any]


def answered_codes(state: State, family: Family, data: dict[str, Any], *, by_plan: bool = True) -> list[str]:
    """Return which of the codes in a ``data`` object are answered, or raise the refusal they earn.

    With *by_plan* false the plan's codes do not matter, its number of codes still does.
    """
    codes, readings = _asked_codes(data), state.readings
    if len(codes) > state.plan.codes and readings.surplus == "ret_603":
        raise Refusal("level_not_enough")
    codes = codes[: state.plan.codes]
    known = [code for code in codes if family_of(code) is family and state.source(code) is not None]
    if not known or (len(known) < len(codes) and readings.symbols_bad_code == "refused"):
        raise Refusal("code_invalid")
    if not by_plan:
        return known
    allowed = [code for code in known if state.plan.covers(code)]
    if not allowed or (len(allowed) < len(known) and readings.symbols_unauthorized == "refused"):
        raise Refusal("code_unauthorized")
    return allowed


def _asked_codes(data: dict[str, Any]) -> list[str]:
    listed = data.get("symbol_list")
    if not isinstance(listed, list) or not listed:
        raise Refusal("data_invalid")
    codes = [each["code"] for each in listed if isinstance(each, dict) and isinstance(each.get("code"), str)]
    if len(codes) < len(listed):
        raise Refusal("data_invalid")
    return codes


def with_amounts(row: Row, readings: Readings) -> Row:
    """Return *row* with each amount that is None written as the readings have it."""
    absent = ABSENT[readings.empty_volume]
    written = {name: absent if value is None else value for name, value in row.items()}
    return {name: value for name, value in written.items() if value is not MISSING}


def listed(name: str, rows: Sequence[Row], readings: Readings) -> dict[str, Any]:
    """Return the members of an answer whose list called *name* has these *rows*, one of each code."""
    if not rows:
        return emptied({}, name, readings)
    if readings.symbols_order == "shuffled":
        # A fixed seed: the same request is answered in the same order.
        rows = [rows[position] for position in np.random.default_rng(len(rows)).permutation(len(rows))]
    return {"data": {name: [_styled(row, readings) for row in rows]}}


def _styled(row: Row, readings: Readings) -> Row:
    if readings.numbers == "json":
        row = _with_numbers(row)
    if readings.fields == "extra":
        return {"symbol": row.get("code")} | row | {"amplitude": "n/a", "trade_count": None, "sessions": [{}]}
    if readings.fields == "renamed":
        return _renamed(row)
    return row


def _with_numbers(row: Row) -> Row:
    return {name: value if name in _TEXTS else _number_in(value) for name, value in row.items()}


def _number_in(value: Any) -> Any:
    return [_with_numbers(each) for each in value] if isinstance(value, list) else json_number(value)


def _renamed(row: Row) -> Row:
    return {
        _RENAMED.get(name, name): [_renamed(each) for each in value] if isinstance(value, list) else value
        for name, value in row.items()
    }
