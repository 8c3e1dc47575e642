"""
An account behind the served REST API: who may call, how often, and which namespaces there are.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, Literal

from ratekit.kv.namespace import AsyncNamespace
from ratekit.kv.simulator.quotas import Budget
from ratekit.stores.memory import Clock

Right = Literal["read", "write"]
"""What a token may do; "write" may read, too."""

AUTHENTICATION: Final = 10000
NO_ROUTE: Final = 7000
BAD_ACCOUNT: Final = 7003
INVALID: Final = 10001
KEY_NOT_FOUND: Final = 10009
NAMESPACE_NOT_FOUND: Final = 10013
TITLE_EXISTS: Final = 10014
TITLE_MISSING: Final = 10019
BULK_READ: Final = 10029
DAY: Final = 10048
THROTTLED: Final = 971
"""
Error codes of the API. Seen in public: 7000, 7003, 10000, 10009, 10013, 10014, 10019, 10029 (a bulk read of too many keys or of what
is no text), 10048 ("your account has reached the free usage limit for this operation for today"), 971. INVALID is what Cloudflare's
local explorer answers to what it cannot read; the real one may have a code for each case.
"""


class Refused(Exception):
    """A call that is answered with an error: HTTP status, the API's code and message, and seconds to wait if these are known."""

    def __init__(self, status: int, code: int, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.retry_after = status, code, message, retry_after


@dataclass(slots=True)
class Listed:
    """A namespace of the account."""

    id: str
    title: str


class Account:
    """
    One account: `open(id)` gives the namespace of an id; `tokens` says which token may do what; `calls` and `window` (seconds) are
    each token's budget; `clock` gives microseconds since 1970.

    >>> from ratekit.kv.simulator import World
    >>> world = World()
    >>> account = Account(lambda id: world.async_namespace(id, "API"), tokens={"secret": "write"}, clock=world.clock)
    >>> account.create("counters").title
    'counters'
    """

    def __init__(
        self,
        open: Callable[[str], AsyncNamespace],
        *,
        tokens: Mapping[str, Right],
        clock: Clock,
        id: str = "0123456789abcdef0123456789abcdef",
        calls: int = 1_200,
        window: float = 300.0,
    ) -> None:
        self.id, self.open, self.clock, self.tokens = id, open, clock, dict(tokens)
        self.budgets = {token: Budget(clock, calls=calls, window=window) for token in tokens}
        self.listed: dict[str, Listed] = {}
        self._created = 0

    def create(self, title: str, id: str | None = None) -> Listed:
        """A new namespace. Raises Refused for a title that is taken."""
        self._free(title)
        self._created += 1
        number = f"{self.id} {self._created}".encode()
        new = Listed(id or blake2b(number, digest_size=16).hexdigest(), title)
        self.listed[new.id] = new
        return new

    def rename(self, listed: Listed, title: str) -> None:
        """Give a namespace another title. Raises Refused for one that is taken."""
        if title != listed.title:
            self._free(title)
            listed.title = title

    def _free(self, title: str) -> None:
        if any(other.title == title for other in self.listed.values()):
            message = "create namespace: 'a namespace with this account ID and title already exists'"
            raise Refused(400, TITLE_EXISTS, message)

    def find(self, id: str, what: str) -> Listed:
        """The namespace of an id; Refused names `what` was to be done."""
        listed = self.listed.get(id)
        if listed is None:
            raise Refused(404, NAMESPACE_NOT_FOUND, f"{what}: 'namespace not found'")
        return listed

    def enter(self, headers: Mapping[str, str], right: Right) -> Budget:
        """Who calls, checked and counted. Raises Refused; the call that is one too many says how long to wait."""
        token = _token(headers)
        granted = self.tokens.get(token)
        if granted is None:
            raise Refused(401, AUTHENTICATION, "Authentication error")
        budget = self.budgets[token]
        budget.spend()
        if right == "write" and granted == "read":
            raise Refused(403, AUTHENTICATION, "Authentication error")
        return budget


def _token(headers: Mapping[str, str]) -> str:
    """A bearer token, or the older way of an address with a key, as "address key"."""
    kind, _, token = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return token.strip()
    return f"{headers.get('x-auth-email', '')} {headers.get('x-auth-key', '')}".strip()


def budget_fields(budget: Budget) -> tuple[tuple[str, str], ...]:
    """The header fields that every answer carries: what is left of the budget, for how many seconds, and of how much."""
    left = f'"default";r={budget.remaining};t={math.ceil(budget.reset)}'
    return (("ratelimit", left), ("ratelimit-policy", f'"default";q={budget.calls};w={round(budget.window)}'))
