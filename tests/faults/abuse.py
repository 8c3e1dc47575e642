"""
Clients who say that they are somebody else, and scopes that no server would send.
"""

import asyncio
import random
from concurrent.futures import ProcessPoolExecutor
from itertools import count as numbers

import fuzz
from figures import Figure, count, noted
from service import Client, Service

LIMIT = 10
NAMES = ("X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP", "X-Forwarded")


def claims(seed: int):
    """Without end: header lines in which a client claims to be somebody else."""
    choice = random.Random(seed)
    for number in numbers():
        address = f"198.51.{number >> 8 & 255}.{number & 255}"
        forms = (
            address,
            f"{address}, {address}",
            f"[2001:db8:{number:x}::1]:80",
            f"for={address}",
            f'"{address}"',
            f"{address}:1234",
            f"{address}, 127.0.0.1",
            f" ,,{address}",
            f"::ffff:{address}",
            f"unknown, {address}",
            f"garbage{number}",
            f'for="{address}',
        )
        yield choice.choice(NAMES), choice.choice(forms)


async def forged(full: bool) -> list[Figure]:
    """1,000 claims: where no proxies are named, and behind a proxy that is named and appends the true address."""
    tries = 1000 if full else 100
    async with Service("memory://", limits=f"{LIMIT}/hour", proxies="") as service:
        unnamed = await admitted(service.port, tries, lambda name, text: f"{name}: {text}\r\n")
    async with Service("memory://", limits=f"{LIMIT}/hour", proxies="127.0.0.1") as service:
        named = await admitted(service.port, tries, behind_a_proxy)
        unhandled = await service.unhandled()
    async with Service("memory://", limits=f"{LIMIT}/hour", proxies="", proxy_headers="1") as service:
        rewritten = await admitted(service.port, 30, lambda name, text: "X-Forwarded-For: 198.51.100.7\r\n")
        lines = (await service.health())["lines"]
    warned = any("proxy" in line.lower() and "uvicorn" in line.lower() for line in lines)
    return [
        count("bypasses, no proxies named", unnamed - LIMIT),
        count("bypasses, proxies named", named - LIMIT),
        count("refused too early", 3 * LIMIT - unnamed - named - rewritten),
        count("unhandled", unhandled),
        count("no warning of uvicorn's rewriting", 0 if warned else 1),
    ]


def behind_a_proxy(name: str, text: str) -> str:
    """What arrives when the proxy appends whom it sees: in a line of its own, or at the end of the client's."""
    if name != "X-Forwarded-For":
        return f"{name}: {text}\r\nX-Forwarded-For: 203.0.113.7\r\n"
    if len(text) % 2:
        return f"X-Forwarded-For: {text}\r\nX-Forwarded-For: 203.0.113.7\r\n"
    return f"X-Forwarded-For: {text}, 203.0.113.7\r\n"


async def admitted(port: int, tries: int, fields) -> int:
    """How many of these requests were admitted; 10 clients share the work."""
    source = claims(tries)

    async def work() -> int:
        client, allowed = Client(port), 0
        for _ in range(tries // 10):
            allowed += (await client.get("/", fields(*next(source)))).status == 200
        client.close()
        return allowed

    return sum(await asyncio.gather(*(work() for _ in range(10))))


async def fuzzed(full: bool) -> list[Figure]:
    """A million scopes, or a hundred thousand in short, in two processes."""
    scopes, parts = (1_000_000, 20) if full else (100_000, 4)
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(2) as pool:
        runs = [loop.run_in_executor(pool, fuzz.run, seed, scopes // parts) for seed in range(parts)]
        found = await asyncio.gather(*runs)
    wrong = [text for part in found for text in part["wrong"]]
    statuses = sorted({status for part in found for status in part["statuses"]})
    figures = [
        noted(f"answered {status or 'WebSocket'}", sum(part["statuses"].get(status, 0) for part in found)) for status in statuses
    ]
    if wrong:
        raise RuntimeError("\n".join(wrong[:5]))
    return [noted("scopes", sum(part["scopes"] for part in found)), count("exceptions", len(wrong)), *figures]
