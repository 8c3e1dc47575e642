"""
What a lease saves: the same hits by 256 tasks of one process, with a lease and without; on the 1,000 keys of the other rows, and on 10
busy ones. A share lasts a second at most, and a key's shares begin small: a turn holds the beginning and what follows it.
"""

from collections.abc import Awaitable, Callable
from itertools import cycle
from typing import Any

from libraries import PLENTY, ratekit_limit
from loads import KEYS, closed
from measure import Goal, Row, Side

SECONDS = 1.2
TASKS = 256
LEASE = 0.05
CROWDS = (("fixed_window", len(KEYS)), ("sliding_window", len(KEYS)), ("fixed_window", 10))


async def hits(lease: float | None, algorithm: str, keys: int, url: str) -> Callable[[float], Any]:
    """Hits a second that the store admitted, now or when it lent them."""
    from ratekit import AsyncLimiter

    limiter = AsyncLimiter(ratekit_limit(algorithm, PLENTY), store=url, name=f"{algorithm} {keys}", budget=5.0, lease=lease)
    await limiter.hit("first")
    busy = cycle(KEYS[:keys])

    def hit(key: str) -> Awaitable[Any]:
        return limiter.hit(key if keys == len(KEYS) else next(busy))

    def admitted(decision: Any) -> bool:
        return decision.allowed and decision.source in ("store", "lease")

    return lambda scale: closed(hit, admitted, TASKS, SECONDS * scale)


def rows(url: str) -> list[Row]:
    return [_row(algorithm, keys, url) for algorithm, keys in CROWDS]


def _row(algorithm: str, keys: int, url: str) -> Row:
    name, without = f"leases, Redis async, {TASKS} tasks, {keys:,} keys: {algorithm}", "without"
    sides = (
        Side("ratekit", "ours", hits, (LEASE, algorithm, keys, url)),
        Side(without, "reference", hits, (None, algorithm, keys, url)),
    )
    return Row(name, "hits/s", sides, (Goal("x", 1.5),), without)
