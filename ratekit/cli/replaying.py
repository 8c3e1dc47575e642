"""
A log driven through a Limiter by the log's own times, on the real algorithms; and what came of it, counted.
"""

from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from ratekit.cli.accesslog import Log
from ratekit.cli.meaning import promised
from ratekit.limit import Limit
from ratekit.limiter import Limiter
from ratekit.stores.memory import MemoryStore

SECOND: Final = 1_000_000
STRIDE: Final = 500


@dataclass(frozen=True, slots=True)
class Tally:
    """What one client asked for, and what it got."""

    who: str
    admitted: int
    refused: int

    @property
    def requests(self) -> int:
        """All it asked for."""
        return self.admitted + self.refused


@dataclass(frozen=True, slots=True)
class Outcome:
    """One limit over the whole log: the worst numbers are of one client in any window of the limit's period."""

    limit: Limit
    worst_admitted: int
    worst_asked: int
    refusals: int
    """Requests that this limit, perhaps with others, refused."""
    busiest: list[int]
    """Per client the most it asked for in any window, the busiest client first."""

    @property
    def promised(self) -> int:
        """The worst number that the algorithm admits in any window."""
        return promised(self.limit)


@dataclass(frozen=True, slots=True)
class Replay:
    """A log, and per request of it whether it was admitted (1) or refused (0)."""

    log: Log[str]
    verdicts: bytearray
    tallies: list[Tally]
    """The most refused client first."""
    outcomes: list[Outcome]

    @property
    def admitted(self) -> int:
        """Requests let through."""
        return self.verdicts.count(1)

    @property
    def refused(self) -> int:
        """Requests turned away."""
        return self.verdicts.count(0)

    @property
    def most_refused(self) -> list[Tally]:
        """Clients that were refused at all, the most refused first."""
        return [tally for tally in self.tallies if tally.refused]


def run(log: Log[str], limits: Sequence[Limit], progress: Callable[[int], object] = lambda _: None) -> Replay:
    """
    Replay a log that is in order of time. `progress` is called now and then with the number of requests done.
    """
    now = 0
    store = MemoryStore(max_keys=max(1, len(set(log.who)) * len(limits)), clock=lambda: now)
    verdicts, refusals = bytearray(), [0] * len(limits)
    with Limiter(*limits, store=store, name="replay") as limiter:
        for done, (time, who) in enumerate(zip(log.times, log.who, strict=True)):
            now = time * SECOND
            decision = limiter.hit(who)
            verdicts.append(decision.allowed)
            if not decision:
                for i, detail in enumerate(decision.details):
                    refusals[i] += not detail.allowed
            if done % STRIDE == 0:
                progress(done)
    return _counted(log, verdicts, limits, refusals)


def _counted(log: Log[str], verdicts: bytearray, limits: Sequence[Limit], refusals: Sequence[int]) -> Replay:
    asked: dict[str, array[int]] = {}
    admitted: dict[str, array[int]] = {}
    for time, who, verdict in zip(log.times, log.who, verdicts, strict=True):
        asked.setdefault(who, array("q")).append(time * SECOND)
        if verdict:
            admitted.setdefault(who, array("q")).append(time * SECOND)
    counts = Counter({who: len(times) for who, times in asked.items()})
    tallies = [Tally(who, len(admitted.get(who, ())), count - len(admitted.get(who, ()))) for who, count in counts.items()]
    tallies.sort(key=lambda tally: (-tally.refused, -tally.requests, tally.who))
    outcomes = [
        Outcome(
            limit,
            max((most_in(times, limit.period) for times in admitted.values()), default=0),
            max(busiest := sorted((most_in(times, limit.period) for times in asked.values()), reverse=True)),
            refused,
            busiest,
        )
        for limit, refused in zip(limits, refusals, strict=True)
    ]
    return Replay(log, verdicts, tallies, outcomes)


def most_in(times: Sequence[int], period: int) -> int:
    """
    The most of `times` (in order) that any window of `period` holds; a window holds its start and not its end.

    >>> most_in([0, 30, 59, 60], 60)
    3
    """
    most = first = 0
    for last, time in enumerate(times):
        while time - times[first] >= period:
            first += 1
        most = max(most, last - first + 1)
    return most
