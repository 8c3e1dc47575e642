"""
The counting middleware for Django: what is counted of each request, under WSGI, ASGI and a real server, and by which settings.
"""

import asyncio
import os
import subprocess
import sys

import httpx
import pytest
import servers
from django.test import AsyncClient, Client
from django_setup import MIDDLEWARE
from test_django_example import answers

from ratekit import ConfigurationError
from ratekit.counters import Traffic
from ratekit.counters.served import NO_ROUTE
from ratekit.django.counting import traffic_of
from ratekit.django.settings import current, read

COUNTED = {"MIDDLEWARE": ["ratekit.django.CountingMiddleware", *MIDDLEWARE]}


def counted():
    """Statuses by method and route, of the project as it is set."""
    return {f"{line.method} {line.route}": dict(line.statuses) for line in traffic_of(current()).report().lines}


def test_requests_are_counted_by_the_routes_of_the_urlconf(project):
    client = project(django_settings=COUNTED, LIMITS="100/minute")
    for path in ("/", "/streamed/", "/nothing/1", "/nothing/2"):
        client.get(path)
    client.post("/")
    assert counted() == {"GET /": {200: 1}, "POST /": {200: 1}, "GET /streamed/": {200: 1}, f"GET {NO_ROUTE}": {404: 2}}


def test_whom_a_policy_or_a_view_refuses_is_known(project):
    policies = [{"name": "key", "limits": "1/minute", "key": "header:x-api-key", "missing": "skip"}]
    client = project(django_settings=COUNTED, POLICIES=policies)
    statuses = [client.get("/", headers={"x-api-key": "k1"}).status_code for _ in range(3)]
    statuses += [client.get("/limited/", REMOTE_ADDR="192.0.2.9").status_code for _ in range(3)]
    assert statuses == [200, 429, 429, 200, 200, 429]
    found = [(one.who, one.times) for one in traffic_of(current()).report().refused]
    assert found == [("k1", 2), ("192.0.2.9", 1)]
    assert counted()[f"GET {NO_ROUTE}"] == {429: 2}
    assert counted()["GET /limited/"] == {200: 2, 429: 1}


def test_under_asgi_it_is_the_same(project):
    project(django_settings=COUNTED, LIMITS="2/minute")

    async def scenario():
        return [(await AsyncClient().get(path)).status_code for path in ("/async/", "/", "/async/")]

    assert asyncio.run(scenario()) == [200, 200, 429]
    assert counted() == {"GET /async/": {200: 1}, "GET /": {200: 1}, f"GET {NO_ROUTE}": {429: 1}}
    assert [one.who for one in traffic_of(current()).report().refused] == ["127.0.0.1"]


def test_a_view_that_raises_is_a_500(project):
    project(django_settings=COUNTED | {"ROOT_URLCONF": __name__})
    Client(raise_request_exception=False).get("/broken/7/")
    assert counted() == {"GET /broken/<int:number>/": {500: 1}}


def broken(request, number):
    raise LookupError(number)


def __getattr__(name):  # this module is a URLconf, too
    from django.urls import path

    if name == "urlpatterns":
        return [path("broken/<int:number>/", broken)]
    raise AttributeError(name)


def test_the_settings_name_the_traffic_and_the_proxies(project):
    counting = {"NAME": "pictures", "PER": "hour", "KEEP": 24, "EVERY": 60.0}
    client = project(django_settings=COUNTED, LIMITS="1/minute", TRUSTED_PROXIES=["10.0.0.0/8"], COUNTING=counting)
    for _ in range(2):
        client.get("/", REMOTE_ADDR="10.1.1.1", headers={"x-forwarded-for": "198.51.100.7"})
    traffic = traffic_of(current())
    assert traffic.name == "pictures"
    report = traffic.report()
    assert (len(report.series), report.series[-1].count, [one.who for one in report.refused]) == (24, 2, ["198.51.100.7"])


@pytest.mark.parametrize("counting", [{"COLOR": "red"}, ["NAME"], {"PER": "fortnight"}, {"KEEP": 0}])
def test_settings_that_cannot_be_are_said(counting):
    with pytest.raises(ConfigurationError):
        traffic_of(read({"COUNTING": counting}))


SITE = """
import os

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

settings.configure(
    SECRET_KEY="tests",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["ratekit.django.CountingMiddleware", "ratekit.django.RateLimitMiddleware"],
    RATEKIT={"STORE": os.environ["RATEKIT_STORE"], "LIMITS": "5/hour", "BUDGET": 10.0, "COUNTING": {"NAME": "site", "EVERY": 0.05}},
)
urlpatterns = [path("items/<int:number>/", lambda request, number: HttpResponse(str(number)))]
asgi, wsgi = get_asgi_application(), get_wsgi_application()
"""
PLAIN = {name: value for name, value in os.environ.items() if not name.startswith("RATEKIT_")}


@pytest.mark.parametrize("server", ["uvicorn", "gunicorn"])
def test_a_real_server_counts_into_one_redis(server, redis_url, tmp_path):
    (tmp_path / "site_counted.py").write_text(SITE)
    port = servers.free_port()
    words = {
        "uvicorn": ["uvicorn", "site_counted:asgi", "--app-dir", str(tmp_path), "--port", str(port)],
        "gunicorn": [
            "gunicorn",
            "site_counted:wsgi",
            "--chdir",
            str(tmp_path),
            "--bind",
            f"127.0.0.1:{port}",
            "--threads",
            "2",
        ],
    }[server]
    environment = {**PLAIN, "RATEKIT_STORE": redis_url, "HOME": str(tmp_path)}
    with (
        subprocess.Popen(
            [sys.executable, "-m", *words], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20) as client,
        Traffic("site", store=redis_url, budget=10) as reader,
    ):
        try:
            servers.until(lambda: process.poll() is not None or answers(client))
            assert process.poll() is None
            for number in range(9):
                client.get(f"/items/{number}/")
            servers.until(lambda: reader.report().requests == 10)
        finally:
            process.terminate()
            process.wait(20)
        assert {line.route: dict(line.statuses) for line in reader.report().lines} == {
            "/items/<int:number>/": {200: 4},
            NO_ROUTE: {404: 1, 429: 5},
        }
        assert [(one.who, one.times) for one in reader.report().refused] == [("127.0.0.1", 5)]
