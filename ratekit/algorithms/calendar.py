"""
calendar: count the units of an hour, day, week, month or year of a time zone's calendar; when it is over, count anew.

Worst case: 2N units in a time of any length (N at the very end of one month, N at the start of the next). State: one integer, and when
its month ends. `wait` is the rest of the month.

In Python the rule works out by itself when the month ends that an instant is in. Its Lua twin is sent the starts around the time that
the caller believes it is (`at`), and picks by the store's clock; should that be another time altogether, it goes on from the starts that
it has in steps of the last one's length. Ends are whole milliseconds.
"""

from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from ratekit.algorithms.rule import CHECK, FORCE, LOOK, Charge, Mark
from ratekit.decision import NEVER, Seen, Told
from ratekit.limit import Limit
from ratekit.zones import Calendar

State = tuple[int, int]
"""When the month ends (ms since 1970), and the units used in it."""

FULL: Final = (1 << 40) - 1
"""Forced charges stop counting here, far above any quota, in both twins."""
BACK: Final = 1
AHEAD: Final = 2
"""Months before and after the present one that the Lua twin is sent."""


class CalendarQuota:
    """The rule of one calendar limit. `shift` is microseconds from 1970 to the beginning of the clock that it is told."""

    __slots__ = ("_calendar", "_months", "limit", "quota", "shift")

    label = "cq1"
    width = 2
    ends_at_once = True
    tells_any_cost = True

    def __init__(self, limit: Limit, shift: int = 0, months: tuple[int, ...] = ()) -> None:
        assert limit.unit is not None
        assert limit.zone is not None
        self.limit, self.quota, self.shift = limit, limit.quota, shift
        self._calendar = Calendar(limit.unit, ZoneInfo(limit.zone))
        self._months = months

    @property
    def dates(self) -> "CalendarQuota":
        """It goes by dates."""
        return self

    def shifted(self, shift: int) -> "CalendarQuota":
        """The rule for a clock that began `shift` microseconds after 1970."""
        return _shifted(self.limit, shift)

    def at(self, ms: int) -> "CalendarQuota":
        """The rule with the starts that its Lua twin is sent at this time."""
        return _of_months(self.limit, _starts(self._calendar, ms))

    def step(self, state: State | None, now: int, cost: int, mode: int) -> tuple[State | None, Seen]:
        """The next state and what was seen: whether it fits, the units used, the microseconds left of the month."""
        now += self.shift
        end = self._end(now)
        used = 0 if state is None or state[0] * 1000 <= now else state[1]
        fits = used + cost <= self.quota or mode == FORCE
        if not fits or mode in (LOOK, CHECK):
            if state is None or not used:
                return None, (fits, 0, 0)
            if mode == LOOK or state[0] == end:
                return state, (fits, used, state[0] * 1000 - now)
            return (end, used), (fits, used, end * 1000 - now)
        used = min(FULL, used + cost)
        return (end, used), (True, used, end * 1000 - now)

    def charger(self) -> Charge:
        """Nothing is shorter than `step`."""
        return lambda states, key, state, now, cost: None

    def recall(self, cost: int, told: Seen) -> Told:
        """What `step` sees is all that could be told."""
        return self.read(cost, told)

    def give(self, state: State | None, now: int, cost: int, mark: Mark) -> State | None:
        """The state without a charge, if its month is not over."""
        if state is None or state[0] * 1000 <= now + self.shift or state[0] * 1000 - self.shift != mark[0]:
            return state
        left = state[1] - min(cost, state[1])
        return (state[0], left) if left else None

    def expiry(self, state: State) -> int:
        """The end of the month."""
        return state[0] * 1000 - self.shift

    def restore(self, seen: Seen, now: int) -> State | None:
        """The month of which this was seen."""
        _, used, left = seen
        return (-(-(now + self.shift + left) // 1000), used) if used else None

    def read(self, cost: int, seen: Seen) -> Told:
        """From what was seen to the figures."""
        fits, used, left = seen
        wait = 0 if fits else left if cost <= self.quota else NEVER
        return wait, max(0, self.quota - used), left, left

    def mark(self, now: int, seen: Seen) -> Mark:
        """The end of the charged month, in microseconds of the store's clock."""
        return now + seen[2], 0

    def merge(self, state: State | None, now: int, cost: int, mark: Mark) -> State | None:
        """Into the present month, if the instant is in it."""
        now, at = now + self.shift, mark[0] + self.shift
        starts = _starts(self._calendar, now // 1000)
        if at // 1000 < starts[BACK]:
            return state
        used = 0 if state is None or state[0] * 1000 <= now else state[1]
        return starts[BACK + 1], min(FULL, used + cost)

    def merge_mark(self, now: int, seen: Seen, known: Mark | None = None) -> Mark:
        """The instant."""
        return now, 0

    def moved(self, mark: Mark, shift: int) -> Mark:
        """A mark of a merge by a clock that is `shift` ahead."""
        return mark[0] + shift, 0

    def is_over(self, mark: Mark, now: int) -> bool:
        """Whether even the longest month is over."""
        return mark[0] + self.limit.period <= now

    def holds(self, mark: Mark, cost: int, given: Mark) -> bool:
        """Whether it was charged before the month's end."""
        return mark[0] <= given[0]

    def after(self, mark: Mark, cost: int) -> Mark | None:
        """A charge stays where it was made."""
        return None

    def arguments(self, cost: int) -> tuple[int, ...]:
        """What the Lua twin is told."""
        return cost, self.quota, *self._months

    def _end(self, now: int) -> int:
        return _starts(self._calendar, now // 1000)[BACK + 1]


@lru_cache(maxsize=1024)
def _shifted(limit: Limit, shift: int) -> CalendarQuota:
    return CalendarQuota(limit, shift)


@lru_cache(maxsize=1024)
def _of_months(limit: Limit, months: tuple[int, ...]) -> CalendarQuota:
    return CalendarQuota(limit, 0, months)


_AROUND: Final[dict[Calendar, tuple[int, ...]]] = {}


def _starts(calendar: Calendar, ms: int) -> tuple[int, ...]:
    """The starts around an instant; those that were last asked for are kept."""
    starts = _AROUND.get(calendar)
    if starts is None or not starts[BACK] <= ms < starts[BACK + 1]:
        starts = _AROUND[calendar] = tuple(calendar.starts(ms, BACK, AHEAD))
    return starts
