"""
Scripts that need a process of their own, because they begin cold or fork. Each prints one line of JSON.

    python subprocesses.py cold URL | fork URL | fork_away PORT
"""

import asyncio
import json
import os
import sys
import threading
import time
from pathlib import Path

from ratekit import AsyncLimiter, Limiter

LIMIT = 1_000_000
HERE = Path(__file__).parent


async def script(*words: str) -> dict:
    """Run one of these scripts for at most a minute; what it printed."""
    process = await asyncio.create_subprocess_exec(sys.executable, __file__, *words, stdout=-1, stderr=-1)
    try:
        async with asyncio.timeout(60):
            told, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise RuntimeError(errors.decode()[-2000:])
    return {**json.loads(told), "stderr": errors.decode()}


async def cold(url: str) -> dict:
    """A thousand calls at once, the first that this process makes."""
    limiter = AsyncLimiter(f"{LIMIT}/hour", store=url)
    began = time.perf_counter()
    found = await asyncio.gather(*(limiter.hit(f"user:{i}") for i in range(1000)), return_exceptions=True)
    took = time.perf_counter() - began
    await limiter.aclose()
    errors = [decision for decision in found if isinstance(decision, BaseException)]
    elsewhere = sum(decision.source != "store" for decision in found if not isinstance(decision, BaseException))
    return {"errors": len(errors), "elsewhere": elsewhere, "seconds": took}


def hits(limiter: Limiter, who: str, times: int) -> int:
    """Crossed replies: each hit has an identity and a cost of its own, so that nobody else's answer looks like it."""
    crossed = 0
    for cost in range(1, times + 1):
        decision = limiter.hit(f"{who}-{cost}", cost)
        crossed += decision.source == "store" and decision.remaining != LIMIT - cost
    return crossed


async def awaited_hits(limiter: AsyncLimiter, who: str, times: int) -> int:
    """The same on an event loop, all at once."""
    found = await asyncio.gather(*(limiter.hit(f"{who}-{cost}", cost) for cost in range(1, times + 1)))
    return sum(d.source == "store" and d.remaining != LIMIT - cost for cost, d in enumerate(found, 1))


def used(url: str) -> tuple[Limiter, AsyncLimiter]:
    """Limiters that have been used, with connections open: by a thread, and by an event loop that has ended since."""
    limiter = Limiter(f"{LIMIT}/hour fixed_window", store=url, budget=5.0)
    waited = AsyncLimiter(f"{LIMIT}/hour fixed_window", store=url, budget=5.0, name="waited")
    hits(limiter, "first", 3)
    asyncio.run(awaited_hits(waited, "first", 3))
    return limiter, waited


def fork(url: str) -> dict:
    """Use, fork four times, and use in all five processes at the same time."""
    limiter, waited = used(url)
    reader, writer = os.pipe()
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            report(writer, limiter, waited)
        children.append(child)
    crossed = hits(limiter, "parent", 200)
    codes = [os.waitpid(child, 0)[1] for child in children]
    os.close(writer)
    lines = os.read(reader, 65_536).decode().split()
    return {"crossed": crossed + sum(map(int, lines)), "failed": sum(code != 0 for code in codes) + (len(lines) != 4)}


def report(writer: int, limiter: Limiter, waited: AsyncLimiter) -> None:
    """What a child does, and the end of it."""
    try:
        crossed = hits(limiter, f"child-{os.getpid()}", 200) + asyncio.run(awaited_hits(waited, f"child-{os.getpid()}", 200))
        os.write(writer, f"{crossed}\n".encode())
        os._exit(0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)


def fork_away(port: str) -> dict:
    """Fork while the store is away; it comes back, and the child has to notice as its parent does."""
    import servers

    server = servers.RedisServer()
    server.port, server.url = int(port), f"redis://127.0.0.1:{port}/0"
    limiter = Limiter(f"{LIMIT}/hour", store=server.url)
    limiter.hit("first")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        threading.Timer(30, os._exit, [1]).start()
        os.read(reader, 1)
        os._exit(0 if joins(limiter) else 1)
    try:
        server.start()
        os.write(writer, b"!")
        parent = joins(limiter)
        return {"parent": parent, "child": os.waitpid(child, 0)[1] == 0}
    finally:
        server.remove()


def joins(limiter: Limiter) -> bool:
    """Whether the store decides again within 10 s; how soon it does is another row."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if limiter.hit("again").source == "store":
            return True
        time.sleep(0.02)
    return False


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))
    done = globals()[sys.argv[1]](sys.argv[2])
    sys.stdout.write(json.dumps(asyncio.run(done) if asyncio.iscoroutine(done) else done))
