"""
token_bucket: `burst` tokens, refilled steadily at N per period; a hit takes its cost.

Worst case: burst + N units in a window of the period. State: one instant, the theoretical arrival time at which the bucket is
full again (the generic cell rate algorithm, ITU-T I.371), and the rate it was written under. False refusals: none by its own
rule. A charge of c moves the instant by c * period / N; it fits while the instant is at most burst * period / N ahead.

Time is whole microseconds plus a remainder in N-ths of one, so that 300,000/second is 300,000 and not a rounded interval. In
Python the two are one integer, in N-ths of a microsecond; the Lua twin keeps them apart, below 2^53.
"""

from ratekit.algorithms.rule import FORCE, LOOK, Mark, Rule
from ratekit.decision import NEVER, Figures, Seen
from ratekit.limit import CENTURY, Limit

State = tuple[int, int, int]
"""The instant in N-ths of a microsecond, the N and the period it was written under."""


def rule(limit: Limit) -> Rule:
    quota, period, burst = limit.quota, limit.period, limit.capacity
    capacity = burst * period
    most = CENTURY * quota

    # A debt is the time until the bucket is full, in N-ths of a microsecond: tokens that are missing, times the period. So a
    # debt in tokens stays what it was when N changes.
    def debt_of(state: State | None, now: int) -> int:
        if state is None:
            return 0
        instant, written_quota, written_period = state
        debt = instant - now * written_quota
        if debt <= 0:
            return 0
        if written_quota != quota:
            debt = min(debt, most)
        if written_period != period:
            whole = -(-debt // quota)
            debt = min(-(-whole * period // written_period) * quota, most)
        return debt

    def step(state: State | None, now: int, cost: int, mode: int) -> tuple[State | None, Seen]:
        debt = debt_of(state, now)
        charged = debt + cost * period
        fits = charged <= capacity or mode == FORCE
        if fits and mode != LOOK:
            debt = charged if charged < most else most
            return (now * quota + debt, quota, period), (fits, 0, debt)
        return state, (fits, 0, debt)

    def give(state: State | None, now: int, cost: int, mark: Mark) -> State | None:
        # The part of the charge that time has refilled already is gone; only the part still ahead is given back.
        debt = debt_of(state, now)
        back = min(cost * period, mark[0] * quota + mark[1] - now * quota, debt)
        if back <= 0:
            return state
        return now * quota + debt - back, quota, period

    def read(cost: int, seen: Seen) -> Figures:
        fits, whole, rest = seen
        debt = whole * quota + rest
        remaining = max(0, (capacity - debt) // period)
        wait = 0 if fits else NEVER if cost > burst else -(-(debt + cost * period - capacity) // quota)
        more = -(-(debt + (remaining + 1) * period - capacity) // quota) if debt else 0
        return Figures(wait, remaining, more, -(-debt // quota))

    def arguments(cost: int) -> str:
        # A cost beyond a century is as good as one: it never fits, and a forced debt is capped there.
        whole, rest = divmod(cost * period, quota)
        if whole > CENTURY:
            whole, rest = CENTURY + 1, 0
        most_whole, most_rest = divmod(capacity, quota)
        return f"token_bucket {cost} {quota} {period} {whole} {rest} {most_whole} {most_rest}"

    return Rule(
        limit=limit,
        label="tb1",
        width=2,
        step=step,
        give=give,
        expiry=lambda state: -(-state[0] // state[1]),
        read=read,
        mark=lambda now, cost, seen: divmod((now + seen[1]) * quota + seen[2], quota),
        arguments=arguments,
    )
