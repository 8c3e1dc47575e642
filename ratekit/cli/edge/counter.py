"""
The naive counter: one key, read, add one, write back. Kept to be watched: it says of each write what became of it.
"""

from typing import Final, Protocol

from ratekit.kv.namespace import KVError

KEY: Final = "hits:hot"
LIVES: Final = 60
"""Seconds that a count lives after it was last written: the least that KV takes."""


class Pairs(Protocol):
    """As much of a namespace as a counter needs."""

    def get(self, key: str) -> bytes | None:
        """The value."""
        ...

    def put(self, key: str, value: str, *, expiration_ttl: int | None = None) -> None:
        """Write it."""
        ...


class NaiveCounter:
    """
    Admits while the count that it reads is below `quota`. A refused write does not stop a request, as most such counters have it:
    the others turn each of these refusals into an error page.

    `accepted` and `refused` are writes, `seen` what the last read showed.
    """

    def __init__(self, pairs: Pairs, quota: int) -> None:
        self._pairs, self._quota = pairs, quota
        self.accepted = self.refused = self.seen = 0

    def hit(self) -> bool:
        """Count one, if there is room."""
        self.seen = int(self._pairs.get(KEY) or b"0")
        if self.seen >= self._quota:
            return False
        try:
            self._pairs.put(KEY, str(self.seen + 1), expiration_ttl=LIVES)
        except KVError:
            self.refused += 1
        else:
            self.accepted += 1
        return True
