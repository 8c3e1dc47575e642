"""
The counters as type checkers see them; checked by mypy and pyright, never run.
"""

from datetime import datetime
from typing import assert_type

from ratekit import (
    AsyncConcurrencyLimiter,
    AsyncCounter,
    AsyncLeaderboard,
    AsyncUniqueCounter,
    ConcurrencyLimiter,
    Counter,
    Leaderboard,
    Limit,
    UniqueCounter,
)
from ratekit.counters import Behind, Bucket, Entry, Lease


def threads() -> None:
    with Counter("a", per="day", keep=3, tz="Europe/Berlin") as counter:
        assert_type(counter.add(("ann", 42), -3), int)
        assert_type(counter.add_many({"ann": 1}), list[int])
        assert_type(counter.add_many(["ann", 7]), list[int])
        assert_type(counter.values(["ann"]), list[int])
        assert_type(counter.series("ann"), list[Bucket])
        assert_type(counter.series("ann")[0].start, datetime)
        assert_type(counter.behind, Behind)
    assert_type(UniqueCounter().count("ann", last=1), int)
    assert_type(Leaderboard().top(3), list[Entry])
    assert_type(Leaderboard().rank("ann"), int | None)
    limiter = ConcurrencyLimiter(3)
    with limiter.hold("ann", timeout=1) as lease:
        assert_type(lease, Lease)

    @limiter.limited(key=lambda name, **_: name)
    def work(name: str) -> float:
        return 1.0

    assert_type(work("ann"), float)
    work(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert_type(Limit.calendar(5, "month", tz="Europe/Berlin"), Limit)


async def loops() -> None:
    async with AsyncCounter("a") as counter:
        assert_type(await counter.add("ann"), int)
        assert_type(await counter.take("ann"), int)
    assert_type(await AsyncUniqueCounter().count("ann"), int)
    assert_type(await AsyncLeaderboard().around("ann"), list[Entry])
    limiter = AsyncConcurrencyLimiter(3)

    @limiter.limited()
    async def work(name: str) -> float:
        return 1.0

    assert_type(await work("ann"), float)
