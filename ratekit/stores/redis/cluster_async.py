"""
AsyncRedisClusterStore: Redis Cluster, for event loops: `cluster.py`, awaited.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import redis.exceptions

from ratekit.decision import Decision
from ratekit.errors import StoreError, StoreUnavailable
from ratekit.stores.across import Part, across
from ratekit.stores.counting import Command, Job
from ratekit.stores.holders import Holders
from ratekit.stores.naming import Canonical, Plan, Space
from ratekit.stores.protocol import Ask, AsyncCompiled, AsyncCompiledMany, Seens
from ratekit.stores.redis.cluster import by_shard
from ratekit.stores.redis.cluster_address import async_opener, seeds_of
from ratekit.stores.redis.cluster_base import HOPS, Cluster, slots_of
from ratekit.stores.redis.cluster_map import slot_in, slot_of, together_in
from ratekit.stores.redis.cluster_shard_async import AsyncNode, AsyncShard, AsyncStart
from ratekit.stores.redis.run import Wants
from ratekit.stores.redis.script import Label
from ratekit.stores.redis.store import BUDGET, PATIENCE, Clock
from ratekit.stores.redis.wire import FAULTS, Redirected, translated
from ratekit.stores.traffic import Traffic


class AsyncRedisClusterStore:
    """
    State in a Redis Cluster for asyncio: `RedisClusterStore`, awaited. All callers on an event loop share one connection per node.

    `target` is a URL or a `redis.asyncio.RedisCluster` client of yours: its nodes and credentials are used, its connections are not.
    """

    remote = merges = True

    def __init__(self, target: Any, *, budget: float = BUDGET, clock: Clock | None = None) -> None:
        self._seeds = seeds = seeds_of(target, wait=True)
        self._holders = Holders()
        self.budget, self.clock, self.place = budget, clock, seeds.place
        self.cluster: Cluster[AsyncNode, AsyncShard | AsyncStart] = Cluster(
            seeds,
            AsyncStart(self),
            lambda address: AsyncShard(self, address),
            lambda address: AsyncNode(seeds, address, budget, clock),
        )

    @property
    def shards(self) -> Sequence[AsyncShard | AsyncStart]:
        """The parts of the cluster, each with a circuit of its own."""
        return self.cluster.slots.shards or (self.cluster.slots.of[0],)

    def shard_of(self, slot: int) -> AsyncShard | AsyncStart:
        """Who has a slot."""
        return self.cluster.slots.of[slot]

    def compile(self, plan: Plan, budget: float | None = None) -> AsyncCompiled:
        """A function that hits every limit of `plan` at once, within `budget` seconds (None: the store's)."""
        return self.cluster.slots.routed(plan, lambda shard: shard.compile(plan, budget))

    def compile_many(self, plan: Plan, budget: float | None = None) -> AsyncCompiledMany:
        """A function that hits every limit of `plan` for many identities, in few trips to each node."""
        return async_many_by_shard(self, plan, lambda shard: shard.compile_many(plan, budget))

    async def decide(self, asks: Sequence[Ask], budget: float | None = None) -> Seens:
        """One hit: all-or-nothing over `asks`, also where they are in different slots (`ratekit.stores.across`)."""
        return await async_decide_by_slot(self, asks, self.budget if budget is None else budget, lambda shard: shard.decide)

    async def forget(self, spaces: Sequence[Space], identity: Canonical) -> None:
        """Make the keys of an identity as new."""
        await self.ready(PATIENCE)
        for space in spaces:
            await self._delete(space.key(identity), asyncio.get_running_loop().time() + PATIENCE)

    async def count(self, key: str, command: Command, budget: float | None = None) -> Any:
        """What a counter's command on a key answers; one trip, with the hits and commands of others."""
        return await self.shard_of(slot_of(key)).count(key, command, budget)

    async def count_many(self, jobs: Sequence[Job], budget: float | None = None) -> list[Any]:
        """`count` for many keys, in few trips to each node."""
        return await async_count_by_shard(self, jobs, lambda shard: shard.count_many, budget)

    @property
    def waiting(self) -> int:
        """Hits that wait for a trip, on every event loop."""
        return sum(node.waiting for node in self.cluster.nodes)

    @property
    def traffic(self) -> Traffic:
        """What all nodes together were asked."""
        total = Traffic(self.place)
        for node in self.cluster.nodes:
            total.trips += node.traffic.trips
            total.hits += node.traffic.hits
        return total

    def hold(self) -> bool:
        """Be held once more; False when the last holder has closed it already."""
        return self._holders.more()

    async def aclose(self) -> None:
        """Be held once less; closes the running event loop's connections when nobody is left, or nobody is using them."""
        last, loop = self._holders.less(), asyncio.get_running_loop()
        for node in self.cluster.nodes:
            node.leave(loop, last=last)
        await asyncio.sleep(0)  # the loop closes the sockets in its next turn

    async def ready(self, seconds: float) -> float:
        """Wait until the cluster is known; the seconds that are left. Raises StoreUnavailable."""
        if self.cluster.known:
            return seconds
        loop = asyncio.get_running_loop()
        began, told = loop.time(), loop.create_future()
        self.cluster.watch.tell(lambda error: _tell(loop, told, error))
        try:
            async with asyncio.timeout(seconds):
                error: StoreError | None = await told
        except TimeoutError:
            error = StoreUnavailable("finding the nodes of the cluster took longer than the budget", "late")
        if error is not None:
            raise type(error)(str(error), error.fault)
        return max(0.001, began + seconds - loop.time())

    async def follow(self, keys: list[str], label: Label, wants: Wants, deadline: float) -> Any:
        """A hit by itself, wherever its slot is now."""
        slot, loop, asking = slot_of(keys[0]), asyncio.get_running_loop(), False
        address = self.cluster.home(slot)
        for _ in range(HOPS):
            left = deadline - loop.time()
            if left <= 0:
                break
            try:
                return await self.cluster.node(address).alone(asking=asking).ride([*keys], label, 1, wants, left)
            except Redirected as error:
                hop = self.cluster.hop(error, slot, address)
            except StoreError as error:
                self.cluster.failed(error, address)
                raise
            address, asking = hop.address or self.cluster.home(slot), hop.asking
            if hop.pause:
                await asyncio.sleep(min(hop.pause, left))
        raise StoreUnavailable("the cluster sent the hit from node to node for longer than the budget", "late")

    async def _delete(self, key: str, deadline: float) -> None:
        slot, loop, asking = slot_of(key), asyncio.get_running_loop(), False
        address = self.cluster.home(slot)
        while loop.time() < deadline:
            connection = None
            try:
                async with asyncio.timeout_at(deadline):
                    connection = await async_opener(self._seeds, address)()
                    if asking:
                        await connection.send_command("ASKING")
                        await connection.read_response()
                    await connection.send_command("DEL", key)
                    await connection.read_response()
                    return
            except (redis.exceptions.MovedError, redis.exceptions.AskError) as error:
                asking = isinstance(error, redis.exceptions.AskError)
                address = (error.host or address[0], error.port)
                self.cluster.watch.stale()
            except FAULTS as error:
                raise translated(error) from error
            finally:
                if connection is not None:
                    await connection.disconnect(nowait=True)
        raise StoreUnavailable("the cluster sent the command from node to node for too long", "late")


def _tell(loop: asyncio.AbstractEventLoop, told: "asyncio.Future[StoreError | None]", error: StoreError | None) -> None:
    def tell() -> None:
        if not told.done():
            told.set_result(error)

    try:
        loop.call_soon_threadsafe(tell)
    except RuntimeError:  # the loop has ended, and nobody waits
        return


def async_many_by_shard(store: Any, plan: Plan, make: Callable[[Any], AsyncCompiledMany]) -> AsyncCompiledMany:
    """Many hits, those of each shard together."""
    space = plan[0][1]

    async def hit_many(identities: Sequence[Canonical], cost: int) -> list[Decision]:
        groups = by_shard(store, [slot_in(space, identity) for identity in identities])
        rides = [make(shard)([identities[i] for i in places], cost) for shard, places in groups]
        answers: dict[int, Decision] = {}
        for (_, places), came in zip(groups, await asyncio.gather(*rides), strict=True):
            answers.update(zip(places, came, strict=True))
        return [answers[i] for i in range(len(identities))]

    return hit_many


async def async_count_by_shard(
    store: Any, jobs: Sequence[Job], of: Callable[[Any], Callable[..., Awaitable[list[Any]]]], budget: float | None
) -> list[Any]:
    """Many commands of counters, those of each shard together."""
    groups = by_shard(store, [slot_of(key) for key, _ in jobs])
    rides = [of(shard)([jobs[i] for i in places], budget) for shard, places in groups]
    answers: dict[int, Any] = {}
    for (_, places), came in zip(groups, await asyncio.gather(*rides), strict=True):
        answers.update(zip(places, came, strict=True))
    return [answers[i] for i in range(len(jobs))]


async def async_decide_by_slot(
    store: Any, asks: Sequence[Ask], seconds: float, of: Callable[[Any], Callable[..., Awaitable[Seens]]]
) -> Seens:
    """One hit, each slot asked by what `of` says of its shard. A caller who is cancelled leaves nothing half done."""
    slots = slots_of(asks)
    groups = together_in(slots)
    if len(groups) < 2:
        return await of(store.shard_of(slots[0] if slots else 0))(asks, seconds)
    deciding = asyncio.ensure_future(_decide_across(store, asks, groups, seconds, of))
    deciding.add_done_callback(lambda done: done.cancelled() or done.exception())  # known, also when nobody waits any more
    return await asyncio.shield(deciding)


async def _decide_across(
    store: Any, asks: Sequence[Ask], groups: list[list[int]], seconds: float, of: Callable[[Any], Callable[..., Awaitable[Seens]]]
) -> Seens:
    steps = across(asks, groups)
    parts = next(steps)
    while True:
        answers = await asyncio.gather(*(_tried(store, part, seconds, of) for part in parts))
        try:
            parts = steps.send(answers)
        except StopIteration as stop:
            seen: Seens = stop.value
            return seen


async def _tried(
    store: Any, part: Part, seconds: float, of: Callable[[Any], Callable[..., Awaitable[Seens]]]
) -> Seens | StoreError:
    try:
        return await of(store.shard_of(slot_in(part[0].space, part[0].identity)))(part, seconds)
    except StoreError as error:
        return error
