"""
RateLimit-Policy, RateLimit, Retry-After and the problem body: what a client is told, read by a parser that is not ours.
"""

import json

import pytest
from calling import ask, hello, parsed
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from ratekit import Limit, Limiter, Policy
from ratekit.asgi import RateLimitMiddleware
from ratekit.http.fields import Applied, labels, rate_limit_fields, retry_after_fields
from ratekit.http.verdict import refusal
from ratekit.http.visit import Visit
from ratekit.stores import AsyncMemoryStore, MemoryStore
from ratekit.testing import ManualClock


def limited(*args, clock=None, app=hello, **options):
    return RateLimitMiddleware(app, *args, store=AsyncMemoryStore(clock=clock or ManualClock()), **options)


def names(*applied):
    """The labels of limits, each as (policy, text of the limit)."""
    store = MemoryStore()
    return labels(
        [Applied(policy, Limiter(text, store=store, name=f"{policy}{i}").peek("x")) for i, (policy, text) in enumerate(applied)]
    )


def test_limits_are_called_default_and_policies_by_their_names():
    answer = ask(limited("10/minute"))
    assert answer.items("ratelimit-policy") == [("default", {"q": 10, "w": 60})]
    assert answer.items("ratelimit") == [("default", {"r": 9, "t": 60})]
    answer = ask(limited(policies=[Policy("burst", "10/second"), Policy("daily", "500/day", key="header:x")]))
    assert answer.items("ratelimit-policy") == [("burst", {"q": 10, "w": 1}), ("daily", {"q": 500, "w": 86400})]


def test_there_is_one_item_per_limit_in_the_order_they_were_given():
    answer = ask(limited(policies=[Policy("a", "10/second; 100/hour"), Policy("b", "1000/day")]))
    assert [name for name, _ in answer.items("ratelimit-policy")] == ["a-1", "a-3600", "b"]
    assert [(name, item["r"]) for name, item in answer.items("ratelimit")] == [("a-1", 9), ("a-3600", 99), ("b", 999)]


@pytest.mark.parametrize(
    ("applied", "expected"),
    [
        ([("default", "5/minute")], ["default"]),
        ([("default", "5/second"), ("default", "5/minute")], ["default-1", "default-60"]),
        ([("default", "5/500ms"), ("default", "5/minute")], ["default-0.5", "default-60"]),
        ([("p", "5/minute name login"), ("p", "9/hour")], ["login", "p"]),
        ([("p", "5/minute name login"), ("p", "9/hour name hourly")], ["login", "hourly"]),
        ([("a", "5/minute name x"), ("b", "9/hour name x")], ["x-60", "x-3600"]),
        ([("a", "5/minute"), ("b", "9/hour name a")], ["a-60", "a-3600"]),
        ([("p", "5/minute"), ("p", "9/minute fixed_window")], ["p-60-sliding_window", "p-60-fixed_window"]),
    ],
)
def test_a_limit_is_called_by_its_name_else_its_policys_and_by_its_period_where_that_repeats(applied, expected):
    assert list(names(*applied)) == expected


@pytest.mark.parametrize(
    ("limit", "q", "w"),
    [
        ("100/minute", 100, 60),
        ("100/1500ms", 100, 2),
        ("100/999ms", 100, None),
        ("5/ms", 5, None),
        ("100/1000ms", 100, 1),
        ("7/week fixed_window", 7, 604800),
        ("60/minute burst 20", 20, 20),
        ("60/minute burst 120", 120, 120),
        ("100/minute token_bucket", 100, 60),
        ("7/minute burst 1", 1, 9),
        ("300000/second burst 1", 1, None),
        ("10/second burst 10", 10, 1),
        ("10/second burst 9", 9, None),
        ("1000000000/day", 10**9, 86400),
    ],
)
def test_the_policy_field_says_quota_and_window_a_token_bucket_its_burst_and_time_to_fill(limit, q, w):
    expected = {"q": q} | ({} if w is None else {"w": w})
    assert ask(limited(limit)).items("ratelimit-policy") == [("default", expected)]


def test_t_is_when_more_is_left_and_not_said_when_nothing_is_spent():
    clock = ManualClock()
    store = MemoryStore(clock=clock)
    limiter = Limiter("2/10s", store=store)
    fresh = rate_limit_fields([Applied("p", limiter.peek("x"))])
    assert parsed(fresh[1][1].decode()) == [("p", {"r": 2})]
    limiter.hit("x")
    clock.advance_us(3_400_000)
    (_, (_, state)) = rate_limit_fields([Applied("p", limiter.hit("x"))])
    assert parsed(state.decode()) == [("p", {"r": 0, "t": 7})]
    assert limiter.peek("x").more_after == 6.6


def test_on_a_refused_answer_t_and_retry_after_agree_with_the_decision():
    clock = ManualClock()
    app = limited("2/10s", clock=clock)
    ask(app)
    clock.advance_us(4_000_001)
    ask(app)
    refused = ask(app)
    assert refused.items("ratelimit") == [("default", {"r": 0, "t": 6})]
    assert refused.header("retry-after") == "6"
    clock.advance(5.999998)
    assert ask(app).header("retry-after") == "1"
    clock.advance_us(1)
    assert ask(app).status == 200


@pytest.mark.parametrize(
    ("microseconds", "text"), [(1, "1"), (999_999, "1"), (1_000_000, "1"), (1_000_001, "2"), (59_000_001, "60"), (60_000_000, "60")]
)
def test_retry_after_is_whole_seconds_rounded_up_and_at_least_one(microseconds, text):
    clock = ManualClock()
    limiter = Limiter("1/minute", store=MemoryStore(clock=clock))
    limiter.hit("x")
    clock.advance_us(60_000_000 - microseconds)
    decision = limiter.hit("x")
    assert not decision
    assert retry_after_fields(decision) == [(b"retry-after", text.encode())]


def test_a_refusal_whose_time_was_spent_in_line_says_a_second_too():
    admitted = Limiter("1/minute", store=MemoryStore()).peek("x")
    assert retry_after_fields(admitted) == [(b"retry-after", b"1")]


def test_a_limit_shorter_than_a_second_says_a_second():
    app = limited("1/10ms")
    assert ask(app).status == 200
    assert ask(app).header("retry-after") == "1"


def test_retry_after_is_absent_when_it_can_never_fit():
    assert retry_after_fields(Limiter("5/minute", store=MemoryStore()).hit("x", cost=6)) == []
    refused = ask(limited(policies=[Policy("p", "5/minute", cost=6)]))
    assert (refused.status, refused.lines("retry-after")) == (429, [])


def test_of_several_violated_limits_the_longest_wait_is_said():
    app = limited("1/second; 1/minute; 1/hour; 9/day")
    ask(app)
    refused = ask(app)
    assert refused.header("retry-after") == "3600"
    assert json.loads(refused.body)["violated-policies"] == ["default-1", "default-60", "default-3600"]


def test_a_429_is_a_problem_body_that_names_the_violated_policies_only():
    app = limited(
        policies=[Policy("burst", "1/10s"), Policy("daily", "500/day"), Policy('quo"te\\d', "1/minute", key=lambda _: "all")]
    )
    ask(app)
    refused = ask(app)
    body = json.loads(refused.body)
    assert refused.status == 429
    assert refused.header("content-type") == "application/problem+json"
    assert refused.header("content-length") == str(len(refused.body))
    assert refused.header("cache-control") == "no-store"
    assert body == {
        "type": "https://iana.org/assignments/http-problem-types#quota-exceeded",
        "title": "Too Many Requests",
        "status": 429,
        "detail": "Try again in 60 s.",
        "violated-policies": ["burst", 'quo"te\\d'],
    }
    assert [name for name, _ in refused.items("ratelimit-policy")] == ["burst", "daily", 'quo"te\\d']
    assert [item["r"] for _, item in refused.items("ratelimit")] == [0, 499, 0]


@given(
    st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=64),
    st.integers(1, 10**9),
    st.integers(1, 10**11),
)
def test_every_policy_name_and_every_limit_is_readable(name, quota, milliseconds):
    limit = Limit(quota, per=milliseconds / 1000)
    decision = Limiter(limit, store=MemoryStore()).hit("x")
    (_, policy), (_, state) = rate_limit_fields([Applied(name, decision)])
    ((label, promised),) = parsed(policy.decode())
    ((same, left),) = parsed(state.decode())
    assert label == same == name
    assert promised["q"] == quota
    assert left["r"] == quota - 1
    assert promised.get("w", 0) == (-(-milliseconds // 1000) if milliseconds >= 1000 else 0)


@given(
    st.lists(
        st.sampled_from(["1/minute", "5/second burst 3", "9/hour fixed_window", "2/500ms", "7/minute sliding_counter"]),
        min_size=1,
        unique=True,
    )
)
def test_every_mix_of_limits_is_readable_and_no_label_comes_twice(texts):
    app = limited(policies=[Policy(f"p{i // 2}", text) if i % 2 else Policy(f"q{i}", [text]) for i, text in enumerate(texts)])
    answer = ask(app)
    found = [name for name, _ in answer.items("ratelimit-policy")]
    assert found == [name for name, _ in answer.items("ratelimit")]
    assert len(set(found)) == len(texts)


def respond(_):
    return PlainTextResponse("x", headers={"x-own": "1"})


async def fail(_):
    raise LookupError


async def chunks():
    for _ in range(3):
        yield b"x"


ROUTES = [Route("/", respond), Route("/stream", lambda _: StreamingResponse(chunks())), Route("/post", respond, methods=["POST"])]


@pytest.mark.parametrize(
    ("what", "status"),
    [("GET /", 200), ("HEAD /", 200), ("GET /nowhere", 404), ("GET /post", 405), ("GET /stream", 200), ("GET /post/", 307)],
)
def test_every_admitted_answer_carries_both_fields(what, status):
    app = Starlette(routes=ROUTES, middleware=[Middleware(RateLimitMiddleware, limits="9/minute", store=AsyncMemoryStore())])
    answer = ask(app, what)
    assert answer.status == status
    assert answer.items("ratelimit-policy") == [("default", {"q": 9, "w": 60})]
    assert answer.items("ratelimit") == [("default", {"r": 8, "t": 60})]
    assert answer.lines("retry-after") == []


def test_an_applications_own_500_carries_both_fields_where_it_answers_inside():
    app = limited("9/minute", app=Starlette(routes=[Route("/", fail)]))
    with pytest.raises(LookupError):
        ask(app)

    async def own(request, error):
        return PlainTextResponse("sorry", status_code=500)

    answer = ask(limited("9/minute", app=Starlette(routes=[Route("/", fail)], exception_handlers={LookupError: own})))
    assert answer.status == 500
    assert [name for name, _ in answer.items("ratelimit")] == ["default"]


def test_an_applications_own_fields_stay_as_they_were():
    answer = ask(limited("9/minute", app=respond(None)))
    assert answer.header("x-own") == "1"
    assert answer.header("content-type") == "text/plain; charset=utf-8"


def test_a_refusal_on_head_has_the_same_fields():
    app = limited("1/minute")
    ask(app)
    refused = ask(app, "HEAD /")
    assert (refused.status, refused.header("retry-after")) == (429, "60")


def test_a_limit_that_is_asked_again_in_one_visit_is_one_item_with_the_least_left():
    store = MemoryStore(clock=ManualClock())
    limiter = Limiter("3/minute; 9/hour", store=store)
    visit = Visit(None, None)
    for identity in ("a", "a", "b"):
        visit.record("mail", limiter.hit(identity))
    assert [(name, decision.remaining) for name, decision in visit.applied] == [("mail", 1), ("mail", 7)]
    assert labels(visit.applied) == ("mail-60", "mail-3600")


def test_a_refusal_is_kept_whatever_was_admitted_after_it():
    store = MemoryStore(clock=ManualClock())
    visit = Visit(None, None)
    limiter = Limiter("3/minute", store=store)
    visit.record("mail", limiter.hit("a", cost=4))
    visit.record("mail", limiter.hit("b"))
    ((_, kept),) = visit.applied
    assert not kept
    assert json.loads(refusal(kept, visit.applied).body)["violated-policies"] == ["mail"]
