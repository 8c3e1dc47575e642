"""
KVStore and AsyncKVStore: limits on an eventually consistent store such as Cloudflare Workers KV. The shells around `node.py`:
what `shell.py` holds, and a thread or a task that makes the trips.

No request ever waits for the store or hears of its errors: a hit is decided from this process's memory.
"""

import asyncio
import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from ratekit.guard import Health
from ratekit.kv.namespace import AsyncNamespace, Namespace
from ratekit.kv.node_terms import Mode, Terms
from ratekit.kv.shell import Shell
from ratekit.stores.memory import Clock
from ratekit.stores.naming import Canonical, Plan, Space
from ratekit.stores.protocol import Ask, AsyncCompiled, Compiled, Seens, async_hit, hit

PATIENCE: Final = 5.0
"""Seconds that closing waits for a trip that is under way."""


class KVStore:
    """
    Degraded limits, honest about it: fixed windows, aligned to the epoch, on a store that shows writes late; for threads.

    Every process is a node; nodes find each other in the namespace, under `prefix`. Each counts exactly what it admits, writes that
    at most every `flush` seconds (from 1), all keys in one value, and reads the others every `refresh` seconds (None: a twentieth of
    what they are late anyway) with the store's `cache_ttl`. So it knows of the others late, by at most `terms.staleness` seconds,
    and all nodes together may admit more than the limit: by at most `decision.max_over` units.

    That bound follows from what you tell: `nodes`, the most that run at once; `arrival_rate`, the most units of one key that arrive
    at all nodes together in a second, on average over the staleness or longer, the peak, not the mean; `cache_age`, the seconds that
    a read may be old; `clock_skew`, the seconds that a node's clock may be off. `max_over` is None without `nodes`, and
    (nodes - 1) x limit without `arrival_rate`, or while this node does not hear the others or is not heard in time, and until
    the staleness has passed after that (`degraded` is True for so long). Nodes that were replaced within a window count as nodes;
    a node that begins cannot know for a minute whether it replaces one, and in that minute and window it counts itself twice.

    `mode`: "sum" admits while what is known to be spent leaves room. "extrapolate" adds what the others will have spent since at the
    rate they told: less over on average, the same bound. "headroom" stays clear of the limit by the bound: never over while
    `arrival_rate` holds. "quota" gives each node limit / nodes: never over, whatever fails, and unfair where loads are uneven; so
    does "headroom" where that is more than the bound leaves.

    Limits must be `fixed_window`, with a window longer than the staleness unless `force`. At most `max_keys` keys are counted in a
    window; beyond that new identities share buckets. `clock` (microseconds since the epoch) and `seed` are for simulations: then
    nothing runs in the background and `tick` makes the trips.

    >>> from ratekit import Limiter
    >>> from ratekit.kv.simulator import World
    >>> world = World()
    >>> store = KVStore(world.namespace("limits"), nodes=8, arrival_rate=5.0, clock=world.clock)
    >>> store.tick()
    >>> for _ in range(100):
    ...     world.clock.advance(store.next_tick())
    ...     store.tick()
    >>> decision = Limiter("1000/hour fixed_window", store=store).hit("user:42")
    >>> decision.remaining, decision.max_over, round(store.terms.staleness, 1)
    (999, 329, 66.1)
    """

    remote = False

    def __init__(
        self,
        namespace: Namespace,
        *,
        nodes: int | None = None,
        arrival_rate: float | None = None,
        cache_age: float = 60.0,
        mode: Mode = "sum",
        flush: float = 2.0,
        refresh: float | None = None,
        cache_ttl: int = 30,
        clock_skew: float = 0.0,
        force: bool = False,
        prefix: str = "ratekit",
        max_keys: int = 100_000,
        clock: Clock | None = None,
        seed: int | None = None,
    ) -> None:
        self.terms = Terms(nodes, arrival_rate, cache_age, mode, flush, refresh, cache_ttl, clock_skew, force)
        self._namespace = namespace
        self._shell = Shell(self.terms, prefix, max_keys, clock, seed)
        self._trip = threading.Lock()
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._closed = False

    def compile(self, plan: Plan, budget: float | None = None) -> Compiled:
        """A function that hits every limit of `plan` at once. Raises ConfigurationError for a limit that cannot be kept here."""
        self._shell.check(plan)
        self._watch()
        return partial(hit, self, plan)

    def decide(self, asks: Sequence[Ask], budget: float | None = None) -> Seens:
        """One hit: all-or-nothing over `asks`, without a trip."""
        self._watch()
        return self._shell.decide(asks)

    def forget(self, spaces: Sequence[Space], identity: Canonical) -> None:
        """Make the keys of an identity as new, here at once and elsewhere when it is heard of."""
        self._shell.forget(spaces, identity)

    def health(self) -> Health:
        """How things stand: "open" while this node does not hear or is not heard; `staleness` in seconds."""
        return self._shell.health()

    def tick(self) -> None:
        """Make the trips that are due now; none of them raises."""
        with self._trip:
            while (step := self._shell.step()) is not None:
                try:
                    heard = step.heard(getattr(self._namespace, step.method)(*step.arguments(), **step.options))
                except Exception as error:
                    self._shell.failed(step, error)
                else:
                    self._shell.done(step, heard)

    def next_tick(self) -> float:
        """Seconds until the next trip is due, at most a minute."""
        return self._shell.pause()

    def close(self) -> None:
        """Tell the others the last of it, which may take a second, and stop. Closing twice is harmless."""
        if self._closed:
            return
        self._closed = True
        self._shell.wake.set()
        if self._thread is not None and self._pid == os.getpid():
            self._thread.join(PATIENCE)
            if self._thread.is_alive():  # in a trip that does not end
                return
        if self._shell.last_write():
            if self._shell.in_background:
                time.sleep(self._shell.pause())
            self.tick()

    def _watch(self) -> None:
        """See to it that the trips are made, also in a child that was forked."""
        if self._shell.in_background and not self._closed and self._pid != os.getpid():
            self._pid, self._trip = os.getpid(), threading.Lock()
            self._thread = threading.Thread(target=self._run, name="ratekit-kv", daemon=True)
            with suppress(RuntimeError):  # the interpreter is ending
                self._thread.start()

    def _run(self) -> None:
        shell = self._shell
        while not self._closed:
            self.tick()
            shell.wake.wait(shell.pause())
            shell.wake.clear()


class AsyncKVStore:
    """
    Degraded limits for asyncio: `KVStore`, awaited, on an AsyncNamespace. A hit waits for nothing; a task makes the trips.

    The task begins with the first hit and belongs to its event loop; `aclose` ends it.
    """

    remote = False

    def __init__(
        self,
        namespace: AsyncNamespace,
        *,
        nodes: int | None = None,
        arrival_rate: float | None = None,
        cache_age: float = 60.0,
        mode: Mode = "sum",
        flush: float = 2.0,
        refresh: float | None = None,
        cache_ttl: int = 30,
        clock_skew: float = 0.0,
        force: bool = False,
        prefix: str = "ratekit",
        max_keys: int = 100_000,
        clock: Clock | None = None,
        seed: int | None = None,
    ) -> None:
        self.terms = Terms(nodes, arrival_rate, cache_age, mode, flush, refresh, cache_ttl, clock_skew, force)
        self._namespace = namespace
        self._shell = Shell(self.terms, prefix, max_keys, clock, seed)
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def compile(self, plan: Plan, budget: float | None = None) -> AsyncCompiled:
        """A function that hits every limit of `plan` at once. Raises ConfigurationError for a limit that cannot be kept here."""
        self._shell.check(plan)
        return partial(async_hit, self, plan)

    async def decide(self, asks: Sequence[Ask], budget: float | None = None) -> Seens:
        """One hit: all-or-nothing over `asks`, without a trip."""
        if self._shell.in_background:
            self._watch()
        return self._shell.decide(asks)

    async def forget(self, spaces: Sequence[Space], identity: Canonical) -> None:
        """Make the keys of an identity as new, here at once and elsewhere when it is heard of."""
        self._shell.forget(spaces, identity)

    def health(self) -> Health:
        """How things stand: "open" while this node does not hear or is not heard; `staleness` in seconds."""
        return self._shell.health()

    async def tick(self) -> None:
        """Make the trips that are due now; none of them raises."""
        while (step := self._shell.step()) is not None:
            try:
                heard = step.heard(await getattr(self._namespace, step.method)(*step.arguments(), **step.options))
            except Exception as error:
                self._shell.failed(step, error)
            except BaseException as error:  # cancelled: it may have happened
                self._shell.failed(step, error)
                raise
            else:
                self._shell.done(step, heard)

    def next_tick(self) -> float:
        """Seconds until the next trip is due, at most a minute."""
        return self._shell.pause()

    async def aclose(self) -> None:
        """Tell the others the last of it, which may take a second, and stop. Closing twice is harmless."""
        task, self._task = self._task, None
        if task is not None and task.get_loop() is asyncio.get_running_loop():
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        if not self._closed and self._shell.last_write():
            if self._shell.in_background:
                await asyncio.sleep(self._shell.pause())
            await self.tick()
        self._closed = True

    def _watch(self) -> None:
        task = self._task
        if not self._closed and (task is None or task.done() or task.get_loop().is_closed()):
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while not self._closed:
            await self.tick()
            await asyncio.sleep(min(1.0, self._shell.pause()))
