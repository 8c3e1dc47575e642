"""
AsyncConcurrencyLimiter: `concurrency.py`, awaited.
"""

import asyncio
import functools
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import ParamSpec, TypeVar, cast

import anyio
import anyio.lowlevel

from ratekit.counters.concurrency import LEFT
from ratekit.counters.holding import ConcurrencyExceeded, Holding, Lease, deadline_of, identity_maker, log, new_name
from ratekit.counters.place import Place
from ratekit.counters.queue import Queues
from ratekit.errors import ConfigurationError, StoreError
from ratekit.stores.naming import Identity
from ratekit.stores.off import switched_off
from ratekit.stores.protocol import AsyncStore

P = ParamSpec("P")
R = TypeVar("R")


class AsyncConcurrencyLimiter:
    """At most `places` at once per identity, for event loops: `ConcurrencyLimiter`, awaited."""

    def __init__(
        self,
        places: int,
        name: str = "default",
        *,
        store: str | AsyncStore = "memory://",
        lease: float = 30.0,
        prefix: str = "ratekit",
        budget: float | None = None,
    ) -> None:
        self.places, self.name = places, name
        self._place = Place(store, wait=True, name=name, prefix=prefix, tail="cl1", budget=budget)
        self._store = self._place.store
        self._holding = Holding(places, lease, remote=self._store.remote)
        self._queues = Queues(anyio.Event)
        self._off = switched_off()
        self._renewers: dict[asyncio.AbstractEventLoop, asyncio.Task[None]] = {}

    async def acquire(self, identity: Identity, timeout: float | None = None) -> Lease:
        """Wait for a place and take it; give it back with `release`. Raises ConcurrencyExceeded, StoreError."""
        key, deadline, who = self._place.key(identity), deadline_of(timeout), new_name()
        line = anyio.lowlevel.current_token(), key  # an event wakes its own event loop only
        place = self._queues.enter(line)
        try:
            while True:
                asks, left = self._queues.asks(line, place), deadline - time.monotonic()
                if asks and (lease := await self._enter(key, who, waits=place.waits and left > 0)) is not None:
                    return lease
                if left <= 0:
                    break
                if place.waits:
                    with anyio.move_on_after(place.longer(left) if asks else left):
                        await place.event.wait()
                self._queues.stay(line, place)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._leave(key, who)
            raise
        finally:
            self._queues.leave(line, place)
        await self._leave(key, who)
        raise ConcurrencyExceeded(identity, self.places)

    async def release(self, lease: Lease) -> None:
        """Give a place back; twice is harmless."""
        self._holding.left(lease)
        with anyio.CancelScope(shield=True):  # cancelled holders give back too
            await self._leave(lease.key, lease.who)
        self._queues.wake((anyio.lowlevel.current_token(), lease.key))

    @asynccontextmanager
    async def hold(self, identity: Identity, timeout: float | None = None) -> AsyncIterator[Lease]:
        """A place for the time of an `async with` block; see `acquire`."""
        lease = await self.acquire(identity, timeout)
        try:
            yield lease
        finally:
            await self.release(lease)

    def limited(
        self, key: Callable[..., Identity] | None = None, timeout: float | None = None
    ) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Awaitable[R]]]:
        """A decorator for `async def`: each call holds a place; see `ConcurrencyLimiter.limited`."""

        def decorate(function: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
            if not inspect.iscoroutinefunction(function):
                raise ConfigurationError(f"{function!r} is no async def: limit it by a ConcurrencyLimiter")
            identity = identity_maker(function, key)

            @functools.wraps(function)
            async def call(*words: P.args, **options: P.kwargs) -> R:
                async with self.hold(identity(*words, **options), timeout):
                    return await function(*words, **options)

            return call

        return decorate

    async def holders(self, identity: Identity) -> int:
        """How many hold a place now."""
        return cast(int, (await self._store.count(self._place.key(identity), self._holding.leases.look()))[1])

    async def waiting(self, identity: Identity) -> int:
        """How many processes wait for a place now."""
        return cast(int, (await self._store.count(self._place.key(identity), self._holding.leases.look()))[2])

    async def aclose(self) -> None:
        """Renew nothing any more, and let go of a store that was opened from a URL."""
        if self._store.remote and (renewer := self._renewers.pop(asyncio.get_running_loop(), None)):
            renewer.cancel()
        if self._place.leaves():
            await self._store.aclose()

    async def __aenter__(self) -> "AsyncConcurrencyLimiter":
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    async def _enter(self, key: str, who: str, *, waits: bool = False) -> Lease | None:
        sent = time.monotonic()
        if not self._off:
            try:
                done, _, _ = await self._store.count(key, self._holding.entering(who, waits=waits))
            except BaseException:
                with anyio.CancelScope(shield=True):
                    await self._leave(key, who)  # it may have been let in all the same
                raise
            if not done:
                return None
        lease = self._holding.entered(key, who, sent)
        if self._store.remote and not self._off:
            loop = asyncio.get_running_loop()
            if loop not in self._renewers or self._renewers[loop].done():
                self._renewers[loop] = loop.create_task(self._renew())
        return lease

    async def _leave(self, key: str, who: str) -> None:
        if not self._off:
            try:
                await self._store.count(key, self._holding.leases.leave(who))
            except StoreError as error:
                log.warning(LEFT, error)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._holding.life / 3)
            leases, jobs = self._holding.renewals()
            sent = time.monotonic()
            with suppress(StoreError):  # there is another chance before the lease ends
                self._holding.renewed(leases, await self._store.count_many(jobs) if jobs else [], sent)
