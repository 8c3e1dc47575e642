"""
@rate_limit: limits for a function, `def` and `async def` alike.

Inside a request it needs no request parameter: the middleware around it knows who is asking, answers a refusal and sends the
header fields.
"""

import functools
import inspect
import os
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from ratekit.arguments import by_name, check_key
from ratekit.decision import Decision
from ratekit.errors import ConfigurationError, RateLimitExceeded
from ratekit.given import check_cost, check_timeout
from ratekit.http.visit import VISIT, Visit
from ratekit.limit import Limit, limits_of
from ratekit.limiter import AsyncLimiter, Limiter
from ratekit.routes import Standing
from ratekit.stores.naming import plan_of
from ratekit.stores.protocol import AsyncStore, Store

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])

FUNCTION = ("function",)
"""Who is asking where nobody is: the function itself. A tuple, so that no address can spell it."""


def rate_limit(
    *limits: str | Limit | Limiter | AsyncLimiter,
    key: Callable[..., Any] | None = None,
    cost: int | Callable[..., Any] = 1,
    wait: float | None = None,
    store: str | Store | AsyncStore | None = None,
    prefix: str = "ratekit",
) -> Callable[[F], F]:
    """
    Limit a function; a refused call raises RateLimitExceeded, or waits up to `wait` seconds for its turn.

    `limits` are texts or Limits, counted under the function's qualified name, or one Limiter (AsyncLimiter for `async def`), whose
    functions count together. `key` and a callable `cost` get the call's arguments by name. Without `key` it is the client's address
    inside a request, else the function as a whole. `store` is by default the one of the middleware around the call, else
    RATEKIT_STORE, else memory. Raises ConfigurationError when it decorates what it cannot.

    >>> @rate_limit("2/minute", key=lambda user_id, **_: user_id)
    ... def send_mail(user_id, text): return "sent"
    >>> send_mail(7, "hello")
    'sent'
    """
    limiter = limits[0] if len(limits) == 1 and isinstance(limits[0], Limiter | AsyncLimiter) else None
    if limiter is not None and store is not None:
        raise ConfigurationError("rate_limit(limiter) has the limiter's store: leave store= out")
    parsed = () if limiter is not None else limits_of(cast("tuple[str | Limit, ...]", limits))
    check_timeout(wait)
    if not callable(cost):
        check_cost(cost)
    check_key(key)

    def decorate(function: F) -> F:
        call = _Call(function, parsed, limiter, key=key, cost=cost, wait=wait, store=store, prefix=prefix)
        limited: Any = call.wrap_async() if call.is_async else call.wrap()
        own = "" if limiter is not None else call.name
        standing = Standing(call.label, parsed if limiter is None else limiter.limits, store, function=own)
        limited.__ratekit__ = (*getattr(function, "__ratekit__", ()), standing)
        return cast("F", limited)

    return decorate


class _Call:
    """One decorated function: how its calls become hits."""

    def __init__(
        self,
        function: Callable[..., Any],
        limits: tuple[Limit, ...],
        limiter: Limiter | AsyncLimiter | None,
        *,
        key: Callable[..., Any] | None,
        cost: int | Callable[..., Any],
        wait: float | None,
        store: str | Store | AsyncStore | None,
        prefix: str,
    ) -> None:
        if isinstance(function, staticmethod | classmethod | property) or not callable(function):
            raise ConfigurationError(
                f"{function!r} is no plain function: put @rate_limit below @staticmethod, @classmethod, @property"
            )
        if inspect.isasyncgenfunction(function):
            raise ConfigurationError(f"{function!r} is an async generator: limit the function that iterates over it")
        self.is_async = inspect.iscoroutinefunction(function)
        if limiter is not None and isinstance(limiter, AsyncLimiter) is not self.is_async:
            right, kind = ("an AsyncLimiter", "async def") if self.is_async else ("a Limiter", "def")
            raise ConfigurationError(f"{function!r} is {kind}: give rate_limit {right}")
        self.function = function
        name = getattr(function, "__name__", type(function).__name__)
        self.label = name.encode("ascii", "backslashreplace").decode("ascii")  # what a header field can say
        self.name = f"{function.__module__}.{getattr(function, '__qualname__', name)}"
        self.arguments = by_name(function, key=key, cost=cost if callable(cost) else None)
        self.key, self.cost, self.wait = key, cost, wait
        self.asks = key is not None or callable(cost)
        self.limits, self.limiter, self.store, self.prefix = limits, limiter, store, prefix
        self.limiters: dict[Any, Any] = {}
        if limiter is None:
            plan_of(limits, prefix=prefix, name=self.name)
        if store is not None:
            self.limiter_of(None)  # a store that cannot be is said here, not at the first call

    def wrap(self) -> Callable[..., Any]:
        """The function, limited."""

        @functools.wraps(self.function)
        def limited(*args: Any, **kwargs: Any) -> Any:
            visit = VISIT.get()
            values = self.arguments(args, kwargs) if self.asks else {}
            cost = self.cost(**values) if callable(self.cost) else self.cost
            identity = self.key(**values) if self.key else self.identity(visit)
            limiter: Limiter = self.limiter_of(visit)
            try:
                decision = limiter.hit(identity, cost) if self.wait is None else limiter.acquire(identity, cost, self.wait)
            except RateLimitExceeded as error:
                decision = error.decision
            self.judged(visit, decision)
            return self.function(*args, **kwargs)

        return limited

    def wrap_async(self) -> Callable[..., Any]:
        """The coroutine function, limited."""

        @functools.wraps(self.function)
        async def limited(*args: Any, **kwargs: Any) -> Any:
            visit = VISIT.get()
            values = self.arguments(args, kwargs) if self.asks else {}
            cost = await _settled(self.cost(**values)) if callable(self.cost) else self.cost
            identity = await _settled(self.key(**values)) if self.key else self.identity(visit)
            limiter: AsyncLimiter = self.limiter_of(visit)
            try:
                decision = await (limiter.hit(identity, cost) if self.wait is None else limiter.acquire(identity, cost, self.wait))
            except RateLimitExceeded as error:
                decision = error.decision
            self.judged(visit, decision)
            return await self.function(*args, **kwargs)

        return limited

    def identity(self, visit: Visit | None) -> Any:
        """Who is asking where no `key` says."""
        return FUNCTION if visit is None else visit.identity()

    def limiter_of(self, visit: Visit | None) -> Any:
        """The limiter given, or the one for the store that this call is to use."""
        if self.limiter is not None:
            return self.limiter
        store: Any = self.store if self.store is not None else visit.store if visit is not None else None
        if store is None:  # an empty MemoryStore is false, and is meant all the same
            store = os.environ.get("RATEKIT_STORE") or "memory://"
        if not self.is_async and not isinstance(store, str) and hasattr(store, "aclose"):
            store = _for_threads(store, self.name)
        if store not in self.limiters:
            kind = AsyncLimiter if self.is_async else Limiter
            self.limiters[store] = kind(*self.limits, store=store, name=self.name, prefix=self.prefix)
        return self.limiters[store]

    def judged(self, visit: Visit | None, decision: Decision) -> None:
        """Keep the decision for the header fields; raise it when it refuses."""
        if visit is not None:
            visit.record(self.label, decision)
        if not decision:
            raise RateLimitExceeded(decision)


async def _settled(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


def _for_threads(store: Any, name: str) -> Any:
    """The same state for a `def` function, where an async store is around it."""
    if hasattr(store, "sync"):
        return store.sync
    raise ConfigurationError(
        f"{name} is def and the middleware's store is async: give rate_limit a store= for threads, or a URL to both"
    )
