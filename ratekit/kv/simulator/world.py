"""
The world: an account with its namespaces, the locations that read and write them, one clock, and what goes wrong.

On a clock that is moved by hand an operation takes no time; its latency is drawn and told (`last`, `log`). On the real clock it is
slept when that is asked for. Everything random comes from the seed: the same calls at the same instants have the same outcome.

What is modelled, from Cloudflare's documentation: a location's cache before a regional and a central tier before the central
stores; cacheTtl, also for keys that are not there; hot keys refreshed in the background; a write that goes to the central stores
and to the cache of its own location; last write wins; one write a second and key; expiry, which beats cacheTtl; the quotas.
"""

import math
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from ratekit.errors import ConfigurationError
from ratekit.kv.limits import CACHE_TTL, WRITE_INTERVAL
from ratekit.kv.namespace import Key, KVError, Page
from ratekit.kv.prices import NANODOLLARS
from ratekit.kv.simulator.central import FOREVER, Central, Store, is_live
from ratekit.kv.simulator.faults import Fault, Way
from ratekit.kv.simulator.latency import Latencies, raced
from ratekit.kv.simulator.places import REGIONS, Space
from ratekit.kv.simulator.quotas import Daily, Kind, Plan
from ratekit.kv.simulator.tiers import Copy, Version
from ratekit.kv.simulator.views import AsyncSimulatedNamespace, Door, SimulatedNamespace
from ratekit.stores.memory import Clock
from ratekit.testing import ManualClock

Level = Literal["location", "regional", "central", "stores"]
LEVELS: Final[tuple[Level, ...]] = ("location", "regional", "central", "stores")
"""Where a read was answered, the nearest first."""
HOT: Final = 3
"""Reads of a copy that make its key a hot one. Not published; assumed."""
REFRESH_AGE: Final = 0.9
"""Share of its time to live at which the copy of a hot key is refreshed. Not published; assumed."""
SECOND: Final = 1_000_000


def wall_clock() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


class Operation(NamedTuple):
    """One operation: when (microseconds), where, on what, and what it took: microseconds, and billionths of a dollar."""

    at: int
    location: str
    namespace: str
    kind: Kind
    keys: int
    key: str
    level: Level
    status: int
    latency: int
    price: int


class Outcome(NamedTuple):
    """What an operation came to: its answer or its error, and the microseconds it took."""

    answer: Any
    error: KVError | None
    latency: int


Found = dict[str, tuple[Version | None, bool]]
"""Per key its version, and whether this location's cache had it."""


class World:
    """
    A simulated account.

    `clock` gives microseconds since 1970 and is by default one that is moved by hand (`world.clock.advance(60)`); `sleep`: on a real
    clock, operations take their time. `plan` is "paid" or "free", whose daily quotas are then in force. `regions` says in which
    region a location lies, beyond those that are known; a location that nobody knows is a region of its own.

    Where the truth is not published there is a switch: `stack_ages` (each tier counts the age of a copy from when it got it, so that
    a read may be three cacheTtl old; by default from when it left the central stores), `write_through` (a write is seen at once in
    its own location; usual, not promised), `refresh` (of hot keys in the background), `jitter` (seconds that a copy may outlive its
    cacheTtl, drawn for each: the documentation says "60 seconds or more"), `stores` (central ones). `log` is how many operations
    are remembered.

    >>> world = World(seed=1)
    >>> here, there = world.namespace("docs", location="IAD"), world.namespace("docs", location="FRA")
    >>> there.get("greeting")
    >>> here.put("greeting", "hello")
    >>> here.get("greeting"), there.get("greeting")
    (b'hello', None)
    >>> world.clock.advance(60)
    >>> there.get("greeting")
    b'hello'
    """

    def __init__(
        self,
        seed: int = 0,
        clock: Clock | None = None,
        *,
        sleep: bool = False,
        plan: Plan = "paid",
        regions: Mapping[str, str] | None = None,
        stores: int = 2,
        stack_ages: bool = False,
        write_through: bool = True,
        refresh: bool = True,
        jitter: float = 0.0,
        latencies: Latencies | None = None,
        log: int = 10_000,
    ) -> None:
        self.clock: Any = ManualClock() if clock is None else clock
        if sleep and isinstance(self.clock, ManualClock):
            raise ConfigurationError("sleep=True: a clock that is moved by hand does not wait; write clock=wall_clock")
        if plan not in {"paid", "free"} or stores < 1 or not 0 <= jitter < math.inf:
            raise ConfigurationError(
                f"plan {plan!r}, stores {stores!r}, jitter {jitter!r}: write 'paid' or 'free', 1 or more, seconds from 0"
            )
        self.sleeps = sleep
        self.plan = plan
        self.usage: Counter[Kind] = Counter()
        """Operations that were billed."""
        self.refused: Counter[int] = Counter()
        """Operations that failed, by status."""
        self.log: deque[Operation] = deque(maxlen=log)
        self.last: Operation | None = None
        self._stack_ages, self._write_through, self._refresh = stack_ages, write_through, refresh
        self._jitter = round(jitter * SECOND)
        self._laws = latencies or Latencies()
        self._levels = (self._laws.hot, self._laws.regional, self._laws.central, self._laws.cold)
        self._runner = raced(self._laws.write, stores)
        self._away: list[list[tuple[int, int]]] = [[] for _ in range(stores)]
        self._regions = {**REGIONS, **(regions or {})}
        self._spaces: dict[str, Space] = {}
        self._daily = Daily(plan)
        self._faults: list[Fault] = []
        self._stamp = 0
        self._lock = threading.Lock()
        # One stream per purpose: a fault more does not change any latency.
        self._speed, self._luck, self._late = (random.Random(f"{seed} {what}") for what in ("speed", "luck", "late"))  # noqa: S311

    def namespace(self, name: str, location: str = "IAD") -> SimulatedNamespace:
        """A namespace as one location sees it; the same name is the same namespace everywhere."""
        return SimulatedNamespace(self, self._door(name, location))

    def async_namespace(self, name: str, location: str = "IAD") -> AsyncSimulatedNamespace:
        """`namespace`, awaited."""
        return AsyncSimulatedNamespace(self, self._door(name, location))

    def fail(
        self,
        way: Way,
        kind: Kind | None = None,
        *,
        location: str | None = None,
        prefix: str = "",
        share: float = 1.0,
        after: float = 0.0,
        lasts: float = math.inf,
        applied: bool = False,
        takes: float = 0.0,
    ) -> Fault:
        """
        From `after` seconds from now on, for `lasts` seconds, let operations of a kind, at a location, on keys with a prefix, fail
        with the probability `share`. `way` and `applied` are explained at Fault; `takes` is seconds until a failure is known.

        >>> world = World()
        >>> fault = world.fail("server", "write", location="IAD", lasts=30)
        >>> world.namespace("docs", "IAD").put("k", "v")
        Traceback (most recent call last):
        ratekit.kv.namespace.KVError: KV PUT failed: 503 Service Unavailable
        """
        start, end = self._span(after, lasts)
        fault = Fault(way, kind, location, prefix, share, start, end, applied, round(takes * SECOND))
        self._faults.append(fault)
        return fault

    def heal(self, fault: Fault) -> None:
        """Take a fault back."""
        self._faults.remove(fault)

    def lose_store(self, store: int, *, after: float = 0.0, lasts: float = math.inf) -> None:
        """Let a central store, counted from 0, be away for a while; with none left, what no cache answers fails with 503."""
        self._away[store].append(self._span(after, lasts))

    def staleness(self, cache_ttl: int = CACHE_TTL) -> float:
        """Seconds: how old what a read shows may be at most, counted from when the central stores had something newer."""
        tiers = 3 if self._stack_ages else 1
        return tiers * (cache_ttl + self._jitter / SECOND)

    # What the views call.

    def read(self, door: Door, keys: Sequence[str], cache_ttl: int) -> Outcome:
        """Read keys in one operation: Found."""
        with self._lock:
            now = self.clock()
            failed = self._refuse("read", door, keys[0], len(keys), now)
            if failed is not None:
                return failed[0]
            found: Found = {}
            deepest = 0
            for key in keys:
                level, version = self._look(door, key, cache_ttl * SECOND, now)
                if level < 0:
                    return self._failed("read", door, key, now, _unavailable("GET"), self._laws.cold.draw(self._speed))
                deepest = max(deepest, level)
                found[key] = (version if version is not None and is_live(version, now) else None, level == 0)
            return self._done("read", door, keys[0], len(keys), deepest, now, self._levels[deepest].draw(self._speed), found)

    def write(self, door: Door, key: str, value: bytes | None, metadata: str | None, expires: int) -> Outcome:
        """Write a key until `expires` (microseconds, 0: never), or delete it with the value None."""
        kind: Kind = "delete" if value is None else "write"
        with self._lock:
            now = self.clock()
            failed = self._refuse(kind, door, key, 1, now)
            if failed is not None and not failed[1]:
                return failed[0]
            central = door.space.central
            error = _too_soon(kind) if now - central.accepted.get(key, -FOREVER) < WRITE_INTERVAL else None
            if error is None and not central.answers(now):
                error = _unavailable("PUT" if kind == "write" else "DELETE")
            if error is not None:
                return self._failed(kind, door, key, now, error, self._laws.write.draw(self._speed))
            self._stamp += 1
            version = Version(self._stamp, value, metadata, expires)
            takes = central.put(key, version, now)
            if self._write_through and failed is None:
                since = now + takes if self.sleeps else now
                door.path[0].keep(key, Copy(version, since, CACHE_TTL * SECOND, since), now)
            done = self._done(kind, door, key, 1, 3, now, takes, None)
            return done if failed is None else failed[0]

    def list(self, door: Door, prefix: str, cursor: str, limit: int) -> Outcome:
        """A page of names. What a location has seen of it less than a minute ago it does not ask again."""
        with self._lock:
            now = self.clock()
            failed = self._refuse("list", door, prefix, 1, now)
            if failed is not None:
                return failed[0]
            asked = (door.location, prefix, cursor, limit)
            born, page = door.space.pages.get(asked, (-FOREVER, None))
            level = 0
            if page is None or now >= born + CACHE_TTL * SECOND:
                if not door.space.central.answers(now):
                    return self._failed("list", door, prefix, now, _unavailable("GET"), self._laws.cold.draw(self._speed))
                live, after = door.space.central.page(prefix, cursor, limit, now)
                keys = tuple(Key(name, version.expires // SECOND or None, version.metadata) for name, version in live)
                page, level = Page(keys, not after, after), 3
                door.space.keep_page(asked, page, now)
            return self._done("list", door, prefix, 1, level, now, self._levels[level].draw(self._speed), page)

    def _look(self, door: Door, key: str, ttl: int, now: int) -> tuple[int, Version | None]:
        """At which level a key is found (-1: none answers), and what; the tiers before it then have it, too."""
        copy = door.path[0].find(key, ttl, now)
        if copy is not None:
            copy.hits += 1
            if self._refresh and copy.hits >= HOT and copy.coming is None and now >= copy.born + REFRESH_AGE * copy.ttl:
                self._refresh_copy(door, key, copy, now)
            return 0, copy.version
        for level in (1, 2):
            copy = door.path[level].find(key, ttl, now)
            if copy is not None:
                break
        else:
            level = 3
            if not door.space.central.answers(now):
                return -1, None
        version = door.space.central.read(key, now) if copy is None else copy.version
        born = now if copy is None or self._stack_ages else copy.born
        for tier in door.path[:level]:
            late = round(self._late.uniform(0, self._jitter)) if self._jitter else 0
            tier.keep(key, Copy(version, born, ttl, now, late), now)
        return level, version

    def _refresh_copy(self, door: Door, key: str, copy: Copy, now: int) -> None:
        """Ask the central stores again before a copy is too old; nobody waits for it, and it is not billed."""
        central = door.space.central
        if central.answers(now):
            since = now + self._laws.cold.draw(self._speed)
            copy.coming = Copy(central.read(key, now), now, copy.ttl, since, copy.extra)

    def _refuse(self, kind: Kind, door: Door, key: str, count: int, now: int) -> tuple[Outcome, bool] | None:
        """The failure of an operation before it is tried, and whether it happens all the same."""
        error, takes, applied = door.count(), 0, False
        if error is None:
            error = self._daily.check(kind, count, now)
            takes = 0 if error is None else self._laws.hot.draw(self._speed)
        if error is None and self._faults:
            for fault in self._faults:
                if fault.strikes(kind, door.location, key, now, self._luck):
                    error, takes, applied = fault.error(kind), fault.takes, fault.applied
                    break
        return None if error is None else (self._failed(kind, door, key, now, error, takes), applied)

    def _failed(self, kind: Kind, door: Door, key: str, now: int, error: KVError, takes: int) -> Outcome:
        self.refused[error.status] += 1
        self.last = Operation(now, door.location, door.space.name, kind, 0, key, "stores", error.status, takes, 0)
        self.log.append(self.last)
        return Outcome(None, error, takes)

    def _done(self, kind: Kind, door: Door, key: str, count: int, level: int, now: int, takes: int, answer: Any) -> Outcome:
        self.usage[kind] += count
        self._daily.spend(kind, count)
        price = count * NANODOLLARS[kind]
        self.last = Operation(now, door.location, door.space.name, kind, count, key, LEVELS[level], 200, takes, price)
        self.log.append(self.last)
        return Outcome(answer, None, takes)

    def _door(self, name: str, location: str) -> Door:
        with self._lock:
            space = self._spaces.get(name)
            if space is None:
                stores = [Store(away) for away in self._away]
                space = self._spaces[name] = Space(name, Central(stores, self._runner, self._speed))
            return Door(space, location, space.path(location, self._regions.get(location, location)))

    def _span(self, after: float, lasts: float) -> tuple[int, int]:
        start = self.clock() + round(after * SECOND)
        return start, FOREVER if lasts == math.inf else start + round(lasts * SECOND)


def _too_soon(kind: Kind) -> KVError:
    method = "PUT" if kind == "write" else "DELETE"
    return KVError(f"KV {method} failed: 429 Too Many Requests", status=429, kind="write rate")


def _unavailable(method: str) -> KVError:
    return KVError(f"KV {method} failed: 503 Service Unavailable", status=503, kind="server")
