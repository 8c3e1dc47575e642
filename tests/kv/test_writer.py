"""
One writer per key: an object does one thing at a time, wakes when it said, and says when it is asked too much.
"""

import threading

import pytest

from ratekit import AsyncLimiter, ConfigurationError, Limiter
from ratekit.kv.simulator import World
from ratekit.kv.writer import Objects, Overloaded
from ratekit.kv.writer_kv import CoalescingWriter
from ratekit.kv.writer_store import AsyncSingleWriterStore, SingleWriterStore
from ratekit.testing import ManualClock


@pytest.fixture
def clock():
    return ManualClock(start=1_700_000_000 * 1_000_000)


@pytest.fixture
def world(clock):
    return World(seed=1, clock=clock)


def test_an_object_does_one_thing_at_a_time(clock):
    objects, inside, most = Objects(clock, woken=print, most=10**6), [0], [0]

    def work(one):
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        one.storage["n"] = one.storage.get("n", 0) + 1
        inside[0] -= 1

    threads = [threading.Thread(target=lambda: [objects.call("a", work) for _ in range(500)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert objects.call("a", lambda one: one.storage["n"]) == 4000
    assert most == [1]


def test_objects_that_are_asked_together_in_any_order_never_wait_for_each_other_for_ever(clock):
    objects = Objects(clock, woken=print, most=10**6)

    def work(pair):
        for one in pair:
            one.storage["n"] = one.storage.get("n", 0) + 1

    orders = (["a", "b"], ["b", "a"])
    threads = [
        threading.Thread(target=lambda order=order: [objects.call_together(order, work) for _ in range(500)], daemon=True)
        for order in orders
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert objects.call_together(["a", "b"], lambda pair: [one.storage["n"] for one in pair]) == [1000, 1000]


def test_an_alarm_wakes_an_object_once_when_it_is_due(clock):
    woken = []
    objects = Objects(clock, woken=lambda one: woken.append(one.name))
    objects.call("a", lambda one: setattr(one, "alarm", clock() + 5_000_000))
    objects.call("a", lambda one: setattr(one, "alarm", clock() + 3_000_000))
    clock.advance(2.999999)
    objects.ring()
    assert woken == []
    clock.advance(10)
    objects.ring()
    assert woken == ["a"]
    assert len(objects) == 0
    assert objects.next_alarm() is None


def test_the_thousandth_and_first_request_in_a_second_is_answered_that_it_is_overloaded(clock):
    limiter = Limiter("1000000/hour", store=SingleWriterStore(clock=clock))
    for _ in range(1000):
        limiter.hit("ann")
    with pytest.raises(Overloaded, match="overloaded"):
        limiter.hit("ann")
    assert limiter.hit("bob")
    clock.advance(1)
    assert limiter.hit("ann").remaining == 1_000_000 - 1001
    with pytest.raises(ConfigurationError, match="from 1"):
        SingleWriterStore(most=0)


def test_threads_are_admitted_exactly_as_often_as_the_limit_says(clock):
    limiter, admitted = Limiter("500/hour", store=SingleWriterStore(clock=clock, most=10**6)), []
    threads = [threading.Thread(target=lambda: admitted.extend(bool(limiter.hit("ann")) for _ in range(300))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(admitted) == 500


def test_an_object_is_no_more_when_its_state_is_that_of_a_new_one(clock):
    store = SingleWriterStore(clock=clock)
    limiter = Limiter("5/minute", "9/hour fixed_window", store=store)
    for user in range(50):
        limiter.hit(user)
    assert len(store.objects) == 50
    clock.advance(61)
    limiter.peek("ann")
    assert len(store.objects) == 51
    assert limiter.peek(7).remaining == 5
    assert [part.remaining for part in limiter.peek(7).details] == [5, 8]
    clock.advance(3600)
    store.objects.ring()
    assert len(store.objects) <= 2


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
@pytest.mark.anyio
async def test_an_async_store_may_share_the_objects_of_another(clock, anyio_backend):
    store = SingleWriterStore(clock=clock)
    limiter = AsyncLimiter("2/hour", store=AsyncSingleWriterStore(store))
    assert Limiter("2/hour", store=store).hit("ann")
    assert await limiter.hit("ann")
    assert not await limiter.hit("ann")
    await limiter.reset("ann")
    assert await limiter.hit("ann")


def test_behind_one_writer_a_key_is_written_once_a_second_and_no_count_is_lost(world, clock):
    writer = CoalescingWriter(world.namespace("limits"), clock=clock)
    for hits in range(1, 1001):
        writer.put("counter", str(hits))
        clock.advance(0.01)
    clock.advance(1)
    writer.ring()
    assert writer.get("counter") == world.namespace("limits").get("counter") == b"1000"
    assert 10 <= writer.written <= 12
    assert writer.failed == 0
    assert world.namespace("limits", "FRA").get("counter") is not None


def test_who_reads_elsewhere_still_reads_late(world, clock):
    writer, there = CoalescingWriter(world.namespace("limits"), clock=clock), world.namespace("limits", "FRA")
    writer.put("counter", "1")
    clock.advance(1)
    assert there.get("counter") == b"1"
    writer.put("counter", "2")
    clock.advance(30)
    assert (writer.get("counter"), there.get("counter")) == (b"2", b"1")


def test_a_write_that_fails_is_made_a_second_later(world, clock):
    writer = CoalescingWriter(world.namespace("limits"), clock=clock)
    world.fail("server", "write", lasts=2.5)
    writer.put("counter", "1")
    for _ in range(4):
        clock.advance(1)
        writer.ring()
    assert (writer.failed, writer.written) == (3, 1)
    assert world.namespace("limits").get("counter") == b"1"


def test_a_value_that_expires_is_let_go_of(world, clock):
    writer = CoalescingWriter(world.namespace("limits"), clock=clock)
    writer.put("counter", "1", expiration_ttl=60)
    clock.advance(30)
    writer.ring()
    assert len(writer.objects) == 1
    clock.advance(60)
    writer.ring()
    assert len(writer.objects) == 0
    assert writer.get("counter") is None
