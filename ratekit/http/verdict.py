"""
From the store's answers to what the client gets: let through with header fields, or refused with a problem body.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from ratekit.algorithms import SHADOW, SPEND
from ratekit.decision import NEVER, Decision
from ratekit.http.fields import ALMOST, Applied, Lines, deciding, field_of, lines_for
from ratekit.http.forms import SECOND, Left
from ratekit.http.plan import Claim, Nobody
from ratekit.http.problem import QUOTA_EXCEEDED, REDUCED_CAPACITY, Answer, problem
from ratekit.http.visit import Visit
from ratekit.stores.protocol import Ask

BROKEN: Final = problem(500, "Internal Server Error", [], detail="This server's rate limiting is misconfigured; its log says how.")
AWAY: Final = problem(
    503,
    "Service Unavailable",
    [(b"retry-after", b"1")],
    type=REDUCED_CAPACITY,
    detail="This server cannot decide on rate limits at the moment.",
)


def asks_of_claims(claims: Sequence[Claim]) -> list[Ask]:
    """One hit for several policies; those in the shadow refuse nothing."""
    return [
        Ask(rule, space, identity, SHADOW if prepared.policy.shadow else SPEND, cost)
        for prepared, identity, cost in claims
        for rule, space in prepared.plan
    ]


def refusal(decision: Decision, applied: Sequence[Applied]) -> Answer:
    """The 429: which policies are violated, and until when."""
    return refusal_of(decision, lines_for(applied), [part for _, part in applied])


def refusal_of(decision: Decision, lines: Lines, parts: Sequence[Decision]) -> Answer:
    """The 429, where the lines of what applied are known."""
    figures = decision.figures
    if len(parts) == 1 and parts[0] is decision:  # the way of most refusals
        return _refusal(lines, lines.labels, lines.retry_after(figures.wait), (lines.left(figures),), 0)
    violated = tuple(label for label, part in zip(lines.labels, parts, strict=True) if not part)
    lefts = tuple(lines.left(part.figures) for part in parts)
    return _refusal(lines, violated, lines.retry_after(figures.wait), lefts, deciding(parts))


def refusal_to(visit: Visit, decision: Decision) -> Answer:
    """The 429 to a visit that was decided on so."""
    lines = visit.lines
    if not lines.plain or visit._applied is not None or decision is not visit.decision:
        return refusal_of(decision, *visit.told())
    wait, remaining, more, _ = decision[2](decision[3], decision[4])
    seconds = None if wait >= NEVER else (wait + ALMOST) // SECOND or 1
    return _refusal(lines, lines.labels, seconds, ((remaining, (more + ALMOST) // SECOND),), 0)


# Whoever is refused is mostly refused again within the same second, and so is everybody else.
@lru_cache(maxsize=1024)
def _refusal(lines: Lines, violated: tuple[str, ...], seconds: int | None, lefts: tuple[Left, ...], decided: int) -> Answer:
    detail = "This request can never fit into its quota." if seconds is None else f"Try again in {seconds} s."
    members = {"type": QUOTA_EXCEEDED, "detail": detail, "violated-policies": violated}
    return problem(429, "Too Many Requests", [*field_of(seconds), *lines.saying(lefts, decided)], **members)


def unauthorized(nobody: Nobody) -> Answer:
    """The 401 of a policy that refuses requests without an identity."""
    key = nobody.policy.key
    name = key.partition(":")[2] if isinstance(key, str) else ""
    challenge = "Bearer" if name.lower() == "authorization" else f'ApiKey header="{name}"' if name else "ApiKey"
    detail = f"The header field {name} is missing." if name else "The request does not say who is asking."
    return problem(401, "Unauthorized", [(b"www-authenticate", challenge.encode("ascii"))], detail=detail)
