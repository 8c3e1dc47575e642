"""
What metrics cost while they are on: the same hits with them and without. In memory the reference is a hit and three increments of a
dict's items beside it, which is what counting by hand would be.
"""

import time
from collections.abc import Callable
from typing import Any

from libraries import PLENTY
from loads import KEYS, alone, closed
from measure import Goal, Row, Side

SECONDS = 0.5
PASSES = 99
ALGORITHMS = ("sliding_window", "fixed_window", "token_bucket", "sliding_counter")


def limit_of(algorithm: str) -> str:
    """A limit that is never exhausted, never near, and not as new again within a sample."""
    return f"{PLENTY}/day {algorithm}"


def switched(on: bool) -> None:
    """Metrics on, if this side is the one with them."""
    from ratekit import metrics

    if on:
        metrics.start()


async def remote(on: bool, tasks: int, url: str) -> Callable[[float], Any]:
    """Hits a second from Redis; of one task, the microseconds that a hit takes."""
    from ratekit import AsyncLimiter

    switched(on)
    limiter = AsyncLimiter(limit_of("sliding_window"), store=url, name="metrics bench", budget=5.0)
    await limiter.hit("first")

    def stored(decision: Any) -> bool:
        return decision.source == "store"

    if tasks == 1:
        return lambda scale: alone(limiter.hit, stored, SECONDS * scale)
    return lambda scale: closed(limiter.hit, stored, tasks, SECONDS * scale)


def memory(on: bool, algorithm: str) -> Callable[[float], float]:
    """Nanoseconds a hit in memory; without metrics, with three increments beside it."""
    from ratekit import Limiter
    from ratekit.stores import MemoryStore

    switched(on)

    def sample(scale: float) -> float:
        hit = Limiter(limit_of(algorithm), store=MemoryStore(), name="metrics bench").hit
        passes, counts = max(int(PASSES * scale), 1), {"policy": 0, "outcome": 0, "source": 0}
        for key in KEYS:
            hit(key)
        start = time.perf_counter_ns()
        for _ in range(passes):
            if on:
                for key in KEYS:
                    hit(key)
            else:
                for key in KEYS:
                    hit(key)
                    counts["policy"] += 1
                    counts["outcome"] += 1
                    counts["source"] += 1
        return (time.perf_counter_ns() - start) / (passes * len(KEYS))

    return sample


def rows(url: str) -> list[Row]:
    return [
        *(_remote(f"metrics on, Redis, {tasks} task{'s' * (tasks > 1)}", tasks, url) for tasks in (256, 1)),
        *(_memory(f"metrics on, memory, {algorithm}", algorithm) for algorithm in ALGORITHMS),
    ]


def _remote(name: str, tasks: int, url: str) -> Row:
    sides = (Side("metrics on", "ours", remote, (True, tasks, url)), Side("metrics off", "reference", remote, (False, tasks, url)))
    if tasks == 1:
        return Row(name, "us/hit", sides, (Goal("<=", 1.1),), "metrics off")
    return Row(name, "hits/s", sides, (Goal(">=", 0.9),), "metrics off")


def _memory(name: str, algorithm: str) -> Row:
    other = "off, 3 increments"
    sides = (Side("metrics on", "ours", memory, (True, algorithm)), Side(other, "reference", memory, (False, algorithm)))
    return Row(name, "ns/hit", sides, (Goal("<=", 1.0),), other)
