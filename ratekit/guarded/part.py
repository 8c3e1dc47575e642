"""
Part: a process's part of a quota, for as long as it decides alone. Pure.
"""

from fractions import Fraction
from functools import lru_cache
from typing import Final

from ratekit.algorithms import Mark, Rule, rule_of
from ratekit.decision import NEVER, Seen, Told
from ratekit.errors import ConfigurationError
from ratekit.limit import CENTURY, Limit

SOON: Final = 1_000_000
"""Microseconds after which a cost that fits the limit, but not the part, may be tried again: the store may be back."""


def check_share(share: object) -> None:
    """Raises ConfigurationError for what is no part of a quota."""
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
        raise ConfigurationError(
            f"fallback_share {share!r}: write a part of the quota above 0 and up to 1, such as 0.25 for four processes"
        )


class Part:
    """The rule of a part of a limit. What it sees is read by it, and told of the whole limit."""

    __slots__ = ("_capacity", "rule")

    def __init__(self, rule: Rule, capacity: int) -> None:
        self.rule, self._capacity = rule, capacity

    def read(self, cost: int, seen: Seen) -> Told:
        """From what was seen to the figures: a cost that fits the whole is worth trying again."""
        told = self.rule.read(cost, seen)
        return (SOON, *told[1:]) if told[0] >= NEVER and cost <= self._capacity else told

    def mark(self, now: int, seen: Seen) -> Mark:
        """Where a charge at `now` went, from what was seen of it."""
        return self.rule.mark(now, seen)


@lru_cache(maxsize=1024)
def part_of(limit: Limit, share: float) -> Part:
    """
    What a process may admit of a limit by itself: `share` of its quota and burst, rounded down, and 1 at least.

    >>> part_of(Limit(100, per=60), 0.25).rule.limit, part_of(Limit(3, per=60), 0.25).rule.limit
    (Limit.parse('25/minute'), Limit.parse('1/minute'))
    """
    exact = Fraction(share).limit_denominator(1_000_000)  # the third that was meant, not the double next to it
    quota = max(1, int(limit.quota * exact))
    if limit.unit is not None and limit.zone is not None:
        small = Limit.calendar(quota, limit.unit, tz=limit.zone, name=limit.name)
    else:
        burst = limit.burst
        if burst is not None:
            burst = max(1, min(int(burst * exact), CENTURY * quota // limit.period))
        small = Limit(
            quota,
            per=limit.per,
            algorithm=limit.algorithm,
            burst=burst,
            buckets=limit.buckets,
            name=limit.name,
        )
    return Part(rule_of(small), limit.capacity)
