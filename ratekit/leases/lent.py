"""
Lent: the decisions on hits that are spent of what is in hand: what the store said when it charged the last share, aged. Pure.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from ratekit.decision import Decision, Seen, Told

Part = tuple[Any, ...]
"""What a decision of a share begins with: allowed, the limit, how what was seen of it is read, and the bound."""


def part_of(decision: Decision) -> Part:
    """What the decisions of a share begin with, and its bound: what was seen when it was charged, aged."""
    return True, decision[1], partial(_figures, decision.figures), decision[7]


def lent(parts: Sequence[Part], cost: int, left: int, age: int) -> Decision:
    """A hit that was spent of what is in hand, so long after the last share was charged."""
    seen = (1, left, age)
    allowed, limit, read, over = parts[0]
    details = tuple(Decision((ok, of, told, cost, seen, "lease", False, most, ())) for ok, of, told, most in parts[1:])
    return Decision((allowed, limit, read, cost, seen, "lease", False, over, details))


def _figures(told: Told, _cost: int, seen: Seen) -> Told:
    """What the store said when the last share was charged, with what is left in hand, so many microseconds later."""
    _, left, age = seen
    _, remaining, more, reset = told
    reset = max(0, reset - age)
    return 0, remaining + left, more - age if more > age else reset, reset


def more(decision: Decision, left: int) -> Decision:
    """What the store says, with so many units in hand."""

    def read(cost: int, seen: Seen) -> Told:
        wait, remaining, more, reset = decision[2](cost, seen)
        return wait, remaining + left, more, reset

    return Decision((*decision[:2], read, *decision[3:]))
