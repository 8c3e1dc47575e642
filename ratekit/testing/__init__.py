"""
For tests of programs that are limited: a clock that is moved instead of waited for, keys that are used up, answers that are
understood, a Redis that needs no server. With pytest its fixtures are there without an import.
"""

from ratekit.testing.answers import assert_limited, assert_not_limited, limits_told
from ratekit.testing.clock import ManualClock
from ratekit.testing.times import exhaust, frozen, limiting_off

__all__ = ["ManualClock", "assert_limited", "assert_not_limited", "exhaust", "frozen", "limiting_off", "limits_told"]
