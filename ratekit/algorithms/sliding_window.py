"""
sliding_window: never more than N units in ANY window of the period.

Worst case: N units in a window of the period, whatever the arrivals. State: points (time, units admitted so far), at most
min(N, buckets) + 1 of them. False refusals: none while N is at most `buckets` (an exact log); above that hits share cells of
period / (buckets - 1), and a cell counts whole until its last hit has left, so a unit is free at most one cell late.
Formula: used = C_last - C_base, where the base is the newest point that has left the window; `wait` for cost c ends when the first
point with C >= C_last + c - N leaves. Source: the sliding log, kept as running totals so that dropping a point (merging it
into the next) can only make units leave later.
"""

from array import array
from bisect import bisect_left, bisect_right
from typing import Any, Final

from ratekit.algorithms.rule import CHECK, FORCE, LOOK, Charge, Mark
from ratekit.decision import NEVER, Seen, Told
from ratekit.limit import Limit

State = tuple["array[int]", "array[int]"]
"""Times and totals of the points; the first point is the base, all others are live or have left since the last charge."""

FULL: Final = (1 << 39) - 1
"""Forced charges stop counting here, in both twins."""


class SlidingWindow:
    """The rule of one sliding_window limit; hits within a `cell` of microseconds share a point."""

    __slots__ = ("cell", "limit", "period", "quota")

    label = "sw1"
    width = 4
    ends_at_once = False
    tells_any_cost = False
    dates = None

    def __init__(self, limit: Limit) -> None:
        self.limit, self.quota, self.period = limit, limit.quota, limit.period
        self.cell = 1 if limit.quota <= limit.buckets else -(-limit.period // (limit.buckets - 1))

    def step(self, state: State | None, now: int, cost: int, mode: int) -> tuple[State | None, Seen]:
        """The next state and what was seen: whether it fits, the units used, and how long until it fits, more does, all do."""
        if state is None:
            fits = cost <= self.quota or mode == FORCE
            if not fits or mode in (LOOK, CHECK):
                return None, (fits, 0, 0 if fits else -1, 0, 0)
            points = array("q", (now - self.period, now)), array("q", (0, cost))
            return points, (True, cost, 0, self.period, self.period)
        times, totals = state
        last = times[-1]
        at = now if now > last else last
        base = 0 if times[1] > at - self.period else self._base(times, at)
        used = totals[-1] - totals[base]
        fits = used + cost <= self.quota or mode == FORCE
        if fits and mode not in (LOOK, CHECK):
            total = totals[-1] + (cost if used + cost <= FULL else FULL - used)
            if at // self.cell == last // self.cell and base < len(times) - 1:
                times[-1], totals[-1] = at, total
            else:
                times.append(at)
                totals.append(total)
                if base:
                    del times[:base], totals[:base]
                    base = 0
        return state, self._look(state, base, now, cost, fits)

    def charger(self) -> Charge:
        """`step` while some points are live; tells the units used and the first live point's time."""
        quota, period, cell = self.quota, self.period, self.cell

        def charge(states: dict[Any, State], key: Any, state: State, now: int, cost: int) -> tuple[int, int, int] | None:
            now //= 1000
            times, totals = state
            last, out, total = times[-1], now - period, totals[-1] + cost
            base = 0 if times[1] > out else bisect_right(times, out) - 1
            used = total - totals[base]
            if used > quota or now < last or last <= out:
                return None
            if now - last < cell and now // cell == last // cell:
                times[-1], totals[-1] = now, total
            else:
                times.append(now)
                totals.append(total)
                if base:
                    del times[:base], totals[:base]
                    base = 0
            return used, times[base + 1], now

        return charge

    def recall(self, cost: int, told: tuple[int, int, int]) -> Told:
        """From the units used and the first live point to the figures; the last point is the charge."""
        used, first, now = told
        return 0, self.quota - used, first + self.period - now, self.period

    def give(self, state: State | None, now: int, cost: int, mark: Mark) -> State | None:
        """The state without a charge, if its point is still live."""
        if state is None:
            return None
        times, totals = state
        point = bisect_left(times, mark[0], self._base(times, max(now, times[-1])) + 1)
        if point == len(times) or times[point] // self.cell != mark[0] // self.cell:
            return state
        own = totals[point] - totals[point - 1]
        for later in range(point, len(totals)):
            totals[later] -= min(cost, own)
        if cost >= own:
            del times[point], totals[point]
        return state if len(times) > 1 else None

    def expiry(self, state: State) -> int:
        """When the last point leaves."""
        return state[0][-1] + self.period

    def restore(self, seen: Seen, now: int) -> State | None:
        """Two points: one unit leaves when more is free, the others with the last."""
        _, used, _, more, reset = seen
        if not used:
            return None
        first, last = now + more - self.period, now + reset - self.period
        if used == 1 or first >= last:
            return array("q", (last - self.period, last)), array("q", (0, used))
        return array("q", (first - self.period, first, last)), array("q", (0, 1, used))

    def read(self, cost: int, seen: Seen) -> Told:
        """From what was seen to the figures."""
        fits, used, wait, more, reset = seen
        return 0 if fits else NEVER if wait < 0 else wait, max(0, self.quota - used), more, reset

    def mark(self, now: int, seen: Seen) -> Mark:
        """The time of the charged point."""
        return now + seen[4] - self.period, 0

    def merge(self, state: State | None, now: int, cost: int, mark: Mark) -> State | None:
        """A point at the instant (in cells: the cell of the instant), in the middle of the log where that is its place, until it has left."""
        at = min(mark[0], now)
        if at <= max(now, now if state is None else state[0][-1]) - self.period:
            return state
        if state is None:
            return array("q", (at - self.period, at)), array("q", (0, cost))
        times, totals = state
        base = self._base(times, max(now, times[-1]))
        cost = min(cost, FULL - (totals[-1] - totals[base]))
        point = bisect_right(times, at, base + 1)
        if point > base + 1 and times[point - 1] // self.cell == at // self.cell:
            point -= 1
            times[point] = at
        elif point == len(times) or times[point] // self.cell != at // self.cell:
            times.insert(point, at)
            totals.insert(point, totals[point - 1])
        for later in range(point, len(totals)):
            totals[later] += cost
        return state

    def merge_mark(self, now: int, seen: Seen, known: Mark | None = None) -> Mark:
        """The instant."""
        return now, 0

    def moved(self, mark: Mark, shift: int) -> Mark:
        """A mark of a merge by a clock that is `shift` ahead."""
        return mark[0] + shift, 0

    def is_over(self, mark: Mark, now: int) -> bool:
        """Whether the point has left."""
        return mark[0] + self.period <= now

    def holds(self, mark: Mark, cost: int, given: Mark) -> bool:
        """Whether it was charged by then."""
        return mark[0] <= given[0]

    def after(self, mark: Mark, cost: int) -> Mark | None:
        """A charge stays where it was made."""
        return None

    def arguments(self, cost: int) -> tuple[int, ...]:
        """What the Lua twin is told."""
        return cost, self.quota, self.period, self.cell

    def _base(self, times: "array[int]", at: int) -> int:
        """The newest point that has left the window."""
        return max(0, bisect_right(times, at - self.period) - 1)

    def _look(self, state: State, base: int, now: int, cost: int, fits: bool) -> Seen:
        times, totals = state
        used, first, leaves = totals[-1] - totals[base], base + 1, self.period - now
        wait = 0
        if not fits:
            wait = -1 if cost > self.quota else times[bisect_left(totals, totals[-1] + cost - self.quota, first)] + leaves
        if not used:
            return fits, 0, wait, 0, 0
        if used > self.quota:
            first = bisect_left(totals, totals[-1] - self.quota + 1, first)
        return fits, used, wait, times[first] + leaves, times[-1] + leaves
