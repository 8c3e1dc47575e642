"""
Strangers: identities of any kind, and what a million of them do to a memory store. A process of its own, so that its bytes are known.

    python strangers.py MANY
"""

import random
import sys
import time
import warnings
from array import array
from pathlib import Path

from ratekit import Limiter
from ratekit.stores import MemoryStore

DAY = 86_400
FIGURES = ("held beyond the cap", "bytes", "p99", "hot p99", "median", "known refused", "over", "innocent refused", "later refused")


def identity(dice: random.Random, number: int):
    """Somebody new: text of 1 to 300 characters of any kind, numbers, tuples."""
    kind = dice.randrange(4)
    if kind == 0:
        return f"{number}{chr(dice.randrange(32, 0xD7FF)) * dice.randrange(1, 300)}"
    if kind == 1:
        return dice.getrandbits(dice.choice((16, 64, 400))) << 24 | number
    if kind == 2:
        return (f"user:{number}", dice.choice(("{", "}", ":", "%", "*", "\n", "\x00", "é", "\U0001f600")) * dice.randrange(1, 200))
    return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"


def in_memory(many: int) -> list[float]:
    """A store at its cap, and ten times as many strangers. In a process of its own, of which the bytes are."""
    dice, cap, clock = random.Random(2), many // 10, [10**15]
    store = MemoryStore(max_keys=cap, clock=lambda: clock[0])
    limiter = Limiter(f"5 per {DAY} seconds", store=store)
    began = resident()
    known = [identity(dice, number) for number in range(cap)]
    kept = resident() - began
    for who in known:
        limiter.hit(who)
    at_cap = resident() - began - kept
    counts, over, times, ticks = dict.fromkeys(range(cap), 0), 0, array("q"), array("q")
    counting = resident() - began - kept - at_cap
    for number in range(cap, many):
        who, begin = identity(dice, number), time.perf_counter_ns()
        limiter.hit(who)
        times.append(time.perf_counter_ns() - begin)
        clock[0] += 50
        begin = time.perf_counter_ns()
        counts[number % cap] += 1
        time.monotonic_ns()
        ticks.append(time.perf_counter_ns() - begin)
    held, after = len(store), resident() - began - kept - counting - sys.getsizeof(times) - sys.getsizeof(ticks)
    times, ticks = sorted(times), sorted(ticks)
    refused = sum(not limiter.hit(("innocent", number)) for number in range(1_000))
    known_refused = sum(not limiter.hit(who) for who in known[:: max(1, cap // 1000)])
    hog = identity(dice, many)
    over += max(0, sum(bool(limiter.hit(hog)) for _ in range(20)) - 5)
    clock[0] += DAY * 1_000_000
    later = sum(not limiter.hit(("later", number)) for number in range(1_000))
    tick, rare = increment(), len(times) * 99 // 100
    p99, hot, median = times[rare] / ticks[rare], times[rare] / tick, times[len(times) // 2] / tick
    return [max(0, held - cap), after / at_cap, p99, hot, median, known_refused, over, refused / 1_000, later / 1_000]


def increment() -> float:
    """Nanoseconds of one increment in a dict and a look at the clock, the yardstick of docs/performance.md."""
    names, best, clock = [f"user:{i}" for i in range(1000)], float("inf"), time.monotonic_ns
    counts = dict.fromkeys(names, 0)
    for _ in range(50):
        begin = time.perf_counter_ns()
        for name in names:
            counts[name] += 1
            clock()
        best = min(best, (time.perf_counter_ns() - begin) / len(names))
    return best


def resident() -> int:
    """Bytes that this process holds in memory."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # the store says that it is full
    print(*in_memory(int(sys.argv[1])))  # noqa: T201
