"""
@rate_limit inside a request: no request parameter, the client's address as key, the middleware's store, its 429 and its fields.
"""

import asyncio
import json

import anyio.to_thread
import httpx
import pytest
from calling import ask, scope_of, statuses
from fastapi import Depends, FastAPI
from running import serving
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from ratekit import AsyncLimiter, ConfigurationError, Policy, RateLimitExceeded, rate_limit
from ratekit.asgi import RateLimitMiddleware
from ratekit.stores import AsyncMemoryStore
from ratekit.stores.redis import AsyncRedisStore
from ratekit.testing import ManualClock


def starlette_app(endpoint, *more, store=None, **options):
    middleware = Middleware(RateLimitMiddleware, store=store or AsyncMemoryStore(clock=ManualClock()), **options)
    return Starlette(routes=[Route("/", endpoint)], middleware=[middleware, *more])


def fastapi_app(endpoint, store=None, **options):
    app = FastAPI(openapi_url=None)
    app.add_middleware(RateLimitMiddleware, store=store or AsyncMemoryStore(clock=ManualClock()), **options)
    app.get("/")(endpoint)
    return app


def starlette_async():
    @rate_limit("2/minute")
    async def awaited(request):
        return PlainTextResponse("hello")

    return starlette_app(awaited)


def starlette_def():
    @rate_limit("2/minute")
    def plain(request):
        return PlainTextResponse("hello")

    return starlette_app(plain)


def fastapi_async():
    @rate_limit("2/minute")
    async def awaited():
        return "hello"

    return fastapi_app(awaited)


def fastapi_def():
    @rate_limit("2/minute")
    def plain():
        return "hello"

    return fastapi_app(plain)


@pytest.mark.parametrize("app_of", [starlette_async, starlette_def, fastapi_async, fastapi_def])
def test_an_endpoint_is_limited_by_the_clients_address_and_answers_as_the_middleware_does(app_of):
    app = app_of()
    admitted = ask(app)
    name = "awaited" if app_of.__name__.endswith("async") else "plain"
    assert admitted.status == 200
    assert admitted.items("ratelimit-policy") == [(name, {"q": 2, "w": 60})]
    assert admitted.items("ratelimit") == [(name, {"r": 1, "t": 60})]
    assert ask(app).status == 200
    refused = ask(app)
    assert (refused.status, refused.header("retry-after"), refused.header("content-type")) == (
        429,
        "60",
        "application/problem+json",
    )
    assert refused.items("ratelimit") == [(name, {"r": 0, "t": 60})]
    assert json.loads(refused.body)["violated-policies"] == [name]
    assert ask(app, client=("192.0.2.2", 1)).status == 200


@pytest.mark.parametrize("app_of", [starlette_async, starlette_def, fastapi_async, fastapi_def])
def test_under_a_real_server_two_addresses_are_limited_each_on_their_own(app_of):
    with serving(app_of()) as port:
        for source in ("127.0.0.1", "127.0.0.2"):
            with httpx.Client(transport=httpx.HTTPTransport(local_address=source), base_url=f"http://127.0.0.1:{port}") as client:
                answers = [client.get("/") for _ in range(3)]
            assert [answer.status_code for answer in answers] == [200, 200, 429]
            assert [item in answers[2].headers for item in ("retry-after", "ratelimit", "ratelimit-policy")] == [True] * 3


@pytest.mark.parametrize("app_of", [starlette_app, fastapi_app])
def test_with_a_redis_url_def_and_async_def_count_in_redis(app_of, redis_url, redis_client):
    if app_of is starlette_app:

        @rate_limit("1/minute")
        def plain(request):
            return PlainTextResponse("hello")

        @rate_limit("1/minute")
        async def awaited(request):
            return PlainTextResponse("hello")
    else:

        @rate_limit("1/minute")
        def plain():
            return "hello"

        @rate_limit("1/minute")
        async def awaited():
            return "hello"

    for endpoint in (plain, awaited):
        with serving(app_of(endpoint, store=redis_url)) as port:
            assert [httpx.get(f"http://127.0.0.1:{port}/", timeout=10).status_code for _ in range(2)] == [200, 429]
    keys = [key for key in redis_client.keys("*") if b"probe" not in key]
    assert len(keys) == 2
    assert all(b"127.0.0.1" in key for key in keys)


def test_an_async_redis_store_object_around_a_def_is_an_error_that_says_what_to_do(redis_url, caplog):
    @rate_limit("1/minute")
    def plain(request):
        return PlainTextResponse("hello")

    store = AsyncRedisStore(redis_url)

    async def closing(scope, receive, send):
        async def send_and_close(message):
            if message["type"] == "lifespan.shutdown.complete":
                await store.aclose()
            await send(message)

        await app(scope, receive, send_and_close)

    app = starlette_app(plain, store=store)
    with serving(closing) as port:
        assert httpx.get(f"http://127.0.0.1:{port}/", timeout=10).status_code == 500
    assert any("give rate_limit a store= for threads, or a URL to both" in record.getMessage() for record in caplog.records)


def test_middleware_and_decorator_are_two_hits_and_one_field_lists_both():
    @rate_limit("2/hour")
    async def endpoint(request):
        return PlainTextResponse("hello")

    app = starlette_app(endpoint, policies=[Policy("site", "9/minute")])
    assert [name for name, _ in ask(app).items("ratelimit-policy")] == ["site", "endpoint"]
    ask(app)
    refused = ask(app)
    assert refused.status == 429
    assert [(name, item["r"]) for name, item in refused.items("ratelimit")] == [("site", 6), ("endpoint", 0)]
    assert json.loads(refused.body)["violated-policies"] == ["endpoint"]
    assert refused.header("retry-after") == "3600"


def test_when_the_middleware_refuses_the_function_is_not_charged():
    store = AsyncMemoryStore(clock=ManualClock())

    @rate_limit("9/hour")
    async def endpoint(request):
        return PlainTextResponse("hello")

    app = starlette_app(endpoint, limits="1/minute", store=store)
    assert statuses(app) == [200, 429, 429]
    store.sync._clock.advance(60)
    left = dict(ask(app).items("ratelimit"))
    assert left["endpoint"]["r"] == 7


def test_the_store_is_the_argument_else_the_middlewares():
    around, own = AsyncMemoryStore(), AsyncMemoryStore()

    @rate_limit("9/minute")
    async def by_middleware():
        return None

    @rate_limit("9/minute", store=own)
    async def by_argument():
        return None

    async def endpoint(request):
        await by_middleware()
        await by_argument()
        return PlainTextResponse("hello")

    assert ask(starlette_app(endpoint, store=around)).status == 200
    assert (len(around.sync), len(own.sync)) == (1, 1)


def test_the_environments_store_is_not_asked_where_a_middleware_has_one(monkeypatch):
    monkeypatch.setenv("RATEKIT_STORE", "redis://127.0.0.1:1/0")

    @rate_limit("1/minute")
    async def endpoint(request):
        return PlainTextResponse("hello")

    assert statuses(starlette_app(endpoint)) == [200, 429, 429]


def test_a_function_called_deep_inside_a_request_answers_the_same_429():
    @rate_limit("1/minute", key=lambda user: user)
    def charge(user):
        return user

    async def endpoint(request):
        return PlainTextResponse(await anyio.to_thread.run_sync(charge, request.query_params["user"]))

    app = starlette_app(endpoint)
    assert [ask(app, query=query).status for query in (b"user=a", b"user=a", b"user=b")] == [200, 429, 200]
    refused = ask(app, query=b"user=a")
    assert json.loads(refused.body)["violated-policies"] == ["charge"]


def test_a_refusal_that_the_application_catches_is_its_own_affair():
    @rate_limit("1/minute")
    async def mail():
        return "sent"

    async def endpoint(request):
        try:
            return PlainTextResponse(await mail())
        except RateLimitExceeded as error:
            return PlainTextResponse(f"queued for {error.decision.retry_after:g}", status_code=202)

    app = starlette_app(endpoint)
    assert ask(app).status == 200
    caught = ask(app)
    assert (caught.status, caught.body) == (202, b"queued for 60")
    assert caught.items("ratelimit") == [("mail", {"r": 0, "t": 60})]
    assert caught.lines("retry-after") == []


def test_a_function_called_often_in_one_request_is_one_item():
    @rate_limit("9/minute")
    async def mail():
        return "sent"

    async def endpoint(request):
        for _ in range(4):
            await mail()
        return PlainTextResponse("hello")

    assert ask(starlette_app(endpoint)).items("ratelimit") == [("mail", {"r": 5, "t": 60})]


def test_functions_called_at_once_in_one_request_are_all_listed():
    @rate_limit("9/minute")
    async def one():
        return 1

    @rate_limit("9/minute")
    async def two():
        return 2

    async def endpoint(request):
        await asyncio.gather(one(), two(), one())
        return PlainTextResponse("hello")

    assert ask(starlette_app(endpoint)).items("ratelimit") == [("one", {"r": 7, "t": 60}), ("two", {"r": 8, "t": 60})]


def test_a_refusal_after_waiting_names_the_function():
    @rate_limit("1/minute", wait=0.5)
    async def endpoint(request):
        return PlainTextResponse("hello")

    app = starlette_app(endpoint, policies=[Policy("site", "9/minute")])
    assert ask(app).status == 200
    refused = ask(app)
    assert refused.status == 429
    assert json.loads(refused.body)["violated-policies"] == ["endpoint"]
    assert [name for name, _ in refused.items("ratelimit")] == ["site", "endpoint"]


def test_a_name_beyond_ascii_is_told_in_ascii():
    async def endpoint(request):
        return PlainTextResponse("hello")

    endpoint.__name__ = "größe"
    answer = ask(starlette_app(rate_limit("9/minute")(endpoint)))
    assert answer.status == 200
    assert answer.items("ratelimit") == [("gr\\xf6\\xdfe", {"r": 8, "t": 60})]


def test_on_refused_answers_for_functions_too():
    @rate_limit("1/minute")
    async def endpoint(request):
        return PlainTextResponse("hello")

    app = starlette_app(endpoint, on_refused=lambda request, decision: PlainTextResponse("own", 430))
    ask(app)
    refused = ask(app)
    assert (refused.status, refused.body, refused.header("retry-after")) == (430, b"own", "60")
    assert refused.items("ratelimit") == [("endpoint", {"r": 0, "t": 60})]


def test_a_request_without_a_client_address_is_a_500_and_the_function_does_not_run(caplog):
    ran = []

    @rate_limit("1/minute")
    async def endpoint(request):
        ran.append(1)
        return PlainTextResponse("hello")

    app = starlette_app(endpoint)
    assert statuses(app, client=None) == [500, 500, 500]
    assert ran == []
    assert len(caplog.records) == 1


def test_the_address_is_the_one_that_named_proxies_say():
    @rate_limit("1/minute")
    async def endpoint(request):
        return PlainTextResponse("hello")

    app = starlette_app(endpoint, trusted_proxies=["10.0.0.0/8"])

    def status(forwarded, peer="10.0.0.1"):
        return ask(app, headers=[("x-forwarded-for", forwarded)], client=(peer, 1)).status

    assert [status("203.0.113.1"), status("6.6.6.6, 203.0.113.1"), status("203.0.113.2")] == [200, 429, 200]
    assert [status("203.0.113.3", "192.0.2.7"), status("203.0.113.4", "192.0.2.7")] == [200, 429]


def test_behind_another_middleware_with_tasks_of_its_own_it_works_all_the_same():
    class Between(BaseHTTPMiddleware):
        async def dispatch(self, request, call_next):
            response = await call_next(request)
            response.headers["x-between"] = "1"
            return response

    @rate_limit("1/minute")
    async def endpoint(request):
        return PlainTextResponse("hello")

    app = starlette_app(endpoint, Middleware(Between))
    admitted = ask(app)
    assert admitted.header("x-between") == "1"
    assert admitted.items("ratelimit") == [("endpoint", {"r": 0, "t": 60})]
    assert ask(app).status == 429


def test_a_fastapi_endpoint_keeps_its_parameters_and_dependencies():
    def user(x_user: str = "anonymous") -> str:
        return x_user

    @rate_limit("1/minute", key=lambda item, **_: item)
    async def endpoint(item: int, who: str = Depends(user)) -> dict[str, object]:
        return {"item": item, "who": who}

    app = fastapi_app(endpoint)
    answer = ask(app, query=b"item=7&x_user=ada")
    assert json.loads(answer.body) == {"item": 7, "who": "ada"}
    assert ask(app, query=b"item=7").status == 429
    assert ask(app, query=b"item=8").status == 200
    assert ask(app, query=b"item=x").status == 422


def test_a_decorated_dependency_limits_too():
    @rate_limit("1/minute")
    def gate() -> None:
        return None

    def endpoint(_: None = Depends(gate)) -> str:
        return "hello"

    assert statuses(fastapi_app(endpoint)) == [200, 429, 429]


def test_a_function_in_a_background_task_counts_for_the_client_and_changes_no_answer():
    ran = []

    @rate_limit("1/minute")
    async def mail():
        ran.append(1)

    async def endpoint(request):
        return PlainTextResponse("hello", background=BackgroundTask(mail))

    app = starlette_app(endpoint)
    answer = ask(app)
    assert (answer.status, answer.lines("ratelimit"), ran) == (200, [], [1])
    with pytest.raises(RateLimitExceeded):
        ask(app)
    assert ran == [1]


def test_outside_of_the_request_again_there_is_no_visit():
    @rate_limit("1/minute", store=AsyncMemoryStore())
    async def mail():
        return "sent"

    async def endpoint(request):
        return PlainTextResponse(await mail())

    async def send(message):
        return None

    async def go():
        for address in ("192.0.2.1", "192.0.2.2"):
            await app(scope_of(client=(address, 1)), None, send)  # in this very task, whose context outlives the request
        assert await mail() == "sent"
        with pytest.raises(RateLimitExceeded):
            await mail()

    app = starlette_app(endpoint)
    asyncio.run(go())
    assert [ask(app, client=(f"192.0.2.{i}", 1)).status for i in (1, 2, 3)] == [429, 429, 200]


def test_a_limiter_shared_by_two_endpoints_is_one_count():
    limiter = AsyncLimiter("2/minute", store=AsyncMemoryStore(), name="shared")

    @rate_limit(limiter)
    async def one(request):
        return PlainTextResponse("1")

    @rate_limit(limiter)
    async def two(request):
        return PlainTextResponse("2")

    app = Starlette(
        routes=[Route("/1", one), Route("/2", two)], middleware=[Middleware(RateLimitMiddleware, store=AsyncMemoryStore())]
    )
    assert [ask(app, what).status for what in ("GET /1", "GET /2", "GET /1", "GET /2")] == [200, 200, 429, 429]


def test_without_a_middleware_the_refusal_is_an_exception_of_the_function():
    @rate_limit("1/minute", store=AsyncMemoryStore())
    async def endpoint(request):
        return PlainTextResponse("hello")

    app = Starlette(routes=[Route("/", endpoint)])
    assert ask(app).status == 200
    with pytest.raises(RateLimitExceeded):
        ask(app)


def test_a_configuration_error_of_an_endpoint_is_a_500_logged_once(caplog):
    @rate_limit("1/minute", key=lambda **_: None)
    async def endpoint(request):
        return PlainTextResponse("hello")

    assert statuses(starlette_app(endpoint)) == [500, 500, 500]
    (record,) = caplog.records
    assert isinstance(record.exc_info[1], ConfigurationError)
