"""The archive as a Polars source: code by code and file by file, so that what is scanned need not fit in memory."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from alltick_frames import evidence, kline, schemas
from alltick_frames.errors import ArgumentError, IncompleteDataWarning
from alltick_frames.frames import to_frame
from alltick_frames.ranges import Asked
from alltick_frames.spans import BEGINNING, Missing, Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import polars as pl
    import pyarrow as pa

    from alltick_frames.kline import Question
    from alltick_frames.periods import Period
    from alltick_frames.plans import Plan
    from alltick_frames.store import Archive

__all__ = ["EVERYTHING", "Scan", "codes_held", "holes", "refuse_unheld"]

# Whatever is held when it is collected.
EVERYTHING = Asked(Span(BEGINNING, datetime.max.replace(tzinfo=UTC)), open_end=True, from_beginning=True)
_NAMED_AT_MOST = 3


@dataclass(frozen=True, slots=True, repr=False)
class Scan:
    """What a lazy frame is read from, each time it is collected.

    Attributes
    ----------
    complete
        Fetches what is missing, and raises if that cannot be had; None if the archive is to answer as it is.
    """

    question: Question
    archived: Callable[[], Archive]
    complete: Callable[[Scan], None] | None = None

    def lazy(self) -> pl.LazyFrame:
        """Give the frame to be collected."""
        from polars.io.plugins import register_io_source  # noqa: PLC0415

        schema = to_frame(schemas.KLINE.empty_table(), "polars").schema
        return register_io_source(self.frames, schema=schema)

    @property
    def as_held(self) -> Scan:
        """The same from the archive as it is."""
        return dataclasses.replace(self, complete=None)

    def frames(
        self,
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,  # noqa: ARG002  # the files' own sizes cost no copy
    ) -> Iterator[pl.DataFrame]:
        """Answer Polars."""
        # Here and not in the generator: up to Polars 1.x an error from there loses its type.
        if self.complete is not None:
            self.complete(self)
        return self._frames(with_columns, predicate, n_rows)

    def _frames(
        self, with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None
    ) -> Iterator[pl.DataFrame]:
        read = schemas.KLINE.names
        if with_columns is not None:
            used = {*with_columns, *(() if predicate is None else predicate.meta.root_names())}
            read = [name for name in read if name in used] or ["timestamp"]
        for code, batch in self._batches(n_rows):
            frame = _frame(code, batch, read)
            # `head(n).filter(p)` gives both: the rows are counted before they are filtered.
            frame = frame if predicate is None else frame.filter(predicate)
            if with_columns is not None:
                # Selecting nothing would forget how many rows there are, which is then all that is asked.
                frame = frame.select(with_columns) if with_columns else frame.drop(frame.columns)
            yield frame

    def _batches(self, n_rows: int | None) -> Iterator[tuple[pl.Series, pa.RecordBatch]]:
        """Give the bars in slices of mapped files, at most *n_rows*, each with as many of the code or more."""
        import polars as pl  # noqa: PLC0415

        left = n_rows
        for name in self.question.codes:
            if left == 0:
                return
            # All of a code at once, so that what others write meanwhile is either seen or not: files that are mapped
            # stay readable when they are replaced.
            bars = kline.rows_held(self.question, name, self.archived())
            bars = bars if left is None else bars.slice(0, left)
            left = left if left is None else left - len(bars)
            batches = bars.to_batches()
            code = pl.Series("code", [name], pl.String).new_from_index(0, max(map(len, batches), default=0))
            for batch in batches:
                yield code, batch


def _frame(code: pl.Series, batch: pa.RecordBatch, names: Sequence[str]) -> pl.DataFrame:
    import polars as pl  # noqa: PLC0415

    return pl.DataFrame([code.head(len(batch)) if name == "code" else pl.Series(name, batch[name]) for name in names])


def codes_held(archive: Archive, period: Period) -> tuple[str, ...]:
    """Name the codes of which something is held or known."""
    return tuple(sorted(code for code, of_period in archive.groups() if of_period is period))


def refuse_unheld(question: Question, archive: Archive) -> None:
    """Refuse a code of which nothing is held.

    Raises
    ------
    ArgumentError
        There is one.
    """
    for code, period in ((code, question.period) for code in question.codes):
        known = archive.known(code, period)
        if not known.rows and not known.coverage:
            raise ArgumentError(
                f"codes={code!r}: nothing of it {period.value} is held, and without a range nothing is fetched; give a "
                f"range such as '1y', or see coverage() for what is held"
            )


def holes(question: Question, archive: Archive, plan: Plan) -> list[IncompleteDataWarning]:
    """Say what is not held between the first and the last bars of each code."""
    missing: list[Missing] = []
    for code in question.codes:
        known = archive.known(code, question.period)
        held = evidence.held(known).spans
        if len(held) > 1:
            whole = Span(held[0].start, held[-1].end)
            gaps = evidence.gaps(known, code, question.period, whole, plan, question.asked_at)
            missing += [Missing(code, question.period, gap.span, gap.reason, gap.detail) for gap in gaps]
    if not missing or question.on_incomplete == "ignore":
        return []
    told = "; ".join(map(str, missing[:_NAMED_AT_MOST]))
    more = f" and {len(missing) - _NAMED_AT_MOST} more" if len(missing) > _NAMED_AT_MOST else ""
    return [
        IncompleteDataWarning(
            f"between the bars held {len(missing)} span{'s are' if len(missing) > 1 else ' is'} missing: {told}{more}. "
            f"Give a range to have fetched what can be"
        )
    ]
