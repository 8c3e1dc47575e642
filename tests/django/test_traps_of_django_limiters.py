"""
The traps that django-ratelimit, Django REST framework's throttles and other limiters set: each by name, and not here.
"""

import asyncio
import threading

import pytest
from django.http import HttpResponse
from django.test import AsyncClient, RequestFactory
from django_asking import BARE, statuses

from ratekit import ConfigurationError, Policy
from ratekit.django import rate_limit


def view_of(*limits, **options):
    return rate_limit(*limits, **options)(lambda request: HttpResponse("ok"))


def ask(view, times=1, **options):
    return [view(RequestFactory().get("/", **options)).status_code for _ in range(times)]


# What many do: python-peers' defects that a Django application could meet.


def test_one_bucket_for_everybody_each_address_has_its_own(project):
    """fastapi-limiter: five addresses at two a minute each were answered 200, 200, 429, 429, 429."""
    client = project(LIMITS="2/minute")
    assert [client.get("/", REMOTE_ADDR=f"192.0.2.{i}").status_code for i in range(5)] == [200] * 5


def test_least_recently_used_is_forgotten_a_blocked_client_stays_blocked_after_many_others(project):
    """throttled-py: after 1,100 other keys a blocked client was let in."""
    project()
    view = view_of("1/minute", name="lru")
    assert ask(view, 2) == [200, 429]
    for i in range(1100):
        ask(view, REMOTE_ADDR=f"10.0.{i // 250}.{i % 250}")
    assert ask(view) == [429]


def test_500_after_the_handler_ran_a_view_that_gives_any_response_gets_the_fields(project):
    """slowapi: what the endpoint gave back could not take header fields."""
    assert "RateLimit" in project(LIMITS="9/minute").get("/streamed/").headers


@pytest.mark.parametrize("on_outage", ["local", "open", "closed"])
def test_redis_down_is_a_500_it_is_not_whatever_the_setting(project, on_outage):
    """django-ratelimit: RATELIMIT_FAIL_OPEN does not catch what the cache raises. slowapi: swallow_errors does not, either."""
    client = project(STORE="redis://127.0.0.1:1/0", LIMITS="1/minute", ON_OUTAGE=on_outage, PREFIX=f"down-{on_outage}")
    expected = {"local": [200, 429], "open": [200, 200], "closed": [503, 503]}[on_outage]
    assert statuses(client, "/", 2) == expected


def test_a_quota_for_each_spelling_of_the_path_one_view_is_one_quota(project):
    """slowapi: /items/1, /items/2, ... each had a quota of its own."""
    client = project(POLICIES=[Policy("items", "2/minute", match="/items/*/")])
    assert [client.get(f"/items/{i}/").status_code for i in range(3)] == [200, 200, 429]


def test_a_denied_cost_burns_the_window_it_charges_nothing(project):
    """limits, django-ratelimit: a refused hit is counted all the same, and keeps who goes on asking out."""
    project()
    view = view_of("5/minute fixed_window", name="denied", cost=lambda request: int(request.query["n"]))
    factory = RequestFactory()
    assert [view(factory.get("/", {"n": n})).status_code for n in ("6", "9", "5", "1")] == [429, 429, 200, 429]


def test_switching_the_algorithm_on_live_data_raises_it_does_not(project, redis_url):
    """limits: from fixed to moving window on the same keys was a WRONGTYPE until they expired."""
    for algorithm in ("fixed_window", "sliding_window", "token_bucket", "sliding_counter"):
        project(STORE=redis_url, LIMITS=f"2/minute {algorithm}")
        assert project(STORE=redis_url, LIMITS=f"2/minute {algorithm}").get("/").status_code == 200


def test_no_script_after_a_restart_or_flush_it_is_loaded_again(project, redis_url, redis_client):
    """pyrate-limiter: NoScriptError after SCRIPT FLUSH."""
    client = project(STORE=redis_url, LIMITS="9/minute")
    assert client.get("/").status_code == 200
    redis_client.script_flush()
    assert client.get("/").headers["RateLimit"].startswith('"default";r=7')


def test_a_key_without_an_end_or_with_one_too_early_every_key_ends_with_its_window(project, redis_url, redis_client):
    """throttled-py and pyrate-limiter: TTL -1; redis-rate-limiters: 30 s, whatever the period."""
    project(STORE=redis_url, LIMITS="1/hour").get("/")
    ends = [redis_client.ttl(key) for key in redis_client.scan_iter()]
    assert ends
    assert all(3500 <= end <= 7300 for end in ends)


def test_retry_after_is_the_whole_window_it_is_the_wait(project, clock):
    """asgi-ratelimit: 60 where 57 were left."""
    client = project(LIMITS="1/minute")
    client.get("/")
    clock.advance(10.5)
    assert client.get("/").headers["Retry-After"] == "50"
    clock.advance(50)
    assert client.get("/").status_code == 200


# django-ratelimit


@pytest.mark.parametrize("rate", ["5/month", "100/2x", "5/mx", "x5/m", "5/m and more"])
def test_a_rate_that_is_half_read_it_is_refused_where_it_is_written(rate):
    """django-ratelimit: 5/month is five a minute, because what follows the first letter is not read."""
    with pytest.raises(ConfigurationError, match=r"write|units"):
        rate_limit(rate)


def test_two_weeks_are_two_seconds_they_are_two_weeks():
    """django-ratelimit: 100/2w is 100 in two seconds."""
    (limit,) = rate_limit("100/2w").policies(None, "view")[0].limits
    assert limit.per == 14 * 86400


def test_an_async_view_is_a_coroutine_that_nobody_awaits_it_is_limited(project):
    """django-ratelimit: the decorator on `async def` is a 500."""
    project()

    async def go():
        client = AsyncClient()
        return [(await client.get("/limited-async/")).status_code for _ in range(3)]

    assert asyncio.run(go()) == [200, 200, 429]


def test_a_refusal_is_403_without_a_word_it_is_429_with_retry_after_and_fields(project):
    """django-ratelimit: 403, no Retry-After, no fields."""
    client = project(django_settings={"MIDDLEWARE": BARE})
    refused = [client.get("/class/") for _ in range(3)][-1]
    assert refused.status_code == 429
    assert {"Retry-After", "RateLimit", "RateLimit-Policy"} <= set(refused.headers)


def test_the_stacked_limits_go_on_counting_what_another_has_refused_policies_do_not(project):
    """django-ratelimit #215: denied requests keep incrementing the other limits."""
    client = project()
    sent = [client.get("/both/", headers={"x-api-key": "a"}).status_code for _ in range(5)]
    assert sent == [200, 429, 429, 429, 429]
    assert client.get("/both/").status_code == 200  # the address has been charged once


def test_a_cache_per_process_is_no_counter_of_all_of_them_the_check_says_so(monkeypatch):
    """django-ratelimit, flask-limiter, slowapi: memory under several workers, silently."""
    from django.core.checks import run_checks
    from django.test import override_settings

    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    with override_settings(RATEKIT={"LIMITS": "5/minute"}):
        assert "ratekit.W001" in {message.id for message in run_checks()}


def test_a_race_between_get_and_set_nobody_slips_through(project, redis_url):
    """DRF, litestar: requests that come at the same time all read the count before any has written it."""
    project(STORE=redis_url)
    view, admitted, barrier = view_of("20/minute", name="race"), [], threading.Barrier(6)

    def go():
        barrier.wait()
        admitted.append(ask(view, 10).count(200))

    threads = [threading.Thread(target=go) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(admitted) == 20


def test_a_year_of_360_days_there_is_none(project):
    """limits: 1/year is 360 days, 1/month is 30."""
    with pytest.raises(ConfigurationError, match="365 days"):
        rate_limit("1/year")
    assert project(LIMITS="1/365 days").get("/").headers["RateLimit-Policy"] == f'"default";q=1;w={365 * 86400}'
