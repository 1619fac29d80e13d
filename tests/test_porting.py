"""What leaves the archive for other programs and other machines, and comes back."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import textwrap
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

import alltick_frames as at
from alltick_frames import porting, schemas, store
from alltick_frames.exports import Format
from alltick_frames.periods import Period
from alltick_frames.records import Batch, Checked, HistoryStart, Hole
from alltick_frames.store import Archive
from tests.archives import DAY, EVER, MINUTE, START, batch, minutes, rows_of, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from alltick_frames.log import Block
    from alltick_frames.segments import Bars

M1, D1 = Period.MINUTE_1, Period.DAY
FORMATS: tuple[Format, ...] = ("parquet", "csv", "duckdb")
# What Hive's layout, its quoting and its guesses at types could spoil.
CODES = [".DJI.US", "000001.SZ", "123456", "700.HK", "A/B=C%20&x:y", "BRK.A.US"]
ROOT = Path(__file__).parent.parent
NOW = datetime(2026, 3, 18, 15, tzinfo=UTC)
KILLS = int(os.environ.get("ALLTICK_TEST_KILLS", "8"))


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., Archive]]:
    archives: list[Archive] = []

    def make(name: str = "archive", origin: str = "alltick") -> Archive:
        archives.append(Archive.open(tmp_path / name, origin))
        return archives[-1]

    yield make
    for archive in archives:
        archive.close()


@pytest.fixture
def archive(opened: Callable[..., Archive]) -> Archive:
    """An archive that knows something of every kind, in files, in a tail and in the log."""
    archive = opened()
    fill(archive)
    return archive


def fill(archive: Archive) -> None:
    pages = [batch(minutes(first, first + 900), 10 + first) for first in range(0, 2700, 900)]
    archive.write_many([("EURUSD", M1, page) for page in pages])
    whole = {START: (0.1 + 0.2, 5e-324), START + MINUTE: (-0.0, None), START + 2 * MINUTE: (1e300, 123456789.125)}
    archive.write("EURUSD", M1, batch(whole, 5_000, exact=((0, "close", "0.300000000000000041"),)))
    # In the log: a bar among those of a segment, one of its own month, and what is known beside bars.
    archive.write("EURUSD", M1, batch({START + 30 * MINUTE: (7.5, 1.0)}, 6_000))
    april = START + 80 * DAY
    page = batch({april: (3.25, None)}, 7_000, exact=((0, "volume", "12345678901234567.8"),))
    known = Batch(
        page.bars,
        page.keys_us,
        ((april, april + DAY),),
        7_000,
        page.exact,
        (Checked(april + DAY, april + 2 * DAY, 7_000),),
        (Hole(START + 3 * DAY, START + 4 * DAY, 7_000, "lost", "more than 500"),),
        HistoryStart(START, "professional", 7_000),
    )
    archive.write("EURUSD", M1, known)
    archive.write("EURUSD", M1, Batch(table({}), np.array([], np.int64), ((april + 5 * DAY, april + 9 * DAY),), 8_000))
    # Trading dates that no stamp tells.
    days = {START + number * DAY: (float(number), None) for number in range(40)}
    dates = (np.array(sorted(days)) // DAY + 1) * DAY
    dates[20:] -= DAY
    archive.write("EURUSD", D1, Batch(table(days), dates, ((int(dates.min()), int(dates.max()) + DAY),), 10))
    archive.write_many([(code, D1, batch(days | {START: (number, 1.0)})) for number, code in enumerate(CODES)])
    archive.write("GOLD", D1, Batch(table({}), np.array([], np.int64), ((0, DAY),), 9, checked=(Checked(DAY, 9, 9),)))


def export(archive: Archive, path: Path, format: Format | None = None, **selected: Any) -> dict[str, int]:
    """Export, raise what went wrong, and give how many bars were written of each group."""
    ported = porting.Ported(schemas.EXPORTED)
    choice = {"codes": None, "period": None, "range": None, **selected}
    for _ in porting.exporting(archive, path, **choice, format=format, now=NOW, ported=ported):
        pass
    if ported.failure is not None:
        raise ported.failure
    return {f"{row['code']} {row['period']}": row["written"] for row in ported.rows}


def bring(archive: Archive, path: Path) -> int:
    """Import, raise what went wrong, and give how many bars were added."""
    ported = porting.Ported(schemas.IMPORTED)
    for _ in porting.importing(archive, path, ported):
        pass
    if ported.failure is not None:
        raise ported.failure
    return sum(row["added"] for row in ported.rows)


def contents(archive: Archive) -> dict[str, Any]:
    """All that an archive knows, but not when bars were asked for, which it keeps by file."""
    found = {}
    for code, period in archive.groups():
        held, record = archive.read(code, period, *EVER), archive.snapshot(code, period).record
        bits = [[value.hex() for value in row if value is not None] for row in zip(*bars_of(held.bars), strict=True)]
        found[f"{code} {period.value}"] = (
            held.bars["timestamp"].to_pylist(),
            bits,
            [held.bars[name].is_null().to_pylist() for name in schemas.BARS.names],
            held.keys_us.tolist(),
            dict(held.exact),
            (record.coverage, record.checked, record.holes, record.history_start, record.restatements),
        )
    return found


def bars_of(bars: pa.Table) -> list[list[float | None]]:
    return [bars[name].to_pylist() for name in schemas.BARS.names[1:]]


def path_of(tmp_path: Path, format: Format) -> Path:
    return tmp_path / ("bars.duckdb" if format == "duckdb" else "bars")


@pytest.mark.parametrize("format", FORMATS)
class TestThereAndBack:
    def test_everything_an_archive_knows_comes_back(
        self, archive: Archive, opened: Callable[..., Archive], tmp_path: Path, format: Format
    ) -> None:
        path = path_of(tmp_path, format)
        export(archive, path, format)
        other = opened("other")
        rows = sum(archive.known(*group).rows for group in archive.groups())
        assert bring(other, path) == rows
        assert contents(other) == contents(archive)
        assert contents(other)["EURUSD 1m"][5][4]  # restatements
        # Folding the log, which what comes from elsewhere may need sooner, changes nothing of it.
        for one in (other, archive):
            one._fold()  # noqa: SLF001
        assert contents(other) == contents(archive)

    def test_again_nothing_is_written_and_nothing_added(
        self, archive: Archive, opened: Callable[..., Archive], tmp_path: Path, format: Format
    ) -> None:
        path, other = path_of(tmp_path, format), opened("other")
        export(archive, path, format)
        bring(other, path)
        there = everything_in(tmp_path / "other")
        before = contents(other)
        assert set(export(archive, path).values()) == {0}
        assert bring(other, path) == 0
        assert contents(other) == before
        assert everything_in(tmp_path / "other") == there

    def test_again_only_what_has_changed_is_written(
        self, archive: Archive, opened: Callable[..., Archive], tmp_path: Path, format: Format
    ) -> None:
        path, other = path_of(tmp_path, format), opened("other")
        export(archive, path, format)
        bring(other, path)
        before = set(everything_in(path).items()) if path.is_dir() else set()
        # A bar of February anew, and one of May.
        may = START + 100 * DAY
        archive.write("EURUSD", M1, batch({START + 120 * MINUTE: (9.0, None), may: (8.0, 1.0)}, 9_000, proven=[]))
        february = [stamp for stamp in minutes(0, 2700) if stamp >= START + 60 * MINUTE]
        assert export(archive, path) == dict.fromkeys(contents(archive), 0) | {"EURUSD 1m": len(february) + 1}
        if path.is_dir():
            changed = {Path(name).name for name, _ in set(everything_in(path).items()) - before}
            assert changed == {"2026-02.parquet", "2026-05.parquet", "code=EURUSD.txt"} or format == "csv"
        assert bring(other, path) == 1
        assert contents(other) == contents(archive)

    def test_what_is_damaged_is_named_and_not_imported_and_nothing_around_it_is_claimed(
        self, archive: Archive, opened: Callable[..., Archive], tmp_path: Path, format: Format
    ) -> None:
        path = path_of(tmp_path, format)
        export(archive, path, format)
        if format == "duckdb":
            with duckdb.connect(str(path)) as connection:
                # One price of February by one bit.
                at_one = "period = '1m' AND timestamp = '2026-02-01 01:00:00+00'"
                connection.execute(f"UPDATE kline SET close = close + 1e-12 WHERE {at_one}")
            place = "block 2026-02 of EURUSD 1m"
        else:
            file = path / f"period=1m/code=EURUSD/2026-02.{format}"
            data = bytearray(file.read_bytes())
            data[len(data) // 2] ^= 1
            file.write_bytes(data)
            place = str(file)
        other = opened("other")
        with pytest.raises(at.StoreError, match="is not what was exported: damaged, edited") as caught:
            bring(other, path)
        assert place in str(caught.value)
        months = {str(stamp)[:7] for stamp in other.read("EURUSD", M1, *EVER).bars["timestamp"].to_pylist()}
        assert months == {"2026-01", "2026-04"}
        lost = (START + 59 * MINUTE + 1, START + 80 * DAY)
        assert other.known("EURUSD", M1).coverage[0] == (START, lost[0])
        assert all(end <= lost[0] or start >= lost[1] for start, end in other.known("EURUSD", M1).coverage)
        undamaged = contents(archive)
        assert {name: known for name, known in contents(other).items() if name != "EURUSD 1m"} == {
            name: known for name, known in undamaged.items() if name != "EURUSD 1m"
        }
        # Whole again, it is imported, and claimed.
        again = tmp_path / f"again{path.suffix}"
        export(archive, again, format)
        assert bring(other, again) == len(minutes(60, 2700))
        assert contents(other) == undamaged

    def test_of_two_values_the_one_asked_later_stays_and_nothing_is_lost(
        self, opened: Callable[..., Archive], tmp_path: Path, format: Format
    ) -> None:
        path, ours, theirs = path_of(tmp_path, format), opened("ours"), opened("theirs")
        bar = [START + number * MINUTE for number in range(4)]
        theirs.write("EURUSD", M1, batch({bar[0]: (1.0, 1.0), bar[1]: (1.0, 1.0)}, 10))
        theirs.write("EURUSD", M1, batch({bar[3]: (1.0, 1.0)}, 30))
        ours.write("EURUSD", M1, batch({bar[1]: (2.0, 1.0), bar[2]: (2.0, 1.0)}, 20))
        ours.write("EURUSD", M1, batch({bar[3]: (2.0, 1.0)}, 20))
        export(theirs, path, format)
        assert bring(ours, path) == 1
        assert rows_of(ours.read("EURUSD", M1, *EVER)) == {
            bar[0]: (1.0, 1.0),
            bar[1]: (2.0, 1.0),
            bar[2]: (2.0, 1.0),
            bar[3]: (1.0, 1.0),
        }
        assert ours.known("EURUSD", M1).coverage == ((bar[0], bar[2] + 1), (bar[3], bar[3] + 1))
        assert [(one.stamp_us, one.asked_at_us) for one in ours.restatements("EURUSD", M1)] == [(bar[3], 30)]

    def test_an_export_never_takes_bars_away(
        self, archive: Archive, opened: Callable[..., Archive], tmp_path: Path, format: Format
    ) -> None:
        path = path_of(tmp_path, format)
        export(archive, path, format)
        younger = opened("younger")
        younger.write("EURUSD", M1, batch(minutes(2000, 2800)))
        with pytest.raises(at.StoreError, match="would not have, so it is left as it is: bring them into the archive"):
            export(younger, path)
        with pytest.raises(at.StoreError, match="or export to another path"):
            export(archive, path, range="2026-02-02/2026-02-02")
        assert set(export(archive, path).values()) == {0}
        bring(younger, path)
        export(younger, path)
        rest = opened("rest")
        bring(rest, path)
        assert contents(rest) == contents(younger)

    def test_prices_of_another_origin_are_refused_both_ways(
        self, archive: Archive, opened: Callable[..., Archive], tmp_path: Path, format: Format
    ) -> None:
        path, sandbox = path_of(tmp_path, format), opened("sandbox", "http-127.0.0.1-8765")
        sandbox.write("EURUSD", M1, batch(minutes(0, 5)))
        export(archive, path, format)
        for act in (bring, export):
            with pytest.raises(
                at.StoreError, match=r"prices of 'alltick', this archive those of 'http-127.0.0.1-8765'"
            ):
                act(sandbox, path)
        assert rows_of(sandbox.read("EURUSD", M1, *EVER)) == minutes(0, 5)

    def test_a_later_format_is_refused(
        self, archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: Format
    ) -> None:
        path = path_of(tmp_path, format)
        monkeypatch.setattr(porting, "VERSION", 2)
        export(archive, path, format, codes=["700.HK"])
        monkeypatch.undo()
        with pytest.raises(at.StoreError, match="upgrade"):
            bring(archive, path)


def everything_in(directory: Path) -> dict[str, tuple[int, int]]:
    """What is written there: the files, and whether they are still the same."""
    files = [path for path in directory.rglob("*") if path.is_file() and path.suffix != ".lock"]
    return {
        str(path): (path.stat().st_ino, path.stat().st_size) for path in files if not path.name.startswith("cache.")
    }


class TestReaders:
    """The real libraries, as their users call them."""

    @pytest.fixture
    def bars(self, archive: Archive) -> dict[tuple[str, str], pa.Table]:
        return {
            (period.value, code): archive.read(code, period, *EVER).bars
            for code, period in archive.groups()
            if code != "GOLD"
        }

    def same(self, table: pa.Table, bars: dict[tuple[str, str], pa.Table]) -> None:
        """See that a table has the bars of all groups, bit by bit, under their codes as text."""
        assert str(table.schema.field("timestamp").type) in ("timestamp[us, tz=UTC]", "timestamp[us, tz=Etc/UTC]")
        text = table.set_column(table.schema.get_field_index("code"), "code", table["code"].cast(pa.string()))
        text = text.set_column(text.schema.get_field_index("period"), "period", text["period"].cast(pa.string()))
        groups = set(zip(text["period"].to_pylist(), text["code"].to_pylist(), strict=True))
        assert groups == set(bars)
        for (period, code), expected in bars.items():
            chosen = text.filter((pa.compute.field("code") == code) & (pa.compute.field("period") == period))
            found = chosen.sort_by("timestamp").select(schemas.BARS.names)
            assert found.cast(schemas.BARS).combine_chunks().equals(expected.combine_chunks())

    def test_parquet(self, archive: Archive, tmp_path: Path, bars: dict[tuple[str, str], pa.Table]) -> None:
        export(archive, tmp_path / "bars")
        files = f"{tmp_path}/bars/**/*.parquet"
        self.same(pl.scan_parquet(files, hive_partitioning=True).collect().to_arrow(), bars)
        self.same(pa.Table.from_pandas(pd.read_parquet(tmp_path / "bars"), preserve_index=False), bars)
        self.same(ds.dataset(tmp_path / "bars", partitioning="hive").to_table(), bars)
        with duckdb.connect() as connection:
            query = "SELECT * FROM read_parquet($files, hive_partitioning = true)"
            self.same(connection.sql(query, params={"files": files}).to_arrow_table(), bars)

    def test_a_code_of_digits_alone_is_text_where_the_reader_is_told_so(self, archive: Archive, tmp_path: Path) -> None:
        export(archive, tmp_path / "bars", codes=["123456"])
        files = f"{tmp_path}/bars/**/*.parquet"
        hive = {"period": pl.String, "code": pl.String}
        assert pl.scan_parquet(files, hive_schema=hive).collect()["code"].unique().to_list() == ["123456"]
        typed = ds.partitioning(pa.schema([("period", pa.string()), ("code", pa.string())]), flavor="hive")
        assert set(pd.read_parquet(tmp_path / "bars", partitioning=typed)["code"]) == {"123456"}
        assert set(ds.dataset(tmp_path / "bars", partitioning=typed).to_table()["code"].to_pylist()) == {"123456"}
        with duckdb.connect() as connection:
            query = (
                "SELECT DISTINCT code FROM read_parquet($files, hive_partitioning = true, hive_types_autocast = false)"
            )
            assert connection.execute(query, {"files": files}).fetchall() == [("123456",)]

    def test_csv(self, archive: Archive, tmp_path: Path, bars: dict[tuple[str, str], pa.Table]) -> None:
        export(archive, tmp_path / "bars", "csv")
        one = tmp_path / "bars/period=1m/code=EURUSD"
        expected = bars["1m", "EURUSD"].combine_chunks()
        frames = [pl.read_csv(file, try_parse_dates=True) for file in sorted(one.iterdir())]
        assert pl.concat(frames, how="vertical_relaxed").to_arrow().cast(schemas.BARS).combine_chunks().equals(expected)
        exactly = [pd.read_csv(path, engine="pyarrow", parse_dates=["timestamp"]) for path in sorted(one.iterdir())]
        assert (
            pa.Table.from_pandas(pd.concat(exactly), schema=schemas.BARS, preserve_index=False)
            .replace_schema_metadata()
            .equals(expected)
        )
        with duckdb.connect() as connection:
            types = dict.fromkeys(schemas.BARS.names, "DOUBLE") | {"timestamp": "TIMESTAMPTZ"}
            query = f"SELECT * FROM read_csv($files, hive_partitioning = true, types = {types})"
            self.same(connection.sql(query, params={"files": f"{tmp_path}/bars/**/*.csv"}).to_arrow_table(), bars)

    def test_duckdb(self, archive: Archive, tmp_path: Path, bars: dict[tuple[str, str], pa.Table]) -> None:
        export(archive, tmp_path / "bars.duckdb")
        with duckdb.connect(str(tmp_path / "bars.duckdb"), read_only=True) as connection:
            self.same(connection.sql("FROM kline").to_arrow_table(), bars)
            assert connection.sql("DESCRIBE kline").fetchall()[2][:2] == ("timestamp", "TIMESTAMP WITH TIME ZONE")


class TestSelection:
    def test_a_range_cuts_bars_and_what_is_claimed(
        self, archive: Archive, opened: Callable[..., Archive], tmp_path: Path
    ) -> None:
        export(archive, tmp_path / "bars", codes=["EURUSD"], period=M1, range=("2026-02-01T12:00", "2026-02-01T13:00"))
        other = opened("other")
        bring(other, tmp_path / "bars")
        start, end = START + 780 * MINUTE, START + 840 * MINUTE
        assert other.groups() == [("EURUSD", M1)]
        assert rows_of(other.read("EURUSD", M1, *EVER)) == rows_of(archive.read("EURUSD", M1, start, end))
        assert other.known("EURUSD", M1).coverage == ((start, end),)
        assert other.known("EURUSD", M1).holes == ()

    @pytest.mark.parametrize(
        ("selected", "says"),
        [
            ({"codes": ["EURUSD", "USDJPY"]}, "codes='USDJPY': nothing of it is held"),
            ({"codes": ["700.HK"], "period": M1}, "codes='700.HK': nothing of it 1m is held"),
            ({"range": 500}, "range=500: a number of bars cannot be exported"),
            ({"format": "xlsx"}, "format='xlsx' is not known; use one of: parquet csv duckdb"),
        ],
    )
    def test_what_cannot_be_is_refused_before_anything_is_written(
        self, archive: Archive, tmp_path: Path, selected: dict[str, Any], says: str
    ) -> None:
        with pytest.raises(at.ArgumentError, match=says):
            export(archive, tmp_path / "bars", **selected)
        assert not (tmp_path / "bars").exists()


class TestWhatIsNotOurs:
    def test_bars_without_a_proof_are_refused(self, archive: Archive, tmp_path: Path) -> None:
        (tmp_path / "plain/period=1m/code=EURUSD").mkdir(parents=True)
        pq.write_table(table({START: (1.0, 1.0)}), tmp_path / "plain/period=1m/code=EURUSD/2026-01.parquet")
        pq.write_table(table({START: (1.0, 1.0)}), tmp_path / "plain.parquet")
        with pytest.raises(at.StoreError, match="is no export of alltick_frames: nothing proves its bars"):
            bring(archive, tmp_path / "plain")
        with pytest.raises(at.StoreError, match="it must be one that export"):
            bring(archive, tmp_path / "plain.parquet")
        with pytest.raises(at.ArgumentError, match="does not exist"):
            bring(archive, tmp_path / "nowhere")

    def test_a_database_without_a_proof_is_refused(self, archive: Archive, tmp_path: Path) -> None:
        with duckdb.connect(str(tmp_path / "mine.duckdb")) as connection:
            connection.execute("CREATE TABLE kline (code VARCHAR)")
        with pytest.raises(at.StoreError, match="nothing proves its bars"):
            bring(archive, tmp_path / "mine.duckdb")
        with pytest.raises(at.ArgumentError, match="has a table kline that is no export"):
            export(archive, tmp_path / "mine.duckdb")

    def test_nothing_is_put_among_other_files(self, archive: Archive, tmp_path: Path) -> None:
        with pytest.raises(
            at.ArgumentError, match="holds something else than an export; give a new or empty directory"
        ):
            export(archive, archive.directory)

    def test_one_path_has_one_format(self, archive: Archive, tmp_path: Path) -> None:
        export(archive, tmp_path / "bars", "csv")
        with pytest.raises(at.ArgumentError, match=r"format='parquet': the export at .* is csv"):
            export(archive, tmp_path / "bars", "parquet")

    def test_a_journal_that_was_edited_is_named_with_its_group_untouched(
        self, archive: Archive, opened: Callable[..., Archive], tmp_path: Path
    ) -> None:
        export(archive, tmp_path / "bars")
        daily, minutely = (tmp_path / f"bars/_alltick/period={period}/code=EURUSD.txt" for period in ("1d", "1m"))
        daily.write_bytes(daily.read_bytes().replace(b"alltick", b"ALLTICK", 1))
        minutely.write_bytes(minutely.read_bytes().replace(b'"coverage":[[', b'"coverage":[[0', 1))
        other = opened("other")
        with pytest.raises(at.StoreError, match="All else was, and what is missing is not claimed") as caught:
            bring(other, tmp_path / "bars")
        assert f"{daily}: it is not what was exported" in str(caught.value)
        assert "what is known of EURUSD 1m beside its bars: its export was not finished" in str(caught.value)
        assert other.known("EURUSD", D1).rows == 0
        assert (other.known("EURUSD", M1).rows, other.known("EURUSD", M1).coverage) == (2701, ())
        # The next export mends it.
        export(archive, tmp_path / "bars")
        bring(other, tmp_path / "bars")
        assert contents(other) == contents(archive)

    def test_duckdb_is_asked_for_by_the_name_of_its_extra(
        self, archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "duckdb", None)
        with pytest.raises(at.ConfigError, match=r"pip install 'alltick-frames\[duckdb\]'"):
            export(archive, tmp_path / "bars.duckdb")

    @pytest.mark.parametrize("format", ["parquet", "duckdb"])
    def test_one_process_exports_to_a_path_at_a_time(self, archive: Archive, tmp_path: Path, format: Format) -> None:
        path = path_of(tmp_path, format)
        export(archive, path, format)
        source = """
            import sys
            from pathlib import Path
            from alltick_frames import exports
            with exports.opened(Path(sys.argv[1]), writing=True):
                print("open", flush=True)
                sys.stdin.readline()
        """
        with subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(source), str(path)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        ) as other:  # fmt: skip
            assert other.stdout is not None
            assert other.stdout.readline() == "open\n"
            with pytest.raises(at.StoreError, match=r"another process is exporting|cannot be used: .*lock"):
                export(archive, path)
            other.communicate("\n")
        export(archive, path)


class TestAnArchiveInUse:
    def test_what_is_rewritten_meanwhile_is_exported_as_it_is_then(
        self, archive: Archive, opened: Callable[..., Archive], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(store, "_GRACE_US", 0)
        read = Archive.bars
        left = [2]

        def rewritten_first(self: Archive, code: str, period: Period, block: Block) -> Bars | None:
            if (code, block.name) == ("EURUSD", "2026-02") and left[0]:
                left[0] -= 1
                other = Archive.open(archive.directory.parent, "alltick")
                for more in (1, 2):  # the second write deletes the files that the first has replaced
                    other.write(
                        "EURUSD", M1, batch(minutes(60, 2700, 100.0 * left[0] + more), 10_000 - 10 * left[0] + more)
                    )
                other.close()
            return read(self, code, period, block)

        monkeypatch.setattr(Archive, "bars", rewritten_first)
        export(archive, tmp_path / "bars")
        assert left == [0]
        other = opened("other")
        bring(other, tmp_path / "bars")
        assert contents(other) == contents(archive)

    def test_a_damaged_group_is_named_and_the_others_are_exported(
        self, archive: Archive, opened: Callable[..., Archive], tmp_path: Path
    ) -> None:
        before = contents(archive)
        archive.close()
        segment = next((archive.directory / "segments").glob("*EURUSD_1m_2026-02*"))
        segment.write_bytes(b"nothing")
        damaged = opened()
        with pytest.raises(at.StoreError, match="bars of EURUSD 1m cannot be read"):
            export(damaged, tmp_path / "bars")
        other = opened("other")
        with pytest.raises(at.StoreError, match="EURUSD 1m beside its bars: its export was not finished"):
            bring(other, tmp_path / "bars")
        assert contents(other) | {"EURUSD 1m": before["EURUSD 1m"]} == before


# Children that carry out what is asked again and again, killed at any line and at any time.
KILLING = """
import os, random, shutil, signal, sys, time
from pathlib import Path
from tests import test_porting as t
from alltick_frames.store import Archive

directory, act, path, kills = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
chance = random.Random(act + path.suffix)

def killing(line):
    def trace(frame, event, _):
        nonlocal line
        if os.path.basename(frame.f_code.co_filename) not in ("exports.py", "porting.py", "store.py"):
            return None
        line -= event == "line"
        if not line:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace
    return trace

def child(line=0):
    pid = os.fork()
    if pid:
        return pid
    archive = Archive.open(directory, "alltick")
    if line:
        sys.settrace(killing(line))
    t.export(archive, path, sys.argv[5]) if act == "export" else t.bring(archive, path)
    os._exit(0)

killed = tried = 0
while killed <= kills:
    tried += 1
    if act == "export":
        # A block that is there is replaced, and some are not.
        t.grow(directory, tried)
    last = killed == kills
    line = 0 if last or tried % 2 else chance.randrange(1, 2_500)
    pid = child(line)
    if not line and not last:
        time.sleep(chance.uniform(0.0, 0.15))
        os.kill(pid, signal.SIGKILL)
    was_killed = os.waitpid(pid, 0)[1] != 0
    t.look(directory, act, path, sys.argv[5])
    killed += was_killed or last
    if act == "import" and not was_killed and not last:
        shutil.rmtree(directory)
print(killed - 1)
"""


def grow(directory: Path, number: int) -> None:
    """Add bars to a block that is held."""
    archive = Archive.open(directory, "alltick")
    archive.write("EURUSD", M1, batch(minutes(2700 + 20 * number, 2720 + 20 * number), 20_000 + number))
    archive.close()


def look(directory: Path, act: str, path: Path, format: Format) -> None:
    """See that what a killed process left is whole, as far as it goes."""
    if act == "import":
        assert_part_of(directory, directory.parent / "archive")
        return
    for file in path.glob("period=*/code=*/*"):
        assert len(pl.read_parquet(file) if format == "parquet" else pl.read_csv(file)) > 0
    scratch = directory.parent / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    other = Archive.open(scratch, "alltick")
    try:
        bring(other, path)
    except (at.StoreError, at.ArgumentError) as error:
        assert re.search("its export was not finished|is no export|does not exist", str(error))  # noqa: PT017
        assert "not what was exported" not in str(error)  # noqa: PT017
    other.close()
    assert_part_of(scratch, directory)


def assert_part_of(part: Path, whole: Path) -> None:
    """See that an archive has nothing that another has not, and every bar of what it says to have."""
    archive, everything = Archive.open(part, "alltick"), Archive.open(whole, "alltick")
    for code, period in archive.groups():
        rows, all_rows = ((one.read(code, period, *EVER)) for one in (archive, everything))
        assert set(zip(*bars_with_stamps(rows.bars), strict=True)) <= set(
            zip(*bars_with_stamps(all_rows.bars), strict=True)
        )
        for start, end in archive.known(code, period).coverage:
            held, there = (len(one.read(code, period, start, end).bars) for one in (archive, everything))
            assert held == there
    archive.close()
    everything.close()


def bars_with_stamps(bars: pa.Table) -> list[list[Any]]:
    return [bars["timestamp"].to_pylist(), *bars_of(bars)]


@pytest.mark.parametrize("format", FORMATS)
def test_an_export_killed_at_any_moment_is_whole_as_far_as_it_goes_and_goes_on(
    archive: Archive, opened: Callable[..., Archive], tmp_path: Path, format: Format
) -> None:
    path = path_of(tmp_path, format)
    assert killed(archive.directory.parent, "export", path, format) >= KILLS
    assert set(export(archive, path).values()) == {0}
    other = opened("other")
    bring(other, path)
    assert contents(other) == contents(archive)


@pytest.mark.parametrize("format", FORMATS)
def test_an_import_killed_at_any_moment_claims_no_bar_it_has_not_and_goes_on(
    archive: Archive, opened: Callable[..., Archive], tmp_path: Path, format: Format
) -> None:
    path = path_of(tmp_path, format)
    export(archive, path, format)
    assert killed(tmp_path / "other", "import", path, format) >= KILLS
    assert contents(opened("other")) == contents(archive)


def killed(directory: Path, act: str, path: Path, format: Format) -> int:
    """Kill an act again and again, let it end, and say how often it was killed."""
    done = subprocess.run(
        [sys.executable, "-c", KILLING, str(directory), act, str(path), str(KILLS), format],
        cwd=ROOT, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


SPAN = ("EURUSD", "15m", "2026-03-02/2026-03-06")
EARLIER = ("EURUSD", "15m", "2026-02-23/2026-03-06")


class TestClient:
    @pytest.mark.parametrize("format", FORMATS)
    def test_an_imported_archive_answers_as_the_first_did(
        self,
        connect: Callable[..., at.Client],
        server: at.sandbox.Sandbox,
        set_clocks: Callable[[str], None],
        tmp_path: Path,
        format: Format,
    ) -> None:
        set_clocks("2026-03-18T15:00:30Z")
        client, other = connect(), connect(token="never-used", network="never")
        calls = [SPAN, (["700.HK", ".DJI.US"], "1d", "1y"), ("700.HK", "1m", "max"), ("GOLD", "1mo", "2y")]
        for call in calls:
            client.get_kline(*call)
        report = client.export(path_of(tmp_path, format), format=format)
        assert other.import_(path_of(tmp_path, format))["added"].to_list() == report["written"].to_list()
        sent = server.counters()["requests"]
        assert other.coverage().equals(client.coverage())
        # What is held, what is not and why not.
        for call in (*calls, EARLIER, ("700.HK", "1m", "30d")):
            answers = [answer(one, call) for one in (client, other)]
            assert answers[0] == answers[1]
        assert isinstance(answers[0][1], tuple)
        assert server.counters()["requests"] == sent

    @pytest.mark.parametrize("format", ["parquet", "duckdb"])
    def test_progress_counts_bars_and_an_exception_in_it_stops_what_goes_on_later(
        self, client: at.Client, tmp_path: Path, format: Format
    ) -> None:
        path = path_of(tmp_path, format)
        client.get_kline(["EURUSD", "GOLD", "USDJPY"], "1h", 100)
        bars = client.coverage()["bars"].sum()
        seen: list[tuple[int, int, float]] = []

        def stop(*progress: Any) -> None:
            seen.append(progress)
            if len(seen) == 2:
                raise KeyError

        with pytest.raises(KeyError) as kept:  # and with it the frames of what was stopped
            client.export(path, format=format, progress=stop)
        report = client.export(path, progress=lambda *progress: seen.append(progress))
        assert kept
        assert 0 < report["written"].sum() < bars == report["bars"].sum()
        assert {total for _, total, _ in seen} == {bars}
        assert seen[-1] == (bars, bars, 0.0)
        assert [done for done, _, _ in seen[2:]] == sorted(done for done, _, _ in seen[2:])

    def test_others_run_between_blocks(self, client: at.Client, tmp_path: Path) -> None:
        client.get_kline(["EURUSD", "GOLD", "USDJPY"], "1h", 100)
        turns: list[str] = []

        async def meanwhile() -> None:
            while "done" not in turns:
                turns.append("other")
                await asyncio.sleep(0)

        async def both() -> pl.DataFrame:
            other = at.AsyncClient(network="never", base_url=client.settings.base_url, cache_dir=tmp_path / "other")
            async with other:
                task = asyncio.create_task(meanwhile())
                report: pl.DataFrame = await other.import_(tmp_path / "bars", progress=lambda *_: turns.append("block"))
                turns.append("done")
                await task
            return report

        client.export(tmp_path / "bars")
        assert asyncio.run(both())["added"].sum() == client.coverage()["bars"].sum()
        assert "block other block" in " ".join(turns)

    def test_what_could_not_be_imported_is_said_with_the_report_of_the_rest(
        self, connect: Callable[..., at.Client], tmp_path: Path
    ) -> None:
        client, other = connect(), connect()
        client.get_kline(["EURUSD", "GOLD"], "1h", 100)
        client.export(tmp_path / "bars")
        (tmp_path / "bars/period=1h/code=GOLD/2020s.parquet").unlink()
        with pytest.raises(at.StoreError, match=r"GOLD/2020s\.parquet: it is missing") as caught:
            other.import_(tmp_path / "bars")
        assert [row[:3] for row in caught.value.frame.rows()] == [("EURUSD", "1h", 499), ("GOLD", "1h", 0)]
        with pytest.raises(at.IncompleteDataError):
            other.get_kline("GOLD", "1h", 10, network="never")

    def test_from_the_shell(self, client: at.Client, server: at.sandbox.Sandbox, tmp_path: Path) -> None:
        client.get_kline(["EURUSD", "700.HK"], "1d", 100)
        bars = client.coverage()["bars"].sum()

        def alltick(archive: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
            settings = {"ALLTICK_BASE_URL": server.url, "ALLTICK_CACHE_DIR": str(archive)}
            command = [str(Path(sys.executable).with_name("alltick")), "cache", *arguments]
            return subprocess.run(
                command, env=os.environ | settings, capture_output=True, text=True, timeout=60, check=False
            )

        first, path = client.settings.cache_dir, str(tmp_path / "x.duckdb")
        said = f"{bars:,} bars in 2 series, {bars:,} of them written now → {path}\n"
        assert alltick(first, "export", path).stdout == said
        said = f"{path}: {bars:,} bars in 2 series, {bars:,} of them not held before\n"
        assert alltick(tmp_path / "other", "import", path).stdout == said
        only = ("--period", "1d", "--range", "2026-03-02/2026-03-03", "--format", "csv")
        assert alltick(first, "export", str(tmp_path / "csv"), "700.HK", *only).stdout.startswith(
            "2 bars in 1 series, 2"
        )
        refused = alltick(first, "import", str(tmp_path))
        assert (refused.returncode, refused.stdout) == (6, "")
        assert "nothing proves its bars" in refused.stderr


def answer(client: at.Client, call: tuple[Any, ...]) -> tuple[Any, Any]:
    """Give the rows, and what is said to be missing."""
    try:
        return client.get_kline(*call, network="never").rows(), None
    except at.IncompleteDataError as error:
        return error.frame.rows(), error.missing


# A process that asks for bars and says what it got; it then waits for its end.
ASKING = """
import sys, time
import alltick_frames as at

url, token, directory, until, network = sys.argv[1:]
client = at.Client(token, plan="professional", base_url=url, cache_dir=directory, network=network)
bars = client.get_kline("EURUSD", "15m", f"2026-03-02/{until}")
print(bars.height, bars["close"].sum(), client.coverage()["bars"].sum(), flush=True)
sys.stdin.readline()
"""


class TestMoving:
    @pytest.fixture
    def ask(self, server: at.sandbox.Sandbox, tmp_path: Path) -> Callable[..., list[str]]:
        def ask(directory: Path, until: str = "2026-03-06", network: str = "auto", *, kill: bool = False) -> list[str]:
            """Ask from another process with a home and a state directory of its own."""
            arguments = [server.url, server.token, str(directory), until, network]
            home = tmp_path / f"home of {directory.name}"
            with subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", ASKING, *arguments],
                cwd=ROOT, env=os.environ | {"HOME": str(home), "ALLTICK_STATE_DIR": str(home / "state")},
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            ) as process:  # fmt: skip
                assert process.stdout is not None
                said = process.stdout.readline().split()
                if kill:
                    process.kill()
                process.communicate("\n")
            assert process.returncode == (-9 if kill else 0)
            return said

        return ask

    def test_a_moved_archive_serves_all_without_a_request_and_goes_on_being_extended(
        self, ask: Callable[..., list[str]], server: at.sandbox.Sandbox, tmp_path: Path
    ) -> None:
        there = ask(tmp_path / "here")
        sent = server.counters()["requests"]
        assert (int(there[0]), sent) == (472, 1)
        shutil.move(tmp_path / "here", tmp_path / "an other place")
        assert ask(tmp_path / "an other place") == there
        assert server.counters()["requests"] == sent
        longer = ask(tmp_path / "an other place", "2026-03-12")
        assert int(longer[0]) > int(there[0])
        assert server.counters()["requests"] == sent + 1
        assert ask(tmp_path / "an other place", "2026-03-12", "never") == longer

    def test_one_copied_after_its_writer_was_killed_has_everything_if_its_log_comes_along(
        self, ask: Callable[..., list[str]], tmp_path: Path
    ) -> None:
        there = ask(tmp_path / "here", kill=True)
        (log,) = (tmp_path / "here").glob("*/cache.db-wal")
        assert log.stat().st_size > 0
        shutil.copytree(tmp_path / "here", tmp_path / "copy")
        shutil.rmtree(tmp_path / "here")
        assert ask(tmp_path / "copy", network="never") == there
