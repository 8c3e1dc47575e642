"""
Duties: when a node writes, lists and reads, and whether it has kept up. Pure: `now` (microseconds) is handed in, and whoever makes
the trips says how each one ended.

Writes begin at most `writing` seconds apart while there is something to say, and never less than a second after the last one ended.
Readings begin at most `reading` seconds apart: a list of names first when somebody is missing or the last list is old, then
everybody's shard. Both are early by a random part, so that nodes that started together drift apart.
"""

import random
from collections.abc import Sequence
from typing import Final

from ratekit.errors import StoreError
from ratekit.kv.node_terms import READ, SPACING, WRITE, Terms

SECOND: Final = 1_000_000
BULK: Final = 100
"""Shards in one read."""
LISTS: Final = 60 * SECOND
"""Between two lists when everybody is found."""
HOPELESS: Final = 60 * SECOND
"""Between two attempts when the day's quota is spent: in vain, but midnight comes."""
NEVER: Final = 1 << 62


def pause(error: StoreError, usual: int) -> int:
    """Microseconds until it is tried again."""
    if getattr(error, "kind", "") == "day":
        return max(usual, HOPELESS)
    return max(usual, round((getattr(error, "retry_after", None) or 0) * SECOND))


class Line:
    """Whether one direction works, hearing or being heard. `clear`: until when what went wrong may still be felt."""

    __slots__ = ("_staleness", "bad", "changes", "clear", "fault", "since", "times")

    def __init__(self, now: int, staleness: int) -> None:
        self._staleness = staleness
        self.bad, self.clear, self.since = False, -NEVER, now
        self.times = self.changes = 0
        self.fault = ""

    def failed(self, now: int, fault: str) -> None:
        """A trip went wrong, or is late."""
        if not self.bad:
            self.bad, self.since, self.changes = True, now, self.changes + 1
        self.times, self.fault = self.times + 1, fault

    def went_well(self, now: int) -> None:
        """A trip went well, and in time if nothing was said before."""
        if self.bad:
            self.bad, self.since, self.changes = False, now, self.changes + 1
            self.clear = now + self._staleness

    def faulty(self, now: int) -> bool:
        """Whether it does not work, or not for long enough again."""
        return self.bad or now < self.clear


class Writing:
    """When a node writes its shard."""

    def __init__(self, terms: Terms, now: int, dice: random.Random) -> None:
        self._dice = dice
        self._pace, self._spacing = round(terms.writing * SECOND), round(SPACING * SECOND)
        self._allowed = round((terms.writing + WRITE) * SECOND)
        self.line = Line(now, round(terms.staleness * SECOND))
        self.at = now
        self.unsaid: int | None = now
        """Since when there is something that the others were not told: at first, that this node is there."""
        self.telling: int | None = None
        """What `unsaid` was for the write that is under way."""
        self.ended = -NEVER
        self.again_at = NEVER
        """When the shard is written again in any case, so that it does not expire."""

    def changed(self, now: int) -> None:
        """Something was counted."""
        if self.unsaid is None:
            self.unsaid = now

    def hurry(self, now: int) -> None:
        """A key is full: the others want to know as soon as they may."""
        if not self.line.bad:
            self.at = min(self.at, max(now, self.ended + self._spacing))

    def due(self) -> int:
        """When the next write is to begin."""
        return self.at if self.unsaid is not None else max(self.at, self.again_at)

    def begun(self, now: int) -> None:
        """A write of all that is known now is sent."""
        self.telling, self.unsaid = now if self.unsaid is None else self.unsaid, None
        self.at = now + self._early()

    def done(self, now: int, lives: int) -> None:
        """It is stored, for `lives` microseconds."""
        self.check(now)
        self.telling, self.ended, self.again_at = None, now, now + lives // 2
        self.at = max(self.at, now + self._spacing)
        self.line.went_well(now)

    def failed(self, now: int, error: StoreError) -> None:
        """It is not, or not known to be."""
        self.unsaid, self.telling, self.ended = self.telling, None, now
        self.at = now + pause(error, max(self._spacing, self._early()))
        self.line.failed(now, error.fault)

    def check(self, now: int) -> None:
        """Whether the oldest thing unsaid is older than it should be."""
        oldest = self.unsaid if self.telling is None else self.telling
        if oldest is not None and now - oldest > self._allowed and not self.line.bad:
            self.line.failed(now, "late")

    def _early(self) -> int:
        return round(self._pace * self._dice.uniform(0.75, 0.95))


class Reading:
    """When a node looks who is there and reads what they say."""

    def __init__(self, terms: Terms, now: int, dice: random.Random) -> None:
        self._dice = dice
        self._pace = round(terms.reading * SECOND)
        self._allowed = round((terms.reading + READ) * SECOND)
        self.line = Line(now, round(terms.staleness * SECOND))
        self.at = now
        self.good: int | None = None
        """When the last reading that ended well began; None before the first."""
        self._begun = now
        self._listed = -NEVER
        self.cursor: str | None = None
        """Of the list that is being read, page by page; None when none is."""
        self.listed: list[str] = []
        self.left: list[Sequence[str]] = []
        """Names to read yet."""
        self.open = False

    def begin(self, now: int, *, everybody: bool) -> None:
        """A round of reading begins; a list comes first unless `everybody` is found and was listed lately."""
        self._begun, self.open = now, True
        self.at = now + round(self._pace * self._dice.uniform(0.75, 0.95))
        if not everybody or now >= self._listed + LISTS:
            self.cursor, self.listed = "", []

    def wants(self, names: Sequence[str]) -> None:
        """These are to be read in this round."""
        self.left = [names[i : i + BULK] for i in range(0, len(names), BULK)]

    def page(self, names: Sequence[str], cursor: str | None) -> bool:
        """Names of a list; whether it is complete."""
        self.listed += names
        self.cursor = cursor
        if cursor is None:
            self._listed = self._begun
        return cursor is None

    def finish(self, now: int) -> None:
        """Everything was read that was to be."""
        self.check(now)
        self.good, self.open = self._begun, False
        self.line.went_well(now)

    def failed(self, now: int, error: StoreError) -> None:
        """The round came to nothing."""
        self.cursor, self.left, self.open = None, [], False
        self.at = now + pause(error, max(SECOND, self.at - now))
        self.line.failed(now, error.fault)

    def check(self, now: int) -> None:
        """Whether the last good reading is older than it should be."""
        if self.good is not None and now - self.good > self._allowed and not self.line.bad:
            self.line.failed(now, "late")
