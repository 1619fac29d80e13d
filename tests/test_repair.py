"""Damage to a real archive: named, and repaired with what is whole; every bar that is served is right."""

from __future__ import annotations

import random
import re
import shutil
import sqlite3
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import polars as pl
import pytest

import alltick_frames as at
from alltick_frames import api, cli, disk, repair, store
from alltick_frames.log import LOG_PREFIX
from alltick_frames.records import INDEX_PREFIX
from alltick_frames.store import Archive
from tests.conftest import UNHURRIED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    SetClocks = Callable[[str | datetime], None]
    Connect = Callable[..., at.Client]

NOW = "2026-03-18T15:00:30Z"
SINCE = datetime(2026, 1, 12, tzinfo=UTC)
QUOTES, STOCK = [("EURUSD", "15m"), ("BTCUSDT", "1h"), ("EURUSD", "1d")], ("700.HK", "1d")
GROUPS = [*QUOTES, STOCK]


@pytest.fixture(autouse=True)
def _settled(monkeypatch: pytest.MonkeyPatch, set_clocks: SetClocks) -> None:
    set_clocks(NOW)
    # The files of the test are as young as what a writer has just written.
    monkeypatch.setattr(repair, "_SETTLED_S", -1)


@pytest.fixture
def truth(server: at.sandbox.Sandbox) -> dict[tuple[str, str], pl.DataFrame]:
    return {
        (code, period): pl.DataFrame(server.bars(code, period, SINCE)).filter("closed").drop("closed")
        for code, period in GROUPS
    }


@pytest.fixture
def client(connect: Connect, server: at.sandbox.Sandbox) -> at.Client:
    """An archive with segments, tails and a log; what it cost is forgotten."""
    client = connect(limits=UNHURRIED)
    for code, period in GROUPS:
        client.get_kline(code, period, (SINCE, None), on_incomplete="ignore")
    folded(client)
    # Something newer than that, in the log alone.
    client.get_kline("GOLD", "1h", 20)
    client.close()
    server.reset()
    return client


def folded(client: at.Client) -> None:
    """Empty the log, as a write does when it has become large."""
    archive = Archive.open(client.settings.cache_dir, client.settings.origin)
    archive._fold()  # noqa: SLF001
    archive.close()


def directory_of(client: at.Client) -> Path:
    return client.settings.cache_dir / client.settings.origin


def again(client: at.Client, **settings: Any) -> at.Client:
    """Open the archive as another process would."""
    chosen = client.settings
    return at.Client(
        chosen.token,
        base_url=chosen.base_url,
        plan="professional",
        cache_dir=chosen.cache_dir,
        limits=UNHURRIED,
        **settings,
    )


def is_right(client: at.Client, truth: dict[tuple[str, str], pl.DataFrame]) -> set[tuple[str, str]]:
    """See that every bar that is served is right and none is silently missing; give the groups that are refused."""
    refused = set()
    for (code, period), expected in truth.items():
        with again(client) as other:
            try:
                bars = other.get_kline(code, period, (SINCE, None), network="never").drop("code")
                assert bars.equals(expected), (code, period)
            except at.IncompleteDataError as error:
                bars = error.frame.drop("code")
                assert bars.join(expected, on=bars.columns, how="anti", nulls_equal=True).height == 0, (code, period)
                missing = [(gap.span.start, gap.span.end) for gap in error.missing]
                lacking = expected.join(bars, on="timestamp", how="anti")["timestamp"].to_list()
                slack = timedelta(days=1) if period == "1d" else timedelta()
                for stamp in lacking:
                    assert any(start - slack <= stamp < end for start, end in missing), (code, period, stamp, missing)
            except at.StoreError as error:
                said = str(error)
                refused.add((code, period))
                assert_names_the_remedy(said)
    return refused


def assert_names_the_remedy(said: str) -> None:
    assert "alltick cache verify --repair" in said or "upgrade" in said, said


def mend(client: at.Client) -> list[repair.Finding]:
    findings, _ = repair.repair(client.settings.cache_dir, client.settings.origin)
    left = repair.verify(client.settings.cache_dir, client.settings.origin)
    assert left == [], [str(finding) for finding in left]
    return findings


def restored(client: at.Client, truth: dict[tuple[str, str], pl.DataFrame], server: at.sandbox.Sandbox) -> int:
    """Fetch what is lacking; give how many requests that took."""
    with again(client) as other:
        for (code, period), expected in truth.items():
            assert other.get_kline(code, period, (SINCE, None)).drop("code").equals(expected), (code, period)
    requests: int = server.counters()["requests"]
    return requests


def segments(client: at.Client, code: str, period: str) -> list[Path]:
    return sorted((directory_of(client) / "segments").glob(f"*{code}_{period}_*.arrow"))


def test_an_archive_that_is_whole_is_said_to_be(client: at.Client, truth: Any, server: at.sandbox.Sandbox) -> None:
    assert repair.verify(client.settings.cache_dir, client.settings.origin) == []
    assert repair.repair(client.settings.cache_dir, client.settings.origin) == ([], [])
    assert is_right(client, truth) == set()
    assert restored(client, truth, server) == 0


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "flipped": flip,
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-900]),
    "emptied": lambda path: path.write_bytes(b""),
    "deleted": lambda path: path.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_segment_is_named_put_aside_and_only_its_bars_are_fetched_again(
    client: at.Client, truth: Any, server: at.sandbox.Sandbox, damage: str
) -> None:
    before = len(truth["EURUSD", "15m"])
    (path, *_) = segments(client, "EURUSD", "15m")
    DAMAGES[damage](path)
    assert is_right(client, truth) == {("EURUSD", "15m")}
    (finding,) = repair.verify(client.settings.cache_dir, client.settings.origin)
    assert (finding.group, path.name in str(finding)) == (("EURUSD", at.Period("15m")), True)
    assert finding.span is not None
    mend(client)
    assert is_right(client, truth) == set()
    assert (directory_of(client) / "quarantine" / path.name).exists() == (damage != "deleted")
    with again(client) as other:
        held = other.coverage("EURUSD", "15m").filter("held")["bars"].sum()
    rows = len(segments(client, "EURUSD", "15m"))
    assert held < before or rows > 1
    requests = restored(client, truth, server)
    assert 1 <= requests <= -(-before // 498) + 1


@pytest.mark.parametrize("wal", [True, False])
def test_a_lost_index_is_made_anew_from_the_segments(
    client: at.Client,
    truth: Any,
    server: at.sandbox.Sandbox,
    wal: bool,  # noqa: FBT001
) -> None:
    for path in directory_of(client).glob("cache.db*"):
        if wal or path.name == "cache.db":
            path.unlink()
    assert is_right(client, truth) == set(truth)
    (finding,) = repair.verify(client.settings.cache_dir, client.settings.origin)
    assert re.search("cache.db (is missing|was replaced)", str(finding))
    mend(client)
    is_right(client, truth)
    # What was in the index alone: the newest bars of each; of a stock a page, of others what is left of one.
    assert restored(client, truth, server) <= 2 * len(GROUPS)


def test_an_index_that_is_no_database_is_put_aside(client: at.Client, truth: Any, server: at.sandbox.Sandbox) -> None:
    for path in directory_of(client).glob("cache.db*"):
        path.write_bytes(b"no database" * 1_000)
    assert is_right(client, truth) == set(truth)
    mend(client)
    is_right(client, truth)
    assert list((directory_of(client) / "quarantine").glob("*/cache.db"))
    assert restored(client, truth, server) <= 2 * len(GROUPS)


def test_an_older_index_put_back_costs_no_bar_that_a_file_has(
    client: at.Client, truth: Any, server: at.sandbox.Sandbox, connect: Connect, set_clocks: SetClocks, tmp_path: Path
) -> None:
    older = tmp_path / "older"
    shutil.copytree(directory_of(client), older)
    with again(client) as other:
        other.get_kline("EURUSD", "15m", ("2025-11-01", None))
        folded(client)
    whole = (
        pl.DataFrame(server.bars("EURUSD", "15m", datetime(2025, 11, 1, tzinfo=UTC))).filter("closed").drop("closed")
    )
    server.reset()
    for path in directory_of(client).glob("cache.db*"):
        path.unlink()
    for path in older.glob("cache.db*"):
        shutil.copy(path, directory_of(client) / path.name)
    is_right(client, truth)
    assert repair.verify(client.settings.cache_dir, client.settings.origin)
    mend(client)
    assert is_right(client, truth) == set()
    with again(client) as other:
        assert other.get_kline("EURUSD", "15m", ("2025-11-01", None)).drop("code").equals(whole)
    assert server.counters()["requests"] <= 1


def rows(client: at.Client, prefix: str) -> Iterator[tuple[str, sqlite3.Connection]]:
    connection = sqlite3.connect(directory_of(client) / "cache.db")
    for (key,) in connection.execute("SELECT key FROM Cache WHERE key LIKE ?", (f"{prefix}%",)).fetchall():
        yield key, connection
    connection.commit()
    connection.close()


def test_a_damaged_row_of_the_index_is_made_anew_from_its_segments(
    client: at.Client, truth: Any, server: at.sandbox.Sandbox
) -> None:
    for key, connection in rows(client, INDEX_PREFIX):
        if key.endswith("15m:EURUSD"):
            connection.execute("UPDATE Cache SET value = substr(value, 1, 60) WHERE key = ?", (key,))
    assert is_right(client, truth) == {("EURUSD", "15m")}
    (finding,) = repair.verify(client.settings.cache_dir, client.settings.origin)
    assert finding.group == ("EURUSD", at.Period("15m"))
    mend(client)
    assert is_right(client, truth) == set()
    assert restored(client, truth, server) <= 2


@pytest.mark.parametrize("how", ["damaged", "deleted"])
@pytest.mark.parametrize("which", [0, -1])
def test_a_lost_entry_of_the_log_hides_no_bar(
    client: at.Client, truth: Any, server: at.sandbox.Sandbox, how: str, which: int
) -> None:
    """Later entries say what is proven of all that came before them."""
    with again(client) as other:
        for days in (3, 6, 9):
            other.get_kline("GBPUSD", "1h", ("2026-02-01", f"2026-02-{days + 1:02}"))
            other.get_kline("GBPUSD", "1h", f"2026-01-{30 - 3 * days:02}/2026-02-0{days}")
    gold = pl.DataFrame(server.bars("GBPUSD", "1h", "2026-01-05", "2026-02-09")).filter("closed").drop("closed")
    truth |= {("GBPUSD", "1h"): gold}
    entries = [key for key, _ in rows(client, LOG_PREFIX)]
    for key, connection in rows(client, LOG_PREFIX):
        if key == entries[which]:
            change = (
                "DELETE FROM Cache"
                if how == "deleted"
                else "UPDATE Cache SET value = substr(value, 1, length(value) - 3)"
            )
            connection.execute(f"{change} WHERE key = ?", (key,))
    assert is_right(client, {QUOTES[0]: truth[QUOTES[0]]}) == {QUOTES[0]}
    assert repair.verify(client.settings.cache_dir, client.settings.origin)
    mend(client)
    with again(client) as other:
        for _ in range(2):
            got = other.get_kline("GBPUSD", "1h", "2026-01-05/2026-02-08").drop("code")
            assert got.equals(gold.filter(pl.col("timestamp") < datetime(2026, 2, 9, tzinfo=UTC)))


def test_what_a_newer_version_wrote_is_left_alone(client: at.Client, truth: Any) -> None:
    index = disk.open_index(directory_of(client))
    key = next(key for key in index.keys_of(INDEX_PREFIX) if key.endswith("15m:EURUSD"))
    row = msgspec.msgpack.decode(index.inline(key) or b"")
    index.set(key, msgspec.msgpack.encode({**row, "schema": 2}))
    index.close()
    (finding,) = repair.verify(client.settings.cache_dir, client.settings.origin)
    assert "schema version 2" in str(finding)
    repair.repair(client.settings.cache_dir, client.settings.origin)
    assert is_right(client, truth) == {("EURUSD", "15m")}
    index = disk.open_index(directory_of(client))
    assert msgspec.msgpack.decode(index.inline(key) or b"")["schema"] == 2
    index.set(store.ARCHIVE_KEY, msgspec.msgpack.encode({"schema": 2, "origin": client.settings.origin}))
    index.close()
    for act in (repair.verify, repair.repair):
        with pytest.raises(at.StoreError, match=r"schema version 2.*upgrade"):
            act(client.settings.cache_dir, client.settings.origin)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_damaged_no_bar_is_wrong_and_a_repair_restores_all(
    client: at.Client, truth: Any, server: at.sandbox.Sandbox, seed: int
) -> None:
    chance = random.Random(seed)
    within = directory_of(client)
    for _ in range(chance.choice((1, 1, 2, 4))):
        path = chance.choice(sorted(path for path in within.rglob("*") if path.is_file()))
        kind = chance.choice(("flip", "flip", "cut", "delete"))
        content = bytearray(path.read_bytes())
        if kind == "delete" or not content:
            path.unlink()
        elif kind == "cut":
            path.write_bytes(content[: chance.randrange(len(content))])
        else:
            for _ in range(chance.choice((1, 20))):
                content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
            path.write_bytes(content)
    is_right(client, truth)
    try:
        findings = repair.verify(client.settings.cache_dir, client.settings.origin)
    except at.StoreError as error:
        # A bit of the version, under a checksum that is damaged, too.
        if "upgrade" in str(error):
            return
        raise
    mend(client)
    assert is_right(client, truth) == set()
    restored(client, truth, server)
    if not findings:
        assert server.counters()["requests"] == 0


def test_a_repair_that_is_killed_is_done_anew(client: at.Client, truth: Any, server: at.sandbox.Sandbox) -> None:
    flip(segments(client, "EURUSD", "15m")[0])
    for path in directory_of(client).glob("cache.db*"):
        path.unlink()
    lines, stop = 0, 0

    class Killed(BaseException):
        pass

    def count(*_: Any) -> Any:
        nonlocal lines
        lines += 1
        if lines == stop:
            raise Killed
        return count

    for limit in (40, 150, 400, 900, 1_500, 2_500, 4_000):
        lines, stop = 0, limit
        sys.settrace(lambda frame, *_: count if "alltick_frames" in frame.f_code.co_filename else None)
        try:
            repair.repair(client.settings.cache_dir, client.settings.origin)
        except Killed:
            pass
        finally:
            sys.settrace(None)
    repair.repair(client.settings.cache_dir, client.settings.origin)
    assert repair.verify(client.settings.cache_dir, client.settings.origin) == []
    is_right(client, truth)
    restored(client, truth, server)


def run(monkeypatch: pytest.MonkeyPatch, client: at.Client, *arguments: str, token: bool = True) -> int:
    monkeypatch.setenv("ALLTICK_CACHE_DIR", str(client.settings.cache_dir))
    monkeypatch.setenv("ALLTICK_BASE_URL", client.settings.base_url)
    monkeypatch.setenv("ALLTICK_PLAN", "professional")
    if token:
        assert client.settings.token is not None
        monkeypatch.setenv("ALLTICK_TOKEN", client.settings.token.reveal())
    api.forget()
    monkeypatch.setattr(sys, "argv", ["alltick", *arguments])
    with pytest.raises(SystemExit) as left:
        cli.main()
    return int(left.value.code or 0)


def test_the_command_finds_repairs_and_says_what_is_gone(
    client: at.Client,
    truth: Any,
    server: at.sandbox.Sandbox,
    set_clocks: SetClocks,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, client, "cache", "verify", token=False) == 0
    assert "is whole" in capsys.readouterr().out
    with again(client) as other:
        other.get_kline("700.HK", "1m", "max")
        set_clocks("2026-03-19T07:30:30Z")
        other.update("700.HK", "1m")
        set_clocks("2026-03-20T07:30:30Z")
        other.update("700.HK", "1m")
        folded(client)
    set_clocks("2026-03-27T07:30:30Z")
    server.reset()
    for path in segments(client, "700.HK", "1m"):
        flip(path)
    flip(segments(client, "BTCUSDT", "1h")[0])
    assert run(monkeypatch, client, "cache", "verify") == 6
    said = capsys.readouterr()
    assert re.search(r"BTCUSDT 1h \[.*\): segments/.*BTCUSDT_1h.* has another checksum", said.out)
    assert "alltick cache verify --repair" in said.err
    assert run(monkeypatch, client, "cache", "verify", "--repair") == 3
    said = capsys.readouterr()
    assert re.search(r"gone for good: 700\.HK 1m \[.*\) (lost|beyond_reach)", said.out)
    assert "BTCUSDT 1h" in said.out
    assert run(monkeypatch, client, "cache", "verify") == 0


def test_what_is_cleared_is_in_the_trash_and_can_come_back(
    client: at.Client,
    truth: Any,
    server: at.sandbox.Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, client, "cache", "clear") == 2
    assert run(monkeypatch, client, "cache", "clear", "--all") == 2
    assert "--including-unrecoverable" in capsys.readouterr().err
    assert run(monkeypatch, client, "cache", "clear", "EURUSD") == 0
    assert is_right(client, truth) == set()
    assert run(monkeypatch, client, "cache", "clear", "EURUSD", "--yes") == 0
    assert "trash" in capsys.readouterr().out
    with again(client) as other:
        assert other.coverage("EURUSD").height == 0
        with pytest.raises(at.IncompleteDataError):
            other.get_kline("EURUSD", "15m", "1mo", network="never")
        assert {code for code, _ in other.update().select("code", "period").rows()} == {"BTCUSDT", "700.HK", "GOLD"}
    assert repair.verify(client.settings.cache_dir, client.settings.origin) == []
    server.reset()
    (trash,) = (directory_of(client) / "trash").iterdir()
    for path in trash.iterdir():
        shutil.move(path, directory_of(client) / "segments" / path.name)
    mend(client)
    is_right(client, truth)
    assert restored(client, truth, server) <= 2
