"""
A charge that was made elsewhere, brought into a state later: where it counts, for how long, and that the Lua of every rule merges as
its Python does.
"""

import time

import pytest
from doors import PATIENT
from hypothesis import given, settings
from hypothesis import strategies as st

from ratekit import Limit
from ratekit.algorithms import FORCE, LOOK, MERGE, SPEND, rule_of
from ratekit.decision import Figures
from ratekit.stores import MemoryStore
from ratekit.stores.naming import plan_of
from ratekit.stores.protocol import Ask
from ratekit.stores.redis import RedisStore
from ratekit.testing import ManualClock

MS, SECOND = 1_000, 1_000_000
TEXTS = (
    "10/minute fixed_window",
    "10/minute",
    "100/minute",
    "10/minute sliding_counter",
    "10/minute token_bucket",
    "7/minute burst 30",
)
every = pytest.mark.parametrize("text", TEXTS)


def used(rule, state, now):
    """The units that count, as the limit shows them."""
    remaining = rule.read(1, rule.step(state, now, 1, LOOK)[1])[1]
    return rule.limit.capacity - remaining


def charged(rule, state, now, cost):
    state, seen = rule.step(state, now, cost, FORCE)
    return state, rule.merge_mark(now, seen)


@every
def test_merged_at_once_it_is_what_a_hit_would_have_been(text):
    rule, now = rule_of(Limit.parse(text)), 10**15
    hit, mark = charged(rule, None, now, 4)
    assert rule.merge(None, now, 4, mark) == hit


@every
@pytest.mark.parametrize("later", [1, 10, 59.9, 60, 61, 119.9, 120, 300])
def test_merged_late_into_a_fresh_key_it_counts_as_long_as_the_hit_would_have_counted(text, later):
    rule, now = rule_of(Limit.parse(text)), 10**15
    hit, mark = charged(rule, None, now, 4)
    then = now + int(later * SECOND)
    state = rule.merge(None, then, 4, mark)
    for at in range(then, then + 400 * SECOND, 500 * MS):
        assert used(rule, state, at) == used(rule, hit, at)
    assert rule.is_over(mark, then) <= (state is None)


@every
def test_merged_into_what_was_charged_since_it_never_counts_in_a_later_window(text):
    rule, now = rule_of(Limit.parse(text)), 10**15
    _, mark = charged(rule, None, now, 4)
    for later in range(1, 130):
        then = now + later * SECOND
        mine, _ = charged(rule, None, then, 3)
        state = rule.merge(mine, then + 1, 4, mark)
        end = now + (121 if rule.limit.algorithm == "sliding_counter" else 61) * SECOND
        if then < end:
            assert used(rule, state, then + 1) <= 7
        alone, _ = charged(rule, None, then, 3)
        at = max(end, then + 2)
        assert used(rule, state, at) == used(rule, alone, at)


def test_a_fixed_window_that_was_opened_after_the_charge_is_left_alone():
    rule, now = rule_of(Limit.parse("10/minute fixed_window")), 10**15
    _, mark = charged(rule, None, now, 4)
    later, _ = charged(rule, None, now + SECOND, 3)
    assert rule.merge(later, now + 2 * SECOND, 4, mark) == later
    _, mark = charged(rule, None, now + SECOND, 4)
    assert used(rule, rule.merge(later, now + 2 * SECOND, 4, mark), now + 2 * SECOND) == 7


def test_a_point_of_a_sliding_window_takes_its_place_among_the_others_and_leaves_in_its_time():
    rule, now = rule_of(Limit.parse("10/minute")), 10**15
    state, _ = charged(rule, None, now, 1)
    state, _ = charged(rule, state, now + 20 * SECOND, 2)
    state = rule.merge(state, now + 30 * SECOND, 4, (now + 10 * SECOND, 0))
    left = [used(rule, state, now + seconds * SECOND) for seconds in (30, 59, 60, 69, 70, 79, 80)]
    assert left == [7, 7, 6, 6, 2, 2, 0]


def test_of_a_token_bucket_only_what_is_still_owed_is_charged():
    rule, now = rule_of(Limit.parse("60/minute burst 10")), 10**15
    _, mark = charged(rule, None, now, 6)
    busy, _ = charged(rule, None, now + 4 * SECOND, 5)
    assert used(rule, rule.merge(busy, now + 4 * SECOND, 6, mark), now + 4 * SECOND) == 7
    assert rule.merge(busy, now + 6 * SECOND, 6, mark) == busy


def test_a_forced_debt_is_capped_at_a_century_when_it_is_merged_too():
    rule, now = rule_of(Limit.parse("1/day burst 30000")), 10**15
    state, mark = charged(rule, None, now, 30_000)
    for _ in range(2):
        state, mark = charged(rule, state, now, 30_000)
    for _ in range(3):
        state = rule.merge(state, now, 30_000, mark)
    assert rule.expiry(state) - now <= 36_525 * 86_400 * SECOND


def test_a_calendars_charge_counts_in_its_own_month_alone():
    rule = rule_of(Limit.parse("10 per calendar month"))
    now = 1_900_000_000 * SECOND
    state, mark = charged(rule, None, now, 4)
    assert rule.merge(None, now + 1, 4, mark) == state
    assert rule.merge(None, now + 40 * 86_400 * SECOND, 4, mark) is None


@every
@given(shift=st.integers(-(10**12), 10**12), later=st.integers(0, 130 * SECOND))
@settings(max_examples=30)
def test_a_mark_by_another_clock_says_the_same_there_and_is_never_later(text, shift, later):
    rule, now = rule_of(Limit.parse(text)), 10**15
    _, mark = charged(rule, None, now, 4)
    here, there = rule.merge(None, now + later, 4, mark), rule.merge(None, now + later + shift, 4, rule.moved(mark, shift))
    assert used(rule, there, now + later + shift) <= used(rule, here, now + later)
    if rule.limit.algorithm != "fixed_window" or not shift % MS:
        assert used(rule, there, now + later + shift) == used(rule, here, now + later)


# The twins.

quotas = st.sampled_from(
    [*TEXTS, "3/second buckets 2", "61/minute", "1000000000/minute", "3/ms", "1/day burst 30000", "5 per calendar day"]
)
moves = st.one_of(st.integers(0, 3_000), st.integers(0, 130).map(lambda seconds: seconds * SECOND), st.integers(0, 10**12))
hits = st.tuples(moves, st.sampled_from([SPEND, FORCE, MERGE, MERGE, LOOK]), st.integers(1, 12), st.integers(0, 9), moves)


@given(text=quotas, history=st.lists(hits, min_size=2, max_size=20))
@settings(max_examples=300)
def test_the_lua_of_every_rule_merges_as_its_python_does(redis_server, text, history):
    clock = ManualClock()
    memory, remote = MemoryStore(clock=clock), RedisStore(redis_server.url, clock=clock)
    (rule, space), *_ = plan_of([Limit.parse(text)], prefix="merging", name=str(time.monotonic_ns()))
    marks = [(clock(), 0)]
    try:
        for move, mode, cost, which, back in history:
            clock.advance(move / SECOND)
            mark = marks[-1 - which % len(marks)]
            ask = Ask(rule, space, "ann", mode, cost, (max(0, mark[0] - back), mark[1]) if mode == MERGE else (0, 0))
            # Two charges may be brought into one key by one hit.
            asks = [ask, ask._replace(cost=1)] if mode == MERGE else [ask]
            python, lua = memory.decide(asks), remote.decide(asks, **PATIENT)
            for here, there in zip(python.seen, lua.seen, strict=True):
                assert Figures(*rule.read(cost, here)) == Figures(*rule.read(cost, there))
            if mode in (SPEND, FORCE) and python.seen[0][0]:
                marks.append(rule.merge_mark(python.now, python.seen[0]))
    finally:
        remote.close()
