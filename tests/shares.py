"""
The share of N that a limit admits under Poisson load, measured; `python tests/shares.py` prints the table for the documentation.
"""

import random

from ratekit import Limit, Limiter
from ratekit.stores import MemoryStore
from ratekit.testing import ManualClock

LOADS = (1, 1.2, 2, 5)
LIMITS = (
    "100/minute",
    "100/minute buckets 100",
    "1000/minute",
    "1000/minute buckets 1000",
    "100/minute sliding_counter",
    "1000/minute sliding_counter",
    "100/minute fixed_window",
    "100/minute token_bucket",
)


def admitted_share(text, load, minutes, seed=1):
    """Units admitted in a minute, on average, as a share of N, when `load` times N arrive in a minute, at random."""
    dice, clock = random.Random(seed), ManualClock(start=10**15)
    limit = Limit.parse(text)
    limiter = Limiter(limit, store=MemoryStore(clock=clock))
    start, end, admitted = clock(), minutes * limit.period, 0
    at = 0.0
    while (at := at + dice.expovariate(limit.quota * load / limit.period)) < end:
        clock.advance_us(start + round(at) - clock())
        admitted += bool(limiter.hit("ann"))
    return admitted / (limit.quota * minutes)


def main():
    print("| limit | " + " | ".join(f"{load} x N" for load in LOADS) + " |")  # noqa: T201
    print("|-|" + "-|" * len(LOADS))  # noqa: T201
    for text in LIMITS:
        print(f"| {text} | " + " | ".join(f"{admitted_share(text, load, minutes=100):.3f}" for load in LOADS) + " |")  # noqa: T201


if __name__ == "__main__":
    main()
