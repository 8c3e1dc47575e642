"""
Policies of a Django project that charge by the response, header forms and hashed keys: what the settings hand on.
"""

import asyncio

import pytest
from django.http import HttpResponse, StreamingHttpResponse
from django.test import AsyncClient, RequestFactory
from django_asking import statuses

from ratekit import Policy
from ratekit.django import rate_limit
from ratekit.http.forms import FORMS


def failed(response):
    return 1 if response.status >= 400 else 0


def wrong_password(response):
    return 1 if response.status == 200 else 0  # the form again, with an error; who is let in is redirected


def test_only_failures_are_charged(project):
    client = project(POLICIES=[Policy("failures", "2/minute", charge=failed)])
    assert statuses(client, "/", 5) == [200] * 5
    assert statuses(client, "/nowhere/", 3) == [404, 404, 429]

    project(POLICIES=[Policy("failures", "2/minute", charge=failed)])

    async def through_asgi():
        return [(await AsyncClient().get(path)).status_code for path in ["/async/", "/nowhere/"] * 3]

    assert asyncio.run(through_asgi()) == [200, 404, 200, 404, 429, 429]


def test_only_failed_logins_of_the_admin_are_charged(project, ann):
    login = {"name": "admin-login", "limits": "2/minute", "charge": "test_django_charges.wrong_password"}
    client = project(ADMIN_LOGIN=[login])
    right, wrong = {"username": "ann", "password": "right"}, {"username": "ann", "password": "wrong"}
    assert [client.post("/admin/login/", right).status_code for _ in range(4)] == [302] * 4
    assert [client.post("/admin/login/", wrong).status_code for _ in range(3)] == [200, 200, 429]


def test_a_view_may_charge_by_its_response_and_what_it_raises_is_a_500(project):
    project()
    asked = []

    @rate_limit("10/minute", name="tokens", cost=4, charge=lambda response: asked.append(response.status) or 1)
    def view(request):
        if request.GET:
            raise LookupError
        return HttpResponse()

    factory = RequestFactory()
    assert view(factory.get("/")).status_code == 200
    with pytest.raises(LookupError):
        view(factory.get("/?broken"))
    assert asked == [200, 500]


def test_a_stream_is_charged_at_its_end_and_one_that_breaks_off_is_not_complete(project):
    project()
    told = []

    @rate_limit("10/minute", name="streams", charge=lambda response: told.append(response.complete) or 1)
    def view(request):
        return StreamingHttpResponse(iter(["a", "b"]))

    response = view(RequestFactory().get("/"))
    assert told == []
    assert b"".join(response) == b"ab"
    assert told == [True]
    response = view(RequestFactory().get("/"))
    next(iter(response.streaming_content))
    response.close()
    del response
    assert told == [True, False]


def test_the_forms_of_the_fields_and_hashed_keys_are_settings(project, redis_url, redis_client):
    client = project(STORE=redis_url, LIMITS="2/minute", HEADERS=["draft-7", "x-ratelimit"], HASH_KEYS="a secret of the tests")
    answer = client.get("/")
    assert answer.headers["X-RateLimit-Limit"] == "2"
    assert answer.headers["RateLimit"].startswith("limit=2, remaining=1")
    assert not [key for key in redis_client.scan_iter() if b"127.0.0.1" in key]


@pytest.mark.parametrize("form", ["draft-6", "x-ratelimit", "draft-7", "none"])
def test_a_throttled_view_tells_in_the_form_of_the_settings_without_the_middleware_too(project, form):
    client = project(HEADERS=form, django_settings={"MIDDLEWARE": []})
    told = {name.lower() for name in client.get("/api/anonymous/").headers if "ratelimit" in name.lower()}
    assert told == set(FORMS[form].fields)
