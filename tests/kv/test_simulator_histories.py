"""
Random histories: whatever is written, deleted and read where and when, no read shows what it could not have seen.

The reference knows nothing of caches. It keeps, from what each operation reported, when each version was accepted and when the
central stores had it, and says which versions a read may show: those that were the newest at some instant not longer ago than the
staleness, and what the reader's own location wrote.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratekit.kv import KVError
from ratekit.kv.simulator import Latencies, LogNormal, World
from ratekit.testing import ManualClock

SECOND = 1_000_000
START = 1_800_014_400 * SECOND
LOCATIONS = ("IAD", "EWR", "FRA", "LHR", "SYD")
KEYS = ("a", "b", "c")

MOVES = st.sampled_from([0, 1, 170_000, 999_999, SECOND, 7 * SECOND, 29 * SECOND, 31 * SECOND, 60 * SECOND, 200 * SECOND])
STEPS = st.lists(
    st.tuples(
        MOVES,
        st.sampled_from(LOCATIONS),
        st.sampled_from(["put", "put with an end", "delete", "get", "get", "get", "get many"]),
        st.sampled_from(KEYS),
        st.sampled_from([None, 30, 45, 300]),
    ),
    min_size=5,
    max_size=120,
)


class Reference:
    """What may be seen."""

    def __init__(self, staleness):
        self.staleness = staleness
        self.versions = {key: [(0, 0, None, None, None)] for key in KEYS}
        """Per key: accepted, landed, location, value, end; the last accepted last."""
        self.accepted = dict.fromkeys(KEYS, -SECOND)

    def may_write(self, key, now):
        return now - self.accepted[key] >= SECOND

    def write(self, key, now, takes, location, value, end=None):
        self.accepted[key] = now
        self.versions[key].append((now, now + takes, location, value, end))

    def newest(self, key, instant):
        """The index of the newest version that the central stores had."""
        return max(i for i, version in enumerate(self.versions[key]) if version[1] <= instant)

    def allowed(self, key, location, now, cache_ttl):
        oldest = self.newest(key, now - round(self.staleness(cache_ttl or 60) * SECOND))
        seen = self.versions[key][oldest:]
        return {
            None if end is not None and end <= now else value
            for _, landed, writer, value, end in seen
            if landed <= now or writer == location
        }


def play(world, steps, reference):
    for number, (move, location, what, key, cache_ttl) in enumerate(steps):
        world.clock.advance_us(move)
        now = world.clock()
        namespace = world.namespace("docs", location)
        if what == "get":
            assert namespace.get(key, cache_ttl=cache_ttl) in reference.allowed(key, location, now, cache_ttl)
        elif what == "get many":
            for one, value in namespace.get_many(KEYS, cache_ttl=cache_ttl).items():
                assert value in reference.allowed(one, location, now, cache_ttl)
        else:
            write(world, namespace, reference, number, (location, what, key))


def write(world, namespace, reference, number, step):
    location, what, key = step
    now = world.clock()
    value = None if what == "delete" else str(number).encode()
    kept = {"expiration_ttl": 90} if what == "put with an end" else {}

    def call():
        return namespace.delete(key) if value is None else namespace.put(key, value, **kept)

    if reference.may_write(key, now):
        call()
        reference.write(key, now, world.last.latency, location, value, (now // SECOND + 90) * SECOND if kept else None)
    else:
        with pytest.raises(KVError, match="failed: 429 Too Many Requests"):
            call()


SWITCHES = st.fixed_dictionaries(
    {
        "stack_ages": st.booleans(),
        "write_through": st.booleans(),
        "refresh": st.booleans(),
        "jitter": st.sampled_from([0.0, 12.5]),
        "stores": st.integers(1, 3),
        "latencies": st.sampled_from([Latencies(), Latencies(cold=LogNormal(900, 9_000), write=LogNormal(900, 9_000))]),
    }
)


@given(STEPS, SWITCHES, st.integers(0, 5))
def test_no_read_shows_what_it_could_not_have_seen(steps, switches, seed):
    world = World(seed, ManualClock(START), **switches)
    longest = 3 if switches["stack_ages"] else 1

    def staleness(cache_ttl):
        assert world.staleness(cache_ttl) == longest * (cache_ttl + switches["jitter"])
        return world.staleness(cache_ttl)

    play(world, steps, Reference(staleness))


@given(STEPS, st.integers(0, 5))
def test_a_minute_after_the_last_write_landed_every_place_agrees(steps, seed):
    world = World(seed, ManualClock(START))
    reference = Reference(world.staleness)
    play(world, steps, reference)
    for key in KEYS:
        world.clock.advance_us(max(0, reference.versions[key][-1][1] - world.clock()))
    world.clock.advance(60)
    for key in KEYS:
        _, _, _, value, end = reference.versions[key][-1]
        expected = None if end is not None and end <= world.clock() else value
        assert {world.namespace("docs", location).get(key) for location in LOCATIONS} == {expected}


@pytest.mark.parametrize("broken", [0.5, 0.9])
def test_the_reference_tells_a_world_that_is_staler_than_it_says(broken):
    # The steps of a plain case; a reference that allows less than the world's own staleness must see it break.
    steps = [(0, "FRA", "get", "a", None), (0, "IAD", "put", "a", None), (58 * SECOND, "FRA", "get", "a", None)]
    play(World(0, ManualClock(START)), steps, Reference(lambda ttl: ttl))
    with pytest.raises(AssertionError):
        play(World(0, ManualClock(START)), steps, Reference(lambda ttl: ttl * broken))


@given(st.lists(st.text(max_size=3), unique=True, max_size=40), st.text(max_size=2), st.integers(1, 7))
def test_the_pages_of_a_list_are_all_names_with_the_prefix_once_and_in_order(names, prefix, limit):
    world = World(0, ManualClock(START))
    namespace = world.namespace("docs")
    kept = [name for name in names if name not in {"", ".", ".."}]
    for name in kept:
        namespace.put(name, b"")
    world.clock.advance(2)
    gone = kept[::3]
    for name in gone:
        namespace.delete(name)
    world.clock.advance(2)
    seen, cursor, complete = [], "", False
    while not complete:
        page = namespace.list(prefix=prefix, cursor=cursor, limit=limit)
        assert len(page.keys) <= limit
        assert page.cursor != cursor or page.complete
        assert bool(page.cursor) is not page.complete
        seen += [key.name for key in page.keys]
        cursor, complete = page.cursor, page.complete
    assert seen == sorted((name for name in kept if name not in gone and name.startswith(prefix)), key=str.encode)
