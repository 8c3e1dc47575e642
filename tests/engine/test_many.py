"""
hit_many: many identities at once, each decided as if it had come alone, in one trip where the store is remote.
"""

import doors
import pytest
import servers
from doors import DOORS

from ratekit import ConfigurationError, StoreUnavailable

both = pytest.mark.parametrize("kind", ["redis", "async redis"])
CROWD = [f"user {number % 700}" for number in range(1_000)]


@pytest.fixture(params=DOORS)
def door(request, redis_url, clock):
    with doors.opened(request.param, redis_url, clock) as door:
        yield door


def test_each_of_many_is_decided_in_order_as_if_it_had_come_alone(door):
    many, alone = (door.limiter("2/minute", "9/hour", name=name, deny_cache=0) for name in ("many", "alone"))
    crowd = ["ann", ("bob", 7), "ann", 42, "ann", "42", "é" * 200, "ann"]
    assert many.hit_many(crowd) == [alone.hit(identity) for identity in crowd]
    assert many.hit_many(crowd, cost=2) == [alone.hit(identity, cost=2) for identity in crowd]


def test_nobody_is_nothing(door):
    assert door.limiter("2/minute", name="nobody").hit_many([]) == []


def test_what_is_no_cost_or_no_identity_charges_nobody(door):
    limiter = door.limiter("2/minute", name="wrong")
    for crowd, cost in ((["ann", None], 1), (["ann", True], 1), (["ann"], 0), (["ann"], True), (["ann"], 1.0)):
        with pytest.raises(ConfigurationError):
            limiter.hit_many(crowd, cost=cost)
    assert limiter.peek("ann").remaining == 2


@both
@pytest.mark.parametrize(("number", "trips"), [(1, 1), (512, 1), (1_000, 2)])
def test_many_are_one_trip_for_each_512(kind, redis_url, redis_client, number, trips):
    with doors.opened(kind, redis_url, None) as door:
        limiter = door.limiter("9/minute", name="trips")
        limiter.hit("warm")
        before = servers.calls_of(redis_client, "evalsha", "eval")
        assert all(limiter.hit_many(CROWD[:number]))
        assert servers.calls_of(redis_client, "evalsha", "eval") - before == trips


@both
def test_of_many_only_those_are_asked_that_are_not_known_to_be_refused(kind, redis_url, redis_client):
    with doors.opened(kind, redis_url, None) as door:
        limiter = door.limiter("1/hour", name="known of many", deny_cache=60.0)
        limiter.hit_many(["ann", "ann", "bob"])
        before = servers.calls_of(redis_client, "evalsha", "eval")
        ann, bob, eve = limiter.hit_many(["ann", "bob", "eve"])
        assert (ann.source, bob.source, eve.source) == ("denials", "store", "store")
        assert (ann.allowed, bob.allowed, eve.allowed) == (False, False, True)
        assert limiter.hit_many(["ann", "bob"])[1].source == "denials"
        assert servers.calls_of(redis_client, "evalsha", "eval") - before == 1


@both
@pytest.mark.parametrize("on_outage", ["local", "open", "closed"])
def test_many_are_answered_by_the_policy_while_the_store_is_away(kind, on_outage):
    with servers.RedisServer() as server, doors.opened(kind, server.url, None) as door:
        limiter = door.limiter("2/hour", name="away", on_outage=on_outage, deny_cache=60.0)
        limiter.hit_many(["ann", "eve", "eve", "eve"])
        server.stop()
        if on_outage == "closed":
            with pytest.raises(StoreUnavailable):
                limiter.hit_many(["bob", "ann"])
            return
        decisions = limiter.hit_many(["ann", "ann", "eve"])
        assert [decision.source for decision in decisions] == [on_outage, on_outage, "denials"]
        assert [decision.allowed for decision in decisions] == [True, on_outage == "open", False]
