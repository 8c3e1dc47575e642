"""
Circuit: what all limiters on one remote store share in this process: its guard, the memory that stands in while it is away, and
what was last seen of its keys and is owed on them. No I/O.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary, WeakSet, ref

from ratekit.algorithms import LOOK, Rule
from ratekit.decision import Seen
from ratekit.errors import StoreError
from ratekit.guard import Change, Fault, Guard, Health
from ratekit.guarded.debts import TOGETHER, Debts
from ratekit.stores.memory import Clock, MemoryStore, monotonic
from ratekit.stores.naming import Canonical, Space
from ratekit.stores.place import label_of
from ratekit.stores.protocol import Ask, Seens

if TYPE_CHECKING:
    from ratekit.guarded.gate import Gate

HALF: Final = 5_000
"""Keys whose last known state is kept for the local fallback, per limiter: these at least, and at most as many older ones."""

log: Final = logging.getLogger("ratekit")


class Known:
    """What was last seen of keys: write to `young`, and call `turn` when that is full; it becomes the older generation."""

    __slots__ = ("old", "young")

    def __init__(self) -> None:
        self.young: dict[Any, Any] = {}
        self.old: dict[Any, Any] = {}

    def turn(self) -> None:
        """Keep what is young as the older, and begin anew."""
        self.old, self.young = self.young, {}

    def take(self, key: Any) -> Any:
        """What was last seen, and let go of it; None when that is nothing."""
        young, old = self.young.pop(key, None), self.old.pop(key, None)
        return old if young is None else young


class Circuit:
    """The guard of one remote store, shared by all who use it in this process, and the memory that stands in for the store."""

    def __init__(self, clock: Clock, *, merges: bool = True, place: Callable[[], str] = str) -> None:
        self.clock = clock
        self.place = place
        """Where the store is, as logs may name it."""
        self.merges = merges
        """Whether the store knows what to do with what it is owed."""
        self.debts = Debts()
        self.shift = 0
        """Microseconds that the store's clock is ahead of this one, by no more than a trip more, when it was last back."""
        self.rivalled = False
        self.guard = Guard(monotonic())
        self.local = MemoryStore(clock=clock)
        self.probe_asks: Sequence[Ask] = ()
        self.known = Known()  # (space, identity) -> rule, what it saw, when it was asked
        self._gates: WeakSet[Gate] = WeakSet()
        self._lock = threading.Lock()

    def failed(self, error: StoreError, ticket: int) -> None:
        """A trip ended badly."""
        with self._lock:
            change = self.guard.failed(monotonic(), Fault(error.fault), ticket)
        say(change, self.place(), str(error))

    def succeeded(self, ticket: int) -> None:
        """A trip ended well while not all of them do."""
        with self._lock:
            self.guard.succeeded(monotonic(), ticket)

    def probe(self) -> int:
        """The number of the probe to send now, or 0."""
        with self._lock:
            return self.guard.probe(monotonic())

    def probed(self, number: int, error: StoreError | None, answer: Seens | None = None) -> None:
        """How a probe ended."""
        with self._lock:
            if answer is not None:  # the store read its clock before the answer came: nothing is dated too late
                self.shift = answer.now - self.clock()
            change = self.guard.probed(monotonic(), number, None if error is None else Fault(error.fault))
        say(change, self.place())

    def health(self) -> Health:
        """How things stand with the store, and which it is."""
        return replace(self.guard.health(monotonic()), store=self.place())

    def pause(self) -> float:
        """Seconds until the next probe is due."""
        return max(0.001, self.guard.health(monotonic()).next_probe or 0.0)

    def gates(self, spaces: Iterable[Space], gate: "Gate | None" = None) -> "list[Gate]":
        """The limiters that count in any of these spaces; `gate` is a new one."""
        with self._lock:
            if gate is not None:
                self._gates.add(gate)
                self.rivalled = self.rivalled or gate.denials.rivalled
            return [some for some in self._gates if not some.spaces.isdisjoint(spaces)]

    def saw(self, asks: Sequence[Ask], answer: Seens, sent: int) -> None:
        """Keep what the store saw in a hit that is no limiter's own, and was sent at `sent`."""
        for ask, seen in zip(asks, answer.seen, strict=True):
            self.known.young[ask.space, ask.identity] = ask.rule, seen, sent
        if len(self.known.young) > HALF:
            self.known.turn()

    def owe(self, asks: Sequence[Ask], decided: Sequence[Ask], answer: Seens) -> None:
        """Note what was charged here while the store was not asked."""
        if self.merges:
            with self._lock:
                self.debts.note(asks, decided, answer)

    def due(self, most: int = TOGETHER) -> Sequence[Ask]:
        """The next charges that the store is owed: to be sent once, whatever comes of it."""
        with self._lock:
            return self.debts.take(self.clock(), self.shift, most)

    def paid(self, asks: Sequence[Ask], answer: Seens, sent: int) -> None:
        """The store has been charged, by a trip that was sent at `sent`."""
        with self._lock:
            self.debts.heard(asks, paid=True)
        self.saw(asks, answer, sent)

    def unpaid(self, asks: Sequence[Ask]) -> None:
        """The store may have been charged or not, and is not charged again."""
        with self._lock:
            self.debts.heard(asks, paid=False)

    def forgive(self, spaces: Iterable[Space], identity: Canonical) -> None:
        """An identity was reset: it owes nothing."""
        with self._lock:
            self.debts.forget(spaces, identity)

    def seed(self, rule: Rule, space: Space, identity: Canonical, seen: Seen, sent: int) -> None:
        """
        Let the memory go on from what the store saw when it was asked at `sent`, unless it knows of less room: an answer may come when
        it was asked already.
        """
        now = self.clock()
        look = [Ask(rule, space, identity, LOOK, 1)]
        (here,) = self.local.decide(look).seen
        there = rule.step(rule.restore(seen, sent), now, 1, LOOK)[1]
        if rule.read(1, there)[1] < rule.read(1, here)[1]:
            self.local.put(rule, space, identity, seen, now - sent)
            with self._lock:
                self.debts.seeded(look[0], self.local.decide(look))


def say(change: Change | None, place: str, why: str = "") -> None:
    """One line in the log per change of state. Not under a lock: a log may be limited, too."""
    if change is not None:
        serious = logging.ERROR if change.fault is Fault.REFUSED else logging.WARNING
        level = serious if change.state == "open" else logging.INFO
        facts = {"ratekit_state": change.state, "ratekit_fault": change.fault.value, "ratekit_after": change.after}
        extra = {"event": "circuit", "ratekit_store": place, **facts}
        log.log(level, "%s: %s%s", place, change, f": {why}" if why else "", extra=extra)


_CIRCUITS: Final[WeakKeyDictionary[Any, Circuit]] = WeakKeyDictionary()
_LOCK: Final = threading.Lock()


def circuit_of(store: Any) -> Circuit:
    """The circuit of a remote store: one, however many limiters use it. A clock that is moved by hand moves all that is local, too."""
    with _LOCK:
        circuit = _CIRCUITS.get(store)
        if circuit is None:
            merges = getattr(store, "merges", False)
            clock, itself = getattr(store, "clock", None) or monotonic, ref(store)  # a store is not kept by its circuit
            circuit = _CIRCUITS[store] = Circuit(clock, merges=merges, place=lambda: label_of(itself()))
        return circuit


def circuits() -> list[tuple[Any, Circuit]]:
    """Every remote store that is in use, with its circuit."""
    with _LOCK:
        return list(_CIRCUITS.items())


_HELD: Final[list[Any]] = []


def _before_fork() -> None:
    _LOCK.acquire()
    _HELD.extend(lock for circuit in list(_CIRCUITS.values()) for lock in (circuit._lock, circuit.local._lock))
    for lock in _HELD:
        lock.acquire()


def _after_fork() -> None:
    while _HELD:
        _HELD.pop().release()
    _LOCK.release()


def _in_child() -> None:
    for circuit in list(_CIRCUITS.values()):
        circuit.debts.clear()  # they are the parent's, and would be paid twice
    _after_fork()


if hasattr(os, "register_at_fork"):  # a child never finds them held by a thread that it does not have
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_child)
