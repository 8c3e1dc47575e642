"""
Buckets of time: where they begin. Pure arithmetic on milliseconds since 1970; no clock.

A bucket of a fixed length begins at a whole multiple of it since 1970, UTC. Those of the calendar are in `ratekit/zones.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol
from zoneinfo import ZoneInfo

from ratekit.errors import ConfigurationError
from ratekit.zones import CALENDAR, DAY, HOUR, Calendar, zone_of

SECOND: Final = 1_000
FIXED: Final = {"second": SECOND, "minute": 60 * SECOND, "hour": HOUR, "day": DAY}
MOST_KEPT: Final = 2_000
"""Buckets that one counter keeps at most: 1,440 are a day by minute."""
UNITS: Final = "'second', 'minute', 'hour', 'day', 'week', 'month', 'year', or seconds"


class Buckets(Protocol):
    """Where buckets begin."""

    @property
    def period(self) -> int:
        """Their length in milliseconds where it is fixed, else 0."""
        ...

    @property
    def longest(self) -> int:
        """Milliseconds that one of them may last."""
        ...

    @property
    def label(self) -> str:
        """How they are told from others in a key."""
        ...

    def starts(self, at: int, back: int, ahead: int) -> Sequence[int]:
        """The start of the bucket of an instant, between those of so many before and after it; all in milliseconds."""
        ...


@dataclass(frozen=True, slots=True)
class Every:
    """Buckets of `period` milliseconds."""

    period: int

    @property
    def longest(self) -> int:
        """Their length."""
        return self.period

    @property
    def label(self) -> str:
        """How they are told from others in a key."""
        return f"/{self.period}"

    def starts(self, at: int, back: int, ahead: int) -> Sequence[int]:
        """The start of the bucket of an instant, and those around it."""
        start = at - at % self.period
        return range(start - back * self.period, start + ahead * self.period + 1, self.period)


def buckets_of(per: object, tz: object = None) -> Buckets:
    """
    The buckets of `per` (a unit's name, seconds or a timedelta), in a time zone if one is named. Raises ConfigurationError.

    >>> buckets_of("minute"), buckets_of(15).period
    (Every(period=60000), 15000)
    """
    if tz is not None:
        if per not in CALENDAR:
            raise ConfigurationError(f"per {per!r} with a time zone: write one of {', '.join(map(repr, CALENDAR))}, or no tz")
        return Calendar(str(per), zone_of(tz))
    if isinstance(per, str):
        if per in FIXED:
            return Every(FIXED[per])
        if per in CALENDAR:
            return Calendar(per, ZoneInfo("UTC"))
        raise ConfigurationError(f"per {per!r}: write {UNITS}")
    seconds = per.total_seconds() if isinstance(per, timedelta) else per
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 1 <= seconds <= 366 * 86_400 or seconds % 1:
        raise ConfigurationError(f"per {per!r}: write {UNITS} (whole, from 1 to {366 * 86_400})")
    return Every(int(seconds) * SECOND)


def check_keep(keep: object) -> int:
    """How many buckets are kept; raises ConfigurationError."""
    if type(keep) is not int or not 1 <= keep <= MOST_KEPT:
        raise ConfigurationError(f"keep {keep!r}: write how many buckets are kept, from 1 to {MOST_KEPT}")
    return keep


def started(period: int, starts: Sequence[int], at: int) -> int | None:
    """The start in ms of the bucket of an instant in us, None when that is outside of `starts`. The twin of one in common.lua."""
    ms = at // 1000
    if period:
        return ms - ms % period
    if not starts[0] <= ms < starts[-1]:
        return None
    return max(start for start in starts if start <= ms)


def recent(period: int, starts: Sequence[int], now: int, last: int) -> Sequence[int] | None:
    """The starts of so many buckets, the present one last; None when that is outside of `starts`. The twin of one in common.lua."""
    start = started(period, starts, now)
    if start is None:
        return None
    if period:
        return range(start - (last - 1) * period, start + 1, period)
    end = starts.index(start) + 1
    return starts[end - last : end] if end >= last else None


def date_of(start: int, buckets: Buckets) -> datetime:
    """The start of a bucket as a date, in its time zone."""
    zone = buckets.zone if isinstance(buckets, Calendar) else UTC
    return datetime.fromtimestamp(start / 1000, zone)
