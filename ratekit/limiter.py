"""
Limiter and AsyncLimiter: limits, a store, and the six things one can ask.

Both are shells: they check what they are given, ask the store once and hand on its answer.
"""

import threading
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from types import TracebackType
from typing import Any, cast

import anyio

from ratekit import metered, metering
from ratekit.algorithms import LOOK, SPEND
from ratekit.decision import Decision
from ratekit.explanation import Explanation, explained
from ratekit.given import announce, check_cost, check_timeout, health_of, open_or_take
from ratekit.guard import Health
from ratekit.guarded.gate import OnOutage
from ratekit.leases.store import LeasedStore
from ratekit.leases.store_async import AsyncLeasedStore
from ratekit.limit import MOST, Limit, limits_of
from ratekit.pending import Pending
from ratekit.reservation import AsyncReservation, Reservation
from ratekit.stores.memory import AsyncMemoryStore
from ratekit.stores.naming import LONG, Canonical, Identity, Plan, canonical, plan_of
from ratekit.stores.protocol import AsyncStore, Compiled, Spend, Store, asks_of, async_many_of, many_of
from ratekit.waiting import Lines, acquire, async_acquire


class Limiter:
    """
    Limits for threads: at most so many units per identity.

    `limits` are texts or Limits; one hit is charged to all of them or to none. `store` is a URL or a store object. Limiters of one
    `name` (and `prefix`, and store) count together.

    For a remote store: `budget` is the seconds that a decision may take (None: the store's own, 0.05 for Redis, 1.0 for Upstash).
    When they are spent, or the store is known to be away, `on_outage` decides: "local" (this process's memory, from the last known
    state), "open", or "closed" (StoreUnavailable). A refusal is remembered for at most `deny_cache` seconds (0: not at all).
    `fallback_share` is the part of each quota that this process admits by its memory meanwhile, rounded down and 1 at least: 0.25 for
    four processes.
    With `lease`, a share of the quota above 0 and up to 0.5, this process takes units of busy identities ahead of time and spends them
    without a trip (`source` "lease"); `max_over` then says how many units that may let in beyond a sliding window or a token bucket.

    Raises ConfigurationError for what cannot be.

    >>> limiter = Limiter("2/minute", "100/day", name="example")
    >>> [bool(limiter.hit("user:42")) for _ in range(3)]
    [True, True, False]
    """

    def __init__(
        self,
        *limits: str | Limit,
        store: str | Store = "memory://",
        name: str = "default",
        prefix: str = "ratekit",
        budget: float | None = None,
        on_outage: OnOutage = "local",
        deny_cache: float = 1.0,
        fallback_share: float = 1.0,
        lease: float | None = None,
    ) -> None:
        self.limits = limits_of(limits)
        self.name = name
        self._plan: Plan = plan_of(self.limits, prefix=prefix, name=name)
        self._owned = isinstance(store, str)
        announce(self, store, prefix, name, self.limits)
        self._store: Store = open_or_take(
            store,
            "close",
            budget=budget,
            on_outage=on_outage,
            deny_cache=deny_cache,
            fallback_share=fallback_share,
            lease=lease,
        )
        self._decide: Compiled = self._store.compile(self._plan)
        self._decide_many = many_of(self._store, self._plan)
        self._lines: Lines[threading.Event] = Lines()
        spender = getattr(self._store, "spender", None)
        if spender is not None and type(self).hit is Limiter.hit:
            # Where nobody is asked, a frame more would be a tenth of the whole hit.
            self.__dict__["hit"] = _as(Limiter.hit, spender(self._plan, partial(_spend, self._decide)))
        self._reserving: Any = self._store
        metering.watch(self)

    def _count(self) -> None:
        tally, timed = metering.tally_of(self.name), bool(getattr(self._store, "remote", False))
        hit, many = self.__dict__.get("hit"), self._decide_many
        if hit is not None and timed:
            self.__dict__["hit"] = _as(Limiter.hit, metered.timed_spends(tally, hit, self.limits))
        elif hit is not None:
            spend = metered.spends(tally, self._plan, cast(Any, self._store).spender, partial(_spend, self._decide))
            self.__dict__["hit"] = _as(Limiter.hit, spend)
        self._decide = metered.decides(tally, self._decide, self.limits, timed=timed)
        self._decide_many = metered.many(tally, many)
        self._reserving = metered.CountedStore(self._store, tally)

    def hit(self, identity: Identity, cost: int = 1) -> Decision:
        """
        Charge `cost` units to an identity if every limit has room, else charge nothing.

        Raises ConfigurationError for a cost outside 1 to 10^9 or an identity that is none; StoreUnavailable when the store is away
        and `on_outage` is "closed".
        """
        return _spend(self._decide, identity, cost)

    def hit_many(self, identities: Iterable[Identity], cost: int = 1) -> list[Decision]:
        """
        `hit` for many identities, each by itself: their decisions, in order. From Redis in one trip, of 512 hits at most.

        >>> limiter = Limiter("2/minute", name="many")
        >>> [bool(decision) for decision in limiter.hit_many(["user:1", "user:2", "user:1", "user:1"])]
        [True, True, True, False]
        """
        keys = [canonical(identity) for identity in identities]
        return self._decide_many(keys, check_cost(cost))

    def peek(self, identity: Identity, cost: int = 1) -> Decision:
        """The answer that `hit` would give now, with `remaining` before it; nothing is charged."""
        return self._decide(canonical(identity), check_cost(cost), LOOK)

    def explain(self, identity: Identity) -> Explanation:
        """Which limits there are for an identity, what was spent of each, when it is free again; nothing is charged."""
        return explained(identity, self.peek(identity))

    def acquire(self, identity: Identity, cost: int = 1, timeout: float | None = None) -> Decision:
        """
        Wait until the hit is admitted, first come first served per identity in this process, and return its decision.

        `timeout` in seconds, None without bound. Raises RateLimitExceeded, at once if waiting cannot help in time.
        """
        key, cost, timeout = canonical(identity), check_cost(cost), check_timeout(timeout)
        return acquire(self._lines, key, lambda: self._decide(key, cost, SPEND), lambda: self._decide(key, cost, LOOK), timeout)

    def reserve(self, identity: Identity, cost: int = 1) -> Reservation:
        """
        Charge `cost` on entering a `with` block, and settle inside it with `reservation.commit(used)`.

        Entering raises RateLimitExceeded when it is refused. Left without commit it stays spent; on an exception it is given back.
        """
        return Reservation(self._reserving, asks_of(self._plan, canonical(identity), check_cost(cost), SPEND))

    def reset(self, identity: Identity) -> None:
        """Make an identity as new."""
        self._store.forget([space for _, space in self._plan], canonical(identity))

    def health(self) -> Health:
        """How things stand with the store: whether it is asked, since when, why not."""
        return health_of(self._store)

    def close(self) -> None:
        """Give back what was lent; let go of a store that was opened from a URL. A store object that was passed in stays open."""
        if isinstance(self._store, LeasedStore):
            self._store.give_back()
        if self._owned:
            self._owned = False
            self._store.close()

    def __enter__(self) -> "Limiter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Limiter({', '.join(repr(str(limit)) for limit in self.limits)}, name={self.name!r})"


class AsyncLimiter:
    """
    Limits for event loops: `Limiter`, awaited. Memory works under asyncio and trio, Redis under asyncio.

    Before it is awaited an answer has no truth value: `if limiter.hit(...)` without `await` raises TypeError.
    """

    def __init__(
        self,
        *limits: str | Limit,
        store: str | AsyncStore = "memory://",
        name: str = "default",
        prefix: str = "ratekit",
        budget: float | None = None,
        on_outage: OnOutage = "local",
        deny_cache: float = 1.0,
        fallback_share: float = 1.0,
        lease: float | None = None,
    ) -> None:
        self.limits = limits_of(limits)
        self.name = name
        self._plan: Plan = plan_of(self.limits, prefix=prefix, name=name)
        self._owned = isinstance(store, str)
        announce(self, store, prefix, name, self.limits)
        self._store: AsyncStore = open_or_take(
            store,
            "aclose",
            budget=budget,
            on_outage=on_outage,
            deny_cache=deny_cache,
            fallback_share=fallback_share,
            lease=lease,
        )
        # Remote stores are guarded, the others never wait: what is compiled is a coroutine function in either case.
        self._decide = cast(Callable[[Canonical, int, int], Coroutine[Any, Any, Decision]], self._store.compile(self._plan))
        self._decide_many = cast(
            Callable[[list[Canonical], int], Coroutine[Any, Any, list[Decision]]], async_many_of(self._store, self._plan)
        )
        self._lines: Lines[anyio.Event] = Lines()
        if isinstance(self._store, AsyncMemoryStore) and type(self).hit is AsyncLimiter.hit:
            memory = self._store.sync
            self.__dict__["hit"] = _awaited(memory.spender(self._plan, partial(_spend, memory.compile(self._plan))))
        self._reserving: Any = self._store
        metering.watch(self)

    def _count(self) -> None:
        tally, timed, many = metering.tally_of(self.name), bool(getattr(self._store, "remote", False)), self._decide_many
        if "hit" in self.__dict__:
            memory = cast(AsyncMemoryStore, self._store).sync
            self.__dict__["hit"] = _awaited(
                metered.spends(tally, self._plan, memory.spender, partial(_spend, memory.compile(self._plan)))
            )
        self._decide = metered.async_decides(tally, self._decide, self.limits, timed=timed)
        self._decide_many = metered.async_many(tally, many)
        self._reserving = metered.AsyncCountedStore(self._store, tally)

    def hit(self, identity: Identity, cost: int = 1) -> Pending[Decision]:
        """Charge `cost` units to an identity if every limit has room, else charge nothing."""
        if type(cost) is not int or not 1 <= cost <= MOST:
            check_cost(cost)
        key = identity if type(identity) is str and len(identity) <= LONG else canonical(identity)
        return Pending(self._decide(key, cost, SPEND))

    def hit_many(self, identities: Iterable[Identity], cost: int = 1) -> Pending[list[Decision]]:
        """`hit` for many identities, each by itself: their decisions, in order. From Redis in one trip, of 512 hits at most."""
        keys = [canonical(identity) for identity in identities]
        return Pending(self._decide_many(keys, check_cost(cost)))

    def peek(self, identity: Identity, cost: int = 1) -> Pending[Decision]:
        """The answer that `hit` would give now, with `remaining` before it; nothing is charged."""
        return Pending(self._decide(canonical(identity), check_cost(cost), LOOK))

    async def explain(self, identity: Identity) -> Explanation:
        """Which limits there are for an identity, what was spent of each, when it is free again; nothing is charged."""
        return explained(identity, await self.peek(identity))

    def acquire(self, identity: Identity, cost: int = 1, timeout: float | None = None) -> Pending[Decision]:
        """Wait until the hit is admitted, first come first served per identity in this process; raises RateLimitExceeded."""
        key, cost, timeout = canonical(identity), check_cost(cost), check_timeout(timeout)
        return Pending(
            async_acquire(self._lines, key, lambda: self._decide(key, cost, SPEND), lambda: self._decide(key, cost, LOOK), timeout)
        )

    def reserve(self, identity: Identity, cost: int = 1) -> AsyncReservation:
        """Charge `cost` on entering an `async with` block, and settle inside it with `await reservation.commit(used)`."""
        return AsyncReservation(self._reserving, asks_of(self._plan, canonical(identity), check_cost(cost), SPEND))

    async def reset(self, identity: Identity) -> None:
        """Make an identity as new."""
        await self._store.forget([space for _, space in self._plan], canonical(identity))

    def health(self) -> Health:
        """How things stand with the store: whether it is asked, since when, why not."""
        return health_of(self._store)

    async def aclose(self) -> None:
        """Give back what was lent; let go of a store that was opened from a URL. A store object that was passed in stays open."""
        if isinstance(self._store, AsyncLeasedStore):
            await self._store.give_back()
        if self._owned:
            self._owned = False
            await self._store.aclose()

    async def __aenter__(self) -> "AsyncLimiter":
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"AsyncLimiter({', '.join(repr(str(limit)) for limit in self.limits)}, name={self.name!r})"


def _as(method: Callable[..., Any], hit: Callable[..., Any]) -> Callable[..., Any]:
    """The same function under the method's name: what is said of wrong arguments names it."""
    hit.__name__, hit.__qualname__, hit.__doc__ = method.__name__, method.__qualname__, method.__doc__
    return hit


def _awaited(spend: Spend) -> Callable[[Identity, int], Pending[Decision]]:
    """What is known without waiting, as an answer that is awaited."""
    new, one = object.__new__, 1

    async def answer(identity: Identity, cost: int) -> Decision:
        return spend(identity, cost)

    def hit(identity: Identity, cost: int = 1) -> Pending[Decision]:
        if cost is not one:
            check_cost(cost)
        if type(identity) is not str:
            canonical(identity)
        pending: Any = new(Pending)
        pending.__await__ = answer(identity, cost).__await__
        return pending  # type: ignore[no-any-return]

    return _as(AsyncLimiter.hit, hit)


def _spend(decide: Compiled, identity: Identity, cost: int = 1) -> Decision:
    if type(cost) is not int or not 1 <= cost <= MOST:
        check_cost(cost)
    key = identity if type(identity) is str and len(identity) <= LONG else canonical(identity)
    return decide(key, cost, SPEND)
