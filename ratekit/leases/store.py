"""
Leased: a guarded store in front of which units are lent to this process ahead of time; for threads.

What is lent and for how long is `leasing.py`, who holds what `lender.py`; both are pure. Here is the shell that gives them a clock and
a thread of their own: no request waits for a share or pays for one, and what is in hand is spent also while the store is away.
"""

import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from typing import Final
from weakref import WeakSet

from ratekit.algorithms import SPEND
from ratekit.decision import Decision
from ratekit.guard import Health
from ratekit.guarded.gate import Gate, OnOutage
from ratekit.guarded.store import GuardedStore
from ratekit.leases.leasing import marked, terms_of, too_little
from ratekit.leases.lender import TICKS, Job, Lender
from ratekit.stores.naming import Canonical, Plan, Space
from ratekit.stores.protocol import Ask, Compiled, CompiledMany, Seens

LEAVING: Final = 1.0
"""Seconds that closing waits for the thread's trip under way."""


class LeasedStore:
    """A guarded store for threads, with a share of every plan's quota lent ahead."""

    remote = True

    def __init__(self, guarded: GuardedStore, share: Fraction) -> None:
        self._guarded = guarded
        # While the store is away nothing is lent: "open" answers that it is away, and charges nothing anywhere else.
        self._asking = guarded.with_outage("open")
        self._share = share
        self._lenders: list[tuple[Lender, Gate]] = []
        self._others: list[LeasedStore] = []
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._closed = False
        _STORES.add(self)

    def compile(self, plan: Plan, budget: float | None = None) -> Compiled:
        """A function that hits every limit of `plan` at once: from what is in hand, else by the store."""
        inner = self._guarded.compile(plan, budget)
        terms = terms_of(plan, self._share)
        if terms is None:
            too_little(plan, self._share)
            return inner
        gate, lender = self._guarded.gate(plan), Lender(terms)
        self._lenders.append((lender, gate))
        clock, spend, jobs, overs = gate.clock, lender.spend, lender.jobs, terms.overs

        def hit(identity: Canonical, cost: int, mode: int) -> Decision:
            if mode != SPEND:
                decision = lender.looked(identity, inner(identity, cost, mode), cost, clock())
            elif (lent := spend(identity, cost, clock())) is not None:
                if jobs:
                    self._begin()
                return lent
            else:
                decision = inner(identity, cost, SPEND)
                lender.noted(identity, decision, cost, clock())
                if jobs:
                    self._begin()
            return marked(decision, plan, overs)

        return hit

    def compile_many(self, plan: Plan, budget: float | None = None) -> CompiledMany:
        """`compile` for many identities at once, in one trip of what is not in hand. For a plan that has been compiled."""
        inner = self._guarded.compile_many(plan, budget)
        lent = next(((lender, gate) for lender, gate in self._lenders if lender.terms.plan == plan), None)
        if lent is None:
            return inner
        lender, gate = lent

        def hit_many(identities: Sequence[Canonical], cost: int) -> list[Decision]:
            now = gate.clock()
            answers = [lender.spend(identity, cost, now) for identity in identities]
            asked = [identity for identity, answer in zip(identities, answers, strict=True) if answer is None]
            told = inner(asked, cost) if asked else []
            for identity, decision in zip(asked, told, strict=True):
                lender.noted(identity, decision, cost, now)
            if lender.jobs:
                self._begin()
            rest = iter(told)
            return [answer or marked(next(rest), plan, lender.terms.overs) for answer in answers]

        return hit_many

    def decide(self, asks: Sequence[Ask], budget: float | None = None) -> Seens:
        """One hit that nothing is lent for, such as a reservation: all-or-nothing over `asks`."""
        return self._guarded.decide(asks, budget)

    def forget(self, spaces: Sequence[Space], identity: Canonical) -> None:
        """Make the keys of an identity as new, and what was lent of them before."""
        for lender in self.lenders():
            if any(space in spaces for _, space in lender.terms.plan):
                lender.forget(identity)
        self._guarded.forget(spaces, identity)

    def gate(self, plan: Plan) -> Gate:
        """What stands before the store for a plan that has been compiled."""
        return self._guarded.gate(plan)

    def with_outage(self, on_outage: OnOutage) -> "LeasedStore":
        """The same store and circuit under another outage policy; closed with this one."""
        other = LeasedStore(self._guarded.with_outage(on_outage), self._share)
        self._others.append(other)
        return other

    def health(self) -> Health:
        """How things stand with the store."""
        return self._guarded.health()

    def lenders(self) -> list[Lender]:
        """All that hold something, of every outage policy."""
        return [*(lender for lender, _ in self._lenders), *(lender for other in self._others for lender in other.lenders())]

    def give_back(self) -> None:
        """Give back what is in hand, and be lent nothing any more."""
        self._closed = True
        for lender, _ in self._lenders:
            lender.closed = True
        if self._thread is not None and self._thread.is_alive():
            self._wake.set()
            self._thread.join(LEAVING)
        for lender, _ in self._lenders:
            lender.give_all()
        self._work()
        for other in self._others:
            other.give_back()

    def close(self) -> None:
        """Give back what is in hand, and let go of the store."""
        self.give_back()
        self._guarded.close()

    def _begin(self) -> None:
        """There is something to do; see to it that somebody does it, also in a child that was forked meanwhile."""
        thread = self._thread
        if (thread is None or not thread.is_alive()) and not self._closed:
            self._thread = threading.Thread(target=self._run, name="ratekit-leases", daemon=True)
            with suppress(RuntimeError):  # there can be no more threads just now
                self._thread.start()
        self._wake.set()

    def _run(self) -> None:
        pause = min(lender.terms.lasts for lender, _ in self._lenders) / TICKS / 1_000_000
        while not self._closed and any(map(_busy, self._lenders)):
            self._wake.wait(pause)
            self._wake.clear()
            for lender, gate in self._lenders:
                lender.tick(gate.clock())
            self._work()

    def _work(self) -> None:
        for lender, gate in self._lenders:
            while lender.jobs:
                with suppress(IndexError):  # another thread may have taken the last one
                    self._do(lender, gate, lender.jobs.popleft())

    def _do(self, lender: Lender, gate: Gate, job: Job) -> None:
        sent = gate.clock()
        try:
            answer = self._asking.decide(job.asks)
        except BaseException:
            lender.failed(job)
            raise
        decision = lender.done(job, answer, sent, gate.clock())
        if decision is not None:
            gate.answered(job.identity, decision, sent)

    def _emptied(self) -> None:
        # In a child that was forked the thread is not there, and a thread of the parent's may have been inside the event.
        self._thread, self._wake = None, threading.Event()


def _busy(lent: tuple[Lender, Gate]) -> bool:
    return bool(lent[0].jobs) or len(lent[0]) > 0


_STORES: Final[WeakSet[LeasedStore]] = WeakSet()


def _in_child() -> None:
    for store in _STORES:
        store._emptied()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
