"""
Places where an application keeps its state, and what can happen to them: a Redis behind a proxy; sentinels with their three servers.

A fault takes the dice that say how long it lasts, and ends with everything running again, whatever comes of it.
"""

import asyncio
import contextlib
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import redis
import servers
from injections import spoils
from outages import PACES
from proxy import Pace, Proxy
from server_faults import TROUBLES, Trouble
from topology.sentinels import SERVICE, Watched

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


async def killed(server: servers.RedisServer, dice: random.Random) -> None:
    server.stop()
    await asyncio.sleep(dice.uniform(0, 1.5))
    await asyncio.to_thread(server.start)


async def stopped(server: servers.RedisServer, dice: random.Random) -> None:
    server.process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(dice.uniform(0.02, 1.5))
    server.process.send_signal(signal.SIGCONT)


@asynccontextmanager
async def away(server: servers.RedisServer, *, kill: bool) -> AsyncIterator[None]:
    """A server is dead, or hangs, while the block runs."""
    if kill:
        server.stop()
    else:
        server.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        if kill:
            await asyncio.to_thread(server.start)
        else:
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
    async with away(old, kill=kill):
        await asyncio.to_thread(watched.promoted, old)
        await asyncio.sleep(dice.uniform(0, 1))


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
