"""
The bound of KVStore: beside the usual formula, and against worlds that are made to break it.
"""

import itertools
import random

import pytest

from ratekit import Limit
from ratekit.kv.node_terms import Terms, excess_share

PUBLISHED_WRITE = 0.26


def formula(nodes, rate, flush, cache_age, quota, window):
    """The usual bound for even loads: min((P - 1) L, (1 - 1/P) lambda tau, lambda W - L)."""
    tau = flush + PUBLISHED_WRITE + cache_age
    return max(0, min((nodes - 1) * quota, (1 - 1 / nodes) * rate * tau, rate * window - quota))


@pytest.mark.parametrize("nodes", [1, 2, 3, 4, 8, 32])
@pytest.mark.parametrize(("flush", "cache_age"), [(1.0, 30), (2.0, 60), (5.0, 60), (10.0, 30), (10.0, 60), (2.0, 180)])
def test_without_faults_the_bound_is_within_one_and_a_half_times_the_formula(nodes, flush, cache_age):
    for quota, window, load in itertools.product((10, 1000, 10**6), (300, 3600, 86_400), (0.2, 1, 1.1, 3, 10)):
        rate = load * quota / window
        terms = Terms(nodes, rate, cache_age, flush=flush)
        limit = Limit(quota, per=window, algorithm="fixed_window")
        terms.check(limit)
        assert terms.max_over(limit) <= 1.5 * formula(nodes, rate, flush, cache_age, quota, window)


def excess(nodes, tau, quota, arrivals):
    """What nodes that hear of each other exactly `tau` late admit over `quota`; arrivals are (instant, node)."""
    counts = [[] for _ in range(nodes)]
    for now, node in arrivals:
        heard = sum(sum(at <= now - tau for at in counts[other]) for other in range(nodes) if other != node)
        if len(counts[node]) + heard < quota:
            counts[node].append(now)
    return max(0, sum(map(len, counts)) - quota)


def peak(instants, *spans):
    return max(sum(start <= at < start + span for at in instants) / span for span in spans for start in instants)


@pytest.mark.parametrize("nodes", [1, 2, 3, 5])
def test_the_claim_holds_for_loads_that_wander_between_the_nodes(nodes):
    dice, nearest = random.Random(nodes), 0.0
    for _ in range(400):
        tau, quota, weights = dice.randrange(5, 40), dice.randrange(2, 40), []
        arrivals = []
        for now in range(120):
            if now % dice.choice((1, 7, tau)) == 0:
                weights = [dice.random() ** 4 for _ in range(nodes)]
            arrivals += [(now, dice.choices(range(nodes), weights)[0])] * dice.choice((0, 1, 1, 3))
        rate = peak([now for now, _ in arrivals], tau + 1) * (tau + 1)  # instants are whole: an interval of tau holds tau + 1
        bound = excess_share(nodes) * rate
        found = excess(nodes, tau, quota, arrivals)
        assert found <= bound
        nearest = max(nearest, found / bound if bound else 0)
    assert nodes == 1 or nearest > 0.5


def test_what_is_missing_or_wrong_makes_the_bound_wider():
    limit = Limit(1000, per=3600, algorithm="fixed_window")
    terms = Terms(4, 2.0, 30)
    usual = terms.max_over(limit)
    assert usual == int(0.9375 * 2 * terms.staleness)
    assert terms.max_over(limit, found=False) == int(0.9375 * 2 * terms.finding) > usual
    assert terms.max_over(limit, restarts=1) == int((0.96875 + 1) * 2 * terms.finding)
    assert terms.max_over(limit, "faulty") == 3000
    assert terms.max_over(limit, "faulty", 2) == 5000
    assert terms.max_over(limit, "blind") == 3000
    assert Terms(4, 2.0, 30, clock_skew=3).max_over(limit) == usual + 2 * 2 * 3


def test_a_load_below_the_limit_can_exceed_nothing():
    limit = Limit(1000, per=3600, algorithm="fixed_window")
    assert Terms(8, 0.2).max_over(limit) == 0
    assert Terms(8, 0.2, mode="headroom").ceiling(limit) == 1000


def test_headroom_and_quota_promise_none_over_and_headroom_leaves_no_less_than_quota():
    for nodes, rate, quota in itertools.product((1, 2, 5, 32), (0.1, 3.0, 500.0), (32, 1000)):
        limit = Limit(quota, per=3600, algorithm="fixed_window")
        headroom, shares = Terms(nodes, rate, mode="headroom"), Terms(nodes, rate, mode="quota")
        assert headroom.max_over(limit) == shares.max_over(limit) == 0
        assert quota // nodes == shares.ceiling(limit) <= headroom.ceiling(limit) <= quota
        assert shares.shares(limit)
        assert headroom.ceiling(limit) == quota // nodes or not headroom.shares(limit)
        assert shares.max_over(limit, "faulty") == 0
        assert shares.max_over(limit, restarts=2) <= 2 * (quota // nodes)
