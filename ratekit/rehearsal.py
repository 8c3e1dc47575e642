"""
Rehearsal: what policies in the shadow would have refused, counted and logged. They ride in the hit of the others and refuse nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from ratekit.decision import Decision, decide
from ratekit.metering import Tally
from ratekit.stores.naming import Plan
from ratekit.stores.protocol import Ask, Seens, decisions_of


def each_of(plans: Iterable[Plan], decisions: Iterable[Decision]) -> list[Decision]:
    """One decision for each plan, from one for each limit."""
    each = iter(decisions)
    return [decide([*islice(each, len(plan))]) for plan in plans]


def rehearse(tallies: Mapping[str, Tally], names: Sequence[str], plans: Sequence[Plan], asks: Sequence[Ask], seen: Seens) -> Seens:
    """
    Count and log what policies in the shadow would have refused. `asks` are theirs, the last of a hit; the answer without them is
    given back.
    """
    first = len(seen.seen) - len(asks)
    theirs = decisions_of(asks, seen._replace(seen=seen.seen[first:], overs=seen.overs[first:], readers=seen.readers[first:]))
    for name, decision in zip(names, each_of(plans, theirs), strict=True):
        if not decision:
            tally = tallies[name]
            tally.shadow += 1
            told = f"policy {name!r} would have refused a request by {decision.limit}; so far {tally.shadow}"
            tally.say("shadow_refusal", told, limit=str(decision.limit), refusals=tally.shadow)
    return seen._replace(seen=seen.seen[:first], overs=seen.overs[:first], readers=seen.readers[:first])
