"""
The guides for those who come from django-ratelimit and from Django REST framework's throttles: what stands on their right side does what
they, and the documents of those libraries, promise.
"""

import re
from itertools import count
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.test import RequestFactory, override_settings

from ratekit.stores import MemoryStore

GUIDES = Path(__file__).parents[2] / "docs" / "guides"
NUMBERS = count(1)


def names_of(guide):
    """What the Python of a guide's right side defines, all of it from top to bottom."""
    names = {"__name__": f"guide_{next(NUMBERS)}"}
    for block in re.findall(
        r"^```python\n(.*?)^```", (GUIDES / f"{guide}.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    ):
        exec(compile(block, guide, "exec"), names)
    return names


def ask(view, times=1, *, path="/", method="GET", user=None, address="127.0.0.1", headers=None, data=None, **more):
    """The statuses of so many requests to a view."""
    answers = []
    for _ in range(times):
        request = getattr(RequestFactory(), method.lower())(path, data=data, REMOTE_ADDR=address, headers=headers)
        request.user = request._force_auth_user = user or AnonymousUser()
        request._dont_enforce_csrf_checks = True
        answers.append(view(request, **more).status_code)
    return answers


# django-ratelimit


@pytest.fixture
def after(project):
    """What the guide of django-ratelimit defines, in a project of its own."""
    project()
    return names_of("django-ratelimit")


def test_the_settings_of_the_guide_are_settings(clock):
    given = names_of("django-ratelimit")["RATEKIT"]
    with override_settings(RATEKIT={**given, "STORE": MemoryStore(clock=clock)}):
        view = names_of("django-ratelimit")["by_address"]
        proxied = [ask(view, address="10.0.0.1", headers={"x-real-ip": "192.0.2.1"}) for _ in range(6)]
        assert proxied == [[200]] * 5 + [[429]]
        assert ask(view, address="10.0.0.1", headers={"x-real-ip": "192.0.2.2"}) == [200]


def test_five_a_minute_by_address_then_429_which_charges_nothing(after, clock):
    assert ask(after["by_address"], 6) == [200] * 5 + [429]
    assert ask(after["by_address"], address="192.0.2.1") == [200]
    clock.advance(61)
    assert ask(after["by_address"], 6) == [200] * 5 + [429]


def test_ten_a_minute_by_user_and_by_address_for_those_who_are_not_logged_in(after):
    ann = User(pk=1, username="ann")
    assert ask(after["by_user"], 11, user=ann) == [200] * 10 + [429]
    assert ask(after["by_user"], 11) == [200] * 10 + [429]


def test_a_login_is_limited_by_name_and_by_address_in_one_hit(after):
    def log_in(times, **more):
        return ask(after["login"], times, method="POST", data={"username": "ann"}, **more)

    assert log_in(6) == [200] * 5 + [429]
    assert log_in(1, address="192.0.2.1") == [429]
    others = [ask(after["login"], method="POST", data={"username": f"name {i}"})[0] for i in range(96)]
    assert others == [200] * 95 + [429]  # the refused one has left the address its hundredth
    assert ask(after["login"], 9) == [200] * 9


def test_a_parameter_and_a_header_are_keys(after):
    assert [ask(after["search"], path=f"/?q={q}")[0] for q in "aaaaaab"] == [200] * 5 + [429, 200]


def test_without_blocking_the_request_is_marked(after):
    request = RequestFactory().get("/")
    assert [after["marked"](request).content for _ in range(2)] == [b"fast", b"slow"]


def test_a_name_is_one_count_for_two_views(after):
    assert ask(after["first"], 3) == [200] * 3
    assert ask(after["second"], 3) == [200, 200, 429]


def test_a_rate_may_depend_on_who_is_asking(after):
    assert ask(after["report"], 101) == [200] * 100 + [429]
    assert ask(after["report"], 120, user=User(pk=1, username="ann")) == [200] * 120


def test_a_limit_may_be_asked_by_hand(after):
    key = f"guide {next(NUMBERS)}"
    assert [after["send"](key)[:2] for _ in range(6)] == [(left, left > 0) for left in (5, 4, 3, 2, 1, 0)]


# Django REST framework's own page on throttling


@pytest.fixture
def throttled(project, database):
    """What the guide of Django REST framework defines, in a project with its settings."""
    given = names_of("drf")["REST_FRAMEWORK"]
    project(django_settings={"REST_FRAMEWORK": {**given, "DEFAULT_AUTHENTICATION_CLASSES": []}})
    return names_of("drf")


def test_the_defaults_limit_anonymous_clients_to_a_hundred_a_day_and_users_to_a_thousand(throttled):
    from rest_framework.response import Response
    from rest_framework.settings import api_settings
    from rest_framework.views import APIView

    class Default(APIView):
        throttle_classes = api_settings.DEFAULT_THROTTLE_CLASSES

        def get(self, request):
            return Response({})

    assert settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"]["anon"] == "100/day"
    assert ask(Default.as_view(), 101) == [200] * 100 + [429]
    assert ask(Default.as_view(), 101, user=User(pk=1, username="ann")) == [200] * 101
    assert ask(Default.as_view(), 900, user=User(pk=1, username="ann"))[-2:] == [200, 429]


def test_a_view_a_function_and_an_action_are_limited_by_one_scope(throttled):
    ann = User(pk=2, username="ann")
    views = [throttled["ExampleView"].as_view(), throttled["example_view"]]
    assert [ask(view, 499, user=ann)[-1] for view in views] == [200, 200]
    act = throttled["Examples"].as_view({"post": "example_adhoc_method"}, throttle_classes=[throttled["UserRateThrottle"]])
    assert ask(act, 3, method="POST", user=ann, pk=1) == [200, 200, 429]


def test_a_burst_and_a_sustained_rate_are_one_hit(throttled, clock):
    view = throttled["Both"].as_view()
    for _ in range(16):
        assert ask(view, 61) == [200] * 60 + [429]
        clock.advance(61)
    assert ask(view, 41) == [200] * 40 + [429]  # a thousand: what the burst has refused did not count


def test_contacts_are_a_thousand_a_day_together_and_uploads_twenty(throttled):
    contacts = [throttled[name].as_view() for name in ("ContactListView", "ContactDetailView")]
    assert set(ask(contacts[0], 600)) == {200}
    assert ask(contacts[1], 401) == [200] * 400 + [429]
    assert ask(throttled["UploadView"].as_view(), 21) == [200] * 20 + [429]


def test_throttles_of_ones_own_and_of_others_work_beside_each_other(throttled):
    classes = [throttled[name] for name in ("RandomRateThrottle", "PerKey")]
    view = type("Mixed", (throttled["ExampleView"],), {"throttle_classes": classes}).as_view()
    sent = ask(view, 60, headers={"x-api-key": "a"})
    assert set(sent) == {200, 429}
    alone = type("Keyed", (throttled["ExampleView"],), {"throttle_classes": classes[1:]}).as_view()
    assert ask(alone, 101, headers={"x-api-key": "b"}) == [200] * 100 + [429]
    assert throttled["CustomAnonRateThrottle"]().store == "memory://"
