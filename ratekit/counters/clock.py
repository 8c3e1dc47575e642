"""
Clock: about what time it is at the store. Never decides: the store's own clock picks the bucket, from starts that it is sent.
"""

import time

from ratekit.counters.buckets import Buckets

AROUND = 3
"""Buckets before and after the one that is believed to be the present."""

SHORTEST = 1_800_000_000
"""Microseconds that a bucket of the calendar lasts at least."""


class Missed(Exception):
    """The store's clock (`now`, microseconds) was outside of what it was sent; nothing was done."""

    def __init__(self, now: int) -> None:
        super().__init__(now)
        self.now = now


class Hint:
    """The wall clock of this machine, and how far ahead of it the store was last seen to be."""

    __slots__ = ("_ahead", "_around", "_until")

    def __init__(self) -> None:
        self._ahead = 0
        self._around: tuple[int, ...] = ()
        self._until = 0

    def starts(self, buckets: Buckets, back: int = AROUND) -> tuple[int, ...]:
        """The starts to send; none where the length of buckets is fixed."""
        if buckets.period:
            return ()
        at = self._now()
        if back != AROUND:
            return tuple(buckets.starts(at, back, AROUND))
        # The same until the bucket is over, so that what is sent is made ready once.
        if not self._around or not self._around[AROUND] <= at < self._until:
            self._around = tuple(buckets.starts(at, AROUND, AROUND))
            self._until = self._around[AROUND + 1]
        return self._around

    def since(self, buckets: Buckets, ago: int, keep: int) -> tuple[tuple[int, ...], int]:
        """The starts to send for what was `ago` microseconds before now, and `ago` itself, no more than the buckets that are kept."""
        if buckets.period or not ago:
            return self.starts(buckets), min(ago, keep * buckets.longest * 1000)
        starts = self.starts(buckets, AROUND + min(keep, ago // SHORTEST + 1))
        # One bucket is left over, should the store's clock be a little behind.
        return starts, min(ago, (self._now() - starts[1]) * 1000)

    def _now(self) -> int:
        return time.time_ns() // 1_000_000 + self._ahead

    def learn(self, now: int) -> None:
        """The store's clock, in microseconds."""
        self._ahead = now // 1000 - time.time_ns() // 1_000_000
        self._around = ()
