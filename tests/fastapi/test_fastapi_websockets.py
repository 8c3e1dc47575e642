"""
WebSockets: a handshake is limited by a dependency as a request is; messages are charged by hand.
"""

import pytest
from fastapi import Depends, FastAPI, WebSocket
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from ratekit import ConfigurationError, Policy
from ratekit.asgi import RateLimitMiddleware
from ratekit.fastapi import RateLimit


@pytest.fixture(params=["alone", "with the middleware around"])
def app(request, store):
    app = FastAPI()
    if request.param != "alone":
        app.add_middleware(RateLimitMiddleware, store=store)
    return app


async def accept(websocket: WebSocket):
    await websocket.accept()
    await websocket.close(4000)


def connected(client, path):
    """Whether a handshake is let in; the response to it where not."""
    try:
        with client.websocket_connect(path):
            return True
    except WebSocketDenialResponse as response:
        return response


def test_handshakes_are_limited_by_address_and_a_refusal_says_until_when(app, store, client_of):
    app.websocket("/ws/{room}", dependencies=[Depends(RateLimit("2/minute", store=store))])(accept)
    client = client_of(app)
    assert [connected(client, f"/ws/{room}") for room in (1, 2)] == [True, True]
    refused = connected(client, "/ws/3")
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "60"
    assert refused.json()["violated-policies"] == ["accept"]
    assert connected(client_of(app, "192.0.2.2"), "/ws/1") is True


def test_messages_are_charged_by_hand_and_the_connection_lives_on(app, store, clock, client_of):
    messages = RateLimit("2/second", name="messages", store=store)

    @app.websocket("/ws")
    async def echo(websocket: WebSocket):
        await websocket.accept()
        async for text in websocket.iter_text():
            decision = await messages.hit(websocket)
            await websocket.send_text(text if decision else f"{decision.retry_after:.0f} s too early")

    with client_of(app).websocket_connect("/ws") as ann, client_of(app, "192.0.2.2").websocket_connect("/ws") as bob:

        def says(who, text):
            who.send_text(text)
            return who.receive_text()

        assert [says(ann, text) for text in "abc"] == ["a", "b", "1 s too early"]
        assert says(bob, "x") == "x"
        clock.advance(1)
        assert says(ann, "d") == "d"


def test_one_object_limits_handshakes_and_messages_of_its_route(app, store, client_of):
    limit = RateLimit("3/minute", store=store)

    @app.websocket("/ws", dependencies=[Depends(limit)])
    async def echo(websocket: WebSocket):
        await websocket.accept()
        while await limit.hit(websocket):
            await websocket.send_text(await websocket.receive_text())
        await websocket.close(1008)

    with client_of(app).websocket_connect("/ws") as client:
        client.send_text("a")
        assert client.receive_text() == "a"
        client.send_text("b")
        assert client.receive_text() == "b"
        with pytest.raises(WebSocketDisconnect) as closed:
            client.receive_text()
        assert closed.value.code == 1008


def test_a_nameless_limit_asked_by_hand_where_it_is_no_dependency_says_that_it_needs_a_name(store, client_of):
    app, limit = FastAPI(), RateLimit("3/minute", store=store)

    @app.websocket("/ws")
    async def echo(websocket: WebSocket):
        await websocket.accept()
        try:
            await limit.hit(websocket)
        except ConfigurationError as error:
            await websocket.send_text(str(error))

    with client_of(app).websocket_connect("/ws") as client:
        assert "RateLimit(..., name='messages')" in client.receive_text()


def test_a_policy_of_the_middleware_meets_handshakes_before_the_application(store, client_of):
    app = FastAPI()
    app.add_middleware(RateLimitMiddleware, policies=[Policy("sockets", "1/minute", match="WS /ws/*")], store=store)
    app.websocket("/ws/{room}")(accept)
    client = client_of(app)
    assert connected(client, "/ws/1") is True
    assert connected(client, "/ws/2").status_code == 429


def test_an_absent_identity_refuses_a_handshake(app, store, client_of):
    app.websocket("/ws", dependencies=[Depends(RateLimit("1/minute", key="header:x-api-key", missing="refuse", store=store))])(
        accept
    )
    assert connected(client_of(app), "/ws").status_code == 401
    assert connected(client_of(app, headers={"x-api-key": "ann"}), "/ws") is True


def test_where_a_server_cannot_send_a_response_a_refused_handshake_is_closed(app, store, client_of):
    app.websocket("/ws", dependencies=[Depends(RateLimit("1/minute", store=store))])(accept)

    async def plain_server(scope, receive, send):
        await app({**scope, "extensions": {}}, receive, send)

    client = client_of(plain_server)
    assert connected(client, "/ws") is True
    with pytest.raises(WebSocketDisconnect) as closed, client.websocket_connect("/ws"):
        pass
    assert (closed.value.code, closed.value.reason) == (1008, "rate limit exceeded")
