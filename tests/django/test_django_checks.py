"""
`manage.py check`, the report on routes and `manage.py ratekit`: what a project is told before a client tells it.
"""

import io
import json
import logging

import pytest
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.test import Client, override_settings
from django.urls import path, re_path
from django_asking import BARE, MIDDLEWARE, statuses

from ratekit import ConfigurationError, Policy
from ratekit.django import user
from ratekit.django.routes import report_on, template
from ratekit.django.settings import current
from ratekit.stores import MemoryStore

NAMED = {"VIEW_POLICIES": [Policy("search", "2/minute")]}
"""What the views of this project ask for by name."""


def found(*, deploy=False, rest=None, **ratekit):
    """The messages of ratekit's checks, id to text."""
    with override_settings(RATEKIT={**NAMED, **ratekit}, **(rest or {})):
        messages = run_checks(include_deployment_checks=deploy)
        return {message.id: f"{message.msg} {message.hint or ''}" for message in messages if message.id.startswith("ratekit.")}


def test_a_project_that_is_as_it_should_be_has_no_messages():
    assert found(LIMITS="5/minute") == {}
    assert found(STORE="redis://localhost:6379/0", deploy=True) == {}


def test_settings_that_cannot_be_are_an_error():
    assert "write '5/30 days'" in found(LIMITS="5/month")["ratekit.E001"]


def test_a_policy_that_a_view_asks_for_and_nobody_has_is_an_error():
    message = found(VIEW_POLICIES=[Policy("serach", "2/minute")])["ratekit.E002"]
    assert "@rate_limit(policy='search') in django_project" in message
    assert "has 'serach'" in message


@pytest.mark.parametrize("setting", [{"LIMITS": "5/minute"}, {"ADMIN_LOGIN": "5/minute"}, {"POLICIES": [Policy("a", "1/minute")]}])
def test_limits_without_the_middleware_are_an_error(setting):
    assert f"RATEKIT[{next(iter(setting))!r}] limits nothing" in found(rest={"MIDDLEWARE": BARE}, **setting)["ratekit.E003"]


def test_a_user_before_authentication_is_an_error():
    early = {"MIDDLEWARE": [MIDDLEWARE[-1], *BARE]}
    assert "before there is one" in found(POLICIES=[Policy("daily", "1/day", key=user)], rest=early)["ratekit.E004"]
    assert found(POLICIES=[{"name": "daily", "limits": "1/day", "key": "user"}]) == {}


@pytest.mark.parametrize(("variable", "value"), [("WEB_CONCURRENCY", "4"), ("GUNICORN_CMD_ARGS", "--workers=4 --bind=:80")])
def test_memory_under_several_workers_is_a_warning(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    assert "asks for 4 workers" in found(LIMITS="5/minute")["ratekit.W001"]
    assert found(LIMITS="5/minute", STORE="redis://localhost:6379/0") == {}


def test_memory_in_production_is_a_warning():
    assert "several workers" in found(LIMITS="5/minute", deploy=True)["ratekit.W001"]


@pytest.mark.parametrize(
    "sign",
    [
        {"SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https")},
        {"USE_X_FORWARDED_HOST": True},
        {"RATELIMIT_IP_META_KEY": "HTTP_X_REAL_IP"},
        {"REST_FRAMEWORK": {"NUM_PROXIES": 1, "DEFAULT_THROTTLE_RATES": {"uploads": "20/day"}}},
    ],
)
def test_a_proxy_that_nobody_has_named_is_a_warning(sign):
    assert "names none" in found(LIMITS="5/minute", rest=sign)["ratekit.W002"]
    assert found(LIMITS="5/minute", TRUSTED_PROXIES=["10.0.0.0/8"], rest=sign) == {}
    assert found(LIMITS="5/minute", TRUSTED_PROXIES=[], rest=sign) == {}


def test_a_policy_that_no_route_has_is_a_warning_that_says_what_was_meant():
    message = found(POLICIES=[Policy("items", "5/minute", match="/item/*/"), Policy("login", "1/minute", match="POST /login/")])
    assert "policy 'items' matches no route" in message["ratekit.W003"]
    assert "did you mean" in message["ratekit.W003"]


def test_a_policy_for_views_that_no_view_asks_for_is_a_warning():
    assert (
        "has 'other', and no view asks" in found(VIEW_POLICIES=[*NAMED["VIEW_POLICIES"], Policy("other", "1/day")])["ratekit.W004"]
    )


def test_a_scope_without_a_rate_is_an_error():
    pytest.importorskip("ratekit.drf", exc_type=ImportError)
    rates = {"DEFAULT_THROTTLE_RATES": {"anon": "2/min"}}
    assert "throttle_scope is 'uploads'" in found(rest={"REST_FRAMEWORK": rates})["ratekit.E002"]


# The report on routes.


def test_the_report_lists_every_view_with_the_limits_at_it():
    policies = [Policy("items", "5/minute", match="GET /items/*/")]
    with override_settings(RATEKIT={**NAMED, "POLICIES": policies}):
        report = report_on(current())
    rows = {str(endpoint): [str(one) for one in held] for endpoint, held in report.rows}
    assert rows["/items/{number}/"] == ["items: 5/minute (some requests)"]
    assert rows["/limited/"] == ["limited: 2/minute; 3/hour"]
    assert rows["GET /class/"] == ["Decorated: 2/minute"]
    assert rows["GET /method-decorator/"] == ["ByMethodDecorator: 2/minute"]
    assert rows["/named/"] == ["search: 2/minute"]
    assert rows["/included/hello/"] == []
    assert rows["GET|POST /one-method/"] == ["OneMethod: 1/minute"]


def test_the_report_shows_the_admins_login_limit_at_every_admin_site_and_nowhere_else():
    with override_settings(RATEKIT={**NAMED, "ADMIN_LOGIN": "3/minute"}):
        rows = {str(endpoint): [str(one) for one in held] for endpoint, held in report_on(current()).rows}
    limited = sorted(route for route, held in rows.items() if "admin-login: 3/minute (some requests)" in held)
    assert limited == ["/admin/login/", "/second/login/"]


@pytest.mark.parametrize(
    ("route", "is_called"),
    [
        (path("a/<int:b>/<slug>/", print), "a/{b}/{slug}/"),
        (path("files/<path:rest>", print), "files/{rest:path}"),
        (re_path(r"^login/$", print), "login/"),
        (re_path(r"^items/(?P<number>[0-9]+)/$", print), "items/{rest:path}"),
        (re_path(r"^open", print), "open{rest:path}"),
    ],
)
def test_a_route_is_called_what_its_pattern_says(route, is_called):
    assert template(route.pattern) == is_called


def test_when_the_server_starts_the_report_is_logged_and_what_is_not_meant_is_a_warning(project, caplog):
    client = project(POLICIES=[Policy("items", "5/minute", match="/item/*/")], **NAMED)
    with caplog.at_level(logging.INFO, "ratekit"):
        client.get("/")
        Client().get("/")
    lines = [record.getMessage() for record in caplog.records if record.name == "ratekit"]
    assert "rate limiting: /limited/: limited: 2/minute; 3/hour" in lines
    assert sum("matches no route" in line for line in lines) == 1


def test_strict_settings_do_not_start_with_a_route_that_has_no_limit_unless_it_is_named(project):
    with pytest.raises(ConfigurationError, match=r"/included/hello/ has no limit"):
        project(POLICIES=[Policy("items", "5/minute", match="/items/*/")], STRICT=True, **NAMED).get("/")
    assert project(LIMITS="5/minute", STRICT=True, **NAMED).get("/").status_code == 200
    assert project(STRICT=True, UNLIMITED="/*", POLICIES=[], **NAMED).get("/").status_code == 200


# manage.py ratekit


def said(*words):
    out = io.StringIO()
    call_command("ratekit", *words, stdout=out)
    return out.getvalue()


@pytest.fixture
def on_redis(project, redis_url):
    """The project on Redis, under which the address has spent one in each of three places."""
    client = project(
        STORE=redis_url,
        DENY_CACHE=0,  # a server that knows of a refusal would repeat it for up to a second
        LIMITS="5/minute",
        ADMIN_LOGIN="3/minute",
        VIEW_POLICIES=[Policy("search", "2/minute")],
    )
    for place in ("/limited/", "/named/"):
        client.get(place)
    return client


def test_peek_shows_what_an_address_has_left_and_spends_nothing(on_redis):
    for _ in range(2):
        facts = {(fact["policy"], fact["limit"]): fact for fact in json.loads(said("peek", "127.0.0.1", "--json"))}
    assert facts["default", "5/minute"]["remaining"] == 3
    assert facts["django_project.limited", "2/minute"]["remaining"] == 1
    assert facts["search", "2/minute"]["remaining"] == 1
    assert facts["admin-login", "3/minute"]["remaining"] == 3
    assert "policy default  limit 5/minute  allowed True  remaining 3" in said("peek", "::ffff:127.0.0.1", "--policy", "default")


def test_reset_makes_a_client_as_new_in_one_policy_or_in_all(on_redis):
    assert statuses(on_redis, "/limited/", 2) == [200, 429]
    said("reset", "127.0.0.1", "--policy", "django_project.limited")
    assert statuses(on_redis, "/limited/", 2) == [200, 429]  # now the five of the whole project are spent
    said("reset", "127.0.0.1")
    assert statuses(on_redis, "/limited/", 3) == [200, 200, 429]


def test_who_was_counted_by_address_for_want_of_a_user_is_named_by_two_words(project, redis_url):
    client = project(STORE=redis_url, POLICIES=[Policy("daily", "2/day", key=user)])
    client.get("/")
    assert json.loads(said("peek", "ip", "127.0.0.1", "--policy", "daily", "--json"))[0]["remaining"] == 1
    assert json.loads(said("peek", "42", "--policy", "daily", "--json"))[0]["remaining"] == 2


def test_routes_prints_the_report(on_redis):
    lines = said("routes").splitlines()
    assert "/limited/  default: 5/minute  limited: 2/minute; 3/hour" in lines
    rows = json.loads(said("routes", "--json"))
    assert {"route": "/limited/", "limits": ["default: 5/minute", "limited: 2/minute; 3/hour"]} in rows["routes"]


@pytest.mark.parametrize(
    ("settings", "words", "says"),
    [
        ({}, ["peek", "192.0.2.1"], "cannot see the store 'memory://'"),
        ({"STORE": MemoryStore()}, ["peek", "192.0.2.1"], "inside each process"),
        ({"STORE": "redis://localhost/0"}, ["peek", "192.0.2.1", "--policy", "no-such-policy"], "there are search"),
        ({"STORE": "redis://127.0.0.1:1/0"}, ["peek", "192.0.2.1"], "127.0.0.1:1"),
        ({"LIMITS": "5/month"}, ["peek", "192.0.2.1"], "write '5/30 days'"),
        ({"STORE": "redis://localhost/0"}, ["peek"], "say who"),
    ],
)
def test_a_command_that_cannot_be_carried_out_says_why(settings, words, says):
    with override_settings(RATEKIT={**NAMED, **settings}), pytest.raises(CommandError, match=says):
        call_command("ratekit", *words)
