"""
Metering: what is decided, counted in plain integers while somebody wants to know, and not at all otherwise.

Nothing in here is on the way of a decision until `switch_on`: then everything that decides is given functions that count around
those that it had (`metered.py`). The integers are read when an exporter asks for them (`metrics.py`).

A count is one `+=` on a dict's or a list's item, with no call between reading and writing, so that threads under the interpreter's
lock do not lose it; no lock is taken for it.
"""

import logging
import os
import threading
import time
from bisect import bisect_left
from typing import Any, Final, Protocol
from weakref import WeakSet

from ratekit.decision import Decision

NEAR: Final = (4, 5)
"""A hit that is admitted and leaves at least this part (0.8) of a limit spent is near it."""
BOUNDS: Final = tuple(
    round(1_000_000_000 * seconds)
    for seconds in (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
)
"""Upper ends of the latencies' buckets, in nanoseconds."""
MOST: Final = 1_000
"""Pairs of limiter and policy that are told apart; the others count together, so that no name can fill the exporter's memory."""
OTHERS: Final = "(others)"
PAUSE: Final = 60.0
"""Seconds between two log lines of one kind about one policy."""

log: Final = logging.getLogger("ratekit")


class Tally:
    """What was decided under one limiter's name and one policy's: by source, how many were admitted and how many refused."""

    __slots__ = ("admitted", "degraded", "latency", "limiter", "near", "policy", "refused", "said", "shadow", "unavailable")

    def __init__(self, limiter: str, policy: str) -> None:
        self.limiter, self.policy = limiter, policy
        self.admitted: dict[str, int] = {}
        self.refused: dict[str, int] = {}
        self.near = self.unavailable = self.degraded = 0
        self.shadow = 0
        """Hits that a shadow policy would have refused."""
        self.latency = [0] * (len(BOUNDS) + 2)
        """Decisions by the bucket of their latency, the last but one without bound; then the sum of all, in nanoseconds."""
        self.said: dict[str, float] = {}

    def say(self, event: str, text: str, **facts: object) -> None:
        """One line in the log, with its facts as fields; of one kind one a minute."""
        now = time.monotonic()
        if now - self.said.get(event, -PAUSE) >= PAUSE:
            self.said[event] = now
            named = {"limiter": self.limiter, "policy": self.policy, **facts}
            log.info(text, extra={"event": event, **{f"ratekit_{name}": value for name, value in named.items()}})


class Metered(Protocol):
    """What decides, and can be told to count."""

    def _count(self) -> None: ...


_LOCK: Final = threading.Lock()
_METERED: Final[WeakSet[Any]] = WeakSet()
"""What does not count yet."""
_TALLIES: Final[dict[tuple[str, str], Tally]] = {}
_ON: Final = threading.Event()


if hasattr(os, "register_at_fork"):  # a child never finds it held by a thread that it does not have
    os.register_at_fork(before=_LOCK.acquire, after_in_parent=_LOCK.release, after_in_child=_LOCK.release)


def watch(metered: Metered) -> None:
    """What has just been made and decides: it counts from now on, or from when metering is switched on."""
    with _LOCK:
        _METERED.add(metered)
    if _ON.is_set():
        _begin()


def switch_on() -> None:
    """Count from now on, also what was made before. Twice is once."""
    _ON.set()
    _begin()


def _begin() -> None:
    with _LOCK:
        new = list(_METERED)
        _METERED.clear()
    for one in new:
        one._count()


def switch_off() -> None:
    """What is made from now on does not count; what counts goes on."""
    _ON.clear()


def tally_of(limiter: str, policy: str = "") -> Tally:
    """The tally of a limiter's name and a policy's; it lasts as long as the process."""
    with _LOCK:
        key = (limiter, policy) if len(_TALLIES) < MOST or (limiter, policy) in _TALLIES else (OTHERS, "")
        return _TALLIES.setdefault(key, Tally(*key))


def tallies() -> list[Tally]:
    """All of them."""
    with _LOCK:
        return list(_TALLIES.values())


def count(tally: Tally, decision: Decision) -> None:
    """Count a decision on a hit."""
    source = decision[5]
    tally.degraded += decision[6]
    if not decision[0]:
        tally.refused[source] = tally.refused.get(source, 0) + 1
        return
    tally.admitted[source] = tally.admitted.get(source, 0) + 1
    look(tally, decision)


def near(decision: Decision) -> bool:
    """Whether what is left of the limit is a fifth or less."""
    part, whole = NEAR
    capacity = decision[1].capacity
    return bool((capacity - decision.figures.remaining) * whole >= part * capacity)


def look(tally: Tally, decision: Decision) -> None:
    """Count an admitted hit that is near one of its limits."""
    for part in decision.details:
        if near(part):
            tally.near += 1
            tally.say("near_limit", f"an identity is near {part[1]}", limit=str(part[1]))
            return


def took(tally: Tally, passed: int) -> None:
    """Count a decision's latency, in nanoseconds."""
    tally.latency[bisect_left(BOUNDS, passed)] += 1
    tally.latency[-1] += passed
