"""
The counting middleware for ASGI: what is counted of each request, by which names, and what that costs a request when the store is away.
"""

import asyncio
import contextlib
import os
import random
import subprocess
import sys
import time

import anyio
import httpx
import pytest
import servers
from calling import ask, hello, scope_of
from fastapi import APIRouter, FastAPI
from running import raw, serving
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Host, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from ratekit import Policy, RateLimitExceeded, rate_limit
from ratekit.asgi import CountingMiddleware, RateLimitMiddleware
from ratekit.counters import Traffic
from ratekit.counters.served import METHODS, NO_ROUTE, OTHER
from ratekit.counters.traffic import ROWS
from ratekit.stores import AsyncMemoryStore, MemoryStore
from ratekit.testing import ManualClock


def still():
    """A store whose quotas stand still."""
    return AsyncMemoryStore(MemoryStore(clock=ManualClock()))


@pytest.fixture
def traffic():
    with Traffic(store=MemoryStore(clock=ManualClock()), every=3_600) as traffic:
        yield traffic


def counted(traffic):
    """Statuses by method and route."""
    return {f"{line.method} {line.route}": dict(line.statuses) for line in traffic.report().lines}


def refused(traffic):
    return [(one.policy, one.who, one.times) for one in traffic.report().refused]


def answering(status):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": status})
        await send({"type": "http.response.body", "body": b""})

    return app


# --- routes ---


async def item(request):
    return PlainTextResponse(request.path_params["id"])


class Class(HTTPEndpoint):
    async def get(self, request):
        return PlainTextResponse("ok")


def test_routes_of_starlette_are_counted_by_their_templates(traffic, tmp_path):
    (tmp_path / "a.css").write_text("")
    inner = Starlette(routes=[Route("/users/{id:int}", item)])
    app = Starlette(
        routes=[
            Route("/items/{id}", item, methods=["GET", "POST"]),
            Route("/class", Class),
            Mount("/shops/{shop}", routes=[Route("/items/{id}/stock", item)]),
            Mount("/inner", inner),
            Mount("/static", StaticFiles(directory=tmp_path)),
            Host("api.example.org", Starlette(routes=[Route("/hosted/{id}", item)])),
        ]
    )
    app.add_middleware(CountingMiddleware, traffic=traffic)
    for what in ("GET /items/1", "GET /items/2", "POST /items/3", "HEAD /items/3", "PUT /items/4", "GET /nothing/5", "GET /class/"):
        ask(app, what)
    for what in ("GET /shops/evil/items/1/stock", "GET /shops/else/items/2/stock", "GET /static/a.css", "GET /static/none"):
        ask(app, what)
    ask(app, "GET /hosted/1", headers=[("host", "api.example.org")])
    assert counted(traffic) == {
        "GET /items/{id}": {200: 2},
        "POST /items/{id}": {200: 1},
        "HEAD /items/{id}": {200: 1},
        "PUT /items/{id}": {405: 1},
        "GET /items/{id}/stock": {200: 2},
        "GET /static/{path}": {200: 1, 404: 1},
        "GET /hosted/{id}": {200: 1},
        f"GET {NO_ROUTE}": {307: 1, 404: 1},
    }


def test_routes_of_fastapi_are_counted_with_the_prefixes_of_their_routers(traffic):
    app, router = FastAPI(), APIRouter(prefix="/shop")

    @router.get("/items/{number}")
    async def show(number: int):
        return number

    @app.websocket("/live/{room}")
    async def live(websocket, room: str):
        await websocket.accept()

    app.include_router(router, prefix="/v1")
    app.add_middleware(CountingMiddleware, traffic=traffic)
    for path in ("/v1/shop/items/1", "/v1/shop/items/x", "/v1/shop/", "/docs"):
        ask(app, f"GET {path}")
    assert counted(traffic) == {
        "GET /v1/shop/items/{number}": {200: 1, 422: 1},
        f"GET {NO_ROUTE}": {404: 1},
        "GET fastapi.applications.FastAPI.setup.<locals>.swagger_ui_html": {200: 1},  # FastAPI tells no template of these
    }


def test_an_application_without_a_framework_is_counted_without_routes(traffic):
    app = CountingMiddleware(hello, traffic=traffic)
    ask(app, "GET /a")
    ask(app, "BREW /pot")
    assert counted(traffic) == {f"GET {NO_ROUTE}": {200: 1}, f"{OTHER} {NO_ROUTE}": {200: 1}}


# --- answers ---


async def failing(scope, receive, send):
    raise LookupError(scope["path"])


async def late(scope, receive, send):
    await hello(scope, receive, send)
    raise LookupError("too late to be told")


async def mute(scope, receive, send):
    """No answer."""


@pytest.mark.parametrize(("app", "status", "raises"), [(failing, 500, True), (late, 200, True), (mute, 500, False)])
def test_an_error_is_a_500_unless_the_answer_had_begun(traffic, app, status, raises):
    with pytest.raises(LookupError) if raises else contextlib.nullcontext(), contextlib.suppress(IndexError):
        ask(CountingMiddleware(app, traffic=traffic))
    assert counted(traffic) == {f"GET {NO_ROUTE}": {status: 1}}


def test_a_client_that_leaves_before_the_answer_is_a_499(traffic):
    async def scenario():
        async def slow(scope, receive, send):
            await anyio.sleep_forever()

        with anyio.move_on_after(0.02):
            await CountingMiddleware(slow, traffic=traffic)(scope_of("GET /"), None, None)

    anyio.run(scenario)
    assert counted(traffic) == {f"GET {NO_ROUTE}": {499: 1}}


def test_the_time_is_that_until_the_answer_begins(traffic):
    async def streaming(request):
        async def chunks():
            for _ in range(3):
                await anyio.sleep(0.1)
                yield b"."

        return StreamingResponse(chunks())

    async def waiting(request):
        await anyio.sleep(0.15)
        return Response()

    app = Starlette(routes=[Route("/stream", streaming), Route("/wait", waiting)])
    app.add_middleware(CountingMiddleware, traffic=traffic)
    ask(app, "GET /stream")
    ask(app, "GET /wait")
    took = {line.route: line.within(1.0) for line in traffic.report().lines}
    assert took["/stream"] < 0.25 <= took["/wait"]


def test_a_websocket_is_counted_when_it_is_accepted_or_refused(traffic):
    async def room(websocket):
        await websocket.accept()

    async def closed(websocket):
        await websocket.close()

    app = Starlette(routes=[WebSocketRoute("/room/{id}", room), WebSocketRoute("/closed", closed)])
    app.add_middleware(CountingMiddleware, traffic=traffic)
    for path in ("/room/1", "/room/2", "/closed", "/none"):
        ask(app, f"WS {path}")
    assert counted(traffic) == {"WS /room/{id}": {101: 2}, "WS /closed": {403: 1}, f"WS {NO_ROUTE}": {403: 1}}


# --- who ---


def test_whom_a_policy_refuses_is_known_by_the_policys_key(traffic):
    policies = [Policy("burst", "3/minute"), Policy("daily", "1/day", key="header:x-api-key", missing="skip")]
    app = CountingMiddleware(RateLimitMiddleware(hello, policies=policies, store=still()), traffic=traffic)
    statuses = [ask(app, headers=[("x-api-key", "k1")]).status for _ in range(3)]
    statuses += [ask(app, client=("192.0.2.9", 1)).status for _ in range(4)]
    assert statuses == [200, 429, 429, 200, 200, 200, 429]
    assert refused(traffic) == [("daily", "k1", 2), ("burst", "192.0.2.9", 1)]
    assert traffic.report().clients == 2


@pytest.mark.parametrize("store", ["memory", "redis"])
def test_whom_the_only_limit_refuses_is_known_by_the_address(traffic, redis_url, store):
    chosen = still() if store == "memory" else redis_url
    limited = RateLimitMiddleware(hello, "1/minute", store=chosen, name=f"counted {store}", budget=10)
    app = CountingMiddleware(limited, traffic=traffic)
    assert [ask(app, client=("2001:db8::1", 1)).status for _ in range(3)] == [200, 429, 429]
    assert refused(traffic) == [("default", "2001:db8::/64", 2)]


def test_an_own_answer_to_a_refusal_is_one_all_the_same(traffic):
    app = RateLimitMiddleware(hello, "1/minute", store=still(), on_refused=lambda request, decision: answering(303))
    app = CountingMiddleware(app, traffic=traffic)
    assert [ask(app).status for _ in range(2)] == [200, 303]
    assert refused(traffic) == [("default", "192.0.2.1", 1)]


def test_a_shadow_policy_refuses_nobody(traffic):
    app = RateLimitMiddleware(hello, policies=[Policy("shadow", "1/minute", shadow=True)], store=still(), name="shadowed")
    app = CountingMiddleware(app, traffic=traffic)
    assert [ask(app).status for _ in range(3)] == [200, 200, 200]
    assert refused(traffic) == []


def test_what_others_answer_429_falls_under_the_clients_address(traffic):
    @rate_limit("1/minute", key=lambda: "a key of the function's own", store=MemoryStore(clock=ManualClock()))
    def work():
        return "done"

    async def handler(scope, receive, send):
        with contextlib.suppress(RateLimitExceeded):
            work()
            return await answering(200)(scope, receive, send)
        return await answering(429)(scope, receive, send)

    app = CountingMiddleware(handler, traffic=traffic)
    assert [ask(app).status for _ in range(2)] == [200, 429]
    assert refused(traffic) == [("", "192.0.2.1", 1)]


def test_the_client_is_found_as_limits_find_it(traffic):
    counting = CountingMiddleware(answering(429), traffic=traffic, trusted_proxies=["10.0.0.0/8"])
    forwarded = [("x-forwarded-for", "203.0.113.9, 198.51.100.7")]
    ask(counting, client=("10.1.2.3", 5000), headers=forwarded)
    ask(counting, client=("192.0.2.1", 5000), headers=forwarded)  # no proxy of ours: not believed
    ask(counting, client=None, headers=forwarded)
    assert refused(traffic) == [("", "192.0.2.1", 1), ("", "198.51.100.7", 1)]
    assert traffic.report().clients == 2


# --- bounds, outages, real servers ---


ALPHABET = [chr(code) for code in (*range(33, 127), *range(0xA0, 0x500), 0x10FFFF)]


def hostile(chance):
    """A request that is meant to leave as many names behind as it can."""
    path = "/" + "".join(chance.choices(ALPHABET, k=chance.randrange(1, 80)))
    method = chance.choice([*METHODS, "".join(chance.choices("ABCDEFG", k=9)), "X" * 300])
    client = f"203.{chance.randrange(256)}.{chance.randrange(256)}.{chance.randrange(256)}"
    headers = [("x-api-key", str(chance.random())), ("x-forwarded-for", client), ("host", path[:20])]
    path = chance.choice(
        [path, f"/items/{chance.random()}", f"/status/{chance.randrange(100, 600)}", f"/mounted/{chance.random()}/a"]
    )
    scope = scope_of("GET /", client=(client, 5000))
    return scope | {"method": method, "path": path, "headers": [(n.encode(), v.encode("utf-8")) for n, v in headers]}


def test_ten_thousand_hostile_requests_leave_a_bounded_number_of_names(redis_url, redis_client):
    async def status(request):
        return Response(status_code=request.path_params["code"])

    app = Starlette(
        routes=[
            Route("/items/{id}", item),
            Route("/status/{code:int}", status, methods=sorted(METHODS - {"WS"})),
            Mount("/mounted/{tenant}", routes=[Route("/a", Class)]),
        ]
    )
    limits = RateLimitMiddleware(
        app, policies=[Policy("key", "1/minute", key="header:x-api-key"), Policy("all", "8000/minute", key=lambda request: "all")]
    )
    with Traffic("hostile", store=redis_url, every=3_600, budget=10) as traffic:
        counting, chance = CountingMiddleware(limits, traffic=traffic), random.Random(7)

        async def scenario():
            async def send(message):
                pass

            for _ in range(10_000):
                await counting(hostile(chance), None, send)

        asyncio.run(scenario())
        report = traffic.report()
    assert report.requests == 10_000
    assert {line.route for line in report.lines} == {"/items/{id}", "/status/{code}", "/a", NO_ROUTE, OTHER} - {OTHER}
    assert {line.method for line in report.lines} <= {*METHODS, OTHER}
    assert report.clients > 9_000
    assert report.refused[0].who == "all"
    keys = list(redis_client.scan_iter("*traffic*"))
    # For each of three kinds one for every minute that this has taken, and the receipts of the writer for two of them.
    assert len(keys) <= 3 * 3 + 2
    boards = [key for key in keys if redis_client.type(key) == b"zset"]
    assert max(map(redis_client.zcard, boards)) <= ROWS
    assert all(0 < redis_client.ttl(key) <= 61 * 60 for key in keys)


def test_requests_do_not_notice_that_the_store_has_gone():
    with servers.RedisServer() as server:
        traffic = Traffic(store=server.url, every=0.05, budget=0.5)
        with serving(CountingMiddleware(hello, traffic=traffic)) as port:
            assert raw(port, "GET / HTTP/1.1")[0] == 200
            servers.until(lambda: not traffic.behind.wait)
            server.stop()
            began = time.monotonic()
            assert [raw(port, "GET / HTTP/1.1")[0] for _ in range(50)] == [200] * 50
            assert time.monotonic() - began < 5
            server.start()
            servers.until(lambda: not traffic.behind.wait)
        assert traffic.report().requests == 50
        traffic.close()


def test_the_end_of_the_application_writes_what_waits(redis_url):
    async def live(app):
        incoming = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
        sent = []

        async def receive():
            return incoming.pop(0)

        async def send(message):
            sent.append(message["type"])

        await app({"type": "lifespan"}, receive, send)
        return sent

    app = Starlette(routes=[Route("/items/{id}", item)])
    counting = CountingMiddleware(app, store=redis_url, name="ending", every=3_600)
    ask(counting, "GET /items/1")
    assert asyncio.run(live(counting)) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    with Traffic("ending", store=redis_url, budget=10) as reader:
        assert reader.report().requests == 1


PLAIN = {name: value for name, value in os.environ.items() if not name.startswith("RATEKIT_")}
SERVED = """
import os
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from ratekit.asgi import CountingMiddleware, RateLimitMiddleware

app = Starlette(routes=[Route("/who/{id}", lambda request: PlainTextResponse(str(os.getpid())))])
app.add_middleware(RateLimitMiddleware, limits="50/hour", store=os.environ["RATEKIT_STORE"], budget=10, name="two workers")
app.add_middleware(CountingMiddleware, store=os.environ["RATEKIT_STORE"], name="two workers", every=0.05)
"""


def test_two_workers_of_uvicorn_add_into_one_picture(redis_url, tmp_path):
    (tmp_path / "two.py").write_text(SERVED)
    port = servers.free_port()
    words = ["uvicorn", "two:app", "--app-dir", str(tmp_path), "--port", str(port), "--workers", "2", "--log-level", "critical"]
    with subprocess.Popen(
        [sys.executable, "-m", *words, "--no-proxy-headers"], env={**PLAIN, "RATEKIT_STORE": redis_url}
    ) as server:
        try:
            pids, statuses = set(), []

            def served():
                with contextlib.suppress(httpx.TransportError):
                    answer = httpx.get(f"http://127.0.0.1:{port}/who/{len(statuses)}", trust_env=False, timeout=10)
                    statuses.append(answer.status_code)
                    pids.add(answer.text if answer.status_code == 200 else None)
                return len(pids - {None}) == 2 and len(statuses) >= 70

            servers.until(served)
        finally:
            server.terminate()
            server.wait(20)
    with Traffic("two workers", store=redis_url, budget=10) as reader:
        report = reader.report()
    assert len(pids - {None}) == 2
    assert report.requests == len(statuses)
    assert {line.route: dict(line.statuses) for line in report.lines} == {
        "/who/{id}": {200: 50},
        NO_ROUTE: {429: len(statuses) - 50},
    }
    assert (report.clients, [one.who for one in report.refused]) == (1, ["127.0.0.1"])
