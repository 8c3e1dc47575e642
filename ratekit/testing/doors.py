"""
Ways in to a store, so that one test tries stores for threads and for event loops: an async limiter behind a door is called as a sync
one is, and runs in an event loop of its own.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, Protocol

from anyio.from_thread import BlockingPortal, start_blocking_portal

from ratekit.limiter import AsyncLimiter, Limiter
from ratekit.stores.naming import Canonical, Space
from ratekit.stores.protocol import Ask, Seens

PATIENT: Final = {"budget": 10.0}
"""For limiters whose answers a test compares: a machine that is busy is not a store that is away."""


class Door(Protocol):
    """A store for threads, or one that is called so: `limiter(...)` makes limiters on it."""

    def limiter(self, *limits: str, **options: Any) -> Any:
        """A Limiter on the store."""
        ...

    def decide(self, asks: Sequence[Ask]) -> Seens:
        """The store's own."""
        ...

    def forget(self, spaces: Sequence[Space], identity: Canonical) -> None:
        """The store's own."""
        ...

    def close(self) -> None:
        """The store's own."""
        ...


class SyncDoor:
    """A store for threads."""

    def __init__(self, store: Any, options: dict[str, Any]) -> None:
        self.store, self.options = store, options

    def limiter(self, *limits: str, **options: Any) -> Limiter:
        """A Limiter on the store."""
        return Limiter(*limits, store=self.store, **self.options | options)

    def decide(self, asks: Sequence[Ask]) -> Seens:
        """The store's own."""
        seen: Seens = self.store.decide(asks, **PATIENT)
        return seen

    def forget(self, spaces: Sequence[Space], identity: Canonical) -> None:
        """The store's own."""
        self.store.forget(spaces, identity)

    def close(self) -> None:
        """The store's own."""
        self.store.close()


class AsyncDoor:
    """A store for event loops, called from a thread."""

    def __init__(self, store: Any, portal: BlockingPortal, options: dict[str, Any]) -> None:
        self.store, self.portal, self.options = store, portal, options

    def limiter(self, *limits: str, **options: Any) -> "Blocking":
        """An AsyncLimiter on the store."""
        return Blocking(AsyncLimiter(*limits, store=self.store, **self.options | options), self.portal)

    def decide(self, asks: Sequence[Ask]) -> Seens:
        """The store's own."""
        seen: Seens = self.portal.call(partial(self.store.decide, asks, **PATIENT))
        return seen

    def forget(self, spaces: Sequence[Space], identity: Canonical) -> None:
        """The store's own."""
        self.portal.call(self.store.forget, spaces, identity)

    def close(self) -> None:
        """The store's own."""
        self.portal.call(self.store.aclose)


class Blocking:
    """An AsyncLimiter or an AsyncReservation whose methods are called as sync ones."""

    def __init__(self, inner: Any, portal: BlockingPortal) -> None:
        self.inner, self.portal = inner, portal

    def __getattr__(self, name: str) -> Any:
        member = getattr(self.inner, name)
        if not callable(member) or name == "decision":
            return member
        return lambda *words, **options: self.portal.call(partial(member, *words, **options))

    @contextmanager
    def reserve(self, *words: Any, **options: Any) -> "Iterator[Blocking]":
        """A reservation that is called as a sync one."""
        with self.portal.wrap_async_context_manager(self.inner.reserve(*words, **options)) as reservation:
            yield Blocking(reservation, self.portal)


@contextmanager
def opened(make: Callable[[], Any], *, backend: str = "asyncio", **options: Any) -> "Iterator[Door]":
    """The door of a store that `make` gives, closed at the end; `options` are those of every limiter behind it."""
    store, options = make(), PATIENT | options
    if not hasattr(store, "aclose"):
        sync = SyncDoor(store, options)
        try:
            yield sync
        finally:
            sync.close()
        return
    with start_blocking_portal(backend) as portal:
        door = AsyncDoor(store, portal, options)
        try:
            yield door
        finally:
            door.close()
