"""
How many connections 1,000 concurrent calls open on a healthy Redis, from cold: the server says.
"""

import asyncio
from typing import Any

import redis
from libraries import ASYNC, PLENTY, ratekit_limit
from measure import Figures, Goal, Row, Side

CALLS = 1_000


async def cold(library: str, url: str) -> Any:
    """Connections that the server saw come, local decisions, and errors."""
    server = redis.Redis.from_url(url)
    server.ping()

    async def sample(scale: float) -> Figures:
        hit, close = await fresh(library, url)
        before, last = server.info("stats")["total_connections_received"], max(int(one["id"]) for one in server.client_list())
        answers = await asyncio.gather(*(hit(f"user:{i}") for i in range(CALLS)), return_exceptions=True)
        opened = server.info("stats")["total_connections_received"] - before
        await close()
        sweep(server, newer_than=last)
        errors = sum(isinstance(answer, BaseException) for answer in answers)
        local = sum(getattr(answer, "source", "store") != "store" for answer in answers)
        return {"figure": opened, "local decisions": local, "errors": errors}

    return sample


def sweep(server: redis.Redis, newer_than: int) -> None:
    """Close what a sample left open, at the server: the peers' pools are never closed, and there is room for so many clients only."""
    for one in server.client_list():
        if int(one["id"]) > newer_than:
            server.client_kill_filter(_id=one["id"])


async def fresh(library: str, url: str) -> Any:
    """`hit` of something that has not connected yet, and how to close it."""
    if library != "ratekit":

        async def nothing() -> None:
            pass

        return ASYNC[library]("fixed_window", PLENTY, url), nothing
    from ratekit import AsyncLimiter

    limiter = AsyncLimiter(ratekit_limit("fixed_window", PLENTY), store=url, name="cold")
    return limiter.hit, limiter.aclose


def rows(url: str) -> list[Row]:
    sides = [
        Side(name, "ours" if name == "ratekit" else "peer", cold, (name, url)) for name in ("ratekit", "limits", "throttled-py")
    ]
    goals = (Goal("<=", 4, "figure"), Goal("<=", 0, "local decisions"), Goal("<=", 0, "errors"))
    return [Row(f"connections opened by {CALLS:,} concurrent calls, cold", "connections", tuple(sides), goals, rounds=3)]
