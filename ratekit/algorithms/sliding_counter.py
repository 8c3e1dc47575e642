"""
sliding_counter: this window's count plus the last one's, weighted by how much of it still overlaps the sliding window.

    used = current + ceil(previous * (period - elapsed) / period)

Worst case: 2N units in a window of the period (N in a burst, N more spread over the next period: the estimate takes the last
window as even). State: a start and two counts. False refusals: as many as the real arrivals were earlier in the last window
than even ones. The cheapest sliding form. Source: the weighted-counter estimate published by Cloudflare in 2017; here the
windows start at a key's first hit and every rounding is upwards.

The products stay below 2^53 because the weight is counted in at most 2^22 steps a period and `previous` is capped at 2^30, above
any quota.
"""

from typing import Any, Final

from ratekit.algorithms.rule import CHECK, FORCE, LOOK, Charge, Mark
from ratekit.decision import NEVER, Seen, Told
from ratekit.limit import Limit

State = tuple[int, int, int]
"""The start of the current window, its count, the count of the window before."""

STEPS: Final = 1 << 22
HEAVIEST: Final = 1 << 30
FULL: Final = (1 << 39) - 1
"""Forced charges stop counting here, in both twins."""


class SlidingCounter:
    """The rule of one sliding_counter limit; weights are counted in `units` steps of `unit` microseconds."""

    __slots__ = ("limit", "period", "quota", "unit", "units")

    label = "sc1"
    width = 3
    ends_at_once = False
    tells_any_cost = True
    dates = None

    def __init__(self, limit: Limit) -> None:
        self.limit, self.quota, self.period = limit, limit.quota, limit.period
        self.unit = -(-limit.period // STEPS)
        self.units = -(-limit.period // self.unit)

    def step(self, state: State | None, now: int, cost: int, mode: int) -> tuple[State | None, Seen]:
        """The next state and what was seen: whether it fits, the microseconds since the window began, both counts."""
        start, current, previous = state if state is not None and now - state[0] < self.period else self._rolled(state, now)
        elapsed = now - start if now > start else 0
        used = self._used(elapsed, current, previous) if previous else current
        fits = used + cost <= self.quota or mode == FORCE
        if fits and mode not in (LOOK, CHECK):
            current = current + cost if current + cost < FULL else FULL
            state = (start, current, previous)
        return state, (fits, elapsed, current, previous)

    def charger(self) -> Charge:
        """`step` within the current window."""
        quota, period, unit, units = self.quota, self.period, self.unit, self.units

        def charge(states: dict[Any, State], key: Any, state: State, now: int, cost: int) -> tuple[State, int] | None:
            start, current, previous = state
            now //= 1000
            elapsed = now - start
            if not 0 <= elapsed < period:
                return None
            current += cost
            if previous:
                if current - (-previous * (units - elapsed // unit) // units) > quota:
                    return None
            elif current > quota:
                return None
            states[key] = after = (start, current, previous)
            return after, now

        return charge

    def recall(self, cost: int, told: tuple[State, int]) -> Told:
        """From the state after a charge and its instant to the figures."""
        (start, current, previous), now = told
        return self.read(cost, (True, now - start, current, previous))

    def give(self, state: State | None, now: int, cost: int, mark: Mark) -> State | None:
        """The state without a charge, in whichever of the two windows it is."""
        start, current, previous = self._rolled(state, now)
        if start == mark[0] and current:
            return start, max(0, current - cost), previous
        if start - self.period == mark[0] and previous:
            return start, current, max(0, previous - cost)
        return state

    def expiry(self, state: State) -> int:
        """The end of the window after the current one."""
        return state[0] + 2 * self.period

    def restore(self, seen: Seen, now: int) -> State | None:
        """The windows of which this was seen."""
        _, elapsed, current, previous = seen
        return (now - elapsed, current, previous) if current or previous else None

    def read(self, cost: int, seen: Seen) -> Told:
        """From what was seen to the figures."""
        fits, elapsed, current, previous = seen
        used = self._used(elapsed, current, previous)
        remaining = max(0, self.quota - used)
        wait = 0 if fits else NEVER if cost > self.quota else self._instant(cost, current, previous) - elapsed
        more = self._instant(remaining + 1, current, previous) - elapsed if used else 0
        reset = 2 * self.period - elapsed if current else self.period - elapsed if previous else 0
        return wait, remaining, more, reset

    def mark(self, now: int, seen: Seen) -> Mark:
        """The start of the charged window."""
        return now - seen[1], 0

    def merge(self, state: State | None, now: int, cost: int, mark: Mark) -> State | None:
        """Into whichever of the two windows the instant is in; into a key that is as new with the units' own window."""
        period = self.period
        start, current, previous = self._rolled(state, now)
        now = max(now, start)
        at = min(mark[0], now)
        if not current and not previous:
            start = mark[1] if mark[1] <= at < mark[1] + period else at
            if now - start < period:
                return start, cost, 0
            return (start + period, 0, min(cost, HEAVIEST)) if now - start < 2 * period else state
        if at >= start:
            return start, min(FULL, current + cost), previous
        return (start, current, min(HEAVIEST, previous + cost)) if at >= start - period else state

    def merge_mark(self, now: int, seen: Seen, known: Mark | None = None) -> Mark:
        """The instant, and the start of its window."""
        return now, self.mark(now, seen)[0]

    def moved(self, mark: Mark, shift: int) -> Mark:
        """A mark of a merge by a clock that is `shift` ahead."""
        return mark[0] + shift, mark[1] + shift

    def is_over(self, mark: Mark, now: int) -> bool:
        """Whether the window after its own is over, too."""
        return mark[0] + 2 * self.period <= now

    def holds(self, mark: Mark, cost: int, given: Mark) -> bool:
        """Whether it is of the same window."""
        return mark[1] == given[0]

    def after(self, mark: Mark, cost: int) -> Mark | None:
        """A charge stays where it was made."""
        return None

    def arguments(self, cost: int) -> tuple[int, ...]:
        """What the Lua twin is told."""
        return cost, self.quota, self.period, self.unit, self.units

    def _rolled(self, state: State | None, now: int) -> State:
        if state is None:
            return now, 0, 0
        start, current, _ = state
        if now - start < self.period:
            return state
        if now - start < 2 * self.period:
            return start + self.period, 0, min(current, HEAVIEST)
        return now, 0, 0

    def _used(self, elapsed: int, current: int, previous: int) -> int:
        return current - (-previous * (self.units - elapsed // self.unit) // self.units)

    def _instant(self, cost: int, current: int, previous: int) -> int:
        # Microseconds from the window's start until `cost` fits, given that it does not now. `room` is what the last window
        # may weigh: at step e it weighs previous * (units - e) / units.
        room = self.quota - current - cost
        if room >= 0:
            return min(self.period, (self.units - room * self.units // previous) * self.unit)
        heavy = min(current, HEAVIEST)
        return self.period + min(self.period, (self.units - (self.quota - cost) * self.units // heavy) * self.unit)
