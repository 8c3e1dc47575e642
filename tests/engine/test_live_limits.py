"""
A limit is changed while clients use it: what was spent stays spent, more quota helps at once, less binds at once; and two processes that
differ each decide by their own.
"""

import itertools
import random
import warnings

import pytest
import servers
from doors import PATIENT

from ratekit import Limit, Limiter
from ratekit.stores import MemoryStore, UpstashStore
from ratekit.stores.naming import canonical, plan_of
from ratekit.stores.redis import RedisStore

ALGORITHMS = ("fixed_window", "sliding_window", "sliding_counter", "token_bucket", "calendar")
numbers = itertools.count()


@pytest.fixture(params=["memory", "redis", "upstash"])
def store(request, redis_url, upstash_server, clock):
    makes = {"memory": MemoryStore, "redis": lambda **how: RedisStore(redis_url, **how)}
    store = makes.get(request.param, lambda **how: UpstashStore(upstash_server.url, **how))(clock=clock)
    yield store
    store.close()


@pytest.fixture
def releases(store):
    """Makes limiters of one name and different limits; a process would have one of them, two releases side by side have both."""
    name = f"releases-{next(numbers)}"

    def made(*limits):
        options = {} if isinstance(store, MemoryStore) else PATIENT
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they count together by different limits: on purpose
            return [Limiter(limit, store=store, name=name, **options) for limit in limits]

    return made


def limit_of(algorithm, quota, period=60):
    """A limit of a fixed name; a token bucket's burst is its quota."""
    if algorithm == "calendar":
        return Limit.parse(f"{quota} per calendar day UTC name live")
    return Limit(quota, per=period, algorithm=algorithm, name="live")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_was_spent_stays_spent_whatever_the_quota_becomes(releases, algorithm):
    ten, thirty, four = releases(*(limit_of(algorithm, quota) for quota in (10, 30, 4)))
    for _ in range(6):
        assert ten.hit("ann")
    assert [limiter.peek("ann").remaining for limiter in (ten, thirty, four)] == [4, 24, 0]
    assert [limiter.hit("ann").remaining for limiter in (thirty, ten)] == [23, 2]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_more_quota_helps_a_client_at_once_that_has_spent_all_of_the_old_one(releases, algorithm):
    five, eight = releases(*(limit_of(algorithm, quota) for quota in (5, 8)))
    for _ in range(5):
        five.hit("ann")
    assert not five.hit("ann")
    assert [bool(eight.hit("ann")) for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_less_quota_binds_at_once(releases, algorithm, clock):
    ten, five = releases(*(limit_of(algorithm, quota) for quota in (10, 5)))
    for _ in range(7):
        ten.hit("ann")
    refused = five.hit("ann")
    assert not refused
    assert refused.remaining == 0
    clock.advance(refused.retry_after)
    assert five.hit("ann")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_wait_that_was_told_under_the_new_limit_is_exact(releases, algorithm, clock):
    old, new = releases(limit_of(algorithm, 3), limit_of(algorithm, 2))
    for _ in range(3):
        old.hit("ann")
        clock.advance(1.5)
    wait = new.hit("ann").retry_after
    tick = 0.001 if algorithm in ("fixed_window", "calendar") else 0.000001
    clock.advance(wait - tick)
    assert not new.peek("ann")
    clock.advance(tick)
    assert new.peek("ann")


def test_a_burst_that_grows_is_there_at_once_and_one_that_shrinks_is_gone_at_once(releases):
    ten, thirty, four = releases(*(Limit(60, per=60, burst=burst, name="live") for burst in (10, 30, 4)))
    for _ in range(10):
        ten.hit("ann")
    assert [limiter.hit("ann").retry_after for limiter in (ten, four)] == [1, 7]
    assert [limiter.peek("ann").remaining for limiter in (ten, thirty, four)] == [0, 20, 0]
    assert thirty.hit("ann", cost=20)


def test_a_token_bucket_in_debt_is_paid_back_at_the_quicker_rate_from_the_first_hit_under_it(releases, clock):
    slow, quick = releases(Limit(1, per=3_600, burst=1, name="live"), Limit(1, per=2, burst=1, name="live"))
    slow.hit("ann")
    clock.advance(1_800)
    assert slow.hit("ann").retry_after == 1_800
    assert quick.peek("ann").retry_after == 1_800  # who only looks changes nothing, so nothing is quicker yet
    assert quick.hit("ann").retry_after == 1  # half a token is missing
    assert quick.peek("ann").retry_after == 1
    clock.advance(0.999999)
    assert not quick.hit("ann")
    clock.advance(0.000001)
    assert quick.hit("ann")


def test_no_refusal_makes_anybody_wait_longer_in_a_token_bucket(releases, clock):
    slow, quick = releases(Limit(1, per=3_600, burst=1, name="live"), Limit(1, per=2, burst=1, name="live"))
    quick.hit("ann")
    for _ in range(10):
        assert slow.hit("ann").retry_after == quick.hit("ann").retry_after
        clock.advance(0.1)
    clock.advance(1)
    assert slow.hit("ann")
    assert slow.hit("ann").retry_after == 3_600  # what it has charged is paid back at its own rate


def test_a_window_that_a_hit_finds_longer_than_its_period_ends_a_period_from_that_hit(releases, clock):
    hour, minute = (limit_of("fixed_window", 1, period) for period in (3_600, 60))
    hour, minute = releases(hour, minute)
    hour.hit("ann")
    clock.advance(600)
    looks = [minute.peek("ann").retry_after]
    clock.advance(10)
    looks.append(minute.peek("ann").retry_after)
    assert looks == pytest.approx([3_000, 2_990], abs=0.001)  # it is shown as it stands and does not slide
    assert minute.hit("ann").retry_after == pytest.approx(60, abs=0.001)
    clock.advance(10)
    assert [one.hit("ann").retry_after for one in (minute, hour)] == pytest.approx([50, 50], abs=0.002)


def test_a_longer_period_leaves_the_window_that_is_open_alone(releases, clock):
    minute, hour = releases(*(limit_of("fixed_window", 1, period) for period in (60, 3_600)))
    minute.hit("ann")
    assert hour.hit("ann").retry_after == pytest.approx(60, abs=0.001)
    clock.advance(60)
    assert hour.hit("ann")
    assert hour.hit("ann").retry_after == pytest.approx(3_600, abs=0.001)


def test_the_points_of_a_sliding_window_count_for_the_period_of_whoever_asks(releases, clock):
    minute, ten_minutes, second = releases(*(limit_of("sliding_window", 2, period) for period in (60, 600, 1)))
    minute.hit("ann", cost=2)
    clock.advance(5)
    assert [one.hit("ann").retry_after for one in (minute, ten_minutes)] == [55, 595]
    assert second.hit("ann")


def test_a_calendar_quota_of_a_day_goes_on_as_one_of_a_month_and_back(releases, clock):
    day, month = releases(*(Limit.parse(f"3 per calendar {unit} UTC name live") for unit in ("day", "month")))
    for _ in range(3):
        month.hit("ann")
    whole = month.peek("ann").retry_after
    assert day.peek("ann").retry_after == whole  # as it stands
    left = day.hit("ann").retry_after
    assert left <= 86_400
    clock.advance(left)
    assert day.hit("ann")


@pytest.mark.parametrize("algorithm", ["fixed_window", "sliding_window", "sliding_counter", "token_bucket"])
def test_two_values_side_by_side_spend_one_quota_and_each_binds_its_own_hits(releases, algorithm, clock):
    """A rolling deploy: hits fall on either release at random."""
    dice = random.Random(algorithm)
    old, new = releases(limit_of(algorithm, 12), limit_of(algorithm, 5))
    spent = 0
    for _ in range(40):
        limiter, quota = dice.choice([(old, 12), (new, 5)])
        assert bool(limiter.hit("ann")) == (spent < quota)
        spent += spent < quota
    assert spent == 12
    clock.advance(120)
    assert [new.peek("ann").remaining, old.peek("ann").remaining] == [5, 12]


def test_a_refusal_that_is_remembered_is_forgotten_when_a_limiter_by_another_limit_asks(redis_url, clock):
    slow, quick = Limit(1, per=3_600, burst=1, name="live"), Limit(1, per=2, burst=1, name="live")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        store = RedisStore(redis_url, clock=clock)
        old, new = (Limiter(limit, store=store, name="remembered", **PATIENT) for limit in (slow, quick))
    assert old.hit("ann")
    assert [old.hit("ann").source for _ in range(2)] == ["store", "denials"]
    assert not new.hit("ann")  # refused, too, but it has made the refill quicker
    told = old.hit("ann")
    assert (told.source, told.retry_after) == ("store", 2)
    store.close()


@pytest.mark.parametrize("remembering", [0, 1.0])
def test_what_a_peek_was_told_of_a_longer_window_refuses_no_hit(redis_url, clock, remembering):
    hour, minute = (limit_of("fixed_window", 1, period) for period in (3_600, 60))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        store = RedisStore(redis_url, clock=clock)
        old, new = (Limiter(one, store=store, name="peeked", **PATIENT | {"deny_cache": remembering}) for one in (hour, minute))
    old.hit("ann")
    assert new.peek("ann").retry_after > 3_590
    told = new.hit("ann")
    assert told.source == "store"
    assert told.retry_after <= 60
    store.close()


def key_of(limit, name):
    return plan_of([limit], prefix="ratekit", name=name)[0][1].key(canonical("ann"))


@pytest.mark.parametrize("algorithm", ["sliding_window", "sliding_counter"])
def test_under_a_longer_period_a_key_lives_as_long_as_its_refusals_say(redis_url, redis_client, algorithm):
    minute, hour = (limit_of(algorithm, 2, period) for period in (60, 3_600))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        old, new = (Limiter(one, store=redis_url, name=f"longer {algorithm}", **PATIENT) for one in (minute, hour))
    with old, new:
        old.hit("ann", cost=2)
        key = key_of(minute, f"longer {algorithm}")
        before = redis_client.get(key), redis_client.pttl(key)
        assert before[1] <= 120_001
        seconds, microseconds = redis_client.time()
        wait = new.hit("ann").retry_after
        assert redis_client.get(key) == before[0]
        assert redis_client.pexpiretime(key) >= 1_000 * (seconds + wait) + microseconds // 1_000


def test_a_point_that_moves_in_a_wider_cell_keeps_its_key_alive(redis_url, redis_client, clock):
    """With 2/second each hit is a point of its own; with 90/second the hits of 17 ms share one."""
    store = RedisStore(redis_url, clock=clock)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        few, many = (Limiter(f"{quota}/second name live", store=store, name="cells", **PATIENT) for quota in (2, 90))
    clock.advance_us(-clock() % 16_950)  # where a cell of the larger limit begins
    few.hit("ann")
    clock.advance_us(16_000)
    many.hit("ann")
    key = key_of(Limit(2, per=1, name="live"), "cells")
    assert redis_client.strlen(key) == 24, "they share a point"
    assert redis_client.pexpiretime(key) * 1_000 >= clock() + 1_000_000
    store.close()


def test_the_script_asks_the_server_for_the_time_once_however_many_hits_and_limits_ride_in_it(redis_url, redis_client):
    """So it does not matter whether the server lets time pass within a script: Redis 7.0 does, newer ones and Valkey do not."""
    limits = [f"50/{3 + number} seconds {algorithm}" for number, algorithm in enumerate(ALGORITHMS[:4])]
    with Limiter(*limits, store=redis_url, name="one time", **PATIENT) as limiter:
        limiter.hit("warm")
        before = servers.calls_of(redis_client, "time"), servers.calls_of(redis_client, "evalsha")
        limiter.hit_many([f"user:{number}" for number in range(100)])
        after = servers.calls_of(redis_client, "time"), servers.calls_of(redis_client, "evalsha")
    assert (after[0] - before[0], after[1] - before[1]) == (1, 1)
