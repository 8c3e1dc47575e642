"""
Buckets of time: where they begin. Pure arithmetic on milliseconds since 1970; no clock.

A bucket of a fixed length begins at a whole multiple of it since 1970, UTC. A bucket of the calendar begins when the clocks of a time
zone begin a new hour, day, week (on Monday), month or year: a day on which clocks are set forward has 23 hours, the hour that they
repeat is two buckets, a midnight that they skip is the instant at which they skip it.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final, Protocol
from zoneinfo import ZoneInfo

from ratekit.errors import ConfigurationError

SECOND: Final = 1_000
HOUR: Final = 3_600 * SECOND
DAY: Final = 24 * HOUR
FIXED: Final = {"second": SECOND, "minute": 60 * SECOND, "hour": HOUR, "day": DAY}
CALENDAR: Final = {"hour": 2 * HOUR, "day": DAY, "week": 7 * DAY, "month": 31 * DAY, "year": 366 * DAY}
"""The units of the calendar, and how long one of them is at most, but for clocks that are set (`SLACK`)."""
SLACK: Final = 3 * HOUR
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


@dataclass(frozen=True, slots=True)
class Calendar:
    """Buckets of a time zone's calendar: `unit` is one of CALENDAR."""

    unit: str
    zone: ZoneInfo
    period: int = 0

    @property
    def longest(self) -> int:
        """More than any of them lasts."""
        return CALENDAR[self.unit] + SLACK

    @property
    def label(self) -> str:
        """How they are told from others in a key."""
        return f"/{self.unit}@{self.zone.key}"

    def starts(self, at: int, back: int, ahead: int) -> Sequence[int]:
        """The start of the bucket of an instant, and those around it."""
        start = self._start(at)
        found = [start]
        for _ in range(back):
            found.append(self._start(found[-1] - 1))
        found.reverse()
        for _ in range(ahead):
            found.append(self._end(found[-1]))
        return found

    def _start(self, at: int) -> int:
        if self.unit == "hour":
            return _hour(self.zone, at)
        day = _date(self.zone, at)
        if self.unit == "week":
            day -= timedelta(days=day.weekday())
        elif self.unit != "day":
            day = day.replace(day=1, month=day.month if self.unit == "month" else 1)
        return _midnight(self.zone, day)

    def _end(self, start: int) -> int:
        end = self._start(start + self.longest)
        while (earlier := self._start(end - 1)) > start:
            end = earlier
        return end


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


def zone_of(tz: object) -> ZoneInfo:
    """A time zone by its name, such as "Europe/Berlin"; raises ConfigurationError."""
    if isinstance(tz, ZoneInfo) and tz.key:
        return tz
    try:
        if isinstance(tz, str):
            return ZoneInfo(tz)
    except (KeyError, OSError, ValueError):  # unknown, a directory, a path
        pass
    raise ConfigurationError(
        f"time zone {tz!r}: write a name such as 'Europe/Berlin'; where this machine has none at all: pip install tzdata"
    )


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


def _local(zone: ZoneInfo, at: int) -> datetime:
    return datetime.fromtimestamp(at // 1000, zone)


def _date(zone: ZoneInfo, at: int) -> date:
    return _local(zone, at).date()


@lru_cache(maxsize=4096)
def _midnight(zone: ZoneInfo, day: date) -> int:
    """The first instant of a date."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    at = round(midnight.timestamp()) * 1000
    if _date(zone, at) < day:  # clocks are set back at midnight: it is the second one that begins the day
        at = round(midnight.replace(fold=1).timestamp()) * 1000
    if _date(zone, at - 1) < day:
        return at
    # Clocks skip midnight, and began to before it: the day begins when they are set. In seconds, searched for.
    low = at // 1000 - 86_400
    return (low + bisect_left(range(86_400), True, key=lambda s: _date(zone, (low + s) * 1000) >= day)) * 1000


def _hour(zone: ZoneInfo, at: int) -> int:
    """The start of a clock's hour: when it is full, or when the clock is set."""
    offset = _offset(zone, at)
    start = (at + offset) // HOUR * HOUR - offset
    if _offset(zone, start) == offset:
        return start
    low = start // 1000
    return (low + bisect_left(range(3600), True, key=lambda s: _offset(zone, (low + s) * 1000) == offset)) * 1000


def _offset(zone: ZoneInfo, at: int) -> int:
    offset = _local(zone, at).utcoffset()
    assert offset is not None
    return offset // timedelta(milliseconds=1)


def date_of(start: int, buckets: Buckets) -> datetime:
    """The start of a bucket as a date, in its time zone."""
    zone = buckets.zone if isinstance(buckets, Calendar) else UTC
    return datetime.fromtimestamp(start / 1000, zone)
