"""
A store that goes away, hangs and comes back: real servers, killed and stopped; threads and event loops by the same tests.

Waits are generous and hardly anything is judged by time: a busy machine is not a wrong answer.
"""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
import time

import doors
import pytest
import servers
from doors import PATIENT

from ratekit import AsyncLimiter, ConfigurationError, Decision, Limiter, RateLimitExceeded, StoreUnavailable
from ratekit.asgi import RateLimitMiddleware
from ratekit.stores.redis import AsyncRedisStore

ALGORITHMS = ("fixed_window", "sliding_window", "sliding_counter", "token_bucket")
SHORT = {"budget": 0.1}
"""For a store that hangs: some budget has to be waited for."""
both = pytest.mark.parametrize("kind", ["redis", "async redis"])


@pytest.fixture
def server():
    """A server of one test's own, that it may kill and stop."""
    with servers.RedisServer() as server:
        yield server


@pytest.fixture(autouse=True)
def all_that_is_said(caplog):
    caplog.set_level(logging.INFO, "ratekit")


def opened(kind, server, **options):
    return doors.opened(kind, server.url, None, **(PATIENT | options))


def hang(server):
    server.process.send_signal(signal.SIGSTOP)


def go_on(server):
    server.process.send_signal(signal.SIGCONT)


def joined(limiter):
    """Wait until the store is asked again."""
    servers.until(lambda: limiter.health().state == "closed")


def left_alone(limiter):
    """Hit until the store is left alone."""
    servers.until(lambda: limiter.hit("somebody else") is not None and limiter.health().state == "open")


def check_local(*decisions):
    for decision in decisions:
        assert (decision.source, decision.degraded, decision.max_over) == ("local", True, None)


def in_threads(count, work):
    results = []
    crowd = [threading.Thread(target=lambda: results.append(work())) for _ in range(count)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    return results


@both
def test_when_the_server_is_killed_decisions_are_local_at_once_and_after_it_is_back_they_are_not(kind, server, caplog):
    with opened(kind, server) as door:
        limiter = door.limiter("9/hour")
        assert limiter.hit("ann").source == "store"
        server.stop()
        begin = time.monotonic()
        decisions = [limiter.hit("ann") for _ in range(20)]
        assert time.monotonic() - begin < 1
        check_local(*decisions)
        assert sum(map(bool, decisions)) == 8
        server.start()
        joined(limiter)
        assert (limiter.hit("bob").source, limiter.peek("bob").remaining) == ("store", 8)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert ["left alone" in caplog.messages[0], "back" in caplog.messages[1]] == [True, True]


@both
def test_health_says_how_things_stand(kind, server):
    with opened(kind, server) as door:
        limiter = door.limiter("9/hour")
        assert limiter.hit("ann")
        health = limiter.health()
        assert (health.state, health.fault, health.failures, health.changes, health.next_probe) == ("closed", None, 0, 0, None)
        server.stop()
        limiter.hit("ann")
        health = limiter.health()
        assert (health.state, health.fault.value, health.changes, health.needed) == ("open", "away", 1, 1)
        assert health.failures >= 1
        servers.until(lambda: limiter.health().probes >= 2)
        server.start()
        joined(limiter)
        assert (limiter.health().fault, limiter.health().changes) == (None, 2)


@both
@pytest.mark.parametrize("learn", ["hit", "peek", "reserve", "refusal"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_limit_goes_on_from_the_last_known_state(kind, server, algorithm, learn):
    with opened(kind, server) as door:
        limiter, other = (door.limiter(f"5/hour {algorithm}", "9/day", name=name) for name in ("known", "known"))
        (other if learn == "peek" else limiter).hit("ann", cost=2)
        if learn == "reserve":
            with limiter.reserve("ann"):
                pass
        else:
            (other if learn == "peek" else limiter).hit("ann")
        if learn == "peek":
            assert limiter.peek("ann").remaining == 2
        if learn == "refusal":
            assert limiter.hit("ann", cost=4).source == "store"
        server.stop()
        decisions = [limiter.hit("ann") for _ in range(4)]
        check_local(*decisions)
        assert [bool(decision) for decision in decisions] == [True, True, False, False]
        assert [part.remaining for part in limiter.peek("ann").details] == [0, 4]
        assert [bool(limiter.hit("bob")) for _ in range(6)] == [True] * 5 + [False]


@both
def test_a_reservation_goes_on_from_the_last_known_state_too(kind, server):
    with opened(kind, server) as door:
        limiter = door.limiter("5/hour")
        limiter.hit("ann", cost=3)
        server.stop()
        with pytest.raises(RateLimitExceeded) as caught, limiter.reserve("ann", cost=3):
            raise AssertionError
        check_local(caught.value.decision)
        with limiter.reserve("ann", cost=2) as reservation:
            check_local(reservation.decision)


@both
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_crowd_is_never_admitted_beyond_the_limit_while_the_store_is_away(kind, server, algorithm):
    server.stop()
    with opened(kind, server) as door:
        limiter = door.limiter(f"20/hour {algorithm}")
        assert sum(in_threads(8, lambda: sum(bool(limiter.hit("ann")) for _ in range(20)))) == 20


@both
def test_with_open_everything_is_admitted_and_with_closed_nothing_is_answered(kind, server):
    with opened(kind, server) as door:
        lenient, strict = (door.limiter("1/hour", on_outage=policy, name=policy) for policy in ("open", "closed"))
        for limiter in (lenient, strict):
            assert limiter.hit("ann").source == "store"
        server.stop()
        for _ in range(3):
            decision = lenient.hit("bob")
            assert (decision.allowed, decision.source, decision.degraded, decision.max_over) == (True, "open", True, None)
            with pytest.raises(StoreUnavailable) as caught:
                strict.hit("bob")
            assert (caught.value.decision.source, caught.value.decision.allowed) == ("closed", False)
        with lenient.reserve("bob", cost=1) as reservation:
            assert reservation.decision.source == "open"
        with pytest.raises(StoreUnavailable) as caught, strict.reserve("bob"):
            raise AssertionError
        assert caught.value.decision.source == "closed"


@both
def test_a_server_that_is_down_at_the_start_is_joined_when_it_comes(kind, server):
    server.stop()
    with opened(kind, server) as door:
        limiter = door.limiter("3/hour")
        decisions = [limiter.hit("ann") for _ in range(5)]
        check_local(*decisions)
        assert [bool(decision) for decision in decisions] == [True] * 3 + [False] * 2
        server.start()
        joined(limiter)
        assert limiter.hit("ann").source == "store"


@both
def test_callers_of_a_server_that_hangs_wait_for_their_budget_and_later_ones_not_at_all(kind, server, caplog):
    with opened(kind, server, **SHORT) as door:
        limiter = door.limiter("100000/hour")
        servers.until(lambda: limiter.hit("ann").source == "store")
        hang(server)

        def waits():
            begin = time.monotonic()
            assert limiter.hit("ann").source == "local"
            return time.monotonic() - begin

        assert max(in_threads(10, waits)) < 1
        left_alone(limiter)
        begin = time.monotonic()
        check_local(*[limiter.hit("ann") for _ in range(100)])
        assert time.monotonic() - begin < 1  # a hundred budgets would be ten
        assert limiter.health().fault.value == "late"
        go_on(server)
        joined(limiter)
        servers.until(lambda: limiter.hit("ann").source == "store")
        assert len(caplog.records) == limiter.health().changes


@both
def test_a_budget_is_each_limiters_own_on_a_connection_that_they_share(kind, server):
    with opened(kind, server, deny_cache=0) as door, server.client() as client:
        short, usual, patient = (
            door.limiter("9/hour", name=name, budget=budget) for name, budget in (("s", 0.01), ("u", None), ("p", 9))
        )
        assert patient.hit("ann").source == "store"
        client.client_pause(1_000)
        found = {}
        crowd = [
            threading.Thread(target=lambda name=name, limiter=limiter: found.setdefault(name, limiter.hit("ann").source))
            for name, limiter in (("patient", patient), ("short", short), ("usual", usual))
        ]
        for thread in crowd:
            thread.start()
        for thread in crowd:
            thread.join()
        assert found == {"short": "local", "usual": "local", "patient": "store"}


@both
def test_a_server_that_never_answers_is_not_asked_for_ever_more_connections(kind, server):
    before = set(threading.enumerate())  # connections that other tests' limiters still wait for
    hang(server)
    with opened(kind, server, budget=0.05) as door:
        limiter = door.limiter("9/hour")
        left_alone(limiter)
        servers.until(lambda: limiter.health().probes >= 6)
        assert sum(thread.name == "ratekit-connect" for thread in set(threading.enumerate()) - before) <= 4
        go_on(server)
        joined(limiter)


@both
def test_limiters_of_one_store_share_what_they_know_of_it(kind, server):
    with opened(kind, server) as door:
        one, other = door.limiter("5/hour", name="one"), door.limiter("5/hour", name="other")
        assert [one.hit("ann").source, other.hit("ann").source] == ["store", "store"]
        server.stop()
        check_local(one.hit("ann"))
        assert other.health().state == "open"
        failures = other.health().failures
        check_local(other.hit("ann"))
        assert other.health().failures == failures
        server.start()
        joined(other)
        assert one.hit("ann").source == "store"


def test_limiters_of_one_url_share_what_they_know_of_it(server):
    url = server.url
    with Limiter("5/hour", store=url, name="one", **PATIENT) as one, Limiter("5/hour", store=url, name="other", **PATIENT) as other:
        server.stop()
        check_local(one.hit("ann"))
        assert other.health().state == "open"


@both
def test_what_is_given_back_while_the_store_hangs_stays_spent_there_and_is_said(kind, server, caplog):
    with opened(kind, server, **SHORT) as door:
        limiter = door.limiter("5/hour token_bucket")
        servers.until(lambda: limiter.peek("ann").source == "store")
        with limiter.reserve("ann", cost=4) as reservation:
            assert reservation.decision.source == "store"
            hang(server)
            left_alone(limiter)
            check_local(reservation.commit(1))
        assert limiter.peek("ann").remaining <= 1, "given back by a mark of another clock"
        go_on(server)
        joined(limiter)
        servers.until(lambda: limiter.peek("ann").source == "store")
        assert limiter.peek("ann").remaining == 1
    assert "stays spent" in caplog.text


@both
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_reservation_made_here_is_settled_here(kind, server, algorithm):
    server.stop()
    with opened(kind, server) as door:
        limiter = door.limiter(f"5/hour {algorithm}")
        with limiter.reserve("ann", cost=4) as reservation:
            assert reservation.commit(1).remaining == 4
        check_local(limiter.peek("ann"))
        assert limiter.peek("ann").remaining == 4


@both
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_reservation_made_here_gives_nothing_back_there(kind, server, algorithm):
    server.stop()
    with opened(kind, server) as door:
        limiter = door.limiter(f"5/hour {algorithm}")
        with limiter.reserve("ann", cost=4) as reservation:
            check_local(reservation.decision)
            server.start()
            joined(limiter)
            assert limiter.hit("ann", cost=3).remaining == 2
            assert reservation.commit(0).source == "store"
        assert limiter.peek("ann").remaining == 2


@both
def test_a_reset_is_never_local(kind, server):
    with opened(kind, server) as door:
        limiter = door.limiter("1/hour")
        limiter.hit("ann")
        server.stop()
        check_local(limiter.hit("ann"))
        with pytest.raises(StoreUnavailable):
            limiter.reset("ann")


@both
def test_a_refusal_that_is_known_costs_no_trip_until_it_is_reset(kind, server):
    with opened(kind, server, deny_cache=60) as door, server.client() as client:
        limiter, same = door.limiter("1/hour"), door.limiter("1/hour")
        assert [limiter.hit("ann").source, limiter.hit("ann").source] == ["store", "store"]
        before = servers.calls_of(client, "evalsha", "eval")
        refused = [limiter.hit("ann") for _ in range(100)]
        assert servers.calls_of(client, "evalsha", "eval") == before
        assert {(decision.allowed, decision.source, decision.degraded) for decision in refused} == {(False, "denials", False)}
        same.reset("ann")
        assert limiter.hit("ann").source == "store"
        assert not limiter.hit("ann")
        limiter.reset("ann")
        assert limiter.hit("ann")


@both
def test_a_refusal_that_is_known_is_forgotten_when_something_is_given_back(kind, server):
    with opened(kind, server, deny_cache=60) as door:
        limiter, same = door.limiter("5/hour"), door.limiter("5/hour")
        with limiter.reserve("ann", cost=4) as reservation:
            for one in (limiter, same):
                assert [one.hit("ann", cost=3).source for _ in range(2)] == ["store", "denials"]
            reservation.commit(1)
        assert same.hit("ann", cost=3)
        assert limiter.hit("ann")


@both
def test_without_a_memory_of_refusals_each_costs_a_trip(kind, server):
    with opened(kind, server, deny_cache=0) as door, server.client() as client:
        limiter = door.limiter("1/hour")
        limiter.hit("ann")
        before = servers.calls_of(client, "evalsha", "eval")
        assert {limiter.hit("ann").source for _ in range(10)} == {"store"}
        assert servers.calls_of(client, "evalsha", "eval") == before + 10


@pytest.mark.parametrize(
    "bad",
    [{"budget": bad} for bad in (0, -1, 61, "1", True, float("nan"), float("inf"))]
    + [{"on_outage": bad} for bad in ("", "remote", None, True, ["local"])]
    + [{"deny_cache": bad} for bad in (-1, "1", True, None, float("nan"), float("inf"))],
    ids=str,
)
def test_what_is_no_budget_policy_or_memory_is_a_configuration_error(bad):
    def middleware(limits, **options):
        return RateLimitMiddleware(None, limits, **options)

    for kind in (Limiter, AsyncLimiter, middleware):
        with pytest.raises(ConfigurationError, match=f"{next(iter(bad))} .*: write"):
            kind("1/minute", store="redis://127.0.0.1:1/0", **bad)


def test_a_store_is_joined_again_on_another_event_loop_than_the_one_that_left_it(server):
    server.stop()
    limiter = AsyncLimiter("9/hour", store=AsyncRedisStore(server.url), **PATIENT)

    async def leave():
        check_local(await limiter.hit("ann"))
        await asyncio.sleep(0.3)  # a probe or two

    async def join():
        check_local(await limiter.hit("ann"))
        for _ in range(1_000):
            if limiter.health().state == "closed":
                break
            await asyncio.sleep(0.01)
        return (await limiter.hit("ann")).source

    asyncio.run(leave())
    assert limiter.health().state == "open"
    server.start()
    assert asyncio.run(join()) == "store"


def test_a_connection_does_not_outlive_its_event_loop(server):
    limiter = AsyncLimiter("99/hour", store=AsyncRedisStore(server.url), **PATIENT)

    async def hits():
        await asyncio.gather(*(limiter.hit("ann") for _ in range(3)))

    with server.client() as client:
        client.ping()
        for _ in range(5):
            asyncio.run(hits())
        servers.until(lambda: len(client.client_list()) == 1)
        assert asyncio.run(remaining_of(limiter)) == 99 - 15


async def remaining_of(limiter):
    return (await limiter.peek("ann")).remaining


def test_a_thousand_cancelled_callers_leave_the_connection_whole(server):
    async def main():
        store = AsyncRedisStore(server.url)
        limiter = AsyncLimiter("1000000/hour", store=store, **PATIENT)
        await limiter.hit("ann")
        for number in range(10):
            tasks = [asyncio.create_task(limiter.hit("ann")) for _ in range(100)]
            for _ in range(number % 4):
                await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            ended = {type(done) for done in await asyncio.gather(*tasks, return_exceptions=True)}
            assert ended <= {asyncio.CancelledError, Decision}  # some may have had their answer already
        left = [(await limiter.hit("ann")).remaining for _ in range(10)]
        assert left == [*range(left[0], left[0] - 10, -1)]
        assert (await limiter.hit("bob")).remaining == 999_999
        with server.client() as client:
            assert len(client.client_list()) == 2  # this one, and ours
        assert limiter.health().failures == 0
        await store.aclose()

    asyncio.run(main())


def test_probes_need_no_more_rights_than_hits(server):
    async def main(url):
        store = AsyncRedisStore(url)
        limiter = AsyncLimiter("9/hour", store=store, prefix="mine", **PATIENT)
        assert (await limiter.hit("ann")).source == "store"
        await limiter._store.open()
        await store.aclose()

    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "app", "on", ">secret", "~mine:*", "+@all", "-@dangerous")
        asyncio.run(main(f"redis://app:secret@127.0.0.1:{server.port}/0"))
        assert all(key.startswith(b"mine:{") for key in client.keys("*"))


FORKS = """if True:
    import os, sys, time
    from ratekit import Limiter
    limiter = Limiter("500/hour", store=sys.argv[1], budget=10)
    source = limiter.hit("ann").source
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            os.write(1, b"child\\n")
            for _ in range(1_000):
                if limiter.health().state == "closed":
                    break
                limiter.hit("bob")
                time.sleep(0.01)
            os._exit(0 if all(limiter.hit("ann").source == "store" for _ in range(50)) else 1)
        children.append(child)
    while limiter.hit("bob").source != "store":
        time.sleep(0.01)
    ours = all(limiter.hit("ann").source == "store" for _ in range(50))
    codes = [os.waitpid(child, 0)[1] for child in children]
    print(source, ours, codes, limiter.peek("ann").remaining)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("away", [False, True], ids=["there", "away"])
def test_children_that_are_forked_after_use_ask_the_store_by_themselves_and_find_it_again(server, away):
    if away:
        server.stop()
    command = [sys.executable, "-W", "ignore", "-c", FORKS, server.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as script:
        try:
            assert script.stdout.readline() == "child\n"
            if away:
                server.start()
            output, errors = script.communicate(timeout=60)
        finally:
            script.kill()
    last = output.splitlines()[-1]
    assert last == ("local True [0, 0, 0] 300" if away else "store True [0, 0, 0] 299"), errors
