"""
Where state lives. A store decides one hit at a time, all-or-nothing, by the rules it is handed and by its own clock.

A store is one file that offers what `Store` (or `AsyncStore`) asks for; nothing needs to be inherited.
"""

from typing import TYPE_CHECKING, Any

from ratekit.stores.memory import AsyncMemoryStore, MemoryStore
from ratekit.stores.protocol import Ask, AsyncStore, Seens, Store
from ratekit.stores.url import open_async_store, open_store

if TYPE_CHECKING:
    from ratekit.stores.redis import AsyncRedisClusterStore, AsyncRedisStore, RedisClusterStore, RedisStore
    from ratekit.stores.upstash import AsyncUpstashStore, UpstashStore

__all__ = [
    "Ask",
    "AsyncMemoryStore",
    "AsyncRedisClusterStore",
    "AsyncRedisStore",
    "AsyncStore",
    "AsyncUpstashStore",
    "MemoryStore",
    "RedisClusterStore",
    "RedisStore",
    "Seens",
    "Store",
    "UpstashStore",
    "open_async_store",
    "open_store",
]


def __getattr__(name: str) -> Any:
    # What needs an extra is imported when it is asked for; without the extra, the error says what to install.
    if name in ("AsyncRedisClusterStore", "AsyncRedisStore", "RedisClusterStore", "RedisStore"):
        from ratekit.stores import redis

        return getattr(redis, name)
    if name in ("AsyncUpstashStore", "UpstashStore"):
        from ratekit.stores.upstash import AsyncUpstashStore, UpstashStore

        return UpstashStore if name == "UpstashStore" else AsyncUpstashStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
