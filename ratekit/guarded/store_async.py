"""
Guarded, for event loops: `store.py`, awaited.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from ratekit.algorithms import SPEND
from ratekit.decision import Decision
from ratekit.errors import StoreError
from ratekit.guard import Health
from ratekit.guarded.circuit import circuit_of
from ratekit.guarded.gate import (
    MERGING,
    Gate,
    OnOutage,
    check_budget,
    check_outage,
    decided_instead,
    forgotten,
    giving,
    left_alone,
    lowered,
    probing,
    resetting,
    together_at,
)
from ratekit.guarded.part import check_share
from ratekit.stores.counting import Command, Job
from ratekit.stores.naming import Canonical, Plan, Space
from ratekit.stores.protocol import Ask, AsyncCompiled, AsyncCompiledMany, AsyncStore, Seens, async_many_of

CONNECTING: Final = 5.0
"""Seconds that the first connection may take, before there are any requests."""


class AsyncGuardedStore:
    """A remote store for event loops, guarded: `GuardedStore`, awaited."""

    remote = True

    def __init__(
        self, store: AsyncStore, *, budget: float | None, on_outage: OnOutage, deny_cache: float, fallback_share: float = 1
    ) -> None:
        check_budget(budget)
        check_outage(on_outage)
        check_share(fallback_share)
        self._store = store
        self._counting: Any = store  # those that can
        self._budget, self._deny_cache = budget, deny_cache
        self._on_outage: OnOutage = on_outage
        self._share = fallback_share
        self._circuit = circuit_of(store)
        self._gates: dict[Plan, Gate] = {}
        self._probers: dict[asyncio.AbstractEventLoop, asyncio.Task[None]] = {}

    def compile(self, plan: Plan, budget: float | None = None) -> AsyncCompiled:
        """A function that hits every limit of `plan` at once, and always answers within the budget."""
        circuit, guard, clock = self._circuit, self._circuit.guard, self._circuit.clock
        gate = self._gates[plan] = Gate(circuit, plan, deny_cache=self._deny_cache, on_outage=self._on_outage, share=self._share)
        remote = self._store.compile(plan, self._budget if budget is None else budget)
        knows, refuse = gate.denials.knows, gate.denials.refuse

        async def hit(identity: Canonical, cost: int, mode: int) -> Decision:
            sent = clock()
            if mode == SPEND and knows(identity) and (refusal := refuse(identity, cost, sent)) is not None:
                return refusal
            if ticket := guard.ticket:
                try:
                    decision = await remote(identity, cost, mode)
                except StoreError as error:
                    circuit.failed(error, ticket)
                else:
                    if guard.troubled:
                        circuit.succeeded(ticket)
                    gate.answered(identity, decision, sent, mode)
                    return decision
            self._watch()
            return gate.instead(identity, cost, mode, ticket)

        return hit

    def compile_many(self, plan: Plan, budget: float | None = None) -> AsyncCompiledMany:
        """`compile` for many identities at once: what is not known to be refused is one trip. For a plan that has been compiled."""
        circuit, gate = self._circuit, self._gates[plan]
        remote = async_many_of(self._store, plan, self._budget if budget is None else budget)

        async def hit_many(identities: Sequence[Canonical], cost: int) -> list[Decision]:
            sent = circuit.clock()
            answers = gate.refused(identities, cost, sent)
            asked = [i for i in range(len(identities)) if i not in answers]
            ticket = circuit.guard.ticket
            if asked and ticket:
                try:
                    decisions = await remote([identities[i] for i in asked], cost)
                except StoreError as error:
                    circuit.failed(error, ticket)
                else:
                    if circuit.guard.troubled:
                        circuit.succeeded(ticket)
                    for i, decision in zip(asked, decisions, strict=True):
                        gate.answered(identities[i], decision, sent)
                        answers[i] = decision
                    return [answers[i] for i in range(len(identities))]
            self._watch()
            return [answers[i] if i in answers else gate.instead(who, cost, SPEND, ticket) for i, who in enumerate(identities)]

        return hit_many

    async def decide(self, asks: Sequence[Ask], budget: float | None = None) -> Seens:
        """One hit: all-or-nothing over `asks`, or what the outage policy says."""
        if ticket := self._circuit.guard.ticket:
            sent, given = self._circuit.clock(), giving(self._circuit, asks)
            try:
                answer = await self._store.decide(asks, self._budget if budget is None else budget)
            except StoreError as error:
                self._circuit.failed(error, ticket)
            else:
                if self._circuit.guard.troubled:
                    self._circuit.succeeded(ticket)
                if self._on_outage == "local":
                    self._circuit.saw(asks, answer, sent)
                return answer
            finally:
                lowered(given)
        self._watch()
        return decided_instead(self._circuit, asks, self._on_outage, self._share, ticket)

    def probe_with(self, asks: Sequence[Ask]) -> None:
        """What is asked to see whether the store is back, where no plan says it."""
        self._circuit.probe_asks = self._circuit.probe_asks or asks

    def gate(self, plan: Plan) -> Gate:
        """What stands before this store for a plan that has been compiled."""
        return self._gates[plan]

    def with_outage(self, on_outage: OnOutage) -> "AsyncGuardedStore":
        """The same store and circuit under another outage policy."""
        return AsyncGuardedStore(
            self._store, budget=self._budget, on_outage=on_outage, deny_cache=self._deny_cache, fallback_share=self._share
        )

    async def open(self) -> None:
        """Connect ahead of the first request; raises StoreError when credentials or permissions are wrong."""
        ticket = self._circuit.guard.ticket
        try:
            await probing(self._store)(self._circuit.probe_asks, CONNECTING)
        except StoreError as error:
            self._circuit.failed(error, ticket)
            self._watch()
            if error.fault == "refused":
                raise

    async def count(self, key: str, command: Command, budget: float | None = None) -> Any:
        """What a counter's command on a key answers. Raises StoreError: nothing else can count in the store's place."""
        return await self._count(self._counting.count, key, command)

    async def count_many(self, jobs: Sequence[Job], budget: float | None = None) -> list[Any]:
        """`count` for many keys."""
        answers: list[Any] = await self._count(self._counting.count_many, jobs)
        return answers

    async def _count(self, ask: Callable[..., Any], *words: Any) -> Any:
        ticket = self._circuit.guard.ticket
        if not ticket:
            self._watch()
            raise left_alone()
        try:
            answer = await ask(*words, self._budget)
        except StoreError as error:
            self._circuit.failed(error, ticket)
            self._watch()
            raise
        if self._circuit.guard.troubled:
            self._circuit.succeeded(ticket)
        return answer

    async def forget(self, spaces: Sequence[Space], identity: Canonical) -> None:
        """Make the keys of an identity as new; never locally: raises StoreUnavailable."""
        pairs = resetting(self._circuit, spaces, identity)
        try:
            await self._store.forget(spaces, identity)
        finally:
            forgotten(self._circuit, spaces, identity, pairs)

    def health(self) -> Health:
        """How things stand with the store."""
        return self._circuit.health()

    async def aclose(self) -> None:
        """Let go of the store."""
        prober = self._probers.pop(asyncio.get_running_loop(), None)
        if prober is not None:
            prober.cancel()
        await self._store.aclose()

    def _watch(self) -> None:
        """See to it that somebody probes, on this event loop."""
        loop = asyncio.get_running_loop()
        if not self._circuit.guard.ticket and loop not in self._probers:
            prober = self._probers[loop] = loop.create_task(self._probe())
            prober.add_done_callback(lambda _: self._probers.pop(loop, None))

    async def _probe(self) -> None:
        while not self._circuit.guard.ticket:
            await self._look()
            await self._merge()

    async def _look(self) -> None:
        """Send probes until the store is back."""
        circuit, ask = self._circuit, probing(self._store)
        while not circuit.guard.ticket:
            if number := circuit.probe():
                try:
                    answer = await ask(circuit.probe_asks, self._budget)
                except StoreError as error:
                    circuit.probed(number, error)
                else:
                    circuit.probed(number, None, answer)
            else:
                await asyncio.sleep(circuit.pause())

    async def _merge(self) -> None:
        """Charge the store what was admitted in its absence: once, whatever comes of it."""
        circuit, most = self._circuit, together_at(self._store)
        while (ticket := circuit.guard.ticket) and (asks := circuit.due(most)):
            sent = circuit.clock()
            try:
                answer = await self._store.decide(asks, MERGING)
            except StoreError as error:
                circuit.unpaid(asks)
                circuit.failed(error, ticket)
            else:
                circuit.paid(asks, answer, sent)
