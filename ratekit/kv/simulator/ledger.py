"""
The ledger: what every operation of an account came to, what it took, and what it cost.
"""

from collections import Counter, deque
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple

from ratekit.kv.namespace import KVError
from ratekit.kv.prices import NANODOLLARS
from ratekit.kv.simulator.quotas import Daily, Kind, Plan

Level = Literal["location", "regional", "central", "stores"]
LEVELS: Final[tuple[Level, ...]] = ("location", "regional", "central", "stores")
"""Where a read was answered, the nearest first."""
STORES: Final = 3


class Operation(NamedTuple):
    """
    One operation: at what microsecond, where, on what; its HTTP status (0: no answer), the microseconds it took, and its price in
    billionths of a dollar, without what a plan includes. Of a bulk read `key` is the first of `keys`.
    """

    at: int
    location: str
    namespace: str
    kind: Kind
    keys: int
    key: str
    level: Level
    status: int
    latency: int
    price: int


class Outcome(NamedTuple):
    """What an operation came to: its answer or its error, and the microseconds it took."""

    answer: Any
    error: KVError | None
    latency: int


class Call(NamedTuple):
    """An operation that is asked for."""

    kind: Kind
    now: int
    location: str
    namespace: str
    key: str
    keys: int


class Ledger:
    """What was done. What failed is not billed and spends no daily quota: this is assumed."""

    __slots__ = ("daily", "last", "log", "refused", "usage")

    def __init__(self, plan: Plan, log: int) -> None:
        self.daily = Daily(plan)
        self.usage: Counter[Kind] = Counter()
        self.refused: Counter[int] = Counter()
        self.log: deque[Operation] = deque(maxlen=log)
        self.last: Operation | None = None

    def done(self, call: Call, level: int, takes: int, answer: Any) -> Outcome:
        """Write down what succeeded."""
        kind, now, location, namespace, key, keys = call
        self.usage[kind] += keys
        self.daily.spend(kind, keys)
        price = keys * NANODOLLARS[kind]
        self.last = Operation(now, location, namespace, kind, keys, key, LEVELS[level], 200, takes, price)
        self.log.append(self.last)
        return Outcome(answer, None, takes)

    def failed(self, call: Call, error: KVError, takes: int) -> Outcome:
        """Write down what did not."""
        kind, now, location, namespace, key, keys = call
        self.refused[error.status] += 1
        self.last = Operation(now, location, namespace, kind, keys, key, LEVELS[STORES], error.status, takes, 0)
        self.log.append(self.last)
        return Outcome(None, error, takes)

    @property
    def dollars(self) -> Decimal:
        """The price of all that was billed."""
        return Decimal(sum(NANODOLLARS[kind] * count for kind, count in self.usage.items())) / 10**9
