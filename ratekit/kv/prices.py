"""
Prices: what a month of a workload costs on Workers KV and on Upstash, in US dollars to the cent.

The prices are those that were published in May 2026: Workers KV $0.50 a million reads, $5.00 a million writes, deletes or lists,
$0.50 a GB-month above the first GB, and in the paid plan 10 million reads and 1 million each of the others included; Upstash
pay-as-you-go $0.20 per 100,000 commands and $0.25 a GB-month, the first GB included, or a fixed plan by size, whatever is asked of
it. Every bill comes with and without what is included: comparisons leave it out, invoices do not.

Not in any bill: the $5.00 a month that the Workers Paid plan costs whatever is used (`WORKERS_PAID`), Upstash's traffic above
200 GB, taxes. Amounts are exact decimals; only the total is rounded, half a cent up.
"""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Final, NamedTuple

from ratekit.errors import ConfigurationError

NANODOLLARS: Final = {"read": 500, "write": 5_000, "delete": 5_000, "list": 5_000}
"""Of one KV operation, in billionths of a US dollar: $0.50 a million reads, $5.00 a million of the others."""
MONTH: Final = 30 * 86_400
"""Seconds of the month that a rate is counted for."""
WORKERS_PAID: Final = Decimal("5.00")
"""Dollars a month that the plan costs in which KV is paid by use. KV's part of it is not told apart, so no bill has it."""

_MILLION: Final = Decimal(1_000_000)
_CENT: Final = Decimal("0.01")
_NOTHING: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class Workload:
    """
    What is asked of a store in a month: operations, and GB kept (a number or decimal text).

    A bulk read of n keys is n reads on KV. On Upstash each operation is one command: a script is taken to be one, too.

    >>> Workload(reads=100_000_000, writes=1_000_000, stored_gb=1).operations
    101000000
    """

    reads: int = 0
    writes: int = 0
    deletes: int = 0
    lists: int = 0
    stored_gb: Decimal | int | str = 0

    def __post_init__(self) -> None:
        for name in ("reads", "writes", "deletes", "lists"):
            count = getattr(self, name)
            if type(count) is not int or count < 0:
                raise ConfigurationError(f"{name} {count!r}: write a whole number from 0")
        try:
            stored = Decimal(self.stored_gb)
        except (ArithmeticError, TypeError, ValueError):
            raise ConfigurationError(f"stored_gb {self.stored_gb!r}: write GB as a number or as text, '0.25'") from None
        if not stored.is_finite() or stored < 0:
            raise ConfigurationError(f"stored_gb {self.stored_gb!r}: write GB from 0")
        object.__setattr__(self, "stored_gb", stored)

    @property
    def operations(self) -> int:
        """All of them."""
        return self.reads + self.writes + self.deletes + self.lists

    @property
    def stored(self) -> Decimal:
        """GB."""
        return Decimal(self.stored_gb)


class Line(NamedTuple):
    """One line of a bill: what, how much of it, how much of that is included, and the dollars for the rest."""

    what: str
    quantity: Decimal
    included: Decimal
    amount: Decimal


class Bill(NamedTuple):
    """A month on one plan."""

    plan: str
    lines: tuple[Line, ...]

    @property
    def total(self) -> Decimal:
        """Dollars, to the cent."""
        return sum((line.amount for line in self.lines), _NOTHING).quantize(_CENT, ROUND_HALF_UP)


def kv_bill(workload: Workload, *, included: bool = True) -> Bill:
    """
    A month on Workers KV, paid plan; `included`: the operations in the plan's price are taken off. The first GB always is.

    >>> published = Workload(reads=100_000_000, writes=1_000_000, stored_gb=1)
    >>> kv_bill(published, included=False).total, kv_bill(published).total
    (Decimal('55.00'), Decimal('45.00'))
    """
    free = int(included)
    return Bill(
        "Workers KV",
        (
            _operations("reads", workload.reads, free * 10_000_000, "read"),
            _operations("writes", workload.writes, free * 1_000_000, "write"),
            _operations("deletes", workload.deletes, free * 1_000_000, "delete"),
            _operations("lists", workload.lists, free * 1_000_000, "list"),
            _line("GB-months", workload.stored, Decimal(1), Decimal("0.50")),
        ),
    )


def upstash_bill(workload: Workload, *, included: bool = True) -> Bill:
    """
    A month on Upstash, pay-as-you-go; `included`: the first GB is taken off.

    >>> upstash_bill(Workload(reads=10_000_000)).total
    Decimal('20.00')
    """
    free = Decimal(int(included))
    commands = _line("commands", Decimal(workload.operations), _NOTHING, Decimal("0.20") / 100_000)
    return Bill("Upstash pay-as-you-go", (commands, _line("GB-months", workload.stored, free, Decimal("0.25"))))


FIXED: Final = (
    ("Upstash fixed 250 MB", Decimal("0.25"), Decimal(10)),
    ("Upstash fixed 1 GB", Decimal(1), Decimal(20)),
    ("Upstash fixed 10 GB", Decimal(10), Decimal(200)),
    ("Upstash fixed 50 GB", Decimal(50), Decimal(400)),
)
"""Upstash's plans at a fixed price: name, GB that fit, dollars a month."""


def upstash_fixed_bill(workload: Workload) -> Bill | None:
    """A month on the smallest of Upstash's fixed plans that holds what is stored; None when none does."""
    for name, holds, dollars in FIXED:
        if workload.stored <= holds:
            return Bill(name, (Line("plan", Decimal(1), _NOTHING, dollars),))
    return None


def bills(workload: Workload, *, included: bool = True) -> tuple[Bill, ...]:
    """A month on every plan that takes the workload."""
    fixed = upstash_fixed_bill(workload)
    paid = (kv_bill(workload, included=included), upstash_bill(workload, included=included))
    return paid if fixed is None else (*paid, fixed)


def _operations(what: str, quantity: int, included: int, kind: str) -> Line:
    return _line(what, Decimal(quantity), Decimal(included), Decimal(NANODOLLARS[kind]) / 1000 / _MILLION)


def _line(what: str, quantity: Decimal, included: Decimal, rate: Decimal) -> Line:
    return Line(what, quantity, min(quantity, included), max(_NOTHING, quantity - included) * rate)
