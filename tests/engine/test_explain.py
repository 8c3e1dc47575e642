"""
`explain`: which limits there are, what was spent of each, and when it is free again.
"""

import asyncio

import pytest

from ratekit import AsyncLimiter, Limiter, StoreUnavailable
from ratekit.limit import ALGORITHM_NAMES
from ratekit.stores import AsyncMemoryStore, MemoryStore
from ratekit.stores.redis import RedisStore
from ratekit.testing import ManualClock


@pytest.fixture(params=["memory", "redis"])
def store(request, clock):
    """A store whose clock a test moves."""
    if request.param == "memory":
        yield MemoryStore(clock=clock)
        return
    store = RedisStore(request.getfixturevalue("redis_url"), clock=clock, budget=5.0)
    yield store
    store.close()


def test_what_was_spent_is_told_per_limit(store):
    with Limiter("3/minute", "100/hour fixed_window", store=store, name="explain") as limiter:
        limiter.hit("user:42", cost=2)
        told = limiter.explain("user:42")
        assert [(one.spent, one.capacity, one.remaining, one.allows) for one in told.limits] == [
            (2, 3, 1, True),
            (2, 100, 98, True),
        ]
        assert (told.allowed, told.retry_after, told.identity, told.source, told.degraded) == (True, 0, "user:42", "store", False)


@pytest.mark.parametrize("algorithm", ALGORITHM_NAMES)
def test_it_is_free_again_when_it_says_and_a_hit_fits_when_it_says(store, clock, algorithm):
    with Limiter(f"4/minute {algorithm}", store=store, name="explain") as limiter:
        limiter.hit("user:42", cost=4)
        clock.advance(1)
        told = limiter.explain("user:42")
        assert not told.allowed
        assert told.limits[0].allows is False
        assert 0 < told.retry_after <= told.limits[0].free_after
        assert limiter.explain("user:42") == told, "explaining charges nothing"
        clock.advance_us(round(told.retry_after * 1e6))
        assert limiter.explain("user:42").allowed
        clock.advance_us(round((told.limits[0].free_after - told.retry_after) * 1e6))
        assert limiter.explain("user:42").limits[0].spent == 0


def test_the_text_names_the_limit_that_refuses_and_the_wait():
    clock = ManualClock(1_000_000_000_000_000)
    limiter = Limiter("2/minute fixed_window", "100/day fixed_window", store=MemoryStore(clock=clock), name="explain")
    limiter.hit("user:42", cost=2)
    assert str(limiter.explain("user:42")).splitlines() == [
        "user:42: a hit would be refused by 2/minute fixed_window; retry after 60 s",
        "  2/minute fixed_window: 2 of 2 spent, more in 60 s, as new in 60 s",
        "  100/day fixed_window: 2 of 100 spent, more in 86,400 s, as new in 86,400 s",
    ]
    assert str(limiter.explain("user:7")).splitlines()[0] == "user:7: a hit would be admitted"


def test_an_event_loop_is_told_the_same(clock):
    async def told():
        memory = MemoryStore(clock=clock)
        limiter = AsyncLimiter("3/minute", store=AsyncMemoryStore(memory), name="explain")
        await limiter.hit("user:42")
        with Limiter("3/minute", store=memory, name="explain") as same:
            assert await limiter.explain("user:42") == same.explain("user:42")

    asyncio.run(told())


def test_an_answer_without_the_store_says_so():
    with Limiter("3/minute", store="redis://127.0.0.1:1/0", name="explain away") as limiter:
        told = limiter.explain("user:42")
        assert (told.degraded, told.source) == (True, "local")
        assert "the store is away; local answers" in str(told)
    with (
        Limiter("3/minute", store="redis://127.0.0.1:1/0", name="explain away", on_outage="closed") as limiter,
        pytest.raises(StoreUnavailable),
    ):
        limiter.explain("user:42")
