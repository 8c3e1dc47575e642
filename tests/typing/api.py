"""
The public names as type checkers see them; checked by mypy and pyright, never run.
"""

from datetime import timedelta
from typing import assert_type

from ratekit import (
    AsyncLimiter,
    ConfigurationError,
    Decision,
    Limit,
    Limiter,
    RateLimitExceeded,
    StoreError,
    StoreUnavailable,
    open_async_store,
    open_store,
)
from ratekit.stores import AsyncMemoryStore, AsyncStore, MemoryStore, Store
from ratekit.stores.redis import AsyncRedisStore, RedisStore
from ratekit.testing import ManualClock


def limits() -> None:
    limit = Limit(100, per=timedelta(minutes=1), burst=20, name="login")
    assert_type(limit.quota, int)
    assert_type(limit.per, float)
    assert_type(limit.burst, int | None)
    assert_type(Limit.parse("5/minute"), Limit)
    assert_type(Limit.parse_many("5/minute; 6/hour"), tuple[Limit, ...])
    Limit(100)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def threads(clock: ManualClock) -> None:
    store: Store = MemoryStore(clock=clock)
    other: Store = RedisStore("redis://localhost:6379/0", clock=clock)
    assert_type(open_store("memory://"), Store)
    with Limiter("5/minute", Limit(6, per=1), store=store) as limiter:
        decision = limiter.hit(("ann", 42), cost=2)
        assert_type(decision, Decision)
        assert_type(decision.allowed, bool)
        assert_type(decision.remaining, int)
        assert_type(decision.retry_after, float)
        assert_type(decision.limit, Limit)
        assert_type(decision.details, tuple[Decision, ...])
        assert_type(limiter.acquire("ann", timeout=2.5), Decision)
        with limiter.reserve(42, cost=5) as reservation:
            assert_type(reservation.commit(3), Decision)
            assert_type(reservation.decision, Decision | None)
        limiter.reset("ann")
    Limiter("5/minute", store=other)
    Limiter("5/minute", store=AsyncMemoryStore())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def loops() -> None:
    store: AsyncStore = AsyncMemoryStore()
    other: AsyncStore = AsyncRedisStore("redis://localhost:6379/0")
    assert_type(open_async_store("memory://"), AsyncStore)
    async with AsyncLimiter("5/minute", store=store) as limiter:
        assert_type(await limiter.hit("ann"), Decision)
        assert_type(await limiter.acquire("ann", timeout=None), Decision)
        async with limiter.reserve("ann") as reservation:
            assert_type(await reservation.commit(0), Decision)
        await limiter.reset("ann")
    AsyncLimiter("5/minute", store=other)


def errors() -> None:
    try:
        Limiter("5/minute").acquire("ann", timeout=0)
    except RateLimitExceeded as error:
        assert_type(error.decision, Decision)
    except StoreUnavailable as error:
        assert_type(error.decision, Decision | None)
    except (StoreError, ConfigurationError):
        pass
