"""
Hits that ride together on one trip to Redis are decided one after another, in the order they came, as if each had come alone.
"""

import asyncio
import itertools
import time

import pytest
import servers
from doors import PATIENT
from hypothesis import given, settings
from hypothesis import strategies as st

from ratekit import AsyncLimiter, Limiter
from ratekit.algorithms import ALGORITHMS
from ratekit.stores import MemoryStore
from ratekit.stores.redis import AsyncRedisStore
from ratekit.stores.redis.lua import script_for
from ratekit.testing import ManualClock

LIMITS = [
    ["3/second fixed_window"],
    ["5/second", "70/minute buckets 5"],
    ["4/second sliding_counter", "9/minute burst 6"],
    ["6/second fixed_window", "7/3 seconds", "20/minute sliding_counter", "30/hour token_bucket"],
]
hits = st.tuples(st.integers(0, 3), st.sampled_from(["ann", "bob", ("é", 7)]), st.integers(1, 4), st.booleans())
crowds = st.lists(
    st.tuples(st.sampled_from([0, 1, 1_000, 300_000, 2_000_000]), st.lists(hits, min_size=1, max_size=40)), max_size=5
)


async def ride(url, crowds):
    clock, name = ManualClock(), str(time.monotonic_ns())
    store, alone = AsyncRedisStore(url, clock=clock), MemoryStore(clock=clock)
    together = [
        AsyncLimiter(*texts, store=store, **PATIENT, deny_cache=0, name=f"{name} {number}") for number, texts in enumerate(LIMITS)
    ]
    singles = [Limiter(*texts, store=alone, name=f"{name} {number}") for number, texts in enumerate(LIMITS)]

    def ask(limiters, hit):
        which, identity, cost, look = hit
        return (limiters[which].peek if look else limiters[which].hit)(identity, cost=cost)

    try:
        for wait, crowd in crowds:
            clock.advance_us(wait)
            answers = await asyncio.gather(*(ask(together, hit) for hit in crowd))
            assert answers == [ask(singles, hit) for hit in crowd]
    finally:
        await store.aclose()


@pytest.fixture(scope="module")
def scripts(redis_client):
    """Every script the server may need: one that has to be sent again lets others go first."""
    for count in range(1, 5):
        for rules in itertools.combinations(ALGORITHMS, count):
            redis_client.script_load(script_for(frozenset(rules)).text)


@given(crowds=crowds)
@settings(max_examples=60)
def test_hits_that_ride_together_are_decided_as_if_each_came_alone(redis_server, scripts, crowds):
    asyncio.run(ride(redis_server.url, crowds))


def test_a_crowd_takes_few_trips_and_everybody_gets_an_answer(redis_url, redis_client):
    async def main():
        store = AsyncRedisStore(redis_url)
        limiter = AsyncLimiter("600/hour", store=store, **PATIENT, deny_cache=0)
        await limiter.hit("ann")
        before = servers.calls_of(redis_client, "evalsha", "eval")
        decisions = await asyncio.gather(*(limiter.hit("ann") for _ in range(1_000)))
        trips = servers.calls_of(redis_client, "evalsha", "eval") - before
        await store.aclose()
        return decisions, trips

    decisions, trips = asyncio.run(main())
    assert [decision.remaining for decision in decisions] == [*range(598, -1, -1), *[0] * 401]
    assert trips < 50
