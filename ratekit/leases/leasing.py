"""
Leasing: how many units a process may be lent ahead of time, for how long, and what that may cost. No clock, no I/O.

A share is charged to every limit in one hit, and to one more key, the *cap*: in any time as long as a share lasts, at most `most`
units are lent of an identity, to all processes together. So what is lent does not depend on how many processes there are, or come
and go.

The bound. A share is asked for at S, charged at the store's instant D, and spent until S + `lasts` by the local clock. D is S or
later, so what is spent at s was charged in (s - lasts, s]. What is admitted in a time [a, b) was therefore charged in [a, b), or was
lent in (a - lasts, a), and of those there are at most `most`, by the cap. What is charged in [a, b) keeps the algorithm's promise; so
what is admitted keeps it but for `most` units. In a fixed or a calendar window nothing is over: there a share is also spent before the
end of the window that it was charged in. (The clocks must run at one rate: a thousandth of the time is left unspent for that.)

Proof of the whole, and what the other figures are for: docs/decisions/leases.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from ratekit.algorithms import GIVE, SPEND, Rule, rule_of
from ratekit.decision import Decision, Seen
from ratekit.errors import ConfigurationError, caution
from ratekit.limit import Limit
from ratekit.stores.naming import Canonical, Plan, Space
from ratekit.stores.protocol import Ask, Seens

LONGEST: Final = 1_000
"""Milliseconds that a share lasts at most, so that units which nobody spends are soon back."""
SHORTEST: Final = 5
"""Milliseconds that a share must last: in less, the trip for it would take most of its time."""
LEAST: Final = 2
"""Units of a share at least: one unit lent would be one trip saved by one trip."""
KEPT: Final = 4
"""A share is at most a quarter of what was last known to be left, so that the last units of a quota are there for everybody."""
SKEW: Final = 1_000
"""The part of its time that a share is not spent in: clocks of two machines differ by 0.01 % when nobody sets them."""


def check_lease(lease: object) -> Fraction | None:
    """The share as it was written; raises ConfigurationError for anything but None or a number above 0 and up to 0.5."""
    if lease is None:
        return None
    if isinstance(lease, bool) or not isinstance(lease, int | float) or not 0 < lease <= 0.5:
        raise ConfigurationError(f"lease {lease!r}: write a share of the quota above 0 and up to a half, such as 0.05, or None")
    return Fraction(repr(lease))


@dataclass(frozen=True, slots=True)
class Terms:
    """
    What is lent of one plan: `most` units, for `lasts` microseconds; `overs` is each limit's bound of what leases may let in beyond its
    promise, `cap` where what is lent is counted.

    >>> from ratekit import Limit
    >>> from ratekit.stores.naming import plan_of
    >>> terms = terms_of(plan_of([Limit(1000, per=60)], prefix="ratekit", name="docs"), check_lease(0.05))
    >>> terms.most, terms.lasts, terms.overs
    (50, 1000000, (50,))
    """

    plan: Plan
    most: int
    lasts: int
    overs: tuple[int, ...]
    cap: tuple[Rule, Space]

    def units(self, wanted: int, left: int) -> int:
        """How many units to ask for when `left` were last known to be left; 0 for none. A power of two, or all that may be lent."""
        units = min(wanted, left // KEPT, self.most)
        if units < LEAST:
            return 0
        return units if units == self.most else 1 << (units.bit_length() - 1)

    def asks(self, identity: Canonical, units: int) -> list[Ask]:
        """A share as one hit: all of it or nothing."""
        return [Ask(rule, space, identity, SPEND, units) for rule, space in (*self.plan, self.cap)]

    def until(self, sent: int, seen: Sequence[Seen]) -> int:
        """The local instant from which a share is spent no more, when its question was sent at `sent`."""
        lasts = self.lasts
        for (rule, _), one in zip(self.plan, seen, strict=False):
            if rule.ends_at_once:
                lasts = min(lasts, one[-1])
        return sent + lasts - lasts // SKEW - 1


def given_back(asks: Sequence[Ask], answer: Seens, units: int) -> list[Ask]:
    """What gives units of a share back: into the windows that it was charged in, and into no other."""
    return [
        ask._replace(mode=GIVE, cost=units, mark=ask.rule.mark(answer.now, seen))
        for ask, seen in zip(asks, answer.seen, strict=True)
    ]


def terms_of(plan: Plan, share: Fraction) -> Terms | None:
    """
    What is lent of a plan. All its limits are lent together, as they are charged together: the least share counts, and the least time.
    None when that is too little to be worth a trip.
    """
    limits = [rule.limit for rule, _ in plan]
    shares = [-(-limit.capacity * share // 1) for limit in limits]
    most = int(min(shares))
    # The time in which a limit's own rate makes good its share: at that rate all can be lent, and no more than that is away.
    lasts = min(LONGEST, *(int(some * limit.period_ms // limit.quota) for some, limit in zip(shares, limits, strict=True)))
    if most < LEAST or lasts < SHORTEST:
        return None
    overs = tuple(0 if rule.ends_at_once else most for rule, _ in plan)
    return Terms(plan, most, lasts * 1000, overs, _cap(plan, most, lasts))


def _cap(plan: Plan, most: int, lasts: int) -> tuple[Rule, Space]:
    # No limit's name is spelled with a '!' in a key: this label is ours. The time is in it because state of one period says little of
    # another: in a deployment that changes `lease`, both caps hold beside each other.
    rule, space = rule_of(Limit(most, per=lasts / 1000)), plan[0][1]
    _, policy, _ = space.tail.split(":", 2)
    return rule, Space(space.head, f"}}:{policy}:!lease/{lasts}:{rule.label}")


def marked(decision: Decision, plan: Plan, overs: Sequence[int]) -> Decision:
    """A decision of the store, with what leases may have let in beyond it. What was decided elsewhere has its own bound, or none."""
    if decision[7] != 0 or not any(overs):
        return decision
    if not decision[8]:
        over = overs[0] if len(overs) == 1 else _over(decision, plan, overs)
        return Decision((*decision[:7], over, ()))
    parts = tuple(Decision((*part[:7], _over(part, plan, overs), ())) for part in decision[8])
    return Decision((*decision[:7], _over(decision, plan, overs), parts))


def _over(part: Decision, plan: Plan, overs: Sequence[int]) -> int:
    return next(over for (rule, _), over in zip(plan, overs, strict=True) if rule.limit == part[1])


def too_little(plan: Plan, share: Fraction) -> None:
    """Say that nothing is lent."""
    limits = "; ".join(str(rule.limit) for rule, _ in plan)
    caution(
        f"lease {float(share):g} of '{limits}' is less than 2 units, or lasts less than 5 ms: nothing is lent; leave it out, or write "
        "a larger share"
    )
