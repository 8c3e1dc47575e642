"""
Place: where a counter counts: its store, and the key of each identity.

A key reads `ratekit:{name:identity}::counter:ct1`: built as a limiter's, under 200 bytes, one cluster slot per identity; what ends it
tells counters from limits and from each other.
"""

from typing import Any

from ratekit.errors import ConfigurationError
from ratekit.guarded.gate import check_budget, probe_under
from ratekit.guarded.guards import GUARDED, guarded
from ratekit.stores.naming import LONG, Identity, Space, canonical, head_of
from ratekit.stores.url import open_async_store, open_store


class Place:
    """Where a counter counts; `tail` ends its keys. Raises ConfigurationError for a name, a prefix or a budget that is none."""

    __slots__ = ("_owned", "_space", "store")

    def __init__(self, store: Any, *, wait: bool, name: str, prefix: str, tail: str, budget: float | None) -> None:
        check_budget(budget)
        self._space = Space(head_of(prefix, name), f"}}::{tail}")
        self._owned = isinstance(store, str)
        self.store = _opened(store, wait=wait, budget=budget)
        if isinstance(self.store, GUARDED):
            self.store.probe_with(probe_under(self._space.head.partition(":{")[0]))

    def key(self, identity: Identity) -> str:
        """The key of an identity; raises ConfigurationError for what is none."""
        return self._space.key(identity if type(identity) is str and len(identity) <= LONG else canonical(identity))

    def leaves(self) -> bool:
        """Whether the store is to be closed now: it was opened from a URL, and only once."""
        owned, self._owned = self._owned, False
        return owned


def _opened(store: Any, *, wait: bool, budget: float | None) -> Any:
    if isinstance(store, str):
        store = open_async_store(store) if wait else open_store(store)
    elif not callable(getattr(store, "aclose" if wait else "close", None)):
        kind = "an async store, such as AsyncRedisStore" if wait else "a store for threads, such as RedisStore"
        raise ConfigurationError(f"store {store!r}: write a URL such as 'redis://localhost:6379/0', or give {kind}")
    if not callable(getattr(store, "count", None)):
        raise ConfigurationError(f"store {store!r} has no counters: count in memory, Redis or Upstash")
    if not store.remote or isinstance(store, GUARDED):
        return store
    return guarded(store, wait=wait, budget=budget, on_outage="closed", deny_cache=0)
