"""
Refusals: who was refused on a request, told to whoever counts around it and to nobody else.
"""

from collections.abc import Sequence
from contextvars import ContextVar
from itertools import islice
from typing import Final

from ratekit.decision import Decision
from ratekit.http.plan import Claim
from ratekit.stores.naming import Canonical

Refusal = tuple[str, Canonical]
"""A policy's name, and the identity that it refused."""

REFUSALS: Final[ContextVar[list[Refusal] | None]] = ContextVar("ratekit_refusals", default=None)
"""Where the refusals on the present request are put down; None where nobody asks."""


def told(claims: Sequence[Claim], decision: Decision) -> Decision:
    """A decision that refuses, after it was put down which of the claims it refuses."""
    refusals = REFUSALS.get()
    if refusals is not None:
        parts = iter(decision.details)
        for prepared, identity, _ in claims:
            if not all([*islice(parts, len(prepared.plan))]):
                refusals.append((prepared.policy.name, identity))
    return decision


def told_one(policy: str, identity: Canonical, decision: Decision) -> Decision:
    """`told`, where there is one policy only."""
    refusals = REFUSALS.get()
    if refusals is not None:
        refusals.append((policy, identity))
    return decision
