"""
Raw references: what redis-py and the wire itself can do, with no limiter on top.
"""

import asyncio
import time
from collections import deque
from typing import Any

import hiredis


class Multiplexed(asyncio.Protocol):
    """
    The limit: one connection for all callers, each INCR answered in order, what one turn of the event loop brings written at once.
    No timeouts, no reconnecting, no cancelling.
    """

    def __init__(self) -> None:
        self._reader = hiredis.Reader()
        self._waiting: deque[asyncio.Future[int]] = deque()
        self._parts: list[bytes] = []
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def incr(self, key: str) -> asyncio.Future[int]:
        if not self._parts:
            self._loop.call_soon(self._flush)
        name = b"raw:" + key.encode()
        self._parts.append(b"*2\r\n$4\r\nINCR\r\n$%d\r\n%b\r\n" % (len(name), name))
        future: asyncio.Future[int] = self._loop.create_future()
        self._waiting.append(future)
        return future

    def _flush(self) -> None:
        self._transport.write(b"".join(self._parts))
        self._parts.clear()

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(reply)


async def multiplexed_incr(port: int) -> Any:
    _, protocol = await asyncio.get_running_loop().create_connection(Multiplexed, "127.0.0.1", port)
    await protocol.incr("first")
    return protocol.incr


async def redis_py_incr(url: str) -> Any:
    """redis-py's asyncio client."""
    import redis.asyncio
    from libraries import pool

    incr = redis.asyncio.Redis(connection_pool=pool(redis.asyncio, url)).incr
    await incr("first")
    return incr


async def redis_py_buckets(url: str) -> Any:
    """redis-py's asyncio client, counting by minute: HINCRBY and EXPIRE in one pipeline."""
    import redis.asyncio
    from libraries import pool

    client = redis.asyncio.Redis(connection_pool=pool(redis.asyncio, url))

    async def add(key: str) -> list[Any]:
        pipeline = client.pipeline(transaction=False)
        pipeline.hincrby(f"buckets:{key}", str(int(time.time()) // 60 * 60), 1)
        pipeline.expire(f"buckets:{key}", 3600)
        done: list[Any] = await pipeline.execute()
        return done

    await add("first")
    return add


def redis_py_incr_sync(url: str) -> Any:
    """redis-py's client."""
    import redis
    from libraries import pool

    incr = redis.Redis(connection_pool=pool(redis, url)).incr
    incr("first")
    return incr
