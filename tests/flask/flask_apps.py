"""
Flask applications to ask, by Flask's own test client.
"""

import http_sf
from flask import Flask

from ratekit.flask import RateLimits
from ratekit.stores import MemoryStore
from ratekit.testing import ManualClock


def app_of(limits=None, *, config=None, **options):
    """An application whose quotas stand still, because its clock does."""
    app = Flask("shop")
    app.config.update(config or {})
    options = {"store": MemoryStore(clock=ManualClock())} | options
    RateLimits(app, limits, **options)
    return app


def ask(app, what="GET /", *, client="192.0.2.1", **options):
    """One request, such as "POST /login"."""
    method, _, path = what.partition(" ")
    with app.test_client() as asking:
        response = asking.open(path, method=method, environ_overrides={"REMOTE_ADDR": client}, buffered=True, **options)
        response.close()
        return response


def statuses(app, what="GET /", times=3, **options):
    return [ask(app, what, **options).status_code for _ in range(times)]


def told(response, field="ratelimit"):
    """A RateLimit field's items by name, as an independent parser of structured fields reads them; none where there is none."""
    lines = response.headers.getlist(field)
    assert len(lines) < 2, f"{field} came {len(lines)} times: {lines}"
    return dict(http_sf.parse(lines[0].encode("ascii"), tltype="list")) if lines else {}
