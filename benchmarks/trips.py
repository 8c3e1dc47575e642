"""
The trips of an event loop and of threads: as they are, and other ways to send the same hits; what `docs/decisions/trip.md` compares.

Each way is the shipped code with another rule of when a command goes, so that nothing else differs.
"""

from collections.abc import Callable
from typing import Any

from libraries import PLENTY, ratekit_limit, stored
from loads import alone, closed, staggered
from measure import Row, Side
from redis_sync import threads

SECONDS = 0.5
LIMITLESS = 1_000_000
CREWS = {"ratekit": 1, "two trips under way": 2, "a connection per thread": 1_000}
"""Trips of threads under way at most."""
WAYS = ("as it is", "one batch under way", "a command per turn of the loop", "a command per hit")


def line_for(way: str) -> None:
    """Make every line of this process go this way."""
    from ratekit.stores.redis import line

    if way == "one batch under way":  # everything that waits goes when the reply is there
        line.UNDER_WAY = 1
    elif way != "as it is":  # full multiplexing: nobody waits for a reply
        line.UNDER_WAY, line.FEWEST, line.MANY = LIMITLESS, 1, 1
        line.Line._go = _at_once if way == "a command per hit" else _at_the_end_of_the_turn


def _at_the_end_of_the_turn(self: Any) -> None:
    if self._transport is None:
        self._connect()
    elif not self._flush_soon:
        self._flush_soon = True
        self._loop.call_soon(self._flush)


def _at_once(self: Any) -> None:
    if self._transport is None:
        self._connect()
    else:
        self._flush()


async def under(load: Any, way: str, tasks: int, algorithm: str, url: str) -> Callable[[float], Any]:
    """Hits a second of so many tasks, or the microseconds that one waits."""
    from ratekit import AsyncLimiter
    from ratekit.stores import AsyncRedisStore

    line_for(way)
    # A budget that no crowd exceeds, so that all are decided by the store.
    limiter = AsyncLimiter(ratekit_limit(algorithm, PLENTY), store=AsyncRedisStore(url, budget=1.0), name="trips")
    much, good = ([] if load is alone else [tasks]), stored("ratekit")
    return lambda scale: load(limiter.hit, good, *much, SECONDS * scale)


def crew(way: str, number: int, url: str) -> Callable[[float], Any]:
    """Hits a second of so many threads."""
    from ratekit.stores.redis import trip

    trip.LEADERS = CREWS[way]
    return threads("ratekit", number, url)


def rows(url: str) -> list[Row]:
    return [
        _row("1 task, p50", "us", alone, 1, url),
        *(_row(f"{tasks:,} tasks", "hits/s", closed, tasks, url) for tasks in (16, 64, 256, 1_000)),
        *(_row(f"staggered arrivals, {tasks} tasks", "hits/s", staggered, tasks, url) for tasks in (64, 256)),
        _row("256 tasks", "hits/s", closed, 256, url, "sliding_window"),
        *(_threads(number, url) for number in (1, 8, 40)),
    ]


def _threads(number: int, url: str) -> Row:
    sides = [Side(way, "ours" if way == "ratekit" else "reference", crew, (way, number, url)) for way in CREWS]
    return Row(f"trip, {number} threads: fixed_window", "hits/s", tuple(sides), rounds=5)


def _row(name: str, unit: str, load: Any, tasks: int, url: str, algorithm: str = "fixed_window") -> Row:
    sides = [Side("ratekit", "ours", under, (load, WAYS[0], tasks, algorithm, url))]
    sides += [Side(way, "reference", under, (load, way, tasks, algorithm, url)) for way in WAYS[1:]]
    return Row(f"trip, {name}: {algorithm}", unit, tuple(sides), rounds=5)
