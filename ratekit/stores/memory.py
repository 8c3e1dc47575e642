"""
Memory: state in this process. Exact, shared by all threads and event loops of the process, gone with it.

Bounded, and it never forgives: only state that equals a fresh key's is dropped. When `max_keys` are held, identities that are new
share hashed overflow buckets: refused early perhaps, never admitted beyond their limit.

Keys are spread over small dicts, so that neither the growth of a dict nor the sweep of one stalls a hit: a new key pays for
looking at a few old ones.
"""

import os
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from ratekit.algorithms import CHECK, FORCE, GIVE, LOOK, SHADOW, SPEND, Rule
from ratekit.decision import NEVER, Decision, Seen
from ratekit.errors import ConfigurationError, RateKitWarning
from ratekit.stores.naming import Canonical, Plan, Space
from ratekit.stores.protocol import Ask, AsyncCompiled, Compiled, Seens, hit

SHARD: Final = 2048
"""Keys per dict when the store is full, on average."""
OVERFLOW: Final = 1024
"""Buckets that identities share once the store is full, per limit."""
PACE: Final = 4
"""Old keys that each new key pays to look at."""

Clock = Callable[[], int]
"""Microseconds, never going back."""


def monotonic() -> int:
    """Microseconds of this machine's monotonic clock."""
    return time.monotonic_ns() // 1000


class Table:
    """The states of one space: small dicts, what each may expire first, and the shared buckets."""

    __slots__ = ("earliest", "expiry", "mask", "overflow", "period", "shards")

    def __init__(self, rule: Rule, size: int) -> None:
        self.shards: list[dict[Canonical, Any]] = [{} for _ in range(size)]
        self.earliest = [NEVER] * size
        self.mask = size - 1
        self.overflow: dict[int, Any] = {}
        self.expiry, self.period = rule.expiry, rule.limit.period


class MemoryStore:
    """
    State in this process, for threads.

    `max_keys` is how many keys are held before new identities share buckets; `clock` gives microseconds and never goes back.

    >>> from ratekit import Limiter
    >>> limiter = Limiter("1/minute", store=MemoryStore(max_keys=1_000))
    >>> bool(limiter.hit("user:42")), bool(limiter.hit("user:42"))
    (True, False)
    """

    remote = False

    def __init__(self, *, max_keys: int = 100_000, clock: Clock = monotonic) -> None:
        if type(max_keys) is not int or max_keys < 1:
            raise ConfigurationError(f"max_keys {max_keys!r}: write a whole number of at least 1")
        self._max_keys = max_keys
        self._clock = clock
        self._lock = threading.Lock()
        self._tables: dict[Space, Table] = {}
        self._ring: list[tuple[Table, int]] = []
        self._hand = 0
        self._credit = 0
        self._size = 0
        self._warned = False

    def __len__(self) -> int:
        """The keys held, shared buckets not counted."""
        return self._size

    def compile(self, plan: Plan, budget: float | None = None) -> Compiled:
        """A function that hits every limit of `plan` at once; for a single limit the shortest way there is."""
        if len(plan) > 1:
            return partial(hit, self, plan)
        rule, space = plan[0]
        with self._lock:
            table = self._table(rule, space)
        return _shortest(self, rule, table)

    def decide(self, asks: Sequence[Ask], budget: float | None = None) -> Seens:
        """One hit: all-or-nothing over `asks`."""
        with self._lock:
            now = self._clock()
            places = [self._place(self._table(ask.rule, ask.space), ask.identity, now) for ask in asks]
            steps = [ask.rule.step(place.state, now, ask.cost, LOOK) for ask, place in zip(asks, places, strict=True)]
            seens = [seen for _, seen in steps]
            admitted = all(seen[0] or ask.mode not in (SPEND, CHECK) for ask, seen in zip(asks, seens, strict=True))
            for i, (ask, place) in enumerate(zip(asks, places, strict=True)):
                if ask.mode == FORCE or (admitted and seens[i][0] and ask.mode in (SPEND, SHADOW)):
                    state, seens[i] = ask.rule.step(place.state, now, ask.cost, FORCE)
                    self._save(place, state)
                elif ask.mode == GIVE:
                    state = ask.rule.give(place.state, now, ask.cost, ask.mark)
                    self._save(place, state)
                    seens[i] = (True, *ask.rule.step(state, now, 1, LOOK)[1][1:])
                elif ask.mode != LOOK and steps[i][0] is not place.state:
                    self._save(place, steps[i][0])
        shared = any(place.states is place.table.overflow for place in places)
        return Seens(now, seens, "overflow" if shared else "store")

    def forget(self, spaces: Sequence[Space], identity: Canonical) -> None:
        """Make the keys of an identity as new; buckets that it shares with others stay as they are."""
        with self._lock:
            for table in filter(None, map(self._tables.get, spaces)):
                if table.shards[hash(identity) & table.mask].pop(identity, None) is not None:
                    self._size -= 1

    def put(self, rule: Rule, space: Space, identity: Canonical, seen: Seen, ago: int) -> None:
        """Take over what was seen of a key elsewhere, `ago` microseconds before now."""
        with self._lock:
            now = self._clock()
            state = rule.restore(seen, now - ago)
            self._save(self._place(self._table(rule, space), identity, now), state)

    def now(self) -> int:
        """Microseconds of this store's clock."""
        return self._clock()

    def close(self) -> None:
        """Nothing is held but memory."""

    def _table(self, rule: Rule, space: Space) -> Table:
        table = self._tables.get(space)
        if table is None:
            size = 1 << ((self._max_keys - 1) // SHARD).bit_length()
            table = self._tables[space] = Table(rule, size)
            self._ring.extend((table, i) for i in range(size))
        elif table.period < rule.limit.period:  # a named limit whose period grew: state counts for longer
            table.expiry, table.period = rule.expiry, rule.limit.period
        return table

    def _single(self, table: Table, identity: Canonical, now: int, rule: Rule, cost: int, mode: int) -> tuple[Seen, str]:
        """A hit on one limit whose key is not held yet."""
        place = self._place(table, identity, now)
        state, seen = rule.step(place.state, now, cost, mode)
        if seen[0] and mode != LOOK:
            self._save(place, state)
        return seen, "overflow" if place.states is table.overflow else "store"

    def _place(self, table: Table, identity: Canonical, now: int) -> "Place":
        """Where an identity's state is, or would be: under its own key, or in a bucket that it shares."""
        states = table.shards[hash(identity) & table.mask]
        state = states.get(identity)
        if state is not None:
            return Place(table, states, identity, state)
        bucket = hash(identity) % OVERFLOW
        shared = table.overflow.get(bucket)
        if shared is not None and table.expiry(shared) <= now:
            shared = None
            del table.overflow[bucket]
        if shared is None:
            self._sweep(now)
            if self._size < self._max_keys:
                return Place(table, states, identity, None)
            self._warn()
        return Place(table, table.overflow, bucket, shared)

    def _save(self, place: "Place", state: Any) -> None:
        table, states, key, _ = place
        own = states is not table.overflow
        if state is None:
            if states.pop(key, None) is not None and own:
                self._size -= 1
            return
        # What a place held may have been swept since, by another limit of the same hit.
        if own and key not in states:
            self._size += 1
            shard = hash(key) & table.mask
            table.earliest[shard] = min(table.earliest[shard], table.expiry(state))
        states[key] = state

    def _sweep(self, now: int) -> None:
        """Drop what equals a fresh key: at most one small dict at a time, and no more than new keys have paid for."""
        self._credit = min(self._credit + PACE, 2 * SHARD)
        for _ in range(min(PACE, len(self._ring))):
            table, shard = self._ring[self._hand % len(self._ring)]
            if table.earliest[shard] <= now:
                states = table.shards[shard]
                if self._credit < min(len(states), SHARD):
                    return
                self._credit -= min(len(states), SHARD)
                kept = {key: state for key, state in states.items() if table.expiry(state) > now}
                self._size -= len(states) - len(kept)
                states.clear()
                states.update(kept)
                table.earliest[shard] = min(map(table.expiry, kept.values()), default=NEVER)
            self._hand += 1

    def _warn(self) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"the memory store holds its {self._max_keys} keys: new identities share {OVERFLOW} buckets per limit and may be "
                "refused early; give MemoryStore a larger max_keys, or keep the state in Redis",
                RateKitWarning,
                stacklevel=2,
            )


class Place(NamedTuple):
    """One identity's state: the dict that holds it, under which key, and what it is."""

    table: Table
    states: dict[Any, Any]
    key: Any
    state: Any


def _shortest(store: MemoryStore, rule: Rule, table: Table) -> Compiled:
    # The path of nearly every hit in memory: everything it needs is a local of the closure.
    shards, mask, step, read, limit = table.shards, table.mask, rule.step, rule.read, rule.limit
    acquire, release, first = store._lock.acquire, store._lock.release, store._single
    clock = time.monotonic_ns if store._clock is monotonic else lambda: store._clock() * 1000
    make = tuple.__new__

    def single(identity: Canonical, cost: int, mode: int) -> Decision:
        source = "store"
        acquire()
        try:
            now = clock() // 1000
            states = shards[hash(identity) & mask]
            if identity in states:
                state = states[identity]
                after, seen = step(state, now, cost, mode)
                if after is not state and after is not None and mode:  # LOOK is 0
                    states[identity] = after
            else:
                seen, source = first(table, identity, now, rule, cost, mode)
        finally:
            release()
        return make(Decision, (seen[0], limit, read, cost, seen, source, False, 0, ()))

    return single


class AsyncMemoryStore:
    """
    State in this process, for asyncio and trio: a `MemoryStore`, awaited. It never waits for anything.

    Give it a MemoryStore to share that one's state; else it has its own.
    """

    remote = False

    def __init__(self, store: MemoryStore | None = None, *, max_keys: int = 100_000, clock: Clock = monotonic) -> None:
        self.sync = MemoryStore(max_keys=max_keys, clock=clock) if store is None else store

    def compile(self, plan: Plan, budget: float | None = None) -> AsyncCompiled:
        """A function that hits every limit of `plan` at once."""
        compiled = self.sync.compile(plan)

        async def hit(identity: Canonical, cost: int, mode: int) -> Decision:
            return compiled(identity, cost, mode)

        return hit

    async def decide(self, asks: Sequence[Ask], budget: float | None = None) -> Seens:
        """One hit: all-or-nothing over `asks`."""
        return self.sync.decide(asks)

    async def forget(self, spaces: Sequence[Space], identity: Canonical) -> None:
        """Make the keys of an identity as new; buckets that it shares with others stay as they are."""
        self.sync.forget(spaces, identity)

    async def aclose(self) -> None:
        """Nothing is held but memory."""


PROCESS: Final = MemoryStore()
"""The state behind `memory://`: one per process, for as long as it lives."""


def _survive_forks(lock: threading.Lock) -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)


_survive_forks(PROCESS._lock)
