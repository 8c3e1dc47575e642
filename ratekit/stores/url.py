"""
From a URL to a store. One URL is one store per process, closed when its last holder closes it.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from ratekit.errors import ConfigurationError
from ratekit.stores.memory import PROCESS, AsyncMemoryStore
from ratekit.stores.place import hidden
from ratekit.stores.protocol import AsyncStore, Store


def _remote(url: str, **options: Any) -> Store:
    if url.startswith("upstash"):
        from ratekit.stores.upstash import UpstashStore

        return UpstashStore(url, **options)
    from ratekit.stores.redis import RedisClusterStore, RedisStore

    return (RedisClusterStore if _of_a_cluster(url) else RedisStore)(url, **options)


def _async_remote(url: str, **options: Any) -> AsyncStore:
    if url.startswith("upstash"):
        from ratekit.stores.upstash import AsyncUpstashStore

        return AsyncUpstashStore(url, **options)
    from ratekit.stores.redis import AsyncRedisClusterStore, AsyncRedisStore

    return (AsyncRedisClusterStore if _of_a_cluster(url) else AsyncRedisStore)(url, **options)


def _of_a_cluster(url: str) -> bool:
    return url.partition("://")[0].endswith("+cluster")


SCHEMES: Final = (
    "memory",
    "redis",
    "rediss",
    "unix",
    "valkey",
    "valkeys",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
    "upstash",
    "upstash+http",
)


class Shared:
    """Stores by URL: one each, for as long as somebody holds it."""

    def __init__(self, memory: Any, open_remote: Callable[..., Any]) -> None:
        self._memory = memory
        self._open_remote = open_remote
        self._lock = threading.Lock()
        self._stores: dict[str, Any] = {}
        self._options: dict[str, Any] = {}

    def hold(self, url: str) -> Any:
        """The store of a URL, held once more; each holder closes it once."""
        url = _checked(url)
        if url == "memory://":
            return self._memory
        with self._lock:
            store = self._stores.get(url)
            if store is None or not store.hold():
                store = self._stores[url] = self._open_remote(url, **self._options)
            return store

    @contextmanager
    def clocked(self, clock: Callable[[], int]) -> Iterator[None]:
        """What is opened inside the block is opened anew, and goes by a clock of its own: for tests."""
        with self._lock:
            before = self._stores, self._options
            self._stores, self._options = {}, {"clock": clock}
        try:
            yield
        finally:
            with self._lock:
                self._stores, self._options = before


def _checked(url: str) -> str:
    scheme, colon, rest = url.partition("://")
    if not colon or scheme not in SCHEMES:
        raise ConfigurationError(
            f"{hidden(url)!r}: write 'redis://localhost:6379/0'; the schemes are {', '.join(f'{known}://' for known in SCHEMES)}"
        )
    if scheme == "memory":
        if rest:
            raise ConfigurationError(f"{url!r}: memory has no address; write 'memory://'")
        return url
    return f"{scheme.replace('valkey', 'redis')}://{rest}"


STORES: Final = Shared(PROCESS, _remote)
ASYNC_STORES: Final = Shared(AsyncMemoryStore(PROCESS), _async_remote)


def open_store(url: str) -> Store:
    """
    The store of a URL, for threads: `memory://`, `redis://`, `rediss://`, `unix://`, `valkey://`,
    `redis+sentinel://host:port,host:port/service`, `redis+cluster://host:port,host:port`,
    `upstash://TOKEN@name.upstash.io` (or `upstash://` alone: what UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN say).

    One URL is one store per process. Raises ConfigurationError for an unknown scheme or a missing extra.

    >>> open_store("memory://") is open_store("memory://")
    True
    """
    store: Store = STORES.hold(url)
    return store


def open_async_store(url: str) -> AsyncStore:
    """
    The store of a URL, for event loops; see `open_store`.
    """
    store: AsyncStore = ASYNC_STORES.hold(url)
    return store
