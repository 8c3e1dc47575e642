"""
The enforcer without a framework: the same logic for threads and for event loops, and the straight way beside the long one.
"""

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratekit import Policy
from ratekit.enforcer import LATER, Enforcer
from ratekit.http.problem import Answer
from ratekit.http.verdict import BROKEN, refusal_of
from ratekit.http.visit import Visit
from ratekit.request import Request
from ratekit.stores import AsyncMemoryStore, MemoryStore
from ratekit.testing import ManualClock

PEERS = ("192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1", "2001:db8::2", "testclient", "x" * 200)


def request_of(native):
    method, peer, key = native
    fields = [(b"x-key", key.encode())] if key else []
    return Request(method=method, path="/", fields=fields, query=b"", client=lambda _: peer, native=native)


def enforcer(store, *, limits=None, policies=None, closing="aclose"):
    return Enforcer(
        limits,
        policies,
        store,
        request_of,
        closing=closing,
        name="default",
        prefix="ratekit",
        trusted_proxies=(),
        forwarded_header="x-forwarded-for",
        budget=None,
        on_outage="local",
        deny_cache=1.0,
    )


def told(visit, refused):
    """What the client would be told: the fields, or the whole answer."""
    if refused is None:
        return visit.fields()
    return tuple(refused if isinstance(refused, Answer) else refusal_of(refused, *visit.told()))


def long_way(some, native):
    visit = Visit(some, native)
    return told(visit, anyio.run(some.decide_async, visit))


POLICIES = [
    Policy("address", "3/minute; 5/hour"),
    Policy("key", "2/minute burst 2", key="header:x-key", missing="refuse", exempt=lambda request: request.method == "HEAD"),
    Policy("cost", "9/hour fixed_window", cost=lambda request: len(request.native[2])),
]


@given(
    st.lists(st.tuples(st.sampled_from(["GET", "HEAD"]), st.sampled_from(PEERS), st.sampled_from(["", "a", "bbbb"])), max_size=12)
)
def test_threads_and_event_loops_are_told_the_same(natives):
    clock = ManualClock()
    threads = enforcer(MemoryStore(clock=clock), policies=POLICIES, closing="close")
    loops = enforcer(AsyncMemoryStore(clock=clock), policies=POLICIES)
    for native in natives:
        visit = Visit(threads, native)
        assert told(visit, threads.decide(visit)) == long_way(loops, native)
        clock.advance(1)


@pytest.mark.parametrize("limits", ["2/minute", "2/minute fixed_window", "2/minute; 3/hour", "2/minute burst 2"])
@given(peers=st.lists(st.sampled_from(PEERS), max_size=10))
def test_the_straight_way_and_the_long_one_tell_the_same(limits, peers):
    clock = ManualClock()
    straight, long = (enforcer(AsyncMemoryStore(clock=clock), limits=limits) for _ in range(2))
    for peer in peers:
        visit = Visit(straight, ("GET", peer, ""))
        refused = straight.at_once(visit, "GET", peer)
        assert refused is not LATER
        assert told(visit, refused) == long_way(long, ("GET", peer, ""))
        clock.advance(1)


class Waited:
    """A store that has to be awaited, as remote ones have."""

    remote = False

    def __init__(self, clock):
        inner = AsyncMemoryStore(clock=clock)
        self.compile, self.decide, self.forget, self.aclose = inner.compile, inner.decide, inner.forget, inner.aclose


@pytest.mark.parametrize("limits", ["2/minute", "2/minute; 3/hour"])
@given(peers=st.lists(st.sampled_from(PEERS), max_size=10))
def test_the_straight_way_to_a_store_that_is_awaited_tells_the_same_as_the_long_one(limits, peers):
    clock = ManualClock()
    straight, long = (enforcer(Waited(clock), limits=limits) for _ in range(2))
    for peer in peers:
        visit = Visit(straight, ("GET", peer, ""))
        assert straight.at_once(visit, "GET", peer) is LATER
        assert told(visit, anyio.run(straight.decide_async, visit, "GET", peer)) == long_way(long, ("GET", peer, ""))


@pytest.mark.parametrize(("method", "peer"), [("OPTIONS", "192.0.2.1"), ("options", "192.0.2.1"), ("", "192.0.2.1"), ("GET", None)])
def test_what_may_be_a_preflight_or_has_no_peer_goes_the_long_way(method, peer):
    some = enforcer(AsyncMemoryStore(), limits="1/minute")
    assert some.at_once(Visit(some, (method, peer, "")), method, peer) is LATER


def test_an_async_callable_is_a_configuration_error_where_threads_serve(caplog):
    async def key(request):
        return "x"

    some = enforcer(MemoryStore(), policies=[Policy("p", "1/minute", key=key)], closing="close")
    assert some.decide(Visit(some, ("GET", "192.0.2.1", ""))) is BROKEN
    assert "write plain functions" in caplog.text
