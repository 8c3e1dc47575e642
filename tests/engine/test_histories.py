"""
Random histories: the reference model, the memory store and a real Redis give the same answers, all along.
"""

import itertools
import warnings
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest
from doors import PATIENT
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import Rate, Reference

from ratekit import Limiter, RateLimitExceeded
from ratekit.stores import MemoryStore
from ratekit.stores.redis import RedisStore
from ratekit.testing import ManualClock

ALGORITHMS = ("fixed_window", "sliding_window", "sliding_counter", "token_bucket")
UNITS = {"ms": 1_000, "7 ms": 7_000, "second": 1_000_000, "3 seconds": 3_000_000, "day": 86_400_000_000}
names = (f"history-{number}" for number in itertools.count())

quotas = st.one_of(st.integers(1, 6), st.integers(1, 40), st.sampled_from([7, 61, 100, 1_000, 10**9]))
costs = st.one_of(st.just(1), st.integers(1, 5), st.integers(1, 45), st.sampled_from([10**9]))
identities = st.sampled_from(["ann", "bob"])
moves = st.one_of(
    st.tuples(st.just("us"), st.sampled_from([0, 1, 999, 1_000, 1_001, 5_000, 333_333, 1_000_000, 2_999_999, 7_200_000_000])),
    st.tuples(st.just("share"), st.integers(0, 90)),
    st.tuples(st.sampled_from(["retry_after", "more_after", "reset_after"]), st.integers(-1, 1)),
)
which = st.integers(0, 1)
steps = st.one_of(
    st.tuples(st.just("hit"), which, identities, costs),
    st.tuples(st.just("hit"), which, identities, costs),
    st.tuples(st.just("move"), moves),
    st.tuples(st.just("move"), moves),
    st.tuples(st.just("peek"), which, identities, costs),
    st.tuples(st.just("reserve"), which, identities, costs),
    st.tuples(st.just("commit"), st.integers(0, 3), st.integers(0, 60)),
    st.tuples(st.just("reset"), which, identities),
)


@st.composite
def rates(draw, algorithms=ALGORITHMS):
    """One to three limits, as they are and with other quotas."""
    kinds = st.tuples(st.sampled_from(algorithms), st.sampled_from(sorted(UNITS)))
    some = draw(st.lists(kinds, min_size=1, max_size=3, unique=True))
    return [rate(draw, *kind) for kind in some], [rate(draw, *kind) for kind in some]


def rate(draw, algorithm, unit):
    quota = draw(quotas)
    text, capacity, buckets = f"{quota}/{unit} {algorithm}", quota, 60
    if algorithm == "token_bucket":
        capacity = draw(st.integers(1, 40))
        text += f" burst {capacity}"
    if algorithm == "sliding_window":
        buckets = draw(st.sampled_from([2, 3, 5, 60]))
        text += f" buckets {buckets}"
    return Rate(algorithm, quota, UNITS[unit], capacity, buckets, text)


def shown(decision):
    """A decision as the model gives it."""
    parts = [decision, *decision.details]
    whole, *details = [
        (part.allowed, part.limit, part.remaining, part.retry_after, part.more_after, part.reset_after) for part in parts
    ]
    return whole, tuple(details)


@dataclass
class Engine:
    """One store, with two limiters that count together and differ in their quotas."""

    limiters: list[Limiter]
    held: list = field(default_factory=list)

    def reserve(self, number, identity, cost):
        reservation = self.limiters[number].reserve(identity, cost)
        try:
            reservation.__enter__()
        except RateLimitExceeded as error:
            return error.decision
        self.held.append(reservation)
        return reservation.decision


class Play:
    """A history, step by step, on the model and on every engine."""

    def __init__(self, sets, engines, clock):
        self.sets, self.engines, self.clock = sets, engines, clock
        self.model = Reference(clock())
        self.held = []
        self.last = None

    def move(self, how):
        kind, amount = how
        if kind == "us":
            self.clock.advance_us(amount)
        elif kind == "share":
            self.clock.advance_us(self.sets[0][0].period * amount // 40)
        elif self.last is not None and getattr(self.last, kind) < 10**7:
            self.clock.advance_us(max(0, round(getattr(self.last, kind) * 1_000_000) + amount))
        self.model.now = self.clock()

    def same(self, expected, answers):
        self.last = expected[0]
        limits = {
            rate.text: limit
            for rates, limiter in zip(self.sets, self.engines[0].limiters, strict=True)
            for rate, limit in zip(rates, limiter.limits, strict=True)
        }
        whole, *details = [(part[0], limits[part[1]], *part[2:]) for part in (expected[0], *expected[1])]
        for answer in answers:
            if answer.source == "denials":  # never a false refusal, and never a wait that is too long
                assert not whole[0]
                assert 0 < answer.retry_after <= whole[3]
            else:
                assert (answer.source, *shown(answer)) == ("store", whole, tuple(details))

    def peek(self, number, identity, cost):
        answers = [engine.limiters[number].peek(identity, cost) for engine in self.engines]
        self.same(self.model.peek(self.sets[number], identity, cost), answers)

    def hit(self, number, identity, cost):
        answers = [engine.limiters[number].hit(identity, cost) for engine in self.engines]
        self.same(self.model.hit(self.sets[number], identity, cost)[0], answers)

    def reserve(self, number, identity, cost):
        answers = [engine.reserve(number, identity, cost) for engine in self.engines]
        expected, tickets = self.model.hit(self.sets[number], identity, cost)
        self.same(expected, answers)
        if tickets:
            self.held.append((number, identity, cost, tickets, expected))

    def commit(self, index, used):
        if index >= len(self.held):
            return
        number, identity, cost, tickets, before = self.held.pop(index)
        rates = self.sets[number]
        if used < cost:
            expected = self.model.give(rates, identity, cost - used, tickets)
        elif used > cost:
            expected = self.model.force(rates, identity, used - cost)[0]
        else:
            expected = before
        done = [engine.held.pop(index) for engine in self.engines]
        self.same(expected, [reservation.commit(used) for reservation in done])
        self.same(expected, [reservation.commit(used + 1) for reservation in done])

    def reset(self, number, identity):
        for engine in self.engines:
            engine.limiters[number].reset(identity)
        for rate in self.sets[number]:
            self.model.keys.pop((identity, rate.algorithm, rate.period), None)


def play(sets, history, url, deny_cache):
    clock = ManualClock()
    with ExitStack() as stack, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # limiters of one name and different limits: on purpose
        redis_store = RedisStore(url, clock=clock)
        stack.callback(redis_store.close)
        name = next(names)
        engines = [
            Engine([Limiter(*(rate.text for rate in rates), store=store, name=name, **options) for rates in sets])
            for store, options in ((MemoryStore(clock=clock), {}), (redis_store, PATIENT | {"deny_cache": deny_cache}))
        ]
        game = Play(sets, engines, clock)
        for step in history:
            getattr(game, step[0])(*step[1:])


histories = st.lists(steps, min_size=5, max_size=30)
remembering = pytest.mark.parametrize("deny_cache", [0, 1.0])


@remembering
@given(sets=rates(), history=histories)
@settings(max_examples=300)
def test_three_engines_give_the_same_answers_to_any_history_of_mixed_limits(redis_server, deny_cache, sets, history):
    play(sets, history, redis_server.url, deny_cache)


@remembering
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@given(data=st.data())
@settings(max_examples=50)
def test_three_engines_give_the_same_answers_to_any_history_of_one_algorithm(redis_server, deny_cache, algorithm, data):
    play(data.draw(rates([algorithm])), data.draw(histories), redis_server.url, deny_cache)


@pytest.mark.long
@remembering
@pytest.mark.parametrize("thousand", range(10))  # blocks that end within minutes, each with histories of its own
@given(sets=rates(), history=st.lists(steps, min_size=20, max_size=60))
@settings(max_examples=1_000)
def test_three_engines_give_the_same_answers_to_ten_thousand_histories(redis_server, deny_cache, thousand, sets, history):
    play(sets, history, redis_server.url, deny_cache)
