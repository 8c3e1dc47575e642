"""
A million random identities: on Redis their keys are short and go by themselves; in memory the store stays at its bound.
"""

import asyncio
import random
import subprocess
import sys
import time
from pathlib import Path

import redis
import servers
import strangers
from figures import Figure, count, noted, timely
from strangers import FIGURES, identity

from ratekit import AsyncLimiter

LIMITS = ("1 per {} seconds fixed_window", "1 per {} seconds", "1 per {} seconds sliding_counter", "1 per {} seconds burst 1")
"""A token bucket of one fills in a period."""
LOOK = """
local found = redis.call('SCAN', ARGV[1], 'COUNT', 5000)
local longest, lasting, life = 0, 0, 0
for _, key in ipairs(found[2]) do
    local left = redis.call('PTTL', key)
    longest = math.max(longest, #key)
    life = math.max(life, left)
    if left == -1 then lasting = lasting + 1 end
end
return {found[1], #found[2], longest, lasting, life}
"""


async def million(full: bool) -> list[Figure]:
    """Redis, then memory."""
    many = 1_000_000 if full else 20_000
    found = await in_redis(many, period=10 if full else 2)
    words = [sys.executable, str(Path(strangers.__file__)), str(many)]
    done = await asyncio.to_thread(subprocess.run, words, capture_output=True, text=True, timeout=240, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    told = dict(zip(FIGURES, map(float, done.stdout.split()), strict=True))
    return [
        *found,
        count("memory: keys held beyond the cap", told["held beyond the cap"]),
        # Of 2,000 keys in the short form the interpreter itself is the greater part.
        (count if full else timely)("memory: bytes, as a share of those at the cap", told["bytes"], 1.2),
        # A call alone after other code finds neither code nor data in the processor's caches, and so does an increment alone.
        timely("memory: p99 of a hit at the cap, in p99s of dict increments timed beside it", told["p99"], 20),
        noted("memory: the same in dict increments of a loop of nothing else", told["hot p99"]),
        noted("memory: median of a hit at the cap, in the latter", told["median"]),
        count("memory: refused though held since before", told["known refused"]),
        count("memory: admitted beyond the limit", told["over"]),
        noted("memory: innocents refused at the cap, %", 100 * told["innocent refused"]),
        noted("memory: of those who came after a period, %", 100 * told["later refused"]),
    ]


async def in_redis(many: int, period: int) -> list[Figure]:
    dice, chunk = random.Random(1), max(1, many // 20)
    longest = lasting = life = most = 0
    with servers.RedisServer() as server, server.client() as client:
        limiters = [
            AsyncLimiter(limit.format(period), store=server.url, name=f"identities {i}", budget=30.0)
            for i, limit in enumerate(LIMITS)
        ]
        looked, slowest = time.monotonic(), 0.0
        for first in range(0, many, chunk):
            await spend(limiters, [identity(dice, number) for number in range(first, first + chunk)])
            seen = look(client)
            now = time.monotonic()
            longest, lasting, life = max(longest, seen[1]), lasting + seen[2], max(life, seen[3])
            most, slowest, looked = max(most, seen[0]), max(slowest, now - looked), now
        ended = time.monotonic()
        for limiter in limiters:
            await limiter.aclose()
        while (left := look(client)[0]) and time.monotonic() < ended + 2 * period:
            await asyncio.sleep(0.25)
        gone = time.monotonic() - ended
    return [
        count("bytes of the longest name of a key", longest, 200),
        count("keys without a time to live", lasting),
        count("the longest time to live, in windows", life / period / 1000, 2),
        count("keys left after two windows", left),
        timely("seconds between two looks", slowest, period),
        noted("most keys at once", most),
        noted("all gone after", gone, "s"),
    ]


async def spend(limiters: list[AsyncLimiter], identities: list) -> None:
    for i, limiter in enumerate(limiters):
        mine = identities[i :: len(limiters)]
        for first in range(0, len(mine), 500):
            await limiter.hit_many(mine[first : first + 500])


def look(client: redis.Redis) -> tuple[int, int, int, int]:
    """Of all keys: how many, the longest name, those that would stay for ever, the longest time to live in milliseconds."""
    cursor, keys, longest, lasting, life = b"0", 0, 0, 0, 0
    while True:
        cursor, found, length, forever, left = client.eval(LOOK, 0, cursor)
        keys, longest, lasting, life = keys + found, max(longest, length), lasting + forever, max(life, left)
        if cursor == b"0":
            return keys, longest, lasting, life
