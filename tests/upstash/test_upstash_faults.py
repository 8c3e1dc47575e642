"""
What may go wrong between a store and Upstash: said as what it is, in time, and sent again only where it certainly did not run.
"""

import asyncio
import json
import shutil
import subprocess
import threading

import pytest
import servers
from doors import PATIENT
from upstash.running import upstash
from upstash.sour import Sour, http

from ratekit import Limit, Limiter, StoreError, StoreUnavailable
from ratekit.algorithms import SPEND
from ratekit.stores import AsyncUpstashStore, UpstashStore
from ratekit.stores.naming import plan_of
from ratekit.stores.protocol import asks_of

PLAN = plan_of([Limit.parse("9/minute")], prefix="ratekit", name="sour")


def hit(store, budget=10.0):
    return store.compile(PLAN, budget)("ann", 1, SPEND)


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


def test_a_wrong_token_is_refused_and_after_some_the_policy_decides(redis_url, upstash_server, caplog):
    store = UpstashStore(upstash_server.address, token="wrong")
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


def test_one_request_is_under_way_at_a_time_on_one_connection():
    async def main():
        with Sour(0.3, REPLY) as sour:
            store = AsyncUpstashStore(sour.url)
            decide = store.compile(PLAN, 10.0)
            first = asyncio.create_task(decide("ann", 1, SPEND))
            while not sour.heard:
                await asyncio.sleep(0.001)
            others = [asyncio.create_task(decide("ann", 1, SPEND)) for _ in range(3)]
            await asyncio.sleep(0.1)
            heard = sour.heard
            await asyncio.gather(first, others[0], return_exceptions=True)
            await store.aclose()
            return heard, sour.heard, sour.met

    assert asyncio.run(main()) == (1, 2, 1)


@pytest.mark.parametrize(
    ("error", "heard"),
    [
        ("NOSCRIPT No matching script. Please use EVAL.", 2),
        ("Failed to execute Redis command: NOSCRIPT No matching script. Please use EVAL.", 2),
        ("ERR of a key that is called NOSCRIPT No matching", 1),
    ],
)
def test_only_a_server_that_does_not_know_the_script_is_sent_it(error, heard):
    with Sour(http(400, json.dumps({"error": error})), REPLY) as sour:
        store = UpstashStore(sour.url)
        if heard == 1:
            with pytest.raises(StoreUnavailable, match="of a key"):
                hit(store)
        else:
            assert hit(store).allowed
        assert sour.heard == heard
        store.close()


def test_a_token_that_is_handed_over_while_a_request_is_under_way_is_kept():
    with Sour(0.3, http(200, json.dumps({"result": [1, 1, *[0] * PLAN[0][0].width]}), "upstash-sync-token: ours")) as sour:
        store = UpstashStore(sour.url)
        thread = threading.Thread(target=hit, args=(store,))
        thread.start()
        servers.until(lambda: sour.heard)
        store.sync_token = "theirs"
        thread.join()
        assert store.sync_token == "theirs ours"
        hit(store)
        assert store.sync_token == "ours"
        store.close()


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
