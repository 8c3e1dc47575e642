"""
What is allowed in all: a day's operations on the free plan, those of one invocation, the calls of the REST API in five minutes.
"""

import pytest

from ratekit.kv import KVError
from ratekit.kv.simulator import Budget, World
from ratekit.testing import ManualClock

SECOND = 1_000_000
MIDNIGHT = 1_800_057_600
"""00:00 UTC, in Unix seconds: a multiple of 86,400."""


def free_world():
    assert MIDNIGHT % 86_400 == 0
    return World(clock=ManualClock((MIDNIGHT - 3600) * SECOND), plan="free", log=0)


def refused(call):
    with pytest.raises(KVError) as caught:
        call()
    return str(caught.value), caught.value.status, caught.value.kind


def until_the_day_is_over(call):
    """How many calls succeed, and how the next one is refused."""
    for count in range(200_001):
        try:
            call(count)
        except KVError as error:
            return count, (str(error), error.status, error.kind)
    raise AssertionError("no end")


@pytest.mark.parametrize(
    ("name", "quota"),
    [("get", 100_000), ("put", 1_000), ("delete", 1_000), ("list", 1_000)],
)
def test_the_free_plans_quotas_end_at_midnight_utc(name, quota):
    world = free_world()
    here, there = world.namespace("one", "IAD"), world.namespace("two", "FRA")
    calls = {
        "get": lambda i: (here, there)[i % 2].get("key"),
        "put": lambda i: (here, there)[i % 2].put(f"key {i}", b""),
        "delete": lambda i: (here, there)[i % 2].delete(f"key {i}"),
        "list": lambda i: (here, there)[i % 2].list(),
    }
    call = calls.pop(name)
    count, how = until_the_day_is_over(call)
    assert (count, how) == (quota, (f"KV {name}() limit exceeded for the day.", 429, "day"))
    for i, other in enumerate(calls.values()):
        other(-1 - i)
    world.clock.advance(3599.999_999)
    assert refused(lambda: call(-11)) == how
    world.clock.advance_us(1)
    call(-12)


def test_a_bulk_read_spends_as_many_reads_as_it_has_keys():
    world = free_world()
    here = world.namespace("docs")
    keys = [f"key {i}" for i in range(100)]
    for _ in range(999):
        here.get_many(keys)
    here.get_many(keys[:99])
    assert refused(lambda: here.get_many(keys[:2]))[2] == "day"
    here.get("the last one")
    assert refused(lambda: here.get("one more"))[0] == "KV get() limit exceeded for the day."
    assert world.usage == {"read": 100_000}


def test_a_write_that_was_refused_spends_nothing_of_the_day():
    world = free_world()
    here = world.namespace("docs")
    here.put("key", b"")
    for _ in range(2_000):
        assert refused(lambda: here.put("key", b""))[2] == "write rate"
    here.put("another", b"")
    assert world.usage == {"write": 2}


def test_the_paid_plan_has_no_day():
    world = World(clock=ManualClock(MIDNIGHT * SECOND), log=0)
    here = world.namespace("docs")
    for i in range(2_500):
        here.put(f"key {i}", b"")
    assert world.usage == {"write": 2_500}


def test_an_invocation_makes_a_thousand_operations_and_a_bulk_read_is_one():
    world = World(clock=ManualClock(MIDNIGHT * SECOND))
    here = world.namespace("docs")
    once = here.invocation()
    for i in range(250):
        once.get(f"key {i}")
        once.put(f"key {i}", b"")
        once.get_many([f"key {j}" for j in range(100)])
        once.list()
    for call in (lambda: once.get("key"), lambda: once.put("key", b""), lambda: once.delete("key"), once.list):
        assert refused(call) == ("Too many API requests by single Worker invocation.", 429, "invocation")
    here.get("key")
    here.invocation().get("key")


def test_the_rest_api_takes_1200_calls_in_five_minutes_and_then_none_for_five():
    clock = ManualClock(MIDNIGHT * SECOND)
    budget = Budget(clock)
    for _ in range(1200):
        clock.advance(0.2)
        budget.spend()
    assert (budget.remaining, round(budget.reset, 1)) == (0, 60.2)
    with pytest.raises(KVError) as caught:
        budget.spend()
    error = caught.value
    assert (str(error), error.status, error.kind) == ("Please wait and consider throttling your request speed", 429, "budget")
    assert error.retry_after == 300
    clock.advance(299.999_999)
    with pytest.raises(KVError) as caught:
        budget.spend()
    assert caught.value.retry_after == pytest.approx(0.000_001)
    clock.advance_us(1)
    assert (budget.remaining, budget.reset) == (1200, 0)
    budget.spend()
    assert (budget.remaining, budget.reset) == (1199, 300)


def test_calls_that_keep_to_the_budget_are_never_refused():
    clock = ManualClock(MIDNIGHT * SECOND)
    budget = Budget(clock)
    for _ in range(10_000):
        budget.spend()
        clock.advance(0.25)
