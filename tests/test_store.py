"""The archive on real directories, with real second processes: nothing lost, nothing wrong served."""

from __future__ import annotations

import os
import pickle
import random
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from alltick_frames import disk, records, store
from alltick_frames.codes import family_of
from alltick_frames.disk import file_system_of, open_index
from alltick_frames.errors import StoreError
from alltick_frames.log import View
from alltick_frames.periods import Period
from alltick_frames.records import SCHEMA, TAIL_ROWS, Group
from alltick_frames.store import Archive, Batch, Checked, HistoryStart, Hole
from tests.archives import DAY, EVER, MINUTE, START, batch, minutes, record_of, rows_of, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CODE, M1 = "EURUSD", Period.MINUTE_1
CODES = ["EURUSD", "GBPUSD", "USDJPY", "BTCUSDT"]


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    opened = Archive.open(tmp_path, "alltick")
    yield opened
    opened.close()


def again(archive: Archive) -> Archive:
    """Open the same directory anew, as another process would."""
    return Archive.open(archive.directory.parent, archive.origin)


def segment_files(archive: Archive) -> list[Path]:
    return sorted((archive.directory / "segments").iterdir())


def log_of(archive: Archive) -> list[str]:
    return open_index(archive.directory).keys_of("log:")


def fold(archive: Archive) -> None:
    """Empty the log, as a write does when it has become large."""
    archive._fold()  # noqa: SLF001


def before_commit(archive: Archive, monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Run *act* as others might, once, when the archive has decided what to write."""
    commit: Callable[[Any], Any] = archive._commit  # noqa: SLF001

    def late(plans: Any) -> Any:
        monkeypatch.setattr(archive, "_commit", commit)
        act()
        return commit(plans)

    monkeypatch.setattr(archive, "_commit", late)
    # Who acts in another's turn does not wait for it to end.
    monkeypatch.setattr(store, "_TURN_WITHIN_S", 0.05)


def in_process(source: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", source, *map(str, arguments)],
        cwd=Path(__file__).parent.parent,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )


class TestWhatIsWritten:
    def test_is_read_back_value_for_value_by_another_opener(self, archive: Archive) -> None:
        rows = minutes(0, 2000)
        archive.write(CODE, M1, batch(rows))
        assert rows_of(again(archive).read(CODE, M1, *EVER)) == rows
        assert archive.groups() == [(CODE, M1)]

    def test_nothing_held_is_an_empty_table_with_the_schema(self, archive: Archive) -> None:
        held = archive.read(CODE, M1, *EVER)
        assert rows_of(held) == {}
        assert (held.coverage, held.checked, held.holes, held.history_start) == ((), (), (), None)
        known = archive.known(CODE, M1)
        assert (known.rows, known.first_us, known.last_us, known.coverage) == (0, None, None, ())
        assert archive.groups() == []

    def test_an_empty_batch_still_proves(self, archive: Archive) -> None:
        start = HistoryStart(START, "free", 5)
        checked, hole = Checked(30, 40, 6), Hole(0, 10, 5, "lost", "no page reaches across")
        proven = ((10, 20), (20, 30))
        archive.write(CODE, M1, Batch(table({}), np.array([], np.int64), proven, 5, (), (checked,), (hole,), start))
        held = again(archive).read(CODE, M1, *EVER)
        assert (held.coverage, held.checked, held.holes) == (((10, 30),), (checked,), (hole,))
        assert held.history_start == start

    def test_of_what_is_missing_the_last_word_counts_and_proof_ends_it(self, archive: Archive) -> None:
        lost, invalid = Hole(0, 100, 5, "lost", ""), Hole(40, 50, 6, "invalid", "high is below low")
        for holes, proven in (((invalid,), ()), ((lost,), ()), ((), ((0, 10), (45, 60)))):
            archive.write(CODE, M1, Batch(table({}), np.array([], np.int64), proven, 7, (), (), holes))
        assert again(archive).read(CODE, M1, *EVER).holes == (
            Hole(10, 40, 5, "lost", ""),
            Hole(40, 45, 6, "invalid", "high is below low"),
            Hole(60, 100, 5, "lost", ""),
        )

    def test_what_was_seen_empty_counts_until_it_is_seen_again_or_proven(self, archive: Archive) -> None:
        for checked, proven in (((Checked(10, 40, 1),), ()), ((Checked(20, 30, 2),), ()), ((), ((0, 15),))):
            archive.write(CODE, M1, Batch(table({}), np.array([], np.int64), proven, 1, (), checked))
        expected = (Checked(15, 20, 1), Checked(20, 30, 2), Checked(30, 40, 1))
        assert again(archive).read(CODE, M1, *EVER).checked == expected

    def test_a_span_selects_half_open(self, archive: Archive) -> None:
        rows = minutes(0, 2000)
        archive.write(CODE, M1, batch(rows))
        # Within a block, over the border of two, and within the tail.
        archive.write(CODE, M1, batch(minutes(2000, 2100), 2))
        for first, stop in (
            (3, 7),
            (30, 90),
            (59, 60),
            (59, 61),
            (60, 61),
            (1990, 2010),
            (2050, 2051),
            (5, 5),
            (9, 8),
            (-9, 2),
            (2099, 3000),
        ):
            held = archive.read(CODE, M1, START + first * MINUTE, START + stop * MINUTE)
            assert rows_of(held) == minutes(max(0, first), max(0, first, min(stop, 2100)))

    def test_pages_walking_back_arrive_whole_in_few_runs(self, archive: Archive) -> None:
        for page in range(60, 0, -1):
            archive.write(CODE, M1, batch(minutes(page * 499 - 499, page * 499 + 1), 100 - page))
        record = record_of(archive)
        assert record is not None
        assert rows_of(archive.read(CODE, M1, *EVER)) == minutes(0, 60 * 499 + 1)
        assert record.coverage == ((START, START + 60 * 499 * MINUTE + 1),)
        assert len(record.segments) <= 10
        # Nothing is deleted yet: each bar was written log2(60) times or so, not once per page that followed.
        written = sum(path.stat().st_size for path in segment_files(archive))
        assert written <= 10 * record.rows * 56

    def test_recent_bars_wait_in_the_index(self, archive: Archive) -> None:
        archive.write(CODE, M1, batch(minutes(0, TAIL_ROWS)))
        assert segment_files(archive) == []
        archive.write(CODE, M1, batch(minutes(TAIL_ROWS, TAIL_ROWS + 1), 2))
        assert len(segment_files(archive)) == 2  # January and February
        assert rows_of(archive.read(CODE, M1, *EVER)) == minutes(0, TAIL_ROWS + 1)

    def test_families_periods_and_codes_are_apart(self, archive: Archive) -> None:
        for price, (code, period) in enumerate([(CODE, M1), (CODE, Period.HOUR_1), ("700.HK", M1), ("eurusd", M1)]):
            archive.write(code, period, batch(minutes(0, 600, price)))
        for price, (code, period) in enumerate([(CODE, M1), (CODE, Period.HOUR_1), ("700.HK", M1), ("eurusd", M1)]):
            assert rows_of(archive.read(code, period, *EVER)) == minutes(0, 600, price)
        assert len(archive.groups()) == 4

    def test_counting_reads_only_what_a_span_cuts(self, archive: Archive) -> None:
        archive.write(CODE, M1, batch(minutes(0, 2000)))
        counter = again(archive)
        for path in segment_files(archive):
            path.unlink()
        ever, month = (-(2**62), 2**62), START + 60 * MINUTE  # January's hour, and February
        assert counter.counts(CODE, M1, (ever,)) == [2000]
        assert counter.counts(CODE, M1, ((START, month), (month, START + 2000 * MINUTE))) == [60, 1940]
        assert counter.counts(CODE, M1, ((START - MINUTE, START),)) == [0]
        with pytest.raises(StoreError, match=r"missing|cannot be opened"):
            counter.counts(CODE, M1, ((month, month + MINUTE),))

    def test_the_directory_may_be_named_in_a_roundabout_way(self, archive: Archive) -> None:
        archive.write(CODE, M1, batch(minutes(0, 600)))
        roundabout = archive.directory.parent / "elsewhere" / ".." / "."
        (archive.directory.parent / "elsewhere").mkdir()
        assert rows_of(Archive.open(roundabout, archive.origin).read(CODE, M1, *EVER)) == minutes(0, 600)

    def test_groups_can_be_listed_by_code(self, archive: Archive) -> None:
        logged, folded = ("EURUSD", M1), ("700.HK", Period.HOUR_1)
        archive.write(*logged, batch(minutes(0, 5)))
        archive.write(*folded, batch(minutes(0, 600)))
        assert again(archive).groups() == sorted([logged, folded], reverse=True)
        assert again(archive).groups(["EURUSD"]) == archive.groups(["EURUSD", "GBPUSD"]) == [logged]
        assert again(archive).groups(["700.HK"]) == [folded]
        assert archive.groups([]) == []

    @pytest.mark.parametrize("count", [3, 700])
    def test_days_are_selected_by_trading_date(self, archive: Archive, count: int) -> None:
        # Stamped on the evening before, as in Hong Kong's midnight.
        rows = {day * DAY - 8 * 60 * MINUTE: (float(day), None) for day in range(count)}
        dates = np.arange(count, dtype=np.int64) * DAY
        archive.write("700.HK", Period.DAY, Batch(table(rows), dates, ((0, count * DAY),), 1))
        held = again(archive).read("700.HK", Period.DAY, DAY, 3 * DAY)
        assert held.keys_us.tolist() == [DAY, 2 * DAY]
        assert [price for price, _ in rows_of(held).values()] == [1.0, 2.0]

    def test_a_segment_says_what_it_is_and_proves(self, archive: Archive) -> None:
        rows = minutes(0, 700)
        exact = ((1, "close", "1.00000000000000001"),)
        archive.write(CODE, M1, batch(rows, 7, exact=exact))
        said = [
            msgspec.json.decode(pa.ipc.open_file(pa.memory_map(str(path))).schema.metadata[b"alltick_frames"])
            for path in segment_files(archive)
        ]
        assert {(one["origin"], one["family"], one["code"], one["period"]) for one in said} == {
            ("alltick", family_of(CODE).name.lower(), CODE, "1m")
        }
        assert [(one["block"], one["rows"]) for one in said] == [("2026-01", 60), ("2026-02", 640)]
        # Its bars', and the emptiness up to the next run's.
        assert said[0]["coverage"] == [[said[0]["first"], said[1]["first"]]]
        assert said[0]["exact"] == [[1, "close", "1.00000000000000001"]]
        assert (said[0]["asked_at"], said[0]["schema"], said[0]["version"]) == (7, SCHEMA, 1)

    def test_exact_strings_follow_their_bar_through_merges(self, archive: Archive) -> None:
        stamp = START + 100 * MINUTE
        archive.write(CODE, M1, batch(minutes(100, 300), 1, exact=((0, "close", "101.00000000000000001"),)))
        archive.write(CODE, M1, batch(minutes(0, 100), 2))
        archive.write(CODE, M1, batch(minutes(300, 1000), 3))
        archive.write(CODE, M1, batch({stamp: (5.0, 1.0)}, 4))
        (restated,) = archive.restatements(CODE, M1)
        assert restated.stamp_us == stamp
        assert restated.old == (101.0, 101.0, 101.0, "101.00000000000000001", 100.0, None)
        assert restated.new == (5.0, 5.0, 5.0, 5.0, 1.0, None)

    @pytest.mark.parametrize("spoil", ["schema", "keys", "order"])
    def test_a_batch_that_cannot_be_is_refused(self, spoil: str) -> None:
        bars, keys = table(minutes(0, 2)), np.array([1, 2], dtype=np.int64)
        if spoil == "schema":
            bars = bars.rename_columns([*"abcdefg"])
        elif spoil == "keys":
            keys = keys[:1]
        else:
            bars = bars.take(pa.array([1, 0]))
        with pytest.raises(ValueError, match=r"schema|keys|ascending"):
            Batch(bars, keys, (), 1)


class TestTwoAnswersForOneBar:
    STAMP = START + 3 * MINUTE

    @pytest.fixture(params=[5, 900], ids=["tail", "segment"])
    def rows(self, request: pytest.FixtureRequest, archive: Archive) -> dict[int, tuple[float, float | None]]:
        rows = minutes(0, request.param)
        archive.write(CODE, M1, batch(rows, 10))
        return rows

    def test_the_later_asked_wins_and_is_listed(self, archive: Archive, rows: dict[int, Any]) -> None:
        archive.write(CODE, M1, batch({self.STAMP: (9.0, None)}, 11))
        assert rows_of(archive.read(CODE, M1, *EVER)) == rows | {self.STAMP: (9.0, None)}
        listed = archive.restatements(CODE, M1)
        assert [(one.stamp_us, one.old[0], one.new[0], one.asked_at_us) for one in listed] == [(self.STAMP, 4, 9, 11)]

    @pytest.mark.parametrize("asked_at", [9, 10])
    def test_one_not_asked_later_changes_nothing(self, archive: Archive, rows: dict[int, Any], asked_at: int) -> None:
        archive.write(CODE, M1, batch({self.STAMP: (9.0, None)}, asked_at))
        assert rows_of(archive.read(CODE, M1, *EVER)) == rows

    @pytest.mark.parametrize("folded", [False, True])
    def test_a_confirmed_bar_is_not_overwritten_by_what_was_asked_in_between(
        self, archive: Archive, rows: dict[int, Any], *, folded: bool
    ) -> None:
        archive.write(CODE, M1, batch({self.STAMP: rows[self.STAMP]}, 30))
        if folded:
            fold(archive)
        archive.write(CODE, M1, batch({self.STAMP: (9.0, None)}, 20))
        assert rows_of(archive.read(CODE, M1, *EVER)) == rows

    def test_one_that_took_long_wins_over_what_was_asked_before_it_whatever_came_meanwhile(
        self, archive: Archive
    ) -> None:
        """A segment's bars are of several answers; which is of when must outlive that they are kept together."""
        archive.write(CODE, M1, batch(minutes(0, 600), 10))
        archive.write(CODE, M1, batch(minutes(600, 1_200), 30))
        archive.write(CODE, M1, batch(minutes(900, 1_000), 40))
        archive.write(CODE, M1, batch(minutes(500, 700, price=7.0), 20))
        held = rows_of(archive.read(CODE, M1, *EVER))
        assert held == {**minutes(0, 1_200), **minutes(500, 600, price=7.0)}
        archive.write(CODE, M1, batch(minutes(0, 1_200, price=8.0), 35))
        held = rows_of(archive.read(CODE, M1, *EVER))
        assert held == {**minutes(0, 1_200, price=8.0), **minutes(900, 1_000)}

    def test_of_many_answers_none_counts_as_later_than_it_was(self, archive: Archive) -> None:
        for number in range(40):
            archive.write(CODE, M1, batch(minutes(30 * number, 30 * number + 30), 100 + (7 * number) % 40))
        archive.write(CODE, M1, batch(minutes(0, 1_200, price=7.0), 141))
        assert rows_of(archive.read(CODE, M1, *EVER)) == minutes(0, 1_200, price=7.0)

    def test_equal_values_write_nothing(self, archive: Archive, rows: dict[int, Any]) -> None:
        before = (segment_files(archive), record_of(archive), log_of(archive))
        archive.write(CODE, M1, batch(rows, 10))
        assert (segment_files(archive), record_of(archive), log_of(archive)) == before


class TestTwoWriters:
    STAMP = START + 3 * MINUTE

    @pytest.fixture(params=[4096, 0], ids=["logged", "recorded"], autouse=True)
    def ours(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(store, "LOGGED_BYTES", request.param)

    @pytest.mark.parametrize("theirs", ["logged", "folded", "recorded"])
    @pytest.mark.parametrize(("asked_at", "winner"), [(5, 2.0), (9, 1.0)])
    def test_what_came_before_the_commit_is_looked_at_again(
        self, archive: Archive, monkeypatch: pytest.MonkeyPatch, theirs: str, asked_at: int, winner: float
    ) -> None:
        other = again(archive)

        def intrude() -> None:
            with monkeypatch.context() as patch:
                patch.setattr(store, "LOGGED_BYTES", 0 if theirs == "recorded" else 4096)
                other.write(CODE, M1, batch({self.STAMP: (2.0, None)}, 7))
            if theirs == "folded":
                fold(other)

        before_commit(archive, monkeypatch, intrude)
        archive.write(CODE, M1, batch({self.STAMP: (1.0, None)}, asked_at))
        for opened in (archive, other, again(archive)):
            assert rows_of(opened.read(CODE, M1, *EVER)) == {self.STAMP: (winner, None)}
            assert len(opened.restatements(CODE, M1)) == (winner == 1.0)
        record = record_of(archive)
        assert len(segment_files(archive)) == (len(record.segments) if record else 0)

    def test_what_is_logged_during_a_fold_stays(self, archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
        other = again(archive)
        archive.write(CODE, M1, batch(minutes(0, 3)))
        monkeypatch.setattr(store, "LOGGED_BYTES", 4096)
        archive.write(CODE, M1, batch(minutes(3, 5)))
        before_commit(archive, monkeypatch, lambda: other.write(CODE, M1, batch(minutes(5, 9))))
        fold(archive)
        for opened in (archive, other, again(archive)):
            assert rows_of(opened.read(CODE, M1, *EVER)) == minutes(0, 9)
        assert len(log_of(archive)) == 1

    def test_a_fold_that_another_overtook_with_less_leaves_the_log(
        self, archive: Archive, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(store, "LOGGED_BYTES", 4096)
        other = again(archive)
        commit: Callable[[Any], Any] = other._commit  # noqa: SLF001

        def late(plans: Any) -> Any:
            archive.write(CODE, M1, batch(minutes(3, 5)))
            before_commit(archive, monkeypatch, lambda: commit(plans))
            fold(archive)
            return commit(plans)

        archive.write(CODE, M1, batch(minutes(0, 3)))
        monkeypatch.setattr(other, "_commit", late)
        fold(other)
        assert rows_of(again(archive).read(CODE, M1, *EVER)) == minutes(0, 5)

    def test_two_that_fold_at_once_fold_once(self, archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
        other = again(archive)
        monkeypatch.setattr(store, "LOGGED_BYTES", 4096)
        monkeypatch.setattr(records, "TAIL_ROWS", 600)
        for first in range(0, 600, 50):
            archive.write(CODE, M1, batch(minutes(first, first + 50)))
        monkeypatch.setattr(records, "TAIL_ROWS", 512)
        before_commit(archive, monkeypatch, lambda: fold(other))
        fold(archive)
        assert log_of(archive) == []
        assert len(segment_files(archive)) == 2
        assert rows_of(archive.read(CODE, M1, *EVER)) == minutes(0, 600)


class TestSupersededSegments:
    def test_are_deleted_a_minute_later_by_a_later_write(
        self, archive: Archive, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = 1_000_000_000
        monkeypatch.setattr(store, "_now_us", lambda: now)
        monkeypatch.setattr(store, "LOGGED_BYTES", 0)
        archive.write(CODE, M1, batch(minutes(100, 800), 1))
        old = segment_files(archive)
        archive.write(CODE, M1, batch(minutes(0, 800, 2.0), 2))
        now += 59_000_000
        archive.write(CODE, M1, batch(minutes(800, 801), 3))
        assert set(old) <= set(segment_files(archive))
        now += 2_000_000
        archive.write(CODE, M1, batch(minutes(801, 802), 4))
        assert not set(old) & set(segment_files(archive))
        record = record_of(archive)
        assert record is not None
        assert record.superseded == ()
        assert len(segment_files(archive)) == len(record.segments)
        assert rows_of(archive.read(CODE, M1, *EVER)) == minutes(0, 800, 2.0) | minutes(800, 802)

    def test_a_reader_that_holds_the_old_record_reads_it_again(
        self, archive: Archive, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        archive.write(CODE, M1, batch(minutes(0, 800), 1))
        stale = record_of(archive)
        archive.write(CODE, M1, batch(minutes(0, 800, 2.0), 2))
        assert stale is not None
        for path in segment_files(archive):
            if any(path.stem in segment.key.replace(":", "_") for segment in stale.segments):
                path.unlink()
        reader = again(archive)
        stale_once = iter([View.of(Group("alltick", CODE, M1), stale)])
        fresh: Callable[[Any], Any] = getattr(reader, "_view")  # noqa: B009  # the seam a race would use
        monkeypatch.setattr(reader, "_view", lambda group: next(stale_once, None) or fresh(group))
        assert rows_of(reader.read(CODE, M1, *EVER)) == minutes(0, 800, 2.0)

    def test_a_mapped_table_outlives_its_segment(self, archive: Archive) -> None:
        archive.write(CODE, M1, batch(minutes(0, 800), 1))
        held = archive.read(CODE, M1, *EVER)
        for path in segment_files(archive):
            path.unlink()
        assert rows_of(held) == minutes(0, 800)


class TestWhoseArchive:
    def test_it_is_nobody_elses(self, archive: Archive) -> None:
        assert stat.S_IMODE(archive.directory.stat().st_mode) == 0o700

    def test_another_origins_is_refused(self, archive: Archive) -> None:
        archive.close()
        archive.directory.rename(archive.directory.parent / "http-localhost-8000")
        with pytest.raises(StoreError, match=r"prices of 'alltick', not of 'http-localhost-8000'"):
            Archive.open(archive.directory.parent, "http-localhost-8000")

    @pytest.mark.parametrize("origin", ["", "../x", "a/b", ".", "a b"])
    def test_an_origin_is_one_directory(self, tmp_path: Path, origin: str) -> None:
        with pytest.raises(StoreError, match="origin="):
            Archive.open(tmp_path, origin)

    def test_a_directory_that_cannot_be_made_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(StoreError, match=r"file/alltick cannot be used: .*ALLTICK_CACHE_DIR"):
            Archive.open(tmp_path / "file", "alltick")

    def test_an_index_that_is_no_database_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "alltick").mkdir()
        (tmp_path / "alltick" / "cache.db").write_bytes(b"no database at all" * 1000)
        with pytest.raises(StoreError, match="not a database"):
            Archive.open(tmp_path, "alltick")

    @pytest.mark.parametrize("rows", [3, 2_000], ids=["in the log", "in segments"])
    def test_a_lost_index_is_named_and_not_taken_for_an_empty_archive(self, archive: Archive, rows: int) -> None:
        archive.write(CODE, M1, batch(minutes(0, rows)))
        archive.close()
        kept = {path: path.read_bytes() for path in archive.directory.glob("cache.db*")}
        for path in kept:
            path.unlink()
        for _ in "once", "again":
            with pytest.raises(StoreError, match=r"has lost its index.*cache verify --repair"):
                again(archive)
        for path in archive.directory.glob("cache.db*"):
            path.unlink()
        for path, content in kept.items():
            path.write_bytes(content)
        assert rows_of(again(archive).read(CODE, M1, *EVER)) == minutes(0, rows)

    def test_a_newer_archive_is_refused(self, archive: Archive) -> None:
        open_index(archive.directory).set(
            "archive", msgspec.msgpack.encode({"schema": SCHEMA + 1, "origin": "alltick"})
        )
        with pytest.raises(StoreError, match=f"schema version {SCHEMA + 1}"):
            again(archive)


class Trap:
    """Unpickling this would show."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (os.environ["TRAP"],)


class TestDamage:
    @pytest.fixture
    def filled(self, archive: Archive) -> Archive:
        archive.write(CODE, M1, batch(minutes(0, 1000)))
        return archive

    def index_key(self, archive: Archive) -> str:
        (key,) = open_index(archive.directory).keys_of("index:")
        return key

    @pytest.mark.parametrize("name", ["index:%", "progress", "archive", "log:%"])
    def test_one_bit_anywhere_in_the_index_is_named(self, filled: Archive, name: str) -> None:
        filled.write(CODE, M1, batch(minutes(1000, 1200), 2))
        filled.write(CODE, M1, batch(minutes(1200, 1202), 3))
        with sqlite3.connect(filled.directory / "cache.db") as index:
            key, value = index.execute("SELECT key, value FROM Cache WHERE key LIKE ?", (name,)).fetchone()
            for at in range(0, len(value), 1 + len(value) // 20):
                flipped = value[:at] + bytes([value[at] ^ 4]) + value[at + 1 :]
                index.execute("UPDATE Cache SET value = ? WHERE key = ?", (flipped, key))
                index.commit()
                with pytest.raises(StoreError, match=f"{key}.*checksum"):
                    again(filled).read(CODE, M1, *EVER)
        index.close()

    def test_an_index_from_before_it_had_checksums_is_read(self, filled: Archive) -> None:
        filled.close()
        with sqlite3.connect(filled.directory / "cache.db") as index:
            index.execute("UPDATE Cache SET mode = 1, value = CAST(SUBSTR(value, 5) AS BLOB) WHERE mode = 5")
        index.close()
        opened = again(filled)
        opened.write(CODE, M1, batch(minutes(1000, 1003), 2))
        assert rows_of(again(filled).read(CODE, M1, *EVER)) == minutes(0, 1003)

    def test_a_damaged_tail_from_before_is_named_by_all_that_look_at_it(self, filled: Archive) -> None:
        filled.write(CODE, M1, batch(minutes(1000, 1200), 2))
        record = record_of(filled)
        assert record is not None
        row = msgspec.msgpack.encode(msgspec.structs.replace(record, tail=record.tail[:-100]))
        open_index(filled.directory).set(self.index_key(filled), row)
        for look in (lambda: again(filled).read(CODE, M1, *EVER), lambda: again(filled).known(CODE, M1)):
            with pytest.raises(StoreError, match="latest bars of EURUSD 1m cannot be read: it has no Arrow footer"):
                look()

    @pytest.mark.parametrize("key", ["index:quote:1m", "index:quote:7m:EURUSD"])
    def test_a_key_that_names_no_group_is_named(self, filled: Archive, key: str) -> None:
        open_index(filled.directory).set(key, b"")
        with pytest.raises(StoreError, match=f"{key}.*names no code and period"):
            filled.groups()

    def test_a_log_key_without_a_number_is_named(self, filled: Archive) -> None:
        filled.write(CODE, M1, batch(minutes(1000, 1001), 2))
        with sqlite3.connect(filled.directory / "cache.db") as index:
            index.execute(
                "DELETE FROM Cache WHERE key LIKE 'log:%' AND key < (SELECT MAX(key) FROM Cache WHERE key < 'm')"
            )
            index.execute("UPDATE Cache SET key = 'log:000000000000000q' WHERE key LIKE 'log:%'")
        index.close()
        with pytest.raises(StoreError, match=r"log:000000000000000q.*has no number"):
            again(filled).read(CODE, M1, *EVER)

    def test_damaged_settings_of_the_index_are_named(self, filled: Archive) -> None:
        filled.close()
        with sqlite3.connect(filled.directory / "cache.db") as index:
            index.execute("UPDATE Settings SET key = 'disk_mjn_file_size' WHERE key = 'disk_min_file_size'")
        index.close()
        with pytest.raises(StoreError, match=r"its settings are damaged.*mjn_file_size"):
            again(filled)

    @pytest.mark.parametrize("where", ["inline", "file"])
    def test_a_pickle_of_someone_else_is_named_and_not_loaded(
        self, filled: Archive, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: str
    ) -> None:
        monkeypatch.setenv("TRAP", str(tmp_path / "sprung"))
        payload, key = pickle.dumps(Trap()), self.index_key(filled)
        foreign = (4, None, payload) if where == "inline" else (4, "segments/trap", None)
        (filled.directory / "segments" / "trap").write_bytes(payload)
        with sqlite3.connect(filled.directory / "cache.db") as index:
            index.execute("UPDATE Cache SET mode = ?, filename = ?, value = ? WHERE key = ?", (*foreign, key))
        index.close()
        for attempt in (lambda: filled.read(CODE, M1, *EVER), lambda: filled.write(CODE, M1, batch(minutes(0, 1), 9))):
            with pytest.raises(StoreError, match=f"{key}.*pickle"):
                attempt()
        assert not (tmp_path / "sprung").exists()

    @pytest.mark.parametrize(("key", "value"), [("k", {"a": 1}), ("k", 1), ("k", "text"), (("a", 1), b""), (1, b"")])
    def test_nothing_but_bytes_under_str_is_written(self, filled: Archive, key: Any, value: Any) -> None:
        index = open_index(filled.directory)
        with pytest.raises(StoreError, match="archive"):
            index.set(key, value)

    def test_a_value_outside_the_segments_is_not_read(self, filled: Archive, tmp_path: Path) -> None:
        with sqlite3.connect(filled.directory / "cache.db") as index:
            index.execute("UPDATE Cache SET filename = '../../x' WHERE key LIKE 'seg:%'")
        index.close()
        with pytest.raises(StoreError, match="outside"):
            again(filled).read(CODE, M1, *EVER)

    @pytest.mark.parametrize("damage", ["flipped", "cut", "shifted", "missing", "empty", "another"])
    def test_a_damaged_segment_is_named_with_its_group(self, filled: Archive, damage: str) -> None:
        other, path = segment_files(filled)
        value = bytearray(path.read_bytes())
        match damage:
            case "flipped":
                value[len(value) // 2] ^= 1
            case "cut":
                del value[-100:]
            case "shifted":
                del value[:8]
                value += bytes(8)
            case "empty":
                value.clear()
            case "another":
                value[:] = other.read_bytes()
        if damage == "missing":
            path.unlink()
        else:
            path.write_bytes(value)
        (named,) = [segment.key for segment in record_of(filled).segments if segment.block == "2026-02"]  # type: ignore[union-attr]
        with pytest.raises(StoreError, match=f"EURUSD 1m cannot be read: segment '{named}'"):
            again(filled).read(CODE, M1, *EVER)

    def test_a_segment_cut_after_it_was_mapped_is_named_not_touched(self, filled: Archive) -> None:
        filled.read(CODE, M1, *EVER)
        path = segment_files(filled)[1]
        os.truncate(path, 100)
        with pytest.raises(StoreError, match="100 bytes instead of"):
            filled.read(CODE, M1, *EVER)

    def test_bars_of_whole_segments_are_still_served(self, filled: Archive) -> None:
        segment_files(filled)[1].unlink()
        held = again(filled).read(CODE, M1, START, START + 30 * MINUTE)
        assert rows_of(held) == minutes(0, 30)

    def test_an_index_row_from_the_future_is_refused(self, filled: Archive) -> None:
        key = self.index_key(filled)
        open_index(filled.directory).set(key, msgspec.msgpack.encode({"schema": SCHEMA + 1, "anything": [1]}))
        with pytest.raises(StoreError, match=f"{key}.*schema version {SCHEMA + 1}.*upgrade"):
            filled.read(CODE, M1, *EVER)
        with pytest.raises(StoreError, match="upgrade"):
            filled.write(CODE, M1, batch(minutes(0, 1), 9))

    @pytest.mark.parametrize("row", [b"", b"\xc1", msgspec.msgpack.encode({"schema": SCHEMA}), b"\x00"])
    def test_an_index_row_that_makes_no_sense_is_named(self, filled: Archive, row: bytes) -> None:
        key = self.index_key(filled)
        open_index(filled.directory).set(key, row)
        with pytest.raises(StoreError, match=key):
            filled.read(CODE, M1, *EVER)


class TestTheLog:
    NAMES = tuple(f"CODE{number:02}" for number in range(40))

    def page(self, minute: int, price: float = 1.0) -> Batch:
        return batch(minutes(minute, minute + 50, price), minute + 1)

    def test_small_changes_of_many_groups_are_one_small_entry(self, archive: Archive) -> None:
        archive.write_many([(name, M1, self.page(0)) for name in self.NAMES])
        before = log_of(archive)
        archive.write_many([(name, M1, self.page(1)) for name in self.NAMES])
        (entry,) = log_of(archive)[len(before) :]
        # One new bar of each; of the 49 that are held, only when they were asked for.
        size = len(open_index(archive.directory).inline(entry) or b"")
        assert size < 130 * len(self.NAMES) / 2
        for name in self.NAMES:
            assert rows_of(again(archive).read(name, M1, *EVER)) == minutes(0, 51)
            assert record_of(archive, name) is None
        assert archive.groups() == [(name, M1) for name in self.NAMES]

    def test_what_is_logged_is_known(self, archive: Archive) -> None:
        archive.write(CODE, M1, batch(minutes(0, 30), 1))
        archive.write(CODE, M1, batch(minutes(29, 31, 2.0), 2))
        known = again(archive).known(CODE, M1)
        assert (known.rows, known.first_us, known.last_us) == (31, START, START + 30 * MINUTE)
        assert known.coverage == ((START, START + 30 * MINUTE + 1),)
        assert [one.stamp_us for one in again(archive).restatements(CODE, M1)] == [START + 29 * MINUTE]

    def test_exact_strings_and_trading_dates_are_kept_by_it(self, archive: Archive) -> None:
        rows = {day * DAY - 8 * 60 * MINUTE: (float(day), None) for day in range(3)}
        dates = np.arange(3, dtype=np.int64) * DAY
        strings = ((1, "close", "1.00000000000000001"), (2, "open", "2.00000000000000001"))
        archive.write("700.HK", Period.DAY, Batch(table(rows), dates, (), 1, strings))
        archive.write("700.HK", Period.DAY, Batch(table(rows).slice(1, 1), dates[1:2], (), 2))
        for opened in (archive, again(archive)):
            held = opened.read("700.HK", Period.DAY, DAY, 3 * DAY)
            assert held.keys_us.tolist() == [DAY, 2 * DAY]
            assert held.exact == {(2 * DAY - 8 * 60 * MINUTE, "open"): "2.00000000000000001"}
        (restated,) = archive.restatements("700.HK", Period.DAY)
        assert (restated.old[3], restated.new[3]) == ("1.00000000000000001", 1.0)

    def test_a_bar_of_another_trading_date_takes_its_place(self, archive: Archive) -> None:
        rows = table({DAY: (1.0, None)})
        for asked_at, date in ((1, DAY), (2, 2 * DAY)):
            archive.write(CODE, Period.DAY, Batch(rows, np.array([date]), (), asked_at))
        assert archive.read(CODE, Period.DAY, *EVER).keys_us.tolist() == [2 * DAY]
        assert rows_of(archive.read(CODE, Period.DAY, DAY, 2 * DAY)) == {}
        assert archive.restatements(CODE, Period.DAY) == ()

    def test_a_large_change_goes_to_the_record_at_once(self, archive: Archive) -> None:
        archive.write_many([(CODE, M1, batch(minutes(page * 499, page * 499 + 500))) for page in range(20)])
        record = record_of(archive)
        assert record is not None
        assert (record.rows, sum(path.stat().st_size for path in segment_files(archive)) < 1.2 * record.rows * 56) == (
            20 * 499 + 1,
            True,
        )
        (entry,) = log_of(archive)
        assert len(open_index(archive.directory).inline(entry) or b"") < 50

    def test_its_bars_are_among_those_of_the_segments(self, archive: Archive) -> None:
        archive.write(CODE, M1, batch(minutes(100, 700), 1))
        archive.write(CODE, M1, batch(minutes(800, 1400), 2))
        rows = minutes(100, 700) | minutes(800, 1400)
        for number, page in enumerate((minutes(0, 9), minutes(740, 750), minutes(110, 112, 2.0), minutes(1395, 1420))):
            archive.write(CODE, M1, batch(page, number + 3))
            rows |= page
            for first, stop in ((-100, 2000), (0, 5), (5, 111), (710, 745), (1400, 1401)):
                expected = {START + minute * MINUTE for minute in range(first, stop)} & rows.keys()
                for opened in (archive, again(archive)):
                    held = opened.read(CODE, M1, START + first * MINUTE, START + stop * MINUTE)
                    assert rows_of(held) == {stamp: rows[stamp] for stamp in expected}
        assert len(log_of(archive)) == 6
        fold(archive)
        assert rows_of(again(archive).read(CODE, M1, *EVER)) == rows

    def test_a_group_is_folded_when_its_tail_is_full(self, archive: Archive) -> None:
        for first in range(0, TAIL_ROWS + 1, 27):
            assert segment_files(archive) == []
            archive.write(CODE, M1, batch(minutes(first, first + 27)))
        assert len(segment_files(archive)) == 2  # January and February
        assert rows_of(again(archive).read(CODE, M1, *EVER)) == minutes(0, 19 * 27)

    def test_all_are_folded_when_it_is_large_and_numbers_go_on(
        self, archive: Archive, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(store, "LOG_BYTES", 1_200)
        archive, reader = again(archive), again(archive)
        lengths, numbers = [], set()
        for minute in range(20):
            archive.write_many([(name, M1, batch(minutes(minute, minute + 1))) for name in self.NAMES])
            lengths.append(len(log_of(archive)))
            numbers |= set(log_of(archive))
            for name in self.NAMES:
                assert rows_of(reader.read(name, M1, *EVER)) == minutes(0, minute + 1)
        assert lengths.count(0) == 3
        # The entry that was folded at once is not seen.
        assert len(numbers) == 20 - 3
        record = record_of(archive, self.NAMES[0])
        assert record is not None
        assert 0 < record.tail_rows < 20
        for name in self.NAMES:
            assert rows_of(again(archive).read(name, M1, *EVER)) == minutes(0, 20)

    def test_a_damaged_group_keeps_its_bars_there_and_others_out_of_it(
        self, archive: Archive, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        archive.write(CODE, M1, batch(minutes(0, 1000)))
        archive.write(CODE, M1, batch(minutes(500, 501, 2.0), 2))
        path = segment_files(archive)[1]
        value = path.read_bytes()
        os.truncate(path, 100)
        monkeypatch.setattr(store, "LOG_BYTES", 0)
        archive = again(archive)
        # Folding needs the damaged segment, comparing with it as well.
        for minute in range(3):
            archive.write("GBPUSD", M1, batch(minutes(minute, minute + 1)))
        with pytest.raises(StoreError, match=f"{CODE} 1m cannot be read"):
            archive.write_many([(CODE, M1, batch(minutes(999, 1002), 3)), ("GBPUSD", M1, batch(minutes(3, 4)))])
        assert rows_of(archive.read("GBPUSD", M1, *EVER)) == minutes(0, 4)
        path.write_bytes(value)
        archive = again(archive)
        archive.write(CODE, M1, batch(minutes(999, 1002), 3))
        assert log_of(archive) == []
        restated = minutes(0, 1002) | minutes(500, 501, 2.0)
        assert rows_of(again(archive).read(CODE, M1, *EVER)) == restated

    @pytest.mark.parametrize(
        ("spoil", "why"),
        [
            (lambda value: value[:20] + bytes([value[20] ^ 1]) + value[21:], "checksum"),
            (lambda value: value[:-5], "checksum"),
            (lambda value: b"", "checksum"),
            (lambda value: sealed(SCHEMA + 1, "anything"), f"schema version {SCHEMA + 1}.*upgrade"),
            (lambda value: sealed(SCHEMA, [1, 2]), "Expected"),
            (lambda value: sealed(SCHEMA, {f"1m:{CODE}": [["rows"]]}), "Expected"),
        ],
        ids=["flipped", "cut", "empty", "future", "list", "other"],
    )
    def test_an_entry_that_cannot_be_read_is_named(
        self, archive: Archive, spoil: Callable[[bytes], bytes], why: str
    ) -> None:
        archive.write(CODE, M1, batch(minutes(0, 3)))
        (key,) = log_of(archive)
        index = open_index(archive.directory)
        index.set(key, spoil(index.inline(key) or b""))
        with pytest.raises(StoreError, match=f"{key}.*{why}"):
            again(archive).read(CODE, M1, *EVER)
        with pytest.raises(StoreError, match=f"{key}.*{why}"):
            again(archive).write(CODE, M1, batch(minutes(3, 4)))

    def test_a_count_that_cannot_be_read_is_named(self, archive: Archive) -> None:
        archive.write(CODE, M1, batch(minutes(0, 3)))
        open_index(archive.directory).set("progress", b"\xc1")
        with pytest.raises(StoreError, match="'progress' cannot be read"):
            archive.read(CODE, M1, *EVER)

    def test_threads_that_come_and_go_leave_no_descriptors(self, archive: Archive) -> None:
        archive.write(CODE, M1, batch(minutes(0, 1)))

        def opened() -> int:
            paths = [path.readlink() for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
            return sum(path.is_relative_to(archive.directory) for path in paths)

        before = opened()
        for minute in range(1, 200):
            thread = threading.Thread(target=archive.write, args=(CODE, M1, batch(minutes(minute, minute + 1))))
            thread.start()
            thread.join()
        assert opened() == before
        archive.close()
        assert opened() == 0
        assert rows_of(archive.read(CODE, M1, *EVER)) == minutes(0, 200)


def sealed(schema: int, body: Any) -> bytes:
    packed = bytes([schema]) + zlib.compress(msgspec.msgpack.encode(body))
    return zlib.crc32(packed).to_bytes(4, "little") + packed


WRITER = """
import random, sys
from pathlib import Path
from alltick_frames.periods import Period
from alltick_frames.store import Archive
from tests.archives import batch, minutes
directory, seed, count, size = sys.argv[1], *map(int, sys.argv[2:])
archive = Archive.open(Path(directory), "alltick")
print("open", flush=True)
order = list(range(seed * count, seed * count + count))
random.Random(seed).shuffle(order)
for page in order:
    archive.write("EURUSD", Period.MINUTE_1, batch(minutes(page * size, page * size + size), 1 + page))
    print(page, flush=True)
"""


class TestProcesses:
    def test_four_that_write_one_group_lose_nothing(self, archive: Archive) -> None:
        writers = [in_process(WRITER, archive.directory.parent, seed, 50, 40) for seed in range(4)]
        for writer in writers:
            printed, _ = writer.communicate(timeout=100)
            assert (writer.returncode, len(printed.split())) == (0, 51)
        assert rows_of(archive.read(CODE, M1, *EVER)) == minutes(0, 4 * 50 * 40)

    def test_one_killed_at_any_instant_loses_nothing_it_was_told_is_durable(self, archive: Archive) -> None:
        chance, size = random.Random(1), 300
        returned: set[int] = set()
        for number in range(10):
            writer = in_process(WRITER, archive.directory.parent, number, 1000, size)
            assert writer.stdout is not None
            assert writer.stdout.readline() == "open\n"
            time.sleep(chance.uniform(0, 0.4))
            writer.send_signal(signal.SIGKILL)
            returned |= {int(page) for page in writer.communicate(timeout=20)[0].split()}
            held = rows_of(again(archive).read(CODE, M1, *EVER))
            pages = {(stamp - START) // MINUTE // size for stamp in held}
            assert returned <= pages
            # A batch is there whole or not at all, and at most one per killed writer was not yet reported.
            assert held == {
                stamp: row for page in pages for stamp, row in minutes(page * size, page * size + size).items()
            }
            assert len(pages - returned) <= number + 1

    @pytest.mark.parametrize(
        ("codes", "rows", "log_bytes", "step"),
        [(1, 3, 10**6, 13), (1, 900, 10**6, 13), (3, 3, 10**6, 37), (3, 3, 0, 83), (3, 600, 0, 97)],
        ids=["log", "record", "many", "fold", "record and fold"],
    )
    def test_one_killed_at_any_line_has_written_all_or_nothing(
        self, archive: Archive, codes: int, rows: int, log_bytes: int, step: int
    ) -> None:
        source = """
import os, signal, sys
from pathlib import Path
from alltick_frames import records, store
from alltick_frames.periods import Period
from alltick_frames.store import Archive
from tests.archives import EVER, batch, minutes, rows_of

def killing(line):
    def trace(frame, event, _):
        nonlocal line
        if "alltick_frames" not in frame.f_code.co_filename and "diskcache" not in frame.f_code.co_filename:
            return None
        line -= event == "line"
        if not line:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace
    return trace

directory, (codes, rows, store.LOG_BYTES, step) = Path(sys.argv[1]), map(int, sys.argv[2:])
codes = [f"CODE{number}" for number in range(codes)]
archive = Archive.open(directory, "alltick")
seed = minutes(0, 600)
archive.write_many([(code, Period.MINUTE_1, batch(seed, 1)) for code in codes])

def held(archive):
    each = [rows_of(archive.read(code, Period.MINUTE_1, *EVER)) for code in codes]
    assert all(one == each[0] for one in each)
    return each[0]

held(archive)
line, left, kills = 1, 600, []
while True:
    # Restates a held bar, too: half a write would show in either place.
    page = minutes(left, left + rows) | {min(seed): (1000.0 + line, None)}
    child = os.fork()
    if not child:
        sys.settrace(killing(line))
        archive.write_many([(code, Period.MINUTE_1, batch(page, line + 1)) for code in codes])
        sys.settrace(None)
        os._exit(0)
    killed = os.waitpid(child, 0)[1] != 0
    found = held(archive)
    assert found == seed or found == seed | page, line
    assert killed or found == seed | page
    # Another opener has no memory of the log.
    other = Archive.open(directory, "alltick")
    assert held(other) == found
    other.close()
    kills.append(len(found) - len(seed))
    if found != seed:
        seed, left = found, left + rows
    if not killed:
        break
    line += step
print(len(kills), sum(map(bool, kills)))
"""
        victim = in_process(source, archive.directory.parent, codes, rows, log_bytes, step)
        printed, _ = victim.communicate(timeout=200)
        assert victim.returncode == 0
        tried, whole = map(int, printed.split())
        assert tried > 20
        # Some were killed before the commit, some after, and the last not at all.
        assert 1 < whole < tried

    def test_four_that_write_and_fold_the_same_groups_lose_nothing_under_a_readers_eyes(self, archive: Archive) -> None:
        common = """
import random, sys
from pathlib import Path
from alltick_frames import records, store
from alltick_frames.periods import Period
from alltick_frames.store import Archive
from tests.archives import EVER, MINUTE, START, batch, minutes, rows_of
store.LOG_BYTES, records.TAIL_ROWS = 3_000, 40
archive, seed = Archive.open(Path(sys.argv[1]), "alltick"), int(sys.argv[2])
codes = ["EURUSD", "GBPUSD", "USDJPY", "BTCUSDT"]
"""
        writer = """
# Each bar comes from two of the four.
order = [page for page in range(200) if page % 4 in (seed, (seed + 1) % 4)]
random.Random(seed).shuffle(order)
for page in order:
    wanted = random.Random(page).sample(codes, 3)
    archive.write_many([(code, Period.MINUTE_1, batch(minutes(page * 3, page * 3 + 3), 1)) for code in wanted])
"""
        reader = """
print("open", flush=True)
covered = dict.fromkeys(codes, set())
while Path(sys.argv[1], "writing").exists():
    for code in codes:
        held = archive.read(code, Period.MINUTE_1, *EVER)
        minutes_held = {(stamp - START) // MINUTE for stamp in rows_of(held)}
        spans = [((a - START) // MINUTE, (b - 1 - START) // MINUTE) for a, b in held.coverage]
        now = {minute for first, last in spans for minute in range(first, last + 1)}
        assert covered[code] <= now == minutes_held, code
        covered[code] = now
"""
        (archive.directory.parent / "writing").touch()
        readers = [in_process(common + reader, archive.directory.parent, number) for number in range(2)]
        assert all(one.stdout and one.stdout.readline() == "open\n" for one in readers)
        writers = [in_process(common + writer, archive.directory.parent, seed) for seed in range(4)]
        assert [(one.communicate(timeout=100), one.returncode)[1] for one in writers] == [0] * 4
        (archive.directory.parent / "writing").unlink()
        assert [(one.communicate(timeout=20), one.returncode)[1] for one in readers] == [0] * 2
        for code in CODES:
            pages = [page for page in range(200) if code in random.Random(page).sample(CODES, 3)]
            assert rows_of(archive.read(code, M1, *EVER)) == {
                stamp: row for page in pages for stamp, row in minutes(page * 3, page * 3 + 3).items()
            }
            assert archive.known(code, M1).rows == 3 * len(pages)

    def test_a_forked_child_reads_and_writes_on(self, archive: Archive) -> None:
        archive.write(CODE, M1, batch(minutes(0, 1000)))
        archive.read(CODE, M1, *EVER)
        source = """
import os, sys
from pathlib import Path
from alltick_frames.periods import Period
from alltick_frames.store import Archive
from tests.archives import EVER, batch, minutes, rows_of
archive = Archive.open(Path(sys.argv[1]), "alltick")
assert rows_of(archive.read("EURUSD", Period.MINUTE_1, *EVER)) == minutes(0, 1000)
child = os.fork()
if not child:
    archive.write("EURUSD", Period.MINUTE_1, batch(minutes(1000, 2000), 2))
    held = rows_of(archive.read("EURUSD", Period.MINUTE_1, *EVER))
    os._exit(not held.items() >= minutes(0, 2000).items())
archive.write("EURUSD", Period.MINUTE_1, batch(minutes(2000, 3000), 2))
assert os.waitpid(child, 0)[1] == 0
assert rows_of(archive.read("EURUSD", Period.MINUTE_1, *EVER)) == minutes(0, 3000)
"""
        forker = in_process(source, archive.directory.parent)
        forker.communicate(timeout=60)
        assert forker.returncode == 0
        assert rows_of(archive.read(CODE, M1, *EVER)) == minutes(0, 3000)

    def test_no_use_imports_anything_that_a_fork_could_interrupt(self, archive: Archive) -> None:
        source = """
import sys
from pathlib import Path
from alltick_frames.periods import Period
from alltick_frames.store import Archive
from tests.archives import EVER, batch, minutes
imported = set(sys.modules)
archive = Archive.open(Path(sys.argv[1]), "alltick")
for page in (minutes(0, 700), minutes(700, 702), minutes(100, 101, 2.0), minutes(-700, 5, 3.0)):
    archive.write("EURUSD", Period.MINUTE_1, batch(page, len(page)))
archive.read("EURUSD", Period.MINUTE_1, *EVER)
archive.close()
print(*sorted(set(sys.modules) - imported))
"""
        assert in_process(source, archive.directory.parent).communicate(timeout=60)[0] == "\n"

    def test_children_forked_while_threads_write_do_not_hang(self, archive: Archive) -> None:
        source = """
import os, sys, threading, warnings
from pathlib import Path
from alltick_frames.periods import Period
from alltick_frames.store import Archive
from tests.archives import EVER, batch, minutes, rows_of
warnings.simplefilter("ignore", DeprecationWarning)
archive = Archive.open(Path(sys.argv[1]), "alltick")
done = threading.Event()
def work(seed):
    for page in range(400):
        if done.is_set():
            return
        archive.write("EURUSD", Period.MINUTE_1, batch(minutes(page * 40, page * 40 + 40), 1))
        archive.read("EURUSD", Period.MINUTE_1, *EVER)
threads = [threading.Thread(target=work, args=(seed,)) for seed in range(2)]
for thread in threads: thread.start()
for number in range(20):
    child = os.fork()
    if not child:
        archive.write("GBPUSD", Period.MINUTE_1, batch(minutes(number * 40, number * 40 + 40), 1))
        archive.read("EURUSD", Period.MINUTE_1, *EVER)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
done.set()
for thread in threads: thread.join()
"""
        forker = in_process(source, archive.directory.parent)
        forker.communicate(timeout=60)
        assert forker.returncode == 0
        assert rows_of(archive.read("GBPUSD", M1, *EVER)) == minutes(0, 800)

    def test_threads_that_write_one_group_lose_nothing(self, archive: Archive) -> None:
        def write(number: int) -> None:
            for page in range(number * 20, number * 20 + 20):
                archive.write(CODE, M1, batch(minutes(page * 40, page * 40 + 40)))
            archive.close()

        threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert rows_of(archive.read(CODE, M1, *EVER)) == minutes(0, 4 * 20 * 40)

    def test_two_thousand_segments_are_read_with_256_descriptors(self, archive: Archive) -> None:
        month = 31 * DAY
        rows = {number * month + 10 * DAY - 1000 * month: (float(number), None) for number in range(2000)}
        archive.write(CODE, M1, batch(rows))
        record = record_of(archive)
        assert record is not None
        assert len(record.segments) > 1900
        source = """
import sys
from pathlib import Path
from alltick_frames.periods import Period
from alltick_frames.store import Archive
from tests.archives import EVER
print(Archive.open(Path(sys.argv[1]), "alltick").read("EURUSD", Period.MINUTE_1, *EVER).bars.num_rows)
"""

        def limited() -> None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))

        reader = in_process(source, archive.directory.parent, preexec_fn=limited)
        assert reader.communicate(timeout=60)[0] == "2000\n"


MOUNTS = """\
/dev/vda / ext4 rw,relatime 0 0
server:/export /home nfs4 rw,vers=4.2 0 0
/dev/vdb /home/ann/local\\040disk xfs rw 0 0
//nas/bars /mnt/nas cifs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/data", "ext4"),
        ("/home/ann/.local/share", "nfs4"),
        ("/home/ann/local disk/bars", "xfs"),
        ("/homes", "ext4"),
        ("/mnt/nas", "cifs"),
    ],
)
def test_the_file_system_is_that_of_the_nearest_mount(path: str, kind: str) -> None:
    assert file_system_of(Path(path), MOUNTS) == kind


def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"server:/export {tmp_path} nfs4 rw 0 0\n")
    monkeypatch.setattr(disk, "_MOUNTS", mounts)
    with pytest.raises(StoreError, match=r"network file system \(nfs4\).*ALLTICK_CACHE_DIR"):
        Archive.open(tmp_path / "archive", "alltick")
    assert not (tmp_path / "archive").exists()
