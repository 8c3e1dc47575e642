"""
Random histories of counters: a plain list of what was added, the memory store and a real Redis tell the same, all along; the clock is
moved over the edges of buckets, ends of months and changes of the clocks.
"""

import itertools
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import floor
from zoneinfo import ZoneInfo

import pytest
from doors import PATIENT
from hypothesis import given
from hypothesis import strategies as st

from ratekit.counters import Counter
from ratekit.stores import MemoryStore
from ratekit.stores.redis import RedisStore

names = (f"history-{number}" for number in itertools.count())
MOST = 2**53 - 1
EVES = ("2027-03-27T22:30", "2027-10-30T22:30", "2028-02-28T22:50", "2027-12-31T22:10", "2027-03-13T23:59", "2030-06-05T13:00")
"""Before the clocks are set, at ends of months and years; UTC."""

identities = st.sampled_from(["ann", "bob"])
amounts = st.one_of(st.integers(-5, 9), st.sampled_from([10**15, -(10**15)]))
seconds = [0.000001, 0.5, 1, 7, 59.999999, 60, 61, 900, 1_800, 3_600, 7_200, 86_400, 86_400 * 3, 86_400 * 31]
steps = st.one_of(
    st.tuples(st.just("add"), identities, amounts),
    st.tuples(st.just("add"), identities, amounts),
    st.tuples(st.just("move"), st.sampled_from(seconds)),
    st.tuples(st.just("move"), st.sampled_from(seconds)),
    st.tuples(st.just("read"), identities, st.integers(1, 6)),
    st.tuples(st.just("take"), identities),
    st.tuples(st.just("reset"), identities),
    st.tuples(st.just("edge"), st.integers(-1, 1)),
)
kinds = st.sampled_from(
    [("second", None), ("minute", None), (7, None), ("day", None), ("week", None)]
    + [(unit, zone) for unit in ("hour", "day", "month") for zone in ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe")]
)


class Plain:
    """A counter without buckets: one number and when it is forgotten."""

    def __init__(self, least, life):
        self.least, self.life, self.kept = least, life, {}

    def count(self, identity, now):
        count, end = self.kept.get(identity, (0, 0))
        return count if now < end else 0

    def add(self, identity, amount, now):
        count = max(self.least, min(MOST, self.count(identity, now) + amount))
        self.kept[identity] = count, (now // 1000 + self.life * 1000) * 1000
        return count


class Buckets:
    """A counter with buckets: counts by what the clocks of the zone show."""

    def __init__(self, per, zone, least):
        self.per, self.zone, self.least, self.kept = per, ZoneInfo(zone or "UTC"), least, {}

    def label(self, us):
        if not isinstance(self.per, str) or self.per in ("second", "minute"):
            return us // 1_000_000 // {"second": 1, "minute": 60}.get(self.per, self.per)
        at = datetime.fromtimestamp(us // 1_000_000, self.zone)
        if self.per == "hour":
            return at.date(), at.hour, at.utcoffset()
        if self.per == "week":
            return at.date() - timedelta(days=at.weekday())
        return at.date() if self.per == "day" else (at.year, at.month)

    def edge(self, us, back):
        """The first instant of the bucket of an instant, so many buckets back; searched for in steps, then by halves."""
        step = {"second": 100_000, "minute": 1_000_000, "month": 43_200_000_000, "week": 43_200_000_000, "day": 900_000_000}
        step = step.get(self.per, 900_000_000 if self.per == "hour" else 1_000_000)
        for last in range(back, -1, -1):
            label, low = self.label(us), us - step
            while self.label(low) == label:
                us, low = low, low - step
            while us - low > 1:
                middle = (us + low) // 2
                low, us = (low, middle) if self.label(middle) == label else (middle, us)
            if not last:
                return us
            us -= 1
        raise AssertionError

    def end(self, us):
        high = us
        while self.label(high) == self.label(us):
            high += 100_000 if self.per == "second" else 900_000_000 if self.per in ("hour", "day", "week", "month") else 1_000_000
        return self.edge(high, 0)

    def add(self, identity, amount, now):
        counts = self.kept.setdefault(identity, {})
        label = self.label(now)
        counts[label] = max(self.least, min(MOST, counts.get(label, 0) + amount))
        return counts[label]

    def series(self, identity, last, now):
        counts, edges = self.kept.get(identity, {}), [self.edge(now, back) for back in range(last - 1, -1, -1)]
        return [(edge, counts.get(self.label(edge), 0)) for edge in edges]

    def sliding(self, identity, last, now):
        (_, oldest), *rest = self.series(identity, last + 1, now)
        start, end = self.edge(now, 0), self.end(now)
        return sum(count for _, count in rest) + floor(oldest * Fraction(end - now, end - start))


class Clock:
    """Microseconds; each history, with names of its own, begins at an hour of its own."""

    now = 0

    def __call__(self):
        return self.now

    def begin(self, text):
        self.now = round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000

    def advance(self, seconds):
        self.now += round(seconds * 1_000_000)


@pytest.fixture(scope="module")
def stores(redis_server):
    clock = Clock()
    with ExitStack() as stack:
        redis = RedisStore(redis_server.url, clock=clock)
        stack.callback(redis.close)
        yield clock, [MemoryStore(clock=clock), redis]


@given(history=st.lists(steps, max_size=25), least=st.sampled_from([None, 0]), life=st.sampled_from([10, 3_600]))
def test_a_plain_counter_is_told_the_same_by_all(stores, history, least, life):
    clock, engines = stores
    clock.begin(EVES[0])
    name = next(names)
    counters = [Counter(name, store=store, expire=life, floor=least, **PATIENT) for store in engines]
    model = Plain(-MOST if least is None else least, life)
    for what, *words in history:
        now = clock()
        if what == "add":
            expected = model.add(*words, now)
            assert [counter.add(*words) for counter in counters] == [expected] * 2
        elif what == "read":
            assert [counter.value(words[0]) for counter in counters] == [model.count(words[0], now)] * 2
        elif what == "take":
            expected = model.count(words[0], now)
            model.kept.pop(words[0], None)
            assert [counter.take(words[0]) for counter in counters] == [expected] * 2
        elif what == "reset":
            model.kept.pop(words[0], None)
            for counter in counters:
                counter.reset(words[0])
        elif what == "move":
            clock.advance(words[0])


@given(history=st.lists(steps, max_size=25), eve=st.sampled_from(EVES), kind=kinds, least=st.sampled_from([None, 0]))
def test_a_counter_with_buckets_is_told_the_same_by_all(stores, history, eve, kind, least):
    clock, engines = stores
    clock.begin(eve)
    name = next(names)
    counters = [Counter(name, store=store, per=kind[0], tz=kind[1], keep=6, floor=least, **PATIENT) for store in engines]
    model = Buckets(*kind, -MOST if least is None else least)
    for what, *words in [*history, ("read", "ann", 6), ("read", "bob", 6)]:
        now = clock()
        if what == "add":
            expected = model.add(*words, now)
            assert [counter.add(*words) for counter in counters] == [expected] * 2
        elif what == "read":
            expected = model.series(*words, now)
            for counter in counters:
                assert [(bucket.start.timestamp() * 1e6, bucket.count) for bucket in counter.series(*words)] == expected
                assert counter.total(*words) == sum(count for _, count in expected)
                assert counter.sliding(*words) == model.sliding(*words, now)
        elif what == "take":
            expected = sum(count for _, count in model.series(words[0], 6, now))
            model.kept.pop(words[0], None)
            assert [counter.take(words[0]) for counter in counters] == [expected] * 2
        elif what == "reset":
            model.kept.pop(words[0], None)
            for counter in counters:
                counter.reset(words[0])
        elif what == "move":
            clock.advance(words[0])
        else:  # just before, at or just after the next edge
            clock.now = max(now, model.end(now) + words[0])
