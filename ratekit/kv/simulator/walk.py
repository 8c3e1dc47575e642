"""
The walk: how a read goes from a location's cache through the tiers to the central stores, and what it leaves behind on its way.
"""

import random
from dataclasses import dataclass
from typing import Final

from ratekit.kv.limits import CACHE_TTL
from ratekit.kv.simulator.latency import Latencies
from ratekit.kv.simulator.ledger import STORES
from ratekit.kv.simulator.tiers import Copy, Version
from ratekit.kv.simulator.views import Door

HOT: Final = 3
"""Reads of a copy that make its key a hot one. Not published; assumed."""
REFRESH_AGE: Final = 0.9
"""Share of its time to live at which the copy of a hot key is refreshed. Not published; assumed."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What is not published, as a world takes it to be; `jitter` in microseconds. World explains each."""

    stack_ages: bool
    write_through: bool
    refresh: bool
    jitter: int


class Walk:
    """The way of every read in a world."""

    __slots__ = ("_late", "_laws", "_speed", "_truth")

    def __init__(self, truth: Truth, laws: Latencies, speed: random.Random, late: random.Random) -> None:
        self._truth, self._laws, self._speed, self._late = truth, laws, speed, late

    def look(self, door: Door, key: str, ttl: int, now: int) -> tuple[int, Version | None]:
        """At which level a key is found (-1: none answers), and what; the tiers before it then have it, too."""
        copy = door.path[0].find(key, ttl, now)
        if copy is not None:
            copy.hits += 1
            if copy.hits >= HOT and copy.coming is None and self._truth.refresh and now >= copy.born + REFRESH_AGE * copy.ttl:
                self._refresh(door, key, copy, now)
            return 0, copy.version
        for level in (1, 2):
            copy = door.path[level].find(key, ttl, now)
            if copy is not None:
                break
        else:
            level = STORES
            if not door.space.central.answers(now):
                return -1, None
        version = door.space.central.read(key, now) if copy is None else copy.version
        born = now if copy is None or self._truth.stack_ages else copy.born
        for tier in door.path[:level]:
            late = round(self._late.uniform(0, self._truth.jitter)) if self._truth.jitter else 0
            tier.keep(key, Copy(version, born, ttl, now, late), now)
        return level, version

    def wrote(self, door: Door, key: str, version: Version, seen: int, now: int) -> None:
        """Show a write in the cache of its own location from `seen` on."""
        if self._truth.write_through:
            door.path[0].keep(key, Copy(version, seen, CACHE_TTL * 1_000_000, seen), now)

    def _refresh(self, door: Door, key: str, copy: Copy, now: int) -> None:
        """Ask the central stores again before a copy is too old; nobody waits for it, and it is not billed."""
        central = door.space.central
        if central.answers(now):
            since = now + self._laws.cold.draw(self._speed)
            copy.coming = Copy(central.read(key, now), now, copy.ttl, since, copy.extra)
