"""
Shadow policies: decided, counted and logged, never refused, and never told to clients. And the middleware's own metrics.
"""

import asyncio
import logging

import httpx
import pytest
from starlette.responses import PlainTextResponse

from ratekit import ConfigurationError, Policy, metrics
from ratekit.asgi import RateLimitMiddleware
from ratekit.metering import tally_of
from ratekit.stores import AsyncMemoryStore, MemoryStore
from ratekit.stores.redis import AsyncRedisStore, RedisStore
from ratekit.wsgi import RateLimitMiddleware as WSGIMiddleware

URL = "redis://127.0.0.1:1/0"


@pytest.fixture(params=["memory", "redis"])
def open_store(request):
    """A function that opens a store, inside an event loop."""
    if request.param == "memory":
        return AsyncMemoryStore
    url = request.getfixturevalue("redis_url")
    return lambda: AsyncRedisStore(url, budget=5.0)


def answers(open_store, count, policies, **options):
    """The statuses and header fields of so many requests of one client."""

    async def asked():
        store = open_store()
        app = RateLimitMiddleware(PlainTextResponse("hello"), store=store, policies=policies, **options)
        transport = httpx.ASGITransport(app, client=("192.0.2.7", 1234))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            found = [await client.get("/") for _ in range(count)]
        if not isinstance(store, str):
            await store.aclose()
        return [(answer.status_code, answer.headers) for answer in found]

    return asyncio.run(asked())


def test_a_shadow_policy_refuses_nobody_and_counts_what_it_would_have(open_store, request):
    name = request.node.name
    found = answers(open_store, 10, [Policy("rehearsal", "3/minute", shadow=True)], name=name)
    assert [status for status, _ in found] == [200] * 10
    assert tally_of(name, "rehearsal").shadow == 7


def test_clients_are_told_of_the_real_policies_alone(open_store, request):
    policies = [Policy("real", "8/minute"), Policy("rehearsal", "3/minute", shadow=True)]
    found = answers(open_store, 10, policies, name=request.node.name)
    assert [status for status, _ in found] == [200] * 8 + [429] * 2
    assert all("rehearsal" not in fields["ratelimit"] + fields["ratelimit-policy"] for _, fields in found)
    assert '"real";r=7' in found[0][1]["ratelimit"]
    assert tally_of(request.node.name, "rehearsal").shadow >= 5


def test_a_shadow_policy_counts_exactly_what_the_real_one_refuses(open_store, request):
    name = request.node.name
    limits = ["3/minute", "4/minute fixed_window", "5/hour token_bucket", "2/minute sliding_counter"]
    for i, limit in enumerate(limits):
        real = answers(open_store, 10, [Policy("same", limit)], name=f"{name} real {i}")
        answers(open_store, 10, [Policy("same", limit, shadow=True)], name=f"{name} shadow {i}")
        assert tally_of(f"{name} shadow {i}", "same").shadow == sum(status == 429 for status, _ in real)


def test_what_the_real_policies_refuse_is_not_charged_to_the_shadow(open_store, request):
    name = request.node.name
    policies = [Policy("real", "2/minute"), Policy("rehearsal", "3/minute", shadow=True)]
    answers(open_store, 10, policies, name=name)
    assert tally_of(name, "rehearsal").shadow == 0


def test_it_is_logged_with_its_facts_once_a_minute_and_without_the_client(open_store, request, caplog):
    caplog.set_level(logging.INFO, logger="ratekit")
    answers(open_store, 10, [Policy("rehearsal", "3/minute", shadow=True)], name=request.node.name)
    (record,) = [record for record in caplog.records if getattr(record, "event", "") == "shadow_refusal"]
    assert (record.ratekit_policy, record.ratekit_limit, record.ratekit_refusals) == ("rehearsal", "3/minute", 1)
    assert "192.0.2.7" not in record.getMessage() + repr(vars(record))


def test_while_the_store_is_away_a_rehearsal_harms_nobody():
    found = answers(lambda: URL, 3, [Policy("rehearsal", "3/minute", shadow=True)], on_outage="closed")
    assert [status for status, _ in found] == [200] * 3
    found = answers(lambda: URL, 1, [Policy("rehearsal", "3/minute", shadow=True), Policy("real", "3/minute")], on_outage="closed")
    assert [status for status, _ in found] == [503]


def test_a_shadow_policy_is_true_or_false_and_charges_nothing_afterwards():
    with pytest.raises(ConfigurationError, match="shadow 'yes'"):
        Policy("a", "3/minute", shadow="yes")
    with pytest.raises(ConfigurationError, match="charges nothing afterwards"):
        Policy("a", "3/minute", shadow=True, charge=lambda response: 1)


def test_metrics_count_each_policy_of_a_request(open_store, request):
    metrics.start()
    name = request.node.name
    try:
        one = [Policy("only", "3/minute")]
        answers(open_store, 5, one, name=f"{name} one")
        answers(open_store, 5, [Policy("a", "3/minute"), Policy("b", "100/minute")], name=f"{name} two", deny_cache=0)
        answers(lambda: URL, 2, [Policy("a", "3/minute"), Policy("b", "9/minute")], name=f"{name} away", on_outage="closed")
    finally:
        metrics.stop()

    def counts(limiter, policy):
        tally = tally_of(limiter, policy)
        return sum(tally.admitted.values()), sum(tally.refused.values()), tally.unavailable

    assert counts(f"{name} one", "only") == (3, 2, 0)
    assert counts(f"{name} two", "a") == (3, 2, 0)
    assert counts(f"{name} two", "b") == (5, 0, 0)
    assert counts(f"{name} away", "b") == (0, 0, 2)
    assert sum(tally_of(f"{name} two", "b").latency[:-1]) == (5 if "redis" in name else 0)


def test_threads_rehearse_and_count_the_same(redis_url, request):
    metrics.start()
    try:
        for kind, store in (("memory", MemoryStore()), ("redis", RedisStore(redis_url, budget=5.0))):
            name = f"{request.node.name} {kind}"
            policies = [Policy("real", "8/minute"), Policy("rehearsal", "3/minute", shadow=True)]
            app = WSGIMiddleware(hello, store=store, policies=policies, name=name, deny_cache=0)
            with httpx.Client(transport=httpx.WSGITransport(app, remote_addr="192.0.2.7"), base_url="http://test") as client:
                statuses = [client.get("/").status_code for _ in range(10)]
            assert statuses == [200] * 8 + [429] * 2
            assert tally_of(name, "rehearsal").shadow == 7
            assert sum(tally_of(name, "real").admitted.values()) == 8
            alone = WSGIMiddleware(hello, store=store, limits="3/minute", name=f"{name} alone")
            with httpx.Client(transport=httpx.WSGITransport(alone, remote_addr="192.0.2.7"), base_url="http://test") as client:
                assert [client.get("/").status_code for _ in range(5)] == [200] * 3 + [429] * 2
            tally = tally_of(f"{name} alone", "default")
            assert (sum(tally.admitted.values()), sum(tally.refused.values()), tally.near) == (3, 2, 1)
            store.close()
    finally:
        metrics.stop()


def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
