"""The live service, asked what its documents leave open; only where ALLTICK_TOKEN is set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import alltick_frames as at
from tests.conftest import LIVE

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif("ALLTICK_TOKEN" not in LIVE, reason="ALLTICK_TOKEN is not set: the live service is not asked"),
]


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> at.Client:
    for name, value in LIVE.items():
        monkeypatch.setenv(name, value)
    return at.Client(cache_dir=tmp_path)


def test_everything_stands_well_and_nothing_is_new(live: at.Client) -> None:
    report = live.doctor(probe=True)
    assert report.filter(status="problem").rows() == []


def test_a_day_of_bars_is_what_it_says(live: at.Client) -> None:
    bars = live.get_kline("BTCUSDT", "1h", "1d")
    assert 20 <= bars.height <= 24
    assert (bars["high"] >= bars["low"]).all()
