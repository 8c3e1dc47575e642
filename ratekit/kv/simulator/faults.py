"""
Faults: what goes wrong in a world on purpose, where, when, how often.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from ratekit.kv.namespace import Kind as ErrorKind
from ratekit.kv.namespace import KVError
from ratekit.kv.simulator.quotas import Kind

Way = Literal["refused", "server", "away", "late"]
"""
How an operation fails: "refused" is a 429, as of a key that others write, "server" a 503, "away" no connection, "late" no answer
in time.
"""

METHOD: Final[dict[Kind, str]] = {"read": "GET", "list": "GET", "write": "PUT", "delete": "DELETE"}
"""As the runtime's messages name what failed."""
_SAYS: Final[dict[Way, tuple[int, ErrorKind, str]]] = {
    "refused": (429, "write rate", "429 Too Many Requests"),
    "server": (503, "server", "503 Service Unavailable"),
    "away": (0, "away", "no connection"),
    "late": (0, "late", "no answer in time"),
}

WAYS: Final = tuple(_SAYS)


@dataclass(frozen=True, slots=True)
class Fault:
    """
    One fault: operations of `kind` (None: every kind) at `location` (None: everywhere) on keys that begin with `prefix` fail the
    way it says, each with the probability `share`, from `start` until `end` (microseconds of the world's clock).

    `applied`: a write or delete that fails has happened all the same. `takes`: microseconds until the failure is known.
    """

    way: Way
    kind: Kind | None
    location: str | None
    prefix: str
    share: float
    start: int
    end: int
    applied: bool
    takes: int

    def strikes(self, kind: Kind, location: str, keys: Sequence[str], now: int, rng: random.Random) -> bool:
        """Whether it hits this operation."""
        return (
            self.start <= now < self.end
            and (self.kind is None or self.kind == kind)
            and (self.location is None or self.location == location)
            and any(key.startswith(self.prefix) for key in keys)
            and (self.share >= 1 or rng.random() < self.share)
        )

    def error(self, kind: Kind) -> KVError:
        """What the caller sees."""
        status, word, text = _SAYS[self.way]
        if word == "write rate" and kind in {"read", "list"}:
            word = "server"
        return KVError(f"KV {METHOD[kind]} failed: {text}", status=status, kind=word)
