"""
Random histories of leases and of distinct members: a plain model, the memory store and a real Redis tell the same, all along.
"""

import itertools

import pytest
from doors import PATIENT
from hypothesis import given
from hypothesis import strategies as st

from ratekit.counters import UniqueCounter
from ratekit.counters.leases import Leases
from ratekit.stores import MemoryStore, RedisStore
from ratekit.testing import ManualClock

names = (f"history-{number}" for number in itertools.count())
LIFE = 1_000_000

people = st.sampled_from("abcdef")
steps = st.one_of(
    st.tuples(st.just("enter"), people, st.sampled_from([0, 300_000, 700_000])),
    st.tuples(st.just("enter"), people, st.sampled_from([0, 300_000, 700_000])),
    st.tuples(st.just("leave"), people),
    st.tuples(st.just("renew"), people),
    st.tuples(st.just("look")),
    st.tuples(st.just("move"), st.sampled_from([0, 1, 150_000, 300_000, 999_999, 1_000_000])),
)


@pytest.fixture(scope="module")
def stores(redis_server):
    clock = ManualClock()
    redis = RedisStore(redis_server.url, clock=clock, budget=10)
    yield clock, (MemoryStore(clock=clock), redis)
    redis.close()


class Model:
    """Lists of (who, since, until): those who hold, those who wait."""

    def __init__(self, places):
        self.places, self.held, self.line = places, [], []

    def at(self, now):
        self.held = [row for row in self.held if row[2] > now]
        self.line = [row for row in self.line if row[2] > now]

    def enter(self, who, patience, now):
        others = [row for row in self.line if row[0] != who]
        mine = [row for row in self.line if row[0] == who]
        ahead = [row for row in others if not mine or (row[1], row[0]) < (mine[0][1], who)]
        holds = any(row[0] == who for row in self.held)
        if not holds and len(self.held) + len(ahead) >= self.places:
            if patience:
                self.line = [*others, (who, mine[0][1] if mine else now, now + patience)]
            return 0
        self.line = others
        self.held = [*[row for row in self.held if row[0] != who], (who, now, now + LIFE)]
        return 1

    def leave(self, who):
        there = any(row[0] == who for row in self.held)
        self.held = [row for row in self.held if row[0] != who]
        self.line = [row for row in self.line if row[0] != who]
        return int(there)

    def renew(self, who, now):
        there = any(row[0] == who for row in self.held)
        self.held = [(row[0], row[1], now + LIFE) if row[0] == who else row for row in self.held]
        return int(there)


@given(history=st.lists(steps, max_size=40), places=st.integers(1, 3))
def test_leases_are_told_the_same_by_all(stores, history, places):
    clock, engines = stores
    key, leases, model = next(names), Leases(places, LIFE), Model(places)
    for what, *words in history:
        now = clock()
        if what == "move":
            clock.advance_us(words[0])
            continue
        model.at(now)
        answers = [store.count(key, getattr(leases, what)(*words)) for store in engines]
        if what == "look":
            assert answers == [(1, len(model.held), len(model.line))] * 2
            continue
        done = model.enter(*words, now) if what == "enter" else model.leave(*words) if what == "leave" else model.renew(*words, now)
        first = min((row[2] for row in model.held), default=now) - now
        assert answers == [(done, len(model.held), first)] * 2
        assert len(model.held) <= places


visits = st.one_of(
    st.tuples(st.just("add"), st.lists(st.integers(0, 30), min_size=1, max_size=4)),
    st.tuples(st.just("move"), st.sampled_from([1, 59, 60, 3_600, 86_400])),
    st.tuples(st.just("read"), st.integers(1, 4)),
)


@given(history=st.lists(visits, max_size=20), unit=st.sampled_from(["minute", "hour", "day"]))
def test_few_distinct_members_are_told_exactly_by_all(stores, history, unit):
    clock, engines = stores
    name, length = next(names), {"minute": 60, "hour": 3_600, "day": 86_400}[unit] * 1_000_000
    tz = None if unit == "minute" else "UTC"
    counters = [UniqueCounter(name, store=store, per=unit, keep=4, tz=tz, **PATIENT) for store in engines]
    model = {}
    for what, word in [*history, ("read", 4)]:
        bucket = clock() // length
        if what == "add":
            model.setdefault(bucket, set()).update(word)
            for counter in counters:
                counter.add("page", *word)
        elif what == "move":
            clock.advance(word)
        else:
            last = [model.get(bucket - ago, set()) for ago in range(word - 1, -1, -1)]
            for counter in counters:
                assert counter.count("page", word) == len(set().union(*last))
                assert [one.count for one in counter.series("page", word)] == [len(members) for members in last]
