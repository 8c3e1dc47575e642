"""
series: a count per bucket of time and key. Its twin in Redis is series.lua; the state there is a hash from the bucket's start, in
milliseconds since 1970, to its count.

The store's clock picks the bucket. Of buckets of the calendar it is sent the starts around the time that the caller believes it is;
should that be another time altogether, the store says so and nothing is counted, so that it can be asked again.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from ratekit.counters.buckets import Buckets, date_of, started
from ratekit.counters.clock import Hint, Missed
from ratekit.counters.tally import MOST
from ratekit.decision import NEVER
from ratekit.stores.counting import Command, Job

SLACK: Final = 8
"""Buckets more than are kept before the oldest are dropped, so that this is seldom done."""

State = dict[int, int]
"""From the start of a bucket to its count."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """What was counted in one bucket of time; `start` is a date with its time zone."""

    start: datetime
    count: int


def step(
    state: State | None,
    now: int,
    what: str,
    amount: int,
    floor: int,
    keep: int,
    longest: int,
    period: int,
    starts: Sequence[int],
    ago: int,
    writer: str,
    number: int,
) -> tuple[State | None, int, tuple[Any, ...]]:
    """Add to the bucket of `ago` microseconds before now, look or take."""
    if what != "add":
        return None, NEVER, (now, [word for bucket in (state or {}).items() for word in bucket])
    start = started(period, starts, now - ago)
    if start is None:
        return state, NEVER if state is None else now + _life(keep, longest), (0, now)
    state = {} if state is None else state
    state[start] = max(floor, min(MOST, state.get(start, 0) + amount))
    if len(state) > keep + 1 + SLACK:
        for old in sorted(state)[: -keep - 1]:
            del state[old]
    count = state.get(start, 0)
    return state, now // 1000 * 1000 + _life(keep, longest), (count,) if period else (count, 0)


def _life(keep: int, longest: int) -> int:
    return (keep + 1) * longest * 1000


@dataclass(frozen=True, slots=True)
class Series:
    """What a counter with buckets asks, and how its answers are read. `keep` buckets can be read; one more is kept."""

    buckets: Buckets
    keep: int
    floor: int
    hint: Hint = field(default_factory=Hint, compare=False)
    timed: bool = True

    @property
    def label(self) -> str:
        """How it is told from other counters in a key."""
        return f"{self.buckets.label}:cs1"

    def add(self, amount: int, ago: int = 0, writer: str = "", number: int = 0) -> Command:
        """Add an amount to the bucket of `ago` microseconds before now."""
        buckets = self.buckets
        starts, ago = self.hint.since(buckets, ago, self.keep)
        words = ("add", amount, self.floor, self.keep, buckets.longest, buckets.period, starts, ago, writer, number)
        return Command("series", step, words, width=1 if buckets.period else 2)

    def look(self) -> Command:
        """Answers all buckets."""
        return Command("series", step, ("look", *_NOTHING), width=2, looks=True, lists=True)

    def take(self) -> Command:
        """Answers all buckets and makes the key as new."""
        return Command("series", step, ("take", *_NOTHING), width=2, lists=True)

    def job(self, key: str, amount: int, ago: int, writer: str, number: int) -> Job:
        """What adds a sum that was written behind to a key."""
        return key, self.add(amount, ago, writer, number)

    def missed(self, now: int) -> None:
        """The store's clock, in microseconds."""
        self.hint.learn(now)

    def added(self, answer: Any) -> int:
        """The bucket's count after an add; raises Missed."""
        if self.buckets.period:
            count: int = answer
            return count
        count, missed = answer
        if missed:
            raise Missed(missed)
        return count

    def value(self, answer: Any) -> int:
        """What was counted in the buckets that are kept."""
        return sum(count for _, count in self._counts(answer, self.keep))

    def series(self, answer: Any, last: int) -> list[Bucket]:
        """The last buckets, the oldest first, the present one last; where nothing was counted, zeros."""
        return [Bucket(date_of(start, self.buckets), count) for start, count in self._counts(answer, last)]

    def sliding(self, answer: Any, last: int) -> int:
        """
        What was counted in the time of so many buckets until now. Of the oldest one, which is partly over, a share is counted, rounded
        down.
        """
        now, counts = _read(answer)
        *starts, start, end = self.buckets.starts(now // 1000, last, 1)
        whole = sum(counts.get(some, 0) for some in (*starts[1:], start))
        return whole + counts.get(starts[0], 0) * (end * 1000 - now) // ((end - start) * 1000)

    def _counts(self, answer: Any, last: int) -> Iterator[tuple[int, int]]:
        now, counts = _read(answer)
        starts = self.buckets.starts(now // 1000, last - 1, 0)
        return ((start, counts.get(start, 0)) for start in starts)


_NOTHING: Final = (0, 0, 0, 0, 0, (), 0, "", 0)


def _read(answer: Any) -> tuple[int, Mapping[int, int]]:
    """The store's clock (us), and the counts by the start of their bucket (ms). What is no number counts nothing."""
    now, words = answer
    pairs = zip(*[iter(words)] * 2, strict=True)
    return now, {_integer(start): _integer(count) for start, count in pairs}


def _integer(word: Any) -> int:
    try:
        return max(-MOST, min(MOST, int(word)))
    except ValueError:
        return 0
