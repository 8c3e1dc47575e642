"""
Sharded, for event loops: `sharded.py`, awaited.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from ratekit.decision import Decision
from ratekit.errors import StoreError
from ratekit.stores.across import Part, across
from ratekit.stores.counting import Job
from ratekit.stores.naming import Canonical, Plan
from ratekit.stores.protocol import Ask, AsyncCompiledMany, Seens
from ratekit.stores.sharded import counted
from ratekit.stores.slots import by_shard, slot_in, slot_of, slots_of, together_in


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
    """Many commands of counters, those of each shard together. Who is away keeps nobody else from counting: see `counted`."""

    async def tried(shard: Any, places: Sequence[int]) -> list[Any] | StoreError:
        try:
            return await of(shard)([jobs[i] for i in places], budget)
        except StoreError as error:
            return error

    groups = by_shard(store, [slot_of(key) for key, _ in jobs])
    came = await asyncio.gather(*(tried(shard, places) for shard, places in groups))
    return counted([places for _, places in groups], came)


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
