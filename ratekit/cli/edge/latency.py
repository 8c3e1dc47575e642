"""
Latency: four scenarios on KV and on Upstash, simulated, beside what was published of them; and on the Redis at hand, measured.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from ratekit.cli.edge.hand import Hand, connected
from ratekit.kv.simulator.published import PUBLISHED, SCENARIOS, Cell, measured

SIMULATED: Final = 10_000
"""Samples a cell."""
MEASURED: Final = 1_000
VALUE: Final = b"x" * 288
"""Bytes: the median object that KV's makers report."""

Cells = dict[str, Cell]
"""By scenario."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds by scenario. `redis` is None where there is no Redis at hand, and `word` says why, or which one it is."""

    simulated: dict[str, Cells]
    redis: Cells | None
    word: str

    @property
    def farthest(self) -> float:
        """How far a simulated cell is from its published one, at most, as a share of it."""
        pairs = ((self.simulated[name][one], cell) for name, cells in PUBLISHED.items() for one, cell in cells.items())
        return max(abs(value / wanted - 1) for pair in pairs for value, wanted in zip(*pair, strict=True))


def latency(hand: Hand, seed: int, progress: Callable[[], object]) -> Latency:
    """All cells. `progress` is called after each of two steps."""
    simulated = measured(SIMULATED, seed)
    progress()
    redis, word = None, hand.word
    if hand.url is not None:
        try:
            redis = _measured(hand.url)
        except Exception as error:  # it went away, or refuses us
            word = f"it failed: {error}"
    progress()
    return Latency(simulated, redis, word)


def _measured(url: str) -> Cells:
    """The same scenarios on a Redis, one client, one connection. It has no cache before it: a cold key was only never asked for."""
    prefix = f"ratekit:edge:{secrets.token_hex(6)}:"
    with connected(url) as client:
        names = [f"{prefix}{i}" for i in range(2 * MEASURED)]
        with client.pipeline(transaction=False) as pipe:
            for name in names[:MEASURED]:
                pipe.set(name, VALUE, ex=60)
            pipe.execute()
        try:
            return {scenario: _cell(sample, names) for scenario, sample in _scenarios(client).items()}
        finally:
            client.unlink(*names)


def _scenarios(client: Any) -> dict[str, Callable[[list[str], int], int]]:
    """Per scenario the nanoseconds of one sample. The first half of the names is written, the second is not yet."""

    def timed(call: Callable[[], object]) -> int:
        begun = time.perf_counter_ns()
        call()
        return time.perf_counter_ns() - begun

    def write(name: str) -> None:
        client.set(name, VALUE, ex=60)

    def write_and_read(name: str) -> None:
        write(name)
        client.get(name)

    samples: tuple[Callable[[list[str], int], int], ...] = (
        lambda names, _: timed(lambda: client.get(names[0])),
        lambda names, i: timed(lambda: client.get(names[i])),
        lambda names, i: timed(lambda: write(names[MEASURED + i])),
        lambda names, i: timed(lambda: write_and_read(names[i])),
    )
    return dict(zip(SCENARIOS, samples, strict=True))


def _cell(sample: Callable[[list[str], int], int], names: list[str]) -> Cell:
    took = sorted(sample(names, i) for i in range(MEASURED))
    return Cell(took[MEASURED // 2 - 1] / 1e6, took[MEASURED * 99 // 100 - 1] / 1e6)
