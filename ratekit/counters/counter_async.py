"""
AsyncCounter: `counter.py`, awaited.
"""

from collections.abc import Iterable
from datetime import timedelta
from types import TracebackType

from ratekit.counters.asking import async_ask, in_part, later, missed_of
from ratekit.counters.backlog import Behind
from ratekit.counters.counter import Amounts, amounts_of, hint_of, one_of, plan_of, with_buckets, writes_behind
from ratekit.counters.options import QUARTER, check_amount, check_last
from ratekit.counters.place import Place
from ratekit.counters.series import Bucket
from ratekit.counters.write_behind import AsyncWriter
from ratekit.errors import CountedInPart, StoreError
from ratekit.stores.naming import Identity
from ratekit.stores.protocol import AsyncStore


class AsyncCounter:
    """Counts, for event loops: `Counter`, awaited. In memory under asyncio and trio, on Redis under asyncio."""

    def __init__(
        self,
        name: str = "default",
        *,
        store: str | AsyncStore = "memory://",
        per: str | float | timedelta | None = None,
        keep: int | None = None,
        tz: str | None = None,
        expire: float | None = QUARTER,
        floor: int | None = None,
        write_behind: float | None = None,
        prefix: str = "ratekit",
        budget: float | None = None,
    ) -> None:
        self.name = name
        self._plan = plan_of(per, keep, tz, expire, floor)
        self._hint = hint_of(self._plan)
        self._place = Place(store, wait=True, name=name, prefix=prefix, tail=self._plan.label, budget=budget)
        self._store = self._place.store
        self._one = one_of(self._plan)
        seconds = writes_behind(self._store, write_behind, floor)
        self._writer = None if seconds is None else AsyncWriter(self._store, self._plan, seconds)

    async def add(self, identity: Identity, amount: int = 1) -> int:
        """Add an amount and return the count, of the present bucket where there are buckets. Raises StoreError."""
        plan, amount, key = self._plan, check_amount(amount), self._place.key(identity)
        if self._writer is not None:
            return self._writer.add(key, amount)
        if amount == 1 and self._one is not None:
            count: int = await self._store.count(key, self._one)
            return count
        return await async_ask(self._store, key, lambda: plan.add(amount), plan.added, self._hint)

    async def add_many(self, amounts: Amounts) -> list[int]:
        """Add to many identities, each by itself, in one trip of 512 at most: the counts, in order."""
        pairs = [(self._place.key(identity), amount) for identity, amount in amounts_of(amounts)]
        if self._writer is not None:
            return [self._writer.add(key, amount) for key, amount in pairs]
        try:
            answers = await self._store.count_many([(key, self._plan.add(amount)) for key, amount in pairs])
        except CountedInPart as error:
            raise in_part(error, self._plan.added) from error
        again = missed_of(answers, self._plan.added, self._hint)
        if again:
            try:
                rest = await self._store.count_many([(pairs[i][0], self._plan.add(pairs[i][1])) for i in again])
            except StoreError as error:
                raise in_part(later(error, answers, again), self._plan.added) from error
            for i, answer in zip(again, rest, strict=True):
                answers[i] = answer
        return [self._plan.added(answer) for answer in answers]

    async def value(self, identity: Identity) -> int:
        """The count; where there are buckets, that of all that are kept."""
        return self._plan.value(await self._store.count(self._place.key(identity), self._plan.look()))

    async def values(self, identities: Iterable[Identity]) -> list[int]:
        """The counts of many identities, in order, in one trip of 512 at most."""
        look = self._plan.look()
        try:
            answers = await self._store.count_many([(self._place.key(identity), look) for identity in identities])
        except CountedInPart as error:
            raise in_part(error, self._plan.value) from error
        return [self._plan.value(answer) for answer in answers]

    async def take(self, identity: Identity) -> int:
        """The count, made as new in the same step."""
        await self.flush()
        return self._plan.value(await self._store.count(self._place.key(identity), self._plan.take()))

    async def reset(self, identity: Identity) -> None:
        """Make an identity as new."""
        await self.flush()
        await self._store.count(self._place.key(identity), self._plan.take())

    async def series(self, identity: Identity, last: int | None = None) -> list[Bucket]:
        """The last buckets (all that are kept): the start and the count of each, the present one last; gaps are zeros."""
        plan = with_buckets(self._plan)
        last = check_last(last, plan.keep)
        return plan.series(await self._store.count(self._place.key(identity), plan.look()), last)

    async def total(self, identity: Identity, last: int | None = None) -> int:
        """What was counted in the last buckets (all that are kept), the present one among them."""
        return sum(bucket.count for bucket in await self.series(identity, last))

    async def sliding(self, identity: Identity, last: int | None = None) -> int:
        """What was counted in the time of so many buckets until now, a share of the oldest one among it."""
        plan = with_buckets(self._plan)
        last = check_last(last, plan.keep)
        return plan.sliding(await self._store.count(self._place.key(identity), plan.look()), last)

    async def flush(self) -> None:
        """Write what waits, where it is written behind. Raises StoreError: then it waits on."""
        if self._writer is not None:
            await self._writer.flush()

    @property
    def behind(self) -> Behind:
        """What waits to be written behind, and what became of more than can wait."""
        return Behind(0, 0, 0) if self._writer is None else self._writer.backlog.behind()

    async def aclose(self) -> None:
        """Write what waits; let go of a store that was opened from a URL. A store object that was passed in stays open."""
        if self._writer is not None:
            await self._writer.aclose()
        if self._place.leaves():
            await self._store.aclose()

    async def __aenter__(self) -> "AsyncCounter":
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"AsyncCounter({self.name!r})"
