"""
What happens to the textbook's limiter on a store that shows writes late and accepts one a second and key.
"""

import pytest

from ratekit import ConfigurationError, Limiter, StoreError
from ratekit.kv import KVError, PlainBucketKV
from ratekit.kv.simulator import World
from ratekit.testing import ManualClock


@pytest.fixture
def world():
    return World(seed=1, clock=ManualClock(start=1_700_000_400 * 1_000_000))


def admitted(world, limit, a_second, seconds, *locations):
    stores = [PlainBucketKV(world.namespace("limits", place), clock=world.clock) for place in locations]
    limiters = [Limiter(limit, store=store, name=str(len(locations))) for store in stores]
    count = 0
    for number in range(a_second * seconds):
        count += bool(limiters[number % len(limiters)].hit("ann"))
        world.clock.advance(1 / a_second)
    return count, sum(store.accepted for store in stores), sum(store.refused for store in stores)


def test_with_patience_and_one_writer_it_counts(world):
    count, accepted, refused = admitted(world, "5/minute fixed_window", 1, 10, "IAD")
    assert (count, accepted, refused) == (5, 5, 0)


def test_a_limit_of_more_than_a_unit_a_second_never_trips(world):
    count, accepted, refused = admitted(world, "100/minute fixed_window", 20, 60, "IAD")
    assert count == 1200
    assert accepted <= 61
    assert refused >= 1139


def test_writers_at_several_places_lose_each_others_counts(world):
    count, accepted, _ = admitted(world, "30/hour fixed_window", 1, 120, "IAD", "FRA", "SIN")
    assert count > 60
    assert accepted > 60


def test_where_errors_are_raised_the_store_s_own_limit_becomes_an_outage(world):
    limiter = Limiter("100/minute fixed_window", store=PlainBucketKV(world.namespace("n"), clock=world.clock, on_error="raise"))
    assert limiter.hit("ann")
    with pytest.raises(KVError, match="KV PUT failed: 429 Too Many Requests"):
        limiter.hit("ann")


def test_it_knows_no_other_algorithm_and_no_reset(world):
    store = PlainBucketKV(world.namespace("n"), clock=world.clock)
    with pytest.raises(ConfigurationError, match="write '5/60s fixed_window'"):
        Limiter("5/minute", store=store)
    with pytest.raises(StoreError):
        Limiter("5/minute fixed_window", store=store).reset("ann")


def test_its_bound_is_not_known_and_a_reservation_is_given_back_if_the_write_is_accepted(world):
    limiter = Limiter("5/minute fixed_window", store=PlainBucketKV(world.namespace("n"), clock=world.clock))
    with limiter.reserve("ann", cost=3) as reservation:
        assert reservation.decision.max_over is None
        world.clock.advance(1)
        assert reservation.commit(1).remaining == 4
