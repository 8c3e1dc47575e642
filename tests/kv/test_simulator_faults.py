"""
What goes wrong in a world on purpose: where it is meant to, when, as often, and with the error that it would have.
"""

from contextlib import suppress

import pytest

from ratekit import ConfigurationError
from ratekit.kv import KVError
from ratekit.kv.simulator import World
from ratekit.testing import ManualClock

HIGH_NOON = 1_800_014_400_000_000


@pytest.fixture
def world():
    return World(seed=11, clock=ManualClock(HIGH_NOON))


def refused(call):
    with pytest.raises(KVError) as caught:
        call()
    return caught.value


@pytest.mark.parametrize(
    ("way", "status", "kind", "fault", "message"),
    [
        ("refused", 429, "write rate", "server", "KV PUT failed: 429 Too Many Requests"),
        ("server", 503, "server", "server", "KV PUT failed: 503 Service Unavailable"),
        ("away", 0, "away", "away", "KV PUT failed: no connection"),
        ("late", 0, "late", "late", "KV PUT failed: no answer in time"),
    ],
)
def test_a_write_fails_the_way_it_is_told(world, way, status, kind, fault, message):
    here = world.namespace("docs")
    world.fail(way, "write", takes=2.5)
    error = refused(lambda: here.put("key", b"value"))
    assert (error.status, error.kind, error.fault, str(error)) == (status, kind, fault, message)
    assert (world.last.status, world.last.latency, world.last.price) == (status, 2_500_000, 0)
    world.clock.advance(60)
    assert here.get("key") is None


def test_what_fails_is_a_kind_at_a_place_on_some_keys_for_a_while(world):
    iad, fra = world.namespace("docs", "IAD"), world.namespace("docs", "FRA")
    world.fail("server", "read", location="FRA", prefix="hot:", after=10, lasts=5)

    def fails(call):
        before = world.refused[503]
        with suppress(KVError):
            call()
        return world.refused[503] > before

    def tried():
        return [
            fails(lambda: fra.get("hot:1")),
            fails(lambda: fra.get_many(["cold:1", "hot:1"])),
            fails(lambda: fra.get("cold:1")),
            fails(lambda: iad.get("hot:1")),
            fails(lambda: fra.put(f"hot:{world.clock()}", b"")),
            fails(lambda: fra.list(prefix="hot:")),
        ]

    assert not any(tried())
    world.clock.advance(9.999_999)
    assert not any(tried())
    world.clock.advance_us(1)
    assert tried() == [True, True, False, False, False, False]
    world.clock.advance(4.999_999)
    assert tried() == [True, True, False, False, False, False]
    world.clock.advance_us(1)
    assert not any(tried())


def test_without_a_kind_or_a_place_everything_fails_until_it_is_healed(world):
    iad, fra = world.namespace("docs", "IAD"), world.namespace("docs", "FRA")
    fault = world.fail("away")
    calls = [lambda: iad.get("k"), lambda: fra.get_many(["k"]), lambda: iad.put("k", b""), lambda: fra.delete("k"), iad.list]
    assert [refused(call).kind for call in calls] == ["away"] * 5
    world.heal(fault)
    world.clock.advance(1)
    for call in calls[:3]:
        call()


def test_a_share_of_operations_fails(world):
    here = world.namespace("docs")
    world.fail("server", share=0.3)
    failed = 0
    for _ in range(2_000):
        try:
            here.get("key")
        except KVError:
            failed += 1
    assert failed == world.refused[503]
    assert 500 < failed < 700  # 600, give or take five standard deviations of 20.5


def test_a_read_that_is_refused_is_not_told_to_write_less_often(world):
    world.fail("refused", "read")
    error = refused(lambda: world.namespace("docs").get("key"))
    assert (error.status, error.kind) == (429, "server")


def test_a_write_that_fails_may_have_happened(world):
    iad, fra = world.namespace("docs", "IAD"), world.namespace("docs", "FRA")
    fault = world.fail("late", "write", applied=True, takes=5)
    assert refused(lambda: iad.put("key", b"value")).kind == "late"
    world.heal(fault)
    assert refused(lambda: iad.put("key", b"again")).kind == "write rate"
    world.clock.advance(5)
    assert fra.get("key") == b"value"


def test_a_write_that_fails_and_did_not_happen_may_be_tried_again_at_once(world):
    here = world.namespace("docs")
    fault = world.fail("server", "write")
    assert refused(lambda: here.put("key", b"value")).status == 503
    world.heal(fault)
    here.put("key", b"value")


def test_the_fault_that_was_asked_for_first_strikes(world):
    first = world.fail("away")
    world.fail("server")
    here = world.namespace("docs")
    assert refused(lambda: here.get("key")).kind == "away"
    world.heal(first)
    assert refused(lambda: here.get("key")).kind == "server"


def test_with_one_central_store_away_the_other_serves_alone_and_slower(world):
    here = world.namespace("docs")

    def median():
        took = []
        for i in range(501):
            here.put(f"{world.clock()} {i}", b"")
            took.append(world.last.latency)
        return sorted(took)[250]

    both = median()
    world.lose_store(0)
    world.clock.advance(1)
    assert 1.08 < median() / both < 1.17  # one of two runners: 192.9 ms instead of 171.8
    world.lose_store(1)
    assert refused(lambda: here.put("key", b"")).status == 503


def test_with_no_central_store_only_caches_answer(world):
    iad, fra = world.namespace("docs", "IAD"), world.namespace("docs", "FRA")
    iad.put("key", b"value")
    world.clock.advance(1)
    assert fra.get("key") == b"value"
    for store in (0, 1):
        world.lose_store(store, after=10, lasts=60)
    world.clock.advance(20)
    assert fra.get("key") == iad.get("key") == b"value"
    for call in (
        lambda: fra.get("other"),
        lambda: fra.get_many(["key", "other"]),
        lambda: iad.put("key", b"new"),
        lambda: iad.delete("key"),
        iad.list,
    ):
        error = refused(call)
        assert (error.status, error.kind) == (503, "server")
    world.clock.advance(50)
    iad.put("key", b"new")
    world.clock.advance(1)
    assert fra.get("key") == b"new"


def test_a_store_that_returns_gets_what_it_missed(world):
    iad, fra = world.namespace("docs", "IAD"), world.namespace("docs", "FRA")
    iad.put("key", b"old")
    world.clock.advance(5)
    world.lose_store(0, lasts=10)
    iad.put("key", b"new")
    world.clock.advance(11)
    world.lose_store(1)
    assert fra.get("key") == b"new"


@pytest.mark.parametrize(
    "wrong",
    [
        lambda world: world.fail("slowly"),
        lambda world: world.fail("server", "put"),
        lambda world: world.fail("server", share=1.5),
        lambda world: world.lose_store(2),
    ],
)
def test_what_is_no_fault_is_said_so(world, wrong):
    with pytest.raises(ConfigurationError, match="write"):
        wrong(world)
