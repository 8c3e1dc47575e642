"""
Terms: what a node is told about the world it runs in, and what follows: how stale its knowledge may be, and by how many units all
nodes together may exceed a limit. Pure arithmetic; times are seconds, as they are told.

The setting: P nodes. Each knows exactly what it has admitted itself in the current window and admits while that, plus what it has
heard from the others, stays within L. What node k has heard of node j was true at most tau ago: j writes every `flush` seconds and
the write takes a moment, a cache holds it for `cache_age`, k reads every `refresh` seconds and that takes a moment. At most
lambda * u units arrive in any u seconds, for u from tau on.

**Claim.** All nodes together admit at most L + s(P) * lambda * tau in a window, with s(1) = 0, s(2) = 2/3 and s(P) = 1 - 2**-P,
however unevenly the load is spread, and never more than P * L or lambda * W.

*Proof.* Take units one by one, n_j(t) the units admitted by j up to t. Let T be the instant at which L units are admitted. From
T + tau on everybody has heard of L, so the excess X is what is admitted in (T, T + tau]; let a_k be k's part of it, and T + s_k the
instant of k's last unit, the latest first: s_1 >= s_2 >= ... That unit was admitted because

    n_k(T + s_k) <= L - sum over j != k of n_j(T + s_k - tau),   and L = sum of all n_j(T), so   a_k <= B_k,

where B_k is what the others admitted in (T - (tau - s_k), T]. The interval (T - (tau - s_k), T + s_k] is tau long: B_k and what is
admitted in (T, T + s_k], which is at least X - a_1 - ... - a_(k-1), are at most lambda * tau together. With D = lambda * tau - X
this says a_k <= D + a_1 + ... + a_(k-1), hence a_k <= 2**(k-1) * D and X <= (2**P - 1) * D: the claim for P > 2. One node has no
others: a_1 = 0. For two, B_1 is part of what node 2 admitted before T and B_2 of what node 1 did, so that the intervals say
2 * a_1 + a_2 <= lambda * tau and a_1 + 2 * a_2 <= lambda * tau; their sum is the claim.

(For even loads the usual argument gives 1 - 1/P in place of s(P); with uneven loads that can be exceeded.)

A node that stops and starts again is another node with what it had not written lost: each adds one to P and lambda * tau. In the
window in which it begins, a node counts itself as such a one until it would have found whom it replaces. Clocks
that are off by at most d file the units of d at each end of a window into its neighbours: 2 * lambda * d.
"""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final, Literal, get_args

from ratekit.errors import ConfigurationError
from ratekit.limit import Limit

Mode = Literal["sum", "extrapolate", "headroom", "quota"]
State = Literal["well", "blind", "faulty"]
"""Of a node: it hears and is heard; it has heard nobody yet; it did not hear or was not heard, or not for long enough since."""

WRITE: Final = 0.5
"""Seconds that a write may take until it is visible where it is stored; later ones are told as faults. Published p99: 0.25."""
READ: Final = 0.5
"""Seconds that a read may take, or wait for a write that is under way."""
SPACING: Final = 1.0
"""Seconds between two writes of one key: what the store allows."""
LIST_AGE: Final = 60.0
"""Seconds that a list of names may be old; nothing smaller can be asked for."""


def excess_share(nodes: int) -> float:
    """
    The share of what arrives within the staleness that `nodes` nodes may admit too much: s(P) of the claim.

    >>> [excess_share(nodes) for nodes in (1, 2, 3, 4)]
    [0.0, 0.6666666666666666, 0.875, 0.9375]
    """
    return 0.0 if nodes <= 1 else 2 / 3 if nodes == 2 else 1 - 0.5**nodes


@dataclass(frozen=True)
class Terms:
    """
    What a node is told; see `KVStore` for what each means. Raises ConfigurationError for what cannot be.
    """

    nodes: int | None = None
    arrival_rate: float | None = None
    cache_age: float = 60.0
    mode: Mode = "sum"
    flush: float = 2.0
    refresh: float | None = None
    cache_ttl: int = 30
    clock_skew: float = 0.0
    force: bool = False

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise ConfigurationError(f"mode {self.mode!r}: write one of {', '.join(get_args(Mode))}")
        if self.nodes is not None and (type(self.nodes) is not int or not 1 <= self.nodes <= 1000):
            raise ConfigurationError(f"nodes {self.nodes!r}: write how many processes there are, from 1 to 1000")
        if type(self.cache_ttl) is not int or self.cache_ttl < 30:
            raise ConfigurationError(f"cache_ttl {self.cache_ttl!r}: write whole seconds from 30, the least that can be asked for")
        for what, least in (("cache_age", self.cache_ttl), ("flush", SPACING), ("clock_skew", 0.0)):
            _check_seconds(what, getattr(self, what), least)
        if self.refresh is not None:
            _check_seconds("refresh", self.refresh, 0.1)
        if self.arrival_rate is not None:
            _check_seconds("arrival_rate", self.arrival_rate, 1e-9, "units a second")
        needed = {"headroom": ("nodes", "arrival_rate"), "quota": ("nodes",)}.get(self.mode, ())
        for what in needed:
            if getattr(self, what) is None:
                raise ConfigurationError(f"mode {self.mode!r} needs {what}: give it, or write mode 'sum'")

    @cached_property
    def reading(self) -> float:
        """Seconds between two readings of the others: `refresh`, or a twentieth of what they are stale anyway."""
        return max(1.0, (self.flush + self.cache_age) / 20) if self.refresh is None else float(self.refresh)

    @cached_property
    def writing(self) -> float:
        """Seconds between the beginnings of two writes, at most: a write ends, and a second passes."""
        return max(self.flush, SPACING + WRITE)

    @cached_property
    def staleness(self) -> float:
        """Seconds, at most, that what a node knows of another is old: tau."""
        return self.writing + WRITE + self.cache_age + self.reading + READ

    @cached_property
    def finding(self) -> float:
        """Seconds, at most, that another node has run when it is not found yet: at least the staleness."""
        return max(self.staleness, WRITE + max(self.cache_age, LIST_AGE) + self.reading + READ)

    def check(self, limit: Limit) -> None:
        """Raises ConfigurationError for a limit that cannot be kept on what is seen late."""
        if limit.algorithm != "fixed_window":
            raise ConfigurationError(
                f"'{limit}': an eventually consistent store shows what others counted up to {self.staleness:.0f} s late, and only "
                f"counts of whole windows can be added up then; {limit.algorithm} needs the latest state at each hit: write "
                f"'{limit.quota}/{limit.per:g}s fixed_window', or keep the state in Redis"
            )
        if limit.per < self.staleness and not self.force:
            raise ConfigurationError(
                f"'{limit}': a window of {limit.per:g} s is over before the nodes hear of each other (after {self.staleness:.1f} s), so "
                "each would admit the whole limit; write a longer window, keep the state in Redis, or force=True for this all the same"
            )
        if self.ceiling(limit) < 1:
            raise ConfigurationError(
                f"'{limit}': mode {self.mode!r} would leave nothing of it for {self.nodes} nodes; write a larger limit or mode 'sum'"
            )

    def ceiling(self, limit: Limit) -> int:
        """What a node may see admitted, by itself if it keeps to a share, else by all, before it refuses."""
        return _ceiling(self, limit)[0]

    def shares(self, limit: Limit) -> bool:
        """Whether a node keeps to a share of its own: "quota", and "headroom" where no more than that would be left."""
        return _ceiling(self, limit)[1]

    def max_over(self, limit: Limit, state: State = "well", restarts: int = 0, found: bool = True) -> int | None:
        """
        Units by which all nodes together may exceed a limit in a window, with `restarts` nodes more than were told and, unless
        `found`, some not found yet. None where `nodes` was not told.
        """
        if self.nodes is None:
            return None
        if state != "well" and not self.shares(limit):
            return (self.nodes + restarts - 1) * limit.quota + self._strips(self.nodes + restarts, limit.quota)
        return max(0, _admitted(self, limit, restarts, found) - limit.quota)

    def _strips(self, nodes: int, ceiling: int) -> int:
        """Units that clocks which are off move into a window from its neighbours."""
        if not self.clock_skew:
            return 0
        most = nodes * ceiling
        return most if self.arrival_rate is None else min(most, math.floor(2 * self.arrival_rate * self.clock_skew))


@lru_cache(maxsize=4096)
def _ceiling(terms: Terms, limit: Limit) -> tuple[int, bool]:
    quota, nodes, rate = limit.quota, terms.nodes, terms.arrival_rate
    if terms.mode in ("sum", "extrapolate") or nodes is None:
        return quota, False
    if terms.mode == "quota":
        return quota // nodes, True
    assert rate is not None
    if rate * max(limit.per, terms.staleness) <= quota:
        return quota, False
    strips = 2 * rate * terms.clock_skew
    left, share = quota - math.ceil(excess_share(nodes) * rate * terms.finding + strips), math.floor((quota - strips) / nodes)
    return max(left, share), left <= share


@lru_cache(maxsize=4096)
def _admitted(terms: Terms, limit: Limit, restarts: int, found: bool) -> int:
    """Units that all nodes together admit in a window, at most."""
    ceiling, rate = terms.ceiling(limit), terms.arrival_rate
    assert terms.nodes is not None
    nodes = terms.nodes + restarts
    strips = terms._strips(nodes, ceiling)
    most = nodes * ceiling
    if rate is None:
        return most + strips
    if not terms.shares(limit):
        tau = terms.staleness if found and not restarts else terms.finding
        most = min(most, ceiling + math.floor((excess_share(nodes) + restarts) * rate * tau))
    return min(most + strips, math.floor(rate * max(limit.per, terms.staleness)))


def _check_seconds(what: str, value: object, least: float, unit: str = "seconds") -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < math.inf:
        raise ConfigurationError(f"{what} {value!r}: write {unit} from {least:g}")
