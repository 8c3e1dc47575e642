"""
The master that sentinels watch dies, or hangs, under load.
"""

import asyncio
import signal
import time
from collections.abc import Callable

import servers
from figures import Figure, count, milliseconds, noted, seconds, timely
from service import Load, Service, back_after, longest
from topology.sentinels import Watched


async def master_killed(full: bool) -> list[Figure]:
    """It dies, and never comes back."""
    return await failover(servers.RedisServer.stop, full)


async def master_hung(full: bool) -> list[Figure]:
    """SIGSTOP, and SIGCONT after another has been promoted: it still takes itself for the master then."""
    return await failover(lambda server: server.process.send_signal(signal.SIGSTOP), full)


async def failover(fail: Callable[[servers.RedisServer], None], full: bool) -> list[Figure]:
    with Watched() as watched:
        async with Service(watched.url) as service, Load(service.port, 50 if full else 5, 0.1) as load:
            await asyncio.sleep(2 if full else 0.5)
            old = watched.master
            fail(old)
            failed = time.perf_counter()
            await asyncio.to_thread(watched.promoted, old)
            switched = time.perf_counter()
            await asyncio.sleep(1 if full else 0.5)
            if old.process is not None:
                old.process.send_signal(signal.SIGCONT)
            await asyncio.sleep(3 if full else 1)
            unhandled = await service.unhandled()
            with watched.master.client() as client:
                counted = sum(int(client.get(key)) for key in client.keys("*:default:*"))
    back = back_after(load.answers, switched)
    late = load.since(switched + back)
    return [
        count("5xx", load.bad),
        count("unhandled", unhandled),
        count("never decided by the store again", int(back == float("inf"))),
        count("counted more often than asked", max(0, counted - len(load.answers))),
        seconds("back after the switch", back, 1),
        timely("decided elsewhere after that", sum(answer.source != "store" for answer in late)),
        milliseconds("longest decision", longest(load.since(failed), "took"), 75),
        noted("the sentinels needed", switched - failed, "s"),
    ]
