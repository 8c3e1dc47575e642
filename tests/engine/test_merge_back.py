"""
What processes admit while the store is away, and what of it the store is charged afterwards: random histories of one to four
processes by a clock that is moved, against plain lists of what was admitted.

Here a process is a circuit and a gate of its own, as every real one has; the store is one memory for all. What only real servers can
show is in test_merging_servers.py.
"""

from fractions import Fraction
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratekit import ConfigurationError, Limit, Limiter
from ratekit.algorithms import FORCE, GIVE, LOOK, SPEND
from ratekit.decision import decide
from ratekit.guarded.circuit import Circuit
from ratekit.guarded.debts import KEYS, Debts
from ratekit.guarded.gate import Gate, decided_instead, forgotten, resetting
from ratekit.guarded.part import part_of
from ratekit.stores import MemoryStore
from ratekit.stores.naming import plan_of
from ratekit.stores.protocol import Ask, asks_of, decisions_of
from ratekit.testing import ManualClock

SECOND = 1_000_000
NAMES = count()
TEXTS = ("10/minute fixed_window", "10/minute", "10/minute sliding_counter", "10/minute burst 10")
every = pytest.mark.parametrize("text", TEXTS)


class Process:
    """A process: what it admits alone, and what it hands over."""

    def __init__(self, world, share=1.0):
        self.world, self.circuit = world, Circuit(world.clock)
        self.trip = 0
        self.gate = Gate(self.circuit, world.plan, deny_cache=0, on_outage="local", share=share)
        self.share = share

    def hit(self, cost=1, who="ann"):
        world = self.world
        if world.away:
            decision = self.gate.instead(who, cost, SPEND, 0)
            by = self
        else:
            asks = asks_of(world.plan, who, cost, SPEND)
            decision = decide(decisions_of(asks, world.store.decide(asks)))
            self.gate.answered(who, decision, world.clock() - self.trip)
            by = world.store
        if decision:
            world.admitted.append((world.clock(), cost, by))
        return decision

    def merge(self, arrives=True, answered=True):
        """Hand over what is owed; it may be lost on the way, or the answer may. The probe's answer took as long as any trip."""
        self.circuit.shift = -self.trip
        if asks := self.circuit.due():
            answer = self.world.store.decide(asks) if arrives else None
            if answered and answer:
                self.circuit.paid(asks, answer, self.world.clock() - self.trip)
            else:
                self.circuit.unpaid(asks)


class World:
    def __init__(self, text, processes, share=1.0):
        self.clock = ManualClock(10**12)  # a process's own clock is far from the day's
        self.limit = Limit.parse(text)
        self.plan = plan_of([self.limit], prefix="merge", name=f"back {next(NAMES)}")
        self.store = MemoryStore(clock=self.clock)
        self.away = False
        self.admitted = []
        self.processes = [Process(self, share) for _ in range(processes)]

    def state(self, who="ann"):
        rule, space = self.plan[0]
        table = self.store._tables.of(rule, space)
        return self.store._tables.place(table, who, self.clock()).state

    def spent(self, who="ann"):
        asks = asks_of(self.plan, who, 1, LOOK)
        (part,) = decisions_of(asks, self.store.decide(asks))
        return self.limit.capacity - part.remaining

    def within(self, start, end):
        """The units that anybody admitted from `start` on and before `end`."""
        return sum(cost for at, cost, _ in self.admitted if start <= at < end)


def most_in(entries, period):
    """The most units in any time of a period."""
    most = 0
    for first, _, _ in entries:
        most = max(most, sum(cost for at, cost, _ in entries if first <= at < first + period))
    return most


def worst(limit):
    """What one who counts alone may admit in any time of a period."""
    n = limit.quota
    return {"fixed_window": 2 * n - 1, "sliding_window": n, "sliding_counter": 2 * n, "token_bucket": n + limit.capacity}[
        limit.algorithm
    ]


def check_never_more_than_was_admitted(world):
    """The store counts no unit twice, none in a later window than its own, and none for longer than it would have counted."""
    rule, now, period = world.plan[0][0], world.clock(), world.limit.period
    state = world.state()
    if state is None:
        return
    _, seen = rule.step(state, now, 1, LOOK)
    if world.limit.algorithm == "fixed_window":
        end = (now + seen[2]) // 1000 * 1000
        assert seen[1] <= world.within(end - period, end)
    elif world.limit.algorithm == "sliding_window":
        assert seen[1] <= world.within(now - period + 1, now + 1)
    elif world.limit.algorithm == "sliding_counter":
        start = now - seen[1]
        assert seen[2] <= world.within(start, start + period)
        assert seen[3] <= world.within(start - period, start)
    else:
        debt, last, speed = Fraction(0), 0, Fraction(world.limit.quota, period)
        for at, cost, _ in world.admitted:
            debt, last = max(Fraction(0), debt - (at - last) * speed) + cost, at
        assert Fraction(seen[2], period) <= max(Fraction(0), debt - (now - last) * speed)


def check_bounds(world):
    """Each process admits what one alone may, the store too, and nobody more."""
    entries, period = world.admitted, world.limit.period
    by_store = [entry for entry in entries if entry[2] is world.store]
    assert most_in(by_store, period) <= worst(world.limit)
    total = worst(world.limit)
    for process in world.processes:
        part = part_of(world.limit, process.share).rule.limit
        assert most_in([entry for entry in entries if entry[2] is process], period) <= worst(part)
        total += worst(part)
    assert most_in(entries, period) <= total


trips = st.sampled_from([0, 0, 900, 30_000, 240_000, 700_000])
acts = st.one_of(
    st.tuples(st.just("hit"), st.integers(0, 3), st.integers(1, 4)),
    st.tuples(st.just("hits"), st.integers(0, 3), st.integers(1, 12)),
    st.tuples(st.just("wait"), st.integers(0, 70_000), st.just(0)),
    st.tuples(st.just("away"), st.just(0), st.just(0)),
    st.tuples(st.just("back"), st.integers(0, 3), st.sampled_from(["paid", "paid", "paid", "cut", "lost"])),
)


@every
@given(
    processes=st.integers(1, 4),
    share=st.sampled_from([1.0, 1.0, 0.5, 0.25, 0.03]),
    trip=trips,
    history=st.lists(acts, max_size=40),
)
@settings(max_examples=120)
def test_nothing_counts_twice_or_later_and_no_bound_is_broken(text, processes, share, trip, history):
    world = World(text, processes, share)
    for process in world.processes:
        process.trip = trip
    for act, which, much in history:
        process = world.processes[which % processes]
        if act == "hit":
            process.hit(much)
        elif act == "hits":
            for _ in range(much):
                process.hit()
        elif act == "wait":
            world.clock.advance(which / 1000)
        elif act == "away":
            world.away = True
        elif world.away:
            world.away = False
            for i in range(processes):
                world.processes[(which + i) % processes].merge(arrives=much != "lost", answered=much == "paid")
        check_never_more_than_was_admitted(world)
    check_bounds(world)


@given(processes=st.integers(1, 4), history=st.lists(acts, max_size=40))
@settings(max_examples=120)
def test_a_sliding_window_knows_every_unit_once_all_merges_have_come(processes, history):
    world = World("10/minute", processes)
    for act, which, much in history:
        if act in ("hit", "hits"):
            world.processes[which % processes].hit(much if act == "hit" else 1)
        elif act == "wait":
            world.clock.advance(which / 1000)
        elif act == "away":
            world.away = True
        else:
            world.away = False
            for process in world.processes:
                process.merge()
            now = world.clock()
            live = world.within(now - 60 * SECOND + 1, now + 1)
            assert world.spent() == min(10, live)


@every
@given(waits=st.lists(st.integers(0, 20_000), min_size=2, max_size=12))
@settings(max_examples=60)
def test_one_process_leaves_the_store_as_if_it_had_never_been_away(text, waits):
    world, same = World(text, 1), World(text, 1)
    same.clock = world.clock
    same.store = MemoryStore(clock=world.clock)
    for i, wait in enumerate(waits):
        world.away = i % 2 == 1
        if not world.away:
            world.processes[0].merge()
        for one in (world, same):
            one.processes[0].hit(2)
        world.clock.advance(wait / 1000)
    world.away = False
    world.processes[0].merge()
    assert world.spent() == same.spent()


@every
@pytest.mark.parametrize("processes", [1, 2, 4])
@pytest.mark.parametrize("share", [1.0, None], ids=["whole", "shared"])
@pytest.mark.parametrize("paid", [True, False], ids=["merged", "lost"])
def test_ten_flaps_within_a_window_do_not_multiply_it(text, processes, share, paid):
    world = World(text, processes, share or 1 / processes)
    for process in world.processes:
        process.hit()
    for _ in range(10):
        world.away = True
        for process in world.processes * 12:
            process.hit()
        world.away = False
        for process in world.processes:
            process.merge(arrives=paid)
        for process in world.processes:
            process.hit()
        world.clock.advance(0.05)
    n, total = 10, sum(cost for _, cost, _ in world.admitted)
    alone = sum(cost for _, cost, by in world.admitted if by is world.store)
    assert total - alone <= (processes * n if share else max(n, processes))
    assert total <= (processes + 1) * n
    if paid and processes == 1:
        assert total == n


def test_with_a_share_of_three_processes_a_window_of_two_is_still_one_for_each():
    world = World("2/minute", 3, 1 / 3)
    world.away = True
    assert [sum(bool(process.hit()) for _ in range(5)) for process in world.processes] == [1, 1, 1]


def test_what_the_store_had_admitted_when_it_was_last_seen_counts_into_a_share():
    world = World("100/minute", 1, 0.25)
    for _ in range(10):
        assert world.processes[0].hit()
    world.away = True
    decisions = [world.processes[0].hit() for _ in range(20)]
    assert sum(map(bool, decisions)) == 15
    assert decisions[0].remaining == 14
    assert (str(decisions[0].limit), decisions[0].source, decisions[0].max_over) == ("100/minute", "local", None)


def test_a_cost_that_fits_the_limit_but_not_the_share_may_be_tried_again_soon():
    world = World("100/minute", 1, 0.25)
    world.away = True
    assert world.processes[0].hit(50).retry_after == 1
    assert world.processes[0].hit(500).retry_after == float("inf")


@pytest.mark.parametrize(
    ("text", "share", "quota", "burst"),
    [
        ("100/minute", 0.29, 29, None),
        ("98/minute", 1 / 49, 2, None),
        ("3/minute", 1 / 3, 1, None),
        ("3/minute", 0.1, 1, None),
        ("100/minute burst 40", 0.25, 25, 10),
        ("1/minute burst 40", 0.25, 1, 10),
        ("19/day burst 690000", 0.1, 1, 36_525),
        ("7 per calendar day", 0.5, 3, None),
    ],
)
def test_a_share_is_rounded_down_and_one_at_least(text, share, quota, burst):
    limit = part_of(Limit.parse(text), share).rule.limit
    assert (limit.quota, limit.burst) == (quota, burst)


@pytest.mark.parametrize("bad", [0, -0.5, 1.1, 4, True, None, "0.5", float("nan"), float("inf")])
def test_what_is_no_part_of_a_quota_is_a_configuration_error(bad):
    with pytest.raises(ConfigurationError, match=r"fallback_share .*: write"):
        Limiter("1/minute", fallback_share=bad)


def opened_before_the_outage(trip, since=0.005):
    """A window that the store opened so many seconds before the outage began, in which four more units were admitted meanwhile."""
    world = World("10/minute fixed_window", 1)
    (process,) = world.processes
    process.trip = trip
    process.hit()
    world.clock.advance(since)
    world.away = True
    process.hit(4)
    return world, process


@pytest.mark.parametrize("trip", [0, 5_000, 6_000, 40_000, 240_000])
def test_a_window_that_had_just_been_opened_when_the_outage_began_is_charged_however_slow_the_probe_was(trip):
    world, process = opened_before_the_outage(trip)
    world.clock.advance(1)
    world.away = False
    process.merge()
    assert world.spent() == 5
    world.away = True  # once more in the same window, which this process knows to be the store's
    process.hit(2)
    world.away = False
    process.merge()
    assert world.spent() == 7


@pytest.mark.parametrize("trip", [0, 40_000, 240_000])
def test_the_window_after_the_stores_own_is_left_alone(trip):
    world, process = opened_before_the_outage(trip)
    world.clock.advance(59.996)
    rule, space = world.plan[0]
    world.store.decide([Ask(rule, space, "ann", SPEND, 1)])  # another process, which finds the store there
    world.away = False
    process.merge()
    assert world.spent() == 1


def test_a_window_that_was_opened_anew_after_a_reset_by_others_is_left_alone():
    world, process = opened_before_the_outage(40_000)
    rule, space = world.plan[0]
    world.clock.advance(1)
    world.store.forget([space], "ann")
    world.store.decide([Ask(rule, space, "ann", SPEND, 1)])
    world.away = False
    process.merge()
    assert world.spent() == 1


def test_a_window_that_was_opened_here_and_by_others_a_moment_later_is_two():
    world = World("10/minute fixed_window", 1)
    (process,) = world.processes
    process.trip = 40_000
    world.away = True
    process.hit(4)
    world.clock.advance(0.005)
    rule, space = world.plan[0]
    world.store.decide([Ask(rule, space, "ann", SPEND, 1)])
    world.away = False
    process.merge()
    assert world.spent() == 1


def test_the_windows_that_are_remembered_are_bounded():
    world = World("10/minute fixed_window", 1)
    (process,) = world.processes
    process.circuit.debts = Debts(keys=3)
    for who in range(5):
        process.hit(who=str(who))
    world.away = True
    for who in range(5):
        process.hit(who=str(who))
    assert len(process.circuit.debts._windows) == 3


# Several limits, reservations, resets.


def locally(world, process, mode, cost, marks=None):
    asks = asks_of(world.plan, "ann", cost, mode)
    if marks:
        asks = [ask._replace(mark=mark) for ask, mark in zip(asks, marks, strict=True)]
    answer = decided_instead(process.circuit, asks, "local", process.share, 0)
    readers = answer.readers or [ask.rule for ask in asks]
    return [reader.mark(answer.now, seen) for reader, seen in zip(readers, answer.seen, strict=True)]


@every
@pytest.mark.parametrize("share", [1.0, 0.7])
def test_what_was_reserved_and_given_back_in_the_stores_absence_is_not_charged_there(text, share):
    world = World(text, 1, share)
    world.away = True
    (process,) = world.processes
    marks = locally(world, process, SPEND, 5)
    process.hit(2)
    locally(world, process, GIVE, 4, marks)
    world.away = False
    process.merge()
    assert world.spent() == 3
    assert process.circuit.debts.merged == 3


@every
def test_what_was_committed_beyond_a_reservation_is_charged_and_a_refused_hit_charges_nothing(text):
    world = World(text, 1)
    world.away = True
    (process,) = world.processes
    locally(world, process, SPEND, 5)
    locally(world, process, FORCE, 8)
    assert not process.hit()
    world.away = False
    process.merge()
    assert process.circuit.debts.merged == 13
    assert world.spent() == 10


def test_all_limits_of_a_hit_are_merged_and_none_of_a_refused_one():
    clock = ManualClock()
    plan = plan_of(Limit.parse_many("3/second; 4/hour fixed_window; 5/hour token_bucket"), prefix="merge", name="several limits")
    circuit, store = Circuit(clock), MemoryStore(clock=clock)
    gate = Gate(circuit, plan, deny_cache=0, on_outage="local")
    assert [bool(gate.instead("ann", 1, SPEND, 0)) for _ in range(4)] == [True] * 3 + [False]
    clock.advance(1)
    assert [bool(gate.instead("ann", 1, SPEND, 0)) for _ in range(2)] == [True, False]
    gate.instead("ann", 1, LOOK, 0)
    store.decide(circuit.due())
    asks = asks_of(plan, "ann", 1, LOOK)
    assert [part.remaining for part in decisions_of(asks, store.decide(asks))] == [2, 0, 1]


def test_a_hit_whose_trip_failed_is_not_merged_since_it_may_have_been_counted():
    world = World("10/minute", 1)
    assert world.processes[0].gate.instead("ann", 1, SPEND, asked=1)
    assert world.processes[0].circuit.due() == []


def test_a_reset_forgets_what_is_owed():
    world = World("10/minute", 1)
    world.away = True
    (process,) = world.processes
    process.hit(3)
    process.hit(2, who="bob")
    spaces = [world.plan[0][1]]
    forgotten(process.circuit, spaces, "ann", resetting(process.circuit, spaces, "ann"))
    assert [(ask.identity, ask.cost) for ask in process.circuit.due()] == [("bob", 2)]


def test_keys_are_bounded_and_what_is_beyond_is_counted_as_dropped():
    world = World("10/minute", 1)
    world.away = True
    (process,) = world.processes
    process.circuit.debts = Debts(keys=3)
    for who in range(5):
        process.hit(2, who=str(who))
    assert (len(process.circuit.debts), process.circuit.debts.dropped) == (3, 4)
    world.clock.advance(60)  # those that are over make room
    process.hit(1, who="new")
    assert (len(process.circuit.debts), process.circuit.debts.dropped) == (3, 6)
    assert KEYS >= 1_000


@pytest.mark.parametrize(
    "text", ["100000/minute", "100000/minute fixed_window", "100000/minute sliding_counter", "9/minute burst 100000"]
)
def test_a_key_has_few_points_however_many_hits_it_had(text):
    world = World(text, 1)
    world.away = True
    (process,) = world.processes
    for _ in range(1_500):
        assert process.hit(3)
        world.clock.advance(0.1)
    (debt,) = process.circuit.debts._debts.values()
    assert len(debt.points) <= 48
    world.away = False
    process.merge()
    check_never_more_than_was_admitted(world)
    now = world.clock()
    if world.limit.algorithm == "sliding_window":
        live = world.within(now - 60 * SECOND + 1, now + 1)
        assert 0.9 * live <= world.spent() <= live


def test_what_is_owed_is_handed_over_in_small_trips():
    world = World("10/minute", 1)
    world.away = True
    (process,) = world.processes
    for who in range(250):
        process.hit(who=str(who))
    sizes = []
    while asks := process.circuit.due():
        sizes.append(len(asks))
    assert sizes == [100, 100, 50]


def test_after_a_merge_the_next_outage_begins_from_what_the_store_then_said():
    world = World("10/minute", 2)
    one, other = world.processes
    world.away = True
    one.hit(4)
    other.hit(3)
    world.away = False
    one.merge()
    other.merge()
    world.away = True
    assert [bool(other.hit()) for _ in range(4)] == [True] * 3 + [False]
