"""
Explanation: why a hit would be admitted or refused now: which limits there are, what was spent of each, when it is free again.
"""

from dataclasses import dataclass

from ratekit.decision import Decision
from ratekit.limit import Limit


@dataclass(frozen=True, slots=True)
class Told:
    """
    One limit: `spent` of `capacity` units; `remaining` would be admitted now; more than that after `more_after` seconds; all of them
    after `free_after` seconds, if nobody spends. `allows` is whether this limit would admit one more unit.
    """

    limit: Limit
    allows: bool
    spent: int
    capacity: int
    remaining: int
    more_after: float
    free_after: float

    def __str__(self) -> str:
        more = f", more in {_seconds(self.more_after)}" if self.more_after else ""
        return f"{self.limit}: {self.spent:,} of {self.capacity:,} spent{more}" + (
            f", as new in {_seconds(self.free_after)}" if self.free_after else ""
        )


@dataclass(frozen=True, slots=True)
class Explanation:
    """
    What a limiter knows of one identity. `retry_after` is seconds until one unit is admitted, 0 when it is now; `limits` are in the
    order in which they were given; `source` and `degraded` are those of a Decision. As text it is for people.

    >>> from ratekit import Limiter
    >>> limiter = Limiter("3/minute fixed_window", "100/day fixed_window", name="explained")
    >>> _ = limiter.hit("user:42", cost=2)
    >>> [(str(told.limit), told.spent, told.remaining) for told in limiter.explain("user:42").limits]
    [('3/minute fixed_window', 2, 1), ('100/day fixed_window', 2, 98)]
    """

    identity: object
    allowed: bool
    retry_after: float
    limits: tuple[Told, ...]
    source: str
    degraded: bool

    def __str__(self) -> str:
        blocking = "; ".join(str(told.limit) for told in self.limits if not told.allows)
        verdict = "a hit would be admitted" if self.allowed else f"a hit would be refused by {blocking}"
        wait = f"; retry after {_seconds(self.retry_after)}" if self.retry_after else ""
        away = f" (the store is away; {self.source} answers)" if self.degraded else ""
        return "\n".join([f"{self.identity}: {verdict}{wait}{away}", *(f"  {told}" for told in self.limits)])


def explained(identity: object, peeked: Decision) -> Explanation:
    """The explanation in a peek of cost 1."""
    limits = []
    for part in peeked.details:
        figures, capacity = part.figures, part.limit.capacity
        spent = max(0, capacity - figures.remaining)
        waits = (figures.more / 1_000_000, figures.reset / 1_000_000)
        limits.append(Told(part.limit, part.allowed, spent, capacity, figures.remaining, *waits))
    return Explanation(identity, peeked.allowed, peeked.retry_after, tuple(limits), peeked.source, peeked.degraded)


def _seconds(value: float) -> str:
    return f"{value:,.3f}".rstrip("0").rstrip(".") + " s"
