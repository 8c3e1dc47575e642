"""
ManualClock: a clock that is moved instead of waited for.
"""

import threading
import time


class ManualClock:
    """
    A clock that stands still until it is moved. Calling it gives microseconds; it never goes back.

    It starts at `start` microseconds, by default one hour ahead of the real time, so that one clock can drive a MemoryStore and a
    RedisStore: Redis goes on counting down expiries in real time, and must not overtake it.

    >>> from ratekit import Limiter
    >>> from ratekit.stores import MemoryStore
    >>> clock = ManualClock()
    >>> limiter = Limiter("1/minute", store=MemoryStore(clock=clock))
    >>> bool(limiter.hit("user:42")), bool(limiter.hit("user:42"))
    (True, False)
    >>> clock.advance(60)
    >>> bool(limiter.hit("user:42"))
    True
    """

    def __init__(self, start: int | None = None) -> None:
        self._lock = threading.Lock()
        self._now = time.time_ns() // 1000 + 3_600_000_000 if start is None else start

    def __call__(self) -> int:
        """Microseconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move on by `seconds`, rounded to the nearest microsecond. Raises ValueError for less than 0."""
        self.advance_us(round(seconds * 1_000_000))

    def advance_us(self, microseconds: int) -> None:
        """Move on by whole microseconds. Raises ValueError for less than 0."""
        if microseconds < 0:
            raise ValueError(f"{microseconds} us: a clock does not go back; write 0 or more")
        with self._lock:
            self._now += microseconds

    def __repr__(self) -> str:
        return f"ManualClock({self._now})"
