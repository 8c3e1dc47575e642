"""
Counter: one integer per identity, or one per identity and bucket of time. A thin shell, as its twin in counter_async.py: `tally.py` and
`series.py` say what is asked and what the answers mean.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from types import TracebackType
from typing import Any

from ratekit.counters.asking import ask, in_part, later, missed_of
from ratekit.counters.backlog import Behind
from ratekit.counters.clock import Hint
from ratekit.counters.options import QUARTER, buckets_and_life, check_amount, check_last
from ratekit.counters.place import Place
from ratekit.counters.series import Bucket, Series
from ratekit.counters.tally import MOST, Tally
from ratekit.counters.write_behind import Writer, backlog_of, check_interval
from ratekit.errors import ConfigurationError, CountedInPart, StoreError
from ratekit.stores.counting import Command
from ratekit.stores.naming import Identity
from ratekit.stores.protocol import Store

Amounts = Mapping[Any, int] | Iterable[Any]
"""How much to add to each of many identities; where they are only named, one."""


class Counter:
    """
    Counts, for threads: one integer per identity; with `per` and `keep` one for each of the last `keep` buckets of time.

    Counters of one `name` (and `prefix`, and store) count together. `store` is a URL or a store object: memory, Redis or Upstash.

    A plain counter is forgotten `expire` seconds after its last add (90 days; None: never, it stays until it is reset). `per` is
    "second", "minute", "hour", "day", "week", "month", "year" or whole seconds; `tz` names the time zone whose calendar is meant, else
    it is UTC; such a counter is forgotten when all of its buckets are over. `floor` is the least that an add leaves.

    With `write_behind` an add is summed here and written every so many seconds; it returns what waits for its key, and does not fail:
    while the store is away up to 100,000 sums wait. A crash loses what was not written yet, a clean exit nothing. What was read is
    what was written; `flush` writes now. In memory there is nothing to write behind.

    `budget` is the seconds that an answer may take (None: the store's own, 0.05 for Redis). When they are over, or the store is away,
    StoreUnavailable is raised: the add was counted once or not at all, and is never sent again.

    Counts are exact up to 2^53 - 1, and stay there. Raises ConfigurationError for what cannot be.

    >>> downloads = Counter("example downloads")
    >>> downloads.add("report.pdf"), downloads.add("report.pdf", 4), downloads.take("report.pdf"), downloads.value("report.pdf")
    (1, 5, 5, 0)
    >>> visits = Counter("example visits", per="minute", keep=60)
    >>> visits.add("/"), visits.total("/"), [bucket.count for bucket in visits.series("/", last=3)]
    (1, 1, [0, 0, 1])
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
        floor: int | None = None,
        write_behind: float | None = None,
        prefix: str = "ratekit",
        budget: float | None = None,
    ) -> None:
        self.name = name
        self._plan = plan_of(per, keep, tz, expire, floor)
        self._hint = hint_of(self._plan)
        self._place = Place(store, wait=False, name=name, prefix=prefix, tail=self._plan.label, budget=budget)
        self._store = self._place.store
        self._one = one_of(self._plan)
        seconds = writes_behind(self._store, write_behind, floor)
        self._writer = None if seconds is None else Writer(self._store, seconds, backlog_of(self._plan, seconds))

    def add(self, identity: Identity, amount: int = 1) -> int:
        """
        Add an amount (of at most 10^15, also negative) and return the count: of the present bucket where there are buckets.

        Raises StoreError: then it was counted once or not at all.
        """
        plan, amount, key = self._plan, check_amount(amount), self._place.key(identity)
        if self._writer is not None:
            return self._writer.add(key, amount)
        if amount == 1 and self._one is not None:
            count: int = self._store.count(key, self._one)
            return count
        return ask(self._store, key, lambda: plan.add(amount), plan.added, self._hint)

    def add_many(self, amounts: Amounts) -> list[int]:
        """
        Add to many identities, each by itself, in one trip of 512 at most: the counts, in order. Give amounts by identity, or
        identities only, which are counted once each. Raises StoreError; of a cluster that is away in part CountedInPart, whose
        `answers` are the counts of the others.

        >>> Counter("votes").add_many({"yes": 3, "no": 1}), Counter("votes").add_many(["yes", "yes"])
        ([3, 1], [4, 5])
        """
        pairs = [(self._place.key(identity), amount) for identity, amount in amounts_of(amounts)]
        if self._writer is not None:
            return [self._writer.add(key, amount) for key, amount in pairs]
        try:
            answers = self._store.count_many([(key, self._plan.add(amount)) for key, amount in pairs])
        except CountedInPart as error:
            raise in_part(error, self._plan.added) from error
        again = missed_of(answers, self._plan.added, self._hint)
        if again:
            try:
                rest = self._store.count_many([(pairs[i][0], self._plan.add(pairs[i][1])) for i in again])
            except StoreError as error:
                raise in_part(later(error, answers, again), self._plan.added) from error
            for i, answer in zip(again, rest, strict=True):
                answers[i] = answer
        return [self._plan.added(answer) for answer in answers]

    def value(self, identity: Identity) -> int:
        """The count; where there are buckets, that of all that are kept."""
        return self._plan.value(self._store.count(self._place.key(identity), self._plan.look()))

    def values(self, identities: Iterable[Identity]) -> list[int]:
        """The counts of many identities, in order, in one trip of 512 at most."""
        look = self._plan.look()
        try:
            answers = self._store.count_many([(self._place.key(identity), look) for identity in identities])
        except CountedInPart as error:
            raise in_part(error, self._plan.value) from error
        return [self._plan.value(answer) for answer in answers]

    def take(self, identity: Identity) -> int:
        """The count, made as new in the same step: whatever is added meanwhile is in this answer or in the next one."""
        self.flush()
        return self._plan.value(self._store.count(self._place.key(identity), self._plan.take()))

    def reset(self, identity: Identity) -> None:
        """Make an identity as new."""
        self.flush()
        self._store.count(self._place.key(identity), self._plan.take())

    def series(self, identity: Identity, last: int | None = None) -> list[Bucket]:
        """The last buckets (all that are kept): the start and the count of each, the present one last; gaps are zeros."""
        plan = with_buckets(self._plan)
        last = check_last(last, plan.keep)
        return plan.series(self._store.count(self._place.key(identity), plan.look()), last)

    def total(self, identity: Identity, last: int | None = None) -> int:
        """What was counted in the last buckets (all that are kept), the present one among them."""
        return sum(bucket.count for bucket in self.series(identity, last))

    def sliding(self, identity: Identity, last: int | None = None) -> int:
        """
        What was counted in the time of so many buckets until now. Of the oldest bucket, which is partly over, a share is counted: right
        where its adds came evenly, and never wrong by more than that bucket held.
        """
        plan = with_buckets(self._plan)
        last = check_last(last, plan.keep)
        return plan.sliding(self._store.count(self._place.key(identity), plan.look()), last)

    def flush(self) -> None:
        """Write what waits, where it is written behind. Raises StoreError: then it waits on."""
        if self._writer is not None:
            self._writer.flush()

    @property
    def behind(self) -> Behind:
        """What waits to be written behind, and what became of more than can wait."""
        return Behind(0, 0, 0) if self._writer is None else self._writer.backlog.behind()

    def close(self) -> None:
        """Write what waits; let go of a store that was opened from a URL. A store object that was passed in stays open."""
        if self._writer is not None:
            self._writer.close()
        if self._place.leaves():
            self._store.close()

    def __enter__(self) -> "Counter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Counter({self.name!r})"


def plan_of(per: object, keep: object, tz: object, expire: float | None, floor: int | None) -> Tally | Series:
    """What a counter asks; raises ConfigurationError for what cannot be."""
    least = -MOST if floor is None else check_amount(floor, "floor")
    buckets, kept, life = buckets_and_life(per, keep, tz, expire)
    return Tally(least, life) if buckets is None else Series(buckets, kept, least)


def one_of(plan: Tally | Series) -> Command | None:
    """The command that adds one, made ready; None where it depends on the time."""
    return plan.add(1) if isinstance(plan, Tally) or plan.buckets.period else None


def writes_behind(store: Any, seconds: object, floor: int | None) -> float | None:
    """Seconds between two writes; None where an add is written at once, as in memory. Raises ConfigurationError."""
    if seconds is None:
        return None
    if floor is not None:
        raise ConfigurationError("a floor is kept by each add, and what is written behind are sums of adds: leave one of them out")
    interval = check_interval(seconds)
    return interval if store.remote else None


def hint_of(plan: Tally | Series) -> Hint:
    """About what time it is at the store; a plain counter never asks."""
    return plan.hint if isinstance(plan, Series) else Hint()


def amounts_of(amounts: Amounts) -> list[tuple[Any, int]]:
    """Identities and amounts; raises ConfigurationError."""
    pairs = amounts.items() if isinstance(amounts, Mapping) else ((identity, 1) for identity in amounts)
    return [(identity, check_amount(amount)) for identity, amount in pairs]


def with_buckets(plan: Tally | Series) -> Series:
    """The plan itself; raises ConfigurationError where there are no buckets."""
    if isinstance(plan, Series):
        return plan
    raise ConfigurationError("this counter has no buckets of time: make it with per='minute', keep=60")
