"""
Counters: they never refuse, they only count; and ConcurrencyLimiter beside them. Commands travel in the trips that hits travel in.
"""

from ratekit.counters.concurrency import AsyncConcurrencyLimiter, ConcurrencyLimiter
from ratekit.counters.counter import AsyncCounter, Counter
from ratekit.counters.holding import ConcurrencyExceeded, Lease
from ratekit.counters.series import Bucket

__all__ = [
    "AsyncConcurrencyLimiter",
    "AsyncCounter",
    "Bucket",
    "ConcurrencyExceeded",
    "ConcurrencyLimiter",
    "Counter",
    "Lease",
]
