"""
aligned_window: count the units of a window that begins where the store's clock is a multiple of the period.

An algorithm that ratekit does not have, for the test that one is added by two files.
"""

from ratekit.algorithms.rule import CHECK, FORCE, LOOK
from ratekit.decision import NEVER

FULL = (1 << 39) - 1


class AlignedWindow:
    """The rule of one aligned_window limit. State: the window's end in microseconds, and the units used in it."""

    label = "aw1"
    width = 2
    ends_at_once = True
    tells_any_cost = True
    dates = None

    def __init__(self, limit):
        self.limit, self.quota, self.period = limit, limit.quota, limit.period

    def window(self, state, now):
        """The window that is open: one that was taken over from another clock ends where it ends."""
        if state is None or state[0] <= now:
            return now - now % self.period + self.period, 0
        return min(state[0], now + self.period), state[1]

    def step(self, state, now, cost, mode):
        end, used = self.window(state, now)
        fits = used + cost <= self.quota or mode == FORCE
        if fits and mode not in (LOOK, CHECK):
            used = min(FULL, used + cost)
            state = end, used
        return state, (fits, used, end - now)

    def charger(self):
        return lambda states, key, state, now, cost: None

    def recall(self, cost, told):
        return self.read(cost, told)

    def give(self, state, now, cost, mark):
        end, used = self.window(state, now)
        return (end, used - min(cost, used)) if used and end == mark[0] else state

    def expiry(self, state):
        return state[0]

    def restore(self, seen, now):
        return (now + seen[2], seen[1]) if seen[1] else None

    def read(self, cost, seen):
        fits, used, left = seen
        wait = 0 if fits else left if cost <= self.quota else NEVER
        return wait, max(0, self.quota - used), left if used else 0, left if used else 0

    def mark(self, now, seen):
        return now + seen[2], 0

    def merge(self, state, now, cost, mark):
        end, used = self.window(state, now)
        return (end, min(FULL, used + cost)) if end - self.period <= mark[0] else state

    def merge_mark(self, now, seen, known=None):
        return now, 0

    def moved(self, mark, shift):
        return mark[0] + shift, 0

    def is_over(self, mark, now):
        return mark[0] + self.period <= now

    def holds(self, mark, cost, given):
        return mark[0] <= given[0]

    def after(self, mark, cost):
        return None

    def arguments(self, cost):
        return cost, self.quota, self.period
