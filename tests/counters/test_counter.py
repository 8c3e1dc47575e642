"""
What every Counter does, whoever keeps its state.
"""

from datetime import UTC, datetime, timedelta

import pytest

from ratekit import ConfigurationError
from ratekit.counters import Counter
from ratekit.stores import MemoryStore
from ratekit.stores.off import OffStore

MOST = 2**53 - 1


def counts(counter, *words):
    return [bucket.count for bucket in counter.series(*words)]


def test_an_add_returns_the_count(way):
    counter = way.Counter()
    assert [counter.add("ann"), counter.add("ann", 5), counter.add("ann", -8), counter.add("bob", 0)] == [1, 6, -2, 0]
    assert [counter.value("ann"), counter.value("bob"), counter.value("cat")] == [-2, 0, 0]


def test_many_identities_are_added_to_and_read_in_order(way):
    counter = way.Counter()
    assert counter.add_many({"ann": 3, "bob": -1, ("a", 7): 2}) == [3, -1, 2]
    assert counter.add_many(["bob", "ann", "bob"]) == [0, 4, 1]
    assert counter.values(["ann", "bob", ("a", "7"), "nobody"]) == [4, 1, 2, 0]
    assert counter.add_many([]) == counter.values([]) == []


def test_more_identities_than_fit_one_trip_are_counted_once_each(way):
    counter = way.Counter()
    names = [f"user:{i}" for i in range(1100)]
    assert counter.add_many(names) == [1] * 1100
    assert counter.values(names) == [1] * 1100


def test_taking_returns_the_count_and_leaves_none(way):
    counter = way.Counter()
    counter.add("ann", 7)
    assert (counter.take("ann"), counter.take("ann"), counter.value("ann"), counter.add("ann")) == (7, 0, 0, 1)


def test_a_reset_makes_an_identity_as_new(way):
    counter = way.Counter()
    counter.add_many({"ann": 7, "bob": 8})
    counter.reset("ann")
    assert counter.values(["ann", "bob"]) == [0, 8]


def test_no_add_leaves_less_than_the_floor(way):
    counter = way.Counter(floor=0)
    assert [counter.add("ann", amount) for amount in (3, -5, 2)] == [3, 0, 2]
    assert way.Counter("other", floor=-2).add("ann", -5) == -2


def test_a_count_stops_where_it_would_not_be_exact(way):
    counter = way.Counter()
    assert [counter.add("ann", 10**15) for _ in range(12)][8:] == [MOST - MOST % 10**15, MOST, MOST, MOST]
    assert counter.add("ann", -1) == MOST - 1
    assert [counter.add("bob", -(10**15)) for _ in range(12)][-1] == counter.value("bob") == -MOST


def test_a_counter_is_forgotten_after_its_last_add(way, clock):
    counter = way.Counter(expire=10)
    counter.add("ann", 5)
    clock.advance(9)
    assert counter.add("ann", 0) == 5
    clock.advance(9)
    assert counter.value("ann") == 5
    clock.advance(1)
    assert counter.value("ann") == 0
    assert counter.add("ann") == 1


def test_a_counter_that_never_expires_does_not(way, clock):
    counter = way.Counter(expire=None)
    counter.add("ann")
    clock.advance(3_000 * 86_400)
    assert counter.add("ann") == 2


def test_counters_of_one_name_count_together_and_others_do_not(way):
    way.Counter("one").add("ann")
    assert way.Counter("one").add("ann") == 2
    assert way.Counter("two").add("ann") == 1
    assert way.Counter("one", per="minute", keep=2).add("ann") == 1


def test_a_series_shows_the_last_buckets_and_zeros_for_gaps(way, clock):
    counter = way.Counter(per="minute", keep=5)
    assert counts(counter, "ann") == [0] * 5
    assert [counter.add("ann"), counter.add("ann", 2)] == [1, 3]
    clock.advance(120)
    assert counter.add("ann", 4) == 4
    assert counts(counter, "ann") == [0, 0, 3, 0, 4]
    assert counts(counter, "ann", 2) == [0, 4]
    assert (counter.total("ann"), counter.total("ann", 2), counter.value("ann")) == (7, 4, 7)
    clock.advance(180)
    assert counts(counter, "ann") == [0, 4, 0, 0, 0]
    clock.advance(120)
    assert counts(counter, "ann") == [0] * 5


def test_a_bucket_says_when_it_began(way, clock):
    counter = way.Counter(per="hour", keep=2)
    now = datetime.fromtimestamp(clock() / 1e6, UTC)
    begun = now.replace(minute=0, second=0, microsecond=0)
    assert [bucket.start for bucket in counter.series("ann")] == [begun - timedelta(hours=1), begun]


def test_any_length_of_buckets_will_do(way, clock):
    clock.advance_us(-clock() % 15_000_000)
    counter = way.Counter(per=15, keep=3)
    for _ in range(4):
        counter.add("ann")
        clock.advance(10)
    assert counts(counter, "ann") == [2, 1, 1]


def test_a_sliding_total_counts_a_share_of_the_oldest_bucket(way, clock):
    clock.advance_us(-clock() % 60_000_000)
    counter = way.Counter(per="minute", keep=3)
    counter.add("ann", 60)
    clock.advance(60)
    counter.add("ann", 10)
    clock.advance(120)
    assert counter.sliding("ann") == 70
    clock.advance(15)
    assert counter.sliding("ann") == 55
    clock.advance(44.999999)
    assert counter.sliding("ann") == 10
    assert counter.sliding("ann", 2) == 0


def test_taking_buckets_returns_their_total(way, clock):
    counter = way.Counter(per="minute", keep=3)
    counter.add("ann", 5)
    clock.advance(60)
    counter.add("ann", 6)
    assert (counter.take("ann"), counter.total("ann")) == (11, 0)


def test_a_floor_holds_for_each_bucket(way, clock):
    counter = way.Counter(per="minute", keep=3, floor=0)
    counter.add("ann", 5)
    clock.advance(60)
    assert counter.add("ann", -3) == 0
    assert counter.total("ann") == 5


def test_old_buckets_are_dropped(way, clock):
    counter = way.Counter(per="second", keep=2)
    for _ in range(40):
        counter.add("ann")
        clock.advance(1)
    counter.add("ann")
    assert counts(counter, "ann") == [1, 1]


@pytest.mark.parametrize("far", [0, 40, 4_000])
def test_a_day_of_the_calendar_begins_at_midnight_of_its_time_zone(way, clock, far):
    """However far the store's clock is from this machine's: what is sent is put right, and nothing is counted twice."""
    clock.advance(far * 86_400)
    counter = way.Counter(per="day", keep=3, tz="Asia/Kolkata")
    start = counter.series("ann")[-1].start
    clock.advance_us(int((start + timedelta(days=1)).timestamp() * 1e6) - clock() - 1)
    assert counter.add("ann") == 1
    clock.advance_us(1)
    assert counter.add("ann") == 1
    assert counts(counter, "ann") == [0, 1, 1]
    assert [bucket.start.utcoffset() for bucket in counter.series("ann")] == [timedelta(hours=5.5)] * 3


def test_many_are_counted_by_the_calendar_however_far_the_stores_clock_is(way, clock):
    clock.advance(500 * 86_400)
    counter = way.Counter(per="month", keep=2)
    assert counter.add_many({"ann": 2, "bob": 3}) == [2, 3]
    assert counter.values(["ann", "bob"]) == [2, 3]


@pytest.mark.parametrize(
    "wrong",
    [
        {"per": "fortnight", "keep": 2},
        {"per": 0.5, "keep": 2},
        {"per": "day", "keep": 0},
        {"per": "day", "keep": 10**6},
        {"per": "day"},
        {"keep": 3},
        {"tz": "Europe/Berlin"},
        {"per": "minute", "keep": 3, "tz": "Europe/Berlin"},
        {"per": "day", "keep": 3, "tz": "Europe/Atlantis"},
        {"per": "day", "keep": 3, "tz": "../../etc/passwd"},
        {"per": "day", "keep": 3, "expire": 10},
        {"expire": 0},
        {"expire": True},
        {"floor": 1.5},
        {"name": ""},
        {"store": 7},
        {"store": OffStore()},
        {"budget": 0},
    ],
    ids=" ".join,
)
def test_what_cannot_be_is_said_when_the_counter_is_made(wrong):
    with pytest.raises(ConfigurationError):
        Counter(**wrong)


def test_a_unit_that_is_none_is_said_before_what_else_is_missing():
    with pytest.raises(ConfigurationError, match="per 'fortnight': write 'second'"):
        Counter(per="fortnight")


@pytest.mark.parametrize(
    "ask",
    [
        lambda counter: counter.add("ann", 1.0),
        lambda counter: counter.add("ann", 10**16),
        lambda counter: counter.add(True),
        lambda counter: counter.add_many({"ann": "1"}),
        lambda counter: counter.series("ann"),
        lambda counter: counter.sliding("ann"),
    ],
)
def test_what_cannot_be_asked_is_said(ask):
    with pytest.raises(ConfigurationError):
        ask(Counter("asked"))


def test_more_buckets_than_are_kept_are_not_read():
    with pytest.raises(ConfigurationError, match="from 1 to the 3"):
        Counter("asked", per="minute", keep=3).series("ann", 4)


def test_a_memory_store_that_is_full_says_so_and_makes_room_of_what_is_over(clock):
    from ratekit import StoreError

    counter = Counter(store=MemoryStore(max_keys=2, clock=clock), expire=10)
    counter.add_many(["ann", "bob"])
    with pytest.raises(StoreError, match="max_keys"):
        counter.add("cat")
    assert counter.add("ann") == 2
    clock.advance(10)
    assert counter.add("cat") == 1


def test_a_counter_in_memory_goes_by_the_date_of_the_machine():
    counter = Counter("today", per="day", keep=1)
    assert counter.series("ann")[0].start.date() in {
        datetime.now(UTC).date(),
        (datetime.now(UTC) - timedelta(seconds=5)).date(),
    }


class Busy:
    """A store on which somebody else adds five after every trip."""

    remote = False

    def __init__(self):
        self.inner, self.added = MemoryStore(), 0
        self.other = Counter("busy", store=self.inner)
        self.close = self.inner.close

    def count(self, key, command, budget=None):
        answer = self.inner.count(key, command, budget)
        self.other.add("ann", 5)
        self.added += 5
        return answer


def test_what_is_added_meanwhile_is_in_this_answer_or_in_the_next():
    store = Busy()
    counter = Counter("busy", store=store)
    taken = [counter.take("ann") for _ in range(10)]
    assert sum(taken) + store.other.value("ann") == store.added
