"""`doctor` names what is wrong before a call meets it, and with `probe` how a service reads what is undocumented."""

from __future__ import annotations

import importlib.metadata
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

import alltick_frames as at
from alltick_frames import checkup, clocks, probe
from alltick_frames.sandbox.readings import Readings
from tests.conftest import UNHURRIED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import polars as pl

    Connect = Callable[..., at.Client]

UNHURRIED_BATCHES = UNHURRIED | {"batch_kline": (1_000, 1)}
# As a service may be: each differs in many readings from what the client assumes.
SERVICES: dict[str, dict[str, Any]] = {
    "as assumed": {},
    "exclusive ends, newest first": {"end": "exclusive", "order": "descending", "daily_stamps": "local_midnight"},
    "rounded ends, days at the open": {
        "end": "rounded_down",
        "daily_stamps": "session_open",
        "stock_end": "refused",
        "unlisted_end": "refused",
    },
    "no ends at all": {"end": "ignored", "unlisted_end": "ignored", "order": "shuffled", "newest_bar": "missing"},
    "a thousand bars, days at the close": {
        "page_maximum": 1000,
        "daily_stamps": "session_close",
        "prices": "shortest",
        "beyond_history": "oldest_page",
    },
    "numbers in milliseconds": {
        "numbers": "json",
        "stamps": "milliseconds",
        "tick_times": "seconds",
        "fields": "renamed",
    },
    "surplus refused": {"surplus": "ret_603", "end": "exclusive", "beyond_history": "ret_603", "newest_bar": "twice"},
    "last dates, bars twice": {
        "daily_stamps": "last_date",
        "order": "duplicated",
        "empty_answer": "data null",
        "symbols_bad_code": "missing",
        "batch_groups": "shuffled",
        "date_header": "absent",
    },
}


def found(frame: pl.DataFrame) -> dict[str, str]:
    return dict(frame.select("topic", "finding").rows())


def statuses(frame: pl.DataFrame) -> dict[str, str]:
    return dict(frame.select("topic", "status").rows())


class TestProbe:
    @pytest.mark.parametrize("name", SERVICES)
    def test_names_every_reading_of_a_service_with_twelve_requests(
        self, server: at.sandbox.Sandbox, connect: Connect, name: str
    ) -> None:
        readings = SERVICES[name]
        server.set_clock(None)
        server.configure(readings=readings)
        client = connect(limits=UNHURRIED_BATCHES)
        client.doctor()
        server.reset()
        told = found(client.doctor(probe=True))
        # Two of them see whether the addresses answer.
        assert server.counters()["requests"] <= 2 + probe.MOST_REQUESTS
        expected = {field: str(getattr(Readings(), field)) for field in Readings.__dataclass_fields__ if field in told}
        expected |= {field: str(value) for field, value in readings.items() if field in told}
        asked = {"end", "order", "daily_stamps", "stock_end", "page_maximum", "unlisted_end", "stamps", "numbers"}
        assert asked <= set(expected)
        unseen = {field for field in expected if told[field].startswith("not seen")}
        assert unseen == ({"beyond_history"} if readings.get("end") == "ignored" else set())
        assert {field: told[field] for field in expected.keys() - unseen} == {
            field: value for field, value in expected.items() if field not in unseen
        }

    @pytest.mark.parametrize("plan", ["free", "basic", "premium", "professional"])
    @pytest.mark.parametrize("surplus", ["cut", "ret_603"])
    def test_finds_out_which_plan_the_token_has(
        self, server: at.sandbox.Sandbox, connect: Connect, plan: str, surplus: str
    ) -> None:
        server.configure(plan=plan, readings={"surplus": surplus})
        client = connect(plan="basic", limits=UNHURRIED_BATCHES | {"day": (10_000, 86_400)})
        frame = client.doctor(probe=True)
        told, status = found(frame)["plan"], statuses(frame)["plan"]
        if plan == "basic":
            assert (told, status) == ("basic", "ok")
        else:
            assert plan in told
            assert "set ALLTICK_PLAN" in told
            assert status == "problem"

    def test_names_what_no_document_knows(self, server: at.sandbox.Sandbox, connect: Connect) -> None:
        server.configure(readings={"fields": "extra"})
        frame = connect(limits=UNHURRIED_BATCHES).doctor(probe=True)
        strange = frame.filter(topic="undocumented")
        assert set(strange["status"]) == {"problem"}
        assert any("data.kline_list.amplitude" in finding for finding in strange["finding"])
        assert any("data.adjust" in finding for finding in strange["finding"])

    def test_an_error_code_that_is_in_no_table_is_named(self) -> None:
        seen = probe.Seen(200, {"ret": 777, "msg": "moved", "trace": "t"}, has_date=True, now=clocks.utc_now())

        asking, asked = probe.probe(), 0
        said: list[probe.Finding] = []
        request: Any = next(asking)
        while request is not None:
            asked += 1
            try:
                request = asking.send(seen)
            except StopIteration as end:
                request, said = None, end.value
        assert asked <= probe.MOST_REQUESTS
        findings = {one.topic: one for one in said}
        assert "ret 777 (moved)" in findings["undocumented"].finding
        assert findings["a page of bars"].status == "problem"

    def test_keeps_to_the_limits(self, server: at.sandbox.Sandbox, connect: Connect) -> None:
        server.configure(limits=True)
        connect(limits={}).doctor(probe=True)
        assert server.violations() == {}

    @pytest.mark.parametrize("fault", ["bad_gateway", "drop", "garbage", "not_found", "throttled"])
    def test_survives_a_service_that_fails(self, server: at.sandbox.Sandbox, connect: Connect, fault: str) -> None:
        client = connect(limits=UNHURRIED_BATCHES)
        server.configure(faults={fault: 1.0})
        frame = client.doctor(probe=True)
        assert "problem" in set(frame["status"])


class TestWithoutProbe:
    def test_costs_two_requests_and_finds_nothing_wrong(self, server: at.sandbox.Sandbox, connect: Connect) -> None:
        server.set_clock(None)
        frame = connect(limits=UNHURRIED_BATCHES).doctor()
        assert server.counters()["requests"] == 2
        assert frame.filter(status="problem").height == 0
        assert {"token", "clock", "budget", "archive", "disk", "version", "address of quote-b-api"} <= set(
            frame["topic"]
        )

    def test_a_refused_token_is_named_and_nothing_else_is_asked(
        self, server: at.sandbox.Sandbox, connect: Connect
    ) -> None:
        frame = connect(token="0123456789abcdef-wrong").doctor(probe=True)
        assert statuses(frame)["token"] == "problem"
        assert server.counters()["requests"] == 1
        assert "0123456789abcdef" not in str(frame.rows())

    def test_without_a_token_it_says_what_that_means(self, server: at.sandbox.Sandbox, connect: Connect) -> None:
        frame = connect(token=None).doctor(probe=True)
        assert "ALLTICK_TOKEN" in found(frame)["token"]
        assert server.counters()["requests"] == 0

    def test_a_server_that_is_not_there_is_named(self, connect: Connect) -> None:
        frame = connect(base_url="http://127.0.0.1:9").doctor()
        assert statuses(frame)["address of quote-b-api"] == statuses(frame)["address of quote-stock-b-api"] == "problem"

    def test_a_clock_that_is_wrong_is_named(self, server: at.sandbox.Sandbox, connect: Connect) -> None:
        server.set_clock(clocks.utc_now() - timedelta(minutes=5))
        frame = connect(limits=UNHURRIED_BATCHES).doctor()
        assert "behind; set this machine's" in found(frame)["clock"]
        assert statuses(frame)["clock"] == "problem"

    def test_a_damaged_archive_is_named(self, connect: Connect, tmp_path: Path) -> None:
        client = connect(limits=UNHURRIED_BATCHES, cache_dir=tmp_path / "damaged")
        client.get_kline("EURUSD", "1h", 5)
        client.close()
        for index in (tmp_path / "damaged").glob("*/cache.db*"):
            index.write_bytes(b"no database" * 1_000)
        frame = connect(limits=UNHURRIED_BATCHES, cache_dir=tmp_path / "damaged").doctor()
        assert statuses(frame)["archive"] == "problem"

    def test_a_package_that_is_too_old_or_missing_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        versions = {"polars": "1.2.3", "httpx": None}
        real = importlib.metadata.version

        def version(name: str) -> str:
            if versions.get(name, "") is None:
                raise importlib.metadata.PackageNotFoundError(name)
            return versions.get(name) or real(name)

        monkeypatch.setattr(importlib.metadata, "version", version)
        told = {one.topic: one for one in checkup.packages()}
        assert "older than 1.36" in told["polars"].finding
        assert "pip install 'httpx>=0.28'" in told["httpx"].finding
        assert "pandas" not in told

    def test_from_the_shell(self, server: at.sandbox.Sandbox, tmp_path: Path) -> None:
        from tests.test_cli import alltick  # noqa: PLC0415  # its fixtures are its own

        server.set_clock(None)
        done = alltick(server, "doctor", "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        assert {row["status"] for row in json.loads(done.stdout)} <= {"ok", "note"}
        refused = alltick(server, "doctor", ALLTICK_TOKEN="0123456789abcdef-wrong")
        assert refused.returncode == 5
        assert "✗" in refused.stdout
        assert alltick(None, "doctor", ALLTICK_BASE_URL=server.url).returncode == 2
        assert alltick(server, "doctor", ALLTICK_BASE_URL="http://127.0.0.1:9").returncode == 6
