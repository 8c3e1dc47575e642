"""
Hits over Upstash's REST protocol: one request for all that waits, sent again only where it certainly did not run.
"""

import asyncio
import json
import os
import shutil
import subprocess
import threading

import pytest
import servers
from doors import PATIENT
from upstash.running import upstash
from upstash.sour import Sour, http

from ratekit import AsyncLimiter, Limit, Limiter, StoreError, StoreUnavailable
from ratekit.algorithms import SPEND
from ratekit.stores import AsyncUpstashStore, UpstashStore
from ratekit.stores.naming import plan_of
from ratekit.stores.protocol import asks_of
from ratekit.stores.upstash.line import MOST_KEYS

CLOSED = PATIENT | {"on_outage": "closed"}
PLAN = plan_of([Limit.parse("9/minute")], prefix="ratekit", name="sour")


@pytest.fixture
def server(redis_url, upstash_server):
    """The REST server in front of an empty redis-server; `seen` begins anew."""
    upstash_server.seen.clear()
    return upstash_server


@pytest.fixture
def store(server):
    store = UpstashStore(server.url)
    yield store
    store.close()


def hit(store, budget=10.0):
    return store.compile(PLAN, budget)("ann", 1, SPEND)


def test_a_hit_is_one_request_of_one_command_for_any_number_of_limits(server, store):
    limiter = Limiter(*(f"100/{number + 1} minutes" for number in range(20)), store=store, **PATIENT)
    limiter.hit("warm")
    server.seen.clear()
    for _ in range(5):
        limiter.hit("ann")
    limiter.peek("ann")
    with limiter.reserve("ann", cost=5) as reservation:
        reservation.commit(3)
    limiter.reset("ann")
    assert [name for names in server.commands() for name in names if name != "EVAL_RO"] == [
        *["EVALSHA"] * 5,
        "EVALSHA_RO",
        *["EVALSHA"] * 2,
        "DEL",
    ]
    assert {path for path, _, _ in server.seen} == {""}


def test_hits_that_come_together_are_one_command(server):
    async def main():
        store = AsyncUpstashStore(server.url)
        limiter = AsyncLimiter("70/hour", "1000/day", store=store, **PATIENT)
        await limiter.hit("warm")
        server.seen.clear()
        decisions = await asyncio.gather(*(limiter.hit("ann") for _ in range(100)))
        await store.aclose()
        return decisions

    decisions = asyncio.run(main())
    assert [decision.remaining for decision in decisions] == [*range(69, -1, -1), *[0] * 30]
    assert server.commands() == [["EVALSHA"]]


def test_hits_that_come_while_a_request_is_under_way_ride_on_the_next_one(server):
    async def main():
        store = AsyncUpstashStore(server.url)
        limiter = AsyncLimiter("1000/hour", store=store, **PATIENT)
        await limiter.hit("warm")
        server.seen.clear()
        first = asyncio.create_task(limiter.hit("first"))
        while not store._line()._client or store._line()._under_way is None:
            await asyncio.sleep(0)
        await asyncio.sleep(0)  # it has left
        await asyncio.gather(first, *(limiter.hit(f"user {number}") for number in range(50)))
        await store.aclose()

    asyncio.run(main())
    assert [commands[0][2] for _, commands, _ in server.seen] == [b"1", b"50"]


def test_more_keys_than_one_command_should_hold_go_in_several(server):
    async def main():
        store = AsyncUpstashStore(server.url)
        limiter = AsyncLimiter("5000/hour", "9000/day", store=store, **PATIENT)
        decisions = await asyncio.gather(*(limiter.hit("ann") for _ in range(MOST_KEYS)))
        await store.aclose()
        return decisions

    assert [decision.remaining for decision in asyncio.run(main())] == list(range(4_999, 4_999 - MOST_KEYS, -1))
    assert [commands[0][2] for _, commands, _ in server.seen][-2:] == [str(MOST_KEYS).encode()] * 2


def test_threads_share_a_store_and_are_admitted_exactly_the_quota(server, store):
    limiter = Limiter("300/hour", store=store, **PATIENT)
    admitted = []
    crowd = [threading.Thread(target=lambda: admitted.append(sum(bool(limiter.hit("ann")) for _ in range(50)))) for _ in range(20)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    assert sum(admitted) == 300
    assert len(server.seen) < 500  # many rode together


def test_after_a_script_flush_the_script_is_sent_whole_and_the_hit_counts_once(server, store, redis_client):
    limiter = Limiter("9/minute", store=store, **CLOSED)
    limiter.hit("ann")
    redis_client.script_flush()
    server.seen.clear()
    assert limiter.hit("ann").remaining == 7
    assert limiter.hit("ann").remaining == 6
    redis_client.script_flush()
    assert limiter.peek("ann").remaining == 6
    assert server.commands() == [["EVALSHA"], ["EVAL"], ["EVALSHA"], ["EVALSHA_RO"], ["EVAL_RO"]]


@pytest.mark.parametrize(
    ("answer", "budget", "fault"),
    [
        (b"", 10.0, "away"),
        (b"HTTP/1.1 200 OK\r\ncontent-le", 10.0, "away"),
        (http(200, '{"result": [1,')[:-4], 10.0, "away"),
        (b"nonsense\r\n", 10.0, "away"),
        (None, 0.3, "late"),
    ],
    ids=["hangs up", "cut head", "cut body", "no HTTP", "silence"],
)
def test_after_a_failure_that_may_have_counted_nothing_is_sent_again(answer, budget, fault):
    with Sour(answer, stays=False) as sour:
        store = UpstashStore(sour.url)
        for number in range(3):
            with pytest.raises(StoreUnavailable) as caught:
                hit(store, budget)
            assert caught.value.fault == fault
            assert sour.heard == number + 1
        store.close()


QUOTA = "ERR max requests limit exceeded. Limit: 500000, Usage: 500000."
ERRORS = [
    (401, {"error": "WRONGPASS invalid or missing auth token"}, "refused"),
    (401, "Unauthorized", "refused"),
    (403, "<html>no</html>", "refused"),
    (400, {"error": "NOPERM this user has no permissions to run the 'evalsha' command"}, "refused"),
    (400, {"error": "Failed to execute Redis command: NOPERM this user has no permissions"}, "refused"),
    (400, {"error": QUOTA}, "server"),
    (400, {"error": "ERR DB capacity quota exceeded"}, "server"),
    (429, {"error": "Too many requests"}, "server"),
    (400, {"error": "READONLY You can't write against a read only replica."}, "server"),
    (500, {"error": "ERR internal"}, "server"),
    (502, "<html>bad gateway</html>", "server"),
    (503, "", "server"),
    (301, "", "server"),
    (404, "not found", "server"),
    (200, "<html>a captive portal</html>", "server"),
    (200, {"result": None}, "server"),
    (200, {"result": "OK"}, "server"),
    (200, {"result": [1, 1]}, "server"),
    (200, {"result": [1, 1, 1, 1, 1.5]}, "server"),
    (200, [], "server"),
]


@pytest.mark.parametrize(("status", "body", "fault"), ERRORS)
def test_an_error_is_what_its_status_and_its_text_say_and_nothing_is_asked_again(status, body, fault):
    with Sour(http(status, body if isinstance(body, str) else json.dumps(body))) as sour:
        store = UpstashStore(sour.url)
        with pytest.raises(StoreError) as caught:
            hit(store)
        assert caught.value.fault == fault
        assert isinstance(caught.value, StoreUnavailable) or fault == "refused" or status == 200
        assert sour.heard == 1
        limiter = Limiter("9/minute", store=store, **PATIENT)
        assert (limiter.hit("ann").source, sour.heard) == ("local", 2)
        store.close()


def test_a_quota_that_is_used_up_is_said_to_be():
    with Sour(http(400, json.dumps({"error": QUOTA}))) as sour:
        store = UpstashStore(sour.url)
        with pytest.raises(StoreUnavailable, match=r"quota is used up.*Limit: 500000"):
            hit(store)
        store.close()


def test_a_wrong_token_is_refused_and_after_some_the_policy_decides(server, caplog):
    store = UpstashStore(server.address, token="wrong")
    with pytest.raises(StoreError, match="WRONGPASS") as caught:
        store.decide(asks_of(PLAN, "ann", 1, SPEND), **PATIENT)
    assert not isinstance(caught.value, StoreUnavailable)
    limiter = Limiter("9/minute", store=store, **PATIENT, name="rights")
    assert {limiter.hit("ann").source for _ in range(8)} == {"local"}
    assert [record.levelname for record in caplog.records if record.name == "ratekit"] == ["ERROR"]
    store.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
def test_a_server_that_is_away_is_store_unavailable(host):
    store = UpstashStore(f"upstash+http://token@{host}:{servers.free_port()}")
    limiter = Limiter("9/minute", store=store, budget=2.0, on_outage="closed")
    for ask in (limiter.hit, limiter.peek, limiter.acquire, limiter.reset):
        with pytest.raises(StoreUnavailable):
            ask("ann")
    store.close()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed: no certificate can be made")
def test_over_tls_a_server_is_asked_only_if_its_certificate_is_trusted(redis_url, redis_server, tmp_path, monkeypatch):
    key, trusted = tmp_path / "key.pem", tmp_path / "certificate.pem"
    words = (
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test -addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run(["openssl", *words.split(), "-keyout", key, "-out", trusted], check=True, capture_output=True)
    with upstash(redis_server, certificate=(key, trusted)) as server:
        url = f"upstash://{server.token}@127.0.0.1:{server.port}"
        stranger = UpstashStore(url)
        with pytest.raises(StoreUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
            hit(stranger)
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        store = UpstashStore(url)
        assert [Limiter("9/minute", store=store, **PATIENT).hit("ann").remaining for _ in range(2)] == [8, 7]
        stranger.close()
        store.close()


def test_a_server_that_comes_back_is_used_again(redis_url, redis_server):
    with upstash(redis_server) as server:
        port, store = server.port, UpstashStore(server.url)
        limiter = Limiter("9/minute", store=store, **PATIENT)
        assert limiter.hit("ann").remaining == 8
    assert limiter.hit("ann").source == "local"
    with upstash(redis_server, port=port):
        servers.until(lambda: limiter.health().state == "closed")
        assert limiter.hit("ann").source == "store"
    store.close()


REPLY = http(200, json.dumps({"result": [1, 1, *[0] * PLAN[0][0].width]}))
"""What the script might say to a hit on PLAN."""


def test_a_request_that_comes_back_too_late_is_not_cut_off_and_its_connection_serves_the_next_hit():
    with Sour(0.4, REPLY) as sour:
        store = UpstashStore(sour.url)
        with pytest.raises(StoreUnavailable) as caught:
            hit(store, 0.1)
        assert caught.value.fault == "late"
        line = store._thread._running.line
        servers.until(lambda: line.idle and not line._behind)
        hit(store)
        assert (sour.heard, sour.met) == (2, 1)
        store.close()


def test_who_hangs_keeps_nobody_else_from_leaving_once_its_callers_are_late():
    with Sour(None) as sour:
        store = UpstashStore(sour.url)
        for number in range(8):
            with pytest.raises(StoreUnavailable):
                hit(store, 0.05)
            servers.until(lambda wanted=number + 1: sour.heard == wanted)
        assert len(store._thread._running.line._behind) <= 5
        store.close()


def test_cancelled_callers_leave_the_connection_whole(server):
    async def main():
        store = AsyncUpstashStore(server.url)
        limiter = AsyncLimiter("100000/hour", "100000/day", store=store, **PATIENT)
        await limiter.hit("warm")
        for _ in range(20):
            tasks = [asyncio.create_task(limiter.hit("ann")) for _ in range(8)]
            await asyncio.sleep(0.001)
            for task in tasks[::2]:
                task.cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
            for decision in done[1::2]:
                assert decision.source == "store"
        peek = await limiter.peek("nobody")
        assert [part.remaining for part in peek.details] == [100_000, 100_000]
        await store.aclose()

    asyncio.run(main())


def test_callers_who_all_gave_up_before_it_left_are_not_counted(server):
    async def main():
        store = AsyncUpstashStore(server.url)
        limiter = AsyncLimiter("9/hour", store=store, **PATIENT)
        await limiter.hit("ann")
        task = asyncio.create_task(limiter.hit("ann"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        remaining = (await limiter.peek("ann")).remaining
        await store.aclose()
        return remaining

    assert asyncio.run(main()) == 8


def test_one_async_store_lives_through_several_event_loops(server):
    store = AsyncUpstashStore(server.url)
    limiter = AsyncLimiter("5/minute", store=store, **PATIENT)

    async def hits():
        return sorted(decision.remaining for decision in await asyncio.gather(limiter.hit("ann"), limiter.hit("ann")))

    async def last():
        decision = await limiter.hit("ann")
        await store.aclose()
        return decision.remaining

    assert [asyncio.run(hits()), asyncio.run(hits()), asyncio.run(last())] == [[3, 4], [1, 2], 0]


def test_who_waits_when_a_store_is_closed_is_told_so():
    async def main():
        with Sour(None) as sour:
            store = AsyncUpstashStore(sour.url)
            decide = store.compile(PLAN, 10.0)
            tasks = [asyncio.create_task(decide("ann", 1, SPEND))]
            while not sour.heard:
                await asyncio.sleep(0.001)
            tasks.append(asyncio.create_task(decide("bob", 1, SPEND)))
            await asyncio.sleep(0)
            await store.aclose()
            return await asyncio.gather(*tasks, return_exceptions=True)

    assert [str(error) for error in asyncio.run(main())] == ["the store was closed"] * 2


def test_a_store_that_was_closed_opens_again(server):
    store = UpstashStore(server.url)
    for remaining in (8, 7):
        assert Limiter("9/minute", store=store, **PATIENT).hit("ann").remaining == remaining
        thread = store._thread._running.thread
        store.close()
        store.close()
        assert not thread.is_alive()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_has_a_loop_and_connections_of_its_own(store):
    limiter = Limiter("500/hour", store=store, **PATIENT)
    limiter.hit("ann")
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            os._exit(0 if all(limiter.hit("ann").source == "store" for _ in range(20)) else 1)
        children.append(child)
    assert all(limiter.hit("ann") for _ in range(20))
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    assert limiter.peek("ann").remaining == 500 - 1 - 80
