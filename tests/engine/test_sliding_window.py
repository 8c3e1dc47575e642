"""
sliding_window: never more than N in ANY window of the period, whatever the arrivals; and close to N all the same.
"""

import random
from collections import deque

import pytest
import shares
from doors import PATIENT

from ratekit import Limiter
from ratekit.stores import MemoryStore
from ratekit.stores.redis import RedisStore

PERIOD = 60_000_000
SHAPES = [
    (1, 2),
    (2, 2),
    (3, 2),
    (5, 60),
    (59, 60),
    (60, 60),
    (61, 60),
    (100, 5),
    (1_000, 60),
    (9_999, 7),
    (10_000, 60),
    (10_000, 2),
]


class Watch:
    """The worst number of units in any window so far, from (time, units) as they are admitted."""

    def __init__(self):
        self.recent, self.units, self.worst = deque(), 0, 0

    def admitted(self, now, units):
        self.recent.append((now, units))
        self.units += units
        while self.recent[0][0] <= now - PERIOD:
            self.units -= self.recent.popleft()[1]
        self.worst = max(self.worst, self.units)


def attack(limiter, clock, dice, quota, buckets, hits):
    """Bursts and pauses around every edge there is: cells, windows, the instant that a refusal names."""
    cell = -(-PERIOD // (buckets - 1))
    pauses = [0, 0, 0, 1, 2, cell - 1, cell, cell + 1, PERIOD - cell, PERIOD - 1, PERIOD, PERIOD // 2, PERIOD // 3]
    costs = [1, 1, max(1, quota // 2), max(1, quota // 3), max(1, quota // 60), quota]
    watch, wait = Watch(), 0
    for _ in range(hits):
        clock.advance_us(
            max(0, dice.choice([*pauses, dice.randrange(cell), PERIOD - cell * dice.randrange(buckets), wait, wait - 1]))
        )
        cost = dice.choice(costs)
        decision = limiter.hit("ann", cost=cost)
        wait = decision.figures.wait
        if decision:
            watch.admitted(clock(), cost)
    return watch.worst


@pytest.mark.parametrize(("quota", "buckets"), SHAPES)
def test_no_burst_finds_a_window_with_more_than_the_quota(clock, quota, buckets):
    worst = 0
    for seed in range(12):
        limiter = Limiter(f"{quota}/minute buckets {buckets}", store=MemoryStore(clock=clock))
        worst = max(worst, attack(limiter, clock, random.Random(seed), quota, buckets, hits=800))
    assert worst == quota


@pytest.mark.parametrize(("quota", "buckets"), SHAPES[::3])
def test_no_burst_finds_a_window_with_more_than_the_quota_on_redis(redis_url, clock, quota, buckets):
    store = RedisStore(redis_url, clock=clock)
    limiter = Limiter(f"{quota}/minute buckets {buckets}", store=store, **PATIENT)
    worst = attack(limiter, clock, random.Random(quota), quota, buckets, hits=1_500)
    store.close()
    assert 0 < worst <= quota


@pytest.mark.long
@pytest.mark.parametrize("seed", range(200))
def test_no_burst_of_a_long_search_finds_more(clock, seed):
    dice = random.Random(seed)
    quota, buckets = dice.choice([dice.randint(1, 100), dice.randint(1, 10_000)]), dice.choice([2, 3, 5, 60, dice.randint(2, 200)])
    limiter = Limiter(f"{quota}/minute buckets {buckets}", store=MemoryStore(clock=clock))
    assert attack(limiter, clock, dice, quota, buckets, hits=20_000) <= quota


def test_changing_the_quota_and_the_buckets_keeps_the_bound_of_the_greatest(clock):
    dice = random.Random("changing")
    store, watch = MemoryStore(clock=clock), Watch()
    with pytest.warns(UserWarning, match="different limits"):
        limiters = [
            Limiter(f"{quota}/minute buckets {buckets}", store=store) for quota, buckets in ((50, 60), (100, 3), (80, 60), (100, 7))
        ]
    for _ in range(20_000):
        clock.advance_us(dice.choice([0, 1, 1_000, 500_000, 10_000_000]))
        cost = dice.choice([1, 5, 20])
        if dice.choice(limiters).hit("ann", cost=cost):
            watch.admitted(clock(), cost)
    assert 50 < watch.worst <= 100


def test_a_state_is_small_whatever_the_quota(clock):
    store = MemoryStore(clock=clock)
    limiter = Limiter("1000000/minute", store=store)
    for _ in range(20_000):
        clock.advance_us(7_919)
        limiter.hit("ann")
    ((times, _totals),) = (state for table in store._tables._tables.values() for shard in table.shards for state in shard.values())
    assert len(times) <= 61


# Arrivals a minute as a multiple of N, and the least share of N (or of the arrivals, where they are fewer) that is admitted.
FLOORS = {100: {1: 0.87, 1.2: 0.92, 2: 0.96, 5: 0.98}, 1_000: {1: 0.93, 1.2: 0.96, 2: 0.98, 5: 0.99}}


@pytest.mark.parametrize("quota", FLOORS)
@pytest.mark.parametrize("load", [1, 1.2, 2, 5])
def test_under_poisson_load_nearly_all_of_the_quota_is_used(quota, load):
    share = shares.admitted_share(f"{quota}/minute", load, minutes=30)
    assert FLOORS[quota][load] <= share <= 1.02  # the first minute finds an empty window
