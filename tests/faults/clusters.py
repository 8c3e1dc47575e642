"""
A cluster of three masters and three replicas: a master dies or hangs under load; loaded slots move, there and back.
"""

import asyncio
import signal
import time
from collections.abc import Callable

import servers
from figures import Figure, count, milliseconds, noted, seconds, timely
from service import Client, Load, Service, back_after, longest
from topology.cluster import Member, RedisCluster

from ratekit.stores.slots import slot_of


def key_of(name: str) -> str:
    """The hash tag of a client of the application."""
    return f"{{default:{name}}}"


def load_of(service: Service, names: list[str], pace: float) -> Load:
    """Clients of these names."""
    load = Load(service.port, len(names), pace)
    load._clients = [Client(service.port, name) for name in names]
    return load


async def master_killed(full: bool) -> list[Figure]:
    """It dies, and never comes back."""
    return await failover(servers.RedisServer.stop, full)


async def master_hung(full: bool) -> list[Figure]:
    """SIGSTOP, and SIGCONT after its replica was promoted."""
    return await failover(lambda server: server.process.send_signal(signal.SIGSTOP), full)


async def failover(fail: Callable[[Member], None], full: bool) -> list[Figure]:
    with RedisCluster() as cluster:
        old, heir = cluster.masters[1], cluster.replicas[1]
        names = [f"10.7.{i}.1" for i in range(90 if full else 12)]
        homes = {name: cluster.home(key_of(name)) for name in names}
        theirs, others = ([name for name in names if (homes[name] is old) is mine] for mine in (True, False))
        async with Service(cluster.url) as service, load_of(service, theirs, 0.1) as load, load_of(service, others, 0.1) as healthy:
            await asyncio.sleep(2 if full else 0.5)
            fail(old)
            failed = time.perf_counter()
            await asyncio.to_thread(cluster.promoted, heir)
            switched = time.perf_counter()
            await asyncio.sleep(1 if full else 0.5)
            if old.process is not None:
                old.process.send_signal(signal.SIGCONT)
            await asyncio.sleep(3 if full else 1.5)
            unhandled = await service.unhandled()
    back = back_after(load.answers, switched)
    return [
        count("5xx", load.bad + healthy.bad),
        count("unhandled", unhandled),
        count("never decided by the store again", int(back == float("inf"))),
        timely("local decisions on keys of healthy nodes", sum(answer.source != "store" for answer in healthy.since(failed - 0.5))),
        seconds("back after the promotion", back, 1),
        timely("decided elsewhere after that", sum(answer.source != "store" for answer in load.since(switched + max(back, 1.0)))),
        milliseconds("longest decision", longest(load.since(failed) + healthy.since(failed), "took"), 75),
        noted("the cluster needed for the promotion", switched - failed, "s"),
    ]


async def migrated(full: bool) -> list[Figure]:
    """The slots of loaded keys move to another master and back, key by key, while they are hit."""
    with RedisCluster() as cluster:
        names = [f"10.8.{i}.1" for i in range(60 if full else 8)]
        async with Service(cluster.url) as service, load_of(service, names, 0.02) as load:
            await asyncio.sleep(1 if full else 0.5)
            began = time.perf_counter()
            moved = await asyncio.to_thread(move, cluster, names[: 20 if full else 3])
            ended = time.perf_counter()
            await asyncio.sleep(0.5)
            unhandled = await service.unhandled()
        counted = sum(keys_of(node) for node in cluster.masters)
    during = load.since(began, ended)
    local = sum(answer.source != "store" for answer in during)
    return [
        count("5xx", load.bad),
        count("unhandled", unhandled),
        count("counted more often than asked", max(0, counted - len(load.answers))),
        timely("admitted by the store and not counted", sum(a.source == "store" for a in load.answers) - counted),
        timely("share of decisions that fell back meanwhile, %", 100 * local / max(1, len(during)), 1),
        milliseconds("longest decision", longest(during, "took"), 75),
        noted("decisions meanwhile", len(during)),
        noted("slots moved", moved),
    ]


def move(cluster: RedisCluster, names: list[str]) -> int:
    """Move the slots of these keys to the next master and back; how many moves."""
    moves = 0
    for name in names:
        slot, source = slot_of(key_of(name)), cluster.home(key_of(name))
        target = cluster.masters[(cluster.masters.index(source) + 1) % 3]
        for here, there in ((source, target), (target, source)):
            cluster.begin(slot, here, there)
            time.sleep(0.02)
            while cluster.carry(slot, here, there, 1):
                time.sleep(0.005)
            cluster.finish(slot, there)
            moves += 1
    return moves


def keys_of(node: Member) -> int:
    """What was counted on a node, by the application's keys."""
    with node.client() as client:
        return sum(int(client.get(key)) for key in client.keys("*{default:10.8.*"))
