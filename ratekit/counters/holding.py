"""
Holding: what ConcurrencyLimiter and its async twin share: the places, the leases that are held here, and which of them to renew.
No I/O.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from secrets import token_hex
from typing import Any, Final

from ratekit.arguments import by_name, check_key
from ratekit.counters.leases import PATIENCE, Leases
from ratekit.errors import ConfigurationError, RateKitError
from ratekit.given import check_timeout
from ratekit.stores.counting import Command, Job
from ratekit.stores.naming import Identity

log: Final = logging.getLogger("ratekit")

MOST_PLACES: Final = 1_000_000
FOREVER: Final = 3_653 * 86_400 * 1_000_000
"""Microseconds. In memory a holder that died took the state with it: nothing has to end by itself."""


class ConcurrencyExceeded(RateKitError):
    """There was no place in time; `identity` is whose, `places` how many there are."""

    def __init__(self, identity: Identity, places: int) -> None:
        super().__init__(identity, places)
        self.identity, self.places = identity, places

    def __str__(self) -> str:
        return f"{self.places} at once is all that {self.identity!r} may have, and none was free in time"


class Lease:
    """A place that is held. `key` is where, `who` is this holder's name in the store."""

    __slots__ = ("_until", "key", "who")

    def __init__(self, key: str, who: str, until: float) -> None:
        self.key, self.who, self._until = key, who, until

    @property
    def held(self) -> bool:
        """
        Whether the place is certainly still held. False when the lease could not be renewed in time, since the store was away: then
        somebody else may have got the place, and what is done under it should end.
        """
        return time.monotonic() < self._until


class Holding:
    """The leases that this process holds, and what is asked for them. `life` is in seconds."""

    def __init__(self, places: object, life: object, *, remote: bool) -> None:
        if type(places) is not int or not 1 <= places <= MOST_PLACES:
            raise ConfigurationError(f"places {places!r}: write how many at once, from 1 to {MOST_PLACES}")
        if isinstance(life, bool) or not isinstance(life, int | float) or not 0.1 <= life <= 86_400:
            raise ConfigurationError(
                f"lease {life!r}: write seconds from 0.1 to 86400, after which the place of a dead holder is free"
            )
        self.life = float(life)
        self.leases = Leases(places, round(life * 1_000_000) if remote else FOREVER)
        self._seconds = self.leases.life / 1_000_000
        self._lock = threading.Lock()
        self._held: dict[str, Lease] = {}
        self._pid = os.getpid()

    def entering(self, who: str, *, waits: bool) -> Command:
        """What is asked for a place."""
        return self.leases.enter(who, PATIENCE if waits else 0)

    def entered(self, key: str, who: str, sent: float) -> Lease:
        """A place is held since the question was sent, by the monotonic clock."""
        lease = Lease(key, who, sent + self._seconds)
        with self._lock:
            self._forget_parents()
            self._held[who] = lease
        return lease

    def left(self, lease: Lease) -> None:
        """A place is given back."""
        with self._lock:
            self._held.pop(lease.who, None)
        lease._until = 0.0

    def renewals(self) -> tuple[list[Lease], list[Job]]:
        """What is held, and what renews it."""
        with self._lock:
            self._forget_parents()
            leases = list(self._held.values())
        return leases, [(lease.key, self.leases.renew(lease.who)) for lease in leases]

    def renewed(self, leases: list[Lease], answers: list[Any], sent: float) -> None:
        """What became of it: a lease that had ended by then is lost."""
        for lease, (done, _, _) in zip(leases, answers, strict=True):
            with self._lock:
                if lease.who not in self._held:
                    continue
                if done:
                    lease._until = sent + self._seconds
                    continue
                del self._held[lease.who]
                lease._until = 0.0
            log.warning("a lease of %s ended before it could be renewed: more than its places may be held", lease.key)

    def _forget_parents(self) -> None:
        if self._pid != os.getpid():  # forked: what is held is the parent's to renew
            self._pid = os.getpid()
            self._held = {}


def new_name() -> str:
    """The name of one holder: nobody else's."""
    return token_hex(8)


def deadline_of(timeout: object) -> float:
    """When waiting ends, by the monotonic clock; raises ConfigurationError."""
    seconds = check_timeout(timeout)
    return float("inf") if seconds is None else time.monotonic() + seconds


def identity_maker(function: Callable[..., Any], key: Callable[..., Identity] | None) -> Callable[..., Identity]:
    """From a call's arguments to the identity that it holds a place of: what `key` makes of them by name, else the function's name."""
    if key is None:
        name = f"{function.__module__}.{function.__qualname__}"
        return lambda *_, **__: name
    check_key(key)
    arguments = by_name(function, key=key)
    return lambda *words, **options: key(**arguments(words, options))
