"""
unique: about how many distinct members, per bucket of time. Its twin in Redis is unique.lua, which leaves the counting to Redis' own
HyperLogLogs; in memory hyperloglog.py does the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ratekit.counters import hyperloglog
from ratekit.counters.buckets import Buckets, date_of, recent
from ratekit.counters.clock import AROUND, Hint, Missed
from ratekit.counters.series import Bucket
from ratekit.counters.tally import lives
from ratekit.decision import NEVER
from ratekit.stores.counting import Command, Job

State = dict[int, hyperloglog.Registers]
"""From the start of a bucket to what was seen in it; without buckets 0 is the only one."""


def step(
    state: State | None,
    now: int,
    what: str,
    member: str,
    last: int,
    keep: int,
    longest: int,
    period: int,
    starts: Sequence[int],
    life: int,
    ago: int,
) -> tuple[State | None, int, tuple[Any, ...]]:
    """Add to the bucket of `ago` microseconds before now, count the last ones together or each, or make the key as new."""
    state = state or {}
    which = recent(period, starts, now - ago, last) if keep else (0,)
    if which is None:
        return state or None, NEVER if not keep else now + (keep + 1) * longest * 1000, ([], 1, now)
    if what == "add":
        start = which[-1]
        state[start] = hyperloglog.add(state.get(start, {}), member.encode())
        for old in [old for old in state if old < start - (keep + 1) * longest]:
            del state[old]
        return state, lives(max(state) if keep else now // 1000, (keep + 1) * longest if keep else life), ([], 0, now)
    seen = [state.get(start, {}) for start in which]
    if what == "series":
        return None, NEVER, ([hyperloglog.count(registers) for registers in seen], 0, now)
    return None, NEVER, ([hyperloglog.count(hyperloglog.union(seen))], 0, now)


@dataclass(frozen=True, slots=True)
class Unique:
    """What a counter of distinct members asks; `buckets` None: it has none, and `life` is milliseconds after the last add."""

    buckets: Buckets | None
    keep: int
    life: int
    hint: Hint = field(default_factory=Hint, compare=False)

    @property
    def label(self) -> str:
        """How it is told from other counters in a key."""
        return "uq1" if self.buckets is None else f"{self.buckets.label}:uq1"

    def add(self, member: str, ago: int = 0) -> Command:
        """Count a member in the bucket of `ago` microseconds before now."""
        return self._command("add", member, 1, ago)

    def count(self, last: int) -> Command:
        """Answers about how many there were in the last buckets together."""
        return self._command("count", "", last)

    def series(self, last: int) -> Command:
        """Answers about how many there were in each of the last buckets."""
        return self._command("series", "", last)

    def reset(self) -> Command:
        """Make the key as new."""
        return self._command("reset", "", self.keep)

    def counted(self, answer: Any) -> list[int]:
        """The counts in an answer; raises Missed."""
        counts, missed, now = answer
        if missed:
            raise Missed(now)
        return [*counts]

    def shown(self, answer: Any) -> list[Bucket]:
        """The counts of the last buckets, with their starts; raises Missed."""
        counts, now = self.counted(answer), answer[2]
        assert self.buckets is not None
        starts = self.buckets.starts(now // 1000, len(counts) - 1, 0)
        return [Bucket(date_of(start, self.buckets), count) for start, count in zip(starts, counts, strict=True)]

    def _command(self, what: str, member: str, last: int, ago: int = 0) -> Command:
        buckets = self.buckets
        if buckets is None:
            words: tuple[Any, ...] = (what, member, 1, 0, 0, 0, (), self.life, 0)
        else:
            starts = self.hint.starts(buckets, max(AROUND, last) if last > 1 else AROUND)
            if ago:
                starts, ago = self.hint.since(buckets, ago, self.keep)
            words = (what, member, last, self.keep, buckets.longest, buckets.period, starts, 0, ago)
        looks = what in ("count", "series")  # but PFCOUNT may keep its result, so that no replica may be asked
        return Command("unique", step, words, width=3, looks=looks, lists=True, primary=True)


@dataclass(frozen=True, slots=True)
class Members:
    """A counter of distinct members as what is written behind sees it: its key, and members; how often each was seen is nothing to it."""

    plan: Unique
    key: str
    timed: bool = True

    def job(self, member: str, amount: int, ago: int, writer: str, number: int) -> Job:
        """What counts a member. A second time changes nothing, so no number is needed."""
        return self.key, self.plan.add(member, ago)

    def added(self, answer: Any) -> int:
        """Nothing, after an add; raises Missed."""
        self.plan.counted(answer)
        return 0

    def missed(self, now: int) -> None:
        """The store's clock, in microseconds."""
        self.plan.hint.learn(now)
