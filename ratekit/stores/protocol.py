"""
What a store offers, and what it is asked.

A hit is one step: `decide` takes what is asked of each limit and answers what each rule saw, nothing charged in between by
anyone else. `compile` is the same for a limiter that asks the same again and again.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, Protocol

from ratekit.algorithms import SPEND, Mark, Rule
from ratekit.decision import Decision, Seen, Told, decide
from ratekit.stores.naming import Canonical, Plan, Space


class Ask(NamedTuple):
    """What one limit is asked in a hit: `mode` is one of `ratekit.algorithms` LOOK, SPEND, CHECK, SHADOW, FORCE, GIVE."""

    rule: Rule
    space: Space
    identity: Canonical
    mode: int
    cost: int
    mark: Mark = (0, 0)


class Reader(Protocol):
    """What knows what a rule saw."""

    def read(self, cost: int, seen: Seen) -> Told:
        """From what was seen to the figures."""
        ...

    def mark(self, now: int, seen: Seen) -> Mark:
        """Where a charge at `now` went, from what was seen of it."""
        ...


class Seens(NamedTuple):
    """
    What was seen: the store's clock in microseconds, and per limit what its rule saw, after the charge if there was one. `overs`,
    where a store promises less than its rules do: per limit the `max_over` of its decision. `readers`, where others than the limits'
    own rules saw it: per limit what has the `read` and `mark` of the one that did.
    """

    now: int
    seen: Sequence[Seen]
    source: str = "store"
    degraded: bool = False
    overs: Sequence[int | None] = ()
    readers: Sequence["Reader"] = ()


Compiled = Callable[[Canonical, int, int], Decision]
"""(identity, cost, mode) -> the decision of one limiter."""
Spend = Callable[[Any, int], Decision]
"""(identity as the caller gave it, cost) -> the decision of one limiter on a hit."""
AsyncCompiled = Callable[[Canonical, int, int], Awaitable[Decision]]
CompiledMany = Callable[[Sequence[Canonical], int], list[Decision]]
"""
(identities, cost) -> the decisions of one limiter, in order. A store that can do that in one trip has `compile_many`, with the
arguments of `compile`; of the others each hit is asked by itself.
"""
AsyncCompiledMany = Callable[[Sequence[Canonical], int], Awaitable[list[Decision]]]


class Store(Protocol):
    """
    State for threads. `remote` says whether a hit is a trip that may fail; then `budget` is the seconds that one may take, None
    the store's own. A remote store whose `merges` is true also understands the mode MERGE.
    """

    remote: bool

    def compile(self, plan: Plan, budget: float | None = None) -> Compiled:
        """A function that hits every limit of `plan` at once; `functools.partial(hit, self, plan, budget=budget)` will do."""
        ...

    def decide(self, asks: Sequence[Ask], budget: float | None = None) -> Seens:
        """One hit: all-or-nothing over `asks`. Raises StoreError."""
        ...

    def forget(self, spaces: Sequence[Space], identity: Canonical) -> None:
        """Make the keys of an identity as new. Raises StoreError."""
        ...

    def close(self) -> None:
        """Let go of what is held: connections, files. Closing twice is harmless."""
        ...


class AsyncStore(Protocol):
    """State for event loops: `Store`, awaited."""

    remote: bool

    def compile(self, plan: Plan, budget: float | None = None) -> AsyncCompiled:
        """A function that hits every limit of `plan` at once; `functools.partial(async_hit, self, plan, budget=budget)` will do."""
        ...

    async def decide(self, asks: Sequence[Ask], budget: float | None = None) -> Seens:
        """One hit: all-or-nothing over `asks`. Raises StoreError."""
        ...

    async def forget(self, spaces: Sequence[Space], identity: Canonical) -> None:
        """Make the keys of an identity as new. Raises StoreError."""
        ...

    async def aclose(self) -> None:
        """Let go of what is held by the running event loop. Closing twice is harmless."""
        ...


def asks_of(plan: Plan, identity: Canonical, cost: int, mode: int) -> list[Ask]:
    """The same question to every limit of a plan."""
    return [Ask(rule, space, identity, mode, cost) for rule, space in plan]


def decisions_of(asks: Sequence[Ask], answer: Seens) -> list[Decision]:
    """One decision per limit: what its rule saw, with the limit that it speaks of."""
    _, seens, source, degraded, overs, _ = answer
    # What stands in for a store that is away cannot know what others spent.
    overs = overs or (None if degraded else 0,) * len(asks)
    return [
        Decision((bool(seen[0]), ask.rule.limit, reader.read, ask.cost, seen, source, degraded, over, ()))
        for ask, reader, seen, over in zip(asks, readers_of(asks, answer), seens, overs, strict=True)
    ]


def readers_of(asks: Sequence[Ask], answer: Seens) -> Sequence[Reader]:
    """Per limit what knows what was seen of it."""
    return answer.readers or [ask.rule for ask in asks]


def hit(store: Store, plan: Plan, identity: Canonical, cost: int, mode: int, budget: float | None = None) -> Decision:
    """A whole hit on a store that has no shorter way."""
    asks = asks_of(plan, identity, cost, mode)
    return decide(decisions_of(asks, store.decide(asks, budget)))


async def async_hit(
    store: AsyncStore, plan: Plan, identity: Canonical, cost: int, mode: int, budget: float | None = None
) -> Decision:
    """`hit`, awaited."""
    asks = asks_of(plan, identity, cost, mode)
    return decide(decisions_of(asks, await store.decide(asks, budget)))


def many_of(store: Any, plan: Plan, budget: float | None = None) -> CompiledMany:
    """A function that hits for many identities, in one trip where the store can do that."""
    if hasattr(store, "compile_many"):
        many: CompiledMany = store.compile_many(plan, budget)
        return many
    one: Compiled = store.compile(plan, budget)
    return lambda identities, cost: [one(identity, cost, SPEND) for identity in identities]


def async_many_of(store: Any, plan: Plan, budget: float | None = None) -> AsyncCompiledMany:
    """`many_of`, awaited."""
    if hasattr(store, "compile_many"):
        many: AsyncCompiledMany = store.compile_many(plan, budget)
        return many
    one: AsyncCompiled = store.compile(plan, budget)

    async def hit_many(identities: Sequence[Canonical], cost: int) -> list[Decision]:
        return [await one(identity, cost, SPEND) for identity in identities]

    return hit_many
