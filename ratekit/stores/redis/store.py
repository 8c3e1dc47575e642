"""
RedisStore and AsyncRedisStore: thin shells around one script and one trip.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import redis.asyncio

from ratekit.errors import ConfigurationError
from ratekit.stores.naming import Canonical, Plan, Space
from ratekit.stores.protocol import Ask, AsyncCompiled, Compiled, Seens, async_hit, hit
from ratekit.stores.redis.script import answer, arguments
from ratekit.stores.redis.trip import FAULTS, async_call, call, translated

Clock = Callable[[], int]

CONNECTIONS = 16
"""Connections at most, per process (async: per event loop), of a store made from a URL."""
OPTIONS = {"socket_timeout": 5.0, "socket_connect_timeout": 5.0, "max_connections": CONNECTIONS, "timeout": 5.0}


class RedisStore:
    """
    State in Redis 7 or newer, or Valkey, for threads.

    `target` is a URL (`redis://`, `rediss://`, `unix://`) or a `redis.Redis` client of yours, which is never closed by this store.
    `clock` (microseconds, always ahead of the server's time) is for tests: without it the server's own clock decides.

    >>> from ratekit import Limiter
    >>> limiter = Limiter("100/minute", store=RedisStore("redis://localhost:6379/0"))  # doctest: +SKIP
    """

    def __init__(self, target: Any, *, clock: Clock | None = None) -> None:
        self._holders = Holders()
        self._owned = isinstance(target, str)
        self._pool = _pool_of(target, redis.BlockingConnectionPool, redis.Redis)
        self._clock = clock

    def compile(self, plan: Plan) -> Compiled:
        """A function that hits every limit of `plan` at once."""
        return partial(hit, self, plan)

    def decide(self, asks: Sequence[Ask]) -> Seens:
        """One hit, one round trip: all-or-nothing over `asks`."""
        now = None if self._clock is None else self._clock()
        return answer(asks, call(self._pool, arguments(asks, now)))

    def forget(self, spaces: Sequence[Space], identity: Canonical) -> None:
        """Make the keys of an identity as new."""
        try:
            redis.Redis(connection_pool=self._pool).delete(*(space.key(identity) for space in spaces))
        except FAULTS as error:
            raise translated(error) from error

    def hold(self) -> bool:
        """Be held once more; False when the last holder has closed it already."""
        return self._holders.more()

    def close(self) -> None:
        """Be held once less; the last holder closes the connections, where they are this store's own."""
        if self._holders.less() and self._owned:
            self._pool.disconnect()


class AsyncRedisStore:
    """
    State in Redis 7 or newer, or Valkey, for asyncio: `RedisStore`, awaited. Each event loop has connections of its own.

    `target` is a URL or a `redis.asyncio.Redis` client of yours, which belongs to its event loop and is never closed by this store.
    """

    def __init__(self, target: Any, *, clock: Clock | None = None) -> None:
        self._holders = Holders()
        self._open = partial(_pool_of, target, redis.asyncio.BlockingConnectionPool, redis.asyncio.Redis)
        self._theirs = None if isinstance(target, str) else self._open()
        if isinstance(target, str):
            self._open()  # a wrong URL is said here, not at the first hit
        self._pools: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
        self._clock = clock

    @property
    def _pool(self) -> Any:
        if self._theirs is not None:
            return self._theirs
        loop = asyncio.get_running_loop()
        pool = self._pools.get(loop)
        if pool is None:
            pool = self._pools[loop] = self._open()
        return pool

    def compile(self, plan: Plan) -> AsyncCompiled:
        """A function that hits every limit of `plan` at once."""
        return partial(async_hit, self, plan)

    async def decide(self, asks: Sequence[Ask]) -> Seens:
        """One hit, one round trip: all-or-nothing over `asks`."""
        now = None if self._clock is None else self._clock()
        return answer(asks, await async_call(self._pool, arguments(asks, now)))

    async def forget(self, spaces: Sequence[Space], identity: Canonical) -> None:
        """Make the keys of an identity as new."""
        try:
            await redis.asyncio.Redis(connection_pool=self._pool).delete(*(space.key(identity) for space in spaces))
        except FAULTS as error:
            raise translated(error) from error

    def hold(self) -> bool:
        """Be held once more; False when the last holder has closed it already."""
        return self._holders.more()

    async def aclose(self) -> None:
        """Be held once less; closes the running event loop's connections that are this store's own and not in use."""
        last = self._holders.less()
        pool = self._pools.get(asyncio.get_running_loop())
        if pool is not None:
            await pool.disconnect(inuse_connections=last)


class Holders:
    """How many hold a store; nobody can hold it again once all have let go."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 1

    def more(self) -> bool:
        """One more; False when there are none left to join."""
        with self._lock:
            if self._count:
                self._count += 1
            return self._count > 0

    def less(self) -> bool:
        """One less; whether that was the last one."""
        with self._lock:
            self._count -= self._count > 0
            return self._count == 0


def _pool_of(target: Any, pool: Any, client: Any) -> Any:
    if isinstance(target, str):
        try:
            return pool.from_url(target, **OPTIONS)
        except (ValueError, TypeError) as error:
            raise ConfigurationError(f"{target!r}: {error}; write 'redis://localhost:6379/0'") from error
    if isinstance(target, client):
        return target.connection_pool
    raise ConfigurationError(f"{target!r} is neither a URL nor a {client.__module__}.{client.__name__} client")
