"""
Hits over Upstash's REST protocol: one request for all that waits.
"""

import asyncio
import os
import threading

import pytest
from doors import PATIENT

from ratekit import AsyncLimiter, Limiter
from ratekit.stores import AsyncUpstashStore, UpstashStore
from ratekit.stores.upstash.line import MOST_KEYS

CLOSED = PATIENT | {"on_outage": "closed"}


@pytest.fixture
def server(redis_url, upstash_server):
    """The REST server in front of an empty redis-server; `seen` begins anew."""
    upstash_server.seen.clear()
    return upstash_server


@pytest.fixture
def store(server):
    store = UpstashStore(server.url)
    yield store
    store.close()


def test_a_hit_is_one_request_of_one_command_for_any_number_of_limits(server, store):
    limiter = Limiter(*(f"100/{number + 1} minutes" for number in range(20)), store=store, **PATIENT)
    limiter.hit("warm")
    server.seen.clear()
    for _ in range(5):
        limiter.hit("ann")
    limiter.peek("ann")
    with limiter.reserve("ann", cost=5) as reservation:
        reservation.commit(3)
    limiter.reset("ann")
    assert [name for names in server.commands() for name in names if name != "EVAL_RO"] == [
        *["EVALSHA"] * 5,
        "EVALSHA_RO",
        *["EVALSHA"] * 2,
        "DEL",
    ]
    assert {path for path, _, _ in server.seen} == {""}


def test_hits_that_come_together_are_one_command(server):
    async def main():
        store = AsyncUpstashStore(server.url)
        limiter = AsyncLimiter("70/hour", "1000/day", store=store, **PATIENT)
        await limiter.hit("warm")
        server.seen.clear()
        decisions = await asyncio.gather(*(limiter.hit("ann") for _ in range(100)))
        await store.aclose()
        return decisions

    decisions = asyncio.run(main())
    assert [decision.remaining for decision in decisions] == [*range(69, -1, -1), *[0] * 30]
    assert server.commands() == [["EVALSHA"]]


def test_hits_that_come_while_a_request_is_under_way_ride_on_the_next_one(server):
    async def main():
        store = AsyncUpstashStore(server.url)
        limiter = AsyncLimiter("1000/hour", store=store, **PATIENT)
        await limiter.hit("warm")
        server.seen.clear()
        first = asyncio.create_task(limiter.hit("first"))
        while not store._line()._client or store._line()._under_way is None:
            await asyncio.sleep(0)
        await asyncio.sleep(0)  # it has left
        await asyncio.gather(first, *(limiter.hit(f"user {number}") for number in range(50)))
        await store.aclose()

    asyncio.run(main())
    assert [commands[0][2] for _, commands, _ in server.seen] == [b"1", b"50"]


def test_more_keys_than_one_command_should_hold_go_in_several(server):
    async def main():
        store = AsyncUpstashStore(server.url)
        limiter = AsyncLimiter("5000/hour", "9000/day", store=store, **PATIENT)
        decisions = await asyncio.gather(*(limiter.hit("ann") for _ in range(MOST_KEYS)))
        await store.aclose()
        return decisions

    assert [decision.remaining for decision in asyncio.run(main())] == list(range(4_999, 4_999 - MOST_KEYS, -1))
    assert [commands[0][2] for _, commands, _ in server.seen][-2:] == [str(MOST_KEYS).encode()] * 2


def test_threads_share_a_store_and_are_admitted_exactly_the_quota(server, store):
    limiter = Limiter("300/hour", store=store, **PATIENT)
    admitted = []
    crowd = [threading.Thread(target=lambda: admitted.append(sum(bool(limiter.hit("ann")) for _ in range(50)))) for _ in range(20)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    assert sum(admitted) == 300
    assert len(server.seen) < 500  # many rode together


def test_after_a_script_flush_the_script_is_sent_whole_and_the_hit_counts_once(server, store, redis_client):
    limiter = Limiter("9/minute", store=store, **CLOSED)
    limiter.hit("ann")
    redis_client.script_flush()
    server.seen.clear()
    assert limiter.hit("ann").remaining == 7
    assert limiter.hit("ann").remaining == 6
    redis_client.script_flush()
    assert limiter.peek("ann").remaining == 6
    assert server.commands() == [["EVALSHA"], ["EVAL"], ["EVALSHA"], ["EVALSHA_RO"], ["EVAL_RO"]]


def test_cancelled_callers_leave_the_connection_whole(server):
    async def main():
        store = AsyncUpstashStore(server.url)
        limiter = AsyncLimiter("100000/hour", "100000/day", store=store, **PATIENT)
        await limiter.hit("warm")
        for _ in range(20):
            tasks = [asyncio.create_task(limiter.hit("ann")) for _ in range(8)]
            await asyncio.sleep(0.001)
            for task in tasks[::2]:
                task.cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
            for decision in done[1::2]:
                assert decision.source == "store"
        peek = await limiter.peek("nobody")
        assert [part.remaining for part in peek.details] == [100_000, 100_000]
        await store.aclose()

    asyncio.run(main())


def test_callers_who_all_gave_up_before_it_left_are_not_counted(server):
    async def main():
        store = AsyncUpstashStore(server.url)
        limiter = AsyncLimiter("9/hour", store=store, **PATIENT)
        await limiter.hit("ann")
        task = asyncio.create_task(limiter.hit("ann"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        remaining = (await limiter.peek("ann")).remaining
        await store.aclose()
        return remaining

    assert asyncio.run(main()) == 8


def test_one_async_store_lives_through_several_event_loops(server):
    store = AsyncUpstashStore(server.url)
    limiter = AsyncLimiter("5/minute", store=store, **PATIENT)

    async def hits():
        return sorted(decision.remaining for decision in await asyncio.gather(limiter.hit("ann"), limiter.hit("ann")))

    async def last():
        decision = await limiter.hit("ann")
        await store.aclose()
        return decision.remaining

    assert [asyncio.run(hits()), asyncio.run(hits()), asyncio.run(last())] == [[3, 4], [1, 2], 0]


def test_a_store_that_was_closed_opens_again(server):
    store = UpstashStore(server.url)
    for remaining in (8, 7):
        assert Limiter("9/minute", store=store, **PATIENT).hit("ann").remaining == remaining
        thread = store._thread._running.thread
        store.close()
        store.close()
        assert not thread.is_alive()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_has_a_loop_and_connections_of_its_own(store):
    limiter = Limiter("500/hour", store=store, **PATIENT)
    limiter.hit("ann")
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            os._exit(0 if all(limiter.hit("ann").source == "store" for _ in range(20)) else 1)
        children.append(child)
    assert all(limiter.hit("ann") for _ in range(20))
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    assert limiter.peek("ann").remaining == 500 - 1 - 80
