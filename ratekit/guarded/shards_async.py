"""
Guarded shards, for event loops: `shards.py`, awaited.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from ratekit.guard import Health
from ratekit.guarded.gate import OnOutage
from ratekit.guarded.shards import Guards, ShardGate
from ratekit.guarded.store_async import AsyncGuardedStore
from ratekit.stores.counting import Command, Job
from ratekit.stores.naming import Canonical, Plan, Space
from ratekit.stores.protocol import Ask, AsyncCompiled, AsyncCompiledMany, Seens
from ratekit.stores.sharded_async import async_count_by_shard, async_decide_by_slot, async_many_by_shard
from ratekit.stores.slots import slot_in, slot_of


class AsyncGuardedShards:
    """A store with shards for event loops, each of them guarded: `GuardedShards`, awaited."""

    remote = True

    def __init__(self, store: Any, **how: Any) -> None:
        self._store, self._guards = store, Guards(store, AsyncGuardedStore, how)
        self._budget: float = store.budget if how["budget"] is None else how["budget"]
        self.probe_with = self._guards.probe_with

    def compile(self, plan: Plan, budget: float | None = None) -> AsyncCompiled:
        """A function that hits every limit of `plan` at once, and always answers within the budget."""
        hit: AsyncCompiled = self._store.routed(plan, self._guards.add(plan, budget))
        return hit

    def compile_many(self, plan: Plan, budget: float | None = None) -> AsyncCompiledMany:
        """`compile` for many identities at once. For a plan that has been compiled."""
        return async_many_by_shard(self._store, plan, lambda shard: self._guards.of(shard).compile_many(plan, budget))

    async def decide(self, asks: Sequence[Ask], budget: float | None = None) -> Seens:
        """One hit: all-or-nothing over `asks`; of a shard that is away the outage policy decides, for its part alone."""
        seconds = self._budget if budget is None else budget
        return await async_decide_by_slot(self._store, asks, seconds, lambda shard: self._guards.of(shard).decide)

    def gate(self, plan: Plan) -> ShardGate:
        """What stands before this store for a plan that has been compiled."""
        return ShardGate(self._guards, plan)

    def with_outage(self, on_outage: OnOutage) -> "AsyncGuardedShards":
        """The same store and circuits under another outage policy."""
        return AsyncGuardedShards(self._store, **{**self._guards.how, "on_outage": on_outage})

    async def open(self) -> None:
        """Connect ahead of the first request; raises StoreError when credentials or permissions are wrong."""
        await self._guards.of(self._store.shard_of(0)).open()  # finds the others, if it is the first
        await asyncio.gather(*(self._guards.of(shard).open() for shard in self._store.shards))

    async def count(self, key: str, command: Command, budget: float | None = None) -> Any:
        """What a counter's command on a key answers. Raises StoreError: nothing else can count in the store's place."""
        return await self._guards.of(self._store.shard_of(slot_of(key))).count(key, command, budget)

    async def count_many(self, jobs: Sequence[Job], budget: float | None = None) -> list[Any]:
        """`count` for many keys."""
        return await async_count_by_shard(self._store, jobs, lambda shard: self._guards.of(shard).count_many, budget)

    async def forget(self, spaces: Sequence[Space], identity: Canonical) -> None:
        """Make the keys of an identity as new; never locally: raises StoreUnavailable."""
        await self._guards.of(self._store.shard_of(slot_in(spaces[0], identity))).forget(spaces, identity)

    def health(self) -> Health:
        """How things stand with the shard that is worst off."""
        return self._guards.health()

    async def aclose(self) -> None:
        """Let go of the store."""
        for guard in self._guards.all:
            await guard.aclose()
        await self._store.aclose()
