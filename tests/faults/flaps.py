"""
Flaps: a store that goes away and comes back with its data ten times within one window, under two processes.
"""

import asyncio
from collections import Counter

import servers
from figures import Figure, count, noted, seconds
from service import Client, Service

LIMIT = 100
LASTING = ("--appendonly", "yes", "--appendfsync", "always")
BACK = 120.0
"""Seconds within which a process must ask the store again: longer than the longest rung of the guard's ladder."""


class Asking:
    """An identity that asks every process again and again, and counts what it was admitted and by whom."""

    def __init__(self, services, number: int) -> None:
        self.clients = [Client(service.port, f"10.0.{number}.1") for service in services]
        self.admitted: Counter[str] = Counter()
        self.bad = 0
        self.going = True

    async def run(self) -> None:
        while self.going:
            for client in self.clients:
                answer = await client.get()
                self.bad += answer.bad
                self.admitted[answer.source] += answer.status == 200
            await asyncio.sleep(0.05)
        for client in self.clients:
            client.close()


async def flaps(full: bool) -> list[Figure]:
    """Each process admits at most the limit by itself, and what it admitted is charged when the store is back."""
    with servers.RedisServer(*LASTING) as server:
        options = {"limits": f"{LIMIT}/hour fixed_window"}
        async with Service(server.url, **options) as one, Service(server.url, **options) as other:
            services = one, other
            asking = [Asking(services, number) for number in range(20 if full else 5)]
            tasks = [asyncio.create_task(each.run()) for each in asking]
            await asyncio.sleep(0.3)
            for _ in range(10 if full else 2):
                server.stop()
                await asyncio.sleep(0.4)
                await asyncio.to_thread(server.start)
                await asyncio.sleep(2.2)
            waited = await back(services)
            for each in asking:
                each.going = False
            await asyncio.gather(*tasks)
            units = await charged(server)
            unhandled = sum([await service.unhandled() for service in services])
            changes = max([(await service.health())["changes"] for service in services])
    totals = [sum(each.admitted.values()) for each in asking]
    there = [each.admitted["store"] for each in asking]
    return [
        count("5xx", sum(each.bad for each in asking)),
        count("unhandled", unhandled),
        count("admitted of one identity", max(totals), LIMIT * (len(services) + 1)),
        count("of these by Redis", max(there), LIMIT),
        count("identities of which Redis knows no more than it admitted", sum(a <= b for a, b in zip(units, there, strict=True))),
        count("identities of which it knows more than was asked", sum(a > LIMIT * (len(services) + 1) for a in units)),
        noted("units that Redis knows of one at least", min(units)),
        noted("changes of state", changes),
        seconds("all ask Redis again after", waited, BACK),
    ]


async def back(services) -> float:
    """Seconds until every process asks the store again, and has had the time to charge it."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while loop.time() - began < BACK:
        if all([(await service.health())["state"] == "closed" for service in services]):
            break
        await asyncio.sleep(0.1)
    waited = loop.time() - began
    await asyncio.sleep(0.5)
    return waited


async def charged(server) -> list[int]:
    """What Redis counts of each identity, in their order."""

    def look() -> list[int]:
        with server.client() as client:
            keys = sorted(client.keys("*10.0.*"), key=lambda key: int(key.split(b"10.0.")[1].split(b".")[0]))
            return [int(client.get(key)) for key in keys]

    return await asyncio.to_thread(look)
