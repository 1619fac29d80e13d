"""Live ticks as Arrow batches: connections kept up, a bounded buffer, and every loss as a record of its own."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from alltick_frames import clocks, pushes, subscription
from alltick_frames.codes import Family, check_codes, family_of
from alltick_frames.errors import AllTickError, PlanLimitError, StreamError, StreamWarning
from alltick_frames.finality import instant, microseconds
from alltick_frames.notices import tell
from alltick_frames.progress import quiet
from alltick_frames.subscription import Ack, Conversation, Gap, Kind, Refused, shares, wait_s
from alltick_frames.wire import new_trace

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable
    from datetime import datetime
    from typing import Self

    import pyarrow as pa

    from alltick_frames.background import BackgroundLoop
    from alltick_frames.plans import Plan
    from alltick_frames.sockets import Socket

__all__ = ["AsyncStream", "Dropped", "Item", "Stream", "WhenFull"]

WhenFull = Literal["block", "drop", "raise"]
Open: TypeAlias = "Callable[[Family], Awaitable[Socket]]"
Bad: TypeAlias = "Callable[[tuple[str, ...]], Awaitable[dict[str, AllTickError]]]"

# A batch is not larger, so that the first of many ticks do not wait for the last.
_MOST_A_BATCH = 20_000
# A connection that lasted so long was a good one.
_LASTED_S = 60.0
# The vendor may send a tick twice.
_REMEMBERED = 32


@dataclass(frozen=True, slots=True)
class Dropped:
    """Ticks that came and are not handed over.

    Attributes
    ----------
    start, end
        When the first and the last of them came.
    why
        The buffer was full and `when_full="drop"`, or what was wrong with them.
    """

    kind: Kind
    count: int
    start: datetime
    end: datetime
    why: str


Item: TypeAlias = "pa.RecordBatch | Gap | Dropped"
_Tick: TypeAlias = "pushes.Trade | pushes.Book"
T = TypeVar("T")
_FULL = "the buffer was full"


@dataclass(slots=True)
class _Buffer:
    """Ticks and records as they came, of at most *size* ticks."""

    kind: Kind
    size: int
    when_full: WhenFull
    items: deque[tuple[_Tick, int] | Gap | Dropped] = field(default_factory=deque)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    taken: asyncio.Event = field(default_factory=asyncio.Event)
    failure: BaseException | None = None
    _dropped: list[int] = field(default_factory=list)

    async def put(self, tick: _Tick, received_us: int) -> None:
        while len(self.items) >= self.size:
            if self.when_full == "raise":
                raise StreamError(
                    f"the buffer of {self.size:,} ticks is full: take them faster, give a larger buffer=, or "
                    f"when_full='drop' or 'block'"
                )
            if self.when_full == "drop":
                self._drop_oldest()
                break
            # The socket is not read meanwhile: the server sees it, and in the end closes the connection.
            self.taken.clear()
            await self.taken.wait()
        self.items.append((tick, received_us))
        self.arrived.set()

    def note(self, record: Gap | Dropped) -> None:
        self.items.append(record)
        self.arrived.set()

    def fail(self, error: BaseException) -> None:
        self.failure = self.failure or error
        self.arrived.set()

    def _drop_oldest(self) -> None:
        oldest = self.items.popleft()
        if not isinstance(oldest, tuple):
            # A record is never dropped.
            second = self.items.popleft()
            self.items.appendleft(oldest)
            oldest = second
        if isinstance(oldest, tuple):
            self._dropped.append(oldest[1])

    def take(self) -> Item | None:
        """Give what came first, or None if there is nothing."""
        if self._dropped:
            lost, self._dropped = self._dropped, []
            return Dropped(self.kind, len(lost), instant(lost[0]), instant(lost[-1]), _FULL)
        if not self.items:
            self.arrived.clear()
            return None
        if not isinstance(self.items[0], tuple):
            record = self.items.popleft()
            assert not isinstance(record, tuple)  # noqa: S101  # for the type checker
            return record
        ticks: list[Any] = []
        received: list[int] = []
        while self.items and len(ticks) < _MOST_A_BATCH and isinstance(self.items[0], tuple):
            tick, received_us = self.items.popleft()  # type: ignore[misc]  # just seen
            ticks.append(tick)
            received.append(received_us)
        self.taken.set()
        make = pushes.trades_batch if self.kind == "trades" else pushes.books_batch
        batch, untrue = make(ticks, received)
        if untrue:
            self.items.appendleft(
                Dropped(self.kind, untrue, instant(received[0]), instant(received[-1]), "a price that is no number")
            )
        return batch


class _Feed:
    """One connection, opened again as often as it is lost."""

    def __init__(self, family: Family, levels: int, buffer: _Buffer, open_: Open, bad: Bad, spacing_s: float) -> None:
        self.family = family
        self.conversation = Conversation(levels)
        self._buffer = buffer
        self._open = open_
        self._bad = bad
        self._spacing_s = spacing_s
        self._changed = asyncio.Event()
        self._recent: defaultdict[str, deque[Any]] = defaultdict(partial(deque, maxlen=_REMEMBERED))

    @property
    def codes(self) -> tuple[str, ...]:
        return self.conversation.wanted.get(self._buffer.kind, ())

    def want(self, codes: Iterable[str]) -> None:
        self.conversation.want(self._buffer.kind, codes)
        self._changed.set()

    async def run(self) -> None:
        """Keep the connection up until it is cancelled.

        Raises
        ------
        AuthenticationError
            The token is not accepted.
        StreamError
            The buffer is full, and that was to be an error.
        """
        failures = 0
        while True:
            began_s = time.monotonic()
            try:
                socket = await self._open(self.family)
            except StreamError as error:
                why = str(error)
            else:
                try:
                    why = await self._talk(socket)
                finally:
                    with contextlib.suppress(StreamError, OSError):
                        await socket.close()
                self.conversation.closed(clocks.utc_now(), why)
            failures = 1 if time.monotonic() - began_s > _LASTED_S else failures + 1
            await asyncio.sleep(wait_s(failures, self._spacing_s, random.random()))  # noqa: S311  # no secret

    async def _talk(self, socket: Socket) -> str:
        """Talk until the connection is lost, and say why it was."""
        self.conversation.opened(time.monotonic(), clocks.utc_now())
        reading, sending = asyncio.ensure_future(self._read(socket)), asyncio.ensure_future(self._send(socket))
        try:
            done, _ = await asyncio.wait((reading, sending), return_when=asyncio.FIRST_COMPLETED)
            return next(iter(done)).result()
        finally:
            for task in (reading, sending):
                task.cancel()
            await asyncio.gather(reading, sending, return_exceptions=True)

    async def _send(self, socket: Socket) -> str:
        conversation = self.conversation
        while True:
            now_s = time.monotonic()
            if conversation.is_dead(now_s):
                return f"nothing was heard for {subscription.DEAD_S:g} s"
            try:
                message = conversation.message(now_s, new_trace())
                if message is not None:
                    await socket.send(message)
            except StreamError as error:
                return str(error)
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), max(0.0, conversation.wake_s() - time.monotonic()) + 0.001)

    async def _read(self, socket: Socket) -> str:
        conversation, buffer = self.conversation, self._buffer
        while True:
            try:
                frame = await socket.receive()
            except StreamError as error:
                return str(error)
            now = clocks.utc_now()
            conversation.heard(time.monotonic(), now)
            said = pushes.read(frame)
            if isinstance(said, pushes.Trade | pushes.Book):
                if isinstance(said, pushes.Trade) == (buffer.kind == "trades") and self._is_new(said):
                    await buffer.put(said, microseconds(now))
            elif isinstance(said, Ack):
                lost = await self._answered(said, now)
                if lost:
                    return lost
            else:
                buffer.note(Dropped(buffer.kind, 1, now, now, f"cannot be read: {said.why}: {said.raw}"))

    async def _answered(self, ack: Ack, now: datetime) -> str:
        try:
            events = self.conversation.answered(ack, now)
        except StreamError as error:
            return str(error)
        self._changed.set()
        for event in events:
            if isinstance(event, Gap):
                self._buffer.note(event)
            elif isinstance(event, Refused):
                await self._without_bad(event)
        return ""

    async def _without_bad(self, refused: Refused) -> None:
        """Find the codes because of which a subscription was refused, and leave them out."""
        bad = await self._bad(refused.codes)
        if not bad:
            raise StreamError(
                f"the vendor refuses a subscription to {len(refused.codes)} codes (ret {refused.ret} {refused.message})"
            )
        if len(bad) == len(refused.codes):
            raise next(iter(bad.values()))
        for code, error in bad.items():
            tell([StreamWarning(f"{code} is left out of the stream: {error}")])
        self.want(code for code in self.codes if code not in bad)

    def _is_new(self, tick: _Tick) -> bool:
        """Whether it is no exact repeat of one of the code's last ticks."""
        if tick.seq in (None, ""):
            return True
        recent = self._recent[tick.code]
        if tick in recent:
            return False
        recent.append(tick)
        return True


class AsyncStream:
    """Live ticks: `async for item in stream`, each a batch, or a record of what was lost.

    Made by `AsyncClient.stream_trades` and `AsyncClient.stream_order_book`. It begins with the first `async for`, and
    ends when it is closed.
    """

    def __init__(
        self,
        kind: Kind,
        codes: Iterable[str],
        plan: Plan,
        open_: Open,
        bad: Bad,
        *,
        levels: int = 0,
        buffer: int = 100_000,
        when_full: WhenFull = "block",
    ) -> None:
        self._plan = plan
        self._buffer = _Buffer(kind, buffer, when_full)
        self._make = partial(
            _Feed, levels=levels, buffer=self._buffer, open_=open_, bad=bad, spacing_s=plan.stream.seconds
        )
        self._feeds: list[_Feed] = []
        self._tasks: list[asyncio.Future[None]] = []
        self._begun = self._closed = False
        self.add(codes)

    @property
    def codes(self) -> tuple[str, ...]:
        """What is subscribed to."""
        return tuple(code for feed in self._feeds for code in feed.codes)

    def add(self, codes: str | Iterable[str]) -> None:
        """Subscribe to more codes.

        Raises
        ------
        ArgumentError
            What is no code.
        PlanLimitError
            More than the plan's connections carry; nothing was added.
        """
        new = [code for code in check_codes(codes) if code not in self.codes]
        placed: dict[_Feed, list[str]] = {feed: list(feed.codes) for feed in self._feeds}
        fresh: list[tuple[Family, tuple[str, ...]]] = []
        most = self._plan.codes_a_connection
        for family in Family:
            left = [code for code in new if family_of(code) is family]
            for feed, held in placed.items():
                if feed.family is family:
                    room = max(0, most - len(held))
                    held.extend(left[:room])
                    left = left[room:]
            fresh += [(family, part) for part in shares(left, most)]
        families = [feed.family for feed in self._feeds] + [family for family, _ in fresh]
        # A connection of each family counts as one.
        if max((families.count(family) for family in Family), default=0) > self._plan.connections:
            raise PlanLimitError(
                f"{len(new) + len(self.codes):,} codes are too many: the {self._plan.name} plan streams {most:,} on "
                f"each of {self._plan.connections} connections of a family"
            )
        for feed, held in placed.items():
            if tuple(held) != feed.codes:
                feed.want(held)
        for family, part in fresh:
            feed = self._make(family)
            feed.want(part)
            self._feeds.append(feed)
            if self._begun:
                self._start(feed)

    def remove(self, codes: str | Iterable[str]) -> None:
        """Subscribe to fewer codes; what came before is still handed over."""
        gone = set(check_codes(codes))
        for feed in self._feeds:
            if gone & {*feed.codes}:
                feed.want(code for code in feed.codes if code not in gone)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        if not self._begun and not self._closed:
            self._begun = True
            for feed in self._feeds:
                self._start(feed)
        while True:
            item = self._buffer.take()
            if item is not None:
                return item
            if self._buffer.failure is not None:
                failure, self._buffer.failure = self._buffer.failure, None
                await self.aclose()
                raise failure
            if self._closed:
                raise StopAsyncIteration
            await self._buffer.arrived.wait()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; what came already can still be taken."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._buffer.arrived.set()

    def _start(self, feed: _Feed) -> None:
        task = asyncio.ensure_future(feed.run())
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Future[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._buffer.fail(error)


class Stream:
    """`AsyncStream` for code that does not await: `for item in stream`."""

    def __init__(self, stream: AsyncStream, background: BackgroundLoop) -> None:
        self._stream = stream
        self._background = background

    @property
    def codes(self) -> tuple[str, ...]:
        """What is subscribed to."""
        return self._stream.codes

    def add(self, codes: str | Iterable[str]) -> None:
        """Subscribe to more codes; see `AsyncStream.add`."""
        self._within(self._now(lambda: self._stream.add(codes)))

    def remove(self, codes: str | Iterable[str]) -> None:
        """Subscribe to fewer codes; see `AsyncStream.remove`."""
        self._within(self._now(lambda: self._stream.remove(codes)))

    def close(self) -> None:
        """Close the connections; what came already can still be taken."""
        self._within(self._stream.aclose())

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Item:
        item = self._within(self._next())
        if item is None:
            raise StopIteration
        return item

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _next(self) -> Item | None:
        try:
            return await anext(self._stream)
        except StopAsyncIteration:
            return None

    async def _now(self, act: Callable[[], None]) -> None:
        act()

    def _within(self, call: Coroutine[Any, Any, T]) -> T:
        """Run *call* where the connections are."""
        return self._background.run(lambda _: call, quiet)
