"""
Direct WSGI calls, through wsgiref's validator: one request in, everything the server was told out. No server, no framework.
"""

import io
from typing import Any, NamedTuple
from wsgiref.validate import validator

import http_sf


class Told(NamedTuple):
    """What a server was told for one request."""

    started: list[tuple[str, list[tuple[str, str]]]]
    chunks: list[bytes]

    @property
    def status(self) -> int:
        return int(self.started[-1][0].split()[0])

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    def header(self, name: str) -> str | None:
        """The only value of a header field, None where there is none."""
        values = [value for field, value in self.started[-1][1] if field.lower() == name]
        assert len(values) < 2, f"{name} came {len(values)} times: {values}"
        return values[0] if values else None

    def items(self, name: str) -> list[tuple[Any, dict[str, Any]]]:
        """A field's items as an independent parser of structured fields reads them."""
        text = self.header(name)
        return http_sf.parse(text.encode("ascii"), tltype="list") if text else []


def environ_of(what: str = "GET /", *, headers=(), client: str | None = "192.0.2.1", script: str = "", query: str = "", **more):
    """An environ for "METHOD PATH", the path as bytes that a server has decoded; headers as (name, value) texts."""
    method, _, path = what.partition(" ")
    environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": script,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "test",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    if client is not None:
        environ["REMOTE_ADDR"] = client
    for name, value in headers:
        environ["HTTP_" + name.upper().replace("-", "_")] = value
    return environ | more


def ask(app, what: str = "GET /", *, strict: bool = True, **options) -> Told:
    """One request to an application, which the validator watches from both sides of ratekit; what it raises is raised here."""
    told = Told([], [])

    def start_response(status, headers, exc_info=None):
        if exc_info and told.chunks:
            raise exc_info[1]
        assert exc_info or not told.started, "start_response was called twice"
        told.started.append((status, headers))
        return told.chunks.append

    body = (validator(app) if strict else app)(environ_of(what, **options), start_response)
    try:
        for chunk in body:
            assert told.started, "the body began before the response"
            told.chunks.append(chunk)
    finally:
        if hasattr(body, "close"):
            body.close()
    return told


def hello(environ, start_response):
    """An application in three lines."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"" if environ["REQUEST_METHOD"] == "HEAD" else b"hello"]


class Counted:
    """An application that counts how often it is reached."""

    def __init__(self, app=hello) -> None:
        self.app, self.reached = app, 0

    def __call__(self, environ, start_response):
        self.reached += 1
        return self.app(environ, start_response)


def statuses(app, what: str = "GET /", times: int = 3, **options) -> list[int]:
    return [ask(app, what, **options).status for _ in range(times)]
