"""
What every store does, whoever wrote it: tests for a store of one's own. In a test file, with pytest:

    from ratekit.testing.conformance import *

    @pytest.fixture
    def open_store():
        return lambda clock: MyStore(clock=clock)   # an empty store, for threads or for event loops

`clock` gives microseconds and stands still until a test moves it. A store that can go by no clock but its own cannot be tried so.
"""

from collections.abc import Callable, Iterator
from math import inf
from typing import Any, Final

from ratekit.algorithms import CHECK, FORCE, GIVE, LOOK, SHADOW, SPEND, Mark
from ratekit.errors import MissingExtra, RateLimitExceeded
from ratekit.limit import Limit
from ratekit.stores.naming import canonical, plan_of
from ratekit.stores.protocol import Ask
from ratekit.testing.clock import ManualClock
from ratekit.testing.doors import Door, opened

try:
    import pytest
except ImportError as error:
    raise MissingExtra("a suite of tests for stores", "pytest", "testing") from error

ALGORITHMS: Final = ("fixed_window", "sliding_window", "sliding_counter", "token_bucket")


@pytest.fixture
def clock() -> ManualClock:
    """A clock that a test moves, ahead of the real time."""
    return ManualClock()


@pytest.fixture
def door(open_store: Callable[[ManualClock], Any], clock: ManualClock) -> Iterator[Door]:
    """The way in to the store."""
    with opened(lambda: open_store(clock)) as way_in:
        yield way_in


@pytest.fixture(params=ALGORITHMS)
def algorithm(request: pytest.FixtureRequest) -> str:
    """Each algorithm."""
    name: str = request.param
    return name


def ask(text: str, mode: int, cost: int = 1, identity: str = "ann", mark: Mark = (0, 0)) -> Ask:
    """What one limit is asked."""
    ((rule, space),) = plan_of([Limit.parse(text)], prefix="ratekit", name="default")
    return Ask(rule, space, canonical(identity), mode, cost, mark)


def room(door: Door, *texts: str, identity: str = "ann") -> list[int]:
    """What each limit would still admit, as the store itself says."""
    asks = [ask(text, LOOK, identity=identity) for text in texts]
    answer = door.decide(asks)
    return [one.rule.read(1, seen)[1] for one, seen in zip(asks, answer.seen, strict=True)]


def test_the_quota_is_admitted_and_no_more(door: Door, algorithm: str) -> None:
    limiter = door.limiter(f"5/minute {algorithm}")
    assert [bool(limiter.hit("ann")) for _ in range(7)] == [True] * 5 + [False] * 2


def test_remaining_counts_down_to_nothing(door: Door, algorithm: str) -> None:
    limiter = door.limiter(f"3/minute {algorithm}")
    assert [limiter.hit("ann").remaining for _ in range(4)] == [2, 1, 0, 0]


def test_an_admitted_decision_says_what_it_should(door: Door, algorithm: str) -> None:
    decision = door.limiter(f"3/minute {algorithm}").hit("ann")
    assert decision
    assert decision.allowed is True
    assert decision.limit == Limit.parse(f"3/minute {algorithm}")
    assert (decision.source, decision.degraded, decision.max_over, decision.retry_after) == ("store", False, 0, 0.0)
    assert decision.details == (decision,)


def test_waiting_for_retry_after_is_enough(door: Door, algorithm: str, clock: ManualClock) -> None:
    limiter = door.limiter(f"2/minute {algorithm}")
    limiter.hit("ann", cost=2)
    refused = limiter.hit("ann")
    assert not refused
    clock.advance(refused.retry_after)
    assert limiter.hit("ann")


def test_every_hit_leaves_a_sliding_window_at_its_own_microsecond(door: Door, clock: ManualClock) -> None:
    limiter = door.limiter("3/minute")
    for _ in range(3):
        limiter.hit("ann")
        clock.advance(10)
    clock.advance_us(30_000_000 - 1)
    assert limiter.peek("ann").remaining == 0
    clock.advance_us(10_000_000)
    assert limiter.peek("ann").remaining == 1
    clock.advance_us(1)
    assert limiter.peek("ann").remaining == 2
    assert limiter.hit("ann", cost=2)


def test_waiting_for_reset_after_makes_a_key_as_new(door: Door, algorithm: str, clock: ManualClock) -> None:
    limiter = door.limiter(f"3/minute {algorithm}")
    fresh = limiter.peek("nobody")
    clock.advance(limiter.hit("ann", cost=3).reset_after)
    assert limiter.peek("ann") == fresh
    assert (fresh.remaining, fresh.more_after, fresh.reset_after) == (3, 0.0, 0.0)


def test_a_cost_that_can_never_fit_waits_for_ever(door: Door, algorithm: str) -> None:
    refused = door.limiter(f"3/minute {algorithm}").hit("ann", cost=4)
    assert not refused
    assert refused.retry_after == inf
    assert refused.remaining == 3


def test_a_refused_hit_charges_nothing(door: Door, algorithm: str) -> None:
    limiter = door.limiter(f"5/minute {algorithm}")
    limiter.hit("ann", cost=3)
    for _ in range(10):
        assert not limiter.hit("ann", cost=3)
    assert limiter.hit("ann", cost=2)


def test_a_peek_charges_nothing_and_shows_what_is_left_before_it(door: Door, algorithm: str) -> None:
    limiter = door.limiter(f"2/minute {algorithm}")
    assert [limiter.peek("ann").remaining for _ in range(5)] == [2] * 5
    limiter.hit("ann", cost=2)
    assert not limiter.peek("ann")
    assert limiter.peek("ann").retry_after > 0


def test_several_limits_admit_together_or_not_at_all(door: Door) -> None:
    limiter = door.limiter("5/second fixed_window", "3/minute", "9/hour sliding_counter", "4/day token_bucket")
    assert [bool(limiter.hit("ann")) for _ in range(5)] == [True, True, True, False, False]
    assert [part.remaining for part in limiter.peek("ann").details] == [2, 0, 6, 1]
    assert [part.allowed for part in limiter.peek("ann", cost=2).details] == [True, False, True, False]


def test_a_refusal_shows_the_limit_with_the_longest_wait(door: Door) -> None:
    limiter = door.limiter("1/second", "1/hour", "5/day")
    limiter.hit("ann")
    assert str(limiter.hit("ann").limit) == "1/hour"


def test_an_admission_shows_the_limit_with_the_least_left(door: Door) -> None:
    assert str(door.limiter("5/second", "2/hour", "9/day").hit("ann").limit) == "2/hour"


def test_of_equal_remainders_the_one_that_stays_longest_is_shown(door: Door) -> None:
    assert str(door.limiter("2/second", "2/hour", "2/minute").hit("ann").limit) == "2/hour"


def test_forty_limits_are_one_hit(door: Door) -> None:
    limiter = door.limiter(*(f"{number + 1}/{number + 1} minutes" for number in range(40)))
    decision = limiter.hit("ann")
    assert [part.remaining for part in decision.details] == list(range(40))
    assert not limiter.hit("ann")


def test_identities_names_and_prefixes_count_apart(door: Door) -> None:
    options = [{"name": "a"}, {"name": "b"}, {"name": "a", "prefix": "other"}]
    limiters = [door.limiter("1/minute", **some) for some in options]
    for limiter in limiters:
        assert limiter.hit("ann")
        assert limiter.hit(("ann", "bob"))
        assert not limiter.hit("ann")


def test_limiters_of_one_name_count_together(door: Door, algorithm: str) -> None:
    one, other = (door.limiter(f"2/minute {algorithm}", name="shared") for _ in range(2))
    assert one.hit("ann")
    assert other.hit("ann")
    assert not one.hit("ann")


def test_a_number_and_its_text_are_one_identity(door: Door) -> None:
    limiter = door.limiter("1/minute")
    assert limiter.hit(42)
    assert not limiter.hit("42")


def test_a_reset_makes_one_identity_as_new_in_every_limit(door: Door) -> None:
    limiter = door.limiter("1/minute", "1/hour token_bucket", "1/day fixed_window")
    limiter.hit("ann")
    limiter.hit("bob")
    limiter.reset("ann")
    assert limiter.hit("ann")
    assert not limiter.hit("bob")


def test_a_reservation_that_is_left_stays_spent(door: Door, algorithm: str) -> None:
    limiter = door.limiter(f"5/minute {algorithm}")
    with limiter.reserve("ann", cost=3) as reservation:
        assert reservation.decision.remaining == 2
    assert limiter.peek("ann").remaining == 2


def test_a_reservation_that_raises_is_given_back(door: Door, algorithm: str) -> None:
    limiter = door.limiter(f"5/minute {algorithm}")
    with pytest.raises(LookupError), limiter.reserve("ann", cost=3):
        raise LookupError
    assert limiter.peek("ann").remaining == 5


def test_a_commit_of_less_gives_the_rest_back_once(door: Door, algorithm: str) -> None:
    limiter = door.limiter(f"9/minute {algorithm}", "9/hour")
    with limiter.reserve("ann", cost=6) as reservation:
        assert reservation.commit(2).remaining == 7
        assert reservation.commit(0).remaining == 7
    assert limiter.peek("ann").remaining == 7


def test_a_commit_of_more_is_charged_by_force(door: Door, algorithm: str) -> None:
    limiter = door.limiter(f"5/minute {algorithm}", "100/hour")
    with limiter.reserve("ann", cost=2) as reservation:
        decision = reservation.commit(12)
        assert decision
        assert decision.remaining == 0
    refused = limiter.hit("ann")
    assert not refused
    assert refused.retry_after > 0
    assert refused.details[1].remaining == 88


def test_a_refused_reservation_raises_on_entering(door: Door) -> None:
    limiter = door.limiter("5/minute")
    with pytest.raises(RateLimitExceeded) as caught, limiter.reserve("ann", cost=6):
        raise AssertionError
    assert caught.value.decision.retry_after == inf


def test_what_a_later_window_holds_is_not_given_back(door: Door, clock: ManualClock) -> None:
    limiter = door.limiter("5/minute fixed_window")
    with limiter.reserve("ann", cost=3) as reservation:
        clock.advance(60)
        limiter.hit("ann", cost=4)
        assert reservation.commit(0).remaining == 1


def test_looking_writes_nothing_and_refuses_nothing(door: Door, algorithm: str) -> None:
    text = f"2/minute {algorithm}"
    answer = door.decide([ask(text, LOOK, 5), ask("3/hour", SPEND)])
    assert [bool(seen[0]) for seen in answer.seen] == [False, True]
    assert room(door, text, "3/hour") == [2, 2]


def test_checking_refuses_and_charges_nothing(door: Door, algorithm: str) -> None:
    text = f"2/minute {algorithm}"
    door.decide([ask(text, CHECK, 2), ask("3/hour", SPEND)])
    assert room(door, text, "3/hour") == [2, 2]
    door.decide([ask(text, CHECK, 3), ask("3/hour", SPEND)])
    assert room(door, text, "3/hour") == [2, 2]


def test_a_shadow_is_charged_where_it_fits_and_refuses_nothing(door: Door, algorithm: str) -> None:
    text = f"2/minute {algorithm}"
    for left in (1, 0, 0):
        door.decide([ask(text, SHADOW), ask("3/hour", SPEND)])
        assert room(door, text) == [left]
    assert room(door, "3/hour") == [0]


def test_a_shadow_of_a_refused_hit_is_not_charged(door: Door, algorithm: str) -> None:
    text = f"2/minute {algorithm}"
    door.decide([ask(text, SHADOW), ask("3/hour", SPEND, 4)])
    assert room(door, text, "3/hour") == [2, 3]


def test_force_charges_whatever_else_refuses(door: Door, algorithm: str) -> None:
    text = f"2/minute {algorithm}"
    answer = door.decide([ask(text, FORCE, 5), ask("3/hour", SPEND, 4)])
    assert [bool(seen[0]) for seen in answer.seen] == [True, False]
    assert room(door, text, "3/hour") == [0, 3]


def test_giving_back_never_makes_more_than_the_quota(door: Door, algorithm: str) -> None:
    text = f"5/minute {algorithm}"
    spend = ask(text, SPEND, 3)
    answer = door.decide([spend])
    mark = spend.rule.mark(answer.now, answer.seen[0])
    for left in (4, 5, 5):
        door.decide([ask(text, GIVE, 2, mark=mark)])
        assert room(door, text) == [left]


def test_giving_back_to_a_key_that_is_gone_does_nothing(door: Door, algorithm: str, clock: ManualClock) -> None:
    text = f"5/minute {algorithm}"
    spend = ask(text, SPEND, 3)
    answer = door.decide([spend])
    mark = spend.rule.mark(answer.now, answer.seen[0])
    door.forget([spend.space], spend.identity)
    door.decide([ask(text, GIVE, 3, mark=mark)])
    assert room(door, text) == [5]


def test_an_answer_holds_the_clock_and_integers_only(door: Door, algorithm: str, clock: ManualClock) -> None:
    answer = door.decide([ask(f"5/minute {algorithm}", SPEND), ask("3/hour", LOOK)])
    assert answer.now == clock()
    assert answer.source == "store"
    assert all(isinstance(number, int) for seen in answer.seen for number in seen)


def test_forgetting_an_unknown_identity_and_closing_twice_are_harmless(door: Door) -> None:
    spend = ask("5/minute", SPEND)
    door.forget([spend.space], canonical("nobody"))
    door.close()


def test_an_admitted_acquire_does_not_wait(door: Door) -> None:
    assert door.limiter("1/hour").acquire("ann", timeout=0).remaining == 0
