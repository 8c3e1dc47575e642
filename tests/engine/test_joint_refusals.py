"""
What is known to be refused is refused here also when several policies meet one request: each by what it knows, and never anything else.

A MemoryStore that says it is remote counts the trips; the clock is moved by hand.
"""

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratekit import Policy
from ratekit.enforcer import Enforcer
from ratekit.http.visit import Visit
from ratekit.request import Request
from ratekit.stores import AsyncMemoryStore, MemoryStore
from ratekit.testing import ManualClock

POLICIES = [
    Policy("address", "3/second"),
    Policy("key", "5/minute; 8/hour", key="header:x-key", missing="skip"),
    Policy("size", "20/10s burst 9", cost=lambda request: request.native[2]),
]


class Remote:
    """A store that is asked by trips, which are counted."""

    remote = True

    def __init__(self, clock):
        self.inner, self.clock, self.trips = MemoryStore(clock=clock), clock, 0
        self.forget, self.close = self.inner.forget, self.inner.close

    def compile(self, plan, budget=None):
        hit = self.inner.compile(plan)

        def trip(*words):
            self.trips += 1
            return hit(*words)

        return trip

    def decide(self, asks, budget=None):
        self.trips += 1
        return self.inner.decide(asks)


class AsyncRemote:
    """The same, awaited."""

    remote = True

    def __init__(self, clock):
        self.inner, self.clock, self.trips = AsyncMemoryStore(clock=clock), clock, 0
        self.forget, self.aclose = self.inner.forget, self.inner.aclose

    def compile(self, plan, budget=None):
        hit = self.inner.compile(plan)

        async def trip(*words):
            self.trips += 1
            return await hit(*words)

        return trip

    async def decide(self, asks, budget=None):
        self.trips += 1
        return await self.inner.decide(asks)


def request_of(native):
    peer, key, _ = native
    fields = [(b"x-key", key.encode())] if key else []
    return Request(method="GET", path="/", fields=fields, query=b"", client=lambda _: peer, native=native)


class Told:
    """An enforcer over a remote store: what it decides on requests."""

    def __init__(self, kind, clock, deny_cache=60.0, name="joint", policies=POLICIES):
        self.store = kind(clock)
        self.wait = kind is AsyncRemote
        self.enforcer = Enforcer(
            None,
            policies,
            self.store,
            request_of,
            closing="aclose" if self.wait else "close",
            name=name,
            prefix="ratekit",
            trusted_proxies=(),
            forwarded_header="x-forwarded-for",
            budget=None,
            on_outage="local",
            deny_cache=deny_cache,
        )

    def ask(self, *native):
        visit = Visit(self.enforcer, native)
        refused = anyio.run(self.enforcer.decide_async, visit) if self.wait else self.enforcer.decide(visit)
        assert bool(refused is None) == bool(visit.decision)
        return visit


both = pytest.mark.parametrize("kind", [Remote, AsyncRemote])


def violated(visit):
    return {label: part for label, part in zip(visit.lines.labels, visit.decision.details, strict=True) if not part}


@both
def test_a_refusal_by_one_of_several_policies_is_known_afterwards(kind, clock):
    told = Told(kind, clock)
    for _ in range(3):
        assert told.ask("192.0.2.1", "a", 1).decision
    first = told.ask("192.0.2.1", "a", 1)
    assert (first.decision.source, set(violated(first))) == ("store", {"address"})
    trips = told.store.trips
    clock.advance(0.4)
    again = told.ask("192.0.2.1", "a", 1)
    assert told.store.trips == trips
    assert (again.decision.source, again.lines.labels) == ("denials", ("address",))
    assert again.decision.retry_after == pytest.approx(0.6)


@both
def test_what_one_policy_refused_is_known_when_it_meets_a_request_with_others(kind, clock):
    told = Told(kind, clock)
    for _ in range(4):
        told.ask("192.0.2.1", "a", 1)
    trips = told.store.trips
    assert not told.ask("192.0.2.1", "another key", 2).decision
    assert not told.ask("192.0.2.1", "", 3).decision
    assert told.store.trips == trips
    assert told.ask("192.0.2.2", "a", 1).decision
    assert told.store.trips == trips + 1


@both
def test_every_policy_that_is_known_to_refuse_is_told_and_the_longest_wait_speaks(kind, clock):
    told = Told(kind, clock)
    for peer in ("192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.2"):
        assert told.ask(peer, "a", 1).decision
    for source in ("store", "denials"):
        refused = told.ask("192.0.2.1", "a", 1)
        assert refused.decision.source == source
        assert set(violated(refused)) == {"address", "key-60"}
        assert (refused.decision.limit.period, refused.decision.retry_after) == (60_000_000, 60)


@both
def test_without_a_memory_every_request_is_a_trip(kind, clock):
    told = Told(kind, clock, deny_cache=0)
    for _ in range(9):
        told.ask("192.0.2.1", "a", 1)
    assert told.store.trips == 9


@both
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 1, 1_000, 200_000, 1_000_000, 7_000_000]),
            st.sampled_from(["192.0.2.1", "192.0.2.2"]),
            st.sampled_from(["", "a", "b"]),
            st.integers(0, 6),
        ),
        max_size=60,
    )
)
def test_any_history_is_decided_as_without_a_memory_and_no_limit_says_another_wait(kind, history):
    clock = ManualClock()
    told, plain = Told(kind, clock, name="remembering"), Told(kind, clock, name="asking", deny_cache=0)
    for pause, *native in history:
        clock.advance_us(pause)
        here, there = told.ask(*native), plain.ask(*native)
        assert bool(here.decision) == bool(there.decision)
        if not here.decision:
            so = violated(there)
            assert {label: part.figures.wait for label, part in violated(here).items()}.items() <= {
                label: part.figures.wait for label, part in so.items()
            }.items()
            assert here.decision.figures.wait <= there.decision.figures.wait
    assert told.store.trips <= plain.store.trips
