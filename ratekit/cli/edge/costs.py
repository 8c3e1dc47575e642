"""
Cost: what a month of a workload costs on each plan, and what limiting so many requests a second costs on each kind of store.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final, NamedTuple

from ratekit.kv.month import plain_month, redis_month, shards_month
from ratekit.kv.node_duties import LISTS, SECOND
from ratekit.kv.node_terms import Terms
from ratekit.kv.prices import FIXED, MONTH, Bill, Workload, bills, kv_bill, upstash_bill, upstash_fixed_bill

PUBLISHED: Final = (
    ("100M reads, 1M writes, 1 GB", Workload(reads=100_000_000, writes=1_000_000, stored_gb=1)),
    ("10M reads, 10M writes, 1 GB", Workload(reads=10_000_000, writes=10_000_000, stored_gb=1)),
)
"""The workloads of the published comparison."""
RATES: Final = (1.0, 10.0, 100.0, 1_000.0)
"""Requests a second."""
EARLY: Final = 0.85
"""Of its pace a node takes, on average: writes and readings begin at random, 5 to 25 % early."""
BREAK_EVEN: Final = int(FIXED[1][2] / upstash_bill(Workload(reads=1_000_000)).total * 1_000_000)
"""Commands a month at which Upstash's fixed plan of 1 GB costs what they cost one by one."""


class Price(NamedTuple):
    """A month on one plan, in dollars: with everything billed, and with what is included taken off."""

    plan: str
    without: Decimal
    included: Decimal


@dataclass(frozen=True, slots=True)
class Month:
    """A workload, and its month on every plan that takes it."""

    name: str
    workload: Workload
    prices: tuple[Price, ...]


@dataclass(frozen=True, slots=True)
class Way:
    """A way to limit requests: its dollars a month for each rate, and how late one process hears of another (None: never right)."""

    name: str
    staleness: float | None
    dollars: dict[float, Decimal]


@dataclass(frozen=True, slots=True)
class Costs:
    """Months of workloads; and months of rate limiting by `nodes` processes, what is included taken off."""

    months: tuple[Month, ...]
    ways: tuple[Way, ...]
    nodes: int


def costs(asked: Workload | None, rate: float, nodes: int) -> Costs:
    """The published workloads after the one that is asked for, if any; rates beside `rate`."""
    months = tuple(_month(name, one) for name, one in PUBLISHED)
    if asked is not None:
        months = (_month(_words(asked), asked), *months)
    return Costs(months, ways(sorted({*RATES, rate}), nodes), nodes)


def ways(rates: Sequence[float], nodes: int) -> tuple[Way, ...]:
    """Each way at each rate. Many keys: what is asked of one key alone is another matter."""
    quick, thrifty = (
        Terms(nodes=nodes, cache_age=30.0, flush=2.0),
        Terms(nodes=nodes, cache_age=30.0, flush=10.0, refresh=30.0),
    )
    return (
        Way("KV, a bucket per key", None, {rate: kv_bill(plain_month(rate)).total for rate in rates}),
        Way("KVStore, quick", quick.staleness, {rate: kv_bill(shards(rate, quick)).total for rate in rates}),
        Way("KVStore, thrifty", thrifty.staleness, {rate: kv_bill(shards(rate, thrifty)).total for rate in rates}),
        Way("Upstash, by the command", 0.0, {rate: upstash_bill(redis_month(rate)).total for rate in rates}),
        Way("Upstash, fixed 250 MB", 0.0, {rate: _fixed(redis_month(rate)).total for rate in rates}),
    )


def shards(rate: float, terms: Terms) -> Workload:
    """A month of KVStore's nodes on `terms`: no more writes than requests, for what has not changed is not written."""
    assert terms.nodes is not None
    month = shards_month(terms.nodes, flush=max(1.0, EARLY * terms.writing), read_every=max(1.0, EARLY * terms.reading))
    lists = terms.nodes * MONTH * SECOND // LISTS if terms.nodes > 1 else 0
    return replace(month, writes=min(month.writes, math.ceil(rate * MONTH)), lists=lists)


def _month(name: str, workload: Workload) -> Month:
    pairs = zip(bills(workload, included=False), bills(workload), strict=True)
    return Month(name, workload, tuple(Price(plain.plan, plain.total, less.total) for plain, less in pairs))


def _fixed(workload: Workload) -> Bill:
    bill = upstash_fixed_bill(workload)
    assert bill is not None  # counters are small
    return bill


def _words(workload: Workload) -> str:
    return f"{workload.reads:,} reads, {workload.writes:,} writes, {workload.stored:g} GB"
