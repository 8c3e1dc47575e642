"""
Upstash in time: a primary, one replica near the reader, and the token that lets a reader wait for its own writes.

Only what the published comparison measured is modelled; as a store it has its own server for tests. A write is acknowledged by the
primary and reaches the replica a lag later. A read that carries the writer's token waits for that; one without may be stale.
"""

import random
from typing import Final

from ratekit.kv.simulator.latency import UpstashLatencies

WARM: Final = 60_000_000
"""Microseconds after its last use for which a key reads as a hot one. Not published; assumed."""


class UpstashModel:
    """
    One database. Instants and latencies are microseconds; the caller owns the clock.

    >>> model = UpstashModel(seed=1)
    >>> acknowledged = model.write("k", b"v", now=0)
    >>> early, _ = model.read("k", now=acknowledged)
    >>> own, _ = model.read("k", now=acknowledged, token=model.token)
    >>> early, own
    (None, b'v')
    """

    def __init__(self, seed: int = 0, laws: UpstashLatencies | None = None) -> None:
        self._laws = laws or UpstashLatencies()
        self._rng = random.Random(f"{seed} upstash")  # noqa: S311 - no secret
        self._writes: dict[str, list[tuple[int, bytes]]] = {}
        self._used: dict[str, int] = {}
        self._arrives = 0
        self.token = 0
        """Of the last write: how many there have been."""

    def write(self, key: str, value: bytes, now: int) -> int:
        """Write on the primary; the latency."""
        takes = self._laws.write.draw(self._rng)
        # A replica applies the log in order: no write overtakes the one before.
        self._arrives = max(self._arrives, now + takes + self._laws.lag.draw(self._rng))
        self._writes[key] = [*self._writes.get(key, [])[-1:], (self._arrives, value)]
        self._used[key] = now + takes
        self.token += 1
        return takes

    def read(self, key: str, now: int, token: int = 0) -> tuple[bytes | None, int]:
        """Read from the replica: the value, and the latency with the wait for what the token has seen."""
        warm = now - self._used.get(key, -WARM) < WARM
        law = self._laws.hot if warm else self._laws.cold
        waits = max(0, self._arrives - now) if token else 0
        takes = waits + law.draw(self._rng)
        self._used[key] = now + takes
        landed = [value for arrives, value in self._writes.get(key, []) if arrives <= now + waits]
        return (landed[-1] if landed else None), takes
