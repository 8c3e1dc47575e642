"""
Limits by the calendar: text, months of a time zone, and the same decisions whoever keeps the state.
"""

import itertools
import pickle
from datetime import UTC, datetime
from math import inf
from zoneinfo import ZoneInfo

import pytest
from doors import PATIENT
from hypothesis import given
from hypothesis import strategies as st

from ratekit import ConfigurationError, Limit, Limiter
from ratekit.stores import MemoryStore, RedisStore

names = (f"calendar-{number}" for number in itertools.count())


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("1000 per calendar month Europe/Berlin", Limit.calendar(1000, "month", tz="Europe/Berlin")),
        ("5 per calendar day", Limit.calendar(5, "day")),
        ("5 per calendar hour Asia/Kolkata name h", Limit.calendar(5, "hour", tz="Asia/Kolkata", name="h")),
    ],
)
def test_a_calendar_limit_is_read_and_written(text, limit):
    assert Limit.parse(text) == limit == Limit.parse(str(limit)) == pickle.loads(pickle.dumps(limit))
    assert (limit.algorithm, limit.capacity) == ("calendar", limit.quota)


@pytest.mark.parametrize(
    "text",
    [
        "5 per calendar",
        "5 per calendar minute",
        "5 per calendar day Europe/Atlantis",
        "5 per calendar day UTC burst 7",
        "5 per calendar day UTC name",
        "0 per calendar day",
        "5/minute calendar",
    ],
)
def test_what_is_not_understood_is_said(text):
    with pytest.raises(ConfigurationError):
        Limit.parse(text)


def begin(clock, *date, tz="UTC"):
    """Move a clock to a date, of a year in which it is not yet."""
    clock.advance_us(round(datetime(*date, tzinfo=ZoneInfo(tz)).timestamp()) * 1_000_000 - clock())


@pytest.mark.parametrize(("unit", "tz"), [("day", "Europe/Berlin"), ("month", "Asia/Kolkata"), ("hour", "America/New_York")])
def test_the_quota_is_new_when_the_calendar_says_so_and_not_before(way, clock, unit, tz):
    begin(clock, 2031, 3, 29, 22, 30, tz=tz)
    limiter = way.door.limiter(Limit.calendar(2, unit, tz=tz))
    assert [bool(limiter.hit("ann")) for _ in range(3)] == [True, True, False]
    refused = limiter.peek("ann")
    ends = {"day": (2031, 3, 30, 0), "month": (2031, 4, 1, 0), "hour": (2031, 3, 29, 23)}[unit]
    assert refused.retry_after == datetime(*ends, tzinfo=ZoneInfo(tz)).timestamp() - clock() / 1e6
    assert (refused.remaining, refused.reset_after) == (0, refused.retry_after)
    clock.advance_us(round(refused.retry_after * 1_000_000) - 1)
    assert not limiter.peek("ann")
    clock.advance_us(1)
    assert limiter.hit("ann", cost=2)
    assert limiter.hit("bob", cost=3).retry_after == inf


def test_a_day_on_which_clocks_are_set_has_its_own_length(way, clock):
    begin(clock, 2031, 3, 30, 0, 0, tz="Europe/Berlin")
    limiter = way.door.limiter(Limit.calendar(1, "day", tz="Europe/Berlin"))
    assert limiter.hit("ann").reset_after == 23 * 3600
    clock.advance(23 * 3600)
    assert limiter.hit("ann").reset_after == 24 * 3600


def test_a_calendar_limit_and_another_are_all_or_nothing(way, clock):
    begin(clock, 2031, 3, 29, 22, 30)
    limiter = way.door.limiter(Limit.calendar(3, "month"), "1/minute")
    assert limiter.hit("ann")
    assert not limiter.hit("ann")
    assert limiter.peek("ann").details[0].remaining == 2


def test_what_is_reserved_and_not_used_is_given_back(way, clock):
    begin(clock, 2031, 3, 29, 22, 30)
    limiter = way.door.limiter(Limit.calendar(10, "day"))
    with limiter.reserve("ann", cost=8) as reservation:
        assert reservation.commit(3).remaining == 7
    with limiter.reserve("ann", cost=2) as reservation:
        assert reservation.commit(12).remaining == 0
    limiter.reset("ann")
    assert limiter.peek("ann").remaining == 10


def test_a_memory_store_goes_by_the_date_of_the_machine():
    limiter = Limiter(Limit.calendar(5, "month"), store=MemoryStore())
    before = datetime.now(UTC)
    left = limiter.hit("ann").reset_after
    end = datetime.fromtimestamp(before.timestamp() + left, UTC)
    assert (round(end.timestamp()) % 86_400, datetime.fromtimestamp(round(end.timestamp()), UTC).day) == (0, 1)


def test_redis_goes_by_its_own_date(redis_url, redis_client):
    with Limiter(Limit.calendar(5, "year", tz="Asia/Tokyo"), store=redis_url, **PATIENT) as limiter:
        left = limiter.hit("ann").reset_after
        seconds, us = redis_client.time()
        end = datetime.fromtimestamp(round(seconds + us / 1e6 + left), ZoneInfo("Asia/Tokyo"))
        assert (end.month, end.day, end.hour) == (1, 1, 0)
        (key,) = redis_client.keys()
        assert abs(redis_client.ttl(key) - left) < 60
        redis_client.persist(key)
        limiter.hit("ann")
        assert redis_client.ttl(key) > 0
        redis_client.delete(key)
        redis_client.rpush(key, 1)
        assert limiter.hit("ann").remaining == 4


def test_stores_that_know_no_dates_say_so():
    from ratekit.kv.writer_store import SingleWriterStore

    with pytest.raises(ConfigurationError, match="dates"):
        Limiter(Limit.calendar(5, "day"), store=SingleWriterStore())


def test_near_limits_are_counted_by_the_calendar_too(redis_url):
    from ratekit.metered import maybe_near

    with Limiter(Limit.calendar(5, "day"), store=redis_url, **PATIENT) as limiter:
        edge, near = maybe_near(limiter.limits)
        assert (edge, [near(limiter.hit("ann")) for _ in range(5)]) == (4, [False, False, False, True, True])


class Clock:
    now = 0

    def __call__(self):
        return self.now


@pytest.fixture(scope="module")
def stores(redis_server):
    clock = Clock()
    redis = RedisStore(redis_server.url, clock=clock)
    yield clock, (MemoryStore(clock=clock), redis)
    redis.close()


steps = st.one_of(
    st.tuples(st.just("hit"), st.integers(1, 4)),
    st.tuples(st.just("hit"), st.integers(1, 4)),
    st.tuples(st.just("peek"), st.integers(1, 12)),
    st.tuples(st.just("move"), st.sampled_from([0.000001, 1, 1800, 3600, 86_400, 86_400 * 15, 86_400 * 70])),
    st.tuples(st.just("edge"), st.integers(-1, 1)),
)
LABELS = {
    "hour": lambda at: (at.date(), at.hour, at.utcoffset()),
    "day": lambda at: at.date(),
    "month": lambda at: (at.year, at.month),
}


@given(
    history=st.lists(steps, max_size=25),
    eve=st.sampled_from(["2031-03-29T22:30", "2031-10-25T22:30", "2032-02-28T22:50", "2031-12-31T22:10"]),
    unit=st.sampled_from(sorted(LABELS)),
    tz=st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kolkata"]),
)
def test_random_histories_are_decided_the_same_by_all(stores, history, eve, unit, tz):
    clock, engines = stores
    clock.now = round(datetime.fromisoformat(eve).replace(tzinfo=UTC).timestamp()) * 1_000_000
    name, zone, used = next(names), ZoneInfo(tz), {}
    limit = Limit.calendar(7, unit, tz=tz)
    limiters = [Limiter(limit, store=store, name=name, deny_cache=0, **PATIENT) for store in engines]

    def label():
        return LABELS[unit](datetime.fromtimestamp(clock.now // 1_000_000, zone))

    for what, word in history:
        spent = used.get(label(), 0)
        if what == "move":
            clock.now += round(word * 1_000_000)
        elif what == "edge":
            answer = limiters[0].peek("ann")
            clock.now += max(0, round(answer.reset_after * 1_000_000) + word)
        else:
            answers = [getattr(limiter, what)("ann", cost=word) for limiter in limiters]
            fits = spent + word <= 7
            assert answers[0] == answers[1]
            if what == "hit" and fits:
                used[label()] = spent = spent + word
            assert (bool(answers[0]), answers[0].remaining) == (fits, 7 - spent)
