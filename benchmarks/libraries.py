"""
The libraries, each in its best fair configuration: everything that can be prepared is prepared once, a hit is one call.

`sync_hit(library, ...)` and `async_hit(library, ...)` give `hit(key)`; `store` is "memory://" or a Redis URL. What is fair:
- limits: one strategy object, the parsed item bound; over asyncio its redis-py implementation, which is faster than coredis here.
- throttled-py: one Throttled object for all keys; its memory store with room for all of them (the default forgets beyond 1,024).
- pyrate-limiter: a factory that finds each key's own bucket in a dict; state buckets (GCRA), its fastest; nothing scheduled.
- everyone over Redis: hiredis, and redis-py's ConnectionPool with more connections than there are callers: a fifth faster here
  than BlockingConnectionPool, which queues for one. Only an open load needs the latter (`waiting`): its callers have no bound.
- nobody waits for a permit, nobody sends header fields, nobody asks for what is left: one hit, one answer.
"""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any

CONNECTIONS = 1_000
WAITING = 64
"""Connections at most of a pool: of one that never waits, of one that does."""
PLENTY = 1_000_000
"""
A quota that nothing here exhausts: per minute, but for token buckets the burst, refilled by REFILL a minute. A bucket that refills
faster than it is hit is always as new, which libraries may forget: that would measure first hits.
"""
REFILL = 1_000
TRIES = 20
"""How often a new limiter is asked, a tenth of a second apart, until its store answers: connecting is not what is measured."""

Hit = Callable[[str], Any]


def pool(module: Any, url: str, *, waiting: bool = False) -> Any:
    """A connection pool of `redis` or `redis.asyncio`."""
    if waiting:
        return module.BlockingConnectionPool.from_url(url, max_connections=WAITING)
    return module.ConnectionPool.from_url(url, max_connections=CONNECTIONS)


def ratekit_limit(algorithm: str, quota: int) -> Any:
    from ratekit import Limit

    if algorithm == "token_bucket":
        return Limit(REFILL, per=60, burst=quota)
    return Limit(quota, per=60, algorithm=algorithm)


def ratekit_hit(algorithm: str, quota: int, store: Any) -> Hit:
    from ratekit import Limiter
    from ratekit.stores import MemoryStore

    if store == "memory://":
        store = MemoryStore(max_keys=100_000)
    return Limiter(ratekit_limit(algorithm, quota), store=store, name=algorithm).hit


def ratekit_async_hit(algorithm: str, quota: int, store: Any) -> Hit:
    from ratekit import AsyncLimiter
    from ratekit.stores import AsyncMemoryStore

    if store == "memory://":
        store = AsyncMemoryStore(max_keys=100_000)
    return AsyncLimiter(ratekit_limit(algorithm, quota), store=store, name=algorithm).hit


LIMITS = {
    "fixed_window": "FixedWindowRateLimiter",
    "sliding_counter": "SlidingWindowCounterRateLimiter",
    "sliding_window": "MovingWindowRateLimiter",
}


def limits_hit(algorithm: str, quota: int, store: str) -> Hit:
    import limits
    import redis

    options = {} if store == "memory://" else {"connection_pool": pool(redis, store)}
    storage = limits.storage.storage_from_string(store, **options)
    return partial(getattr(limits.strategies, LIMITS[algorithm])(storage).hit, limits.RateLimitItemPerMinute(quota))


def limits_async_hit(algorithm: str, quota: int, store: str, *, waiting: bool = False) -> Hit:
    import limits
    import redis.asyncio

    options: dict[str, Any] = {}
    if store != "memory://":
        options = {"connection_pool": pool(redis.asyncio, store, waiting=waiting), "implementation": "redispy"}
    storage = limits.storage.storage_from_string(f"async+{store}", **options)
    return partial(getattr(limits.aio.strategies, LIMITS[algorithm])(storage).hit, limits.RateLimitItemPerMinute(quota))


THROTTLED = {"fixed_window": "fixed_window", "sliding_counter": "sliding_window", "token_bucket": "gcra"}


def throttled_hit(algorithm: str, quota: int, store: str) -> Hit:
    import throttled

    return _throttled(throttled, "redis", algorithm, quota, store)


def throttled_async_hit(algorithm: str, quota: int, store: str, *, waiting: bool = False) -> Hit:
    import throttled.asyncio

    return _throttled(throttled.asyncio, "redis.asyncio", algorithm, quota, store, waiting=waiting)


def throttled_store(module: Any, client: str, store: str, *, waiting: bool = False) -> Any:
    """A store of throttled-py; `client` is "redis" or "redis.asyncio"."""
    if store == "memory://":
        return module.MemoryStore(options={"MAX_SIZE": 100_000})
    kind, most = ("BlockingConnectionPool", WAITING) if waiting else ("ConnectionPool", CONNECTIONS)
    options = {"CONNECTION_POOL_CLASS": f"{client}.{kind}", "CONNECTION_POOL_KWARGS": {"max_connections": most}}
    return module.RedisStore(server=store, options=options)


def _throttled(module: Any, client: str, algorithm: str, quota: int, store: str, *, waiting: bool = False) -> Hit:
    rate = module.per_min(REFILL, burst=quota) if algorithm == "token_bucket" else module.per_min(quota)
    place = throttled_store(module, client, store, waiting=waiting)
    return module.Throttled(using=THROTTLED[algorithm], quota=rate, store=place).limit


def pyrate_limiter(algorithm: str, quota: int, client: Any = None) -> Any:
    """A pyrate Limiter with one bucket per key; `client` is a redis-py client of either kind."""
    import pyrate_limiter as pyrate

    assert algorithm == "token_bucket"

    rate = pyrate.Rate(REFILL, pyrate.Duration.MINUTE, burst=quota)

    class PerKey(pyrate.BucketFactory):
        def __init__(self) -> None:
            self.clock = pyrate.MonotonicClock() if client is None else pyrate.WallClock()
            self.buckets: dict[str, Any] = {}

        def wrap_item(self, name: str, weight: int = 1) -> Any:
            return pyrate.RateItem(name, self.clock.now(), weight=weight)

        def get(self, item: Any) -> Any:
            bucket = self.buckets.get(item.name)
            if bucket is None:
                place = pyrate.InMemoryStateStore() if client is None else pyrate.RedisStateStore(client, f"pyrate:{item.name}")
                bucket = pyrate.StateBucket([rate], pyrate.GCRA(), place, self.clock)
                self.buckets[item.name] = bucket
            return bucket

    return pyrate.Limiter(PerKey())


def pyrate_hit(algorithm: str, quota: int, store: str) -> Hit:
    import redis

    client = None if store == "memory://" else redis.Redis(connection_pool=pool(redis, store))
    # blocking: else it refuses, without a look at the bucket, whenever another thread holds its lock.
    return partial(pyrate_limiter(algorithm, quota, client).try_acquire, blocking=True)


def pyrate_async_hit(algorithm: str, quota: int, store: str) -> Hit:
    import redis.asyncio

    client = None if store == "memory://" else redis.asyncio.Redis(connection_pool=pool(redis.asyncio, store))
    return partial(pyrate_limiter(algorithm, quota, client).try_acquire_async, blocking=False)


SYNC = {"ratekit": ratekit_hit, "limits": limits_hit, "throttled-py": throttled_hit, "pyrate-limiter": pyrate_hit}
ASYNC = {
    "ratekit": ratekit_async_hit,
    "limits": limits_async_hit,
    "throttled-py": throttled_async_hit,
    "pyrate-limiter": pyrate_async_hit,
}


def sync_hit(library: str, algorithm: str, quota: int, store: Any) -> Hit:
    """`hit(key)` of a library; the store has admitted one hit."""
    hit, good = SYNC[library](algorithm, quota, store), stored(library)
    for _ in range(TRIES):
        if good(answer := hit("first")):
            return hit
        time.sleep(0.1)
    raise RuntimeError(f"{library} refused, or decided without the store: {answer!r}")


async def async_hit(library: str, algorithm: str, quota: int, store: Any, **options: Any) -> Hit:
    """Awaitable `hit(key)` of a library; the store has admitted one hit."""
    hit, good = ASYNC[library](algorithm, quota, store, **options), stored(library)
    for _ in range(TRIES):
        if good(answer := await hit("first")):
            return hit
        await asyncio.sleep(0.1)
    raise RuntimeError(f"{library} refused, or decided without the store: {answer!r}")


def stored(library: str) -> Callable[[Any], bool]:
    """Whether an answer is a hit that was admitted, and by the store: what was refused or decided without it is not counted."""
    if library == "ratekit":
        return lambda answer: answer.allowed and answer.source == "store"
    if library == "throttled-py":
        return lambda answer: not answer.limited
    return bool
