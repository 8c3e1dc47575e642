"""
Merging: a charge that was made elsewhere, brought into a state later, as of the instant at which it was made.

A merge says how many units were admitted and where they belong (`Mark`, two integers): the instant, and for windows also where the
window was that they were admitted in; of a token bucket the instant at which it was full again after them. It is `give` turned
round, and like it never counts in a later window than its own nor for longer than the charge would have counted at its instant:

- fixed_window: into the window that is open, if the instant is within it; if none is open and the units' own is not over, that one is
  opened, with its own end. Else nothing.
- sliding_window: a point at the instant (in cells: the cell of the instant), in the middle of the log where that is its place; nothing
  once it has left.
- sliding_counter: into whichever of the two windows the instant is in. Into a fresh key with the units' own window.
- token_bucket: the debt that is left of the units: their time to refill, but no more than what is left until the bucket is full in
  which they were admitted. In all, capped as any forced debt is.
- calendar: into the present month, if the instant is in it.

Each has its twin beside the rule's own Lua, in a file that only scripts with a merge in them are assembled with.
"""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Mapping
from typing import Any, Final

from ratekit.algorithms import calendar, fixed_window, sliding_counter, sliding_window
from ratekit.algorithms.calendar import CalendarQuota
from ratekit.algorithms.fixed_window import END_MS, MASK, FixedWindow
from ratekit.algorithms.rule import Mark, Rule
from ratekit.algorithms.sliding_counter import HEAVIEST, SlidingCounter
from ratekit.algorithms.sliding_window import SlidingWindow
from ratekit.algorithms.token_bucket import TokenBucket
from ratekit.decision import Seen

MERGE: Final = 7
"""The mode of a limit in a hit that refuses nothing: its cost is charged where its mark says, as far as it still counts."""


def merged(rule: Rule, state: Any, now: int, cost: int, mark: Mark) -> Any:
    """The state with a charge that was made elsewhere."""
    return _MERGED[rule.limit.algorithm](rule, state, now, cost, mark)


def merge_mark(rule: Rule, now: int, seen: Seen) -> Mark:
    """The mark of a charge at `now`, from what was seen of it; times by the clock of whoever saw it."""
    algorithm = rule.limit.algorithm
    if algorithm == "token_bucket":
        return rule.mark(now, seen)
    return now, rule.mark(now, seen)[0] if algorithm in ("fixed_window", "sliding_counter") else 0


def moved(rule: Rule, mark: Mark, shift: int) -> Mark:
    """A mark by another clock, which is `shift` microseconds ahead."""
    at, other = mark
    algorithm = rule.limit.algorithm
    if algorithm == "fixed_window":
        return at + shift, (other * 1000 + shift) // 1000
    return at + shift, other + shift if algorithm == "sliding_counter" else other


def is_over(rule: Rule, now: int, mark: Mark) -> bool:
    """Whether a merge of this mark would charge nothing any more; both by one clock."""
    at, other = mark
    ends = {
        "fixed_window": other * 1000,
        "sliding_window": at + rule.limit.period,
        "sliding_counter": at + 2 * rule.limit.period,
        "token_bucket": at + 1,
        "calendar": at + rule.limit.period,
    }
    return ends[rule.limit.algorithm] <= now


def _fixed_window(rule: FixedWindow, state: int | None, now: int, cost: int, mark: Mark) -> int | None:
    at, end = mark
    now_ms = now // 1000
    if state is not None and state // END_MS > now_ms:
        ends, used = min(state // END_MS, now_ms + rule.period), state & MASK
        if at // 1000 < ends - rule.period:
            return state
        return ends * END_MS | min(fixed_window.FULL, used + cost)
    end = min(end, now_ms + rule.period)
    return end * END_MS | cost if end > now_ms else state


def _sliding_window(rule: SlidingWindow, state: Any, now: int, cost: int, mark: Mark) -> Any:
    at = min(mark[0], now)
    if at <= max(now, now if state is None else state[0][-1]) - rule.period:
        return state
    if state is None:
        return array("q", (at - rule.period, at)), array("q", (0, cost))
    times, totals = state
    edge = max(now, times[-1]) - rule.period
    base = max(0, bisect_right(times, edge) - 1)
    cost = min(cost, sliding_window.FULL - (totals[-1] - totals[base]))
    point = bisect_right(times, at, base + 1)
    if point > base + 1 and times[point - 1] // rule.cell == at // rule.cell:
        point -= 1
        times[point] = at
    elif point == len(times) or times[point] // rule.cell != at // rule.cell:
        times.insert(point, at)
        totals.insert(point, totals[point - 1])
    for later in range(point, len(totals)):
        totals[later] += cost
    return state


def _sliding_counter(rule: SlidingCounter, state: Any, now: int, cost: int, mark: Mark) -> Any:
    period = rule.period
    start, current, previous = rule._rolled(state, now)
    now = max(now, start)
    at = min(mark[0], now)
    if not current and not previous:
        start = mark[1] if mark[1] <= at < mark[1] + period else at
        if now - start < period:
            return start, cost, 0
        return (start + period, 0, min(cost, HEAVIEST)) if now - start < 2 * period else state
    if at >= start:
        return start, min(sliding_counter.FULL, current + cost), previous
    return (start, current, min(HEAVIEST, previous + cost)) if at >= start - period else state


def _token_bucket(rule: TokenBucket, state: int | None, now: int, cost: int, mark: Mark) -> int | None:
    owed = min(cost * rule.period, mark[0] * rule.quota + mark[1] - now * rule.quota)
    return rule._state(now, min(rule.most, rule._debt(state, now) + owed)) if owed > 0 else state


def _calendar(rule: CalendarQuota, state: Any, now: int, cost: int, mark: Mark) -> Any:
    now, at = now + rule.shift, mark[0] + rule.shift
    starts = calendar._starts(rule._calendar, now // 1000)
    if at // 1000 < starts[calendar.BACK]:
        return state
    used = 0 if state is None or state[0] * 1000 <= now else state[1]
    return starts[calendar.BACK + 1], min(calendar.FULL, used + cost)


_MERGED: Final[Mapping[str, Callable[..., Any]]] = {
    "fixed_window": _fixed_window,
    "sliding_window": _sliding_window,
    "sliding_counter": _sliding_counter,
    "token_bucket": _token_bucket,
    "calendar": _calendar,
}
