"""
What the benchmarks run on: a redis-server of their own, and the versions of everything.
"""

import os
import platform
import shutil
import socket
import subprocess
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version

import redis
from measure import pin

PACKAGES = (
    "ratekit",
    "limits",
    "throttled-py",
    "pyrate-limiter",
    "fastapi-limiter",
    "fastapi-redis-sdk",
    "slowapi",
    "asgi-ratelimit",
    "django-ratelimit",
    "djangorestframework",
    "Django",
    "redis",
    "hiredis",
    "uvloop",
    "uvicorn",
    "httptools",
    "starlette",
    "fastapi",
)


class RedisServer:
    """A redis-server on a free loopback port, empty, gone at the end; where a row asks for it, on one core."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client = redis.Redis(port=self.port)

    def __enter__(self) -> "RedisServer":
        if shutil.which("redis-server") is None:
            raise SystemExit("redis-server (7.0 or newer) is missing: `make redis` gets it where it can")
        self._directory = tempfile.TemporaryDirectory(prefix="ratekit-bench-")
        words = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--maxclients", "4000"]
        self._process = subprocess.Popen(
            ["redis-server", *words, "--dir", self._directory.name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(500):
            try:
                self.client.ping()
            except redis.exceptions.ConnectionError:
                time.sleep(0.01)
            else:
                return self
        raise SystemExit("redis-server does not answer")

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self._process.kill()
        self._process.wait()
        self._directory.cleanup()

    def prepare(self, core: int | None) -> None:
        """Empty, and on that core, or on any."""
        self.client.flushall()
        if core is not None:
            pin(self._process.pid, core)
        elif hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(self._process.pid, os.sched_getaffinity(0))

    def version(self) -> str:
        return str(self.client.info("server")["redis_version"])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def versions() -> dict[str, str]:
    """The versions that were measured, of the packages that are installed."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def machine() -> str:
    """The machine in a few words, without its name."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} CPUs, {platform.system()}, {platform.python_implementation()} {platform.python_version()}"
