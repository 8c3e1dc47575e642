"""
Zones: where the hours, days, weeks, months and years of a time zone's calendar begin. Pure arithmetic on milliseconds since 1970; no
clock.

One begins when the clocks of the zone begin a new hour, day, week (on Monday), month or year: a day on which clocks are set forward
has 23 hours, the hour that they repeat is two, a midnight that they skip is the instant at which they skip it.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from ratekit.errors import ConfigurationError

HOUR: Final = 3_600_000
DAY: Final = 24 * HOUR
CALENDAR: Final = {"hour": 2 * HOUR, "day": DAY, "week": 7 * DAY, "month": 31 * DAY, "year": 366 * DAY}
"""The units of the calendar, and milliseconds that one of them lasts at most, but for clocks that are set (`SLACK`)."""
SLACK: Final = 3 * HOUR


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
