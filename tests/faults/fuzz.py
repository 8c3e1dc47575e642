"""
Scopes that keep to ASGI's types and to nothing else, at a middleware in this process.
"""

import asyncio
import logging
import random
import warnings
from collections import Counter

from ratekit import Policy
from ratekit.asgi import RateLimitMiddleware

TEXTS = (
    "",
    "/",
    "/a",
    "/api/login",
    "//",
    "/a/../b",
    "/\x00",
    "/\ud800",
    "/é",
    "/%2e",
    "/a" * 4000,
    "*",
    "http://x/",
    "/\r\nx: y",
    "ümlaut",
)
METHODS = ("GET", "get", "POST", "OPTIONS", "HEAD", "CONNECT", "", "G\x00T", "\ud83d", "X" * 500, "PÖST")
NAMES = (
    b"x-forwarded-for",
    b"X-Forwarded-For",
    b"forwarded",
    b"x-api-key",
    b"origin",
    b"access-control-request-method",
    b"",
    b"\xff",
    b"host",
    b"x" * 300,
)
ADDRESSES = (
    b"192.0.2.1",
    b"2001:db8::1",
    b"::ffff:192.0.2.1",
    b"fe80::1%eth0",
    b"[2001:db8::1]:80",
    b"192.0.2.1:99",
    b"unknown",
    b"_x",
    b"",
    b" ",
    b",",
    b",,,,",
    b"999.1.1.1",
    b"\xff\xfe",
    b"\x00",
    b"for=192.0.2.1",
    b'for="[2001:db8::1]:1"',
    b'for="',
    b";;=,",
    b"for=a;for=b",
    b"1" * 3000,
    b"010.1.1.1",
    b"::",
    b"%",
    b'"',
    b"0x7f.1",
)
PEERS = (
    None,
    ("192.0.2.9", 1),
    ("2001:db8::9", 2),
    ("", 0),
    ("testclient", 50000),
    ("10.0.0.1", 3),
    ("fe80::1%eth0", 4),
    ("\ud800", 5),
    ("1" * 5000, 6),
    ("::ffff:10.0.0.1", 7),
    ["10.0.0.2", None],
    ("unix:", None),
    ("\x00", -1),
    ("127.0.0.1", 0),
)


def middlewares(app) -> list[RateLimitMiddleware]:
    """What the scopes go to: everybody's limit, proxies of three kinds, policies that look at method, path and headers."""
    policies = [
        Policy("burst", "50/second", key="ip"),
        Policy("login", "5/minute", key=["ip", "header:x-api-key"], match="POST /api/*"),
        Policy(
            "key", "100/day burst 5", key="header:x-api-key", match=["/a", "GET|HEAD /a/*", "WS /*"], missing="refuse", exempt="/"
        ),
    ]
    return [
        RateLimitMiddleware(app, "100/minute"),
        RateLimitMiddleware(app, "100/minute", name="named", trusted_proxies=["10.0.0.0/8", "127.0.0.1", "::1"]),
        RateLimitMiddleware(app, "100/minute", name="unix", trusted_proxies=["unix", "10.0.0.0/8"], forwarded_header="forwarded"),
        RateLimitMiddleware(app, name="policies", policies=policies, trusted_proxies=["unix"]),
    ]


def scope_from(choice: random.Random) -> dict:
    """One scope."""
    pick = choice.choice
    made = bytes(choice.randrange(256) for _ in range(choice.randrange(6)))
    value = pick((pick(ADDRESSES), made, pick(ADDRESSES) + b", " + pick(ADDRESSES), pick(ADDRESSES) + made))
    scope = {
        "type": pick(("http", "http", "http", "websocket")),
        "asgi": {"version": "3.0"},
        "path": pick((pick(TEXTS), pick(TEXTS) + pick(TEXTS), "".join(chr(choice.randrange(0x10FFFF)) for _ in range(4)))),
        "headers": [(pick(NAMES), value), (pick(NAMES), pick(ADDRESSES)), (pick(NAMES), made)][: choice.randrange(4)],
        "query_string": made,
    }
    if scope["type"] == "http":
        scope["method"] = pick(METHODS)
    elif choice.random() < 0.5:
        scope["extensions"] = {"websocket.http.response": {}}
    if choice.random() < 0.9:
        scope["client"] = pick(PEERS)
    if choice.random() < 0.3:
        scope["root_path"] = pick(TEXTS)
    return scope


class Answers:
    """What was sent, and what is wrong with it."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.wrong: list[str] = []

    async def send(self, message) -> None:
        if message["type"].endswith("response.start"):
            self.statuses[message["status"]] += 1
            for name, value in message["headers"]:
                if type(name) is not bytes or type(value) is not bytes or set(value) & {10, 13}:
                    self.wrong.append(f"header field {name!r}: {value!r}")
        elif message["type"].startswith("websocket"):
            self.statuses[0] += 1

    def emit(self, record: logging.LogRecord) -> None:
        """A 500 is right where nobody can be told apart, which is a ConfigurationError; no other is."""
        if record.levelno >= logging.ERROR and "ConfigurationError" not in record.getMessage():
            self.wrong.append(record.getMessage())


async def application(scope, receive, send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept", "headers": []})
    else:
        await send({"type": "http.response.start", "status": 200, "headers": []})


async def receive() -> dict:
    return {"type": "http.disconnect"}


def run(seed: int, scopes: int) -> dict:
    """So many scopes; statuses, and what went wrong."""
    return asyncio.run(answered(seed, scopes))


async def answered(seed: int, scopes: int) -> dict:
    choice, answers = random.Random(seed), Answers()
    handler = logging.Handler()
    handler.emit = answers.emit
    log = logging.getLogger("ratekit")
    log.handlers, log.propagate = [handler], False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        applications = middlewares(application)
        for _ in range(scopes):
            scope, limited = scope_from(choice), choice.choice(applications)
            try:
                await limited(scope, receive, answers.send)
            except Exception as error:
                answers.wrong.append(f"{error!r} for {str(scope)[:500]}")
    return {"scopes": scopes, "statuses": dict(answers.statuses), "wrong": answers.wrong[:20]}
