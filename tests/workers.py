"""
Processes of their own for tests: `run` starts some at once and returns what each printed, as JSON.

    python workers.py async URL LIMIT TASKS HITS     TASKS tasks make HITS hits each on one key
    python workers.py sync URL LIMIT HITS            one after another
    python workers.py lease URL LIMIT LEASE HITS     8 tasks, by an AsyncLimiter with a lease
    python workers.py bursts URL LIMIT LEASE FILE    bursts of hits until its input ends; into the file, of each that was admitted, the
                                                     instants before and after it, and who decided
"""

import asyncio
import json
import os
import random
import subprocess
import sys
import time

import redis
from doors import PATIENT

from ratekit import AsyncLimiter, Limiter


def run(*commands, wrap=()):
    """Start all commands at once, each behind its own words of `wrap`, and wait for them."""
    wraps = wrap or [()] * len(commands)
    lines = [[*before, sys.executable, __file__, *map(str, words)] for before, words in zip(wraps, commands, strict=True)]
    processes = [subprocess.Popen(line, stdout=subprocess.PIPE, text=True) for line in lines]
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return [json.loads(output) for output in outputs]


def server_time(url):
    """Microseconds of the server's clock; of a cluster or of sentinels', whose servers are on this machine, this machine's."""
    if "+" in url.partition("://")[0]:
        return time.time_ns() // 1000
    with redis.Redis.from_url(url) as client:
        seconds, rest = client.time()
    return seconds * 1_000_000 + rest


async def tasks(url, limit, count, hits):
    limiter = AsyncLimiter(limit, store=url, name="processes", **PATIENT)
    await limiter.peek("warm")

    async def one():
        return sum([bool(await limiter.hit("one key")) for _ in range(hits - 2)])

    times = [server_time(url)]
    admitted = bool(await limiter.hit("one key"))
    times.append(server_time(url))
    admitted += sum(await asyncio.gather(*(one() for _ in range(count))))
    times.append(server_time(url))
    admitted += bool(await limiter.hit("one key"))
    times.append(server_time(url))
    await limiter.aclose()
    return {"admitted": admitted, "times": times}


def in_a_row(url, limit, hits):
    with Limiter(limit, store=url, name="processes", **PATIENT) as limiter:
        decisions = [limiter.hit("one key") for _ in range(hits)]
    return {
        "admitted": sum(map(bool, decisions)),
        "waits": [decision.retry_after for decision in decisions if not decision],
        "wall": time.time(),
    }


async def leased(url, limit, lease, hits):
    limiter = AsyncLimiter(limit, store=url, name="processes", lease=lease, **PATIENT)

    async def one():
        return [await limiter.hit("one key") for _ in range(hits // 8)]

    decisions = [decision for some in await asyncio.gather(*(one() for _ in range(8))) for decision in some]
    await limiter.aclose()
    lent = sum(decision.source == "lease" for decision in decisions)
    return {"admitted": sum(map(bool, decisions)), "lent": lent}


async def bursts(url, limit, lease, path):
    limiter = AsyncLimiter(limit, store=url, name="processes", lease=lease, **PATIENT)
    out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    loop = asyncio.get_running_loop()
    over = loop.run_in_executor(None, sys.stdin.read)
    while not over.done():
        for _ in range(random.randrange(5, 30)):
            before = time.monotonic_ns()
            decision = await limiter.hit("one key")
            if decision:  # written before anything else happens, so that a process that is killed has said all it did but one
                os.write(out, f"{before} {time.monotonic_ns()} {decision.source} {decision.max_over}\n".encode())
        await asyncio.sleep(random.random() / 3)
    await limiter.aclose()
    return {}


if __name__ == "__main__":
    if sys.argv[1] == "lease":
        answer = asyncio.run(leased(sys.argv[2], sys.argv[3], float(sys.argv[4]), int(sys.argv[5])))
    elif sys.argv[1] == "bursts":
        answer = asyncio.run(bursts(sys.argv[2], sys.argv[3], float(sys.argv[4]), sys.argv[5]))
    elif sys.argv[1] == "async":
        answer = asyncio.run(tasks(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])))
    else:
        answer = in_a_row(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    print(json.dumps(answer))  # noqa: T201
