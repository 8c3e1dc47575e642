"""
The dependency and the decorator inside the middleware: its store, its proxies, one RateLimit field, and headers on every answer.
"""

import asyncio

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Response
from starlette.responses import PlainTextResponse

from ratekit import Policy, RateLimitExceeded, rate_limit
from ratekit.asgi import RateLimitMiddleware
from ratekit.fastapi import RateLimit
from ratekit.stores import AsyncMemoryStore


def application(store, **options):
    app = FastAPI()
    app.add_middleware(RateLimitMiddleware, store=store, **options)
    return app


def test_one_field_lists_the_middleware_the_dependency_and_the_decorator(store, client_of):
    app = application(store, limits="9/minute")

    @app.get("/", dependencies=[Depends(RateLimit("5/minute"))])
    @rate_limit("3/hour")
    def home():
        return "hello"

    answer = client_of(app).get("/")
    assert answer.headers["ratelimit"] == '"default";r=8;t=60, "home-60";r=4;t=60, "home-3600";r=2;t=3600'
    assert len(answer.headers.get_list("ratelimit-policy")) == 1


@pytest.mark.parametrize("raised", [HTTPException(404), None])
def test_the_middleware_tells_on_every_answer_also_on_the_endpoints_own(store, client_of, raised):
    app = application(store)

    @app.get("/", dependencies=[Depends(RateLimit("5/minute"))])
    def own():
        if raised:
            raise raised
        return PlainTextResponse("own", headers={"x-own": "1"})

    answer = client_of(app).get("/")
    assert answer.headers["ratelimit"] == '"own";r=4;t=60'


def test_a_dependency_counts_in_the_store_around_it_and_one_object_in_two_applications_in_each(clock, client_of):
    limit = Depends(RateLimit("1/minute"))
    apps = []
    for _ in range(2):
        app = application(AsyncMemoryStore(clock=clock))
        app.get("/", dependencies=[limit])(lambda: "hello")
        apps.append(app)
    assert [client_of(app).get("/").status_code for app in (*apps, *apps)] == [200, 200, 429, 429]


def test_a_named_dependency_and_a_policy_of_that_name_are_one_count(store, client_of):
    app = application(store, policies=[Policy("login", "2/minute", match="POST /login")])
    app.post("/login")(lambda: "welcome")
    app.post("/sign-in", dependencies=[Depends(RateLimit("2/minute", name="login"))])(lambda: "welcome")
    client = client_of(app)
    assert [client.post(path).status_code for path in ("/login", "/sign-in", "/login", "/sign-in")] == [200, 200, 429, 429]


def test_the_proxies_of_the_middleware_are_those_of_dependency_and_decorator(store, client_of):
    app = application(store, trusted_proxies=["192.0.2.0/24"])
    app.get("/dependency", dependencies=[Depends(RateLimit("1/minute"))])(lambda: "hello")
    app.get("/decorator")(rate_limit("1/minute")(lambda: "hello"))
    client = client_of(app)
    for path in ("/dependency", "/decorator"):
        asked = [client.get(path, headers={"x-forwarded-for": f"6.6.6.6, 198.51.100.{i}"}).status_code for i in (1, 2, 1)]
        assert asked == [200, 200, 429]


@pytest.mark.parametrize("around", [True, False])
def test_hashed_keys_stay_hashed_in_a_dependency(client_of, redis_url, redis_client, around):
    app = FastAPI()
    if around:
        app.add_middleware(RateLimitMiddleware, store=redis_url, hash_keys=True)
    limit = RateLimit("1/minute", key="header:x-api-key", store=redis_url, hash_keys=not around)
    app.get("/", dependencies=[Depends(limit)])(lambda: "hello")
    with client_of(app, headers={"x-api-key": "ann@example.com"}) as client:
        assert [client.get("/").status_code for _ in range(2)] == [200, 429]
    keys = redis_client.keys("*")
    assert keys
    assert not any(b"ann" in key for key in keys)


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_decorated_endpoint_needs_neither_request_nor_response(store, client_of, kind):
    app, router = application(store), APIRouter()

    @rate_limit("2/minute")
    async def awaited(number: int) -> dict[str, int]:
        return {"number": number}

    @rate_limit("2/minute")
    def plain(number: int) -> dict[str, int]:
        return {"number": number}

    router.get("/items/{number}")(awaited if kind == "async def" else plain)
    app.include_router(router)
    client = client_of(app)
    answers = [client.get(f"/items/{number}") for number in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[1].json() == {"number": 1}
    assert answers[2].json()["violated-policies"] == ["awaited" if kind == "async def" else "plain"]
    assert client.get("/items/none").status_code == 422
    assert app.openapi()["paths"]["/items/{number}"]["get"]["parameters"][0]["name"] == "number"


def test_a_decorated_method_of_an_object_is_an_endpoint_as_well(store, client_of):
    class Items:
        @rate_limit("1/minute", key=lambda number, **_: number)
        async def one(self, number: int):
            return number

    app = application(store)
    app.get("/items/{number}")(Items().one)
    client = client_of(app)
    assert [client.get(f"/items/{number}").status_code for number in (1, 2, 1)] == [200, 200, 429]


def test_an_own_response_to_a_refusal_by_a_dependency_carries_when_to_come_back(store, client_of):
    app = application(store, on_refused=lambda request, decision: PlainTextResponse("busy", 429))
    app.get("/", dependencies=[Depends(RateLimit("1/minute"))])(lambda: "hello")
    answer = [client_of(app).get("/") for _ in range(2)][1]
    assert (answer.text, answer.headers["retry-after"]) == ("busy", "60")


def test_an_exception_handler_of_the_application_is_told_of_in_the_fields(store, client_of):
    app = application(store)
    app.add_exception_handler(RateLimitExceeded, lambda request, error: Response("own", 429))
    app.get("/", dependencies=[Depends(RateLimit("1/minute"))])(lambda: "hello")
    answer = [client_of(app).get("/") for _ in range(2)][1]
    assert (answer.text, answer.headers["ratelimit"]) == ("own", '"<lambda>";r=0;t=60')


@pytest.mark.parametrize("around", [True, False], ids=["middleware", "alone"])
@pytest.mark.parametrize(("on_outage", "expected"), [("local", [200, 200, 429]), ("open", [200] * 3), ("closed", [503] * 3)])
def test_a_store_that_is_away_is_what_on_outage_says_and_never_an_error(client_of, around, on_outage, expected):
    app, away = FastAPI(), "redis://127.0.0.1:1/0"
    if around:
        app.add_middleware(RateLimitMiddleware, store=away, on_outage=on_outage)
    limit = RateLimit("2/minute", name=f"{around} {on_outage}", on_outage=on_outage, store=None if around else away)
    app.get("/", dependencies=[Depends(limit)])(lambda: "hello")
    with client_of(app) as client:
        answers = [client.get("/") for _ in range(3)]
    assert [answer.status_code for answer in answers] == expected
    if on_outage == "closed":
        assert answers[0].headers["content-type"] == "application/problem+json"
        assert answers[0].headers["retry-after"] == "1"


def test_every_attempt_of_many_at_once_is_decided_by_one_quota(redis_url, redis_client):
    import httpx

    app = FastAPI(dependencies=[Depends(RateLimit("20/minute", name="all", store=redis_url))])
    app.get("/")(lambda: "hello")

    async def go():
        transport = httpx.ASGITransport(app, client=("192.0.2.1", 50_000))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return [answer.status_code for answer in await asyncio.gather(*(client.get("/") for _ in range(50)))]

    assert sorted(asyncio.run(go())) == [200] * 20 + [429] * 30
