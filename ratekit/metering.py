"""
Metering: what is decided, counted in plain integers while somebody wants to know, and not at all otherwise.

Nothing in here is on the way of a decision until `switch_on`: then everything that decides is given functions that count around
those that it had. The integers are read when an exporter asks for them (`metrics.py`).

A count is one `+=` on a dict's or a list's item, with no call between reading and writing, so that threads under the interpreter's
lock do not lose it; no lock is taken for it.
"""

import logging
import os
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol
from weakref import WeakSet

from ratekit.algorithms import SPEND
from ratekit.algorithms.fixed_window import MASK
from ratekit.decision import Decision
from ratekit.errors import StoreError
from ratekit.limit import Limit
from ratekit.stores.naming import Plan
from ratekit.stores.protocol import Spend

NEAR: Final = (4, 5)
"""A hit that is admitted and leaves at least this part (0.8) of a limit spent is near it."""
BOUNDS: Final = tuple(
    round(1_000_000_000 * seconds)
    for seconds in (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
)
"""Upper ends of the latencies' buckets, in nanoseconds."""
MOST: Final = 1_000
"""Pairs of limiter and policy that are told apart; the others count together, so that no name can fill the exporter's memory."""
OTHERS: Final = "(others)"
PAUSE: Final = 60.0
"""Seconds between two log lines of one kind about one policy."""

log: Final = logging.getLogger("ratekit")
_now: Final = time.perf_counter_ns


class Tally:
    """What was decided under one limiter's name and one policy's: by source, how many were admitted and how many refused."""

    __slots__ = ("admitted", "degraded", "latency", "limiter", "near", "policy", "refused", "said", "shadow", "unavailable")

    def __init__(self, limiter: str, policy: str) -> None:
        self.limiter, self.policy = limiter, policy
        self.admitted: dict[str, int] = {}
        self.refused: dict[str, int] = {}
        self.near = self.unavailable = self.degraded = 0
        self.shadow = 0
        """Hits that a shadow policy would have refused."""
        self.latency = [0] * (len(BOUNDS) + 2)
        """Decisions by the bucket of their latency, the last but one without bound; then the sum of all, in nanoseconds."""
        self.said: dict[str, float] = {}

    def say(self, event: str, text: str, **facts: object) -> None:
        """One line in the log, with its facts as fields; of one kind one a minute."""
        now = time.monotonic()
        if now - self.said.get(event, -PAUSE) >= PAUSE:
            self.said[event] = now
            named = {"limiter": self.limiter, "policy": self.policy, **facts}
            log.info(text, extra={"event": event, **{f"ratekit_{name}": value for name, value in named.items()}})


class Metered(Protocol):
    """What decides, and can be told to count."""

    def _count(self) -> None: ...


_LOCK: Final = threading.Lock()
_METERED: Final[WeakSet[Any]] = WeakSet()
"""What does not count yet."""
_TALLIES: Final[dict[tuple[str, str], Tally]] = {}
_ON: Final = threading.Event()


if hasattr(os, "register_at_fork"):  # a child never finds it held by a thread that it does not have
    os.register_at_fork(before=_LOCK.acquire, after_in_parent=_LOCK.release, after_in_child=_LOCK.release)


def watch(metered: Metered) -> None:
    """What has just been made and decides: it counts from now on, or from when metering is switched on."""
    with _LOCK:
        _METERED.add(metered)
    if _ON.is_set():
        _begin()


def switch_on() -> None:
    """Count from now on, also what was made before. Twice is once."""
    _ON.set()
    _begin()


def _begin() -> None:
    with _LOCK:
        new = list(_METERED)
        _METERED.clear()
    for one in new:
        one._count()


def switch_off() -> None:
    """What is made from now on does not count; what counts goes on."""
    _ON.clear()


def tally_of(limiter: str, policy: str = "") -> Tally:
    """The tally of a limiter's name and a policy's; it lasts as long as the process."""
    with _LOCK:
        key = (limiter, policy) if len(_TALLIES) < MOST or (limiter, policy) in _TALLIES else (OTHERS, "")
        return _TALLIES.setdefault(key, Tally(*key))


def tallies() -> list[Tally]:
    """All of them."""
    with _LOCK:
        return list(_TALLIES.values())


def count(tally: Tally, decision: Decision) -> None:
    """Count a decision on a hit."""
    source = decision[5]
    tally.degraded += decision[6]
    if not decision[0]:
        tally.refused[source] = tally.refused.get(source, 0) + 1
        return
    tally.admitted[source] = tally.admitted.get(source, 0) + 1
    _look(tally, decision)


def near(decision: Decision) -> bool:
    """Whether what is left of the limit is a fifth or less."""
    part, whole = NEAR
    capacity = decision[1].capacity
    return bool((capacity - decision.figures.remaining) * whole >= part * capacity)


def _look(tally: Tally, decision: Decision) -> None:
    for part in decision.details:
        if near(part):
            tally.near += 1
            tally.say("near_limit", f"an identity is near {part[1]}", limit=str(part[1]))
            return


def spends(tally: Tally, plan: Plan, spender: Callable[[Plan, Spend], Spend], otherwise: Spend) -> Spend:
    """
    The shortest way of a store in this process, counted; nobody asks for its latency.

    Each hit counts as admitted; what did not go the shortest way is counted by what became of it instead. So nothing is asked of most
    decisions but how much of the limit is spent.
    """
    admitted = tally.admitted
    admitted.setdefault("store", 0)

    def other(identity: Any, cost: int) -> Decision:
        admitted["store"] -= 1
        decision = otherwise(identity, cost)
        count(tally, decision)
        return decision

    spend, told_near = spender(plan, other), _told_near([rule.limit for rule, _ in plan])

    def counted(identity: Any, cost: int = 1) -> Decision:
        admitted["store"] += 1
        decision = spend(identity, cost)
        if told_near(decision[4]):
            _look(tally, decision)
        return decision

    return counted


def _told_near(limits: Sequence[Limit]) -> Callable[[Any], bool]:
    """Whether what a charger told may be `near`; False for what was seen otherwise, which `count` looks at."""
    if len(limits) > 1:
        return lambda told: False
    (limit,) = limits
    edge = -(-limit.capacity * NEAR[0] // NEAR[1])
    if limit.algorithm == "sliding_window":  # (used, first, now); of what was seen the first is True or False
        return (lambda told: told[0] >= edge) if edge > 1 else (lambda told: len(told) == 3)
    if limit.algorithm == "fixed_window":  # (state, now)
        return lambda told: len(told) == 2 and told[0] & MASK >= edge
    if limit.algorithm == "token_bucket":  # the debt
        owed = edge * limit.period
        return lambda told: type(told) is int and told >= owed
    # (state, now), the state (start, current, previous)
    return lambda told: len(told) == 2 and told[0][1] + told[0][2] >= edge


def timed_spends(tally: Tally, spend: Callable[..., Decision], limits: Sequence[Limit]) -> Callable[..., Decision]:
    """`spend`, counted and timed; for a remote store."""
    counted = decides(tally, lambda identity, cost, mode: spend(identity, cost), limits)
    return lambda identity, cost=1: counted(identity, cost, SPEND)


def decides(
    tally: Tally, decide: Callable[..., Decision], limits: Sequence[Limit], *, timed: bool = True
) -> Callable[..., Decision]:
    """A compiled hit, counted where it spends, and timed where the store is remote."""
    done = _done(tally, limits, timed=timed)

    def counted(identity: Any, cost: int, mode: int) -> Decision:
        if mode != SPEND:
            return decide(identity, cost, mode)
        began = _now()
        try:
            decision = decide(identity, cost, mode)
        except StoreError:
            tally.unavailable += 1
            raise
        done(decision, _now() - began)
        return decision

    return counted


def async_decides(tally: Tally, decide: Callable[..., Any], limits: Sequence[Limit], *, timed: bool = True) -> Callable[..., Any]:
    """`decides`, awaited; what is done is written out, because among many tasks a call would be a hundredth of the decision."""
    done, (edge, maybe) = _done(tally, limits, timed=timed), maybe_near(limits)
    admitted, latency, now = tally.admitted, tally.latency, _now

    async def counted(identity: Any, cost: int, mode: int) -> Decision:
        if mode != SPEND:
            looked: Decision = await decide(identity, cost, mode)
            return looked
        began = now()
        try:
            decision: Decision = await decide(identity, cost, mode)
        except StoreError:
            tally.unavailable += 1
            raise
        passed = now() - began
        if decision[0] and timed and decision[5] == "store":
            latency[bisect_left(BOUNDS, passed)] += 1
            latency[-1] += passed
            admitted["store"] += 1
            if decision[4][1] >= edge and maybe(decision):
                _look(tally, decision)
        else:
            done(decision, passed)
        return decision

    return counted


def many(tally: Tally, decide: Callable[..., list[Decision]]) -> Callable[..., list[Decision]]:
    """Many hits at once, counted each."""

    def counted(identities: Any, cost: int) -> list[Decision]:
        try:
            decisions = decide(identities, cost)
        except StoreError:
            tally.unavailable += len(identities)
            raise
        for decision in decisions:
            count(tally, decision)
        return decisions

    return counted


def async_many(tally: Tally, decide: Callable[..., Any]) -> Callable[..., Any]:
    """`many`, awaited."""

    async def counted(identities: Any, cost: int) -> list[Decision]:
        try:
            decisions: list[Decision] = await decide(identities, cost)
        except StoreError:
            tally.unavailable += len(identities)
            raise
        for decision in decisions:
            count(tally, decision)
        return decisions

    return counted


def _done(tally: Tally, limits: Sequence[Limit], *, timed: bool) -> Callable[[Decision, int], None]:
    admitted, latency, (_, maybe) = tally.admitted, tally.latency, maybe_near(limits)
    admitted.setdefault("store", 0)

    def done(decision: Decision, passed: int) -> None:
        if timed:
            latency[bisect_left(BOUNDS, passed)] += 1
            latency[-1] += passed
        if decision[0] and decision[5] == "store":
            admitted["store"] += 1
            if maybe(decision):
                _look(tally, decision)
        else:
            count(tally, decision)

    return done


def maybe_near(limits: Sequence[Limit]) -> tuple[int, Callable[[Decision], bool]]:
    """
    Whether an admitted hit may be `near`, from what was seen of it alone: the figures are worked out only then. It may say yes too
    often, never no too often. Also the least second item that a remote store's seen has then, where that tells, else -1.

    What is seen is what each rule's `step` says, and in memory what its charger tells.
    """
    if len(limits) > 1:  # what is seen is one limit's, and another may be near
        each = [maybe_near([limit])[1] for limit in limits]
        return -1, lambda decision: any(maybe(part) for maybe, part in zip(each, decision[8], strict=True))
    (limit,) = limits
    edge = -(-limit.capacity * NEAR[0] // NEAR[1])
    if limit.algorithm == "sliding_window":  # (fits, used, ...) or (used, first, now)
        return edge, lambda decision: decision[4][0] >= edge or (len(decision[4]) == 5 and decision[4][1] >= edge)
    if limit.algorithm == "fixed_window":  # (fits, used, left) or (state, now)
        return edge, lambda decision: (decision[4][1] if len(decision[4]) == 3 else decision[4][0] & MASK) >= edge
    if limit.algorithm == "token_bucket":  # (fits, whole, rest, N, period), whole 0 in memory, or the debt alone
        owed, whole = edge * limit.period, edge * limit.period // limit.quota
        return (
            whole,
            lambda decision: decision[4] >= owed if type(decision[4]) is int else decision[4][1] >= whole or decision[4][2] >= owed,
        )
    return -1, lambda decision: decision[4][2] + decision[4][3] >= edge  # (fits, elapsed, current, previous)


class CountedStore:
    """A store whose hits are counted, for reservations; what they settle is no decision."""

    def __init__(self, store: Any, tally: Tally, decision_of: Callable[[Any, Any], Decision]) -> None:
        self._store, self._tally, self._decision_of = store, tally, decision_of

    def decide(self, asks: Any, budget: float | None = None) -> Any:
        """`decide`, counted where it spends."""
        if asks[0].mode != SPEND:
            return self._store.decide(asks)
        try:
            seen = self._store.decide(asks)
        except StoreError:
            self._tally.unavailable += 1
            raise
        count(self._tally, self._decision_of(asks, seen))
        return seen


class AsyncCountedStore(CountedStore):
    """`CountedStore`, awaited."""

    async def decide(self, asks: Any, budget: float | None = None) -> Any:
        """`decide`, counted where it spends."""
        if asks[0].mode != SPEND:
            return await self._store.decide(asks)
        try:
            seen = await self._store.decide(asks)
        except StoreError:
            self._tally.unavailable += 1
            raise
        count(self._tally, self._decision_of(asks, seen))
        return seen
