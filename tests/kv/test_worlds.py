"""
1,000 random worlds: no run of KVStore exceeds the greatest bound that any of its nodes reported in that window. A share of them in
`make test`, all in `make test-long`; `python tests/kv/worlds.py` prints each beside the textbook's limiter.
"""

import dataclasses
import time
from functools import partial

import pytest
import worlds

from ratekit import Limiter
from ratekit.kv.simulator import World
from ratekit.kv.store import KVStore
from ratekit.testing import ManualClock

SECOND = 1_000_000


def cost(plan):
    """Shards that are read in a world, about: what its simulation takes."""
    return plan.nodes**2 * plan.windows * plan.window / plan.refresh


SHARE = sorted({*sorted(range(200), key=lambda seed: cost(worlds.plan(seed)))[:174:3], 225, 392, 433})
"""Some of each size that is quick, and those in which a bound of ours was once too small."""


def held(seed):
    plan = worlds.plan(seed)
    told = worlds.Scene(plan).run()
    assert told.nones == 0, plan
    for window, (over, bound) in told.over(plan.quota).items():
        assert over <= bound, (str(plan), window)
    return told


@pytest.mark.parametrize("seed", SHARE)
def test_no_world_exceeds_the_bound_that_its_nodes_reported(seed):
    held(seed)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(0, 1000, 50))
def test_no_world_of_all_exceeds_the_bound_that_its_nodes_reported(seed):
    for one in range(seed, seed + 50):
        held(one)


def test_the_worlds_are_of_all_kinds():
    plans = [worlds.plan(seed) for seed in range(1000)]
    assert {plan.nodes for plan in plans} >= {1, 2, 8, 32}
    assert {plan.window for plan in plans} == set(worlds.WINDOWS)
    assert {plan.mode for plan in plans} == set(worlds.MODES)
    assert min(plan.load for plan in plans) < 0.21
    assert max(plan.load for plan in plans) > 9.5
    assert sum(bool(plan.faults) for plan in plans) > 400
    assert sum(bool(plan.restarts) for plan in plans) > 300
    assert sum(bool(plan.skew) for plan in plans) > 250
    assert sum(len(set(plan.weights)) > 1 for plan in plans) > 500


def test_nodes_that_cannot_write_for_a_whole_window_come_to_the_bound_that_they_report():
    plan = worlds.plan(11)
    outage = {"way": "away", "kind": "write", "location": None, "share": 1.0, "after": 70, "lasts": 3600, "applied": False}
    plan = dataclasses.replace(
        plan, mode="sum", nodes=4, weights=[1.0] * 4, load=8.0, quota=300, windows=3, faults=[outage], restarts=[], bursts=False
    )
    scene = worlds.Scene(plan)
    over = scene.run().over(plan.quota).values()
    assert max(most for most, _ in over) == 3 * 300
    assert all(most <= bound for most, bound in over)
    assert scene.terms(scene.rate).max_over(scene.limit) < 3 * 300


def test_the_textbook_s_limiter_admits_what_arrives_where_kvstore_keeps_to_the_limit():
    plan = worlds.plan(11)  # ten nodes, 1,503 in ten minutes, some twice as many arrive
    plainly = max(worlds.textbook(plan).values()) / plan.quota
    told = worlds.Scene(plan).run()
    degraded = max(count for count, _ in told.over(plan.quota).values()) / plan.quota + 1
    assert plainly > 1.9
    assert degraded <= 1.0


def test_an_hour_of_eight_nodes_and_100_hits_a_second_takes_seconds():
    clock = ManualClock(start=1_700_000_000 * SECOND)
    world = World(seed=1, clock=clock, log=0)
    stores = [
        KVStore(world.namespace("limits", worlds.LOCATIONS[i % 6]), nodes=8, arrival_rate=100.0, clock=clock, seed=i)
        for i in range(8)
    ]
    hits = [partial(Limiter("100000/hour fixed_window", store=store, name="hour").hit, "hot") for store in stores]
    began = time.process_time()
    admitted = 0
    for number in range(3600 * 100):
        clock.advance_us(10_000)
        admitted += bool(hits[number % 8]())
        if number % 25 == 0:
            for store in stores:
                if not store.next_tick():
                    store.tick()
    assert admitted > 100_000
    assert time.process_time() - began < 60  # 8 on a core that nobody else uses
