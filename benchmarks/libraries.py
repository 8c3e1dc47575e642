"""
The libraries, each in its best fair configuration: everything that can be prepared is prepared once, a hit is one call.

`sync_hit(library, ...)` and `async_hit(library, ...)` give `hit(key)`; `store` is "memory://" or a Redis URL. What is fair:
- limits: one strategy object, the parsed item bound; over asyncio its redis-py implementation, which is faster than coredis here.
- throttled-py: one Throttled object for all keys; its memory store with room for all of them (the default forgets beyond 1,024).
- pyrate-limiter: a factory that finds each key's own bucket in a dict; state buckets (GCRA), its fastest; nothing scheduled.
- everyone over Redis: hiredis, and redis-py's ConnectionPool with more connections than there are callers: a fifth faster here than
  BlockingConnectionPool, which queues for a connection. Only an open load needs the latter (`waiting`): there callers have no bound.
- nobody waits for a permit, nobody sends header fields, nobody asks for what is left: one hit, one answer.
"""

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


def _throttled(module: Any, client: str, algorithm: str, quota: int, store: str, *, waiting: bool = False) -> Hit:
    if store == "memory://":
        place = module.MemoryStore(options={"MAX_SIZE": 100_000})
    else:
        kind = "BlockingConnectionPool" if waiting else "ConnectionPool"
        kwargs = {"max_connections": WAITING if waiting else CONNECTIONS}
        place = module.RedisStore(
            server=store, options={"CONNECTION_POOL_CLASS": f"{client}.{kind}", "CONNECTION_POOL_KWARGS": kwargs}
        )
    rate = module.per_min(REFILL, burst=quota) if algorithm == "token_bucket" else module.per_min(quota)
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
    return partial(pyrate_limiter(algorithm, quota, client).try_acquire, blocking=False)


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
    """`hit(key)` of a library; it has admitted one hit."""
    hit = SYNC[library](algorithm, quota, store)
    check(library, hit("first"))
    return hit


async def async_hit(library: str, algorithm: str, quota: int, store: Any, **options: Any) -> Hit:
    """Awaitable `hit(key)` of a library; it has admitted one hit."""
    hit = ASYNC[library](algorithm, quota, store, **options)
    check(library, await hit("first"))
    return hit


def check(library: str, answer: Any) -> None:
    """Nobody is measured who refuses."""
    if not (not answer.limited if library == "throttled-py" else bool(answer)):
        raise RuntimeError(f"{library} refused: {answer!r}")
