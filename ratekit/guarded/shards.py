"""
Guarded shards: a store of several servers, each with a circuit of its own, so that keys on healthy ones never fall back; for threads.

Each shard is guarded as a store by itself (`store.py`), and what is asked goes to the guard of the shard that it is for.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ratekit.decision import Decision
from ratekit.denials import Denials
from ratekit.guard import Health
from ratekit.guarded.gate import Gate, OnOutage, check_budget, check_outage
from ratekit.guarded.store import GuardedStore
from ratekit.stores.counting import Command, Job
from ratekit.stores.memory import monotonic
from ratekit.stores.naming import Canonical, Plan, Space
from ratekit.stores.protocol import Ask, Compiled, CompiledMany, Seens
from ratekit.stores.sharded import count_by_shard, decide_by_slot, many_by_shard
from ratekit.stores.slots import slot_in, slot_of


class Guards:
    """A guard for each shard, made when it is first needed; each knows all plans."""

    def __init__(self, store: Any, guard: Callable[..., Any], how: dict[str, Any]) -> None:
        check_budget(how["budget"])
        check_outage(how["on_outage"])
        self.store, self.how = store, how
        self._guard = guard
        self._probes: Sequence[Ask] = ()
        self._plans: dict[Plan, float | None] = {}
        self._made: dict[Any, tuple[Any, dict[Plan, Any]]] = {}
        self._lock = threading.Lock()  # whoever makes or drops guards; who finds one made needs none
        self.of(store.shard_of(0))

    def add(self, plan: Plan, budget: float | None) -> Callable[[Any], Any]:
        """From now on every guard knows a plan; from a shard to its hit."""
        with self._lock:
            self._plans[plan] = budget
            for guard, hits in self._made.values():
                hits[plan] = guard.compile(plan, budget)
        return lambda shard: self._known(shard)[1][plan]

    def of(self, shard: Any) -> Any:
        """The guard of a shard."""
        return self._known(shard)[0]

    def gate(self, plan: Plan, identity: Canonical) -> Gate:
        """What stands before the shard that an identity is in."""
        gate: Gate = self.of(self.store.shard_of(slot_in(plan[0][1], identity))).gate(plan)
        return gate

    def probe_with(self, asks: Sequence[Ask]) -> None:
        """What is asked to see whether a shard is back, where no plan says it."""
        with self._lock:
            self._probes = asks
            for guard, _ in self._made.values():
                guard.probe_with(asks)

    @property
    def all(self) -> list[Any]:
        """Every guard."""
        return [guard for guard, _ in [*self._made.values()]]

    def health(self) -> Health:
        """The health of the shard that is worst off; failures, changes and probes are those of all."""
        each: list[Health] = [self.of(shard).health() for shard in self.store.shards]
        worst = min(each, key=lambda health: (health.state != "open", -health.since if health.state == "open" else health.since))
        return replace(
            worst,
            failures=sum(health.failures for health in each),
            changes=sum(health.changes for health in each),
            probes=sum(health.probes for health in each),
        )

    def _known(self, shard: Any) -> tuple[Any, dict[Plan, Any]]:
        return self._made.get(shard) or self._make(shard)

    def _make(self, shard: Any) -> tuple[Any, dict[Plan, Any]]:
        with self._lock:
            known = self._made.get(shard)
            if known is None:
                self._drop()
                guard = self._guard(shard, **self.how)
                hits = {plan: guard.compile(plan, budget) for plan, budget in self._plans.items()}
                guard.probe_with(self._probes)
                known = self._made[shard] = guard, hits
            return known

    def _drop(self) -> None:
        """Let go of shards that are no more, and well: nothing waits to be brought back to them."""
        for shard in [shard for shard in self._made if shard not in self.store.shards]:
            if self._made[shard][0].health().state == "closed":
                del self._made[shard]


class ShardGate:
    """The gates of one limiter before every shard, as one."""

    def __init__(self, guards: Guards, plan: Plan) -> None:
        self.clock = getattr(guards.store, "clock", None) or monotonic
        self.spaces = frozenset(space for _, space in plan)
        self.denials = ShardDenials(guards, plan)
        self._guards, self._plan = guards, plan

    def answered(self, identity: Canonical, decision: Decision, sent: int) -> None:
        """Keep what an answer of the store says."""
        self._guards.gate(self._plan, identity).answered(identity, decision, sent)

    def forget(self, identity: Canonical) -> None:
        """Let go of an identity."""
        self._guards.gate(self._plan, identity).forget(identity)


class ShardDenials:
    """What is known to be refused, whichever shard refused it."""

    def __init__(self, guards: Guards, plan: Plan) -> None:
        self._guards, self._plan = guards, plan

    @property
    def rivalled(self) -> bool:
        """Whether another limiter counts in one of our keys by another limit."""
        return any(guard.gate(self._plan).denials.rivalled for guard in self._guards.all)

    def knows(self, identity: Canonical) -> bool:
        """Whether anything is known of an identity."""
        return self._of(identity).knows(identity)

    def refuse(self, identity: Canonical, cost: int, now: int) -> Decision | None:
        """The refusal that is known, or None."""
        return self._of(identity).refuse(identity, cost, now)

    def learn(self, identity: Canonical, decision: Decision, sent: int, came: int) -> None:
        """Keep what a decision says."""
        self._of(identity).learn(identity, decision, sent, came)

    def forget(self, identity: Canonical, now: int) -> None:
        """Let go of an identity."""
        self._of(identity).forget(identity, now)

    def _of(self, identity: Canonical) -> Denials:
        return self._guards.gate(self._plan, identity).denials


class GuardedShards:
    """A store with shards for threads, each of them guarded."""

    remote = True

    def __init__(self, store: Any, **how: Any) -> None:
        self._store, self._guards = store, Guards(store, GuardedStore, how)
        self._budget: float = store.budget if how["budget"] is None else how["budget"]
        self.probe_with = self._guards.probe_with

    def compile(self, plan: Plan, budget: float | None = None) -> Compiled:
        """A function that hits every limit of `plan` at once, and always answers within the budget."""
        hit: Compiled = self._store.routed(plan, self._guards.add(plan, budget))
        return hit

    def compile_many(self, plan: Plan, budget: float | None = None) -> CompiledMany:
        """`compile` for many identities at once. For a plan that has been compiled."""
        return many_by_shard(self._store, plan, lambda shard: self._guards.of(shard).compile_many(plan, budget))

    def decide(self, asks: Sequence[Ask], budget: float | None = None) -> Seens:
        """One hit: all-or-nothing over `asks`; of a shard that is away the outage policy decides, for its part alone."""
        seconds = self._budget if budget is None else budget
        return decide_by_slot(self._store, asks, seconds, lambda shard: self._guards.of(shard).decide)

    def gate(self, plan: Plan) -> ShardGate:
        """What stands before this store for a plan that has been compiled."""
        return ShardGate(self._guards, plan)

    def with_outage(self, on_outage: OnOutage) -> "GuardedShards":
        """The same store and circuits under another outage policy."""
        return GuardedShards(self._store, **{**self._guards.how, "on_outage": on_outage})

    def count(self, key: str, command: Command, budget: float | None = None) -> Any:
        """What a counter's command on a key answers. Raises StoreError: nothing else can count in the store's place."""
        return self._guards.of(self._store.shard_of(slot_of(key))).count(key, command, budget)

    def count_many(self, jobs: Sequence[Job], budget: float | None = None) -> list[Any]:
        """`count` for many keys."""
        return count_by_shard(self._store, jobs, lambda shard: self._guards.of(shard).count_many, budget)

    def forget(self, spaces: Sequence[Space], identity: Canonical) -> None:
        """Make the keys of an identity as new; never locally: raises StoreUnavailable."""
        self._guards.of(self._store.shard_of(slot_in(spaces[0], identity))).forget(spaces, identity)

    def health(self) -> Health:
        """How things stand with the shard that is worst off."""
        return self._guards.health()

    def hold(self) -> bool:
        """A guarded store is its limiter's own."""
        return False

    def close(self) -> None:
        """Let go of the store."""
        for guard in self._guards.all:
            guard.close()
        self._store.close()
