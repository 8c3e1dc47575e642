"""
ConcurrencyLimiter: at most so many at once, whoever keeps the state; first come first served; a dead holder's place becomes free.
"""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from servers import until

from ratekit.counters import AsyncConcurrencyLimiter, ConcurrencyExceeded, ConcurrencyLimiter
from ratekit.errors import ConfigurationError, RateKitWarning, StoreUnavailable
from ratekit.stores import AsyncRedisStore, MemoryStore, RedisStore

ROOT = Path(__file__).parents[2]


def test_no_more_than_the_places_are_held(way):
    limiter = way.ConcurrencyLimiter(2)
    first, second = limiter.acquire("ann", 0), limiter.acquire("ann", 0)
    with pytest.raises(ConcurrencyExceeded, match="2 at once"):
        limiter.acquire("ann", 0)
    assert (first.held, second.held, limiter.holders("ann"), limiter.holders("bob")) == (True, True, 2, 0)
    limiter.acquire("bob", 0)
    limiter.release(first)
    limiter.release(first)
    assert (first.held, limiter.holders("ann")) == (False, 1)
    assert limiter.acquire("ann", 0).held


def test_limiters_of_one_name_share_their_places(way):
    one, other = way.ConcurrencyLimiter(1, "shared"), way.ConcurrencyLimiter(1, "shared")
    one.acquire("ann", 0)
    with pytest.raises(ConcurrencyExceeded):
        other.acquire("ann", 0)
    assert way.ConcurrencyLimiter(1, "else").acquire("ann", 0)


def test_a_wait_that_is_over_leaves_nobody_in_line(way):
    limiter = way.ConcurrencyLimiter(1)
    lease = limiter.acquire("ann")
    with pytest.raises(ConcurrencyExceeded):
        limiter.acquire("ann", 0.05)
    assert limiter.waiting("ann") == 0
    limiter.release(lease)
    assert limiter.acquire("ann", 0)


def test_who_waits_gets_the_place_that_becomes_free(way):
    limiter = way.ConcurrencyLimiter(1)
    lease = limiter.acquire("ann")
    threading.Timer(0.1, limiter.release, [lease]).start()
    assert limiter.acquire("ann", 20).held


def test_a_lease_that_is_not_renewed_ends(remote, clock):
    limiter = remote.ConcurrencyLimiter(1, lease=10)
    limiter.acquire("ann", 0)
    clock.advance(9.9)
    with pytest.raises(ConcurrencyExceeded):
        limiter.acquire("ann", 0)
    clock.advance(0.2)
    assert limiter.holders("ann") == 0
    assert limiter.acquire("ann", 0)


def test_those_who_wait_elsewhere_come_first(remote, clock):
    """A line across processes: who asks later gets only what those who wait leave over."""
    limiter = remote.ConcurrencyLimiter(1)
    lease = limiter.acquire("ann", 0)
    plan, key = limiter._holding.leases, limiter._place.key("ann")
    count = (
        limiter._store.count
        if not hasattr(limiter, "portal")
        else lambda *words: limiter.portal.call(limiter.inner._store.count, *words)
    )
    for who in ("first", "second"):
        assert count(key, plan.enter(who, 2_000_000))[0] == 0
        clock.advance_us(1)
    limiter.release(lease)
    with pytest.raises(ConcurrencyExceeded):
        limiter.acquire("ann", 0)
    assert [count(key, plan.enter(who, 2_000_000))[0] for who in ("second", "first")] == [0, 1]
    count(key, plan.leave("first"))
    clock.advance(2)  # nobody has heard of the second one since
    assert limiter.acquire("ann", 0)


def test_waiting_is_first_come_first_served(redis_url):
    limiter, order = ConcurrencyLimiter(1, store=redis_url, budget=10), []
    lease = limiter.acquire("ann")

    def wait(number):
        with limiter.hold("ann", 30):
            order.append(number)

    with limiter, ThreadPoolExecutor(8) as pool:
        for number in range(8):
            pool.submit(wait, number)
            until(lambda number=number: limiter._queues.waiting(limiter._place.key("ann")) == number + 1)
        limiter.release(lease)
    assert order == list(range(8))


def test_tasks_wait_in_order_and_a_cancelled_one_gives_way(redis_url):
    async def scenario():
        async with AsyncConcurrencyLimiter(1, store=redis_url, budget=10) as limiter:
            order, lease = [], await limiter.acquire("ann")

            async def wait(number):
                async with limiter.hold("ann", 30):
                    order.append(number)

            tasks = []
            for number in range(6):
                tasks.append(asyncio.create_task(wait(number)))
                await asyncio.sleep(0)
            await asyncio.sleep(0.05)
            tasks[0].cancel()
            tasks[3].cancel()
            await asyncio.sleep(0.05)
            await limiter.release(lease)
            await asyncio.gather(*tasks, return_exceptions=True)
            assert (order, await limiter.holders("ann"), await limiter.waiting("ann")) == ([1, 2, 4, 5], 0, 0)

    asyncio.run(scenario())


def test_a_holder_that_is_cancelled_gives_its_place_back(redis_url):
    async def scenario():
        async with AsyncConcurrencyLimiter(1, store=redis_url, budget=10) as limiter:

            async def hold():
                async with limiter.hold("ann"):
                    await asyncio.sleep(60)

            task = asyncio.create_task(hold())
            while not await limiter.holders("ann"):
                await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert await limiter.holders("ann") == 0

    asyncio.run(scenario())


def test_a_lease_is_renewed_while_its_holder_lives(redis_url):
    with ConcurrencyLimiter(1, store=redis_url, lease=0.3, budget=10) as limiter, limiter.hold("ann") as lease:
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            assert limiter.holders("ann") == 1
            time.sleep(0.02)
        assert lease.held


def test_a_task_renews_its_lease_too(redis_url):
    async def scenario():
        async with AsyncConcurrencyLimiter(1, store=redis_url, lease=0.3, budget=10) as limiter, limiter.hold("ann") as lease:
            await asyncio.sleep(0.8)
            assert (lease.held, await limiter.holders("ann")) == (True, 1)

    asyncio.run(scenario())


def test_a_lease_that_was_taken_away_is_not_held_any_more(redis_url, redis_client, caplog):
    with ConcurrencyLimiter(1, store=redis_url, lease=0.3, budget=10) as limiter:
        lease = limiter.acquire("ann")
        redis_client.flushall()
        until(lambda: not lease.held)
        until(lambda: "ended before it could be renewed" in caplog.text)


def test_the_store_that_is_away_holds_nothing_and_a_lease_shows_it(redis_server):
    import servers

    with servers.RedisServer() as server:
        limiter = ConcurrencyLimiter(1, store=server.url, lease=0.3, budget=1)
        lease = limiter.acquire("ann")
        server.stop()
        with pytest.raises(StoreUnavailable):
            limiter.acquire("ann", 0)
        until(lambda: not lease.held)
        limiter.close()


HOLDER = """if True:
    import sys, time
    from ratekit.counters import ConcurrencyLimiter
    limiter = ConcurrencyLimiter(2, "killed", store=sys.argv[1], lease=1.0, budget=10)
    limiter.acquire("ann"), limiter.acquire("ann")
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_places_of_a_process_that_was_killed_are_free_within_their_lease(redis_url):
    process = subprocess.Popen([sys.executable, "-c", HOLDER, redis_url], stdout=subprocess.PIPE, cwd=ROOT)
    with ConcurrencyLimiter(2, "killed", store=redis_url, lease=1.0, budget=10) as limiter:
        assert process.stdout.readline() == b"held\n"
        time.sleep(1.5)  # longer than a lease: they are renewed
        assert limiter.holders("ann") == 2
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        killed = time.monotonic()
        with limiter.hold("ann", 10):
            assert time.monotonic() - killed < 1.0 + 0.1 + 2.0  # the lease, a pause, and a machine that is busy


CROWD = """if True:
    import sys, time, redis
    from concurrent.futures import ThreadPoolExecutor
    from ratekit.counters import ConcurrencyLimiter
    url, rounds = sys.argv[1], int(sys.argv[2])
    client = redis.Redis.from_url(url)
    limiter = ConcurrencyLimiter(3, "crowd", store=url, budget=10)
    def work(_):
        most = 0
        for _ in range(rounds):
            with limiter.hold("ann", 60) as lease:
                most = max(most, client.incr("inside"))
                assert lease.held
                client.decr("inside")
        return most
    with ThreadPoolExecutor(4) as pool:
        print(max(pool.map(work, range(4))))
"""


def test_never_more_than_the_places_are_held_across_processes(redis_url):
    words = [sys.executable, "-c", CROWD, redis_url, "10"]
    crowd = [subprocess.Popen(words, stdout=subprocess.PIPE, cwd=ROOT) for _ in range(4)]
    most = [int(process.communicate(timeout=100)[0]) for process in crowd]
    assert 1 <= max(most) <= 3


def test_a_decorated_function_holds_a_place():
    limiter = ConcurrencyLimiter(1, "decorated", store=MemoryStore())

    @limiter.limited(key=lambda user, **_: user, timeout=0)
    def export(user, year=2027, **rest):
        if year == 2027:
            with pytest.raises(ConcurrencyExceeded):
                export(user, 2028)
            return export("bob", 2028)
        return limiter.holders(user)

    assert export("ann", colour="red") == 1
    assert (limiter.holders("ann"), export.__name__) == (0, "export")

    @limiter.limited()
    def alone():
        return limiter.holders(f"{__name__}.{alone.__qualname__}")

    assert alone() == 1


def test_a_decorated_coroutine_function_holds_a_place(redis_url):
    async def scenario():
        store = AsyncRedisStore(redis_url, budget=10)
        limiter, inside = AsyncConcurrencyLimiter(2, store=store, budget=10), [0, 0]

        @limiter.limited()
        async def work():
            inside[0] += 1
            inside[1] = max(inside)
            await asyncio.sleep(0.005)
            inside[0] -= 1

        await asyncio.gather(*(work() for _ in range(10)))
        await limiter.aclose()
        await store.aclose()
        assert inside == [0, 2]

    asyncio.run(scenario())


def test_a_function_and_a_limiter_that_do_not_go_together_are_named():
    async def work(): ...

    with pytest.raises(ConfigurationError, match="async def"):
        ConcurrencyLimiter(1).limited()(work)
    with pytest.raises(ConfigurationError, match="async def"):
        AsyncConcurrencyLimiter(1).limited()(lambda: None)
    with pytest.raises(ConfigurationError, match="callable"):
        ConcurrencyLimiter(1).limited(key="user")(lambda: None)


@pytest.mark.parametrize(
    "wrong", [{"places": 0}, {"places": True}, {"places": 1, "lease": 0}, {"places": 1, "lease": None}], ids=str
)
def test_what_cannot_be_is_said(wrong):
    with pytest.raises(ConfigurationError):
        ConcurrencyLimiter(**wrong)


def test_the_switch_that_turns_limiting_off_admits_all_and_says_so(monkeypatch):
    monkeypatch.setenv("RATEKIT_ENABLED", "0")
    with pytest.warns(RateKitWarning, match="RATEKIT_ENABLED"):
        limiter = ConcurrencyLimiter(1, "off")
    with limiter.hold("ann"), limiter.hold("ann", 0) as lease:
        assert lease.held


def test_keys_are_short_and_expire(redis_url, redis_client):
    store = RedisStore(redis_url, budget=10)
    limiter = ConcurrencyLimiter(1, "n" * 300, prefix="p" * 99, store=store, budget=10)
    limiter.acquire("x" * 400)
    with pytest.raises(ConcurrencyExceeded):
        limiter.acquire("x" * 400, 0.01)
    limiter._store.count(limiter._place.key("x" * 400), limiter._holding.leases.enter("other", 2_000_000))
    keys = redis_client.keys()
    assert len(keys) == 3
    assert all(len(key) < 200 and 0 < redis_client.ttl(key) <= 30 for key in keys)
    limiter.close()
    store.close()


@pytest.mark.parametrize("tail", ["", ":w", ":a"])
def test_a_key_that_holds_something_else_is_repaired(redis_url, redis_client, tail):
    with ConcurrencyLimiter(1, store=redis_url, budget=10) as limiter:
        for suffix in {tail, ":w"} if tail == ":a" else {tail}:
            redis_client.set(f"ratekit:{{default:ann}}::cl1{suffix}", "something else")
        assert limiter.holders("ann") == 0
        lease = limiter.acquire("ann", 0)
        with pytest.raises(ConcurrencyExceeded):
            limiter.acquire("ann", 0.02)
        limiter.release(lease)
