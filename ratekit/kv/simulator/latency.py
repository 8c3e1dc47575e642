"""
How long operations take: log-normal laws, fitted to what was published.

The source is Upstash's comparison of 27 May 2026: 150 samples a cell, one Worker in IAD. Of 150 samples the 99th percentile is the
second-worst, so it is known to some 15 %. A log-normal law has the median m and, with z = 2.3263 the 99th percentile of the
standard normal, the 99th percentile m exp(z s): so s = ln(p99 / p50) / z.

What was not published is said to be assumed where it is.
"""

import math
import random
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Final

_Z99: Final = NormalDist().inv_cdf(0.99)


@dataclass(frozen=True, slots=True)
class LogNormal:
    """
    A law of latency: `p50` and `p99` in milliseconds.

    >>> law = LogNormal(2.6, 5.8)
    >>> round(law.quantile(0.5), 1), round(law.quantile(0.99), 1)
    (2.6, 5.8)
    """

    p50: float
    p99: float
    mu: float = field(init=False)
    """Of the logarithm of microseconds."""
    sigma: float = field(init=False)

    def __post_init__(self) -> None:
        if not 0 < self.p50 <= self.p99 < math.inf:
            raise ValueError(f"p50 {self.p50!r}, p99 {self.p99!r}: write milliseconds, 0 < p50 <= p99")
        object.__setattr__(self, "mu", math.log(self.p50 * 1000))
        object.__setattr__(self, "sigma", math.log(self.p99 / self.p50) / _Z99)

    def draw(self, rng: random.Random) -> int:
        """A latency, in whole microseconds."""
        return round(math.exp(rng.gauss(self.mu, self.sigma)))

    def quantile(self, share: float) -> float:
        """The milliseconds that a share of all operations stays below."""
        return math.exp(self.mu + self.sigma * NormalDist().inv_cdf(share)) / 1000


def raced(law: LogNormal, runners: int) -> LogNormal:
    """
    The law that each of several independent runners must have for the first of them to follow `law` at its median and p99.

    The first is later than x when all are: so where `law` has the share q, each runner has 1 - (1 - q)^(1 / runners).
    """
    low, high = (NormalDist().inv_cdf(1 - (1 - share) ** (1 / runners)) for share in (0.5, 0.99))
    sigma = math.log(law.p99 / law.p50) / (high - low)
    median = law.p50 * math.exp(-sigma * low)
    return LogNormal(median, median * math.exp(_Z99 * sigma))


@dataclass(frozen=True, slots=True)
class Latencies:
    """
    The laws of KV, by where a read is answered.

    `hot` (the location's cache), `cold` (all the way to the central stores) and `write` (acknowledged by the first central store)
    are the published ones. Assumed are: `regional` and `central`, the tiers in between, the median a third and two thirds of the
    way on a logarithmic scale from hot to cold; that a delete takes what a write takes, a list what a read takes, and a bulk read
    what its slowest key takes. A read after a write has no law of its own: it is a write and then a hot read.
    """

    hot: LogNormal = LogNormal(2.6, 5.8)
    regional: LogNormal = LogNormal(5.9, 11.5)
    central: LogNormal = LogNormal(13.4, 22.9)
    cold: LogNormal = LogNormal(30.6, 45.6)
    write: LogNormal = LogNormal(171.8, 253.2)


@dataclass(frozen=True, slots=True)
class UpstashLatencies:
    """
    The laws of Upstash. `hot`, `cold` and `write` are the published ones.

    `lag` is how long after a write was acknowledged the nearest replica has it. It was not published: it is fitted so that a write,
    the wait for the replica to catch up with the writer's token and a hot read together give the published read after write,
    24.8 ms and 37.0 ms.
    """

    hot: LogNormal = LogNormal(5.6, 8.8)
    cold: LogNormal = LogNormal(6.8, 28.2)
    write: LogNormal = LogNormal(6.2, 8.6)
    lag: LogNormal = LogNormal(12.78, 24.59)
