"""
PlainBucketKV: the limiter of the textbooks on a key-value store, kept only to show what happens. Do not use it.

One key per window and identity; each hit reads the count, adds to it and writes it back. On a store that shows writes late, keeps
the last of two writes and accepts one a second and key, that cannot work: a count grows by one a second at most, whatever arrives,
so that a limit of more than a unit a second never trips.
"""

from collections.abc import Sequence
from functools import partial
from typing import Literal

from ratekit.algorithms import CHECK, FORCE, GIVE, SHADOW, SPEND
from ratekit.errors import ConfigurationError, StoreError
from ratekit.kv.namespace import KVError, Namespace
from ratekit.limit import Limit
from ratekit.stores.memory import Clock
from ratekit.stores.naming import Canonical, Plan, Space
from ratekit.stores.protocol import Ask, Compiled, Seens, hit


class PlainBucketKV:
    """
    Read, modify, write. `on_error`: "admit" lets a hit pass whose write was refused, as most such limiters do; "raise" lets the
    error reach the request, as the others do. `accepted` and `refused` count writes. Raises ConfigurationError for an algorithm
    other than fixed_window.

    >>> from ratekit import Limiter
    >>> from ratekit.kv.simulator import World
    >>> world = World()
    >>> store = PlainBucketKV(world.namespace("limits"), clock=world.clock)
    >>> limiter = Limiter("2/hour fixed_window", store=store)
    >>> sum(bool(limiter.hit("user:42")) for _ in range(100)), store.accepted, store.refused
    (100, 1, 99)
    """

    remote = False

    def __init__(self, namespace: Namespace, *, clock: Clock, on_error: Literal["admit", "raise"] = "admit") -> None:
        self._namespace, self._clock, self._on_error = namespace, clock, on_error
        self.accepted = self.refused = 0

    def compile(self, plan: Plan, budget: float | None = None) -> Compiled:
        """A function that hits every limit of `plan`, one after the other."""
        for rule, _ in plan:
            _check(rule.limit)
        return partial(hit, self, plan)

    def decide(self, asks: Sequence[Ask], budget: float | None = None) -> Seens:
        """One hit. Nothing keeps others from hitting between a read and its write."""
        now = self._clock()
        names = [self._key(ask, now) for ask in asks]
        used = [int(self._namespace.get(name, cache_ttl=30) or b"0") for name, _ in names]
        fits = [some + ask.cost <= ask.rule.limit.quota for ask, some in zip(asks, used, strict=True)]
        admitted = all(fit or ask.mode not in (SPEND, CHECK) for ask, fit in zip(asks, fits, strict=True))
        seen = []
        for ask, (name, end), some, fit in zip(asks, names, used, fits, strict=True):
            count = some
            if ask.mode == FORCE or (admitted and fit and ask.mode in (SPEND, SHADOW)):
                count = some + ask.cost
            elif ask.mode == GIVE and end == ask.mark[0] * 1000:
                count = max(0, some - ask.cost)
            if count != some:
                self._write(name, count, ask.rule.limit)
            seen.append((fit or ask.mode in (FORCE, GIVE), count, end - now if count else 0))
        return Seens(now, seen, overs=(None,) * len(asks))

    def forget(self, spaces: Sequence[Space], identity: Canonical) -> None:
        """Not offered: a delete would be seen late, and be undone by the next write of whoever has not seen it."""
        raise StoreError("a plain bucket on an eventually consistent store cannot be made as new")

    def close(self) -> None:
        """Nothing is held."""

    def _key(self, ask: Ask, now: int) -> tuple[str, int]:
        period = ask.rule.limit.period
        number = now // period
        return f"{ask.space.key(ask.identity)}:{number}", (number + 1) * period

    def _write(self, name: str, count: int, limit: Limit) -> None:
        try:
            self._namespace.put(name, str(count), expiration_ttl=max(60, -(-limit.period_ms // 1000)))
        except KVError:
            self.refused += 1
            if self._on_error == "raise":
                raise
        else:
            self.accepted += 1


def _check(limit: Limit) -> None:
    if limit.algorithm != "fixed_window":
        raise ConfigurationError(
            f"'{limit}': a bucket per window is a fixed_window; write '{limit.quota}/{limit.per:g}s fixed_window'"
        )
