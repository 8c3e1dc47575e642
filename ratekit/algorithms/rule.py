"""
Rule: one limit, compiled; what every algorithm offers and all that a store needs to know of it.

A rule is arithmetic on integers: microseconds and units. It reads no clock and no store. In Python `step` is the whole of the
decision; in Redis its twin, the Lua file beside it, sees the same, and the same `read` turns what was seen into figures.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol

from ratekit.decision import Seen, Told
from ratekit.limit import Limit

# How one limit takes part in a hit. Only SPEND and CHECK can refuse the hit, and then nothing is charged but by FORCE.
LOOK: Final = 0  # answer, write nothing, refuse nothing
SPEND: Final = 1  # refuse if it does not fit, charge if nothing refused
CHECK: Final = 2  # refuse if it does not fit, charge nothing
SHADOW: Final = 3  # refuse nothing, charge if it fits and nothing refused
FORCE: Final = 4  # charge whether it fits or not
GIVE: Final = 5  # give back what an earlier hit charged, into its own window only
MERGE: Final = 7  # refuse nothing, charge what was admitted elsewhere, as of the instant at which it was (6 is a counter's command)

Mark = tuple[int, int]
"""Where a charge went: what `give` and `merge` need to find its place again. Two integers of the rule's own, for each of them."""

Charge = Callable[[dict[Any, Any], Any, Any, int, int], Any]
"""
(states, key, state, now in nanoseconds, cost) -> what `recall` wants to be told, or None when nothing was done and `step` must say.
"""


class Dated(Protocol):
    """What goes by dates, and so has to know what a store's instants are in the calendar."""

    def at(self, ms: int) -> "Rule":
        """The rule with all that its Lua twin is told around this time, in milliseconds since 1970."""
        ...

    def shifted(self, shift: int) -> "Rule":
        """The rule for a clock that began `shift` microseconds after 1970."""
        ...


class Rule(Protocol):
    """
    One limit as arithmetic. A state is None for a key that was never charged, else of the rule's own form; a cost is from 1 to
    10^9 and `now` is microseconds of the store's clock.
    """

    limit: Limit
    label: str
    """The algorithm and the version of its state, as it stands in a key."""
    width: int
    """How many integers follow the first one in what is seen."""
    ends_at_once: bool
    """Whether its quota is new at once when a window ends; then the last integer seen is the microseconds until that."""
    tells_any_cost: bool
    """Whether `read` tells the wait of any cost from what was seen of another one."""

    @property
    def dates(self) -> "Dated | None":
        """What a store tells of dates before it asks; None for a rule to which they mean nothing."""
        ...

    def step(self, state: Any, now: int, cost: int, mode: int) -> tuple[Any, Seen]:
        """
        The next state and what was seen. SPEND charges if it fits, FORCE charges; LOOK and CHECK charge nothing.

        A state may have been written by another limit: all but LOOK bring it under this one, whether it fits or not.
        """
        ...

    def charger(self) -> Charge:
        """
        The shortest way of a SPEND for a key whose state is held: if the cost plainly fits, `states[key]` becomes what `step` would
        make of it; whatever is less plain is left alone.
        """
        ...

    def recall(self, cost: int, told: Any) -> Told:
        """From what a charger told to the figures."""
        ...

    def give(self, state: Any, now: int, cost: int, mark: Mark) -> Any:
        """The state without `cost` units of the charge that `mark` points to, as far as they still count."""
        ...

    def expiry(self, state: Any) -> int:
        """The instant from which a state equals that of a fresh key."""
        ...

    def restore(self, seen: Seen, now: int) -> Any:
        """A state, as of `now`, from which the same would be seen; where that is not exact it is more spent, never less."""
        ...

    def read(self, cost: int, seen: Seen) -> Told:
        """From what was seen to the figures."""
        ...

    def mark(self, now: int, seen: Seen) -> Mark:
        """Where a charge at `now` went, from what was seen of it."""
        ...

    def merge(self, state: Any, now: int, cost: int, mark: Mark) -> Any:
        """
        The state with a charge that was made elsewhere, as of the instant at which it was made. It never counts in a later window than
        its own, nor for longer than it would have counted had it been charged at its instant.
        """
        ...

    def merge_mark(self, now: int, seen: Seen, known: Mark | None = None) -> Mark:
        """
        Where a charge at `now` is to be merged, from what was seen of it; times by the clock of whoever saw it. `known`: the `mark` of
        the window that the store itself was last seen to have, if whoever charged went on from that.
        """
        ...

    def moved(self, mark: Mark, shift: int) -> Mark:
        """A mark of a merge by another clock, which is `shift` microseconds ahead."""
        ...

    def is_over(self, mark: Mark, now: int) -> bool:
        """Whether a merge of this mark would charge nothing any more; both by one clock."""
        ...

    def holds(self, mark: Mark, cost: int, given: Mark) -> bool:
        """Whether units that are given back, by a mark of `give`, may be among `cost` units that are to be merged by this mark."""
        ...

    def after(self, mark: Mark, cost: int) -> Mark | None:
        """
        Where charges queue up: the mark of a merge of `cost` units more, charged without a rest after this mark's; fewer if `cost` is
        below 0. None where a charge stays where it was made.
        """
        ...

    def arguments(self, cost: int) -> tuple[int, ...]:
        """What the Lua twin is told: the cost and its other numbers."""
        ...
