"""
`ratekit routes`: an application's routes with their limits, from its module.
"""

import json
import subprocess
import sys

import pytest

APPLICATION = """
from fastapi import Depends, FastAPI
from ratekit import Policy, rate_limit
from ratekit.asgi import RateLimitMiddleware
from ratekit.fastapi import RateLimit

app = FastAPI()
app.add_middleware(RateLimitMiddleware, policies=[Policy("login", "5/minute; 20/hour", match="POST /login")])
app.post("/login")(lambda: "welcome")
app.get("/items/{number}", dependencies=[Depends(RateLimit("10/second"))])(lambda number: number)
app.get("/health")(lambda: "well")

class Site:
    app = app

def make():
    return app
"""


@pytest.fixture
def directory(tmp_path, monkeypatch):
    """A directory with a module of an own name, which no other test has imported."""
    name = f"shop_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(APPLICATION)
    return tmp_path, name


@pytest.fixture
def routes(ratekit, directory):
    """`ratekit routes` on an object of that module."""
    where, name = directory
    return lambda target="app", *options, **more: ratekit("routes", f"{name}:{target}", "--app-dir", where, *options, **more)


def test_the_table_has_a_line_for_every_route(routes):
    done = routes()
    assert done.exit_code == 0
    said = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "POST /login login: 5/minute; 20/hour" in said
    assert "GET /items/{number} <lambda>: 10/second" in said
    assert "GET /health no limit" in said
    assert "GET /docs -" in said


@pytest.mark.parametrize("target", ["Site.app", "make"])
def test_the_application_may_be_an_attribute_or_be_made(routes, target):
    options = ["--factory"] if target == "make" else []
    assert "POST /login" in routes(target, *options).stdout


def test_json_has_the_facts(routes):
    facts = json.loads(routes("app", "--json").stdout)
    (login,) = [route for route in facts["routes"] if route["path"] == "/login"]
    assert login == {
        "methods": ["POST"],
        "path": "/login",
        "own": False,
        "limits": [{"policy": "login", "limits": ["5/minute", "20/hour"], "requests": "all"}],
    }
    assert [finding["kind"] for finding in facts["findings"]] == ["no limit"]


def test_strict_fails_for_a_route_without_a_limit_unless_it_is_named(routes):
    assert routes("app", "--strict").exit_code == 1
    assert "GET /health has no limit" in routes("app", "--strict").stderr
    assert routes("app", "--strict", "--unlimited", "/health").exit_code == 0


def test_memory_under_several_workers_is_a_warning(routes):
    assert "there are 3 workers" in routes("app", "--workers", 3).stderr
    assert "there are 2 workers" in routes(env={"WEB_CONCURRENCY": "2"}).stderr
    assert "workers" not in routes("app", "--workers", 1).stderr


@pytest.mark.parametrize("target", ["nope:app", "json", "json:", ":app", "json:nothing"])
def test_what_cannot_be_imported_is_said_in_one_line(ratekit, target):
    done = ratekit("routes", target)
    assert done.exit_code == 2
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


def test_what_is_no_application_is_said(ratekit):
    done = ratekit("routes", "json:__name__")
    assert done.exit_code == 2
    assert done.stderr == "error: json:__name__ is no application but 'json'\n"


DJANGO = """
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

settings.configure(
    SECRET_KEY="-",
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["ratekit.django.RateLimitMiddleware"],
    RATEKIT={"POLICIES": [{"name": "login", "limits": "5/minute", "match": "POST /login"}]},
)
urlpatterns = [path("login", lambda request: HttpResponse("welcome")), path("items/<int:number>", lambda request, number: None)]
application = get_wsgi_application()
"""
FLASK = """
from flask import Flask
from ratekit.flask import RateLimits

app = Flask(__name__)
RateLimits(app, limits="5/minute")
app.get("/items/<int:number>")(lambda number: number)
"""


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [(DJANGO, "site:application", "/login login: 5/minute (some requests)"), (FLASK, "site:app", "GET /items/{number} ")],
    ids=["django", "flask"],
)
def test_an_application_of_another_framework_is_read_as_well(tmp_path, source, target, said):
    (tmp_path / "site_of_a_shop.py").write_text(source)
    command = [sys.executable, "-m", "ratekit", "routes", target.replace("site", "site_of_a_shop"), "--app-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert any(" ".join(line.split()).startswith(said) for line in done.stdout.splitlines()), done.stdout
