"""One event loop in a background thread: what makes the sync shell work anywhere.

In a script, under a loop that already runs (Jupyter), from many threads at once, and in a forked child, which
starts its own: the parent's thread does not exist there.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from alltick_frames.fetch import Report

__all__ = ["BackgroundLoop"]

T = TypeVar("T")
# How long a call that is left when the loop stops may take: it only has to leave its awaits.
_STOP_WITHIN_S = 1.0
# Of the second within which an interruption returns control, saving what came may have this much.
_SAVE_WITHIN_S = 0.8


class BackgroundLoop:
    """Runs coroutines for threads that cannot; *on_stop* is awaited last."""

    _loop: asyncio.AbstractEventLoop | None
    _finalizer: weakref.finalize[Any, Any] | None

    def __init__(self, on_stop: Callable[[], Awaitable[None]]) -> None:
        self._on_stop = on_stop
        self._forget()
        _all.add(self)

    def run(self, call: Callable[[Report], Coroutine[Any, Any, T]], report: Report) -> T:
        """Run `call(post)` and wait for it; what it posts reaches *report* in this thread.

        Whatever interrupts the wait, an exception of *report* or Ctrl-C, cancels the call, and goes on when that has
        ended: what it saves on its way out is then there for the next one. One that cannot save ends by itself later.
        """
        events: SimpleQueue[tuple[int, int, float] | None] = SimpleQueue()
        ended = threading.Event()

        def post(done: int, total: int, eta: float) -> None:
            events.put((done, total, eta))

        async def to_its_end() -> T:
            try:
                return await call(post)
            finally:
                ended.set()

        future = asyncio.run_coroutine_threadsafe(to_its_end(), self._running())
        future.add_done_callback(lambda _: events.put(None))
        try:
            while (event := events.get()) is not None:
                report(*event)
        except BaseException:
            future.cancel()
            # Not on the future, which is done as soon as it is cancelled. A second Ctrl-C leaves from here.
            ended.wait(_SAVE_WITHIN_S)
            raise
        return future.result()

    def close(self) -> None:
        """Stop the loop and its thread; a later `run` starts them again."""
        with self._lock:
            finalizer = self._finalizer
            self._forget()
        if finalizer is not None:
            finalizer()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                loop = asyncio.new_event_loop()
                thread = threading.Thread(target=_serve, args=(loop,), name="alltick_frames", daemon=True)
                thread.start()
                self._loop = loop
                # Also at interpreter exit, before daemon threads are frozen.
                self._finalizer = weakref.finalize(self, _stop, loop, thread, self._on_stop)
            return self._loop

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._loop = None
        self._finalizer = None

    def forget_parent(self) -> None:
        """Drop what a fork copied but left without its thread."""
        if self._finalizer is not None:
            self._finalizer.detach()
        self._forget()


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.close()


def _stop(loop: asyncio.AbstractEventLoop, thread: threading.Thread, on_stop: Callable[[], Awaitable[None]]) -> None:
    async def wind_up() -> None:
        others = asyncio.all_tasks(loop) - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.wait([asyncio.ensure_future(on_stop()), *others], timeout=_STOP_WITHIN_S)
        loop.stop()

    asyncio.run_coroutine_threadsafe(wind_up(), loop)
    if threading.current_thread() is not thread:
        thread.join(2 * _STOP_WITHIN_S)


_all: weakref.WeakSet[BackgroundLoop] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for loop in list(_all):
        loop.forget_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
