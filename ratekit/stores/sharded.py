"""
Sharded: what is asked of a store with shards goes to each shard what is its own; for threads. `shard_of(slot)` of such a store says
who has a slot, and each shard is a store, or is guarded as one.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from ratekit.decision import Decision
from ratekit.errors import StoreError
from ratekit.stores.across import Part, across
from ratekit.stores.counting import Job
from ratekit.stores.naming import Canonical, Plan
from ratekit.stores.protocol import Ask, CompiledMany, Seens
from ratekit.stores.slots import by_shard, slot_in, slot_of, slots_of, together_in


def many_by_shard(store: Any, plan: Plan, make: Callable[[Any], CompiledMany]) -> CompiledMany:
    """Many hits, those of each shard together."""
    space = plan[0][1]

    def hit_many(identities: Sequence[Canonical], cost: int) -> list[Decision]:
        answers: dict[int, Decision] = {}
        for shard, places in by_shard(store, [slot_in(space, identity) for identity in identities]):
            answers.update(zip(places, make(shard)([identities[i] for i in places], cost), strict=True))
        return [answers[i] for i in range(len(identities))]

    return hit_many


def count_by_shard(
    store: Any, jobs: Sequence[Job], of: Callable[[Any], Callable[..., list[Any]]], budget: float | None
) -> list[Any]:
    """Many commands of counters, those of each shard together."""
    answers: dict[int, Any] = {}
    for shard, places in by_shard(store, [slot_of(key) for key, _ in jobs]):
        answers.update(zip(places, of(shard)([jobs[i] for i in places], budget), strict=True))
    return [answers[i] for i in range(len(jobs))]


def decide_by_slot(store: Any, asks: Sequence[Ask], seconds: float, of: Callable[[Any], Callable[..., Seens]]) -> Seens:
    """One hit, each slot asked by what `of` says of its shard."""
    slots = slots_of(asks)
    groups = together_in(slots)
    if len(groups) < 2:
        return of(store.shard_of(slots[0] if slots else 0))(asks, seconds)
    deadline = time.monotonic() + seconds
    steps = across(asks, groups)
    parts, least = next(steps), 0.001
    while True:
        answers = [_tried(store, part, max(least, deadline - time.monotonic()), of) for part in parts]
        try:
            parts, least = steps.send(answers), seconds  # what is given back has a budget of its own
        except StopIteration as stop:
            seen: Seens = stop.value
            return seen


def _tried(store: Any, part: Part, seconds: float, of: Callable[[Any], Callable[..., Seens]]) -> Seens | StoreError:
    try:
        return of(store.shard_of(slot_in(part[0].space, part[0].identity)))(part, seconds)
    except StoreError as error:
        return error
