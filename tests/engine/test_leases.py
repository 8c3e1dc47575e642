"""
Leases: units that are charged ahead and spent without a trip. What they may let in beyond a limit, against a reference that sees every
instant; that what nobody spends comes back; and processes that come and go, or are killed.
"""

import asyncio
import os
import subprocess
import sys
import threading
import time

import doors
import pytest
import servers
import workers
from hypothesis import example, given
from hypothesis import strategies as st

from ratekit import AsyncLimiter, ConfigurationError, Limit, Limiter
from ratekit.algorithms import LOOK, SPEND
from ratekit.asgi import RateLimitMiddleware
from ratekit.errors import RateKitWarning
from ratekit.leases.leasing import check_lease, marked, terms_of
from ratekit.leases.lender import HOT, MOST_KEYS, Lender
from ratekit.stores import MemoryStore
from ratekit.stores.naming import plan_of
from ratekit.stores.protocol import asks_of, decisions_of
from ratekit.testing import ManualClock

both = pytest.mark.parametrize("kind", ["redis", "async redis"])
SECOND = 1_000_000


class Process:
    """A process of the reference: its lender, a clock that began elsewhere, and trips that take as long as the test wants."""

    def __init__(self, world, number):
        self.world, self.shift = world, 1_000_000_000 * (number + 1)
        self.lender = Lender(world.terms)
        self.away = []  # job, when it was sent
        self.back = []  # job, when it was sent, what the store answered

    def now(self):
        return self.world.clock() + self.shift

    def hit(self, cost):
        decision = self.lender.spend("ann", cost, self.now())
        if decision is None:
            decision = self.world.ask(cost)
            self.lender.noted("ann", decision, cost, self.now())
            decision = marked(decision, self.world.plan, self.world.terms.overs)
        if decision:
            self.world.admitted(cost)
        return decision

    def send(self):
        while self.lender.jobs:
            self.away.append((self.lender.jobs.popleft(), self.now()))

    def decide(self):
        for job, sent in self.away:
            self.back.append((job, sent, self.world.store.decide(job.asks)))
        self.away = []

    def hear(self):
        for job, sent, answer in self.back:
            self.lender.done(job, answer, sent, self.now())
        self.back = []

    def warm(self):
        """Be lent something."""
        for _ in range(HOT):
            self.hit(3)
        self.trip()

    def drain(self):
        """Spend what there is, and perhaps ask for more."""
        while self.hit(1).source == "lease":
            pass

    def trip(self):
        self.send()
        self.decide()
        self.hear()


class World:
    """A store that all processes ask, and everything that was ever admitted, with its instant."""

    def __init__(self, limit, share):
        self.clock = ManualClock(10 * SECOND)
        self.store = MemoryStore(clock=self.clock)
        self.limit = limit
        self.plan = plan_of([limit], prefix="ratekit", name="reference")
        self.terms = terms_of(self.plan, check_lease(share))
        self.events = []
        self.windows = {}
        self.processes = [Process(self, number) for number in range(CROWD)]

    def seen(self, cost, mode):
        asks = asks_of(self.plan, "ann", cost, mode)
        return asks, self.store.decide(asks)

    def ask(self, cost):
        (decision,) = decisions_of(*self.seen(cost, SPEND))
        return decision

    def admitted(self, cost):
        now = self.clock()
        self.events.append((now, cost))
        if self.limit.algorithm == "fixed_window":
            _, used, left = self.seen(1, LOOK)[1].seen[0]
            assert used, "spent when no window was open"
            end = now + left
            self.windows[end] = self.windows.get(end, 0) + cost

    def most_within(self, period):
        """The most units that were ever admitted in less than `period`, from any hit on."""
        most = units = first = 0
        for at, cost in self.events:
            units += cost
            while at - self.events[first][0] >= period:
                units -= self.events[first][1]
                first += 1
            most = max(most, units)
        return most

    def most_beyond(self, rate, period):
        """The most units that were ever admitted in a time beyond those that `rate` units per `period` refill in it."""
        most, units, least = 0, 0, None
        for at, cost in self.events:  # all times `period`, so that they are whole
            before = units * period - at * rate
            least = before if least is None else min(least, before)
            units += cost
            most = max(most, units * period - at * rate - least)
        return -(-most // period)

    def check(self):
        limit, most = self.limit, self.terms.most
        if limit.algorithm == "fixed_window":
            assert all(units <= limit.quota for units in self.windows.values())
        elif limit.algorithm == "sliding_window":
            assert self.most_within(limit.period) <= limit.quota + most
        elif limit.algorithm == "sliding_counter":
            assert self.most_within(limit.period) <= 2 * limit.quota + most
        else:
            assert self.most_beyond(limit.quota, limit.period) <= limit.burst + most


LIMITS = (
    "200/2 seconds fixed_window",
    "200/2 seconds sliding_window buckets 200",
    "200/2 seconds sliding_window buckets 10",
    "200/2 seconds sliding_counter",
    "200/2 seconds burst 300",
)
CROWD = 10
who = st.integers(0, CROWD - 1)
waits = st.sampled_from([1, 1_000, 60_000, 125_000, 498_000, 500_000, 1_400_000, 1_501_000, 1_999_000, 4_000_000])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("hits"), who, st.integers(1, 12), st.integers(1, 3)),
        st.tuples(st.sampled_from(["warm", "drain", "trip", "send", "decide", "hear", "tick", "leave", "die"]), who),
        st.tuples(st.sampled_from(["all warm", "all drain"])),
        st.tuples(st.just("flood")),
        st.tuples(st.just("wait"), waits),
    ),
    max_size=40,
)


def play(world, history):
    for word, *rest in history:
        if word == "wait":
            world.clock.advance_us(rest[0])
        elif word == "flood":
            while world.processes[0].hit(10):
                pass
        elif word.startswith("all"):
            for process in world.processes:
                getattr(process, word.removeprefix("all "))()
        else:
            step(world, world.processes[rest[0]], rest[0], word, *rest[1:])
    world.check()
    return world


def step(world, process, number, word, count=1, cost=1):
    if word == "hits":
        for _ in range(count):
            decision = process.hit(cost)
            if decision.source == "lease":
                assert decision.max_over == world.terms.overs[0]
                assert 0 <= decision.remaining <= world.limit.capacity
    elif word == "tick":
        process.lender.tick(process.now())
    elif word == "leave":
        process.hear()
        process.lender.give_all()
        process.trip()
        world.processes[number] = Process(world, number)
    elif word == "die":
        world.processes[number] = Process(world, number)
    else:
        getattr(process, word)()


@pytest.mark.parametrize("text", LIMITS)
@given(history=steps)
@example(history=[("all warm",), ("wait", 498_000), ("all drain",), ("wait", 1_501_000), ("wait", 60_000), ("flood",)])
@example(
    history=[("hits", 0, 2, 1), ("wait", 1_501_000), ("all warm",), ("wait", 498_000), ("wait", 1_000), ("all drain",), ("flood",)]
)
@example(
    history=[("hits", 0, 4, 1), ("send", 0), ("wait", 1_999_000), ("decide", 0), ("wait", 498_000), ("hear", 0), ("hits", 0, 12, 1)]
)
def test_no_more_is_admitted_than_the_limit_and_the_bound_whatever_the_trips_take(text, history):
    play(World(Limit.parse(text), 0.25), history)


def fully_lent(world, process):
    """Have a process be lent all that may be lent at a time."""
    for _ in range(HOT):
        assert process.hit(1)
    process.trip()
    entry = process.lender._entries["ann"]
    while entry.left < world.terms.most:
        before = entry.left
        process.lender.jobs.clear()
        entry.asked = entry.rest = 0
        with process.lender._latch:
            process.lender._want("ann", entry, 1, process.now())
        process.trip()
        if entry.left == before:
            break
    return entry.left


def test_the_bound_is_no_idle_one_what_was_lent_late_is_over():
    world = World(Limit.parse("400/2 seconds"), 0.25)
    process = world.processes[0]
    lent = fully_lent(world, process)
    assert lent > world.terms.most // 2
    world.clock.advance_us(world.terms.lasts - 2_000)
    assert all(process.hit(1).source == "lease" for _ in range(lent))
    world.clock.advance_us(2 * SECOND - world.terms.lasts + 2_000)  # by now all that was charged has left the store's window
    last = world.processes[1]
    while last.hit(1):
        pass
    assert world.limit.quota < world.most_within(world.limit.period) <= world.limit.quota + world.terms.most
    world.check()


def test_however_many_processes_are_lent_something_it_is_together_no_more_than_the_share():
    world = World(Limit.parse("1000/10 seconds"), 0.05)
    crowd = [Process(world, number) for number in range(20)]
    lent = [process for process in crowd for _ in range(HOT) if process.hit(1)]
    for process in crowd:
        process.trip()
    held = sum(process.lender._entries["ann"].left for process in crowd)
    assert len(lent) == 20 * HOT
    assert 0 < held <= world.terms.most == 50


def test_a_share_is_spent_for_its_time_counted_from_when_it_was_asked_for_and_no_longer():
    world = World(Limit.parse("400/2 seconds"), 0.25)
    process = world.processes[0]
    for _ in range(HOT):
        process.hit(1)
    process.send()
    world.clock.advance_us(300_000)
    process.decide()
    world.clock.advance_us(100_000)
    process.hear()
    assert process.hit(1).source == "lease"
    world.clock.advance_us(world.terms.lasts - 400_000 - world.terms.lasts // 1_000 - 2)
    assert process.hit(1).source == "lease"
    world.clock.advance_us(1)
    assert process.hit(1).source == "store"


def test_a_share_of_a_fixed_window_is_not_spent_in_the_next():
    world = World(Limit.parse("400/2 seconds fixed_window"), 0.25)
    process = world.processes[0]
    for _ in range(2):
        process.hit(1)
    world.clock.advance_us(1_800_000)
    for _ in range(HOT):
        process.hit(1)
    process.trip()
    assert process.hit(1).source == "lease"
    assert process.hit(1).max_over == 0
    world.clock.advance_us(199_000)
    assert process.hit(1).source == "lease"
    world.clock.advance_us(1_000)  # of half a second that it would have lasted
    assert process.hit(1).source == "store"
    world.check()


@given(history=steps.map(lambda history: [step for step in history if step[0] not in ("die", "wait")]))
def test_when_all_have_given_back_what_they_held_the_store_counts_what_was_admitted_and_nothing_else(history):
    world = play(World(Limit.parse("200/hour fixed_window"), 0.25), history)
    for process in world.processes:
        process.decide()
        process.hear()
        process.lender.give_all()
        process.trip()
    _, answer = world.seen(1, LOOK)
    assert answer.seen[0][1] == sum(cost for _, cost in world.events)


@pytest.mark.parametrize("algorithm", ["fixed_window", "sliding_window", "sliding_counter", "token_bucket"])
def test_what_nobody_spends_is_given_back_while_its_window_lasts(algorithm):
    world = World(Limit(400, per=3600, algorithm=algorithm), 0.25)
    process, other = world.processes[:2]
    for _ in range(HOT):
        process.hit(1)
    process.trip()
    assert world.ask(400 - HOT).allowed is False
    for _ in range(3):  # it is looked at four times while it lasts
        world.clock.advance_us(world.terms.lasts // 4)
        process.lender.tick(process.now())
        process.trip()
    assert other.hit(400 - HOT).allowed
    assert len(process.lender) == 0


def test_a_share_that_came_after_a_reset_is_given_back_and_not_spent():
    world = World(Limit.parse("400/hour"), 0.25)
    process = world.processes[0]
    for _ in range(HOT):
        process.hit(1)
    process.send()
    process.decide()
    process.lender.forget("ann")
    process.hear()
    assert process.hit(1).source == "store"
    process.trip()
    assert world.seen(1, LOOK)[1].seen[0][1] == HOT + 1


def test_a_hit_that_the_store_refuses_gives_back_what_is_in_hand_and_then_it_fits():
    world = World(Limit.parse("64/hour"), 0.25)
    process = world.processes[0]
    for _ in range(HOT):
        process.hit(1)
    process.trip()
    assert process.lender._entries["ann"].left
    assert not process.hit(60)
    process.trip()
    assert process.hit(60)


def test_several_limits_are_lent_together_and_the_least_share_counts():
    plan = plan_of([Limit.parse("100/second"), Limit.parse("5000/hour fixed_window")], prefix="ratekit", name="both")
    terms = terms_of(plan, check_lease(0.1))
    assert (terms.most, terms.lasts, terms.overs) == (10, 100_000, (10, 0))


def test_identities_that_are_asked_for_once_are_lent_nothing_and_few_are_watched():
    world = World(Limit.parse("400/hour"), 0.25)
    process = world.processes[0]
    for number in range(3 * MOST_KEYS):
        identity = f"user:{number}"
        assert process.lender.spend(identity, 1, process.now()) is None
        process.lender.noted(identity, world.ask(1), 1, process.now()) if number < 390 else None
    assert not process.lender.jobs
    assert len(process.lender) == 0
    assert len(process.lender._warm) <= MOST_KEYS


@pytest.mark.parametrize("wrong", [0, -0.1, 0.51, 1, True, "0.05", float("nan")])
def test_a_lease_is_a_share_up_to_a_half(wrong):
    with pytest.raises(ConfigurationError, match="a share of the quota above 0 and up to a half"):
        Limiter("100/minute", name="wrong lease", lease=wrong)


def test_a_share_is_taken_as_it_is_written_not_as_a_binary_fraction():
    (rounded,) = (terms_of(plan_of([Limit(700, per=60)], prefix="ratekit", name="x"), check_lease(0.07)),)
    assert rounded.most == 49  # 700 * 0.07 is 49.00000000000001


@pytest.mark.parametrize(("limit", "lease"), [("10/minute", 0.1), ("1000/20 ms", 0.05)])
def test_a_quota_that_is_too_small_for_a_lease_is_said(redis_url, limit, lease):
    with pytest.warns(RateKitWarning, match="nothing is lent"):
        limiter = Limiter(limit, store=redis_url, name=f"small {limit}", lease=lease, **doors.PATIENT)
    assert {limiter.hit("ann").source for _ in range(8)} == {"store"}
    limiter.close()


@pytest.mark.parametrize("kind", [Limiter, AsyncLimiter])
def test_a_lease_on_a_store_in_this_process_is_said_to_be_of_no_use(kind):
    with pytest.warns(RateKitWarning, match="is for stores that are asked by a trip"):
        kind("1000/minute", name=f"lease in memory {kind.__name__}", lease=0.05)


def lent(limiter, identity="ann"):
    """Hit until something is in hand: how many were admitted, the last from there."""
    found = []
    servers.until(lambda: found.append(limiter.hit(identity)) or found[-1].source == "lease")
    assert all(found)
    return found


def close(limiter):
    getattr(limiter, "aclose" if hasattr(limiter, "inner") else "close")()


@both
def test_a_limiter_spends_what_it_was_lent_without_a_trip_and_says_so(kind, redis_url, redis_client, clock):
    with doors.opened(kind, redis_url, clock) as door:
        limiter = door.limiter("100000/minute", name=f"lent {kind}", lease=0.05)
        found = lent(limiter)
        first = found[-1]
        assert (first.allowed, first.source, first.degraded, first.max_over, first.retry_after) == (True, "lease", False, 5_000, 0)
        before = servers.calls_of(redis_client, "evalsha", "eval")
        found += [limiter.hit("ann") for _ in range(2_000)]
        trips = servers.calls_of(redis_client, "evalsha", "eval") - before
        assert sum(decision.source == "lease" for decision in found) > 500
        assert trips < sum(decision.source == "store" for decision in found) + 100
        assert {decision.max_over for decision in found} == {5_000}
        close(limiter)
        assert door.limiter("100000/minute", name=f"lent {kind}").peek("ann").remaining == 100_000 - len(found)


@pytest.mark.parametrize("kind", doors.UPSTASH)
def test_over_https_a_lease_saves_commands_too(kind, upstash_server, redis_url):
    with doors.opened(kind, upstash_server.url, None) as door:
        limiter = door.limiter("1000000/minute", name=f"lent {kind}", lease=0.05)
        found = lent(limiter)
        assert (found[-1].source, found[-1].max_over) == ("lease", 50_000)
        close(limiter)
        assert door.limiter("1000000/minute", name=f"lent {kind}").peek("ann").remaining == 1_000_000 - len(found)


@both
def test_every_key_that_a_lease_writes_has_a_time_to_live(kind, redis_url, redis_client):
    with doors.opened(kind, redis_url, None) as door:
        limiter = door.limiter("100000/minute", "50000 per calendar day", name=f"mortal {kind}", lease=0.05)
        lent(limiter)
        keys = redis_client.keys("*")
        assert any(b":!lease/" in key for key in keys)
        assert all(redis_client.pttl(key) <= 86_400_000 for key in keys)
        assert -1 not in [redis_client.pttl(key) for key in keys]
        close(limiter)


@both
def test_what_a_limiter_does_not_spend_is_given_back_in_the_background(kind, redis_url):
    with doors.opened(kind, redis_url, None) as door:
        limiter, other = (door.limiter("1000/hour", name=f"idle {kind}", lease=lease) for lease in (0.1, None))
        spent = len(lent(limiter))
        servers.until(lambda: other.peek("ann").remaining == 1_000 - spent)
        close(limiter)


@both
def test_what_is_in_hand_is_spent_while_the_store_is_away_and_then_the_outage_policy_has_its_say(kind, clock):
    with servers.RedisServer() as server, doors.opened(kind, server.url, clock) as door:
        limiter = door.limiter("1000/hour", name=f"away {kind}", lease=0.1)
        lent(limiter)
        server.stop()
        sources = [limiter.hit("ann").source for _ in range(200)]
        assert sources[0] == "lease"
        assert sources[-1] == "local"
        assert sources == sorted(sources)
        close(limiter)


@both
def test_a_peek_tells_of_what_is_in_hand_and_takes_none_of_it(kind, redis_url, clock):
    with doors.opened(kind, redis_url, clock) as door:
        limiter = door.limiter("1000/hour", "20000/day", name=f"peek {kind}", lease=0.1)
        spent = len(lent(limiter))
        for _ in range(3):
            looked = limiter.peek("ann")
            assert (looked.allowed, looked.remaining, looked.max_over) == (True, 1_000 - spent, 100)
            assert [part.remaining for part in looked.details] == [1_000 - spent, 20_000 - spent]
        again = limiter.hit("ann")
        assert (again.source, again.remaining) == ("lease", 999 - spent)
        assert [(part.source, part.remaining) for part in again.details] == [("lease", 999 - spent), ("lease", 19_999 - spent)]
        close(limiter)


@both
def test_after_a_reset_nothing_that_was_lent_before_is_spent(kind, redis_url, clock):
    with doors.opened(kind, redis_url, clock) as door:
        limiter = door.limiter("1000/hour", name=f"reset {kind}", lease=0.1)
        lent(limiter)
        limiter.reset("ann")
        assert (limiter.hit("ann").source, limiter.peek("ann").remaining) == ("store", 999)
        close(limiter)


@both
def test_a_limiter_with_a_lease_admits_the_whole_limit_and_not_a_unit_more(kind, redis_url, clock):
    with doors.opened(kind, redis_url, clock) as door:
        limiter = door.limiter("500/hour", name=f"whole {kind}", lease=0.1)
        found = []
        servers.until(lambda: found.extend(limiter.hit("ann") for _ in range(50)) or not any(found[-50:]))
        assert sum(map(bool, found)) == 500
        assert {decision.source for decision in found if decision} == {"store", "lease"}
        many = limiter.hit_many(["ann", "bob"])
        assert [bool(decision) for decision in many] == [False, True]
        close(limiter)


@both
def test_hit_many_and_acquire_spend_what_is_in_hand_and_a_reservation_asks_the_store(kind, redis_url, clock):
    with doors.opened(kind, redis_url, clock) as door:
        limiter = door.limiter("10000/hour", name=f"many {kind}", lease=0.1)
        spent = len(lent(limiter))
        first, other = limiter.hit_many(["ann", "bob"])
        assert (first.source, other.source) == ("lease", "store")
        assert limiter.acquire("ann").source == "lease"
        with limiter.reserve("ann", cost=20) as reservation:
            assert reservation.commit(5).source == "store"
        close(limiter)
        assert door.limiter("10000/hour", name=f"many {kind}").peek("ann").remaining == 10_000 - spent - 2 - 5


def test_threads_never_spend_a_unit_twice(redis_url, clock):
    with doors.opened("redis", redis_url, clock) as door:
        limiter = door.limiter("5000/hour", name="threads and leases", lease=0.2)
        found = []
        crowd = [threading.Thread(target=lambda: found.extend(limiter.hit("ann") for _ in range(1_500))) for _ in range(6)]
        for thread in crowd:
            thread.start()
        for thread in crowd:
            thread.join()
        limiter.close()
        left = door.limiter("5000/hour", name="threads and leases").peek("ann").remaining
        assert sum(map(bool, found)) + left == 5_000
        assert sum(decision.source == "lease" for decision in found) > 100


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_child_that_was_forked_spends_nothing_that_its_parent_was_lent(redis_url, clock):
    with doors.opened("redis", redis_url, clock) as door:
        limiter = door.limiter("1000/hour", name="fork and leases", lease=0.1)
        lent(limiter)
        child = os.fork()
        if not child:
            os._exit(0 if limiter.hit("ann").source == "store" else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert limiter.hit("ann").source == "lease"
        limiter.close()


def test_the_middleware_is_lent_shares_too_and_admits_the_whole_limit(redis_url, redis_client):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def asked(count):
        limiting = RateLimitMiddleware(app, "1000/hour", store=redis_url, name="leased app", lease=0.1, **doors.PATIENT)
        statuses = []

        async def send(message):
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "client": ("10.1.2.3", 4711)}
        for _ in range(count):
            await limiting(scope, None, send)
        await limiting._enforcer.aclose()
        return statuses

    redis_client.config_resetstat()
    first = asyncio.run(asked(300))
    assert servers.calls_of(redis_client, "evalsha", "eval") < 290
    assert [*first, *asyncio.run(asked(900))].count(200) == 1_000


@both
def test_metrics_know_where_a_decision_came_from(kind, redis_url, clock):
    from ratekit import metrics

    metrics.start()
    try:
        with doors.opened(kind, redis_url, clock) as door:
            limiter = door.limiter("1000/hour", name=f"metered {kind}", lease=0.1)
            found = lent(limiter)
            labels = {"limiter": f"metered {kind}", "policy": "", "outcome": "allowed", "source": "lease"}
            told = [one.value for one in metrics.read() if one.labels == labels]
            assert told == [sum(decision.source == "lease" for decision in found)] == [1]
            close(limiter)
    finally:
        metrics.stop()


def test_eight_processes_that_leave_one_after_the_other_are_admitted_exactly_the_limit(redis_url):
    limit = "2000/hour"
    crowd = workers.run(*[("lease", redis_url, limit, 0.1, hits) for hits in (80, 160, 240, 320, 320, 400, 480, 560)])
    (last,) = workers.run(("sync", redis_url, limit, 700))
    assert sum(answer["admitted"] for answer in [*crowd, last]) == 2_000
    assert sum(answer["lent"] for answer in crowd) > 20


def test_eight_processes_that_come_and_go_or_are_killed_stay_within_the_bound(redis_url, redis_client, tmp_path):
    limit, lease, period, most = "400/second", 0.2, 1_000_000_000, 80
    crowd = []

    def come():
        command = [sys.executable, workers.__file__, "bursts", redis_url, limit, str(lease), str(tmp_path / str(len(crowd)))]
        crowd.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL))

    for _ in range(8):
        come()
    servers.until(lambda: len(list(tmp_path.iterdir())) == 8)
    for number in range(6):
        time.sleep(0.3)
        if number % 2:
            crowd[number].kill()
        else:
            crowd[number].stdin.close()
        come()
    servers.until(lambda: len(list(tmp_path.iterdir())) == len(crowd))
    time.sleep(0.5)
    for process in crowd:
        process.stdin.close()
    assert [process.wait() for process in crowd] == [-9 if number in (1, 3, 5) else 0 for number in range(14)]

    lines = [line.split() for path in tmp_path.iterdir() for line in path.read_text().splitlines()]
    assert {words[2] for words in lines} == {"store", "lease"}
    assert {int(words[3]) for words in lines} == {most}
    # A hit was admitted at some instant between the two that its process wrote down: those are counted that certainly lie in a window.
    events = sorted((int(words[0]), int(words[1])) for words in lines)
    for first, (start, _) in enumerate(events):
        within = [after for before, after in events[first:] if before < start + period and after < start + period]
        assert len(within) <= 400 + most
    assert -1 not in [redis_client.pttl(key) for key in redis_client.keys("*")]
