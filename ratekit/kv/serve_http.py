"""
What both servers of the simulator need of HTTP: a whole request in, a whole response out, as a plain ASGI application.

For tests and demonstrations: bodies are held in memory, and nothing is streamed.
"""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

MOST: Final = 100 * 1024 * 1024
"""Bytes of a body; Cloudflare's own limit of a bulk write."""
REASON: Final = "kv-reason"
"""The field by which a response carries words of its own for the status line; ASGI has no place for them."""

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: `path` as its decoded segments, so that a slash within a key is none between two; header names in lower case."""

    method: str
    path: tuple[str, ...]
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Told:
    """A response. `reason` stands on the status line instead of the status's usual words."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    reason: str = ""


Handler = Callable[[Asked], Awaitable[Told]]


def told_json(value: Any, status: int = 200) -> Told:
    """A response in JSON."""
    return Told(status, json.dumps(value).encode(), (("content-type", "application/json"),))


def application(handler: Handler) -> App:
    """The ASGI application that answers each request with what `handler` says."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = await _body(receive)
        told = Told(413) if body is None else await handler(_asked(scope, body))
        fields = [(name.encode(), value.encode()) for name, value in told.headers]
        fields.append((b"content-length", str(len(told.body)).encode()))
        if told.reason:
            printable = "".join(letter if letter.isprintable() else " " for letter in told.reason)
            fields.append((REASON.encode(), printable.encode("ascii", "replace")))
        await send({"type": "http.response.start", "status": told.status, "headers": fields})
        await send({"type": "http.response.body", "body": told.body})

    return app


async def _body(receive: Receive) -> bytes | None:
    """The whole body, or None when it is longer than any may be."""
    parts, size = [], 0
    while size <= MOST:
        message = await receive()
        if message["type"] != "http.request":
            break  # the client left: what answers it does not matter
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if not message.get("more_body", False):
            break
    return b"".join(parts) if size <= MOST else None


def _asked(scope: Scope, body: bytes) -> Asked:
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True, encoding="utf-8", errors="surrogateescape")
    return Asked(
        method=scope["method"],
        path=tuple(unquote(part, errors="surrogateescape") for part in raw.decode("latin-1").split("/")[1:]),
        query=dict(query),
        headers={name.decode("latin-1").lower(): value.decode("utf-8", "replace") for name, value in scope["headers"]},
        body=body,
    )
