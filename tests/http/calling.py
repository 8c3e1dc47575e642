"""
Direct ASGI calls: one request in, everything the application sent out. No server, no framework.
"""

from typing import Any, NamedTuple

import anyio
import http_sf


class Answered(NamedTuple):
    """All that was sent for one request."""

    messages: list[dict[str, Any]]

    @property
    def status(self) -> int:
        return self.messages[0]["status"]

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        return list(self.messages[0].get("headers", ()))

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages[1:])

    def lines(self, name: str) -> list[str]:
        return [value.decode() for field, value in self.headers if field.lower() == name.encode()]

    def header(self, name: str) -> str | None:
        """The only value of a header field, None where there is none."""
        lines = self.lines(name)
        assert len(lines) < 2, f"{name} came {len(lines)} times: {lines}"
        return lines[0] if lines else None

    def items(self, name: str) -> list[tuple[Any, dict[str, Any]]]:
        """A field's items as an independent parser of structured fields reads them."""
        return parsed(", ".join(self.lines(name)))


def parsed(text: str) -> list[tuple[Any, dict[str, Any]]]:
    return http_sf.parse(text.encode("ascii"), tltype="list") if text else []


def scope_of(
    what: str = "GET /", *, headers=(), client=("192.0.2.1", 5000), root_path: str = "", query: bytes = b"", extensions=None
) -> dict[str, Any]:
    """A scope for "METHOD PATH", "WS PATH" being a WebSocket handshake; headers as (name, value) texts."""
    method, _, path = what.partition(" ")
    scope = {
        "type": "websocket" if method == "WS" else "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode("utf-8", "replace"),
        "root_path": root_path,
        "query_string": query,
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers],
        "client": client,
        "server": ("127.0.0.1", 80),
        "extensions": extensions or {},
    }
    return scope | ({"subprotocols": []} if method == "WS" else {"method": method})


def ask(app, what: str = "GET /", *, backend: str = "asyncio", **options) -> Answered:
    """One request to an application; what it raises is raised here."""
    scope = scope_of(what, **options)
    incoming = [{"type": "websocket.connect"}] if scope["type"] == "websocket" else [{"type": "http.request", "body": b""}]
    sent: list[dict[str, Any]] = []

    async def receive():
        if not incoming:
            await anyio.sleep_forever()
        return incoming.pop(0)

    async def send(message):
        sent.append(dict(message))

    async def go():
        with anyio.fail_after(10):
            await app(scope, receive, send)

    anyio.run(go, backend=backend)
    return Answered(sent)


async def hello(scope, receive, send):
    """An application in three lines: accepts WebSockets, answers 200 to everything else."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"hello"})


class Counted:
    """An application that counts how often it is reached."""

    def __init__(self, app=hello) -> None:
        self.app, self.reached = app, 0

    async def __call__(self, scope, receive, send):
        self.reached += 1
        await self.app(scope, receive, send)


def statuses(app, what: str = "GET /", times: int = 3, **options) -> list[int]:
    return [ask(app, what, **options).status for _ in range(times)]
