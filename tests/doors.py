"""
One way into every store, so that a test is written once: an async limiter behind a door is called as a sync one is, and runs in an
event loop of its own.
"""

from contextlib import contextmanager
from functools import partial

from anyio.from_thread import start_blocking_portal

from ratekit import AsyncLimiter, Limiter
from ratekit.kv.writer_store import AsyncSingleWriterStore, SingleWriterStore
from ratekit.stores import AsyncMemoryStore, AsyncUpstashStore, MemoryStore, UpstashStore
from ratekit.stores.redis import AsyncRedisStore, RedisStore

DOORS = ("memory", "redis", "async memory on asyncio", "async memory on trio", "async redis")
WRITERS = ("single writer", "async single writer")
UPSTASH = ("upstash", "async upstash")
"""Ways in that need a REST server in front of Redis."""

PATIENT = {"budget": 10.0}
"""For limiters on a real Redis whose answers a test compares: a machine that is busy is not a store that is away."""


class Door:
    """A store for threads: `limiter(...)` makes limiters on it, `decide` and `forget` are the store's."""

    def __init__(self, store, options):
        self.store, self.options = store, options

    def limiter(self, *limits, **options):
        return Limiter(*limits, store=self.store, **self.options | options)

    def decide(self, asks):
        return self.store.decide(asks, **PATIENT)

    def forget(self, spaces, identity):
        self.store.forget(spaces, identity)

    def close(self):
        self.store.close()


class AsyncDoor:
    """A store for event loops, called from a thread."""

    def __init__(self, store, portal, options):
        self.store, self.portal, self.options = store, portal, options

    def limiter(self, *limits, **options):
        return Blocking(AsyncLimiter(*limits, store=self.store, **self.options | options), self.portal)

    def decide(self, asks):
        return self.portal.call(partial(self.store.decide, asks, **PATIENT))

    def forget(self, spaces, identity):
        self.portal.call(self.store.forget, spaces, identity)

    def close(self):
        self.portal.call(self.store.aclose)


class Blocking:
    """An AsyncLimiter or an AsyncReservation whose methods are called as sync ones."""

    def __init__(self, inner, portal):
        self.inner, self.portal = inner, portal

    def __getattr__(self, name):
        member = getattr(self.inner, name)
        if not callable(member) or name == "decision":
            return member
        return lambda *words, **options: self.portal.call(partial(member, *words, **options))

    @contextmanager
    def reserve(self, *words, **options):
        with self.portal.wrap_async_context_manager(self.inner.reserve(*words, **options)) as reservation:
            yield Blocking(reservation, self.portal)


@contextmanager
def opened(kind, url, clock, **options):
    """
    The door of a kind; `url` is where its server answers, `clock` None is the store's own clock, `options` are those of every limiter
    behind it.
    """
    options = PATIENT | options
    ticking = {} if clock is None else {"clock": clock}
    sync = {
        "memory": MemoryStore,
        "redis": partial(RedisStore, url),
        "upstash": partial(UpstashStore, url),
        "single writer": SingleWriterStore,
    }
    if kind in sync:
        door = Door(sync[kind](**ticking), options)
        try:
            yield door
        finally:
            door.close()
        return
    with start_blocking_portal("trio" if kind.endswith("trio") else "asyncio") as portal:
        make = {
            "async redis": partial(AsyncRedisStore, url),
            "async upstash": partial(AsyncUpstashStore, url),
            "async single writer": AsyncSingleWriterStore,
        }.get(kind, AsyncMemoryStore)
        door = AsyncDoor(make(**ticking), portal, options)
        try:
            yield door
        finally:
            door.close()
