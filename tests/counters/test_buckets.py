"""
Where buckets of time begin: against the clocks of time zones, hour by hour, over changes of the clocks.
"""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from ratekit.counters.buckets import Every, buckets_of, started
from ratekit.zones import CALENDAR, Calendar

ZONES = {
    "Europe/Berlin": "2027-03-28 2027-10-31",
    "America/New_York": "2027-03-14 2027-11-07",
    "Australia/Lord_Howe": "2027-04-04 2027-10-03",  # by half an hour
    "Asia/Kolkata": "2027-01-01",
    "America/Havana": "2027-03-14 2027-11-07",  # at midnight, forward; at one, back to midnight
    "Asia/Beirut": "2027-03-28 2027-10-31",  # at midnight, forward; and back to the day before
    "Pacific/Apia": "2011-12-30",  # a day that never was
    "UTC": "2028-02-29",
}
LABELS = {
    "hour": lambda at: (at.date(), at.hour, at.utcoffset()),
    "day": lambda at: at.date(),
    "week": lambda at: at.date() - timedelta(days=at.weekday()),
    "month": lambda at: (at.year, at.month),
    "year": lambda at: at.year,
}
STEP = 15 * 60_000
DAY = 86_400_000


def labels(unit, zone, first, last):
    """What clocks of the zone show every quarter of an hour: (instant in ms, label)."""
    zone = ZoneInfo(zone)
    return [(at, LABELS[unit](datetime.fromtimestamp(at / 1000, zone))) for at in range(first, last, STEP)]


def days():
    return [(zone, day) for zone, text in ZONES.items() for day in text.split()]


@pytest.mark.parametrize(("zone", "day"), days())
@pytest.mark.parametrize("unit", sorted(CALENDAR))
def test_a_bucket_begins_when_the_clocks_of_its_zone_say_so(unit, zone, day):
    middle = round(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * 1000
    seen = labels(unit, zone, middle - 3 * DAY, middle + 3 * DAY)
    changes = [at for (_, before), (at, after) in pairwise(seen) if before != after]
    buckets = Calendar(unit, ZoneInfo(zone))
    for at, _ in seen[STEP // 60_000 :: 7]:
        start, end = buckets.starts(at, 0, 1)
        assert start == max([change for change in changes if change <= at], default=start) <= at < end
        assert end == min([change for change in changes if change > at], default=end)
        assert end - start <= buckets.longest


@pytest.mark.parametrize(("zone", "day"), days())
@pytest.mark.parametrize("unit", sorted(CALENDAR))
def test_buckets_in_a_row_leave_no_gap(unit, zone, day):
    at = round(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * 1000
    buckets = Calendar(unit, ZoneInfo(zone))
    row = buckets.starts(at, 40, 40)
    assert len(row) == 81
    assert row[40] <= at < row[41]
    for start, end in pairwise(row):
        assert list(buckets.starts(start, 0, 1)) == list(buckets.starts(end - 1, 0, 1)) == [start, end]


def test_days_on_which_clocks_are_set_are_shorter_or_longer():
    def hours(day):
        start, end = Calendar("day", ZoneInfo("Europe/Berlin")).starts(round(day.timestamp() * 1000), 0, 1)
        return (end - start) / 3_600_000

    noon = datetime(2027, 3, 28, 12, tzinfo=UTC)
    assert [hours(noon), hours(noon + timedelta(days=1)), hours(datetime(2027, 10, 31, 12, tzinfo=UTC))] == [23, 24, 25]


def test_a_week_begins_on_monday_and_a_month_on_its_first():
    at = round(datetime(2028, 2, 29, 12, tzinfo=UTC).timestamp() * 1000)
    ends = {unit: buckets_of(unit, "UTC").starts(at, 0, 1)[1] for unit in CALENDAR}
    dates = {unit: datetime.fromtimestamp(end / 1000, UTC).date() for unit, end in ends.items()}
    assert (dates["week"], dates["month"], dates["year"]) == (date(2028, 3, 6), date(2028, 3, 1), date(2029, 1, 1))


def test_buckets_of_a_fixed_length_begin_at_multiples_of_it():
    assert list(Every(60_000).starts(90_500, 1, 2)) == [0, 60_000, 120_000, 180_000]
    assert buckets_of(timedelta(minutes=5)) == Every(300_000)


def test_an_instant_outside_of_the_starts_has_none():
    starts = (1_000, 2_000, 3_000)
    found = [started(0, starts, ms * 1000) for ms in (999, 1_000, 1_999, 2_000, 2_999, 3_000)]
    assert found == [None, 1_000, 1_000, 2_000, 2_000, None]
