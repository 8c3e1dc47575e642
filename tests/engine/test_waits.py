"""
`retry_after` and `more_after` are the earliest instants: waiting them is enough, one microsecond less is not.
"""

import random

import pytest
from doors import PATIENT

from ratekit import Limit, Limiter
from ratekit.algorithms import FORCE, LOOK, SPEND, rule_of
from ratekit.decision import Figures
from ratekit.stores import MemoryStore
from ratekit.stores.redis import RedisStore

ALGORITHMS = ("fixed_window", "sliding_window", "sliding_counter", "token_bucket")
STATES = 1_000


def tick(limit):
    """The least step of an algorithm in microseconds."""
    return 1_000 if limit.algorithm == "fixed_window" else 1


def random_limit(dice, algorithm):
    quota = dice.choice([1, 2, 3, 7, 59, 61, 100, 999, 10**6, 300_000, 10**9])
    options = {}
    if algorithm == "token_bucket":
        options["burst"] = dice.choice([1, 2, 5, quota, 9 * quota if quota < 10**8 else quota])
    if algorithm == "sliding_window":
        options["buckets"] = dice.choice([2, 5, 60])
    period = dice.choice([1, 10, 999, 1_000, 60_000, 86_400_000, 3_653 * 86_400_000])
    return Limit(quota, per=period / 1000, algorithm=algorithm, name="same", **options)


def random_state(dice, limits, start):
    """A state after some hits, forced ones and give-backs among them, under one limit and then perhaps another; and the time."""
    state, now = None, start
    for limit in limits:
        rule = rule_of(limit)
        for _ in range(dice.randint(1, 8)):
            cost = dice.choice([1, 1, 2, max(1, limit.capacity // 3), limit.capacity, dice.randint(1, limit.capacity)])
            mode = FORCE if dice.random() < 0.1 else SPEND
            state, seen = rule.step(state, now, cost, mode)
            if seen[0] and dice.random() < 0.2:
                state = rule.give(state, now, dice.randint(1, cost), rule.mark(now, seen))
            now += dice.choice([0, 1, 999, limit.period // 70, limit.period // 3, dice.randint(0, limit.period)])
    return state, now


def check_the_instants(rule, state, now, costs):
    limit = rule.limit
    for cost in costs:
        figures = Figures(*rule.read(cost, rule.step(state, now, cost, LOOK)[1]))
        if figures.wait and cost <= limit.capacity:
            assert rule.step(state, now + figures.wait, cost, LOOK)[1][0]
            assert not rule.step(state, now + figures.wait - tick(limit), cost, LOOK)[1][0]
        if figures.more:
            for instant, grown in ((now + figures.more, True), (now + figures.more - tick(limit), False)):
                later = Figures(*rule.read(1, rule.step(state, instant, 1, LOOK)[1]))
                assert (later.remaining > figures.remaining) is grown
        if figures.reset:
            assert rule.read(1, rule.step(state, now + figures.reset, 1, LOOK)[1]) == rule.read(1, rule.step(None, now, 1, LOOK)[1])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_of_a_thousand_random_states_every_figure_is_the_earliest_instant(algorithm):
    dice = random.Random(f"states of {algorithm}")
    for _ in range(STATES):
        limit = random_limit(dice, algorithm)
        state, now = random_state(dice, [limit], start=1_700_000_000_000_000)
        check_the_instants(
            rule_of(limit), state, now, {1, 2, limit.capacity, max(1, limit.capacity // 2), dice.randint(1, limit.capacity)}
        )


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_instants_hold_on_states_that_were_written_under_another_quota(algorithm):
    dice = random.Random(f"quotas of {algorithm}")
    for _ in range(STATES):
        old, new = random_limit(dice, algorithm), random_limit(dice, algorithm)
        old = Limit(old.quota, per=new.per, algorithm=algorithm, name="same", burst=old.burst and min(old.burst, 9 * old.quota))
        state, now = random_state(dice, [old], start=1_700_000_000_000_000)
        check_the_instants(rule_of(new), state, now, {1, new.capacity, dice.randint(1, new.capacity)})


def test_the_instants_hold_on_a_token_bucket_that_was_written_under_another_period():
    dice = random.Random("periods")
    for _ in range(STATES):
        old, new = random_limit(dice, "token_bucket"), random_limit(dice, "token_bucket")
        state, now = random_state(dice, [old], start=1_700_000_000_000_000)
        check_the_instants(rule_of(new), state, now, {1, new.capacity, dice.randint(1, new.capacity)})


def stores(url, clock):
    return {"memory": lambda: MemoryStore(clock=clock), "redis": lambda: RedisStore(url, clock=clock)}


@pytest.mark.parametrize("where", ["memory", "redis"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_sole_caller_is_let_in_after_exactly_retry_after(redis_url, clock, algorithm, where):
    dice = random.Random(f"{algorithm} callers")
    store = stores(redis_url, clock)[where]()
    for number in range(60):
        limit = random_limit(dice, algorithm)
        limiter = Limiter(limit, store=store, name=f"wait-{number}", **PATIENT)
        for _ in range(dice.randint(1, 9)):
            limiter.hit("ann", cost=dice.choice([1, max(1, limit.capacity // 5), dice.randint(1, limit.capacity)]))
            clock.advance_us(dice.randint(0, limit.period // 2))
        cost = dice.randint(1, limit.capacity)
        refused = limiter.hit("ann", cost=cost)
        if not refused:
            wait = refused.figures.wait
            if wait > tick(limit):
                clock.advance_us(wait - tick(limit))
                early = limiter.hit("ann", cost=cost)
                assert not early
                wait = early.figures.wait
                assert wait == tick(limit)
            clock.advance_us(wait)
            assert limiter.hit("ann", cost=cost)
    store.close()


def test_what_is_given_back_brings_the_instant_forward(clock):
    limiter = Limiter("10/minute", store=MemoryStore(clock=clock))
    with limiter.reserve("ann", cost=8) as reservation:
        assert limiter.peek("ann", cost=5).retry_after == 60
        reservation.commit(3)
    assert limiter.peek("ann", cost=7).allowed


def test_modes_that_charge_nothing_see_what_a_hit_would_see():
    for algorithm in ALGORITHMS:
        rule = rule_of(Limit(5, per=1, algorithm=algorithm))
        state, _ = rule.step(None, 10**15, 3, SPEND)
        assert rule.step(state, 10**15, 3, LOOK)[1] == rule.step(state, 10**15, 3, SPEND)[1]
