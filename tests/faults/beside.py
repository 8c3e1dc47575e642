"""
Callers beside the application, in its process, who ask the store without a circuit: each fault finds a call of theirs under way.
"""

import asyncio
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable

from ratekit import Limit, StoreError
from ratekit.algorithms import SPEND
from ratekit.stores import AsyncRedisClusterStore, AsyncRedisStore, AsyncStore, RedisClusterStore, RedisStore, Store
from ratekit.stores.naming import plan_of

PLAN = plan_of([Limit.parse("1000000/hour")], prefix="ratekit", name="beside")
PACE = 0.02
"""Seconds between two calls."""
NAMES = 16
"""Identities that each asks for in turn: in a cluster, on every node."""


class Beside:
    """One task and one thread that ask for as long as the process lives; what came of it."""

    def __init__(self, url: str, wrong: Callable[[BaseException], None]) -> None:
        self.came: Counter[str] = Counter()
        self._wrong = wrong
        spread = "cluster" in url.partition(":")[0]
        kind, async_kind = (RedisClusterStore, AsyncRedisClusterStore) if spread else (RedisStore, AsyncRedisStore)
        self._task = asyncio.create_task(self._ask_awaited(async_kind(url)))
        self._thread = threading.Thread(target=self._ask, args=(kind(url),), daemon=True)
        self._thread.start()

    async def _ask_awaited(self, store: AsyncStore) -> None:
        hit = store.compile(PLAN)
        for number in itertools.count():
            try:
                await hit(f"task {number % NAMES}", 1, SPEND)
                self.came["answered"] += 1
            except StoreError:
                self.came["failed"] += 1
            except Exception as error:
                self._wrong(error)
            await asyncio.sleep(PACE)

    def _ask(self, store: Store) -> None:
        hit = store.compile(PLAN)
        for number in itertools.count():
            try:
                hit(f"thread {number % NAMES}", 1, SPEND)
                self.came["answered"] += 1
            except StoreError:
                self.came["failed"] += 1
            except Exception as error:
                self._wrong(error)
            time.sleep(PACE)
