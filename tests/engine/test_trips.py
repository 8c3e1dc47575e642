"""
Trips to Redis: one per hit, sent again only where it certainly did not run, whole after a cancelled caller, a fork, a restart.
"""

import asyncio
import gc
import os
import socket
import threading
import time
from weakref import ref

import pytest
import servers
import uvloop
from doors import PATIENT

from ratekit import AsyncLimiter, Limit, Limiter, StoreError, StoreUnavailable
from ratekit.algorithms import SPEND
from ratekit.stores.naming import plan_of
from ratekit.stores.protocol import asks_of
from ratekit.stores.redis import AsyncRedisStore, RedisStore

SCRIPTS = ("evalsha", "eval")
CLOSED = PATIENT | {"on_outage": "closed"}


def check_closed(decision):
    """What comes with StoreUnavailable: no, by nobody, and when to ask again."""
    assert (decision.allowed, decision.source, decision.degraded, decision.max_over) == (False, "closed", True, None)
    assert decision.retry_after > 0


@pytest.fixture
def store(redis_url):
    store = RedisStore(redis_url)
    yield store
    store.close()


@pytest.mark.parametrize("count", [1, 2, 20])
def test_a_hit_is_one_round_trip_for_any_number_of_limits(store, redis_client, count):
    limiter = Limiter(*(f"100/{number + 1} minutes" for number in range(count)), store=store, **PATIENT, name=f"trips {count}")
    limiter.hit("ann")
    before = redis_client.info("stats")["total_commands_processed"], servers.calls_of(redis_client, *SCRIPTS)
    for _ in range(10):
        limiter.hit("ann")
    limiter.peek("ann")
    after = servers.calls_of(redis_client, *SCRIPTS)
    assert after - before[1] == 11


def test_a_settled_reservation_is_two_trips(store, redis_client):
    limiter = Limiter("100/minute", "1000/hour", store=store, **PATIENT)
    limiter.hit("ann")
    before = servers.calls_of(redis_client, *SCRIPTS)
    with limiter.reserve("ann", cost=5) as reservation:
        reservation.commit(3)
    with limiter.reserve("ann", cost=5) as reservation:
        reservation.commit(5)
    assert servers.calls_of(redis_client, *SCRIPTS) - before == 3


def test_after_a_script_flush_the_script_is_sent_again_and_the_hit_counts_once(store, redis_client):
    limiter = Limiter("9/minute", store=store, on_outage="closed", **PATIENT)
    limiter.hit("ann")
    redis_client.script_flush()
    assert limiter.hit("ann").remaining == 7
    assert limiter.hit("ann").remaining == 6


def test_after_a_script_flush_async_hits_count_once(redis_url, redis_client):
    async def main():
        store = AsyncRedisStore(redis_url)
        limiter = AsyncLimiter("99/minute", store=store, on_outage="closed", **PATIENT)
        await limiter.hit("ann")
        redis_client.script_flush()
        await asyncio.gather(*(limiter.hit("ann") for _ in range(20)))
        remaining = (await limiter.peek("ann")).remaining
        await store.aclose()
        return remaining

    assert asyncio.run(main()) == 99 - 21


def test_a_server_that_is_away_is_store_unavailable():
    store = RedisStore(f"redis://127.0.0.1:{servers.free_port()}/0")
    limiter = Limiter("9/minute", store=store, **CLOSED)
    for ask in (limiter.hit, limiter.peek, limiter.acquire):
        with pytest.raises(StoreUnavailable) as caught:
            ask("ann")
        check_closed(caught.value.decision)
    with pytest.raises(StoreUnavailable):
        limiter.reset("ann")
    with pytest.raises(StoreUnavailable) as caught, limiter.reserve("ann"):
        raise AssertionError
    check_closed(caught.value.decision)
    store.close()


def test_a_server_that_is_away_is_store_unavailable_for_async_callers():
    async def main():
        store = AsyncRedisStore(f"redis://127.0.0.1:{servers.free_port()}/0")
        limiter = AsyncLimiter("9/minute", store=store, **CLOSED)
        for ask in (limiter.hit, limiter.peek, limiter.acquire):
            with pytest.raises(StoreUnavailable) as caught:
                await ask("ann")
            check_closed(caught.value.decision)
        with pytest.raises(StoreUnavailable):
            await limiter.reset("ann")
        with pytest.raises(StoreUnavailable) as caught:
            async with limiter.reserve("ann"):
                raise AssertionError
        check_closed(caught.value.decision)
        await store.aclose()

    asyncio.run(main())


def test_a_server_that_comes_back_is_used_again():
    with servers.RedisServer() as server:
        store = RedisStore(server.url)
        limiter = Limiter("9/minute", store=store, **CLOSED)
        assert limiter.hit("ann").remaining == 8
        server.stop()
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                limiter.hit("ann")
        server.start()
        servers.until(lambda: limiter.health().state == "closed")
        assert limiter.hit("ann").remaining == 8
        store.close()


def test_a_server_without_rights_for_us_is_a_store_error_and_after_some_the_policy_decides(redis_server, redis_client, caplog):
    redis_client.execute_command("ACL", "SETUSER", "nobody", "on", ">secret", "~*", "-@all", "+ping")
    store = RedisStore(f"redis://nobody:secret@127.0.0.1:{redis_server.port}/0")
    (ask,) = asks_of(plan_of([Limit.parse("9/minute")], prefix="ratekit", name="rights"), "ann", 1, SPEND)
    with pytest.raises(StoreError, match="no permissions") as caught:
        store.decide([ask], **PATIENT)
    assert caught.value.fault == "refused"
    assert not isinstance(caught.value, StoreUnavailable)
    with pytest.raises(StoreUnavailable) as closed:
        Limiter("9/minute", store=store, **CLOSED, name="rights").hit("ann")
    check_closed(closed.value.decision)
    limiter = Limiter("9/minute", store=store, **PATIENT, name="rights")
    assert {limiter.hit("ann").source for _ in range(8)} == {"local"}
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    store.close()


class Deaf:
    """A server that reads a command, counts it and answers with what it is told, or hangs up; not before it is let."""

    def __init__(self, answer, let=1_000_000):
        self.answer, self.heard, self.let = answer, 0, threading.Semaphore(let)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self.listener.getsockname()[1]}/0?protocol=2&socket_timeout=0.2"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                while data := connection.recv(1 << 20):
                    if b"EVAL" not in data:
                        connection.sendall(b"+OK\r\n" * data.count(b"CLIENT"))
                        continue
                    self.heard += 1
                    self.let.acquire()
                    if self.answer is not None:
                        connection.sendall(self.answer)
                        if not self.answer.endswith(b"\r\n"):
                            break

    def close(self):
        self.listener.close()


@pytest.mark.parametrize(
    ("answer", "budget", "fault"),
    [(b"", 10.0, "away"), (b"*6\r\n:1\r\n:", 10.0, "away"), (None, 0.5, "late")],
    ids=["hangs up", "cut reply", "silence"],
)
def test_after_a_failure_that_may_have_counted_nothing_is_sent_again(answer, budget, fault):
    deaf = Deaf(answer)
    store = RedisStore(deaf.url)
    hit = store.compile(plan_of([Limit.parse("9/minute")], prefix="ratekit", name="deaf"), budget)
    for number in range(3):
        with pytest.raises(StoreUnavailable) as caught:
            hit("ann", 1, SPEND)
        assert caught.value.fault == fault
        assert deaf.heard == number + 1
    store.close()
    deaf.close()


@pytest.mark.parametrize(
    "answer", [b"*2\r\n:1\r\n:1\r\n", b"+OK\r\n", b"$-1\r\n", b"*6\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n$1\r\nx\r\n"]
)
def test_a_reply_that_makes_no_sense_is_a_store_error_and_is_not_asked_for_again(answer):
    deaf = Deaf(answer)
    store = RedisStore(deaf.url)
    with pytest.raises(StoreError) as caught:
        store.compile(plan_of([Limit.parse("9/minute")], prefix="ratekit", name="deaf"), 10.0)("ann", 1, SPEND)
    assert caught.value.fault == "server"
    assert deaf.heard == 1
    limiter = Limiter("9/minute", store=store, **PATIENT)
    assert (limiter.hit("ann").source, deaf.heard) == ("local", 2)
    store.close()
    deaf.close()


def test_cancelled_callers_leave_every_connection_whole(redis_url):
    async def main():
        store = AsyncRedisStore(redis_url)
        limiter = AsyncLimiter("100000/hour", "100000/day", store=store, **PATIENT)
        await limiter.hit("warm")
        for _ in range(20):
            tasks = [asyncio.create_task(limiter.hit("ann")) for _ in range(8)]
            await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
            for decision in done[1::2]:
                assert decision.limit in limiter.limits
                assert 0 < decision.remaining < 100_000
        peek = await limiter.peek("nobody")
        assert [part.remaining for part in peek.details] == [100_000, 100_000]
        await store.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_line_that_was_closed_is_gone_without_the_garbage_collector(redis_url, new_loop):
    async def main():
        store = AsyncRedisStore(redis_url, budget=0.2)
        await store.compile(plan_of([Limit.parse("9/minute")], prefix="ratekit", name="gone"))("ann", 1, SPEND)
        (line,) = [ref(line) for line in store._lines.values()]
        await store.aclose()
        await asyncio.sleep(0.5)  # the event loop forgets timers that were cancelled when their time has come
        return line()

    gc.disable()
    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            assert runner.run(main()) is None
    finally:
        gc.enable()


@pytest.mark.parametrize("turns", range(4))
def test_who_gives_up_before_the_trip_takes_nobody_along(redis_url, turns):
    async def main():
        store = AsyncRedisStore(redis_url)
        plan = plan_of([Limit.parse("1000/hour")], prefix="ratekit", name="gives up")
        many, asks = store.compile_many(plan, 5.0), asks_of(plan, "ann", 1, SPEND)
        await store.decide(asks, 5.0)
        tasks = [asyncio.create_task(ask) for _ in range(20) for ask in (many(["bob", "cat"], 1), store.decide(asks, 5.0))]
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in tasks[::4] + tasks[1::4]:
            task.cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert not [answer for answer in answers if isinstance(answer, StoreError)]
        assert [len(answer) for answer in answers[2::4]] == [2] * 10
        assert {len(answer.seen) for answer in answers[3::4]} == {1}
        await store.aclose()

    asyncio.run(main())


def test_threads_share_a_store_and_are_admitted_exactly_the_quota(store):
    limiter = Limiter("500/hour", store=store, **PATIENT)
    admitted = []
    crowd = [threading.Thread(target=lambda: admitted.append(sum(bool(limiter.hit("ann")) for _ in range(100)))) for _ in range(20)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    assert sum(admitted) == 500


def crowd_of(number, work):
    """So many threads at the same time, and what came of them."""
    done, together = [], threading.Barrier(number)

    def caller(me):
        together.wait()
        try:
            done.append(work(me))
        except StoreUnavailable as error:
            done.append(error)

    crowd = [threading.Thread(target=caller, args=(me,)) for me in range(number)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    return done


def test_hits_of_threads_that_wait_ride_together_and_each_gets_its_own_answer(store, redis_client):
    limiter = Limiter("1000/hour", "9/minute name few", store=store, **PATIENT, deny_cache=0)
    limiter.hit("warm")
    redis_client.config_resetstat()
    redis_client.client_pause(100)  # milliseconds, until which all but the first few gather
    done = crowd_of(40, lambda me: (me, limiter.hit(f"user {me}", cost=1 + me % 4)))
    assert sorted((me, decision.details[0].remaining) for me, decision in done) == [(me, 999 - me % 4) for me in range(40)]
    assert servers.calls_of(redis_client, *SCRIPTS) < 20
    assert servers.calls_of(redis_client, "set", "incrby") >= 40


def test_when_a_trip_of_threads_fails_each_of_them_is_told_and_nothing_is_sent_again():
    with servers.RedisServer() as server, server.client() as client:
        store = RedisStore(server.url, budget=0.3)
        limiter = Limiter("1000/hour", store=store, on_outage="closed")
        limiter.hit("ann")
        client.client_pause(1_000)
        began = time.monotonic()
        done = crowd_of(20, lambda me: limiter.hit("ann"))
        assert time.monotonic() - began < 0.9
        assert all(isinstance(error, StoreUnavailable) for error in done)
        assert len({id(error) for error in done}) == 20
        servers.until(lambda: limiter.health().state == "closed")
        assert limiter.peek("ann").remaining >= 1000 - 1 - 20
        store.close()


def test_threads_that_give_up_while_they_ride_leave_nobody_asleep():
    deaf = Deaf(b"*1\r\n:1\r\n", let=0)  # what a hit on no limit is answered, and any number of them
    store, said = RedisStore(deaf.url), []

    def call(budget):
        try:
            said.append(store.decide((), budget).now)
        except StoreUnavailable as error:
            said.append(error.fault)

    callers = []

    def start(*budgets):
        for budget in budgets:
            callers.append(threading.Thread(target=call, args=(budget,)))
            callers[-1].start()
            servers.until(lambda: deaf.heard + store.waiting == len(callers) or deaf.heard == 2)

    start(30.0)
    start(30.0, 2.0, 30.0, 2.0, 2.0, 30.0)
    deaf.let.release()
    servers.until(lambda: deaf.heard == 2 and said == [1])  # the second leads, and takes all others along
    assert store.waiting == 0
    start(30.0)
    servers.until(lambda: said == [1, "late", "late", "late"])
    deaf.let.release(2)
    for caller in callers:
        caller.join(10)
    assert said == [1, "late", "late", "late", 1, 1, 1, 1]
    assert deaf.heard == 3
    store.close()
    deaf.close()


@pytest.mark.parametrize("number", [1, 20])
def test_tasks_with_a_budget_of_their_own_are_each_told_when_it_is_spent_and_others_wait_on(number):
    async def main(server, client):
        store = AsyncRedisStore(server.url, budget=30.0)
        hits = [
            store.compile(plan_of([Limit.parse("1000/hour")], prefix="ratekit", name="own"), budget) for budget in (0.3, None, 20.0)
        ]
        for hit in reversed(hits):  # the first one connects
            assert (await hit("ann", 1, SPEND)).allowed
        client.client_pause(20_000, all=False)
        began = time.monotonic()
        short, *patient = [[asyncio.ensure_future(hit("ann", 1, SPEND)) for _ in range(number)] for hit in hits]
        errors = await asyncio.gather(*short, return_exceptions=True)
        assert time.monotonic() - began >= 0.3
        assert not [future for crowd in patient for future in crowd if future.done()]
        client.client_unpause()
        answers = [await asyncio.gather(*crowd) for crowd in patient]
        await store.aclose()
        return errors, answers

    with servers.RedisServer() as server, server.client() as client:
        errors, answers = asyncio.run(main(server, client))
    assert [(type(error), error.fault) for error in errors] == [(StoreUnavailable, "late")] * number
    assert len({id(error) for error in errors}) == number
    assert all(decision.source == "store" for crowd in answers for decision in crowd)


def test_who_asks_after_others_have_been_told_is_told_too():
    async def main(server, client):
        store = AsyncRedisStore(server.url, budget=30.0)
        hit = store.compile(plan_of([Limit.parse("1000/hour")], prefix="ratekit", name="later"), 0.05)
        await store.decide(())  # connects
        client.client_pause(20_000, all=False)
        errors = []
        for _ in range(4):  # the first is sent, the second waits for its reply, and nobody joins who has been told
            crowd = [asyncio.ensure_future(hit("ann", 1, SPEND)) for _ in range(3)]
            errors += await asyncio.wait_for(asyncio.gather(*crowd, return_exceptions=True), 10)
        waiting = store.waiting
        client.client_unpause()
        await store.aclose()
        return errors, waiting

    with servers.RedisServer() as server, server.client() as client:
        errors, waiting = asyncio.run(main(server, client))
    assert [(type(error), error.fault) for error in errors] == [(StoreUnavailable, "late")] * 12
    assert waiting == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_has_connections_of_its_own(store):
    limiter = Limiter("500/hour", store=store, **PATIENT)
    limiter.hit("ann")
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            os._exit(0 if all(limiter.hit("ann") for _ in range(50)) else 1)
        children.append(child)
    assert all(limiter.hit("ann") for _ in range(50))
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    assert limiter.peek("ann").remaining == 500 - 1 - 200


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_of_a_busy_memory_limiter_does_not_hang():
    limiter = Limiter("1000000/hour", name="forked")
    stop = threading.Event()
    crowd = [threading.Thread(target=lambda: [limiter.hit("ann") for _ in iter(stop.is_set, True)]) for _ in range(2)]
    for thread in crowd:
        thread.start()
    codes = []
    for _ in range(20):
        child = os.fork()
        if child == 0:
            os._exit(0 if limiter.hit("ann") else 1)
        codes.append(os.waitpid(child, 0)[1])
    stop.set()
    for thread in crowd:
        thread.join()
    assert codes == [0] * 20
