"""GET /api/suspension/…: halts of the last year, with and without pages."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

if TYPE_CHECKING:
    import httpx

    from .conftest import Asker

EXCHANGES = ["sse", "nyse", "nasdaq"]
COMMON = {"symbol", "symbolName", "haltReason", "haltDate", "haltTime", "resumeDate", "resumeTime", "publishDate"}
AMERICAN = COMMON | {"haltDateTime", "resumeDateTime", "sourceExchange"}
FIELDS = {"sse": COMMON | {"haltPeriod"}, "nyse": AMERICAN, "nasdaq": AMERICAN | {"pauseThresholdPrice"}}
NOW = datetime(2026, 3, 18, 9, 0, 30)
AMERICAN_HOLIDAYS = {"2025-07-04", "2025-09-01", "2025-11-27", "2025-12-25", "2026-01-01", "2026-01-19"}
HOLIDAYS = {
    "sse": {"2025-05-01", "2025-10-01", "2025-10-02", "2025-10-03", "2025-10-06", "2025-10-07", "2026-02-17"},
    "nyse": AMERICAN_HOLIDAYS,
    "nasdaq": AMERICAN_HOLIDAYS,
}


def get(ask: Asker, exchange: str, **parameters: str) -> httpx.Response:
    return ask.raw(f"/api/suspension/{exchange}", token=ask.sandbox.token, **parameters)


def halts(ask: Asker, exchange: str) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = get(ask, exchange).json()["data"]
    return records


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_the_answer_has_an_envelope_of_its_own(ask: Asker, exchange: str) -> None:
    body = get(ask, exchange).json()
    assert list(body) == ["success", "timestamp", "totalCount", "data"]
    assert (body["success"], body["timestamp"]) == (True, "2026-03-18T17:00:30")
    assert body["totalCount"] == len(body["data"]) > 100
    assert all(record.keys() == FIELDS[exchange] for record in body["data"])


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_all_of_the_last_year_comes_newest_first(ask: Asker, exchange: str) -> None:
    published = [datetime.fromisoformat(record["publishDate"]) for record in halts(ask, exchange)]
    assert published == sorted(published, reverse=True)
    assert NOW - timedelta(days=5) < published[0] <= NOW + timedelta(hours=8)
    assert NOW - timedelta(days=366) < published[-1] < NOW - timedelta(days=355)


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_halts_begin_on_trading_days_in_trading_hours(ask: Asker, exchange: str) -> None:
    for record in halts(ask, exchange):
        assert datetime.fromisoformat(record["haltDate"]).weekday() < 5
        assert record["haltDate"] not in HOLIDAYS[exchange]
        assert "09:30:00" <= record["haltTime"] < "16:00:00"
        if "haltDateTime" in record:
            assert record["haltDateTime"] == f"{record['haltDate']} {record['haltTime']}"


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_symbols_are_bare(ask: Asker, exchange: str) -> None:
    symbols = {record["symbol"] for record in halts(ask, exchange)}
    assert len(symbols) > 10
    assert not any(symbol.endswith((".SH", ".US")) for symbol in symbols)
    assert all(symbol.isdigit() and len(symbol) == 6 for symbol in symbols) == (exchange == "sse")


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_what_there_is_none_of_is_null_here_and_empty_there(ask: Asker, exchange: str) -> None:
    records = halts(ask, exchange)
    for name in ("symbolName", "haltReason", "resumeDate"):
        values = [record[name] for record in records]
        assert None in values
        assert "" in values
        assert any(values)


@pytest.mark.parametrize("exchange", ["nyse", "nasdaq"])
def test_trading_resumes_after_the_halt_and_five_minutes_after_quotation(ask: Asker, exchange: str) -> None:
    resumed = [record for record in halts(ask, exchange) if record["resumeDate"] and record["resumeDateTime"]]
    assert resumed
    for record in resumed:
        quoted = datetime.fromisoformat(f"{record['resumeDate']} {record['resumeTime']}")
        assert datetime.fromisoformat(record["resumeDateTime"]) - quoted == timedelta(minutes=5)
        assert quoted > datetime.fromisoformat(record["haltDateTime"])


def test_a_halt_has_no_end_before_it_comes(ask: Asker) -> None:
    ended = next(record for record in halts(ask, "nasdaq") if record["resumeDateTime"])
    zone = ZoneInfo("America/New_York")
    announced = datetime.fromisoformat(ended["publishDate"]).replace(tzinfo=zone)
    ask.sandbox.set_clock(announced, frozen=True)
    newest = halts(ask, "nasdaq")[0]
    assert (newest["symbol"], newest["haltDateTime"]) == (ended["symbol"], ended["haltDateTime"])
    assert not newest["resumeDate"]
    assert not newest["resumeDateTime"]
    ask.sandbox.set_clock(announced - timedelta(seconds=1), frozen=True)
    assert halts(ask, "nasdaq")[0] != newest


def test_the_same_seed_has_the_same_halts(ask: Asker) -> None:
    before = halts(ask, "nyse")
    assert halts(ask, "nyse") == before
    ask.sandbox.configure(seed=1)
    assert halts(ask, "nyse") != before


def test_without_pages_page_and_size_do_not_matter(ask: Asker) -> None:
    assert get(ask, "sse", page="2", size="5").json() == get(ask, "sse", page="x", size="-1").json()
    assert get(ask, "sse", page="2", size="5").json() == get(ask, "sse").json()


def test_pages_hold_ten_unless_told_otherwise(ask: Asker) -> None:
    whole = halts(ask, "nasdaq")
    ask.sandbox.configure(readings={"halt_paging": "paged"})
    body = get(ask, "nasdaq").json()
    assert body["data"] == whole[:10]
    assert [body[name] for name in ("totalCount", "totalPages", "currentPage", "currentSize")] == [
        len(whole), -(-len(whole) // 10), 1, 10,
    ]  # fmt: skip
    assert get(ask, "nasdaq", page="2", size="150").json()["data"] == whole[150:300]
    beyond = get(ask, "nasdaq", page="999").json()
    assert (beyond["data"], beyond["totalCount"]) == ([], len(whole))


def test_pages_can_have_a_largest_size(ask: Asker) -> None:
    whole = halts(ask, "nasdaq")
    ask.sandbox.configure(readings={"halt_paging": "paged", "halt_size": "at_most_100"})
    body = get(ask, "nasdaq", page="2", size="500").json()
    assert body["data"] == whole[100:200]
    assert (body["currentSize"], body["totalPages"]) == (100, -(-len(whole) // 100))


@pytest.mark.parametrize("wrong", [{"page": "0"}, {"size": "0"}, {"page": "one"}, {"size": "1.5"}])
def test_pages_that_cannot_be_fail_as_documented(ask: Asker, wrong: dict[str, str]) -> None:
    ask.sandbox.configure(readings={"halt_paging": "paged"})
    answer = get(ask, "nyse", **wrong)
    assert (answer.status_code, answer.json()["success"]) == (500, False)
    assert answer.json().keys() == {"success", "error"}


def test_a_failure_can_be_asked_for(ask: Asker) -> None:
    ask.sandbox.fail_next(1, "halt_failure")
    assert get(ask, "nyse").status_code == 500
    assert get(ask, "nyse").json()["success"]


def test_the_nyse_can_leave_out_the_date(ask: Asker) -> None:
    ask.sandbox.configure(readings={"nyse_halt_date": "absent"})
    assert halts(ask, "nyse")[0].keys() == FIELDS["nyse"] - {"haltDate"}
    assert halts(ask, "nasdaq")[0].keys() == FIELDS["nasdaq"]


def test_the_token_comes_first(ask: Asker) -> None:
    assert ask.raw("/api/suspension/sse").json() == {"msg": "token is required", "ret": 401}
    assert ask.raw("/api/suspension/sse", token="testtoken").json()["msg"] == "token invalid"
    assert ask.raw("/api/suspension/szse", token=ask.sandbox.token).status_code == 404


def test_each_exchange_is_asked_once_a_minute_on_every_plan(ask: Asker) -> None:
    ask.sandbox.configure(limits=True)
    assert [get(ask, exchange).status_code for exchange in EXCHANGES] == [200] * 3
    assert get(ask, "sse").status_code == 429
    # The fixed minute may have ended between the two; the sliding one has not.
    assert set(ask.sandbox.violations()) <= {"suspension/sse/sliding", "suspension/sse/fixed"}
    assert ask.sandbox.violations()["suspension/sse/sliding"] == 1


def test_halts_use_up_the_rate_of_all_endpoints(ask: Asker) -> None:
    ask.sandbox.configure(plan="free", limits=True)
    assert get(ask, "sse").status_code == 200
    assert ask.kline("USDJPY", "1m", num=1).status_code == 429
    assert "combined/sliding" in ask.sandbox.violations()


def test_the_log_knows_page_and_size(ask: Asker) -> None:
    get(ask, "sse")
    get(ask, "nyse", page="2", size="5")
    first, second = ask.sandbox.requests()
    assert [first[name] for name in ("endpoint", "page", "size", "family", "answer")] == [
        "suspension/sse", None, None, None, "ok",
    ]  # fmt: skip
    assert [second[name] for name in ("endpoint", "page", "size")] == ["suspension/nyse", "2", "5"]
    assert ask.sandbox.counters()["endpoints"] == {"suspension/sse": 1, "suspension/nyse": 1}
