"""
Redis from threads: one caller on the core that redis-server has too, 8 and 40 threads, and what is refused without asking Redis.

One caller on one core is the work of both ends and nothing of the scheduler's.
"""

import threading
import time
from collections.abc import Callable
from itertools import count
from typing import Any

import references
from libraries import PLENTY, stored, sync_hit
from loads import KEYS, counted, wandering_keys
from measure import Figures, Goal, Row, Side
from memory import timed_dict

SECONDS = 0.5
PEERS = ("limits", "throttled-py", "pyrate-limiter")


def hit_of(library: str, url: str) -> Callable[[str], Any]:
    """`hit(key)` of a library or a reference; pyrate-limiter has token buckets, everyone else fixed windows."""
    if library == "redis-py incr":
        return references.redis_py_incr_sync(url)
    if library in ("django-ratelimit", "DRF throttle"):
        import django_libraries

        return django_libraries.hit_of(library, url)
    return sync_hit(library, "token_bucket" if library == "pyrate-limiter" else "fixed_window", PLENTY, url)


def one(library: str, url: str) -> Callable[[float], float]:
    """Microseconds a hit."""
    hit, keys, good = hit_of(library, url), wandering_keys(), stored(library)

    def sample(scale: float) -> float:
        done, start = 0, time.perf_counter()
        end = start + SECONDS * scale
        while (now := time.perf_counter()) < end:
            for _ in range(16):
                answer = hit(next(keys))
            done += 16 * good(answer)
        return (now - start) / max(done, 1) * 1e6

    return sample


def threads(library: str, number: int, url: str) -> Callable[[float], Figures]:
    """Hits a second of so many threads; one answer in 16 is looked at, as in the asyncio loads."""
    hit, good = hit_of(library, url), stored(library)

    def sample(scale: float) -> Figures:
        done, odd, running = [0] * number, [0] * number, True

        def caller(me: int) -> None:
            keys = wandering_keys()
            while running:
                answer = hit(next(keys))
                if not done[me] & 15:
                    odd[me] += not good(answer)
                done[me] += 1

        crew = [threading.Thread(target=caller, args=(me,)) for me in range(number)]
        start = time.perf_counter()
        for thread in crew:
            thread.start()
        time.sleep(SECONDS * scale)
        running = False
        for thread in crew:
            thread.join()
        return counted(sum(done), sum(odd), time.perf_counter() - start)

    return sample


def refused(url: str) -> Callable[[float], float]:
    """Nanoseconds of a refusal that this process knows of already."""
    from ratekit import Limiter

    limiter, runs = Limiter("1/hour", store=url, name="refused"), count()

    def sample(scale: float) -> float:
        run, passes = next(runs), max(int(50 * scale), 1)
        keys = [f"{run}:{key}" for key in KEYS[:500]]
        for _ in range(2):
            for key in keys:
                limiter.hit(key)
        start = time.perf_counter_ns()
        for _ in range(passes):
            for key in keys:
                decision = limiter.hit(key)
        took = time.perf_counter_ns() - start
        if decision.allowed or decision.source != "denials":
            raise RuntimeError(f"this was no local refusal: {decision!r}")
        return took / (passes * len(keys))

    return sample


def rows(url: str) -> list[Row]:
    names = ("ratekit", "redis-py incr", *PEERS, "django-ratelimit", "DRF throttle")
    sides = tuple(Side(name, _role(name), one, (name, url), core=0) for name in names)
    found = [
        Row("Redis sync, one connection, same core", "us", sides, (Goal("<=", 0.75),), "redis-py incr", server_core=0),
    ]
    for number, times in ((8, 4), (40, 5)):
        sides = tuple(Side(name, _role(name), threads, (name, number, url)) for name in ("ratekit", *PEERS, "redis-py incr"))
        found.append(Row(f"Redis sync, {number} threads", "hits/s", sides, (Goal("x", times),), "best"))
    reference = Side("dict increment and clock", "reference", timed_dict, (False,))
    sides = (Side("ratekit", "ours", refused, (url,)), reference)
    found.append(Row("a local refusal, sync", "ns", sides, (Goal("<=", 3),), reference.name))
    return found


def _role(name: str) -> str:
    return "ours" if name == "ratekit" else "reference" if name == "redis-py incr" else "peer"
