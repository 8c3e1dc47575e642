"""
AsyncRedisClusterStore: Redis Cluster, for event loops: `cluster.py`, awaited.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import redis.exceptions

from ratekit.errors import StoreError, StoreUnavailable
from ratekit.stores.counting import Command, Job
from ratekit.stores.holders import Holders
from ratekit.stores.naming import Canonical, Plan, Space
from ratekit.stores.protocol import Ask, AsyncCompiled, AsyncCompiledMany, Seens
from ratekit.stores.redis.cluster_address import async_opener, seeds_of
from ratekit.stores.redis.cluster_base import HOPS, LATE, OVER, Cluster, missed
from ratekit.stores.redis.cluster_map import hop_of
from ratekit.stores.redis.cluster_shard_async import AsyncNode, AsyncShard
from ratekit.stores.redis.cluster_start import AsyncStart
from ratekit.stores.redis.run import Wants
from ratekit.stores.redis.script import Label
from ratekit.stores.redis.store import BUDGET, PATIENCE, Clock
from ratekit.stores.redis.wire import LOST, Redirected, translated
from ratekit.stores.sharded_async import async_count_by_shard, async_decide_by_slot, async_many_by_shard
from ratekit.stores.slots import slot_of
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
        self._told: dict[asyncio.AbstractEventLoop, asyncio.Future[StoreError | None]] = {}  # who waits for the first view
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

    def routed(self, plan: Plan, make: Callable[[Any], Callable[..., Any]]) -> Callable[..., Any]:
        """A function that hits where the identity's slot is, by the function that `make` makes for that shard."""
        return self.cluster.slots.routed(plan, make)

    def compile(self, plan: Plan, budget: float | None = None) -> AsyncCompiled:
        """A function that hits every limit of `plan` at once, within `budget` seconds (None: the store's)."""
        return self.routed(plan, lambda shard: shard.compile(plan, budget))

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

    async def ready(self, seconds: float) -> None:
        """Wait until the cluster is known; raises StoreUnavailable."""
        if self.cluster.known:
            return
        loop = asyncio.get_running_loop()
        told = self._told.get(loop)
        if told is None:
            self._told.clear()
            told = self._told[loop] = loop.create_future()
            told.add_done_callback(lambda _: self._told.pop(loop, None))
            self.cluster.watch.tell(partial(_tell, loop, told))
        await asyncio.wait([told], timeout=seconds)
        error = told.result() if told.done() else LATE
        if error is not None:
            raise type(error)(str(error), error.fault)

    async def follow(self, keys: list[str], label: Label, wants: Wants, deadline: float) -> Any:
        """A hit by itself, wherever its slot is now."""
        slot, loop, asking = slot_of(keys[0]), asyncio.get_running_loop(), False
        address = self.cluster.home(slot)
        for _ in range(HOPS):
            left = deadline - loop.time()
            if left <= 0:
                break
            try:
                answer = await self.cluster.node(address).alone(asking=asking).ride([*keys], label, 1, wants, left)
                if not missed(answer[0][answer[1]] if wants == "reply" else answer):
                    return answer
                hop = hop_of(Redirected(OVER), address)  # it was sent by ASK, and meanwhile that is over
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
            except LOST as error:
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
