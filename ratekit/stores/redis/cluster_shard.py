"""
A node of a cluster, and a shard: a store of its own for the slots that one master has; for threads.
"""

import time
from collections.abc import Sequence
from typing import Any, Protocol

from ratekit.algorithms import SPEND
from ratekit.decision import Decision
from ratekit.errors import StoreError
from ratekit.stores.counting import Command, Job
from ratekit.stores.naming import Canonical, Plan, Space
from ratekit.stores.protocol import Ask, Compiled, CompiledMany, Seens
from ratekit.stores.redis.cluster_address import Address, Seeds, opener
from ratekit.stores.redis.cluster_base import Cluster, missed, moved_to
from ratekit.stores.redis.form import ASKING, CROWD, SINGLE
from ratekit.stores.redis.script import MOST_TOGETHER, Parcel, Route, counts, decisions, label_for, packed, seens
from ratekit.stores.redis.store import Clock
from ratekit.stores.redis.trip import Trips
from ratekit.stores.redis.wire import Redirected
from ratekit.stores.slots import slots_of
from ratekit.stores.traffic import Traffic


class Whole(Protocol):
    """What a shard needs of the store that it is a part of."""

    budget: float
    clock: Clock | None
    place: str
    cluster: "Cluster[Node, Any]"

    def compile(self, plan: Plan, budget: float | None = None) -> Compiled: ...
    def compile_many(self, plan: Plan, budget: float | None = None) -> CompiledMany: ...
    def decide(self, asks: Sequence[Ask], budget: float | None = None) -> Seens: ...
    def forget(self, spaces: Sequence[Space], identity: Canonical) -> None: ...
    def count(self, key: str, command: Command, budget: float | None = None) -> Any: ...
    def count_many(self, jobs: Sequence[Job], budget: float | None = None) -> list[Any]: ...
    def ready(self, seconds: float) -> None: ...
    def follow(self, parcel: Parcel, deadline: float) -> tuple[Sequence[int], int]: ...


class Node:
    """The connections to one server: for hits together, for hits alone, and for those that are sent there by ASK."""

    def __init__(self, seeds: Seeds, clock: Clock | None, address: Address) -> None:
        self.traffic = Traffic(f"redis+cluster://{address[0]}:{address[1]}")
        self.crowd, self.single, self.asking = (Trips(opener(seeds, address), clock, form) for form in (CROWD, SINGLE, ASKING))
        self.crowd.traffic = self.single.traffic = self.asking.traffic = self.traffic

    @property
    def waiting(self) -> int:
        """Callers that wait."""
        return self.crowd.waiting + self.single.waiting + self.asking.waiting

    def close(self) -> None:
        """Close what is idle."""
        for trips in (self.crowd, self.single, self.asking):
            trips.close()


class Shard:
    """The slots of one master, as a store of their own; whoever moved away meanwhile is followed."""

    remote = merges = slotted = True

    def __init__(self, store: Whole, address: Address) -> None:
        self._store = store
        self.clock = store.clock
        self.move(address)

    def move(self, address: Address) -> None:
        """Go on at another address."""
        self.address: Address | None = address
        self.node = self._store.cluster.node(address)

    @property
    def traffic(self) -> Traffic:
        """What its master was asked."""
        return self.node.traffic

    @property
    def waiting(self) -> int:
        """Callers that wait."""
        return self.node.waiting

    def compile(self, plan: Plan, budget: float | None = None) -> Compiled:
        """A function that hits every limit of `plan` at once."""
        route, ask, seconds = Route(plan, self.clock), self._ask, self._store.budget if budget is None else budget
        parcel, decision = route.parcel, route.decision

        def hit(identity: Canonical, cost: int, mode: int) -> Decision:
            reply, at = ask(parcel(identity, cost, mode), seconds)
            return decision(reply, at, cost)

        return hit

    def compile_many(self, plan: Plan, budget: float | None = None) -> CompiledMany:
        """A function that hits every limit of `plan` for many identities, in one trip for each MOST_TOGETHER of them."""
        route, seconds = Route(plan, self.clock), self._store.budget if budget is None else budget

        def hit_many(identities: Sequence[Canonical], cost: int) -> list[Decision]:
            label, answers = route.label(cost, SPEND), list[Decision]()
            for first in range(0, len(identities), MOST_TOGETHER):
                parcels = [(route.keys(identity), label) for identity in identities[first : first + MOST_TOGETHER]]
                each = self._ask_many(parcels, seconds)
                answers += [decisions(label, reply, at, 1)[0] for reply, at in each]
            return answers

        return hit_many

    def decide(self, asks: Sequence[Ask], budget: float | None = None) -> Seens:
        """One hit: all-or-nothing over `asks`, also where they are in other slots than these."""
        slots = set(slots_of(asks))
        if len(slots) > 1 or any(self._store.cluster.slots.of[slot] is not self for slot in slots):
            return self._store.decide(asks, budget)
        parcel, seconds = packed(asks, self.clock), self._store.budget if budget is None else budget
        return seens(asks, *self._ask(parcel, seconds))

    def probe(self, asks: Sequence[Ask], budget: float | None = None) -> Seens | None:
        """Ask as a probe does, on keys that are here. A shard that has no slots any more is well, and says nothing."""
        here = moved_to(self._store.cluster.slots, self, asks)
        return self.decide(here, budget) if here else None

    def forget(self, spaces: Sequence[Space], identity: Canonical) -> None:
        """Make the keys of an identity as new."""
        self._store.forget(spaces, identity)

    def count(self, key: str, command: Command, budget: float | None = None) -> Any:
        """What a counter's command on a key answers."""
        label = label_for(command)
        reply, at = self._ask(((key,), label), self._store.budget if budget is None else budget)
        return counts(label, reply, at, 1)[0]

    def count_many(self, jobs: Sequence[Job], budget: float | None = None) -> list[Any]:
        """`count` for many keys, in one trip for each MOST_TOGETHER of them."""
        seconds, answers = self._store.budget if budget is None else budget, list[Any]()
        for first in range(0, len(jobs), MOST_TOGETHER):
            parcels = [((key,), label_for(command)) for key, command in jobs[first : first + MOST_TOGETHER]]
            each = zip(parcels, self._ask_many(parcels, seconds), strict=True)
            answers += [counts(label, reply, at, 1)[0] for (_, label), (reply, at) in each]
        return answers

    def close(self) -> None:
        """The connections are the whole store's."""

    def _ask(self, parcel: Parcel, seconds: float) -> tuple[Sequence[int], int]:
        (answer,) = self._ask_many((parcel,), seconds)
        return answer

    def _ask_many(self, parcels: Sequence[Parcel], seconds: float) -> list[tuple[Sequence[int], int]]:
        """Per hit the reply that it is in, and where its integers begin."""
        deadline, address = time.monotonic() + seconds, self.address
        answers: list[tuple[Sequence[int], int] | None] = []
        try:
            reply, at = self.node.crowd.call(parcels, seconds)
            for _, label in parcels:
                answers.append(None if label.width and missed(reply[at]) else (reply, at))
                at += label.width
        except Redirected:
            answers = [None for _ in parcels]
        except StoreError as error:
            self._store.cluster.failed(error, address)
            raise
        pairs = zip(parcels, answers, strict=True)
        return [self._store.follow(parcel, deadline) if answer is None else answer for parcel, answer in pairs]
