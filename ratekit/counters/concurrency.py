"""
ConcurrencyLimiter: at most so many at once. A thin shell, as its twin in concurrency_async.py: `leases.py` decides, `queue.py` keeps the
order in this process, `holding.py` knows what is held here.
"""

import functools
import inspect
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import ParamSpec, TypeVar, cast

from ratekit.counters.holding import ConcurrencyExceeded, Holding, Lease, deadline_of, identity_maker, log, new_name
from ratekit.counters.place import Place
from ratekit.counters.queue import Queues
from ratekit.errors import ConfigurationError, StoreError
from ratekit.stores.naming import Identity
from ratekit.stores.off import switched_off
from ratekit.stores.protocol import Store

P = ParamSpec("P")
R = TypeVar("R")

LEFT = "a place could not be given back, and is free when its lease ends: %s"


class ConcurrencyLimiter:
    """
    At most `places` at once per identity, for threads; on Redis and Upstash across processes.

    A place is held under a lease of `lease` seconds, renewed in the background while the holder lives; when its process dies the
    place is free after `lease` seconds at the latest. Never more than `places` are held while leases are honoured: a lease that could
    not be renewed in time, because the store was away, has `held` False. Waiting is first come first served in a process, and
    between processes in the order in which they began to ask.

    Raises ConfigurationError for what cannot be; StoreUnavailable, and holds nothing, when the store is away.

    >>> exports = ConcurrencyLimiter(2, "exports")
    >>> with exports.hold("user:42", timeout=5.0) as lease:
    ...     lease.held, exports.holders("user:42")
    (True, 1)
    """

    def __init__(
        self,
        places: int,
        name: str = "default",
        *,
        store: str | Store = "memory://",
        lease: float = 30.0,
        prefix: str = "ratekit",
        budget: float | None = None,
    ) -> None:
        self.places, self.name = places, name
        self._place = Place(store, wait=False, name=name, prefix=prefix, tail="cl1", budget=budget)
        self._store = self._place.store
        self._holding = Holding(places, lease, remote=self._store.remote)
        self._queues = Queues(threading.Event)
        self._off = switched_off()
        self._renewer: threading.Thread | None = None
        self._closed = threading.Event()

    def acquire(self, identity: Identity, timeout: float | None = None) -> Lease:
        """
        Wait for a place and take it; give it back with `release`. `timeout` in seconds, None without bound, 0 not at all.

        Raises ConcurrencyExceeded when there is none in time; StoreError.
        """
        key, deadline, who = self._place.key(identity), deadline_of(timeout), new_name()
        place = self._queues.enter(key)
        try:
            while True:
                asks, left = self._queues.asks(key, place), deadline - time.monotonic()
                if asks and (lease := self._enter(key, who, waits=place.waits and left > 0)) is not None:
                    return lease
                if left <= 0:
                    break
                if place.waits:
                    place.event.wait(min(place.longer(left) if asks else left, threading.TIMEOUT_MAX))
                self._queues.stay(key, place)
        except BaseException:
            self._leave(key, who)
            raise
        finally:
            self._queues.leave(key, place)
        self._leave(key, who)
        raise ConcurrencyExceeded(identity, self.places)

    def release(self, lease: Lease) -> None:
        """Give a place back; twice is harmless."""
        self._holding.left(lease)
        self._leave(lease.key, lease.who)
        self._queues.wake(lease.key)

    @contextmanager
    def hold(self, identity: Identity, timeout: float | None = None) -> Iterator[Lease]:
        """A place for the time of a `with` block; see `acquire`."""
        lease = self.acquire(identity, timeout)
        try:
            yield lease
        finally:
            self.release(lease)

    def limited(
        self, key: Callable[..., Identity] | None = None, timeout: float | None = None
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """
        A decorator: each call holds a place. `key` gets the call's arguments by name; without it all calls of the function share.

        >>> exports = ConcurrencyLimiter(2, "exports")
        >>> @exports.limited(key=lambda user, **_: user, timeout=5.0)
        ... def export(user, year):
        ...     return exports.holders(user)
        >>> export("ann", 2027)
        1
        """

        def decorate(function: Callable[P, R]) -> Callable[P, R]:
            if inspect.iscoroutinefunction(function):
                raise ConfigurationError(f"{function.__qualname__} is an async def: limit it by an AsyncConcurrencyLimiter")
            identity = identity_maker(function, key)

            @functools.wraps(function)
            def call(*words: P.args, **options: P.kwargs) -> R:
                with self.hold(identity(*words, **options), timeout):
                    return function(*words, **options)

            return call

        return decorate

    def holders(self, identity: Identity) -> int:
        """How many hold a place now."""
        return cast(int, self._store.count(self._place.key(identity), self._holding.leases.look())[1])

    def waiting(self, identity: Identity) -> int:
        """How many processes wait for a place now."""
        return cast(int, self._store.count(self._place.key(identity), self._holding.leases.look())[2])

    def close(self) -> None:
        """Renew nothing any more, and let go of a store that was opened from a URL."""
        self._closed.set()
        if self._place.leaves():
            self._store.close()

    def __enter__(self) -> "ConcurrencyLimiter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _enter(self, key: str, who: str, *, waits: bool = False) -> Lease | None:
        sent = time.monotonic()
        if not self._off:
            try:
                done, _, _ = self._store.count(key, self._holding.entering(who, waits=waits))
            except StoreError:
                self._leave(key, who)  # it may have been let in all the same
                raise
            if not done:
                return None
        lease = self._holding.entered(key, who, sent)
        if self._store.remote and not self._off and not (self._renewer and self._renewer.is_alive()):
            self._renewer = threading.Thread(target=self._renew, name="ratekit-leases", daemon=True)
            self._renewer.start()
        return lease

    def _leave(self, key: str, who: str) -> None:
        if not self._off:
            try:
                self._store.count(key, self._holding.leases.leave(who))
            except StoreError as error:
                log.warning(LEFT, error)

    def _renew(self) -> None:
        while not self._closed.wait(self._holding.life / 3):
            leases, jobs = self._holding.renewals()
            sent = time.monotonic()
            with suppress(StoreError):  # there is another chance before the lease ends
                self._holding.renewed(leases, self._store.count_many(jobs) if jobs else [], sent)
