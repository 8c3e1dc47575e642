"""
Ways in to the stores: one kind each, so that one test tries them all.
"""

from contextlib import contextmanager
from functools import partial

from ratekit.kv.writer_store import AsyncSingleWriterStore, SingleWriterStore
from ratekit.stores import AsyncMemoryStore, AsyncUpstashStore, MemoryStore, UpstashStore
from ratekit.stores.redis import AsyncRedisClusterStore, AsyncRedisStore, RedisClusterStore, RedisStore
from ratekit.testing import doors
from ratekit.testing.doors import PATIENT, AsyncDoor, Blocking
from ratekit.testing.doors import SyncDoor as Door

__all__ = ["CLUSTERS", "DOORS", "PATIENT", "SENTINELS", "UPSTASH", "WRITERS", "AsyncDoor", "Blocking", "Door", "opened"]

DOORS = ("memory", "redis", "async memory on asyncio", "async memory on trio", "async redis")
WRITERS = ("single writer", "async single writer")
CLUSTERS = ("redis cluster", "async redis cluster")
"""Ways in to a cluster of tests/topology."""
SENTINELS = ("redis", "async redis")
"""Ways in to what sentinels of tests/topology watch."""
UPSTASH = ("upstash", "async upstash")
"""Ways in that need a REST server in front of Redis."""


@contextmanager
def opened(kind, url, clock, **options):
    """
    The door of a kind; `url` is where its server answers, `clock` None is the store's own clock, `options` are those of every limiter
    behind it.
    """
    ticking = {} if clock is None else {"clock": clock}
    make = {
        "memory": MemoryStore,
        "redis": partial(RedisStore, url),
        "upstash": partial(UpstashStore, url),
        "single writer": SingleWriterStore,
        "redis cluster": partial(RedisClusterStore, url),
        "async redis": partial(AsyncRedisStore, url),
        "async redis cluster": partial(AsyncRedisClusterStore, url),
        "async upstash": partial(AsyncUpstashStore, url),
        "async single writer": AsyncSingleWriterStore,
    }.get(kind, AsyncMemoryStore)
    with doors.opened(partial(make, **ticking), backend="trio" if kind.endswith("trio") else "asyncio", **options) as door:
        yield door
