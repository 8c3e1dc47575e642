"""
End to end: real uvicorn, real clients, real Redis.
"""

import asyncio
import json
import re
import socket
import threading
import time

import anyio
import httpx
import pytest
import servers
from calling import hello, parsed
from redis.asyncio import Redis
from running import raw, serving
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from ratekit import Policy
from ratekit.asgi import RateLimitMiddleware
from ratekit.guard import SECOND, SOON
from ratekit.stores import AsyncMemoryStore
from ratekit.stores.redis import AsyncRedisStore

NO_RELAPSE = SOON / SECOND + 0.1
"""Seconds after which a store that goes away again need not be well for ten seconds before it is asked."""


def get(port, path="/", *, source="127.0.0.1", **options):
    with httpx.Client(transport=httpx.HTTPTransport(local_address=source), timeout=10) as client:
        return client.get(f"http://127.0.0.1:{port}{path}", **options)


def test_two_client_addresses_are_limited_each_on_their_own():
    with serving(RateLimitMiddleware(hello, "2/minute", store=AsyncMemoryStore())) as port:
        for source in ("127.0.0.1", "127.0.0.2", "127.0.0.3"):
            assert [get(port, source=source).status_code for _ in range(3)] == [200, 200, 429]


def test_a_refusal_over_the_wire_is_whole():
    with serving(RateLimitMiddleware(hello, "1/minute", store=AsyncMemoryStore())) as port:
        admitted, refused = get(port), get(port)
    assert parsed(admitted.headers["ratelimit"]) == [("default", {"r": 0, "t": 60})]
    assert admitted.text == "hello"
    assert refused.status_code == 429
    assert refused.headers["content-type"] == "application/problem+json"
    assert int(refused.headers["retry-after"]) == parsed(refused.headers["ratelimit"])[0][1]["t"]
    assert refused.json()["violated-policies"] == ["default"]


def test_a_refused_head_has_no_body_and_a_refused_upload_leaves_the_connection_usable():
    with serving(RateLimitMiddleware(hello, "1/minute", store=AsyncMemoryStore())) as port:
        assert raw(port, "GET / HTTP/1.1")[0] == 200
        status, headers, body = raw(port, "HEAD / HTTP/1.1")
        assert (status, body) == (429, b"")
        assert headers["content-type"] == "application/problem+json"
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            uploads = [client.post("/", content=b"x" * 300_000).status_code for _ in range(3)]
            assert (uploads, client.get("/").status_code) == ([429] * 3, 429)


def test_a_stream_reaches_the_client_while_the_application_still_writes():
    read = threading.Event()

    async def chunks():
        yield b"first"
        waited = await anyio.to_thread.run_sync(read.wait, 10)
        yield b"second" if waited else b"buffered!"

    app = Starlette(
        routes=[Route("/", lambda _: StreamingResponse(chunks()))],
        middleware=[Middleware(RateLimitMiddleware, limits="9/minute", store=AsyncMemoryStore())],
    )
    with serving(app) as port, httpx.stream("GET", f"http://127.0.0.1:{port}/", timeout=10) as response:
        assert parsed(response.headers["ratelimit"]) == [("default", {"r": 8, "t": 60})]
        incoming = response.iter_raw()
        assert next(incoming) == b"first"
        read.set()
        assert b"".join(incoming) == b"second"


def test_background_tasks_run_after_the_response():
    answered, ran = threading.Event(), threading.Event()

    async def later():
        if await anyio.to_thread.run_sync(answered.wait, 10):
            ran.set()

    app = Starlette(
        routes=[Route("/", lambda _: PlainTextResponse("now", background=BackgroundTask(later)))],
        middleware=[Middleware(RateLimitMiddleware, limits="9/minute", store=AsyncMemoryStore())],
    )
    with serving(app) as port:
        assert get(port).text == "now"
        answered.set()
        assert ran.wait(10)


def test_nothing_is_raised_through_the_server_where_a_request_cannot_be_decided_on(caplog):
    def key(request):
        raise LookupError("no such tenant")

    app = RateLimitMiddleware(hello, policies=[Policy("p", "1/minute", key=key, on_outage="closed")], store=AsyncMemoryStore())
    with serving(app, log_level="info") as port:
        assert [get(port).status_code for _ in range(3)] == [503, 503, 503]
    faults = [record for record in caplog.records if record.levelname == "ERROR"]
    assert [(record.name, record.getMessage()) for record in faults] == [
        ("ratekit", "rate limiting: policy 'p': LookupError: no such tenant")
    ]


def test_an_application_without_lifespan_is_served_all_the_same():
    async def app(scope, receive, send):
        assert scope["type"] == "http"
        await hello(scope, receive, send)

    with serving(RateLimitMiddleware(app, "1/minute", store=AsyncMemoryStore())) as port:
        assert [get(port).status_code for _ in range(2)] == [200, 429]


def redis_app(url, **options):
    middleware = Middleware(RateLimitMiddleware, **({"limits": "2/minute", "store": url, "budget": 10.0} | options))
    return Starlette(routes=[Route("/", lambda _: PlainTextResponse("hello"))], middleware=[middleware])


def test_the_store_is_connected_before_the_first_request_and_let_go_after_the_last(redis_url, redis_client, caplog):
    def connected():
        return {one["id"] for one in redis_client.client_list()}

    before = connected()
    with serving(redis_app(redis_url)) as port:
        opened = connected() - before
        assert opened
        assert [get(port).status_code for _ in range(3)] == [200, 200, 429]
    assert not connected() & opened
    assert caplog.records == []


def test_two_servers_with_one_redis_count_together(redis_url):
    with serving(redis_app(redis_url)) as one, serving(redis_app(redis_url)) as two:
        assert [get(port).status_code for port in (one, two, one, two)] == [200, 200, 429, 429]
        assert get(two, source="127.0.0.2").status_code == 200


def test_all_policies_of_a_request_are_one_script_call(redis_url, redis_client):
    policies = [
        Policy("a", "9/second; 9/minute"),
        Policy("b", "9/hour", key="header:x"),
        Policy("c", "9/day token_bucket", key=lambda _: "all"),
    ]
    with serving(redis_app(redis_url, limits=None, policies=policies)) as port:
        get(port)
        redis_client.config_resetstat()
        assert get(port).status_code == 200
        assert servers.calls_of(redis_client, "eval", "evalsha", "fcall") == 1


def test_refused_by_one_policy_charges_none_in_redis(redis_url):
    policies = [Policy("user", "9/hour", key="header:x"), Policy("address", "1/hour")]
    with serving(redis_app(redis_url, limits=None, policies=policies)) as port:
        assert [get(port, headers={"x": "a"}).status_code for _ in range(4)] == [200, 429, 429, 429]
        left = parsed(get(port, headers={"x": "a"}, source="127.0.0.2").headers["ratelimit"])
    assert [(name, item["r"]) for name, item in left] == [("user", 7), ("address", 0)]


def test_a_script_that_redis_lost_between_two_requests_is_no_error(redis_url, redis_client):
    with serving(redis_app(redis_url)) as port:
        assert get(port).status_code == 200
        redis_client.script_flush()
        assert [get(port).status_code for _ in range(2)] == [200, 429]


def test_a_store_object_is_used_and_its_client_stays_open(redis_url, redis_client):
    open_at_the_end = []

    def app():
        client = Redis.from_url(redis_url)
        store = AsyncRedisStore(client)
        limited = redis_app(store)

        async def owner(scope, receive, send):
            async def send_and_close(message):
                if message["type"] == "lifespan.shutdown.complete":  # everything has ended but what is the user's own
                    open_at_the_end.extend(connection.is_connected for connection in client.connection_pool._available_connections)
                    await store.aclose()
                    await client.aclose()
                await send(message)

            if scope["type"] == "lifespan":
                await client.ping()
            await limited(scope, receive, send_and_close)

        return owner

    with serving(app, factory=True) as port:
        assert [get(port).status_code for _ in range(3)] == [200, 200, 429]
    assert open_at_the_end
    assert all(open_at_the_end)


def until_status(port, status):
    """Ask until the answer is another one, as it will be within half a second or so."""
    servers.until(lambda: get(port, source="127.0.0.9").status_code == status)


def test_with_closed_redis_away_at_the_start_and_later_is_a_503_and_back_again_it_limits():
    redis = servers.RedisServer()
    try:
        with serving(redis_app(redis.url, on_outage="closed")) as port:
            away = get(port)
            assert (away.status_code, away.headers["retry-after"]) == (503, "1")
            assert away.headers["content-type"] == "application/problem+json"
            assert json.loads(away.text)["type"].endswith("#temporary-reduced-capacity")
            assert "ratelimit" not in away.headers
            redis.start()
            until_status(port, 200)
            assert [get(port).status_code for _ in range(3)] == [200, 200, 429]
            time.sleep(NO_RELAPSE)
            redis.stop()
            until_status(port, 503)  # a refusal that is known may be said once more
            redis.start()
            until_status(port, 200)
            assert [get(port).status_code for _ in range(3)] == [200, 200, 429]
    finally:
        redis.remove()


def test_redis_away_at_the_start_and_later_is_limited_here_and_back_again_there():
    redis = servers.RedisServer()
    try:
        with serving(redis_app(redis.url)) as port:
            assert [get(port).status_code for _ in range(3)] == [200, 200, 429]
            redis.start()
            with redis.client() as client:
                servers.until(lambda: get(port, source="127.0.0.9") and any(b"127.0.0.9" in key for key in client.keys("*")))
            assert [get(port, source="127.0.0.2").status_code for _ in range(3)] == [200, 200, 429]
            time.sleep(NO_RELAPSE)
            redis.stop()
            assert [get(port, source="127.0.0.2").status_code for _ in range(3)] == [429] * 3
            assert [get(port, source="127.0.0.3").status_code for _ in range(3)] == [200, 200, 429]
            redis.start()
            with redis.client() as client:
                servers.until(lambda: get(port, source="127.0.0.8") and any(b"127.0.0.8" in key for key in client.keys("*")))
                servers.until(lambda: any(b"127.0.0.3" in key for key in client.keys("*")))
            assert [get(port, source="127.0.0.3").status_code for _ in range(3)] == [429] * 3, (
                "what was spent here is charged there"
            )
    finally:
        redis.remove()


def test_many_requests_at_once_are_admitted_exactly_as_often_as_the_limit_says(redis_url):
    async def flood(port):
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            answers = await asyncio.gather(*(client.get("/") for _ in range(80)))
        return [answer.status_code for answer in answers]

    with serving(redis_app(redis_url, limits="25/minute")) as port:
        found = asyncio.run(flood(port))
    assert (found.count(200), found.count(429)) == (25, 55)


def test_a_wrong_password_stops_the_start_with_the_reason(redis_url, caplog):
    app = redis_app(redis_url.replace("redis://", "redis://:secret-password@"))
    with pytest.raises(AssertionError, match="did not start"), serving(app):
        pass
    said = [record.getMessage() for record in caplog.records if record.name == "ratekit"]
    assert any("refuses these credentials" in line for line in said)
    assert not any("secret-password" in line for line in said)


def test_a_password_that_is_wrong_later_is_the_policys_to_answer_and_nothing_is_said_of_it_to_the_client(caplog):
    with servers.RedisServer() as redis, redis.client() as client, serving(redis_app(redis.url, on_outage="closed")) as port:
        assert get(port).status_code == 200
        client.config_set("requirepass", "secret-password")
        client.execute_command("AUTH", "secret-password")
        client.client_kill_filter(_type="normal", skipme=True)
        until_status(port, 503)
        servers.until(lambda: any(record.levelname == "ERROR" for record in caplog.records))
        answer = get(port, source="127.0.0.4")
    assert answer.status_code == 503
    assert "password" not in answer.text.lower().replace("secret", "")


def test_pipelined_requests_are_each_counted():
    with (
        serving(RateLimitMiddleware(hello, "2/minute", store=AsyncMemoryStore())) as port,
        socket.create_connection(("127.0.0.1", port), 10) as wire,
    ):
        wire.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 3 + b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b""
        while chunk := wire.recv(65536):
            answer += chunk
    assert re.findall(rb"HTTP/1\.1 (\d+)", answer) == [b"200", b"200", b"429", b"429"]
