"""
The middleware: one hit per request for all policies, under WSGI and ASGI, the admin's login, and what views may rely on.
"""

import asyncio
import json
import logging

import pytest
from django.http import HttpResponse
from django.test import AsyncClient, Client, override_settings
from django_asking import statuses

from ratekit import ConfigurationError, Policy
from ratekit.django import RateLimitMiddleware, user


def own_answer(request, decision):
    return HttpResponse(f"slow down, {request.client}", status=429) if request.path == "/" else None


async def own_answer_async(request, decision):
    return own_answer(request, decision)


def gather(client, path, times):
    async def go():
        return [(await client.get(path)).status_code for _ in range(times)]

    return asyncio.run(go())


def test_the_third_request_is_refused_with_the_problem_and_let_in_when_it_says(project, clock):
    client = project(LIMITS="2/minute")
    first, _, refused = (client.get("/") for _ in range(3))
    assert first.status_code == 200
    assert first.headers["RateLimit-Policy"] == '"default";q=2;w=60'
    assert first.headers["RateLimit"].startswith('"default";r=1;t=')
    assert refused.status_code == 429
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.headers["Cache-Control"] == "no-store"
    assert json.loads(refused.content)["violated-policies"] == ["default"]
    clock.advance(int(refused.headers["Retry-After"]))
    assert client.get("/").status_code == 200


def test_an_asynchronous_client_is_limited_as_a_synchronous_one_is(project):
    client = project(LIMITS="3/minute")
    assert gather(AsyncClient(), "/async/", 2) == [200, 200]
    assert client.get("/async/").status_code == 200
    assert gather(AsyncClient(), "/", 1) == [429]


def test_404_and_errors_of_views_are_counted_and_carry_the_fields(project):
    client = project(LIMITS="3/minute")
    client.raise_request_exception = False
    with override_settings(DEBUG=False):
        answers = [client.get("/nowhere/"), client.get("/broken/"), client.get("/streamed/"), client.get("/")]
    assert [answer.status_code for answer in answers] == [404, 500, 200, 429]
    assert all("RateLimit" in answer.headers for answer in answers)


def test_policies_match_the_path_that_django_routes_and_share_one_hit(project):
    client = project(
        POLICIES=[
            Policy("burst", "4/minute"),
            {"name": "items", "limits": "1/minute", "match": "GET /items/*/"},
            {"name": "key", "limits": "1/minute", "key": "header:x-api-key", "match": "/async/", "missing": "refuse"},
        ]
    )
    assert client.get("/items/1/").headers["RateLimit-Policy"] == '"burst";q=4;w=60, "items";q=1;w=60'
    assert client.get("/items/2/").status_code == 429
    assert client.get("/%69tems/3/").status_code == 429
    assert client.get("/items/3/", SCRIPT_NAME="/app").status_code == 429
    assert client.get("/async/").status_code == 401
    assert client.get("/async/", headers={"x-api-key": "a"}).status_code == 200
    # what was refused has charged nothing: of four there are two left
    assert statuses(client, "/", 3) == [200, 200, 429]


def test_the_address_is_the_sockets_unless_proxies_are_named(project):
    client = project(LIMITS="1/minute")
    assert client.get("/", headers={"x-forwarded-for": "198.51.100.1"}).status_code == 200
    assert client.get("/", headers={"x-forwarded-for": "198.51.100.2"}).status_code == 429
    client = project(LIMITS="1/minute", TRUSTED_PROXIES=["127.0.0.1"])
    assert client.get("/", headers={"x-forwarded-for": "203.0.113.9, 198.51.100.1"}).status_code == 200
    assert client.get("/", headers={"x-forwarded-for": "203.0.113.9, 198.51.100.2"}).status_code == 200
    assert client.get("/", headers={"x-forwarded-for": "203.0.113.8, 198.51.100.2"}).status_code == 429


def test_a_request_without_an_address_is_answered_500_and_says_in_the_log_what_to_name(project, caplog):
    client = project(LIMITS="1/minute")
    with caplog.at_level(logging.ERROR, "ratekit"):
        assert client.get("/", REMOTE_ADDR="").status_code == 500
    assert "trusted_proxies" in caplog.text


def test_a_users_key_is_the_primary_key_and_who_is_not_logged_in_is_judged_by_missing(project, ann):
    client = project(POLICIES=[Policy("daily", "1/day", key=user)])
    client.force_login(ann)
    assert statuses(client, "/", 2) == [200, 429]
    assert client.get("/async/").status_code == 429
    assert statuses(Client(), "/", 2) == [200, 429]

    async def through_asgi():
        known = AsyncClient()
        await known.aforce_login(ann)
        return [(await known.get(path)).status_code for path in ("/async/", "/")]

    assert asyncio.run(through_asgi()) == [429, 429]


def test_a_users_key_before_the_authentication_middleware_is_answered_500_and_named_in_the_log(project, caplog):
    middleware = ["ratekit.django.RateLimitMiddleware"]
    client = project(POLICIES=[Policy("daily", "1/day", key=user)], django_settings={"MIDDLEWARE": middleware})
    assert client.get("/").status_code == 500
    assert "AuthenticationMiddleware before" in caplog.text


@pytest.mark.parametrize("answer", [own_answer, own_answer_async], ids=["def", "async def"])
def test_an_own_answer_to_refusals_gets_the_fields_and_none_is_the_problem(project, answer):
    client = project(LIMITS="1/minute", ON_REFUSED=answer)
    client.get("/")
    refused = client.get("/")
    assert refused.content == b"slow down, 127.0.0.1"
    assert int(refused.headers["Retry-After"]) in range(1, 61)
    assert refused.headers["RateLimit"].startswith('"default";r=0')
    assert client.get("/async/").headers["Content-Type"] == "application/problem+json"
    assert gather(AsyncClient(), "/", 1) == [429]


def test_a_limited_function_inside_a_view_is_answered_429_and_both_are_told(project):
    client = project(LIMITS="5/minute")
    first, second = client.get("/working/"), client.get("/working/")
    assert [first.status_code, second.status_code] == [200, 429]
    assert [item.split(";")[0] for item in second.headers["RateLimit"].split(", ")] == ['"default"', '"work"']
    assert gather(AsyncClient(), "/working/", 1) == [429]


def test_the_admins_login_is_protected_by_one_setting_on_every_admin_site(project, ann):
    client = project(ADMIN_LOGIN="2/minute")
    wrong = {"username": "ann", "password": "wrong"}
    assert client.get("/admin/login/").status_code == 200
    tried = [client.post("/admin/login/", wrong) for _ in range(2)]
    assert [answer.status_code for answer in tried] == [200, 200]
    assert [answer.headers["RateLimit"] for answer in tried] == ['"admin-login";r=1;t=60', '"admin-login";r=0;t=60']
    refused = client.post("/second/login/", wrong)
    assert refused.status_code == 429
    assert refused.headers["RateLimit-Policy"] == '"admin-login";q=2;w=60'
    assert client.post("/admin/login/", {"username": "ann", "password": "right"}).status_code == 429
    assert client.post("/admin/login/", wrong, REMOTE_ADDR="192.0.2.7").status_code == 200
    assert client.get("/admin/login/").status_code == 200

    async def through_asgi():
        return (await AsyncClient().post("/admin/login/", wrong)).status_code

    assert asyncio.run(through_asgi()) == 429


def test_the_admins_login_may_also_be_counted_by_the_name_that_is_tried(project, ann):
    login = [Policy("admin-login", "9/minute"), {"name": "admin-name", "limits": "1/minute", "key": "post:username"}]
    client = project(ADMIN_LOGIN=login)
    assert client.post("/admin/login/", {"username": "ann", "password": "wrong"}).status_code == 200
    other = client.post("/admin/login/", {"username": " ann ", "password": "wrong"}, REMOTE_ADDR="192.0.2.8")
    assert other.status_code == 429


def test_the_store_that_is_away_closes_what_says_so_and_leaves_the_rest_open(project):
    client = project(LIMITS="1/minute", STORE="redis://127.0.0.1:1/0", ON_OUTAGE="closed")
    answer = client.get("/")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert gather(AsyncClient(), "/", 1) == [503]
    client = project(LIMITS="1/minute", STORE="redis://127.0.0.1:1/0")
    assert statuses(client, "/", 2) == [200, 429]


def test_threads_event_loops_and_async_views_under_wsgi_share_one_redis(project, redis_url):
    client = project(LIMITS="6/minute", STORE=redis_url)
    assert statuses(client, "/", 2) == [200, 200]
    assert gather(AsyncClient(), "/", 2) == [200, 200]
    assert statuses(client, "/async/", 3) == [200, 200, 429]
    assert gather(AsyncClient(), "/async/", 1) == [429]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"LIMIT": "1/minute"}, "the names are STORE, LIMITS"),
        ({"LIMITS": "1/month"}, "write '1/30 days'"),
        ({"LIMITS": "1/minute", "POLICIES": []}, "LIMITS and POLICIES"),
        ({"POLICIES": [{"limits": "1/minute"}]}, "at least name and limits"),
        ({"POLICIES": [{"name": "a", "limits": "1/minute", "matches": "/"}]}, "policy 'a'"),
        ({"POLICIES": [{"name": "a", "limits": "1/minute", "key": "usr"}]}, "'post:NAME'"),
        ({"POLICIES": [{"name": "a", "limits": "1/minute", "key": "no.such.path"}]}, "write the dotted path of a callable"),
        ({"TRUSTED_PROXIES": ["0.0.0.0/0"]}, "is everybody"),
        ({"ON_REFUSED": 5}, "write the dotted path of a callable"),
        ({"VIEW_POLICIES": [Policy("a", "1/minute"), Policy("a", "2/minute")]}, "two policies have one name"),
    ],
)
def test_settings_that_cannot_be_are_refused_when_the_server_starts(wrong, says):
    with override_settings(RATEKIT=wrong), pytest.raises(ConfigurationError, match=says):
        RateLimitMiddleware(lambda request: HttpResponse())
