"""
Tiers: the caches between a reader and the central stores. One of them is a dict of copies.

A copy is what was seen of a key at an instant, its version or that there is none. It may be used while it is younger than the
cacheTtl that it was fetched with and than the cacheTtl of whoever asks, so a reader who asks for less gets less.
"""

from typing import Final, NamedTuple

SWEEP: Final = 4096
"""Copies that a tier holds before it looks for those that are too old."""


class Version(NamedTuple):
    """One write of a key. `stamp` orders all writes; `value` None: a delete; `expires` in microseconds, 0: never."""

    stamp: int
    value: bytes | None
    metadata: str | None
    expires: int


class Copy:
    """
    What a tier holds of a key: `version` as of `born`, usable from `since` and while younger than `ttl`, plus `extra` that the
    cache is late; all in microseconds.
    """

    __slots__ = ("born", "coming", "extra", "hits", "since", "ttl", "version")

    def __init__(self, version: Version | None, born: int, ttl: int, since: int, extra: int = 0) -> None:
        self.version, self.born, self.ttl, self.since, self.extra = version, born, ttl, since, extra
        self.hits = 0
        self.coming: Copy | None = None
        """What takes its place at `coming.since`: a refresh under way, or a write that is being acknowledged."""

    @property
    def stamp(self) -> int:
        """Of the version; 0 where nothing was ever written."""
        return 0 if self.version is None else self.version.stamp


class Tier:
    """One cache."""

    __slots__ = ("copies", "sweep_at")

    def __init__(self) -> None:
        self.copies: dict[str, Copy] = {}
        self.sweep_at = SWEEP

    def find(self, key: str, ttl: int, now: int) -> Copy | None:
        """A copy that may be used by who asks for `ttl` microseconds, or None."""
        copy = self.copies.get(key)
        if copy is None:
            return None
        coming = copy.coming
        if coming is not None and coming.since <= now:
            self.copies[key] = copy = coming
        if ttl < copy.ttl:  # noqa: PLR1730 - a comparison is cheaper than a call
            copy.ttl = ttl
        return copy if copy.since <= now < copy.born + copy.ttl + copy.extra else None

    def keep(self, key: str, copy: Copy, now: int) -> None:
        """Hold a copy from its own `since` on, and until then what is held. What is under way and no older still comes."""
        held = self.copies.get(key)
        if held is None:
            self.copies[key] = copy
        elif copy.since > now and held.since <= now:
            held.coming = copy
        else:
            coming = held if held.since > now else held.coming
            if coming is not None and coming.since > now and coming.stamp >= copy.stamp:
                copy.coming = coming
            self.copies[key] = copy
        if len(self.copies) > self.sweep_at:
            self._sweep(now)

    def _sweep(self, now: int) -> None:
        old = [key for key, copy in self.copies.items() if copy.born + copy.ttl + copy.extra <= now and copy.coming is None]
        for key in old:
            del self.copies[key]
        self.sweep_at = max(SWEEP, 2 * len(self.copies))
