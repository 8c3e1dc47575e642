"""
Reservations: charged on entering, settled once, given back when something goes wrong.
"""

import asyncio

import anyio
import pytest
from doors import PATIENT

from ratekit import AsyncLimiter, ConfigurationError, Limiter, RateLimitExceeded
from ratekit.stores import AsyncMemoryStore, MemoryStore
from ratekit.stores.redis import AsyncRedisStore, RedisStore


def test_a_reservation_cannot_be_settled_before_it_is_entered():
    reservation = Limiter("5/minute", store=MemoryStore()).reserve("ann")
    assert reservation.decision is None
    with pytest.raises(ConfigurationError, match="with"):
        reservation.commit(1)


def test_only_the_first_commit_counts():
    limiter = Limiter("10/minute", store=MemoryStore())
    with limiter.reserve("ann", cost=6) as reservation:
        first = reservation.commit(2)
        assert reservation.commit(9) is first
        assert reservation.decision is first
    assert limiter.peek("ann").remaining == 8


def test_an_exception_after_a_commit_gives_nothing_more_back():
    limiter = Limiter("10/minute", store=MemoryStore())
    with pytest.raises(LookupError), limiter.reserve("ann", cost=6) as reservation:
        raise LookupError(reservation.commit(5))
    assert limiter.peek("ann").remaining == 5


def test_a_refused_reservation_charges_nothing():
    limiter = Limiter("5/minute", "2/hour", store=MemoryStore())
    with pytest.raises(RateLimitExceeded), limiter.reserve("ann", cost=3):
        raise AssertionError
    assert limiter.peek("ann").details[0].remaining == 5


def test_giving_back_does_not_reach_a_window_that_was_not_charged(clock):
    for text in ("5/minute fixed_window", "5/minute", "90/minute buckets 5", "5/minute sliding_counter", "5/minute token_bucket"):
        limiter = Limiter(text, store=MemoryStore(clock=clock))
        reservation = limiter.reserve("ann", cost=4)
        with reservation:
            clock.advance(121)
            limiter.hit("ann", cost=3)
            before = limiter.peek("ann").remaining
            assert reservation.commit(0).remaining == before


def test_a_token_bucket_gives_back_only_what_time_has_not_refilled(clock):
    limiter = Limiter("60/minute burst 10", store=MemoryStore(clock=clock))
    with limiter.reserve("ann", cost=10) as reservation:
        clock.advance(4)
        assert limiter.peek("ann").remaining == 4
        assert reservation.commit(0).remaining == 10


def test_a_debt_by_force_is_paid_back_by_time(clock):
    limiter = Limiter("60/minute burst 10", store=MemoryStore(clock=clock))
    with limiter.reserve("ann", cost=1) as reservation:
        assert reservation.commit(70).remaining == 0
    assert limiter.hit("ann").retry_after == 61
    clock.advance(61)
    assert limiter.hit("ann")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cancelled_caller_gives_back(backend):
    async def main():
        limiter = AsyncLimiter("5/minute", store=AsyncMemoryStore())
        with anyio.move_on_after(0.01):
            async with limiter.reserve("ann", cost=4):
                assert (await limiter.peek("ann")).remaining == 1
                await anyio.sleep(60)
        assert (await limiter.peek("ann")).remaining == 5

    anyio.run(main, backend=backend)


def test_a_cancelled_caller_gives_back_on_redis(redis_url):
    async def main():
        store = AsyncRedisStore(redis_url)
        limiter = AsyncLimiter("5/minute", store=store, **PATIENT)

        async def work():
            async with limiter.reserve("ann", cost=4):
                entered.set()
                await asyncio.sleep(60)

        entered = asyncio.Event()
        task = asyncio.create_task(work())
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await limiter.peek("ann")).remaining == 5
        await store.aclose()

    asyncio.run(main())


def test_a_store_that_goes_away_keeps_the_charge_and_the_own_exception(redis_server, caplog):
    with type(redis_server)() as server:
        store = RedisStore(server.url)
        limiter = Limiter("5/minute", store=store, **PATIENT)
        with pytest.raises(LookupError), limiter.reserve("ann"):
            raise LookupError(server.stop())
        store.close()
    assert "stays spent" in caplog.text


def test_reservations_of_many_tasks_settle_exactly(redis_url):
    async def main():
        store = AsyncRedisStore(redis_url)
        limiter = AsyncLimiter("100/hour", "1000/day token_bucket", store=store, **PATIENT)

        async def work(used):
            async with limiter.reserve("ann", cost=5) as reservation:
                await asyncio.sleep(0)
                await reservation.commit(used)

        await asyncio.gather(*(work(used) for used in (0, 1, 2, 3, 4, 5) * 3))
        decision = await limiter.peek("ann")
        await store.aclose()
        assert decision.details[0].remaining == 100 - 3 * 15

    asyncio.run(main())
