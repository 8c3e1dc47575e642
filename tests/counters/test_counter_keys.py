"""
What counters leave in Redis: keys of bounded length that expire, and what becomes of keys that are not theirs.
"""

import time

import pytest
from ways import Way

from ratekit.counters import Counter
from ratekit.stores import RedisStore

KINDS = ({}, {"per": "minute", "keep": 3}, {"per": "month", "keep": 2, "tz": "America/Argentina/ComodRivadavia"})


@pytest.fixture
def counters(redis_url):
    """A maker of counters by the server's own clock."""
    store = RedisStore(redis_url, budget=10)
    yield lambda **options: Counter(store=store, budget=10, **options)
    store.close()


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_every_key_is_short_and_expires(counters, redis_client, options):
    counter = counters(name="n" * 300, prefix="p" * 99, **options)
    counter.add("x" * 500)
    (key,) = redis_client.keys()
    assert len(key) < 200
    assert 0 < redis_client.ttl(key) <= 90 * 86_400 + 5 * 31 * 86_400


def test_a_key_reads_as_documented(counters, redis_client):
    counters(name="downloads").add("a b")
    assert redis_client.get("ratekit:{downloads:a%20b}::ct1") == b"1"


def test_a_key_that_is_never_to_expire_does_not(counters, redis_client):
    counters().add("ann")
    counters(expire=None).add("ann")
    assert redis_client.ttl("ratekit:{default:ann}::ct1") == -1
    counters().add("ann")
    assert 0 < redis_client.ttl("ratekit:{default:ann}::ct1") <= 90 * 86_400


@pytest.mark.parametrize("options", KINDS[:2], ids=str)
def test_a_key_without_an_expiry_gets_one_with_the_next_add(counters, redis_client, options):
    counter = counters(**options)
    counter.add("ann")
    (key,) = redis_client.keys()
    redis_client.persist(key)
    assert counter.add("ann") == 2
    assert redis_client.ttl(key) > 0


@pytest.mark.parametrize("options", KINDS, ids=str)
@pytest.mark.parametrize("foreign", ["set", "hash", "list"])
def test_a_key_that_holds_something_else_is_repaired_by_the_next_add(counters, redis_client, options, foreign):
    counter = counters(**options)
    counter.add("ann")
    counter.add("bob", 5)
    key = next(key for key in redis_client.scan_iter() if b"ann" in key)
    redis_client.delete(key)
    {
        "set": lambda: redis_client.set(key, "no number"),
        "hash": lambda: redis_client.hset(key, mapping={"a": "b"}),
        "list": lambda: redis_client.rpush(key, "a"),
    }[foreign]()
    assert counter.value("ann") == 0
    assert redis_client.exists(key)
    assert counter.add("ann", 2) == counter.value("ann") == 2
    assert counter.value("bob") == 5


def test_a_bucket_that_holds_no_number_is_repaired(counters, redis_client):
    counter = counters(per="day", keep=3)
    counter.add("ann", 4)
    (key,) = redis_client.keys()
    redis_client.hset(key, next(iter(redis_client.hkeys(key))), "4.5")
    assert counter.total("ann") == 0
    assert counter.add("ann") == 1


def test_the_servers_own_clock_forgets(counters, redis_client):
    counter = counters(expire=0.05)
    counter.add("ann")
    time.sleep(0.1)
    assert counter.value("ann") == 0
    assert redis_client.keys() == []


def test_adds_travel_with_hits_in_one_command(remote, redis_client):
    """Whoever comes first: a counter knows nothing of the limiter, and shares its trips."""
    counter = Way(remote.door).Counter()
    limiter = remote.door.limiter("5/minute")
    assert (counter.add("ann"), limiter.hit("ann").remaining, counter.add("ann")) == (1, 4, 2)


def test_buckets_in_redis_are_bounded(remote, redis_client, clock):
    counter = remote.Counter(per="second", keep=3)
    for _ in range(60):
        counter.add("ann")
        clock.advance(1)
    (key,) = redis_client.keys()
    assert redis_client.hlen(key) <= 3 + 1 + 8 + 1
