"""
Coverage: which route has which limits, what limits nothing, and what an application's start says about it.
"""

import logging
from contextlib import asynccontextmanager

import pytest
from fastapi import APIRouter, Depends, FastAPI, WebSocket
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, Router, WebSocketRoute

from ratekit import AsyncLimiter, ConfigurationError, Policy, rate_limit
from ratekit.asgi import RateLimitMiddleware
from ratekit.errors import RateKitWarning
from ratekit.fastapi import RateLimit, check
from ratekit.routes import Endpoint, Placed, Standing, coverage
from ratekit.stores import AsyncMemoryStore
from ratekit.web.startup import report_on


def told(app, **options):
    """A report as texts: what each route has, and the kinds of what was found."""
    report = report_on(app, **options)
    return {str(endpoint): [str(one) for one in held] for endpoint, held in report.rows if not endpoint.own}, [
        finding.kind for finding in report.findings
    ]


def hello(request):
    return PlainTextResponse("hello")


@rate_limit("3/minute")
def decorated():
    return "hello"


def test_every_way_to_limit_a_fastapi_route_is_seen():
    app = FastAPI(dependencies=[Depends(RateLimit("100/minute", name="application"))])
    router = APIRouter(prefix="/router", dependencies=[Depends(RateLimit("50/minute"))])
    app.add_middleware(RateLimitMiddleware, policies=[Policy("items", "10/second", match="GET /router/items/*")])
    router.get("/items/{number}")(decorated)

    @router.websocket("/ws")
    async def ws(websocket: WebSocket): ...

    app.include_router(router, prefix="/v1")
    app.include_router(router)
    app.post("/plain")(lambda: "hello")
    routes, findings = told(app)
    router_and_decorator = ["application: 100/minute", "decorated: 50/minute", "decorated: 3/minute"]
    assert routes == {
        "GET /v1/router/items/{number}": router_and_decorator,
        "GET /router/items/{number}": ["items: 10/second", *router_and_decorator],
        "WS /v1/router/ws": ["application: 100/minute", "ws: 50/minute"],
        "WS /router/ws": ["application: 100/minute", "ws: 50/minute"],
        "POST /plain": ["application: 100/minute"],
    }
    assert findings == []


def test_a_starlette_application_with_mounts_classes_and_middleware_of_routes_is_read():
    class Both(HTTPEndpoint):
        @rate_limit("3/minute")
        async def get(self, request): ...

        async def post(self, request): ...

    limits = Middleware(RateLimitMiddleware, limits="1/minute")
    inner = Router(routes=[Route("/deep/{rest:path}", hello, methods=["GET"])], middleware=[limits])
    app = Starlette(
        routes=[
            Route("/both", Both),
            Route("/own", hello, middleware=[limits]),
            WebSocketRoute("/ws", hello),
            Mount("/api", app=inner),
            Mount("/static", app=hello),
        ],
        middleware=[Middleware(RateLimitMiddleware, policies=[Policy("p", "9/hour", match=["/api/deep/x", "WS /ws"])])],
    )
    routes, findings = told(app)
    assert routes == {
        "GET|POST /both": ["get: 3/minute"],
        "GET /own": ["default: 1/minute"],
        "WS /ws": ["p: 9/hour"],
        "GET /api/deep/{rest:path}": ["p: 9/hour (some requests)", "default: 1/minute"],
        "/static/{path:path}": [],
    }
    assert findings == ["no limit"]


@pytest.mark.parametrize(
    ("match", "template", "share"),
    [
        ("/items", "/items", "all"),
        ("/items/*", "/items", "none"),
        ("/items/*", "/items/{number}", "all"),
        ("/items/*", "/items/{rest:path}", "all"),
        ("/items/7", "/items/{number}", "some"),
        ("/items/7/x", "/items/{number}", "none"),
        ("/*/edit", "/items/edit", "all"),
        ("/*/edit", "/{kind}/edit", "all"),
        ("/v1.json", "/v1.{form}", "some"),
        ("/v2.json", "/v1.{form}", "none"),
        ("POST /items", "/items", "none"),
        ("HEAD|GET /items", "/items", "all"),
        ("/*", "/", "all"),
        ("/", "/", "all"),
        (["/a", "/items"], "/items", "all"),
    ],
)
def test_a_pattern_and_a_template_meet_for_all_requests_for_some_or_for_none(match, template, share):
    report = coverage([Endpoint(template, ("GET",))], [Policy("p", "1/minute", match=match)])
    ((_, held),) = report.rows
    assert [one.share for one in held] == ([] if share == "none" else [share])
    assert ("matches nothing" in [finding.kind for finding in report.findings]) is (share == "none")


def test_a_policy_that_exempts_all_of_a_route_leaves_it_without_a_limit():
    policy = Policy("p", "1/minute", exempt=["/health", "/metrics/*"])
    report = coverage([Endpoint("/health"), Endpoint("/metrics/{name}"), Endpoint("/")], [policy])
    assert [len(held) for _, held in report.rows] == [0, 0, 1]


def test_a_policy_that_matches_nothing_is_named_with_what_was_probably_meant():
    report = coverage([Endpoint("/login", ("POST",))], [Policy("p", "1/minute", match="POST /log-in")])
    (finding,) = [finding for finding in report.findings if finding.kind == "matches nothing"]
    assert finding.text == "policy 'p' matches no route: 'POST /log-in'; did you mean 'POST /login'?"


def test_a_middleware_of_a_mounted_application_matches_below_its_prefix():
    endpoints = [Endpoint("/api/items", ("GET",)), Endpoint("/items", ("GET",))]
    report = coverage(endpoints, [Placed(Policy("p", "1/minute", match="/items"), "/api")])
    assert [len(held) for _, held in report.rows] == [1, 0]


def test_a_route_without_a_limit_may_be_meant_and_then_is_named():
    endpoints = [Endpoint("/", ("GET",)), Endpoint("/health", ("GET",)), Endpoint("/docs", ("GET",), own=True)]
    assert [finding.text[:6] for finding in coverage(endpoints).findings] == ["GET / ", "GET /h"]
    assert coverage(endpoints, unlimited=["/", "/health"]).findings == ()


def test_memory_under_several_workers_is_found_whoever_names_it():
    app = FastAPI(dependencies=[Depends(RateLimit("1/minute", store="memory://"))])
    app.get("/")(lambda: "hello")
    assert told(app, processes=2)[1] == ["memory"]
    assert told(app, processes=1)[1] == []
    own = FastAPI(dependencies=[Depends(RateLimit("1/minute", store=AsyncMemoryStore()))])
    own.get("/")(lambda: "hello")
    assert told(own, processes=2)[1] == [], "a store object is its owner's affair"


def test_a_decorated_endpoint_without_the_middleware_is_found(monkeypatch):
    app = FastAPI()
    app.get("/")(decorated)
    assert told(app)[1] == ["no middleware"]
    app.add_middleware(RateLimitMiddleware)
    assert told(app)[1] == []


def test_two_functions_of_one_name_that_count_together_are_found():
    def made():
        @rate_limit("1/minute")
        def home(): ...

        return home

    app, limiter = FastAPI(), AsyncLimiter("1/minute", name="shared")
    app.add_middleware(RateLimitMiddleware)
    app.get("/home")(made())
    app.get("/mars")(made())
    (finding,) = report_on(app).findings
    assert finding.text.startswith("GET /home and GET /mars are limited by functions of one name, ")

    both = FastAPI()
    both.add_middleware(RateLimitMiddleware)
    both.get("/home")(decorated)
    both.get("/mars")(decorated)

    @both.get("/a")
    @rate_limit(limiter)
    async def a(): ...

    @both.get("/b")
    @rate_limit(limiter)
    async def b(): ...

    assert report_on(both).findings == (), "one function, and one limiter, are meant to count together"


def test_switched_off_is_found(monkeypatch):
    monkeypatch.setenv("RATEKIT_ENABLED", "0")
    assert [finding.kind for finding in coverage([], off=True).findings] == ["off"]
    assert told(Starlette())[1] == ["off"]


@pytest.fixture
def app():
    app = FastAPI()
    app.get("/")(lambda: "hello")
    return app


def test_the_start_of_an_application_logs_its_routes_and_warns_of_what_is_not_meant(app, client_of, caplog):
    app.add_middleware(RateLimitMiddleware, policies=[Policy("p", "1/minute", match="/nowhere")])
    with caplog.at_level(logging.INFO, "ratekit"), client_of(app) as client:
        assert client.get("/").status_code == 200
        client.get("/")
    said = [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "ratekit"]
    assert ("INFO", "rate limiting: GET /: no limit") in said
    assert [text for level, text in said if level == "WARNING"] == ["rate limiting: policy 'p' matches no route: '/nowhere'"]


def test_routes_that_the_start_of_an_application_adds_are_seen(client_of, caplog):
    @asynccontextmanager
    async def lifespan(app):
        app.get("/late")(lambda: "late")
        yield

    app = FastAPI(lifespan=lifespan)
    app.add_middleware(RateLimitMiddleware, policies=[Policy("p", "1/minute", match="/late")], strict=True)
    with client_of(app) as client:
        assert client.get("/late").status_code == 200


def test_strict_keeps_an_application_from_starting(app, client_of, caplog):
    app.add_middleware(RateLimitMiddleware, policies=[Policy("p", "1/minute", match="/nowhere")], strict=True)
    with pytest.raises(Exception, match=r"strict: GET / has no limit.*policy 'p' matches no route"), client_of(app):
        pass


def test_strict_serves_nothing_where_nobody_runs_the_start(app, client_of):
    app.add_middleware(RateLimitMiddleware, strict=True)
    client = client_of(app)
    assert [client.get("/").status_code for _ in range(3)] == [500] * 3


def test_strict_starts_an_application_that_is_switched_off_and_warns(app, client_of, caplog, monkeypatch):
    monkeypatch.setenv("RATEKIT_ENABLED", "0")
    app.add_middleware(RateLimitMiddleware, limits="1/minute", strict=True)
    with pytest.warns(RateKitWarning, match="RATEKIT_ENABLED"), client_of(app) as client:
        assert [client.get("/").status_code for _ in range(3)] == [200] * 3
    said = [record.getMessage() for record in caplog.records if record.name == "ratekit" and record.levelname == "WARNING"]
    assert said == ["rate limiting: RATEKIT_ENABLED switches all rate limiting off: unset it to limit again"]


def test_strict_finds_what_is_wrong_also_while_limiting_is_off(app, monkeypatch):
    monkeypatch.setenv("RATEKIT_ENABLED", "0")
    with pytest.raises(ConfigurationError, match=r"^strict: GET / has no limit[^;]*$"):
        check(app, strict=True)


def test_strict_is_content_where_every_route_has_a_limit_or_is_named(app, client_of):
    app.add_middleware(RateLimitMiddleware, limits="5/minute", strict=True, store=AsyncMemoryStore())
    with client_of(app) as client:
        assert client.get("/").status_code == 200
    named = FastAPI()
    named.get("/")(lambda: "hello")
    named.add_middleware(RateLimitMiddleware, strict=True, unlimited="/")
    with client_of(named) as client:
        assert client.get("/").status_code == 200


def test_an_application_without_the_middleware_is_checked_by_one_line(app, caplog):
    assert [finding.kind for finding in check(app).findings] == ["no limit"]
    with pytest.raises(ConfigurationError, match="GET / has no limit"):
        check(app, strict=True)
    assert check(app, strict=True, unlimited=["/"]).findings == ()


def test_an_application_that_cannot_be_read_is_served_all_the_same(client_of, caplog):
    class Odd:
        routes = 7

        async def __call__(self, scope, receive, send):
            await PlainTextResponse("odd")(scope, receive, send)

    client = client_of(RateLimitMiddleware(Odd(), "5/minute", store=AsyncMemoryStore()))
    assert client.get("/").text == "odd"
    assert "the routes cannot be read: TypeError" in caplog.text


def test_limits_that_stand_at_a_route_are_shown_with_it():
    standing = Standing("report", coverage([], []).rows or (), bare=True)
    report = coverage([Endpoint("/report", ("GET",), (standing,))])
    assert [str(one) for _, held in report.rows for one in held] == ["report: "]
