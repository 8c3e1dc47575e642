"""
The simulated world behaves as Cloudflare documents: what is seen where, and when.
"""

import pytest

from ratekit.kv import KVError
from ratekit.kv.simulator import Latencies, LogNormal, World
from ratekit.kv.simulator.central import Store
from ratekit.kv.simulator.tiers import Version
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


def test_a_write_is_seen_at_once_where_it_was_written_and_elsewhere_when_the_copy_there_is_a_minute_old():
    world = world_of()
    here, there = places(world, "IAD", "FRA")
    here.put("key", b"old")
    world.clock.advance(10)
    assert there.get("key") == b"old"
    here.put("key", b"new")
    assert here.get("key") == b"new"
    world.clock.advance(59.999_999)
    assert there.get("key") == b"old"
    world.clock.advance_us(1)
    assert there.get("key") == b"new"


def test_without_write_through_the_writer_waits_like_everybody():
    world = world_of(write_through=False)
    (here,) = places(world, "IAD")
    assert here.get("key") is None
    here.put("key", b"new")
    world.clock.advance(59.999_999)
    assert here.get("key") is None
    world.clock.advance_us(1)
    assert here.get("key") == b"new"


def test_who_asks_for_30_seconds_waits_for_30_seconds():
    world = world_of()
    here, there = places(world, "IAD", "FRA")
    assert there.get("key", cache_ttl=30) is None
    here.put("key", b"new")
    world.clock.advance(29.999_999)
    assert there.get("key", cache_ttl=30) is None
    world.clock.advance_us(1)
    assert there.get("key", cache_ttl=30) == b"new"


def test_a_copy_that_was_fetched_for_an_hour_is_too_old_for_who_asks_for_a_minute():
    world = world_of()
    here, there = places(world, "IAD", "FRA")
    here.put("key", b"old")
    world.clock.advance(1)
    assert there.get("key", cache_ttl=3600) == b"old"
    here.put("key", b"new")
    world.clock.advance(1800)
    assert there.get("key", cache_ttl=3600) == b"old"
    assert there.get("key") == b"new"


def test_that_a_key_is_not_there_is_cached_like_a_value():
    world = world_of()
    here, there = places(world, "IAD", "FRA")
    assert there.get("key") is None
    here.put("key", b"first")
    world.clock.advance(59)
    assert there.get_many(["key"]) == {"key": None}
    assert world.last.level == "location"
    world.clock.advance(1)
    assert there.get("key") == b"first"


def test_a_delete_is_seen_as_late_as_a_write():
    world = world_of()
    here, there = places(world, "IAD", "FRA")
    here.put("key", b"value")
    world.clock.advance(1)
    assert there.get("key") == b"value"
    here.delete("key")
    assert here.get("key") is None
    world.clock.advance(59)
    assert there.get("key") == b"value"
    world.clock.advance(1)
    assert there.get_with_metadata("key") is None


def test_a_read_asks_the_nearest_cache_that_is_young_enough():
    world = world_of()
    iad, ewr, fra, lhr = places(world, "IAD", "EWR", "FRA", "LHR")
    asked = []
    for place in (iad, iad, ewr, fra, lhr, lhr):
        place.get("key")
        asked.append(world.last.level)
    assert asked == ["stores", "location", "regional", "central", "regional", "location"]


def test_a_location_that_nobody_knows_is_a_region_of_its_own():
    world = world_of(regions={"XYZ": "weur"})
    fra, xyz, abc = places(world, "FRA", "XYZ", "ABC")
    fra.get("key")
    xyz.get("key")
    assert world.last.level == "regional"
    abc.get("key")
    assert world.last.level == "central"


def test_ages_are_counted_from_the_central_stores_unless_they_stack():
    def first_seen(polled_from, stack_ages):
        world = world_of(stack_ages=stack_ages, refresh=False)
        writer, iad, fra, lhr = places(world, "SYD", "IAD", "FRA", "LHR")
        assert iad.get("key") is None  # now in IAD, its region and the central tier
        writer.put("key", b"new")
        world.clock.advance(59)
        assert fra.get("key") is None  # now in FRA and its region, too
        second = 59
        while second < polled_from or lhr.get("key") is None:
            world.clock.advance(1)
            second += 1
        return second, world.staleness()

    assert first_seen(60, stack_ages=False) == (60, 60)  # FRA's copy of the second 59 was as old as its source
    assert first_seen(118, stack_ages=True) == (178, 180)  # the central copy until 60, the region's until 119, LHR's until 178


def test_a_copy_may_outlive_its_time_by_the_jitter_and_no_longer():
    late = []
    for seed in range(40):
        world = World(seed, ManualClock(HIGH_NOON), latencies=ZERO, jitter=10, refresh=False)
        here, there = world.namespace("docs", "IAD"), world.namespace("docs", "FRA")
        assert there.get("key") is None
        here.put("key", b"new")
        world.clock.advance(60)
        seconds = 60
        while there.get("key") is None:
            world.clock.advance(0.5)
            seconds += 0.5
        late.append(seconds)
        assert seconds <= world.staleness() == 70
    assert min(late) < 63
    assert max(late) > 67


def test_a_hot_key_is_refreshed_before_its_copy_is_too_old_and_a_cold_one_is_not():
    def levels(reads, **switches):
        world = world_of(**switches)
        (here,) = places(world, "IAD")
        for _ in range(reads):
            here.get("key")
        world.clock.advance(55)
        here.get("key")
        world.clock.advance(10)
        here.get("key")
        return world.last.level

    assert levels(4) == "location"
    assert levels(1) == "stores"
    assert levels(4, refresh=False) == "stores"


def test_a_refresh_brings_what_the_central_stores_have():
    world = world_of()
    here, there = places(world, "IAD", "FRA")
    for _ in range(5):
        there.get("key")
    here.put("key", b"new")
    world.clock.advance(55)
    assert there.get("key") is None  # and a refresh is under way
    world.clock.advance(0.001)
    assert there.get("key") == b"new"
    assert world.usage["read"] == 7  # which nobody pays


def test_a_key_that_is_read_all_the_time_is_always_in_the_cache_and_never_older_than_a_minute():
    world = world_of()
    here, there = places(world, "IAD", "FRA")
    there.get("key")
    for second in range(600):
        here.put("key", str(second))
        world.clock.advance(1)
        value = there.get("key")
        assert world.last.level == "location"
        assert second - int(value or -1) <= 60


def test_a_refresh_that_was_under_way_does_not_undo_a_write():
    world = World(seed=1, clock=ManualClock(HIGH_NOON), latencies=Latencies(cold=LogNormal(500, 500)))
    (here,) = places(world, "IAD")
    for _ in range(5):
        here.get("key")
    world.clock.advance(55)
    here.get("key")  # begins a refresh, which will find nothing
    world.clock.advance(0.1)
    here.put("key", b"new")
    for _ in range(10):
        assert here.get("key") == b"new"
        world.clock.advance(0.1)


def test_a_write_that_lands_after_a_later_one_does_not_undo_it():
    store = Store([])
    first, second = (Version(stamp, value, None, 0) for stamp, value in ((1, b"first"), (2, b"second")))
    store.coming["key"] = [(10, first), (5, second)]
    assert [store.read("key", now) for now in (4, 5, 9, 10, 99)] == [None, second, second, second, second]


def test_of_two_writes_the_last_accepted_wins_everywhere():
    world = World(seed=3, clock=ManualClock(HIGH_NOON), latencies=Latencies(write=LogNormal(800, 20_000)))
    iad, fra = places(world, "IAD", "FRA")
    for i in range(100):  # some of these land later than the one that follows
        (iad, fra)[i % 2].put("key", str(i))
        world.clock.advance(1)
    world.clock.advance(3600)
    assert iad.get("key") == fra.get("key") == b"99"


def test_a_write_is_in_the_central_stores_when_it_is_acknowledged():
    world = World(seed=5, clock=ManualClock(HIGH_NOON))
    here, there = places(world, "IAD", "SYD")
    for i in range(50):
        here.put(f"key {i}", b"value")
        world.clock.advance_us(world.last.latency - 1)
        assert there.get(f"key {i}", cache_ttl=30) is None
        world.clock.advance_us(1)
        assert world.namespace("docs", f"never asked before {i}").get(f"other {i}") is None
        here.put(f"seen {i}", b"value")
        world.clock.advance_us(world.last.latency)
        assert there.get(f"seen {i}") == b"value"


def test_one_key_is_written_once_a_second_wherever():
    world = world_of()
    here, there = places(world, "IAD", "FRA")
    here.put("key", b"1")
    there.put("another key", b"1")
    world.clock.advance(0.999_999)
    error = refused(lambda: there.put("key", b"2"))
    assert (str(error), error.status, error.kind) == ("KV PUT failed: 429 Too Many Requests", 429, "write rate")
    assert str(refused(lambda: here.delete("key"))) == "KV DELETE failed: 429 Too Many Requests"
    world.clock.advance_us(1)  # a refused write does not begin another second
    there.put("key", b"3")
    assert there.get("key") == b"3"
    assert world.refused == {429: 2}


def test_a_key_expires_on_the_second_also_in_a_cache_and_in_a_list():
    world = world_of()
    (here,) = places(world, "IAD")
    here.put("key", b"value", expiration_ttl=90)
    world.clock.advance(85)
    assert here.get("key", cache_ttl=3600) == b"value"
    assert here.get_with_metadata("key").expiration == HIGH_NOON // SECOND + 90
    world.clock.advance(4.999_999)
    assert here.get("key", cache_ttl=3600) == b"value"
    world.clock.advance_us(1)
    assert here.get("key", cache_ttl=3600) is None
    assert here.list() == ((), True, "")


def test_a_read_says_whether_the_locations_cache_had_it():
    world = world_of()
    here, there = places(world, "IAD", "FRA")
    here.put("key", b"value")
    world.clock.advance(1)
    assert here.get_with_metadata("key").cache_status == "HIT"
    assert there.get_with_metadata("key").cache_status == "MISS"
    assert there.get_many_with_metadata(["key", "none"])["key"].cache_status == "HIT"
    assert there.get_many_with_metadata(["key", "none"])["none"] is None


def test_a_list_goes_through_the_names_in_the_order_of_their_bytes():
    world = world_of()
    (here,) = places(world, "IAD")
    names = ["a", "a/b", "b:1", "b:10", "b:2", "z", "é", "\uffff", "\U0001f511"]
    for name in reversed(names):
        here.put(name, b"", metadata={"n": name}, expiration_ttl=600)
    world.clock.advance(1)
    assert [key.name for key in here.list().keys] == sorted(names, key=str.encode)
    page = here.list(prefix="b:", limit=2)
    assert [key.name for key in page.keys] == ["b:1", "b:10"]
    assert page.keys[0].metadata == {"n": "b:1"}
    assert page.keys[0].expiration == HIGH_NOON // SECOND + 600
    assert not page.complete
    last = here.list(prefix="b:", limit=2, cursor=page.cursor)
    assert ([key.name for key in last.keys], last.complete, last.cursor) == (["b:2"], True, "")


def test_a_page_may_be_empty_and_not_the_last():
    world = world_of()
    (here,) = places(world, "IAD")
    for i in range(6):
        here.put(f"key {i}", b"")
    world.clock.advance(2)
    for i in range(3):
        here.delete(f"key {i}")
    world.clock.advance(2)
    page = here.list(limit=3)
    assert (page.keys, page.complete) == ((), False)
    rest = here.list(limit=3, cursor=page.cursor)
    assert ([key.name for key in rest.keys], rest.complete) == (["key 3", "key 4", "key 5"], True)


def test_a_list_is_up_to_a_minute_old():
    world = world_of()
    here, there = places(world, "IAD", "FRA")
    assert here.list().keys == there.list().keys == ()
    here.put("key", b"")
    world.clock.advance(59.999_999)
    assert here.list().keys == there.list().keys == ()
    world.clock.advance_us(1)
    assert [key.name for key in there.list().keys] == ["key"]
