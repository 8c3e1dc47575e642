"""
Views: a namespace of a simulated world as one location sees it, for threads and for event loops.

The world says what an operation comes to and what it takes; a view checks what is asked, waits if the world's operations take real
time, and raises what went wrong.
"""

import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import anyio

from ratekit.kv.limits import (
    check_bulk,
    check_bulk_size,
    check_cache_ttl,
    check_expiry,
    check_key,
    check_list,
    check_metadata,
    check_value,
)
from ratekit.kv.namespace import Entry, KVError, Page
from ratekit.kv.simulator.places import Space
from ratekit.kv.simulator.quotas import INVOCATION
from ratekit.kv.simulator.tiers import Tier, Version

if TYPE_CHECKING:
    from ratekit.kv.simulator.ledger import Outcome
    from ratekit.kv.simulator.world import World

SECOND = 1_000_000


class Door:
    """Where operations come from: a location with the caches on its way, and how many operations are left to this invocation."""

    __slots__ = ("left", "location", "path", "space")

    def __init__(self, space: Space, location: str, path: tuple[Tier, Tier, Tier], left: int | None = None) -> None:
        self.space, self.location, self.path, self.left = space, location, path, left

    def count(self) -> KVError | None:
        """Count an operation; the error of one too many."""
        if self.left is None:
            return None
        if self.left == 0:
            return KVError("Too many API requests by single Worker invocation.", status=429, kind="invocation")
        self.left -= 1
        return None


class SimulatedNamespace:
    """
    A Namespace of a World. It is a Worker that never ends; `invocation` gives one that may make 1,000 operations.
    """

    __slots__ = ("_door", "_world")

    def __init__(self, world: "World", door: Door) -> None:
        self._world, self._door = world, door

    @property
    def location(self) -> str:
        """Where this is."""
        return self._door.location

    def invocation(self, operations: int = INVOCATION) -> "SimulatedNamespace":
        """The same namespace for one invocation, which may make so many operations; a bulk read is one."""
        door = self._door
        return SimulatedNamespace(self._world, Door(door.space, door.location, door.path, operations))

    def get(self, key: str, *, cache_ttl: int | None = None) -> bytes | None:
        """The value of a key, or None."""
        check_key(key, "GET")
        version, _ = self._wait(self._world.read(self._door, (key,), check_cache_ttl(cache_ttl)))[key]
        return None if version is None else version.value

    def get_with_metadata(self, key: str, *, cache_ttl: int | None = None) -> Entry | None:
        """The value of a key with what is known of it, or None."""
        check_key(key, "GET")
        return _entry(*self._wait(self._world.read(self._door, (key,), check_cache_ttl(cache_ttl)))[key])

    def get_many(self, keys: Sequence[str], *, cache_ttl: int | None = None) -> dict[str, bytes | None]:
        """The values of 1 to 100 keys, in one operation that is billed per key."""
        check_bulk(keys)
        return _values(self._wait(self._world.read(self._door, keys, check_cache_ttl(cache_ttl, "GET_BULK"))))

    def get_many_with_metadata(self, keys: Sequence[str], *, cache_ttl: int | None = None) -> dict[str, Entry | None]:
        """`get_many`, with what is known of each."""
        check_bulk(keys)
        return _entries(self._wait(self._world.read(self._door, keys, check_cache_ttl(cache_ttl, "GET_BULK"))))

    def put(
        self,
        key: str,
        value: bytes | str,
        *,
        expiration: int | None = None,
        expiration_ttl: int | None = None,
        metadata: Any = None,
    ) -> None:
        """Write a key, at most once a second."""
        self._wait(self._world.write(self._door, key, *_written(self._world, key, value, expiration, expiration_ttl, metadata)))

    def delete(self, key: str) -> None:
        """Let a key be no more; one that is not there is no error. It counts as a write of the key: this is assumed."""
        check_key(key, "DELETE")
        self._wait(self._world.write(self._door, key, None, None, 0))

    def list(self, *, prefix: str = "", cursor: str = "", limit: int = 1000) -> Page:
        """Up to `limit` names that begin with `prefix`."""
        check_list(prefix, limit)
        return _page(self._wait(self._world.list(self._door, prefix, cursor, limit)))

    def _wait(self, outcome: "Outcome") -> Any:
        answer, error, latency = outcome
        if self._world.sleeps:
            time.sleep(latency / SECOND)
        if error is not None:
            raise error
        return answer


class AsyncSimulatedNamespace:
    """An AsyncNamespace of a World: `SimulatedNamespace`, awaited."""

    __slots__ = ("_door", "_world")

    def __init__(self, world: "World", door: Door) -> None:
        self._world, self._door = world, door

    @property
    def location(self) -> str:
        """Where this is."""
        return self._door.location

    def invocation(self, operations: int = INVOCATION) -> "AsyncSimulatedNamespace":
        """The same namespace for one invocation, which may make so many operations; a bulk read is one."""
        door = self._door
        return AsyncSimulatedNamespace(self._world, Door(door.space, door.location, door.path, operations))

    async def get(self, key: str, *, cache_ttl: int | None = None) -> bytes | None:
        """The value of a key, or None."""
        check_key(key, "GET")
        version, _ = (await self._wait(self._world.read(self._door, (key,), check_cache_ttl(cache_ttl))))[key]
        return None if version is None else version.value

    async def get_with_metadata(self, key: str, *, cache_ttl: int | None = None) -> Entry | None:
        """The value of a key with what is known of it, or None."""
        check_key(key, "GET")
        return _entry(*(await self._wait(self._world.read(self._door, (key,), check_cache_ttl(cache_ttl))))[key])

    async def get_many(self, keys: Sequence[str], *, cache_ttl: int | None = None) -> dict[str, bytes | None]:
        """The values of 1 to 100 keys, in one operation that is billed per key."""
        check_bulk(keys)
        return _values(await self._wait(self._world.read(self._door, keys, check_cache_ttl(cache_ttl, "GET_BULK"))))

    async def get_many_with_metadata(self, keys: Sequence[str], *, cache_ttl: int | None = None) -> dict[str, Entry | None]:
        """`get_many`, with what is known of each."""
        check_bulk(keys)
        return _entries(await self._wait(self._world.read(self._door, keys, check_cache_ttl(cache_ttl, "GET_BULK"))))

    async def put(
        self,
        key: str,
        value: bytes | str,
        *,
        expiration: int | None = None,
        expiration_ttl: int | None = None,
        metadata: Any = None,
    ) -> None:
        """Write a key, at most once a second."""
        written = _written(self._world, key, value, expiration, expiration_ttl, metadata)
        await self._wait(self._world.write(self._door, key, *written))

    async def delete(self, key: str) -> None:
        """Let a key be no more; one that is not there is no error. It counts as a write of the key: this is assumed."""
        check_key(key, "DELETE")
        await self._wait(self._world.write(self._door, key, None, None, 0))

    async def list(self, *, prefix: str = "", cursor: str = "", limit: int = 1000) -> Page:
        """Up to `limit` names that begin with `prefix`."""
        check_list(prefix, limit)
        return _page(await self._wait(self._world.list(self._door, prefix, cursor, limit)))

    async def _wait(self, outcome: "Outcome") -> Any:
        answer, error, latency = outcome
        if self._world.sleeps:
            await anyio.sleep(latency / SECOND)
        if error is not None:
            raise error
        return answer


def _written(
    world: "World", key: str, value: bytes | str, expiration: int | None, expiration_ttl: int | None, metadata: Any
) -> tuple[bytes, str | None, int]:
    """What is to be written: the bytes, the metadata as JSON text, and when it expires in microseconds (0: never)."""
    check_key(key, "PUT")
    expires = check_expiry(expiration, expiration_ttl, world.clock() // SECOND)
    return check_value(value), check_metadata(metadata), 0 if expires is None else expires * SECOND


def _entry(version: Version | None, cached: bool) -> Entry | None:
    if version is None or version.value is None:
        return None
    metadata = None if version.metadata is None else json.loads(version.metadata)
    return Entry(version.value, metadata, version.expires // SECOND or None, "HIT" if cached else "MISS")


def _sized(found: dict[str, tuple[Version | None, bool]]) -> None:
    check_bulk_size(sum(len(version.value or b"") for version, _ in found.values() if version is not None))


def _values(found: dict[str, tuple[Version | None, bool]]) -> dict[str, bytes | None]:
    _sized(found)
    return {key: None if version is None else version.value for key, (version, _) in found.items()}


def _entries(found: dict[str, tuple[Version | None, bool]]) -> dict[str, Entry | None]:
    _sized(found)
    return {key: _entry(version, cached) for key, (version, cached) in found.items()}


def _page(page: Page) -> Page:
    """The page with its metadata read: each caller gets objects of its own."""
    keys = (key if key.metadata is None else key._replace(metadata=json.loads(key.metadata)) for key in page.keys)
    return page._replace(keys=tuple(keys))
