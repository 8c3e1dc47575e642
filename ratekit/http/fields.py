"""
Header fields: RateLimit-Policy and RateLimit as structured fields (draft-ietf-httpapi-ratelimit-headers-10), Retry-After.

One item per limit that applied. The first names what is promised (`q` units in a window of `w` seconds), the second what is left
(`r` units now, more in `t` seconds).
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from ratekit.decision import NEVER, Decision, Figures
from ratekit.limit import Limit

Fields = list[tuple[bytes, bytes]]

Named = tuple[tuple[str, Limit], ...]
"""Limits, each with the name of its policy."""


Left = tuple[int, int]
"""Units that are left, and the whole seconds until there are more, 0 when all are there."""

SECOND: Final = 1_000_000


class Applied(NamedTuple):
    """A policy's name and its decision on one limit."""

    policy: str
    decision: Decision


class Lines:
    """
    The RateLimit fields of some limits. What is the same in every answer is worked out once, and a request costs its numbers.

    `labels` are one per limit: its own name, else its policy's, with the period in seconds, then the algorithm, where that would
    repeat.
    """

    __slots__ = ("_heads", "_policy", "labels", "named", "of")

    def __init__(self, named: Named) -> None:
        self.named = named
        self.labels = _labels_of(named)
        promises = (f"{_string(label)}{_promise(limit)}" for label, (_, limit) in zip(self.labels, named, strict=True))
        self._policy = (b"ratelimit-policy", ", ".join(promises).encode("ascii"))
        self._heads = [f"{_string(label)};r=" for label in self.labels]
        self.of = _of_one(self._policy, self._heads[0]) if len(named) == 1 else self._of_all
        """Both fields, for a decision on all of the limits."""

    def _of_all(self, decision: Decision) -> Fields:
        return self.saying([left(part.figures) for part in decision.details])

    def saying(self, lefts: Iterable[Left]) -> Fields:
        """Both fields, for what is left of each limit in order."""
        return [self._policy, (b"ratelimit", ", ".join(map(_item, self._heads, lefts)).encode("ascii"))]


@lru_cache(maxsize=1024)
def lines_of(named: Named) -> Lines:
    """The lines of some limits, made once."""
    return Lines(named)


def _of_one(policy: tuple[bytes, bytes], head: str) -> Callable[[Decision], Fields]:
    # The way of most requests: one frame.
    def of(decision: Decision) -> Fields:
        _, remaining, more, _ = decision.figures
        state = f"{head}{remaining};t={-(-more // SECOND)}" if more else f"{head}{remaining}"
        return [policy, (b"ratelimit", state.encode())]

    return of


def _labels_of(named: Named) -> tuple[str, ...]:
    labels = [limit.name or policy for policy, limit in named]
    for more in (lambda limit: f"{limit.per}", lambda limit: limit.algorithm, str):
        repeated = {label for label in labels if labels.count(label) > 1}
        labels = [f"{label}-{more(limit)}" if label in repeated else label for label, (_, limit) in zip(labels, named, strict=True)]
    return tuple(labels)


def _promise(limit: Limit) -> str:
    # A token bucket holds its burst and takes the time to fill; a window shorter than a second cannot be said.
    window = -(-limit.capacity * limit.period // limit.quota) if limit.burst is not None else limit.period
    seconds = f";w={-(-window // SECOND)}" if window >= SECOND else ""
    return f";q={limit.capacity}{seconds}"


def _item(head: str, left: Left) -> str:
    return f"{head}{left[0]};t={left[1]}" if left[1] else f"{head}{left[0]}"


def left(figures: Figures) -> Left:
    """What the RateLimit field says of figures."""
    _, remaining, more, _ = figures
    return remaining, -(-more // SECOND)


def _string(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


NONE: Final = Lines(())
"""The lines of no limits."""


def lines_for(applied: Sequence[Applied]) -> Lines:
    """The lines of what applied."""
    return lines_of(tuple((policy, decision.limit) for policy, decision in applied))


def labels(applied: Sequence[Applied]) -> tuple[str, ...]:
    """The labels of what applied, in order."""
    return lines_for(applied).labels


def rate_limit_fields(applied: Sequence[Applied]) -> Fields:
    """Both RateLimit fields for what applied; none where nothing did."""
    if not applied:
        return []
    return lines_for(applied).saying([left(decision.figures) for _, decision in applied])


def retry_after(wait: int) -> int | None:
    """Microseconds as the whole seconds of a Retry-After: rounded up, at least 1; None where the cost can never fit."""
    return None if wait >= NEVER else max(1, -(-wait // SECOND))


def field_of(seconds: int | None) -> Fields:
    """Retry-After in seconds; nothing for None."""
    return [] if seconds is None else [(b"retry-after", str(seconds).encode("ascii"))]


def retry_after_fields(decision: Decision) -> Fields:
    """Retry-After; none where the cost can never fit."""
    return field_of(retry_after(decision.figures.wait))
