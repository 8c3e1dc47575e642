"""
What goes wrong with other limiters for Flask and WSGI, each shown to go right here.
"""

import time

import pytest
import servers
from flask import Blueprint, Flask
from flask_apps import app_of, ask, statuses, told

from ratekit import ConfigurationError, Policy
from ratekit.errors import RateKitWarning
from ratekit.flask import RateLimits, rate_limit
from ratekit.stores import MemoryStore
from ratekit.testing import ManualClock


def hello(app):
    app.add_url_rule("/", "home", lambda: "hello")
    return app


@pytest.mark.parametrize("on_outage", ["local", "open"])
def test_flask_limiter_319_the_website_is_down_when_redis_is(on_outage):
    app = hello(app_of("9/minute", store="redis://127.0.0.1:1/0", on_outage=on_outage))
    assert statuses(app) == [200] * 3


def test_flask_limiter_319_swallowed_errors_still_wait_for_redis():
    with servers.RedisServer() as server:
        app = hello(app_of("1000/minute", store=server.url, budget=0.2))
        assert ask(app).status_code == 200
        server.process.send_signal(19)  # it hangs
        begun = time.monotonic()
        assert statuses(app, times=20) == [200] * 20
        server.process.send_signal(18)
    assert time.monotonic() - begun < 4  # 20 times 5 s would be 100


def test_flask_limiter_62_and_99_retry_after_is_too_early_zero_or_negative():
    clock = ManualClock()
    app = hello(app_of("2/minute", store=MemoryStore(clock=clock)))
    assert ask(app).status_code == 200
    clock.advance(20.5)
    assert ask(app).status_code == 200
    refused = ask(app)
    assert refused.headers["retry-after"] == "40"  # 39.5 in whole seconds, up
    clock.advance(39)
    assert ask(app).headers["retry-after"] == "1"
    clock.advance(0.5)
    assert ask(app).status_code == 200


def test_flask_limiter_63_a_limit_for_everything_is_one_for_each_route():
    app = hello(app_of("2/minute"))
    app.add_url_rule("/other", "other", lambda: "other")
    assert [ask(app, path).status_code for path in ("GET /", "GET /other", "GET /", "GET /other")] == [200, 200, 429, 429]


def test_flask_limiter_108_the_applications_limit_is_counted_twice():
    blueprint = rate_limit("9/minute")(Blueprint("pages", "pages", url_prefix="/pages"))
    blueprint.add_url_rule("/", "index", rate_limit("9/hour")(lambda: "page"))
    app = app_of("3/minute")
    app.register_blueprint(blueprint)
    answers = [ask(app, "GET /pages/") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [told(answer)["default"]["r"] for answer in answers] == [2, 1, 0, 0]


def test_flask_limiter_earlier_limits_keep_what_a_later_one_refuses():
    app = app_of("9/minute")
    app.get("/")(rate_limit("1/minute")(lambda: "hello"))
    assert statuses(app, times=5) == [200, 429, 429, 429, 429]
    assert told(ask(app))["default"]["r"] == 8


@pytest.mark.parametrize("algorithm", ["fixed_window", "sliding_window", "sliding_counter", "token_bucket"])
def test_flask_limiter_234_and_448_failures_only_with_every_algorithm(algorithm):
    failures = Policy("failures", f"2/minute {algorithm}", charge=lambda response: int(response.status == 401))
    app = app_of()
    app.add_url_rule("/right", "right", rate_limit(failures)(lambda: "welcome"), methods=["POST"])
    app.add_url_rule("/wrong", "wrong", rate_limit(failures)(lambda: ("wrong", 401)), methods=["POST"])
    assert statuses(app, "POST /right", 5) == [200] * 5
    assert statuses(app, "POST /wrong", 4) == [401, 401, 429, 429]
    assert ask(app, "POST /right").status_code == 429


def test_flask_limiter_190_memory_under_several_workers_multiplies_limits_in_silence(monkeypatch):
    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    with pytest.warns(RateKitWarning, match="4 workers"):
        RateLimits(Flask("shop"), "9/minute")


def test_flask_limiter_a_decorator_above_the_route_is_silently_without_effect():
    app = app_of()
    rate_limit("1/minute")(app.get("/")(lambda: "hello"))
    assert statuses(app) == [200, 429, 429]


def test_flask_limiter_a_view_without_the_extension_is_silently_unlimited():
    app = Flask("bare")
    app.testing = True
    app.get("/")(rate_limit("1/minute")(lambda: "hello"))
    with pytest.raises(ConfigurationError):
        ask(app)


def test_limits_a_refused_large_cost_burns_the_rest_of_the_window():
    app = app_of()
    app.get("/")(rate_limit("5/minute fixed_window", cost=lambda request: int(request.query["n"]))(lambda: "hello"))
    assert [ask(app, f"GET /?n={n}").status_code for n in (4, 6, 2, 1, 1)] == [200, 429, 429, 200, 429]


def test_limits_changing_the_strategy_on_live_keys_raises_wrongtype(redis_url):
    for text in ("9/minute fixed_window", "9/minute sliding_window", "9/minute sliding_counter", "9/minute token_bucket"):
        app = hello(app_of(text, store=redis_url, budget=10.0))
        assert statuses(app) == [200] * 3


@pytest.mark.parametrize("text", ["10/m", "5/week", "10/500ms", "10 per 2 hours", "5/min; 9/hour"])
def test_limits_short_forms_are_refused(text):
    assert statuses(hello(app_of(text))) == [200] * 3


@pytest.mark.parametrize("text", ["1/year", "1/month", "5/2x"])
def test_limits_a_year_has_360_days(text):
    with pytest.raises(ConfigurationError):
        app_of(text)


def test_slowapi_each_value_in_a_path_has_a_quota_of_its_own():
    app = app_of(default="2/minute")
    app.add_url_rule("/items/<name>", "item", lambda name: name)
    assert [ask(app, f"GET /items/{i}").status_code for i in range(4)] == [200, 200, 429, 429]


def test_slowapi_defaults_do_not_reach_what_is_registered_later():
    app = app_of(default="1/minute")
    late = Blueprint("late", "late")
    late.add_url_rule("/late", "late", lambda: "late")
    app.register_blueprint(late)
    assert statuses(app, "GET /late") == [200, 429, 429]


def test_slowapi_a_dict_with_header_fields_is_500_after_the_view_ran():
    app = app_of("9/minute")
    app.add_url_rule("/", "home", lambda: {"hello": "world"})
    answer = ask(app)
    assert (answer.status_code, answer.get_json(), told(answer)["default"]["r"]) == (200, {"hello": "world"}, 8)


def test_fastapi_limiter_one_bucket_for_everybody():
    app = hello(app_of("2/minute"))
    assert [ask(app, client=f"192.0.2.{i}").status_code for i in range(5)] == [200] * 5


def test_fastapi_limiter_the_left_most_forwarded_address_is_believed():
    app = hello(app_of("1/minute", trusted_proxies=["192.0.2.0/24"]))
    said = [{"X-Forwarded-For": f"10.9.8.{i}, 198.51.100.7"} for i in range(3)]
    assert [ask(app, headers=headers).status_code for headers in said] == [200, 429, 429]


def test_asgi_ratelimit_retry_after_is_always_the_whole_window():
    clock = ManualClock()
    app = hello(app_of("1/minute", store=MemoryStore(clock=clock)))
    assert ask(app).status_code == 200
    clock.advance(57)
    assert ask(app).headers["retry-after"] == "3"


def test_throttled_a_blocked_client_is_unblocked_by_1100_others():
    app = hello(app_of("1/minute"))
    assert statuses(app, times=2) == [200, 429]
    for i in range(1100):
        ask(app, client=f"10.0.{i // 250}.{i % 250}")
    assert ask(app).status_code == 429


def test_throttled_a_first_time_client_leaves_a_key_for_ever(redis_url, redis_client):
    app = hello(app_of(policies=[Policy("bucket", "90/minute token_bucket burst 9")], store=redis_url, budget=10.0))
    assert ask(app).status_code == 200
    assert all(0 < redis_client.ttl(key) <= 61 for key in redis_client.scan_iter())
    assert redis_client.dbsize() == 1


def test_pyrate_limiter_182_a_script_flush_is_an_error(redis_url, redis_client):
    app = hello(app_of("9/minute", store=redis_url, budget=10.0))
    first = told(ask(app))["default"]["r"]
    redis_client.script_flush()
    assert (first, told(ask(app))["default"]["r"]) == (8, 7)
