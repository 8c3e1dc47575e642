"""
Times: the clock stands still until a test moves it; keys are used up; limiting is off.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ratekit.errors import RateKitWarning
from ratekit.limiter import Limiter
from ratekit.stores.memory import PROCESS, monotonic
from ratekit.stores.url import ASYNC_STORES, STORES
from ratekit.testing.clock import ManualClock


@contextmanager
def frozen(clock: ManualClock | None = None) -> Iterator[ManualClock]:
    """
    Freeze the time of what is limited by URL, until the block is left; gives the clock that moves it.

    "memory://" is frozen whoever uses it and since when, and is empty at the beginning and at the end. Other URLs are frozen for what is
    opened inside the block: build the application there, or start it there. A store object goes by the clock that it was given.

    >>> limiter = Limiter("1/minute", name="frozen")
    >>> with frozen() as clock:
    ...     first, second = bool(limiter.hit("ann")), bool(limiter.hit("ann"))
    ...     clock.advance(60)
    ...     first, second, bool(limiter.hit("ann"))
    (True, False, True)
    """
    clock = ManualClock() if clock is None else clock
    PROCESS.retime(clock)
    try:
        with STORES.clocked(clock), ASYNC_STORES.clocked(clock):
            yield clock
    finally:
        PROCESS.retime(monotonic)


def exhaust(limiter: Limiter, identity: Any) -> int:
    """
    Use up what is left to an identity, so that its next hit is refused; gives the units that were charged.

    What an AsyncLimiter counts, a Limiter with the same limits, name and store uses up.

    >>> with frozen():
    ...     limiter = Limiter("5/minute", "3/hour", name="exhausted")
    ...     exhaust(limiter, "ann"), bool(limiter.hit("ann"))
    (3, False)
    """
    charged = 0
    while left := min(part.remaining for part in limiter.peek(identity).details):
        if limiter.hit(identity, cost=left):
            charged += left
    return charged


@contextmanager
def limiting_off() -> Iterator[None]:
    """
    Switch limiting off for what opens its store inside the block: limiters, decorated functions at their first call, applications at
    their start. The same as RATEKIT_ENABLED=0, which does it for a whole run, without its warning.

    >>> with limiting_off():
    ...     limiter = Limiter("1/day", name="off")
    >>> [bool(limiter.hit("ann")) for _ in range(3)]
    [True, True, True]
    """
    before = os.environ.get("RATEKIT_ENABLED")
    os.environ["RATEKIT_ENABLED"] = "0"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RateKitWarning)
            yield
    finally:
        if before is None:
            del os.environ["RATEKIT_ENABLED"]
        else:
            os.environ["RATEKIT_ENABLED"] = before
