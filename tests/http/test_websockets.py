"""
WebSocket handshakes: refused before the application, over HTTP where the server can, else closed before they are accepted.
"""

import contextlib
import json

import pytest
from calling import Counted, ask, hello, parsed
from running import serving
from starlette.responses import PlainTextResponse
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from ratekit import Policy, rate_limit
from ratekit.asgi import RateLimitMiddleware
from ratekit.stores import AsyncMemoryStore

DENIAL = {"websocket.http.response": {}}


def limited(*args, app=hello, **options):
    return RateLimitMiddleware(app, *args, store=AsyncMemoryStore(), **options)


def test_with_the_denial_extension_a_handshake_is_refused_as_any_request():
    app = Counted()
    front = limited("1/minute", app=app)
    assert ask(front, "WS /", extensions=DENIAL).messages[0]["type"] == "websocket.accept"
    refused = ask(front, "WS /", extensions=DENIAL)
    assert [message["type"] for message in refused.messages] == ["websocket.http.response.start", "websocket.http.response.body"]
    assert (refused.status, refused.header("retry-after"), refused.header("content-type")) == (
        429,
        "60",
        "application/problem+json",
    )
    assert refused.items("ratelimit")[0][1]["r"] == 0
    assert json.loads(refused.body)["violated-policies"] == ["default"]
    assert app.reached == 1


def test_without_the_extension_it_is_closed_before_it_is_accepted():
    app = Counted()
    front = limited("1/minute", app=app)
    assert ask(front, "WS /").messages[0]["type"] == "websocket.accept"
    assert ask(front, "WS /").messages == [{"type": "websocket.close", "code": 1008, "reason": "rate limit exceeded"}]
    assert app.reached == 1


def test_an_accepted_handshake_carries_both_fields():
    accepted = ask(limited("9/minute"), "WS /")
    assert accepted.items("ratelimit-policy") == [("default", {"q": 9, "w": 60})]
    assert accepted.items("ratelimit") == [("default", {"r": 8, "t": 60})]


def test_a_handshake_and_a_request_of_one_client_share_a_limit_that_means_both():
    front = limited("1/minute")
    assert ask(front, "GET /").status == 200
    assert ask(front, "WS /").messages[0]["type"] == "websocket.close"


def test_an_own_answer_refuses_a_handshake_too():
    front = limited("1/minute", on_refused=lambda request, decision: PlainTextResponse(request.method, 430))
    ask(front, "WS /", extensions=DENIAL)
    refused = ask(front, "WS /", extensions=DENIAL)
    assert (refused.status, refused.body, refused.header("retry-after")) == (430, b"WS", "60")


@pytest.mark.parametrize("extensions", [DENIAL, {}])
def test_a_function_that_is_refused_before_it_accepts_refuses_the_handshake_even_when_the_connect_was_read(extensions):
    store = AsyncMemoryStore()

    @rate_limit("1/minute", store=store)
    async def greet(send):
        await send({"type": "websocket.accept"})

    async def app(scope, receive, send):
        await receive()
        await greet(send)

    front = RateLimitMiddleware(app, store=store)
    assert ask(front, "WS /", extensions=extensions).messages[0]["type"] == "websocket.accept"
    refused = ask(front, "WS /", extensions=extensions).messages
    assert refused[0]["type"] == ("websocket.http.response.start" if extensions else "websocket.close")


def test_a_handshake_without_identity_is_a_401():
    front = limited(policies=[Policy("p", "1/minute", key="header:authorization", missing="refuse")])
    assert ask(front, "WS /", extensions=DENIAL).status == 401


async def echo(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


def without_extension(app):
    async def older_server(scope, receive, send):
        await app(scope | {"extensions": {}}, receive, send)

    return older_server


@contextlib.contextmanager
def talking(port, path="/"):
    with connect(f"ws://127.0.0.1:{port}{path}", open_timeout=10, close_timeout=10) as socket:
        yield socket


def test_a_real_client_reads_the_fields_of_its_handshake_and_talks_without_further_limits():
    with serving(limited("1/minute", app=echo), lifespan="off") as port, talking(port) as socket:
        assert parsed(socket.response.headers["RateLimit-Policy"]) == [("default", {"q": 1, "w": 60})]
        assert parsed(socket.response.headers["RateLimit"]) == [("default", {"r": 0, "t": 60})]
        for i in range(5):
            socket.send(str(i))
            assert socket.recv(timeout=10) == str(i)


def test_a_real_client_is_refused_with_status_fields_and_body():
    app = Counted(echo)
    with serving(limited("1/minute", app=app), lifespan="off") as port:
        with talking(port):
            pass
        with pytest.raises(InvalidStatus) as refused, talking(port):
            pass
    response = refused.value.response
    assert response.status_code == 429
    assert int(response.headers["Retry-After"]) in (59, 60)
    assert parsed(response.headers["RateLimit"])[0][1]["r"] == 0
    assert response.headers["Content-Type"] == "application/problem+json"
    assert json.loads(response.body)["violated-policies"] == ["default"]
    assert app.reached == 1


def test_a_real_client_of_a_server_without_the_extension_sees_a_403():
    app = Counted(echo)
    with serving(without_extension(limited("1/minute", app=app)), lifespan="off") as port:
        with talking(port):
            pass
        with pytest.raises(InvalidStatus) as refused, talking(port):
            pass
    assert refused.value.response.status_code == 403
    assert app.reached == 1


def test_a_handshake_is_matched_by_the_path_that_is_routed():
    front = limited(policies=[Policy("chat", "1/minute", match="WS /chat")], app=echo)
    with serving(front, lifespan="off") as port:
        for path in ("/chat", "/other", "/other"):
            with talking(port, path):
                pass
        for path in ("/chat", "/%63hat", "/chat?x=1"):
            with pytest.raises(InvalidStatus), talking(port, path):
                pass
