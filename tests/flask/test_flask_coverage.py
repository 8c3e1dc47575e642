"""
The coverage report of a Flask application: which route has which limits.
"""

import json
import subprocess
import sys
from pathlib import Path

from flask import Blueprint, Flask
from flask.views import MethodView
from flask_apps import app_of

from ratekit import Policy
from ratekit import rate_limit as limited_function
from ratekit.flask import check, exempt, rate_limit
from ratekit.wsgi import RateLimitMiddleware


def rows(app):
    return {str(endpoint): [str(held) for held in holds] for endpoint, holds in check(app).rows}


def findings(app):
    return [(finding.kind, finding.text) for finding in check(app).findings]


class Items(MethodView):
    def get(self, number):
        return "item"

    @rate_limit("1/second")
    def put(self, number):
        return "changed"


def test_every_route_is_listed_with_all_that_limits_it():
    blog = rate_limit("30/minute")(Blueprint("blog", "blog", url_prefix="/blog"))
    blog.add_url_rule("/<path:page>", "page", rate_limit("5/minute", methods="POST")(lambda page: page), methods=["GET", "POST"])
    app = app_of("100/minute", default="10/minute")
    app.register_blueprint(blog)
    app.add_url_rule("/items/<int:number>", view_func=Items.as_view("items"))
    app.get("/health")(exempt(lambda: "well"))
    app.add_url_rule("/report", "report", limited_function("2/minute")(lambda: "report"))
    assert rows(app) == {
        "GET /static/{filename:path}": ["default: 100/minute"],
        "GET /blog/{page:path}": ["default: 100/minute", "blog.page@blog: 30/minute"],
        "POST /blog/{page:path}": ["default: 100/minute", "blog.page@blog: 30/minute", "blog.page: 5/minute"],
        "GET /items/{number}": ["default: 100/minute", "items@default: 10/minute"],
        "PUT /items/{number}": ["default: 100/minute", "items:PUT: 1/second"],
        "GET /health": [],
        "GET /report": ["default: 100/minute", "report@default: 10/minute", "<lambda>: 2/minute"],
    }
    assert findings(app) == []


def test_a_route_without_a_limit_is_found_and_an_exempt_one_is_meant():
    app = app_of()
    app.get("/health")(exempt(lambda: "well"))
    app.add_url_rule("/open", "open", lambda: "open")
    assert findings(app) == [("no limit", "GET /open has no limit: give it one, or name it in unlimited=[...]")]


def test_a_limited_view_on_an_application_without_the_extension_is_found():
    app = Flask("bare")
    app.get("/report")(rate_limit("2/minute")(lambda: "report"))
    assert [kind for kind, _ in findings(app)] == ["no middleware"]


def test_middlewares_around_are_seen_wherever_they_stand():
    app = Flask("bare")
    app.add_url_rule("/", "home", lambda: "hello")
    app.wsgi_app = RateLimitMiddleware(app.wsgi_app, policies=[Policy("inside", "1/minute")])
    around = RateLimitMiddleware(app, limits="2/minute")
    assert rows(around)["GET /"] == ["default: 2/minute", "inside: 1/minute"]


def test_the_command_prints_the_routes_of_the_example_and_finds_nothing_forgotten():
    examples = Path(__file__).parents[2] / "examples"
    words = [sys.executable, "-m", "ratekit", "routes", "flask_app:app", "--app-dir", str(examples), "--strict", "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found = {route["path"]: [limit["policy"] for limit in route["limits"]] for route in json.loads(done.stdout)["routes"]}
    assert found == {
        "/static/{filename:path}": ["default"],
        "/": ["default"],
        "/login": ["default", "login"],
        "/health": [],
        "/reports/{name}": ["default", "reports.report@reports"],
    }
