"""
The doctor at the server that runs the application: how many workers it starts, and whom it believes about clients' addresses.
Both are read from the command that starts it; what uvicorn does to an address is tried out with the uvicorn that is installed.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import PurePath
from typing import Any, Final

from ratekit.cli.doctor_finding import Finding
from ratekit.keys import Proxies
from ratekit.stores.off import said_off
from ratekit.workers import workers

KNOWN: Final = ("uvicorn", "fastapi", "gunicorn", "hypercorn", "granian", "daphne", "uwsgi", "waitress-serve")
OUTSIDER: Final = "198.51.100.7"
"""A client that is no proxy, from the addresses that are reserved for examples."""
CLAIMED: Final = "203.0.113.9"
"""Whom it claims to be."""


@dataclass(frozen=True, slots=True)
class Served:
    """How an application is served: `believed` are the peers whose X-Forwarded-For the server takes for the client, None nobody's."""

    server: str
    workers: int
    believed: str | None
    socket: bool
    """Whether it listens on a Unix socket."""


def served(command: Sequence[str], environment: Mapping[str, str]) -> Served:
    """
    What a server's command line, and the environment, say; the server is "" where there is no command.

    >>> served(["uvicorn", "app:app", "--workers", "4"], {})
    Served(server='uvicorn', workers=4, believed='127.0.0.1', socket=False)
    """
    names = [PurePath(word).name for word in command]
    server = next((name for name in names if name in KNOWN), "")
    words = [*command, *environment.get("GUNICORN_CMD_ARGS", "").split()] if server == "gunicorn" else [*command]
    text = " ".join(words)
    by_uvicorn = server in ("uvicorn", "fastapi", "") or ("uvicorn" in text and server == "gunicorn")
    number = environment.get("UVICORN_WORKERS", environment.get("WEB_CONCURRENCY", "1"))
    return Served(
        server,
        workers(["", *words], {"WEB_CONCURRENCY": number}),
        _believed(words, environment) if by_uvicorn else None,
        "--uds" in words or "unix:" in text,
    )


def _believed(words: Sequence[str], environment: Mapping[str, str]) -> str | None:
    if "--no-proxy-headers" in words or environment.get("UVICORN_PROXY_HEADERS", "1").lower() in ("0", "false", "no", "off"):
        return None
    for i, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option == "--forwarded-allow-ips":
            return value if equals else "".join(words[i + 1 : i + 2])
    return environment.get("UVICORN_FORWARDED_ALLOW_IPS") or environment.get("FORWARDED_ALLOW_IPS") or "127.0.0.1"


def switch(environment: Mapping[str, str]) -> Finding:
    """Whether RATEKIT_ENABLED switches all limiting off."""
    if said_off():
        return Finding("switch", "bad", f"RATEKIT_ENABLED={environment.get('RATEKIT_ENABLED')}: nothing is limited", "Unset it.")
    return Finding("switch", "good", "limiting is on here")


def memory_and_workers(url: str, told: Served) -> Finding:
    """Whether several workers count in memories of their own."""
    count = told.workers
    if not url.startswith("memory:"):
        return Finding("workers", "good", f"{count} worker{'s' * (count > 1)}, one state for all of them")
    if count > 1:
        says = f"{count} workers, and the state is in the memory of each: clients get up to {count} times their limits"
        return Finding("workers", "bad", says, "Give all of them one store: store='redis://...', or RATEKIT_STORE.")
    if not told.server:
        advice = "Say how the server is started: --server 'uvicorn app:app --workers 4'"
        return Finding("workers", "look", "the state is in memory, and how many workers there are is not known", advice)
    return Finding("workers", "good", "one worker, its state in its own memory; a restart makes every client as new")


def addresses(told: Served, proxies: Sequence[str]) -> list[Finding]:
    """What the server does to clients' addresses, and whether that agrees with `trusted_proxies`."""
    Proxies(proxies)  # what is no network is said here
    found = [_rewriting(told, proxies)]
    if told.socket and "unix" not in proxies:
        says = "the server listens on a Unix socket, where peers have no address: requests without one are answered 500"
        found.append(
            Finding(
                "addresses",
                "bad",
                says,
                "Name the proxy in front: trusted_proxies=['unix'], and the forwarded_header that it sets.",
            )
        )
    return found


def _rewriting(told: Served, proxies: Sequence[str]) -> Finding:
    name = told.server or "uvicorn"
    if told.believed is None:
        says = f"{name} leaves the peer's address as it is"
        named = f"; behind it ratekit believes {', '.join(proxies)}" if proxies else ""
        advice = "" if proxies else "If a proxy stands in front, all clients are that proxy: name it in trusted_proxies=[...]."
        return Finding("addresses", "good", says + named, advice)
    outside, inside = peer_told(told.believed, OUTSIDER), peer_told(told.believed, "127.0.0.1")
    if outside is None:
        return Finding(
            "addresses", "unknown", f"uvicorn is not installed here: what it does to addresses from {told.believed} is not tried"
        )
    if outside != OUTSIDER:
        says = f"{name} believes X-Forwarded-For from {told.believed}: {OUTSIDER} was taken for {CLAIMED}, as it claimed"
        advice = "Every client chooses who it is, and no limit holds. Start with --no-proxy-headers and name your proxies: trusted_proxies=[...]."
        return Finding("addresses", "bad", says, advice)
    if not told.server:
        advice = "Say how the server is started, to know what it does: --server 'uvicorn app:app'"
        return Finding("addresses", "unknown", f"a uvicorn started here would believe X-Forwarded-For from {told.believed}", advice)
    if inside == CLAIMED or told.believed != "127.0.0.1":
        says = f"{name} takes the client's address from X-Forwarded-For when the peer is {told.believed}, before ratekit sees it"
        return Finding("addresses", "look", says, _who_decides(proxies))
    return Finding("addresses", "good", f"{name} left every address as it is")


def _who_decides(proxies: Sequence[str]) -> str:
    both = "trusted_proxies is given, too, and then sees the rewritten address: two parties decide.\n" if proxies else ""
    return (
        f"Anybody who reaches the server from there chooses who he is. {both}"
        "Let one party decide: start with --no-proxy-headers and name the proxies in trusted_proxies=[...]."
    )


def peer_told(believed: str, peer: str) -> str | None:
    """Whom the installed uvicorn tells an application that `peer` is, when it claims to be CLAIMED; None without uvicorn."""
    try:
        middleware: Any = import_module("uvicorn.middleware.proxy_headers").ProxyHeadersMiddleware
    except ImportError:
        return None
    seen: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["client"][0])

    headers = [(b"x-forwarded-for", CLAIMED.encode())]
    scope = {"type": "http", "client": (peer, 1234), "headers": headers, "scheme": "http", "server": ("127.0.0.1", 80)}
    asyncio.run(middleware(application, trusted_hosts=believed)(scope, None, None))
    return seen[0]
