"""
The setting of the constraint: so many hits a second on one key, for one window of a limit, spread over nodes all over the world.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from ratekit.errors import ConfigurationError
from ratekit.kv.simulator import SimulatedNamespace, World
from ratekit.limit import Limit
from ratekit.testing import ManualClock

SECOND: Final = 1_000_000
EPOCH: Final = 1_800_000_000
"""Seconds since 1970, about: the simulated worlds begin at a time that is always the same."""
MOST_HITS: Final = 200_000
LOCATIONS: Final = ("IAD", "FRA", "SIN", "GRU", "SYD", "LHR", "NRT", "SJC", "JNB", "BOM", "CDG", "ORD")


@dataclass(frozen=True, slots=True)
class Setting:
    """`rate` hits a second on one key at `nodes` nodes together, evenly or each node half as many as the one before."""

    limit: Limit
    rate: float
    nodes: int
    uneven: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 10_000 or not 1 <= self.nodes <= 100:
            raise ConfigurationError(f"--rate {self.rate:g} --nodes {self.nodes}: write up to 10,000 a second, and 1 to 100 nodes")
        if not 1 <= self.hits <= MOST_HITS:
            raise ConfigurationError(
                f"--rate {self.rate:g} over '{self.limit}' is {self.hits:,} hits in a window: write what comes to 1 to {MOST_HITS:,}"
            )

    @property
    def hits(self) -> int:
        """In one window, evenly in time."""
        return int(self.rate * self.limit.per)

    @property
    def overload(self) -> float:
        """How many times the limit arrives."""
        return self.rate * self.limit.per / self.limit.quota

    def arrivals(self) -> Iterator[tuple[int, int]]:
        """When, in microseconds after the window began, and at which node. The same for everyone who asks."""
        dice = random.Random(f"hits {self.seed}")  # noqa: S311 - no secret
        weights = [0.5**i if self.uneven else 1.0 for i in range(self.nodes)]
        whom = dice.choices(range(self.nodes), weights, k=self.hits)
        return ((round(k * SECOND / self.rate), node) for k, node in enumerate(whom))

    def start(self) -> int:
        """The instant at which the window begins."""
        return -(-EPOCH // self.limit.period_ms * 1000) * self.limit.period_ms * 1000


@dataclass(slots=True)
class Run:
    """What a limiter made of the hits. Writes are None where nothing is written to KV; `bound` is units, None where there is none."""

    name: str
    admitted: list[float] = field(default_factory=list)
    """Seconds."""
    bound: int | None = None
    accepted: int | None = None
    refused: int | None = None
    lost: int | None = None
    """Accepted writes that the count in the end does not hold: somebody who had not seen them wrote over them."""
    seen: list[tuple[float, int, int]] = field(default_factory=list)
    """Seconds, node, and the count that it read."""
    dollars: float | None = None
    """Of KV, without what is included: in this window, for KVStore from when its nodes began."""
    note: str = ""


class Scene:
    """A world with its clock, as a run needs it."""

    def __init__(self, setting: Setting, warm: int = 0) -> None:
        self.setting, self.began = setting, setting.start()
        self.clock = ManualClock(start=self.began - warm * SECOND)
        self.world = World(setting.seed, self.clock, log=0)

    def namespaces(self) -> list[SimulatedNamespace]:
        """One for each node, at its location."""
        return [self.world.namespace("limits", LOCATIONS[i % len(LOCATIONS)]) for i in range(self.setting.nodes)]

    def each(self, until: Callable[[int], object] | None = None) -> Iterator[tuple[float, int]]:
        """Move to each hit in turn: its seconds and its node. `until` is told the instant before it has come."""
        for at, node in self.setting.arrivals():
            if until is not None:
                until(self.began + at)
            self.clock.advance_us(self.began + at - self.clock())
            yield at / SECOND, node
