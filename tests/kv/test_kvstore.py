"""
KVStore: what a program sees of a limiter on an eventually consistent store, on a world whose clock is moved.
"""

import itertools
import json
import os
from math import inf

import pytest

from ratekit import AsyncLimiter, ConfigurationError, Limiter
from ratekit.kv.namespace import KVError
from ratekit.kv.simulator import World, wall_clock
from ratekit.kv.store import AsyncKVStore, KVStore
from ratekit.testing import ManualClock

START = 1_700_000_000 - 1_700_000_000 % 3600
HOURLY = "100/hour fixed_window"


@pytest.fixture
def world():
    return World(seed=1, clock=ManualClock(start=START * 1_000_000))


def node(world, location="IAD", **options):
    """A node that has just begun."""
    options = {"nodes": 2, "arrival_rate": 1.0, "clock": world.clock} | options
    store = KVStore(world.namespace("limits", location), **options)
    store.tick()
    return store


def settled(world, *locations, **options):
    """Nodes that have found each other."""
    stores = [node(world, location, **{"nodes": len(locations)} | options) for location in locations]
    run(world, 70, *stores)
    return stores


def run(world, seconds, *stores):
    """Let so much time pass, with every trip that is due in it."""
    for _ in range(round(seconds * 4)):
        world.clock.advance(0.25)
        for store in stores:
            store.tick()


def operations(world, kind):
    return [operation for operation in world.log if operation.kind == kind]


def test_one_node_is_exact_and_says_so(world):
    (store,) = settled(world, "IAD")
    limiter = Limiter("3/hour fixed_window", store=store)
    decisions = [limiter.hit("ann") for _ in range(4)]
    assert [bool(decision) for decision in decisions] == [True, True, True, False]
    assert [decision.remaining for decision in decisions] == [2, 1, 0, 0]
    assert {(decision.source, decision.degraded, decision.max_over) for decision in decisions} == {("store", False, 0)}


def test_windows_are_aligned_to_the_epoch(world):
    limiter = Limiter("1/hour fixed_window", store=node(world))
    world.clock.advance(3000)
    assert limiter.hit("ann")
    refused = limiter.hit("ann")
    assert refused.retry_after == 600
    world.clock.advance(600)
    assert limiter.hit("ann")


def test_what_one_node_counts_the_other_knows_within_the_staleness(world):
    one, other = node(world), node(world, "FRA")
    ours, theirs = Limiter(HOURLY, store=one), Limiter(HOURLY, store=other)
    run(world, 70, one, other)
    assert ours.hit("ann", cost=60)
    assert theirs.peek("ann").remaining == 100
    run(world, one.terms.staleness, one, other)
    assert theirs.peek("ann").remaining == 40
    assert not theirs.hit("ann", cost=41)
    assert theirs.hit("ann", cost=40)


def test_nodes_that_begin_at_once_find_each_other_within_the_same_time(world):
    stores = [node(world, location, nodes=4) for location in ("IAD", "FRA", "SIN", "IAD")]
    limiters = [Limiter(HOURLY, store=store) for store in stores]
    for limiter in limiters:
        limiter.hit("ann", cost=10)
    run(world, stores[0].terms.finding, *stores)
    assert [limiter.peek("ann").remaining for limiter in limiters] == [60] * 4


def test_a_node_writes_at_most_once_a_second_and_only_what_changed(world):
    store = node(world, flush=1.0)
    limiter = Limiter("100000/hour fixed_window", store=store)
    for _ in range(400):
        limiter.hit("ann", cost=3)
        run(world, 0.25, store)
    writes = operations(world, "write")
    assert all(later.at - earlier.at >= 1_000_000 for earlier, later in itertools.pairwise(writes))
    assert len(writes) > 60
    run(world, 100, store)
    assert len(operations(world, "write")) <= len(writes) + 1
    assert not world.refused


def test_all_keys_go_into_one_value_and_name_nobody(world):
    store = node(world)
    limiter = Limiter(HOURLY, "9/day fixed_window", store=store)
    for user in range(200):
        limiter.hit(f"user:{user}")
    run(world, 3, store)
    (name,) = {operation.key for operation in operations(world, "write")}
    value = world.namespace("limits").get(name)
    assert b"user" not in value
    assert [len(counted) for _, _, counted, _, _ in json.loads(value)["windows"]] == [200, 200]


def test_a_node_never_reads_its_own_shard(world):
    one, other = node(world), node(world, "FRA")
    run(world, 200, one, other)
    wrote = {operation.location: operation.key for operation in operations(world, "write")}
    read = {(operation.location, operation.key) for operation in operations(world, "read")}
    assert read == {("IAD", wrote["FRA"]), ("FRA", wrote["IAD"])}


@pytest.mark.parametrize("way", ["refused", "server", "away", "late"])
def test_no_fault_reaches_a_request_and_nothing_counted_is_lost(world, way):
    one, other = node(world), node(world, "FRA")
    ours, theirs = Limiter(HOURLY, store=one), Limiter(HOURLY, store=other)
    run(world, 70, one, other)
    world.fail(way, location="IAD", lasts=120)
    for _ in range(30):
        assert ours.hit("ann")
        run(world, 3, one, other)
    assert theirs.peek("ann").remaining == 100
    run(world, 40 + one.terms.staleness, one, other)
    assert theirs.peek("ann").remaining == 70


def test_what_a_write_that_failed_was_to_say_is_said_with_the_next_one(world):
    one, other = node(world), node(world, "FRA")
    ours, theirs = Limiter(HOURLY, store=one), Limiter(HOURLY, store=other)
    ours.hit("ann")
    run(world, 140, one, other)
    world.fail("refused", "write", location="IAD", lasts=5)
    ours.hit("ann")
    run(world, 10 + one.terms.staleness, one, other)
    assert theirs.peek("ann").remaining == 98


@pytest.mark.parametrize("kind", ["write", "read"])
def test_from_a_fault_until_the_staleness_after_it_the_bound_is_the_others_limits(world, kind):
    store = node(world, nodes=5)
    limiter = Limiter(HOURLY, store=store)
    others = [node(world, location, nodes=5) for location in ("FRA", "SIN", "GRU", "SYD")]
    run(world, 70, store, *others)
    before = limiter.hit("ann")
    assert 0 < before.max_over < 80
    assert not before.degraded
    world.fail("server", kind, location="IAD", lasts=30)
    run(world, 10, store, *others)
    assert (limiter.hit("ann").max_over, limiter.peek("ann").degraded) == (4 * 100, True)
    run(world, 15 + store.terms.staleness, store, *others)
    assert limiter.hit("ann").max_over == 4 * 100
    run(world, 15, store, *others)
    assert (limiter.hit("ann").max_over, limiter.peek("ann").degraded) == (before.max_over, False)


def test_a_node_that_nobody_lets_write_knows_that_it_is_not_heard(world):
    store, *_ = settled(world, "IAD", "FRA", "SIN")
    limiter = Limiter(HOURLY, store=store)
    limiter.hit("ann")
    world.clock.advance(60)
    assert limiter.hit("ann").max_over == 200
    assert store.health().state == "open"
    assert limiter.health().fault.value == "late"


def test_a_node_that_begins_may_replace_another_and_counts_itself_as_one_more(world):
    store = KVStore(world.namespace("limits"), nodes=3, arrival_rate=1.0, clock=world.clock)
    limiter = Limiter(HOURLY, store=store)
    assert limiter.hit("ann").max_over == 3 * 100
    assert store.health().staleness == inf
    store.tick()
    young = limiter.hit("ann").max_over
    run(world, store.terms.finding + 1, store)
    assert limiter.hit("ann").max_over < young <= 3 * 100


def test_in_a_window_that_it_sees_from_the_beginning_a_node_knows_that_it_replaces_nobody(world):
    world.clock.advance(3590)
    store = node(world, nodes=1)
    limiter = Limiter(HOURLY, store=store)
    assert limiter.hit("ann").max_over > 0
    run(world, 10, store)
    assert limiter.hit("ann").max_over == 0


def test_a_node_that_was_replaced_counts_as_one_more_and_what_it_wrote_stays(world):
    one, other = node(world), node(world, "FRA")
    limiter, theirs = Limiter(HOURLY, store=one), Limiter(HOURLY, store=other)
    run(world, 70, one, other)
    limiter.hit("ann", cost=30)
    usual = limiter.hit("bob").max_over
    run(world, 3, one, other)
    heir = node(world)
    run(world, heir.terms.finding, heir, other)
    anew = Limiter(HOURLY, store=heir)
    assert anew.peek("ann").remaining == theirs.peek("ann").remaining == 70
    run(world, 10, heir, other)
    assert usual < anew.hit("bob").max_over <= 200  # not because it is new: it has found whom it replaces
    run(world, 3600, heir, other)
    assert anew.hit("bob").max_over == usual


def test_a_node_that_is_closed_tells_the_last_of_it(world):
    one, other = node(world), node(world, "FRA")
    limiter, theirs = Limiter(HOURLY, store=one), Limiter(HOURLY, store=other)
    run(world, 70, one, other)
    limiter.hit("ann", cost=30)
    one.close()
    one.close()
    run(world, 60, other)
    assert theirs.peek("ann").remaining == 70


def test_health_says_how_stale_a_node_is(world):
    store = node(world)
    assert store.health().state == "closed"
    assert 60 < store.health().staleness <= store.terms.staleness
    assert Limiter(HOURLY, store=store).health().staleness == store.health().staleness


def test_extrapolation_counts_what_the_others_will_have_spent(world):
    stores = [node(world, location, mode="extrapolate", nodes=2) for location in ("IAD", "FRA")]
    ours, theirs = (Limiter("1000/hour fixed_window", store=store) for store in stores)
    seen = []
    for second in range(300):
        ours.hit("ann")
        run(world, 1, *stores)
        seen.append(theirs.peek("ann").remaining - (999 - second))
    assert max(map(abs, seen[150:])) <= 15
    run(world, 200, *stores)
    assert theirs.peek("ann").remaining == 700


def test_headroom_stays_clear_of_the_limit_by_the_bound_and_promises_none_over(world):
    store, *_ = settled(world, "IAD", "FRA", "SIN", "GRU", mode="headroom")
    decision = Limiter("1000/hour fixed_window", store=store).hit("ann")
    assert decision.max_over == 0
    assert 1000 - decision.remaining - 1 == 1000 - store.terms.ceiling(decision.limit)
    assert 50 < 999 - decision.remaining < 80


def test_headroom_is_a_quota_where_the_bound_would_leave_less(world):
    stores = settled(world, "IAD", "FRA", mode="headroom", arrival_rate=10.0)
    admitted = []
    for store in stores:
        admitted.append(sum(bool(Limiter(HOURLY, store=store).hit("ann")) for _ in range(60)))
        run(world, 70, *stores)  # what the one admitted, the other knows
    assert admitted == [50, 50]
    assert Limiter(HOURLY, store=stores[0]).peek("ann").max_over == 0


def test_a_quota_is_a_share_of_the_limit_and_is_never_over(world):
    stores = settled(world, "IAD", "IAD", "IAD", mode="quota")
    limiters = [Limiter(HOURLY, store=store) for store in stores]
    admitted = [sum(bool(limiter.hit("ann")) for _ in range(50)) for limiter in limiters]
    assert admitted == [33, 33, 33]
    assert limiters[0].peek("ann").max_over == 0


def test_what_a_node_may_never_admit_waits_for_ever(world):
    limiter = Limiter(HOURLY, store=node(world, mode="quota", nodes=3))
    assert limiter.hit("ann", cost=34).retry_after == inf
    assert limiter.hit("ann", cost=101).retry_after == inf
    assert 0 < limiter.hit("ann", cost=33).more_after <= 3600


def test_a_reset_is_heard_of_by_the_others(world):
    one, other = node(world), node(world, "FRA")
    ours, theirs = Limiter(HOURLY, store=one), Limiter(HOURLY, store=other)
    ours.hit("ann", cost=60)
    theirs.hit("ann", cost=30)
    run(world, 140, one, other)
    assert ours.peek("ann").remaining == 10
    ours.reset("ann")
    assert ours.peek("ann").remaining == 100
    ours.hit("ann", cost=5)
    run(world, 140, one, other)
    assert theirs.peek("ann").remaining == ours.peek("ann").remaining == 95


def test_a_reservation_is_settled(world):
    limiter = Limiter(HOURLY, store=node(world))
    with limiter.reserve("ann", cost=40) as reservation:
        assert reservation.decision.max_over > 0
        assert reservation.commit(10).remaining == 90
    with limiter.reserve("ann", cost=40) as reservation:
        reservation.commit(95)
    assert limiter.peek("ann").remaining == 0
    with pytest.raises(LookupError), limiter.reserve("bob", cost=40):
        raise LookupError
    assert limiter.peek("bob").remaining == 100


def test_what_is_given_back_while_nothing_is_heard_counts_at_once_and_is_no_warning(world, caplog):
    store = node(world)
    limiter = Limiter(HOURLY, store=store)
    world.fail("server", lasts=30)
    run(world, 10, store)
    with limiter.reserve("ann", cost=40) as reservation:
        decision = reservation.commit(10)
    assert (decision.degraded, decision.remaining) == (True, 90)
    assert not caplog.records


def test_several_limits_admit_together_or_not_at_all(world):
    limiter = Limiter("3/hour fixed_window", "5/day fixed_window", store=node(world))
    assert [bool(limiter.hit("ann")) for _ in range(5)] == [True, True, True, False, False]
    assert [part.remaining for part in limiter.peek("ann").details] == [0, 2]


@pytest.mark.parametrize("algorithm", ["sliding_window", "sliding_counter", "token_bucket"])
def test_other_algorithms_are_refused_with_the_reason(world, algorithm):
    with pytest.raises(ConfigurationError, match=r"needs the latest state at each hit: write '100/3600s fixed_window'"):
        Limiter(f"100/hour {algorithm}", store=node(world))


def test_a_window_that_is_over_before_nodes_hear_of_each_other_must_be_forced(world):
    with pytest.raises(ConfigurationError, match="force=True"):
        Limiter("100/minute fixed_window", store=node(world))
    assert Limiter("100/minute fixed_window", store=node(world, force=True)).hit("ann").max_over <= 100


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"nodes": 0}, "how many processes"),
        ({"nodes": True}, "how many processes"),
        ({"arrival_rate": 0}, "units a second from"),
        ({"cache_age": 10}, "seconds from 30"),
        ({"cache_ttl": 29}, "from 30"),
        ({"flush": 0.5}, "seconds from 1"),
        ({"refresh": 0}, "seconds from 0.1"),
        ({"clock_skew": -1}, "seconds from 0"),
        ({"mode": "strict"}, "write one of sum, extrapolate, headroom, quota"),
        ({"mode": "quota", "nodes": None}, "needs nodes"),
        ({"mode": "headroom", "arrival_rate": None}, "needs arrival_rate"),
        ({"prefix": ""}, "some text"),
        ({"max_keys": 0}, "at least 1"),
    ],
)
def test_what_cannot_be_is_refused_with_what_would_be_right(world, options, says):
    with pytest.raises(ConfigurationError, match=says):
        node(world, **options)


def test_a_limit_smaller_than_the_nodes_has_no_quotas(world):
    with pytest.raises(ConfigurationError, match="would leave nothing of it for 3 nodes"):
        Limiter("2/hour fixed_window", store=node(world, mode="quota", nodes=3))


def test_without_arguments_the_bound_is_none_or_what_the_others_may_admit(world):
    store, *_ = settled(world, "IAD", "FRA", "SIN", "GRU", arrival_rate=None)
    assert Limiter(HOURLY, store=store).hit("ann").max_over == 300
    assert Limiter(HOURLY, store=node(world, nodes=None)).hit("ann").max_over is None


def test_a_full_node_shares_buckets_that_all_nodes_agree_on(world):
    one, other = node(world, max_keys=3), node(world, "FRA", max_keys=3)
    ours, theirs = Limiter("2/hour fixed_window", store=one), Limiter("2/hour fixed_window", store=other)
    for user in range(3):
        ours.hit(user)
        theirs.hit(user)
    with pytest.warns(UserWarning, match="max_keys"):
        assert ours.hit("late").source == "overflow"
    ours.hit("late")
    run(world, 140, one, other)
    with pytest.warns(UserWarning, match="max_keys"):
        assert not theirs.hit("late")


def test_a_shard_that_makes_no_sense_is_a_fault_and_no_more(world):
    store = node(world, nodes=3)
    limiter = Limiter(HOURLY, store=store)
    world.namespace("limits", "FRA").put("ratekit:shard:zz", b'{"v": 9}')
    run(world, 120, store)
    decision = limiter.hit("ann")
    assert (bool(decision), decision.max_over, decision.degraded) == (True, 200, True)


def test_a_clock_that_is_set_back_does_not_open_the_last_window_again(world):
    off = [0]
    store = node(world, clock=lambda: world.clock() + off[0])
    limiter = Limiter("1/hour fixed_window", store=store)
    assert limiter.hit("ann")
    off[0] = -30_000_000
    assert not limiter.hit("ann")
    off[0] = -3_000_000_000
    decision = limiter.hit("ann")
    assert (bool(decision), decision.degraded) == (True, True)
    run(world, 10, store)
    assert store.health().state == "closed"


def test_the_daily_quota_is_not_tried_every_second():
    world = World(seed=1, clock=ManualClock(start=START * 1_000_000), plan="free")
    store = node(world, flush=1.0)
    limiter = Limiter("100000/hour fixed_window", store=store)
    for _ in range(1600):
        limiter.hit("ann")
        run(world, 1, store)
    assert len(operations(world, "write")) < 1000 + 20
    assert limiter.hit("ann").degraded


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.anyio
async def test_the_async_store_is_the_same_awaited(world, anyio_backend):
    stores = [
        AsyncKVStore(world.async_namespace("limits", place), nodes=2, arrival_rate=1.0, clock=world.clock)
        for place in ("IAD", "FRA")
    ]
    ours, theirs = (AsyncLimiter(HOURLY, store=store) for store in stores)
    world.fail("server", location="IAD", after=20, lasts=20)
    assert await ours.hit("ann", cost=30)
    for _ in range(150 * 4):
        world.clock.advance(0.25)
        for store in stores:
            await store.tick()
    decision = await theirs.peek("ann")
    assert (decision.remaining, decision.source) == (70, "store")
    await ours.reset("ann")
    assert (await ours.peek("ann")).remaining == 100
    assert ours.health().staleness < 70
    for store in stores:
        await store.aclose()


def test_in_the_background_nodes_hear_of_each_other_by_themselves():
    world = World(seed=1, clock=wall_clock, sleep=True)
    stores = [KVStore(world.namespace("limits", "IAD"), nodes=2, arrival_rate=1.0, flush=1.0, refresh=0.2) for _ in range(2)]
    limiters = [Limiter(HOURLY, store=store) for store in stores]
    limiters[0].hit("ann", cost=30)
    for store in stores:
        store.close()
    assert world.usage["write"] >= 2
    heir = KVStore(world.namespace("limits", "SIN"), nodes=2, clock=world.clock)
    heir.tick()
    assert Limiter(HOURLY, store=heir).peek("ann").remaining == 70


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.anyio
async def test_in_the_background_of_an_event_loop_too(anyio_backend):
    world = World(seed=1, clock=wall_clock, sleep=True)
    store = AsyncKVStore(world.async_namespace("limits"), nodes=2, arrival_rate=1.0)
    limiter = AsyncLimiter(HOURLY, store=store)
    await limiter.hit("ann", cost=30)
    await store.aclose()
    heir = KVStore(world.namespace("limits", "SIN"), nodes=2, clock=world.clock)
    heir.tick()
    assert Limiter(HOURLY, store=heir).peek("ann").remaining == 70


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_is_a_node_of_its_own(world):
    store = node(world)
    limiter = Limiter(HOURLY, store=store)
    limiter.hit("ann", cost=30)
    there, here = os.pipe()
    child = os.fork()
    if not child:
        os.write(here, f"{store._shell.node.key} {limiter.peek('ann').remaining}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    name, remaining = os.read(there, 1000).decode().split()
    assert name.startswith("ratekit:shard:")
    assert name != store._shell.node.key
    assert remaining == "100"
    os.close(there)
    os.close(here)


def test_an_error_that_a_namespace_should_not_raise_is_a_fault_too(world):
    class Broken:
        def __getattr__(self, name):
            def call(*_, **__):
                raise ValueError(name)

            return call

    store = KVStore(Broken(), nodes=2, arrival_rate=1.0, clock=world.clock)
    limiter = Limiter(HOURLY, store=store)
    store.tick()
    assert limiter.hit("ann")
    assert store.health().failures == 2
    assert issubclass(KVError, Exception)
