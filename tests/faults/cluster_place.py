"""
A Redis Cluster as a place of random faults: masters and replicas that die, hang, change places; loaded slots that move meanwhile.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import redis
import servers
from clusters import key_of
from places import Place, away, killed, stopped, told
from server_faults import TROUBLES, Trouble
from topology.cluster import SLOTS, Member, RedisCluster, info

from ratekit.stores.slots import slot_of

NAMES = [f"10.0.{i}.1" for i in range(10)]
"""Clients of the load (see `service.Load`), whose slots move."""
BRIEF = 0.3
"""Seconds for which a master may be away before anybody suspects it."""


@asynccontextmanager
async def cluster() -> AsyncIterator[Place]:
    """Three masters and three replicas."""
    whole = await asyncio.to_thread(lambda: RedisCluster().__enter__())
    faults = {
        "master kill -9, back at once": lambda dice: deposed(whole, dice, kill=True, until=BRIEF),
        "master kill -9, back later": lambda dice: deposed(whole, dice, kill=True),
        "master SIGSTOP for a moment": lambda dice: stopped(a_master(whole, dice), dice),
        "master SIGSTOP": lambda dice: deposed(whole, dice, kill=False),
        "CLUSTER FAILOVER": lambda dice: changed_places(whole, dice),
        "migration": lambda dice: asyncio.to_thread(there_and_back, whole, dice),
        "kill -9 in a migration": lambda dice: broken_off(whole, dice),
        "replica kill -9": lambda dice: killed(dice.choice(having(whole, "slave")), dice),
        "FLUSHALL": lambda dice: told(a_master(whole, dice), "FLUSHALL"),
        "SCRIPT FLUSH": lambda dice: told(a_master(whole, dice), "SCRIPT", "FLUSH"),
        "CLIENT KILL": lambda dice: told(a_master(whole, dice), "CLIENT", "KILL", "TYPE", "normal"),
    }
    for name in ("OOM", "BUSY", "NOPERM"):
        faults[name] = lambda dice, trouble=TROUBLES[name]: troubled(a_master(whole, dice), trouble, dice)
    try:
        yield Place(whole.url, faults, lambda: mended(whole) or well(whole), lambda: having(whole, "master"))
    finally:
        await asyncio.to_thread(whole.__exit__)


def having(whole: RedisCluster, role: str) -> list[Member]:
    """The members that have a role now."""
    return [node for node in whole.nodes if node.role() == role]


def a_master(whole: RedisCluster, dice: random.Random) -> Member:
    return dice.choice(having(whole, "master"))


def replica_of(whole: RedisCluster, master: Member) -> Member:
    return next(node for node in having(whole, "slave") if node.ask("ROLE")[2] == master.port)


def well(whole: RedisCluster) -> bool:
    """Whether all name the same three masters, which have every slot, none of them under way; and each replica is up to date."""
    with contextlib.suppress(redis.exceptions.RedisError):
        roles = [node.ask("ROLE") for node in whole.nodes]
        states = [info(node) for node in whole.nodes]
        views = [node.ask("CLUSTER NODES") for node in whole.nodes]
        return (
            [role[3] for role in roles if role[0] == "slave"] == ["connected"] * (len(roles) - 3)
            and all(state["cluster_state"] == "ok" and state["cluster_slots_ok"] == str(SLOTS) for state in states)
            and len({masters_in(view) for view in views}) == 1
            and all(settled(facts) for view in views for facts in view.values())
        )
    return False


def mended(whole: RedisCluster) -> None:
    """
    Do what an operator does after a fault: slots that are still under way stay where they are, and a master whose last slot was taken by
    another than its heir, and which has nothing to do now, becomes a replica.
    """
    with contextlib.suppress(redis.exceptions.RedisError, StopIteration):
        masters = having(whole, "master")
        for node in masters:
            for slot in own(node)["migrations"]:
                node.ask("CLUSTER", "SETSLOT", slot["slot"], "STABLE")
        alone = iter([node for node in masters if own(node)["slots"] and not node.ask("ROLE")[2]])
        for node in masters:
            if not own(node)["slots"]:
                node.ask("FLUSHALL")  # it becomes none while it holds anything
                node.ask("CLUSTER", "REPLICATE", next(alone).name)


def own(node: Member) -> dict[str, Any]:
    """What a node says of itself."""
    view: dict[str, dict[str, Any]] = node.ask("CLUSTER NODES")
    return next(facts for facts in view.values() if "myself" in facts["flags"])


def masters_in(view: dict[str, dict[str, Any]]) -> frozenset[str]:
    return frozenset(address for address, facts in view.items() if "master" in facts["flags"])


def settled(facts: dict[str, Any]) -> bool:
    """Whether nobody takes this node for dead, and no slot is under way to it or from it."""
    return "fail" not in facts["flags"] and not facts["migrations"]


async def deposed(whole: RedisCluster, dice: random.Random, *, kill: bool, until: float | None = None) -> None:
    """A master dies or hangs: for `until` seconds at most, or until its replica has its place and some time after that."""
    old = a_master(whole, dice)
    heir = replica_of(whole, old)
    async with away(old, kill=kill):
        if until is None:
            await asyncio.to_thread(whole.promoted, heir)
            until = 1.0
        await asyncio.sleep(dice.uniform(0, until))


async def changed_places(whole: RedisCluster, dice: random.Random) -> None:
    """A replica takes its master's place, without a loss."""
    heir = dice.choice(having(whole, "slave"))
    heir.ask("CLUSTER", "FAILOVER")
    await asyncio.to_thread(whole.promoted, heir)


async def troubled(server: Member, trouble: Trouble, dice: random.Random) -> None:
    with server.client(single_connection_client=True) as client:
        await asyncio.to_thread(trouble.begin, client, None)
        await asyncio.sleep(dice.uniform(0.1, 1))
        await asyncio.to_thread(trouble.end, client, None)


def journey(whole: RedisCluster, dice: random.Random) -> tuple[int, Member, Member]:
    """A loaded slot, its master, and another."""
    key = key_of(dice.choice(NAMES))
    source = whole.home(key)
    return slot_of(key), source, dice.choice([node for node in having(whole, "master") if node is not source])


def there_and_back(whole: RedisCluster, dice: random.Random) -> None:
    """A loaded slot moves to another master, key by key, and back."""
    slot, source, target = journey(whole, dice)
    for here, there in ((source, target), (target, source)):
        whole.begin(slot, here, there)
        time.sleep(dice.uniform(0, 0.3))
        while whole.carry(slot, here, there, 1):
            time.sleep(0.005)
        whole.finish(slot, there)
        time.sleep(dice.uniform(0, 0.3))


async def broken_off(whole: RedisCluster, dice: random.Random) -> None:
    """A master dies while a slot of it moves. Its heir knows nothing of that: the slot is then moved anew, without its keys."""
    slot, source, target = await asyncio.to_thread(journey, whole, dice)
    heir = replica_of(whole, source)
    whole.begin(slot, source, target)
    whole.carry(slot, source, target, 1)
    async with away(source, kill=True):
        await asyncio.to_thread(whole.promoted, heir)
    for node in (heir, target):
        node.ask("CLUSTER", "SETSLOT", slot, "STABLE")
    await asyncio.to_thread(servers.until, lambda: mended(whole) or well(whole))
    whole.begin(slot, heir, target)
    for key in heir.ask("CLUSTER", "GETKEYSINSLOT", slot, 1000):
        heir.ask("DEL", key)
    whole.finish(slot, target)
