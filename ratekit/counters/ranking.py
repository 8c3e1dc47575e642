"""
ranking: scores of members, the highest first, per bucket of time. Its twin in Redis is ranking.lua.

Equal scores are in the order of the members' text (by code point, "Ann" before "ann"), each with a rank of its own. At most `size`
members are kept: what an add leaves beyond that is dropped from the end, and begins at 0 when it comes again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ratekit.counters.buckets import Buckets, recent
from ratekit.counters.clock import AROUND, Hint, Missed
from ratekit.counters.tally import MOST, lives
from ratekit.decision import NEVER
from ratekit.stores.counting import Command, Job

State = dict[int, dict[str, int]]
"""From the start of a bucket to the scores in it; without buckets 0 is the only one."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a leaderboard; the highest has rank 1."""

    rank: int
    member: str
    score: int


def step(
    state: State | None,
    now: int,
    what: str,
    member: str,
    many: int,
    size: int,
    back: int,
    keep: int,
    longest: int,
    period: int,
    starts: Sequence[int],
    life: int,
    ago: int,
    writer: str,
    number: int,
) -> tuple[State | None, int, tuple[Any, ...]]:
    """
    Add to a member's score in the bucket of `ago` microseconds before now, read the top or what is around a member, remove it, or make
    the key as new.
    """
    state = state or {}
    which = recent(period, starts, now - ago, back) if keep else (0,)
    ends = NEVER if not keep else now + (keep + 1) * longest * 1000
    if which is None:
        return state or None, ends, ([], 1, now)
    scores = state.get(which[0], {})
    if what == "add":
        state[which[0]] = scores
        score = scores[member] = max(-MOST, min(MOST, scores.get(member, 0) + many))
        if len(scores) > size:
            del scores[max(scores, key=lambda some: (-scores[some], some))]
        for old in [old for old in state if old < which[0] - (keep + 1) * longest]:
            del state[old]
        ends = lives(max(state) if keep else now // 1000, (keep + 1) * longest if keep else life)
        return state, ends, ([score], 0, now)
    if what == "reset":
        return None, NEVER, ([], 0, now)
    if what == "remove":
        return _removed(state, which[0], member, now, ends if keep else lives(now // 1000, life))
    return None, NEVER, (_shown(scores, what, member, many), 0, now)


def _shown(scores: dict[str, int], what: str, member: str, many: int) -> list[Any]:
    """The top; or what is around a member, after the rank (from 0) at which that begins, -1 where it is not there."""
    rows = sorted((-score, some) for some, score in scores.items())
    first, last = 0, many
    if what != "top":
        if member not in scores:
            return [-1]
        rank = rows.index((-scores[member], member))
        first, last = max(0, rank - many), rank + many + 1
    words = [word for score, some in rows[first:last] for word in (some, -score)]
    return words if what == "top" else [first, *words]


def _removed(state: State, start: int, member: str, now: int, ends: int) -> tuple[State | None, int, tuple[Any, ...]]:
    scores = state.get(start, {})
    done = scores.pop(member, None) is not None
    if not scores:
        state.pop(start, None)
    return state or None, ends, ([1] if done else [], 0, now)


@dataclass(frozen=True, slots=True)
class Ranking:
    """What a leaderboard asks; `buckets` None: it has none, and `life` is milliseconds after the last change."""

    buckets: Buckets | None
    keep: int
    life: int
    size: int
    hint: Hint = field(default_factory=Hint, compare=False)

    @property
    def label(self) -> str:
        """How it is told from other counters in a key."""
        return "lb1" if self.buckets is None else f"{self.buckets.label}:lb1"

    def add(self, member: str, amount: int, ago: int = 0, writer: str = "", number: int = 0) -> Command:
        """Add to a score, in the bucket of `ago` microseconds before now; answers it."""
        if self.buckets is None:
            words: tuple[Any, ...] = (self.size, 1, 0, 0, 0, (), self.life, 0)
        else:
            starts, ago = self.hint.since(self.buckets, ago, self.keep)
            words = (self.size, 1, self.keep, self.buckets.longest, self.buckets.period, starts, 0, ago)
        return Command("ranking", step, ("add", member, amount, *words, writer, number), width=3, lists=True)

    def top(self, many: int, ago: int) -> Command:
        """Answers the highest."""
        return self._command("top", "", many, ago, looks=True)

    def around(self, member: str, many: int, ago: int) -> Command:
        """Answers a member and as many on either side."""
        return self._command("around", member, many, ago, looks=True)

    def remove(self, member: str) -> Command:
        """Forget a member."""
        return self._command("remove", member, 0, 0)

    def reset(self) -> Command:
        """Make the key as new."""
        return self._command("reset", "", 0, max(0, self.keep - 1))

    def read(self, answer: Any) -> list[Any]:
        """The list in an answer; raises Missed."""
        words, missed, now = answer
        if missed:
            raise Missed(now)
        return [*words]

    def score(self, answer: Any) -> int:
        """The score after an add."""
        return int(self.read(answer)[0])

    def entries(self, answer: Any) -> list[Entry]:
        """The highest."""
        return _entries(0, self.read(answer))

    def near(self, answer: Any) -> list[Entry]:
        """A member and those on either side; none where it is not there."""
        first, *words = self.read(answer)
        return _entries(first, words)

    def _command(self, what: str, member: str, many: int, ago: int, *, looks: bool = False) -> Command:
        buckets = self.buckets
        if buckets is None:
            words: tuple[Any, ...] = (what, member, many, self.size, 1, 0, 0, 0, (), self.life, 0, "", 0)
        else:
            starts = self.hint.starts(buckets, max(AROUND, ago + 1) if ago else AROUND)
            words = (what, member, many, self.size, ago + 1, self.keep, buckets.longest, buckets.period, starts, 0, 0, "", 0)
        return Command("ranking", step, words, width=3, looks=looks, lists=True)


@dataclass(frozen=True, slots=True)
class Scores:
    """A board as what is written behind sees it: its key, and sums by member."""

    plan: Ranking
    key: str
    timed: bool = True

    def job(self, member: str, amount: int, ago: int, writer: str, number: int) -> Job:
        """What adds a sum to a member."""
        return self.key, self.plan.add(member, amount, ago, writer, number)

    def added(self, answer: Any) -> int:
        """The score after an add; raises Missed."""
        return self.plan.score(answer)

    def missed(self, now: int) -> None:
        """The store's clock, in microseconds."""
        self.plan.hint.learn(now)


def _entries(first: int, words: Sequence[Any]) -> list[Entry]:
    pairs = zip(*[iter(words)] * 2, strict=True)
    return [Entry(first + i, _text(member), int(score)) for i, (member, score) in enumerate(pairs, 1)]


def _text(member: Any) -> str:
    return member.decode("utf-8", "replace") if isinstance(member, bytes) else str(member)
