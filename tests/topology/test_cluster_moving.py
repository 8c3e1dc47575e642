"""
A slot on its way from one node to another: what is here is decided here, what is not is followed, and what is charged back is not lost.
"""

from contextlib import contextmanager

import doors
import pytest

from ratekit import Limit, StoreUnavailable
from ratekit.algorithms import LOOK, MERGE, SPEND
from ratekit.stores.naming import plan_of
from ratekit.stores.protocol import Ask
from ratekit.stores.slots import slot_of

PLAN = plan_of([Limit.parse("10/hour"), Limit.parse("20/day fixed_window")], prefix="ratekit", name="moving")


@pytest.fixture(params=doors.CLUSTERS)
def door(request, cluster):
    cluster.wipe()
    with doors.opened(request.param, cluster.url, None, deny_cache=0) as door:
        yield door


@contextmanager
def leaving(cluster, identity):
    """The slot of an identity is about to leave its master for another one, and comes back at the end; source and target."""
    key = f"{{moving:{identity}}}"
    slot, source = slot_of(key), cluster.home(key)
    target = cluster.masters[(cluster.masters.index(source) + 1) % 3]
    cluster.begin(slot, source, target)
    try:
        yield source, target
    finally:
        while cluster.carry(slot, source, target):
            pass
        cluster.finish(slot, target)
        cluster.move(slot, target, source)


def asks(identity, mode, cost=1, mark=(0, 0)):
    return [Ask(rule, space, identity, mode, cost, mark) for rule, space in PLAN]


def spent(door, identity):
    some = asks(identity, LOOK)
    return [ask.rule.limit.capacity - ask.rule.read(1, seen)[1] for ask, seen in zip(some, door.decide(some).seen, strict=True)]


def merges(door, identity, cost):
    """What was admitted for an identity while its node was away, in the windows that the store has for bob."""
    looked = door.decide(asks("bob", SPEND))
    back = zip(asks(identity, MERGE, cost), looked.seen, strict=True)
    return [ask._replace(mark=ask.rule.merge_mark(looked.now, seen)) for ask, seen in back]


def test_a_merge_is_a_trip_like_any_other(cluster, door):
    back = merges(door, "bob", 3)
    trips = door.store.traffic.trips
    door.decide(back)
    assert door.store.traffic.trips == trips + 1
    assert spent(door, "bob") == [4, 4]


def test_what_is_charged_back_goes_where_its_slot_goes(cluster, door):
    back = merges(door, "ann", 3)
    with leaving(cluster, "ann") as (source, target):
        door.decide(back)
        slot = slot_of("{moving:ann}")
        assert [node.ask("CLUSTER", "COUNTKEYSINSLOT", slot) for node in (source, target)] == [0, 2]
        assert spent(door, "ann") == [3, 3]


def test_among_hits_together_those_that_are_elsewhere_are_asked_again_and_the_others_are_not(cluster, door):
    limiter = door.limiter("10/hour", name="moving", budget=10.0)
    names = [f"user{i}" for i in range(200)]
    with leaving(cluster, "user7"), leaving(cluster, "user8"):
        assert [decision.remaining for decision in limiter.hit_many(names)] == [9] * 200
        assert [decision.remaining for decision in limiter.hit_many([*names, *names])] == [8] * 200 + [7] * 200
    assert [decision.remaining for decision in limiter.hit_many(names)] == [6] * 200


def test_a_hit_that_may_have_been_counted_is_said_and_not_repeated(cluster, door):
    door.decide(asks("ann", SPEND))
    key = PLAN[1][1].key("ann")
    with leaving(cluster, "ann") as (source, _):
        source.ask("SET", key, "no state of ours")
        with pytest.raises(StoreUnavailable, match="may have been counted"):
            door.decide(asks("ann", SPEND))
        door.decide(asks("bob", SPEND))
    assert spent(door, "ann")[0] == 2
