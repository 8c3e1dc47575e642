"""
What is known to be refused is refused here, and never anything else.

A MemoryStore with a clock of its own stands for the remote one; questions and answers travel for as long as the test says.
"""

import os
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ratekit import ConfigurationError, Limit
from ratekit.algorithms import GIVE, LOOK, SPEND
from ratekit.decision import NEVER, Decision, decide
from ratekit.denials import COSTS, Denials
from ratekit.limit import ALGORITHM_NAMES
from ratekit.stores import MemoryStore
from ratekit.stores.naming import Plan, plan_of
from ratekit.stores.protocol import asks_of, decisions_of, hit
from ratekit.testing import ManualClock

SECOND = 1_000_000
ORIGIN = 7_777_777
"""The local clock and the store's began at different times."""


class World:
    """A limiter in front of a remote store, and the time that passes for both."""

    def __init__(self, *limits: Limit, seconds: float = 1.0, max_keys: int = 10_000) -> None:
        self.clock = ManualClock(1_000_000_000)
        self.store = MemoryStore(clock=self.clock)
        self.plan: Plan = plan_of(limits, prefix="ratekit", name=f"world {id(self)}")
        self.denials = Denials(self.plan, seconds=seconds, max_keys=max_keys)
        self.trips = 0

    @property
    def now(self) -> int:
        return self.clock() - 1_000_000_000 + ORIGIN

    def pass_by(self, microseconds: int) -> None:
        self.clock.advance_us(microseconds)

    def hit(self, cost: int = 1, identity: str = "user", up: int = 0, down: int = 0) -> Decision:
        decision = self.denials.refuse(identity, cost, self.now)
        return self.trip(cost, identity, up, down) if decision is None else decision

    def trip(self, cost: int = 1, identity: str = "user", up: int = 0, down: int = 0) -> Decision:
        sent = self.now
        self.pass_by(up)
        decision = hit(self.store, self.plan, identity, cost, SPEND)
        self.trips += 1
        self.pass_by(down)
        self.denials.learn(identity, decision, sent, self.now)
        return decision

    def peek(self, cost: int = 1, identity: str = "user") -> Decision:
        return hit(self.store, self.plan, identity, cost, LOOK)

    def reset(self, identity: str = "user") -> None:
        self.store.forget([space for _, space in self.plan], identity)
        self.denials.forget(identity, self.now)


def limit(quota: int, algorithm: str = "sliding_window", per: float = 60, **options) -> Limit:
    return Limit(quota, per=per, algorithm=algorithm, **options)


# What is remembered, and for how long


@pytest.mark.parametrize("algorithm", ALGORITHM_NAMES)
def test_a_refused_hit_is_refused_again_without_a_trip(algorithm):
    world = World(limit(2, algorithm))
    first = [world.hit() for _ in range(3)]
    again = world.hit()
    assert [bool(decision) for decision in (*first, again)] == [True, True, False, False]
    assert (world.trips, again.source, again.degraded) == (3, "denials", False)
    assert (again.limit, again.retry_after, again.remaining) == (first[2].limit, first[2].retry_after, 0)


def test_a_refusal_is_forgotten_a_second_after_its_question_was_sent():
    world = World(limit(1))
    world.hit()
    world.trip(up=30_000, down=20_000)
    world.pass_by(SECOND - 50_000 - 1)
    assert world.hit().source == "denials"
    world.pass_by(1)
    assert world.hit().source == "store"


def test_a_refusal_is_forgotten_when_the_wait_since_its_question_is_over():
    world = World(limit(10, "token_bucket", per=5))
    world.hit(10)
    assert world.trip(up=30_000, down=20_000).retry_after == pytest.approx(0.47)
    world.pass_by(470_000 - 50_000 - 1)
    assert world.hit().source == "denials"
    world.pass_by(1)
    assert world.denials.refuse("user", 1, world.now) is None


def test_a_wait_is_counted_from_when_the_answer_came():
    world = World(limit(1))
    world.hit()
    world.trip(up=30_000, down=20_000)
    assert world.hit().retry_after == pytest.approx(59.97)  # the store's own would be 59.95: the way back is not known
    world.pass_by(100_000)
    aged = world.hit()
    assert (aged.retry_after, aged.more_after, aged.reset_after) == pytest.approx((59.87, 59.87, 59.87))


def test_once_more_is_left_than_was_told_the_next_instant_told_is_that_of_the_wait():
    world = World(limit(10, "token_bucket", per=10), seconds=5)
    world.hit(10)
    first = world.hit(2)
    world.pass_by(1_500_000)
    aged = world.hit(2)
    assert (first.remaining, first.more_after, first.retry_after) == (0, 1, 2)
    assert (aged.source, aged.remaining, aged.more_after, aged.retry_after) == ("denials", 0, 0.5, 0.5)


def test_a_cost_that_can_never_fit_is_asked_for_once_a_second():
    world = World(limit(5))
    assert world.hit(6).retry_after == world.hit(6).retry_after == float("inf")
    assert world.trips == 1
    world.pass_by(SECOND)
    world.hit(6)
    assert world.trips == 2


def test_zero_seconds_is_off():
    world = World(limit(1), seconds=0)
    for _ in range(5):
        world.hit()
    assert (world.trips, len(world.denials)) == (5, 0)


@pytest.mark.parametrize("options", [{"seconds": -1}, {"seconds": float("inf")}, {"seconds": True}, {"max_keys": 0}])
def test_an_argument_that_cannot_be_is_refused(options):
    with pytest.raises(ConfigurationError, match="write"):
        World(limit(1), **options)


def test_what_a_store_that_was_away_would_have_said_is_not_remembered():
    world = World(limit(1))
    refused = Decision((*world.peek(2)[:5], "local", True, None, ()))
    world.denials.learn("user", refused, world.now, world.now)
    assert world.denials.refuse("user", 2, world.now) is None


def test_an_answer_that_took_longer_than_a_memory_lasts_is_none():
    world = World(limit(1))
    world.hit()
    assert not world.trip(down=SECOND)
    assert len(world.denials) == 0


def test_a_thread_that_read_the_clock_long_ago_is_told_no_falsehood():
    world = World(limit(5, "fixed_window"))
    world.hit(3)
    before = world.now
    world.pass_by(1_000)
    world.trip(3)
    assert world.denials.refuse("user", 2, before) is None
    told = world.denials.refuse("user", 3, before)
    assert told is not None
    assert told.figures.wait == world.peek(3).figures.wait + 1_000  # as from when it read the clock


def test_one_identity_says_nothing_of_another():
    world = World(limit(1))
    world.hit()
    world.hit()
    assert world.hit(identity="other").allowed


# Costs


@pytest.mark.parametrize("algorithm", ALGORITHM_NAMES)
def test_a_refused_cost_leaves_smaller_ones_alone(algorithm):
    world = World(limit(10, algorithm))
    world.hit(7)
    assert not world.hit(4)
    assert world.hit(3).source == "store"


@pytest.mark.parametrize("algorithm", ["fixed_window", "sliding_counter", "token_bucket"])
def test_one_refusal_tells_of_every_cost_that_did_not_fit_and_exactly(algorithm):
    world = World(limit(10, algorithm))
    world.hit(7)
    world.hit(6)
    for cost in (4, 5, 8, 10, 11):
        told = world.denials.refuse("user", cost, world.now)
        assert told is not None
        assert told.figures == world.peek(cost).figures
    assert world.trips == 2


def test_sliding_window_is_asked_where_the_wait_is_not_known():
    world = World(limit(3))
    for _ in range(3):
        world.hit()
        world.pass_by(10_000)
    world.hit(1)
    assert world.hit(2).source == "store"
    assert world.hit(2).source == "denials"
    assert world.hit(4) == Decision((*world.peek(4)[:5], "denials", False, 0, ()))


def test_sliding_window_is_not_asked_when_all_of_it_leaves_at_once():
    world = World(limit(5))
    world.hit(5)
    world.hit(1)
    assert [world.hit(cost).retry_after for cost in (2, 5, 6)] == [60, 60, float("inf")]
    assert world.trips == 2


def test_a_flood_of_different_costs_stays_here():
    world = World(limit(50))
    for _ in range(50):
        world.hit()
        world.pass_by(100)
    before, answers = world.trips, [world.hit(cost) for cost in range(1, 51)]
    assert not any(answers)
    assert world.trips - before <= COSTS
    for cost, answer in enumerate(answers, 1):
        assert world.now + answer.figures.wait <= world.now + world.peek(cost).figures.wait


def test_an_admission_lets_go_of_a_wait_that_is_now_too_short():
    world = World(limit(10))
    world.hit(6)
    world.pass_by(SECOND // 2)
    world.hit(2)
    first = world.hit(4)
    world.hit(2)
    assert world.hit(4).retry_after == first.retry_after
    assert world.hit(5).figures == world.peek(5).figures


# Several limits


def test_several_limits_speak_with_the_longest_wait_and_all_their_details():
    world = World(limit(5, "token_bucket", per=1), limit(6, "fixed_window", per=600))
    world.hit(5)
    refused, local = world.hit(2), world.hit(2)
    assert local.source == "denials"
    assert local.limit == refused.limit == world.plan[1][0].limit
    assert [(part.allowed, part.limit, part.figures) for part in local.details] == [
        (part.allowed, part.limit, part.figures) for part in refused.details
    ]
    world.pass_by(400_000)
    first, second = world.hit(2).details
    assert (first.allowed, first.retry_after, first.remaining) == (True, 0, 2)
    assert (second.allowed, second.retry_after) == (False, pytest.approx(599.6))


def test_a_larger_cost_may_be_refused_by_another_limit():
    world = World(limit(10, "token_bucket", per=4000), limit(8, "fixed_window", per=600))
    world.hit(7)
    assert world.hit(2).limit == world.plan[1][0].limit
    assert world.hit(8) == Decision((*(told := world.peek(8))[:5], "denials", False, 0, local_parts(told)))
    assert world.hit(8).limit == world.plan[0][0].limit
    assert world.trips == 2


def local_parts(decision: Decision) -> tuple[Decision, ...]:
    return tuple(Decision((*part[:5], "denials", *part[6:])) for part in decision.details)


# Forgetting


def test_a_reset_forgets():
    world = World(limit(1))
    world.hit()
    world.hit()
    world.reset()
    assert world.hit()


@pytest.mark.parametrize("before", [0, 100])
def test_an_answer_that_was_on_its_way_during_a_reset_is_not_remembered(before):
    world = World(limit(1))
    world.hit()
    sent, refused = world.now, world.peek()
    world.pass_by(before)
    world.reset()
    world.pass_by(100)
    world.denials.learn("user", refused, sent, world.now)
    assert world.hit()


def test_a_reset_through_another_limiter_of_the_name_forgets_too():
    world = World(limit(1))
    other = Denials(plan_of([limit(5)], prefix="ratekit", name=f"world {id(world)}"))
    stranger = Denials(plan_of([limit(5)], prefix="ratekit", name="stranger"))
    world.hit()
    world.hit()
    stranger.forget("user", world.now)
    assert world.hit().source == "denials"
    other.forget("user", world.now)
    assert len(world.denials) == 0


def test_nothing_is_refused_from_memory_while_a_reset_is_under_way_and_nothing_asked_before_its_answer_is_remembered():
    world = World(limit(1))
    other = Denials(plan_of([limit(1)], prefix="ratekit", name=f"world {id(world)}"))
    world.hit()
    assert [world.hit().source for _ in range(2)] == ["store", "denials"]
    for denials in (world.denials, other):  # two of them at a time
        denials.lowering("user", world.now)
    world.pass_by(10)
    sent, refused = world.now, world.peek()
    for denials in (other, world.denials):
        world.pass_by(10)
        world.denials.learn("user", refused, sent, world.now)
        assert world.hit().source == "store"
        denials.lowered("user", world.now)
    world.denials.learn("user", refused, sent, world.now)
    world.pass_by(1)
    assert [world.hit().source for _ in range(2)] == ["store", "denials"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes are forked here")
def test_a_child_does_not_wait_for_a_reset_of_its_parent():
    world = World(limit(1))
    world.hit()
    world.denials.lowering("user", world.now)
    world.pass_by(1)
    child = os.fork()
    if not child:
        sources = [world.hit().source for _ in range(2)]
        os._exit(sources != ["store", "denials"])
    assert os.waitpid(child, 0)[1] == 0
    assert [world.hit().source for _ in range(2)] == ["store", "store"]


def test_a_limiter_by_other_limits_does_not_share_refusals():
    world = World(limit(1))
    other = Denials(plan_of([limit(5)], prefix="ratekit", name=f"world {id(world)}"))
    world.hit()
    world.hit()
    assert other.refuse("user", 1, world.now) is None


def test_what_is_held_is_bounded_and_the_oldest_goes_first():
    world = World(limit(1), max_keys=100)
    for i in range(1000):
        world.trip(2, f"user {i}")
    assert len(world.denials) == 100
    assert world.denials.refuse("user 899", 2, world.now) is None
    assert world.denials.refuse("user 900", 2, world.now) is not None


def test_what_is_over_goes_as_new_refusals_come():
    world = World(limit(1))
    for i in range(100):
        world.trip(2, f"old {i}")
    world.pass_by(SECOND)
    for i in range(100):
        world.trip(2, f"new {i}")
    assert len(world.denials) == 100


def test_of_one_identity_a_few_costs_are_held():
    world = World(limit(1))
    for cost in range(2, 100):
        world.trip(cost)
    assert len(world.denials._known["user"]) == COSTS


# Any history

rules = st.builds(
    lambda algorithm, quota, per, buckets: limit(
        quota, algorithm, per, name=f"{algorithm}-{quota}-{per}", **({"buckets": buckets} if algorithm == "sliding_window" else {})
    ),
    st.sampled_from(ALGORITHM_NAMES),
    st.integers(1, 12),
    st.sampled_from([0.05, 0.5, 3, 60]),
    st.sampled_from([3, 5, 60]),
)
some_limits = st.lists(rules, min_size=1, max_size=3, unique_by=lambda one: one.name)
microseconds = st.one_of(st.integers(0, 300), st.integers(0, 40_000), st.integers(0, 2 * SECOND))
delays = st.one_of(st.just(0), st.integers(0, 5_000), st.integers(0, 200_000))
steps = st.lists(
    st.tuples(
        st.sampled_from(["hit"] * 8 + ["elsewhere", "reset", "give"]),
        st.integers(1, 14),
        st.sampled_from("ab"),
        microseconds,
        delays,
        delays,
    ),
    max_size=60,
)
relaxed = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Traffic:
    """Hits, resets and give-backs that overtake one another on the way; the store is asked whether a local refusal is true."""

    def __init__(self, limits: list[Limit]) -> None:
        self.world = World(*limits)
        self.flights: list[tuple[int, Callable[[], None]]] = []  # what happens at the store or back here, and when
        self.charged: list[tuple[str, list, object]] = []
        self.lowering = {"a": 0, "b": 0}
        self.local = 0

    def later(self, after: int, does: Callable[[], None]) -> None:
        self.flights.append((self.world.now + after, does))

    def until(self, instant: int) -> None:
        while due := [flight for flight in self.flights if flight[0] <= instant]:
            first = min(due, key=lambda flight: flight[0])
            self.flights.remove(first)
            at, does = first
            self.world.pass_by(at - self.world.now)
            does()
        self.world.pass_by(instant - self.world.now)

    def do(self, what: str, cost: int, identity: str, up: int, down: int) -> None:
        if what == "hit" and (told := self.world.denials.refuse(identity, cost, self.world.now)) is not None:
            self.local += 1
            assert not told
            assert not self.lowering[identity], "a refusal while somebody may have seen a reset already"
            assert not self.world.peek(cost, identity), "a false refusal"
            return
        if what in ("reset", "give"):
            self.lowering[identity] += 1
            self.world.denials.lowering(identity, self.world.now)
        sent = self.world.now
        self.later(up, lambda: self.reach(what, cost, identity, sent, down))

    def reach(self, what: str, cost: int, identity: str, sent: int, down: int) -> None:
        world = self.world
        if what in ("hit", "elsewhere"):
            asks = asks_of(world.plan, identity, cost, SPEND)
            answer = world.store.decide(asks)
            decision = decide(decisions_of(asks, answer))
            if decision:
                self.charged.append((identity, asks, answer))
            if what == "hit":
                self.later(down, lambda: world.denials.learn(identity, decision, sent, world.now))
            return
        if what == "reset":
            world.store.forget([space for _, space in world.plan], identity)
        else:
            mine = [one for one in self.charged if one[0] == identity][-1:]
            for _, asks, answer in mine:
                marked = zip(asks, answer.seen, strict=True)
                world.store.decide([ask._replace(mode=GIVE, mark=ask.rule.mark(answer.now, seen)) for ask, seen in marked])
        self.later(down, lambda: self.lowered(identity))

    def lowered(self, identity: str) -> None:
        self.lowering[identity] -= 1
        self.world.denials.lowered(identity, self.world.now)


@relaxed
@given(some_limits, steps)
def test_never_one_false_refusal_whatever_overtakes_what(limits, history):
    traffic = Traffic(limits)
    for what, cost, identity, pause, up, down in history:
        traffic.until(traffic.world.now + pause)
        traffic.do(what, cost, identity, up, down)
    traffic.until(traffic.world.now + 10 * SECOND)


@relaxed
@given(some_limits, steps)
def test_a_sole_caller_who_waits_as_long_as_shown_is_let_in(limits, history):
    world = World(*limits)
    for what, cost, identity, pause, up, down in history:
        world.pass_by(pause)
        if what == "reset":
            world.reset(identity)
            continue
        told = world.denials.refuse(identity, cost, world.now)
        if told is None:
            world.trip(cost, identity, up, down)
            continue
        true = world.peek(cost, identity)
        assert not true
        if len(world.denials._known[identity]) < COSTS:
            assert true.figures.wait <= told.figures.wait <= true.figures.wait + 200_000
            for said, so in zip(told.details, true.details, strict=True):
                assert_honest(said, so)


def assert_honest(said: Decision, so: Decision) -> None:
    """No limit promises a unit too many or an instant too early, and each is late by the way back at most."""
    assert said.limit == so.limit
    assert said.allowed <= so.allowed
    assert so.figures.wait <= said.figures.wait
    assert said.figures.remaining <= so.figures.remaining
    assert so.figures.reset <= said.figures.reset
    if said.figures.remaining == so.figures.remaining:
        assert so.figures.more <= said.figures.more
    if said.figures.wait < NEVER:
        assert said.figures.wait <= so.figures.wait + 200_000


@relaxed
@given(some_limits, steps)
def test_without_delays_a_local_refusal_is_the_store_s_own(limits, history):
    world = World(*limits)
    for _, cost, identity, pause, _, _ in history:
        world.pass_by(pause)
        told, true = world.denials.refuse(identity, cost, world.now), world.peek(cost, identity)
        if told is None:
            world.trip(cost, identity)
        elif len(world.denials._known[identity]) < COSTS:
            assert (told.allowed, told.limit, told.figures.wait) == (true.allowed, true.limit, true.figures.wait)
            assert told.figures.reset == true.figures.reset
            assert [part.allowed for part in told.details] == [part.allowed for part in true.details]


# The share of the limit that is admitted

QUOTA, PERIODS = 100, 20


def arrivals(load: float) -> list[int]:
    chance, now, instants = random.Random(f"{load}"), 0.0, []
    while now < PERIODS * 60:
        now += chance.expovariate(load * QUOTA / 60)
        instants.append(int(now * SECOND))
    return instants


def share(instants: list[int], ask: Callable[[World], bool], world: World) -> float:
    admitted = 0
    for instant in instants:
        world.pass_by(max(0, instant + ORIGIN - world.now))
        admitted += ask(world)
    return admitted / (QUOTA * PERIODS)


def naive() -> Callable[[World], bool]:
    """A cache that blocks until the reset, as peers do."""
    until = 0

    def ask(world: World) -> bool:
        nonlocal until
        if world.now < until:
            return False
        decision = world.trip()
        if not decision:
            until = world.now + decision.figures.reset
        return bool(decision)

    return ask


@pytest.mark.parametrize("load", [1, 1.2, 2, 5])
@pytest.mark.parametrize("algorithm", ALGORITHM_NAMES)
def test_the_share_admitted_is_the_same_with_and_without(algorithm, load):
    instants = arrivals(load)
    without = share(instants, lambda world: bool(world.trip()), World(limit(QUOTA, algorithm), seconds=0))
    denying = World(limit(QUOTA, algorithm))
    assert share(instants, lambda world: bool(world.hit()), denying) == without
    slow = World(limit(QUOTA, algorithm))
    assert share(instants, lambda world: bool(world.hit(up=2_000, down=2_000)), slow) == pytest.approx(without, abs=0.01)
    if load > 1:
        assert denying.trips < len(instants)


@pytest.mark.parametrize("load", [1, 1.2, 2])
@pytest.mark.parametrize("algorithm", ["sliding_window", "sliding_counter"])
def test_a_cache_that_blocks_until_the_reset_would_lose_a_third_and_more(algorithm, load):
    instants = arrivals(load)
    without = share(instants, lambda world: bool(world.trip()), World(limit(QUOTA, algorithm), seconds=0))
    assert share(instants, naive(), World(limit(QUOTA, algorithm))) < 0.7 * without


# Threads


def test_threads_may_ask_learn_and_forget_at_once():
    world = World(limit(1), max_keys=20)
    refused = [world.trip(cost, "other") for cost in range(2, 14)]

    def work(seed: int) -> None:
        chance = random.Random(seed)
        for now in range(1_000, 6_000):
            identity, cost = str(chance.randrange(40)), chance.randrange(1, 14)
            told = world.denials.refuse(identity, cost, now)
            assert told is None or not told
            if chance.random() < 0.1:
                world.denials.forget(identity, now)
            else:
                world.denials.learn(identity, chance.choice(refused), now, now + 1)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert len(world.denials) <= 20


def test_a_charge_by_another_limit_on_the_same_key_is_no_longer_refused_by_what_was_known_before():
    clock = ManualClock()
    remote = MemoryStore(clock=clock)
    slow, quick = (plan_of([Limit.parse(text)], prefix="ratekit", name="rivals") for text in ("1/3s token_bucket", "3/3s burst 2"))
    denials, others = Denials(slow), Denials(quick)
    for asked in range(2):
        denials.learn("ann", remote.compile(slow)("ann", 1, SPEND), sent=asked, came=asked)
    assert denials.refuse("ann", 1, now=2).retry_after > 2
    others.learn("ann", remote.compile(quick)("ann", 1, SPEND), sent=3, came=4)
    assert denials.refuse("ann", 1, now=5) is None  # the charge has made the refill quicker: ask again
