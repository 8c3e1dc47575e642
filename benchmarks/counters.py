"""
Counters over Redis from one asyncio process, beside redis-py's own client: one command a count, which is all that it offers.
"""

from collections.abc import Callable
from typing import Any

import references
from loads import closed
from measure import Goal, Row, Side

SECONDS = 0.5
KEPT = 60


async def adder(side: str, url: str) -> Any:
    """`add(key)` of a side."""
    from ratekit.counters import AsyncCounter

    if side == "redis-py incr":
        return await references.redis_py_incr(url)
    if side == "redis-py hincrby, expire":
        return await references.redis_py_buckets(url)
    counter = AsyncCounter(store=url, name="bench", **({} if side == "Counter" else {"per": "minute", "keep": KEPT}))
    await counter.add("first")
    return counter.add


async def loaded(side: str, url: str) -> Callable[[float], Any]:
    """Adds a second of 256 tasks."""
    add = await adder(side, url)
    return lambda scale: closed(add, lambda count: type(count) is int or type(count) is list, 256, SECONDS * scale)


def rows(url: str) -> list[Row]:
    name = "counters, 256 tasks, 1,000 keys"
    return [
        _row(f"{name}: Counter.add", "Counter", "redis-py incr", 8, url),
        _row(f"{name}: Counter.add by minute", "Counter by minute", "redis-py hincrby, expire", 5, url),
    ]


def _row(name: str, ours: str, theirs: str, times: float, url: str) -> Row:
    sides = (Side(ours, "ours", loaded, (ours, url)), Side(theirs, "reference", loaded, (theirs, url)))
    return Row(name, "adds/s", sides, (Goal("x", times),), theirs)
