"""
What is allowed in all: operations a day on the free plan, operations in one invocation, calls of the REST API in five minutes.
"""

import threading
from collections import Counter
from collections.abc import Mapping
from typing import Final, Literal

from ratekit.kv.namespace import KVError
from ratekit.stores.memory import Clock

Kind = Literal["read", "write", "delete", "list"]
"""What is counted and billed; a bulk read is as many reads as it has keys."""
Plan = Literal["free", "paid"]

DAY: Final = 86_400_000_000
"""Microseconds."""
FREE: Final[Mapping[Kind, int]] = {"read": 100_000, "write": 1_000, "delete": 1_000, "list": 1_000}
"""Operations a day on the free plan, all namespaces of an account together."""
INVOCATION: Final = 1_000
"""Operations that one invocation of a Worker may make; a bulk read is one."""

_CALLED: Final[Mapping[Kind, str]] = {"read": "get", "write": "put", "delete": "delete", "list": "list"}


class Daily:
    """The operations of an account by UTC day; `plan` "paid" has no quota."""

    __slots__ = ("_counts", "_day", "_free")

    def __init__(self, plan: Plan) -> None:
        self._free = plan == "free"
        self._day = -1
        self._counts: Counter[Kind] = Counter()

    def check(self, kind: Kind, count: int, now: int) -> KVError | None:
        """The error of an operation for which too little is left today; `now` is microseconds since 1970."""
        if not self._free:
            return None
        if now // DAY != self._day:
            self._day = now // DAY
            self._counts.clear()
        if self._counts[kind] + count <= FREE[kind]:
            return None
        return KVError(f"KV {_CALLED[kind]}() limit exceeded for the day.", status=429, kind="day")

    def spend(self, kind: Kind, count: int) -> None:
        """Count operations that `check` has let pass."""
        if self._free:
            self._counts[kind] += count


class Budget:
    """
    The calls that a token may make of Cloudflare's REST API: 1,200 in five minutes, everything it calls together. One call more,
    and all are refused for the five minutes that follow.

    The window opens at the first call; whether the real one slides is not published. For threads.

    >>> from ratekit.testing import ManualClock
    >>> clock = ManualClock()
    >>> budget = Budget(clock, calls=1)
    >>> budget.spend()
    >>> budget.remaining, budget.reset
    (0, 300.0)
    >>> budget.spend()
    Traceback (most recent call last):
    ratekit.kv.namespace.KVError: Please wait and consider throttling your request speed
    """

    def __init__(self, clock: Clock, *, calls: int = 1_200, window: float = 300.0) -> None:
        self.calls = calls
        self.window = window
        self._clock = clock
        self._length = round(window * 1_000_000)
        self._lock = threading.Lock()
        self._opened = -self._length
        self._blocked = -1
        self._spent = 0

    @property
    def remaining(self) -> int:
        """Calls that are left in this window."""
        now = self._clock()
        if now < self._blocked:
            return 0
        return self.calls if now >= self._opened + self._length else max(0, self.calls - self._spent)

    @property
    def reset(self) -> float:
        """Seconds until this window, or the block, is over."""
        return max(0, self._opened + self._length - self._clock(), self._blocked - self._clock()) / 1_000_000

    def spend(self) -> None:
        """Count one call. Raises KVError, kind "budget" with `retry_after`, when there is none left."""
        with self._lock:
            now = self._clock()
            if now >= self._blocked:
                if now >= self._opened + self._length:
                    self._opened, self._spent = now, 0
                self._spent += 1
                if self._spent <= self.calls:
                    return
                self._blocked = now + self._length
            wait = (self._blocked - now) / 1_000_000
        text = "Please wait and consider throttling your request speed"
        raise KVError(text, status=429, kind="budget", retry_after=wait)
