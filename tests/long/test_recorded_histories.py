"""
Concurrent histories of one key, recorded from every store and way of asking: some order by the sequential rule explains every answer.

The periods are ten years, so that no time passes; what time does is the matter of the histories with a clock that is moved.
"""

import asyncio
import itertools
import os
import random
import sys
import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from faults.injections import spoils
from faults.proxy import Proxy
from linearizable import Call, order_of, overlaps, quota
from recording import MIXES, by_processes, by_tasks, by_threads, steps
from topology.cluster import RedisCluster

from ratekit import AsyncLimiter, Limit, Limiter, StoreError
from ratekit.algorithms import SPEND
from ratekit.stores import AsyncRedisStore, MemoryStore
from ratekit.stores.naming import plan_of
from ratekit.stores.slots import slot_of
from ratekit.testing.doors import PATIENT

LONG = os.environ.get("RATEKIT_LONG", "0") == "1"
ROUNDS, CALLERS, CALLS = (60, 8, 40) if LONG else (3, 6, 12)
QUOTA = 12
LIMITS = {
    "fixed_window": f"{QUOTA} per 3650 days fixed_window",
    "sliding_window": f"{QUOTA} per 3650 days",
    "sliding_window, cells": f"{QUOTA} per 3650 days buckets 5",
    "sliding_counter": f"{QUOTA} per 3650 days sliding_counter",
    "token_bucket": f"{QUOTA} per 3650 days burst {QUOTA}",
}
names = (f"recorded-{number}" for number in itertools.count())
every_limit = pytest.mark.parametrize("limit", LIMITS.values(), ids=list(LIMITS))
every_mix = pytest.mark.parametrize("mix", MIXES)


def check(rounds, together=1):
    """Every round has an order; and enough calls were made at the same time for that to mean something."""
    for calls in rounds:
        assert order_of(calls, quota(QUOTA), 0) is not None, calls
    assert sum(map(overlaps, rounds)) >= together


def plans(mix, seed):
    return [steps(mix, random.Random(f"{seed} {caller}"), CALLS) for caller in range(CALLERS)]


def rounds_by_threads(limiter, mix, rounds=ROUNDS):
    switching, barrier = sys.getswitchinterval(), threading.Barrier(CALLERS)
    sys.setswitchinterval(1e-6)
    try:
        return [by_threads(limiter, f"round {number}", plans(mix, number), barrier.wait) for number in range(rounds)]
    finally:
        sys.setswitchinterval(switching)


class Racy:
    """A limiter that looks, and spends what it saw a moment later."""

    def __init__(self):
        self.spent, self.moment = {}, threading.Barrier(2)

    def hit(self, who, cost):
        spent = self.spent.get(who, 0)
        self.moment.wait(20)
        if fits := spent + cost <= QUOTA:
            self.spent[who] = spent + cost
        return SimpleNamespace(degraded=False, source="store", allowed=fits, remaining=QUOTA - spent - cost * fits)


def test_a_limiter_that_lets_two_at_once_spend_the_same_units_is_found():
    calls = by_threads(Racy(), "ann", [[("hit", 8, 0)]] * 2, lambda: None)
    assert [call.answer for call in calls] == [(True, 4)] * 2
    assert order_of(calls, quota(QUOTA), 0) is None


@every_mix
@every_limit
def test_threads_on_memory(limit, mix):
    check(rounds_by_threads(Limiter(limit, store=MemoryStore(), name=next(names)), mix, 10 * ROUNDS))


@pytest.mark.parametrize("deny_cache", [0, 1.0])
@every_mix
@every_limit
def test_threads_on_redis_also_with_refusals_remembered(redis_url, limit, mix, deny_cache):
    with Limiter(limit, store=redis_url, name=next(names), deny_cache=deny_cache, **PATIENT) as limiter:
        check(rounds_by_threads(limiter, mix), together=ROUNDS)


@pytest.mark.parametrize("deny_cache", [0, 1.0])
@every_mix
@every_limit
def test_tasks_on_redis_also_with_refusals_remembered(redis_url, limit, mix, deny_cache):
    async def rounds():
        async with AsyncLimiter(limit, store=redis_url, name=next(names), deny_cache=deny_cache, **PATIENT) as limiter:
            return [await by_tasks(limiter, f"round {number}", plans(mix, number)) for number in range(ROUNDS)]

    check(asyncio.run(rounds()), together=ROUNDS)


@every_mix
@pytest.mark.parametrize("limit", list(LIMITS.values()) if LONG else [LIMITS["sliding_window"]])
def test_processes_on_redis(redis_url, limit, mix):
    check(by_processes(redis_url, limit, mix, 10 * ROUNDS, CALLS), together=ROUNDS)


@pytest.fixture(scope="module")
def masters():
    """Three masters: each round's key is in a slot of its own."""
    with RedisCluster(replicas=0) as cluster:
        yield cluster


@pytest.fixture
def cluster(masters):
    """They are empty: processes give their limiters one name, whatever the limit."""
    masters.wipe()
    return masters


@every_mix
@pytest.mark.parametrize("limit", list(LIMITS.values()) if LONG else [LIMITS["sliding_window"]])
def test_processes_on_a_cluster(cluster, limit, mix):
    check(by_processes(cluster.url, limit, mix, 10 * ROUNDS, CALLS), together=ROUNDS)


@every_mix
@pytest.mark.parametrize("limit", list(LIMITS.values()) if LONG else [LIMITS["sliding_window"]])
def test_threads_on_a_cluster_while_the_key_moves_from_master_to_master(cluster, limit, mix):
    name, moves = next(names), 0
    with Limiter(limit, store=cluster.url, name=name, **PATIENT) as limiter:
        rounds = []
        for number in range(ROUNDS):
            with moving(cluster, f"{{{name}:round {number}}}") as moved:
                rounds.append(by_threads(limiter, f"round {number}", plans(mix, number), lambda: None))
            moves += len(moved)
    check(rounds, together=ROUNDS)
    assert moves >= ROUNDS


@contextmanager
def moving(cluster, tag):
    """The slot of a hash tag moves on and on while the block runs; the masters that it came to."""
    slot, came, ended, begun = slot_of(tag), [], threading.Event(), threading.Event()

    def move():
        here = cluster.home(tag)
        while not ended.is_set():
            there = cluster.masters[(cluster.masters.index(here) + 1) % 3]
            cluster.begin(slot, here, there)
            begun.set()
            time.sleep(0.002)
            while cluster.carry(slot, here, there):
                pass
            cluster.finish(slot, there)
            came.append(here := there)

    mover = threading.Thread(target=move)
    mover.start()
    begun.wait(20)
    try:
        yield came
    finally:
        ended.set()
        mover.join()


@every_mix
@pytest.mark.parametrize("limit", list(LIMITS.values()) if LONG else [LIMITS["sliding_window"]])
def test_threads_on_a_cluster(cluster, limit, mix):
    with Limiter(limit, store=cluster.url, name=next(names), **PATIENT) as limiter:
        check(rounds_by_threads(limiter, mix), together=ROUNDS)


@every_mix
@pytest.mark.parametrize("limit", list(LIMITS.values()) if LONG else [LIMITS["sliding_window"]])
def test_tasks_on_a_cluster(cluster, limit, mix):
    async def rounds():
        async with AsyncLimiter(limit, store=cluster.url, name=next(names), **PATIENT) as limiter:
            return [await by_tasks(limiter, f"round {number}", plans(mix, number)) for number in range(ROUNDS)]

    check(asyncio.run(rounds()), together=ROUNDS)


def test_a_call_whose_reply_was_cut_has_counted_once_or_never(redis_server, redis_client, redis_url):
    """Straight at the store: no circuit leaves it alone, and every reply that is spoiled is a call without an answer."""

    async def calls(number):
        found, dice, faults = [], random.Random(number), spoils(number)
        async with Proxy(redis_server.port) as proxy:
            proxy.spoil = lambda: next(faults) if dice.random() < 0.3 else None
            stores = [AsyncRedisStore(proxy.url) for _ in range(3)]

            async def work(store):
                hit = store.compile(plan_of([Limit.parse(LIMITS["sliding_window"])], prefix="ratekit", name="cut"))
                for _ in range(5):
                    began, answer = loop.time(), None
                    try:
                        decision = await hit(f"round {number}", 1, SPEND)
                        answer = (decision.allowed, decision.remaining)
                    except StoreError:
                        pass
                    found.append(Call(began, loop.time(), "hit", 1, answer))

            loop = asyncio.get_running_loop()
            await asyncio.gather(*map(work, stores))
            for store in stores:
                await store.aclose()
        return found

    rounds = [asyncio.run(calls(number)) for number in range(4 * ROUNDS)]
    check(rounds, together=ROUNDS)
    assert sum(call.answer is None for one in rounds for call in one) > ROUNDS
