"""
Real servers under wrk: uvicorn (uvloop, httptools, one process, no access log) on one core, wrk and Redis on the other.
"""

import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import apps
from apps import ENDLESS
from machine import free_port
from measure import Figures, Goal, Row, Side, pin

SECONDS = 1
TURNS = 11
"""Short and many: this machine's speed moves within seconds, and two sides that follow each other meet the same of it."""
CONNECTIONS = 32
SERVER, CLIENT = 0, 1
"""Cores: of uvicorn; of wrk and redis-server."""

MEMORY = ("limits by hand", "asgi-ratelimit", "slowapi")
REDIS = (*MEMORY, "fastapi-redis-sdk")


class Served:
    """One uvicorn; a call is a sample of requests a second, and of the shares that were refused, or decided without the store."""

    def __init__(self, library: str, store: str, quota: int) -> None:
        self.url = f"http://127.0.0.1:{(port := free_port())}/"
        words = f"-m uvicorn --factory apps:served --app-dir {Path(__file__).parent} --port {port} --loop uvloop --http httptools"
        environment = {**os.environ, "BENCH_LIBRARY": library, "BENCH_STORE": store, "BENCH_QUOTA": str(quota)}
        self._counted = ("" if quota < ENDLESS else library, store)
        command = [sys.executable, *words.split(), "--no-access-log", "--log-level", "error"]
        self._process = subprocess.Popen(command, env=environment)
        pin(self._process.pid, SERVER)
        self._wait()

    def __call__(self, scale: float) -> Figures:
        before = apps.by_the_store(*self._counted)
        length = max(round(SECONDS * scale), 1)
        wrk = subprocess.Popen(
            ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{length}s", self.url],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        pin(wrk.pid, CLIENT)
        said = wrk.communicate()[0]
        rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
        if rate is None or "Socket errors" in said:
            raise RuntimeError(f"wrk says {said}")
        total = re.search(r"(\d+) requests in", said)
        refused = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
        return {
            "figure": float(rate[1]),
            "refused %": 100 * int(refused[1] if refused else 0) / int(total[1]),
            "not by the store %": apps.beside_the_store(before, apps.by_the_store(*self._counted), int(total[1])),
        }

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def _wait(self) -> None:
        for _ in range(600):
            if self._process.poll() is not None:
                break
            try:
                urllib.request.urlopen(self.url, timeout=5).close()
            except urllib.error.HTTPError:
                return  # refused, but there
            except OSError:
                time.sleep(0.05)
            else:
                return
        self.close()
        raise RuntimeError("uvicorn did not start")


def rows(url: str) -> list[Row]:
    return [
        _row("uvicorn under wrk: memory", "memory://", 0.85, ENDLESS, MEMORY),
        _row("uvicorn under wrk: Redis", url, 0.70, ENDLESS, REDIS),
        _row("uvicorn under wrk: all refused, memory", "memory://", 1.5, 1, ("limits by hand", "slowapi")),
        _row("uvicorn under wrk: all refused, Redis", url, 1.5, 1, ("limits by hand", "slowapi")),
    ]


def _row(name: str, store: str, least: float, quota: int, peers: tuple[str, ...]) -> Row:
    sides = [Side("ratekit", "ours", Served, ("ratekit", store, quota))]
    sides.append(Side("bare", "reference", Served, ("bare", store, quota)))
    sides += [Side(peer, "peer", Served, (peer, store, quota)) for peer in peers]
    skip = "" if shutil.which("wrk") else "wrk is not installed"
    return Row(
        name, "req/s", tuple(sides), (Goal(">=", least),), "bare", headline=True, rounds=TURNS, server_core=CLIENT, skip=skip
    )
