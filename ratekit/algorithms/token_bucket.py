"""
token_bucket: `burst` tokens, refilled steadily at N per period; a hit takes its cost.

Worst case: burst + N units in a window of the period. State: one instant, the theoretical arrival time at which the bucket is
full again (the generic cell rate algorithm, ITU-T I.371), and the rate it was written under. False refusals: none by its own
rule. A charge of c moves the instant by c * period / N; it fits while the instant is at most burst * period / N ahead.

Time is whole microseconds plus a remainder in N-ths of one, so that 300,000/second is 300,000 and not a rounded interval. In
Python the two are one integer, in N-ths of a microsecond; the Lua twin keeps them apart, below 2^53.
"""

from bisect import bisect_left
from typing import Any, Final

from ratekit.algorithms.rule import CHECK, FORCE, LOOK, Charge, Mark
from ratekit.decision import NEVER, Seen, Told
from ratekit.limit import CENTURY, Limit

# A state is one integer: the instant in N-ths of a microsecond, then the rate it was written under, N and period in microseconds.
PERIOD_BITS: Final = 49  # ten years
RATE_BITS: Final = PERIOD_BITS + 30  # and 10^9 fits in 30
MOST_N: Final = (1 << 30) - 1
PERIOD: Final = (1 << PERIOD_BITS) - 1
RATE: Final = (1 << RATE_BITS) - 1


def parts(state: int) -> tuple[int, int, int]:
    """The instant in N-ths of a microsecond, and the N and the period that they are of."""
    return state >> RATE_BITS, state >> PERIOD_BITS & MOST_N, state & PERIOD


class TokenBucket:
    """
    The rule of one token_bucket limit.

    A debt is the time until the bucket is full, in N-ths of a microsecond: the tokens that are missing, times the period. So a
    debt in tokens stays what it was when N changes.
    """

    __slots__ = ("burst", "capacity", "limit", "most", "period", "quota", "rate")

    label = "tb1"
    width = 4
    ends_at_once = False
    tells_any_cost = True
    dates = None

    def __init__(self, limit: Limit) -> None:
        self.limit, self.quota, self.period, self.burst = limit, limit.quota, limit.period, limit.capacity
        self.capacity = self.burst * self.period
        self.most = CENTURY * self.quota
        self.rate = self.quota << PERIOD_BITS | self.period

    def step(self, state: int | None, now: int, cost: int, mode: int) -> tuple[int | None, Seen]:
        """
        The next state and what was seen: whether it fits, the debt in whole microseconds (0 in Python) and in N-ths of one, and
        the N and the period that it is paid back at: those of the last charge, or of a hit refused since that has a quicker one.
        """
        debt = self._debt(state, now)
        charged = debt + cost * self.period
        fits = charged <= self.capacity or mode == FORCE
        if fits and mode not in (LOOK, CHECK):
            debt = charged if charged < self.most else self.most
            return self._state(now, debt), (fits, 0, debt, self.quota, self.period)
        if not debt or state is None:
            return state, (fits, 0, 0, self.quota, self.period)
        full, quota, period = parts(state)
        if mode != LOOK and self.quota * period > quota * self.period:  # quicker: no refusal ever makes anybody wait longer
            return self._state(now, debt), (fits, 0, debt, self.quota, self.period)
        return state, (fits, 0, full - now * quota, quota, period)

    def charger(self) -> Charge:
        """`step` for a bucket of this rate."""
        quota, period, capacity, rate = self.quota, self.period, self.capacity, self.rate

        def charge(states: dict[Any, int], key: Any, state: int, now: int, cost: int) -> int | None:
            if state & RATE != rate:
                return None
            full, base = state >> RATE_BITS, now // 1000 * quota
            full = (full if full > base else base) + cost * period
            if full - base > capacity:
                return None
            states[key] = full << RATE_BITS | rate
            return full - base

        return charge

    def recall(self, cost: int, told: int) -> Told:
        """From the debt after a charge to the figures."""
        return self.read(cost, (True, 0, told, self.quota, self.period))

    def give(self, state: int | None, now: int, cost: int, mark: Mark) -> int | None:
        """The state without the part of a charge that time has not refilled yet."""
        debt = self._debt(state, now)
        back = min(cost * self.period, mark[0] * self.quota + mark[1] - now * self.quota, debt)
        if back <= 0:
            return state
        return self._state(now, debt - back)

    def expiry(self, state: int) -> int:
        """When the bucket is full."""
        return -(-(state >> RATE_BITS) // (state >> PERIOD_BITS & MOST_N))

    def restore(self, seen: Seen, now: int) -> int | None:
        """The bucket of which this was seen."""
        _, whole, rest, quota, period = seen
        return ((now + whole) * quota + rest) << RATE_BITS | quota << PERIOD_BITS | period if whole or rest else None

    def read(self, cost: int, seen: Seen) -> Told:
        """From what was seen to the figures."""
        fits, whole, rest, quota, period = seen
        left = whole * quota + rest
        debt = self._carried(left, quota, period)
        remaining = max(0, (self.capacity - debt) // self.period)

        def until(most: int) -> int:
            if period == self.period:
                return -(-(left - most) // quota)
            # Written under another period, so rounded twice: the instant is searched for.
            waits = range(-(-left // quota) + 1)
            return bisect_left(waits, -most, key=lambda wait: -self._carried(max(0, left - wait * quota), quota, period))

        wait = 0 if fits else NEVER if cost > self.burst else max(1, until(self.capacity - cost * self.period))
        more = until(self.capacity - (remaining + 1) * self.period) if debt else 0
        return wait, remaining, more, -(-left // quota)

    def mark(self, now: int, seen: Seen) -> Mark:
        """Where the charge ended: the instant at which the bucket is full after it."""
        return divmod((now + seen[1]) * self.quota + seen[2], self.quota)

    def merge(self, state: int | None, now: int, cost: int, mark: Mark) -> int | None:
        """
        The debt that is left of the units: their time to refill, but no more than what is left until the bucket is full in which they
        were admitted. In all, capped as any forced debt is.
        """
        owed = min(cost * self.period, mark[0] * self.quota + mark[1] - now * self.quota)
        return self._state(now, min(self.most, self._debt(state, now) + owed)) if owed > 0 else state

    def merge_mark(self, now: int, seen: Seen, known: Mark | None = None) -> Mark:
        """Where the charge ended."""
        return self.mark(now, seen)

    def moved(self, mark: Mark, shift: int) -> Mark:
        """A mark of a merge by a clock that is `shift` ahead."""
        return mark[0] + shift, mark[1]

    def is_over(self, mark: Mark, now: int) -> bool:
        """Whether the bucket is full again."""
        return mark[0] + 1 <= now

    def holds(self, mark: Mark, cost: int, given: Mark) -> bool:
        """Whether the first of the units ended before what is given back."""
        return self.after(mark, -cost) < given

    def after(self, mark: Mark, cost: int) -> Mark:
        """When the bucket is full when `cost` more is charged without a rest."""
        return divmod(mark[0] * self.quota + mark[1] + cost * self.period, self.quota)

    def arguments(self, cost: int) -> tuple[int, ...]:
        """What the Lua twin is told, with the cost and the burst as times, so that it only adds and compares."""
        whole, rest = divmod(cost * self.period, self.quota)
        if whole > CENTURY:  # never fits, and a forced debt is capped there
            whole, rest = CENTURY + 1, 0
        most, most_rest = divmod(self.capacity, self.quota)
        return cost, self.quota, self.period, whole, rest, most, most_rest

    def _state(self, now: int, debt: int) -> int:
        return (now * self.quota + debt) << RATE_BITS | self.rate

    def _debt(self, state: int | None, now: int) -> int:
        if state is None:
            return 0
        full, quota, period = parts(state)
        left = full - now * quota
        return self._carried(left, quota, period) if left > 0 else 0

    def _carried(self, left: int, quota: int, period: int) -> int:
        """The debt that is left of another N and period, in units of these, never less."""
        if quota != self.quota:
            left = min(left, self.most)
        if period != self.period:
            whole = -(-left // self.quota)
            left = min(-(-whole * self.period // period) * self.quota, self.most)
        return left
