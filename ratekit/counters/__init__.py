"""
Counters: they never refuse, they only count; and ConcurrencyLimiter beside them. Commands travel in the trips that hits travel in.
"""

from ratekit.counters.counter import AsyncCounter, Counter

__all__ = ["AsyncCounter", "Counter"]
