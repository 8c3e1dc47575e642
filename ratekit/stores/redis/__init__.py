"""
Redis 7 or newer, Valkey: one script, one round trip for any number of limits, the server's own clock.
"""

from importlib.util import find_spec

from ratekit.errors import MissingExtra

for package in ("redis", "hiredis"):
    if find_spec(package) is None:
        raise MissingExtra("a Redis store", package, "redis")

from ratekit.stores.redis.store import AsyncRedisStore, RedisStore  # noqa: E402

__all__ = ["AsyncRedisStore", "RedisStore"]
