"""
The shortest way of a hit in memory does what `step` does, or nothing at all.
"""

from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratekit import AsyncLimiter, Limit, Limiter
from ratekit.algorithms import FORCE, SPEND, rule_of
from ratekit.stores import MemoryStore

ALGORITHMS = ("fixed_window", "sliding_window", "sliding_counter", "token_bucket")
quotas = st.one_of(st.integers(1, 8), st.sampled_from([61, 100, 10**9]))
periods = st.sampled_from([0.001, 0.007, 1, 60, 86_400])
hits = st.tuples(
    st.integers(0, 1), st.integers(-3, 110), st.one_of(st.integers(1, 9), st.just(10**9)), st.sampled_from([SPEND, SPEND, FORCE])
)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@given(quotas=st.tuples(quotas, quotas), periods=st.tuples(periods, periods), history=st.lists(hits, max_size=25))
def test_it_makes_the_same_state_and_tells_the_same_figures(algorithm, quotas, periods, history):
    # Two rules on one state, as when a limit's quota or a named limit's period has changed.
    rules = [rule_of(Limit(quota, per=period, algorithm=algorithm)) for quota, period in zip(quotas, periods, strict=True)]
    chargers, state, now = [rule.charger() for rule in rules], None, 10**15
    for which, share, cost, mode in history:
        rule = rules[which]
        now += share * rule.limit.period // 100
        if state is not None and mode == SPEND:
            states = {"key": deepcopy(state)}
            told = chargers[which](states, "key", states["key"], now * 1000 + 999, cost)
            if told is None:
                assert states["key"] == state
            else:
                after, seen = rule.step(deepcopy(state), now, cost, SPEND)
                assert states["key"] == after
                assert seen[0]
                assert rule.recall(cost, told) == rule.read(cost, seen)
        state, _ = rule.step(state, now, cost, mode)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_it_is_the_way_of_every_plain_hit(clock, algorithm):
    rule = rule_of(Limit(1000, per=60, algorithm=algorithm))
    states = {"key": rule.step(None, clock(), 1, SPEND)[0]}
    for _ in range(100):
        clock.advance(0.01)
        assert rule.charger()(states, "key", states["key"], clock() * 1000, 3) is not None


def test_what_is_odd_takes_the_long_way_and_is_told_what_would_be_right(clock):
    limiter = Limiter("5/minute", store=MemoryStore(clock=clock))
    limiter.hit("ann")
    for identity, cost in ((["ann"], 1), (None, 1), (True, 1), ("ann", 0), ("ann", True), ("ann", 1.0), ("ann", 10**10)):
        with pytest.raises(ValueError, match="write"):
            limiter.hit(identity, cost)
    limiter.hit(7)
    assert limiter.hit("7", cost=2).remaining == 2
    assert limiter.hit("x" * 500).remaining == 4
    assert limiter.hit("x" * 500).remaining == 3


@pytest.mark.parametrize("kind", [Limiter, AsyncLimiter])
def test_whoever_calls_it_wrongly_is_told_by_its_own_name(kind):
    limiter = kind("5/minute", name=f"called wrongly {kind.__name__}")
    with pytest.raises(TypeError, match=rf"{kind.__name__}\.hit\(\) missing 1 required positional argument: 'identity'"):
        limiter.hit()
    assert limiter.hit.__doc__ == kind.hit.__doc__


def test_a_limiter_that_is_gone_warns_nobody(clock):
    store = MemoryStore(clock=clock)
    Limiter("5/minute", store=store, name="one").hit("ann")
    Limiter("6/minute", store=store, name="one").hit("ann")
