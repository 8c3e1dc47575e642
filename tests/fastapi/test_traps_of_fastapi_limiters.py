"""
What goes wrong with other limiters for FastAPI and Starlette, each shown to go right here.
"""

import socket
import time

import pytest
from fastapi import APIRouter, Depends, FastAPI, WebSocket
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route
from starlette.testclient import WebSocketDenialResponse

from ratekit import rate_limit
from ratekit.asgi import RateLimitMiddleware
from ratekit.fastapi import RateLimit
from ratekit.stores import AsyncMemoryStore
from ratekit.testing import ManualClock

AWAY = "redis://127.0.0.1:1/0"


def hello():
    return {"hello": "world"}


def by_middleware(store, limit):
    app = FastAPI()
    app.add_middleware(RateLimitMiddleware, limits=limit, store=store)
    return app


def by_dependency(store, limit):
    return FastAPI(dependencies=[Depends(RateLimit(limit, store=store))])


EITHER = pytest.mark.parametrize("application", [by_middleware, by_dependency])


@EITHER
def test_fastapi_limiter_one_bucket_for_everybody(application, store, client_of):
    app = application(store, "2/minute")
    app.get("/")(hello)
    clients = [client_of(app, f"192.0.2.{i}") for i in range(5)]
    assert [client.get("/").status_code for client in clients] == [200] * 5


@EITHER
def test_fastapi_limiter_429_without_retry_after(application, store, client_of):
    app = application(store, "1/minute")
    app.get("/")(hello)
    assert [client_of(app).get("/").headers.get("retry-after") for _ in range(2)] == [None, "60"]


def test_fastapi_limiter_identifier_is_ignored(store, client_of):
    app = FastAPI()
    app.get("/", dependencies=[Depends(RateLimit("1/minute", key="header:x-user", store=store))])(hello)
    client = client_of(app)
    assert [client.get("/", headers={"x-user": user}).status_code for user in ("ann", "bob", "ann")] == [200, 200, 429]


@EITHER
def test_fastapi_limiter_left_most_forwarded_address_is_believed(application, store, client_of):
    app = application(store, "1/minute")
    app.get("/")(hello)
    client = client_of(app)
    assert [client.get("/", headers={"x-forwarded-for": f"203.0.113.{i}"}).status_code for i in range(3)] == [200, 429, 429]


def test_fastapi_limiter_same_path_different_methods(store, client_of):
    app = by_dependency(store, "1/minute")
    app.get("/")(hello)
    app.post("/")(hello)
    client = client_of(app)
    assert [client.get("/").status_code, client.post("/").status_code, client.get("/").status_code] == [200, 200, 429]


@EITHER
def test_slowapi_defaults_do_not_reach_included_routers_and_mounted_applications(application, store, client_of):
    app = application(store, "2/minute")
    router, deeper = APIRouter(), APIRouter()
    deeper.get("/deep")(hello)
    router.include_router(deeper, prefix="/deeper")
    app.include_router(router, prefix="/router")
    assert [client_of(app).get("/router/deeper/deep").status_code for _ in range(3)] == [200, 200, 429]


def test_slowapi_defaults_do_not_reach_mounted_applications(store, client_of):
    inner, app = FastAPI(), by_middleware(store, "2/minute")
    inner.get("/inner")(hello)
    app.mount("/sub", inner)
    assert [client_of(app).get("/sub/inner").status_code for _ in range(3)] == [200, 200, 429]
    starlette = Starlette(routes=[Mount("/sub", routes=[Route("/inner", lambda request: PlainTextResponse("hello"))])])
    starlette.add_middleware(RateLimitMiddleware, limits="2/minute", store=store, name="starlette")
    assert [client_of(starlette).get("/sub/inner").status_code for _ in range(3)] == [200, 200, 429]


def test_slowapi_500_after_the_handler_ran_for_a_dict_with_headers(store, client_of):
    app = by_middleware(store, "9/minute")
    app.get("/dependency", dependencies=[Depends(RateLimit("5/minute"))])(hello)
    app.get("/decorated")(rate_limit("5/minute")(hello))
    for path in ("/dependency", "/decorated"):
        answer = client_of(app).get(path)
        assert (answer.status_code, answer.json()) == (200, {"hello": "world"})
        assert "r=4" in answer.headers["ratelimit"]


@EITHER
def test_slowapi_500_while_redis_is_down(application, client_of):
    app = application(AWAY, "2/minute")
    app.get(f"/{application.__name__}")(hello)
    with client_of(app) as client:
        assert [client.get(f"/{application.__name__}").status_code for _ in range(3)] == [200, 200, 429]


def test_slowapi_a_redis_that_hangs_stalls_the_event_loop(client_of):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and never says a word
        app = by_dependency(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", "99/minute")
        app.get("/")(hello)
        with client_of(app) as client:
            start = time.monotonic()
            assert [client.get("/").status_code for _ in range(20)] == [200] * 20
            assert time.monotonic() - start < 5, "one time-out of a second for each request is 20"


def test_slowapi_a_quota_for_each_value_in_the_path(store, client_of):
    app = by_dependency(store, "2/minute")
    app.get("/items/{number}")(lambda number: number)
    app.get("/decorated/{number}")(rate_limit("2/minute", store=store, key=lambda number: "all")(lambda number: number))
    for path in ("items", "decorated"):
        assert [client_of(app).get(f"/{path}/{i}").status_code for i in range(3)][:2] == [200, 200]
        assert client_of(app).get(f"/{path}/9").status_code != 200


def test_slowapi_the_endpoint_must_have_a_parameter_named_request(store, client_of):
    app = by_middleware(store, "9/minute")

    @app.get("/")
    @rate_limit("1/minute")
    async def no_parameter():
        return "hello"

    assert [client_of(app).get("/").status_code for _ in range(2)] == [200, 429]


@EITHER
def test_slowapi_streaming_responses_crash(application, store, client_of):
    app = application(store, "9/minute")
    app.get("/")(lambda: StreamingResponse(iter([b"a", b"b", b"c"])))
    answer = client_of(app).get("/")
    assert (answer.text, len(answer.headers.get_list("ratelimit"))) == ("abc", application is by_middleware)


def test_slowapi_websockets_are_never_limited(store, client_of):
    app = by_middleware(store, "1/minute")

    @app.websocket("/ws")
    async def ws(websocket: WebSocket):
        await websocket.accept()
        await websocket.close()

    client = client_of(app)
    with client.websocket_connect("/ws"):
        pass
    with pytest.raises(WebSocketDenialResponse), client.websocket_connect("/ws"):
        pass


def test_slowapi_a_catch_all_route_breaks_exemptions(store, client_of):
    from ratekit import Policy

    app = FastAPI()
    app.add_middleware(RateLimitMiddleware, policies=[Policy("all", "1/minute", exempt="/health")], store=store)
    app.get("/{path:path}")(lambda path: path)
    app.get("/health")(hello)
    client = client_of(app)
    assert [client.get("/health").status_code for _ in range(3)] == [200] * 3
    assert [client.get("/else").status_code for _ in range(2)] == [200, 429]


def test_asgi_ratelimit_retry_after_is_always_the_whole_window(clock, client_of):
    app = by_middleware(AsyncMemoryStore(clock=clock), "1/minute")
    app.get("/")(hello)
    client = client_of(app)
    client.get("/")
    clock.advance(57)
    assert client.get("/").headers["retry-after"] == "3"


def test_throttled_1100_other_clients_unblock_a_blocked_one(client_of):
    app, store = FastAPI(), AsyncMemoryStore(clock=ManualClock())
    app.add_middleware(RateLimitMiddleware, limits="1/minute", store=store, trusted_proxies=["192.0.2.1"])
    app.get("/")(hello)
    with client_of(app) as client:

        def status(address):
            return client.get("/", headers={"x-forwarded-for": address}).status_code

        assert [status("198.51.100.7") for _ in range(2)] == [200, 429]
        assert {status(f"10.0.{i // 250}.{i % 250}") for i in range(1100)} == {200}
        assert status("198.51.100.7") == 429
