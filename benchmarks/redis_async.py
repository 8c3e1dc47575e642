"""
Redis from one asyncio process (uvloop for everybody): many callers at once, callers one by one, one alone, and an open load.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import references
from libraries import PLENTY, async_hit, ratekit_limit, stored
from loads import KEYS, alone, closed, open_load, staggered
from measure import Goal, Row, Side

SECONDS = 0.5
OPEN_RATE, OPEN_SECONDS = 16_000, 10
BUCKETS = 60
# algorithm, against whom, how many times as fast at 64 tasks and at 256, who else is shown
RACES = (
    ("fixed_window", "limits", 8, 12, ("throttled-py",)),
    ("token_bucket", "throttled-py", 8, 12, ("pyrate-limiter",)),
    ("sliding_window", "limits", 8, 15, ()),
)

Load = Callable[..., Any]


async def hit_of(library: str, algorithm: str, url: str, **options: Any) -> Any:
    """`hit(key)` of a library or a reference."""
    if library == "redis-py incr":
        return await references.redis_py_incr(url)
    if library == "multiplexed raw INCR":
        return await references.multiplexed_incr(urlsplit(url).port)
    if library == "ratekit" and algorithm == "sliding_window":
        await fill_buckets(url)
    return await async_hit(library, algorithm, PLENTY, url, **options)


async def fill_buckets(url: str) -> None:
    """Every key as after a minute of steady traffic: a hit in each bucket of its window, by a clock that comes from then."""
    import redis.asyncio

    from ratekit import AsyncLimiter
    from ratekit.stores import AsyncRedisStore

    client = redis.asyncio.Redis.from_url(url)
    seconds, micros = await client.time()
    now, cell = seconds * 1_000_000 + micros, 60_000_000 // (BUCKETS - 1)
    store = AsyncRedisStore(url, clock=lambda: now)
    limiter = AsyncLimiter(ratekit_limit("sliding_window", PLENTY), store=store, name="sliding_window")
    start = now
    for back in range(BUCKETS, 0, -1):
        now = start - back * cell + cell // 2
        for i in range(0, len(KEYS), 100):
            await asyncio.gather(*(limiter.hit(key) for key in KEYS[i : i + 100]))
    await store.aclose()
    await client.aclose()


async def loaded(load: Load, library: str, algorithm: str, tasks: int, url: str) -> Callable[[float], Any]:
    """Hits a second under a load of so many tasks."""
    hit = await hit_of(library, algorithm, url)
    return lambda scale: load(hit, stored(library), tasks, SECONDS * scale)


async def lonely(library: str, url: str) -> Callable[[float], Any]:
    """Microseconds a hit, nobody else around."""
    hit = await hit_of(library, "fixed_window", url)
    return lambda scale: alone(hit, stored(library), SECONDS * scale)


async def flooded(library: str, url: str) -> Callable[[float], Any]:
    """Microseconds a hit at an open load; peers with the pool that waits for a connection."""
    options = {"waiting": True} if library in ("limits", "throttled-py") else {}
    hit = await hit_of(library, "fixed_window", url, **options)
    return lambda scale: open_load(hit, stored(library), OPEN_RATE, OPEN_SECONDS * scale)


async def by_many(way: str, url: str) -> Callable[[float], Any]:
    """Hits a second of one caller with 64 keys at a time: hit_many, or as many hits gathered."""
    from ratekit import AsyncLimiter

    limiter = AsyncLimiter(ratekit_limit("fixed_window", PLENTY), store=url, name="many")
    batches = [KEYS[i : i + 64] for i in range(0, 960, 64)]

    async def gathered(keys: list[str]) -> None:
        await asyncio.gather(*(limiter.hit(key) for key in keys))

    take = limiter.hit_many if way == "hit_many" else gathered

    async def sample(scale: float) -> float:
        loop = asyncio.get_running_loop()
        start, passes = loop.time(), max(int(50 * scale), 1)
        for _ in range(passes):
            for keys in batches:
                await take(keys)
        return passes * 960 / (loop.time() - start)

    return sample


def rows(url: str) -> list[Row]:
    return [*_crowds(url), *_staggered(url), _alone(url), _open(url), _many(url)]


def _crowds(url: str) -> list[Row]:
    found = []
    for column, tasks in ((2, 64), (3, 256)):
        for race in RACES:
            algorithm, against, others = race[0], race[1], race[4]
            name = f"Redis async, {tasks} tasks, 1,000 keys: {algorithm}"
            name += f" with {BUCKETS} live buckets" if algorithm == "sliding_window" else ""
            sides = _sides(partial(loaded, closed), ("ratekit", against, *others), algorithm, tasks, url)
            if algorithm == "fixed_window":
                sides += _sides(partial(loaded, closed), ("redis-py incr",), algorithm, tasks, url)
            found.append(Row(name, "hits/s", sides, (Goal("x", race[column]),), against, headline=tasks == 256))
    against = "multiplexed raw INCR"
    sides = _sides(partial(loaded, closed), ("ratekit", against), "fixed_window", 256, url)
    found.append(Row("Redis async, 256 tasks, fixed_window: the limit", "hits/s", sides, (Goal(">=", 0.6),), against))
    return found


def _staggered(url: str) -> list[Row]:
    found = []
    for tasks, times in ((64, 5), (256, 7)):
        sides = _sides(partial(loaded, staggered), ("ratekit", "limits", "multiplexed raw INCR"), "fixed_window", tasks, url)
        name = f"Redis async, staggered arrivals, {tasks} tasks: fixed_window"
        found.append(Row(name, "hits/s", sides, (Goal("x", times),), "limits"))
    return found


def _alone(url: str) -> Row:
    sides = _sides(lonely, ("ratekit", "redis-py incr", "limits", "multiplexed raw INCR"), url)
    return Row("Redis async, 1 task, p50: fixed_window", "us", sides, (Goal("<=", 1.0),), "redis-py incr", headline=True)


def _open(url: str) -> Row:
    sides = _sides(flooded, ("ratekit", "limits", "throttled-py", "multiplexed raw INCR"), url)
    name = f"open load of {OPEN_RATE:,} hits a second for {OPEN_SECONDS} s, p50: fixed_window"
    return Row(name, "us", sides, (Goal("<=", 0, "lost %"), Goal("<=", 5, "p99 ms")), rounds=1)


def _many(url: str) -> Row:
    sides = (Side("ratekit", "ours", by_many, ("hit_many", url)), Side("64 hits gathered", "reference", by_many, ("gather", url)))
    return Row("Redis async, hit_many of 64 keys: fixed_window", "hits/s", sides, against="64 hits gathered")


def _sides(make: Any, names: tuple[str, ...], *args: Any) -> tuple[Side, ...]:
    def role(name: str) -> str:
        return "ours" if name == "ratekit" else "reference" if "incr" in name.lower() else "peer"

    return tuple(Side(name, role(name), make, (name, *args)) for name in names)
