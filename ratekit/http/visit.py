"""
Visit: one request under way, as ratekit knows it. The adapter opens it; a decorated function inside finds it here.
"""

from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any, Final, Protocol

from ratekit.decision import Decision
from ratekit.http.fields import NONE, Applied, Lines, lines_for
from ratekit.http.forms import Fields
from ratekit.http.hashing import hasher
from ratekit.http.headers import DEFAULT, Headers
from ratekit.http.owed import Owed
from ratekit.keys import address
from ratekit.request import Request


class Around(Protocol):
    """What is around a visit: where it counts, and how the framework's object becomes a Request."""

    given: Any
    """The store as it was given: a URL or a store."""
    headers: Headers
    """How the limits are told."""
    hash_keys: Any
    """How the store is not told who is asking: False, True or a secret."""

    def request_of(self, native: Any) -> Request:
        """The framework's object as a Request."""
        ...


class Visit:
    """
    One request and what was decided on it so far. What nobody asks for is not made: most requests need their header fields only.
    """

    owed: Owed | None
    """What is to be settled; it is there only where a policy charges by the response."""

    __slots__ = ("_applied", "_request", "around", "decision", "lines", "native", "owed", "started")

    def __init__(self, around: Any, native: Any) -> None:
        self.around: Any = around  # an Around
        self.native = native
        self.lines: Lines = NONE
        self.decision: Decision | None = None  # on the policies' one hit, whose limits `lines` are of
        self._applied: list[Applied] | None = None
        self._request: Request | None = None
        self.started = False

    @property
    def request(self) -> Request:
        """The request as policies see it."""
        request = self._request
        if request is None:
            request = self._request = self.around.request_of(self.native)
        return request

    def identity(self) -> Any:
        """The client's address, as whoever is around would count it."""
        who = address(self.request)
        hash_keys = getattr(self.around, "hash_keys", False)
        return hasher(hash_keys)(who) if hash_keys else who

    @property
    def store(self) -> Any:
        """The store of the adapter around it: a URL or a store."""
        return self.around.given

    @property
    def applied(self) -> list[Applied]:
        """Per limit that applied, which policy decided what."""
        if self._applied is None:
            parts = () if self.decision is None else zip(self.lines.named, self.decision.details, strict=True)
            self._applied = [Applied(policy, part) for (policy, _), part in parts]
        return self._applied

    def record(self, policy: str, decision: Decision) -> None:
        """Keep a decision for the header fields: per limit one, that with the least left, however often the function is called."""
        applied = self.applied
        for part in decision.details:
            for i, (other, before) in enumerate(applied):
                if other == policy and before.limit == part.limit:
                    if (part.allowed, part.remaining) <= (before.allowed, before.remaining):
                        applied[i] = Applied(policy, part)
                    break
            else:
                applied.append(Applied(policy, part))

    def told(self) -> tuple[Lines, Sequence[Decision]]:
        """The lines of all that applied, and its decisions in order."""
        if self._applied is None:
            return self.lines, () if self.decision is None else self.decision.details
        return self._lines(), [part for _, part in self._applied]

    def fields(self) -> Fields:
        """The RateLimit fields of all that applied."""
        decision = self.decision
        if decision is not None and self._applied is None:
            return self.lines.of(decision)
        return self._lines().saying_of([part for _, part in self.applied]) if self.applied else []

    def _lines(self) -> Lines:
        # What is decided outside any adapter is told in the newest form.
        return lines_for(self.applied, getattr(self.around, "headers", DEFAULT), self.lines.partitions)


VISIT: Final[ContextVar[Visit | None]] = ContextVar("ratekit_visit", default=None)
