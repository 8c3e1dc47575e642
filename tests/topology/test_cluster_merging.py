"""
A cluster whose master is killed: what was admitted for its keys until the replica is promoted is charged there, and only that.
"""

import time

import doors
import pytest
import servers

from ratekit.guarded.circuit import circuits
from ratekit.stores.naming import plan_of
from ratekit.stores.slots import slot_in


@pytest.mark.parametrize("kind", doors.CLUSTERS)
def test_what_was_spent_without_a_master_is_charged_to_the_one_that_follows_it(kind, cluster):
    others = [circuit for _, circuit in circuits()]
    with doors.opened(kind, cluster.url, None, deny_cache=0, budget=0.5) as door:
        limiter = door.limiter("9/hour", "20/day fixed_window", name=kind)
        (_, space), *_ = plan_of(limiter.limits, prefix="ratekit", name=kind)
        names = [f"user:{i}" for i in range(30)]
        servers.until(lambda: all(limiter.hit(name).source == "store" for name in names[:1]))
        first = limiter.peek(names[0]).remaining
        for name in names[1:]:
            assert limiter.hit(name).source == "store"
        time.sleep(0.3)  # what was written is with the replicas
        dead = doors.CLUSTERS.index(kind)
        cluster.masters[dead].stop()
        gone = [name for name in names[1:] if dead * 16_384 // 3 <= slot_in(space, name) < (dead + 1) * 16_384 // 3]
        assert gone
        end = time.monotonic() + 30
        while limiter.hit(gone[0]).source != "local" or limiter.health().state != "open":
            assert time.monotonic() < end
        counted = {}
        for name in names[1:]:
            if name != gone[0]:
                counted[name] = [limiter.hit(name, cost=2).source for _ in range(2)]
        assert {name for name, sources in counted.items() if "local" in sources} <= set(gone)
        assert any("local" in counted[name] for name in gone[1:])
        servers.until(lambda: limiter.health().state == "closed", seconds=60)
        own = [circuit for _, circuit in circuits() if circuit not in others]
        servers.until(lambda: not any(len(circuit.debts) + circuit.debts.out for circuit in own))
        for name in counted:
            assert [part.limit.capacity - part.remaining for part in limiter.peek(name).details] == [5, 5], name
        assert limiter.peek(names[0]).remaining == first
