"""
Real servers for tests: a redis-server of our own, on a free loopback port and a socket file, empty, and gone with the test run.

RATEKIT_TEST_SERVER=/path/to/server is started in its place: any Redis from 7.0 or Valkey.
"""

import contextlib
import os
import random
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

import redis

MISSING = """redis-server is not installed, and the tests do not go without it:
    Debian, Ubuntu:  sudo apt-get install redis-server
    Fedora:          sudo dnf install redis
    macOS:           brew install redis
Version 7 or newer has to be on the PATH, or named by RATEKIT_TEST_SERVER; a running service is not needed, the tests start their own."""

IN_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Where servers keep their files: a node of a cluster answers nobody while it waits for its disk to keep that a slot has moved."""


def program() -> str:
    """The path of the server that tests start."""
    named = os.environ.get("RATEKIT_TEST_SERVER") or "redis-server"
    binary = shutil.which(named)
    if binary is None:
        raise RuntimeError(f"{named}: no such program\n{MISSING}")
    return binary


class RedisServer:
    """A redis-server process, with `options` of its own; `start` it again after `stop` and it is empty, on the same port."""

    def __init__(self, *options: str) -> None:
        self.options = options
        self.directory = Path(tempfile.mkdtemp(prefix="ratekit-", dir=IN_MEMORY))
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.socket = self.directory / "redis.sock"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        words = ["--port", self.port, "--bind", "127.0.0.1", "--unixsocket", self.socket, "--save", "", "--appendonly", "no"]
        words += ["--dir", self.directory, "--logfile", self.directory / "log", *self.options]
        command = [program(), *map(str, words)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with self.client() as client:
            for _ in range(500):
                if self.process.poll() is not None:
                    break
                try:
                    client.ping()
                except redis.exceptions.ConnectionError:
                    time.sleep(0.01)
                else:
                    return self
        raise RuntimeError(f"redis-server did not start: {(self.directory / 'log').read_text()[-1000:]}")

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def client(self, **options) -> redis.Redis:
        """A plain client, for looking at what ratekit wrote; the caller closes it."""
        return redis.Redis(host="127.0.0.1", port=self.port, **options)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_) -> None:
        self.remove()


def free_port() -> int:
    """A free port below those that outgoing connections are given, so that a server which stops can have it again."""
    while True:
        port = random.randrange(10_000, 30_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port


def until(done, seconds: float = 30.0) -> None:
    """Wait for something to become true; generous, because nothing is judged by how long it takes."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def calls_of(client: redis.Redis, *commands: str) -> int:
    """How often the server ran these commands, as it counts them itself."""
    stats = client.info("commandstats")
    return sum(stats.get(f"cmdstat_{command}", {}).get("calls", 0) for command in commands)
