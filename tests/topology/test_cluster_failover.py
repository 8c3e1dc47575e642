"""
A cluster's master dies under threads: keys on healthy nodes never notice, those of the dead one come back with the new master.
"""

import time

import servers
from topology.cluster import RedisCluster

from ratekit import Limiter


def test_only_the_keys_of_a_dead_master_fall_back_and_they_come_back_with_the_new_one():
    names = [f"user{i}" for i in range(12)]
    with RedisCluster() as cluster, Limiter("1000000/hour", store=cluster.url, name="dies", budget=1.0) as limiter:
        old, heir = cluster.masters[0], cluster.replicas[0]
        homes = {name: cluster.home(f"{{dies:{name}}}") for name in names}
        servers.until(lambda: all(limiter.hit(name).source == "store" for name in names))
        old.stop()
        seen, end = [], time.monotonic() + 30
        while heir.role() != "master" and time.monotonic() < end:
            seen += [(name, limiter.hit(name)) for name in names]
        servers.until(lambda: all(limiter.hit(name).source == "store" for name in names))
    assert all(decision.allowed for _, decision in seen)
    assert {decision.source for name, decision in seen if homes[name] is not old} == {"store"}
    assert "local" in {decision.source for name, decision in seen if homes[name] is old}
