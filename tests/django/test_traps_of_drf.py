"""
The traps of Django REST framework's throttles: each by name, and not in ratekit.drf.
"""

import pytest
from django_asking import statuses
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from ratekit import ConfigurationError
from ratekit.drf import AnonRateThrottle, UserRateThrottle, rate_of


@pytest.fixture
def api(project, database):
    return project


@pytest.mark.parametrize("rate", ["10/month", "10/months", "10/hours of work", "10/dozen"])
def test_only_the_first_letter_of_the_period_is_read_all_of_it_is(rate):
    """DRF: 10/month is ten a minute."""
    with pytest.raises(ConfigurationError, match=r"write|units"):
        rate_of(rate)


def test_ten_per_millisecond_are_ten_per_minute_they_are_what_they_say():
    """DRF: 10/ms is ten a minute; 10/5m is a KeyError."""
    assert [rate_of(rate)[0].period for rate in ("10/ms", "10/5m")] == [1_000, 300_000_000]


def test_the_throttles_that_admitted_go_on_counting_what_another_has_refused_they_do_not(api):
    """DRF: every throttle of a view is asked and counts, also after one has refused."""
    client = api()
    assert statuses(client, "/api/refused-by-the-second/", 5) == [200, 429, 429, 429, 429]
    assert statuses(client, "/api/burst/", 3) == [200, 200, 429]  # of three one was spent


def test_the_whole_of_x_forwarded_for_is_the_client_it_is_not_believed(api):
    """DRF: without NUM_PROXIES a client that sends another header each time is never limited."""
    client = api()
    sent = [client.get("/api/anonymous/", headers={"x-forwarded-for": f"192.0.2.{i}"}).status_code for i in range(4)]
    assert sent == [200, 200, 429, 429]


def test_no_retry_after_once_a_rate_was_lowered_there_is_one(api):
    """DRF: the history is longer than the new rate, and the wait is None."""

    class Before(AnonRateThrottle):
        rate, scope = None, "lowered"

        def get_rate(self):
            return "9/min"

    class After(Before):
        def get_rate(self):
            return "2/min"

    api()
    request, view = Request(APIRequestFactory().get("/")), APIView()
    assert all(Before().allow_request(request, view) for _ in range(9))
    throttle = After()
    assert not throttle.allow_request(request, view)
    assert 0 < throttle.wait() <= 60


def test_a_cache_of_one_process_is_the_state_it_is_not_used(api):
    """DRF: LocMemCache, which is the default, counts per worker; the store of the settings is asked instead."""
    with pytest.raises(ConfigurationError, match="Django's cache"):
        type("Cached", (UserRateThrottle,), {"cache": None})


def test_a_success_says_nothing_of_the_limit_it_has_the_fields(api):
    """DRF: only a refusal says anything."""
    assert {"RateLimit", "RateLimit-Policy"} <= set(api(django_settings={"MIDDLEWARE": []}).get("/api/anonymous/").headers)
