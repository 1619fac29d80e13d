"""POST /batch-kline: from a body to the newest bars of many groups, or to the envelope that refuses it (6.2)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from alltick_frames.sandbox import kline
from alltick_frames.sandbox.refusals import Refusal

if TYPE_CHECKING:
    from alltick_frames.sandbox.kline import KlineQuery
    from alltick_frames.sandbox.products import Family
    from alltick_frames.sandbox.state import State

__all__ = ["answer", "envelope_of_body"]

_MOST_BARS = 2
# Under the reading that leaves groups out.
_LEFT_OUT = 3
_OTHER_LIST = {"kline_list": "kline_data", "kline_data": "kline_list"}


def envelope_of_body(body: bytes) -> tuple[str, Any]:
    """Return ``trace`` and ``data`` of a body, or raise the refusal it earns."""
    if not body.strip():
        raise Refusal("body_empty")
    try:
        text = body.decode()
        json.loads(text)
    except (ValueError, RecursionError):
        raise Refusal("body_empty") from None
    return kline.envelope_of_query(text)


def _batch_queries(data: dict[str, Any]) -> list[KlineQuery]:
    """Return the checked groups of a ``data`` object, or raise the refusal they earn."""
    listed = data.get("data_list")
    if not isinstance(listed, list) or not listed or not all(isinstance(group, dict) for group in listed):
        raise Refusal("data_invalid")
    return [kline.kline_query(group) for group in listed]


def answer(state: State, family: Family, data: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Return the members of the answer that follow ``trace``, and how many bars they hold."""
    queries, readings = _batch_queries(data), state.readings
    surplus = len(queries) > state.plan.groups or any(query.num > _MOST_BARS for query in queries)
    if surplus and readings.surplus == "ret_603":
        raise Refusal("level_not_enough")
    groups: list[Any] = []
    bars, refusal = 0, None
    for query in queries[: state.plan.groups]:
        try:
            # The endpoint is for the newest bars, whatever end is asked for.
            members, count = kline.answer_query(state, family, replace(query, end=0, num=min(query.num, _MOST_BARS)))
        except Refusal as refused:
            if refused.name != "code_unauthorized" and readings.batch_bad_code == "refused":
                raise
            refusal = refused
            continue
        group = members.get("data")
        if group:
            groups.append({_OTHER_LIST.get(name, name): value for name, value in group.items()})
            bars += count
    if refusal is not None and not groups:
        raise refusal
    if readings.batch_groups == "some_missing":
        groups = [group for number, group in enumerate(groups) if number % _LEFT_OUT]
    elif readings.batch_groups == "shuffled":
        # A fixed seed: the same request is answered in the same order.
        groups = [groups[position] for position in np.random.default_rng(len(groups)).permutation(len(groups))]
    return {"data": {"kline_list": groups}}, bars
