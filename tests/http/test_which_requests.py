"""
Which requests a policy means: what a pattern matches is what Starlette routes, however the request is spelt.
"""

import pytest
from calling import Counted, ask, hello, parsed, scope_of, statuses
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from running import raw, serving
from spellings import SPELLINGS
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute

from ratekit import ConfigurationError, Policy
from ratekit.asgi import RateLimitMiddleware, routed_path
from ratekit.policy import matcher_of
from ratekit.request import Request
from ratekit.stores import AsyncMemoryStore


def request(what, headers=()):
    method, _, path = what.partition(" ")
    fields = [(name.encode(), value.encode()) for name, value in headers]
    return Request(method=method, path=path, fields=fields, query=b"", client=lambda _: "192.0.2.1", native=None)


def matches(pattern, what, **options):
    return matcher_of(pattern)(request(what, **options))


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        (
            "/login",
            ["GET /login", "POST /login", "BREW /login", "WS /login"],
            ["GET /login/", "GET /logins", "GET /a/login", "GET /Login"],
        ),
        ("POST /login", ["POST /login"], ["GET /login", "PUT /login", "WS /login", "HEAD /login"]),
        ("GET /x", ["GET /x", "HEAD /x"], ["POST /x", "WS /x", "OPTIONS /x"]),
        ("HEAD /x", ["HEAD /x"], ["GET /x"]),
        ("GET|POST /x", ["GET /x", "POST /x", "HEAD /x"], ["PUT /x"]),
        ("WS /chat", ["WS /chat"], ["GET /chat"]),
        ("WS|GET /chat", ["WS /chat", "GET /chat", "HEAD /chat"], ["POST /chat"]),
        (
            "/items/*",
            ["GET /items/1", "GET /items/", "GET /items/1/2", "GET /items/a\nb", "GET /items//"],
            ["GET /items", "GET /itemsx"],
        ),
        ("/items/*/edit", ["GET /items/1/edit"], ["GET /items//edit", "GET /items/1/2/edit", "GET /items/1/edit/", "GET /items/1"]),
        ("/*/edit", ["GET /a/edit"], ["GET //edit", "GET /a/b/edit"]),
        ("/a/*/b/*", ["GET /a/1/b/", "GET /a/1/b/2/3"], ["GET /a/1/b", "GET /a//b/2"]),
        ("/*", ["GET /", "GET /x", "GET /x/y", "WS /"], ["GET *", "GET "]),
        ("/", ["GET /"], ["GET /x", "GET //", "GET "]),
        ("/a.b", ["GET /a.b"], ["GET /axb"]),
        ("/a+(b)", ["GET /a+(b)"], ["GET /aab"]),
        ("/grüße", ["GET /grüße"], ["GET /gr%C3%BC%C3%9Fe"]),
        (["/a", "POST /b"], ["GET /a", "POST /b"], ["GET /b"]),
        (None, ["GET /", "WS /x", "POST ", "OPTIONS /x", "GET *"], []),
    ],
)
def test_a_pattern_means_these_requests_and_not_those(pattern, yes, no):
    assert [what for what in yes if not matches(pattern, what)] == []
    assert [what for what in no if matches(pattern, what)] == []


PREFLIGHT = [("origin", "https://a.example"), ("access-control-request-method", "POST")]


def test_a_preflight_is_free_unless_a_pattern_says_options():
    for pattern in (None, "/x", "/*", "POST /x", "GET|POST /x", ["/x", "POST /x"]):
        assert not matches(pattern, "OPTIONS /x", headers=PREFLIGHT), pattern
    assert matches("OPTIONS /x", "OPTIONS /x", headers=PREFLIGHT)
    assert matches("POST|OPTIONS /x", "OPTIONS /x", headers=PREFLIGHT)
    assert not matches("OPTIONS /y", "OPTIONS /x", headers=PREFLIGHT)


@pytest.mark.parametrize("headers", [[], PREFLIGHT[:1], PREFLIGHT[1:]])
def test_an_options_request_that_is_no_preflight_counts(headers):
    assert matches(None, "OPTIONS /x", headers=headers)
    assert matches("/x", "OPTIONS /x", headers=headers)


def test_another_method_with_a_preflights_headers_counts():
    assert matches(None, "POST /x", headers=PREFLIGHT)
    assert matches("POST /x", "POST /x", headers=PREFLIGHT)


def test_a_preflight_costs_nothing_and_is_told_nothing():
    app = RateLimitMiddleware(hello, "1/minute", store=AsyncMemoryStore())
    first = ask(app, "OPTIONS /", headers=PREFLIGHT)
    assert (first.status, first.lines("ratelimit")) == (200, [])
    assert statuses(app, "OPTIONS /", 3, headers=PREFLIGHT) == [200, 200, 200]
    assert statuses(app, "GET /", 2) == [200, 429]


@pytest.mark.parametrize(
    "wrong",
    ["login", "", " ", "post /login", "Post /login", "POST", "POST login", "POST,GET /x", "POST|/x", "|POST /x", "GET| POST /x", "/a b", "GET /a\n",
     "*", "**", "http://x/y", "GET\t/x", " /x", "/x "],
)  # fmt: skip
def test_a_pattern_that_is_none_is_a_configuration_error_that_shows_one(wrong):
    with pytest.raises(ConfigurationError, match=r"write '/path', 'METHOD /path' or 'GET\|POST /path', with methods in capitals"):
        Policy("p", "1/minute", match=wrong)


@pytest.mark.parametrize("wrong", ["/items/{id}", "/a*", "/a/**", "/a/*b/c", "/*.png", "/{path:path}", "/a}", "/items/<int:id>"])
def test_a_segment_that_is_none_is_a_configuration_error_that_names_it(wrong):
    with pytest.raises(
        ConfigurationError, match="is no segment; write '\\*' for one whole segment, a trailing '/\\*' for the rest"
    ):
        Policy("p", "1/minute", match=wrong)


def test_a_pattern_with_a_query_is_a_configuration_error_that_says_how_to_choose_by_one():
    with pytest.raises(ConfigurationError, match="to choose by the query give a callable as exempt"):
        Policy("p", "1/minute", match="GET /search?q=*")


@pytest.mark.parametrize("wrong", [[], (), 5, [5], ["/a", None], True, {}])
def test_a_match_that_is_neither_text_nor_list_is_a_configuration_error(wrong):
    with pytest.raises(ConfigurationError, match="write a pattern such as 'POST /login' or '/api/\\*', or a list of them"):
        Policy("p", "1/minute", match=wrong)
    with pytest.raises(ConfigurationError, match="write a pattern such as 'POST /login' or '/api/\\*', or a list of them"):
        Policy("p", "1/minute", exempt=wrong)


# Per route, which policy is to have counted a request that reached it.
ROUTED = {"login": "POST /login", "item": "POST /items/*", "page": "GET /page", "in": "/sub/*", "class": "POST /class"}


def routed(app_of):
    """An application whose endpoints say which they are, behind one policy per route; both read off a request's answer."""

    def endpoint(name):
        async def answer(request):
            return PlainTextResponse("", headers={"x-endpoint": name})

        return answer

    class Class(HTTPEndpoint):
        async def post(self, request):
            return PlainTextResponse("", headers={"x-endpoint": "class"})

    routes = [
        Route("/login", endpoint("login"), methods=["POST"]),
        Route("/items/{item}", endpoint("item"), methods=["POST"]),
        Route("/page", endpoint("page")),
        Mount("/sub", routes=[Route("/in", endpoint("in"))]),
        Route("/class", Class),
    ]
    policies = [Policy(name, "1000000/minute", match=match) for name, match in ROUTED.items()]
    return app_of(routes, Middleware(RateLimitMiddleware, policies=policies, store=AsyncMemoryStore()))


def starlette_app(routes, middleware):
    return Starlette(routes=routes, middleware=[middleware])


def fastapi_app(routes, middleware):
    return FastAPI(routes=routes, middleware=[middleware], openapi_url=None)


@pytest.mark.parametrize("app_of", [starlette_app, fastapi_app])
@pytest.mark.parametrize("root_path", ["", "/behind"])
def test_however_a_request_is_spelt_the_path_that_is_matched_is_the_path_that_is_routed(app_of, root_path):
    reached, missed, over = [], [], []
    with serving(routed(app_of), root_path=root_path) as port:
        for spelling in SPELLINGS:
            status, headers, _ = raw(port, f"{spelling.encode().decode('latin-1')} HTTP/1.1")
            counted = [name for name, _ in parsed(headers.get("ratelimit-policy", ""))]
            endpoint = headers.get("x-endpoint")
            if endpoint is None:
                assert status != 200, spelling
                continue
            reached.append(endpoint)
            if endpoint not in counted:
                missed.append(spelling)
            if set(counted) - {endpoint}:
                over.append(spelling)
    assert len(SPELLINGS) >= 50
    assert set(reached) == set(ROUTED), "every route is reached, else this test proves nothing"
    assert missed == []
    assert over == []


@given(
    st.text(st.sampled_from("/logins%.\n\r\0 ;?#*ABab1") | st.characters(), max_size=12), st.sampled_from(["", "/a", "/login", "/"])
)
def test_the_path_is_the_one_that_starlette_routes_below_every_root_path(path, root_path):
    from starlette._utils import get_route_path

    scope = scope_of(f"GET /{path}", root_path=root_path)
    assert routed_path(scope) == get_route_path(scope)


@given(st.text(st.sampled_from("/ab\n1"), max_size=8))
def test_whatever_starlette_routes_a_pattern_of_the_same_form_matches(path):
    for route, pattern in (
        ("/a", "/a"),
        ("/a/{x}", "/a/*"),
        ("/a/{x}/b", "/a/*/b"),
        ("/{x}", "/*"),
        ("/a/{rest:path}", "/a/*"),
        ("/a/{n:int}", "/a/*"),
    ):
        if Route(route, hello).path_regex.match(f"/{path}"):
            assert matches(pattern, f"GET /{path}"), (route, path)


def test_inside_a_mount_patterns_are_the_mounted_applications_own():
    inner = Counted()
    limited = RateLimitMiddleware(inner, policies=[Policy("in", "1/minute", match="/in")], store=AsyncMemoryStore())
    outer = Starlette(routes=[Mount("/sub", app=limited)])
    assert statuses(outer, "GET /sub/in", 2) == [200, 429]
    assert statuses(outer, "GET /sub/sub/in", 2) == [200, 200]
    assert inner.reached == 3


def test_a_method_counts_in_any_case_because_some_frameworks_raise_it():
    app = RateLimitMiddleware(hello, policies=[Policy("p", "1/minute", match="POST /x")], store=AsyncMemoryStore())
    assert [ask(app, what).status for what in ("POST /x", "post /x", "pOsT /x")] == [200, 429, 429]


def test_head_is_counted_with_get():
    app = RateLimitMiddleware(hello, policies=[Policy("p", "1/minute", match="GET /x")], store=AsyncMemoryStore())
    assert ask(app, "HEAD /x").status == 200
    assert ask(app, "GET /x").status == 429


def test_without_a_match_a_client_has_one_bucket_across_routes_unknown_ones_included():
    app = Starlette(
        routes=[Route("/a", lambda _: PlainTextResponse("a"))],
        middleware=[Middleware(RateLimitMiddleware, limits="3/minute", store=AsyncMemoryStore())],
    )
    assert [ask(app, what).status for what in ("GET /a", "GET /nowhere", "POST /a", "GET /a")] == [200, 404, 405, 429]


def test_websocket_routes_are_matched_as_ws():
    async def endpoint(websocket):
        await websocket.accept()

    policies = [Policy("p", "1/minute", match="WS /chat")]
    app = Starlette(
        routes=[WebSocketRoute("/chat", endpoint), WebSocketRoute("/other", endpoint)],
        middleware=[Middleware(RateLimitMiddleware, policies=policies, store=AsyncMemoryStore())],
    )
    assert [ask(app, "WS /chat").messages[0]["type"] for _ in range(2)] == ["websocket.accept", "websocket.close"]
    assert [ask(app, "WS /other").messages[0]["type"] for _ in range(2)] == ["websocket.accept", "websocket.accept"]
