"""
Enforcer: the policies around an application and the store that they count in. One request is one hit, however many policies it
meets. What differs between frameworks stays outside: how their requests look, and how they wait.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from itertools import islice
from time import perf_counter_ns
from typing import Any, Final, NamedTuple

from ratekit import metered, metering
from ratekit.algorithms import SPEND
from ratekit.decision import Decision, decide
from ratekit.errors import ConfigurationError, RateLimitExceeded, StoreError
from ratekit.given import open_or_take
from ratekit.guarded.gate import Gate, OnOutage, answered_to, refused_by
from ratekit.http.fields import Lines, lines_of
from ratekit.http.hashing import hasher, partition_of
from ratekit.http.headers import DEFAULT, Headers, headers_of
from ratekit.http.owed import Response, owed_of
from ratekit.http.plan import UNMISTAKABLE, Claim, Faulty, Nobody, Prepared, Steps, asks_nothing, by_address, plan, prepare
from ratekit.http.problem import Answer
from ratekit.http.refusals import told, told_one
from ratekit.http.verdict import AWAY, BROKEN, asks_of_claims, unauthorized
from ratekit.http.visit import Visit
from ratekit.keys import Proxies
from ratekit.leases.store_async import AsyncLeasedStore
from ratekit.limit import Limit
from ratekit.policy import Policy
from ratekit.rehearsal import each_of, rehearse
from ratekit.request import Request
from ratekit.stores.memory import AsyncMemoryStore, MemoryStore
from ratekit.stores.naming import canonical
from ratekit.stores.off import AsyncOffStore, OffStore
from ratekit.stores.protocol import decisions_of
from ratekit.workers import warn_of_workers

Refused = Decision | Answer
"""Why the application is not reached: a decision that refuses, or the answer to a request that cannot be decided on."""

log: Final = logging.getLogger("ratekit")


class Later(Enum):
    """No answer yet: the long way has to be gone."""

    LATER = "later"


LATER: Final = Later.LATER


class Straight(NamedTuple):
    """
    The decision on most requests to one process, where a method that is UNMISTAKABLE and a peer's address are all there is to it:
    `spend(by_address(peer), cost)`, told by `lines`; who is refused is refused by `policy`.
    """

    spend: Callable[[Any, int], Decision]
    policy: str
    cost: int
    lines: Lines


class Enforcer:
    """
    Decides on visits: `at_once` where neither the request nor the store has to be waited for, else `decide` for threads and
    `decide_async` for event loops; each answers None for go on, or what refuses. `closing` is the method that closes the store.

    Policies with an outage policy of their own share the store and its circuit. When several policies meet one request in an
    outage, one that is "closed" closes it; else it is decided locally where one of them says so.

    Where `charges` says that a policy charges by the response, an adapter also calls `settle` or `settle_async` with it, once: what
    was decided has reserved, and settling commits.
    """

    def __init__(
        self,
        limits: str | Limit | Sequence[str | Limit] | None,
        policies: Sequence[Policy] | None,
        given: Any,
        request_of: Callable[[Any], Request],
        *,
        closing: str = "aclose",
        name: str,
        prefix: str,
        trusted_proxies: Sequence[str],
        forwarded_header: str,
        budget: float | None,
        on_outage: OnOutage,
        deny_cache: float,
        fallback_share: float = 1.0,
        lease: float | None = None,
        headers: str | Sequence[str] | Headers = DEFAULT,
        hash_keys: bool | str | bytes = False,
        more: Sequence[Policy] = (),
    ) -> None:
        if limits is not None and policies is not None:
            raise ConfigurationError("limits= and policies= are both given: write the limits as one more Policy, or leave them out")
        if limits is not None:
            policies = [Policy("default", limits)]
        self.headers = headers_of(headers)
        self.hash_keys = hash_keys
        self.named: Callable[[Any], Any] = hasher(hash_keys) if hash_keys else canonical
        """What an identity is counted under."""
        prepared = prepare(policies or (), name=name, prefix=prefix, unnamed=limits is not None, headers=self.headers)
        # Those of a route go into the same hit.
        prepared += prepare(more, name=name, prefix=prefix, unnamed=False, headers=self.headers)
        self.store: Any = open_or_take(
            given,
            closing,
            budget=budget,
            on_outage=on_outage,
            deny_cache=deny_cache,
            fallback_share=fallback_share,
            lease=lease,
        )
        self.proxies = Proxies(trusted_proxies, forwarded_header)
        self.given, self.request_of = given, request_of
        self._on_outage = on_outage
        self._broken: set[str] = set()
        self._name = name
        self._tallies: dict[str, metering.Tally] = {}
        """Per policy what it decides, once somebody wants to know."""
        # Off is off: nothing is asked of a request that could fail.
        self._policies = [] if isinstance(self.store, AsyncOffStore | OffStore) else prepared
        self.charges = any(prepared.policy.charge is not None for prepared in self._policies)
        self._awaited = closing == "aclose" and type(self.store) is not AsyncMemoryStore
        self._shadows = {
            prepared.policy.name: metering.tally_of(name, prepared.policy.name)
            for prepared in self._policies
            if prepared.policy.shadow
        }
        self._compile()
        metering.watch(self)
        warn_of_workers(given)

    def _count(self) -> None:
        self._tallies = {prepared.policy.name: metering.tally_of(self._name, prepared.policy.name) for prepared in self._policies}
        self._compile()

    def _compile(self) -> None:
        # What is in this process is asked directly: nobody waits for it.
        nearest: Any = self.store.sync if type(self.store) is AsyncMemoryStore else self.store
        self._stores: dict[str, Any] = {self._on_outage: nearest}
        for prepared in self._policies:
            wanted = prepared.policy.on_outage or self._on_outage
            if wanted not in self._stores:
                self._stores[wanted] = nearest.with_outage(wanted) if self.store.remote else nearest
        self._hits: dict[str, Any] = {
            prepared.policy.name: self._store_for([prepared]).compile(prepared.plan) for prepared in self._policies
        }
        self._gates: dict[str, Gate] = {}
        if getattr(self.store, "remote", False):
            self._gates = {prepared.policy.name: self._store_for([prepared]).gate(prepared.plan) for prepared in self._policies}
        plain = asks_nothing(self._policies) and not self.proxies.named and not self.headers.partition_key
        plain = plain and self.named is canonical
        self._only = self._policies[0] if plain else None
        self.straight = self._straighten(self._policies[0], nearest) if plain and not self._awaited else None
        """What `at_once` does, for those who would rather do it in a frame of their own; None where there is more to it."""
        self.at_once = self._at_once(self.straight) if self.straight else self._later
        """The decision by a method and a peer's address, where that is all there is to it; else LATER."""
        if self._tallies:
            decides, timed = metered.async_decides if self._awaited else metered.decides, bool(self._gates)
            limits = {prepared.policy.name: prepared.policy.limits for prepared in self._policies}
            self._counts = {name: metered.counter(self._tallies[name], some, timed=timed) for name, some in limits.items()}
            self._hits = {name: decides(self._tallies[name], hit, limits[name], timed=timed) for name, hit in self._hits.items()}

    def _straighten(self, only: Prepared, store: Any) -> Straight:
        hit, cost = self._hits[only.policy.name], only.policy.cost
        assert isinstance(cost, int)
        spend: Any = lambda identity, cost: hit(identity, cost, SPEND)  # noqa: E731 - what the spender asks where it has no answer
        if isinstance(store, MemoryStore):
            tally = self._tallies.get(only.policy.name)
            spend = metered.spends(tally, only.plan, store.spender, spend) if tally else store.spender(only.plan, spend)
        elif self._tallies:
            spend = metered.timed_spends(self._tallies[only.policy.name], spend, only.policy.limits)
        return Straight(spend, only.policy.name, cost, only.lines)

    def _at_once(self, straight: Straight) -> "Callable[[Visit, str, str | None], Refused | Later | None]":
        spend, policy, cost, lines = straight

        def at_once(visit: Visit, method: str, peer: str | None) -> Refused | Later | None:
            if method not in UNMISTAKABLE or not peer:
                return LATER
            try:
                decision = spend(by_address(peer), cost)
            except Exception as error:
                return self.answer_to(error, visit)
            visit.lines, visit.decision = lines, decision
            return None if decision[0] else told_one(policy, by_address(peer), decision)

        return at_once

    def _later(self, visit: Visit, method: str, peer: str | None) -> Refused | Later | None:
        return LATER if self._policies else None

    def decide(self, visit: Visit) -> Refused | None:
        """The decision on a visit; a policy's callables have to be plain functions."""
        try:
            refused: Refused | None = _run(self._steps(visit))
        except Exception as error:
            return self.answer_to(error, visit)
        return refused

    async def decide_async(self, visit: Visit, method: str = "", peer: str | None = None) -> Refused | None:
        """The decision on a visit, awaited; with a method and a peer's address the straight way where there is one."""
        try:
            if self._only is None or method not in UNMISTAKABLE or not peer:
                refused: Refused | None = await _run_async(self._steps(visit))
                return refused
            policy, _, lines, *_ = self._only
            decision: Decision = await self._hits[policy.name](by_address(peer), policy.cost, SPEND)
        except Exception as error:
            return self.answer_to(error, visit)
        visit.lines, visit.decision = lines, decision
        return None if decision else told_one(policy.name, by_address(peer), decision)

    def _steps(self, visit: Visit) -> Steps:
        """One hit for all policies that apply; yields what must be awaited, and is sent what that gives."""
        claims = yield from plan(self._policies, visit.request, self.named, self._judged)
        if isinstance(claims, Nobody):
            return unauthorized(claims)
        if isinstance(claims, Faulty):
            return AWAY
        shadows: list[Claim] = []
        if self._shadows:
            shadows = [claim for claim in claims if claim.prepared.policy.shadow]
            claims = [claim for claim in claims if not claim.prepared.policy.shadow]
        if not claims and not shadows:
            return None
        if len(claims) == 1 and claims[0].prepared.policy.charge is None and not shadows:
            prepared, identity, cost = claims[0]
            answer = self._hits[prepared.policy.name](identity, cost, SPEND)
            decision, lines = (yield answer) if self._awaited else answer, prepared.lines
        else:
            claims, parts = yield from self._together(claims, shadows, visit)
            if not claims:
                return None
            decision, lines = decide(parts), None
        if lines is None or self.headers.partition_key:
            lines = self._lines_of(claims)
        visit.lines, visit.decision = lines, decision
        return None if decision else told(claims, decision)

    def _lines_of(self, claims: Sequence[Claim]) -> Lines:
        named = tuple(named for claim in claims for named in claim.prepared.lines.named)
        if not self.headers.partition_key:
            return lines_of(named, self.headers)
        return lines_of(named, self.headers, tuple(partition_of(claim.identity) for claim in claims for _ in claim.prepared.plan))

    def _together(self, claims: list[Claim], shadows: list[Claim], visit: Visit) -> Steps:
        """One hit for several policies: the claims that are known to be refused, else all, with a decision per limit."""
        gates, sent, began = self._gates, 0, perf_counter_ns() if self._tallies else 0
        parts = [(gates[prepared.policy.name], identity, cost) for prepared, identity, cost in claims] if gates else []
        if parts:
            sent = parts[0][0].clock()
            if known := refused_by(parts, sent):
                if self._tallies:
                    self._tell([claims[i] for i in known], known.values(), began)
                return [claims[i] for i in known], [part for refusal in known.values() for part in refusal.details]
        asks, rehearsed = asks_of_claims(claims), asks_of_claims(shadows)
        try:
            answer = self._store_for([claim.prepared for claim in claims or shadows]).decide([*asks, *rehearsed])
            seen = (yield answer) if self._awaited else answer
        except StoreError:
            for claim in claims if self._tallies else ():
                self._tallies[claim.prepared.policy.name].unavailable += 1
            if claims:
                raise
            return [], []  # what only rehearses harms nobody
        if shadows:
            names, plans = [claim.prepared.policy.name for claim in shadows], [claim.prepared.plan for claim in shadows]
            seen = rehearse(self._shadows, names, plans, rehearsed, seen)
        decisions = decisions_of(asks, seen)
        if self._tallies:
            self._tell(claims, each_of([claim.prepared.plan for claim in claims], decisions), began)
        if self.charges and all(decisions):
            visit.owed = owed_of(claims, asks, seen)
        if parts:
            each = iter(decisions)
            answered_to(parts, [decide([*islice(each, len(claim.prepared.plan))]) for claim in claims], sent)
        return claims, decisions

    def _tell(self, claims: Sequence[Claim], decisions: Iterable[Decision], began: int) -> None:
        passed = perf_counter_ns() - began
        for claim, decision in zip(claims, decisions, strict=True):
            self._counts[claim.prepared.policy.name](decision, passed)

    def answer_to(self, error: Exception, visit: Visit) -> Refused:
        """What the client is told of an error; each kind of fault is logged once."""
        if isinstance(error, RateLimitExceeded):
            if all(part.decision for part in visit.applied):  # raised by a limiter that the application asked by itself
                visit.record("default", error.decision)
            return error.decision
        fault = f"{type(error).__name__}: {error}"
        self._log_once(fault, fault, error)
        return AWAY if isinstance(error, StoreError) else BROKEN

    def _judged(self, policy: Policy, error: Exception) -> str:
        """What is to be done when a policy's callable raises; what it says of each request is not logged again."""
        kind = type(error).__name__
        self._log_once(f"{policy.name}: {kind}", f"policy {policy.name!r}: {kind}: {error}", error)
        return policy.on_outage or self._on_outage

    def _log_once(self, kind: str, fault: str, error: Exception) -> None:
        if kind not in self._broken and len(self._broken) < 100:
            self._broken.add(kind)
            log.error("rate limiting: %s", fault, exc_info=error)

    def settle(self, visit: Visit, response: Response) -> None:
        """Charge for a response what its policies say, instead of what they reserved; nothing where nothing is owed, or once it was."""
        if getattr(visit, "owed", None) is not None:
            try:
                _run(self._settling(visit, response))
            except Exception as error:
                self.answer_to(error, visit)

    async def settle_async(self, visit: Visit, response: Response) -> None:
        """`settle`, awaited."""
        if getattr(visit, "owed", None) is not None:
            try:
                await _run_async(self._settling(visit, response))
            except Exception as error:
                self.answer_to(error, visit)

    def _settling(self, visit: Visit, response: Response) -> Steps:
        owed, visit.owed = visit.owed, None
        assert owed is not None
        asks = yield from owed.asks(response, self._judged)
        if asks:
            answer = self._stores[self._on_outage].decide(asks)
            if self._awaited:
                yield answer

    async def open(self) -> None:
        """Connect ahead of the first request; raises StoreError when credentials or permissions are wrong."""
        if hasattr(self.store, "open"):
            await self.store.open()

    async def aclose(self) -> None:
        """Let go of a store that was opened from a URL; one that was passed in stays open."""
        if isinstance(self.store, AsyncLeasedStore):
            await self.store.give_back()
        if isinstance(self.given, str):
            await self.store.aclose()

    def _store_for(self, policies: Sequence[Prepared]) -> Any:
        wanted = {prepared.policy.on_outage or self._on_outage for prepared in policies}
        return self._stores[next(policy for policy in ("closed", "local", "open") if policy in wanted)]


def _run(steps: Steps) -> Any:
    try:
        waiting = steps.send(None)
    except StopIteration as stop:
        return stop.value
    if hasattr(waiting, "close"):
        waiting.close()
    raise ConfigurationError("a policy's key, cost or exempt is async: where requests are served by threads, write plain functions")


async def _run_async(steps: Steps) -> Any:
    value, raised = None, None
    while True:
        try:
            waiting = steps.send(value) if raised is None else steps.throw(raised)
        except StopIteration as stop:
            return stop.value
        try:
            value, raised = await waiting, None
        except Exception as error:  # it is the steps' to say what that means
            raised = error
