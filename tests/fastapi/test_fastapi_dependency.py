"""
RateLimit as a dependency, without any middleware: on a route, a router, the application.
"""

import gc
from typing import Annotated

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException
from fastapi.responses import StreamingResponse
from starlette.background import BackgroundTask, BackgroundTasks
from starlette.responses import JSONResponse, PlainTextResponse

from ratekit import ConfigurationError, Decision, Limit, Policy, RateLimitExceeded
from ratekit.errors import RateKitError
from ratekit.fastapi import RateLimit
from ratekit.http.visit import Visit
from ratekit.stores import AsyncMemoryStore


@pytest.fixture
def app():
    return FastAPI()


def statuses(client, path, times=3, method="GET", **options):
    return [client.request(method, path, **options).status_code for _ in range(times)]


def limited(app, path, *limits, endpoint=None, **options):
    """A route with one RateLimit on it."""

    def hello():
        return "hello"

    app.get(path, dependencies=[Depends(RateLimit(*limits, **options))])(endpoint or hello)


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_route_is_limited_by_address_without_a_request_parameter(app, store, client_of, kind):
    async def awaited():
        return "hello"

    limited(app, "/", "2/minute", endpoint=awaited if kind == "async def" else None, store=store)
    assert statuses(client_of(app), "/") == [200, 200, 429]
    assert statuses(client_of(app, "192.0.2.2"), "/") == [200, 200, 429]


def test_a_refusal_is_a_problem_that_says_until_when_and_a_wait_that_is_kept_is_rewarded(app, store, clock, client_of):
    limited(app, "/items", "1/minute", store=store)
    client = client_of(app)
    assert client.get("/items").headers["ratelimit"] == '"hello";r=0;t=60'
    clock.advance(59)
    refused = client.get("/items")
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["ratelimit-policy"] == '"hello";q=1;w=60'
    assert refused.json()["violated-policies"] == ["hello"]
    clock.advance(1)
    assert client.get("/items").status_code == 200


def test_a_path_with_parameters_is_one_scope_and_not_one_for_each_value(app, store, client_of):
    @app.get("/items/{number}", dependencies=[Depends(RateLimit("2/minute", store=store))])
    def item(number: int):
        return number

    client = client_of(app)
    assert [client.get(f"/items/{number}").status_code for number in range(4)] == [200, 200, 429, 429]


def test_methods_and_routes_of_one_dependency_count_each_by_itself(app, store, client_of):
    limit = Depends(RateLimit("1/minute", store=store))

    @app.get("/items", dependencies=[limit])
    @app.post("/items", dependencies=[limit])
    @app.get("/others", dependencies=[limit])
    def items():
        return "hello"

    client = client_of(app)
    asked = [("GET", "/items"), ("POST", "/items"), ("GET", "/others")]
    assert [statuses(client, path, 2, method) for method, path in asked] == [[200, 429]] * 3


def test_what_bears_one_name_counts_together(app, store, client_of):
    limited(app, "/one", "2/minute", name="both", store=store)
    limited(app, "/two", "2/minute", name="both", store=store)
    client = client_of(app)
    assert [client.get(path).status_code for path in ("/one", "/two", "/one", "/two")] == [200, 200, 429, 429]


def test_several_limits_in_one_dependency_are_all_or_nothing(app, store, clock, client_of):
    limited(app, "/", "1/second", Limit(3, per=60), store=store)
    client = client_of(app)
    assert statuses(client, "/", 5) == [200, 429, 429, 429, 429]
    clock.advance(1)
    answer = client.get("/")
    assert answer.status_code == 200, "what refused by the second charged nothing by the minute"
    assert answer.headers["ratelimit"] == '"hello-1";r=0;t=1, "hello-60";r=1;t=59'


def test_two_dependencies_are_two_hits_and_one_field(app, store, clock, client_of):
    @app.get("/", dependencies=[Depends(RateLimit("3/minute", store=store)), Depends(RateLimit("1/second", store=store))])
    def twice():
        return "hello"

    client = client_of(app)
    answers = [client.get("/") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 429, 429]
    assert answers[0].headers["ratelimit"] == '"twice";r=2;t=60, "twice-2";r=0;t=1'
    assert answers[2].json()["violated-policies"] == ["twice-2"]
    clock.advance(1)
    assert client.get("/").status_code == 429, "each refusal by the second was charged by the minute"


def test_a_router_and_an_application_are_limited_with_all_their_routes(store, client_of):
    router = APIRouter(dependencies=[Depends(RateLimit("2/minute", name="router", store=store))])
    inner = APIRouter()
    app = FastAPI(dependencies=[Depends(RateLimit("5/minute", name="application", store=store))])
    inner.get("/deep")(lambda: "deep")
    router.get("/flat")(lambda: "flat")
    router.include_router(inner, prefix="/inner")
    app.include_router(router, prefix="/v1")
    app.get("/other")(lambda: "other")
    client = client_of(app)
    assert [client.get(path).status_code for path in ("/v1/flat", "/v1/inner/deep", "/v1/flat")] == [200, 200, 429]
    assert statuses(client, "/other") == [200, 200, 429]


def test_a_router_that_is_included_twice_counts_under_each_prefix(app, store, client_of):
    router = APIRouter(dependencies=[Depends(RateLimit("1/minute", store=store))])
    router.get("/items")(lambda: "items")
    app.include_router(router, prefix="/v1")
    app.include_router(router, prefix="/v2")
    client = client_of(app)
    assert [statuses(client, f"/{version}/items", 2) for version in ("v1", "v2")] == [[200, 429]] * 2


def test_a_mounted_application_is_limited_however_it_is_reached(app, store, client_of):
    inner = FastAPI(dependencies=[Depends(RateLimit("2/minute", store=store))])
    inner.get("/items/{number}")(lambda number: number)
    app.mount("/a", inner)
    app.mount("/b", inner)
    client = client_of(app)
    assert [client.get(path).status_code for path in ("/a/items/1", "/b/items/2", "/a/items/3")] == [200, 200, 429]


def test_one_dependency_that_stands_twice_on_a_route_is_asked_once_as_fastapi_does(app, store, client_of):
    limit = RateLimit("2/minute", store=store)

    @app.get("/", dependencies=[Depends(limit)])
    def twice(decision: Annotated[Decision, Depends(limit)]):
        return decision.remaining

    assert statuses(client_of(app), "/") == [200, 200, 429]


def test_streams_and_background_tasks_go_on_as_they_would(app, store, client_of):
    done = []

    def streamed():
        return StreamingResponse(iter([b"a", b"b"]), background=BackgroundTask(done.append, "streamed"))

    def tasked(tasks: BackgroundTasks):
        tasks.add_task(done.append, "tasked")
        return "hello"

    limited(app, "/streamed", "1/minute", endpoint=streamed, store=store)
    limited(app, "/tasked", "1/minute", endpoint=tasked, store=store)
    client = client_of(app)
    assert client.get("/streamed").text == "ab"
    assert client.get("/tasked").headers["ratelimit"] == '"tasked";r=0;t=60'
    assert statuses(client, "/tasked", 2) == statuses(client, "/streamed", 2) == [429, 429]
    assert done == ["streamed", "tasked"]


@pytest.mark.parametrize(("raised", "status"), [(HTTPException(404), 404), (ValueError("broken"), 500)])
def test_what_the_endpoint_raises_is_charged_and_answered_as_ever(app, store, client_of, raised, status):
    def broken():
        raise raised

    limited(app, "/", "2/minute", endpoint=broken, store=store)
    assert statuses(client_of(app), "/") == [status, status, 429]


def test_an_endpoint_gets_the_decision_if_it_asks_for_it(app, store, client_of):
    limit = RateLimit("5/minute", store=store, exempt=lambda request: "x-free" in request.headers)

    @app.get("/")
    def remaining(decision: Annotated[Decision | None, Depends(limit)]):
        return decision and decision.remaining

    client = client_of(app)
    assert [client.get("/").json(), client.get("/").json(), client.get("/", headers={"x-free": "1"}).json()] == [4, 3, None]


def test_the_key_is_a_header_a_callable_or_several_and_sees_path_parameters(app, store, client_of):
    async def tenant(request):
        return request.native.path_params["tenant"]

    @app.get("/{tenant}/items", dependencies=[Depends(RateLimit("1/minute", key=[tenant, "header:x-api-key"], store=store))])
    def items(tenant: str):
        return tenant

    client = client_of(app)
    assert statuses(client, "/a/items", 2, headers={"x-api-key": "ann"}) == [200, 429]
    assert statuses(client, "/a/items", 2, headers={"x-api-key": "bob"}) == [200, 429]
    assert statuses(client, "/b/items", 2, headers={"x-api-key": "ann"}) == [200, 429]


def test_an_absent_identity_is_what_missing_says(app, store, client_of):
    limited(app, "/ip", "1/minute", key="header:x-api-key", store=store)
    limited(app, "/refuse", "1/minute", key="header:x-api-key", missing="refuse", store=store)
    limited(app, "/skip", "1/minute", key="header:x-api-key", missing="skip", store=store)
    client = client_of(app)
    assert statuses(client, "/ip", 2) == [200, 429]
    assert statuses(client, "/skip", 3) == [200, 200, 200]
    refused = client.get("/refuse")
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == 'ApiKey header="x-api-key"'
    assert client.get("/refuse", headers={"x-api-key": "ann"}).status_code == 200


def test_a_cost_may_depend_on_the_request_and_nothing_is_free_of_charge(app, store, client_of):
    limited(app, "/", "10/minute", cost=lambda request: int(request.query.get("n", "1")), store=store)
    client = client_of(app)
    assert [client.get(f"/?n={n}").status_code for n in (6, 5, 4, 1, 0)] == [200, 429, 200, 429, 200]


def test_policies_of_several_keys_are_one_hit(app, store, client_of):
    policies = [Policy("address", "2/minute"), Policy("key", "1/minute", key="header:x-api-key")]
    app.get("/", dependencies=[Depends(RateLimit(policies=policies, store=store))])(lambda: "hello")
    client = client_of(app)
    ann = statuses(client, "/", 3, headers={"x-api-key": "ann"})
    bob = client.get("/", headers={"x-api-key": "bob"})
    assert (ann, bob.status_code) == ([200, 429, 429], 200), "what the key refused was not charged to the address"
    assert client.get("/", headers={"x-api-key": "eve"}).json()["violated-policies"] == ["address"]


def test_proxies_are_believed_when_they_are_named(app, store, client_of):
    limited(app, "/", "1/minute", trusted_proxies=["192.0.2.0/24"], store=store)
    limited(app, "/unnamed", "1/minute", store=store)
    client = client_of(app)
    headers = [{"x-forwarded-for": f"6.6.6.6, 198.51.100.{i}"} for i in (1, 2, 1)]
    assert [client.get("/", headers=one).status_code for one in headers] == [200, 200, 429]
    assert [client.get("/unnamed", headers=one).status_code for one in headers] == [200, 429, 429]


def test_a_key_that_raises_is_no_way_past_the_limit_and_is_logged_once(app, client_of, caplog):
    limited(app, "/", "1/minute", key=lambda request: 1 / 0, store=AsyncMemoryStore())
    answers = statuses(client_of(app), "/")
    assert answers == [200, 429, 429]
    assert len([record for record in caplog.records if "ZeroDivisionError" in record.getMessage()]) == 1


def test_an_application_answers_refusals_by_a_handler_of_its_own(app, store, client_of):
    @app.exception_handler(RateLimitExceeded)
    def own(request, error):
        return PlainTextResponse(f"come back in {error.decision.retry_after:.0f} s", 429)

    limited(app, "/", "1/minute", store=store)
    assert [client_of(app).get("/").text for _ in range(2)] == ['"hello"', "come back in 60 s"]


def test_a_handler_of_the_error_above_is_the_applications_own_too(app, store, client_of):
    app.add_exception_handler(RateKitError, lambda request, error: JSONResponse({"own": True}, 420))
    limited(app, "/", "1/minute", store=store)
    assert statuses(client_of(app), "/", 2) == [200, 420]


def test_the_store_is_the_one_of_the_environment_where_none_is_given(app, redis_url, redis_client, client_of, monkeypatch):
    monkeypatch.setenv("RATEKIT_STORE", redis_url)
    limited(app, "/", "2/minute")
    with client_of(app) as client:
        assert statuses(client, "/") == [200, 200, 429]
    assert len(redis_client.keys("ratekit:*")) == 1


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (RateLimit, "write limits, as in"),
        (lambda: RateLimit("5/month"), "5/month"),
        (lambda: RateLimit("5/minute", policies=[Policy("a", "1/minute")]), "one of the two"),
        (lambda: RateLimit(policies=[Policy("a", "1/minute")], name="b"), "leave name 'b' out"),
        (lambda: RateLimit("5/minute", key="user"), "key 'user'"),
        (lambda: RateLimit("5/minute", on_outage="panic"), "panic"),
        (lambda: RateLimit("5/minute", trusted_proxies=["0.0.0.0/0"]), "everybody"),
        (lambda: RateLimit("5/minute", store="ftp://x"), "ftp"),
        (lambda: RateLimit("5/minute", missing="guess"), "guess"),
        (lambda: RateLimit("5/minute", cost=-1), "-1"),
        (lambda: RateLimit("5/minute", budget=0), "budget 0"),
        (
            lambda: RateLimit(policies=[Policy("a", "1/minute", charge=lambda response: 1)], store="memory://"),
            "charge by the response",
        ),
    ],
)
def test_what_cannot_be_is_said_where_it_is_written(make, said):
    with pytest.raises(ConfigurationError, match=said):
        make()


def test_an_answered_request_leaves_nothing_to_the_garbage_collector(app, store, client_of):
    limited(app, "/", "9/minute", store=store)

    def visits():
        return sum(type(found) is Visit for found in gc.get_objects())

    with client_of(app) as client:
        client.get("/")
        gc.collect()
        gc.disable()
        try:
            before = visits()
            assert [client.get("/").status_code for _ in range(3)] == [200] * 3
            assert visits() == before
        finally:
            gc.enable()
