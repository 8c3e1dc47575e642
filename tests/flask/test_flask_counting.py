"""
The counting middleware for Flask and for WSGI: what is counted of each request, in-process and under a real gunicorn.
"""

import contextlib
from pathlib import Path

import pytest
import servers
from flask import Blueprint, Flask, Response, abort
from flask_apps import ask
from gunicorns import gunicorn

from ratekit import ConfigurationError
from ratekit.counters import Traffic
from ratekit.counters.served import NO_ROUTE
from ratekit.flask import Counting, RateLimits, rate_limit
from ratekit.flask.counting import EXTENSION
from ratekit.stores import MemoryStore
from ratekit.testing import ManualClock
from ratekit.wsgi import CountingMiddleware, RateLimitMiddleware

HERE = Path(__file__).parent


@pytest.fixture
def traffic():
    with Traffic(store=MemoryStore(clock=ManualClock()), every=3_600) as traffic:
        yield traffic


def counted(traffic):
    return {f"{line.method} {line.route}": dict(line.statuses) for line in traffic.report().lines}


def refused(traffic):
    return [(one.policy, one.who, one.times) for one in traffic.report().refused]


def shop(traffic, limits=None):
    app, admin = Flask("shop"), Blueprint("admin", __name__, url_prefix="/admin")
    if limits:
        RateLimits(app, limits, store=MemoryStore(clock=ManualClock()))
    Counting(app, traffic=traffic)

    @app.route("/items/<int:number>", methods=["GET", "POST"])
    def item(number):
        return str(number)

    @app.get("/stream")
    def stream():
        return Response(character for character in "abc")

    @app.get("/gone")
    def gone():
        abort(410)

    @app.get("/broken")
    def broken():
        raise LookupError

    @admin.get("/users/<name>")
    @rate_limit("1/minute", key=lambda request: request.path)
    def user(name):
        return name

    app.register_blueprint(admin)
    return app


def test_requests_are_counted_by_the_rules_of_their_views(traffic):
    app = shop(traffic)
    for what in (
        "GET /items/1",
        "GET /items/2",
        "POST /items/3",
        "PUT /items/4",
        "GET /items/x",
        "GET /stream",
        "GET /gone",
        "GET /broken",
    ):
        ask(app, what)
    assert counted(traffic) == {
        "GET /items/<int:number>": {200: 2},
        "POST /items/<int:number>": {200: 1},
        f"PUT {NO_ROUTE}": {405: 1},
        f"GET {NO_ROUTE}": {404: 1},
        "GET /stream": {200: 1},
        "GET /gone": {410: 1},
        "GET /broken": {500: 1},
    }


def test_whom_the_application_or_a_view_refuses_is_known(traffic):
    app = shop(traffic, "3/minute")
    statuses = [ask(app, f"GET {path}", client=client).status_code for path, client in (("/admin/users/ann", "192.0.2.1"),) * 2]
    statuses += [ask(app, "GET /items/1", client="192.0.2.9").status_code for _ in range(5)]
    assert statuses == [200, 429, 200, 200, 200, 429, 429]
    assert {(who, times) for _, who, times in refused(traffic)} == {("192.0.2.9", 2), ("/admin/users/ann", 1)}
    assert counted(traffic)["GET /items/<int:number>"] == {200: 3, 429: 2}


def test_flask_is_counted_once_and_what_cannot_be_is_said(traffic):
    app = shop(traffic)
    for wrong in (lambda: Counting(app), lambda: Counting("shop"), lambda: Counting(Flask("other"), color="red")):
        with pytest.raises(ConfigurationError):
            wrong()
    assert app.extensions[EXTENSION].traffic is traffic


# --- WSGI without a framework ---


def call(app, path="/", method="GET", client="192.0.2.1", **environ):
    """The status of an answer, all of which is read, and what was raised."""
    statuses = []
    environ |= {"PATH_INFO": path, "REQUEST_METHOD": method, "REMOTE_ADDR": client}
    body = app(environ, lambda status, headers, *rest: statuses.append(int(status[:3])))
    b"".join(body)
    if hasattr(body, "close"):
        body.close()
    return statuses[-1]


def plain(environ, start_response):
    start_response("200 OK", [])
    return [b"ok"]


def lazy(environ, start_response):
    start_response("206 Partial Content", [])
    yield b"ok"


def failing(environ, start_response):
    raise LookupError


def empty(environ, start_response):
    start_response("204 No Content", [])
    return
    yield


@pytest.mark.parametrize(("app", "status"), [(plain, 200), (lazy, 206), (empty, 204), (failing, 500)])
def test_an_answer_is_counted_whenever_it_begins(traffic, app, status):
    with contextlib.suppress(LookupError):
        call(CountingMiddleware(app, traffic=traffic))
    assert counted(traffic) == {f"GET {NO_ROUTE}": {status: 1}}


def test_an_applications_word_for_the_route_and_clients_behind_proxies(traffic):
    limited = RateLimitMiddleware(lazy, "1/minute", store=MemoryStore(clock=ManualClock()), trusted_proxies=["10.0.0.0/8"])

    def routed(environ, start_response):
        environ["ratekit.route"] = environ["PATH_INFO"][:2]
        return limited(environ, start_response)

    app = CountingMiddleware(routed, traffic=traffic, trusted_proxies=["10.0.0.0/8"])
    forwarded = {"HTTP_X_FORWARDED_FOR": "198.51.100.7"}
    assert [call(app, "/abc", client="10.0.0.1", **forwarded) for _ in range(3)] == [206, 429, 429]
    assert counted(traffic) == {"GET /a": {206: 1, 429: 2}}
    assert refused(traffic) == [("default", "198.51.100.7", 2)]


def test_closing_writes_what_waits(redis_url):
    app = CountingMiddleware(plain, store=redis_url, name="closing", every=3_600)
    call(app)
    app.close()
    with Traffic("closing", store=redis_url, budget=10) as reader:
        assert reader.report().requests == 1


def test_two_workers_of_gunicorn_add_into_one_picture(redis_url):
    import httpx

    words = ("--workers", "2", "--threads", "2")
    pids, statuses = set(), []
    with gunicorn("counted_app:application", HERE, *words, RATEKIT_STORE=redis_url) as (url, _):

        def served():
            answer = httpx.get(f"{url}/items/{len(statuses)}", trust_env=False, timeout=20)
            statuses.append(answer.status_code)
            pids.add(answer.text if answer.status_code == 200 else "")
            return len(pids - {""}) == 2 and len(statuses) >= 50

        servers.until(served)
    with Traffic("counted", store=redis_url, budget=10) as reader:
        report = reader.report()
    assert {line.route: dict(line.statuses) for line in report.lines} == {
        "/items/<int:number>": {200: 40, 429: len(statuses) - 40},
    }
    assert [(one.who, one.times) for one in report.refused] == [("127.0.0.1", len(statuses) - 40)]
