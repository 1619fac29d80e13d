"""What a user reads when something is wrong, word for word: the whole tree of errors and warnings.

Every message names the argument, the value, what is allowed, and the next step.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import sqlite3
import warnings
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

import alltick_frames as at
from alltick_frames import decode, errors
from alltick_frames import ledger as ledger_module
from alltick_frames.budget import Budget
from alltick_frames.clocks import utc_now
from alltick_frames.ledger import Ledger
from alltick_frames.plans import plan_named
from alltick_frames.settings import Token, resolve
from alltick_frames.transport import Transport
from alltick_frames.wire import Answer, KlineRequest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

REQUEST = KlineRequest("EURUSD", at.Period("1h"))
RANGE = "2026-03-02/2026-03-06"


def said(error: BaseException | Warning) -> str:
    """Give the message with what differs from run to run made equal."""
    text = re.sub(r"alltick-frames-[0-9a-f-]{36}", "TRACE", str(error))
    return re.sub(r"127\.0\.0\.1:\d+", "HOST", text)


def answered(status: int, body: bytes) -> Answer:
    return Answer(status, body, "TRACE", datetime(2026, 3, 18, tzinfo=UTC), None)


ARGUMENTS: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
    (([], "1d", "30d"), {}, "codes is empty; give one code ('EURUSD') or several (['EURUSD', '700.HK'])"),
    ((7, "1d", "30d"), {}, "codes=7 is neither a code nor an iterable of codes"),
    (([7], "1d", "30d"), {}, "codes holds 7 (int); a code is a str such as 'EURUSD'"),
    (
        ("00700.HK", "1d", "30d"),
        {},
        "code='00700.HK' is not an AllTick code: Hong Kong numbers have no leading zeros, write '700.HK'",
    ),
    (
        ("600416.SS", "1d", "30d"),
        {},
        "code='600416.SS' is not an AllTick code: Shanghai codes end in .SH, write '600416.SH'",
    ),
    (("EUR/USD", "1d", "30d"), {}, "code='EUR/USD' is not an AllTick code: pairs have no separator, write 'EURUSD'"),
    (
        ("EURUSD,GOLD", "1d", "30d"),
        {},
        "code='EURUSD,GOLD' is not an AllTick code: give several codes as a list of str",
    ),
    (("700.hk", "1d", "30d"), {}, "code='700.hk' is not an AllTick code: codes are case-sensitive, write '700.HK'"),
    (
        ("腾讯", "1d", "30d"),
        {},
        "code='腾讯' is not an AllTick code: codes are ASCII; search_products('腾讯') finds the code of a name",
    ),
    (
        ("EURUSD", "10m", "30d"),
        {},
        "period='10m' is not a bar period; use one of: 1m 5m 15m 30m 1h 2h 4h 1d 1w 1mo",
    ),
    (
        ("EURUSD", "1d", "30d"),
        {"max_wait": "1h"},
        "max_wait='1h' must be seconds of 0 or more, or a timedelta",
    ),
    (
        ("EURUSD", "1d", "30d"),
        {"max_wait": -1},
        "max_wait=-1 must be seconds of 0 or more, or a timedelta",
    ),
    (
        ("700.HK", "4h", "30d"),
        {},
        "period='4h' is not offered for 700.HK (stocks); use 1m 5m 15m 30m 1h 1d 1w 1mo, or fetch 1h bars and "
        "resample them",
    ),
    (("EURUSD", "1d", "1m"), {}, "range='1m' is ambiguous: write '1min' for minutes or '1mo' for months"),
    (
        ("EURUSD", "1d", "30d"),
        {"frame": "modin"},
        "frame='modin' is not known; use one of: 'polars' 'pandas' 'arrow'",
    ),
    (("EURUSD", "1d", "30d"), {"forming": "yes"}, "forming='yes' is not known; use one of: 'drop' 'keep'"),
    (
        ("EURUSD", "1d", "30d"),
        {"on_incomplete": "shout"},
        "on_incomplete='shout' is not known; use one of: 'raise' 'warn' 'ignore'",
    ),
]


@pytest.mark.parametrize(("arguments", "options", "message"), ARGUMENTS, ids=lambda value: str(value)[:40])
def test_an_argument_error_says(
    client: at.Client, arguments: tuple[Any, ...], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(at.ArgumentError) as caught:
        client.get_kline(*arguments, **options)
    assert said(caught.value) == message
    assert isinstance(caught.value, ValueError)


CONFIGURATIONS: list[tuple[dict[str, Any], str]] = [
    (
        {"plan": "gold"},
        "plan='gold' is not an AllTick plan; use one of: free basic premium professional all_hk all_cn all_us",
    ),
    (
        {"base_url": "http://quote.alltick.co"},
        "base_url='http://quote.alltick.co' would send the token in clear text; use https://, http:// is for this "
        "machine only",
    ),
    ({"base_url": "quote.alltick.co"}, "base_url='quote.alltick.co' is not an address; write https://host"),
    (
        {"base_url": "https://me:secret@quote.alltick.co"},
        "base_url='https://quote.alltick.co' must be scheme and host only; the token is a setting of its own",
    ),
    ({"frame": "modin"}, "frame='modin' is not known; use one of: polars pandas arrow"),
    (
        {"limits": {"hourly": (1, 3600)}},
        "limits has no figure 'hourly'; use some of: batch_groups batch_kline codes codes_a_connection combined "
        "connections day halts history_years kline margin_s minute pause_s share stream",
    ),
    ({"limits": {"kline": 7}}, "limits['kline']=7 must be (requests, seconds), such as (10, 1)"),
]


@pytest.mark.parametrize(("settings", "message"), CONFIGURATIONS, ids=lambda value: str(value)[:40])
def test_a_config_error_says(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(at.ConfigError) as caught:
        at.Client(**settings)
    assert said(caught.value) == message


def test_a_token_file_that_others_may_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "token"
    path.write_text("secret")
    path.chmod(0o644)
    monkeypatch.setenv("ALLTICK_TOKEN_FILE", str(path))
    with pytest.raises(at.ConfigError) as caught:
        resolve()
    assert str(caught.value) == f"ALLTICK_TOKEN_FILE='{path}' may be read by others; run: chmod 600 {path}"
    path.chmod(0o600)
    assert resolve().token == Token("secret")


def test_no_token_says() -> None:
    with at.Client(plan="basic") as client, pytest.raises(at.ConfigError) as caught:
        client.get_kline("EURUSD", "1h", RANGE)
    assert said(caught.value) == (
        "no token: set the environment variable ALLTICK_TOKEN or ALLTICK_TOKEN_FILE, or call "
        "alltick_frames.configure(token=...); `alltick demo` works without one"
    )


REFUSALS: list[tuple[type[at.ApiError], str, str]] = [
    (
        at.AuthenticationError,
        "token_invalid",
        "AllTick refused the request for EURUSD: ret 401 (token refused); the token is wrong, missing or expired; "
        "check ALLTICK_TOKEN against the vendor's dashboard (trace TRACE)",
    ),
    (
        at.UnknownCodeError,
        "code_invalid",
        "AllTick refused the request for EURUSD: ret 600 (code invalid); codes are case-sensitive and must equal the "
        "vendor's product list, which search_products() looks through (trace TRACE)",
    ),
    (
        at.PlanLimitError,
        "level_not_enough",
        "AllTick refused the request for EURUSD: ret 603 (token level not enough); your plan does not allow that "
        "much; see the vendor's limits page (trace TRACE)",
    ),
    (
        at.CodeNotPermittedError,
        "code_unauthorized",
        "AllTick refused the request for EURUSD: ret 604 (code unauthorized); your plan does not include it (the "
        "Free plan has USDJPY GOLD USOIL BTCUSDT HSI.HK 700.HK .DJI.US TSLA.US 000001.SH 399001.SZ) (trace TRACE)",
    ),
    (
        at.CodeNotPermittedError,
        "body_empty",
        "AllTick refused the request for EURUSD: ret 601 (body empty); your plan does not include it (trace TRACE)",
    ),
    (
        at.ApiError,
        "query_invalid",
        "AllTick refused the request for EURUSD: ret 402 (query invalid); the request was not understood; this is a "
        "fault of alltick_frames, please report it with the trace (trace TRACE)",
    ),
    (
        at.ApiError,
        "header_invalid_201",
        "AllTick refused the request for EURUSD: ret 201 (request header param invalid); the request was not "
        "understood; this is a fault of alltick_frames, please report it with the trace (trace TRACE)",
    ),
]


@pytest.mark.parametrize(("kind", "fault", "message"), REFUSALS, ids=lambda value: str(value)[:40])
def test_a_refusal_of_the_vendor_says(
    server: at.sandbox.Sandbox, client: at.Client, kind: type[at.ApiError], fault: str, message: str
) -> None:
    server.fail_next(1, fault)
    with pytest.raises(at.ApiError) as caught:
        client.get_kline("EURUSD", "1h", RANGE)
    assert type(caught.value) is kind
    assert said(caught.value) == message
    assert caught.value.codes == ("EURUSD",)
    assert re.fullmatch(r"alltick-frames-[0-9a-f-]{36}", caught.value.trace)


ANSWERS: list[tuple[int, bytes, type[at.AllTickError], str]] = [
    (
        429,
        b'{"error_msg":"Too many requests"}',
        at.RateLimitError,
        "AllTick refused the request for EURUSD: ret 429 (Too many requests); requests came faster than the plan "
        "allows; is another machine using this token? (trace TRACE)",
    ),
    (
        200,
        b'{"ret":605,"msg":"too many requests"}',
        at.RateLimitError,
        "AllTick refused the request for EURUSD: ret 605 (too many requests); requests came faster than the plan "
        "allows; is another machine using this token? (trace TRACE)",
    ),
    (
        302,
        b"",
        at.TransportError,
        "the server answered with a redirect (HTTP 302), which is refused because the token would travel along; check "
        "base_url (trace TRACE)",
    ),
    (502, b"<html>", at.TransportError, "the server answered HTTP 502 (trace TRACE)"),
    (
        200,
        b"<html>",
        at.DecodeError,
        "the answer (HTTP 200, 6 bytes) is not the service's JSON: JSON is malformed: invalid character (byte 0) "
        "(trace TRACE)",
    ),
    (
        404,
        b"<html>",
        at.DecodeError,
        "the answer (HTTP 404, 6 bytes) is not the service's JSON: JSON is malformed: invalid character (byte 0); "
        "check base_url (trace TRACE)",
    ),
    (
        200,
        b'{"hello":1}',
        at.DecodeError,
        "the answer (HTTP 200) has no 'ret': not the AllTick service; check base_url (trace TRACE)",
    ),
    (
        200,
        b'{"ret":200,"data":{"code":"GOLD","kline_type":5,"kline_list":[]}}',
        at.DecodeError,
        "asked for EURUSD kline_type 5, answered with GOLD kline_type 5 (trace TRACE)",
    ),
    (
        200,
        b'{"ret":999,"msg":"new"}',
        at.ApiError,
        "AllTick refused the request for EURUSD: ret 999 (new); an answer the API's pages do not list (trace TRACE)",
    ),
]


@pytest.mark.parametrize(("status", "body", "kind", "message"), ANSWERS, ids=lambda value: str(value)[:40])
def test_an_answer_that_is_no_page_says(status: int, body: bytes, kind: type[at.AllTickError], message: str) -> None:
    with pytest.raises(at.AllTickError) as caught:
        decode.kline_page(answered(status, body), REQUEST)
    assert type(caught.value) is kind
    assert said(caught.value) == message


async def send(transport: Transport, request: KlineRequest) -> Answer:
    return await transport.send(request, await transport.turn("kline"), utc_now)


def test_an_unreachable_server_says() -> None:
    transport = Transport("http://127.0.0.1:9", Token("x"), Ledger(plan_named("professional")))
    with pytest.raises(at.TransportError) as caught:
        asyncio.run(send(transport, REQUEST))
    assert said(caught.value) == (
        "no whole answer from http://HOST: All connection attempts failed (ConnectError; trace TRACE); check the "
        "network and base_url"
    )


def test_a_used_up_day_says() -> None:
    budget = Budget(plan_named("free"))
    for second in range(0, 11_000, 11):
        budget.reserve(now=second)
    with pytest.raises(at.BudgetError) as caught:
        budget.reserve(now=11_000)
    assert said(caught.value) == (
        "the free plan's 1,000 requests a day are used up; the first of them returns in 21.0 hours"
    )


def test_incomplete_data_says(client: at.Client) -> None:
    message = (
        "1 span cannot be had: AAPL.US 1m [2026-03-02, 2026-03-16T19:41Z) beyond_reach: only the newest 500 bars of a "
        "stock can be asked for; reachable from 2026-03-16 19:41Z. What there is: .frame of this error, or "
        "on_incomplete='warn' or 'ignore'; range='max' asks for all that is reachable"
    )
    with pytest.raises(at.IncompleteDataError) as caught:
        client.get_kline("AAPL.US", "1m", "2026-03-02/")
    assert said(caught.value) == message
    with pytest.warns(at.IncompleteDataWarning) as warned:
        client.get_kline("AAPL.US", "1m", "2026-03-02/", on_incomplete="warn")
    assert [said(warning.message) for warning in warned if isinstance(warning.message, Warning)] == [message]
    assert warned[0].filename == __file__


def test_a_late_beginning_says(server: at.sandbox.Sandbox, client: at.Client) -> None:
    days = pl.DataFrame(
        {
            "timestamp": pl.date_range(date(2026, 1, 5), date(2026, 2, 3), eager=True),
            **{name: [10.0] * 30 for name in ("open", "high", "low", "close")},
        }
    )
    server.replay("9999.HK", "1d", days)
    with pytest.warns(at.HistoryStartWarning) as warned:
        frame = client.get_kline("9999.HK", "1d", "2025-01-01/2026-03-10")
    assert [str(warning.message) for warning in warned if warning.category is at.HistoryStartWarning] == [
        "the vendor's 1d history begins later than asked (2025-01-01) for: 9999.HK (from 2026-01-05 00:00Z)"
    ]
    assert warned[0].filename == __file__
    assert frame.height == 30


def test_a_beginning_that_lies_after_all_that_was_asked_for_is_not_said_to_be_none(
    server: at.sandbox.Sandbox, client: at.Client
) -> None:
    days = pl.DataFrame(
        {
            "timestamp": pl.date_range(date(2026, 1, 5), date(2026, 2, 3), eager=True),
            **{name: [10.0] * 30 for name in ("open", "high", "low", "close")},
        }
    )
    server.replay("NEWUSDT", "1d", days)
    with pytest.warns(at.HistoryStartWarning) as warned:
        assert client.get_kline("NEWUSDT", "1d", "2025-01-01/2025-06-30").is_empty()
    assert [str(warning.message) for warning in warned if warning.category is at.HistoryStartWarning] == [
        "the vendor's 1d history begins later than asked (2025-01-01) for: NEWUSDT (no bars before 2025-07-01 00:00Z)"
    ]
    assert client.get_kline("NEWUSDT", "1d", ("2026-01-05", None)).height == 30


def test_a_clock_that_differs_says_so_once(server: at.sandbox.Sandbox, connect: Callable[..., at.Client]) -> None:
    client = connect()
    server.set_clock(datetime.now(UTC) + timedelta(hours=2))
    with pytest.warns(at.ClockSkewWarning) as warned:
        client.get_kline("EURUSD", "1h", RANGE)
    (message,) = (said(warning.message) for warning in warned if isinstance(warning.message, Warning))
    assert re.sub(r"7,(199|200)", "7,200", message) == (
        "this machine's clock is 7,200 s behind the server's; bars count as closed by the earlier of the two, so "
        "set the clock if the newest bars are missing"
    )
    assert warned[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        client.get_kline("EURUSD", "1h", RANGE)


def test_what_is_not_held_says_how_to_get_it(connect: Callable[..., at.Client]) -> None:
    with pytest.raises(at.IncompleteDataError) as caught:
        connect(network="never", token=None).get_kline("EURUSD", "1h", RANGE)
    assert said(caught.value) == (
        "1 span not in the archive: EURUSD 1h [2026-03-02, 2026-03-07) not_held. What there is: .frame of this error, "
        "or on_incomplete='warn' or 'ignore'; network='auto' fetches the rest"
    )


def test_a_forming_bar_is_in_no_archive(connect: Callable[..., at.Client]) -> None:
    with pytest.raises(at.ArgumentError) as caught:
        connect().get_kline("EURUSD", "1h", RANGE, forming="keep", network="never")
    assert said(caught.value) == (
        "forming='keep' with network='never': the archive holds closed bars only; use forming='drop', or network='auto'"
    )


def test_a_stock_range_before_its_reach_says_what_is_reachable(client: at.Client) -> None:
    with pytest.raises(
        at.IncompleteDataError, match=r"\[2026-02-02, 2026-02-04\) .*; reachable from 2026-03-16 19:41Z"
    ):
        client.get_kline("AAPL.US", "1m", "2026-02-02/2026-02-03")


def test_no_plan_says(server: at.sandbox.Sandbox, connect: Callable[..., at.Client]) -> None:
    with pytest.warns(at.PlanWarning) as warned:
        connect(plan=None).get_kline("EURUSD", "1h", RANGE)
    assert [str(warning.message) for warning in warned if warning.category is at.PlanWarning] == [
        "no plan is configured, so requests keep to the Free plan's limits (one in 10 s, 1,000 a day); "
        "set ALLTICK_PLAN, or plan=, to yours"
    ]
    assert warned[0].filename == __file__


def test_a_budget_that_cannot_be_shared_says(connect: Callable[..., at.Client], tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.write_text("a file where a directory should be")
    with pytest.warns(at.BudgetWarning) as warned:
        connect().get_kline("EURUSD", "1h", RANGE)
    assert [str(warning.message) for warning in warned if warning.category is at.BudgetWarning] == [
        f"the budget of this token cannot be shared with other processes, because {state} cannot be used: File exists; "
        f"give it back its permissions, remove a damaged ledger-1.sqlite3 from it, or set ALLTICK_STATE_DIR"
    ]
    assert warned[0].filename == __file__


def test_a_ledger_that_stays_locked_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "_LOCKED_AT_MOST_S", 0.05)
    ledger = Ledger(plan_named("basic"), tmp_path, "key")
    asyncio.run(ledger.reserve())
    with contextlib.closing(sqlite3.connect(tmp_path / "ledger-1.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(at.BudgetError) as caught:
            asyncio.run(ledger.reserve())
    assert said(caught.value) == (
        f"the budget in {tmp_path} has been locked for 0.05 s; is a process that uses this token stopped? End it, or "
        f"set ALLTICK_STATE_DIR"
    )


def test_a_product_list_that_is_not_the_vendors_newest_says(
    connect: Callable[..., at.Client], server: at.sandbox.Sandbox
) -> None:
    server.configure(faults={"not_found": 1.0})
    with pytest.warns(at.ProductListWarning) as warned:
        connect().get_products("crypto")
    with pytest.warns(at.ProductListWarning) as offline:
        connect(network="never").get_products("crypto")
    assert [said(Warning(warning.message)) for warning in (*warned, *offline)] == [
        "the product list of crypto could not be fetched (no page from HOST: the server answered HTTP 404). Listed is "
        "only the examples that are built in: crypto; try again later, or set ALLTICK_PRODUCTS_URL to a copy of the "
        "sheet that you can reach",
        "no product list is kept of crypto, and with network='never' none is fetched: listed of them are only the "
        "examples that are built in; call get_products() once with network='auto'",
    ]
    assert warned[0].filename == __file__


def test_no_class_of_the_tree_is_left_without_its_words() -> None:
    pinned = {
        *(errors.RET_CODES.values()),
        *(at.ArgumentError, at.ConfigError, at.ApiError, at.BudgetError, at.TransportError, at.DecodeError),
        *(
            at.IncompleteDataError,
            at.IncompleteDataWarning,
            at.HistoryStartWarning,
            at.ClockSkewWarning,
            at.BudgetWarning,
            at.LongWaitWarning,  # in test_estimate
            at.OutageWarning,  # in test_watch
            at.PlanWarning,
            at.ProductListWarning,
            at.StreamError,  # in test_stream
            at.StreamWarning,
        ),
    }
    # Bases, and what has too many.
    unpinned = {at.AllTickError, at.AllTickWarning, at.StoreError}
    tree = {kind for name in errors.__all__ if isinstance(kind := getattr(errors, name), type)}
    with warnings.catch_warnings():
        assert pinned | unpinned == tree
