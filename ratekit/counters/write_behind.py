"""
Write-behind: sums that wait here and are written every interval, by a thread or a task. `backlog.py` says what to write.

What a crash loses is what was added since the last write: within one interval, and while the store is away since it went away. A clean
exit writes first: `close`, the end of a `with` block, the end of the program, the end of `asyncio.run`.
"""

import asyncio
import atexit
import logging
import threading
import time
from contextlib import suppress
from typing import Any, Final
from weakref import WeakKeyDictionary, WeakSet, ref

from ratekit.counters.backlog import MOST_BEHIND, TOGETHER, Backlog, Kept
from ratekit.errors import ConfigurationError, StoreError, StoreUnavailable

log: Final = logging.getLogger("ratekit")

PATIENCE: Final = 5.0
"""Seconds that a clean exit goes on trying, should the store not answer."""
PAUSE: Final = 0.05
"""Seconds between two tries of it."""
AWAY: Final = "the store is away: what was added waits here"
LOST: Final = "a counter ends with %d sums that could not be written: %s"


def now() -> int:
    """Microseconds of this machine's monotonic clock."""
    return time.monotonic_ns() // 1000


def backlog_of(plan: Kept, seconds: float, most: int = MOST_BEHIND, together: int = TOGETHER) -> Backlog:
    """What is to be written every so many seconds."""
    return Backlog(plan, round(seconds * 1_000_000), most, together)


def check_interval(seconds: object) -> float:
    """Seconds between two writes; raises ConfigurationError."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0.01 <= seconds <= 3600:
        raise ConfigurationError(f"write_behind {seconds!r}: write seconds from 0.01 to 3600, or None to write at once")
    return float(seconds)


class Writer:
    """Writes a backlog, or several, every `seconds`, in a thread of its own that is begun by the first add."""

    def __init__(self, store: Any, seconds: float, *backlogs: Backlog) -> None:
        self._store, self._seconds = store, seconds
        self._backlogs, self.backlog = backlogs, backlogs[0]
        self._writing = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        _WRITERS.add(self)

    def add(self, key: str, amount: int) -> int:
        """Add to the first of them; what then waits for this key."""
        waits = self.backlog.add(key, amount, now())
        self.begin()
        return waits

    def begin(self) -> None:
        """Write from now on, if that was not begun yet."""
        if self._thread is None or not self._thread.is_alive():  # nor is it in a child that was forked
            self._writing = threading.Lock() if self._thread is not None else self._writing
            self._closed.clear()
            self._thread = threading.Thread(target=_write_on, args=(ref(self), self._closed, self._seconds), daemon=True)
            self._thread.start()

    def waits(self) -> bool:
        """Whether anything is to be written."""
        return any(backlog.behind().wait for backlog in self._backlogs)

    def flush(self) -> None:
        """Write all that waits; raises StoreError, and then it waits on."""
        with self._writing:
            for backlog in self._backlogs:
                while jobs := backlog.next(now()):
                    if self._store.remote and self._store.health().state == "open":
                        raise StoreUnavailable(AWAY)
                    backlog.sending(now())
                    backlog.written(self._store.count_many(jobs))

    def close(self, patience: float = PATIENCE) -> None:
        """Write all that waits, trying for so many seconds."""
        self._closed.set()
        end = time.monotonic() + patience
        while True:
            try:
                return self.flush()
            except StoreError as error:
                if time.monotonic() > end:
                    log.warning(LOST, sum(backlog.behind().wait for backlog in self._backlogs), error)
                    return None
                time.sleep(PAUSE)


_WRITERS: Final[WeakSet[Writer]] = WeakSet()


def _write_on(writer: "ref[Writer]", closed: threading.Event, seconds: float) -> None:
    while not closed.wait(seconds):
        here = writer()
        if here is None:
            return
        with suppress(StoreError):  # it waits on, and is tried again
            here.flush()
        del here


@atexit.register
def _write_all() -> None:
    for writer in list(_WRITERS):
        if writer.waits():
            writer.close()


class AsyncWriter:
    """Writes a backlog every `seconds`, in a task of the event loop that adds; `Writer`, awaited."""

    def __init__(self, store: Any, plan: Kept, seconds: float) -> None:
        self._store, self._seconds = store, seconds
        self.backlog = backlog_of(plan, seconds)
        self._tasks: dict[asyncio.AbstractEventLoop, asyncio.Task[None]] = {}
        self._writing: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()

    def add(self, key: str, amount: int) -> int:
        """Add here; what then waits for this key."""
        loop = asyncio.get_running_loop()
        if loop not in self._tasks:
            self._tasks[loop] = loop.create_task(self._write_on())
        return self.backlog.add(key, amount, now())

    async def flush(self) -> None:
        """Write all that waits; raises StoreError, and then it waits on."""
        async with self._writing.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
            while jobs := self.backlog.next(now()):
                if self._store.health().state == "open":
                    raise StoreUnavailable(AWAY)
                self.backlog.sending(now())
                self.backlog.written(await self._store.count_many(jobs))

    async def aclose(self, patience: float = PATIENCE) -> None:
        """Write all that waits, trying for so many seconds."""
        task = self._tasks.pop(asyncio.get_running_loop(), None)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        await self._write_rest(patience)

    async def _write_rest(self, patience: float = PATIENCE) -> None:
        end = time.monotonic() + patience
        while self.backlog.behind().wait:
            try:
                await self.flush()
            except StoreError as error:
                if time.monotonic() > end:
                    log.warning(LOST, self.backlog.behind().wait, error)
                    return
                await asyncio.sleep(PAUSE)

    async def _write_on(self) -> None:
        try:
            while True:
                await asyncio.sleep(self._seconds)
                with suppress(StoreError):  # it waits on, and is tried again
                    await self.flush()
        except asyncio.CancelledError:  # by `aclose`, or at the end of asyncio.run
            await self._write_rest()
            raise
        finally:
            self._tasks.pop(asyncio.get_running_loop(), None)
