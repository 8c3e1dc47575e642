"""
Faults at random, one after another and never for long, under load: a Redis behind a proxy, and sentinels with their three servers.

Seeded: RATEKIT_FAULT_SEED chooses the faults, their order and how long each lasts. A place that can be hurt is an entry of PLACES: a
context that gives its URL, its faults, and whether it is well; another one (a cluster) is one more entry.
"""

import asyncio
import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import redis
import servers
from figures import Figure, count, noted, seconds, timely
from injections import spoils
from outages import PACES
from proxy import Pace, Proxy
from server_faults import TROUBLES, Trouble
from service import Load, Service
from topology.sentinels import SERVICE, Watched

CALM = 0.4
"""Seconds between the end of one fault and the next."""

Fault = Callable[[random.Random], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where an application keeps its state: the URL, what can happen to it, and who says that it is well again."""

    url: str
    faults: dict[str, Fault]
    well: Callable[[], bool]
    nodes: Callable[[], list[servers.RedisServer]]


@asynccontextmanager
async def one_server() -> AsyncIterator[Place]:
    """A Redis behind a proxy."""
    with servers.RedisServer() as server:
        async with Proxy(server.port) as proxy:
            faults = {
                "kill -9": lambda dice: killed(server, dice),
                "SIGSTOP": lambda dice: stopped(server, dice),
                "FLUSHALL": lambda dice: told(server, "FLUSHALL"),
                "SCRIPT FLUSH": lambda dice: told(server, "SCRIPT", "FLUSH"),
                "CLIENT KILL": lambda dice: told(server, "CLIENT", "KILL", "TYPE", "normal"),
                "cut": lambda dice: cut(proxy, dice),
                "slow": lambda dice: slow(proxy, dice),
            }
            for name, trouble in TROUBLES.items():
                faults[name] = lambda dice, trouble=trouble: troubled(server, proxy, trouble, dice)
            yield Place(proxy.url, faults, lambda: answers(server), lambda: [server])


@asynccontextmanager
async def sentinels() -> AsyncIterator[Place]:
    """A master, two replicas and three sentinels."""
    watched = await asyncio.to_thread(lambda: Watched().__enter__())
    faults = {
        "master kill -9": lambda dice: deposed(watched, dice, kill=True),
        "master SIGSTOP": lambda dice: deposed(watched, dice, kill=False),
        "SENTINEL FAILOVER": lambda dice: failed_over(watched),
        "replica kill -9": lambda dice: killed(replica(watched, dice), dice),
        "sentinel kill -9": lambda dice: killed(dice.choice(watched.sentinels), dice),
        "FLUSHALL": lambda dice: told(watched.master, "FLUSHALL"),
    }
    try:
        yield Place(watched.url, faults, lambda: led(watched), lambda: watched.nodes)
    finally:
        await asyncio.to_thread(watched.__exit__)


PLACES = {"one server": one_server, "sentinels": sentinels}


async def killed(server: servers.RedisServer, dice: random.Random) -> None:
    server.stop()
    await asyncio.sleep(dice.uniform(0, 1.5))
    await asyncio.to_thread(server.start)


async def stopped(server: servers.RedisServer, dice: random.Random) -> None:
    server.process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(dice.uniform(0.02, 1.5))
    server.process.send_signal(signal.SIGCONT)


async def told(server: servers.RedisServer, *words: str) -> None:
    with contextlib.suppress(redis.exceptions.RedisError), server.client() as client:
        await asyncio.to_thread(client.execute_command, *words)


async def cut(proxy: Proxy, dice: random.Random) -> None:
    """A part of the replies is reset, ended, garbled, swallowed, cut."""
    faults, share = spoils(dice.randrange(1000)), dice.uniform(0.05, 1)
    proxy.spoil = lambda: next(faults) if dice.random() < share else None
    await asyncio.sleep(dice.uniform(0.2, 1.5))
    proxy.spoil = lambda: None


async def slow(proxy: Proxy, dice: random.Random) -> None:
    proxy.pace = dice.choice(list(PACES.values()))
    await asyncio.sleep(dice.uniform(0.2, 1.5))
    proxy.pace = Pace()


async def troubled(server: servers.RedisServer, proxy: Proxy, trouble: Trouble, dice: random.Random) -> None:
    with server.client(single_connection_client=True) as client:
        await asyncio.to_thread(trouble.begin, client, proxy)
        await asyncio.sleep(dice.uniform(0.1, 1))
        await asyncio.to_thread(trouble.end, client, proxy)


async def deposed(watched: Watched, dice: random.Random, *, kill: bool) -> None:
    """The master dies or hangs until another is promoted, and comes back some time after that."""
    old = watched.master
    if kill:
        old.stop()
    else:
        old.process.send_signal(signal.SIGSTOP)
    await asyncio.to_thread(watched.promoted, old)
    await asyncio.sleep(dice.uniform(0, 1))
    if kill:
        await asyncio.to_thread(old.start)
    else:
        old.process.send_signal(signal.SIGCONT)


async def failed_over(watched: Watched) -> None:
    old = watched.master
    with contextlib.suppress(redis.exceptions.ResponseError), watched.sentinels[0].client() as client:  # one is under way
        client.execute_command("SENTINEL", "FAILOVER", SERVICE)
        await asyncio.to_thread(watched.promoted, old)


def replica(watched: Watched, dice: random.Random) -> servers.RedisServer:
    master = watched.master
    return dice.choice([node for node in watched.nodes if node is not master])


def answers(server: servers.RedisServer) -> bool:
    with contextlib.suppress(redis.exceptions.RedisError), server.client() as client:
        return bool(client.ping())
    return False


def led(watched: Watched) -> bool:
    """Whether there is a master with both of its replicas, and the sentinels know all of each other."""
    with contextlib.suppress(redis.exceptions.RedisError, StopIteration):
        with watched.master.client() as client:
            state = client.info("replication")
        whole = state["role"] == "master" and state["connected_slaves"] == 2
        return whole and all(answers(sentinel) for sentinel in watched.sentinels)
    return False


class Ordeal:
    """One place, the application that relies on it, its clients, and what came of it."""

    def __init__(self, name: str, place: Place, service: Service, load: Load, seed: int) -> None:
        self.name, self.place, self.service, self.load = name, place, service, load
        self.dice = random.Random(f"{seed} {name}")
        self.happened: Counter[str] = Counter()
        self.not_well = 0

    async def one(self, fault: str) -> None:
        """A fault from its beginning until the place is well again and some time after that."""
        await self.place.faults[fault](self.dice)
        self.happened[fault] += 1
        try:
            await asyncio.to_thread(servers.until, self.place.well, 40)
        except AssertionError:
            self.not_well += 1
        await asyncio.sleep(self.dice.uniform(0, CALM))

    async def round(self) -> None:
        """Each fault once, in a random order."""
        for fault in self.dice.sample(list(self.place.faults), len(self.place.faults)):
            await self.one(fault)

    async def warm(self, length: float) -> None:
        """Each fault once, and some more of them: what is only ever made once has then been made."""
        end = time.perf_counter() + length
        await self.round()
        await self.until(end)

    async def until(self, end: float) -> None:
        while time.perf_counter() < end:
            await self.one(self.dice.choice(list(self.place.faults)))

    async def calm(self) -> tuple[float, float]:
        """What the process holds when nothing has happened for a while: megabytes, descriptors."""
        await asyncio.sleep(2)
        await self.service.health()  # with its garbage collected
        return used(self.service.process.pid)

    async def back(self, full: bool) -> float:
        """Seconds until the circuit is closed: after so many faults it wants to see the store well for more than a minute."""
        began = time.perf_counter()
        while (await self.service.health())["state"] != "closed" and time.perf_counter() < began + patience(full):
            await asyncio.sleep(0.1)
        return time.perf_counter() - began

    async def figures(self, before: tuple[float, float], full: bool) -> list[Figure]:
        back, after = await self.back(full), await self.calm()
        grown = [max(0.0, 100 * (now / then - 1)) for then, now in zip(before, after, strict=True)]
        judged = count if full else timely
        sources = Counter(answer.source for answer in self.load.answers)
        health = await self.service.health()
        named = {
            "5xx": count("", self.load.bad),
            "unhandled": count("", await self.service.unhandled()),
            "futures never retrieved": count("", sum("never retrieved" in text for text in await self.said())),
            "memory grown by %": judged("", grown[0], 5),
            "descriptors grown by %": judged("", grown[1], 5),
            "keys without a time to live": count("", sum(map(lasting, self.place.nodes()))),
            "did not come back": timely("", int(back >= patience(full))),
            "not well again itself": noted("", self.not_well),
            "back after the last fault": seconds("", back, 110),
            "faults": noted("", self.happened.total()),
            "kinds of them": noted("", len(self.happened)),
            "requests": noted("", len(self.load.answers)),
            "decided by the store": noted("", sources["store"]),
            "asked without a circuit": noted("", sum(health["beside"].values())),
            "which failed": noted("", health["beside"].get("failed", 0)),
            "objects in the process": noted("", health["objects"]),
        }
        return [Figure(f"{self.name}: {what}", *_rest(figure)) for what, figure in named.items()]

    async def said(self) -> list[str]:
        return [*(await self.service.health())["unhandled"], *self.service.stderr().splitlines()]


def _rest(figure: Figure) -> tuple[float, float, str, bool]:
    return figure.measured, figure.most, figure.unit, figure.timed


def patience(full: bool) -> float:
    """Seconds that a circuit is given to close at the end; in short it need not."""
    return 110 if full else 2


def used(pid: int) -> tuple[float, float]:
    """Megabytes that a process holds in memory, and its open descriptors."""
    with open(f"/proc/{pid}/status") as status:  # noqa: PTH123  no file of ours
        held = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    return held / 1024, len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208


def lasting(server: servers.RedisServer) -> int:
    """Keys that would stay for ever."""
    with server.client() as client:
        return sum(client.pttl(key) == -1 for key in client.scan_iter(count=1000))


async def random_faults(full: bool) -> list[Figure]:
    """A minute in full; as long as RATEKIT_FAULT_SECONDS says, where it does."""
    return await lasting_for(float(os.environ.get("RATEKIT_FAULT_SECONDS", "60")) if full else 8, full)


async def lasting_for(length: float, full: bool) -> list[Figure]:
    """All places at the same time, for `length` seconds."""
    seed = int(os.environ.get("RATEKIT_FAULT_SEED", "1"))
    found = await asyncio.gather(*(ordeal(name, length, seed, full) for name in PLACES))
    return [noted("seed", seed), noted("lasted", length, "s"), *(figure for figures in found for figure in figures)]


async def ordeal(name: str, length: float, seed: int, full: bool) -> list[Figure]:
    """A place under load for `length` seconds, in full after up to two minutes in which it warms up."""
    clients, most = (10 if full else 4), length + 600
    async with (
        PLACES[name]() as place,
        Service(place.url, beside="1") as service,
        Load(service.port, clients, 0.1, most=most) as load,
    ):
        trial = Ordeal(name, place, service, load, seed)
        if full:
            await trial.warm(min(120.0, length))
        before = await trial.calm()
        await trial.until(time.perf_counter() + length)
        return await trial.figures(before, full)
