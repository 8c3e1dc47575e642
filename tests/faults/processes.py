"""
Processes that fork after use, reload, and are told to go while the store hangs.
"""

import asyncio
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import servers
from figures import Figure, count, noted, seconds, timely
from service import HERE, Client, Load, Service
from subprocesses import LIMIT, script


async def forked(full: bool) -> list[Figure]:
    """All of them, after each other."""
    with servers.RedisServer() as server:
        told = await script("fork", server.url)
        away = await script("fork_away", str(servers.free_port()))
        figures = [
            count("fork: crossed replies", told["crossed"]),
            count("fork: children that failed", told["failed"]),
            count("fork while the store is away: processes that never join it", 2 - away["parent"] - away["child"]),
        ]
        figures += await preloaded(server.url, full)
        figures += await reloaded(server.url, full)
    return figures + await told_to_go(full)


@asynccontextmanager
async def command(*words: str, port: int, **environment: str) -> AsyncIterator[subprocess.Popen]:
    """A server started by a command, ready, and gone with its children after the block."""
    with tempfile.TemporaryFile() as output:
        process = await asyncio.to_thread(
            subprocess.Popen, words, cwd=HERE, env={**os.environ, **environment}, stdout=output, stderr=output, process_group=0
        )
        try:
            for _ in range(500):
                client = Client(port)
                if (await client.get("/ready")).status:
                    break
                await asyncio.sleep(0.02)
            else:
                output.seek(0)
                raise RuntimeError(output.read().decode()[-2000:])
            client.close()
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


async def preloaded(url: str, full: bool) -> list[Figure]:
    """
    Gunicorn --preload: the master has used the limiter; every request has a cost and an identity of its own.
    """
    if importlib.util.find_spec("gunicorn") is None:
        return [noted("gunicorn is not installed: not measured", 1)]
    port = servers.free_port()
    words = (
        "-m",
        "gunicorn",
        "--preload",
        "--workers",
        "2",
        "--threads",
        "8",
        "--bind",
        f"127.0.0.1:{port}",
        "preloaded:application",
    )
    async with command(sys.executable, *words, port=port, FAULTS_STORE=url):
        clients = [Client(port) for _ in range(16)]
        asked = [asked_of(client, number, 50 if full else 5) for number, client in enumerate(clients)]
        answers = [answer for found in await asyncio.gather(*asked) for answer in found]
    crossed = sum(int(answer.body) != LIMIT - cost for cost, answer in answers if answer.source == "store")
    return [
        count("gunicorn --preload: crossed replies", crossed),
        count("gunicorn --preload: 5xx", sum(answer.bad for _, answer in answers)),
        timely("gunicorn --preload: decided elsewhere", sum(answer.source != "store" for _, answer in answers)),
        timely("gunicorn --preload: workers that did not answer", 2 - len({answer.pid for _, answer in answers})),
    ]


async def asked_of(client: Client, number: int, times: int) -> list:
    """What one client was answered, with its costs; each time on a new connection, so that any worker may take it."""
    costs = [1 + number * times + i for i in range(times)]
    return [(cost, await client.get(f"/{cost}", "Connection: close\r\n")) for cost in costs]


async def reloaded(url: str, full: bool) -> list[Figure]:
    """Uvicorn --reload: a file changes under load, a new process takes over."""
    port, answers = servers.free_port(), []
    with tempfile.TemporaryDirectory() as watched:
        file = Path(watched) / "changed.py"
        file.write_text("")
        options = ("--factory", "--port", str(port), "--reload", "--reload-dir", watched, "--no-proxy-headers")
        async with command(sys.executable, "-m", "uvicorn", "app:Watched", *options, port=port, FAULTS_STORE=url):
            for _ in range(3 if full else 1):
                answers += await until_new(port, lambda: file.write_text(""))
    answered = [answer for answer in answers if answer.status]
    return [
        count("reload: 5xx", sum(answer.bad for answer in answered)),
        noted("reload: connections that uvicorn took and closed", len(answers) - len(answered)),
        timely("reload: decided elsewhere", sum(answer.source != "store" for answer in answered)),
        timely("reload: not taken over", (4 if full else 2) - len({answer.pid for answer in answered})),
    ]


async def until_new(port: int, change: Callable[[], object]) -> list:
    """Change the file every second and ask, until another process has answered for a while; 10 s at most."""
    answers, began, changes = [], time.monotonic(), 0
    while time.monotonic() < began + 10 and len({answer.pid for answer in answers[:-20] if answer.pid}) < 2:
        if time.monotonic() > began + changes and len({answer.pid for answer in answers if answer.pid}) < 2:
            change()
            changes += 1
        client = Client(port)
        answers.append(await client.get("/", "Connection: close\r\n"))
        client.close()
        await asyncio.sleep(0.02)
    return answers


async def told_to_go(full: bool) -> list[Figure]:
    """SIGTERM while the store hangs: with requests in flight, and a second later while it is being left alone."""
    took = []
    for hanging in (0.02, 1.0) if full else (0.02,):
        with servers.RedisServer() as server:
            async with Service(server.url) as service, Load(service.port, 50 if full else 5, 0.02, most=12):
                await asyncio.sleep(0.5)
                os.kill(server.process.pid, signal.SIGSTOP)
                await asyncio.sleep(hanging)
                service.process.terminate()
                took.append(await exit_of(service.process))
    return [
        count("SIGTERM while hung: did not exit", sum(each > 5 for each in took)),
        seconds("SIGTERM while hung: exits after", max(took), 1),
    ]


async def exit_of(process: subprocess.Popen) -> float:
    """Seconds until it is gone, 10 at most."""
    began = time.monotonic()
    while process.poll() is None and time.monotonic() - began < 10:
        await asyncio.sleep(0.005)
    return time.monotonic() - began
