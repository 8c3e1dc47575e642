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
from typing import Final

from ratekit.algorithms.rule import FORCE, LOOK, Mark, Rule
from ratekit.decision import NEVER, Figures, Seen
from ratekit.limit import Limit

State = tuple["array[int]", "array[int]"]
"""Times and totals of the points; the first point is the base, all others are live or have left since the last charge."""

FULL: Final = (1 << 39) - 1
"""Forced charges stop counting here, in both twins."""


def cell_of(limit: Limit) -> int:
    """Microseconds within which hits share a point: 1 where every hit has its own."""
    return 1 if limit.quota <= limit.buckets else -(-limit.period // (limit.buckets - 1))


def rule(limit: Limit) -> Rule:
    quota, period, cell = limit.quota, limit.period, cell_of(limit)

    def look(times: "array[int]", totals: "array[int]", base: int, now: int, cost: int, fits: bool) -> Seen:
        used = totals[-1] - totals[base]
        wait = 0
        if not fits:
            wait = -1 if cost > quota else times[bisect_left(totals, totals[-1] + cost - quota, base + 1)] + period - now
        if not used:
            return fits, 0, wait, 0, 0
        first = base + 1 if used <= quota else bisect_left(totals, totals[-1] - quota + 1, base + 1)
        return fits, used, wait, times[first] + period - now, times[-1] + period - now

    def step(state: State | None, now: int, cost: int, mode: int) -> tuple[State | None, Seen]:
        if state is None:
            fits = cost <= quota or mode == FORCE
            if not fits or mode == LOOK:
                return None, (fits, 0, 0 if fits else -1, 0, 0)
            return (array("q", (now - period, now)), array("q", (0, cost))), (True, cost, 0, period, period)
        times, totals = state
        last = times[-1]
        at = now if now > last else last
        base = max(0, bisect_right(times, at - period) - 1)
        used = totals[-1] - totals[base]
        fits = used + cost <= quota or mode == FORCE
        if fits and mode != LOOK:
            total = totals[-1] + min(cost, FULL - used)
            if at // cell == last // cell and base < len(times) - 1:
                times[-1], totals[-1] = at, total
            else:
                times.append(at)
                totals.append(total)
                if base:
                    del times[:base], totals[:base]
                    base = 0
        return state, look(times, totals, base, now, cost, fits)

    def give(state: State | None, now: int, cost: int, mark: Mark) -> State | None:
        if state is None:
            return None
        times, totals = state
        base = max(0, bisect_right(times, max(now, times[-1]) - period) - 1)
        point = bisect_left(times, mark[0], base + 1)
        if point == len(times) or times[point] // cell != mark[0] // cell:
            return state
        own = totals[point] - totals[point - 1]
        for later in range(point, len(totals)):
            totals[later] -= min(cost, own)
        if cost >= own:
            del times[point], totals[point]
        return state if len(times) > 1 else None

    def read(cost: int, seen: Seen) -> Figures:
        fits, used, wait, more, reset = seen
        return Figures(0 if fits else NEVER if wait < 0 else wait, max(0, quota - used), more, reset)

    return Rule(
        limit=limit,
        label="sw1",
        width=4,
        step=step,
        give=give,
        expiry=lambda state: state[0][-1] + period,
        read=read,
        mark=lambda now, cost, seen: (now + seen[4] - period, 0),
        arguments=lambda cost: f"sliding_window {cost} {quota} {period} {cell}",
    )
