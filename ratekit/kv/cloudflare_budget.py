"""
How many calls of Cloudflare's REST API a program makes: half of what its token may, counted by ratekit's own sliding window.

The API allows a token 1,200 calls in five minutes, the dashboard's included, and refuses everything for five minutes to whoever
makes one more. So a call too many is not sent: it is refused here, with the seconds to wait.
"""

import threading
from hashlib import blake2b
from typing import Final
from weakref import WeakValueDictionary

from ratekit.algorithms import SPEND
from ratekit.errors import ConfigurationError
from ratekit.kv.cloudflare_errors import Answer, spent_for
from ratekit.kv.namespace import KVError
from ratekit.limit import Limit
from ratekit.stores.memory import Clock, MemoryStore, monotonic
from ratekit.stores.naming import plan_of
from ratekit.stores.protocol import hit

HALF: Final = "600/5 minutes"
"""Of the API's 1,200."""


class CallBudget:
    """
    The calls that this program may make with one token; every client of a token in a process shares one. For threads.

    `limit` is a Limit or its text. Several processes with one token have to divide what there is: four of them "150/5 minutes" each.

    >>> budget = CallBudget("1/5 minutes")
    >>> budget.spend()
    >>> budget.spend()
    Traceback (most recent call last):
    ratekit.kv.namespace.KVError: not sent: ratekit keeps the calls of this token at 1/5min; retry after 300 s
    """

    def __init__(self, limit: str | Limit = HALF, *, clock: Clock = monotonic) -> None:
        self.limit = Limit.parse(limit) if isinstance(limit, str) else limit
        if not isinstance(self.limit, Limit):
            raise ConfigurationError(f"calls {limit!r}: write a limit such as '{HALF}'")
        self._store = MemoryStore(clock=clock)
        self._plan = plan_of([self.limit], prefix="ratekit", name="cloudflare")
        self._clock = clock
        self._lock = threading.Lock()
        self._held = 0
        """The instant until which the API refuses everything, microseconds."""

    def spend(self) -> None:
        """Count a call. Raises KVError, kind "budget" with `retry_after`, when none is left or the API refuses them all."""
        wait = (self._held - self._clock()) / 1_000_000
        if wait > 0:
            text = f"not sent: the API has refused all calls of this token; retry after {wait:g} s"
            raise KVError(text, status=0, kind="budget", retry_after=wait)
        decision = hit(self._store, self._plan, "calls", 1, SPEND)
        if not decision.allowed:
            text = f"not sent: ratekit keeps the calls of this token at {self.limit}; retry after {decision.retry_after:g} s"
            raise KVError(text, status=0, kind="budget", retry_after=decision.retry_after)

    def learn(self, answer: Answer) -> None:
        """What an answer's Ratelimit field says of calls that others made."""
        self.hold(spent_for(answer))

    def hold(self, seconds: float) -> None:
        """Send nothing for so many seconds."""
        with self._lock:
            self._held = max(self._held, self._clock() + round(seconds * 1_000_000))


_shared: "WeakValueDictionary[bytes, CallBudget]" = WeakValueDictionary()
_lock: Final = threading.Lock()


def shared(url: str, token: str) -> CallBudget:
    """The one budget that all clients of a token have in this process; kept by a hash of it."""
    name = blake2b(f"{url} {token}".encode()).digest()
    with _lock:
        budget = _shared.get(name)
        if budget is None:
            budget = _shared[name] = CallBudget()
        return budget
