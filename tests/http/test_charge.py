"""
Charging by the response: reserved before, settled after, on memory and on Redis; what is never settled stays spent.
"""

import socket
import threading

import anyio
import pytest
from calling import ask, hello, statuses
from running import raw, serving
from servers import RedisServer, free_port, until
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute

from ratekit import ConfigurationError, Limiter, Policy, RateLimitExceeded, StoreUnavailable, rate_limit
from ratekit.asgi import RateLimitMiddleware
from ratekit.http import hasher
from ratekit.stores import AsyncMemoryStore, AsyncRedisStore
from ratekit.testing import ManualClock


def failed(response):
    return response.status in (401, 403)


def answering(status, headers=()):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})
        await send({"type": "http.response.body", "body": b"x"})

    return app


@pytest.fixture(params=["memory", "redis"])
def store(request, redis_url):
    return AsyncMemoryStore(clock=ManualClock()) if request.param == "memory" else AsyncRedisStore(redis_url, clock=ManualClock())


def limited(store, app, *policies, **options):
    return RateLimitMiddleware(app, policies=policies, store=store, budget=10.0, **options)


def left(store, policy, identity="192.0.2.1"):
    """What the next request would still find, asked by one that costs nothing in the end."""
    probe = Policy(policy.name, policy.limits, key=lambda _: identity, charge=lambda _: 0)
    ((_, item), *_) = ask(limited(store, hello, probe)).items("ratelimit")
    return item["r"] + 1


LOGIN = Policy("login", "3/hour", charge=failed)


def test_only_failed_logins_count(store):
    app = {status: limited(store, answering(status), LOGIN) for status in (200, 401)}
    told = [ask(app[status]).status for status in (200, 200, 200, 200, 401, 401, 200, 401)]
    assert told == [200, 200, 200, 200, 401, 401, 200, 401]
    assert statuses(app[200]) == [429, 429, 429]
    assert ask(app[401], client=("192.0.2.2", 1)).status == 401


@pytest.mark.parametrize("algorithm", ["fixed_window", "sliding_window", "sliding_counter", "token_bucket"])
def test_what_was_not_used_is_given_back_and_what_was_used_beyond_is_charged_by_force(store, algorithm):
    tokens = Policy("tokens", f"100/hour {algorithm}", cost=40, charge=lambda response: int(response.headers["x-tokens"]))
    for used, after in ((b"13", 87), (b"40", 47), (b"47", 0)):
        app = limited(store, answering(200, [(b"X-Tokens", used)]), tokens)
        assert ask(app).status == 200
        assert left(store, Policy("tokens", f"100/hour {algorithm}")) == max(after, 0) or after == 0
    refused = ask(app)
    assert refused.status == 429
    assert refused.header("retry-after") is not None


def test_the_header_fields_show_what_is_reserved(store):
    app = limited(store, answering(200), Policy("p", "9/hour", cost=4, charge=lambda _: 0))
    assert [ask(app).items("ratelimit")[0][1]["r"] for _ in range(3)] == [5, 5, 5]


def test_several_policies_settle_each_by_itself_and_together(store):
    one, two, three = (
        Policy("one", "9/hour", charge=lambda _: 0),
        Policy("two", "9/hour", cost=2, charge=lambda _: 5),
        Policy("three", "9/hour"),
    )
    assert ask(limited(store, answering(200), one, two, three)).status == 200
    assert [left(store, policy) for policy in (one, two, three)] == [9, 4, 8]


def test_a_refused_request_settles_nothing(store):
    seen = []
    app = limited(store, answering(200), Policy("p", "1/hour", charge=lambda response: seen.append(response) or 1))
    assert statuses(app, times=3) == [200, 429, 429]
    assert len(seen) == 1


def test_charge_may_be_async(store):
    async def charge(response):
        await anyio.lowlevel.checkpoint()
        return response.status == 500

    app = limited(store, answering(200), Policy("p", "1/hour", charge=charge))
    assert statuses(app, times=3) == [200, 200, 200]


@pytest.mark.parametrize("wrong", [-1, 1.5, None, "1", 10**10])
def test_a_charge_that_cannot_be_stays_spent_and_is_logged_once(store, wrong, caplog):
    app = limited(store, answering(200), Policy("p", "2/hour", charge=lambda _: wrong))
    assert statuses(app, times=3) == [200, 200, 429]
    (record,) = caplog.records
    assert "its charge callable gave" in record.getMessage()


def test_a_charge_that_raises_stays_spent_is_logged_once_and_disturbs_no_answer(store, caplog):
    def charge(response):
        raise LookupError(response.request.path)

    app = limited(store, hello, Policy("p", "2/hour", charge=charge), Policy("q", "9/hour", charge=lambda _: 0))
    answers = [ask(app, f"GET /{i}") for i in range(3)]
    assert [(answer.status, answer.body) for answer in answers[:2]] == [(200, b"hello")] * 2
    assert answers[2].status == 429
    assert [record.getMessage() for record in caplog.records] == ["rate limiting: policy 'p': LookupError: /0"]
    assert left(store, Policy("q", "9/hour")) == 9


@pytest.mark.parametrize(
    ("error", "status"), [(LookupError(), 500), (StoreUnavailable("away"), 503), (RateLimitExceeded(None), 429)]
)
def test_what_the_application_raises_is_charged_as_what_it_will_be_told(error, status):
    seen = []

    async def app(scope, receive, send):
        if isinstance(error, RateLimitExceeded):
            Limiter("1/hour", store="memory://", name="inside").reserve("x", cost=2).__enter__()
        raise error

    front = limited(AsyncMemoryStore(), app, Policy("p", "9/hour", charge=lambda response: seen.append(response) or 0))
    if isinstance(error, LookupError):
        with pytest.raises(LookupError):
            ask(front)
    else:
        assert ask(front).status == status
    ((response,)) = seen
    assert (response.status, response.complete) == (status, False)


def test_the_response_is_settled_before_background_work_begins():
    store, order = AsyncMemoryStore(), []

    async def later():
        order.append("background")

    app = Starlette(routes=[Route("/", lambda _: PlainTextResponse("x", background=BackgroundTask(later)))])
    ask(limited(store, app, Policy("p", "9/hour", charge=lambda _: order.append("charge") or 0)))
    assert order == ["charge", "background"]


def test_tokens_are_charged_when_the_last_of_a_stream_is_known():
    async def answer(request):
        async def words():
            for word in ("one ", "two ", "three"):
                request.state.tokens = getattr(request.state, "tokens", 0) + 1
                yield word

        return StreamingResponse(words())

    store = AsyncMemoryStore()
    tokens = Policy("tokens", "100/hour", cost=50, charge=lambda response: response.request.native["state"]["tokens"])
    assert ask(limited(store, Starlette(routes=[Route("/", answer)]), tokens)).body == b"one two three"
    assert left(store, Policy("tokens", "100/hour")) == 97


def test_a_websocket_is_settled_when_it_ends():
    async def chat(socket):
        await socket.accept()
        await socket.close()

    seen = []
    policy = Policy("p", "9/hour", charge=lambda response: seen.append((response.status, response.complete)) or 1)
    ask(limited(AsyncMemoryStore(), Starlette(routes=[WebSocketRoute("/", chat)]), policy), "WS /")
    assert seen == [(101, True)]


# Over a real server


def serve_stream(gate, seen, store):
    async def answer(request):
        async def parts():
            yield b"x" * 70_000
            await anyio.to_thread.run_sync(gate.wait, 10)
            yield b"y" * 70_000

        return StreamingResponse(parts())

    def charge(response):
        seen.append((response.status, response.complete))
        return response.complete

    app = Starlette(routes=[Route("/", answer), Route("/plain", lambda _: Response(b"x"))])
    return serving(limited(store, app, Policy("p", "9/hour", charge=charge)))


def test_a_client_that_goes_away_is_given_back_what_it_had_reserved():
    gate, seen, store = threading.Event(), [], AsyncMemoryStore()
    with serve_stream(gate, seen, store) as port:
        assert raw(port, "GET /plain HTTP/1.1")[0] == 200
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            client.recv(1)
        gate.set()
        until(lambda: len(seen) == 2)
    assert seen == [(200, True), (200, False)]
    assert left(store, Policy("p", "9/hour"), "127.0.0.1") == 8


def test_a_client_that_stays_pays_for_the_whole():
    gate, seen, store = threading.Event(), [], AsyncMemoryStore()
    gate.set()
    with serve_stream(gate, seen, store) as port:
        assert raw(port, "GET / HTTP/1.1")[2].count(b"y") == 70_000
    assert seen == [(200, True)]


def test_what_is_cancelled_between_reserve_and_commit_settles_as_gone():
    store, seen = AsyncMemoryStore(), []
    policy = Policy("p", "9/hour", charge=lambda response: seen.append((response.status, response.complete)) or 0)

    async def hang(scope, receive, send):
        await anyio.sleep_forever()

    async def go():
        with anyio.move_on_after(0.05):
            await limited(store, hang, policy)(
                {"type": "http", "method": "GET", "path": "/", "headers": [], "client": ("192.0.2.1", 9)}, None, None
            )

    anyio.run(go)
    assert seen == [(499, False)]
    assert left(store, Policy("p", "9/hour")) == 9


def test_a_crash_in_between_leaves_it_spent(redis_url):
    store = AsyncRedisStore(redis_url)

    class Crash(BaseException):
        pass

    async def crash(scope, receive, send):
        # As if the process had died here: nothing is settled any more.
        app._enforcer.settle_async = gone
        raise Crash

    async def gone(visit, response):
        pass

    app = limited(store, crash, Policy("p", "9/hour", cost=4, charge=lambda _: 0))
    with pytest.raises(Crash):
        ask(app)
    assert left(AsyncRedisStore(redis_url), Policy("p", "9/hour")) == 5


# What is wrong


@pytest.mark.parametrize("wrong", [1, "status", [], True])
def test_a_charge_that_is_no_callable_is_a_configuration_error(wrong):
    with pytest.raises(ConfigurationError, match="write a callable on the response"):
        Policy("p", "1/minute", charge=wrong)


# hash_keys


def keys_of(client):
    return b" ".join(client.keys("*")).decode()


@pytest.mark.parametrize("hash_keys", [True, "sixteen bytes at least", b"sixteen bytes at least"])
def test_with_hash_keys_no_identity_reaches_the_store(redis_url, redis_client, hash_keys):
    policies = [Policy("address", "9/hour"), Policy("user", "9/hour", key=["header:x", "ip"])]
    with serving(RateLimitMiddleware(hello, policies=policies, store=redis_url, budget=10.0, hash_keys=hash_keys)) as port:
        assert raw(port, "GET / HTTP/1.1", "X: ann@example.org")[0] == 200
    keys = keys_of(redis_client)
    assert keys.count("ratekit:{default:") == 2
    assert "ann" not in keys
    assert "127.0.0.1" not in keys
    assert hasher(hash_keys)("127.0.0.1") in keys


def test_hashed_identities_stay_apart_and_what_one_limiter_hashes_another_finds():
    hashed = hasher("sixteen bytes at least")
    several = ["a", "b", "(a)", ("a",), ("a", "b"), ("a,b",), "a,b", 42, "x" * 500, "x" * 501]
    assert len({hashed(one) for one in several}) == len(several)
    assert hashed(42) == hashed("42")
    assert hasher(True)("a") != hashed("a") != hasher("another secret text")("a")
    store = AsyncMemoryStore()
    app = RateLimitMiddleware(hello, "1/hour", store=store, hash_keys="sixteen bytes at least")
    assert statuses(app, times=2) == [200, 429]
    Limiter("1/hour", store=store.sync).reset(hashed("192.0.2.1"))
    assert ask(app).status == 200


@pytest.mark.parametrize("wrong", ["short", b"short", "x" * 65, 5, 1.5, ["x"]])
def test_a_secret_that_is_none_is_a_configuration_error(wrong):
    with pytest.raises(ConfigurationError, match="write True, or a secret text of 16 to 64 bytes"):
        RateLimitMiddleware(hello, "1/hour", store=AsyncMemoryStore(), hash_keys=wrong)


def test_functions_inside_are_counted_by_the_hashed_address_too(redis_url, redis_client):
    @rate_limit("9/hour")
    async def inner():
        pass

    async def app(scope, receive, send):
        await inner()
        await hello(scope, receive, send)

    with serving(RateLimitMiddleware(app, "9/hour", store=redis_url, budget=10.0, hash_keys=True)) as port:
        assert raw(port, "GET / HTTP/1.1")[0] == 200
    keys = keys_of(redis_client)
    assert keys.count(hasher(True)("127.0.0.1")) == 2
    assert "127.0.0.1" not in keys


# While the store is away


def test_what_was_decided_while_the_store_was_away_is_not_settled():
    seen = []
    policy = Policy("p", "2/hour", charge=lambda response: seen.append(response) or 0)
    app = RateLimitMiddleware(hello, policies=[policy], store=f"redis://127.0.0.1:{free_port()}", budget=1.0)
    assert statuses(app, times=3) == [200, 200, 429]
    assert seen == []


def test_a_store_that_goes_away_before_the_response_is_settled_disturbs_no_answer(caplog):
    with RedisServer() as server:

        async def app(scope, receive, send):
            server.stop()
            await hello(scope, receive, send)

        front = RateLimitMiddleware(app, policies=[Policy("p", "2/hour", charge=lambda _: 0)], store=server.url, budget=5.0)
        answer = ask(front)
    assert (answer.status, answer.body) == (200, b"hello")
    assert "away" in caplog.text


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_asyncio_and_trio_settle_alike(backend):
    app = limited(AsyncMemoryStore(), answering(401), LOGIN)
    assert statuses(app, times=4, backend=backend) == [401, 401, 401, 429]
    app = limited(AsyncMemoryStore(), answering(200), LOGIN)
    assert statuses(app, times=4, backend=backend) == [200] * 4
