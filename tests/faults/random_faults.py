"""
Faults at random, one after another and never for long, under load: a Redis behind a proxy, sentinels with their three servers, a cluster
of three masters and three replicas.

Seeded: RATEKIT_FAULT_SEED chooses the faults, their order and how long each lasts. A place that can be hurt is an entry of PLACES: a
context that gives its URL, its faults, and whether it is well.
"""

import asyncio
import os
import random
import sys
import time
from collections import Counter

import redis
import servers
from cluster_place import cluster
from figures import Figure, count, noted, seconds, timely
from places import Place, one_server, sentinels
from service import Load, Service

PLACES = {"one server": one_server, "sentinels": sentinels, "cluster": cluster}
CALM = 0.4
"""Seconds between the end of one fault and the next."""
FUTILE = (AssertionError, OSError, RuntimeError, redis.exceptions.RedisError)
"""What becomes of a fault that cannot be made: on a busy machine nobody may be elected in time. It is counted, and the next one comes."""


class Ordeal:
    """One place, the application that relies on it, its clients, and what came of it."""

    def __init__(self, name: str, place: Place, service: Service, load: Load, seed: int) -> None:
        self.name, self.place, self.service, self.load = name, place, service, load
        self.dice = random.Random(f"{seed} {name}")
        self.happened: Counter[str] = Counter()
        self.not_well = self.not_made = 0

    async def one(self, fault: str) -> None:
        """A fault from its beginning until the place is well again and some time after that."""
        self.happened[fault] += 1
        try:
            await self.place.faults[fault](self.dice)
        except FUTILE as error:
            self.not_made += 1
            sys.stderr.write(f"    {self.name}: {fault}: {type(error).__name__}: {error}\n")
        try:
            await asyncio.to_thread(servers.until, self.place.well, 40)
        except FUTILE:
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
        """Seconds until the circuit is closed: after so many faults it wants 300 good probes in a row, which are 75 s at least."""
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
            "faults that came to nothing": noted("", self.not_made),
            "back after the last fault": seconds("", back, patience(full)),
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
    """Seconds that a circuit is given to close at the end, one late probe of a busy machine included; in short it need not."""
    return 180 if full else 2


def used(pid: int) -> tuple[float, float]:
    """Megabytes that a process holds in memory, and its open descriptors."""
    with open(f"/proc/{pid}/status") as status:  # noqa: PTH123  no file of ours
        held = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    return held / 1024, len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208


def lasting(server: servers.RedisServer) -> int:
    """Keys that would stay for ever."""
    with server.client() as client:
        return sum(stays(client, key) for key in client.scan_iter(count=1000))


def stays(client: redis.Redis, key: bytes) -> bool:
    """Whether a key has no time to live. One whose slot went elsewhere while a master died is nobody's: Redis only lets it expire."""
    try:
        return client.pttl(key) == -1
    except redis.exceptions.MovedError:
        return False


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
