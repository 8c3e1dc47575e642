"""
Limits that change on live keys, at random: limiters side by side whose named limits differ in quota, burst and period give the answers
of the reference model, in memory and on a real Redis.

The model says once more, in its own words, what a hit does to a key that another limit wrote: it brings the key under its own.
"""

import itertools
import warnings
from contextlib import ExitStack
from fractions import Fraction
from math import ceil

import pytest
import reference
from doors import PATIENT
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import Rate, Reference, answer, joined

from ratekit import Limiter
from ratekit.stores import MemoryStore
from ratekit.stores.redis import RedisStore
from ratekit.testing import ManualClock

ALGORITHMS = ("fixed_window", "sliding_window", "sliding_counter", "token_bucket")
UNITS = {"second": 1_000_000, "3 seconds": 3_000_000, "7 ms": 7_000, "minute": 60_000_000}
numbers = itertools.count()


class FixedWindow(reference.FixedWindow):
    """A hit under a shorter period ends the window that much from now."""

    def touch(self, rate, now):
        if not self.fresh(rate, now):
            self.end = min(self.end, now - now % 1000 + rate.period)


class SlidingWindow(reference.SlidingWindow):
    """What has left the window is forgotten when an entry is added, and not before: a longer period may still count it."""

    def charge(self, rate, now, cost):
        live = self.live(rate, now)
        if not live or self.cell(rate, live[-1][0]) != self.cell(rate, now):
            self.entries = [*live, [now, 0]]
        self.entries[-1][0] = now
        self.entries[-1][1] += cost

    def touch(self, rate, now):
        pass


class SlidingCounter(reference.SlidingCounter):
    """A start and two counts, measured by whoever asks."""

    def __init__(self):
        self.state = None

    def around(self, rate, at):
        if self.state is None or at >= self.state[0] + 2 * rate.period:
            return [at, 0], [at - rate.period, 0]
        start, current, before = self.state
        if at >= start + rate.period:
            return [start + rate.period, 0], [start, current]
        return [start, current], [start - rate.period, before]

    def charge(self, rate, now, cost):
        current, before = self.around(rate, now)
        self.state = current[0], current[1] + cost, before[1]

    def touch(self, rate, now):
        pass


class TokenBucket(reference.TokenBucket):
    """Missing tokens stay as many; carried to another period they are rounded up to whole microseconds, twice."""

    period = 1

    def spent(self, rate, at):
        own = super().spent(rate, at)
        if not own or rate.period == self.period:
            return own
        whole = ceil(own * self.period / rate.quota)
        return Fraction(ceil(Fraction(whole * rate.period, self.period)) * rate.quota, rate.period)

    def put(self, rate, now, missing):
        super().put(rate, now, missing)
        self.period = rate.period

    def touch(self, rate, now):
        if self.missing:
            self.refuse(rate, now)


MODELS = {
    "fixed_window": FixedWindow,
    "sliding_window": SlidingWindow,
    "sliding_counter": SlidingCounter,
    "token_bucket": TokenBucket,
}


class Shared(Reference):
    """One key per identity and algorithm, whatever the limit."""

    def models(self, rates, identity):
        keys = [(identity, rate.algorithm) for rate in rates]
        return [self.keys.setdefault(key, MODELS[key[1]]()) for key in keys]

    def hit(self, rates, identity, cost):
        models = self.models(rates, identity)
        allowed = self.peek(rates, identity, cost)[0].allowed
        for rate, model in zip(rates, models, strict=True):
            model.touch(rate, self.now)
            if allowed:
                model.charge(rate, self.now, cost)
        return joined([answer(rate, model, self.now, 0 if allowed else cost) for rate, model in zip(rates, models, strict=True)])


quotas = st.one_of(st.integers(1, 6), st.integers(1, 40), st.sampled_from([7, 61, 100, 1_000]))
costs = st.one_of(st.just(1), st.integers(1, 5), st.integers(1, 45))
which, identities = st.integers(0, 2), st.sampled_from(["ann", "bob"])
moves = st.one_of(
    st.tuples(st.just("us"), st.sampled_from([0, 1, 999, 1_000, 7_000, 333_333, 1_000_000, 2_999_999])),
    st.tuples(st.sampled_from(["retry_after", "more_after", "reset_after"]), st.integers(-1, 1)),
)
steps = st.one_of(
    st.tuples(st.just("hit"), which, identities, costs),
    st.tuples(st.just("hit"), which, identities, costs),
    st.tuples(st.just("hit"), which, identities, costs),
    st.tuples(st.just("move"), moves),
    st.tuples(st.just("move"), moves),
    st.tuples(st.just("peek"), which, identities, costs),
)
histories = st.lists(steps, min_size=5, max_size=30)


@st.composite
def changes(draw, algorithms, units):
    """Three releases of one set of limits: each limit keeps its name, and nothing else."""
    return [[rate(draw, algorithm, draw(units)) for algorithm in algorithms] for _ in range(3)]


def rate(draw, algorithm, unit):
    quota = draw(quotas)
    text, capacity, buckets = f"{quota}/{unit} {algorithm}", quota, 60
    if algorithm == "token_bucket":
        capacity = draw(st.integers(1, 40))
        text += f" burst {capacity}"
    if algorithm == "sliding_window":
        buckets = draw(st.sampled_from([2, 3, 5, 60]))
        text += f" buckets {buckets}"
    return Rate(algorithm, quota, UNITS[unit], capacity, buckets, f"{text} name {algorithm}")


def figures(part, limits):
    return part[0], limits[part[1]], *part[2:]


def shown(part):
    return part.allowed, part.limit, part.remaining, part.retry_after, part.more_after, part.reset_after


class Play:
    """A history on the model and on two stores, each with one limiter per release."""

    def __init__(self, releases, stores, clock):
        self.releases, self.clock, self.model, self.last = releases, clock, Shared(clock()), None
        name = f"live-{next(numbers)}"
        texts = [[rate.text for rate in rates] for rates in releases]
        self.stores = [[Limiter(*some, store=store, name=name, **options) for some in texts] for store, options in stores]
        pairs = zip(itertools.chain(*texts), [limit for one in self.stores[0] for limit in one.limits], strict=True)
        self.limits = dict(pairs)

    def move(self, how):
        kind, amount = how
        if kind == "us":
            self.clock.advance_us(amount)
        elif self.last is not None and getattr(self.last, kind) < 10**4:
            self.clock.advance_us(max(0, round(getattr(self.last, kind) * 1_000_000) + amount))
        self.model.now = self.clock()

    def ask(self, how, number, identity, cost):
        expected = getattr(self.model, how)(self.releases[number], identity, cost)
        self.last = expected[0]
        whole, details = figures(expected[0], self.limits), [figures(part, self.limits) for part in expected[1]]
        for limiters in self.stores:
            told = getattr(limiters[number], how)(identity, cost)
            if told.source == "denials":  # never a false refusal, never a wait that is too long
                assert not whole[0]
                assert 0 < told.retry_after <= whole[3]
            else:
                assert (shown(told), list(map(shown, told.details))) == (whole, details)


def play(releases, history, url, deny_cache):
    clock = ManualClock()
    with ExitStack() as stack, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # limiters of one name and different limits: on purpose
        remote = RedisStore(url, clock=clock)
        stack.callback(remote.close)
        game = Play(releases, [(MemoryStore(clock=clock), {}), (remote, PATIENT | {"deny_cache": deny_cache})], clock)
        for step in history:
            if step[0] == "move":
                game.move(step[1])
            else:
                game.ask(*step)


remembering = pytest.mark.parametrize("deny_cache", [0, 1.0])


@remembering
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@given(data=st.data())
@settings(max_examples=60)
def test_side_by_side_with_other_quotas_bursts_and_periods_each_decides_by_its_own_on_one_spending(
    redis_server, deny_cache, algorithm, data
):
    play(data.draw(changes([algorithm], st.sampled_from(sorted(UNITS)))), data.draw(histories), redis_server.url, deny_cache)


@remembering
@given(data=st.data())
@settings(max_examples=60)
def test_several_limits_that_change_at_once_are_still_all_or_nothing(redis_server, deny_cache, data):
    algorithms = data.draw(st.lists(st.sampled_from(ALGORITHMS), min_size=2, max_size=3, unique=True))
    play(data.draw(changes(algorithms, st.sampled_from(sorted(UNITS)))), data.draw(histories), redis_server.url, deny_cache)


@pytest.mark.long
@remembering
@given(data=st.data())
@settings(max_examples=5_000)
def test_thousands_of_histories_of_limits_that_change(redis_server, deny_cache, data):
    algorithms = data.draw(st.lists(st.sampled_from(ALGORITHMS), min_size=1, max_size=3, unique=True))
    long = data.draw(st.lists(steps, min_size=20, max_size=60))
    play(data.draw(changes(algorithms, st.sampled_from(sorted(UNITS)))), long, redis_server.url, deny_cache)
