"""
A cluster of three masters against one Redis, on the same two cores: the same hits by 256 tasks of one process over 1,000 keys.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

from libraries import PLENTY, ratekit_limit
from loads import closed
from measure import Goal, Row, Side

sys.path.append(str(Path(__file__).parent.parent / "tests"))

SECONDS = 0.5
TASKS = 256
ONE = "one Redis"


def decided(decision: Any) -> bool:
    """Whether the store admitted it."""
    return bool(decision.allowed) and decision.source == "store"


class Hits:
    """Hits a second that a store admitted; a cluster of its own is gone when it is closed."""

    def __init__(self, limiter: Any, cluster: Any) -> None:
        self._limiter, self._cluster = limiter, cluster

    async def __call__(self, scale: float) -> float:
        return await closed(self._limiter.hit, decided, TASKS, SECONDS * scale)

    def close(self) -> None:
        """Let the servers go."""
        if self._cluster is not None:
            self._cluster.__exit__()


async def hits(algorithm: str, url: str | None) -> Hits:
    """By one Redis, or where there is no URL by a cluster."""
    from ratekit import AsyncLimiter

    cluster = None if url else await asyncio.to_thread(begun)
    limiter = AsyncLimiter(ratekit_limit(algorithm, PLENTY), store=url or cluster.url, name=f"cluster {algorithm}", budget=5.0)
    await limiter.hit("first")
    return Hits(limiter, cluster)


def begun() -> Any:
    """Three masters."""
    from topology.cluster import RedisCluster

    return RedisCluster(replicas=0).__enter__()


def rows(url: str) -> list[Row]:
    return [_row(algorithm, url) for algorithm in ("fixed_window", "sliding_window")]


def _row(algorithm: str, url: str) -> Row:
    sides = (Side("ratekit", "ours", hits, (algorithm, None)), Side(ONE, "reference", hits, (algorithm, url)))
    return Row(f"cluster, Redis async, {TASKS} tasks, 1,000 keys: {algorithm}", "hits/s", sides, (Goal(">=", 0.6),), ONE)
