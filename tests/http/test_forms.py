"""
The forms of the fields, one golden row per draft, and what goes with them: partition keys, the bound on a field's size, jitter.
"""

import json

import pytest
from calling import ask, hello, parsed, statuses
from starlette.responses import RedirectResponse

from ratekit import ConfigurationError, Policy, rate_limit
from ratekit.asgi import RateLimitMiddleware
from ratekit.http import Headers
from ratekit.http.forms import FORMS, MOST
from ratekit.stores import AsyncMemoryStore
from ratekit.testing import ManualClock

BURST, DAILY = Policy("burst", "10/second"), Policy("daily", "2/day fixed_window")


def limited(*policies, headers, app=hello, clock=None, **options):
    store = AsyncMemoryStore(clock=clock or ManualClock())
    return RateLimitMiddleware(app, policies=policies, headers=headers, store=store, **options)


def told(answered):
    """The fields of an answer that tell limits."""
    names = ("ratelimit", "x-ratelimit", "retry-after")
    return {name.decode(): value.decode() for name, value in answered.headers if name.decode().startswith(names)}


TWO = '"burst";q=10;w=1, "daily";q=2;w=86400'
PLAIN = {"ratelimit-policy": "10;w=1, 2;w=86400"}
X = Headers("x-ratelimit", clock=lambda: 1_000_000_000)

# Two hits, 10 s apart, on 10 a second and 2 a day; then, 5 s later, the third, which is refused. Per form: the first answer, the third.
GOLDEN = [
    (
        "draft-11",
        {"ratelimit-policy": TWO, "ratelimit": '"burst";r=9;t=1, "daily";r=1;t=86400'},
        {"ratelimit-policy": TWO, "ratelimit": '"burst";r=10, "daily";r=0;t=86385', "retry-after": "86385"},
    ),
    (
        "draft-10",
        {"ratelimit-policy": TWO, "ratelimit": '"burst";r=9;t=1, "daily";r=1;t=86400'},
        {"ratelimit-policy": TWO, "ratelimit": '"burst";r=10, "daily";r=0;t=86385', "retry-after": "86385"},
    ),
    (
        "draft-9",
        {"ratelimit-policy": TWO, "ratelimit": '"burst";r=9;t=1, "daily";r=1;t=86400'},
        {"ratelimit-policy": TWO, "ratelimit": '"burst";r=10, "daily";r=0;t=86385', "retry-after": "86385"},
    ),
    (
        "draft-8",
        {"ratelimit-policy": TWO, "ratelimit": '"burst";r=9;t=1, "daily";r=1;t=86400'},
        {"ratelimit-policy": TWO, "ratelimit": '"burst";r=10, "daily";r=0;t=86385', "retry-after": "86385"},
    ),
    (
        "draft-7",
        PLAIN | {"ratelimit": "limit=2, remaining=1, reset=86400"},
        PLAIN | {"ratelimit": "limit=2, remaining=0, reset=86385", "retry-after": "86385"},
    ),
    (
        "draft-6",
        PLAIN | {"ratelimit-limit": "2", "ratelimit-remaining": "1", "ratelimit-reset": "86400"},
        PLAIN | {"ratelimit-limit": "2", "ratelimit-remaining": "0", "ratelimit-reset": "86385", "retry-after": "86385"},
    ),
    (
        X,
        {"x-ratelimit-limit": "2", "x-ratelimit-remaining": "1", "x-ratelimit-reset": "1000086400"},
        {"x-ratelimit-limit": "2", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1000086385", "retry-after": "86385"},
    ),
    ("none", {}, {"retry-after": "86385"}),
]


def test_there_is_a_golden_row_for_every_form():
    assert {row[0] if isinstance(row[0], str) else row[0].forms[0] for row in GOLDEN} == set(FORMS)


@pytest.mark.parametrize(("headers", "first", "third"), GOLDEN)
def test_every_form_tells_an_admission_and_a_refusal_as_its_draft_wrote_it(headers, first, third):
    clock = ManualClock()
    app = limited(BURST, DAILY, headers=headers, clock=clock)
    assert told(ask(app)) == first
    clock.advance(10)
    assert ask(app).status == 200
    clock.advance(5)
    refused = ask(app)
    assert (refused.status, told(refused)) == (429, third)
    assert json.loads(refused.body)["violated-policies"] == ["daily"]


def test_before_draft_10_t_is_when_the_quota_is_as_new_and_since_then_when_there_is_more():
    for form, t in (("draft-9", 60), ("draft-10", 30)):
        clock = ManualClock()
        app = limited(Policy("p", "2/minute"), headers=form, clock=clock)
        ask(app)
        clock.advance(30)
        assert ask(app).items("ratelimit") == [("p", {"r": 0, "t": t})]


def test_a_refusal_before_draft_10_says_in_reset_what_retry_after_says():
    clock = ManualClock()
    app = limited(Policy("p", "2/minute"), headers="draft-7", clock=clock)
    ask(app)
    clock.advance(30)
    ask(app)
    refused = ask(app)
    assert (refused.header("ratelimit"), refused.header("retry-after")) == ("limit=2, remaining=0, reset=30", "30")


def test_x_ratelimit_comes_beside_a_draft_where_it_is_asked_for():
    app = limited(DAILY, headers=Headers("draft-11", "x-ratelimit", clock=lambda: 0))
    fields = told(ask(app))
    assert fields == {
        "ratelimit-policy": '"daily";q=2;w=86400',
        "ratelimit": '"daily";r=1;t=86400',
        "x-ratelimit-limit": "2",
        "x-ratelimit-remaining": "1",
        "x-ratelimit-reset": "86400",
    }
    assert "x-ratelimit-limit" not in told(ask(limited(DAILY, headers="draft-11")))


def test_by_default_the_newest_draft_is_told():
    app = RateLimitMiddleware(hello, "2/day", store=AsyncMemoryStore(clock=ManualClock()))
    assert told(ask(app)) == {"ratelimit-policy": '"default";q=2;w=86400', "ratelimit": '"default";r=1;t=86400'}


def test_of_one_quota_with_two_windows_the_drafts_before_8_tell_the_longest():
    app = limited(Policy("a", "9/second"), Policy("b", "9/hour"), Policy("c", "5/minute"), headers="draft-7")
    assert ask(app).header("ratelimit-policy") == "9;w=3600, 5;w=60"


def test_limits_that_functions_inside_add_are_told_in_the_same_form():
    @rate_limit("5/minute")
    async def inner():
        pass

    async def app(scope, receive, send):
        await inner()
        await hello(scope, receive, send)

    assert ask(limited(DAILY, headers="draft-6", app=app)).header("ratelimit-policy") == "2;w=86400, 5;w=60"


@pytest.mark.parametrize("wrong", ["draft-12", "", [], None, 5, ["draft-11", "x"], ["draft-11", 5]])
def test_a_form_that_is_none_is_a_configuration_error_that_names_them_all(wrong):
    with pytest.raises(ConfigurationError, match="draft-11, draft-10, draft-9, draft-8, draft-7, draft-6, x-ratelimit, none"):
        limited(DAILY, headers=wrong)


def test_two_drafts_in_one_response_are_a_configuration_error():
    with pytest.raises(ConfigurationError, match="would send one field twice"):
        limited(DAILY, headers=["draft-11", "draft-7"])


# Partition keys


def test_a_partition_key_tells_whose_quota_it_is_and_not_who():
    app = limited(Policy("user", "9/minute", key="header:x"), Policy("all", "99/minute"), headers=Headers(partition_key=True))

    def keys(user, field):
        return [parameters["pk"] for _, parameters in ask(app, headers=[("x", user)]).items(field)]

    ann, address = keys("ann", "ratelimit")
    assert keys("ann", "ratelimit-policy") == [ann, address]
    bob, same = keys("bob", "ratelimit")
    assert (bob != ann, same == address, len(ann)) == (True, True, 9)
    assert b"ann" not in ann


def test_a_single_policy_by_address_tells_its_partition_too_admitted_or_refused():
    app = RateLimitMiddleware(hello, "1/minute", headers=Headers(partition_key=True), store=AsyncMemoryStore(clock=ManualClock()))
    admitted, refused = (ask(app).items("ratelimit")[0][1] for _ in range(2))
    assert admitted.keys() == refused.keys() == {"r", "t", "pk"}
    assert admitted["pk"] == refused["pk"]
    assert ask(app, client=("192.0.2.2", 1)).items("ratelimit")[0][1]["pk"] != admitted["pk"]


# The size of a field


def test_a_field_stays_within_its_bound_and_tells_what_decided_and_the_least_left():
    policies = [Policy(f"{'policy number' * 3} {i}", f"{1000 - i}/hour") for i in range(40)]
    app = limited(*policies, Policy("violated", "1/day", key="header:x", missing="skip"), headers="draft-11")
    for answer, least in ((ask(app), 999 - 39), (ask(app, headers=[("x", "a")]), 0), (ask(app, headers=[("x", "a")]), 0)):
        for name in ("ratelimit", "ratelimit-policy"):
            assert len(answer.header(name)) <= MOST
        told = answer.items("ratelimit")
        assert [name for name, _ in told] == [name for name, _ in answer.items("ratelimit-policy")]
        assert 10 < len(told) < 40
        assert min(item["r"] for _, item in told) == least
    assert (answer.status, told[-1][0]) == (429, "violated")


@pytest.mark.parametrize("form", ["draft-6", "draft-7"])
def test_quotas_alone_stay_within_the_bound_too(form):
    answer = ask(limited(*(Policy(f"p{i}", f"{10**8 + i}/{i + 1} days") for i in range(99)), headers=form))
    assert 900 < len(answer.header("ratelimit-policy")) <= MOST
    assert parsed(answer.header("ratelimit-policy"))


# Retry-After


def test_jitter_makes_retry_after_later_by_whole_seconds_and_never_earlier():
    clock = ManualClock()
    app = limited(Policy("p", "1/minute"), headers=Headers(retry_jitter=3), clock=clock)
    ask(app)
    refusals = [ask(app) for _ in range(200)]
    assert {int(refused.header("retry-after")) for refused in refusals} == {60, 61, 62, 63}
    assert {refused.header("ratelimit") for refused in refusals} == {'"p";r=0;t=60'}
    for refused in refusals[:5]:
        assert json.loads(refused.body)["detail"] == f"Try again in {refused.header('retry-after')} s."


@pytest.mark.parametrize("wrong", [-1, 1.5, True, "5", 3601, None])
def test_jitter_that_is_none_is_a_configuration_error(wrong):
    with pytest.raises(ConfigurationError, match="write whole seconds from 0 to 3600"):
        Headers(retry_jitter=wrong)


# Answers of one's own


def test_an_own_answer_to_a_refusal_is_never_cached_unless_it_says_so_itself():
    def on_refused(request, decision):
        return RedirectResponse("/slow", headers={"cache-control": "max-age=5"} if request.path == "/own" else {})

    app = limited(Policy("p", "1/minute"), headers="draft-11", on_refused=on_refused)
    assert statuses(app, times=2) == [200, 307]
    assert (ask(app).header("cache-control"), ask(app).header("retry-after")) == ("no-store", "60")
    assert ask(app, "GET /own").header("cache-control") == "max-age=5"
