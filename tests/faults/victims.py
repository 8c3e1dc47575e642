"""
Clients that are killed while they are at it: each is a process of its own, forked where everything has been imported.

    python victims.py URL KILLS SEED         prints one line of JSON: how many were killed, how many ended in another way

What they do is one of ROLES, chosen by the seed; so is the moment of their death, 0 to 250 ms after their birth.
"""

import asyncio
import encodings.idna  # noqa: F401  everything that they need is imported before they are born: most would not live to see the end of it
import inspect
import json
import os
import random
import signal
import sys
import time
from contextlib import suppress

import ratekit.stores.redis.store
import ratekit.stores.traffic  # noqa: F401
from ratekit import AsyncLimiter, Limiter, RateLimitExceeded
from ratekit.counters import ConcurrencyExceeded, ConcurrencyLimiter, Counter

AT_ONCE = 6
PERIOD = 3
"""Seconds: every limit's period, and after which a counter is forgotten."""
LEASE = 2.0
PLACES = 3
LIMITS = [
    f"20 per {PERIOD} seconds fixed_window",
    f"20 per {PERIOD} seconds",
    f"20 per {PERIOD} seconds sliding_counter",
    f"20 per {PERIOD} seconds burst 20",
]
PATIENT = {"budget": 5.0}


def hits(url: str, dice: random.Random) -> None:
    limiters = [Limiter(*LIMITS, store=url, **PATIENT), Limiter(dice.choice(LIMITS), store=url, name="one", **PATIENT)]
    while True:
        dice.choice(limiters).hit(f"user:{dice.randrange(30)}", dice.randint(1, 3))


def reserves(url: str, dice: random.Random) -> None:
    limiter = Limiter(*LIMITS, store=url, name="reserved", deny_cache=0, **PATIENT)
    while True:
        with suppress(RateLimitExceeded), limiter.reserve(f"user:{dice.randrange(30)}", dice.randint(1, 5)) as reservation:
            time.sleep(dice.uniform(0, 0.02))
            reservation.commit(dice.randint(0, 7))


def holds(url: str, dice: random.Random) -> None:
    places = ConcurrencyLimiter(PLACES, "places", store=url, lease=LEASE, **PATIENT)
    while True:
        with suppress(ConcurrencyExceeded), places.hold(f"user:{dice.randrange(5)}", 0.05):
            time.sleep(dice.uniform(0, 0.05))


def counts(url: str, dice: random.Random) -> None:
    counters = [
        Counter("plain", store=url, expire=PERIOD, write_behind=0.01, **PATIENT),
        Counter("by the second", store=url, per="second", keep=PERIOD, write_behind=0.01, **PATIENT),
    ]
    while True:
        dice.choice(counters).add(f"user:{dice.randrange(30)}")
        time.sleep(0.0005)


def tasks(url: str, dice: random.Random) -> None:
    async def main() -> None:
        limiter = AsyncLimiter(*LIMITS, store=url, name="tasks", **PATIENT)
        while True:
            await asyncio.gather(*(limiter.hit(f"user:{dice.randrange(30)}") for _ in range(20)))

    asyncio.run(main())


def leases(url: str, dice: random.Random) -> None:
    """A share of the quota, taken ahead."""
    limiter = Limiter(f"1000 per {PERIOD} seconds", store=url, name="ahead", lease=0.05, **PATIENT)
    while True:
        limiter.hit(f"user:{dice.randrange(5)}")


ROLES = [hits, reserves, holds, counts, tasks, *([leases] if "lease" in inspect.signature(Limiter).parameters else [])]


def born(url: str, number: int, seed: int) -> int:
    """Fork one; its process."""
    process = os.fork()
    if not process:
        try:
            ROLES[number % len(ROLES)](url, random.Random(f"{seed} {number}"))
        finally:
            os._exit(1)  # none of them ever comes to its end
    return process


def main(url: str, kills: int, seed: int) -> dict:
    dice, number, ends = random.Random(seed), 0, [0, 0]
    alive: dict[int, float] = {}
    while number < kills or alive:
        while number < kills and len(alive) < AT_ONCE:
            alive[born(url, number, seed)] = time.monotonic() + dice.uniform(0, 0.25)
            number += 1
        process = min(alive, key=alive.__getitem__)
        time.sleep(max(0.0, alive.pop(process) - time.monotonic()))
        os.kill(process, signal.SIGKILL)
        status = os.waitpid(process, 0)[1]
        ends[not os.WIFSIGNALED(status)] += 1
    return {"killed": ends[0], "ended otherwise": ends[1], "roles": len(ROLES)}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))  # noqa: T201
