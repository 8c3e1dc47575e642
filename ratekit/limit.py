"""
Limit: a quota per period, and its text form.

    100/minute      10/15s      5 per 2 hours      100/minute burst 20      1000/hour sliding_window buckets 30 name hourly
    1000 per calendar month Europe/Berlin

The text is read strictly: what is not understood is an error that says what would be right. Nothing is guessed.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Final

from ratekit.errors import ConfigurationError
from ratekit.limit_text import ALGORITHM_NAMES, LONGEST, MOST, period_text, read
from ratekit.zones import CALENDAR, HOUR, zone_of

__all__ = ["ALGORITHM_NAMES", "CENTURY", "LENGTHS", "LONGEST", "MOST", "MOST_BUCKETS", "Limit", "limits_of"]

CENTURY: Final = 36_525 * 86_400_000_000
"""The longest time in microseconds for a token bucket to fill: one hundred years."""
MOST_BUCKETS: Final = 10_000

LENGTHS: Final = {**CALENDAR, "hour": HOUR}
"""Milliseconds of the calendar's units, of the longest one each."""

_NAME: Final = re.compile(r"[!-:<-~]{1,64}")


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Limit:
    """
    At most `quota` units per period of `per` seconds.

    `per` is a number of seconds or a timedelta, whole milliseconds. `algorithm` None is "token_bucket" when `burst` is given,
    else "sliding_window". `burst` is the whole capacity of a token bucket (default: `quota`), None for the others. `buckets` is
    how finely a sliding_window remembers: exact while `quota` is at most that. `name` tells limits of one limiter apart.

    Raises ConfigurationError (a ValueError) for anything outside quota, burst 1 to 10^9, period 1 ms to ten years.

    >>> limit = Limit(100, per=60, burst=20)
    >>> limit.algorithm, limit.burst, str(limit)
    ('token_bucket', 20, '100/minute burst 20')
    >>> Limit.parse("100/minute burst 20") == limit
    True
    """

    quota: int
    period_ms: int
    algorithm: str
    burst: int | None
    buckets: int
    name: str | None
    unit: str | None
    zone: str | None

    def __init__(
        self,
        quota: int,
        *,
        per: float | timedelta,
        algorithm: str | None = None,
        burst: int | None = None,
        buckets: int = 60,
        name: str | None = None,
    ) -> None:
        if algorithm is None:
            algorithm = "sliding_window" if burst is None else "token_bucket"
        if algorithm not in ALGORITHM_NAMES:
            raise ConfigurationError(f"unknown algorithm {algorithm!r}; the algorithms are {', '.join(ALGORITHM_NAMES)}")
        _check_whole("quota", quota, MOST)
        if algorithm == "token_bucket":
            burst = quota if burst is None else burst
            _check_whole("burst", burst, MOST)
        elif burst is not None:
            raise ConfigurationError(f"{algorithm} has no burst; leave burst {burst!r} out, or write token_bucket")
        _check_whole("buckets", buckets, MOST_BUCKETS, least=2)
        if buckets != 60 and algorithm != "sliding_window":
            raise ConfigurationError(f"{algorithm} has no buckets; leave buckets {buckets!r} out, or write sliding_window")
        _check_name(name)
        self._set(quota, _milliseconds(per), algorithm, burst, buckets, name, None, None)
        if burst is not None and burst * self.period_ms * 1000 > CENTURY * quota:
            raise ConfigurationError(f"'{self}' takes more than 100 years to fill; write a smaller burst or a shorter period")

    def _set(self, *values: object) -> None:
        for attribute, value in zip(self.__slots__, values, strict=True):
            object.__setattr__(self, attribute, value)

    @classmethod
    def calendar(cls, quota: int, unit: str, *, tz: str = "UTC", name: str | None = None) -> "Limit":
        """
        At most `quota` units in each hour, day, week (from Monday), month or year of a time zone's calendar.

        `algorithm` is then "calendar", `unit` and `zone` say which, and `per` is the length of the longest one. Raises
        ConfigurationError for an unknown unit or time zone.

        >>> str(Limit.calendar(1000, "month", tz="Europe/Berlin"))
        '1000 per calendar month Europe/Berlin'
        """
        _check_whole("quota", quota, MOST)
        if unit not in LENGTHS:
            raise ConfigurationError(f"calendar unit {unit!r}: write one of {', '.join(LENGTHS)}")
        _check_name(name)
        limit = object.__new__(cls)
        limit._set(quota, LENGTHS[unit], "calendar", None, 60, name, unit, zone_of(tz).key)
        return limit

    @property
    def per(self) -> float:
        """The period in seconds."""
        seconds, rest = divmod(self.period_ms, 1000)
        return self.period_ms / 1000 if rest else seconds

    @property
    def period(self) -> int:
        """The period in microseconds."""
        return self.period_ms * 1000

    @property
    def capacity(self) -> int:
        """The greatest cost that can ever fit: the burst of a token bucket, else the quota."""
        return self.quota if self.burst is None else self.burst

    @classmethod
    def parse(cls, text: str) -> "Limit":
        """
        Read one limit from text; raises ConfigurationError that quotes the text.

        >>> Limit.parse("10/15s").per
        15
        """
        if not isinstance(text, str):
            raise ConfigurationError(f"{text!r} is no text; write a limit such as '100/minute'")
        try:
            made, arguments = read(text)
            return cls.calendar(**arguments) if made == "calendar" else cls(**arguments)
        except ConfigurationError as error:
            raise ConfigurationError(f"{text!r}: {error}") from None

    @classmethod
    def parse_many(cls, text: str) -> "tuple[Limit, ...]":
        """
        Read limits separated by semicolons.

        >>> [str(limit) for limit in Limit.parse_many("10/second; 1000/hour")]
        ['10/second', '1000/hour']
        """
        if not isinstance(text, str):
            raise ConfigurationError(f"{text!r} is no text; write limits such as '10/second; 1000/hour'")
        return tuple(cls.parse(part) for part in text.split(";"))

    def __repr__(self) -> str:
        return f"Limit.parse({str(self)!r})"

    def __str__(self) -> str:
        words = [f"{self.quota}/{period_text(self.period_ms)}"]
        if self.unit is not None:
            words = [f"{self.quota} per calendar {self.unit} {self.zone}"]
        elif self.algorithm != "sliding_window" and (self.algorithm != "token_bucket" or self.burst == self.quota):
            words.append(self.algorithm)
        if self.burst is not None and self.burst != self.quota:
            words.append(f"burst {self.burst}")
        if self.buckets != 60:
            words.append(f"buckets {self.buckets}")
        if self.name is not None:
            words.append(f"name {self.name}")
        return " ".join(words)


def limits_of(limits: str | Limit | Sequence[str | Limit]) -> tuple[Limit, ...]:
    """Limits from a limit, a text that may hold several, or a list of them; raises ConfigurationError for none."""
    if isinstance(limits, Limit):
        return (limits,)
    if isinstance(limits, str):
        return Limit.parse_many(limits)
    if not isinstance(limits, Sequence) or not limits:
        raise ConfigurationError(f"limits {limits!r}: write a limit such as '100/minute', or a list of them")
    return tuple(limit for some in limits for limit in limits_of(some))


def _check_whole(what: str, value: object, most: int, least: int = 1) -> None:
    if type(value) is not int or not least <= value <= most:
        raise ConfigurationError(f"{what} {value!r}: write a whole number from {least} to {most}")


def _check_name(name: object) -> None:
    if name is not None and not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise ConfigurationError(f"name {name!r}: write 1 to 64 printable ASCII characters, no space and no semicolon")


def _milliseconds(per: float | timedelta) -> int:
    problem = ConfigurationError(f"period {per!r}: write seconds from 0.001 to {LONGEST // 1000} (ten years), whole milliseconds")
    if isinstance(per, timedelta):
        milliseconds, rest = divmod(per, timedelta(milliseconds=1))
        if rest:
            raise problem
    elif isinstance(per, int | float) and not isinstance(per, bool):
        exact = Decimal(repr(per)) * 1000
        if not exact.is_finite() or exact != exact.to_integral_value():
            raise problem
        milliseconds = int(exact)
    else:
        raise problem
    if not 1 <= milliseconds <= LONGEST:
        raise problem
    return milliseconds
