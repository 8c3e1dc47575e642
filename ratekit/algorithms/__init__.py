"""
The rules: what a limit means, as arithmetic on integers, without a clock and without a store.

Each algorithm is two files of one name: the Python one, and its Lua twin that runs inside Redis. To add one, write both and
name its class here and its word in `ratekit.limit_text.ALGORITHM_NAMES`.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

from ratekit.algorithms.calendar import CalendarQuota
from ratekit.algorithms.fixed_window import FixedWindow
from ratekit.algorithms.rule import CHECK, FORCE, GIVE, LOOK, MERGE, SHADOW, SPEND, Mark, Rule
from ratekit.algorithms.sliding_counter import SlidingCounter
from ratekit.algorithms.sliding_window import SlidingWindow
from ratekit.algorithms.token_bucket import TokenBucket
from ratekit.limit import Limit

ALGORITHMS: Final[Mapping[str, Callable[[Limit], Rule]]] = {
    "fixed_window": FixedWindow,
    "sliding_window": SlidingWindow,
    "sliding_counter": SlidingCounter,
    "token_bucket": TokenBucket,
    "calendar": CalendarQuota,
}


@lru_cache(maxsize=1024)
def rule_of(limit: Limit) -> Rule:
    """The rule of a limit, compiled once."""
    return ALGORITHMS[limit.algorithm](limit)


__all__ = ["ALGORITHMS", "CHECK", "FORCE", "GIVE", "LOOK", "MERGE", "SHADOW", "SPEND", "Mark", "Rule", "rule_of"]
