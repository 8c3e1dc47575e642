"""
Backlog: what was added here and is still to be written: sums by key and time. No I/O: `write_behind.py` does the writing.

Each sum carries a number and the name of this writer. The script keeps the number of the last one that it has written, in the same step
and for an hour, and writes none twice. So what was sent is sent again until an answer comes, and nothing is counted twice or lost.
Only where no answer has come for longer than the script remembers it is let go: `unsure`, one trip of sums at the most.
"""

import os
import threading
from dataclasses import dataclass
from itertools import islice
from secrets import token_hex
from typing import Any, Final, Protocol

from ratekit.counters.clock import Missed
from ratekit.stores.counting import Job

MOST_BEHIND: Final = 100_000
"""Sums that wait at most; what is added to others is dropped."""
TOGETHER: Final = 512
"""Sums that are sent together, and sent again together."""
REMEMBERED: Final = 55 * 60 * 1_000_000
"""Microseconds after which the script might have forgotten what it has written: five minutes less than it does."""


@dataclass(frozen=True, slots=True)
class Behind:
    """
    How a counter that writes behind stands: sums that `wait`; amounts that were `dropped` because too many did; amounts of which nobody
    can say whether they were written (`unsure`), after an hour without an answer.
    """

    wait: int
    dropped: int
    unsure: int


class Kept(Protocol):
    """What sums are kept for: a counter by keys, a board by members."""

    @property
    def timed(self) -> bool:
        """Whether it matters when something was added."""
        ...

    def job(self, key: str, amount: int, ago: int, writer: str, number: int, /) -> Job:
        """What writes a sum, `ago` microseconds after its time."""
        ...

    def added(self, answer: Any) -> int:
        """Reads the answer; raises Missed."""
        ...

    def missed(self, now: int) -> None:
        """Learns the store's clock (us) from such an answer."""
        ...


class Sum:
    """What is to be added to a key, as of an instant (us, monotonic)."""

    __slots__ = ("amount", "at", "key", "number")

    def __init__(self, key: str) -> None:
        self.key, self.amount, self.at, self.number = key, 0, 0, 0


class Backlog:
    """The sums of one counter in this process; times are microseconds of a clock that never goes back."""

    def __init__(self, plan: Kept, interval: int, most: int = MOST_BEHIND, together: int = TOGETHER) -> None:
        self._plan, self._most, self._together = plan, most, together
        # Sums of one key that belong to several buckets are told apart; a sum is at most an interval out.
        self._grain = interval if plan.timed else 1 << 62
        self._lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self._pid, self._writer, self._number = os.getpid(), token_hex(4), 0
        self._sums: dict[tuple[str, int], Sum] = {}
        self._sent: list[Sum] = []  # under way, or without an answer; nothing is added to these
        self._since: int | None = None  # when the first of them may first have been written
        self.dropped = self.unsure = 0

    def add(self, key: str, amount: int, now: int) -> int:
        """Add here; what then waits for this key."""
        with self._lock:
            if self._pid != os.getpid():  # forked: what waits is the parent's to write
                self._begin()
            place = key, now // self._grain
            waits = self._sums.get(place)
            if waits is None:
                if len(self._sums) + len(self._sent) >= self._most:
                    self.dropped += amount
                    return 0
                waits = self._sums[place] = Sum(key)
            waits.amount += amount
            waits.at = now
            return waits.amount

    def behind(self) -> Behind:
        """How things stand."""
        with self._lock:
            return Behind(len(self._sums) + len(self._sent), self.dropped, self.unsure)

    def next(self, now: int) -> list[Job]:
        """What to write next, the same until `written` says what became of it; empty when nothing waits."""
        with self._lock:
            if self._pid != os.getpid():
                self._begin()
            if self._since is not None and now - self._since > REMEMBERED:
                self.unsure += sum(some.amount for some in self._sent)
                self._sent, self._since = [], None
            if not self._sent:
                for place in list(islice(self._sums, self._together)):
                    some = self._sums.pop(place)
                    self._number += 1
                    some.number = self._number
                    self._sent.append(some)
            plan, writer = self._plan, self._writer
            return [plan.job(some.key, some.amount, self._ago(some, now), writer, some.number) for some in self._sent]

    def sending(self, now: int) -> None:
        """What `next` gave is sent now."""
        with self._lock:
            self._since = now if self._since is None else self._since

    def written(self, answers: list[Any]) -> None:
        """The answers to what `next` gave; what the store was asked for at another time waits on."""
        with self._lock:
            left = []
            for some, answer in zip(self._sent, answers, strict=True):
                try:
                    self._plan.added(answer)
                except Missed as missed:
                    left.append(some)
                    self._plan.missed(missed.now)
            self._sent, self._since = left, None

    def _ago(self, some: Sum, now: int) -> int:
        return max(0, now - some.at) if self._plan.timed else 0
