"""
Loads: ways to call an async `hit(key)` many times, and what is counted meanwhile.
"""

import asyncio
import random
import statistics
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from itertools import cycle
from typing import Any

Hit = Callable[[str], Awaitable[Any]]
Stored = Callable[[Any], bool]
Figures = dict[str, float]

KEYS = [f"user:{i}" for i in range(1000)]
LOST_AFTER = 1.0
"""Seconds after which a call of an open load counts as lost."""
SHORTEST = 0.1
"""Seconds of a closed load at least: many callers take a while to begin."""
CROWD = 20_000
"""Calls of an open load under way, beyond which a new one counts as lost."""


def wandering_keys() -> Iterator[str]:
    """All keys again and again, in an order of no pattern."""
    return cycle(random.Random(1).sample(KEYS, len(KEYS)))


async def closed(hit: Hit, stored: Stored, tasks: int, seconds: float) -> Figures:
    """
    Hits a second of `tasks` callers, each of which hits again as soon as it has its answer. One answer in 16 is looked at, and the
    share of those that were no hits on the store (`stored` says) is taken off.
    """
    keys, done, odd, running = wandering_keys(), 0, 0, True

    def stop() -> None:
        nonlocal running
        running = False

    async def caller() -> None:
        nonlocal done, odd
        while running:
            answer = await hit(next(keys))
            if not done & 15:
                odd += not stored(answer)
            done += 1

    asyncio.get_running_loop().call_later(max(seconds, SHORTEST), stop)
    start = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(tasks)))
    return counted(done, odd, time.perf_counter() - start)


def counted(done: int, odd: int, seconds: float) -> Figures:
    """Hits a second, without the share of one in 16 that were none, which is shown."""
    share = min(odd * 16 / max(done, 1), 1.0)
    return {"figure": done * (1 - share) / seconds, "not by the store %": 100 * share}


class Turnstile:
    """
    Lets one to three of those who wait through per turn of the event loop. Callers whose answers came together do not go on
    together: without it, callers in a closed load march in step and every batch is as large as it can be.
    """

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._random = random.Random(2)
        self._loop = asyncio.get_running_loop()

    async def __call__(self) -> None:
        future = self._loop.create_future()
        if not self._waiting:
            self._loop.call_soon(self._turn)
        self._waiting.append(future)
        await future

    def _turn(self) -> None:
        for _ in range(min(self._random.randrange(1, 4), len(self._waiting))):
            self._waiting.popleft().set_result(None)
        if self._waiting:
            self._loop.call_soon(self._turn)


async def staggered(hit: Hit, stored: Stored, tasks: int, seconds: float) -> Figures:
    """Hits a second of `tasks` callers that arrive one by one."""
    through = Turnstile()

    async def arrive_and_hit(key: str) -> Any:
        await through()
        return await hit(key)

    return await closed(arrive_and_hit, stored, tasks, seconds)


async def alone(hit: Hit, stored: Stored, seconds: float) -> Figures:
    """The median time in microseconds that one caller waits, and the 99th percentile, of hits on the store."""
    waits, keys, end = [], wandering_keys(), time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        answer = await hit(next(keys))
        took = time.perf_counter() - start
        if stored(answer):
            waits.append(took)
    return {"figure": statistics.median(waits) * 1e6, "p99": percentile(waits, 0.99) * 1e6}


async def open_load(hit: Hit, stored: Stored, rate: int, seconds: float) -> Figures:
    """
    Calls that come at `rate` a second whatever becomes of the earlier ones. Waits count from when a call was due. A call is lost
    that raises, has no answer within a second, is no hit on the store, or would have come to a crowd.
    """
    loop, keys = asyncio.get_running_loop(), wandering_keys()
    waits: list[float] = []
    under_way: set[asyncio.Task[None]] = set()

    async def call(due: float) -> None:
        if stored(await hit(next(keys))):
            waits.append(time.perf_counter() - due)

    gap, number, start = 1 / rate, int(rate * seconds), time.perf_counter()
    for i in range(number):
        due = start + i * gap
        # Turns of the loop, not sleep: uvloop's timers go by whole milliseconds.
        while time.perf_counter() < due:
            await asyncio.sleep(0)
        if len(under_way) < CROWD:
            task = loop.create_task(call(due))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            task.add_done_callback(lambda task: task.cancelled() or task.exception())  # lost, and that is all
            if i % 64 == 63:  # when calls are due faster than they are made, the loop still gets its turns
                await asyncio.sleep(0)
    if under_way:
        await asyncio.wait(under_way, timeout=LOST_AFTER)
    for task in list(under_way):
        task.cancel()
    answered = [wait for wait in waits if wait <= LOST_AFTER] or [LOST_AFTER]
    lost = number - sum(wait <= LOST_AFTER for wait in waits)
    return {
        "figure": statistics.median(answered) * 1e6,
        "p99 ms": percentile(answered, 0.99) * 1e3,
        "lost %": 100 * lost / number,
    }


def percentile(values: list[float], share: float) -> float:
    """The value that `share` of all are not above."""
    return sorted(values)[int(share * (len(values) - 1))]
