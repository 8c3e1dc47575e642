"""
A real server for the demonstration: uvicorn as a subprocess on a free loopback port, which ends when the demonstration does.
"""

import os
import re
import secrets
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Final

from ratekit.errors import RateKitError

PATIENCE: Final = 15.0
"""Seconds that the server may take to start."""
GRACE: Final = 5.0
"""Seconds that it may take to end."""
COMMAND: Final = ("uvicorn", "ratekit.cli.demo_app:app", "--no-proxy-headers")
_RUNNING: Final = re.compile(r"running on (http://127\.0\.0\.1:\d+)")


class ServerFailed(RateKitError):
    """The server did not start; the message ends in what it said last."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers at `url`; `said` is the end of its log."""

    url: str
    said: deque[str]


@contextmanager
def serving(store: str) -> Iterator[Server]:
    """
    The example application under uvicorn. Port 0 lets the system choose a free port, which the server then names in its log.

    Raises ServerFailed when it does not start.
    """
    environment = {
        **os.environ,
        "RATEKIT_STORE": store,
        "RATEKIT_DEMO_NAME": f"demo-{secrets.token_hex(4)}",
        "PYTHONUNBUFFERED": "1",
    }
    environment.pop("WEB_CONCURRENCY", None)
    command = [sys.executable, "-m", *COMMAND, "--host", "127.0.0.1", "--port", "0", "--no-access-log", "--no-use-colors"]
    said: deque[str] = deque(maxlen=20)
    found, url = threading.Event(), list[str]()
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)  # noqa: S603
    reader = threading.Thread(target=_read, args=(process.stderr, said, found, url), daemon=True)
    try:
        reader.start()
        found.wait(PATIENCE)
        if not url:
            raise ServerFailed("\n  ".join(["the server did not start; it said:", *said]))
        yield Server(url[0], said)
    finally:
        _end(process)
        reader.join(GRACE)


def _read(log: IO[str] | None, said: deque[str], found: threading.Event, url: list[str]) -> None:
    """Keep the end of the server's log, and find the address in it."""
    with log or open(os.devnull) as lines:  # noqa: PTH123
        for line in lines:
            said.append(line.rstrip())
            if match := _RUNNING.search(line):
                url.append(match[1])
                found.set()
    found.set()


def _end(process: "subprocess.Popen[str]") -> None:
    process.terminate()
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
