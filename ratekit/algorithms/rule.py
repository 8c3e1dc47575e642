"""
Rule: one limit, compiled; what every algorithm gives and all that a store needs to know of it.

A rule is arithmetic on integers: microseconds and units. It reads no clock and no store. In Python `step` is the whole of the
decision; in Redis its twin, the Lua file beside it, sees the same and the same `read` turns what was seen into figures.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from ratekit.decision import Read, Seen
from ratekit.limit import Limit

# How one limit takes part in a hit. Only SPEND and CHECK can refuse the hit, and then nothing is charged but by FORCE.
LOOK: Final = 0  # answer, write nothing, refuse nothing
SPEND: Final = 1  # refuse if it does not fit, charge if nothing refused
CHECK: Final = 2  # refuse if it does not fit, charge nothing
SHADOW: Final = 3  # refuse nothing, charge if it fits and nothing refused
FORCE: Final = 4  # charge whether it fits or not
GIVE: Final = 5  # give back what an earlier hit charged, into its own window only

Mark = tuple[int, int]
"""Where a charge went: what `give` needs to find it again. Two integers of the rule's own."""


class Rule(NamedTuple):
    """
    The functions of one limit. `state` is None for a key that was never charged; its form is the rule's own.

    The cost is from 1 to 10^9 and `now` is microseconds of the store's clock.
    """

    limit: Limit
    label: str
    """The algorithm and the version of its state, as it stands in a key."""
    width: int
    """How many integers follow the first one in what the Lua twin saw."""
    step: Callable[[Any, int, int, int], tuple[Any, Seen]]
    """(state, now, cost, mode) -> (state, seen). LOOK changes nothing; SPEND charges if it fits; FORCE charges."""
    give: Callable[[Any, int, int, Mark], Any]
    """(state, now, cost, mark) -> state, without the charge that `mark` points to, as far as it still counts."""
    expiry: Callable[[Any], int]
    """state -> the instant from which it equals that of a fresh key."""
    read: Read
    """(cost, seen) -> Figures."""
    mark: Callable[[int, int, Seen], Mark]
    """(now, cost, seen) -> the mark of that charge."""
    arguments: Callable[[int], str]
    """cost -> what the Lua twin needs besides key, mode and mark: numbers, separated by spaces."""
