"""
Clients are killed with kill -9 while they hit, reserve, hold places, write behind: what they leave in Redis goes away by itself.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

import redis
import servers
import victims
from figures import Figure, count, noted

from ratekit import Limiter
from ratekit.counters import ConcurrencyLimiter

PATIENT = {"budget": 10.0}
LONGEST = 5 * victims.PERIOD
"""Seconds that everything lives at most, but for what was written behind: so that it is not counted twice it is known for an HOUR."""
HOUR = 3_600


async def clients_killed(full: bool) -> list[Figure]:
    """A thousand of them."""
    return await killed(1_000 if full else 20)


async def killed(kills: int, seed: int = 1) -> list[Figure]:
    with servers.RedisServer() as server, server.client() as client:
        words = [str(Path(victims.__file__)), server.url, str(kills), str(seed)]
        process = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=-1, stderr=-1)
        ended, lasting, seen = asyncio.create_task(process.communicate()), 0, 0
        while not ended.done():
            found, forever = without_end(client)
            seen, lasting = seen + found, lasting + forever
            await asyncio.wait([ended], timeout=0.2)
        output, errors = ended.result()
        if process.returncode:
            raise RuntimeError(errors.decode()[-2000:])
        told, wrote = json.loads(output), client.info("commandstats")
        lasting += without_end(client)[1]
        every = [client.pttl(key) for key in client.scan_iter(count=1000)]
        left = [life for life in every if life <= LONGEST * 1000]
        held = await asyncio.to_thread(still_held, server.url)
        await asyncio.sleep(max([0, *left]) / 1000 + 0.1)
        after = [client.pttl(key) for key in client.scan_iter(count=1000)]
        return [
            count("killed too few", kills - told["killed"]),
            count("looks that found no key at all", int(not seen)),
            count("keys without a time to live", lasting),
            noted("keys looked at", seen),
            count("places held beyond their lease", held),
            count("keys left when their times were over", sum(life <= LONGEST * 1000 for life in after)),
            count("quotas not whole again", await asyncio.to_thread(not_whole, server.url)),
            count("the longest time to live, in seconds", max([0, *every]) / 1000, HOUR),
            noted("keys at the end", len(every)),
            noted("keys of what was written behind, known by its number for an hour", len(every) - len(left)),
            noted("scripts that Redis ran", sum(wrote.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("eval", "evalsha"))),
            noted("things that they did", told["roles"]),
            noted("errors that a victim wrote", len(errors.splitlines())),
        ]


def without_end(client: redis.Redis) -> tuple[int, int]:
    """Keys, and those of them that would stay for ever; a key that has gone since it was listed is none."""
    keys = list(client.scan_iter(count=1000))
    with client.pipeline(transaction=False) as asking:
        for key in keys:
            asking.pttl(key)
        return len(keys), asking.execute().count(-1)


def still_held(url: str) -> int:
    """Places that nobody can have a lease after the last death."""
    time.sleep(victims.LEASE + 0.1)
    with ConcurrencyLimiter(victims.PLACES, "places", store=url, lease=victims.LEASE, **PATIENT) as places:
        return sum(places.holders(f"user:{number}") for number in range(5))


def not_whole(url: str) -> int:
    """Of the reserved quotas, those of which something is still spent."""
    with Limiter(*victims.LIMITS, store=url, name="reserved", **PATIENT) as limiter:
        return sum(limiter.peek(f"user:{number}").remaining != 20 for number in range(30))
