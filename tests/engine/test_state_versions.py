"""
The version of a rule's state stands in its keys: what the next release writes lives beside what this one wrote, and neither reads the
other's. And what this version's state is, byte for byte, so that nobody changes it without a new version.
"""

import itertools

import pytest
from doors import PATIENT

from ratekit import Limit
from ratekit.algorithms import ALGORITHMS, LOOK, SPEND
from ratekit.stores import MemoryStore, UpstashStore
from ratekit.stores.naming import Space, canonical, plan_of
from ratekit.stores.protocol import asks_of, hit
from ratekit.stores.redis import RedisStore

START = 1_900_000_000_000_000
"""An instant of 2030, in microseconds, at which a day and a month of UTC are under way."""
numbers = itertools.count()


def limit_of(algorithm, quota=5):
    return Limit.parse(f"{quota} per calendar day UTC") if algorithm == "calendar" else Limit(quota, per=60, algorithm=algorithm)


def next_release(plan):
    """The plan of a release whose states have another version, and with it another label in the key."""
    ((rule, space),) = plan
    label = f"{rule.label[:-1]}{int(rule.label[-1]) + 1}"
    assert space.tail.endswith(f":{rule.label}")
    rule = type("Next", (type(rule),), {"__slots__": (), "label": label})(rule.limit)
    return ((rule, Space(space.head, space.tail[: -len(label)] + label)),)


@pytest.fixture(params=["memory", "redis", "upstash"])
def store(request, redis_url, upstash_server, clock):
    makes = {"memory": MemoryStore, "redis": lambda **how: RedisStore(redis_url, **how)}
    store = makes.get(request.param, lambda **how: UpstashStore(upstash_server.url, **how))(clock=clock)
    yield store
    store.close()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_release_with_a_new_state_version_starts_as_new_and_admits_at_most_one_quota_more(store, algorithm):
    """Both releases run side by side, as in a rolling deploy, and the new one is taken back in the end."""
    plan = plan_of([limit_of(algorithm)], prefix="ratekit", name=f"versions-{next(numbers)}")
    tell = {"this": plan, "next": next_release(plan)}
    admitted = {"this": 0, "next": 0}
    for release in ("this", "next", "this", "next", "next", "this") * 4:
        admitted[release] += bool(hit(store, tell[release], canonical("ann"), 1, SPEND, **PATIENT))
    assert admitted == {"this": 5, "next": 5}
    assert hit(store, plan, canonical("ann"), 1, LOOK, **PATIENT).remaining == 0  # as it was left
    store.forget([space for _, space in tell["next"]], canonical("ann"))
    assert hit(store, tell["next"], canonical("ann"), 1, LOOK, **PATIENT).remaining == 5
    assert hit(store, plan, canonical("ann"), 1, LOOK, **PATIENT).remaining == 0


STATES = {
    "fw1": ("33", 1_900_000_060_000),
    "sw1": ("06c00a357f39000000000000 06c00a3912c0000000000001 06c00a391690900000000003", 1_900_000_060_251),
    "sc1": ("43 06c00a3912c000 0000000003 00000000", 1_900_000_120_001),
    "tb1": ("54 06c00a3b381100 00000000 00000005 00000003938700", 1_900_000_036_001),
    "cq1": ("33", 1_900_022_400_000),
}
"""Per label: what is stored after a hit of 1 at START and one of 2 a quarter of a second later, and when it expires."""


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_state_of_this_version_is_these_bytes_and_is_read_from_them(redis_url, redis_client, algorithm):
    """Where this fails a layout has changed: give the rule's label the next number, as docs/decisions/state.md says."""
    now = START
    store = RedisStore(redis_url, clock=lambda: now)
    plan = plan_of([limit_of(algorithm)], prefix="ratekit", name="bytes")
    ((rule, space),) = plan
    key = space.key(canonical("ann"))
    value, expires = STATES[rule.label]
    for cost in (1, 2):
        store.decide(asks_of(plan, canonical("ann"), cost, SPEND), **PATIENT)
        now += 250_000
    assert (redis_client.get(key), redis_client.pexpiretime(key)) == (bytes.fromhex(value), expires)
    redis_client.set(key, bytes.fromhex(value), pxat=expires)
    assert hit(store, plan, canonical("ann"), 2, SPEND, **PATIENT).remaining == 0
    assert not hit(store, plan, canonical("ann"), 1, SPEND, **PATIENT)
    store.close()


def test_every_rule_has_a_label_of_its_own_that_ends_with_its_version():
    labels = [plan_of([limit_of(algorithm)], prefix="ratekit", name="labels")[0][0].label for algorithm in ALGORITHMS]
    assert sorted(labels) == sorted(STATES)
    assert all(label[-1].isdecimal() for label in labels)
