"""
What both KV stores are made of: a node, its lock and its clock. A forked child is another node.
"""

import os
import random
import threading
import time
import uuid
from collections.abc import Sequence
from typing import Any, Final
from weakref import WeakSet

from ratekit.errors import ConfigurationError, StoreError
from ratekit.guard import Health
from ratekit.kv.node import Node, Step
from ratekit.kv.node_terms import Terms
from ratekit.stores.memory import Clock
from ratekit.stores.naming import Canonical, Plan, Space
from ratekit.stores.protocol import Ask, Seens

SECOND: Final = 1_000_000
NAP: Final = 60.0
"""Seconds that the background sleeps at most, should the clock be set."""


def since_epoch() -> int:
    """Microseconds since 1970, by this machine's clock."""
    return time.time_ns() // 1000


class Shell:
    """A node, its lock, and the checks of limits."""

    def __init__(self, terms: Terms, prefix: str, max_keys: int, clock: Clock | None, seed: int | None) -> None:
        if not isinstance(prefix, str) or not 1 <= len(prefix.encode()) <= 400:
            raise ConfigurationError(f"prefix {prefix!r}: write some text, such as 'ratekit'")
        if type(max_keys) is not int or max_keys < 1:
            raise ConfigurationError(f"max_keys {max_keys!r}: write a whole number of at least 1")
        self.terms, self.clock = terms, since_epoch if clock is None else clock
        self.in_background = clock is None
        self._prefix, self._max_keys, self._seed = f"{prefix}:shard:", max_keys, seed
        self._checked: set[Any] = set()
        self.renew()
        _SHELLS.add(self)

    def renew(self) -> None:
        """Be a node that is new."""
        self.lock = threading.Lock()
        self.wake = threading.Event()
        dice = random.Random(self._seed)  # noqa: S311 - it spreads writes, and keeps no secret
        name = uuid.uuid4().hex if self._seed is None else f"{dice.getrandbits(128):032x}"
        self.node = Node(self.terms, name=name, prefix=self._prefix, now=self.clock(), dice=dice, max_keys=self._max_keys)

    def check(self, plan: Plan) -> None:
        """Raises ConfigurationError for a limit that cannot be kept here."""
        for rule, _ in plan:
            self.terms.check(rule.limit)
            self._checked.add(rule)

    def decide(self, asks: Sequence[Ask]) -> Seens:
        """One hit."""
        for ask in asks:
            if ask.rule not in self._checked:
                self.check([(ask.rule, ask.space)])
        with self.lock:
            before = self.node.next_at()
            answer = self.node.decide(asks, self.clock())
            if self.in_background and self.node.next_at() < before:
                self.wake.set()
        return answer

    def forget(self, spaces: Sequence[Space], identity: Canonical) -> None:
        """Make keys as new."""
        with self.lock:
            self.node.forget(spaces, identity, self.clock())

    def step(self) -> Step | None:
        """What is to be done now."""
        with self.lock:
            return self.node.step(self.clock())

    def done(self, step: Step, heard: Any) -> None:
        """It went well."""
        with self.lock:
            self.node.done(step, heard, self.clock())

    def failed(self, step: Step, error: BaseException) -> None:
        """It did not."""
        failure = error if isinstance(error, StoreError) else StoreError(repr(error), "late")
        with self.lock:
            self.node.failed(step, failure, self.clock())

    def pause(self) -> float:
        """Seconds until the next step is due."""
        with self.lock:
            return min(NAP, max(0.0, (self.node.next_at() - self.clock()) / SECOND))

    def last_write(self) -> bool:
        """Whether something is still to be said, which is then due as soon as the store allows."""
        with self.lock:
            if self.node.unsaid():
                self.node.hurry(self.clock())
                return True
            return False

    def health(self) -> Health:
        """How things stand."""
        with self.lock:
            return self.node.health(self.clock())


_SHELLS: Final[WeakSet[Shell]] = WeakSet()


def _renew_all() -> None:
    for shell in _SHELLS:
        shell.renew()


if hasattr(os, "register_at_fork"):  # two processes of one name would overwrite each other
    os.register_at_fork(after_in_child=_renew_all)
