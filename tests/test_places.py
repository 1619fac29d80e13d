"""Where an archive may be: on a disk that is full, and in a directory that cannot be written. Both are mounted."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

import alltick_frames as at
from alltick_frames import repair
from tests.conftest import NOW, UNHURRIED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path

    Connect = Callable[..., at.Client]
    SetClocks = Callable[[str | datetime], None]

MONTH = ("EURUSD", "1m", "2026-02-02/2026-03-06")


@pytest.fixture(autouse=True)
def _at_rest(set_clocks: SetClocks) -> None:
    set_clocks(NOW)


@contextlib.contextmanager
def mounted(where: Path, *arguments: str) -> Iterator[None]:
    """Mount something, where that is permitted."""
    done = subprocess.run(["mount", *arguments, str(where)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting is not permitted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(where)], check=True)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of one MiB and a half, of which the bars of a month need more."""
    where = tmp_path / "small"
    where.mkdir()
    with mounted(where, "-t", "tmpfs", "-o", "size=1536k", "none"):
        yield where


def test_a_full_disk_loses_nothing_and_the_same_call_goes_on_when_there_is_room(
    connect: Connect, server: at.sandbox.Sandbox, small: Path, tmp_path: Path
) -> None:
    whole = connect().get_kline(*MONTH)
    server.reset()
    client = connect(cache_dir=small, limits=UNHURRIED)
    with pytest.raises(at.StoreError, match="full") as caught:
        client.get_kline(*MONTH)
    # What came is handed over, also what could not be kept.
    frame = caught.value.frame
    assert frame.height > 0
    assert whole.join(frame, on=["code", "timestamp"], how="semi", maintain_order="left").equals(frame)
    paid = server.counters()["requests"]
    client.close()
    again = connect(cache_dir=small, limits=UNHURRIED)
    held = again.get_kline(*MONTH, network="never", on_incomplete="ignore")
    assert whole.join(held, on=["code", "timestamp"], how="semi", maintain_order="left").equals(held)
    assert repair.verify(small, again.settings.origin) == []
    again.close()
    roomy = tmp_path / "roomy"
    shutil.copytree(small, roomy)
    assert connect(cache_dir=roomy, limits=UNHURRIED).get_kline(*MONTH).equals(whole)
    # Only what was not kept is paid for twice.
    assert server.counters()["requests"] - paid <= (whole.height - held.height) / 498 + 3


@pytest.fixture(params=["closed", "copied while open", "mounted while open"])
def read_only(request: pytest.FixtureRequest, connect: Connect, tmp_path: Path) -> Iterator[Path]:
    """An archive that was closed, or whose newest bars are in a journal beside the index, with its shm and without."""
    client = connect()
    client.get_kline(*MONTH)
    client.get_kline(["EURUSD", "700.HK"], "1h", 50)
    where = client.settings.cache_dir
    if request.param == "closed":
        client.close()
        client._client._archived().close()  # noqa: SLF001
    if request.param == "copied while open":
        where = tmp_path / "copied"
        shutil.copytree(client.settings.cache_dir, where, ignore=shutil.ignore_patterns("*-shm"))
    with mounted(where, "--bind", str(where)):
        subprocess.run(["mount", "-o", "remount,ro,bind", str(where)], check=True)
        yield where


def test_a_read_only_archive_is_read_and_left_as_it_is(
    connect: Connect, server: at.sandbox.Sandbox, read_only: Path
) -> None:
    before = sorted((path.name, path.stat().st_mtime_ns) for path in read_only.rglob("*"))
    server.reset()
    for settings in ({"network": "never"}, {}):
        client = connect(cache_dir=read_only, **settings)
        assert client.get_kline(*MONTH).equals(connect(cache_dir=read_only).get_kline(*MONTH))
        assert client.get_kline(["EURUSD", "700.HK"], "1h", 50).height == 100
        assert client.coverage().filter("held")["bars"].sum() > 30_000
    assert server.counters()["requests"] == 0
    assert repair.verify(read_only, client.settings.origin) == []
    with pytest.raises(at.StoreError, match=r"read-only.*ALLTICK_CACHE_DIR") as caught:
        client.get_kline("BTCUSDT", "1h", 50)
    assert caught.value.frame.height == 50
    assert sorted((path.name, path.stat().st_mtime_ns) for path in read_only.rglob("*")) == before


def test_where_no_archive_is_and_none_can_be_made_that_is_said(connect: Connect, tmp_path: Path) -> None:
    where = tmp_path / "empty"
    where.mkdir()
    with mounted(where, "--bind", str(where)):
        subprocess.run(["mount", "-o", "remount,ro,bind", str(where)], check=True)
        with pytest.raises(at.StoreError, match=r"Read-only file system.*ALLTICK_CACHE_DIR"):
            connect(cache_dir=where).get_kline("BTCUSDT", "1h", 50)
