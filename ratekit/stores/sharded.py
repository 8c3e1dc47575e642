"""
Sharded: what is asked of a store with shards goes to each shard what is its own; for threads. `shard_of(slot)` of such a store says
who has a slot, and each shard is a store, or is guarded as one.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from ratekit.decision import Decision
from ratekit.errors import CountedInPart, StoreError
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
    """Many commands of counters, those of each shard together. Who is away keeps nobody else from counting: see `counted`."""
    groups = by_shard(store, [slot_of(key) for key, _ in jobs])
    came: list[list[Any] | StoreError] = []
    for shard, places in groups:
        try:
            came.append(of(shard)([jobs[i] for i in places], budget))
        except StoreError as error:
            came.append(error)
    return counted([places for _, places in groups], came)


def counted(groups: Sequence[Sequence[int]], came: Sequence[list[Any] | StoreError]) -> list[Any]:
    """
    The answers of all groups in order, which say their places; raises the error where none has answered, and CountedInPart, with the
    answers of the others, where some have.
    """
    answers: list[Any] = [None] * sum(map(len, groups))
    errors = [error for error in came if isinstance(error, StoreError)]
    for places, got in zip(groups, came, strict=True):
        if not isinstance(got, StoreError):
            for i, answer in zip(places, got, strict=True):
                answers[i] = answer
        elif isinstance(got, CountedInPart):  # what one shard was thought to have is with several
            for i, answer in zip(places, got.answers, strict=True):
                answers[i] = answer
    if not errors:
        return answers
    lost = sum(answer is None for answer in answers)
    if lost == len(answers):
        raise errors[0]
    raise CountedInPart(f"{lost} of {len(answers)} were not counted, as far as is known: {errors[0]}", errors[0].fault, answers)


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
