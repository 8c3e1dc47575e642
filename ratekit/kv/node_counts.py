"""
Counts: what this node has admitted itself, per window and key. Exact, bounded, pure.
"""

from collections.abc import Mapping
from typing import Final

from ratekit.kv.node_shard import Tally

OVERFLOW: Final = 1024
"""Buckets that keys share once a window is full. All nodes agree on them."""
RATE_SPAN: Final = 10_000_000
"""Microseconds: a rate is measured over the last 10 to 20 seconds."""


class Counts:
    """One window of this node. `spent` is the units by key."""

    __slots__ = ("_before", "_later", "_max_keys", "opened", "rated", "resets", "spent")

    def __init__(self, now: int, max_keys: int) -> None:
        self.spent: dict[str, int] = {}
        self.resets: dict[str, int] = {}
        self.opened = now
        self.rated = False
        self._max_keys = max_keys
        self._before: tuple[int, Mapping[str, int]] = (now, {})
        self._later = self._before

    def key(self, digest: str) -> str:
        """Where a key is counted: under its own name, or in a bucket that it shares when there is no more room."""
        if digest in self.spent or len(self.spent) < self._max_keys:
            return digest
        return f"~{int(digest[:8], 16) % OVERFLOW}"

    def charge(self, key: str, cost: int) -> None:
        """Count units."""
        self.spent[key] = self.spent.get(key, 0) + cost

    def give(self, key: str, cost: int) -> None:
        """Count units no more, as far as this node has counted them."""
        if key in self.spent:
            self.spent[key] = max(0, self.spent[key] - cost)

    def renew(self, key: str, resets: int) -> None:
        """The key was made as new, for the `resets`th time: what was counted before counts no more."""
        self.spent[key], self.resets[key] = 0, resets

    def tally(self, now: int, *, rates: bool) -> Tally:
        """All of it, as the others are told."""
        measured = self._rates(now) if rates else {}
        self.rated = bool(measured)
        return Tally(dict(self.spent), measured, dict(self.resets))

    def still(self, now: int) -> bool:
        """Whether rates were told and nothing has been counted for so long that they are nothing now."""
        return self.rated and now - self._later[0] >= RATE_SPAN and not self._rates(now)

    def _rates(self, now: int) -> dict[str, float]:
        if now - self._later[0] >= RATE_SPAN:
            self._before, self._later = self._later, (now, dict(self.spent))
        since, spent = self._before
        seconds = max(1.0, (now - since) / 1_000_000)
        counted = ((key, units - spent.get(key, 0)) for key, units in self.spent.items())
        return {key: round(units / seconds, 3) for key, units in counted if units > 0}
