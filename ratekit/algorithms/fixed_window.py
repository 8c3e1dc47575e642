"""
fixed_window: count the units of a window that opens at the first hit; when it is over, count anew.

Worst case: 2N - 1 units in a window of the period (N at the very end of one window, N at the start of the next, less the one
hit that opened the first). State: one integer. False refusals: none while the window is open, by its own rule.
`wait` is the rest of the window. Source: the INCR and EXPIRE pattern of the Redis documentation, made atomic.

Instants are whole milliseconds, because the window's end is the key's expiry in Redis (PEXPIREAT).
"""

from typing import Any, Final

from ratekit.algorithms.rule import CHECK, FORCE, LOOK, Charge, Mark
from ratekit.decision import NEVER, Seen, Told
from ratekit.limit import Limit

# A state is end << BITS | used, the end in nanoseconds: one integer, in which a charge is an addition.
BITS: Final = 40
MASK: Final = (1 << BITS) - 1
FULL: Final = MASK
"""Forced charges stop counting here, far above any quota, in both twins."""
MS: Final = 1_000_000
"""Nanoseconds."""
LAG: Final = 500
"""Milliseconds by which an instant of a store may be known too early to a process: two trips, that of a hit and that of a probe."""
END_MS: Final = MS << BITS
"""What a millisecond more of the end adds to a state."""


class FixedWindow:
    """The rule of one fixed_window limit."""

    __slots__ = ("limit", "period", "quota")

    label = "fw1"
    width = 2
    ends_at_once = True
    tells_any_cost = True
    dates = None

    def __init__(self, limit: Limit) -> None:
        self.limit, self.quota, self.period = limit, limit.quota, limit.period_ms

    def step(self, state: int | None, now: int, cost: int, mode: int) -> tuple[int | None, Seen]:
        """The next state and what was seen: whether it fits, the units used, the microseconds left of the window."""
        now_ms = now // 1000
        if state is None or (end := state // END_MS) <= now_ms:
            fits = cost <= self.quota or mode == FORCE
            if not fits or mode in (LOOK, CHECK):
                return None, (fits, 0, 0)
            end = now_ms + self.period
            return end * END_MS | cost, (True, cost, end * 1000 - now)
        if mode != LOOK and end > now_ms + self.period:  # opened under a longer period: from this hit on it is a window of this one
            end = now_ms + self.period
            state = end * END_MS | state & MASK
        used = state & MASK
        if used + cost <= self.quota:
            if mode not in (LOOK, CHECK):
                return state + cost, (True, used + cost, end * 1000 - now)
            return state, (True, used, end * 1000 - now)
        if mode == FORCE:
            cost = min(cost, FULL - used)
            return state + cost, (True, used + cost, end * 1000 - now)
        return state, (False, used, end * 1000 - now)

    def charger(self) -> Charge:
        """`step` for a window that is open."""
        quota, period = self.quota, self.period * MS

        def charge(states: dict[Any, int], key: Any, state: int, now: int, cost: int) -> tuple[int, int] | None:
            left, used = (state >> BITS) - now, (state & MASK) + cost
            if 0 < left <= period and used <= quota:
                states[key] = state + cost
                return used, left
            return None

        return charge

    def recall(self, cost: int, told: tuple[int, int]) -> Told:
        """From the units used after a charge and the nanoseconds left of the window to the figures."""
        used, left = told
        micros = (left + 999) // 1000  # rounded up; with signs it would take twice as long
        return 0, self.quota - used, micros, micros

    def give(self, state: int | None, now: int, cost: int, mark: Mark) -> int | None:
        """The state without a charge, if its window is still open."""
        if state is None or state // END_MS <= now // 1000:
            return state
        end, used = min(state // END_MS, now // 1000 + self.period), state & MASK
        return end * END_MS | (used - min(cost, used) if end == mark[0] else used)

    def expiry(self, state: int) -> int:
        """The end of the window."""
        return state // END_MS * 1000

    def restore(self, seen: Seen, now: int) -> int | None:
        """The window of which this was seen."""
        _, used, left = seen
        return -(-(now + left) // 1000) * END_MS | used if used else None

    def read(self, cost: int, seen: Seen) -> Told:
        """From what was seen to the figures."""
        fits, used, left = seen
        wait = 0 if fits else left if cost <= self.quota else NEVER
        return wait, max(0, self.quota - used), left if used else 0, left

    def mark(self, now: int, seen: Seen) -> Mark:
        """The end of the charged window, in milliseconds."""
        return (now + seen[2]) // 1000, 0

    def merge(self, state: int | None, now: int, cost: int, mark: Mark) -> int | None:
        """
        Into the window that is open, if the instant is within it; if none is open and the units' own is not over, that one is opened,
        with its own end.
        """
        at, end = mark
        now_ms = now // 1000
        if state is not None and state // END_MS > now_ms:
            ends, used = min(state // END_MS, now_ms + self.period), state & MASK
            if at // 1000 < ends - self.period:
                return state
            return ends * END_MS | min(FULL, used + cost)
        end = min(end, now_ms + self.period)
        return end * END_MS | cost if end > now_ms else state

    def merge_mark(self, now: int, seen: Seen, known: Mark | None = None) -> Mark:
        """
        The instant, and the end of its window in milliseconds. In a window that the store was seen to have, the instant is LAG after
        its beginning at least: by the store's clock the window may have begun so much later, but never the next one.
        """
        end = self.mark(now, seen)[0]
        if known is not None and known[0] == end:
            now = max(now, (end - self.period + min(LAG, self.period - 2)) * 1000)
        return now, end

    def moved(self, mark: Mark, shift: int) -> Mark:
        """A mark of a merge by a clock that is `shift` ahead."""
        return mark[0] + shift, (mark[1] * 1000 + shift) // 1000

    def is_over(self, mark: Mark, now: int) -> bool:
        """Whether the window is over."""
        return mark[1] * 1000 <= now

    def holds(self, mark: Mark, cost: int, given: Mark) -> bool:
        """Whether it is of the same window."""
        return mark[1] == given[0]

    def after(self, mark: Mark, cost: int) -> Mark | None:
        """A charge stays where it was made."""
        return None

    def arguments(self, cost: int) -> tuple[int, ...]:
        """What the Lua twin is told."""
        return cost, self.quota, self.period
