"""
ratekit.drf: the throttles of Django REST framework, one hit for all of a view.
"""

import threading

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import Client, RequestFactory, override_settings
from django_asking import BARE, statuses
from rest_framework.request import Request
from rest_framework.settings import api_settings
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from ratekit import ConfigurationError
from ratekit.drf import AnonRateThrottle, ScopedRateThrottle, SimpleRateThrottle, UserRateThrottle, check_rates, rate_of
from ratekit.stores import MemoryStore


@pytest.fixture
def api(project, database):
    """The project with no limits but its throttles; gives a client."""
    return project


def test_an_anonymous_client_is_limited_by_address_and_told_when_to_come_back(api, clock):
    client = api(django_settings={"MIDDLEWARE": BARE})
    first, _, refused = (client.get("/api/anonymous/") for _ in range(3))
    assert first.headers["RateLimit-Policy"] == '"anon";q=2;w=60'
    assert first.headers["RateLimit"].startswith('"anon";r=1;t=')
    assert refused.status_code == 429
    assert refused.headers["RateLimit"].startswith('"anon";r=0;t=')
    assert refused.headers["Cache-Control"] == "no-store"
    assert refused.json()["detail"].startswith("Request was throttled. Expected available in ")
    assert client.get("/api/anonymous/", REMOTE_ADDR="192.0.2.1").status_code == 200
    clock.advance(int(refused.headers["Retry-After"]))
    assert client.get("/api/anonymous/").status_code == 200


def test_with_ratekits_middleware_around_both_are_told_in_one_list(api):
    answer = api(LIMITS="9/minute").get("/api/anonymous/")
    assert answer.headers["RateLimit-Policy"] == '"default";q=9;w=60, "anon";q=2;w=60'


def test_a_user_is_limited_wherever_they_ask_from_and_apart_from_the_anonymous(api, ann):
    client = api()
    client.force_login(ann)
    assert [client.get("/api/user/", REMOTE_ADDR=f"192.0.2.{i}").status_code for i in range(4)] == [200, 200, 200, 429]
    assert statuses(Client(), "/api/user/", 4) == [200, 200, 200, 429]
    assert statuses(client, "/api/anonymous/", 4) == [200] * 4  # somebody who is logged in is not anonymous


def test_an_anonymous_client_of_a_view_with_both_is_charged_in_both_and_only_together(api):
    client = api()
    answers = [client.get("/api/both/") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert statuses(client, "/api/user/", 2) == [200, 429]  # the refused request has left the user's third


def test_a_scope_is_one_count_for_all_views_that_name_it(api):
    client = api()
    assert statuses(client, "/api/uploads/", 12) == [200] * 12
    assert statuses(client, "/api/more-uploads/", 9) == [200] * 8 + [429]
    assert statuses(client, "/api/scopeless/", 30) == [200] * 30


def test_a_key_of_ones_own_is_counted_and_none_is_free(api):
    client = api()
    assert statuses(client, "/api/keyed/", 3, headers={"x-api-key": "a"}) == [200, 200, 429]
    assert statuses(client, "/api/keyed/", 1, headers={"x-api-key": "b"}) == [200]
    assert statuses(client, "/api/keyed/", 3) == [200, 200, 200]


def test_a_throttle_with_a_decision_of_its_own_is_left_to_it(api):
    client = api()
    assert statuses(client, "/api/mixed/", 4) == [200, 200, 200, 429]
    assert [client.head("/api/mixed/").status_code for _ in range(2)] == [200, 429]  # the other one's four in the hour


def test_two_throttles_that_say_the_same_are_charged_once(api):
    assert statuses(api(), "/api/twins/", 4) == [200, 200, 200, 429]


def test_functions_viewsets_and_their_actions_are_limited_too(api, ann):
    client = api()
    client.force_login(ann)
    assert [len(client.get("/api/users/").json()) for _ in range(2)] == [1, 1]
    assert client.get("/api/users/1/").status_code == 200
    assert client.get("/api/users/").status_code == 429
    anonymous = Client()
    assert statuses(anonymous, "/api/users/names/", 2) == [200, 200]
    assert anonymous.get("/api/function/").status_code == 429
    assert statuses(anonymous, "/api/decorated/", 2) == [200, 429]


def test_asking_twice_by_hand_is_two_hits(api):
    api()
    request, view = Request(APIRequestFactory().get("/")), APIView()
    throttle = AnonRateThrottle()
    assert [throttle.allow_request(request, view) for _ in range(3)] == [True, True, False]
    assert 0 < throttle.wait() <= 60
    assert AnonRateThrottle().allow_request(Request(APIRequestFactory().get("/", REMOTE_ADDR="192.0.2.9")), view)


def test_a_throttle_may_have_a_store_of_its_own(api, clock):
    class Elsewhere(AnonRateThrottle):
        store = MemoryStore(clock=clock)

    api()
    request, view = Request(APIRequestFactory().get("/")), APIView()
    assert [Elsewhere().allow_request(request, view) for _ in range(3)] == [True, True, False]
    assert AnonRateThrottle().allow_request(request, view)


def test_a_rate_that_is_none_switches_a_throttle_off(api):
    client = api(django_settings={"REST_FRAMEWORK": {"DEFAULT_THROTTLE_RATES": {"anon": None, "uploads": "1/day"}}})
    assert statuses(client, "/api/anonymous/", 9) == [200] * 9


def test_the_address_is_the_sockets_or_what_num_proxies_or_named_proxies_say(api):
    def ident(forwarded, **settings):
        request = RequestFactory().get("/", headers={"x-forwarded-for": forwarded})
        with override_settings(REST_FRAMEWORK=settings):
            return UserRateThrottle().get_ident(Request(request)) if settings.get("DEFAULT_THROTTLE_RATES") else None

    rates = {"DEFAULT_THROTTLE_RATES": {"user": "1/day"}}
    api()
    assert ident("203.0.113.1, 198.51.100.7", **rates) == "127.0.0.1"
    assert ident("203.0.113.1, 198.51.100.7", **rates, NUM_PROXIES=0) == "127.0.0.1"
    assert ident("203.0.113.1, 198.51.100.7", **rates, NUM_PROXIES=1) == "198.51.100.7"
    assert ident("203.0.113.1, 198.51.100.7", **rates, NUM_PROXIES=2) == "203.0.113.1"
    assert ident("198.51.100.7:4711", **rates, NUM_PROXIES=1) == "198.51.100.7"
    assert ident("nonsense", **rates, NUM_PROXIES=1) == "127.0.0.1"
    assert ident("2001:db8::1", **rates, NUM_PROXIES=1) == "2001:db8::/64"
    api(TRUSTED_PROXIES=["127.0.0.1"])
    assert ident("203.0.113.1, 198.51.100.7", **rates) == "198.51.100.7"


def test_a_store_that_is_away_is_answered_503_where_that_is_said_and_locally_else(api):
    client = api(STORE="redis://127.0.0.1:1/0", ON_OUTAGE="closed")
    answer = client.get("/api/anonymous/")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert statuses(api(STORE="redis://127.0.0.1:1/0"), "/api/anonymous/", 3) == [200, 200, 429]


def test_two_requests_at_once_do_not_both_get_the_last_place(api, redis_url, redis_client):
    api(STORE=redis_url)
    admitted, barrier = [], threading.Barrier(8)

    class Few(AnonRateThrottle):
        rate = "50/min"

    def ask():
        request, view = Request(APIRequestFactory().get("/")), APIView()
        barrier.wait()
        admitted.append(sum(Few().allow_request(request, view) for _ in range(20)))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(admitted) == 50
    assert all(redis_client.ttl(key) > 0 for key in redis_client.scan_iter())


@pytest.mark.parametrize("short", ["100/s", "100/sec", "100/m", "100/min", "100/minute", "100/h", "100/hour", "100/d", "100/day"])
def test_the_short_forms_of_rates_are_read(short):
    seconds = {"s": 1, "m": 60, "h": 3600, "d": 86400}[short[4]]
    assert [(limit.quota, limit.per) for limit in rate_of(short)] == [(100, seconds)]


def test_a_rate_may_be_more_than_the_original_reads(api):
    class Rich(AnonRateThrottle):
        rate = "2/10s; 3/hour"

    api()
    request, view = Request(APIRequestFactory().get("/")), APIView()
    assert [Rich().allow_request(request, view) for _ in range(3)] == [True, True, False]


def test_a_parse_rate_of_ones_own_is_asked(api):
    class Own(AnonRateThrottle):
        rate = "a few"

        def parse_rate(self, rate):
            return (2, 60)

    api()
    request, view = Request(APIRequestFactory().get("/")), APIView()
    assert [Own().allow_request(request, view) for _ in range(3)] == [True, True, False]


def test_what_cannot_be_is_refused_when_the_class_is_made_or_the_project_starts():
    with pytest.raises(ConfigurationError, match="write '10/30 days'"):
        type("Monthly", (AnonRateThrottle,), {"rate": "10/month"})
    with pytest.raises(ConfigurationError, match=r"store = 'redis://"):
        type("Cached", (AnonRateThrottle,), {"cache": object()})
    with override_settings(REST_FRAMEWORK={"DEFAULT_THROTTLE_RATES": {"anon": "10/month"}}):
        assert api_settings.DEFAULT_THROTTLE_RATES["anon"] == "10/month"
        with pytest.raises(ConfigurationError, match=r"\['anon'\]: '10/month'.*write '10/30 days'"):
            check_rates()


def test_a_throttle_without_scope_rate_or_key_says_so_as_the_original_does():
    with pytest.raises(ImproperlyConfigured, match="You must set either"):
        SimpleRateThrottle()
    with pytest.raises(ImproperlyConfigured, match="No default throttle rate set for 'nobody' scope"):
        type("Scoped", (UserRateThrottle,), {"scope": "nobody"})()
    with pytest.raises(NotImplementedError, match="get_cache_key"):
        type("Keyless", (SimpleRateThrottle,), {"rate": "1/day"})().allow_request(None, None)
    assert ScopedRateThrottle().allow_request(Request(APIRequestFactory().get("/")), APIView())


def test_an_address_of_the_newer_kind_is_counted_by_its_network_once_and_no_more(api, ann):
    client = api()
    ours = [client.get("/api/anonymous/", REMOTE_ADDR=f"2001:db8::{i}").status_code for i in range(3)]
    assert ours == [200, 200, 429]
    assert client.get("/api/anonymous/", REMOTE_ADDR="2001:db8:0:1::1").status_code == 200
