"""
The middleware around an application: it decides before, adds fields, and leaves everything else alone.
"""

import json
import logging
from contextlib import suppress
from functools import partial

import anyio
import httpx
import pytest
from calling import Counted, ask, hello, scope_of, statuses
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route

from ratekit import AsyncLimiter, ConfigurationError, Policy, RateKitWarning, RateLimitExceeded, StoreError, StoreUnavailable
from ratekit.asgi import RateLimitMiddleware
from ratekit.stores import AsyncMemoryStore, MemoryStore
from ratekit.stores.protocol import async_hit
from ratekit.testing import ManualClock


def limited(*args, app=hello, **options):
    return RateLimitMiddleware(app, *args, **({"store": AsyncMemoryStore()} | options))


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_memory_limits_under_asyncio_and_trio(backend):
    clock = ManualClock()
    app = Counted()
    front = limited("2/minute", app=app, store=AsyncMemoryStore(clock=clock))
    assert statuses(front, backend=backend) == [200, 200, 429]
    assert app.reached == 2
    clock.advance(60)
    assert statuses(front, backend=backend) == [200, 200, 429]


def test_a_store_may_be_a_url_or_a_store_for_event_loops_and_nothing_else():
    assert ask(limited("9/minute", store="memory://", name="test_a_store_may_be_a_url")).status == 200
    assert ask(limited("9/minute", store=AsyncMemoryStore())).status == 200
    with pytest.raises(ConfigurationError, match="the schemes are memory://, redis://"):
        limited("9/minute", store="postgres://localhost")
    for wrong in (MemoryStore(), object(), None, 5):
        with pytest.raises(ConfigurationError, match="write a URL such as 'redis://localhost:6379/0', or give an async store"):
            limited("9/minute", store=wrong)


def test_chunks_of_a_stream_pass_one_by_one_and_unchanged():
    sent, seen = [], []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for i in range(3):
            chunk = {"type": "http.response.body", "body": b"%d" % i, "more_body": True}
            await send(chunk)
            seen.append(sent[-1] is chunk)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def send(message):
        sent.append(message)

    anyio.run(limited("9/minute", app=app), scope_of(), None, send)
    assert seen == [True, True, True], "a chunk was held back, or is another message"
    assert [message["type"] for message in sent] == ["http.response.start"] + ["http.response.body"] * 4
    assert [name for name, _ in sent[0]["headers"]] == [b"ratelimit-policy", b"ratelimit"]


def test_only_the_message_that_begins_the_response_is_touched():
    async def app(scope, receive, send):
        await send({"type": "http.response.debug", "info": {}})
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.trailers", "headers": [(b"x", b"y")]})
        await send({"type": "http.response.start", "status": 200, "headers": []})

    messages = ask(limited("9/minute", app=app)).messages
    assert messages[0] == {"type": "http.response.debug", "info": {}}
    assert len(messages[1]["headers"]) == 2
    assert messages[2] == {"type": "http.response.trailers", "headers": [(b"x", b"y")]}
    assert messages[3]["headers"] == []


def test_the_applications_own_message_is_not_changed_in_place():
    headers = [(b"x-own", b"1")]
    start = {"type": "http.response.start", "status": 200, "headers": headers}

    async def app(scope, receive, send):
        await send(start)
        await send({"type": "http.response.body"})

    front = limited("9/minute", app=app)
    for _ in range(3):
        assert len(ask(front).headers) == 3
    assert headers == [(b"x-own", b"1")]


def test_an_exception_of_the_application_propagates_and_is_charged():
    async def app(scope, receive, send):
        raise LookupError("its own")

    front = limited("1/minute", app=app)
    with pytest.raises(LookupError, match="its own"):
        ask(front)
    assert ask(front).status == 429


def test_an_exception_in_the_midst_of_a_response_propagates_whatever_it_is():
    store = MemoryStore()

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RateLimitExceeded(await AsyncLimiter("1/minute", store=AsyncMemoryStore(store)).hit("x", cost=2))

    with pytest.raises(RateLimitExceeded):
        ask(limited("9/minute", app=app))


def test_an_application_that_sends_nothing_sends_nothing():
    async def app(scope, receive, send):
        return None

    assert ask(limited("9/minute", app=app)).messages == []


def test_the_request_reaches_the_application_as_it_came():
    scopes = []

    async def app(scope, receive, send):
        scopes.append((scope, await receive()))
        await hello(scope, receive, send)

    scope = scope_of("POST /x", headers=[("a", "b")])
    before = dict(scope)
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"its body"}

    async def send(message):
        sent.append(message)

    anyio.run(limited("9/minute", app=app), scope, receive, send)
    assert scopes == [(scope, {"type": "http.request", "body": b"its body"})]
    assert scopes[0][0] is scope
    assert scope == before


def test_other_kinds_of_scope_pass():
    app = Counted(lambda scope, receive, send: send({"type": "custom"}))
    front = limited("1/minute", app=app)

    async def go():
        sent = []

        async def send(message):
            sent.append(message)

        for _ in range(3):
            await front({"type": "custom"}, None, send)
        return sent

    assert anyio.run(go) == [{"type": "custom"}] * 3
    assert app.reached == 3


def test_without_a_client_address_a_request_is_a_500_logged_once_and_no_bucket_is_shared(caplog):
    app = Counted()
    front = limited("1/minute", app=app)
    answers = [ask(front, client=client) for client in (None, None, ("", 0), None)]
    assert [answer.status for answer in answers] == [500] * 4
    assert answers[0].header("content-type") == "application/problem+json"
    assert json.loads(answers[0].body)["status"] == 500
    assert app.reached == 0
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    for word in ("ConfigurationError", "trusted_proxies", "'unix'", "missing='skip'"):
        assert word in record.getMessage()
    assert ask(front).status == 200


def test_without_a_client_address_a_policy_by_another_key_works():
    front = limited(policies=[Policy("p", "1/minute", key="header:x", missing="skip")])
    assert statuses(front, client=None) == [200, 200, 200]
    assert statuses(front, client=None, headers=[("x", "a")]) == [200, 429, 429]


def test_a_key_that_wants_an_address_says_skip_explicitly_or_fails(caplog):
    front = limited(policies=[Policy("p", "1/minute", key="header:x")])
    assert ask(front, client=None).status == 500
    assert ask(front, client=None, headers=[("x", "a")]).status == 200


def test_two_faults_are_logged_each_once(caplog):
    def key(request):
        raise ConfigurationError(request.path)

    front = limited(policies=[Policy("p", "1/minute", key=key)])
    for path in ("/a", "/b", "/a", "/b"):
        assert ask(front, f"GET {path}").status == 500
    assert [record.getMessage() for record in caplog.records] == [
        "rate limiting: ConfigurationError: /a",
        "rate limiting: ConfigurationError: /b",
    ]


def test_faults_that_differ_in_every_request_do_not_fill_the_log_for_ever(caplog):
    def key(request):
        raise ConfigurationError(request.path)

    front = limited(policies=[Policy("p", "1/minute", key=key)])
    assert {ask(front, f"GET /{i}").status for i in range(150)} == {500}
    assert len(caplog.records) == 100


class Away:
    """A store that is away as long as it is told to be."""

    remote = True

    def __init__(self, error=None):
        self.inner, self.away, self.closed = AsyncMemoryStore(), True, 0
        self.error = error or StoreUnavailable("the store is away: nobody there")

    def compile(self, plan, budget=None):
        return partial(async_hit, self, plan, budget=budget)

    async def decide(self, asks, budget=None):
        if self.away:
            raise type(self.error)(str(self.error), self.error.fault)
        return await self.inner.decide(asks)

    async def forget(self, spaces, identity):
        await self.inner.forget(spaces, identity)

    async def aclose(self):
        self.closed += 1


async def joined(front):
    """Wait, on an event loop that a request was made on, until the store is asked again."""
    transport = httpx.ASGITransport(front)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        await client.get("/")
        with anyio.fail_after(10):
            while front._enforcer.store.health().state == "open":
                await anyio.sleep(0.01)


def test_with_closed_a_request_while_the_store_is_away_is_a_503_and_never_a_429_and_then_it_recovers(caplog):
    store, app = Away(), Counted()
    front = limited("1/minute", app=app, store=store, on_outage="closed")
    answers = [ask(front) for _ in range(3)]
    assert [answer.status for answer in answers] == [503] * 3
    assert answers[0].header("retry-after") == "1"
    assert answers[0].header("content-type") == "application/problem+json"
    assert json.loads(answers[0].body)["type"] == "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity"
    assert answers[0].lines("ratelimit") == []
    assert app.reached == 0
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]  # the change of state, and the first 503
    store.away = False
    anyio.run(joined, front)
    assert statuses(front) == [200, 429, 429]


def test_by_default_requests_while_the_store_is_away_are_limited_in_memory_and_then_it_recovers(caplog):
    store = Away()
    front = limited("1/minute", store=store)
    assert statuses(front) == [200, 429, 429]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    store.away = False
    anyio.run(joined, front)
    assert statuses(front, client=("192.0.2.9", 5000)) == [200, 429, 429]


def test_with_open_everything_is_let_through_while_the_store_is_away():
    front = limited("1/minute", store=Away(), on_outage="open")
    assert statuses(front) == [200, 200, 200]


def test_each_policy_may_say_what_happens_in_an_outage_and_one_that_is_closed_closes_the_request():
    policies = [
        Policy("a", "1/minute", match=["/local", "/both"]),
        Policy("b", "1/minute", match=["/open", "/both", "/all"], on_outage="open"),
        Policy("c", "1/minute", match=["/closed", "/all"], on_outage="closed"),
    ]
    front = limited(policies=policies, store=Away())
    assert statuses(front, "GET /local") == [200, 429, 429]
    assert statuses(front, "GET /open") == [200, 200, 200]
    assert statuses(front, "GET /closed") == [503, 503, 503]
    assert statuses(front, "GET /all") == [503, 503, 503]
    assert statuses(front, "GET /both", client=("192.0.2.9", 1)) == [200, 429, 429]


def live(app, *messages):
    """Send these lifespan messages to an application; what it sent."""
    incoming = [{"type": f"lifespan.{message}"} for message in messages]
    sent = []

    async def receive():
        return incoming.pop(0)

    async def send(message):
        sent.append(message["type"].removeprefix("lifespan."))

    anyio.run(app, {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
    return sent


def test_lifespan_passes_through():
    events = []

    class Life:
        async def __aenter__(self):
            events.append("up")

        async def __aexit__(self, *_):
            events.append("down")

    app = Starlette(lifespan=lambda app: Life())
    assert live(limited("9/minute", app=app), "startup", "shutdown") == ["startup.complete", "shutdown.complete"]
    assert events == ["up", "down"]


def test_a_store_that_is_away_at_the_start_stops_nothing(caplog):
    store = Away()
    assert live(limited("9/minute", app=Starlette(), store=store), "startup", "shutdown") == [
        "startup.complete",
        "shutdown.complete",
    ]
    (record,) = caplog.records
    assert (record.levelname, "left alone" in record.getMessage()) == ("WARNING", True)


def test_a_store_that_refuses_our_credentials_stops_the_start_with_the_reason(caplog):
    store = Away(StoreError("the server refuses these credentials or this command: WRONGPASS", "refused"))
    reached = []

    async def app(scope, receive, send):
        await receive()
        reached.append(scope["type"])

    sent = []
    with suppress(StoreError):
        sent = live(limited("9/minute", app=app, store=store), "startup")
    assert reached == []
    assert "startup.complete" not in sent
    assert not caplog.records or "WRONGPASS" in caplog.text


def test_credentials_that_are_refused_in_operation_are_logged_as_an_error_and_the_policy_decides(caplog):
    store = Away(StoreError("the server refuses these credentials or this command: NOPERM", "refused"))
    front = limited("9/minute", store=store)
    assert statuses(front, times=8) == [200] * 8
    (record,) = caplog.records
    assert (record.levelname, "NOPERM" in record.getMessage()) == ("ERROR", True)


def test_a_store_object_that_was_passed_in_stays_open():
    store = Away()
    live(limited("9/minute", app=Starlette(), store=store), "startup", "shutdown")
    assert store.closed == 0


def test_an_application_without_lifespan_says_so_itself():
    async def app(scope, receive, send):
        assert scope["type"] == "http"

    with pytest.raises(AssertionError):
        live(limited("9/minute", app=app), "startup")


def test_a_failed_start_is_told_as_it_is():
    async def app(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no"})

    assert live(limited("9/minute", app=app), "startup") == ["startup.failed"]


def own_answer(request, decision):
    return JSONResponse({"path": request.path, "left": decision.remaining, "in": decision.retry_after}, 430, {"x-own": "1"})


async def own_answer_awaited(request, decision):
    await anyio.sleep(0)  # noqa: ASYNC115 - a switch is all that is wanted
    return own_answer(request, decision)


@pytest.mark.parametrize("on_refused", [own_answer, own_answer_awaited])
def test_an_own_answer_gets_the_fields_of_a_refusal(on_refused):
    front = limited("1/minute", on_refused=on_refused, store=AsyncMemoryStore(clock=ManualClock()))
    assert ask(front).status == 200
    refused = ask(front, "GET /x")
    assert (refused.status, refused.header("x-own")) == (430, "1")
    assert json.loads(refused.body) == {"path": "/x", "left": 0, "in": 60.0}
    assert refused.header("retry-after") == "60"
    assert refused.items("ratelimit-policy") == [("default", {"q": 1, "w": 60})]
    assert refused.items("ratelimit") == [("default", {"r": 0, "t": 60})]


def test_an_own_answer_may_say_when_by_itself():
    front = limited("1/minute", on_refused=lambda request, decision: PlainTextResponse("", 429, {"Retry-After": "7"}))
    ask(front)
    assert ask(front).header("retry-after") == "7"


def test_an_own_answer_may_be_a_stream_and_none_is_the_problem_body():
    async def chunks():
        yield b"a"
        yield b"b"

    def on_refused(request, decision):
        return StreamingResponse(chunks(), 429) if request.path == "/own" else None

    front = limited("1/minute", on_refused=on_refused)
    ask(front)
    assert ask(front, "GET /own").body == b"ab"
    assert json.loads(ask(front, "GET /else").body)["title"] == "Too Many Requests"


def test_an_own_answer_is_not_asked_for_what_is_no_refusal(caplog):
    front = limited(policies=[Policy("p", "1/minute", key="header:x", missing="refuse")], on_refused=lambda *_: 1 / 0)
    assert ask(front).status == 401
    assert ask(limited("1/minute", store=Away(), on_outage="closed", on_refused=lambda *_: 1 / 0)).status == 503


def test_an_application_that_raises_a_refusal_by_itself_is_a_429_that_names_it():
    store = AsyncMemoryStore(clock=ManualClock())
    limiter = AsyncLimiter("1/hour", store=store, name="own")

    async def app(scope, receive, send):
        await limiter.acquire("x", timeout=0)
        await hello(scope, receive, send)

    front = limited("9/minute", app=app, store=store)
    assert ask(front).status == 200
    refused = ask(front)
    assert (refused.status, refused.header("retry-after")) == (429, "3600")
    assert json.loads(refused.body)["violated-policies"] == ["default-3600"]
    assert [name for name, _ in refused.items("ratelimit")] == ["default-60", "default-3600"]


def test_nested_middlewares_both_count_and_both_tell():
    store = AsyncMemoryStore()
    inner = RateLimitMiddleware(hello, policies=[Policy("inner", "1/minute")], store=store)
    outer = Starlette(
        routes=[Mount("/sub", app=inner), Route("/", lambda _: PlainTextResponse(""))],
        middleware=[Middleware(RateLimitMiddleware, policies=[Policy("outer", "3/minute")], store=store)],
    )
    admitted = ask(outer, "GET /sub/")
    assert sorted((name, item["r"]) for name, item in admitted.items("ratelimit")) == [("inner", 0), ("outer", 2)]
    refused = ask(outer, "GET /sub/")
    assert (refused.status, json.loads(refused.body)["violated-policies"]) == (429, ["inner"])
    assert refused.header("retry-after") is not None
    assert sorted((name, item["r"]) for name, item in refused.items("ratelimit")) == [("inner", 0), ("outer", 1)]
    assert ask(outer, "GET /").status == 200
    last = ask(outer, "GET /sub/")
    assert (last.status, json.loads(last.body)["violated-policies"]) == (429, ["outer"])


def test_without_limits_and_policies_everything_passes_without_fields():
    answer = ask(limited())
    assert (answer.status, answer.lines("ratelimit")) == (200, [])


def test_switched_off_everything_passes_and_that_is_said(monkeypatch):
    monkeypatch.setenv("RATEKIT_ENABLED", "0")
    with pytest.warns(RateKitWarning, match="RATEKIT_ENABLED switches all rate limiting off"):
        front = limited("1/minute")
    assert statuses(front) == [200, 200, 200]


def test_switched_off_nothing_is_asked_of_a_request_that_could_fail(monkeypatch):
    monkeypatch.setenv("RATEKIT_ENABLED", "0")
    with pytest.warns(RateKitWarning):
        front = limited(
            policies=[
                Policy("a", "1/minute"),
                Policy("b", "1/minute", key="header:x", missing="refuse"),
                Policy("c", "1/minute", key=lambda _: 1 / 0),
            ]
        )
    assert statuses(front, client=None) == [200, 200, 200]


@given(
    st.lists(
        st.tuples(st.sampled_from([b"x", b"forwarded", b"x-forwarded-for", b"origin", b"\xff"]), st.binary(max_size=80)), max_size=6
    ),
    st.text(max_size=20),
    st.binary(max_size=40),
    st.sampled_from(["10.0.0.1", "192.0.2.1", "fe80::1%eth0", "testclient", "\0", "a" * 300]),
)
def test_no_request_whatever_raises_or_is_a_fault_of_ours(fields, path, query, peer):
    policies = [
        Policy("a", "9/minute", match="/*"),
        Policy("b", "9/minute", key=["header:x", "ip"]),
        Policy("c", "9/hour", key="header:\x7e"),
    ]
    front = limited(policies=policies, trusted_proxies=["10.0.0.0/8"], forwarded_header="forwarded")
    sent = []

    async def send(message):
        sent.append(message)

    scope = scope_of("GET /", client=(peer, 1)) | {"path": f"/{path}", "headers": fields, "query_string": query}
    anyio.run(front, scope, None, send)
    assert sent[0]["status"] == 200


def test_a_megabyte_of_identity_is_an_identity():
    front = limited(policies=[Policy("p", "1/minute", key="header:x")])
    long = "x" * 1_000_000
    assert [ask(front, headers=[("x", value)]).status for value in (long, long + "y", long)] == [200, 200, 429]
