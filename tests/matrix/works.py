"""
One adapter at work, with nothing beside ratekit and its own framework: `python works.py django`. Two requests a minute are admitted.

Plain functions and no test framework, because there is none in this world.
"""

import asyncio
import importlib.util
import sys
from wsgiref.util import setup_testing_defaults

FRAMEWORKS = {"starlette", "fastapi", "django", "rest_framework", "flask"}
WITH = {
    "wsgi": set(),
    "asgi": set(),
    "starlette": {"starlette"},
    "fastapi": {"fastapi", "starlette"},
    "django": {"django"},
    "drf": {"django", "rest_framework"},
    "flask": {"flask"},
}
"""Which of the frameworks an adapter is to find installed."""


def by_wsgi(application, path="/"):
    """The statuses of three requests."""
    found = []
    for _ in range(3):
        environ = {"REMOTE_ADDR": "192.0.2.1"}
        setup_testing_defaults(environ)
        environ["PATH_INFO"] = path
        body = application(environ, lambda status, headers, exc_info=None: found.append(int(status[:3])))
        b"".join(body)
        getattr(body, "close", lambda: None)()
    return found


def by_asgi(application):
    """The same, asynchronously."""
    found = []
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/",
        "raw_path": b"/",
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
        "client": ("192.0.2.1", 50_000),
        "server": ("localhost", 80),
    }

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        if message["type"] == "http.response.start":
            found.append(message["status"])

    async def go():
        for _ in range(3):
            await application({**scope}, receive, send)

    asyncio.run(go())
    return found


def wsgi():
    from wsgiref.simple_server import demo_app

    from ratekit.wsgi import RateLimitMiddleware

    return by_wsgi(RateLimitMiddleware(demo_app, limits="2/minute"))


def asgi():
    from ratekit.asgi import RateLimitMiddleware

    async def hello(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})

    return by_asgi(RateLimitMiddleware(hello, limits="2/minute"))


def starlette():
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    from ratekit.asgi import RateLimitMiddleware

    app = Starlette(routes=[Route("/", lambda request: PlainTextResponse("hello"))])
    app.add_middleware(RateLimitMiddleware, limits="2/minute")
    return by_asgi(app)


def fastapi():
    from fastapi import Depends, FastAPI

    from ratekit.fastapi import RateLimit

    app = FastAPI()

    @app.get("/", dependencies=[Depends(RateLimit("2/minute"))])
    async def hello():
        return "hello"

    return by_asgi(app)


def flask():
    from flask import Flask

    from ratekit.flask import RateLimits

    app = Flask(__name__)
    RateLimits(app, "2/minute")
    app.add_url_rule("/", view_func=lambda: "hello")
    return by_wsgi(app)


def django(*apps):
    import django
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import HttpResponse
    from django.urls import path

    from ratekit.django import rate_limit

    if not settings.configured:
        settings.configure(ALLOWED_HOSTS=["*"], USE_TZ=True, INSTALLED_APPS=["ratekit.django"], RATEKIT={})
        django.setup()
    settings.ROOT_URLCONF = (path("", rate_limit("2/minute")(lambda request: HttpResponse("hello"))),)
    settings.MIDDLEWARE = ["ratekit.django.RateLimitMiddleware"]
    return by_wsgi(WSGIHandler())


def drf():
    import django
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler
    from django.urls import path

    rest = {
        "DEFAULT_AUTHENTICATION_CLASSES": [],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "DEFAULT_THROTTLE_RATES": {"anon": "2/min"},
        "UNAUTHENTICATED_USER": None,
    }
    settings.configure(ALLOWED_HOSTS=["*"], USE_TZ=True, INSTALLED_APPS=["rest_framework", "ratekit.django"], REST_FRAMEWORK=rest)
    django.setup()
    from rest_framework.response import Response
    from rest_framework.views import APIView

    from ratekit.drf import AnonRateThrottle

    class Hello(APIView):
        throttle_classes = (AnonRateThrottle,)

        def get(self, request):
            return Response("hello")

    settings.ROOT_URLCONF = (path("", Hello.as_view()),)
    settings.MIDDLEWARE = []
    return by_wsgi(WSGIHandler())


def main(name):
    """Say what was found; an error ends the process."""
    installed = {framework for framework in FRAMEWORKS if importlib.util.find_spec(framework) is not None}
    if installed != WITH[name]:
        raise SystemExit(f"{name}: {sorted(installed)} are installed, not {sorted(WITH[name])}")
    statuses = globals()[name]()
    if statuses != [200, 200, 429]:
        raise SystemExit(f"{name}: {statuses}")
    print(f"{name}: {statuses}")


if __name__ == "__main__":
    main(sys.argv[1])
