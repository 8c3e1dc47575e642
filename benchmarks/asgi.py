"""
What limiting adds to a request, in this process: no server, no sockets but Redis'.

A sample calls the bare application and the limited one by turns, twenty times each, and takes the median of the differences per
request: what else the machine does falls into a few of the turns. Requests come from 1,000 client addresses; in memory one at a
time, over Redis from 64 tasks.
"""

import asyncio
import statistics
import time
from itertools import cycle
from typing import Any

import apps
from measure import Figures, Goal, Row, Side

REQUESTS = 6_000
TURNS = 20

MEMORY = ("limits by hand", "asgi-ratelimit", "slowapi", "fastapi-limiter", "throttled-py")
REDIS = (*MEMORY, "fastapi-redis-sdk")

SCOPES = cycle(
    [
        {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/",
            "raw_path": b"/",
            "root_path": "",
            "query_string": b"",
            "headers": [(b"host", b"127.0.0.1:8000"), (b"accept", b"*/*"), (b"user-agent", b"benchmark")],
            "client": (f"10.0.{i // 250}.{i % 250}", 50_000),
            "server": ("127.0.0.1", 8000),
        }
        for i in range(1000)
    ]
)


async def receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def ignore(message: Any) -> None:
    pass


async def started(app: Any) -> None:
    """Run an application's start-up, as a server does; it is never told to stop."""
    ready = asyncio.get_running_loop().create_future()
    asked = False

    async def lifespan_receive() -> dict[str, Any]:
        nonlocal asked
        if asked:
            await asyncio.sleep(3600)
        asked = True
        return {"type": "lifespan.startup"}

    async def lifespan_send(message: Any) -> None:
        if not ready.done():
            ready.set_result(message["type"])

    scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    started.tasks.add(asyncio.ensure_future(app(scope, lifespan_receive, lifespan_send)))
    if await ready != "lifespan.startup.complete":
        raise RuntimeError("the application did not start")


started.tasks = set()


async def seconds(app: Any, requests: int, tasks: int) -> float:
    """How long so many requests take."""
    left = iter(range(requests))

    async def client() -> None:
        for _ in left:
            await app({**next(SCOPES)}, receive, ignore)

    start = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(tasks)))
    return time.perf_counter() - start


async def status(app: Any) -> int:
    """The status that a request is answered."""
    found = []

    async def send(message: Any) -> None:
        found.append(message.get("status"))

    await app({**next(SCOPES)}, receive, send)
    return int(found[0])


async def added(library: str, store: str, tasks: int) -> Any:
    """Microseconds that a library adds to a request."""
    limited, bare = apps.LIMITED[library](store, apps.ENDLESS), apps.bare(library)
    for app in (limited, bare):
        await started(app)
        if await status(app) != 200:
            raise RuntimeError(f"{library} answered {await status(app)}")

    async def sample(scale: float) -> Figures:
        requests, extra = max(int(REQUESTS * scale / TURNS), tasks), []
        before = apps.by_the_store(library, store)
        for _ in range(TURNS):
            without = await seconds(bare, requests, tasks)
            extra.append(await seconds(limited, requests, tasks) - without)
        aside = apps.beside_the_store(before, apps.by_the_store(library, store), requests * TURNS)
        return {"figure": statistics.median(extra) / requests * 1e6, "not by the store %": aside}

    return sample


def rows(url: str) -> list[Row]:
    return [
        _row("ASGI, added per request in process: memory", MEMORY, "memory://", 1, 0.8),
        _row("ASGI, added per request in process: Redis, 64 tasks", REDIS, url, 64, 0.25),
        _dependency_row("FastAPI dependency, added per request in process: Redis, 64 tasks", url, 64, 0.25),
    ]


def _dependency_row(name: str, store: str, tasks: int, most: float) -> Row:
    sides = [Side("ratekit, dependency", "ours", added, ("ratekit, dependency", store, tasks))]
    sides += [Side(peer, "peer", added, (peer, store, tasks)) for peer in ("fastapi-limiter", "slowapi, FastAPI")]
    sides.append(Side("fastapi-redis-sdk", "reference", added, ("fastapi-redis-sdk", store, tasks)))
    return Row(name, "us", tuple(sides), (Goal("<=", most),), "best")


def _row(name: str, peers: tuple[str, ...], store: str, tasks: int, most: float) -> Row:
    sides = [Side("ratekit", "ours", added, ("ratekit", store, tasks))]
    sides += [Side(peer, "peer", added, (peer, store, tasks)) for peer in peers]
    sides.append(Side("ratekit, sliding_window", "reference", added, ("ratekit, sliding_window", store, tasks)))
    return Row(name, "us", tuple(sides), (Goal("<=", most),), "best", headline=True)
