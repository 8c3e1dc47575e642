"""
The central stores of one namespace: where every write ends and every read that no cache answers begins.

A write goes to all stores at once and is acknowledged by the first that has it; a read asks all and takes the newest that any of
them has, so the second store matters only while the first is away. A store that was away gets what it missed when it returns. Of
two writes of one key the later accepted wins, whichever lands last.

Listing reads the names in the order of their UTF-8 bytes, which is the order of Python's text. A name that is no more stays as a
tombstone for a while: a page counts it and does not show it, so a page can be empty and yet not the last.
"""

import random
from base64 import urlsafe_b64decode, urlsafe_b64encode
from bisect import bisect_left, insort
from typing import Final

from ratekit.kv.limits import refusal
from ratekit.kv.simulator.latency import LogNormal
from ratekit.kv.simulator.tiers import SWEEP, Version

TOMBSTONE: Final = 3_600_000_000
"""Microseconds that a name is kept after its end. Not published; assumed."""
FOREVER: Final = 1 << 62


class Store:
    """One central store: what has landed, and what is on its way."""

    __slots__ = ("away", "coming", "landed")

    def __init__(self, away: list[tuple[int, int]]) -> None:
        self.landed: dict[str, Version] = {}
        self.coming: dict[str, list[tuple[int, Version]]] = {}
        self.away = away
        """From when until when it does not answer; shared by all namespaces."""

    def returns(self, now: int) -> int:
        """The instant from which it answers: `now`, or the end of an outage."""
        for start, end in self.away:
            if start <= now < end:
                return end
        return now

    def read(self, key: str, now: int) -> Version | None:
        """The newest version that has landed."""
        coming = self.coming.get(key)
        if coming is not None:
            self._land(key, coming, now)
        return self.landed.get(key)

    def _land(self, key: str, coming: list[tuple[int, Version]], now: int) -> None:
        for lands, version in coming:
            held = self.landed.get(key)
            if lands <= now and (held is None or version.stamp > held.stamp):
                self.landed[key] = version
        rest = [(lands, version) for lands, version in coming if lands > now]
        if rest:
            self.coming[key] = rest
        else:
            del self.coming[key]


class Central:
    """All stores of a namespace, its names, and when each key was last written."""

    __slots__ = ("_law", "_rng", "accepted", "names", "stores", "sweep_at")

    def __init__(self, stores: list[Store], law: LogNormal, rng: random.Random) -> None:
        self.stores, self._law, self._rng = stores, law, rng
        self.names: list[str] = []
        self.accepted: dict[str, int] = {}
        self.sweep_at = SWEEP

    def put(self, key: str, version: Version, now: int) -> int:
        """Send a version to every store. Microseconds until the first of them has it, at least FOREVER when none answers."""
        first = FOREVER
        for store in self.stores:
            takes = self._law.draw(self._rng)
            returns = store.returns(now)
            if returns == now:
                first = min(first, takes)
            store.coming.setdefault(key, []).append((returns + takes, version))
        if key not in self.accepted:
            if len(self.accepted) >= self.sweep_at:
                self._sweep(now)
            insort(self.names, key)
        self.accepted[key] = now
        return first

    def answers(self, now: int) -> bool:
        """Whether any store does."""
        return any(store.returns(now) == now for store in self.stores)

    def read(self, key: str, now: int) -> Version | None:
        """The newest version that any store has; None when it never had one, or no store answers."""
        best: Version | None = None
        for store in self.stores:
            if not store.away or store.returns(now) == now:
                version = store.read(key, now)
                if version is not None and (best is None or version.stamp > best.stamp):
                    best = version
        return best

    def page(self, prefix: str, cursor: str, limit: int, now: int) -> tuple[list[tuple[str, Version]], str]:
        """Up to `limit` names, dead ones counted and left out, and the cursor of the next page ("" after the last)."""
        after = _named(cursor, prefix)
        at = bisect_left(self.names, prefix if after is None else after + "\0")
        scanned = [name for name in self.names[at : at + limit] if name.startswith(prefix)]
        found = [(name, self.read(name, now)) for name in scanned]
        live = [(name, version) for name, version in found if version is not None and is_live(version, now)]
        more = len(scanned) == limit and at + limit < len(self.names) and self.names[at + limit].startswith(prefix)
        return live, _cursor(scanned[-1]) if more else ""

    def _sweep(self, now: int) -> None:
        """Let go of names that ended long ago: a life of keys named by the minute would fill the memory."""
        for name in self.names:
            version, since = self.read(name, now), self.accepted[name]
            ended = FOREVER if version is None else since if version.value is None else version.expires or FOREVER
            if ended + TOMBSTONE <= now and not any(name in store.coming for store in self.stores):
                del self.accepted[name]
                for store in self.stores:
                    store.landed.pop(name, None)
        self.names = sorted(self.accepted)
        self.sweep_at = max(SWEEP, 2 * len(self.names))


def is_live(version: Version, now: int) -> bool:
    """Whether a version is a value that has not expired."""
    return version.value is not None and not (version.expires and version.expires <= now)


def _cursor(name: str) -> str:
    return urlsafe_b64encode(name.encode()).decode()


def _named(cursor: str, prefix: str) -> str | None:
    """The name after which a page begins."""
    if not cursor:
        return None
    try:
        name = urlsafe_b64decode(cursor.encode()).decode()
    except ValueError:  # no base64, or no UTF-8 within
        raise refusal("GET", 400, "Invalid cursor") from None
    if not name.startswith(prefix):
        raise refusal("GET", 400, "Invalid cursor: repeat the prefix of the first page")
    return name
