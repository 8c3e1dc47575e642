"""
Counters count in a cluster as they do elsewhere: their own tests, over both stores.
"""

import inspect
from contextlib import closing

import doors
import pytest
from counters import test_concurrency, test_counter, test_leaderboard, test_unique
from counters.ways import Way
from topology.cluster import RedisCluster

from ratekit import CountedInPart, StoreUnavailable

for module in (test_concurrency, test_counter, test_leaderboard, test_unique):
    for name, test in vars(module).items():
        if name.startswith("test_") and {*inspect.signature(test).parameters} & {"way", "remote"}:
            globals()[f"{name}_as_in_{module.__name__.rpartition('.')[2]}"] = test


@pytest.fixture(params=doors.CLUSTERS)
def way(request, cluster, clock):
    cluster.wipe()
    with doors.opened(request.param, cluster.url, clock) as door, closing(Way(door)) as way:
        yield way


@pytest.fixture
def remote(way):
    return way


@pytest.mark.parametrize("kind", doors.CLUSTERS)
def test_who_is_away_keeps_nobody_else_from_being_counted_and_is_named(kind):
    with RedisCluster(replicas=0) as cluster, doors.opened(kind, cluster.url, None) as door, closing(Way(door)) as way:
        counter = way.Counter("votes", budget=0.5)
        names = [f"user{i}" for i in range(30)]
        assert counter.add_many(names) == [1] * 30
        dead = cluster.masters[1]
        there = [cluster.home(f"{{votes:{name}}}") is dead for name in names]
        dead.stop()
        for count in (2, 3):
            with pytest.raises(CountedInPart, match=f"{sum(there)} of 30 were not counted") as caught:
                counter.add_many(names)
            assert caught.value.answers == [None if away else count for away in there]
        with pytest.raises(CountedInPart) as caught:
            counter.values(names)
        assert caught.value.answers == [None if away else 3 for away in there]
        with pytest.raises(StoreUnavailable) as alone:
            counter.add_many([name for name, away in zip(names, there, strict=True) if away])
        assert not isinstance(alone.value, CountedInPart)
