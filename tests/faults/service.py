"""
A service under test: the application of app.py in a process of its own, and raw clients that keep their connections.
"""

import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import servers

HERE = Path(__file__).parent
PATIENCE = 20.0
"""Seconds that a client waits for an answer before it counts as none."""


@dataclass(frozen=True, slots=True)
class Answer:
    """
    One answer: when it was asked for, seconds the client waited, seconds it took in the application, the status (0: none came), who
    decided, which process answered, and the body.
    """

    at: float
    waited: float
    took: float = 0.0
    status: int = 0
    source: str = ""
    pid: str = ""
    body: bytes = b""

    @property
    def bad(self) -> bool:
        return self.status == 0 or self.status >= 500


class Client:
    """One client that keeps its connection; `name` is the address that the proxy in front would have written."""

    def __init__(self, port: int, name: str = "10.0.0.1") -> None:
        self.port, self.name = port, name
        self._writer: asyncio.StreamWriter | None = None

    async def get(self, path: str = "/", fields: str | None = None) -> Answer:
        at = time.perf_counter()
        try:
            async with asyncio.timeout(PATIENCE):
                head, body = await self._exchange(path, f"X-Forwarded-For: {self.name}\r\n" if fields is None else fields)
        except (OSError, EOFError, TimeoutError):
            self.close()
            return Answer(at, time.perf_counter() - at)
        waited = time.perf_counter() - at
        line, *rest = head.decode("latin-1").split("\r\n")
        found = {name.lower(): value for name, _, value in (field.partition(": ") for field in rest)}
        if found.get("connection") == "close":
            self.close()
        took, source, pid = float(found.get("x-took", 0)), found.get("x-source", ""), found.get("x-pid", "")
        return Answer(at, waited, took, int(line.split()[1]), source, pid, body)

    async def send_only(self, path: str = "/") -> None:
        """Ask, and leave without the answer."""
        with suppress(OSError):
            await self._open()
            self._writer.write(f"GET {path} HTTP/1.1\r\nHost: test\r\nX-Forwarded-For: {self.name}\r\n\r\n".encode())
        self.close()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    async def _open(self) -> None:
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self.port)

    async def _exchange(self, path: str, fields: str) -> tuple[bytes, bytes]:
        await self._open()
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: test\r\n{fields}\r\n".encode("latin-1"))
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        return head, await self._reader.readexactly(int(length or 0))


class Service:
    """app.py under uvicorn, from a block's beginning to its end; whatever happens, the process is gone after it."""

    def __init__(self, store: str, **options: str) -> None:
        self.port = servers.free_port()
        settings = {f"FAULTS_{name.upper()}": value for name, value in options.items()}
        self._environment = {**os.environ, "FAULTS_STORE": store, **settings}
        self._command = [sys.executable, str(HERE / "app.py"), str(self.port)]

    async def __aenter__(self) -> Self:
        self._start()
        for _ in range(500):
            client = Client(self.port)
            if self.process.poll() is not None or (await client.get("/health")).status == 200:
                client.close()
                break
            await asyncio.sleep(0.02)
        if self.process.poll() is not None:
            raise RuntimeError(f"the application did not start: {self.stderr()[-2000:]}")
        return self

    async def __aexit__(self, *_) -> None:
        self.process.kill()
        self.process.wait()
        self._stderr.close()

    def _start(self) -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  closed in __aexit__
        self.process = subprocess.Popen(self._command, env=self._environment, stdout=subprocess.DEVNULL, stderr=self._stderr)

    def stderr(self) -> str:
        """What the process wrote to its standard error."""
        self._stderr.seek(0)
        return self._stderr.read().decode(errors="replace")

    async def health(self) -> dict:
        """What the application says of itself, after it has collected its garbage."""
        client = Client(self.port)
        answer = await client.get("/health?collect")
        client.close()
        return json.loads(answer.body)

    async def unhandled(self) -> int:
        """How many exceptions nobody caught."""
        found = (await self.health())["unhandled"]
        for text in found[:3]:
            sys.stderr.write(f"    unhandled: {text[:300]}\n")
        return len(found) + self.stderr().count("Traceback")


class Pauses:
    """How long this process itself was kept from running while the block runs: what it measures is no better than that."""

    async def __aenter__(self) -> Self:
        self.longest = 0.0
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_) -> None:
        self._task.cancel()

    async def _watch(self) -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.005)
            self.longest = max(self.longest, time.perf_counter() - began - 0.005)


class Load:
    """
    Clients that ask again and again while the block runs, on average `pace` seconds after each answer; for `most` seconds and no
    longer. Each waits between half of that and one and a half, by dice: those who were answered together do not come back together.
    """

    def __init__(self, port: int, clients: int, pace: float = 0.05, path: str = "/", most: float = 150.0) -> None:
        self.answers: list[Answer] = []
        self._clients = [Client(port, f"10.{i >> 8}.{i & 255}.1") for i in range(clients)]
        self._pace, self._path, self._most = pace, path, most
        self._stop = False

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._ask(client, i)) for i, client in enumerate(self._clients)]
        return self

    async def __aexit__(self, *_) -> None:
        self._stop = True
        await asyncio.gather(*self._tasks)

    async def _ask(self, client: Client, number: int) -> None:
        end, dice = time.perf_counter() + self._most, random.Random(number)
        await asyncio.sleep(self._pace * number / len(self._clients))
        while not self._stop and time.perf_counter() < end:
            self.answers.append(await client.get(self._path))
            await asyncio.sleep(self._pace * dice.uniform(0.5, 1.5))
        client.close()

    def since(self, begin: float, end: float = float("inf")) -> list[Answer]:
        """What was asked in between."""
        return [answer for answer in self.answers if begin <= answer.at < end]

    @property
    def bad(self) -> int:
        """Answers 5xx, and requests without an answer."""
        return sum(answer.bad for answer in self.answers)


def back_after(answers: list[Answer], since: float) -> float:
    """Seconds until the store first decided again, counted until the answer; infinite when it never did."""
    return min(
        (answer.at + answer.waited - since for answer in answers if answer.at >= since and answer.source == "store"),
        default=float("inf"),
    )


def longest(answers: list[Answer], kind: str = "waited") -> float:
    """The longest of these waits, in seconds."""
    return max((getattr(answer, kind) for answer in answers), default=0.0)
