"""
The scripts themselves: how long redis-server is busy with a hit (INFO commandstats), and how much memory a key takes.

A key is measured as it is under traffic: of its quota eight tenths were spent, evenly over the last minute; of a bucket, which
refills, within the last second.
"""

from collections.abc import Callable
from hashlib import sha1
from typing import Any

import redis
from layouts import LAYOUTS
from measure import Figures, Row, Side

ALGORITHMS = ("fixed_window", "sliding_window", "sliding_counter", "token_bucket")
KEYS = {10: 1_000, 100: 200, 10_000: 10}
"""N, and how many keys share the hits, so that what is measured does not fill them."""
PERIOD, BUCKETS, TOGETHER, SINGLES = 60_000_000, 60, 64, 1_000

Words = Callable[[list[int], int | None], list[str]]
"""(which keys, microseconds or None for the server's clock) -> a command."""


def ours(algorithm: str, quota: int) -> tuple[list[str], str, Words]:
    """The keys, the script and the commands of a limit of ratekit."""
    from ratekit import Limit
    from ratekit.algorithms import SPEND
    from ratekit.stores.naming import plan_of
    from ratekit.stores.redis.lua import script_for
    from ratekit.stores.redis.script import Route, words

    extra: dict[str, Any] = {"burst": quota} if algorithm == "token_bucket" else {}
    route = Route(plan_of([Limit(quota, per=60, algorithm=algorithm, **extra)], prefix="ratekit", name=f"scripts{quota}"))
    parcels = [route.parcel(f"user:{i}", 1, SPEND) for i in range(KEYS[quota])]
    script = script_for(frozenset([algorithm]))
    names = [parcel[0][0] for parcel in parcels]
    return names, script.text, lambda which, now: words([parcels[i] for i in which], script, now, whole=False)


def other(layout: str, quota: int) -> tuple[list[str], str, Words]:
    """The same of another layout of a sliding window."""
    text = LAYOUTS[layout]
    sha = sha1(text.encode(), usedforsecurity=False).hexdigest()
    names = [f"layout:{{default:user:{i}}}:::/60000:sliding_window:1:{quota}" for i in range(KEYS[quota])]
    cell = "1" if quota <= BUCKETS else str(-(-PERIOD // (BUCKETS - 1)))

    def words(which: list[int], now: int | None) -> list[str]:
        arguments = ["" if now is None else str(now), str(quota), str(PERIOD), cell]
        return ["EVALSHA", sha, str(len(which)), *[names[i] for i in which], *arguments]

    return names, text, words


def busy(kind: str, quota: int, url: str) -> Callable[[float], Figures]:
    """Microseconds of the server's time: of a call with one hit, and of a hit among 64; bytes of a key."""
    names, text, words = ours(kind, quota) if kind in ALGORITHMS else other(kind, quota)
    client = redis.Redis.from_url(url, protocol=2)

    def calls(commands: list[list[str]]) -> float:
        client.config_resetstat()
        with client.pipeline(transaction=False) as pipe:  # a server that is woken for each call has cold caches, however it works
            for command in commands:
                pipe.execute_command(*command)
            pipe.execute()
        return float(client.info("commandstats")["cmdstat_evalsha"]["usec_per_call"])

    def sample(scale: float) -> Figures:
        client.flushall()
        client.script_load(text)
        everybody, number = list(range(len(names))), max(int(SINGLES * scale), TOGETHER)
        fill(client, words, everybody, quota * 8 // 10, over=1_000_000 if kind == "token_bucket" else PERIOD)
        size = sum(client.memory_usage(name, samples=0) for name in names) / len(names)
        turns = [i % len(names) for i in range(number)]
        single = calls([words([i], None) for i in turns])
        batch = calls([words(turns[i : i + TOGETHER], None) for i in range(0, number - TOGETHER + 1, TOGETHER)])
        return {"figure": single, "us a hit of 64": batch / TOGETHER, "bytes a key": size}

    return sample


def fill(client: Any, words: Words, everybody: list[int], spent: int, over: int) -> None:
    """So many hits on each key, evenly over the last so many microseconds."""
    seconds, micros = client.time()
    now = seconds * 1_000_000 + micros
    with client.pipeline(transaction=False) as pipe:
        for hit in range(spent):
            at = now - over + (hit + 1) * over // (spent + 1)
            for first in range(0, len(everybody), 512):
                pipe.execute_command(*words(everybody[first : first + 512], at))
            if hit % 500 == 499:
                pipe.execute()
        pipe.execute()


def rows(url: str) -> list[Row]:
    found = []
    for algorithm in ALGORITHMS:
        for quota in KEYS:
            side = Side("ratekit", "ours", busy, (algorithm, quota, url))
            found.append(Row(f"script: {algorithm}, N = {quota:,}", "us", (side,), rounds=3))
    for quota in KEYS:
        sides = (
            Side("ratekit", "ours", busy, ("sliding_window", quota, url)),
            *(Side(layout, "reference", busy, (layout, quota, url)) for layout in LAYOUTS),
        )
        found.append(Row(f"script: state of a sliding window, N = {quota:,}", "us", sides, rounds=3))
    return found
