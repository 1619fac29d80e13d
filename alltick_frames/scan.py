"""The archive as a Polars source: code by code and file by file, so that what is scanned need not fit in memory."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

from alltick_frames import evidence, finality, kline, schemas
from alltick_frames.codes import check_codes
from alltick_frames.errors import ArgumentError, IncompleteDataWarning
from alltick_frames.frames import to_frame
from alltick_frames.notices import tell
from alltick_frames.ranges import Asked, parse_range
from alltick_frames.spans import BEGINNING, EVER, Missing, Span, SpanSet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import polars as pl
    import pyarrow as pa

    from alltick_frames.clocks import CallClock
    from alltick_frames.kline import Question
    from alltick_frames.periods import Period
    from alltick_frames.plans import Plan
    from alltick_frames.store import Archive

__all__ = ["EVERYTHING", "Part", "Scan", "questions"]

# Whatever is held when it is collected, whatever the clock says.
EVERYTHING = Asked(EVER, open_end=True, from_beginning=True)
_NAMED_AT_MOST = 3
# Of more stretches each would be a call of its own.
_STRETCHES_AT_MOST = 50


@dataclass(frozen=True, slots=True)
class Part:
    """What is read of one code.

    Attributes
    ----------
    spans
        By key: instants, or trading dates for 1d, 1w and 1mo.
    bounded
        Whether they begin somewhere, so that what is missing of them can be fetched.
    """

    code: str
    spans: SpanSet
    bounded: bool


@dataclass(frozen=True, slots=True, repr=False)
class Scan:
    """What a lazy frame is read from, each time it is collected.

    Attributes
    ----------
    question
        With the codes that were named, none if every code was meant; of `EVERYTHING` if no range was given.
    archived, plan
        Of the client.
    complete
        Fetches what is missing, and raises if that cannot be had; None if the archive is to answer as it is.
    settled
        What is to be read, if that was settled before: after all that could be said of it was said.
    """

    question: Question
    archived: Callable[[], Archive]
    plan: Callable[[], Plan]
    complete: Callable[[Scan, Sequence[Part]], None] | None = None
    settled: tuple[Part, ...] | None = None

    def lazy(self) -> pl.LazyFrame:
        """Give the frame to be collected."""
        from polars.io.plugins import register_io_source  # noqa: PLC0415

        schema = to_frame(schemas.KLINE.empty_table(), "polars").schema
        return register_io_source(self.frames, schema=schema)

    @property
    def ranged(self) -> bool:
        """Whether a range was given."""
        return self.question.asked is not EVERYTHING

    def as_held(self, parts: Sequence[Part]) -> Scan:
        """Give *parts* of it from the archive as it is."""
        return dataclasses.replace(self, complete=None, settled=tuple(parts))

    def frames(
        self,
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,  # noqa: ARG002  # the files' own sizes cost no copy
    ) -> Iterator[pl.DataFrame]:
        """Answer Polars."""
        # `head(n).filter(p)` gives both: the rows are counted before they are filtered.
        parts = self.parts(predicate if n_rows is None else None)
        # Here and not in the generator: up to Polars 1.x an error from there loses its type.
        parts = self._completed(parts) if n_rows is None else self._first(parts, n_rows)
        return self._frames(parts, with_columns, predicate, n_rows)

    def parts(self, predicate: pl.Expr | None) -> list[Part]:
        """Say what has to be read so that *predicate* can be applied to it."""
        from alltick_frames.pushdown import Reading  # noqa: PLC0415

        if self.settled is not None:
            return [*self.settled]
        reading, period, asked = Reading.of(predicate), self.question.period, self.question.asked
        codes = self.question.codes
        if not codes and reading.binds:
            codes = check_codes(sorted(reading.names), period) if reading.names else ()
        elif not codes:
            codes = _codes_held(self.archived(), period)
        parts: list[Part] = []
        for code in codes:
            times = reading.times(code)
            dates = [finality.dates_of(span, code, period) for span in times]
            spans = SpanSet.of(dates) & SpanSet((asked.span,))
            if spans and (asked.count is not None or len(spans.spans) > _STRETCHES_AT_MOST):
                whole = Span(spans.spans[0].start, spans.spans[-1].end) if asked.count is None else asked.span
                spans = SpanSet((whole,))
            if spans:
                bounded = self.ranged or next(iter(times)).start > BEGINNING
                parts.append(Part(code, spans, bounded))
        return parts

    def _completed(self, parts: list[Part]) -> list[Part]:
        """Fetch what is missing of what has bounds; of the rest, say what is not held."""
        to_complete = [part for part in parts if part.bounded] if self.complete is not None else []
        as_held = [part for part in parts if part not in to_complete]
        if as_held and not self.ranged and self.settled is None:
            archive = self.archived()
            _refuse_unheld(as_held, self.question.period, archive)
            if self.question.on_incomplete != "ignore":
                tell(_holes(as_held, self.question, archive, self.plan()))
        if self.complete is not None and to_complete:
            self.complete(self, to_complete)
        return parts

    def _first(self, parts: list[Part], n_rows: int) -> list[Part]:
        """Complete no more codes than have the first *n_rows*."""
        done: list[Part] = []
        for part in parts:
            if n_rows <= 0:
                break
            done += self._completed([part])
            n_rows -= len(self._rows(part))
        return done

    def _rows(self, part: Part) -> pa.Table:
        import pyarrow as pa  # noqa: PLC0415

        archive, asked = self.archived(), self.question.asked
        of_spans = [
            kline.rows_held(
                dataclasses.replace(self.question, asked=dataclasses.replace(asked, span=span)), part.code, archive
            )
            for span in part.spans
        ]
        return pa.concat_tables(of_spans)

    def _frames(
        self, parts: Sequence[Part], with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None
    ) -> Iterator[pl.DataFrame]:
        read = schemas.KLINE.names
        if with_columns is not None:
            used = {*with_columns, *(() if predicate is None else predicate.meta.root_names())}
            read = [name for name in read if name in used] or ["timestamp"]
        for code, batch in self._batches(parts, n_rows):
            frame = _frame(code, batch, read)
            frame = frame if predicate is None else frame.filter(predicate)
            if with_columns is not None:
                # Selecting nothing would forget how many rows there are, which is then all that is asked.
                frame = frame.select(with_columns) if with_columns else frame.drop(frame.columns)
            yield frame

    def _batches(self, parts: Sequence[Part], n_rows: int | None) -> Iterator[tuple[pl.Series, pa.RecordBatch]]:
        """Give the bars in slices of mapped files, at most *n_rows*, each with as many of the code or more."""
        import polars as pl  # noqa: PLC0415

        left = n_rows
        for part in parts:
            if left == 0:
                return
            # All of a code at once, so that what others write meanwhile is either seen or not: files that are mapped
            # stay readable when they are replaced.
            bars = self._rows(part)
            bars = bars if left is None else bars.slice(0, left)
            left = left if left is None else left - len(bars)
            batches = bars.to_batches()
            code = pl.Series("code", [part.code], pl.String).new_from_index(0, max(map(len, batches), default=0))
            for batch in batches:
                yield code, batch


def questions(scanned: Scan, parts: Iterable[Part], clock: CallClock) -> list[list[Question]]:
    """Turn *parts* into calls, to be made one after the other: of each code its latest stretch first.

    The pages of a later stretch can bring an earlier one along. Where there is no range, they end when *clock* starts.
    """
    question = dataclasses.replace(scanned.question, clock=clock)
    if not scanned.ranged:
        question = dataclasses.replace(question, asked=parse_range("max", question.period, clock.start))
    rounds: list[list[Question]] = []
    for of_round in zip_longest(*([(part.code, span) for span in reversed(part.spans.spans)] for part in parts)):
        codes: defaultdict[Span, list[str]] = defaultdict(list)
        for code, span in filter(None, of_round):
            codes[span].append(code)
        rounds.append(
            [
                dataclasses.replace(question, codes=tuple(of_span), asked=_asked(question.asked, span))
                for span, of_span in codes.items()
                if span.start < question.asked.span.end
            ]
        )
    return [of_round for of_round in rounds if of_round]


def _asked(asked: Asked, span: Span) -> Asked:
    begins, ends = span.start <= asked.span.start, span.end >= asked.span.end
    return dataclasses.replace(
        asked,
        span=Span(max(span.start, asked.span.start), min(span.end, asked.span.end)),
        open_end=asked.open_end and ends,
        from_beginning=asked.from_beginning and begins,
    )


def _frame(code: pl.Series, batch: pa.RecordBatch, names: Sequence[str]) -> pl.DataFrame:
    import polars as pl  # noqa: PLC0415

    return pl.DataFrame([code.head(len(batch)) if name == "code" else pl.Series(name, batch[name]) for name in names])


def _codes_held(archive: Archive, period: Period) -> tuple[str, ...]:
    """Name the codes of which something is held or known."""
    return tuple(sorted(code for code, of_period in archive.groups() if of_period is period))


def _refuse_unheld(parts: Sequence[Part], period: Period, archive: Archive) -> None:
    """Refuse a code of which nothing is held.

    Raises
    ------
    ArgumentError
        There is one.
    """
    for part in parts:
        known = archive.known(part.code, period)
        if not known.rows and not known.coverage:
            raise ArgumentError(
                f"codes={part.code!r}: nothing of it {period.value} is held, and without a beginning nothing is "
                f"fetched; give a range such as '1y', or filter(pl.col('timestamp') >= …), or see coverage() for what "
                f"is held"
            )


def _holes(parts: Sequence[Part], question: Question, archive: Archive, plan: Plan) -> list[IncompleteDataWarning]:
    """Say what is not held between the first and the last bars of each code."""
    missing: list[Missing] = []
    for part in parts:
        known = archive.known(part.code, question.period)
        held = evidence.held(known).spans
        if len(held) > 1:
            whole = Span(max(held[0].start, part.spans.spans[0].start), min(held[-1].end, part.spans.spans[-1].end))
            gaps = evidence.gaps(known, part.code, question.period, whole, plan, question.asked_at) if whole else ()
            missing += [Missing(part.code, question.period, gap.span, gap.reason, gap.detail) for gap in gaps]
    if not missing:
        return []
    told = "; ".join(map(str, missing[:_NAMED_AT_MOST]))
    more = f" and {len(missing) - _NAMED_AT_MOST} more" if len(missing) > _NAMED_AT_MOST else ""
    return [
        IncompleteDataWarning(
            f"between the bars held {len(missing)} span{'s are' if len(missing) > 1 else ' is'} missing: {told}{more}. "
            f"Give a range to have fetched what can be"
        )
    ]
