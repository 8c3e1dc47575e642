"""
What ratekit gives to its users' tests: time that stands still, keys that are used up, assertions that say what was there instead.
"""

import pytest
from django.conf import settings
from django.http import HttpResponse
from fastapi import FastAPI
from fastapi.testclient import TestClient
from flask import Flask

from ratekit import AsyncLimiter, Limiter, Policy, RateLimitExceeded, rate_limit
from ratekit.asgi import RateLimitMiddleware
from ratekit.flask import RateLimits
from ratekit.http import Headers
from ratekit.stores import MemoryStore, RedisStore
from ratekit.testing import ManualClock, assert_limited, assert_not_limited, exhaust, frozen, limiting_off, limits_told

pytest_plugins = ["pytester"]


def application(store="memory://", **options):
    app = FastAPI()

    @app.get("/")
    def hello():
        return "hello"

    app.add_middleware(RateLimitMiddleware, **({"limits": "2/minute", "store": store, "budget": 10.0} | options))
    return app


# Time


def test_memory_is_frozen_for_whoever_opened_it_before_and_empty_before_and_after():
    limiter = Limiter("1/minute", name="before")
    assert limiter.hit("ann")
    with frozen() as clock:
        inside = Limiter("1/minute", name="before")
        assert limiter.hit("ann")
        assert not inside.hit("ann")
        assert inside.hit("ann").retry_after == 60
        clock.advance(59.999999)
        assert not limiter.hit("ann")
        clock.advance_us(1)
        assert limiter.hit("ann")
    assert limiter.hit("ann")
    assert not limiter.hit("ann")


def test_a_decorated_function_goes_by_the_frozen_clock(ratekit_clock):
    @rate_limit("1/minute", key=lambda user: user)
    def send(user):
        return "sent"

    send("ann")
    with pytest.raises(RateLimitExceeded) as caught:
        send("ann")
    assert_limited(caught.value.decision, retry_after=60)
    ratekit_clock.advance(60)
    assert send("ann") == "sent"


def test_several_limits_on_memory_are_frozen_too(ratekit_clock):
    limiter = Limiter("1/minute", "2/hour", name="several")
    assert [bool(limiter.hit("ann")) for _ in range(2)] == [True, False]
    ratekit_clock.advance(60)
    assert [bool(limiter.hit("ann")) for _ in range(2)] == [True, False]
    ratekit_clock.advance(3540)
    assert limiter.hit("ann")


@pytest.mark.parametrize("where", ["memory", "fake redis", "real redis"])
def test_an_application_is_tested_by_advancing_time(where, request, ratekit_clock):
    fixture = {"fake redis": "ratekit_redis", "real redis": "redis_url"}.get(where)
    url = request.getfixturevalue(fixture) if fixture else "memory://"
    with TestClient(application(url)) as client:
        assert_not_limited(client.get("/"), remaining=1)
        ratekit_clock.advance(30)
        assert_not_limited(client.get("/"), policy="default", remaining=0)
        assert_limited(client.get("/"), policy="default", retry_after=30)
        ratekit_clock.advance(30)
        assert_not_limited(client.get("/"))
        assert_limited(client.get("/"))


def test_one_clock_drives_memory_and_the_script_in_redis(ratekit_redis, ratekit_clock):
    stores = MemoryStore(clock=ratekit_clock), RedisStore(ratekit_redis, clock=ratekit_clock, budget=10.0)
    one, other = (Limiter("3/10s", "5/minute burst 2", store=store, budget=10.0) for store in stores)
    for seconds in (0, 1, 1, 8, 2, 60, 0, 0):
        ratekit_clock.advance(seconds)
        here, there = one.hit("ann"), other.hit("ann")
        assert (here.allowed, here.remaining, here.retry_after) == (there.allowed, there.remaining, there.retry_after)
    stores[1].close()


# Keys


@pytest.mark.parametrize("text", ["5/minute", "5/minute burst 3", "7/hour fixed_window", "9/hour sliding_counter"])
def test_an_exhausted_key_is_refused_and_nobody_elses(text, ratekit_clock):
    limiter = Limiter(text, name="exhausted")
    limiter.hit("ann")
    left = limiter.peek("ann").remaining
    assert exhaust(limiter, "ann") == left
    assert_limited(limiter.hit("ann"))
    assert_not_limited(limiter.hit("bob"))
    assert exhaust(limiter, "ann") == 0


# Assertions


def test_what_a_response_tells_is_read_from_any_client_or_headers(ratekit_clock):
    client = TestClient(application(limits=None, policies=[Policy('a "quoted"', "5/minute"), Policy("b", "9/500ms")]))
    told = limits_told(client.get("/"))
    assert told['a "quoted"'] == (5, 60, 4, 60)
    assert told["b"] == (9, None, 8, 1)
    assert limits_told([(b"RateLimit-Policy", b'"x";q=1;w=5'), (b"RateLimit", b'"x";r=0;pk=:YWJj:;t=5')]) == {"x": (1, 5, 0, 5)}
    assert limits_told({}) == {}


def test_partition_keys_do_not_disturb(ratekit_clock):
    client = TestClient(application(headers=Headers(partition_key=True)))
    assert_not_limited(client.get("/"), policy="default", remaining=1)


@pytest.mark.parametrize(
    ("check", "says"),
    [
        (lambda admitted, refused: assert_limited(admitted), "the status is 200, not 429"),
        (lambda admitted, refused: assert_not_limited(refused), 'refused: "default";r=0;t=60'),
        (lambda admitted, refused: assert_limited(refused, retry_after=5), "Retry-After is 60, not 5"),
        (lambda admitted, refused: assert_limited(refused, policy="login"), "'login' is not among"),
        (lambda admitted, refused: assert_not_limited(admitted, remaining=9), "1 remain, not 9"),
        (lambda admitted, refused: limits_told({"ratelimit": "x"}), "not readable as a list of limits: 'x'"),
        (lambda admitted, refused: limits_told({"ratelimit": '"x";r=1'}), "RateLimit-Policy tells of"),
    ],
)
def test_an_assertion_that_fails_says_what_was_there_instead(check, says, ratekit_clock):
    client = TestClient(application())
    admitted, _, refused = (client.get("/") for _ in range(3))
    with pytest.raises(AssertionError, match=says):
        check(admitted, refused)


def test_assertions_on_decisions_say_what_was_decided(ratekit_clock):
    limiter = Limiter("1/minute", name="decisions")
    admitted, refused = limiter.hit("ann"), limiter.hit("ann")
    with pytest.raises(AssertionError, match="admitted: Decision"):
        assert_limited(admitted)
    with pytest.raises(AssertionError, match="refused: Decision"):
        assert_not_limited(refused)
    with pytest.raises(AssertionError, match="retry_after is 60 s, not 5"):
        assert_limited(refused, retry_after=5)
    with pytest.raises(TypeError, match="neither a Decision nor a response"):
        assert_limited(5)


# Off


def test_off_is_off_for_what_opens_inside_and_for_nothing_else():
    with limiting_off():
        off = Limiter("1/day", name="switch")
        client = TestClient(application())
        assert [client.get("/").status_code for _ in range(5)] == [200] * 5
    on = Limiter("1/day", name="switch")
    assert [bool(off.hit("ann")) for _ in range(3)] == [True] * 3
    assert [bool(on.hit("ann")) for _ in range(3)] == [True, False, False]


def test_the_switch_is_what_it_was_afterwards(monkeypatch):
    monkeypatch.setenv("RATEKIT_ENABLED", "1")
    with pytest.raises(LookupError), limiting_off():
        raise LookupError
    assert not Limiter("1/day", name="again").hit("ann", cost=2)


# The plugin, in a run of its own


def test_the_fixtures_are_there_without_an_import(pytester):
    pytester.makepyfile("""
        from ratekit import Limiter

        def test_time(ratekit_clock):
            limiter = Limiter("1/minute")
            assert limiter.hit("ann") and not limiter.hit("ann")
            ratekit_clock.advance(60)
            assert limiter.hit("ann")

        def test_every_test_begins_empty(ratekit_clock):
            assert Limiter("1/minute").hit("ann")

        def test_redis(ratekit_redis):
            limiter = Limiter("1/minute", store=ratekit_redis, budget=10.0)
            assert limiter.hit("ann").source == "store"
            assert not limiter.hit("ann")

        def test_off(ratekit_off):
            assert all([Limiter("1/minute").hit("ann") for _ in range(5)])
    """)
    pytester.runpytest_subprocess("-p", "no:cacheprovider", "-W", "error").assert_outcomes(passed=4)


def test_a_whole_run_can_be_switched_off(pytester):
    pytester.makepyfile("""
        from ratekit import Limiter

        limiter = Limiter("1/minute")

        def test_off():
            assert all([limiter.hit("ann") for _ in range(5)])
    """)
    pytester.makeini("[pytest]\nfilterwarnings = error")
    pytester.runpytest_subprocess("-p", "no:cacheprovider", "--ratekit-off").assert_outcomes(passed=1)
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(failed=1)


STORE = """
    import pytest
    from ratekit.stores import AsyncMemoryStore, MemoryStore
    from ratekit.testing.conformance import *

    class Mine(BASE):
        pass

    EXTRA

    @pytest.fixture
    def open_store():
        return lambda clock: Mine(clock=clock)
"""


@pytest.mark.parametrize("base", ["MemoryStore", "AsyncMemoryStore"])
def test_a_store_of_ones_own_is_tried_by_the_suite_that_ratekit_runs(pytester, base):
    pytester.makepyfile(STORE.replace("BASE", base).replace("EXTRA", ""))
    outcomes = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-q").parseoutcomes()
    assert outcomes.keys() <= {"passed"}
    assert outcomes["passed"] > 90


FORGETFUL = """
    def forgets(self, asks, budget=None):
        answer = MemoryStore.decide(self, asks)
        if not all(seen[0] for seen in answer.seen):
            self.forget([ask.space for ask in asks], asks[0].identity)
        return answer

    Mine.decide = forgets
    Mine.compile = lambda self, plan, budget=None: __import__("functools").partial(
        __import__("ratekit.stores.protocol", fromlist=["hit"]).hit, self, plan)
    Mine.spender = lambda self, plan, otherwise: otherwise
"""


def test_a_store_that_forgives_after_a_refusal_is_found_out(pytester):
    pytester.makepyfile(STORE.replace("BASE", "MemoryStore").replace("    EXTRA\n", FORGETFUL))
    outcomes = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-q").parseoutcomes()
    assert outcomes["failed"] > 5


def test_a_clock_that_stands_still_serves_event_loops_too(ratekit_clock):
    import anyio

    async def go():
        limiter = AsyncLimiter("1/minute", name="async")
        first, second = await limiter.hit("ann"), await limiter.hit("ann")
        ratekit_clock.advance(60)
        return bool(first), bool(second), bool(await limiter.hit("ann"))

    assert anyio.run(go) == (True, False, True)
    assert isinstance(ratekit_clock, ManualClock)


def test_flasks_and_djangos_responses_are_understood(ratekit_clock):
    app = Flask("users")
    app.add_url_rule("/", "hello", lambda: "hello")
    RateLimits(app, "1/minute")
    client = app.test_client()
    assert_not_limited(client.get("/"), remaining=0)
    assert_limited(client.get("/"), policy="default", retry_after=60)
    ratekit_clock.advance(60)
    assert_not_limited(client.get("/"))
    if not settings.configured:  # the tests of Django have configured it where they run, too
        settings.configure()
    refused = HttpResponse(status=429, headers={"Retry-After": "60", "Cache-Control": "no-store"})
    assert_limited(refused, retry_after=60)
    assert_not_limited(HttpResponse(headers={"RateLimit-Policy": '"p";q=2;w=9', "RateLimit": '"p";r=1;t=9'}), remaining=1)
