"""
Decision: the answer to one hit.

This file knows no algorithm and no store. A Decision keeps what the rule saw and works the figures out when they are asked
for, because most callers ask one question only: allowed or not?
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, cast

from ratekit.limit import Limit

NEVER: Final = 1 << 62
"""Microseconds after which a cost that can never fit will fit."""

Seen = tuple[int, ...]
"""What a rule saw: whether the cost fits (1 or 0), then integers of its own."""


class Figures(NamedTuple):
    """The figures of one limit: `wait`, `more`, `reset` in microseconds (`wait` is 0 when it fits), `remaining` in units."""

    wait: int
    remaining: int
    more: int
    reset: int


Told = tuple[int, int, int, int]
"""Figures without names, which are made in a third of the time: what rules answer, and header fields are written from."""

Read = Callable[[int, Seen], Told]
"""From a cost and what the rule saw to the figures."""

_named: Final[Callable[[type[Figures], Told], Figures]] = tuple.__new__


class Decision(tuple[Any, ...]):
    """
    Whether a hit was admitted, and what the client may do next. Immutable; `bool(decision)` is `decision.allowed`.

    Six hits after each other on "10/minute": the sixth is allowed and has `remaining` 4, `retry_after` 0.0.

    >>> from ratekit import Limiter
    >>> decision = Limiter("10/minute", name="docs").hit("user:42")
    >>> decision.allowed, decision.remaining, decision.retry_after
    (True, 9, 0.0)
    """

    # A tuple because that is the cheapest immutable object there is. Its items, in this order, are private:
    # allowed, limit, read, cost, seen, source, degraded, max_over, details.
    __slots__ = ()

    def __bool__(self) -> bool:
        answer: bool = self[0]
        return answer

    @property
    def allowed(self) -> bool:
        """Whether the hit was admitted."""
        return cast(bool, self[0])

    @property
    def limit(self) -> Limit:
        """The limit that decided: refused, the violated one with the longest wait; allowed, the one with the least left."""
        return cast(Limit, self[1])

    @property
    def figures(self) -> Figures:
        """`wait`, `remaining`, `more` and `reset` at once, times in whole microseconds."""
        return _named(Figures, self[2](self[3], self[4]))

    @property
    def remaining(self) -> int:
        """Units that would be admitted now. After a `peek`: before the hit that was asked about."""
        return self.figures.remaining

    @property
    def retry_after(self) -> float:
        """Seconds until the same hit is admitted, if nobody else spends: 0 when allowed, infinite when it can never fit."""
        wait = self.figures.wait
        return float("inf") if wait >= NEVER else wait / 1_000_000

    @property
    def more_after(self) -> float:
        """Seconds until more units than now would be admitted; 0 when all of them would be now."""
        return self.figures.more / 1_000_000

    @property
    def reset_after(self) -> float:
        """Seconds until the key is as new, if nobody spends."""
        return self.figures.reset / 1_000_000

    @property
    def source(self) -> str:
        """
        Who decided: "store"; "lease", units that it had lent to this process; "denials", what is known to be refused; "local", this process's memory, or "open", nobody, while the
        store is away; "closed" in a StoreUnavailable; "overflow", a bucket shared by identities that a full memory store had no
        room for.
        """
        return cast(str, self[5])

    @property
    def degraded(self) -> bool:
        """Whether the store was away, so that the answer came from somewhere else."""
        return cast(bool, self[6])

    @property
    def max_over(self) -> int | None:
        """Units that may have been admitted beyond the algorithm's own promise: 0, a bound, or None where none is known."""
        return cast("int | None", self[7])

    @property
    def details(self) -> "tuple[Decision, ...]":
        """One Decision per limit, in the order the limits were given; `allowed` says whether that limit alone would admit."""
        return cast("tuple[Decision, ...]", self[8]) or (self,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Decision) and _facts(self) == _facts(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(_facts(self))

    def __repr__(self) -> str:
        return (
            f"Decision(allowed={self.allowed}, limit='{self.limit}', remaining={self.remaining}, "
            f"retry_after={self.retry_after:g}, more_after={self.more_after:g}, reset_after={self.reset_after:g}, "
            f"source='{self.source}', degraded={self.degraded}, max_over={self.max_over})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # `read` is a closure; the figures it would give travel instead.
        return Decision, ((self[0], self[1], settled, self[3], tuple(self.figures), *self[5:]),)


def settled(_cost: int, seen: Seen) -> Told:
    """`read` where what was seen is the figures themselves."""
    return cast(Told, seen)


def _facts(decision: Decision) -> tuple[object, ...]:
    return (decision[0], decision[1], decision.figures, *decision[5:8], decision[8] and tuple(map(_facts, decision[8])))


def decide(parts: Sequence[Decision]) -> Decision:
    """
    Join the decisions of several limits on one hit into one, which carries them as `details`.

    Refused when any is: the violated limit with the longest wait speaks. Allowed: the one with the least remaining, ties to the
    longest `more`. A single decision is returned as it is.
    """
    if len(parts) == 1:
        return parts[0]
    refused = [part for part in parts if not part[0]]
    if refused:
        chosen = max(refused, key=lambda part: part.figures.wait)
    else:
        chosen = min(parts, key=lambda part: (part.figures.remaining, -part.figures.more))
    return Decision((*chosen[:8], tuple(parts)))
