"""
What HTTP asks of an answer that is limited: HEAD, 304, ranges, caches, CORS, proxies that buffer; and requests that are malformed.
"""

import json
import socket

import pytest
from calling import Counted, ask, hello, parsed, statuses
from hypothesis import given
from hypothesis import strategies as st
from running import raw, serving
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from ratekit import Policy
from ratekit.asgi import RateLimitMiddleware
from ratekit.stores import AsyncMemoryStore


@pytest.fixture
def served(tmp_path):
    """Files behind a limit, on a real server: the port."""
    (tmp_path / "a.txt").write_text("0123456789")
    app = Starlette(routes=[Mount("/files", StaticFiles(directory=tmp_path)), Route("/", lambda _: PlainTextResponse("hello"))])
    with serving(RateLimitMiddleware(app, "4/minute", store=AsyncMemoryStore())) as port:
        yield port


def left(headers):
    ((_, item),) = parsed(headers["ratelimit"])
    return item["r"]


def test_a_304_and_a_range_carry_the_fields_and_count(served):
    status, headers, _ = raw(served, "GET /files/a.txt HTTP/1.1")
    assert (status, left(headers)) == (200, 3)
    status, again, body = raw(served, "GET /files/a.txt HTTP/1.1", f"If-None-Match: {headers['etag']}")
    assert (status, left(again), body) == (304, 2, b"")
    status, part, body = raw(served, "GET /files/a.txt HTTP/1.1", "Range: bytes=2-4")
    assert (status, left(part), body, part["content-range"]) == (206, 1, b"234", "bytes 2-4/10")


def test_head_says_what_get_would_without_a_body_also_refused(served):
    status, headers, body = raw(served, "HEAD / HTTP/1.1")
    assert (status, left(headers), body) == (200, 3, b"")
    for _ in range(3):
        raw(served, "GET / HTTP/1.1")
    status, refused, body = raw(served, "HEAD / HTTP/1.1")
    assert (status, body, refused["cache-control"]) == (429, b"", "no-store")
    assert int(refused["content-length"]) == len(raw(served, "GET / HTTP/1.1")[2])


def test_no_refusal_is_kept_by_a_cache_and_no_other_answer_is_forbidden_to_be():
    app = RateLimitMiddleware(hello, "1/minute", store=AsyncMemoryStore())
    admitted, refused = ask(app), ask(app)
    assert (admitted.header("cache-control"), refused.header("cache-control")) == (None, "no-store")


def test_a_connection_is_used_again_after_a_refusal_with_a_body_unread(served):
    with socket.create_connection(("127.0.0.1", served), timeout=10) as client:
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
        seen = []
        for _ in range(6):
            client.sendall(head)
            data = b""
            while b"\r\n\r\n" not in data:
                data += client.recv(65536)
            top, _, body = data.partition(b"\r\n\r\n")
            length = int(top.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            while len(body) < length:
                body += client.recv(65536)
            seen.append(int(top.split()[1]))
    assert seen == [405] * 4 + [429] * 2


def test_a_stream_that_a_proxy_buffers_is_passed_chunk_by_chunk_with_the_fields_before_the_first():
    async def parts():
        for part in (b"a", b"b", b"c"):
            yield part

    app = Starlette(routes=[Route("/", lambda _: StreamingResponse(parts(), headers={"x-accel-buffering": "no"}))])
    answer = ask(RateLimitMiddleware(app, "4/minute", store=AsyncMemoryStore()))
    assert [message.get("body") for message in answer.messages[1:]] == [b"a", b"b", b"c", b""]
    assert (answer.header("x-accel-buffering"), left({"ratelimit": answer.header("ratelimit")})) == ("no", 3)


# CORS

ORIGIN = [("origin", "https://app.example")]
PREFLIGHT = [*ORIGIN, ("access-control-request-method", "GET")]
EXPOSED = ["RateLimit", "RateLimit-Policy", "Retry-After"]


def cors_app(*, outside):
    cors = Middleware(CORSMiddleware, allow_origins=["https://app.example"], expose_headers=EXPOSED)
    limit = Middleware(RateLimitMiddleware, limits="1/minute", store=AsyncMemoryStore())
    routes = [Route("/", lambda _: PlainTextResponse("hello"))]
    return Starlette(routes=routes, middleware=[cors, limit] if outside else [limit, cors])


def test_with_cors_outside_a_browsers_script_reads_refusals_and_their_fields():
    app = cors_app(outside=True)
    for _ in range(3):
        assert ask(app, "OPTIONS /", headers=PREFLIGHT).status == 200
    admitted, refused = ask(app, headers=ORIGIN), ask(app, headers=ORIGIN)
    assert (admitted.status, refused.status) == (200, 429)
    for answer in (admitted, refused):
        assert answer.header("access-control-allow-origin") == "https://app.example"
        assert answer.header("access-control-expose-headers") == "RateLimit, RateLimit-Policy, Retry-After"
    assert json.loads(refused.body)["violated-policies"] == ["default"]


def test_with_cors_inside_preflights_are_free_too_and_a_refusal_cannot_be_read():
    app = cors_app(outside=False)
    for _ in range(3):
        assert ask(app, "OPTIONS /", headers=PREFLIGHT).status == 200
    assert statuses(app, headers=ORIGIN, times=2) == [200, 429]
    assert ask(app, headers=ORIGIN).header("access-control-allow-origin") is None


# Malformed: no exception, no way round

MALFORMED = [
    ("X-Forwarded-For", value)
    for value in (
        "", " ", ",", ",,,", "unknown", "192.0.2.1,", "::", "[", "[::1", "[::1]:", "1.2.3.4:x", "1.2.3.4:99999999", "999.1.1.1",
        "1.2.3", "\xff\xfe", "x" * 5000, "1.2.3.4\t5.6.7.8", "%31.2.3.4", "1.2.3.4;5.6.7.8", '"1.2.3.4', "fe80::1%eth0", "0x7f.1",
    )
] + [
    ("Forwarded", value)
    for value in (
        "", "for", "for=", "for=;", 'for="', 'for="[::1"', "for=_hidden", "for=unknown", "for=1.2.3.4;for=5.6.7.8", "by=x", ";;;", "=",
        'for="\\', "for=1.2.3.4,", "for = 1.2.3.4", "\xff", "for=" + "x" * 5000, 'for="1.2.3.4" garbage', "FOR=1.2.3.4", "for=1.2.3.4;=",
    )
] + [
    ("Authorization", value)
    for value in ("", " ", "Basic", "Basic %%%", "Bearer", "Bearer ", "\xff" * 100, "x" * 8000, "Digest a=", "Basic Og==", ":", "=\t=")
] + [
    ("Host", value) for value in ("", "[", "x:y", "a b", "\xff", "::1", "x" * 4000, "a,b", "@", "../..", "x:99999999", "http://x/")
]  # fmt: skip


@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded"])
def test_malformed_headers_raise_nothing_and_slip_past_nothing(header, caplog):
    policies = [Policy("address", "1/day"), Policy("user", "1000000/day", key=["header:authorization", "header:host"])]
    for name, value in MALFORMED:
        app = RateLimitMiddleware(
            hello, policies=policies, store=AsyncMemoryStore(), trusted_proxies=["10.0.0.0/8"], forwarded_header=header
        )
        for client in ("192.0.2.1", "10.0.0.1"):
            told = [ask(app, headers=[(name, value)], client=(client, 5)).status for _ in range(2)]
            assert told == [200, 429], (name, value, client)
    assert caplog.records == []


@given(st.binary(max_size=60), st.sampled_from(["x-forwarded-for", "forwarded", "authorization", "host", "x-real-ip"]))
def test_no_bytes_in_a_header_raise_or_let_a_second_request_through(value, name):
    app = RateLimitMiddleware(hello, "1/day", store=AsyncMemoryStore(), trusted_proxies=["10.0.0.0/8"], forwarded_header=name)
    text = value.decode("latin-1")
    assert [ask(app, headers=[(name, text)], client=("192.0.2.1", 5)).status for _ in range(2)] == [200, 429]
    assert [ask(app, headers=[(name, text)], client=("10.0.0.1", 5)).status for _ in range(2)] in ([200, 429], [429, 429])


@pytest.mark.parametrize("path", ["/login", "//login", "/%2Flogin", "/login%2F", "/login//", "/./login", "/a/../login", "/LOGIN"])
def test_whatever_slashes_a_path_has_the_application_is_reached_counted_or_not_at_all(path):
    reached = Counted(Starlette(routes=[Route("/login", lambda _: PlainTextResponse("in"))]))
    policies = [Policy("login", "1/day", match="/login")]
    with serving(RateLimitMiddleware(reached, policies=policies, store=AsyncMemoryStore())) as port:
        told = [raw(port, f"GET {path} HTTP/1.1")[0] for _ in range(3)]
    assert told.count(200) <= 1
    assert told in ([200, 429, 429], [404] * 3, [307] * 3)
