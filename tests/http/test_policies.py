"""
A policy: whose key, at what cost, and what an absent identity means. All policies of a request are one hit.
"""

import anyio.lowlevel
import pytest
from calling import Counted, ask, hello, statuses

from ratekit import ConfigurationError, Limit, Policy
from ratekit.asgi import RateLimitMiddleware
from ratekit.http.plan import prepare
from ratekit.stores import AsyncMemoryStore
from ratekit.stores.naming import canonical

KEY = "x-api-key"


def limited(*policies, app=hello, **options):
    return RateLimitMiddleware(app, policies=policies, store=AsyncMemoryStore(), **options)


def by_header(**options):
    return Policy("daily", "1/day", key=f"header:{KEY}", **options)


def remaining(answered):
    """Units left by policy, as the answer says."""
    return {name: parameters["r"] for name, parameters in answered.items("ratelimit")}


def test_a_header_is_a_key():
    app = limited(by_header())
    assert statuses(app, headers=[(KEY, "a")], times=2) == [200, 429]
    assert statuses(app, headers=[(KEY, "b")], times=2) == [200, 429]
    assert statuses(app, headers=[(KEY.upper(), "a")], times=1) == [429]


def test_a_headers_name_in_a_key_is_known_in_any_case():
    app = limited(Policy("daily", "1/day", key="header:X-API-Key", missing="refuse"))
    assert [ask(app, headers=[(KEY, value)]).status for value in ("a", "a", "b")] == [200, 429, 200]


@pytest.mark.parametrize("headers", [[], [(KEY, "")]])
def test_absent_or_empty_a_header_means_the_clients_address(headers):
    app = limited(by_header())
    assert [ask(app, headers=headers, client=(address, 1)).status for address in ("192.0.2.1", "192.0.2.1", "192.0.2.2")] == [
        200,
        429,
        200,
    ]


@pytest.mark.parametrize("headers", [[], [(KEY, "")]])
def test_refuse_answers_401_and_charges_nobody(headers):
    app = Counted()
    front = limited(Policy("all", "2/minute"), by_header(missing="refuse"), app=app)
    refused = ask(front, headers=headers)
    assert refused.status == 401
    assert refused.header("content-type") == "application/problem+json"
    assert refused.header("www-authenticate") == f'ApiKey header="{KEY}"'
    assert KEY in refused.body.decode()
    assert refused.lines("retry-after") == []
    assert app.reached == 0
    assert remaining(ask(front, headers=[(KEY, "a")])) == {"all": 1, "daily": 0}


def test_a_missing_authorization_is_challenged_with_its_own_scheme():
    refused = ask(limited(Policy("p", "1/day", key="header:Authorization", missing="refuse")))
    assert (refused.status, refused.header("www-authenticate")) == (401, "Bearer")


def test_refuse_works_for_a_callable_key_too():
    refused = ask(limited(Policy("p", "1/day", key=lambda request: None, missing="refuse")))
    assert (refused.status, refused.header("www-authenticate")) == (401, "ApiKey")


@pytest.mark.parametrize("headers", [[], [(KEY, "")]])
def test_skip_lets_a_request_without_identity_through_uncounted(headers):
    app = limited(by_header(missing="skip"))
    assert statuses(app, headers=headers, times=3) == [200, 200, 200]
    assert ask(app, headers=headers).lines("ratelimit") == []


def test_an_address_in_place_of_a_header_cannot_be_spelt_by_a_header():
    app = limited(by_header())
    address = "192.0.2.1"
    assert ask(app, client=(address, 1)).status == 200
    for value in (
        address,
        f"ip:{address}",
        f"ip,{address}",
        f"(ip,{address})",
        f"('ip', '{address}')",
        f"ip%2C{address}",
        f"#ip{address}",
    ):
        assert ask(app, headers=[(KEY, value)], client=(address, 1)).status == 200, value
    assert ask(app, client=(address, 1)).status == 429


def test_an_address_in_place_of_a_header_has_a_redis_key_that_no_header_has():
    ((_, space),) = prepare([by_header()], name="default", prefix="ratekit", unnamed=False)[0].plan
    address = "192.0.2.1"
    keys = {
        space.key(canonical(some))
        for some in (("ip", address), address, f"ip,{address}", f"(ip,{address})", f"%28ip%2C{address}%29")
    }
    assert len(keys) == 5


def test_absent_none_and_empty_are_one_for_a_callable_key_and_zero_is_an_identity():
    for nothing in (None, "", ()):
        assert statuses(limited(Policy("p", "1/day", key=lambda _, nothing=nothing: nothing, missing="skip"))) == [200, 200, 200]
    assert statuses(limited(Policy("p", "1/day", key=lambda _: 0, missing="skip"))) == [200, 429, 429]


def test_a_callable_key_may_be_async_and_sees_the_request():
    async def key(request):
        await anyio.lowlevel.checkpoint()
        return request.query["user"]

    app = limited(Policy("p", "1/day", key=key))
    assert [ask(app, query=query).status for query in (b"user=a", b"user=b", b"user=a")] == [200, 200, 429]


def test_a_list_of_keys_is_all_of_them_together():
    async def user(request):
        return request.query["user"]

    app = limited(Policy("p", "1/day", key=["ip", f"header:{KEY}", user]))

    def status(address, header, user):
        return ask(app, client=(address, 1), headers=[(KEY, header)], query=b"user=" + user).status

    assert status("192.0.2.1", "a", b"u") == 200
    assert status("192.0.2.2", "a", b"u") == 200
    assert status("192.0.2.1", "b", b"u") == 200
    assert status("192.0.2.1", "a", b"v") == 200
    assert status("192.0.2.1", "a", b"u") == 429


def test_parts_of_a_list_cannot_flow_into_each_other():
    app = limited(Policy("p", "1/day", key=["header:a", "header:b"]))
    pairs = [("x", "y,z"), ("x,y", "z"), ("x,y,z", ""), ("", "x,y,z"), ("x", "(y"), ("x(", "y")]
    assert [ask(app, headers=[("a", a), ("b", b)]).status for a, b in pairs] == [200] * 6


def test_one_missing_part_of_a_list_is_a_missing_identity():
    both = {"key": ["header:a", "header:b"]}
    assert ask(limited(Policy("p", "1/day", missing="refuse", **both)), headers=[("a", "x")]).status == 401
    assert statuses(limited(Policy("p", "1/day", missing="skip", **both)), headers=[("a", "x")]) == [200, 200, 200]
    app = limited(Policy("p", "1/day", **both))
    assert [ask(app, headers=[("a", "x")], client=(address, 1)).status for address in ("192.0.2.1", "192.0.2.1", "192.0.2.2")] == [
        200,
        429,
        200,
    ]


@pytest.mark.parametrize(
    "exempt",
    ["/health", "GET /health", ["/other", "/health"], "/*", lambda request: request.path == "/health"],
)
def test_what_is_exempt_is_neither_counted_nor_told(exempt):
    app = limited(Policy("p", "1/minute", exempt=exempt))
    assert statuses(app, "GET /health") == [200, 200, 200]
    assert ask(app, "GET /health").lines("ratelimit") == []


def test_what_is_not_exempt_counts():
    for exempt in ("/health", "POST /x", ["/health"], lambda request: False):
        assert statuses(limited(Policy("p", "1/minute", exempt=exempt)), "GET /x") == [200, 429, 429]


def test_an_exemption_may_be_async_and_its_false_is_false():
    async def staff(request):
        await anyio.lowlevel.checkpoint()
        return request.headers.get("x-staff") == "yes"

    app = limited(Policy("p", "1/minute", exempt=staff))
    assert statuses(app, headers=[("x-staff", "yes")]) == [200, 200, 200]
    assert statuses(app) == [200, 429, 429]


def test_an_exemption_concerns_its_own_policy_only():
    app = limited(Policy("a", "2/minute", exempt="/x"), Policy("b", "2/minute"))
    assert remaining(ask(app, "GET /x")) == {"b": 1}
    assert remaining(ask(app, "GET /y")) == {"a": 1, "b": 0}


def test_a_cost_is_a_number_or_a_callable_sync_or_async():
    async def weight(request):
        return int(request.query["n"])

    assert remaining(ask(limited(Policy("p", "10/minute", cost=4)))) == {"p": 6}
    assert remaining(ask(limited(Policy("p", "10/minute", cost=lambda request: len(request.path))), "GET /abc")) == {"p": 6}
    assert remaining(ask(limited(Policy("p", "10/minute", cost=weight)), query=b"n=9")) == {"p": 1}


def test_a_cost_of_zero_means_that_the_policy_does_not_apply():
    keys = []
    app = limited(
        Policy("p", "1/minute", cost=lambda request: 0 if request.method == "GET" else 1, key=lambda r: keys.append(1) or "k")
    )
    assert statuses(app, "GET /") == [200, 200, 200]
    assert ask(app, "GET /").lines("ratelimit") == []
    assert keys == []
    assert statuses(app, "POST /", 2) == [200, 429]
    assert statuses(limited(Policy("p", "1/minute", cost=0))) == [200, 200, 200]


def test_a_cost_that_can_never_fit_is_refused_without_retry_after_and_charges_nothing():
    app = limited(Policy("p", "5/minute", cost=lambda request: int(request.query["n"])))
    refused = ask(app, query=b"n=6")
    assert refused.status == 429
    assert refused.lines("retry-after") == []
    assert "can never fit" in refused.body.decode()
    assert remaining(ask(app, query=b"n=1")) == {"p": 4}


@pytest.mark.parametrize("cost", [-1, True, None, 1.5, "5", float("nan"), 10**10])
def test_a_callable_that_gives_no_cost_is_a_500_that_never_reaches_the_application(cost, caplog):
    app = Counted()
    front = limited(Policy("p", "5/minute", cost=lambda request: cost), app=app)
    assert statuses(front, times=2) == [500, 500]
    assert app.reached == 0
    assert [record.getMessage() for record in caplog.records] == [
        f"rate limiting: ConfigurationError: policy 'p': its cost callable gave {cost!r}: give a whole number from 0 to 1000000000"
    ]


@pytest.mark.parametrize("identity", [True, 1.5, b"bytes", ["list"], object])
def test_a_callable_that_gives_no_identity_is_a_500_that_never_reaches_the_application(identity, caplog):
    app = Counted()
    assert statuses(limited(Policy("p", "5/minute", key=lambda request: identity), app=app), times=2) == [500, 500]
    assert app.reached == 0
    assert len(caplog.records) == 1
    assert "write a str, an int or a tuple of them" in caplog.records[0].getMessage()


def fail(request):
    raise LookupError("no such tenant")


async def fail_later(request):
    await anyio.lowlevel.checkpoint()
    raise LookupError(f"no such tenant: {request.path}")


FAILING = [{"key": fail}, {"cost": fail}, {"exempt": fail}, {"key": ["ip", fail]}, {"key": fail_later}, {"cost": fail_later}]


@pytest.mark.parametrize("options", FAILING)
@pytest.mark.parametrize(
    ("on_outage", "told"), [("local", [200, 200, 429]), ("open", [200] * 3), ("closed", [503] * 3), (None, [503] * 3)]
)
def test_a_policys_callable_that_raises_follows_on_outage_and_is_logged_once(options, on_outage, told, caplog):
    app = Counted()
    front = limited(Policy("p", "2/minute", on_outage=on_outage, **options), app=app, on_outage="closed")
    answers = [ask(front, f"GET /{i}") for i in range(3)]
    assert [answer.status for answer in answers] == told
    assert app.reached == told.count(200)
    assert "no such tenant" not in "".join(answer.body.decode() for answer in answers)
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("ratekit", "ERROR")
    assert record.getMessage().startswith("rate limiting: policy 'p': LookupError: no such tenant")
    assert record.exc_info is not None


def test_whoever_makes_a_key_raise_is_limited_by_address_and_apart_from_those_who_have_none():
    def key(request):
        return {"a": "ann"}[request.headers[KEY]]

    app = limited(Policy("p", "1/day", key=key, missing="skip"))
    assert [ask(app, headers=[(KEY, name)]).status for name in ("x", "y", "a", "z")] == [200, 429, 200, 429]
    assert ask(app, headers=[(KEY, "x")], client=("192.0.2.2", 1)).status == 200


def test_a_policy_that_fails_open_leaves_the_others_as_they_are():
    app = limited(Policy("broken", "1/day", key=fail, on_outage="open"), Policy("whole", "2/day"))
    assert [remaining(ask(app)) for _ in range(2)] == [{"whole": 1}, {"whole": 0}]
    assert ask(app).status == 429


def test_refused_by_one_policy_charges_none():
    app = limited(
        Policy("address", "2/minute"),
        Policy("user", "5/minute", key=f"header:{KEY}"),
        Policy("everybody", "100/minute token_bucket", key=lambda request: "all"),
        Policy("office", "50/hour fixed_window", key=["header:office", "ip"]),
    )
    for _ in range(2):
        assert ask(app, headers=[(KEY, "a")]).status == 200
    refused = [ask(app, headers=[(KEY, "a")]) for _ in range(5)]
    assert {answer.status for answer in refused} == {429}
    assert remaining(refused[-1]) == {"address": 0, "user": 3, "everybody": 98, "office": 48}
    assert remaining(ask(app, headers=[(KEY, "a")], client=("192.0.2.2", 1))) == {
        "address": 1,
        "user": 2,
        "everybody": 97,
        "office": 49,
    }


def test_a_later_policy_that_refuses_gives_the_earlier_ones_nothing_to_pay():
    app = limited(Policy("address", "10/minute"), Policy("user", "1/minute", key=f"header:{KEY}"))
    assert [ask(app, headers=[(KEY, "a")]).status for _ in range(4)] == [200, 429, 429, 429]
    assert remaining(ask(app, headers=[(KEY, "b")])) == {"address": 8, "user": 0}


def test_policies_of_one_middleware_do_not_share_what_they_count():
    app = limited(Policy("a", "2/minute", match="/a"), Policy("b", "2/minute", match="/b"))
    assert statuses(app, "GET /a") == [200, 200, 429]
    assert statuses(app, "GET /b") == [200, 200, 429]


def test_middlewares_of_one_name_and_store_count_together_and_of_two_names_do_not():
    store = AsyncMemoryStore()
    one, same, other = (RateLimitMiddleware(hello, "1/minute", store=store, name=name) for name in ("web", "web", "api"))
    assert [ask(app).status for app in (one, same, other)] == [200, 429, 200]


def test_limits_are_one_policy_for_everybody_by_address():
    app = RateLimitMiddleware(hello, ["2/minute", Limit(5, per=3600)], store=AsyncMemoryStore())
    assert [ask(app, client=(address, 1)).status for address in ("192.0.2.1",) * 3 + ("192.0.2.2",)] == [200, 200, 429, 200]


def test_two_policies_of_one_name_are_a_configuration_error():
    with pytest.raises(ConfigurationError, match="two policies are named 'p': give each a name of its own"):
        limited(Policy("p", "1/minute"), Policy("q", "1/minute"), Policy("p", "5/hour"))


def test_limits_with_policies_are_a_configuration_error():
    with pytest.raises(ConfigurationError, match="write the limits as one more Policy, or leave them out"):
        RateLimitMiddleware(hello, "1/minute", policies=[Policy("p", "1/minute")])
    with pytest.raises(ConfigurationError, match="write the limits as one more Policy"):
        RateLimitMiddleware(hello, limits="1/minute", policies=[])


@pytest.mark.parametrize("wrong", [Policy("p", "1/minute"), ["1/minute"], [Policy("p", "1/minute"), None]])
def test_policies_that_are_no_list_of_policies_are_a_configuration_error(wrong):
    with pytest.raises(ConfigurationError, match="write a list of Policy"):
        RateLimitMiddleware(hello, policies=wrong)


def test_two_limits_of_one_policy_that_would_share_a_key_are_a_configuration_error():
    with pytest.raises(ConfigurationError, match="would share a key: give one a name"):
        limited(Policy("p", ["1/minute", "5/minute"]))
    limited(Policy("p", ["1/minute", "5/minute name burst"]))


@pytest.mark.parametrize("wrong", ["", "x" * 65, "é", "a\n", None, 5])
def test_a_policys_name_is_printable_ascii(wrong):
    with pytest.raises(ConfigurationError, match="write 1 to 64 printable ASCII characters"):
        Policy(wrong, "1/minute")


@pytest.mark.parametrize("wrong", ["IP", "", None, True, "allow"])
def test_missing_is_one_of_three_words(wrong):
    with pytest.raises(ConfigurationError, match="write 'ip', 'refuse' or 'skip'"):
        Policy("p", "1/minute", missing=wrong)


@pytest.mark.parametrize("wrong", [-1, True, 1.5, "1", None, 10**9 + 1])
def test_a_policys_cost_is_a_whole_number_or_a_callable(wrong):
    with pytest.raises(ConfigurationError, match="write a whole number from 0 to 1000000000, or a callable"):
        Policy("p", "1/minute", cost=wrong)


@pytest.mark.parametrize(
    ("wrong", "says"), [("5/month", "a month has no fixed length"), ([], "write a limit such as"), (None, "write a limit such as")]
)
def test_a_policys_limits_are_read_at_once(wrong, says):
    with pytest.raises(ConfigurationError, match=says):
        Policy("p", wrong)


def test_a_policy_is_a_value():
    policy = Policy("p", "1/minute; 5/hour", match="/x")
    assert policy == Policy("p", ["1/minute", Limit(5, per=3600)], match="/x")
    assert policy != Policy("p", "1/minute; 5/hour", match="/y")
    with pytest.raises(AttributeError):
        policy.name = "q"
