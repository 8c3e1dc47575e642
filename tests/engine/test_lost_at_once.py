"""
A connection that the server closes in the moment in which it is opened: the hit fails, and the next one has a connection again.
"""

import asyncio
import random
import socket
import struct
import threading
from contextlib import suppress

import pytest
import redis.asyncio
import uvloop
from doors import PATIENT

from ratekit import Limit, StoreUnavailable
from ratekit.algorithms import SPEND
from ratekit.stores.naming import plan_of
from ratekit.stores.redis import AsyncRedisClusterStore, AsyncRedisStore

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


class EndedAtOnce(redis.asyncio.Connection):
    """The server has ended the first connection by the time its handshake has been read."""

    opened = 0

    async def connect(self):
        await super().connect()
        EndedAtOnce.opened += 1
        if EndedAtOnce.opened == 1:
            await self.send_command("QUIT")
            assert await self.read_response() == b"OK"
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


class Rude:
    """A server, and a cluster of itself alone, that cuts connections while they greet it or when they ask it to delete."""

    def __init__(self):
        self.dice, self.listener = random.Random(1), socket.create_server(("127.0.0.1", 0))
        self.place = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with suppress(OSError):
            while True:
                threading.Thread(target=self.speak, args=(self.listener.accept()[0],), daemon=True).start()

    def speak(self, client):
        greets = self.dice.random() < 0.5
        with client, suppress(OSError):
            while said := client.recv(65_536):
                if b"SLOTS" in said:
                    port = self.place.rpartition(":")[2]
                    client.sendall(f"*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$9\r\n127.0.0.1\r\n:{port}\r\n$2\r\nid\r\n".encode())
                    continue
                client.sendall(b"+OK\r\n" * said.count(b"SETINFO"))
                if b"DEL" in said or (greets and b"SETINFO" in said):
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("kind", [AsyncRedisStore, AsyncRedisClusterStore])
def test_a_reset_whose_connection_is_cut_is_away(new_loop, kind):
    async def scenario():
        store = kind(f"redis{'' if kind is AsyncRedisStore else '+cluster'}://{rude.place}")
        for _ in range(100):  # uvloop has an error of its own for one in ten
            with pytest.raises(StoreUnavailable):
                await store.forget([PLAN[0][1]], "ann")
        await store.aclose()

    rude = Rude()
    with rude.listener, asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(asyncio.wait_for(scenario(), 60))


@pytest.mark.parametrize("kind", [LostAtOnce, EndedAtOnce, LostWhileGreeting])
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
