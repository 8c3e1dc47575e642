"""
The store is away: down at the start, killed under load, hung, slow.
"""

import asyncio
import os
import signal
import time

import servers
from figures import Figure, count, milliseconds, noted, seconds, timely
from proxy import Pace, Proxy
from service import Answer, Client, Load, Pauses, Service, back_after, longest

BUDGET = 0.05


async def down_at_start(full: bool) -> list[Figure]:
    """The application starts without Redis, serves, and joins it when it comes."""
    server = servers.RedisServer()
    try:
        async with Service(server.url) as service, Load(service.port, 20 if full else 5) as load:
            await asyncio.sleep(3 if full else 0.7)
            await asyncio.to_thread(server.start)
            up = time.perf_counter()
            await asyncio.sleep(3 if full else 1)
            unhandled = await service.unhandled()
    finally:
        server.remove()
    alone, joined = load.since(0, up), back_after(load.answers, up)
    return [
        count("5xx", load.bad),
        count("unhandled", unhandled),
        count("not served before Redis came", 0 if alone else 1),
        milliseconds("longest decision without Redis", longest(alone, "took"), 5),
        seconds("joins after", joined, 1),
        healthy(load.since(up + 1)),
    ]


async def killed(full: bool) -> list[Figure]:
    """A kill -9 under load; 3 s later it is back, empty."""
    with servers.RedisServer() as server:
        async with Service(server.url) as service, Load(service.port, 100 if full else 5, 0.2) as load:
            await asyncio.sleep(2 if full else 0.5)
            async with Pauses() as pauses:
                down = time.perf_counter()
                server.stop()
                await asyncio.sleep(3 if full else 1)
                await asyncio.to_thread(server.start)
                up = time.perf_counter()
                await asyncio.sleep(4 if full else 1)
                end = time.perf_counter()
            unhandled, health = await service.unhandled(), await service.health()
    back = up + back_after(load.answers, up)
    usual = sorted(answer.took for answer in load.since(0, down))
    return [
        count("5xx", load.bad),
        count("unhandled", unhandled),
        milliseconds("added at most", longest(load.since(down, end), "took") - usual[len(usual) // 2], 10),
        milliseconds("longest wait of a client", longest(load.since(down, end)), float("inf")),
        seconds("back after", back - up, 1),
        timely("decided elsewhere after that", sum(answer.source != "store" for answer in load.since(back))),
        timely("changes of state", health["changes"], 2),
        noted("the measuring process's own longest pause", pauses.longest * 1000, "ms"),
        healthy(load.since(0, down) + load.since(back + 0.5)),
    ]


async def hung(full: bool) -> list[Figure]:
    """SIGSTOP, and SIGCONT 4 s later."""
    clients = 300 if full else 10
    with servers.RedisServer() as server:
        async with (
            Service(server.url) as service,
            Load(service.port, clients, 0.3) as load,
            Load(service.port, 1, 0.01, "/health") as other,
        ):
            together = [Client(service.port, f"10.9.{i}.1") for i in range(60 if full else 10)]
            await asyncio.gather(*(client.get() for client in together))
            await asyncio.sleep(2 if full else 0.5)
            async with Pauses() as pauses:
                os.kill(server.process.pid, signal.SIGSTOP)
                stopped = time.perf_counter()
                load.answers += await asyncio.gather(*(client.get() for client in together))
                for client in together:
                    client.close()
                await asyncio.sleep(4 if full else 1)
                os.kill(server.process.pid, signal.SIGCONT)
            resumed = time.perf_counter()
            await asyncio.sleep(2 if full else 1)
            unhandled, health = await service.unhandled(), await service.health()
    away = load.since(stopped - BUDGET, resumed)
    calm = noticed(away) + 0.025
    instant = other.since(stopped, calm)
    return [
        count("5xx", load.bad + other.bad),
        count("unhandled", unhandled),
        milliseconds("longest decision", longest(away, "took"), 75),
        milliseconds("longest wait of a client", longest(away), 75),
        timely("waited though the store was known to hang", sum(a.took > 0.01 for a in load.since(calm, resumed))),
        milliseconds("another route, as the waiters are released", longest(instant), 30),
        milliseconds("another route, else", longest(other.since(calm, resumed)), 10),
        seconds("back after", back_after(load.answers, resumed), 0.5),
        timely("changes of state", health["changes"], 2),
        noted("the measuring process's own longest pause", pauses.longest * 1000, "ms"),
        noted("released at once", sum(a.took > 0.01 for a in away)),
        healthy(load.since(0, stopped - BUDGET) + load.since(resumed + 0.5)),
    ]


def healthy(answers: list[Answer]) -> Figure:
    """The longest decision while Redis was well: how long this machine keeps the application from running without any fault."""
    return noted("longest decision while Redis was well", longest(answers, "took") * 1000, "ms")


def noticed(answers: list[Answer]) -> float:
    """When the fifth of those who waited had waited long enough: from then on nobody has to."""
    ends = sorted(answer.at + answer.waited for answer in answers if answer.took > 0.9 * BUDGET)
    return ends[min(4, len(ends) - 1)] if ends else 0.0


PACES = {
    "200 ms slow": Pace(delay=0.2),
    "dripping": Pace(delay=0.02, drip=4),
    "stalling": Pace(stall=0.3, every=3.0),
}


async def slow(full: bool) -> list[Figure]:
    """Slow, dripping and stalling, each for a minute, each with an application of its own, all at the same time."""
    with servers.RedisServer() as server:
        runs = [slow_one(server.port, name, pace, full) for name, pace in PACES.items()]
        return [figure for figures in await asyncio.gather(*runs) for figure in figures]


async def slow_one(port: int, name: str, pace: Pace, full: bool) -> list[Figure]:
    async with Proxy(port) as proxy, Service(proxy.url) as service, Load(service.port, 20 if full else 3, 0.1) as load:
        await asyncio.sleep(1 if full else 0.3)
        proxy.pace = pace
        began = time.perf_counter()
        await asyncio.sleep(60 if full else 1)
        during = load.since(began)
        changes = (await service.health())["changes"]
        unhandled = await service.unhandled()
    return [
        count(f"{name}: 5xx", load.bad),
        count(f"{name}: unhandled", unhandled),
        milliseconds(f"{name}: longest decision", longest(during, "took"), 75),
        milliseconds(f"{name}: longest wait of a client", longest(during), 75),
        timely(f"{name}: changes of state in the minute", changes, 2),
    ]
