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

from typing import Final

from ratekit.algorithms.rule import FORCE, LOOK, Mark, Rule
from ratekit.decision import NEVER, Figures, Seen
from ratekit.limit import Limit

State = tuple[int, int, int]
"""The start of the current window, its count, the count of the window before."""

STEPS: Final = 1 << 22
HEAVIEST: Final = 1 << 30
FULL: Final = (1 << 39) - 1
"""Forced charges stop counting here, in both twins."""


def rule(limit: Limit) -> Rule:
    quota, period = limit.quota, limit.period
    unit = -(-period // STEPS)
    units = -(-period // unit)

    def rolled(state: State | None, now: int) -> State:
        if state is None:
            return now, 0, 0
        start, current, previous = state
        if now - start < period:
            return state
        if now - start < 2 * period:
            return start + period, 0, min(current, HEAVIEST)
        return now, 0, 0

    def step(state: State | None, now: int, cost: int, mode: int) -> tuple[State | None, Seen]:
        start, current, previous = rolled(state, now)
        elapsed = now - start if now > start else 0
        used = current - (-previous * (units - elapsed // unit) // units)
        fits = used + cost <= quota or mode == FORCE
        if fits and mode != LOOK:
            current = min(current + cost, FULL)
            state = (start, current, previous)
        return state, (fits, elapsed, current, previous)

    def give(state: State | None, now: int, cost: int, mark: Mark) -> State | None:
        start, current, previous = rolled(state, now)
        if start == mark[0] and current:
            return start, max(0, current - cost), previous
        if start - period == mark[0] and previous:
            return start, current, max(0, previous - cost)
        return state

    def instant(cost: int, current: int, previous: int) -> int:
        # Microseconds from the window's start until `cost` fits, given that it does not now. `room` is what the last window
        # may weigh: at step e it weighs previous * (units - e) / units.
        room = quota - current - cost
        if room >= 0:
            return min(period, (units - room * units // previous) * unit)
        return period + min(period, (units - (quota - cost) * units // min(current, HEAVIEST)) * unit)

    def read(cost: int, seen: Seen) -> Figures:
        fits, elapsed, current, previous = seen
        used = current - (-previous * (units - elapsed // unit) // units)
        remaining = max(0, quota - used)
        wait = 0 if fits else NEVER if cost > quota else instant(cost, current, previous) - elapsed
        more = instant(remaining + 1, current, previous) - elapsed if used else 0
        reset = 2 * period - elapsed if current else period - elapsed if previous else 0
        return Figures(wait, remaining, more, reset)

    return Rule(
        limit=limit,
        label="sc1",
        width=3,
        step=step,
        give=give,
        expiry=lambda state: state[0] + 2 * period,
        read=read,
        mark=lambda now, cost, seen: (now - seen[1], 0),
        arguments=lambda cost: f"sliding_counter {cost} {quota} {period} {unit} {units}",
    )
