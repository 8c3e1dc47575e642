"""
`acquire` waits its turn: first come, first served, for exactly as long as it takes, or not at all. Waits in here are real and short.
"""

import asyncio
import threading
import time
from math import inf

import anyio
import pytest

from ratekit import AsyncLimiter, Limiter, RateLimitExceeded
from ratekit.stores import AsyncMemoryStore, MemoryStore


def test_acquire_waits_until_it_is_admitted():
    limiter = Limiter("2/20 ms", store=MemoryStore())
    decisions = [limiter.acquire("ann", timeout=5) for _ in range(6)]
    assert all(decisions)


def test_a_wait_that_cannot_fit_the_timeout_raises_at_once(clock):
    limiter = Limiter("1/hour", store=MemoryStore(clock=clock))  # the clock stands still: nothing is waited for
    limiter.hit("ann")
    for timeout in (0, 1, 3_599.9):
        with pytest.raises(RateLimitExceeded) as caught:
            limiter.acquire("ann", timeout=timeout)
        assert caught.value.decision.retry_after == 3_600


@pytest.mark.parametrize("timeout", [None, inf, 0])
def test_a_cost_that_never_fits_raises_at_once(timeout):
    limiter = Limiter("1/hour", store=MemoryStore())
    with pytest.raises(RateLimitExceeded) as caught:
        limiter.acquire("ann", cost=2, timeout=timeout)
    assert caught.value.decision.retry_after == inf


def test_threads_are_served_in_the_order_they_came():
    limiter = Limiter("1/15 ms", store=MemoryStore())
    limiter.hit("ann")
    served, crowd = [], []
    for number in range(6):
        thread = threading.Thread(target=lambda number=number: (limiter.acquire("ann"), served.append(number)))
        crowd.append(thread)
        thread.start()
        until(lambda number=number: len(limiter._lines._lines.get("ann", ())) > number or served)
    for thread in crowd:
        thread.join()
    assert served == sorted(served)


def until(done):
    for _ in range(5_000):
        if done():
            return
        time.sleep(0.001)
    raise AssertionError


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_tasks_are_served_in_the_order_they_came(backend):
    async def main():
        limiter = AsyncLimiter("1/15 ms", store=AsyncMemoryStore())
        await limiter.hit("ann")
        served = []

        async def one(number):
            await limiter.acquire("ann")
            served.append(number)

        async with anyio.create_task_group() as group:
            for number in range(6):
                group.start_soon(one, number)
                await anyio.sleep(0.001)
        assert served == list(range(6))

    anyio.run(main, backend=backend)


def test_who_asks_for_less_does_not_overtake():
    async def main():
        limiter = AsyncLimiter("4/40 ms fixed_window", store=AsyncMemoryStore())
        await limiter.hit("ann", cost=3)
        served = []

        async def one(cost):
            await limiter.acquire("ann", cost=cost)
            served.append(cost)

        async with anyio.create_task_group() as group:
            for cost in (4, 1):
                group.start_soon(one, cost)
                await anyio.sleep(0.001)
        assert served == [4, 1]

    anyio.run(main)


def test_identities_do_not_wait_for_each_other():
    async def main():
        limiter = AsyncLimiter("1/hour", store=AsyncMemoryStore())
        await limiter.hit("ann")
        waiting = asyncio.create_task(limiter.acquire("ann"))
        await asyncio.sleep(0)
        assert await limiter.acquire("bob", timeout=0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(main())


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_who_is_cancelled_leaves_the_line_to_the_next(backend):
    async def main():
        limiter = AsyncLimiter("1/30 ms", store=AsyncMemoryStore())
        await limiter.hit("ann")
        async with anyio.create_task_group() as group:
            with anyio.CancelScope() as scope:
                group.start_soon(cancelled, scope)
                await limiter.acquire("ann")
        with anyio.fail_after(5):
            assert await limiter.acquire("ann")
        assert not limiter._lines._lines

    async def cancelled(scope):
        await anyio.sleep(0.002)
        scope.cancel()

    anyio.run(main, backend=backend)


def test_a_timeout_that_passes_in_line_is_a_refusal():
    async def main():
        limiter = AsyncLimiter("1/300 ms", store=AsyncMemoryStore())
        await limiter.hit("ann")
        first = asyncio.create_task(limiter.acquire("ann"))
        await asyncio.sleep(0.01)
        second = asyncio.create_task(limiter.acquire("ann"))
        await asyncio.sleep(0.01)
        with pytest.raises(RateLimitExceeded) as caught:
            await limiter.acquire("ann", timeout=0.4)  # enough for one, not for a third
        assert not caught.value.decision
        assert all(await asyncio.gather(first, second))

    asyncio.run(main())
