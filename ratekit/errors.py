"""
What can go wrong, as one tree.

    RateKitError
    ├── ConfigurationError (also a ValueError)   the program asks for something that cannot be: fix the program
    ├── RateLimitExceeded                        the answer is no: `error.decision` says why and until when
    └── StoreError                               the store answered, and not with a decision
        └── StoreUnavailable                     the store is away: `error.decision` has source "closed", when there is one
            └── CountedInPart                    a part of a cluster is away: `error.answers` has what the others counted

A refusal and a failure are never the same type, so that neither can be mistaken for the other.
"""

import sys
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ratekit.decision import Decision

_HERE: Final = __file__.removesuffix("errors.py")


class RateKitError(Exception):
    """Every error that ratekit raises on purpose."""


class ConfigurationError(RateKitError, ValueError):
    """
    A limit, a policy, an argument or an identity that cannot be: the message quotes it and says what would be right.

    >>> from ratekit import Limit
    >>> Limit.parse("5/month")
    Traceback (most recent call last):
    ratekit.errors.ConfigurationError: '5/month': a month has no fixed length; write '5/30 days' for a fixed one
    """


class RateLimitExceeded(RateKitError):
    """A limit refused; `decision` is the refusal, with `retry_after` in seconds."""

    def __init__(self, decision: "Decision") -> None:
        super().__init__(decision)
        self.decision = decision

    def __str__(self) -> str:
        decision = self.decision
        if decision.retry_after == float("inf"):
            return f"rate limit {decision.limit} exceeded: this cost can never fit"
        return f"rate limit {decision.limit} exceeded: retry after {decision.retry_after:g} s"


class StoreError(RateKitError):
    """
    The store answered with an error: wrong password, missing permission, a reply that makes no sense.

    `fault` is "late" (no answer in time), "away" (no connection), "server" (it cannot serve) or "refused" (credentials).
    """

    def __init__(self, message: str, fault: str = "server") -> None:
        super().__init__(message)
        self.fault = fault


class StoreUnavailable(StoreError):
    """The store is away, or did not answer in time; `decision`, when present, has source "closed"."""

    def __init__(self, message: str, fault: str = "away", decision: "Decision | None" = None) -> None:
        super().__init__(message, fault)
        self.decision = decision


class CountedInPart(StoreUnavailable):
    """
    Of many that were counted at once some were not: a part of a cluster was away. `answers` has, in order, the count of each, and None
    for those of which it is not known: a time-out does not say whether the server had counted.

    >>> error = CountedInPart("1 of 2 was not counted: no reply within 0.05 s", "late", [3, None])
    >>> [i for i, count in enumerate(error.answers) if count is None]
    [1]
    """

    def __init__(self, message: str, fault: str = "away", answers: Sequence[Any] = ()) -> None:
        super().__init__(message, fault)
        self.answers = [*answers]


class RateKitWarning(UserWarning):
    """Something that works and is probably not meant: the message says what to do."""


def caution(text: str) -> None:
    """Warn of what is probably not meant, by the line outside this package that led to it."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_HERE):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, RateKitWarning, stacklevel=level)


class MissingExtra(ConfigurationError, ImportError):
    """A package that only some users need is not installed; the message is the command that installs it."""

    def __init__(self, needs: str, package: str, extra: str) -> None:
        super().__init__(f"{needs} needs {package}, which is not installed: pip install 'ratekit[{extra}]'")
