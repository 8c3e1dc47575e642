"""
The harness: rows of sides, each side in a process of its own, measured in turns.

One machine's figures move by a third from run to run; what holds is how two sides compare when they take turns in one run. So every
figure here is a ratio, taken pair by pair, turn by turn: the median of the pairs is judged, their least and greatest are shown.
"""

import asyncio
import contextlib
import gc
import inspect
import multiprocessing
import os
import statistics
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

PATIENCE = 180
"""Seconds that one sample may take before its row is given up."""

Figures = dict[str, float]
"""One sample: under "figure" what the row compares, under other names what is shown beside it."""


@dataclass(frozen=True)
class Side:
    """
    One side of a comparison. `make(*args)` runs in the side's own process, once, and gives `sample(scale)`: a number or Figures,
    at once or awaited; scale 1.0 is a full sample, less a shorter one. A sample that has a `close` is closed at the end. `core`
    pins the process where the system can.
    """

    name: str
    role: str  # ours, peer or reference
    make: Callable[..., Any]
    args: tuple[Any, ...] = ()
    core: int | None = None


@dataclass(frozen=True)
class Goal:
    """
    What a row has to reach. `sign` "x": at least so many times as fast; ">=" or "<=": the ratio ours / theirs; with `metric` it is
    not a ratio but that figure of ours.
    """

    sign: str
    figure: float
    metric: str = ""

    def __str__(self) -> str:
        if self.sign == "x":
            return f"{self.figure:g}x as fast"
        what = "" if self.metric == "figure" else f"{self.metric or 'ratio'} "
        return f"{what}{self.sign} {self.figure:g}"


@dataclass(frozen=True)
class Row:
    """
    One line of the table. `against` names the side that ours is compared with; "best" is the best of the peers in this run, "" is
    nobody. In units that end in "/s" more is better, in all others less. `server_core` is the core of redis-server, None for any.
    `skip` says why a row cannot be measured here; empty when it can.
    """

    name: str
    unit: str
    sides: tuple[Side, ...]
    goals: tuple[Goal, ...] = ()
    against: str = ""
    headline: bool = False
    rounds: int = 7
    server_core: int | None = None
    skip: str = ""

    @property
    def more_is_better(self) -> bool:
        return self.unit.endswith("/s")

    @property
    def ours(self) -> str:
        return next(side.name for side in self.sides if side.role == "ours")


class Worker:
    """A side at work, in its own process; `sample` asks it for one sample and waits."""

    def __init__(self, side: Side) -> None:
        self.name = side.name
        spawn = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_work, args=(theirs, side), daemon=True)
        self._process.start()
        theirs.close()

    def sample(self, scale: float) -> Figures:
        self._pipe.send(scale)
        return self._receive()

    def ready(self) -> None:
        self._receive()

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._pipe.send(None)
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _receive(self) -> Any:
        if not self._pipe.poll(PATIENCE):
            raise RuntimeError(f"{self.name}: no answer within {PATIENCE} s")
        try:
            answer = self._pipe.recv()
        except EOFError:
            raise RuntimeError(f"{self.name}: its process ended") from None
        if "error" in answer:
            raise RuntimeError(f"{self.name}:\n{answer['error']}")
        return answer


def _work(pipe: Any, side: Side) -> None:
    import uvloop

    if side.core is not None:
        pin(os.getpid(), side.core)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:

        def finished(value: Any) -> Any:
            return runner.run(value) if inspect.iscoroutine(value) else value

        sample = None
        try:
            sample = finished(side.make(*side.args))
            pipe.send({})
            while (scale := pipe.recv()) is not None:
                # The collector stays on, as in a server, but has nothing of earlier samples to look at.
                gc.collect()
                gc.freeze()
                figures = finished(sample(scale))
                pipe.send(figures if isinstance(figures, dict) else {"figure": figures})
        except Exception:
            pipe.send({"error": traceback.format_exc()})
        except (KeyboardInterrupt, EOFError):
            pass  # the run was stopped
        finally:
            if hasattr(sample, "close"):
                sample.close()
            # What a library leaves running (timers, connections) ends with the process, silently.
            os._exit(0)


def measure(row: Row, scale: float, rounds: int | None = None) -> dict[str, list[Figures]]:
    """The samples of every side, taken in turns: A B C, C B A, A B C ... With `rounds` it is a short run, without warming up."""
    workers = []
    try:
        workers += [Worker(side) for side in row.sides]
        for worker in workers:
            worker.ready()
        if rounds is None:
            for worker in workers:
                worker.sample(scale / 10)
        samples: dict[str, list[Figures]] = {worker.name: [] for worker in workers}
        for turn in range(rounds or row.rounds):
            for worker in workers if turn % 2 == 0 else reversed(workers):
                samples[worker.name].append(worker.sample(scale))
        return samples
    finally:
        for worker in workers:
            worker.stop()


def medians(samples: list[Figures]) -> Figures:
    """The median of each figure of a side's samples."""
    return {name: statistics.median(sample[name] for sample in samples) for name in samples[0]}


def opponent(row: Row, samples: dict[str, list[Figures]]) -> str:
    """The side that ours is compared with in this run."""
    if row.against != "best":
        return row.against
    best = max if row.more_is_better else min
    return best((side.name for side in row.sides if side.role == "peer"), key=lambda name: medians(samples[name])["figure"])


def ratios(row: Row, samples: dict[str, list[Figures]], theirs: str) -> list[float]:
    """Ours over theirs, turn by turn; where the goal is to be so many times as fast, how many times that is."""
    upside_down = not row.more_is_better and any(goal.sign == "x" for goal in row.goals)
    pairs = [(a["figure"], b["figure"]) for a, b in zip(samples[row.ours], samples[theirs], strict=True)]
    # A time added to a request can come out as zero or less, where a machine is noisy.
    return [b / max(a, 1e-9) if upside_down else a / max(b, 1e-9) for a, b in pairs]


def reached(row: Row, samples: dict[str, list[Figures]]) -> list[tuple[Goal, float, bool]]:
    """Each goal, what came out, and whether that meets it."""
    ours, theirs = medians(samples[row.ours]), opponent(row, samples)
    outcome = []
    for goal in row.goals:
        got = ours[goal.metric] if goal.metric else statistics.median(ratios(row, samples, theirs))
        outcome.append((goal, got, got <= goal.figure if goal.sign == "<=" else got >= goal.figure))
    return outcome


def pin(process: int, core: int) -> None:
    """Keep a process on one core, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(process, {cores[core % len(cores)]})
