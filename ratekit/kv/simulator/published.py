"""
The published comparison, and the same measured in the simulated world.

Four scenarios, as one Worker in IAD would time them: a hot read is a key that was just read; a cold read one that no cache holds; a
single write is a new value for a key that nobody wrote within the second; a read after a write is both, one after the other.
"""

from collections.abc import Callable
from math import ceil
from typing import Final, NamedTuple

from ratekit.kv.simulator.upstash import UpstashModel
from ratekit.kv.simulator.world import World
from ratekit.testing.clock import ManualClock


class Cell(NamedTuple):
    """Milliseconds."""

    p50: float
    p99: float


SCENARIOS: Final = ("hot read", "cold read", "single write", "read after write")
PUBLISHED: Final[dict[str, dict[str, Cell]]] = {
    "kv": dict(zip(SCENARIOS, (Cell(2.6, 5.8), Cell(30.6, 45.6), Cell(171.8, 253.2), Cell(176.2, 260.6)), strict=True)),
    "upstash": dict(zip(SCENARIOS, (Cell(5.6, 8.8), Cell(6.8, 28.2), Cell(6.2, 8.6), Cell(24.8, 37.0)), strict=True)),
}
"""Upstash's comparison of 27 May 2026: 150 samples a cell."""

_HOUR: Final = 3_600_000_000


def measured(samples: int = 10_000, seed: int = 0) -> dict[str, dict[str, Cell]]:
    """
    The published cells, simulated.

    >>> cells = measured(samples=150)
    >>> sorted(cells) == sorted(PUBLISHED), len(cells["kv"])
    (True, 4)
    """
    return {
        name: {scenario: _cell([sample() for _ in range(samples)]) for scenario, sample in samplers(seed).items()}
        for name, samplers in (("kv", _kv), ("upstash", _upstash))
    }


def _cell(micros: list[int]) -> Cell:
    """The nearest-rank percentiles: of 150 samples the 99th is the second-worst."""
    micros.sort()
    return Cell(*(micros[ceil(share * len(micros)) - 1] / 1000 for share in (0.5, 0.99)))


def _kv(seed: int) -> dict[str, Callable[[], int]]:
    """One sample of each scenario: its microseconds. Time goes on by what an operation takes, and by an hour between two samples."""
    clock = ManualClock()
    world = World(seed, clock, log=0)
    namespace = world.namespace("published", "IAD")

    def took() -> int:
        assert world.last is not None
        clock.advance_us(world.last.latency)
        return world.last.latency

    def hot_read() -> int:
        clock.advance_us(_HOUR)
        namespace.get("key")
        took()
        namespace.get("key")
        return took()

    def cold_read() -> int:
        clock.advance_us(_HOUR)
        namespace.get("key")
        return took()

    def single_write() -> int:
        clock.advance_us(_HOUR)
        namespace.put("key", b"value")
        return took()

    def read_after_write() -> int:
        write = single_write()
        namespace.get("key")
        return write + took()

    return dict(zip(SCENARIOS, (hot_read, cold_read, single_write, read_after_write), strict=True))


def _upstash(seed: int) -> dict[str, Callable[[], int]]:
    """The same on the model of Upstash."""
    model = UpstashModel(seed)
    now = 0

    def later(takes: int) -> int:
        nonlocal now
        now += takes
        return takes

    def cold_read() -> int:
        later(_HOUR)
        return later(model.read("key", now)[1])

    def hot_read() -> int:
        cold_read()
        return later(model.read("key", now)[1])

    def single_write() -> int:
        later(_HOUR)
        return later(model.write("key", b"value", now))

    def read_after_write() -> int:
        write = single_write()
        return write + later(model.read("key", now, model.token)[1])

    return dict(zip(SCENARIOS, (hot_read, cold_read, single_write, read_after_write), strict=True))
