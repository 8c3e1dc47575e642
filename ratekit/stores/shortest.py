"""
Shortest: how a single limit is hit in memory, in any mode, and the shortest way of a hit that spends.

Whatever these functions need is a local of their closure. A store has them told, by `retime`, when it goes by another clock.
"""

from collections.abc import Callable
from typing import Any

from ratekit.algorithms import LOOK, SPEND, Rule
from ratekit.decision import Decision
from ratekit.limit import MOST
from ratekit.stores.latch import Latch
from ratekit.stores.naming import Canonical
from ratekit.stores.protocol import Compiled, Spend
from ratekit.stores.tables import SHARED, Table, Tables

Made = Callable[[tuple[Any, ...]], Decision]
"""From the items of a decision to the decision."""


def single(latch: Latch, tables: Tables, table: Table, rule: Rule, clock: Callable[[], int]) -> Compiled:
    """A hit on one limit, in any mode but GIVE. `clock` gives microseconds."""
    first, others, mask, step, read, limit = table.shards[0], table.shards[1:], table.mask, rule.step, rule.read, rule.limit

    def hit(identity: Canonical, cost: int, mode: int) -> Decision:
        source = "store"
        latch.wait()
        try:
            now = clock()
            states = first if identity in first else others[hash(identity) & mask]
            state = states.get(identity)
            if state is not None:
                after, seen = step(state, now, cost, mode)
                if after is not state and after is not None and mode != LOOK:
                    states[identity] = after
            else:
                place = tables.place(table, identity, now)
                after, seen = step(place.state, now, cost, mode)
                if seen[0] and mode != LOOK:
                    tables.save(place, after)
                source = "overflow" if place.shard == SHARED else "store"
        finally:
            latch.leave(None)
        return Decision((seen[0], limit, read, cost, seen, source, False, 0, ()))

    def retime(micros: Callable[[], int], nanos: Callable[[], int]) -> None:
        nonlocal clock
        clock = micros

    hit.retime = retime  # type: ignore[attr-defined]
    return hit


def shortest(latch: Latch, table: Table, rule: Rule, clock: Callable[[], int], otherwise: Spend, made: Made) -> Spend:
    """
    A hit that spends from one limit. `clock` gives nanoseconds; who is new, or no identity, is asked `otherwise`.

    The path of nearly every hit in memory: a charge that plainly fits makes nothing but integers and the decision.
    """
    charge, recall, limit, settle = rule.charger(), rule.recall, rule.limit, settled(table, rule)
    first, others, mask = table.shards[0], table.shards[1:], table.mask
    take, wait, leave = latch.take, latch.wait, latch.leave
    one = 1

    def spend(identity: Any, cost: int = 1) -> Decision:
        if cost is not one and (type(cost) is not int or not 0 < cost <= MOST):
            return otherwise(identity, cost)
        try:
            take()
        except IndexError:
            wait()
        items = None
        try:
            now = clock()
            states = first
            state = states.get(identity)
            if state is None:
                states = others[hash(identity) & mask]
                state = states.get(identity)
            told = None if state is None else charge(states, identity, state, now, cost)
            if told is None:
                items = settle(states, identity, state, now // 1000, cost)
        except (TypeError, ValueError):  # no identity, as it cannot be hashed; or more digits than Python writes
            told = None
        finally:
            leave(None)
        if told is not None:
            return Decision((True, limit, recall, cost, told, "store", False, 0, ()))
        return otherwise(identity, cost) if items is None else made(items)

    def retime(micros: Callable[[], int], nanos: Callable[[], int]) -> None:
        nonlocal clock
        clock = nanos

    spend.retime = retime  # type: ignore[attr-defined]
    return spend


def settled(table: Table, rule: Rule) -> Callable[..., tuple[Any, ...] | None]:
    """
    What becomes of a hit that is no plain charge, as the items of a decision: one that is refused, or finds a state of another limit or
    another time; of an integer; of who shares a bucket. None for who is new.
    """
    find, step, read, limit = table.find, rule.step, rule.read, rule.limit

    def settle(states: dict[Any, Any], key: Any, state: Any, now: int, cost: int) -> tuple[Any, ...] | None:
        source = "store"
        if state is None:
            found = find(key, now)
            if found is None:
                return None
            states, key, state, source = found
        after, seen = step(state, now, cost, SPEND)
        if after is not state and after is not None:
            states[key] = after
        return seen[0], limit, read, cost, seen, source, False, 0, ()

    return settle
