"""
RedisClusterStore: Redis Cluster, for threads.

Hits go to the master of their slot, together with all that wait for it. What was not for it is asked again by itself and follows
what the nodes say: such a hit certainly was not counted. Nothing else is ever sent twice.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from ratekit.errors import StoreError, StoreUnavailable
from ratekit.stores.counting import Command, Job
from ratekit.stores.holders import Holders
from ratekit.stores.naming import Canonical, Plan, Space
from ratekit.stores.protocol import Ask, Compiled, CompiledMany, Seens
from ratekit.stores.redis.cluster_address import Address, seeds_of
from ratekit.stores.redis.cluster_base import HOPS, LATE, OVER, Cluster, missed
from ratekit.stores.redis.cluster_shard import Node, Shard
from ratekit.stores.redis.cluster_start import Start
from ratekit.stores.redis.script import Parcel
from ratekit.stores.redis.store import BUDGET, PATIENCE, Clock
from ratekit.stores.redis.trip import Trips
from ratekit.stores.redis.wire import Redirected
from ratekit.stores.sharded import count_by_shard, decide_by_slot, many_by_shard
from ratekit.stores.slots import slot_of
from ratekit.stores.traffic import Traffic


class RedisClusterStore:
    """
    State in a Redis Cluster of version 7 or newer, or Valkey's, for threads.

    `target` is a URL (`redis+cluster://host:port,host:port`, `rediss+cluster://`) or a `redis.RedisCluster` client of yours: its
    nodes and credentials are used, its connections are not. `budget` is the seconds that a decision may take, connecting and
    redirections included. `clock` (microseconds, always ahead of the servers' time) is for tests.

    >>> from ratekit import Limiter
    >>> limiter = Limiter("100/minute", store=RedisClusterStore("redis+cluster://node1:6379,node2:6379"))  # doctest: +SKIP
    """

    remote = merges = True

    def __init__(self, target: Any, *, budget: float = BUDGET, clock: Clock | None = None) -> None:
        seeds = seeds_of(target)
        self._holders = Holders()
        self.budget, self.clock, self.place = budget, clock, seeds.place
        self.cluster: Cluster[Node, Shard | Start] = Cluster(seeds, Start(self), partial(Shard, self), partial(Node, seeds, clock))

    @property
    def shards(self) -> "Sequence[Shard | Start]":
        """The parts of the cluster, each with a circuit of its own."""
        return self.cluster.slots.shards or (self.cluster.slots.of[0],)

    def shard_of(self, slot: int) -> "Shard | Start":
        """Who has a slot."""
        return self.cluster.slots.of[slot]

    def routed(self, plan: Plan, make: Callable[[Any], Callable[..., Any]]) -> Callable[..., Any]:
        """A function that hits where the identity's slot is, by the function that `make` makes for that shard."""
        return self.cluster.slots.routed(plan, make)

    def compile(self, plan: Plan, budget: float | None = None) -> Compiled:
        """A function that hits every limit of `plan` at once, within `budget` seconds (None: the store's)."""
        return self.routed(plan, lambda shard: shard.compile(plan, budget))

    def compile_many(self, plan: Plan, budget: float | None = None) -> CompiledMany:
        """A function that hits every limit of `plan` for many identities, in few trips to each node."""
        return many_by_shard(self, plan, lambda shard: shard.compile_many(plan, budget))

    def decide(self, asks: Sequence[Ask], budget: float | None = None) -> Seens:
        """One hit: all-or-nothing over `asks`, also where they are in different slots (`ratekit.stores.across`)."""
        return decide_by_slot(self, asks, self.budget if budget is None else budget, lambda shard: shard.decide)

    def forget(self, spaces: Sequence[Space], identity: Canonical) -> None:
        """Make the keys of an identity as new."""
        self.ready(PATIENCE)
        for space in spaces:
            key = space.key(identity)
            self._follow(slot_of(key), time.monotonic() + PATIENCE, partial(_delete, key))

    def count(self, key: str, command: Command, budget: float | None = None) -> Any:
        """What a counter's command on a key answers; one trip, with the hits and commands of others."""
        return self.shard_of(slot_of(key)).count(key, command, budget)

    def count_many(self, jobs: Sequence[Job], budget: float | None = None) -> list[Any]:
        """`count` for many keys, in few trips to each node."""
        return count_by_shard(self, jobs, lambda shard: shard.count_many, budget)

    @property
    def waiting(self) -> int:
        """Callers that wait for a trip of their own or another's."""
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

    def close(self) -> None:
        """Be held once less; the last holder closes the connections."""
        if self._holders.less():
            self.cluster.close()

    def ready(self, seconds: float) -> None:
        """Wait until the cluster is known; raises StoreUnavailable."""
        if self.cluster.known:
            return
        told = SimpleQueue[StoreError | None]()
        self.cluster.watch.tell(told.put)
        try:
            error = told.get(timeout=seconds)
        except Empty:
            error = LATE
        if error is not None:
            raise type(error)(str(error), error.fault)

    def follow(self, parcel: Parcel, deadline: float) -> tuple[Sequence[int], int]:
        """A hit by itself, wherever its slot is now; the reply and where its integers begin."""

        def call(trips: Trips, left: float) -> tuple[Sequence[int], int]:
            reply, at = trips.call((parcel,), left)
            if missed(reply[at]):  # it was sent by ASK, and meanwhile that is over
                raise Redirected(OVER, "server")
            return reply, at

        answer: tuple[Sequence[int], int] = self._follow(slot_of(parcel[0][0]), deadline, call)
        return answer

    def _follow(self, slot: int, deadline: float, ask: Callable[[Trips, float], Any]) -> Any:
        address: Address = self.cluster.home(slot)
        asking = False
        for _ in range(HOPS):
            left = deadline - time.monotonic()
            if left <= 0:
                break
            node = self.cluster.node(address)
            try:
                return ask(node.asking if asking else node.single, left)
            except Redirected as error:
                hop = self.cluster.hop(error, slot, address)
            except StoreError as error:
                self.cluster.failed(error, address)
                raise
            address, asking = hop.address or self.cluster.home(slot), hop.asking
            if hop.pause:
                time.sleep(min(hop.pause, left))
        raise StoreUnavailable("the cluster sent the hit from node to node for longer than the budget", "late")


def _delete(key: str, trips: Trips, left: float) -> Any:
    return trips.command("DEL", key, patience=left)
