"""
A run: hits in a row that bear one label, and who waits for their answers. What a queue does, it does to whole runs.
"""

import asyncio
from collections.abc import Sequence
from operator import methodcaller
from typing import Any, Final, Literal

from ratekit.errors import StoreError
from ratekit.stores.redis.script import Label, counts, decisions

DONE: Final = methodcaller("done")

Wants = Literal["each", "all", "reply"]
"""What the futures of a run end in: each in a decision; or the only one in all decisions, or in the reply and where it begins."""


class Run:
    """
    Hits in a row: their keys, and a future for each, or one for all. `budget` is the seconds they may take if those are their own,
    None for the line's.
    """

    __slots__ = ("budget", "futures", "hits", "keys", "label", "timer", "wants")

    def __init__(self, label: Label, budget: float | None, wants: Wants = "each") -> None:
        self.label, self.budget, self.wants = label, budget, wants
        self.keys: list[str] = []
        self.futures: list[asyncio.Future[Any]] = []
        self.hits = 0
        self.timer: asyncio.TimerHandle | None = None

    def settle(self, reply: Sequence[int], at: int) -> None:
        """Answer everybody who still waits; the integers of this run begin at `at`."""
        if not self.futures:  # everybody gave up before it was sent
            return
        if self.timer is not None:
            self.timer.cancel()
        read = counts if self.label.counts else decisions
        if self.wants == "each":
            answers: Sequence[Any] = read(self.label, reply, at, self.hits)
        elif self.wants == "all":
            answers = (read(self.label, reply, at, self.hits),)
        else:
            answers = ((reply, at),)
        for future, answer in zip(self.futures, answers, strict=True):
            try:
                future.set_result(answer)
            except asyncio.InvalidStateError:  # nobody waits any more
                continue

    def fail(self, error: StoreError) -> None:
        """Tell everybody who still waits; each gets an error of its own, because raising one marks it."""
        if self.timer is not None:
            self.timer.cancel()
        for future in self.futures:
            if not future.done():
                future.set_exception(type(error)(str(error), error.fault))

    def drop_done(self) -> None:
        """Let go of hits that nobody waits for any more and that have not been sent."""
        if True not in map(DONE, self.futures):
            return
        if self.wants != "each":
            self.keys, self.futures, self.hits = [], [], 0
            return
        each = self.label.keys
        left = [i for i, future in enumerate(self.futures) if not future.done()]
        self.keys = [key for i in left for key in self.keys[i * each : (i + 1) * each]]
        self.futures, self.hits = [self.futures[i] for i in left], len(left)
