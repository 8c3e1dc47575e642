"""
Enforcer: the policies of one middleware and the store that they count in. One request is one hit, however many policies it meets.
"""

from collections.abc import Sequence
from typing import Any

from ratekit.algorithms import SPEND
from ratekit.decision import Decision
from ratekit.gate import OnOutage
from ratekit.guarded import AsyncGuardedStore
from ratekit.http.fields import Applied
from ratekit.http.plan import Claim, Prepared
from ratekit.http.verdict import asks_of_claims, judge
from ratekit.limiter import open_or_take
from ratekit.stores.protocol import AsyncCompiled, AsyncStore


class AsyncEnforcer:
    """
    Decides claims on a store for event loops.

    Policies with an outage policy of their own share the store and its circuit. When several policies meet one request in an
    outage, one that is "closed" closes it; else it is decided locally where one of them says so.
    """

    def __init__(
        self,
        policies: Sequence[Prepared],
        store: str | AsyncStore,
        *,
        budget: float | None,
        on_outage: OnOutage,
        deny_cache: float,
    ) -> None:
        self._on_outage = on_outage
        self.store: Any = open_or_take(store, budget=budget, on_outage=on_outage, deny_cache=deny_cache)
        self._stores: dict[str, Any] = {on_outage: self.store}
        for prepared in policies:
            wanted = prepared.policy.on_outage or on_outage
            if wanted not in self._stores:
                self._stores[wanted] = self.store.with_outage(wanted) if isinstance(self.store, AsyncGuardedStore) else self.store
        self._single: dict[str, AsyncCompiled] = {
            prepared.policy.name: self._store_for([prepared]).compile(prepared.plan) for prepared in policies
        }

    async def decide(self, claims: Sequence[Claim]) -> tuple[Decision, list[Applied]]:
        """One hit for all claims: the decision, and per limit which policy decided what. Raises StoreError."""
        if len(claims) == 1:
            prepared, identity, cost = claims[0]
            decision = await self._single[prepared.policy.name](identity, cost, SPEND)
            return decision, [Applied(prepared.policy.name, part) for part in decision.details]
        asks = asks_of_claims(claims)
        store = self._store_for([claim.prepared for claim in claims])
        return judge(claims, asks, await store.decide(asks))

    async def open(self) -> None:
        """Connect ahead of the first request; raises StoreError when credentials or permissions are wrong."""
        if isinstance(self.store, AsyncGuardedStore):
            await self.store.open()

    def _store_for(self, policies: Sequence[Prepared]) -> Any:
        wanted = {prepared.policy.on_outage or self._on_outage for prepared in policies}
        return self._stores[next(policy for policy in ("closed", "local", "open") if policy in wanted)]
