"""
In memory: what a hit costs in time, what a key costs in bytes, and whether any single hit stalls.

A sample makes a new store, hits each of 1,000 keys once, and takes the time of 99 hits more on each. The quota is never exhausted:
100 for sliding_window, whose logs so grow full, plenty for the others.
"""

import time
import tracemalloc
from collections.abc import Callable
from typing import Any

from libraries import PLENTY, async_hit, sync_hit
from loads import KEYS
from measure import Figures, Goal, Row, Side

# algorithm, its N, against whom, how many times as fast: sync, async; who else is shown.
RACES = (
    ("fixed_window", PLENTY, "limits", 5, 5, ("throttled-py",)),
    ("sliding_counter", PLENTY, "limits", 6, 5, ("throttled-py",)),
    ("token_bucket", PLENTY, "throttled-py", 5, 5, ("pyrate-limiter",)),
    ("sliding_window", 100, "limits", 4, 4, ()),
)
PASSES = 99
MANY = 1_000_000


def timed(library: str, algorithm: str, quota: int) -> Callable[[float], float]:
    """Nanoseconds a hit, called."""

    def sample(scale: float) -> float:
        hit, passes = sync_hit(library, algorithm, quota, "memory://"), max(int(PASSES * scale), 1)
        for key in KEYS:
            hit(key)
        start = time.perf_counter_ns()
        for _ in range(passes):
            for key in KEYS:
                hit(key)
        return (time.perf_counter_ns() - start) / (passes * len(KEYS))

    return sample


def timed_async(library: str, algorithm: str, quota: int) -> Callable[[float], Any]:
    """Nanoseconds a hit, awaited."""

    async def sample(scale: float) -> float:
        hit, passes = await async_hit(library, algorithm, quota, "memory://"), max(int(PASSES * scale), 1)
        for key in KEYS:
            await hit(key)
        start = time.perf_counter_ns()
        for _ in range(passes):
            for key in KEYS:
                await hit(key)
        return (time.perf_counter_ns() - start) / (passes * len(KEYS))

    return sample


def timed_dict(wait: bool) -> Callable[[float], Any]:
    """The least that a counter could cost: a dict increment and a look at the clock."""
    counts, clock = dict.fromkeys(KEYS, 0), time.monotonic_ns

    def increment(key: str) -> int:
        counts[key] += 1
        return clock()

    async def increment_async(key: str) -> int:
        return increment(key)

    async def sample_async(scale: float) -> float:
        passes = max(int(PASSES * scale), 1)
        start = time.perf_counter_ns()
        for _ in range(passes):
            for key in KEYS:
                await increment_async(key)
        return (time.perf_counter_ns() - start) / (passes * len(KEYS))

    def sample(scale: float) -> float:
        passes = max(int(PASSES * scale), 1)
        start = time.perf_counter_ns()
        for _ in range(passes):
            for key in KEYS:
                increment(key)
        return (time.perf_counter_ns() - start) / (passes * len(KEYS))

    return sample_async if wait else sample


class Hour:
    """A clock for stores that is an hour on when told so."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000_000

    def __call__(self) -> int:
        self.now += 1  # so that every state is a number of its own, as in life
        return self.now


def one_integer(kind: str, clock: Hour, many: int) -> Callable[[str], Any]:
    """`hit(key)` that keeps one integer per key: in a dict, or as an algorithm of ratekit."""
    if kind == "dict":
        states: dict[str, int] = {}

        def hit(key: str) -> None:
            states[key] = clock()

        return hit
    from ratekit import Limit, Limiter
    from ratekit.stores import MemoryStore

    return Limiter(Limit(10, per=3600, algorithm=kind), store=MemoryStore(max_keys=2 * many, clock=clock)).hit


def bytes_a_key(kind: str) -> Callable[[float], float]:
    """Bytes allocated per key, the key's string not counted."""

    def sample(scale: float) -> float:
        many = int(MANY * scale)
        keys = [f"user:{i}" for i in range(many)]
        tracemalloc.start()
        hit = one_integer(kind, Hour(), many)
        for key in keys:
            hit(key)
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        return held / many

    return sample


def worst_hit(kind: str) -> Callable[[float], Figures]:
    """
    The slowest single hit in milliseconds, while keys come, go an hour later all at once, and others come in their place. By this
    thread's processor time, so that what the machine does meanwhile does not count.
    """

    def sample(scale: float) -> Figures:
        many, clock = int(MANY * scale), Hour()
        hit, now = one_integer(kind, clock, many), time.thread_time_ns
        worst = slow = 0
        for generation in range(2):
            for i in range(many):
                key = f"{generation}:{i}"
                start = now()
                hit(key)
                took = now() - start
                worst, slow = max(worst, took), slow + (took > 1_000_000)
            clock.now += 3_600_000_000
        return {"figure": worst / 1e6, "hits above 1 ms": slow}

    return sample


def rows(url: str) -> list[Row]:
    found = []
    for word, make, column in (("sync", timed, 3), ("async", timed_async, 4)):
        for race in RACES:
            algorithm, quota, against, others = race[0], race[1], race[2], race[5]
            sides = [Side("ratekit", "ours", make, ("ratekit", algorithm, quota))]
            sides += [Side(peer, "peer", make, (peer, algorithm, quota)) for peer in (against, *others)]
            sides.append(Side("dict increment and clock", "reference", timed_dict, (word == "async",)))
            name = f"memory, {word} hit: {algorithm}" + (f", N = {quota}" if quota < PLENTY else "")
            headline = word == "sync" and algorithm != "sliding_window"
            found.append(Row(name, "ns", tuple(sides), (Goal("x", race[column]),), against, headline))
    for algorithm in ("fixed_window", "token_bucket"):
        name = f"memory, a key of 1,000,000: {algorithm}"
        found.append(_many(name, "bytes", bytes_a_key, algorithm, Goal("<=", 1.7), "dict of str to int", 1))
        name = f"memory, the worst hit while 1,000,000 keys come and go: {algorithm}"
        found.append(_many(name, "ms", worst_hit, algorithm, Goal("<=", 0, "hits above 1 ms"), "", 3))
    return found


def _many(name: str, unit: str, make: Any, algorithm: str, goal: Goal, against: str, rounds: int) -> Row:
    sides = (Side("ratekit", "ours", make, (algorithm,)), Side("dict of str to int", "reference", make, ("dict",)))
    return Row(name, unit, sides, (goal,), against, rounds=rounds)
