"""
What has every slot before a cluster is known; for threads and for event loops.
"""

from collections.abc import Sequence
from typing import Any

from ratekit.decision import Decision
from ratekit.stores.counting import Command, Job
from ratekit.stores.naming import Canonical, Plan, Space
from ratekit.stores.protocol import Ask, AsyncCompiled, AsyncCompiledMany, Compiled, CompiledMany, Seens
from ratekit.stores.redis.cluster_address import Address
from ratekit.stores.redis.cluster_shard import Whole
from ratekit.stores.redis.cluster_shard_async import AsyncWhole
from ratekit.stores.traffic import Traffic


class Start:
    """
    What has every slot before the cluster is known: it waits until it is, then asks the whole store, which
    may take half the budget once more: what is late then is this process, which has just begun.
    """

    remote = merges = slotted = True
    address: Address | None = None

    def __init__(self, store: Whole) -> None:
        self._store = store
        self.clock = store.clock
        self.traffic = Traffic(store.place)
        self.waiting = 0

    def move(self, address: Address) -> None:
        """It has no address."""

    def compile(self, plan: Plan, budget: float | None = None) -> Compiled:
        """A function that hits every limit of `plan` at once."""
        whole, left, ready = self._store.compile(plan, self._half(budget)), self._budget(budget), self._store.ready

        def hit(identity: Canonical, cost: int, mode: int) -> Decision:
            ready(left)
            return whole(identity, cost, mode)

        return hit

    def compile_many(self, plan: Plan, budget: float | None = None) -> CompiledMany:
        """`compile` for many identities."""

        def hit_many(identities: Sequence[Canonical], cost: int) -> list[Decision]:
            self._store.ready(self._budget(budget))
            return self._store.compile_many(plan, self._half(budget))(identities, cost)

        return hit_many

    def decide(self, asks: Sequence[Ask], budget: float | None = None) -> Seens:
        """One hit."""
        self._store.ready(self._budget(budget))
        return self._store.decide(asks, self._half(budget))

    probe = decide

    def forget(self, spaces: Sequence[Space], identity: Canonical) -> None:
        """Make the keys of an identity as new."""
        self._store.forget(spaces, identity)

    def count(self, key: str, command: Command, budget: float | None = None) -> Any:
        """What a counter's command on a key answers."""
        self._store.ready(self._budget(budget))
        return self._store.count(key, command, self._half(budget))

    def count_many(self, jobs: Sequence[Job], budget: float | None = None) -> list[Any]:
        """`count` for many keys."""
        self._store.ready(self._budget(budget))
        return self._store.count_many(jobs, self._half(budget))

    def close(self) -> None:
        """The connections are the whole store's."""

    def _budget(self, budget: float | None) -> float:
        return self._store.budget if budget is None else budget

    def _half(self, budget: float | None) -> float:
        return self._budget(budget) / 2


class AsyncStart:
    """`Start`, awaited."""

    remote = merges = slotted = True
    address: Address | None = None

    def __init__(self, store: AsyncWhole) -> None:
        self._store = store
        self.clock = store.clock
        self.traffic = Traffic(store.place)
        self.waiting = 0

    def move(self, address: Address) -> None:
        """It has no address."""

    def compile(self, plan: Plan, budget: float | None = None) -> AsyncCompiled:
        """A function that hits every limit of `plan` at once."""
        whole, left, ready = self._store.compile(plan, self._half(budget)), self._budget(budget), self._store.ready

        async def hit(identity: Canonical, cost: int, mode: int) -> Decision:
            await ready(left)
            return await whole(identity, cost, mode)

        return hit

    def compile_many(self, plan: Plan, budget: float | None = None) -> AsyncCompiledMany:
        """`compile` for many identities."""

        async def hit_many(identities: Sequence[Canonical], cost: int) -> list[Decision]:
            await self._store.ready(self._budget(budget))
            return await self._store.compile_many(plan, self._half(budget))(identities, cost)

        return hit_many

    async def decide(self, asks: Sequence[Ask], budget: float | None = None) -> Seens:
        """One hit."""
        await self._store.ready(self._budget(budget))
        return await self._store.decide(asks, self._half(budget))

    probe = decide

    async def forget(self, spaces: Sequence[Space], identity: Canonical) -> None:
        """Make the keys of an identity as new."""
        await self._store.forget(spaces, identity)

    async def count(self, key: str, command: Command, budget: float | None = None) -> Any:
        """What a counter's command on a key answers."""
        await self._store.ready(self._budget(budget))
        return await self._store.count(key, command, self._half(budget))

    async def count_many(self, jobs: Sequence[Job], budget: float | None = None) -> list[Any]:
        """`count` for many keys."""
        await self._store.ready(self._budget(budget))
        return await self._store.count_many(jobs, self._half(budget))

    async def aclose(self) -> None:
        """The connections are the whole store's."""

    def _budget(self, budget: float | None) -> float:
        return self._store.budget if budget is None else budget

    def _half(self, budget: float | None) -> float:
        return self._budget(budget) / 2
