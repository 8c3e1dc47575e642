"""
The guard: leaves a store at once that is away or late, comes back to it on the first good probe, and does not flap.
"""

import copy
import heapq
import itertools
import random
from dataclasses import dataclass, field

import pytest
from hypothesis import assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ratekit.guard import GIVE_UP, LADDER, PACE, PATIENCE, SECOND, SOON, Change, Fault, Guard

MS = 1_000
BUDGET = 50 * MS
MINUTE = 60 * SECOND
MOST = 9
"""Changes in any minute, whatever the history."""
BOUND = GIVE_UP + LADDER[-1] * PACE
"""Until it is closed again once every probe is good and answered at once: 76 s. On the first three rungs: GIVE_UP."""


def most_in_a_minute(changes):
    """The most changes that any minute has, both its ends counted."""
    return max((sum(first.at <= other.at <= first.at + MINUTE for other in changes) for first in changes), default=0)


# A load on a store that is a function: sent at this microsecond, when does the answer come, and what is wrong with it?


def ok(sent, takes=MS):
    return sent + takes, None


def down(since, until):
    """Killed and restarted: what is under way is cut, what comes later is refused."""

    def store(sent):
        if since <= sent < until:
            return sent + MS // 10, Fault.AWAY
        return (since, Fault.AWAY) if sent < since < sent + MS else ok(sent)

    return store


def hung(since, until):
    """Stopped and continued: what was sent meanwhile is answered then."""
    return lambda sent: ok(until) if since <= sent < until else ok(sent)


def slow(since, until, takes=200 * MS):
    return lambda sent: ok(sent, takes) if since <= sent < until else ok(sent)


def answering(since, until, fault):
    """The server answers with an error."""
    return lambda sent: (sent + MS, fault) if since <= sent < until else ok(sent)


def stalling(every, stall):
    """A stall at the beginning of each period."""
    return lambda sent: ok(max(sent, sent - sent % every + stall))


def mixed(seed, share, takes=200 * MS):
    """A share of the answers is late, by chance."""
    dice = random.Random(seed)
    return lambda sent: ok(sent, takes if dice.random() < share else MS)


def dripping(seed, since, until, worst=250 * MS):
    """One connection, answers after each other, each of them taking anything up to `worst`; after a pause it starts anew."""
    dice, free = random.Random(seed), [0]

    def store(sent):
        if not since <= sent < until:
            return ok(sent)
        free[0] = max(sent, min(free[0], sent + worst)) + dice.randrange(MS, worst)
        return free[0], None

    return store


@dataclass
class Run:
    """What came of it: changes of state, and the instants at which hits waited, were answered locally, and probes were sent."""

    changes: list = field(default_factory=list)
    late: list = field(default_factory=list)
    local: list = field(default_factory=list)
    probes: list = field(default_factory=list)
    hits: int = 0

    @property
    def states(self):
        return [change.state for change in self.changes]


def play(store, seconds, every=2 * MS, bursts=(), poll=5 * MS):
    """A hit every so many microseconds, and `bursts` of (instant, hits); a background task looks after probes every `poll`."""
    guard, run, order = Guard(0), Run(), itertools.count()
    end = round(seconds * SECOND)
    queue = [(0, next(order), "poll", 0, None), (0, next(order), "hit", 0, None)]
    queue += [(at, next(order), "extra", 0, None) for at, hits in bursts for _ in range(hits)]
    heapq.heapify(queue)
    while queue and queue[0][0] <= end:
        now, _, what, number, fault = heapq.heappop(queue)
        change = None
        if what in ("hit", "extra"):
            if what == "hit":
                heapq.heappush(queue, (now + every, next(order), "hit", 0, None))
            run.hits += 1
            if guard.ticket:
                heapq.heappush(queue, outcome(store, now, order, "trip", guard.ticket))
            else:
                run.local.append(now)
        elif what == "poll":
            heapq.heappush(queue, (now + poll, next(order), "poll", 0, None))
            probe = guard.probe(now)
            if probe:
                run.probes.append(now)
                heapq.heappush(queue, outcome(store, now, order, "probe", probe))
        elif what == "probe":
            change = guard.probed(now, number, fault)
        elif fault is None:
            guard.succeeded(now, number)
        else:
            change = guard.failed(now, fault, number)
            run.late += [now] * (fault is Fault.LATE)
        run.changes += [change] * (change is not None)
    assert all(later - sooner >= PACE for sooner, later in itertools.pairwise(run.probes))
    assert guard.health(end).changes == len(run.changes)
    return run


def outcome(store, sent, order, what, number):
    """When a trip or a probe that is sent now will end, and how, seen from here."""
    back, fault = store(sent)
    if back > sent + BUDGET:
        back, fault = sent + BUDGET, Fault.LATE
    return back, next(order), what, number, fault


# The faults of the reliability table.


@pytest.mark.parametrize("fault_lasts", [0.05, 0.3, 3.0, 61.0])
@pytest.mark.parametrize("starts", [0.0, 7.3003])
def test_a_killed_store_is_left_at_once_and_back_within_half_a_second(starts, fault_lasts):
    since, until = round(starts * SECOND), round((starts + fault_lasts) * SECOND)
    run = play(down(since, until), starts + fault_lasts + 10, every=MS // 4)
    assert run.states == ["open", "closed"]
    opened, closed = run.changes
    assert opened.fault is Fault.AWAY
    assert opened.at - since <= MS
    assert closed.at - until <= PACE + 10 * MS
    assert run.late == []


def test_a_store_that_is_down_at_start_joins_within_half_a_second_of_coming_up():
    run = play(down(0, 20 * SECOND), 30)
    assert run.states == ["open", "closed"]
    assert run.local[0] <= 2 * MS
    assert 20 * SECOND < run.changes[1].at <= 20 * SECOND + PACE + 10 * MS


@pytest.mark.parametrize("hang", [0.4, 3.0, 30.0])
@pytest.mark.parametrize("starts", [3.0, 3.111, 3.249])
def test_a_stopped_store_costs_only_those_in_flight_a_wait_and_is_back_within_half_a_second(hang, starts):
    since, until = round(starts * SECOND), round((starts + hang) * SECOND)
    run = play(hung(since, until), starts + hang + 10, bursts=[(since, 300)])
    assert run.states == ["open", "closed"]
    opened, closed = run.changes
    assert opened.at <= since + BUDGET
    assert len(run.late) <= 300 + BUDGET // (2 * MS) + 1
    assert max(run.late) <= since + 2 * BUDGET
    assert closed.at - until <= PACE + 10 * MS
    # The 300 whose budget was spent after the first five are of the ticket that has ended: no second opening.
    assert len(run.late) > 300


@pytest.mark.parametrize("fault", [Fault.SERVER, Fault.REFUSED])
def test_a_server_that_cannot_serve_is_left_after_five_answers_and_back_on_the_first_good_probe(fault):
    run = play(answering(SECOND, 4 * SECOND, fault), 20)
    assert run.states == ["open", "closed"]
    assert run.changes[0].fault is fault
    assert run.changes[0].at <= SECOND + 5 * 2 * MS + MS
    assert run.changes[1].at <= 4 * SECOND + PACE + 10 * MS


def test_a_store_that_hangs_for_seconds_again_and_again_is_left_after_the_third_return():
    run = play(stalling(10 * SECOND, 2500 * MS), 300)
    assert run.states == ["open", "closed"] * 3 + ["open"]


def test_a_store_200_ms_slow_for_five_minutes_is_left_once():
    run = play(slow(SECOND, 301 * SECOND), 320, every=5 * MS)
    assert run.states == ["open", "closed"]
    assert run.changes[1].at <= 301 * SECOND + PACE + 10 * MS
    assert len(run.late) <= BUDGET // (5 * MS) + 5


@pytest.mark.parametrize("every_ms", [1, 5, 40])
@pytest.mark.parametrize(("period", "stall"), [(1.0, 80), (1.013, 80), (0.4, 120), (2.0, 300), (10.0, 800), (0.25, 60)])
def test_a_store_that_stalls_now_and_then_for_five_minutes_makes_two_changes_a_minute_at_most(period, stall, every_ms):
    run = play(stalling(round(period * SECOND), stall * MS), 300, every=every_ms * MS)
    assert most_in_a_minute(run.changes) <= 2
    assert len(run.changes) <= 10


def test_a_store_that_stalls_for_80_ms_every_second_is_mostly_used():
    run = play(stalling(SECOND, 80 * MS), 180, every=5 * MS)
    assert len(run.local) < run.hits // 100
    assert len(run.late) < run.hits // 20


@pytest.mark.parametrize("seed", range(20))
def test_dripping_answers_make_three_changes_in_a_minute_at_most_and_ten_in_five(seed):
    run = play(dripping(seed, SECOND, 301 * SECOND), 301, every=5 * MS)
    assert run.states[0] == "open"
    assert most_in_a_minute(run.changes) <= 3
    assert len(run.changes) <= 10


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("seed", range(8))
def test_a_store_that_is_late_by_chance_makes_three_changes_in_a_minute_at_most(seed, share):
    run = play(mixed(seed, share), 300, every=10 * MS)
    assert most_in_a_minute(run.changes) <= 3
    assert len(run.changes) <= 10


@pytest.mark.parametrize("every_ms", [0.2, 1, 5, 100])
def test_one_bad_answer_in_a_thousand_changes_nothing(every_ms):
    run = play(mixed(1, 0.001), 60, every=round(every_ms * MS))
    assert run.changes == []
    assert run.local == []


def test_three_outages_soon_after_each_other_each_end_on_the_first_good_probe():
    stores = [hung(5 * SECOND, 8 * SECOND), down(13 * SECOND, 16 * SECOND), hung(21 * SECOND, 24 * SECOND)]
    run = play(lambda sent: stores[sent // (8 * SECOND) if sent < 24 * SECOND else 2](sent), 40)
    assert run.states == ["open", "closed"] * 3
    for closed, until in zip(run.changes[1::2], (8, 16, 24), strict=True):
        assert closed.at <= until * SECOND + PACE + 10 * MS


# The rules one by one.


def lates(guard, now, count, ticket=None):
    """So many late trips; the changes."""
    changes = [guard.failed(now, Fault.LATE, guard.ticket if ticket is None else ticket) for _ in range(count)]
    return [change for change in changes if change]


def probes(guard, now, count):
    """So many good probes, as soon as each may be sent; the changes and the time after."""
    changes = []
    for _ in range(count):
        now += round(guard.health(now).next_probe * SECOND)
        changes.append(guard.probed(now, guard.probe(now)))
    return [change for change in changes if change], now


def test_a_closed_guard_without_trouble_is_two_attributes():
    guard = Guard(0)
    assert guard.ticket
    assert not guard.troubled
    guard.failed(5, Fault.LATE, guard.ticket)
    assert guard.troubled
    guard.succeeded(SECOND + 4, guard.ticket)
    assert guard.troubled
    guard.succeeded(SECOND + 5, guard.ticket)
    assert not guard.troubled


def test_five_failures_in_a_row_open_and_a_good_answer_between_them_does_not():
    guard = Guard(0)
    assert lates(guard, 10, 4) == []
    guard.succeeded(11, guard.ticket)
    assert lates(guard, 12, 4) == []
    assert lates(guard, 3_000_000, 1) == [Change("open", Fault.LATE, 3_000_000, 3.0)]
    assert guard.ticket == 0


def test_a_trip_of_many_hits_may_count_as_many():
    guard = Guard(0)
    assert guard.failed(1, Fault.LATE, guard.ticket, count=64) == Change("open", Fault.LATE, 1, 0.000001)


@pytest.mark.parametrize(("goods", "opens"), [(1, True), (2, False)])
def test_half_of_twenty_answers_within_a_second_open_and_a_third_does_not(goods, opens):
    guard = Guard(0)
    for number in range(60):
        guard.failed(number * MS, Fault.LATE, guard.ticket)
        guard.succeeded(number * MS, guard.ticket, count=goods)
    assert bool(guard.ticket) is not opens


@pytest.mark.parametrize(
    ("goods", "last", "opens"), [(10, 10 * MS, True), (9, 10 * MS, False), (10, SECOND - 1, True), (10, SECOND, False)]
)
def test_the_twentieth_answer_within_a_second_opens_and_the_nineteenth_does_not(goods, last, opens):
    guard = Guard(0)
    for number in range(9):
        guard.failed(number * MS, Fault.LATE, guard.ticket)
        guard.succeeded(number * MS, guard.ticket)
    guard.succeeded(9 * MS, guard.ticket, count=goods - 9)
    assert bool(lates(guard, last, 1)) is opens


def test_half_of_the_answers_over_longer_than_a_second_are_too_few_to_open():
    guard = Guard(0)
    for number in range(60):
        guard.failed(number * SECOND // 9, Fault.LATE, guard.ticket)
        guard.succeeded(number * SECOND // 9, guard.ticket)
    assert guard.ticket


def test_stragglers_of_an_old_outage_do_not_open_again():
    guard = Guard(0)
    old = guard.ticket
    guard.failed(10, Fault.AWAY, old)
    assert guard.probed(20, guard.probe(15)) == Change("closed", Fault.AWAY, 20, 0.00001)
    assert guard.failed(30, Fault.AWAY, old) is None
    assert lates(guard, 40, 100, ticket=old) == []
    assert guard.ticket > old
    assert not guard.troubled
    assert guard.health(50).failures == 102


def test_good_stragglers_neither_close_nor_hide_a_run_of_failures():
    guard = Guard(0)
    old = guard.ticket
    lates(guard, 10, 5)
    guard.succeeded(20, old)
    assert not guard.ticket
    guard.probed(40, guard.probe(30))
    guard.failed(2 * MINUTE + 30 * SECOND, Fault.SERVER, guard.ticket, count=4)
    guard.succeeded(2 * MINUTE + 30 * SECOND, old)
    assert guard.failed(2 * MINUTE + 30 * SECOND, Fault.SERVER, guard.ticket)


def test_a_probe_that_says_nothing_has_failed_after_a_second_and_what_it_says_later_is_not_heard():
    guard = Guard(0)
    guard.failed(0, Fault.AWAY, guard.ticket)
    silent = guard.probe(0)
    assert silent
    assert guard.probe(GIVE_UP - 1) == 0
    second = guard.probe(GIVE_UP)
    assert second > silent
    assert guard.probed(GIVE_UP + 1, silent) is None
    assert guard.probed(GIVE_UP + 2, second).state == "closed"


def test_a_probe_that_answers_after_a_second_is_late():
    guard = Guard(0)
    guard.failed(0, Fault.AWAY, guard.ticket)
    assert guard.probed(GIVE_UP, guard.probe(0)) is None
    assert guard.health(GIVE_UP).fault is Fault.LATE


def test_a_second_report_of_one_probe_is_not_heard():
    guard = Guard(0)
    guard.failed(0, Fault.AWAY, guard.ticket)
    probe = guard.probe(0)
    assert guard.probed(1, probe, Fault.AWAY) is None
    assert guard.probed(2, probe) is None
    assert guard.probed(2, 0) is None
    assert not guard.ticket


def test_after_a_stall_only_a_full_second_of_late_answers_opens_for_a_minute():
    guard = Guard(0)
    lates(guard, SECOND, 5)
    probes(guard, SECOND + 20 * MS, 1)
    start = 2 * SECOND
    assert lates(guard, start, 500) == []
    assert lates(guard, start + SECOND - 1, 500) == []
    assert len(lates(guard, start + SECOND, 1)) == 1
    assert guard.health(start + SECOND).needed == LADDER[3]


def test_patience_ends_after_a_minute_and_is_for_lateness_alone():
    for wait, fault, opens in [(59, Fault.LATE, False), (61, Fault.LATE, True), (1, Fault.AWAY, True), (1, Fault.SERVER, True)]:
        guard = Guard(0)
        lates(guard, SECOND, 5)
        _, now = probes(guard, SECOND, 1)
        guard.failed(now + wait * SECOND, fault, guard.ticket, count=5)
        assert bool(guard.ticket) is not opens


def test_an_outage_of_two_seconds_is_no_stall_so_the_next_one_costs_only_those_in_flight():
    guard = Guard(0)
    lates(guard, SECOND, 5)
    guard.probed(SECOND + 2 * SECOND, guard.probe(SECOND + 2 * SECOND - BUDGET), Fault.LATE)
    _, now = probes(guard, 3 * SECOND, 1)
    assert len(lates(guard, now + 5 * SECOND, 5)) == 1


def stalled():
    """A guard that has just closed after a stall, and the time."""
    guard = Guard(0)
    lates(guard, SECOND, 5)
    return guard, probes(guard, SECOND, 1)[1]


def test_in_patience_four_late_answers_are_too_few_however_long_they_take():
    guard, now = stalled()
    assert [lates(guard, now + number * 5 * SECOND, 1) for number in range(1, 5)] == [[], [], [], []]
    assert len(lates(guard, now + 25 * SECOND, 1)) == 1


@pytest.mark.parametrize(("fault", "needed"), [(Fault.LATE, LADDER[3]), (Fault.AWAY, 1), (Fault.SERVER, 1)])
def test_lateness_that_opens_in_spite_of_patience_is_a_relapse_and_another_fault_is_not(fault, needed):
    guard, now = stalled()
    guard.failed(now + 10 * SECOND, fault, guard.ticket, count=4)
    guard.failed(now + 11 * SECOND, fault, guard.ticket)
    assert guard.health(now + 11 * SECOND).needed == needed


@pytest.mark.parametrize("probed", [None, Fault.LATE])
def test_an_outage_that_began_with_a_lost_connection_is_no_stall(probed):
    guard = Guard(0)
    guard.failed(SECOND, Fault.AWAY, guard.ticket)
    guard.probed(SECOND, guard.probe(SECOND), probed)
    now = SECOND if guard.ticket else probes(guard, SECOND, 1)[1]
    assert len(lates(guard, now + 5 * SECOND, 5)) == 1


def test_a_stall_is_one_also_after_an_outage_that_was_none():
    guard, now = Guard(0), SECOND
    for hang in (2 * SECOND, 0):
        lates(guard, now, 5)
        now += hang
        if hang:
            guard.probed(now, guard.probe(now), Fault.LATE)
        _, now = probes(guard, now, 1)
        opened = lates(guard, now + 5 * SECOND, 5)
        assert bool(opened) is bool(hang)
        if opened:
            _, now = probes(guard, now + 5 * SECOND, 1)
        now += 3 * MINUTE


def openings(calms):
    """How many good probes each of these openings needs, the first at once, each later one after so many seconds of service."""
    guard, now, needed = Guard(0), 0, []
    for calm in (0, *calms):
        now += round(calm * SECOND)
        guard.failed(now, Fault.AWAY, guard.ticket)
        needed.append(guard.health(now).needed)
        changes, now = probes(guard, now, needed[-1])
        assert [change.state for change in changes] == ["closed"]
    return needed


@pytest.mark.parametrize(
    ("calms", "needed"),
    [
        ([2, 2, 2, 2, 2], [1, 1, 1, 40, 300, 300]),
        ([119, 119, 119, 119], [1, 1, 1, 40, 300]),
        ([120, 120, 120, 120], [1, 1, 1, 1, 1]),
        ([1.999, 5, 5], [1, 40, 300, 300]),
        ([0, 0, 119, 120, 0], [1, 40, 300, 300, 1, 40]),
    ],
)
def test_each_opening_soon_after_the_last_closing_needs_more_good_probes(calms, needed):
    assert openings(calms) == needed


def test_one_bad_probe_starts_the_row_of_good_ones_anew():
    guard = Guard(0)
    guard.failed(0, Fault.AWAY, guard.ticket)
    _, now = probes(guard, 0, 1)
    guard.failed(now, Fault.AWAY, guard.ticket)
    _, now = probes(guard, now, 39)
    assert guard.health(now).needed == 1
    now += PACE
    assert guard.probed(now, guard.probe(now), Fault.SERVER) is None
    assert (guard.health(now).needed, guard.health(now).fault) == (40, Fault.SERVER)


def test_a_silent_probe_starts_the_row_of_good_ones_anew():
    guard = Guard(0)
    guard.failed(0, Fault.AWAY, guard.ticket)
    _, now = probes(guard, 0, 1)
    guard.failed(now, Fault.AWAY, guard.ticket)
    _, now = probes(guard, now, 39)
    guard.probe(now + PACE)
    assert guard.probe(now + PACE + GIVE_UP)
    assert guard.health(now + PACE + GIVE_UP).needed == 40


def test_health_says_how_things_stand_in_seconds():
    guard = Guard(7 * SECOND)
    shown = guard.health(9 * SECOND)
    assert (shown.state, shown.since, shown.fault, shown.next_probe, shown.needed) == ("closed", 2.0, None, None, 0)
    guard.failed(10 * SECOND, Fault.REFUSED, guard.ticket, count=5)
    assert guard.health(11 * SECOND).next_probe == 0
    guard.probed(11 * SECOND + 50 * MS, guard.probe(11 * SECOND), Fault.REFUSED)
    shown = guard.health(11 * SECOND + 50 * MS)
    assert (shown.state, shown.since, shown.fault, shown.next_probe, shown.needed) == ("open", 1.05, Fault.REFUSED, 0.2, 1)
    assert (shown.failures, shown.changes, shown.probes) == (5, 1, 1)


def test_a_change_is_one_line():
    assert str(Change("open", Fault.LATE, 0, 12.34)) == "the store is left alone (late) after 12.3 s of service"
    assert str(Change("closed", Fault.LATE, 0, 3.0)) == "the store is back after 3.0 s"


def test_a_clock_that_stands_still_sends_one_probe_and_opens_and_closes_as_ever():
    guard = Guard(0)
    assert len(lates(guard, 0, 5)) == 1
    assert [bool(guard.probe(0)) for _ in range(3)] == [True, False, False]
    assert guard.probed(0, 1).state == "closed"


@pytest.mark.parametrize("back", [1, 999 * MS, 2 * SECOND, 10**15])
def test_a_clock_that_was_set_back_goes_on(back):
    guard = Guard(10**15)
    now = 10**15 + SECOND
    guard.failed(now, Fault.AWAY, guard.ticket)
    assert guard.probed(now, guard.probe(now), Fault.AWAY) is None
    now -= back
    assert guard.probe(now) == 0
    assert guard.health(now).since >= 0
    now += min(back, SECOND) + PACE
    assert guard.probed(now, guard.probe(now)).after >= 0
    assert guard.ticket


# Every short history.

SHORT = {"ok": 1, "late": 1, "away": 1, "tick": 1, "probe ok": 1, "probe bad": 1}


def explore(tick, depth):
    """Every history of these six letters up to this length; how many were seen, and in how many the guard ended open."""
    start = Guard(0, failures=2)
    seen = opened = 0
    stack = [(start, 0, 0, -PACE, (), 0)]
    while stack:
        before, now, length, sent, changes, row = stack.pop()
        seen += 1
        opened += not before.ticket
        if length == depth:
            continue
        for letter in SHORT:
            guard, at, last = copy.copy(before), now + (tick if letter == "tick" else 0), sent
            change, count = None, row
            if letter == "ok":
                guard.succeeded(at, guard.ticket)
                count = 0
            elif letter in ("late", "away"):
                fault = Fault(letter)
                change = guard.failed(at, fault, guard.ticket)
                count += 1
                must = letter == "away" or (count >= 2 and len(changes) == 0)
                assert (change is not None) >= (bool(before.ticket) and must)
            elif letter.startswith("probe"):
                number = guard.probe(at)
                assert not (number and before.ticket)
                assert not number or at - last >= PACE
                assert number or before.ticket or at - last < PACE
                last = at if number else last
                change = guard.probed(at, number, None if letter == "probe ok" else Fault.LATE)
                assert change is None or letter == "probe ok"
            check(before, guard, change)
            after = (*changes, change) if change else changes
            assert most_in_a_minute(after) <= MOST
            stack.append((guard, at, length + 1, last, after, 0 if change else count))
    return seen, opened


def check(before, guard, change):
    """What holds at every step: a change is one, tickets are never used twice, and a closed guard without trouble admits."""
    assert bool(before.ticket) == bool(guard.ticket) if change is None else bool(before.ticket) != bool(guard.ticket)
    assert change is None or change.state == ("closed" if guard.ticket else "open")
    assert not before.ticket or not guard.ticket or before.ticket == guard.ticket
    assert change is None or change.after >= 0


@pytest.mark.parametrize(("tick", "depth"), [(PACE, 7), (SECOND, 6), (PATIENCE, 6)])
def test_every_short_history_keeps_the_rules(tick, depth):
    seen, opened = explore(tick, depth)
    assert seen == sum(6**length for length in range(depth + 1))
    assert 0 < opened < seen


# Random histories.


class Histories(RuleBasedStateMachine):
    """Trips and probes that end in any order, at any time, by a clock that also stands still and is set back."""

    @initialize(start=st.sampled_from([0, 10**15]), failures=st.integers(1, 6))
    def begin(self, start, failures):
        self.guard, self.now = Guard(start, failures=failures), start
        # The time that has passed, setting back left out: what the guard goes by, but for up to a second that it waits.
        self.passed = 0
        self.trips, self.probes, self.sent, self.changes, self.tickets = [], {}, [], [], {1}

    @rule(by=st.sampled_from([0, 1, 10 * MS, BUDGET, PACE - 1, PACE, SECOND, 10 * SECOND, MINUTE, 2 * MINUTE]))
    def time_passes(self, by):
        self.now += by
        self.passed += by

    @rule(by=st.sampled_from([2 * SECOND, MINUTE, 10**9]))
    def clock_is_set_back(self, by):
        self.guard.health(self.now)
        self.now -= by

    @rule(count=st.sampled_from([1, 5, 30]))
    def trips_are_sent(self, count):
        self.trips += [self.guard.ticket] * (count if self.guard.ticket else 0)

    @rule(which=st.integers(0, 99), fault=st.sampled_from([None, *Fault]), count=st.sampled_from([1, 4, 20]))
    def trips_end(self, which, fault, count):
        for _ in range(min(count, len(self.trips))):
            ticket = self.trips.pop(which % len(self.trips))
            live = ticket == self.guard.ticket
            if fault is None:
                self.guard.succeeded(self.now, ticket)
            else:
                change = self.guard.failed(self.now, fault, ticket)
                assert live or change is None
                assert change or not live or fault is not Fault.AWAY
                self.note(change, "open")

    @rule()
    def a_probe_is_asked_for(self):
        closed = bool(self.guard.ticket)
        number = self.guard.probe(self.now)
        if number:
            assert not closed
            assert not self.sent or self.passed - self.sent[-1] >= PACE
            assert all(self.passed - sent >= GIVE_UP for sent in self.probes.values())
            self.sent.append(self.passed)
            self.probes[number] = self.passed

    @rule(which=st.integers(0, 9), fault=st.sampled_from([None, None, *Fault]))
    def a_probe_ends(self, which, fault):
        assume(self.probes)
        number = sorted(self.probes)[which % len(self.probes)]
        overdue = self.passed - self.probes.pop(number) >= GIVE_UP
        change = self.guard.probed(self.now, number, fault)
        assert change is None or (fault is None and not overdue)
        self.note(change, "closed")

    @rule(rounds=st.sampled_from([1, 5, 50]))
    def it_flaps(self, rounds):
        for _ in range(rounds):
            self.note(self.guard.failed(self.now, Fault.AWAY, self.guard.ticket), "open")
            self.time_passes(PACE)
            number = self.guard.probe(self.now)
            self.sent += [self.passed] * bool(number)
            self.note(self.guard.probed(self.now, number), "closed")

    def note(self, change, state):
        if change:
            assert change.state == state
            assert change.after >= 0
            assert bool(self.guard.ticket) == (state == "closed")
            assert state == "open" or self.guard.ticket not in self.tickets
            self.tickets.add(self.guard.ticket)
            self.changes.append(change)

    @invariant()
    def the_state_is_what_the_changes_say(self):
        state = self.changes[-1].state if self.changes else "closed"
        assert bool(self.guard.ticket) == (state == "closed")
        shown = copy.copy(self.guard).health(self.now)
        assert (shown.state, shown.changes) == (state, len(self.changes))
        assert shown.since >= 0

    @invariant()
    def changes_alternate_and_are_few_in_any_minute(self):
        states = [change.state for change in self.changes]
        assert states == ["open", "closed"] * (len(states) // 2) + ["open"] * (len(states) % 2)
        assert most_in_a_minute(self.changes) <= MOST

    @invariant()
    def once_the_faults_stop_it_closes_within_the_bound(self):
        guard, now = copy.copy(self.guard), self.now
        while not guard.ticket:
            now += round(guard.health(now).next_probe * SECOND)
            guard.probed(now, guard.probe(now))
        assert now - self.now <= BOUND


Histories.TestCase.settings = settings(stateful_step_count=60)
TestHistories = Histories.TestCase


@pytest.mark.parametrize("calm", [0, PACE, SOON - 1, SOON, SOON + PACE, 20 * SECOND, PATIENCE, 2 * MINUTE - 1, 2 * MINUTE])
@pytest.mark.parametrize("fault", Fault)
def test_a_store_that_is_only_good_when_probed_makes_nine_changes_in_a_minute_at_most_and_two_in_later_ones(fault, calm):
    guard, now, changes = Guard(0), 0, []
    while now < 30 * MINUTE:
        while guard.ticket:
            now += 7 * MS
            if now - (changes[-1].at if changes else 0) >= calm:
                changes += filter(None, [guard.failed(now, fault, guard.ticket)])
        more, now = probes(guard, now, guard.health(now).needed)
        changes += more
    assert most_in_a_minute(changes) <= MOST
    if calm < 2 * MINUTE:
        assert most_in_a_minute([change for change in changes if change.at > 11 * MINUTE]) <= 2
