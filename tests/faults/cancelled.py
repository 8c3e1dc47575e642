"""
Callers who give up, clients who hang up, a thousand callers at once on a cold start: few connections, and to each his own reply.
"""

import asyncio
import gc
import random

import servers
from figures import Figure, count, noted, timely
from service import Client, Load, Service
from subprocesses import script

from ratekit import AsyncLimiter

LIMIT = 1_000_000


def pending() -> int:
    """Futures that nobody has finished, tasks not counted. By type alone: some objects wake up when they are asked for their class."""
    gc.collect()
    futures = [
        thing for thing in gc.get_objects() if issubclass(type(thing), asyncio.Future) and not issubclass(type(thing), asyncio.Task)
    ]
    return sum(not future.done() for future in futures)


async def given_up(full: bool) -> list[Figure]:
    """20,000 calls of which about half are cancelled, at any moment, and 2,000 requests whose clients hang up."""
    unhandled: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(str(context)))
    with servers.RedisServer() as server, server.client() as client:
        async with AsyncLimiter(f"{LIMIT}/hour fixed_window", store=server.url, budget=5.0, name="cancelled") as limiter:
            await limiter.hit("warm")
            connected, futures = client.info("stats")["total_connections_received"], pending()
            cancelled, crossed, elsewhere = await cancellations(limiter, 20_000 if full else 800)
            await limiter.hit("warm")
            leaked = max(0, pending() - futures)
            opened = client.info("stats")["total_connections_received"] - connected
        twice = sum(int(client.get(key)) > int(key.split(b"}")[0].rsplit(b"-", 1)[1]) for key in client.keys("*{cancelled:who*"))
        hung_up = await hang_ups(server, client, 2_000 if full else 200)
    return [
        noted("cancelled", cancelled),
        count("crossed replies", crossed),
        count("new connections", opened),
        count("leaked futures", leaked),
        count("unhandled", len(unhandled)),
        count("counted twice", twice),
        timely("decided elsewhere", elsewhere),
        *hung_up,
    ]


async def cancellations(limiter: AsyncLimiter, calls: int) -> tuple[int, int, int]:
    """Of so many calls: cancelled; answered with somebody else's reply; answered by somebody else than the store."""
    choice, room = random.Random(7), asyncio.Semaphore(64)
    cancelled = crossed = elsewhere = 0

    async def call(number: int) -> None:
        nonlocal cancelled, crossed, elsewhere
        cost = 1 + number % 1000
        async with room:
            task = asyncio.ensure_future(hit(limiter, f"who-{number}-{cost}", cost))
            for _ in range(choice.randrange(8)):
                await asyncio.sleep(0)
            if choice.random() < 0.2:
                await asyncio.sleep(choice.choice((0.0002, 0.001, 0.003)))
            task.cancel()
            try:
                decision = await task
            except asyncio.CancelledError:
                cancelled += 1
                return
        elsewhere += decision.source != "store"
        crossed += decision.source == "store" and decision.remaining != LIMIT - cost

    await asyncio.gather(*map(call, range(calls)))
    return cancelled, crossed, elsewhere


async def hit(limiter: AsyncLimiter, who: str, cost: int):
    return await limiter.hit(who, cost)


async def hang_ups(server: servers.RedisServer, client, times: int) -> list[Figure]:
    """Clients that ask and leave, beside others that stay."""
    async with Service(server.url) as service:
        before = await service.health()
        await Client(service.port).get("/", "Connection: close\r\n")
        connected = client.info("stats")["total_connections_received"]
        async with Load(service.port, 10, 0.02) as load:
            for first in range(0, times, 20):
                await asyncio.gather(*(Client(service.port, f"11.0.0.{i % 20}").send_only() for i in range(first, first + 20)))
            await asyncio.sleep(0.3)
        opened = client.info("stats")["total_connections_received"] - connected
        for _ in range(100):  # uvicorn closes what the others left
            after = await service.health()
            if after["tasks"] <= before["tasks"]:
                break
            await asyncio.sleep(0.02)
        unhandled = await service.unhandled()
    return [
        count("disconnects: 5xx of those who stay", load.bad),
        count("disconnects: unhandled", unhandled),
        count("disconnects: new connections", opened),
        timely("disconnects: tasks left behind", max(0, after["tasks"] - before["tasks"])),
    ]


async def cold(full: bool) -> list[Figure]:
    """A thousand calls at once in a process that has just begun; then 300 requests at once to a service that has just begun."""
    with servers.RedisServer() as server, server.client() as client:
        before = client.info("stats")["total_connections_received"]
        told = await script("cold", server.url)
        opened = client.info("stats")["total_connections_received"] - before
        async with Service(server.url) as service:
            clients = [Client(service.port, f"10.1.{i >> 8}.{i & 255}") for i in range(300 if full else 50)]
            answers = await asyncio.gather(*(one.get() for one in clients))
            for one in clients:
                one.close()
            unhandled = await service.unhandled()
    return [
        count("connections", opened, 4),
        count("errors", told["errors"]),
        timely("decided elsewhere", told["elsewhere"]),
        noted("the last of 1,000 answers", told["seconds"] * 1000, "ms"),
        count("300 requests: 5xx", sum(answer.bad for answer in answers)),
        count("300 requests: unhandled", unhandled),
        timely("300 requests: decided elsewhere", sum(answer.source != "store" for answer in answers)),
    ]
