"""
Counters: they never refuse, they only count; and ConcurrencyLimiter beside them. Commands travel in the trips that hits travel in.
"""

from ratekit.counters.backlog import Behind
from ratekit.counters.concurrency import ConcurrencyLimiter
from ratekit.counters.concurrency_async import AsyncConcurrencyLimiter
from ratekit.counters.counter import Counter
from ratekit.counters.counter_async import AsyncCounter
from ratekit.counters.holding import ConcurrencyExceeded, Lease
from ratekit.counters.leaderboard import AsyncLeaderboard, Leaderboard
from ratekit.counters.ranking import Entry
from ratekit.counters.series import Bucket
from ratekit.counters.served import Served
from ratekit.counters.traffic import Traffic
from ratekit.counters.unique_counter import AsyncUniqueCounter, UniqueCounter

__all__ = [
    "AsyncConcurrencyLimiter",
    "AsyncCounter",
    "AsyncLeaderboard",
    "AsyncUniqueCounter",
    "Behind",
    "Bucket",
    "ConcurrencyExceeded",
    "ConcurrencyLimiter",
    "Counter",
    "Entry",
    "Leaderboard",
    "Lease",
    "Served",
    "Traffic",
    "UniqueCounter",
]
