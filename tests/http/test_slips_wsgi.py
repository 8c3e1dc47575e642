"""
However a request is spelt, the path that is matched is the path that is routed: Flask and Django, over a server's socket.
"""

import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from calling import parsed
from flask import Flask
from running import raw
from spellings import ROUTED, SPELLINGS, slipped

from ratekit import Policy
from ratekit.flask import RateLimits
from ratekit.stores import MemoryStore
from ratekit.wsgi import RateLimitMiddleware

POLICIES = [Policy(name, "1000000/minute", match=match) for name, match in ROUTED.items()]


class Server(ThreadingMixIn, WSGIServer):
    """One thread per connection."""

    daemon_threads = True


class Quiet(WSGIRequestHandler):
    """A handler that says nothing of requests."""

    def log_message(self, *words):
        pass


@contextmanager
def served(app):
    with make_server("127.0.0.1", 0, app, Server, Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def flask_app():
    app = Flask("slips")

    def endpoint(name):
        return lambda **_: ("", 200, {"X-Endpoint": name})

    app.add_url_rule("/login", "login", endpoint("login"), methods=["POST"])
    app.add_url_rule("/items/<item>", "item", endpoint("item"), methods=["POST"])
    app.add_url_rule("/page", "page", endpoint("page"))
    app.add_url_rule("/sub/in", "in", endpoint("in"))
    return app


def by_middleware():
    return RateLimitMiddleware(flask_app(), policies=POLICIES, store=MemoryStore())


def by_extension():
    app = flask_app()
    RateLimits(app, policies=POLICIES, store=MemoryStore())
    return app


@pytest.mark.parametrize("limited", [by_middleware, by_extension])
def test_no_spelling_reaches_a_flask_view_uncounted(limited):
    with served(limited()) as port:
        missed, reached = slipped(port, raw, parsed)
    assert len(SPELLINGS) >= 50
    assert reached == set(ROUTED)
    assert missed == []


DJANGO = """if True:
    import sys
    from pathlib import Path
    sys.path[:0] = sys.argv[1:]
    from django.conf import settings
    from spellings import ROUTED

    policies = [{"name": name, "limits": "1000000/minute", "match": match} for name, match in ROUTED.items()]
    settings.configure(SECRET_KEY="x", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, RATEKIT={"POLICIES": policies},
                       MIDDLEWARE=["ratekit.django.RateLimitMiddleware", "django.middleware.common.CommonMiddleware"])
    import django
    django.setup()
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpResponse, HttpResponseNotAllowed
    from django.urls import path

    def endpoint(name, *methods):
        def view(request, **_):
            return HttpResponse(headers={"X-Endpoint": name}) if request.method in methods else HttpResponseNotAllowed(methods)
        return view

    urlpatterns = [
        path("login", endpoint("login", "POST")),
        path("items/<str:item>", endpoint("item", "POST")),
        path("page", endpoint("page", "GET", "HEAD")),
        path("sub/in", endpoint("in", "GET", "HEAD")),
    ]
    from calling import parsed
    from running import raw
    from spellings import slipped
    from test_slips_wsgi import served

    with served(get_wsgi_application()) as port:
        missed, reached = slipped(port, raw, parsed)
    print(missed, sorted(reached) == sorted(ROUTED))
"""


def test_no_spelling_reaches_a_django_view_uncounted():
    here = Path(__file__).parent
    words = [sys.executable, "-c", DJANGO, str(here), str(here.parent)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stdout.strip().endswith("[] True"), done.stdout + done.stderr[-3000:]
