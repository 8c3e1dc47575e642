"""
What an added algorithm does on both stores, in a tree to which its two files were added: `trial.py PART URL`.
"""

import random
import sys
import time

from ratekit import Limit, Limiter
from ratekit.algorithms import CHECK, FORCE, GIVE, LOOK, MERGE, SPEND
from ratekit.decision import Figures
from ratekit.guarded.circuit import Circuit
from ratekit.guarded.gate import Gate
from ratekit.leases.leasing import check_lease, terms_of
from ratekit.leases.lender import HOT, Lender
from ratekit.stores import MemoryStore, RedisStore
from ratekit.stores.naming import plan_of
from ratekit.stores.protocol import Ask, asks_of, decisions_of
from ratekit.testing import ManualClock

TEXT = "5/3650 days aligned_window"


def plan_for(text, name):
    return plan_of([Limit.parse(text)], prefix="added", name=name)


def hit(url):
    for store in ("memory://", url):
        with Limiter(TEXT, name=f"added {store}", store=store, budget=10) as limiter:
            assert [limiter.hit("ann", cost=2).remaining for _ in range(2)] == [3, 1]
            refused = [limiter.hit("ann", cost=2) for _ in range(2)]
            assert not any(refused)
            assert refused[1].source == ("store" if store == "memory://" else "denials")
            assert 0 < refused[0].retry_after <= 3650 * 86_400
            assert limiter.peek("ann").remaining == 1
            limiter.reset("ann")
            with limiter.reserve("ann", cost=4) as reservation:
                reservation.commit(1)
            assert limiter.peek("ann").remaining == 4


def twins(url):
    clock, dice = ManualClock(), random.Random(5)
    memory, remote = MemoryStore(clock=clock), RedisStore(url, clock=clock, budget=10)
    for name, text in (("few", "5/second aligned_window"), ("many", "1000000/3 seconds aligned_window")):
        (rule, space), *_ = plan_for(text, name)
        marks, places = [(0, 0)], [(0, 0)]
        for _ in range(300):
            clock.advance(dice.choice([0, 0.000001, 0.2, 1.7, 40]))
            mode = dice.choice([SPEND, SPEND, FORCE, LOOK, CHECK, GIVE, MERGE])
            mark = dice.choice({GIVE: places, MERGE: marks}.get(mode, [(0, 0)])[-3:])
            ask = Ask(rule, space, "ann", mode, dice.randint(1, 4), mark)
            here, there = memory.decide([ask]), remote.decide([ask])
            assert Figures(*rule.read(ask.cost, here.seen[0])) == Figures(*rule.read(ask.cost, there.seen[0])), ask
            if mode in (SPEND, FORCE) and here.seen[0][0]:
                marks.append(rule.merge_mark(here.now, here.seen[0]))
                places.append(rule.mark(here.now, here.seen[0]))
    remote.close()


def merged(url):
    for store in (MemoryStore(), RedisStore(url, budget=10)):
        plan = plan_for("9/3650 days aligned_window", "merged")
        (seen,) = store.decide(asks_of(plan, "ann", 1, SPEND)).seen
        circuit = Circuit(lambda: time.monotonic_ns() // 1000)
        gate = Gate(circuit, plan, deny_cache=0, on_outage="local")
        asks = asks_of(plan, "ann", 1, LOOK)
        (known,) = decisions_of(asks, store.decide(asks))
        gate.answered("ann", known, circuit.clock())
        assert [bool(gate.instead("ann", 4, SPEND, 0)) for _ in range(3)] == [True, True, False]
        circuit.shift = store.decide(asks).now - circuit.clock()
        store.decide(circuit.due())
        assert [part.remaining for part in decisions_of(asks, store.decide(asks))] == [0]
        assert circuit.due() == []
        assert seen[1] == 1
        store.close()


def leased(url):
    plan, store, clock = plan_for("1000/minute aligned_window", "leased"), MemoryStore(), time.monotonic_ns
    lender = Lender(terms_of(plan, check_lease(0.1)))
    for _ in range(HOT):
        (decision,) = decisions_of(asks_of(plan, "ann", 3, SPEND), store.decide(asks_of(plan, "ann", 3, SPEND)))
        lender.noted("ann", decision, 3, clock() // 1000)
    job = lender.jobs.popleft()
    lender.done(job, store.decide(job.asks), clock() // 1000, clock() // 1000)
    assert lender.spend("ann", 1, clock() // 1000).source == "lease"
    with Limiter("100000/minute aligned_window", name="leased", store=url, budget=10, lease=0.1) as limiter:
        until = time.monotonic() + 20
        while (decision := limiter.hit("ann")).source != "lease":
            assert time.monotonic() < until
        assert decision.max_over == 0  # it is spent in the window that it was charged in


if __name__ == "__main__":
    {"hit": hit, "twins": twins, "merged": merged, "leased": leased}[sys.argv[1]](sys.argv[2])
    print("done")  # noqa: T201
