"""
The rules: what a limit means, as arithmetic on integers, without a clock and without a store.

Each algorithm is two files of one name: the Python one, and its Lua twin that runs inside Redis. To add one, write both and
name the module here.
"""

from functools import lru_cache

from ratekit.algorithms import fixed_window, sliding_counter, sliding_window, token_bucket
from ratekit.algorithms.rule import CHECK, FORCE, GIVE, LOOK, SHADOW, SPEND, Mark, Rule
from ratekit.limit import Limit

ALGORITHMS = {
    "fixed_window": fixed_window,
    "sliding_window": sliding_window,
    "sliding_counter": sliding_counter,
    "token_bucket": token_bucket,
}


@lru_cache(maxsize=1024)
def rule_of(limit: Limit) -> Rule:
    """The rule of a limit, compiled once."""
    return ALGORITHMS[limit.algorithm].rule(limit)


__all__ = ["ALGORITHMS", "CHECK", "FORCE", "GIVE", "LOOK", "SHADOW", "SPEND", "Mark", "Rule", "rule_of"]
