"""
What limiting adds to a request of Django's, in this process, over Redis: a decorated view, and a throttled view of Django REST
framework.

A sample calls the bare view and the limited one by turns, each through Django's whole WSGI handler, and takes the difference per
request. Requests come from 1,000 client addresses, one at a time, on the core that redis-server has too. ratekit sends the RateLimit
fields; the others send none. django-ratelimit and DRF keep their state by Django's own Redis cache, with hiredis.
"""

import io
import time
from itertools import cycle
from typing import Any

from measure import Figures, Goal, Row, Side

REQUESTS = 4_000
TURNS = 10
RATE = "100000/day"

ADDRESSES = cycle(f"10.0.{i // 250}.{i % 250}" for i in range(1000))


def configure(url: str) -> None:
    import django
    from django.conf import settings

    settings.configure(
        SECRET_KEY="-",
        ALLOWED_HOSTS=["*"],
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "rest_framework"],
        CACHES={"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": url}},
        REST_FRAMEWORK={
            "DEFAULT_AUTHENTICATION_CLASSES": [],
            "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
            "DEFAULT_THROTTLE_RATES": {"anon": RATE},
        },
        RATEKIT={"STORE": url},
        USE_TZ=True,
    )
    django.setup()


def hello(request: Any) -> Any:
    from django.http import HttpResponse

    return HttpResponse(b'{"hello": "world"}', content_type="application/json")


def decorated(library: str) -> Any:
    """A plain view, limited by a library's decorator: a fixed window each."""
    if library == "django-ratelimit":
        from django_ratelimit.decorators import ratelimit

        return ratelimit(key="ip", rate=RATE.replace("day", "d"))(hello)
    from ratekit.django import rate_limit

    return rate_limit(f"{RATE} fixed_window")(hello)


def throttled(library: str) -> Any:
    """A view of Django REST framework, throttled by address: a sliding window each. None is bare."""
    import importlib

    from rest_framework.response import Response
    from rest_framework.views import APIView

    module = {"DRF": "rest_framework.throttling", "ratekit": "ratekit.drf"}.get(library)
    throttles = [importlib.import_module(module).AnonRateThrottle] if module else []

    class Hello(APIView):
        throttle_classes = throttles

        def get(self, request: Any) -> Any:
            return Response({"hello": "world"})

    return Hello.as_view()


def call(application: Any, path: str) -> list[Any]:
    """One request; gives its status."""
    said: list[Any] = []
    environ = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": next(ADDRESSES),
        "HTTP_HOST": "127.0.0.1:8000",
        "HTTP_ACCEPT": "*/*",
        "HTTP_USER_AGENT": "benchmark",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
    }
    response = application(environ, lambda status, headers: said.append(status))
    b"".join(response)
    response.close()
    return said


def added(library: str, url: str, *, drf: bool) -> Any:
    """Microseconds that a library adds to a request."""
    configure(url)
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application
    from django.urls import path

    bare, limited = (throttled(""), throttled(library)) if drf else (hello, decorated(library))
    settings.ROOT_URLCONF = (path("bare", bare), path("limited", limited))
    settings.MIDDLEWARE = []
    application = get_wsgi_application()
    for where in ("/bare", "/limited"):
        if call(application, where) != ["200 OK"]:
            raise RuntimeError(f"{library} answered {call(application, where)}")

    def seconds(where: str, requests: int) -> float:
        start = time.perf_counter()
        for _ in range(requests):
            call(application, where)
        return time.perf_counter() - start

    def sample(scale: float) -> Figures:
        requests, extra = max(int(REQUESTS * scale / TURNS), 10), 0.0
        for _ in range(TURNS):
            extra -= seconds("/bare", requests)
            extra += seconds("/limited", requests)
        return {"figure": extra / (requests * TURNS) * 1e6}

    return sample


def added_throttle(library: str, url: str) -> Any:
    """Microseconds that a throttle adds to a request."""
    return added(library, url, drf=True)


def added_decorator(library: str, url: str) -> Any:
    """Microseconds that a decorator adds to a request."""
    return added(library, url, drf=False)


def rows(url: str) -> list[Row]:
    found = []
    for name, make, peer in (
        ("Django decorator", added_decorator, "django-ratelimit"),
        ("DRF throttle", added_throttle, "DRF"),
    ):
        sides = (Side("ratekit", "ours", make, ("ratekit", url), core=0), Side(peer, "peer", make, (peer, url), core=0))
        goal = Goal("<=", 1 / 3)
        found.append(Row(f"{name}, added per request in process: Redis", "us", sides, (goal,), peer, server_core=0))
    return found
