"""
Sync tokens: what was counted here is seen in every peek here, whichever replica answers, and wherever the token is handed to.
"""

import asyncio
import threading

import pytest
import servers
from doors import PATIENT
from hypothesis import given
from hypothesis import strategies as st
from upstash.running import replica_of, upstash

from ratekit import AsyncLimiter, ConfigurationError, Limiter, StoreUnavailable
from ratekit.stores import AsyncUpstashStore, UpstashStore
from ratekit.stores.upstash.wire import Tokens


@pytest.fixture(scope="module")
def world():
    """A primary and a replica behind one REST server: (server, link)."""
    with servers.RedisServer() as primary, replica_of(primary) as (replica, link), upstash(primary, [replica]) as server:
        yield server, link


@pytest.fixture
def server(world):
    """The server, its replica up to date."""
    server, link = world
    link.let_go()
    server.seen.clear()
    return server


@pytest.fixture
def link(world, server):
    """The way to the replica: nothing arrives while it is held."""
    yield world[1]
    world[1].let_go()


def stores(server, count):
    return [UpstashStore(server.url) for _ in range(count)]


def close(*some):
    for store in some:
        store.close()


def test_a_peek_may_be_answered_by_a_replica_but_shows_what_was_counted_here(server, link, request):
    here, there = stores(server, 2)
    one, other = (Limiter("9/hour", store=store, name=request.node.name, **PATIENT) for store in (here, there))
    one.hit("warm")
    assert one.peek("ann").remaining == 9
    link.hold()
    assert one.hit("ann").remaining == 8
    assert other.peek("ann").remaining == 9  # another store, another token: the replica answers what it knows
    late = Limiter("9/hour", store=here, name=request.node.name, budget=0.3, on_outage="closed")
    with pytest.raises(StoreUnavailable):
        late.peek("ann")
    threading.Timer(0.2, link.let_go).start()
    assert Limiter("9/hour", store=here, name=request.node.name, **PATIENT).peek("ann").remaining == 8
    close(here, there)


def test_a_token_that_is_handed_over_makes_another_store_see_the_same(server, link, request):
    here, there = stores(server, 2)
    one, other = (Limiter("9/hour", store=store, name=request.node.name, **PATIENT) for store in (here, there))
    one.hit("warm")
    link.hold()
    one.hit("ann", cost=4)
    assert there.sync_token == ""
    there.sync_token = here.sync_token
    threading.Timer(0.2, link.let_go).start()
    assert other.peek("ann").remaining == 5
    close(here, there)


def test_a_store_that_has_a_token_and_is_given_another_one_asks_the_primary(server, link, request):
    here, there = stores(server, 2)
    one, other = (Limiter("9/hour", store=store, name=request.node.name, **PATIENT) for store in (here, there))
    link.hold()
    one.hit("ann", cost=4)
    other.hit("bob", cost=2)
    there.sync_token = here.sync_token
    assert len(there.sync_token.split()) == 2
    server.seen.clear()
    assert (other.peek("ann").remaining, len(there.sync_token.split())) == (5, 1)
    assert server.commands() == [["EVALSHA"]]
    link.let_go()
    assert other.peek("bob").remaining == 7
    assert server.commands()[1] in (["EVALSHA_RO"], ["EVAL_RO"])
    close(here, there)


def test_a_hit_is_exact_whatever_the_replica_knows(server, link, request):
    link.hold()
    some = stores(server, 3)
    limiters = [Limiter("5/hour", store=store, name=request.node.name, deny_cache=0, **PATIENT) for store in some]
    assert [bool(limiters[number % 3].hit("ann")) for number in range(7)] == [True] * 5 + [False] * 2
    close(*some)


def test_an_async_store_keeps_and_hands_over_its_token_too(server, link, request):
    async def main():
        here, there = AsyncUpstashStore(server.url), AsyncUpstashStore(server.url)
        one, other = (AsyncLimiter("9/hour", store=store, name=request.node.name, **PATIENT) for store in (here, there))
        await one.hit("warm")
        link.hold()
        await one.hit("ann", cost=4)
        seen = [(await other.peek("ann")).remaining]
        there.sync_token = here.sync_token
        seen.append((await other.peek("ann")).remaining)
        await here.aclose()
        await there.aclose()
        return seen

    assert asyncio.run(main()) == [9, 5]


def test_a_request_brings_the_token_of_the_reply_before_it(server, request):
    (store,) = stores(server, 1)
    limiter = Limiter("9/hour", store=store, name=request.node.name, **PATIENT)
    limiter.hit("warm")
    server.seen.clear()
    tokens = [store.sync_token]
    for _ in range(3):
        limiter.hit("ann")
        tokens.append(store.sync_token)
    assert [token for _, _, token in server.seen] == tokens[:-1]
    assert len(set(tokens)) == 4
    close(store)


@pytest.mark.parametrize("text", [None, 5, b"token", "é", "a\nb"])
def test_what_is_no_token_is_an_error(text):
    for kind in (UpstashStore, AsyncUpstashStore):
        store = kind("https://name.upstash.io", "token")
        with pytest.raises(ConfigurationError, match="sync_token"):
            store.sync_token = text


# A model: tokens are the numbers of a primary's writes. A step is a request that leaves for the primary, a request that leaves and
# only looks, a token handed over, or the reply to one of those that are under way.
STEPS = st.lists(st.tuples(st.sampled_from(["hit", "peek", "hand over", "reply"]), st.integers(0, 9)), max_size=40)


@given(STEPS)
def test_no_reply_and_no_token_that_was_handed_over_is_ever_lost(steps):
    tokens, written, seen, flying = Tokens(), 0, 0, []
    for what, number in steps:
        had = tokens.at_hand()
        if what == "reply" and flying:
            had, came = flying.pop(number % len(flying))
            tokens.came(str(came), had)
            seen = max(seen, came)
        elif what == "hand over":
            written += number
            tokens.hand_over(str(written))
            seen = max(seen, written)
        elif what == "hit" or len(had) > 1:  # the primary: behind nobody
            written += 1
            flying.append((had, written))
        else:  # a replica: as far as the token that it was brought, or farther
            least = int(had[0]) if had else 0
            flying.append((had, min(written, least + number)))
        assert max(map(int, tokens.at_hand()), default=0) >= seen
    tokens.came(str(written), tokens.at_hand())
    assert tokens.at_hand() == (str(written),)
