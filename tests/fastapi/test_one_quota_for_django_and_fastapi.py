"""
A Django and a FastAPI application on one Redis, each in its own server process, share one quota, to the request.
"""

import contextlib
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle

import httpx
import pytest
import servers

DJANGO = """
import os
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

settings.configure(
    SECRET_KEY="-",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["ratekit.django.RateLimitMiddleware"],
    RATEKIT={
        "STORE": os.environ["RATEKIT_STORE"],
        "BUDGET": 10.0,
        "POLICIES": [
            {"name": "login", "limits": "40/hour", "match": "GET /login"},
            {"name": "items", "limits": "20/hour burst 20", "key": "header:x-api-key", "match": "GET /items/*"},
        ],
    },
)
urlpatterns = [path("login", lambda _: HttpResponse("django")), path("items/<int:number>", lambda _, number: HttpResponse("django"))]
application = get_wsgi_application()
"""
FASTAPI = """
import os
from fastapi import Depends, FastAPI
from ratekit import Policy
from ratekit.asgi import RateLimitMiddleware
from ratekit.fastapi import RateLimit

application = FastAPI()
application.add_middleware(
    RateLimitMiddleware, store=os.environ["RATEKIT_STORE"], budget=10.0, policies=[Policy("login", "40/hour", match="GET /login")]
)
application.get("/login")(lambda: "fastapi")
items = RateLimit("20/hour burst 20", name="items", key="header:x-api-key", budget=10.0)
application.get("/items/{number}", dependencies=[Depends(items)])(lambda number: "fastapi")
"""


@contextlib.contextmanager
def serving(directory, name, source, store, *command):
    """An application served by a command of its own; its address."""
    (directory / f"{name}.py").write_text(source)
    port = servers.free_port()
    words = [word.format(port=port) for word in command]
    environment = {"RATEKIT_STORE": store, "PATH": "/usr/bin:/bin", "PYTHONPATH": str(directory)}
    with subprocess.Popen(
        [sys.executable, "-m", *words], cwd=directory, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            for _ in range(1000):
                assert process.poll() is None, f"{name} did not start"
                with contextlib.suppress(httpx.TransportError):
                    httpx.get(f"http://127.0.0.1:{port}/nowhere")
                    break
                time.sleep(0.01)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(10)


@pytest.fixture(scope="module")
def both(tmp_path_factory, redis_server):
    """The addresses of the two servers."""
    where = tmp_path_factory.mktemp("sites")
    gunicorn = ("gunicorn", "--bind", "127.0.0.1:{port}", "--threads", "4", "site_django:application")
    uvicorn = ("uvicorn", "--port", "{port}", "--no-proxy-headers", "site_fastapi:application")
    with (
        serving(where, "site_django", DJANGO, redis_server.url, *gunicorn) as django,
        serving(where, "site_fastapi", FASTAPI, redis_server.url, *uvicorn) as fastapi,
    ):
        yield django, fastapi


def ask(url, **headers):
    answer = httpx.get(url, headers=headers)
    return answer.status_code, answer.text.strip('"'), answer.headers.get("ratelimit")


def test_by_turns_each_sees_what_the_other_has_spent(both, redis_url):
    answers = [ask(f"{site}/login") for site, _ in zip(cycle(both), range(42), strict=False)]
    assert [status for status, _, _ in answers] == [200] * 40 + [429] * 2
    assert [who for _, who, _ in answers[:4]] == ["django", "fastapi", "django", "fastapi"]
    left = [int(field.split(";")[1].removeprefix("r=")) for _, _, field in answers[:40]]
    assert left == list(range(39, -1, -1))


def test_a_dependency_and_a_policy_of_one_name_are_one_quota_by_key(both, redis_url):
    asked = [ask(f"{site}/items/{i}", **{"x-api-key": "ann"})[0] for i, site in zip(range(22), cycle(both), strict=False)]
    assert asked == [200] * 20 + [429] * 2
    assert [ask(f"{site}/items/1", **{"x-api-key": "bob"})[0] for site in both] == [200, 200]


def test_all_at_once_no_more_than_the_quota_is_let_in(both, redis_url, redis_client):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda site: ask(f"{site}/login")[:2], [*both] * 40))
    admitted = [who for status, who in answers if status == 200]
    assert len(admitted) == 40
    assert {"django", "fastapi"} == set(admitted)
    assert len(redis_client.keys("*")) == 1
