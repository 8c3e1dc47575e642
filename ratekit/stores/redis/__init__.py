"""
Redis 7 or newer, Valkey: one script, one round trip for any number of limits, the server's own clock.
"""

from ratekit.stores.redis.store import AsyncRedisStore, RedisStore

__all__ = ["AsyncRedisStore", "RedisStore"]
