"""
The memory store is bounded, and it never forgives.
"""

import random
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

from ratekit import ConfigurationError, Limiter, RateKitWarning
from ratekit.stores import AsyncMemoryStore, MemoryStore
from ratekit.stores.tables import OVERFLOW

pytestmark = pytest.mark.filterwarnings("ignore:the memory store holds:ratekit.errors.RateKitWarning")


def held(store):
    """The keys that are really there."""
    return sum(len(shard) for table in store._tables._tables.values() for shard in table.shards)


def filled(clock, *limits, keys=10):
    """A full store, its limiter, and one identity that found no room."""
    store = MemoryStore(max_keys=keys, clock=clock)
    limiter = Limiter(*limits, store=store)
    for number in range(keys // len(limits)):
        assert limiter.hit(f"early {number}").source == "store"
    return store, limiter


def test_a_new_store_holds_nothing_and_a_refused_hit_or_a_peek_adds_nothing(clock):
    store = MemoryStore(clock=clock)
    limiter = Limiter("5/minute", store=store)
    limiter.peek("ann")
    limiter.hit("ann", cost=6)
    assert len(store) == held(store) == 0


@pytest.mark.parametrize("limits", [["3/minute"], ["3/minute", "5/hour token_bucket", "9/day fixed_window"]])
def test_never_more_than_max_keys_and_one_hit_are_held(clock, limits):
    store = MemoryStore(max_keys=100, clock=clock)
    limiter = Limiter(*limits, store=store)
    for number in range(1_000):
        limiter.hit(f"user {number}")
        clock.advance_us(1_000)
        assert len(store) == held(store) <= 100 + len(limits) - 1


def test_expired_keys_really_leave_as_new_ones_come(clock):
    store = MemoryStore(max_keys=10_000, clock=clock)
    limiter = Limiter("5/second", store=store)
    for number in range(5_000):
        limiter.hit(f"old {number}")
    clock.advance(2)
    for number in range(3_000):
        limiter.hit(f"new {number}")
    assert len(store) == held(store)
    assert len(store) < 4_000


def test_keys_of_a_limiter_that_is_gone_leave_as_well(clock):
    store = MemoryStore(max_keys=10_000, clock=clock)
    Limiter("5/second", store=store, name="gone").hit("ann")
    clock.advance(2)
    limiter = Limiter("5/second", store=store, name="stays")
    for number in range(20):
        limiter.hit(f"new {number}")
    assert held(store) == 20


@pytest.mark.parametrize("seed", range(20))
def test_the_count_of_keys_is_right_and_all_leave_after_any_history_of_several_limits(clock, seed):
    dice = random.Random(seed)
    store = MemoryStore(max_keys=50, clock=clock)
    limiters = [
        Limiter("3/second", "5/2 seconds token_bucket", "9/3 seconds fixed_window", store=store, name="three"),
        Limiter("4/second sliding_counter", store=store, name="one"),
    ]
    for _ in range(2_000):
        limiter, identity = dice.choice(limiters), dice.randrange(dice.choice([5, 100]))
        action = dice.random()
        if action < 0.7:
            limiter.hit(identity)
        elif action < 0.8:
            reservation = limiter.reserve(identity)
            if limiter.peek(identity):
                with reservation:
                    reservation.commit(dice.choice([0, 1, 2]))
        elif action < 0.85:
            limiter.reset(identity)
        else:
            clock.advance_us(dice.choice([1_000, 500_000, 3_000_000]))
        assert len(store) == held(store) <= 52
    clock.advance(60)
    for number in range(100):
        limiters[1].hit(f"last {number}")
        clock.advance(10)
    assert held(store) <= 2


def test_when_it_is_full_new_identities_share_buckets_and_are_marked_so(clock):
    _, limiter = filled(clock, "5/minute")
    decision = limiter.hit("late")
    assert decision
    assert decision.source == "overflow"
    assert limiter.hit("early 1").source == "store"


def test_when_it_is_full_several_limits_share_together(clock):
    _, limiter = filled(clock, "5/minute", "9/hour", keys=10)
    decision = limiter.hit("late")
    assert [part.remaining for part in decision.details] == [4, 8]
    assert {part.source for part in decision.details} == {"overflow"}


def test_one_warning_says_that_it_is_full_and_what_to_do(clock):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _, limiter = filled(clock, "5/minute")
        for number in range(100):
            limiter.hit(f"late {number}")
    assert [warning.category for warning in caught] == [RateKitWarning]
    assert "max_keys" in str(caught[0].message)


@pytest.mark.parametrize("algorithm", ["fixed_window", "sliding_window", "sliding_counter", "token_bucket"])
def test_who_shares_a_bucket_is_refused_early_perhaps_and_never_admitted_beyond_the_limit(clock, algorithm):
    store, limiter = filled(clock, f"3/minute {algorithm}")
    admitted = {}
    for _ in range(6):
        for number in range(3_000):
            if limiter.hit(number):
                admitted[number] = admitted.get(number, 0) + 1
    assert max(admitted.values()) <= 3
    buckets = {hash(str(number)) % OVERFLOW for number in range(3_000)}
    assert sum(admitted.values()) == 3 * len(buckets)  # every bucket was filled, by one or by several
    assert len(store) == held(store) == 10


def test_nobody_is_forgiven_however_many_others_come(clock):
    store = MemoryStore(max_keys=10, clock=clock)
    limiter = Limiter("1/minute", store=store)
    for _ in range(3):
        for number in range(2_000):
            limiter.hit(number)
            assert not limiter.hit(number)
        clock.advance(10)
    assert not any(limiter.hit(number) for number in range(2_000))


def test_what_still_counts_survives_the_leaving_of_what_does_not(clock):
    limiter = Limiter("1/minute", store=MemoryStore(max_keys=1_000, clock=clock))
    for number in range(100):
        limiter.hit(f"early {number}")
    clock.advance(30)
    for number in range(100):
        limiter.hit(f"late {number}")
    clock.advance(30)
    for number in range(200):
        limiter.hit(f"new {number}")
    assert not any(limiter.hit(f"late {number}") for number in range(100))
    assert all(limiter.hit(f"early {number}") for number in range(100))


def test_an_identity_stays_with_its_bucket_until_that_is_as_new_even_when_room_returns(clock):
    store, limiter = filled(clock, "3/minute")
    clock.advance(30)
    for _ in range(3):
        limiter.hit("late")
    for number in range(10):
        limiter.reset(f"early {number}")
    assert len(store) == 0
    assert not limiter.hit("late")
    assert not limiter.peek("late")
    assert not limiter.hit_many(["late"])[0]
    assert limiter.hit("other").source in ("store", "overflow")
    clock.advance(59.999999)
    assert not limiter.hit("late")
    clock.advance_us(1)
    assert limiter.hit("late").source == "store"
    assert limiter.hit("late").remaining == 1


SPELLINGS = {
    "a number": (42, "42"),
    "a long number": (10**200, str(10**200)),
    "a long text": ("é" * 300, "é" * 300),
    "a tuple": (("user", 7), ("user", "7")),
    "a tuple with a long text": (("user", "x" * 200, 7), ("user", "x" * 200, "7")),
}


@pytest.mark.parametrize("kind", SPELLINGS)
def test_who_found_no_room_has_one_bucket_however_it_is_spelt_and_asked(clock, kind):
    one, other = SPELLINGS[kind]
    _, limiter = filled(clock, "3/minute")
    assert [limiter.hit(one).source, limiter.hit(other).source] == ["overflow"] * 2
    assert limiter.peek(one).remaining == limiter.peek(other).remaining == 1
    assert [bool(hit) for hit in (limiter.hit_many([other])[0], limiter.hit(one), limiter.hit(other))] == [True, False, False]


@pytest.mark.parametrize("kind", SPELLINGS)
def test_who_has_a_key_keeps_it_however_it_is_spelt_while_others_share(clock, kind):
    one, other = SPELLINGS[kind]
    store = MemoryStore(max_keys=3, clock=clock)
    limiter = Limiter("3/minute", store=store)
    assert limiter.hit(one)
    for number in range(5_000):
        limiter.hit(f"late {number}")
    assert [(hit.source, bool(hit)) for hit in map(limiter.hit, (one, other, one, other))] == [
        ("store", True),
        ("store", True),
        ("store", False),
        ("store", False),
    ]


@pytest.mark.parametrize("kind", SPELLINGS)
def test_who_left_and_came_back_when_it_was_full_shares_as_all_do(clock, kind):
    one, other = SPELLINGS[kind]
    store = MemoryStore(max_keys=3, clock=clock)
    limiter = Limiter("3/minute", store=store)
    limiter.hit(one)
    limiter.reset(one)
    assert not any(spots for table in store._tables._tables.values() for spots in table.spots)
    for number in range(3):
        limiter.hit(f"early {number}")
    hits = [limiter.hit(who) for who in (one, other, one, other)]
    assert [bool(hit) for hit in hits] == [True, True, True, False]
    assert {hit.source for hit in hits} == {"overflow"}


def test_what_is_no_identity_is_told_so_also_when_it_is_full(clock):
    _, limiter = filled(clock, "3/minute")
    for number in range(5_000):
        limiter.hit(f"late {number}")
    for wrong in (True, None, b"ann", (), ("a", b"x"), ["a"]):
        with pytest.raises(ConfigurationError, match="identity"):
            limiter.hit(wrong)


def test_a_reset_leaves_shared_buckets_as_they_are(clock):
    _, limiter = filled(clock, "1/minute")
    limiter.hit("late")
    limiter.reset("late")
    assert not limiter.hit("late")


def test_a_reservation_in_a_shared_bucket_can_be_given_back(clock):
    _, limiter = filled(clock, "3/minute")
    for used in (0, 1):
        with limiter.reserve("late", cost=3) as reservation:
            assert reservation.commit(used).remaining == 3 - used
        assert limiter.peek("late").remaining == 3 - used


def test_sync_and_async_share_one_store_where_they_are_told_to(clock):
    store = MemoryStore(clock=clock)
    assert AsyncMemoryStore(store).sync is store


@pytest.mark.parametrize("most", [0, -1, 1.5, True, "9", None])
def test_a_bound_that_is_none_is_refused(most):
    with pytest.raises(ConfigurationError, match="max_keys"):
        MemoryStore(max_keys=most)


def test_a_store_of_one_key_works(clock):
    limiter = Limiter("1/minute", store=MemoryStore(max_keys=1, clock=clock))
    assert [bool(limiter.hit(who)) for who in ("ann", "ann", "bob", "bob")] == [True, False, True, False]


def test_threads_are_admitted_exactly_the_quota(clock):
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for texts in (["1000/hour"], ["1000/hour", "2000/day fixed_window"]):
            limiter = Limiter(*texts, store=MemoryStore(clock=clock))
            with ThreadPoolExecutor(8) as crowd:
                assert sum(map(bool, crowd.map(limiter.hit, ["ann"] * 3_200))) == 1_000
    finally:
        sys.setswitchinterval(switch)


def test_its_own_clock_runs_and_never_goes_back():
    clock = MemoryStore()._clock
    times = [clock() for _ in range(1_000)]
    assert times == sorted(times)
