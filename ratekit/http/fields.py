"""
Header fields: RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers-11, or an older form), Retry-After.

One item per limit that applied. The first field names what is promised (`q` units in a window of `w` seconds), the second what is
left (`r` units now, more in `t` seconds).
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from random import randrange
from typing import Final, NamedTuple

from ratekit.decision import NEVER, Decision, Told
from ratekit.http.forms import FORMS, SECOND, Fields, Left, partition, string
from ratekit.http.headers import DEFAULT, Headers
from ratekit.limit import Limit

ALMOST: Final = SECOND - 1
"""Added, it rounds up; two changes of sign, as one would write it, take longer."""

Named = tuple[tuple[str, Limit], ...]
"""Limits, each with the name of its policy."""


class Applied(NamedTuple):
    """A policy's name and its decision on one limit."""

    policy: str
    decision: Decision


def left(figures: Told) -> Left:
    """What the newest form says of figures."""
    _, remaining, more, _ = figures
    return remaining, -(-more // SECOND)


def retry_after(wait: int) -> int | None:
    """Microseconds as the whole seconds of a Retry-After: rounded up, at least 1; None where the cost can never fit."""
    return None if wait >= NEVER else max(1, -(-wait // SECOND))


class Lines:
    """
    The fields of some limits. What is the same in every answer is worked out once, and a request costs its numbers.

    `labels` are one per limit: its own name, else its policy's, with the period in seconds, then the algorithm, where that would
    repeat. `partitions` are one per limit, too, where they are told; "" for none.
    """

    __slots__ = ("_asks", "_writers", "headers", "labels", "left", "named", "newest", "of", "partitions", "plain", "retry_after")

    def __init__(self, named: Named, headers: Headers = DEFAULT, partitions: tuple[str, ...] = ()) -> None:
        self.named, self.headers = named, headers
        self.partitions = (*partitions, *("",) * (len(named) - len(partitions)))
        self.labels = _labels_of(named)
        limits = [limit for _, limit in named]
        self._writers = [FORMS[form].write(self.labels, limits, self.partitions) for form in headers.forms]
        self._asks = any(writer.asks for writer in self._writers)
        self.newest = all(FORMS[form].now for form in headers.forms)
        self.left: Callable[[Told], Left] = left if self.newest else self._left
        """What the fields say of figures."""
        self.retry_after: Callable[[int], int | None] = self._jittered if headers.retry_jitter else retry_after
        """Microseconds as the seconds of a Retry-After."""
        alone = self.newest and len(named) == 1 and headers.forms != ("none",)
        self.of: Callable[[Decision], Fields] = self._of_one() if alone else self._of_all
        """The fields, for a decision on all of the limits."""
        self.plain = self.newest and len(named) == 1 and not headers.retry_jitter
        """Whether they are one limit's, as most are, and say what `left` and `retry_after` of this module say."""

    def _of_one(self) -> Callable[[Decision], Fields]:
        # The way of most requests: one frame.
        (policy, _), tail = self.saying([(0, 0)]), partition(self.partitions[0])
        full = f"{string(self.labels[0])};r=".replace("%", "%%").encode() + b"%d"
        less = full + b";t=%d"

        def of(decision: Decision) -> Fields:
            _, remaining, more, _ = decision[2](decision[3], decision[4])
            return [policy, (b"ratelimit", less % (remaining, (more + ALMOST) // SECOND) if more else full % remaining)]

        def of_partition(decision: Decision) -> Fields:
            policy, (name, state) = of(decision)
            return [policy, (name, state + tail.encode())]

        return of_partition if tail else of

    def _of_all(self, decision: Decision) -> Fields:
        return self.saying_of(decision.details)

    def _left(self, figures: Told) -> Left:
        wait, remaining, more, reset = figures
        seconds = -(-(wait if 0 < wait < NEVER else reset) // SECOND)
        return remaining, -(-more // SECOND), seconds, int(self.headers.clock()) + seconds

    def _jittered(self, wait: int) -> int | None:
        seconds = retry_after(wait)
        return None if seconds is None else seconds + randrange(self.headers.retry_jitter + 1)  # noqa: S311 - no secret

    def saying(self, lefts: Sequence[Left], decided: int = 0) -> Fields:
        """The fields, for what is left of each limit in order, and which of them decided."""
        if len(self._writers) == 1:
            return self._writers[0].write(lefts, decided)
        return [field for writer in self._writers for field in writer.write(lefts, decided)]

    def saying_of(self, parts: Sequence[Decision]) -> Fields:
        """The fields, for decisions on each limit."""
        return self.saying([self.left(part.figures) for part in parts], deciding(parts) if self._asks else 0)


@lru_cache(maxsize=1024)
def lines_of(named: Named, headers: Headers = DEFAULT, partitions: tuple[str, ...] = ()) -> Lines:
    """The lines of some limits, made once."""
    return Lines(named, headers, partitions)


def deciding(parts: Sequence[Decision]) -> int:
    """Which of several decisions decided: the refusal with the longest wait, else the one with the least left."""
    if len(parts) < 2:
        return 0
    figures = [part.figures for part in parts]
    refused = [i for i, part in enumerate(parts) if not part]
    if refused:
        return max(refused, key=lambda i: figures[i].wait)
    return min(range(len(parts)), key=lambda i: (figures[i].remaining, -figures[i].more))


def _labels_of(named: Named) -> tuple[str, ...]:
    labels = [limit.name or policy for policy, limit in named]
    for more in (lambda limit: f"{limit.per}", lambda limit: limit.algorithm, str):
        repeated = {label for label in labels if labels.count(label) > 1}
        labels = [f"{label}-{more(limit)}" if label in repeated else label for label, (_, limit) in zip(labels, named, strict=True)]
    return tuple(labels)


NONE: Final = Lines(())
"""The lines of no limits."""


def lines_for(applied: Iterable[Applied], headers: Headers = DEFAULT, partitions: tuple[str, ...] = ()) -> Lines:
    """The lines of what applied; `partitions` are those of the first of them."""
    return lines_of(tuple((policy, decision.limit) for policy, decision in applied), headers, partitions)


def labels(applied: Sequence[Applied]) -> tuple[str, ...]:
    """The labels of what applied, in order."""
    return lines_for(applied).labels


def rate_limit_fields(applied: Sequence[Applied], headers: Headers = DEFAULT, partitions: tuple[str, ...] = ()) -> Fields:
    """The fields for what applied; none where nothing did."""
    if not applied:
        return []
    return lines_for(applied, headers, partitions).saying_of([decision for _, decision in applied])


def field_of(seconds: int | None) -> Fields:
    """Retry-After in seconds; nothing for None."""
    return [] if seconds is None else [(b"retry-after", str(seconds).encode("ascii"))]


def retry_after_fields(decision: Decision, lines: Lines = NONE) -> Fields:
    """Retry-After; none where the cost can never fit. `lines` are those of what applied."""
    return field_of(lines.retry_after(decision.figures.wait))
