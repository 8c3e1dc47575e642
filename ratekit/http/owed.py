"""
Owed: what a policy charges for a response, once that is known. Reserved before, settled after; what nobody settles stays spent.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from ratekit.charge import Charge
from ratekit.errors import RateLimitExceeded, StoreError
from ratekit.http.forms import Fields
from ratekit.http.plan import Claim, Steps, checked, waits
from ratekit.policy import Policy
from ratekit.request import Request
from ratekit.stores.protocol import Ask, Seens

GONE: Final = 499
"""The status of what was never answered because the client had gone away, as proxies write it in their logs."""
SWITCHED: Final = 101
"""The status of a WebSocket that was accepted."""


class Response:
    """
    What became of a request, for a policy's `charge`: `status` (500 where the application raised, 499 where the client went away
    before there was one, 101 for a WebSocket that was accepted), `headers` (lower-case names to values, the first of several),
    `complete` (all of it was sent while the client was there), and the `request` as policies see it.
    """

    __slots__ = ("_fields", "_headers", "complete", "request", "status")

    def __init__(self, request: Request, status: int, fields: Fields | Sequence[tuple[str, str]] = (), *, complete: bool) -> None:
        self.request, self.status, self.complete = request, status, complete
        self._fields = fields
        self._headers: Mapping[str, str] | None = None

    @property
    def headers(self) -> Mapping[str, str]:
        """Header fields by lower-case name."""
        if self._headers is None:
            found: dict[str, str] = {}
            for name, value in self._fields:
                found.setdefault(_text(name).lower(), _text(value))
            self._headers = MappingProxyType(found)
        return self._headers

    def __repr__(self) -> str:
        return f"Response(status={self.status}, complete={self.complete})"


def status_of(error: BaseException) -> int:
    """The status of what an application raised without an answer."""
    if isinstance(error, RateLimitExceeded):
        return 429
    if isinstance(error, StoreError):
        return 503
    return 500 if isinstance(error, Exception) else GONE


class Part(NamedTuple):
    """What one policy has reserved."""

    policy: Policy
    charge: Charge


class Owed:
    """What the policies of one request have reserved and will settle: see `owed_of`."""

    __slots__ = ("parts",)

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = parts

    def asks(self, response: Response, faulty: Callable[[Policy, Exception], Any]) -> Steps:
        """
        What settling is to ask of the store, in one hit; yields what must be awaited. What a policy cannot say stays spent.
        """
        asks: list[Ask] = []
        for policy, charge in self.parts:
            try:
                used = policy.charge(response)  # type: ignore[misc] # only those that charge are owed
                asks += charge.settle(checked(policy, "charge", (yield used) if waits(used) else used))
            except Exception as error:
                faulty(policy, error)
        return asks


def owed_of(claims: Sequence[Claim], asks: Sequence[Ask], answer: Seens) -> Owed | None:
    """
    What an admitted hit leaves to be settled; None where no policy charges by the response. What was decided in the store's absence
    is not settled: another clock has marked it.
    """
    parts, at = [], 0
    for prepared, _, _ in claims:
        end = at + len(prepared.plan)
        if prepared.policy.charge is not None:
            charge = Charge(asks[at:end])
            charge.answer = answer._replace(seen=answer.seen[at:end])
            parts.append(Part(prepared.policy, charge))
        at = end
    return Owed(parts) if parts and not answer.degraded else None


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")
