"""
What a limiter is given, checked: costs, times, a name, a store, and how the store is to be guarded.
"""

from typing import Any, Final
from weakref import WeakValueDictionary

from ratekit.denials import check_deny_cache
from ratekit.errors import ConfigurationError, caution
from ratekit.guard import Health
from ratekit.guarded.gate import OnOutage, check_budget, check_outage
from ratekit.guarded.guards import guarded
from ratekit.guarded.part import check_share
from ratekit.leases.leasing import check_lease
from ratekit.leases.store import LeasedStore
from ratekit.leases.store_async import AsyncLeasedStore
from ratekit.limit import MOST, Limit
from ratekit.stores.off import AsyncOffStore, OffStore, switched_off
from ratekit.stores.url import open_async_store, open_store

_LIVE: Final[WeakValueDictionary[Any, Any]] = WeakValueDictionary()


def check_cost(cost: object, least: int = 1) -> int:
    """The cost itself; raises ConfigurationError (a ValueError) for anything but a whole number in the domain."""
    if type(cost) is not int or not least <= cost <= MOST:
        raise ConfigurationError(f"cost {cost!r}: write a whole number from {least} to {MOST}")
    return cost


def announce(holder: Any, store: object, prefix: str, name: str, limits: tuple[Limit, ...]) -> None:
    """Warn when another live holder counts under the same name by other limits."""
    key = (store if isinstance(store, str) else id(store), prefix, name)
    other = _LIVE.setdefault(key, holder)
    if other.limits != limits:
        ours, theirs = ("; ".join(map(str, some)) for some in (limits, other.limits))
        caution(f"two limiters named {name!r} count together by different limits ('{theirs}' and '{ours}'): give one a name=")


def health_of(store: Any) -> Health:
    """The health of a store; one in this process is always there."""
    if (asked := getattr(store, "health", None)) is not None:
        health: Health = asked()
        return health
    return Health("closed", 0.0, None, 0, 0, 0, None, 0)


def check_timeout(timeout: object) -> float | None:
    """Seconds from 0, or None."""
    if timeout is None:
        return None
    if isinstance(timeout, int | float) and not isinstance(timeout, bool) and timeout >= 0:
        return float(timeout)
    raise ConfigurationError(f"timeout {timeout!r}: write seconds from 0, or None to wait without bound")


def open_or_take(
    store: Any,
    closing: str = "aclose",
    *,
    budget: float | None = None,
    on_outage: OnOutage = "local",
    deny_cache: float = 1.0,
    fallback_share: float = 1.0,
    lease: float | None = None,
) -> Any:
    """
    The store of a URL, or the store itself, guarded where it is remote; `closing` names the method that tells stores for event
    loops from the others.
    """
    wait, share = closing == "aclose", check_lease(lease)
    check_budget(budget)
    check_outage(on_outage)
    check_deny_cache(deny_cache)
    check_share(fallback_share)
    if switched_off():
        return AsyncOffStore() if wait else OffStore()
    if isinstance(store, str):
        store = open_async_store(store) if wait else open_store(store)
    elif not all(callable(getattr(store, method, None)) for method in ("compile", "decide", "forget", closing)):
        kind = "an async store, such as AsyncRedisStore" if wait else "a store for threads, such as RedisStore"
        raise ConfigurationError(f"store {store!r}: write a URL such as 'redis://localhost:6379/0', or give {kind}")
    if not getattr(store, "remote", False):
        if share is not None:
            caution(f"lease {lease!r} is for stores that are asked by a trip, and {store!r} is not: nothing is lent; leave it out")
        return store
    guard = guarded(store, wait=wait, budget=budget, on_outage=on_outage, deny_cache=deny_cache, fallback_share=fallback_share)
    if share is None:
        return guard
    return AsyncLeasedStore(guard, share) if wait else LeasedStore(guard, share)
