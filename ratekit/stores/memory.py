"""
Memory: state in this process. Exact, shared by all threads and event loops of the process, gone with it.

Bounded, and it never forgives: only state that equals a fresh key's is dropped. When `max_keys` are held, identities that are new
share hashed overflow buckets: refused early perhaps, never admitted beyond their limit.
"""

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar
from weakref import WeakSet

from ratekit.algorithms import CHECK, FORCE, GIVE, LOOK, MERGE, SHADOW, SPEND, Rule
from ratekit.decision import Decision, Seen
from ratekit.errors import ConfigurationError
from ratekit.stores.counting import Cells, Command, Job
from ratekit.stores.latch import Latch
from ratekit.stores.naming import Canonical, Plan, Space
from ratekit.stores.protocol import Ask, AsyncCompiled, Compiled, Seens, Spend, hit
from ratekit.stores.shortest import Made, shortest, single
from ratekit.stores.tables import SHARED, Tables

T = TypeVar("T", bound=Callable[..., Any])
Clock = Callable[[], int]
"""Microseconds, never going back."""


def monotonic() -> int:
    """Microseconds of this machine's monotonic clock."""
    return time.monotonic_ns() // 1000


def nanoseconds(clock: Clock) -> Clock:
    """The same clock in nanoseconds, for those who would rather divide later."""
    return time.monotonic_ns if clock is monotonic else lambda: clock() * 1000


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
        self._clock = clock
        self._lock = Latch()
        self._tables = Tables(max_keys)
        self._compiled: WeakSet[Callable[..., Any]] = WeakSet()
        self._cells = Cells(max_keys)
        # Counters have dates: the machine's own, as it was when the store was made, and then as the clock moves on.
        self._epoch = time.time_ns() // 1000 - monotonic() if clock is monotonic else 0

    def __len__(self) -> int:
        """The keys held, shared buckets not counted."""
        return self._tables.size

    def compile(self, plan: Plan, budget: float | None = None) -> Compiled:
        """A function that hits every limit of `plan` at once."""
        if len(plan) > 1:
            return partial(hit, self, plan)
        rule, space = plan[0]
        rule = self._dated(rule)
        with self._lock:
            table = self._tables.of(rule, space)
        return self._timed(single(self._lock, self._tables, table, rule, self._clock))

    def spender(self, plan: Plan, otherwise: Spend, made: Made = Decision) -> Spend:
        """
        The shortest way to spend from a single limit; what it does not know is asked `otherwise`. The decisions that are not plain
        admissions are made by `made`, so that they can be counted.
        """
        if len(plan) > 1:
            return otherwise
        rule, space = plan[0]
        rule = self._dated(rule)
        with self._lock:
            table = self._tables.of(rule, space)
        return self._timed(shortest(self._lock, table, rule, nanoseconds(self._clock), otherwise, made))

    def decide(self, asks: Sequence[Ask], budget: float | None = None) -> Seens:
        """One hit: all-or-nothing over `asks`."""
        asks = [ask if ask.rule.dates is None else ask._replace(rule=self._dated(ask.rule)) for ask in asks]
        with self._lock:
            now, tables = self._clock(), self._tables
            places = [tables.place(tables.of(ask.rule, ask.space), ask.identity, now) for ask in asks]
            steps = [ask.rule.step(place.state, now, ask.cost, _first(ask.mode)) for ask, place in zip(asks, places, strict=True)]
            seens = [seen for _, seen in steps]
            admitted = all(seen[0] or ask.mode not in (SPEND, CHECK) for ask, seen in zip(asks, seens, strict=True))
            for i, (ask, place) in enumerate(zip(asks, places, strict=True)):
                if ask.mode == FORCE or (admitted and seens[i][0] and ask.mode in (SPEND, SHADOW)):
                    state, seens[i] = ask.rule.step(place.state, now, ask.cost, FORCE)
                    tables.save(place, state)
                elif ask.mode in (GIVE, MERGE):
                    settle = ask.rule.merge if ask.mode == MERGE else ask.rule.give
                    here = tables.place(place.table, ask.identity, now)  # a hit may bring several charges into one key
                    state = settle(here.state, now, ask.cost, ask.mark)
                    tables.save(here, state)
                    seens[i] = (True, *ask.rule.step(state, now, 1, LOOK)[1][1:])
                elif ask.mode != LOOK and steps[i][0] is not place.state:
                    tables.save(place, steps[i][0])
        shared = any(place.shard == SHARED for place in places)
        return Seens(now, seens, "overflow" if shared else "store")

    def forget(self, spaces: Sequence[Space], identity: Canonical) -> None:
        """Make the keys of an identity as new; buckets that it shares with others stay as they are."""
        with self._lock:
            self._tables.forget(spaces, identity)

    def put(self, rule: Rule, space: Space, identity: Canonical, seen: Seen, ago: int) -> None:
        """Take over what was seen of a key elsewhere, `ago` microseconds before now."""
        rule = self._dated(rule)
        with self._lock:
            now = self._clock()
            state = rule.restore(seen, now - ago)
            self._tables.save(self._tables.place(self._tables.of(rule, space), identity, now), state)

    def count(self, key: str, command: Command, budget: float | None = None) -> Any:
        """What a counter's command on a key answers; raises StoreError when there is no room for a new key."""
        with self._lock:
            return self._cells.run(key, command, self._clock() + self._epoch)

    def count_many(self, jobs: Sequence[Job], budget: float | None = None) -> list[Any]:
        """`count` for many keys, all at one instant."""
        with self._lock:
            now = self._clock() + self._epoch
            return [self._cells.run(key, command, now) for key, command in jobs]

    def retime(self, clock: Clock) -> None:
        """Hold nothing, and go by another clock from now on: for tests."""
        with self._lock:
            self._clock = clock
            self._tables.clear()
            for compiled in list(self._compiled):
                compiled.retime(clock, nanoseconds(clock))  # type: ignore[attr-defined]

    def _timed(self, compiled: T) -> T:
        """What was compiled is told of another clock, for as long as somebody has it."""
        self._compiled.add(compiled)
        return compiled

    def _dated(self, rule: Rule) -> Rule:
        """The rule itself; one that goes by dates is told what this clock's instants are there."""
        return rule if rule.dates is None else rule.dates.shifted(self._epoch)

    def now(self) -> int:
        """Microseconds of this store's clock."""
        return self._clock()

    def close(self) -> None:
        """Nothing is held but memory."""


def _first(mode: int) -> int:
    """How a limit is asked before it is known whether all of them have room."""
    return LOOK if mode in (LOOK, GIVE) else CHECK


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

    async def count(self, key: str, command: Command, budget: float | None = None) -> Any:
        """What a counter's command on a key answers; raises StoreError when there is no room for a new key."""
        return self.sync.count(key, command)

    async def count_many(self, jobs: Sequence[Job], budget: float | None = None) -> list[Any]:
        """`count` for many keys, all at one instant."""
        return self.sync.count_many(jobs)

    async def aclose(self) -> None:
        """Nothing is held but memory."""


PROCESS: Final = MemoryStore()
"""The state behind `memory://`: one per process, for as long as it lives."""


def _survive_forks(lock: Latch) -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)


_survive_forks(PROCESS._lock)
