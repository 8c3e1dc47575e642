"""
Running a simulated world: what is counted, priced and kept, seeds, the real clock, threads, event loops.
"""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest

from ratekit import ConfigurationError
from ratekit.kv import KVError
from ratekit.kv.simulator import Latencies, LogNormal, World, wall_clock
from ratekit.testing import ManualClock

SECOND = 1_000_000
HIGH_NOON = 1_800_014_400 * SECOND
"""A full minute of a UTC day, in microseconds."""
ZERO = Latencies(*(LogNormal(0.001, 0.001),) * 5)
"""Every operation takes one microsecond."""


def world_of(**switches):
    return World(seed=7, clock=ManualClock(HIGH_NOON), latencies=ZERO, **switches)


def places(world, *locations):
    return [world.namespace("docs", location) for location in locations]


def refused(call):
    with pytest.raises(KVError) as caught:
        call()
    return caught.value


def test_namespaces_are_apart_and_one_name_is_one_namespace():
    world = world_of()
    world.namespace("one").put("key", b"1")
    world.namespace("two").put("key", b"2")
    assert world.namespace("one").get("key") == b"1"
    assert world.namespace("two").get("key") == b"2"


def test_a_life_of_keys_named_by_the_second_does_not_fill_the_memory():
    world = world_of(log=0)
    here, there = places(world, "IAD", "FRA")
    here.put("kept", b"value")
    for second in range(30_000):
        here.put(f"bucket {second}", b"1", expiration_ttl=60)
        there.get(f"bucket {second}")
        there.list(prefix=f"bucket {second}")
        world.clock.advance(1)
    space = world._spaces["docs"]
    held = [len(space.central.names), len(space.central.accepted), len(space.pages)]
    held += [len(store.landed) + len(store.coming) for store in space.central.stores]
    held += [len(tier.copies) for door in (here, there) for tier in door._door.path]
    assert max(held) < 9_000
    assert there.get("kept") == b"value"
    assert here.get("bucket 29990") == b"1"
    assert there.get("bucket 29990") is None  # as it was when it was asked for, just before the write had arrived
    assert [key.name for key in there.list(prefix="bucket 2994").keys] == [f"bucket {second}" for second in range(29_941, 29_950)]


def test_threads_share_a_world():
    world = world_of(log=0)

    def work(number):
        namespace = world.namespace("docs", ("IAD", "FRA")[number % 2])
        for i in range(500):
            namespace.put(f"{number} {i}", b"value")
            assert namespace.get(f"{number} {i}") == b"value"

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert world.usage == {"write": 4_000, "read": 4_000}
    world.clock.advance(1)
    assert len(world.namespace("docs").list(limit=1000).keys) == 1000
    assert len(world._spaces["docs"].central.names) == 4_000


def test_everything_is_counted_and_priced():
    world = world_of()
    (here,) = places(world, "IAD")
    here.put("key", b"1")
    here.get("key")
    here.get_many(["key", "a", "b"])
    here.list()
    refused(lambda: here.put("key", b"2"))
    world.clock.advance(1)
    here.delete("key")
    assert world.usage == {"read": 4, "write": 1, "list": 1, "delete": 1}
    assert [(one.kind, one.keys, one.status, one.price) for one in world.log] == [
        ("write", 1, 200, 5_000),
        ("read", 1, 200, 500),
        ("read", 3, 200, 1_500),
        ("list", 1, 200, 5_000),
        ("write", 1, 429, 0),
        ("delete", 1, 200, 5_000),
    ]
    assert sum(one.price for one in world.log) == 17_000
    assert str(world.dollars) == "0.000017"
    assert {(one.location, one.namespace) for one in world.log} == {("IAD", "docs")}


def history(seed):
    """A thousand operations of four locations, by a fixed plan."""
    world = World(seed, ManualClock(HIGH_NOON), jitter=5)
    world.fail("server", share=0.2)
    seen = []
    for i in range(1000):
        namespace = world.namespace("docs", ("IAD", "FRA", "SYD", "XYZ")[i % 4])
        try:
            seen.append(namespace.put(f"key {i % 7}", str(i)) if i % 3 else namespace.get(f"key {i % 5}"))
        except KVError as error:
            seen.append(str(error))
        world.clock.advance(0.1 * (i % 30))
    return seen, list(world.log)


def test_the_same_seed_is_the_same_world_and_another_one_is_not():
    assert history(1) == history(1)
    assert history(1) != history(2)


def test_on_the_real_clock_operations_take_their_time():
    slow = Latencies(hot=LogNormal(20, 20), cold=LogNormal(40, 40), write=LogNormal(80, 80))
    world = World(clock=wall_clock, sleep=True, latencies=slow)
    here = world.namespace("docs")
    begun = time.monotonic()
    here.put("key", b"value")
    assert time.monotonic() - begun >= 0.08
    assert here.get("key") == b"value"
    assert time.monotonic() - begun >= 0.1
    assert refused(lambda: here.put("key", b"too soon")).kind == "write rate"


def test_on_the_real_clock_a_write_is_seen_where_it_was_written_when_it_is_acknowledged():
    world = World(clock=wall_clock, sleep=True, latencies=Latencies(LogNormal(1, 1), write=LogNormal(300, 300)))
    here = world.namespace("docs")
    assert here.get("key") is None
    writer = threading.Thread(target=here.put, args=("key", b"value"))
    writer.start()
    while not world.usage["write"]:
        time.sleep(0.001)
    early = here.get("key")
    still_on_its_way = writer.is_alive()
    writer.join()
    assert not still_on_its_way or early is None
    assert here.get("key") == b"value"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_event_loop_sees_what_threads_see(backend):
    world = World(seed=1, clock=wall_clock, sleep=True, latencies=Latencies(*(LogNormal(5, 5),) * 5))

    async def main():
        namespace = world.async_namespace("docs", "FRA")
        await namespace.put("key", "value", metadata=[1], expiration_ttl=60)
        assert await namespace.get("key") == b"value"
        assert (await namespace.get_with_metadata("key")).metadata == [1]
        assert await namespace.get_many(["key", "none"]) == {"key": b"value", "none": None}
        assert (await namespace.get_many_with_metadata(["key"]))["key"].value == b"value"
        assert [key.name for key in (await namespace.list(prefix="k")).keys] == ["key"]
        with pytest.raises(KVError, match="429 Too Many Requests"):
            await namespace.delete("key")
        begun = time.monotonic()
        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(namespace.get, "key")
        assert time.monotonic() - begun < 20 * 0.005  # they wait together
        once = namespace.invocation(1)
        await once.get("key")
        with pytest.raises(KVError, match="Too many API requests"):
            await once.get("key")
        assert namespace.location == "FRA"

    anyio.run(main, backend=backend)
    assert world.namespace("docs", "FRA").get("key") == b"value"


@pytest.mark.parametrize(
    "wrong",
    [{"sleep": True}, {"plan": "cheap"}, {"stores": 0}, {"stores": 1.5}, {"jitter": -1}, {"jitter": float("inf")}],
)
def test_what_is_no_world_is_said_so(wrong):
    with pytest.raises(ConfigurationError, match="write"):
        World(**wrong)
