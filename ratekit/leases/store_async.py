"""
Leased, for event loops: `store.py`, awaited.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from typing import Final

from ratekit.algorithms import SPEND
from ratekit.decision import Decision
from ratekit.guard import Health
from ratekit.guarded.gate import Gate, OnOutage
from ratekit.guarded.store_async import AsyncGuardedStore
from ratekit.leases.leasing import marked, terms_of, too_little
from ratekit.leases.lender import TICKS, Job, Lender
from ratekit.stores.naming import Canonical, Plan, Space
from ratekit.stores.protocol import Ask, AsyncCompiled, AsyncCompiledMany, Seens

TURN: Final = 64
"""Hits from what is in hand after which the loop has a turn: a task that does nothing but hit would let nobody else run."""


class AsyncLeasedStore:
    """A guarded store for event loops, with a share of every plan's quota lent ahead: `LeasedStore`, awaited."""

    remote = True

    def __init__(self, guarded: AsyncGuardedStore, share: Fraction) -> None:
        self._guarded = guarded
        self._asking = guarded.with_outage("open")
        self._share = share
        self._lenders: list[tuple[Lender, Gate]] = []
        self._others: list[AsyncLeasedStore] = []
        self._closed = False
        self._workers: dict[asyncio.AbstractEventLoop, tuple[asyncio.Task[None], asyncio.Event]] = {}

    def compile(self, plan: Plan, budget: float | None = None) -> AsyncCompiled:
        """A function that hits every limit of `plan` at once: from what is in hand, else by the store."""
        inner = self._guarded.compile(plan, budget)
        terms = terms_of(plan, self._share)
        if terms is None:
            too_little(plan, self._share)
            return inner
        gate, lender = self._guarded.gate(plan), Lender(terms)
        self._lenders.append((lender, gate))
        clock, spend, noted, jobs, overs, turn = gate.clock, lender.spend, lender.noted, lender.jobs, terms.overs, TURN

        async def hit(identity: Canonical, cost: int, mode: int) -> Decision:
            nonlocal turn
            if mode != SPEND:
                return marked(lender.looked(identity, await inner(identity, cost, mode), cost, clock()), plan, overs)
            decision = spend(identity, cost, clock())
            if decision is not None:
                turn -= 1
                if jobs:
                    self._begin()
                if jobs or not turn:
                    turn = TURN
                    await asyncio.sleep(0)
                return decision
            decision = await inner(identity, cost, SPEND)
            noted(identity, decision, cost, clock())
            if jobs:
                self._begin()
            return marked(decision, plan, overs)

        return hit

    def compile_many(self, plan: Plan, budget: float | None = None) -> AsyncCompiledMany:
        """`compile` for many identities at once, in one trip of what is not in hand. For a plan that has been compiled."""
        inner = self._guarded.compile_many(plan, budget)
        lent = next(((lender, gate) for lender, gate in self._lenders if lender.terms.plan == plan), None)
        if lent is None:
            return inner
        lender, gate = lent

        async def hit_many(identities: Sequence[Canonical], cost: int) -> list[Decision]:
            now = gate.clock()
            answers = [lender.spend(identity, cost, now) for identity in identities]
            asked = [identity for identity, answer in zip(identities, answers, strict=True) if answer is None]
            told = await inner(asked, cost) if asked else []
            for identity, decision in zip(asked, told, strict=True):
                lender.noted(identity, decision, cost, now)
            if lender.jobs:
                self._begin()
            rest = iter(told)
            return [answer or marked(next(rest), plan, lender.terms.overs) for answer in answers]

        return hit_many

    async def decide(self, asks: Sequence[Ask], budget: float | None = None) -> Seens:
        """One hit that nothing is lent for, such as a reservation: all-or-nothing over `asks`."""
        return await self._guarded.decide(asks, budget)

    async def forget(self, spaces: Sequence[Space], identity: Canonical) -> None:
        """Make the keys of an identity as new, and what was lent of them before."""
        for lender in self.lenders():
            if any(space in spaces for _, space in lender.terms.plan):
                lender.forget(identity)
        await self._guarded.forget(spaces, identity)

    def gate(self, plan: Plan) -> Gate:
        """What stands before the store for a plan that has been compiled."""
        return self._guarded.gate(plan)

    def with_outage(self, on_outage: OnOutage) -> "AsyncLeasedStore":
        """The same store and circuit under another outage policy; closed with this one."""
        other = AsyncLeasedStore(self._guarded.with_outage(on_outage), self._share)
        self._others.append(other)
        return other

    async def open(self) -> None:
        """Connect ahead of the first request; raises StoreError when credentials or permissions are wrong."""
        await self._guarded.open()

    def health(self) -> Health:
        """How things stand with the store."""
        return self._guarded.health()

    def lenders(self) -> list[Lender]:
        """All that hold something, of every outage policy."""
        return [*(lender for lender, _ in self._lenders), *(lender for other in self._others for lender in other.lenders())]

    async def give_back(self) -> None:
        """Give back what is in hand, and be lent nothing any more."""
        self._closed = True
        for lender, _ in self._lenders:
            lender.closed = True
        worker = self._workers.pop(asyncio.get_running_loop(), None)
        if worker is not None:  # a trip under way is waited for: it may bring a share
            worker[1].set()
            await asyncio.wait((worker[0],))
        for lender, _ in self._lenders:
            lender.give_all()
        await self._work()
        for other in self._others:
            await other.give_back()

    async def aclose(self) -> None:
        """Give back what is in hand, and let go of the store."""
        await self.give_back()
        await self._guarded.aclose()

    def _begin(self) -> None:
        """There is something to do; see to it that somebody does it, on this event loop."""
        loop = asyncio.get_running_loop()
        worker = self._workers.get(loop)
        if worker is not None:
            worker[1].set()
        elif not self._closed:
            for ended in [other for other in self._workers if other.is_closed()]:
                del self._workers[ended]
            event = asyncio.Event()
            event.set()
            self._workers[loop] = loop.create_task(self._run(loop, event)), event

    async def _run(self, loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
        try:
            await self._work_on(event)
        finally:
            self._workers.pop(loop, None)

    async def _work_on(self, event: asyncio.Event) -> None:
        pause = min(lender.terms.lasts for lender, _ in self._lenders) / TICKS / 1_000_000
        while not self._closed and any(lender.jobs or len(lender) for lender, _ in self._lenders):
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await event.wait()
            event.clear()
            for lender, gate in self._lenders:
                lender.tick(gate.clock())
            await self._work()

    async def _work(self) -> None:
        while any(lender.jobs for lender, _ in self._lenders):
            trips = []
            for lender, gate in self._lenders:
                while lender.jobs:
                    with suppress(IndexError):  # a thread with a loop of its own may have taken the last one
                        trips.append(self._do(lender, gate, lender.jobs.popleft()))
            await asyncio.gather(*trips)

    async def _do(self, lender: Lender, gate: Gate, job: Job) -> None:
        sent = gate.clock()
        try:
            answer = await self._asking.decide(job.asks)
        except BaseException:
            lender.failed(job)
            raise
        decision = lender.done(job, answer, sent, gate.clock())
        if decision is not None:
            gate.answered(job.identity, decision, sent)
