"""
What was admitted while a real server was away is charged there when it is back, once: killed and restarted with its data or without,
stopped; threads and event loops by the same tests.
"""

import os
import signal
import subprocess
import sys
import time
from wsgiref.util import setup_testing_defaults

import doors
import pytest
import servers
from doors import PATIENT

from ratekit import Limiter, Policy
from ratekit.guarded.circuit import circuit_of
from ratekit.stores.redis import RedisStore
from ratekit.wsgi import RateLimitMiddleware

ALGORITHMS = ("fixed_window", "sliding_window", "sliding_counter", "token_bucket")
both = pytest.mark.parametrize("kind", ["redis", "async redis"])
NO_RELAPSE = 2.1
"""Seconds after which one good probe brings a store back a second time."""


@pytest.fixture
def server():
    """A server of one test's own, that it may kill and stop; what was written survives."""
    with servers.RedisServer("--appendonly", "yes", "--appendfsync", "always") as server:
        yield server


def left_alone(limiter):
    """Hit until the store is known to be away: from then on nothing is asked there, and all is noted."""
    servers.until(lambda: limiter.hit("somebody else") is not None and limiter.health().state == "open")


def joined(limiter, door):
    """Wait until the store is asked again and has been charged."""
    servers.until(lambda: limiter.health().state == "closed" and not debts(door) and limiter.peek("nobody").source == "store")
    circuit = circuit_of(door.store)
    servers.until(lambda: circuit.debts.merged + circuit.debts.lost > 0)


def debts(door):
    debts = circuit_of(door.store).debts
    return len(debts) + debts.out


def spent(limiter, who="ann"):
    return [part.limit.capacity - part.remaining for part in limiter.peek(who).details]


@both
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_killed_and_back_with_its_data_the_server_knows_what_was_spent_meanwhile(kind, server, algorithm):
    with doors.opened(kind, server.url, None, deny_cache=0) as door:
        limiter = door.limiter(f"9/day {algorithm}", "20/hour", name="kept")
        assert [limiter.hit("ann").source for _ in range(2)] == ["store"] * 2
        server.stop()
        left_alone(limiter)
        assert {limiter.hit("ann").source for _ in range(3)} == {"local"}
        assert limiter.hit("bob", cost=4).allowed
        server.start()
        joined(limiter, door)
        assert spent(limiter) == [5, 5]
        assert spent(limiter, "bob") == [4, 4]
        assert sum(bool(limiter.hit("ann")) for _ in range(9)) == 4
        with server.client() as client:
            assert all(client.pttl(key) > 0 for key in client.keys("*"))


@both
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_killed_and_back_without_its_data_it_knows_at_least_that(kind, algorithm):
    with servers.RedisServer() as server, doors.opened(kind, server.url, None, deny_cache=0) as door:
        limiter = door.limiter(f"9/day {algorithm}", name="lost")
        limiter.hit("ann", cost=2)
        server.stop()
        left_alone(limiter)
        assert [bool(limiter.hit("ann")) for _ in range(8)] == [True] * 7 + [False]
        server.start()
        joined(limiter, door)
        assert spent(limiter) == [7]


@both
def test_a_second_outage_charges_only_what_is_new(kind, server):
    with doors.opened(kind, server.url, None, deny_cache=0) as door:
        limiter = door.limiter("9/hour", name="twice")
        limiter.hit("ann")
        for expected in (4, 7):
            server.stop()
            left_alone(limiter)
            assert limiter.hit("ann", cost=3).source == "local"
            server.start()
            joined(limiter, door)
            servers.until(lambda expected=expected: spent(limiter) == [expected])
            time.sleep(NO_RELAPSE)
        server.stop()
        left_alone(limiter)
        assert [bool(limiter.hit("ann")) for _ in range(3)] == [True, True, False]


@both
def test_what_timed_out_and_may_have_been_counted_is_not_charged_again(kind, server):
    with doors.opened(kind, server.url, None, deny_cache=0, budget=0.1) as door:
        limiter = door.limiter("1000/hour", name="stopped")
        servers.until(lambda: limiter.hit("ann").source == "store")
        admitted = 1000 - limiter.peek("ann").remaining
        server.process.send_signal(signal.SIGSTOP)
        while limiter.health().state == "closed":
            admitted += bool(limiter.hit("ann"))
        for _ in range(50):
            admitted += bool(limiter.hit("ann"))
        assert debts(door) == 1
        server.process.send_signal(signal.SIGCONT)
        joined(limiter, door)
        time.sleep(0.2)
        (seen,) = spent(limiter)
        assert 50 <= seen <= admitted


@both
def test_hits_on_many_keys_are_charged_in_few_trips(kind, server):
    with doors.opened(kind, server.url, None, deny_cache=0) as door:
        limiter = door.limiter("9/hour", "9/day", name="many")
        assert limiter.hit("nobody").source == "store"
        server.stop()
        left_alone(limiter)
        names = [f"user:{i}" for i in range(500)]
        assert {decision.source for decision in limiter.hit_many(names, 2)} == {"local"}
        server.start()
        joined(limiter, door)
        with server.client() as client:
            assert servers.calls_of(client, "evalsha", "eval") < 50
        assert [spent(limiter, name) for name in names[::50]] == [[2, 2]] * 10
        assert circuit_of(door.store).debts.merged >= 2_000


@both
def test_a_reservation_that_was_settled_meanwhile_is_charged_as_settled(kind, server):
    with doors.opened(kind, server.url, None, deny_cache=0) as door:
        limiter = door.limiter("20/hour", "20/day token_bucket", name="reserved")
        with limiter.reserve("ann", cost=2) as beyond:
            assert beyond.decision.source == "store"
            server.stop()
            left_alone(limiter)
            beyond.commit(3)
        with limiter.reserve("ann", cost=5) as less:
            assert less.decision.source == "local"
            less.commit(1)
        with pytest.raises(ZeroDivisionError), limiter.reserve("ann", cost=4):
            raise ZeroDivisionError
        with limiter.reserve("ann", cost=1) as more:
            more.commit(4)
        assert limiter.acquire("ann", timeout=1)
        server.start()
        joined(limiter, door)
        assert spent(limiter) == [9, 9]


@both
def test_a_reset_forgets_what_is_owed_there_too(kind, server):
    with doors.opened(kind, server.url, None, deny_cache=0) as door:
        limiter = door.limiter("9/hour", name="reset")
        server.stop()
        left_alone(limiter)
        limiter.hit("ann", cost=5)
        limiter.hit("bob", cost=5)
        with pytest.raises(Exception, match="away"):
            limiter.reset("ann")
        server.start()
        joined(limiter, door)
        assert (spent(limiter), spent(limiter, "bob")) == ([0], [5])


def test_the_policies_on_one_request_are_charged_each(server):
    def app(environ, start_response):
        start_response("200 OK", [])
        return [b""]

    store = RedisStore(server.url)
    policies = [Policy("one", "9/hour"), Policy("two", "5/day fixed_window", key="header:x-key")]
    around = RateLimitMiddleware(app, policies=policies, store=store, name="policies", deny_cache=0, **PATIENT)
    statuses = []

    def ask():
        environ = {"REMOTE_ADDR": "192.0.2.1", "HTTP_X_KEY": "k"}
        setup_testing_defaults(environ)
        list(around(environ, lambda status, *_: statuses.append(status[:3])))

    limiter = Limiter("9/hour", store=store, name="policies beside", **PATIENT)
    try:
        ask()
        server.stop()
        left_alone(limiter)
        for _ in range(5):
            ask()
        assert statuses == ["200"] * 5 + ["429"]
        server.start()
        servers.until(
            lambda: limiter.health().state == "closed" and not (len(circuit_of(store).debts) + circuit_of(store).debts.out)
        )
        with server.client() as client:
            servers.until(lambda: b"5" in [client.get(key) for key in client.keys("*:two:*")])
            assert len(client.keys("*:one:*")) == 1
        ask()
        assert statuses[-1] == "429"
    finally:
        store.close()


def test_four_processes_with_a_quarter_each_admit_the_limit_together(server):
    stores = [RedisStore(server.url) for _ in range(4)]
    limiters = [Limiter("100/hour", store=store, name="quarters", fallback_share=0.25, deny_cache=0, budget=5) for store in stores]
    try:
        for limiter in limiters:
            assert limiter.peek("ann").source == "store"
        server.stop()
        for limiter in limiters:
            left_alone(limiter)
        assert [sum(bool(limiter.hit("ann")) for _ in range(50)) for limiter in limiters] == [25] * 4
        server.start()
        servers.until(lambda: all(limiter.health().state == "closed" for limiter in limiters))
        servers.until(lambda: spent(limiters[0]) == [100])
        assert not any(limiter.hit("ann") for limiter in limiters)
    finally:
        for store in stores:
            store.close()


FORKED = """
import os, sys, time
from ratekit import Limiter
limiter = Limiter("1000/hour", store=sys.argv[1], name="forked", deny_cache=0)
while limiter.health().state == "closed":
    limiter.hit("nobody")
for _ in range(10):
    assert limiter.hit("ann").source == "local"
child = os.fork()
os.write(1, ("ready" if child else "child").encode() + bytes([10]))
for _ in range(2000):
    if limiter.peek("ann").source == "store":
        break
    time.sleep(0.01)
time.sleep(0.3)
if not child:
    os._exit(0)
os.waitpid(child, 0)
print(1000 - limiter.peek("ann").remaining)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_does_not_pay_its_parents_debts_a_second_time(server):
    server.stop()
    with subprocess.Popen([sys.executable, "-W", "ignore", "-c", FORKED, server.url], stdout=subprocess.PIPE, text=True) as script:
        try:
            assert {script.stdout.readline() for _ in range(2)} == {"ready\n", "child\n"}
            server.start()
            output, _ = script.communicate(timeout=60)
        finally:
            script.kill()
    assert output.split() == ["10"]
