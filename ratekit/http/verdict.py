"""
From the store's answers to what the client gets: let through with header fields, or refused with a problem body.
"""

from collections.abc import Sequence
from typing import Final

from ratekit.algorithms import SPEND
from ratekit.decision import Decision, decide
from ratekit.http.fields import Applied, Fields, labels, rate_limit_fields, retry_after_fields
from ratekit.http.plan import Claim, Nobody
from ratekit.http.problem import QUOTA_EXCEEDED, REDUCED_CAPACITY, Answer, problem
from ratekit.stores.protocol import Ask, Seens, decisions_of

BROKEN: Final = problem(500, "Internal Server Error", [], detail="This server's rate limiting is misconfigured; its log says how.")
AWAY: Final = problem(
    503,
    "Service Unavailable",
    [(b"retry-after", b"1")],
    type=REDUCED_CAPACITY,
    detail="This server cannot decide on rate limits at the moment.",
)


def asks_of_claims(claims: Sequence[Claim]) -> list[Ask]:
    """One hit for several policies."""
    return [Ask(rule, space, identity, SPEND, cost) for prepared, identity, cost in claims for rule, space in prepared.plan]


def judge(claims: Sequence[Claim], asks: Sequence[Ask], answer: Seens) -> tuple[Decision, list[Applied]]:
    """The decision of such a hit, and per limit which policy decided what."""
    names = [claim.prepared.policy.name for claim in claims for _ in claim.prepared.plan]
    decisions = decisions_of(asks, answer)
    return decide(decisions), [Applied(*pair) for pair in zip(names, decisions, strict=True)]


def refusal_fields(decision: Decision, applied: Sequence[Applied]) -> Fields:
    """Retry-After and both RateLimit fields."""
    return [*retry_after_fields(decision), *rate_limit_fields(applied)]


def refusal(decision: Decision, applied: Sequence[Applied]) -> Answer:
    """The 429: which policies are violated, and until when."""
    violated = [label for label, (_, part) in zip(labels(applied), applied, strict=True) if not part]
    wait = decision.retry_after
    detail = (
        "This request can never fit into its quota." if wait == float("inf") else f"Try again in {max(1, int(-(-wait // 1)))} s."
    )
    members = {"type": QUOTA_EXCEEDED, "detail": detail, "violated-policies": violated}
    return problem(429, "Too Many Requests", refusal_fields(decision, applied), **members)


def unauthorized(nobody: Nobody) -> Answer:
    """The 401 of a policy that refuses requests without an identity."""
    key = nobody.policy.key
    name = key.partition(":")[2] if isinstance(key, str) else ""
    challenge = "Bearer" if name.lower() == "authorization" else f'ApiKey header="{name}"' if name else "ApiKey"
    detail = f"The header field {name} is missing." if name else "The request does not say who is asking."
    return problem(401, "Unauthorized", [(b"www-authenticate", challenge.encode("ascii"))], detail=detail)
