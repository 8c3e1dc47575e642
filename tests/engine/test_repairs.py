"""
Every key has a time to live, always; and a key that somebody else has damaged is right again on its next hit, it alone.
"""

import random

import pytest
from doors import PATIENT

from ratekit import Limit, Limiter, RateKitError
from ratekit.stores.naming import canonical, plan_of
from ratekit.stores.redis import RedisStore

EXACT = PATIENT | {"deny_cache": 0}
"""What is done to a key behind the limiter's back is seen at once."""
LIMITS = ["5/second fixed_window", "5/second", "90/second buckets 5", "5/second sliding_counter", "5/second burst 4"]


@pytest.fixture
def store(redis_url, clock):
    store = RedisStore(redis_url, clock=clock)
    yield store
    store.close()


def key_of(limit, identity="ann", name="default"):
    return plan_of([Limit.parse(limit)], prefix="ratekit", name=name)[0][1].key(canonical(identity))


def persist(client, key, dice):
    client.persist(key)


def wrong_type(client, key, dice):
    client.delete(key)
    make = dice.choice([lambda: client.lpush(key, "x"), lambda: client.hset(key, "a", "b"), lambda: client.zadd(key, {"a": 1})])
    make()


def garbage(client, key, dice):
    client.set(key, dice.choice([b"", b"x", b"-5", b"1e9", b"99999999999999999", dice.randbytes(dice.randint(1, 100))]))


def garbage_of_the_right_size(client, key, dice):
    size = dice.choice([12, 17, 23, 24, 36, 60])
    client.set(key, dice.choice([b"", b"C", b"T"]) + dice.randbytes(size), px=dice.choice([None, 10**9]))


def flipped_bits(client, key, dice):
    if client.type(key) == b"string":
        value = bytearray(client.get(key))
        for _ in range(dice.randint(1, 4) if value else 0):
            value[dice.randrange(len(value))] ^= 1 << dice.randrange(8)
        client.set(key, bytes(value), keepttl=True)


DAMAGES = [persist, wrong_type, garbage, garbage_of_the_right_size, flipped_bits]


def expiries(client):
    return [client.pttl(key) for key in client.keys("*")]


def expire(client, clock):
    """What the server would do by itself if the clock were its own."""
    for key in client.keys("*"):
        if 0 < client.pexpiretime(key) <= clock() // 1000:
            client.delete(key)


@pytest.mark.parametrize("limit", LIMITS)
def test_every_key_has_a_time_to_live_after_every_hit(store, redis_client, clock, limit):
    dice = random.Random(limit)
    limiter = Limiter(limit, "40/minute", store=store, **EXACT)
    for _ in range(200):
        clock.advance_us(dice.choice([0, 1, 1_000, 200_000, 1_000_000]))
        limiter.hit(dice.choice(["ann", "bob"]), cost=dice.choice([1, 2, 5]))
        if dice.random() < 0.3:
            with limiter.reserve(f"reserves {dice.random()}", cost=2) as reservation:
                reservation.commit(dice.choice([0, 1, 2, 9]))
        assert all(expiry > 0 for expiry in expiries(redis_client))


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("cost", [1, 10**9])
def test_a_key_that_lost_its_time_to_live_has_one_again_after_a_hit_admitted_or_not(store, redis_client, limit, cost):
    limiter = Limiter(limit, store=store, **EXACT)
    limiter.hit("ann")
    before = redis_client.pexpiretime(key_of(limit))
    redis_client.persist(key_of(limit))
    limiter.hit("ann", cost=cost)
    assert redis_client.pttl(key_of(limit)) > 0
    assert before <= redis_client.pexpiretime(key_of(limit)) <= before + 2_000


@pytest.mark.parametrize("limit", LIMITS)
def test_a_peek_repairs_nothing_and_answers_as_if_it_had(store, redis_client, limit):
    limiter = Limiter(limit, store=store, **EXACT)
    redis_client.lpush(key_of(limit), "not ours")
    assert limiter.peek("ann") == limiter.peek("bob")
    assert redis_client.type(key_of(limit)) == b"list"


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("limit", LIMITS)
def test_a_damaged_key_is_right_again_on_its_next_hit_and_no_other_key_notices(store, redis_client, clock, limit, damage):
    dice = random.Random(f"{limit} {damage.__name__}")
    other = "7/minute name other"
    for number in range(100):
        redis_client.flushdb()
        name = f"damaged-{number}"
        limiter, bob = (Limiter(*texts, store=store, **EXACT, name=name) for texts in ([limit, other], [limit, other]))
        bob.hit("bob")
        for _ in range(dice.randint(0, 4)):
            limiter.hit("ann")
            clock.advance_us(dice.randint(0, 200_000))
        others = {key: redis_client.dump(key) for key in redis_client.keys(f"*{name}:bob*")}
        left = limiter.peek("ann").details[1].remaining
        damage(redis_client, key_of(limit, name=name), dice)
        decision = limiter.hit("ann")
        assert decision.details[1].remaining == (left - 1 if decision else left)
        assert {key: redis_client.dump(key) for key in others} == others
        assert -1 not in expiries(redis_client)
        clock.advance(3)
        expire(redis_client, clock)
        assert limiter.hit("ann"), "blocked for longer than its window"
        assert redis_client.pttl(key_of(limit, name=name)) > 0


def test_a_window_with_an_expiry_of_somebody_else_ends_within_its_period(store, redis_client):
    limiter = Limiter("1/second fixed_window", store=store, **EXACT)
    limiter.hit("ann")
    redis_client.pexpire(key_of("1/second fixed_window"), 10**9)
    assert limiter.hit("ann").retry_after <= 1


def test_nothing_but_ratekit_errors_comes_out_of_a_damaged_key(store, redis_client):
    dice = random.Random("only ours")
    for limit in LIMITS:
        limiter = Limiter(limit, store=store, **EXACT, name=limit)
        for _ in range(100):
            dice.choice(DAMAGES)(redis_client, key_of(limit, name=limit), dice)
            try:
                limiter.hit("ann", cost=dice.choice([1, 5, 10**9]))
            except RateKitError as error:
                pytest.fail(f"{limit}: {error}")
