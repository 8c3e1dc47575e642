"""
The event loop that serves threads: one line of requests, in a thread of its own.

So that threads have what event loops have: a budget that holds whatever a look-up or a connection takes, and one request for all
hits that arrive while one is under way.
"""

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Final, NamedTuple, TypeVar

from ratekit.errors import StoreUnavailable
from ratekit.stores.upstash.line import Line, no_reply

T = TypeVar("T")

SLACK: Final = 1.0
"""Seconds beyond its time after which a thread no longer believes that the loop lives."""


class Running(NamedTuple):
    """A loop that runs, its line, and what ends both."""

    loop: asyncio.AbstractEventLoop
    line: Line
    stop: asyncio.Event
    thread: threading.Thread


_PARENTS: Final[list[Running]] = []
"""Loops of a process that this one was forked from: kept, since closing one would change what the parent's loop waits for."""


class LoopThread:
    """A line in a thread, begun when it is first needed, and again after a fork."""

    def __init__(self, new_line: Callable[[], Line]) -> None:
        self._new_line = new_line
        self._lock = threading.Lock()
        self._running: Running | None = None
        self._pid = os.getpid()

    def run(self, ask: Callable[[Line], Coroutine[Any, Any, T]], seconds: float) -> T:
        """What a coroutine on the line returns or raises; it ends within `seconds` by itself."""
        running = self._running if self._pid == os.getpid() else None
        loop, line, *_ = running or self._begin()
        coroutine = ask(line)
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, loop)
        except RuntimeError as error:  # the loop was closed meanwhile, or Python is going
            coroutine.close()
            raise StoreUnavailable("the store was closed") from error
        try:
            return future.result(seconds + SLACK)
        except TimeoutError as error:
            raise no_reply(seconds) from error

    def close(self) -> None:
        """End the loop, and wait for it; the next call begins another."""
        running = self._running if self._pid == os.getpid() else None
        if running is not None:
            self._running = None
            running.loop.call_soon_threadsafe(running.stop.set)
            running.thread.join(SLACK)

    def _begin(self) -> Running:
        if self._pid != os.getpid():
            self._lock, self._pid = threading.Lock(), os.getpid()
            if self._running is not None:
                _PARENTS.append(self._running)
                self._running = None
        with self._lock:
            if self._running is None:
                started: Future[Running] = Future()
                try:
                    threading.Thread(target=self._serve, args=(started,), name="ratekit-upstash", daemon=True).start()
                except RuntimeError as error:  # there can be no more threads just now
                    raise StoreUnavailable(f"no thread can be started: {error}") from error
                self._running = started.result()
            return self._running

    def _serve(self, started: "Future[Running]") -> None:
        async def serve() -> None:
            stop, line = asyncio.Event(), self._new_line()
            started.set_result(Running(asyncio.get_running_loop(), line, stop, threading.current_thread()))
            await stop.wait()
            await line.aclose()

        asyncio.run(serve())
