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
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from ratekit.errors import ConfigurationError
from ratekit.kv.limits import CACHE_TTL, WRITE_INTERVAL
from ratekit.kv.namespace import Key, KVError, Page
from ratekit.kv.simulator.central import FOREVER, Central, Store, is_live
from ratekit.kv.simulator.faults import METHOD, WAYS, Fault, Way
from ratekit.kv.simulator.latency import Latencies, raced
from ratekit.kv.simulator.ledger import STORES, Call, Ledger, Operation, Outcome
from ratekit.kv.simulator.places import REGIONS, Space
from ratekit.kv.simulator.quotas import Kind, Plan
from ratekit.kv.simulator.tiers import Version
from ratekit.kv.simulator.views import AsyncSimulatedNamespace, Door, SimulatedNamespace
from ratekit.kv.simulator.walk import Truth, Walk
from ratekit.stores.memory import Clock
from ratekit.testing.clock import ManualClock

SECOND: Final = 1_000_000


def wall_clock() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


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
    cacheTtl, drawn for each: the documentation says "60 seconds or more"), `stores` (central ones).

    `last` is the last operation, `log` the last so many, `usage` how many were billed by kind, `refused` how many failed by HTTP
    status, `dollars` what it all costs without what a plan includes.

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
        _check(self.clock, sleep, plan, stores, jitter)
        self.sleeps = sleep
        self._regions = {**REGIONS, **(regions or {})}
        self._laws = latencies or Latencies()
        self._levels = (self._laws.hot, self._laws.regional, self._laws.central, self._laws.cold)
        self._runner = raced(self._laws.write, stores)
        # One stream for each purpose, so that a switch changes as little else as can be.
        self._speed, self._luck, late = (random.Random(f"{seed} {what}") for what in ("speed", "luck", "late"))  # noqa: S311
        self._truth = Truth(stack_ages, write_through, refresh, round(jitter * SECOND))
        self._walk = Walk(self._truth, self._laws, self._speed, late)
        self._ledger = Ledger(plan, log)
        self.log, self.usage, self.refused = self._ledger.log, self._ledger.usage, self._ledger.refused
        self._away: list[list[tuple[int, int]]] = [[] for _ in range(stores)]
        self._spaces: dict[str, Space] = {}
        self._faults: list[Fault] = []
        self._stamp = 0
        self._lock = threading.Lock()

    @property
    def last(self) -> Operation | None:
        """The last operation of anyone."""
        return self._ledger.last

    @property
    def dollars(self) -> Decimal:
        """What all operations cost, without what a plan includes."""
        return self._ledger.dollars

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
        if way not in WAYS or kind not in (None, *METHOD) or not 0 <= share <= 1:
            raise ConfigurationError(
                f"way {way!r}, kind {kind!r}, share {share!r}: write one of {', '.join(WAYS)}; of {', '.join(METHOD)} or None; 0 to 1"
            )
        start, end = self._span(after, lasts)
        fault = Fault(way, kind, location, prefix, share, start, end, applied, round(takes * SECOND))
        self._faults.append(fault)
        return fault

    def heal(self, fault: Fault) -> None:
        """Take a fault back."""
        self._faults.remove(fault)

    def lose_store(self, store: int, *, after: float = 0.0, lasts: float = math.inf) -> None:
        """Let a central store, counted from 0, be away for a while; with none left, what no cache answers fails with 503."""
        if not 0 <= store < len(self._away):
            raise ConfigurationError(f"store {store!r}: write 0 to {len(self._away) - 1}")
        self._away[store].append(self._span(after, lasts))

    def staleness(self, cache_ttl: int = CACHE_TTL) -> float:
        """Seconds: how old what a read shows may be at most, counted from when the central stores had something newer."""
        tiers = 3 if self._truth.stack_ages else 1
        return tiers * (cache_ttl + self._truth.jitter / SECOND)

    # What the views call.

    def read(self, door: Door, keys: Sequence[str], cache_ttl: int) -> Outcome:
        """Read keys in one operation: Found."""
        with self._lock:
            now = self.clock()
            call = Call("read", now, door.location, door.space.name, keys[0], len(keys))
            refused = self._refuse(call, door, keys)
            if refused is not None:
                return refused[0]
            found: Found = {}
            deepest = 0
            for key in keys:
                level, version = self._walk.look(door, key, cache_ttl * SECOND, now)
                if level < 0:
                    return self._ledger.failed(call, _unavailable("read"), self._laws.cold.draw(self._speed))
                deepest = max(deepest, level)
                found[key] = (version if version is not None and is_live(version, now) else None, level == 0)
            return self._ledger.done(call, deepest, self._levels[deepest].draw(self._speed), found)

    def write(self, door: Door, key: str, value: bytes | None, metadata: str | None, expires: int) -> Outcome:
        """Write a key until `expires` (microseconds, 0: never), or delete it with the value None."""
        with self._lock:
            now = self.clock()
            call = Call("delete" if value is None else "write", now, door.location, door.space.name, key, 1)
            refused = self._refuse(call, door, (key,))
            if refused is not None and not refused[1]:
                return refused[0]
            central = door.space.central
            error = _too_soon(call.kind) if now - central.accepted.get(key, -FOREVER) < WRITE_INTERVAL else None
            if error is None and not central.answers(now):
                error = _unavailable(call.kind)
            if error is not None:
                return refused[0] if refused is not None else self._ledger.failed(call, error, self._laws.write.draw(self._speed))
            self._stamp += 1
            version = Version(self._stamp, value, metadata, expires)
            takes = central.put(key, version, now)
            if refused is not None:  # it happened, and whoever asked does not know
                return refused[0]
            self._walk.wrote(door, key, version, now + takes if self.sleeps else now, now)
            return self._ledger.done(call, STORES, takes, None)

    def list(self, door: Door, prefix: str, cursor: str, limit: int) -> Outcome:
        """A page of names. What a location has seen of it less than a minute ago it does not ask again."""
        with self._lock:
            now = self.clock()
            call = Call("list", now, door.location, door.space.name, prefix, 1)
            refused = self._refuse(call, door, (prefix,))
            if refused is not None:
                return refused[0]
            asked = (door.location, prefix, cursor, limit)
            born, page = door.space.pages.get(asked, (-FOREVER, None))
            level = 0
            if page is None or now >= born + CACHE_TTL * SECOND:
                if not door.space.central.answers(now):
                    return self._ledger.failed(call, _unavailable("list"), self._laws.cold.draw(self._speed))
                live, after = door.space.central.page(prefix, cursor, limit, now)
                keys = tuple(Key(name, version.expires // SECOND or None, version.metadata) for name, version in live)
                page, level = Page(keys, not after, after), STORES
                door.space.keep_page(asked, page, now)
            return self._ledger.done(call, level, self._levels[level].draw(self._speed), page)

    def _refuse(self, call: Call, door: Door, keys: Sequence[str]) -> tuple[Outcome, bool] | None:
        """The failure of an operation before it is tried, and whether it happens all the same."""
        error = door.count()
        if error is not None:
            return self._ledger.failed(call, error, 0), False
        error = self._ledger.daily.check(call.kind, call.keys, call.now)
        if error is not None:
            return self._ledger.failed(call, error, self._laws.hot.draw(self._speed)), False
        for fault in self._faults:
            if fault.strikes(call.kind, call.location, keys, call.now, self._luck):
                return self._ledger.failed(call, fault.error(call.kind), fault.takes), fault.applied
        return None

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


def _check(clock: Clock, sleep: bool, plan: str, stores: int, jitter: float) -> None:
    if sleep and isinstance(clock, ManualClock):
        raise ConfigurationError("sleep=True: a clock that is moved by hand does not wait; write clock=wall_clock")
    if plan not in {"paid", "free"}:
        raise ConfigurationError(f"plan {plan!r}: write 'paid' or 'free'")
    if type(stores) is not int or stores < 1:
        raise ConfigurationError(f"stores {stores!r}: write a whole number of at least 1")
    if not 0 <= jitter < math.inf:
        raise ConfigurationError(f"jitter {jitter!r}: write seconds from 0")


def _too_soon(kind: Kind) -> KVError:
    return KVError(f"KV {METHOD[kind]} failed: 429 Too Many Requests", status=429, kind="write rate")


def _unavailable(kind: Kind) -> KVError:
    return KVError(f"KV {METHOD[kind]} failed: 503 Service Unavailable", status=503, kind="server")
