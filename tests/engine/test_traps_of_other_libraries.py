"""
What goes wrong with other rate limiters, reproduced with each of them once, shown to go right here: on memory and on Redis.
"""

import asyncio

import pytest
from redis.cluster import key_slot

from ratekit import AsyncLimiter, ConfigurationError, Limit, Limiter
from ratekit.stores import MemoryStore
from ratekit.stores.redis import RedisStore


@pytest.fixture(params=["memory", "redis"])
def store(request, clock):
    """Both kinds of store, under a clock that the test moves."""
    if request.param == "memory":
        yield MemoryStore(clock=clock)
        return
    store = RedisStore(request.getfixturevalue("redis_url"), clock=clock, budget=5.0)
    yield store
    store.close()


def admitted(limiter, times, key="user:42"):
    return sum(bool(limiter.hit(key)) for _ in range(times))


@pytest.mark.parametrize(("limit", "most"), [("1000/second burst 100", 100), ("10/second burst 2", 2)])
def test_throttled_a_key_that_expires_at_once_limits_nothing(store, limit, most):
    assert admitted(Limiter(limit, store=store), 1500) == most


def test_throttled_a_clock_of_whole_seconds_admits_a_third_less_than_promised(store, clock):
    limiter = Limiter("90/minute burst 90", store=store)
    assert admitted(limiter, 100) == 90
    found = 0
    for _ in range(80):
        clock.advance(0.1)
        found += admitted(limiter, 1)
    assert found == 12


@pytest.mark.parametrize("limit", ["90/minute burst 90", "90/minute", "90/minute fixed_window", "90/minute sliding_counter"])
def test_throttled_and_pyrate_a_client_leaves_a_key_that_never_expires(redis_url, redis_client, limit):
    with Limiter(limit, store=redis_url) as limiter:
        limiter.hit("user:42")
    assert [key for key in redis_client.keys("ratekit:*user*") if redis_client.pttl(key) <= 0] == []
    assert redis_client.keys("ratekit:*user*")


def test_throttled_other_clients_push_a_blocked_one_out_of_memory(clock):
    limiter = Limiter("1/minute", store=MemoryStore(clock=clock))
    assert admitted(limiter, 2) == 1
    assert all(limiter.hit(f"user:{i}") for i in range(1000, 3000))
    assert not limiter.hit("user:42")


@pytest.mark.parametrize("limits", [["9/minute"], ["9/minute sliding_counter"], ["9/minute", "99/hour", "5/second burst 5"]])
def test_throttled_and_asgi_ratelimit_keys_of_one_hit_lie_in_several_slots_of_a_cluster(redis_url, redis_client, limits):
    with Limiter(*limits, store=redis_url) as limiter:
        limiter.hit("user:42")
    assert len({key_slot(key) for key in redis_client.keys("ratekit:*user*")}) == 1


@pytest.mark.parametrize("algorithm", ["fixed_window", "sliding_window", "sliding_counter", "token_bucket"])
def test_limits_a_large_cost_that_is_refused_burns_what_is_left(store, algorithm):
    limiter = Limiter(Limit(10, per=60, algorithm=algorithm), store=store, name=algorithm)
    assert limiter.hit("user:42", cost=5)
    assert not limiter.hit("user:42", cost=6)
    assert limiter.hit("user:42", cost=5)


def test_limits_switching_the_algorithm_on_live_keys_raises_until_they_expire(store):
    for algorithm in ("fixed_window", "sliding_window", "sliding_counter", "token_bucket", "fixed_window"):
        assert Limiter(Limit(10, per=60, algorithm=algorithm), store=store, name="switched").hit("user:42"), algorithm


@pytest.mark.parametrize(
    ("text", "period"),
    [("10/m", 60), ("5/week", 604_800), ("10/500ms", 0.5), ("5/10s", 10), ("100/2w", 1_209_600), ("10/15seconds", 15)],
)
def test_limits_and_throttled_a_period_that_anybody_would_write_is_refused(text, period):
    assert Limit.parse(text).per == period


@pytest.mark.parametrize("text", ["5/month", "10/ms2", "1/year", "10/minutes!", "x10/minute", "10/5months", "0.5/second"])
def test_drf_and_django_ratelimit_a_period_that_is_not_understood_is_guessed(text):
    with pytest.raises(ConfigurationError) as said:
        Limit.parse(text)
    assert text in str(said.value)


def test_pyrate_every_hit_fails_after_the_scripts_were_flushed(redis_url, redis_client):
    with Limiter("3/minute", store=redis_url) as limiter:
        assert limiter.hit("user:42")
        redis_client.script_flush()
        assert [bool(limiter.hit("user:42")) for _ in range(3)] == [True, True, False]


def test_pyrate_users_share_one_bucket(store):
    limiter = Limiter("1/minute", store=store)
    assert [bool(limiter.hit(user)) for user in ("u1", "u2", "u1")] == [True, True, False]


def test_redis_rate_limiters_an_hour_is_forgotten_after_30_seconds(store, clock):
    limiter = Limiter("1/hour burst 1", store=store)
    assert limiter.hit("user:42")
    clock.advance(3599)
    assert not limiter.hit("user:42")
    clock.advance(1)
    assert limiter.hit("user:42")


def test_pyrate_answers_what_is_true_before_it_is_awaited():
    async def go():
        async with AsyncLimiter("1/minute", name="unawaited") as limiter:
            answer = limiter.hit("user:42")
            with pytest.raises(TypeError):
                bool(answer)
            assert await answer

    asyncio.run(go())
