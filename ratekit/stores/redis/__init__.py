"""
Redis 7 or newer, Valkey: one script, one round trip for any number of limits, the server's own clock.

The script and what goes into it (`script.py`) need nothing but the standard library; the stores need the extra.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ratekit.errors import MissingExtra

if TYPE_CHECKING:
    from ratekit.stores.redis.cluster import RedisClusterStore
    from ratekit.stores.redis.cluster_async import AsyncRedisClusterStore
    from ratekit.stores.redis.store import AsyncRedisStore, RedisStore

MODULES = {
    "AsyncRedisClusterStore": "cluster_async",
    "AsyncRedisStore": "store",
    "RedisClusterStore": "cluster",
    "RedisStore": "store",
}
__all__ = ["AsyncRedisClusterStore", "AsyncRedisStore", "RedisClusterStore", "RedisStore"]


def __getattr__(name: str) -> Any:
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    for package in ("redis", "hiredis"):
        if find_spec(package) is None:
            raise MissingExtra("a Redis store", package, "redis")
    return getattr(import_module(f"ratekit.stores.redis.{MODULES[name]}"), name)
