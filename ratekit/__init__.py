"""
ratekit: rate limits and counters for Python web applications. Exact decisions, one round trip, no outage because of a limiter.
"""

from ratekit.counters import (
    AsyncConcurrencyLimiter,
    AsyncCounter,
    AsyncLeaderboard,
    AsyncUniqueCounter,
    ConcurrencyExceeded,
    ConcurrencyLimiter,
    Counter,
    Leaderboard,
    UniqueCounter,
)
from ratekit.decision import Decision
from ratekit.decorators import rate_limit
from ratekit.errors import (
    ConfigurationError,
    CountedInPart,
    RateKitError,
    RateKitWarning,
    RateLimitExceeded,
    StoreError,
    StoreUnavailable,
)
from ratekit.limit import Limit
from ratekit.limiter import AsyncLimiter, Limiter
from ratekit.policy import Policy
from ratekit.stores import open_async_store, open_store

__version__ = "0.1.0"

__all__ = [
    "AsyncConcurrencyLimiter",
    "AsyncCounter",
    "AsyncLeaderboard",
    "AsyncLimiter",
    "AsyncUniqueCounter",
    "ConcurrencyExceeded",
    "ConcurrencyLimiter",
    "ConfigurationError",
    "CountedInPart",
    "Counter",
    "Decision",
    "Leaderboard",
    "Limit",
    "Limiter",
    "Policy",
    "RateKitError",
    "RateKitWarning",
    "RateLimitExceeded",
    "StoreError",
    "StoreUnavailable",
    "UniqueCounter",
    "open_async_store",
    "open_store",
    "rate_limit",
]
