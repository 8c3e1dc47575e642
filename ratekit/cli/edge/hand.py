"""
The Redis at hand: the one that is named, else a redis-server of our own on a free loopback port, empty and gone afterwards.
"""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final
from urllib.parse import urlsplit

from ratekit.cli.common import printable

PATIENCE: Final = 5.0
"""Seconds that a server may take to start, or to answer."""
SERVERS: Final = ("redis-server", "valkey-server")
SCHEMES: Final = ("redis", "rediss", "unix")


@dataclass(frozen=True, slots=True)
class Hand:
    """A Redis at `url`, or None; `word` says which one it is, or why there is none."""

    url: str | None
    word: str


@contextmanager
def at_hand(url: str | None) -> Iterator[Hand]:
    """The Redis at hand, for as long as it is needed. Never raises: without one there is a word."""
    if find_spec("redis") is None:
        yield Hand(None, "its client is not installed: pip install 'ratekit[redis]'")
    elif url and urlsplit(url).scheme not in SCHEMES:
        yield Hand(None, f"{printable(urlsplit(url).scheme)}:// is none; write --store redis://localhost:6379/0")
    elif url:
        version = _answers(url, 0.0)
        yield Hand(url, f"{version}, the one that was named") if version else Hand(None, "the one that was named does not answer")
    else:
        with _started() as hand:
            yield hand


@contextmanager
def _started() -> Iterator[Hand]:
    """A server of our own, which keeps nothing."""
    binary = next((found for name in SERVERS if (found := shutil.which(name))), None)
    if binary is None:
        yield Hand(None, f"no {SERVERS[0]} on the PATH; name one with --store")
        return
    with tempfile.TemporaryDirectory(prefix="ratekit-") as directory:
        port = _free_port()
        words = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", directory)
        process = subprocess.Popen(  # noqa: S603
            [binary, *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            url = f"redis://127.0.0.1:{port}/0"
            version = _answers(url, PATIENCE)
            yield Hand(url, f"{version}, started for this") if version else Hand(None, f"{binary} did not start")
        finally:
            process.terminate()
            process.wait()


def _answers(url: str, patience: float) -> str | None:
    """The version of the server at `url`, or None when it has not answered within `patience` seconds and one try."""
    end = time.monotonic() + patience
    while True:
        try:
            with connected(url) as client:
                return f"version {client.info('server')['redis_version']}"
        except Exception:
            if time.monotonic() >= end:
                return None
            time.sleep(0.02)


def connected(url: str) -> Any:
    """A plain client."""
    import redis

    return redis.Redis.from_url(url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
