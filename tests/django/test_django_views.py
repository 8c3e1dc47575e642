"""
@rate_limit of ratekit.django on views of every kind, with the middleware around and without.
"""

import asyncio
import json

import pytest
from django.http import HttpResponse
from django.test import AsyncClient, Client, RequestFactory
from django.views import View
from django_asking import BARE, statuses

from ratekit import ConfigurationError, Limit, Policy
from ratekit.django import rate_limit

ONES = [
    "/limited/",
    "/limited-async/",
    "/class/",
    "/method-decorator/",
    "/class-async/",
    "/method-decorator-async/",
    "/as-view/",
]


@pytest.fixture(params=[True, False], ids=["with the middleware", "without it"])
def around(request):
    """The middlewares of the project, with ratekit's and without."""
    return {} if request.param else {"django_settings": {"MIDDLEWARE": BARE}}


def asynchronously(path, times, **options):
    async def go():
        client = AsyncClient()
        return [(await client.get(path, **options)).status_code for _ in range(times)]

    return asyncio.run(go())


@pytest.mark.parametrize("path", ONES)
def test_a_view_of_any_kind_is_limited_under_wsgi_and_asgi_by_one_count(project, around, path):
    client = project(**around)
    first = client.get(path)
    assert first.status_code == 200
    assert first.headers["RateLimit-Policy"].split(", ")[0].endswith(";q=2;w=60")
    assert asynchronously(path, 2) == [200, 429]
    refused = client.get(path)
    assert refused.status_code == 429
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert 1 <= int(refused.headers["Retry-After"]) <= 60


def test_several_limits_of_a_view_are_one_hit_that_charges_all_or_nothing(project, clock):
    client = project()
    assert statuses(client, "/limited/", 3) == [200, 200, 429]
    clock.advance(61)
    refused_later = statuses(client, "/limited/", 2)
    assert refused_later == [200, 429]  # three in the hour: the refused one has charged nothing


def test_views_count_apart_and_a_name_brings_them_together(project):
    client = project()
    assert statuses(client, "/method-decorator/", 3) == [200, 200, 429]
    assert client.get("/sibling/").status_code == 200
    ours, theirs = (rate_limit("1/minute", name="shared")(lambda request: HttpResponse()) for _ in range(2))
    request = RequestFactory().get("/")
    assert [ours(request).status_code, theirs(request).status_code] == [200, 429]


def test_a_users_limit_follows_the_user_and_not_the_address(project, ann):
    client = project()
    client.force_login(ann)
    assert [client.post("/edit/", REMOTE_ADDR=f"192.0.2.{i}").status_code for i in range(3)] == [200, 200, 429]
    assert Client().post("/edit/").status_code == 200


def test_an_async_view_knows_the_user_without_touching_the_database_from_the_loop(project, ann):
    project()

    async def go():
        client = AsyncClient()
        await client.aforce_login(ann)
        return [(await client.get("/profile/")).status_code for _ in range(3)]

    assert asyncio.run(go()) == [200, 200, 429]
    assert asynchronously("/profile/", 3) == [200, 200, 200]  # nobody is logged in: missing="skip"


def test_methods_that_are_not_named_are_free(project):
    client = project()
    assert [client.post("/edit/").status_code for _ in range(3)] == [200, 200, 429]
    assert statuses(client, "/edit/", 3) == [200, 200, 200]


def test_a_posted_name_is_counted_whoever_sends_it_and_however_it_is_spelled(project):
    client = project()
    names = ["ann", " ann", "\N{FULLWIDTH LATIN SMALL LETTER A}nn", "bob"]
    sent = [client.post("/login/", {"username": name}, REMOTE_ADDR=f"192.0.2.{i}").status_code for i, name in enumerate(names)]
    assert sent == [200, 200, 429, 200]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"--x\r\nbroken", "multipart/form-data; boundary=x"),
        (b"--x\r\nbroken", "multipart/form-data"),
        (b"&".join(b"a%d=1" % i for i in range(1100)), "application/x-www-form-urlencoded"),
        (b"username=%ff%fe", "application/x-www-form-urlencoded"),
        (b'{"username": "ann"}', "application/json"),
        (b"username=a\x00b", "application/x-www-form-urlencoded; charset=latin-1"),
    ],
)
def test_a_body_that_cannot_be_read_is_counted_by_address_and_is_no_way_around(project, body, kind):
    client = project()
    sent = [client.generic("POST", "/login/", body, content_type=kind).status_code for _ in range(3)]
    assert sent == [200, 200, 429]


def test_stacked_decorators_are_hits_of_their_own_that_count_apart(project):
    client = project()
    assert [client.post("/stacked/").status_code for _ in range(3)] == [200, 200, 429]
    answer = client.get("/stacked/")
    assert answer.headers["RateLimit-Policy"] == '"stacked";q=5;w=60'


def test_one_method_of_a_class_may_be_limited_alone(project):
    client = project()
    assert [client.post("/one-method/").status_code for _ in range(2)] == [200, 429]
    assert statuses(client, "/one-method/", 2) == [200, 200]
    assert statuses(client, "/own-method/", 2) == [200, 429]


def test_without_blocking_the_view_is_told_and_answers_itself(project):
    client = project()
    assert [client.get("/marked/").content for _ in range(2)] == [b"free", b"limited"]


def test_policies_on_a_view_are_one_hit_with_keys_of_their_own(project, around):
    client = project(**around)
    headers = {"x-api-key": "a"}
    assert client.get("/both/", headers=headers).status_code == 200
    refused = client.get("/both/", headers=headers)
    assert json.loads(refused.content)["violated-policies"] == ["per key"]
    assert client.get("/both/").status_code == 200  # the refused request has left the address its second
    assert client.get("/both/").status_code == 429


def test_a_policy_by_name_is_one_count_for_all_who_use_it(project):
    search = {"name": "search", "limits": "2/minute"}
    client = project(VIEW_POLICIES=[search], POLICIES=[{**search, "match": "/items/*/"}])
    assert client.get("/named/").status_code == 200
    assert client.get("/items/1/").status_code == 200
    assert client.get("/named/").status_code == 429


def test_middleware_and_view_are_two_hits_and_one_list_of_fields(project):
    client = project(LIMITS="5/minute")
    answer = client.get("/class/")
    assert answer.headers["RateLimit-Policy"] == '"default";q=5;w=60, "Decorated";q=2;w=60'
    client.get("/class/")
    refused = client.get("/class/")
    assert json.loads(refused.content)["violated-policies"] == ["Decorated"]
    assert [item.split(";")[1] for item in refused.headers["RateLimit"].split(", ")] == ["r=2", "r=0"]


def test_a_limited_function_inside_a_limited_view_is_answered_429(project, around):
    client = project(**around)
    assert statuses(client, "/working-too/", 2) == [200, 429]


def test_a_cost_may_be_worked_out_from_the_request(project):
    project()
    view = rate_limit("10/minute", name="costly", cost=lambda request: int(request.query.get("n", "1")))(
        lambda request: HttpResponse()
    )
    factory = RequestFactory()
    assert [view(factory.get("/", {"n": n})).status_code for n in ("6", "5", "4", "1")] == [200, 429, 200, 429]


def test_an_exemption_by_pattern_or_callable_is_free(project):
    project()
    view = rate_limit("1/minute", name="exempt", exempt=lambda request: request.headers.get("x-internal") == "yes")(
        lambda request: HttpResponse()
    )
    factory = RequestFactory()
    free = [view(factory.get("/", headers={"x-internal": "yes"})).status_code for _ in range(3)]
    assert free == [200, 200, 200]


def test_a_view_without_an_address_is_answered_500_and_nothing_is_raised(project):
    project()
    view = rate_limit("1/minute", name="nobody")(lambda request: HttpResponse())
    assert view(RequestFactory().get("/", REMOTE_ADDR="")).status_code == 500


def test_switched_off_nothing_is_limited_and_nothing_is_asked_of_a_request(project, monkeypatch):
    monkeypatch.setenv("RATEKIT_ENABLED", "0")
    client = project(LIMITS="1/minute")
    with pytest.warns(UserWarning, match="RATEKIT_ENABLED"):
        free = statuses(client, "/limited/", 5)
    assert free == [200] * 5


def test_the_decorated_view_keeps_its_name_and_its_documentation():
    @rate_limit("1/minute")
    def view(request):
        """What it is."""

    assert (view.__name__, view.__doc__) == ("view", "What it is.")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (rate_limit, "write limits, or Policies, or policy="),
        (lambda: rate_limit("1/minute", policy="a"), "one kind of them only"),
        (lambda: rate_limit("1/minute", Policy("a", "1/minute")), "one kind of them only"),
        (lambda: rate_limit(Policy("a", "1/minute"), key="user"), "write it there"),
        (lambda: rate_limit("5/month"), "write '5/30 days'"),
        (lambda: rate_limit("1/minute", key="usr"), "'post:NAME'"),
        (lambda: rate_limit("1/minute", cost=-1), "whole number"),
        (lambda: rate_limit("1/minute", methods="POST", exempt="/a"), "are both given"),
        (lambda: rate_limit(Limit(1, per=1))(object), "has no dispatch"),
    ],
)
def test_what_cannot_be_is_refused_where_it_is_written(make, says):
    with pytest.raises(ConfigurationError, match=says):
        make()


def test_a_function_that_is_no_view_says_which_decorator_to_take(project):
    project()
    with pytest.raises(ConfigurationError, match="take ratekit"):
        rate_limit("1/minute")(lambda number: number)(5)


def test_a_method_of_a_sync_class_is_limited_when_it_is_called_from_an_event_loop_too(project):
    project()

    @rate_limit("1/minute")
    class Called(View):
        def get(self, request):
            return HttpResponse("ok")

    async def go():
        return [Called.as_view()(RequestFactory().get("/")).status_code for _ in range(2)]

    assert asyncio.run(go()) == [200, 429]
