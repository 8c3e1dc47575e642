"""
A connection that the server closes in the moment in which it is opened: the hit fails, and the next one has a connection again.
"""

import asyncio

import pytest
import redis.asyncio
import uvloop
from doors import PATIENT

from ratekit import Limit, StoreUnavailable
from ratekit.algorithms import SPEND
from ratekit.stores.naming import plan_of
from ratekit.stores.redis import AsyncRedisStore

PLAN = plan_of([Limit.parse("10/hour")], prefix="ratekit", name="lost at once")


class LostAtOnce(redis.asyncio.Connection):
    """The first connection is gone by the time its handshake has been read."""

    opened = 0

    async def connect(self):
        await super().connect()
        LostAtOnce.opened += 1
        if LostAtOnce.opened == 1:
            self._writer.transport.abort()
            await asyncio.sleep(0.01)


class LostWhileGreeting(redis.asyncio.Connection):
    """The first connection is gone while redis-py writes on it, which uvloop calls a RuntimeError."""

    opened = 0

    async def connect(self):
        await super().connect()
        LostWhileGreeting.opened += 1
        if LostWhileGreeting.opened == 1:
            await self.disconnect()
            raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")


@pytest.mark.parametrize("kind", [LostAtOnce, LostWhileGreeting])
@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_connection_that_is_lost_as_it_opens_is_left_for_another(redis_url, new_loop, kind):
    async def scenario():
        unhandled = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
        pool = redis.asyncio.ConnectionPool.from_url(redis_url, connection_class=kind)
        hit = (store := AsyncRedisStore(redis.asyncio.Redis(connection_pool=pool), **PATIENT)).compile(PLAN)
        with pytest.raises(StoreUnavailable, match="closed"):
            await hit("ann", 1, SPEND)
        assert (await hit("ann", 1, SPEND)).remaining == 9
        await store.aclose()
        assert unhandled == []

    kind.opened = 0
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(asyncio.wait_for(scenario(), 20))
