"""From the bytes of an answer to a table: every shape the vendor's pages leave open, and what is set aside."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import alltick_frames as at
from alltick_frames import schemas
from alltick_frames.decode import Page, batch_pages, kline_page
from alltick_frames.wire import Answer, BatchRequest, Group, KlineRequest

REQUEST = KlineRequest("EURUSD", at.Period("1m"))
FIRST = 1_773_734_400


def bar(minute: int = 0, **changes: Any) -> dict[str, Any]:
    prices = {"open_price": "1.0845", "close_price": "1.0850", "high_price": "1.0861", "low_price": "1.0840"}
    return {"timestamp": str(FIRST + 60 * minute), **prices, "volume": "12", "turnover": ""} | changes


def without(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


def decode(rows: Any, *, status: int = 200, **envelope: Any) -> Page:
    data = {"code": "EURUSD", "kline_type": 1, "kline_list": rows}
    return decode_bytes(json.dumps({"ret": 200, "msg": "ok", "trace": "t", "data": data} | envelope).encode(), status)


def decode_bytes(body: bytes, status: int = 200) -> Page:
    return kline_page(Answer(status, body, "t", datetime(2026, 3, 18, tzinfo=UTC), None), REQUEST)


ROW = {
    "timestamp": datetime.fromtimestamp(FIRST, UTC),
    "open": 1.0845,
    "high": 1.0861,
    "low": 1.0840,
    "close": 1.0850,
    "volume": 12.0,
    "turnover": None,
}


def as_numbers(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value if value == "" else json.loads(value) for name, value in row.items()}


SHAPES = [
    pytest.param(bar(), id="strings"),
    pytest.param(as_numbers(bar()), id="numbers"),
    pytest.param(bar(turnover=None), id="null"),
    pytest.param(without(bar(), "turnover"), id="missing"),
    pytest.param(bar(timestamp=str(FIRST * 1000)), id="milliseconds"),
    pytest.param(bar(timestamp=float(FIRST)), id="float stamp"),
    pytest.param(bar(volumn="3", settled=True), id="unknown fields"),
    pytest.param(bar(open_price="1.084500", volume="12.000"), id="trailing zeros"),
]


@pytest.mark.parametrize("row", SHAPES)
def test_a_bar_is_read_in_every_shape(row: dict[str, Any]) -> None:
    page = decode([row])
    assert page.bars.schema == schemas.BARS
    assert page.bars.to_pylist() == [ROW]
    assert page.bad == ()


@pytest.mark.parametrize("missing", ["", None])
def test_an_empty_volume_is_null_and_a_zero_is_zero(missing: Any) -> None:
    page = decode([bar(0, volume=missing), bar(1, volume="0")])
    assert page.bars["volume"].to_pylist() == [None, 0.0]


@pytest.mark.parametrize(
    "envelope",
    [{"data": {"kline_list": []}}, {"data": {"kline_list": None}}, {"data": {}}, {"data": None}, {"data": ""}],
    ids=str,
)
def test_nothing_is_an_empty_page(envelope: dict[str, Any]) -> None:
    page = decode(None, **envelope)
    assert (page.bars.num_rows, page.received) == (0, 0)
    assert page.bars.schema == schemas.BARS


def test_names_of_the_vendors_other_pages_are_understood() -> None:
    row = {"volumn" if name == "volume" else name: value for name, value in bar().items()}
    data = {"symbol": "EURUSD", "kline_type": 1, "kline_data": [row]}
    assert decode([], data=data).bars.to_pylist() == [ROW]


def test_names_within_a_text_stay_as_they_are() -> None:
    with pytest.raises(at.ApiError) as caught:
        decode([], ret=202, msg='no "volumn" in "kline_data"')
    assert caught.value.msg == 'no "volumn" in "kline_data"'


def test_an_answer_without_data_is_an_empty_page() -> None:
    assert decode_bytes(b'{"ret":200,"msg":"ok","trace":"t"}').received == 0


@pytest.mark.parametrize(
    ("envelope", "why"),
    [
        ({"data": [1]}, "Expected `dict` - at `$.data`"),
        ({"data": "oops"}, "Expected `dict` - at `$.data`"),
        ({"data": {"kline_list": {"0": bar()}}}, "Expected `list` - at `$.data.kline_list`"),
        ({"data": {"kline_list": "oops"}}, "Expected `list` - at `$.data.kline_list`"),
    ],
    ids=str,
)
def test_data_of_another_kind_is_an_error_and_not_an_empty_page(envelope: dict[str, Any], why: str) -> None:
    with pytest.raises(at.DecodeError) as caught:
        decode(None, **envelope)
    assert why in str(caught.value)


def test_rows_are_sorted_and_of_equal_stamps_the_last_wins() -> None:
    page = decode([bar(2), bar(0, close_price="1.0841"), bar(1), bar(0, close_price="1.0842")])
    assert page.bars["close"].to_pylist() == [1.0842, 1.0850, 1.0850]
    assert page.stamps_us.tolist() == [(FIRST + 60 * minute) * 1_000_000 for minute in range(3)]
    assert page.received == 4


BAD = [
    pytest.param(bar(1, high_price="NaN"), "a price is not finite", id="NaN"),
    pytest.param(bar(1, low_price="-inf"), "a price is not finite", id="infinite"),
    pytest.param(bar(1, high_price="1.0", low_price="1.1"), "high is below low", id="high below low"),
    pytest.param(bar(1, volume="inf"), "volume or turnover is not finite", id="infinite volume"),
    pytest.param(bar(1, open_price="abc"), "Expected `float`, got `str`", id="text"),
    pytest.param(bar(1, open_price=""), "missing required field `open_price`", id="empty price"),
    pytest.param(without(bar(1), "close_price"), "missing required field `close_price`", id="missing price"),
    pytest.param(bar(1, close_price=None), "Expected `float`, got `null`", id="null price"),
]


@pytest.mark.parametrize(("row", "why"), BAD)
def test_a_bar_that_cannot_be_true_is_set_aside_with_its_raw_values(row: dict[str, Any], why: str) -> None:
    page = decode([bar(0), row, bar(2)])
    assert page.bars.num_rows == 2
    (bad,) = page.bad
    assert bad.stamp_us == (FIRST + 60) * 1_000_000
    assert why in bad.why
    assert bad.raw == repr(row)
    assert page.received == 3


@pytest.mark.parametrize(
    "row",
    [7, "x", None, [], bar(timestamp="soon"), bar(timestamp="-5"), bar(timestamp="5"), bar(timestamp="9" * 18)],
    ids=str,
)
def test_a_row_without_a_readable_stamp_is_set_aside_without_one(row: Any) -> None:
    page = decode([bar(0), row])
    assert page.bars.num_rows == 1
    assert [bad.stamp_us for bad in page.bad] == [None]


def test_negative_prices_are_valid() -> None:
    page = decode([bar(open_price="-37.63", close_price="-37.63", high_price="-10", low_price="-40.32")])
    assert page.bars["low"].to_pylist() == [-40.32]


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>busy</html>", b'{"ret":200,"data":{"kline_list":[{"timest', b"\xff\xfe", b"[1,2]", b"7"],
    ids=str,
)
def test_what_is_no_answer_is_a_decode_error(body: bytes) -> None:
    with pytest.raises(at.DecodeError):
        decode_bytes(body)


@pytest.mark.parametrize("start", [b"", b'{"ret":200,"unknown":', b'{"ret":200,"data":{"kline_list":['], ids=str)
@pytest.mark.parametrize("nested", [b"[", b'{"data":'], ids=str)
def test_json_nested_without_end_is_a_decode_error(start: bytes, nested: bytes) -> None:
    with pytest.raises(at.DecodeError):
        decode_bytes(start + nested * 100_000)


@pytest.mark.parametrize(
    "data",
    [{"code": "GOLD", "kline_type": 1, "kline_list": []}, {"code": "EURUSD", "kline_type": 2, "kline_list": []}],
    ids=str,
)
def test_an_answer_to_another_question_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(at.DecodeError, match="asked for EURUSD kline_type 1, answered with"):
        decode(None, data=data)


STATUSES = [
    (429, b"", at.RateLimitError),
    (429, b'{"error_msg":"Too many requests"}', at.RateLimitError),
    (200, b'{"error_msg":"Too many requests"}', at.RateLimitError),
    (401, b'{"msg":"token is required","ret":401}', at.AuthenticationError),
    (200, b'{"msg":"token invalid","trace":"","ret":401}', at.AuthenticationError),
    (401, b"<html>", at.AuthenticationError),
    (301, b"", at.TransportError),
    (500, b'{"success":false,"error":"x"}', at.TransportError),
    (503, b"", at.TransportError),
    (400, b'{"ret":400,"msg":"request data param invalid"}', at.ApiError),
    (200, b'{"ret":"600","msg":"code invalid","trace":"t","data":{}}', at.UnknownCodeError),
    (200, b'{"ret":603,"msg":"token level not enough"}', at.PlanLimitError),
    (200, b'{"ret":604,"msg":"code unauthorized","trace":"t"}', at.CodeNotPermittedError),
    (200, b'{"ret":606,"msg":"too many requests and connection will be closed"}', at.RateLimitError),
]


@pytest.mark.parametrize(("status", "body", "kind"), STATUSES, ids=str)
def test_status_and_ret_decide_the_error(status: int, body: bytes, kind: type[at.AllTickError]) -> None:
    with pytest.raises(at.AllTickError) as caught:
        decode_bytes(body, status)
    assert type(caught.value) is kind


LONG, SHORT = "1.08450000000000012", "1.0845"


@pytest.mark.parametrize(
    ("sent", "exact"),
    [
        (SHORT, ()),
        ("1.084500000000000", ()),  # sixteen digits that float64 holds
        ("1.08450000000000000", ()),
        (LONG, ((1, "close", LONG),)),
        ("123456789012345678", ((1, "close", "123456789012345678"),)),
        ("0.1000000000000000055", ((1, "close", "0.1000000000000000055"),)),
    ],
)
@pytest.mark.parametrize("quoted", [True, False])
def test_what_float64_cannot_hold_is_kept_as_sent(sent: str, exact: tuple[Any, ...], quoted: bool) -> None:  # noqa: FBT001
    rows = [bar(0), bar(1, close_price="here", high_price="200000000000000000"), bar(2, close_price=SHORT)]
    data = {"code": "EURUSD", "kline_type": 1, "kline_list": rows}
    body = json.dumps({"ret": 200, "data": data}).replace('"here"', f'"{sent}"' if quoted else sent)
    page = decode_bytes(body.encode())
    assert page.exact == exact
    assert page.bars["close"][1].as_py() == float(sent)


@pytest.mark.parametrize("data", ["null", "{}", '{"kline_list":null}', '{"kline_list":[]}', '""', "[]"])
def test_a_long_number_beside_no_bars_is_an_empty_page(data: str) -> None:
    assert decode_bytes(f'{{"ret":200,"seq":1234567890123456,"data":{data}}}'.encode()).received == 0


def test_a_number_whose_exponent_no_decimal_can_have_is_kept_as_sent() -> None:
    page = decode([bar(volume="1e-99999999999999999999", turnover="1234567890123456789")])
    assert ("volume", "1e-99999999999999999999") in {(column, text) for _, column, text in page.exact}


def test_a_row_that_was_set_aside_says_nothing_of_the_one_with_its_stamp() -> None:
    page = decode([bar(volume="", turnover="0.12345678901234567"), bar(volume="abc"), bar(volume=[1])])
    assert (len(page.bars), len(page.bad)) == (1, 2)
    assert page.exact == ((0, "turnover", "0.12345678901234567"),)


def test_text_that_is_no_utf8_is_a_decode_error_also_where_it_was_skipped() -> None:
    body = json.dumps({"ret": 200, "note": "X", "data": {"kline_list": [bar(turnover="0.12345678901234567")]}}).encode()
    with pytest.raises(at.DecodeError, match=r"not the service's JSON.*utf-8"):
        decode_bytes(body.replace(b"X", b"\xb6"))


@pytest.mark.parametrize(
    "envelope",
    [{"ret": 605, "msg": "x" * 9_000}, {"data": {"code": "x" * 9_000}}, {"ret": None, "error_msg": "x" * 9_000}],
)
def test_a_message_quotes_no_more_than_an_excerpt(envelope: dict[str, Any]) -> None:
    with pytest.raises(at.AllTickError, match="x…") as caught:
        decode([], **envelope)
    assert len(str(caught.value)) < 700


def test_of_two_rows_with_one_stamp_the_exact_string_is_that_of_the_last() -> None:
    assert decode([bar(0, close_price=LONG), bar(0, close_price=SHORT)]).exact == ()
    assert decode([bar(0, close_price=SHORT), bar(0, close_price=LONG)]).exact == ((0, "close", LONG),)
    assert decode([bar(1, close_price=LONG), bar(0)]).exact == ((1, "close", LONG),)
    assert decode([bar(0, close_price=LONG), bar(0, close_price="nonsense")]).exact == ((0, "close", LONG),)


@given(digits=st.integers(1, 10**19), places=st.integers(0, 12), volume=st.integers(0, 10**18))
def test_value_and_exact_string_give_every_decimal_back(digits: int, places: int, volume: int) -> None:
    sent = {"close_price": str(Decimal(digits).scaleb(-places)), "high_price": str(10**20), "volume": str(volume)}
    page = decode([bar(0, **sent)])
    exact = {column: text for _, column, text in page.exact}
    for column, name in (("close", "close_price"), ("high", "high_price"), ("volume", "volume")):
        shortest = repr(page.bars[column][0].as_py())
        assert Decimal(exact.get(column, shortest)) == Decimal(sent[name])


@given(
    digits=st.integers(-(10**25), 10**25),
    places=st.integers(0, 30),
    quote_it=st.booleans(),
)
def test_a_price_is_the_double_nearest_to_the_vendors_decimal(digits: int, places: int, quote_it: bool) -> None:  # noqa: FBT001
    text = f"{Decimal(digits).scaleb(-places):f}"
    body = json.dumps({"ret": 200, "data": {"kline_list": [bar(0) | dict.fromkeys(PRICE_FIELDS, text)]}}).encode()
    if not quote_it:
        body = body.replace(f'"{text}"'.encode(), text.encode())
    page = decode_bytes(body)
    assert page.bars["open"].to_pylist() == [float(text)]


PRICE_FIELDS = ("open_price", "close_price", "high_price", "low_price")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
ROWS = st.lists(
    st.fixed_dictionaries({}, optional=dict.fromkeys(("timestamp", "volume", *PRICE_FIELDS), JSON)), max_size=4
)


@given(
    st.binary(max_size=200)
    | JSON.map(lambda value: json.dumps(value).encode())
    | ROWS.map(lambda rows: json.dumps({"ret": 200, "data": {"kline_list": rows}}).encode())
)
def test_any_bytes_give_a_page_or_an_error_of_ours(body: bytes) -> None:
    try:
        page = decode_bytes(body)
    except at.AllTickError:
        return
    assert page.bars.schema == schemas.BARS
    assert page.bars.num_rows + len(page.bad) <= page.received


M1, D1 = at.Period("1m"), at.Period("1d")
ASKED = BatchRequest((("EURUSD", M1), ("EURUSD", D1), ("GOLD", M1)))


def group(code: str, number: Any, *bars: Any, **changes: Any) -> dict[str, Any]:
    return {"code": code, "kline_type": number, "kline_data": list(bars)} | changes


def pages(*groups: Any, body: bytes | None = None, **envelope: Any) -> dict[Group, Page]:
    sent = {"ret": 200, "msg": "ok", "trace": "t", "data": {"kline_list": list(groups)}} | envelope
    answer = Answer(200, body or json.dumps(sent).encode(), "t", datetime(2026, 3, 18, tzinfo=UTC), None)
    return batch_pages(answer, ASKED)


def test_groups_are_told_by_code_and_period_wherever_they_stand() -> None:
    read = pages(
        group("GOLD", 1, bar(2)),
        group("SILVER", 1, bar(7)),
        group("EURUSD", "8", bar(0), bar(1)),
        {"symbol": "EURUSD", "kline_type": 1, "kline_list": [bar(4), bar(3)]},
    )
    assert {key: (page.stamps_us // 60_000_000 - FIRST // 60).tolist() for key, page in read.items()} == {
        ("GOLD", M1): [2],
        ("EURUSD", D1): [0, 1],
        ("EURUSD", M1): [3, 4],
    }


@pytest.mark.parametrize(
    "other",
    [None, 7, "", [], {}, {"code": "GOLD"}, group("GOLD", 1, "no bar"), group("GOLD", 1, kline_data=5)],
    ids=repr,
)
def test_a_group_that_cannot_be_read_costs_no_other(other: Any) -> None:
    read = pages(other, group("EURUSD", 1, bar()))
    assert read["EURUSD", M1].bars.to_pylist() == [ROW]
    assert (
        [row.why for row in read["GOLD", M1].bad] == ["Expected `object`, got `str`"] if ("GOLD", M1) in read else True
    )


@pytest.mark.parametrize("data", [None, "", {}, {"kline_list": None}, {"kline_list": []}], ids=repr)
def test_an_answer_may_have_no_groups(data: Any) -> None:
    assert pages(data=data) == {}


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"data":{}}', b'{"ret":200,"data":{"kline_list":{}}}'])
def test_what_is_no_envelope_of_groups_is_said(body: bytes) -> None:
    with pytest.raises(at.DecodeError):
        pages(body=body)


def test_a_refusal_of_many_codes_names_some() -> None:
    request = BatchRequest(tuple((f"{number}.HK", D1) for number in range(1, 9)))
    answer = Answer(200, b'{"ret":600,"msg":"code invalid"}', "t", datetime(2026, 3, 18, tzinfo=UTC), None)
    with pytest.raises(at.UnknownCodeError, match=r"for 1\.HK, 2\.HK, 3\.HK, 4\.HK, 5\.HK and 3 more: ret 600"):
        batch_pages(answer, request)


def test_a_group_keeps_what_float64_cannot_hold() -> None:
    read = pages(group("GOLD", 1, bar(close_price="1.08500000000000000001")))
    assert read["GOLD", M1].exact == ((0, "close", "1.08500000000000000001"),)
