"""
UniqueCounter and AsyncUniqueCounter: thin shells; `unique.py` says what is asked and what the answers mean.
"""

from datetime import timedelta
from types import TracebackType

from ratekit.counters.asking import ask, async_ask
from ratekit.counters.options import QUARTER, buckets_and_life, check_last, check_member
from ratekit.counters.place import Place
from ratekit.counters.series import Bucket
from ratekit.counters.unique import Unique
from ratekit.errors import ConfigurationError
from ratekit.stores.naming import Identity
from ratekit.stores.protocol import AsyncStore, Store


class UniqueCounter:
    """
    About how many distinct members, for threads: per identity, and with `per` and `keep` per bucket of time, whose unions can be
    counted, too.

    A HyperLogLog: 12 kB at most for each identity and bucket, whatever is counted (in memory 16 kB). The standard error is 0.81 %:
    of 100 counts some 5 are off by more than 1.6 %; up to some hundred members it is next to nothing. Memory and Redis give the same
    answer. The options are those of `Counter`. Counting a member twice changes nothing, so an add that failed may be made again.

    >>> visitors = UniqueCounter("visitors", per="day", keep=7)
    >>> visitors.add("/pricing", "ann", "bob", "ann")
    >>> visitors.count("/pricing"), visitors.count("/pricing", last=1), visitors.series("/pricing")[-1].count
    (2, 2, 2)
    """

    def __init__(
        self,
        name: str = "default",
        *,
        store: str | Store = "memory://",
        per: str | float | timedelta | None = None,
        keep: int | None = None,
        tz: str | None = None,
        expire: float | None = QUARTER,
        prefix: str = "ratekit",
        budget: float | None = None,
    ) -> None:
        self.name = name
        self._plan = Unique(*buckets_and_life(per, keep, tz, expire))
        self._place = Place(store, wait=False, name=name, prefix=prefix, tail=self._plan.label, budget=budget)
        self._store = self._place.store

    def add(self, identity: Identity, *members: str | int) -> None:
        """Count members: text of at most 256 characters, or whole numbers. Raises StoreError; then it may be made again."""
        plan, key = self._plan, self._place.key(identity)
        texts = [check_member(member) for member in members]
        if texts:
            # The first one alone finds out what time it is at the store.
            ask(self._store, key, lambda: plan.add(texts[0]), plan.counted, plan.hint)
        if len(texts) > 1:
            self._store.count_many([(key, plan.add(text)) for text in texts[1:]])

    def count(self, identity: Identity, last: int | None = None) -> int:
        """About how many distinct members there were; where there are buckets, in the last ones together (all that are kept)."""
        plan, last = self._plan, check_last(last, self._plan.keep or 1)
        return ask(self._store, self._place.key(identity), lambda: plan.count(last), plan.counted, plan.hint)[0]

    def series(self, identity: Identity, last: int | None = None) -> list[Bucket]:
        """About how many distinct members there were in each of the last buckets, the present one last."""
        plan, last = self._plan, check_last(last, self._plan.keep or 1)
        if plan.buckets is None:
            raise ConfigurationError("this counter has no buckets of time: make it with per='minute', keep=60")
        return ask(self._store, self._place.key(identity), lambda: plan.series(last), plan.shown, plan.hint)

    def reset(self, identity: Identity) -> None:
        """Make an identity as new."""
        plan = self._plan
        ask(self._store, self._place.key(identity), plan.reset, plan.counted, plan.hint)

    def close(self) -> None:
        """Let go of a store that was opened from a URL; a store object that was passed in stays open."""
        if self._place.leaves():
            self._store.close()

    def __enter__(self) -> "UniqueCounter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"UniqueCounter({self.name!r})"


class AsyncUniqueCounter:
    """About how many distinct members, for event loops: `UniqueCounter`, awaited."""

    def __init__(
        self,
        name: str = "default",
        *,
        store: str | AsyncStore = "memory://",
        per: str | float | timedelta | None = None,
        keep: int | None = None,
        tz: str | None = None,
        expire: float | None = QUARTER,
        prefix: str = "ratekit",
        budget: float | None = None,
    ) -> None:
        self.name = name
        self._plan = Unique(*buckets_and_life(per, keep, tz, expire))
        self._place = Place(store, wait=True, name=name, prefix=prefix, tail=self._plan.label, budget=budget)
        self._store = self._place.store

    async def add(self, identity: Identity, *members: str | int) -> None:
        """Count members: text of at most 256 characters, or whole numbers. Raises StoreError; then it may be made again."""
        plan, key = self._plan, self._place.key(identity)
        texts = [check_member(member) for member in members]
        if texts:
            # The first one alone finds out what time it is at the store.
            await async_ask(self._store, key, lambda: plan.add(texts[0]), plan.counted, plan.hint)
        if len(texts) > 1:
            await self._store.count_many([(key, plan.add(text)) for text in texts[1:]])

    async def count(self, identity: Identity, last: int | None = None) -> int:
        """About how many distinct members there were; where there are buckets, in the last ones together (all that are kept)."""
        plan, last = self._plan, check_last(last, self._plan.keep or 1)
        counts = await async_ask(self._store, self._place.key(identity), lambda: plan.count(last), plan.counted, plan.hint)
        return counts[0]

    async def series(self, identity: Identity, last: int | None = None) -> list[Bucket]:
        """About how many distinct members there were in each of the last buckets, the present one last."""
        plan, last = self._plan, check_last(last, self._plan.keep or 1)
        if plan.buckets is None:
            raise ConfigurationError("this counter has no buckets of time: make it with per='minute', keep=60")
        return await async_ask(self._store, self._place.key(identity), lambda: plan.series(last), plan.shown, plan.hint)

    async def reset(self, identity: Identity) -> None:
        """Make an identity as new."""
        plan = self._plan
        await async_ask(self._store, self._place.key(identity), plan.reset, plan.counted, plan.hint)

    async def aclose(self) -> None:
        """Let go of a store that was opened from a URL; a store object that was passed in stays open."""
        if self._place.leaves():
            await self._store.aclose()

    async def __aenter__(self) -> "AsyncUniqueCounter":
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"AsyncUniqueCounter({self.name!r})"
