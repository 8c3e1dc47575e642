"""
Redis 7 or newer, Valkey: one script, one round trip for any number of limits, the server's own clock.
"""

from importlib.util import find_spec

from ratekit.errors import MissingExtra

if find_spec("redis") is None:
    raise MissingExtra("a Redis store", "redis", "redis")

from ratekit.stores.redis.store import AsyncRedisStore, RedisStore

__all__ = ["AsyncRedisStore", "RedisStore"]
