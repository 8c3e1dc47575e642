"""
Callers beside the application, in its process, who ask the store without a circuit: each fault finds a call of theirs under way.
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable

from ratekit import Limit, StoreError
from ratekit.algorithms import SPEND
from ratekit.stores import AsyncRedisStore, RedisStore
from ratekit.stores.naming import plan_of

PLAN = plan_of([Limit.parse("1000000/hour")], prefix="ratekit", name="beside")
PACE = 0.02
"""Seconds between two calls."""


class Beside:
    """One task and one thread that ask for as long as the process lives; what came of it."""

    def __init__(self, url: str, wrong: Callable[[BaseException], None]) -> None:
        self.came: Counter[str] = Counter()
        self._wrong = wrong
        self._task = asyncio.create_task(self._ask_awaited(AsyncRedisStore(url)))
        self._thread = threading.Thread(target=self._ask, args=(RedisStore(url),), daemon=True)
        self._thread.start()

    async def _ask_awaited(self, store: AsyncRedisStore) -> None:
        hit = store.compile(PLAN)
        while True:
            try:
                await hit("task", 1, SPEND)
                self.came["answered"] += 1
            except StoreError:
                self.came["failed"] += 1
            except Exception as error:
                self._wrong(error)
            await asyncio.sleep(PACE)

    def _ask(self, store: RedisStore) -> None:
        hit = store.compile(PLAN)
        while True:
            try:
                hit("thread", 1, SPEND)
                self.came["answered"] += 1
            except StoreError:
                self.came["failed"] += 1
            except Exception as error:
                self._wrong(error)
            time.sleep(PACE)
