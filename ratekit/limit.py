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
from ratekit.zones import CALENDAR, HOUR, zone_of

MOST: Final = 1_000_000_000
"""The greatest quota, burst and cost."""
LONGEST: Final = 3_653 * 86_400_000
"""The longest period in milliseconds: ten years."""
CENTURY: Final = 36_525 * 86_400_000_000
"""The longest time in microseconds for a token bucket to fill: one hundred years."""
MOST_BUCKETS: Final = 10_000

LENGTHS: Final = {**CALENDAR, "hour": HOUR}
"""Milliseconds of the calendar's units, of the longest one each."""
ALGORITHM_NAMES: Final = ("fixed_window", "sliding_window", "sliding_counter", "token_bucket")

_UNITS: Final = {
    "ms": 1,
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1_000),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60_000),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3_600_000),
    **dict.fromkeys(("d", "day", "days"), 86_400_000),
    **dict.fromkeys(("w", "week", "weeks"), 604_800_000),
}
_PRINTED: Final = (("week", 604_800_000), ("day", 86_400_000), ("hour", 3_600_000), ("minute", 60_000), ("second", 1_000))
_UNIT_LIST: Final = "ms, s, sec, second, m, min, minute, h, hr, hour, d, day, w, week and their plurals"

_RATE = re.compile(
    r"\s*(?P<quota>[^\s/]*)(?:\s*/\s*|\s+per\s+)(?P<period>(?:[0-9]+\s*)?[^\s0-9/]\S*)(?P<options>(?:\s.*)?)", re.DOTALL
)
_PERIOD = re.compile(r"(?:(?P<count>[0-9]{1,15})\s*)?(?P<unit>[a-z]+)")
_NAME = re.compile(r"[!-:<-~]{1,64}")


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
            return _parse(text)
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
        words = [f"{self.quota}/{_period_text(self.period_ms)}"]
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


def _period_text(milliseconds: int) -> str:
    for unit, length in _PRINTED:
        if milliseconds % length == 0:
            count = milliseconds // length
            return unit if count == 1 else f"{count} {unit}s"
    return f"{milliseconds} ms" if milliseconds > 1 else "ms"


def _parse(text: str) -> Limit:
    rate = _RATE.fullmatch(text)
    if rate is None:
        raise ConfigurationError("write a quota per period, such as '5/minute', '10/15s' or '5 per 2 hours'")
    quota = _number("quota", rate["quota"])
    if rate["period"] == "calendar":
        return _parse_calendar(quota, rate["options"].split())
    milliseconds = _parse_period(rate["period"], quota)
    options = _parse_options(rate["options"].split())
    return Limit(
        quota,
        per=timedelta(milliseconds=milliseconds),
        algorithm=options.get("algorithm"),
        burst=_number("burst", options["burst"]) if "burst" in options else None,
        buckets=_number("buckets", options["buckets"]) if "buckets" in options else 60,
        name=options.get("name"),
    )


def _parse_calendar(quota: int, words: list[str]) -> Limit:
    unit, *rest = words or [""]
    name = None
    if len(rest) > 1 and rest[-2] == "name":
        *rest, _, name = rest
    if len(rest) > 1:
        raise ConfigurationError(f"{' '.join(rest)!r} is not understood; write a time zone, such as Europe/Berlin, or 'name NAME'")
    return Limit.calendar(quota, unit, tz=rest[0] if rest else "UTC", name=name)


def _number(what: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,10}", text):
        raise ConfigurationError(f"{what} {text!r}: write a whole number from 1 to {MOST}")
    return int(text)


def _parse_period(text: str, quota: int) -> int:
    period = _PERIOD.fullmatch(text)
    unit = period["unit"] if period else text.lstrip("0123456789 ")
    if unit in ("month", "months", "mo"):
        raise ConfigurationError(
            f"a month has no fixed length; write '{quota}/30 days' for a fixed one, or '{quota} per calendar month'"
        )
    if unit in ("year", "years", "y"):
        raise ConfigurationError(
            f"a year has no fixed length; write '{quota}/365 days' for a fixed one, or '{quota} per calendar year'"
        )
    if unit not in _UNITS:
        raise ConfigurationError(f"unknown unit {unit!r}; the units are {_UNIT_LIST}")
    count = int(period["count"] or 1) if period else 0
    if not 1 <= count * _UNITS[unit] <= LONGEST:
        raise ConfigurationError(f"period {text!r}: write a period from 1 ms to ten years (3653 days)")
    return count * _UNITS[unit]


def _parse_options(words: list[str]) -> dict[str, str]:
    options: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        if word in ALGORITHM_NAMES:
            key, value = "algorithm", word
        elif word in ("burst", "buckets", "name"):
            key, value = word, next(rest, "")
        else:
            known = ", ".join(ALGORITHM_NAMES)
            raise ConfigurationError(
                f"{word!r} is not understood; write 'burst N', 'buckets N', 'name NAME' or an algorithm ({known})"
            )
        if not value:
            raise ConfigurationError(f"{word!r} needs a value, as in '{word} 20'")
        if key in options:
            raise ConfigurationError(f"{key} is given twice; write it once")
        options[key] = value
    return options
