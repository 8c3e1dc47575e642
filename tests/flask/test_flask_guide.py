"""
The guide for those who come from flask-limiter: what stands on its right side does what it says, and what flask-limiter's quickstart says.
"""

import re
from pathlib import Path

import pytest
from flask_apps import ask, statuses

from ratekit import Limit
from ratekit.flask import check

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "flask-limiter.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.fixture
def after(request):
    """`after(words)`: the application of the one block that has these words, and an address of this test's own."""
    client = f"10.1.0.{sum(map(ord, request.node.name)) % 250}"

    def after(words):
        (block,) = [block for block in BLOCKS if words in block]
        names = {"__name__": f"guide_{request.node.name}"}
        exec(compile(block, str(GUIDE), "exec"), names)
        return lambda what, times=1, **options: statuses(names["app"], what, times, client=client, **options), names["app"]

    return after


def test_the_quickstart(after):
    asked, app = after("PONG")
    assert asked("GET /slow", 2) == [200, 429]
    assert asked("GET /fast", 2) == [200, 429]
    assert asked("GET /ping", 5) == [200] * 5
    rows = {endpoint.path: [held.limits for held in holds] for endpoint, holds in check(app).rows}
    assert rows["/fast"] == [(Limit(2, per=60), Limit(1, per=1))]
    assert rows["/slow"] == [(Limit(1, per=86_400),)]


def test_a_shared_limit_a_class_a_blueprint_and_the_whole_application(after):
    asked, _ = after('name="mail"')
    assert asked("GET /inbox") + asked("GET /outbox") + asked("GET /inbox") == [200, 200, 429]
    assert asked("POST /items", 2) == [200, 429]
    assert asked("GET /blog", 2) == [200, 429]
    # Nine are the application's: five were admitted, and no refused request was charged.
    assert asked("GET /items", 4) + asked("GET /nowhere", 2) == [200] * 4 + [404, 429]


def test_keys_costs_exceptions_and_failures(after):
    asked, _ = after("failures = Policy")
    assert asked("GET /mine", 3, headers={"X-User": "ann"}) == [200, 200, 429]
    assert asked("GET /mine", headers={"X-User": "bob"}) == [200]
    assert [asked(f"GET /load?n={size}") for size in (60, 50, 40)] == [[200], [429], [200]]
    assert asked("GET /staff", 3, headers={"X-Staff": "1"}) == [200] * 3
    assert asked("GET /staff", 2) == [200, 429]
    assert asked("POST /login", 5, data={"password": "secret"}) == [200] * 5
    assert asked("POST /login", 3, data={"password": "guess"}) == [401, 401, 429]


def test_a_page_of_ones_own(after):
    asked, app = after("slow down for")
    assert asked("GET /", 1) == [404]
    refused = [ask(app, "GET /", client="10.1.1.1") for _ in range(2)][1]
    assert (refused.status_code, refused.text) == (429, "slow down for 60 s")
    assert refused.headers["retry-after"] == "60"


def test_the_pages_last_advice(after):
    _, app = after("PONG")
    assert [finding.kind for finding in check(app, strict=True).findings] == []
