"""
Visit: one request under way, as ratekit knows it. The middleware opens it; a decorated function inside finds it here.
"""

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

from ratekit.decision import Decision
from ratekit.http.fields import Applied
from ratekit.request import Request


@dataclass(slots=True)
class Visit:
    """The request, the store of the middleware around it (a URL or a store), and what was decided on it so far."""

    request: Request
    store: Any
    applied: list[Applied] = field(default_factory=list)

    def record(self, policy: str, decision: Decision) -> None:
        """Keep a decision for the header fields: per limit one, that with the least left, however often the function is called."""
        for part in decision.details:
            for i, (other, before) in enumerate(self.applied):
                if other == policy and before.limit == part.limit:
                    if (part.allowed, part.remaining) <= (before.allowed, before.remaining):
                        self.applied[i] = Applied(policy, part)
                    break
            else:
                self.applied.append(Applied(policy, part))


VISIT: Final[ContextVar[Visit | None]] = ContextVar("ratekit_visit", default=None)
