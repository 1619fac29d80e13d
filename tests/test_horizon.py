"""Until when the newest 500 bars of a stock reach back to what is held, against the sandbox's own bars."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import alltick_frames as at
from alltick_frames import calendars, cli, finality
from alltick_frames.horizon import LOOKS_BACK, Due, due
from tests.conftest import UNHURRIED

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    SetClocks = Callable[[str | datetime], None]
    Connect = Callable[..., at.Client]

README = Path(__file__).parents[1] / "README.md"
FIRST = datetime(2025, 3, 1, tzinfo=UTC)
LOOKS_BACK_US = LOOKS_BACK // timedelta(microseconds=1)
# Of HK and CN an auction's bar is stamped at the close; 2025 and 2026 have half days of all kinds in HK and US.
CODES = ["700.HK", "AAPL.US", "600519.SH"]
PERIODS = ["1m", "5m", "15m", "30m", "1h", "1d"]


class Stamps(dict[tuple[str, str], "NDArray[np.int64]"]):
    """By code and period."""

    def __repr__(self) -> str:
        return "..."


@pytest.fixture(scope="module")
def stamps() -> Stamps:
    """Give when every bar of twenty months began."""
    with at.sandbox.running(clock="2026-11-02", frozen=True, limits=False) as server:
        server.configure(readings={"daily_stamps": "session_open"})
        return Stamps(
            ((code, period), server.bars(code, period, FIRST)["timestamp"].cast(pa.int64()).to_numpy())
            for code in CODES
            for period in PERIODS
        )


def after(stamps_us: NDArray[np.int64], newest: int, now: datetime, code: str, period: str) -> Due:
    held = stamps_us[(stamps_us <= newest) & (stamps_us > newest - LOOKS_BACK_US)]
    return due(code, at.Period(period), held, now)


@settings(max_examples=150, deadline=None)
@given(code=st.sampled_from(CODES), period=st.sampled_from(PERIODS), share=st.floats(0, 1))
def test_until_then_the_newest_page_has_the_newest_bar_held_and_not_much_longer(
    stamps: Stamps, code: str, period: str, share: float
) -> None:
    bars = stamps[code, period]
    newest = int(bars[int(share * (len(bars) - 1))])
    answer = after(bars, newest, finality.instant(newest), code, period)
    by = finality.microseconds(answer.by)
    later = int(np.count_nonzero((bars > newest) & (bars < by)))
    assert later <= 499
    assert answer.left == 499
    assert answer.lost is None
    if by < bars[-1]:
        assert later >= 499 * 0.985


@pytest.mark.parametrize("code", CODES)
def test_what_is_lost_is_what_no_page_has_any_more(stamps: Stamps, code: str) -> None:
    bars = stamps[code, "1m"]
    newest = int(bars[40_000])
    for passed in (600, 1_000, 3_000):
        now = finality.instant(int(bars[40_000 + passed]))
        answer = after(bars, newest, now, code, "1m")
        assert answer.lost is not None
        first_on_the_page = finality.instant(int(bars[40_000 + passed - 499]))
        assert answer.lost.start == finality.instant(newest) + timedelta(minutes=1)
        assert abs(-answer.left - (passed - 500)) <= passed * 0.01 + 8
        assert abs(answer.lost.end - first_on_the_page) <= timedelta(days=4)


def test_more_bars_than_the_calendar_has_slots_for_come_earlier(
    stamps: Stamps,
) -> None:
    bars = stamps["AAPL.US", "1m"]
    newest = int(bars[40_000])
    held = bars[(bars <= newest) & (bars > newest - LOOKS_BACK_US)]
    # As if trades before and after the session were delivered, from 4:00 to 20:00 in New York.
    midnights = np.unique(held // 86_400_000_000) * 86_400_000_000
    extended = np.concatenate([midnight + np.arange(8 * 60, 24 * 60) * 60_000_000 for midnight in midnights.tolist()])
    extended = extended[extended <= newest]
    now = finality.instant(newest)
    regular, more = (due("AAPL.US", at.Period("1m"), one, now) for one in (held, np.unique([*extended, newest])))
    assert more.by < regular.by
    ends = np.arange(newest + 60_000_000, finality.microseconds(more.by), 60_000_000)
    within = [8 * 60 <= minute % 1440 < 24 * 60 for minute in (ends // 60_000_000).tolist()]
    assert sum(within) <= 499


def test_past_a_calendars_end_and_without_one_weekdays_count_and_that_is_said(
    stamps: Stamps, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars = stamps["600519.SH", "1d"]
    newest = int(bars[-1])
    answer = after(bars, newest, finality.instant(newest), "600519.SH", "1d")
    assert answer.calendar == "XSHG then weekdays"
    monkeypatch.setattr(calendars, "_calendar", lambda _name: None)
    for period in ("1m", "1d"):
        bars = stamps["700.HK", period]
        answer = after(bars, int(bars[-1]), finality.instant(int(bars[-1])), "700.HK", period)
        assert answer.calendar == "weekdays"


def test_weeks_and_months_last_for_years(stamps: Stamps) -> None:
    newest = datetime(2026, 3, 16, tzinfo=UTC)
    held = np.array([finality.microseconds(newest)])
    assert due("700.HK", at.Period("1w"), held, newest).by.year == 2035
    assert due("700.HK", at.Period("1mo"), held, newest).by.year == 2067


def runs() -> tuple[tuple[int, int], str]:
    """Read from the README when its timer runs."""
    ((hour, minute, zone),) = re.findall(
        r"^OnCalendar=Mon\.\.Fri (\d\d):(\d\d) (\S+)$", README.read_text(), re.MULTILINE
    )
    return (int(hour), int(minute)), zone


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("how", ["systemd", "cron"])
def test_the_times_that_the_readme_gives_lose_nothing_in_a_year(stamps: Stamps, code: str, how: str) -> None:
    text = README.read_text()
    if how == "systemd":
        (hour, minute), zone = runs()
    else:
        ((minutes, hours),) = re.findall(r"^(\d+) (\d+) \* \* 1-5 .*alltick update", text, re.MULTILINE)
        hour, minute, zone = int(hours), int(minutes), "UTC"
    bars = stamps[code, "1m"]
    left = []
    start = datetime(2025, 10, 27, hour, minute, tzinfo=ZoneInfo(zone))
    times = [start + timedelta(days=day) for day in range(366) if (start + timedelta(days=day)).weekday() < 5]
    for now, following in pairwise(times):
        newest = int(bars[np.searchsorted(bars, finality.microseconds(now.astimezone(UTC))) - 1])
        answer = after(bars, newest, following.astimezone(UTC), code, "1m")
        left.append(answer.left)
        # A stock's daily bar of that day is final by then.
        closes = calendars.session_close(code, *(midnight(following, days) for days in (0, 1)))
        assert closes is None or closes + timedelta(minutes=61) <= following
    (said,) = re.findall(r"at\s+least (\d+) of the 500", text)
    assert min(left) >= int(said)
    if code == "AAPL.US":
        assert min(left) == int(said)


def midnight(now: datetime, days: int) -> datetime:
    return datetime(now.year, now.month, now.day, tzinfo=UTC) + timedelta(days=days)


def test_the_command_says_when_and_what_is_lost(
    connect: Connect, set_clocks: SetClocks, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    client = connect(limits=UNHURRIED)
    set_clocks("2026-03-18T02:30:10Z")
    client.update(["700.HK", "EURUSD"], ["1m", "1d"])
    monkeypatch.setenv("ALLTICK_CACHE_DIR", str(client.settings.cache_dir))
    monkeypatch.setenv("ALLTICK_BASE_URL", client.settings.base_url)
    monkeypatch.setattr(sys, "argv", ["alltick", "update", "--when"])
    with pytest.raises(SystemExit) as left:
        cli.main()
    said = capsys.readouterr().out
    assert left.value.code == 0
    assert re.search(r"700\.HK +1m +2026-03-18 02:29 +2026-03-19 06:1\d", said)
    assert "must begin before 2026-03-19 06:1" in said
    assert "EURUSD" not in said
    set_clocks("2026-03-20T02:30:10Z")
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 3
    assert re.search(
        r"700\.HK 1m: about 1\d\d bars from 2026-03-18 02:30 to 2026-03-18 \d\d:\d\d UTC are lost",
        capsys.readouterr().out,
    )
