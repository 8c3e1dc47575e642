"""
Metered: what decides, with a count around it. Made where metering is on, and only there.

The ways here are written out and look at few items of a decision, because among many tasks, and in memory, a call more would be a
part of the decision that can be measured.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import cycle
from operator import itemgetter
from typing import Any, Final

from ratekit.algorithms import SPEND
from ratekit.decision import Decision, decide
from ratekit.errors import StoreError
from ratekit.limit import ALGORITHM_NAMES, Limit
from ratekit.metering import BOUNDS, NEAR, Tally, count, look, near, took
from ratekit.stores.naming import Plan
from ratekit.stores.protocol import Ask, Seens, Spend, decisions_of

SAMPLED: Final = 7
"""Among many tasks one hit in eight is timed: reading the clock twice would be a hundredth of each."""

_now: Final = time.perf_counter_ns


def spends(tally: Tally, plan: Plan, spender: Callable[..., Spend], otherwise: Spend) -> Spend:
    """
    The shortest way of a store in this process, counted; nobody asks for its latency.

    Each hit counts as admitted; what was no plain admission is counted by what became of it instead. So nothing is asked of most
    decisions but how much of the limit is spent.
    """
    admitted, counts = tally.admitted, counter(tally, [rule.limit for rule, _ in plan], timed=False)

    def other(identity: Any, cost: int) -> Decision:
        admitted["store"] -= 1
        decision = otherwise(identity, cost)
        counts(decision)
        return decision

    def made(items: tuple[Any, ...]) -> Decision:
        admitted["store"] -= 1
        decision = Decision(items)
        counts(decision)
        return decision

    limits = [rule.limit for rule, _ in plan]
    if limits[0].algorithm not in ALGORITHM_NAMES:  # what its charger tells is not known here
        spend = spender(plan, otherwise)

        def plain(identity: Any, cost: int = 1) -> Decision:
            decision = spend(identity, cost)
            counts(decision)
            return decision

        return plain
    return _counted(tally, spender(plan, other, made), limits)


def _counted(tally: Tally, spend: Spend, limits: Sequence[Limit]) -> Spend:
    # For the rules that most limits have, what was told is looked at without a call. Of what was seen the first item is True or
    # False, which is no 2.
    admitted, edge = tally.admitted, edge_of(limits[0])
    algorithm = limits[0].algorithm if len(limits) == 1 and edge > 1 else ""
    told_near = _told_near(limits)

    def used(identity: Any, cost: int = 1) -> Decision:
        admitted["store"] += 1
        decision = spend(identity, cost)
        if decision[4][0] >= edge:
            look(tally, decision)
        return decision

    def weighed(identity: Any, cost: int = 1) -> Decision:
        admitted["store"] += 1
        decision = spend(identity, cost)
        told = decision[4]
        if len(told) == 2 and told[0][1] + told[0][2] >= edge:
            look(tally, decision)
        return decision

    def other(identity: Any, cost: int = 1) -> Decision:
        admitted["store"] += 1
        decision = spend(identity, cost)
        if told_near(decision[4]):
            look(tally, decision)
        return decision

    return {"sliding_window": used, "fixed_window": used, "sliding_counter": weighed}.get(algorithm, other)


def edge_of(limit: Limit) -> int:
    """The least number of units that are near a limit."""
    return -(-limit.capacity * NEAR[0] // NEAR[1])


def _told_near(limits: Sequence[Limit]) -> Callable[[Any], bool]:
    """Whether what a charger told may be `near`; False for what was seen otherwise, which `count` looks at."""
    if len(limits) > 1:
        return lambda told: False
    (limit,) = limits
    edge = edge_of(limit)
    if limit.algorithm == "sliding_window":  # (used, first, now); of what was seen the first is True or False
        return (lambda told: told[0] >= edge) if edge > 1 else (lambda told: len(told) == 3)
    if limit.algorithm == "fixed_window":  # (used, left)
        return lambda told: len(told) == 2 and told[0] >= edge
    if limit.algorithm == "token_bucket":  # the debt
        owed = edge * limit.period
        return lambda told: type(told) is int and told >= owed
    if limit.algorithm == "sliding_counter":  # (state, now), the state (start, current, previous)
        return lambda told: len(told) == 2 and told[0][1] + told[0][2] >= edge
    return lambda told: True  # a rule that is not known here: its figures are looked at each time


def timed_spends(tally: Tally, spend: Callable[..., Decision], limits: Sequence[Limit]) -> Callable[..., Decision]:
    """`spend`, counted and timed; for a remote store."""
    counted = decides(tally, lambda identity, cost, mode: spend(identity, cost), limits)
    return lambda identity, cost=1: counted(identity, cost, SPEND)


def decides(
    tally: Tally, decide: Callable[..., Decision], limits: Sequence[Limit], *, timed: bool = True
) -> Callable[..., Decision]:
    """A compiled hit, counted where it spends, and timed where the store is remote."""
    done = counter(tally, limits, timed=timed)

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
    done, (edge, maybe) = counter(tally, limits, timed=False), maybe_near(limits)
    admitted, latency, now, items, turn = (
        tally.admitted,
        tally.latency,
        _now,
        itemgetter(0, 4, 5),
        cycle((timed, *(False,) * SAMPLED)),
    )

    if not timed:  # in memory the second item says less
        edge = -1

    async def counted(identity: Any, cost: int, mode: int) -> Decision:
        if mode != SPEND:
            looked: Decision = await decide(identity, cost, mode)
            return looked
        began = now() if next(turn) else 0
        try:
            decision: Decision = await decide(identity, cost, mode)
        except StoreError:
            tally.unavailable += 1
            raise
        if began:
            passed = now() - began
            latency[bisect_left(BOUNDS, passed)] += 1
            latency[-1] += passed
        allowed, seen, source = items(decision)
        if allowed and source == "store":
            admitted["store"] += 1
            if seen[1] >= edge and maybe(decision):
                look(tally, decision)
        else:
            done(decision)
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


def counter(tally: Tally, limits: Sequence[Limit], *, timed: bool) -> Callable[..., None]:
    """`metering.count`, with the nanoseconds that it took where that is asked for; quicker, as it works out no figures of most hits."""
    admitted, (_, maybe) = tally.admitted, maybe_near(limits)
    admitted.setdefault("store", 0)

    def done(decision: Decision, passed: int | None = None) -> None:
        if timed and passed is not None:
            took(tally, passed)
        if decision[0] and decision[5] == "store":
            admitted["store"] += 1
            if maybe(decision):
                look(tally, decision)
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
    edge = edge_of(limit)
    if limit.algorithm == "sliding_window":  # (fits, used, ...) or (used, first, now)
        return edge, lambda decision: decision[4][0] >= edge or (len(decision[4]) == 5 and decision[4][1] >= edge)
    if limit.algorithm in ("fixed_window", "calendar"):  # (fits, used, left) or (used, left)
        return edge, lambda decision: decision[4][-2] >= edge
    if limit.algorithm == "token_bucket":  # (fits, whole, rest, N, period), whole 0 in memory, or the debt alone
        owed, whole = edge * limit.period, edge * limit.period // limit.quota
        return (
            whole,
            lambda decision: decision[4] >= owed if type(decision[4]) is int else decision[4][1] >= whole or decision[4][2] >= owed,
        )
    if limit.algorithm == "sliding_counter":  # (fits, elapsed, current, previous)
        return -1, lambda decision: decision[4][2] + decision[4][3] >= edge
    return -1, near


class CountedStore:
    """A store whose hits are counted, for reservations; what they settle is no decision."""

    def __init__(self, store: Any, tally: Tally) -> None:
        self._store, self._tally = store, tally

    def decide(self, asks: Sequence[Ask], budget: float | None = None) -> Seens:
        """`decide`, counted where it spends."""
        try:
            seen: Seens = self._store.decide(asks)
        except StoreError:
            self._tally.unavailable += asks[0].mode == SPEND
            raise
        return _counted_of(self._tally, asks, seen)


class AsyncCountedStore:
    """`CountedStore`, awaited."""

    def __init__(self, store: Any, tally: Tally) -> None:
        self._store, self._tally = store, tally

    async def decide(self, asks: Sequence[Ask], budget: float | None = None) -> Seens:
        """`decide`, counted where it spends."""
        try:
            seen: Seens = await self._store.decide(asks)
        except StoreError:
            self._tally.unavailable += asks[0].mode == SPEND
            raise
        return _counted_of(self._tally, asks, seen)


def _counted_of(tally: Tally, asks: Sequence[Ask], seen: Seens) -> Seens:
    if asks[0].mode == SPEND:
        count(tally, decide(decisions_of(asks, seen)))
    return seen
