"""All that the protocol leaves open (alltick-api.md sections 11 and 12), every two readings together at least once.

Each row of the matrix is a server of its own kind. What a fresh client returns from it is what the server has and what
the server of the default readings gives; where that cannot be, the call raises, says why, and hands over the rest.
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import combinations, product
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import pyarrow as pa
import pyarrow.compute as pc
import pytest

import alltick_frames as at
from alltick_frames.sandbox.readings import Readings
from tests.conftest import NOW, UNHURRIED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Row = dict[str, Any]
Pair = tuple[tuple[str, Any], tuple[str, Any]]

# What only ticks, static information, halts and product sheets answer to, each of which `tests/sandbox` asks.
NOT_OF_BARS = {
    *("symbols_bad_code", "symbols_unauthorized", "symbols_order", "index_static", "free_book", "tick_times"),
    *("otc_direction", "otc_depth_volume", "level_order", "halt_paging", "halt_size", "nyse_halt_date"),
    "sheet_delivery",
}
READINGS: dict[str, tuple[Any, ...]] = {
    name: get_args(kind)
    for name, kind in get_type_hints(Readings).items()
    if get_args(kind) and name not in NOT_OF_BARS
}
DEFAULTS = asdict(Readings())
COLUMNS = ["timestamp", "open", "high", "low", "close", "volume", "turnover"]
AMOUNTS = COLUMNS[-2:]
STOCKS = (".HK", ".US")
# With an end that is ignored most calls see one page: rows of their own, so that they hide no other pair.
PAGEABLE = {**READINGS, "end": tuple(end for end in READINGS["end"] if end != "ignored")}


def pairs_of(row: Mapping[str, Any]) -> Iterator[Pair]:
    return combinations(row.items(), 2)


def all_pairs(readings: Mapping[str, tuple[Any, ...]]) -> set[Pair]:
    return {((a, x), (b, y)) for a, b in combinations(readings, 2) for x, y in product(readings[a], readings[b])}


def rows_for(left: set[Pair], readings: Mapping[str, tuple[Any, ...]]) -> Iterator[Row]:
    """Give rows until every pair of *left* is in one: each begins with such a pair and takes along what it can."""
    draw = random.Random(9)  # the first seed with as few rows as there can be
    while left:
        row = dict(draw.choice(sorted(left, key=repr)))
        names = draw.sample([*readings], len(readings))
        for name in sorted(names, key=lambda name: -len(readings[name])):
            if name not in row:
                row[name] = max(readings[name], key=lambda value: (_gain(row, name, value, left), draw.random()))
        row = {name: row[name] for name in readings}
        left = left.difference(pairs_of(row))
        yield row


def _gain(row: Row, name: str, value: Any, left: set[Pair]) -> int:
    both = [((other, its), (name, value)) for other, its in row.items()]
    return sum(pair in left or pair[::-1] in left for pair in both)


def matrix() -> list[Row]:
    unpageable = {**READINGS, "end": ("ignored",)}
    with_it = {pair for pair in all_pairs(unpageable) if ("end", "ignored") in pair}
    return [*rows_for(all_pairs(PAGEABLE), PAGEABLE), *rows_for(with_it, unpageable)]


MATRIX = matrix()


def test_every_two_readings_are_together_in_a_row() -> None:
    assert set(READINGS) | NOT_OF_BARS == set(DEFAULTS)
    assert all_pairs(READINGS) == {pair for row in MATRIX for pair in pairs_of(row)}
    assert all_pairs(PAGEABLE) <= {pair for row in MATRIX if row["end"] != "ignored" for pair in pairs_of(row)}
    assert len(MATRIX) < 40


def name_of(number: int, row: Row) -> str:
    return "-".join([f"{number:02}", *(str(row[name]) for name in ("end", "order", "daily_stamps", "empty_answer"))])


@dataclass(frozen=True)
class Call:
    codes: tuple[str, ...]
    period: str
    range: Any
    """Two instants, the end None for now; a number of bars; or "max"."""
    plan: str = "professional"

    @property
    def by_date(self) -> bool:
        return self.period in ("1d", "1w")


MINUTES = Call(("EURUSD",), "1m", ("2026-03-06T20:00Z", "2026-03-12T01:10Z"))
UNLISTED = Call(("USOIL",), "15m", ("2026-03-02T00:00Z", "2026-03-14T00:00Z"))
CALLS = (
    MINUTES,
    Call(("BTCUSDT",), "15m", ("2026-03-04T03:10Z", None)),
    Call(("EURUSD", "BTCUSDT"), "1h", ("2026-02-01T00:00Z", "2026-03-11T07:00Z")),
    Call(("EURUSD",), "2h", ("2025-12-10T00:00Z", "2026-03-11T00:00Z")),
    Call(("BTCUSDT",), "4h", ("2025-10-10T00:00Z", "2026-03-11T00:00Z")),
    Call(("EURUSD", "BTCUSDT", "700.HK"), "1d", ("2025-02-01T00:00Z", "2026-03-11T00:00Z")),
    Call(("EURUSD", "AAPL.US"), "1w", ("2025-06-02T00:00Z", "2026-03-02T00:00Z")),
    Call(("AAPL.US", "EURUSD"), "1m", 300),
    Call(("HSI.HK", "700.HK"), "1h", 100),
    Call(("EURUSD",), "4h", "max", plan="basic"),
    Call(("BTCUSDT",), "1d", "max", plan="basic"),
)
BEYOND = Call(("EURUSD",), "1h", ("2005-03-02T00:00Z", "2005-03-04T00:00Z"), plan="basic")

TRUTHS: dict[Any, tuple[pa.Table, pa.Table]] = {}
PLAIN: dict[Call, pa.Table] = {}


def truth(server: at.sandbox.Sandbox, row: Row, code: str, call: Call) -> tuple[pa.Table, pa.Table]:
    """Give the server's own closed bars of what *call* asks for, and those of them that its newest page has."""
    key = (code, call, row["daily_stamps"] if call.by_date else "", row["alignment"], row["newest_bar"])
    if key not in TRUTHS:
        since = None if call.by_date else {"1m": "2026-03-06", "15m": "2026-03-01"}.get(call.period, "2025-01-01")
        server.configure(readings={**DEFAULTS, "alignment": row["alignment"]})
        # Ranges of days and longer select trading dates, which these stamps are.
        keys = server.bars(code, call.period, since)["timestamp"]
        server.configure(readings=row)
        bars = server.bars(code, call.period, since).append_column("key", keys)
        newest = bars.slice(max(0, len(bars) - 500))
        if row["newest_bar"] == "missing" and code.endswith(STOCKS):
            # There is no other way to it: what closed last cannot be had until there is a newer one.
            bars = bars.slice(0, len(bars) - 1)
        TRUTHS[key] = (_selected(bars, call), _selected(_selected(bars, call), call, newest["key"][0].as_py()))
    return TRUTHS[key]


def _selected(bars: pa.Table, call: Call, since: datetime | None = None) -> pa.Table:
    """Give the closed bars that *call* asks for, or those of them *since* then."""
    if since is not None:
        return bars.filter(pc.greater_equal(bars["key"], pa.scalar(since)))
    bars = bars.filter(bars["closed"])
    if isinstance(call.range, int):
        return bars.slice(max(0, len(bars) - call.range))
    if call.range == "max":
        a_year_ago = datetime.fromisoformat(NOW).replace(year=2025)
        return bars.filter(pc.greater_equal(bars["timestamp"], pa.scalar(a_year_ago)))
    first, stop = (datetime.fromisoformat(at or NOW) for at in call.range)
    return bars.filter(pc.and_(pc.greater_equal(bars["key"], pa.scalar(first)), pc.less(bars["key"], pa.scalar(stop))))


def as_sent(bars: pa.Table, row: Row, code: str) -> pa.Table:
    """Give *bars* with the amounts that a server of these readings sends."""
    no_amounts = (row["forex_volume"] == "none" and code in ("EURUSD", "USOIL")) or (
        row["index_volume"] == "none" and code == "HSI.HK"
    )
    columns = {name: bars[name] for name in COLUMNS}
    for name in AMOUNTS:
        amounts = pa.nulls(len(bars), pa.float64()) if no_amounts else columns[name]
        columns[name] = pc.fill_null(amounts, 0.0) if row["empty_volume"] == "0" else amounts
    return pa.table(columns)


def assert_same(got: pa.Table, expected: pa.Table, row: Row) -> None:
    if row["first_amounts"] == "empty":
        # The server has sent them once, and once not.
        lost = [pc.is_null(got[name]) for name in AMOUNTS]
        for name, is_lost in zip(AMOUNTS, lost, strict=True):
            place = expected.column_names.index(name)
            expected = expected.set_column(place, name, pc.if_else(is_lost, None, expected[name]))
    if not got.combine_chunks().equals(expected.combine_chunks()):
        assert got.to_pydict() == expected.to_pydict()


def get(client: at.Client, call: Call) -> tuple[pa.Table, at.IncompleteDataError | None]:
    asked = call.range if not isinstance(call.range, tuple) else tuple(map(_moment, call.range))
    try:
        frame, error = client.get_kline(call.codes, call.period, asked, frame="arrow"), None
    except at.IncompleteDataError as caught:
        frame, error = caught.frame, caught
    return frame.replace_schema_metadata(None), error


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def of(frame: pa.Table, code: str) -> pa.Table:
    return frame.filter(pc.equal(frame["code"].cast(pa.string()), code)).select(COLUMNS)


def undecidable(row: Row, code: str, call: Call) -> bool:
    """Whether nothing tells closes from opens, which a day's close is as well: what would show it is missing."""
    return (
        code == "BTCUSDT" and call.by_date and (row["daily_stamps"], row["newest_bar"]) == ("session_close", "missing")
    )


def assert_is_the_truth(
    server: at.sandbox.Sandbox, row: Row, client: at.Client, call: Call, plain: pa.Table | None
) -> None:
    frame, error = get(client, call)
    unreachable = []
    for code in call.codes:
        all_of_it, newest = truth(server, row, code, call)
        if undecidable(row, code, call):
            continue
        ignored = "ignored" in (row["end"], row["unlisted_end"] if code == "USOIL" else "")
        reachable = newest if ignored and not code.endswith(STOCKS) else all_of_it
        unreachable += [code] * (len(reachable) < len(all_of_it))
        assert_same(of(frame, code), as_sent(reachable, row, code), row)
        assert len(all_of_it) > 30
        if plain is not None and row["alignment"] == "utc" and not unreachable:
            columns = [name for name in COLUMNS if not call.by_date or name != "timestamp"]
            bars, default = of(frame, code).select(columns), as_sent(of(plain, code), row, code).select(columns)
            if call.range == "max":
                # Which day the plan's history begins with depends on what it is stamped with.
                common = min(len(bars), len(default))
                bars, default = (table.slice(len(table) - common) for table in (bars, default))
            if not (call.period == "1h" and call.range == 100 and row["newest_bar"] == "missing"):
                assert_same(bars, default, row)
    missing = error.missing if error else ()
    assert [(gap.code, gap.reason) for gap in missing] == [(code, "not_pageable") for code in unreachable]


@pytest.fixture
def plain(server: at.sandbox.Sandbox, connect: Callable[..., at.Client], set_clocks: Callable[..., None]) -> Any:
    """Give the frames of the default readings, fetched once."""
    set_clocks(NOW)
    if not PLAIN:
        for call in CALLS:
            server.configure(plan=call.plan)
            PLAIN[call] = get(connect(plan=call.plan), call)[0]
    return PLAIN


@pytest.mark.parametrize("row", MATRIX, ids=[name_of(*each) for each in enumerate(MATRIX)])
class TestEveryReading:
    def test_gives_the_same_frames(
        self, server: at.sandbox.Sandbox, connect: Callable[..., at.Client], plain: dict[Call, pa.Table], row: Row
    ) -> None:
        clients = {}
        for plan in ("professional", "basic"):
            clients[plan] = connect(plan=plan, limits={**UNHURRIED, "pause_s": 0.01})
        server.configure(readings=row)
        for call in CALLS:
            server.configure(plan=call.plan)
            server.fail_next(int(call is CALLS[1]), "throttled")
            assert_is_the_truth(server, row, clients[call.plan], call, plain[call])
        assert server.counters()["answers"]["throttled"] == 1
        server.reset()
        for call in CALLS:
            assert_is_the_truth(server, row, clients[call.plan], call, plain[call])
        assert server.requests() == []

    def test_ends_in_the_same_errors(
        self,
        server: at.sandbox.Sandbox,
        connect: Callable[..., at.Client],
        set_clocks: Callable[..., None],
        row: Row,
    ) -> None:
        set_clocks(NOW)
        client = connect(plan="basic")
        server.configure(readings=row, plan="basic")
        days = ("2026-03-02", "2026-03-06")
        with pytest.raises(at.AuthenticationError) as unknown:
            connect(token="0123456789abcdef0123456789abcdef-c-app").get_kline("EURUSD", "1d", days)
        assert unknown.value.ret == 401
        with pytest.raises(at.UnknownCodeError):
            client.get_kline("NOSUCH", "1d", days)
        server.fail_next(1, "data_invalid")
        with pytest.raises(at.ApiError) as invalid:
            client.get_kline("EURUSD", "1d", days)
        assert (type(invalid.value), invalid.value.ret) == (at.ApiError, row["bad_request"])
        self.unlisted(server, client, row)
        self.beyond_the_history(client, row)
        self.free(server, client, row)

    def unlisted(self, server: at.sandbox.Sandbox, client: at.Client, row: Row) -> None:
        """Page through a code of which one of two pages says that the end does not count."""
        if row["unlisted_end"] == "refused":
            with pytest.raises(at.ApiError) as refused:
                get(client, UNLISTED)
            assert refused.value.ret == row["bad_request"]
        else:
            assert_is_the_truth(server, row, client, UNLISTED, None)

    def beyond_the_history(self, client: at.Client, row: Row) -> None:
        if row["beyond_history"] == "ret_603" and row["end"] != "ignored":
            with pytest.raises(at.PlanLimitError):
                get(client, BEYOND)
            return
        frame, error = get(client, BEYOND)
        assert error is not None
        # A full oldest page is newer than what was asked for, as is the newest of a server that ignores the end.
        full_oldest = (row["beyond_history"], row["pages"]) == ("oldest_page", "full")
        newer = full_oldest or row["end"] == "ignored"
        assert [gap.reason for gap in error.missing] == ["not_pageable" if newer else "beyond_plan"]
        assert len(frame) == 0

    def free(self, server: at.sandbox.Sandbox, client: at.Client, row: Row) -> None:
        server.configure(plan="free")
        with pytest.raises(at.CodeNotPermittedError) as not_sold:
            client.get_kline("GBPUSD", "1d", 5)
        assert not_sold.value.ret == row["unauthorized"]
        if row["free_intraday"] == "refused":
            with pytest.raises(at.CodeNotPermittedError):
                client.get_kline("USDJPY", "1m", 5)
        else:
            assert client.get_kline("USDJPY", "1m", 5).height == 5
        assert client.get_kline("USDJPY", "1d", 5).height == 5


@pytest.mark.xfail(strict=True, reason="the page that would show it lacks its newest bar, and no other is asked for")
def test_crypto_days_stamped_at_their_close_are_told_from_opens_without_the_newest_bar(
    server: at.sandbox.Sandbox, connect: Callable[..., at.Client], set_clocks: Callable[..., None]
) -> None:
    set_clocks(NOW)
    days = ("BTCUSDT", "1d", "2026-03-02/2026-03-06")
    opens = connect().get_kline(*days)["open"]
    server.configure(readings={"daily_stamps": "session_close", "newest_bar": "missing"})
    assert connect().get_kline(*days)["open"].equals(opens)
