"""
10,000 replies spoiled on their way: reset, ended, garbled, swallowed, cut at every byte. No exception but ours, no double count.

The circuit would leave such a store alone after the first fault, so the stores are asked without it; a service with its circuit is
asked beside them, and has to answer every request.
"""

import asyncio
import gc
import itertools
import random
import threading
from collections import Counter

import servers
from figures import Figure, count, noted
from proxy import Proxy, Spoil
from service import Load, Service

from ratekit import Limit, StoreError
from ratekit.algorithms import SPEND
from ratekit.stores import AsyncRedisStore, RedisStore
from ratekit.stores.naming import plan_of

PLAN = plan_of([Limit.parse("1000000/hour fixed_window")], prefix="ratekit", name="injected")
GARBAGE = (
    b"garbage\r\n",
    b"\xff\x00\xfe",
    b"*3\r\n:1\r\n",
    b":1\r\n",
    b"$-1\r\n",
    b"*-1\r\n",
    b"+OK\r\n",
    b"*1\r\n$1\r\nx\r\n",
    b"-ERR what\r\n",
    b"*4\r\n:1\r\n:1\r\n:9\r\n:1\r\n*4\r\n:1\r\n:1\r\n:9\r\n:1\r\n",
)


def spoils(seed: int):
    """Without end: every way to spoil a reply; the place of the cut goes over every byte, again and again."""
    choice = random.Random(seed)
    for number in itertools.count():
        kind, byte = choice.randrange(20), number % 32
        if kind < 6:
            yield Spoil(keep=byte, ends="eof")
        elif kind < 12:
            yield Spoil(keep=byte, ends="reset")
        elif kind < 17:
            yield Spoil(keep=choice.choice((0, 0, byte)), then=choice.choice(GARBAGE), ends=choice.choice(("", "eof")))
        elif kind < 19:
            yield Spoil(ends="reset", before=True)
        else:
            yield Spoil(keep=0)  # swallowed: a black hole


class Tally:
    """What came of the calls, by identity."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.unhandled: list[str] = []

    def wrong(self, error: BaseException) -> None:
        self.unhandled.append(repr(error))


async def injected(full: bool) -> list[Figure]:
    """Half of the calls by event loops, half by threads, and a service beside them."""
    calls, tally = 10_000 if full else 600, Tally()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: tally.unhandled.append(str(context)))
    with servers.RedisServer() as server, server.client() as client:
        known(server.url)
        proxied = [by_loop(server.port, calls // 20, seed, tally) for seed in range(10)]
        spoiled = sum(await asyncio.gather(*proxied))
        spoiled += sum(await asyncio.gather(*(by_thread(server.port, calls // 20, seed, tally) for seed in range(10, 20))))
        figures = await served(server.port, full)
        counted = {key.decode().split(":")[2].rstrip("}"): int(client.get(key)) for key in client.scan_iter("*{injected:*")}
    gc.collect()
    await asyncio.sleep(0)
    for text in tally.unhandled[:3]:
        raise RuntimeError(text)
    twice = sum(counted.get(who, 0) > asked for who, asked in tally.asked.items())
    lost = sum(counted.get(who, 0) < answered for who, answered in tally.answered.items())
    return [
        noted("replies spoiled", spoiled),
        noted("answered all the same", tally.answered.total()),
        count("unhandled exceptions", len(tally.unhandled)),
        count("identities counted more often than asked", twice),
        count("identities counted less often than answered", lost),
        *figures,
    ]


def known(url: str) -> None:
    """Let the server know the script: garbage that looks like an answer, in place of the reply that it does not, is believed."""
    store = RedisStore(url, budget=30.0)
    store.compile(PLAN)("known", 1, SPEND)
    store.close()


async def by_loop(port: int, calls: int, seed: int, tally: Tally) -> int:
    """Calls of one event loop's store, two at a time so that some ride together."""
    async with Proxy(port) as proxy:
        faults, store = spoils(seed), AsyncRedisStore(proxy.url)
        proxy.spoil, spoiled = lambda: next(faults), 0
        hit = store.compile(PLAN)

        async def one(who: str) -> None:
            tally.asked[who] += 1
            try:
                await hit(who, 1, SPEND)
                tally.answered[who] += 1
            except StoreError:
                pass
            except Exception as error:
                tally.wrong(error)

        for number in range(calls):
            await asyncio.gather(*(one(f"loop-{seed}-{number % 7}-{rider}") for rider in range(1 + number % 2)))
            spoiled += 1
        await store.aclose()
    return spoiled


async def by_thread(port: int, calls: int, seed: int, tally: Tally) -> int:
    """Calls of one thread's store."""
    async with Proxy(port) as proxy:
        faults, store = spoils(seed), RedisStore(proxy.url)
        proxy.spoil = lambda: next(faults)
        hit = store.compile(PLAN)

        def work() -> None:
            for number in range(calls):
                who = f"thread-{seed}-{number % 7}"
                tally.asked[who] += 1
                try:
                    hit(who, 1, SPEND)
                    tally.answered[who] += 1
                except StoreError:
                    pass
                except Exception as error:
                    tally.wrong(error)
            store.close()

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        while thread.is_alive():
            await asyncio.sleep(0.01)
    return calls


async def served(port: int, full: bool) -> list[Figure]:
    """A service whose every second reply is spoiled."""
    async with Proxy(port) as proxy, Service(proxy.url) as service:
        faults, choice = spoils(99), random.Random(99)
        proxy.spoil = lambda: next(faults) if choice.random() < 0.5 else None
        async with Load(service.port, 20 if full else 5, 0.02) as load:
            await asyncio.sleep(15 if full else 1)
        unhandled = await service.unhandled()
    return [count("5xx of the service beside it", load.bad), count("its unhandled exceptions", unhandled)]
