"""
UniqueCounter: about how many distinct members, the same in memory and in Redis, and how far off at most.
"""

import itertools
from math import sqrt

import pytest
from doors import PATIENT
from hypothesis import given
from hypothesis import strategies as st

from ratekit import ConfigurationError
from ratekit.counters import UniqueCounter, hyperloglog
from ratekit.stores import MemoryStore, RedisStore

names = (f"unique-{number}" for number in itertools.count())


def test_distinct_members_are_counted_once_each(way):
    counter = way.UniqueCounter()
    assert counter.count("page") == 0
    counter.add("page", "ann", "bob", "ann", 7)
    counter.add("page")
    counter.add("page", "7", "bob")
    counter.add("other", "ann")
    assert (counter.count("page"), counter.count("other")) == (3, 1)
    counter.reset("page")
    assert counter.count("page") == 0


def test_a_counter_without_buckets_is_forgotten_after_its_last_add(way, clock):
    counter = way.UniqueCounter(expire=10)
    counter.add("page", "ann")
    clock.advance(9)
    counter.add("page", "bob")
    clock.advance(9)
    assert counter.count("page") == 2
    clock.advance(1)
    assert counter.count("page") == 0
    counter.add("page", "cat")
    assert counter.count("page") == 1


def test_buckets_are_counted_each_and_together(way, clock):
    counter = way.UniqueCounter(per="minute", keep=3)
    counter.add("page", "ann", "bob")
    clock.advance(60)
    counter.add("page", "bob", "cat")
    clock.advance(60)
    counter.add("page", "dan")
    assert [bucket.count for bucket in counter.series("page")] == [2, 2, 1]
    assert [counter.count("page", last) for last in (1, 2, 3, None)] == [1, 3, 4, 4]
    clock.advance(60)
    assert [bucket.count for bucket in counter.series("page")] == [2, 1, 0]
    counter.reset("page")
    assert counter.count("page") == 0


@pytest.mark.parametrize("far", [0, 40, 4_000])
def test_months_are_those_of_the_calendar(way, clock, far):
    clock.advance(far * 86_400)
    counter = way.UniqueCounter(per="month", keep=4, tz="America/New_York")
    counter.add("page", "ann", "bob")
    start = counter.series("page")[-1].start
    clock.advance(32 * 86_400)
    counter.add("page", "bob")
    counts = [bucket.count for bucket in counter.series("page")]
    assert counts in ([0, 0, 2, 1], [0, 2, 0, 1])  # a day of February is skipped by 32
    assert counter.count("page") == 2
    assert start.day == 1
    counter.reset("page")
    assert counter.count("page") == 0


def test_the_error_is_as_stated(way):
    """With 16,384 registers a standard error of 0.81 %: five of them are seen once in millions of times."""
    counter = way.UniqueCounter()
    counter.add("page", *range(3_000))
    assert abs(counter.count("page") - 3_000) <= 5 * 3_000 * 1.04 / sqrt(16_384)


def test_few_members_are_counted_next_to_exactly():
    registers = {}
    for number in range(300):
        registers = hyperloglog.add(registers, f"member {number}".encode())
    assert abs(hyperloglog.count(registers) - 300) <= 3


@pytest.fixture(scope="module")
def stores(redis_server):
    redis = RedisStore(redis_server.url, budget=10)
    yield MemoryStore(), redis
    redis.close()


members = st.lists(st.one_of(st.text(st.characters(exclude_categories=("Cs",)), max_size=40), st.integers(0, 50)), max_size=30)


@given(some=members, others=members, many=st.sampled_from([0, 150, 4_000]))
def test_memory_and_redis_estimate_the_same(stores, some, others, many):
    name = next(names)
    counters = [UniqueCounter(name, store=store, **PATIENT) for store in stores]
    for counter in counters:
        counter.add("page", *some, *others)
        if many and name.endswith("7"):
            counter.add("page", *range(many))
    memory, redis = (counter.count("page") for counter in counters)
    assert memory == redis


def test_memory_and_redis_estimate_the_same_of_very_many(redis_client):
    redis_client.delete("many")
    numbers = [str(number * 7919).encode() for number in range(120_000)]
    for first in range(0, len(numbers), 10_000):
        redis_client.pfadd("many", *numbers[first : first + 10_000])
    registers = {}
    for number in numbers:
        registers = hyperloglog.add(registers, number)
    assert hyperloglog.count(registers) == redis_client.pfcount("many")


def test_every_key_expires_and_what_is_not_ours_is_repaired(redis_url, redis_client):
    store = RedisStore(redis_url, budget=10)
    for options in ({}, {"per": "day", "keep": 3}):
        counter = UniqueCounter("n" * 200, prefix="p" * 99, store=store, **PATIENT, **options)
        counter.add("x" * 300, "ann")
        (key,) = redis_client.keys()
        assert len(key) < 200
        assert redis_client.ttl(key) > 0
        redis_client.rpush("list", 1)
        redis_client.rename("list", key)
        assert counter.count("x" * 300) == 0
        counter.add("x" * 300, "bob")
        assert counter.count("x" * 300) == 1
        redis_client.flushall()
    store.close()


@pytest.mark.parametrize("member", ["x" * 257, 1.5, True, None, "\ud800"], ids=repr)
def test_what_is_no_member_is_said(member):
    with pytest.raises(ConfigurationError, match="member"):
        UniqueCounter("wrong").add("page", member)


def test_a_series_needs_buckets():
    with pytest.raises(ConfigurationError, match="per="):
        UniqueCounter("wrong").series("page")
