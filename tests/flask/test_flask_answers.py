"""
What a client of a Flask application is told, and by whom: header fields, refusals, own pages, faults.
"""

import asyncio
import logging

import httpx
import pytest
from flask import Flask, Response, abort, jsonify, redirect, request, stream_with_context
from flask_apps import app_of, ask, statuses, told
from werkzeug.middleware.proxy_fix import ProxyFix

from ratekit import ConfigurationError, Limiter, Policy, RateLimitExceeded, StoreUnavailable
from ratekit import rate_limit as limited_function
from ratekit.asgi import RateLimitMiddleware as AsgiMiddleware
from ratekit.flask import RateLimited, RateLimits, check, rate_limit
from ratekit.stores import MemoryStore
from ratekit.wsgi import RateLimitMiddleware


def hello(app, **options):
    app.add_url_rule("/", "home", lambda: "hello", **options)
    return app


def test_every_answer_says_what_is_left_and_a_refusal_is_a_problem_body():
    app = hello(app_of("2/minute"))
    first, _, refused = (ask(app) for _ in range(3))
    assert told(first, "ratelimit-policy") == {"default": {"q": 2, "w": 60}}
    assert told(first) == {"default": {"r": 1, "t": 60}}
    assert (refused.status_code, refused.headers["retry-after"], refused.mimetype) == (429, "60", "application/problem+json")
    assert refused.get_json()["violated-policies"] == ["default"]
    assert refused.headers["cache-control"] == "no-store"
    assert told(refused) == {"default": {"r": 0, "t": 60}}


def test_a_refused_head_request_has_the_fields_and_no_body():
    app = hello(app_of("1/minute"))
    refused = [ask(app, "HEAD /") for _ in range(2)][1]
    assert (refused.status_code, refused.data, refused.headers["retry-after"]) == (429, b"", "60")


def test_an_error_handler_for_429_answers_with_a_page_of_its_own_and_the_fields_stay():
    app = hello(app_of("1/minute"))

    @app.errorhandler(429)
    def slow_down(error):
        assert isinstance(error, RateLimited)
        return f"<p>{error.decision.retry_after:g} s", 429

    refused = [ask(app) for _ in range(2)][1]
    assert (refused.status_code, refused.text, refused.headers["retry-after"]) == (429, "<p>60 s", "60")
    assert told(refused) == {"default": {"r": 0, "t": 60}}


def test_a_blueprints_error_handler_and_one_for_all_http_errors_are_asked_too():
    app = hello(app_of("1/minute"))

    @app.errorhandler(Exception)
    def every(error):
        return jsonify(code=error.code, name=error.name), error.code

    assert [ask(app).get_json(silent=True) for _ in range(2)] == [None, {"code": 429, "name": "Too Many Requests"}]


@pytest.mark.parametrize(
    ("own", "status"),
    [
        (lambda request, decision: f"<p>{request.path}: {decision.retry_after:g} s", 429),
        (lambda request, decision: {"wait": decision.retry_after}, 429),
        (lambda request, decision: ("later", 503), 503),
        (lambda request, decision: redirect("/slow-down"), 302),
        (lambda request, decision: None, 429),
    ],
)
def test_on_refused_gives_what_a_view_may_return(own, status):
    app = hello(app_of("1/minute", on_refused=own))
    refused = [ask(app) for _ in range(2)][1]
    assert (refused.status_code, refused.headers["retry-after"]) == (status, "60")
    assert told(refused) == {"default": {"r": 0, "t": 60}}


def test_an_own_answer_may_say_by_itself_when_to_come_again():
    app = hello(app_of("1/minute", on_refused=lambda request, decision: ("later", 429, {"Retry-After": "7"})))
    assert [ask(app).headers.get("retry-after") for _ in range(2)] == [None, "7"]


def test_a_view_that_fails_is_charged_and_its_answer_has_the_fields():
    app = app_of("2/minute")
    app.add_url_rule("/", "broken", lambda: 1 / 0)
    app.add_url_rule("/away", "away", lambda: abort(418))
    assert [ask(app, path).status_code for path in ("GET /", "GET /away", "GET /")] == [500, 418, 429]


def test_a_header_field_is_added_to_what_the_view_says_of_its_own():
    app = app_of("2/minute")
    app.add_url_rule("/", "home", lambda: ("hello", 200, {"X-Mine": "1", "Set-Cookie": "a=b"}))
    response = ask(app)
    assert response.headers["x-mine"] == "1"
    assert told(response) == {"default": {"r": 1, "t": 60}}


# Limited functions inside a view.


@pytest.mark.parametrize("kind", ["text", "stream", "stream with context"])
def test_a_limited_function_inside_a_view_counts_by_address_and_is_told_in_the_same_field(kind):
    @limited_function("1/minute")
    def line():
        return "a line"

    def lines():
        yield line()

    app = app_of("9/minute")
    views = {
        "text": line,
        "stream": lambda: Response(lines()),
        "stream with context": lambda: Response(stream_with_context(lines())),
    }
    app.add_url_rule("/", "home", views[kind])
    first, refused, other = (ask(app, client=client) for client in ("192.0.2.1", "192.0.2.1", "192.0.2.2"))
    assert [answer.status_code for answer in (first, refused, other)] == [200, 429, 200]
    assert {name: item["r"] for name, item in told(first).items()} == {"default": 8, "line": 0}
    assert refused.get_json()["violated-policies"] == ["line"]
    assert refused.headers["retry-after"]


def test_a_limiter_of_ones_own_that_refuses_inside_a_view_is_429_and_an_own_handler_comes_first():
    limiter = Limiter("1/minute", store=MemoryStore())

    def view():
        decision = limiter.hit("everybody")
        if not decision:
            raise RateLimitExceeded(decision)
        return "hello"

    app = app_of()
    app.add_url_rule("/", "home", view)
    assert statuses(app) == [200, 429, 429]
    other = Flask("other")
    other.register_error_handler(RateLimitExceeded, lambda error: ("mine", 420))
    RateLimits(other)
    other.add_url_rule("/", "home", view)
    assert ask(other).status_code == 420


def test_async_views_are_limited_alike():
    app = app_of()

    @app.get("/")
    @rate_limit("1/minute")
    async def home():
        await asyncio.sleep(0)
        return "hello"

    assert [(answer.status_code, answer.text[:5]) for answer in (ask(app), ask(app))] == [(200, "hello"), (429, '{"typ')]


# Who is asking.


def test_each_client_has_a_quota_of_its_own_and_forged_headers_change_nothing():
    app = hello(app_of("1/minute"))
    forged = [{"X-Forwarded-For": f"198.51.100.{i}", "Forwarded": f"for=198.51.100.{i}", "X-Real-IP": f"{i}"} for i in range(4)]
    assert [ask(app, headers=headers).status_code for headers in forged] == [200, 429, 429, 429]
    assert ask(app, client="192.0.2.2").status_code == 200


@pytest.mark.parametrize("by", ["trusted_proxies", "ProxyFix inside", "ProxyFix outside"])
def test_behind_a_proxy_each_client_has_its_own_quota_by_either_way_of_saying_so(by):
    if by == "ProxyFix inside":
        app = Flask("shop")
        app.wsgi_app = ProxyFix(app.wsgi_app)
        RateLimits(app, "1/minute", store=MemoryStore())
    else:
        app = app_of("1/minute", trusted_proxies=["192.0.2.0/24"] if by == "trusted_proxies" else [])
        if by == "ProxyFix outside":
            app.wsgi_app = ProxyFix(app.wsgi_app)
    hello(app)
    clients = ["198.51.100.1", "203.0.113.9, 198.51.100.1", "198.51.100.2"]
    assert [ask(app, headers={"X-Forwarded-For": client}).status_code for client in clients] == [200, 429, 200]


@pytest.mark.parametrize("missing", ["ip", "refuse", "skip"])
def test_an_identity_that_is_absent_is_what_missing_says(missing):
    app = app_of(policies=[Policy("keyed", "1/minute", key="header:x-api-key", missing=missing)])
    assert statuses(hello(app)) == {"ip": [200, 429, 429], "refuse": [401, 401, 401], "skip": [200, 200, 200]}[missing]


def test_without_an_address_the_answer_is_500_and_one_line_says_what_to_do(caplog):
    app = hello(app_of("9/minute"))
    assert statuses(app, client="") == [500] * 3
    (error,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert "trusted_proxies" in error


@pytest.mark.parametrize(
    "path", ["//login", "///login", "/login?x=1", "/./login", "/login%0a", "/LOGIN", "/log%69n", "/a/../login"]
)
def test_a_limited_view_is_not_slipped_past_by_another_spelling_of_its_path(path):
    reached = []
    app = app_of(policies=[Policy("pattern", "1/minute", match="POST /login")])
    app.post("/login")(rate_limit("1/minute")(lambda: reached.append(request.path) or "welcome"))
    assert ask(app, "POST /login").status_code == 200
    assert ask(app, f"POST {path}", follow_redirects=True).status_code in (429, 404, 405)
    assert reached == ["/login"]


# Faults.


def test_a_store_that_is_away_inside_a_view_is_503_and_logged_once(caplog):
    def view():
        raise StoreUnavailable("gone")

    app = app_of("9/minute")
    app.add_url_rule("/", "home", view)
    assert statuses(app) == [503] * 3
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 1


def test_closed_is_503_and_open_and_local_go_on():
    for on_outage, expected in (("closed", [503] * 3), ("open", [200] * 3), ("local", [200, 429, 429])):
        app = hello(app_of("1/minute", store="redis://127.0.0.1:1/0", on_outage=on_outage, name=on_outage))
        assert statuses(app) == expected
        assert ask(app).headers.get("retry-after", "1").isdecimal()


@pytest.mark.parametrize(("on_outage", "expected"), [("local", [200, 429, 429]), ("open", [200] * 3), ("closed", [503] * 3)])
def test_a_key_that_raises_is_an_outage_of_its_policy_and_one_line_in_the_log(caplog, on_outage, expected):
    app = app_of(on_outage=on_outage)
    app.get("/")(rate_limit("1/minute", key=lambda request: request.headers["x-absent"])(lambda: "hello"))
    assert statuses(app) == expected
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 1


def test_ratekits_middleware_around_tells_what_is_decided_inside_in_its_one_field():
    app = app_of("9/minute", policies=None)
    app.get("/")(rate_limit("3/minute")(lambda: "hello"))
    around = RateLimitMiddleware(app.wsgi_app, policies=[Policy("outer", "2/minute")], store=MemoryStore())
    app.wsgi_app = around
    answers = [ask(app) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert {name: item["r"] for name, item in told(answers[0]).items()} == {"outer": 1, "default": 8, "<lambda>": 2}


# What is looked at before the first request.


def test_strict_serves_nothing_while_a_route_has_no_limit(caplog):
    app = app_of(default=None, strict=True)
    app.get("/limited")(rate_limit("1/minute")(lambda: "hello"))
    app.add_url_rule("/open", "open", lambda: "open")
    assert statuses(app, "GET /limited") == [500] * 3
    assert "GET /open has no limit" in caplog.text
    with pytest.raises(ConfigurationError, match="GET /open has no limit"):
        check(app, strict=True)
    check(app, strict=True, unlimited="/open")


def test_the_first_request_warns_of_a_policy_that_matches_nothing(caplog):
    app = hello(app_of(policies=[Policy("login", "5/minute", match="POST /logn")]))
    app.add_url_rule("/login", "login", lambda: "welcome", methods=["POST"])
    assert "matches no route" not in caplog.text
    assert statuses(app) == [200] * 3
    assert caplog.text.count("matches no route: 'POST /logn'; did you mean 'POST /login'?") == 1


def test_flask_wsgi_and_asgi_applications_on_one_redis_share_one_quota_to_the_request(redis_url):
    options = {"limits": "5/minute", "store": redis_url, "budget": 10.0, "name": "shared"}
    flask = hello(app_of(**options))
    wsgi = Flask("inside")
    hello(wsgi).wsgi_app = RateLimitMiddleware(wsgi.wsgi_app, **options)

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})

    async def asked():
        transport = httpx.ASGITransport(AsgiMiddleware(app, **options), client=("192.0.2.1", 4711))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return [(await client.get("/")).status_code for _ in range(2)]

    assert statuses(flask, times=2) + statuses(wsgi, times=2) == [200] * 4
    assert asyncio.run(asked()) == [200, 429]
    assert statuses(flask, times=1) + statuses(wsgi, times=1) == [429] * 2
