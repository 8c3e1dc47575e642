"""
A refused hit leaves the store byte for byte as it was.
"""

import copy
import random

import pytest
from doors import PATIENT

from ratekit import Limiter
from ratekit.stores import MemoryStore
from ratekit.stores.redis import RedisStore

LIMITS = {
    "fixed_window": ["5/second fixed_window"],
    "sliding_window": ["5/second"],
    "sliding_window in cells": ["90/second buckets 5"],
    "sliding_counter": ["5/second sliding_counter"],
    "token_bucket": ["5/second burst 4"],
    "mixed": ["9/second fixed_window", "5/2 seconds", "80/minute buckets 5", "60/hour sliding_counter", "30/hour burst 7"],
}


def random_hits(dice, clock, limiter, count):
    """Hits of any cost on a few identities, moving the clock; yields who is about to hit and with what."""
    for _ in range(count):
        clock.advance_us(dice.choice([0, 0, 0, 1, 999, 1_000, 250_000, 1_000_000]))
        yield dice.choice(["ann", "bob"]), dice.choice([1, 1, 2, 3, 5, 6, 90, 10**9])


def redis_bytes(client):
    return {key: (client.dump(key), client.pexpiretime(key)) for key in client.keys("*")}


def memory_state(store):
    return {
        (space, identity): copy.deepcopy(state)
        for space, table in store._tables._tables.items()
        for shard in table.shards
        for identity, state in shard.items()
    }


@pytest.mark.parametrize("limits", LIMITS)
def test_redis_is_byte_for_byte_as_before_a_refusal(redis_url, redis_client, clock, limits):
    dice = random.Random(limits)
    store = RedisStore(redis_url, clock=clock)
    limiter = Limiter(*LIMITS[limits], store=store, **PATIENT, deny_cache=0)
    refusals = 0
    for identity, cost in random_hits(dice, clock, limiter, 300):
        before = redis_bytes(redis_client)
        for ask in (limiter.peek, limiter.hit):
            if not ask(identity, cost=cost):
                refusals += 1
                assert redis_bytes(redis_client) == before
    store.close()
    assert refusals > 100


@pytest.mark.parametrize("limits", LIMITS)
def test_memory_is_as_before_a_refusal(clock, limits):
    dice = random.Random(limits)
    store = MemoryStore(clock=clock)
    limiter = Limiter(*LIMITS[limits], store=store)
    refusals = 0
    for identity, cost in random_hits(dice, clock, limiter, 1_000):
        shown = [limiter.peek(identity, cost=some) for some in (1, 2, 5)]  # also sweeps what has expired
        before = memory_state(store)
        if not limiter.hit(identity, cost=cost):
            refusals += 1
            after = memory_state(store)
            assert after.items() <= before.items() if limits == "mixed" else after == before
            assert [limiter.peek(identity, cost=some) for some in (1, 2, 5)] == shown
    assert refusals > 300
