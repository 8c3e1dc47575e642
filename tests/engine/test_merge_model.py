"""
A small model of the guard with merge-back, and every history of it: two processes, each with a guard, a memory and debts; one store
that goes away (with a hit in flight, or only the answer to it), is back, and is away again while a merge is on its way.

Each state is looked at once, however many histories lead to it. What a state is made of is all that decides, and three lists that
the invariants are about: what the store charged at hits, what was noted as owed, and what the store charged by merges.
"""

import copy
import os
from collections import Counter
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import pytest

from ratekit import Limit
from ratekit.algorithms import LOOK, SPEND, rule_of
from ratekit.guard import PACE, Fault, Guard
from ratekit.guarded.debts import Debts
from ratekit.stores.naming import Space
from ratekit.stores.protocol import Ask, Seens

SECOND = 1_000_000
START = 10**12
TICK = SECOND // 2
"""Two are a window of the limits below; more than a probe's pace."""
DEPTH = 9 if os.environ.get("RATEKIT_LONG", "0") == "1" else 7
SPACE = Space("model:{", "}")
TEXTS = ("2/second fixed_window", "2/second", "2/second sliding_counter", "2/second token_bucket")


@dataclass(frozen=True)
class Process:
    """What one process knows; `sent` is the merge that is on its way."""

    guard: Guard
    local: Any
    debts: Debts
    sent: tuple[Ask, ...] = ()
    alone: tuple[int, ...] = ()
    """When it admitted something by itself."""


@dataclass(frozen=True)
class World:
    """All there is, and the instants of what was charged at hits (`runs`), noted as owed, and charged by merges (`paid`)."""

    processes: tuple[Process, ...]
    store: Any = None
    up: bool = False
    now: int = START
    runs: tuple[int, ...] = ()
    noted: tuple[int, ...] = ()
    paid: tuple[int, ...] = ()
    units_paid: int = 0


def copied(debts):
    other = Debts()
    for place, debt in debts._debts.items():
        same = other._debts[place] = copy.copy(debt)
        same.points = [copy.copy(point) for point in debt.points]
    return other


def hashable(state):
    return tuple(map(tuple, state)) if isinstance(state, tuple) and not isinstance(state[0], int) else state


def key_of(world):
    """What makes two states one."""
    processes = []
    for process in world.processes:
        points = tuple((point.at, point.cost, point.mark) for debt in process.debts._debts.values() for point in debt.points)
        guard = tuple(sorted(vars(process.guard).items()))
        processes.append((guard, hashable(process.local), points, process.sent, process.alone))
    return tuple(processes), hashable(world.store), world.up, world.now, world.runs, world.noted, world.paid


class Model:
    """The steps from a world in which the store has just been found away by both."""

    def __init__(self, text):
        self.rule = rule_of(Limit.parse(text))

    def start(self):
        guard = Guard(START, failures=2)
        guard.failed(START, Fault.AWAY, guard.ticket)
        return World((Process(guard, None, Debts()), Process(copy.copy(guard), None, Debts())))

    def steps(self, world):
        """Every world that is one step from this one, with the name of the step."""
        yield "tick", replace(world, now=world.now + TICK)
        yield "the store goes" if world.up else "the store is back", replace(world, up=not world.up)
        for who, process in enumerate(world.processes):
            yield "hit", self.hit(world, who, runs=world.up)
            if process.guard.ticket and not world.up:
                yield "hit, of which only the answer is lost", self.hit(world, who, runs=True)
            if process.sent:
                yield "merge", self.arrive(world, who, runs=world.up)
                if not world.up:
                    yield "merge, of which only the answer is lost", self.arrive(world, who, runs=True)
            elif process.guard.ticket and len(process.debts):
                yield "send", self.send(world, who)
            elif not process.guard.ticket:
                yield "probe", self.probe(world, who)

    def hit(self, world, who, runs):
        process, now = world.processes[who], world.now
        guard, ticket = copy.copy(process.guard), process.guard.ticket
        if ticket and runs:
            store, _, admitted = self.spend(world.store, now)
            world = replace(world, store=store, runs=world.runs + (now,) * admitted)
            if world.up:
                return world
        if ticket:
            guard.failed(now, Fault.AWAY, ticket)
        local, seen, admitted = self.spend(process.local, now)
        process = replace(process, guard=guard, local=local, alone=process.alone + (now,) * admitted)
        if not ticket:
            process = replace(process, debts=copied(process.debts))
            ask = Ask(self.rule, SPACE, "ann", SPEND, 1)
            process.debts.note([ask], [ask], Seens(now, [(admitted, *seen[1:])]))
            world = replace(world, noted=world.noted + (now,) * admitted)
        return put(world, who, process)

    def send(self, world, who):
        process = world.processes[who]
        debts = copied(process.debts)
        return put(world, who, replace(process, debts=debts, sent=tuple(debts.take(world.now, 0))))

    def arrive(self, world, who, runs):
        process, store, paid = world.processes[who], copy.deepcopy(world.store), world.paid
        guard, units = copy.copy(process.guard), world.units_paid
        for ask in process.sent if runs else ():
            store = self.rule.merge(store, world.now, ask.cost, ask.mark)
            paid += (ask.mark[0],) * ask.cost
            units += ask.cost
        if not world.up:
            guard.failed(world.now, Fault.AWAY, guard.ticket)
        world = replace(world, store=store, paid=paid, units_paid=units)
        return put(world, who, replace(process, guard=guard, sent=()))

    def probe(self, world, who):
        process = world.processes[who]
        guard = copy.copy(process.guard)
        guard.probed(world.now, guard.probe(world.now), None if world.up else Fault.AWAY)
        return put(world, who, replace(process, guard=guard))

    def spend(self, state, now):
        """The state after a hit, what was seen, and whether it was admitted."""
        state, seen = self.rule.step(copy.deepcopy(state), now, 1, SPEND)
        return state, seen, bool(seen[0])


def put(world, who, process):
    return replace(world, processes=tuple(process if i == who else other for i, other in enumerate(world.processes)))


def check(model, before, world):
    """What holds after every step."""
    limit = model.rule.limit
    assert world.units_paid <= len(world.noted), "paid twice"
    if limit.algorithm != "token_bucket":
        assert not Counter(world.paid) - Counter(world.noted), "paid twice, or at another instant"
    for was, process in zip(before.processes, world.processes, strict=True):
        assert not (process.sent and not was.sent) or was.guard.ticket, "a merge into a store that is left alone"
        assert not was.sent or process.sent in ((), was.sent), "sent again"
        assert most(process.alone, limit.period) <= alone(limit)
    assert most(world.runs, limit.period) <= alone(limit)
    check_charges(model.rule, world)


def check_charges(rule, world):
    """No charge counts in a later window than its own, or longer than it would have counted."""
    period, now = rule.limit.period, world.now
    instants = sorted(world.runs + world.noted)

    def within(start, end):
        return sum(start <= at < end for at in instants)

    _, seen = rule.step(world.store, now, 1, LOOK)
    if rule.limit.algorithm == "fixed_window":
        assert seen[1] <= within(now + seen[2] - period, now + seen[2])
    elif rule.limit.algorithm == "sliding_window":
        assert seen[1] <= within(now - period + 1, now + 1)
    elif rule.limit.algorithm == "sliding_counter":
        assert seen[2] <= within(now - seen[1], now - seen[1] + period)
        assert seen[3] <= within(now - seen[1] - period, now - seen[1])
    else:
        debt, last, speed = Fraction(0), 0, Fraction(rule.limit.quota, period)
        for at in instants:
            debt, last = max(Fraction(0), debt - (at - last) * speed) + 1, at
        assert Fraction(seen[2], period) <= max(Fraction(0), debt - (now - last) * speed)


def alone(limit):
    """The most that who counts alone admits in any time of a window."""
    n = limit.quota
    return {"fixed_window": 2 * n - 1, "sliding_window": n}.get(limit.algorithm, 2 * n)


def most(instants, period):
    return max((sum(first <= at < first + period for at in instants) for first in instants), default=0)


def explore(text, depth):
    """How many states there are, and how many steps of each name lead to one."""
    model = Model(text)
    frontier, seen, steps = [model.start()], set(), Counter()
    for _ in range(depth):
        following = []
        for world in frontier:
            for step, after in model.steps(world):
                steps[step] += 1
                key = key_of(after)
                if key not in seen:
                    check(model, world, after)
                    seen.add(key)
                    following.append(after)
        frontier = following
    return len(seen), steps


@pytest.mark.parametrize("text", TEXTS)
def test_every_short_history_charges_once_and_in_its_own_window(text):
    assert PACE < TICK
    states, steps = explore(text, DEPTH)
    assert states > 10_000
    assert len(steps) == 9
    assert min(steps.values()) > 10, "some steps were hardly made"
