"""
What each kind of limiter makes of the very same hits, on a clock that is moved; Redis is asked hit by hit, on that clock, too.

A hit takes no time here, so reading, adding and writing back are one instant: for the naive counter that is flattery.
"""

import secrets
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from ratekit.cli.edge.counter import NaiveCounter
from ratekit.cli.edge.hand import Hand
from ratekit.cli.edge.setting import SECOND, Run, Scene, Setting
from ratekit.errors import ConfigurationError, StoreError
from ratekit.kv.node_terms import Mode
from ratekit.kv.plain import PlainBucketKV
from ratekit.kv.store import KVStore
from ratekit.kv.writer import Overloaded
from ratekit.kv.writer_kv import CoalescingWriter
from ratekit.kv.writer_store import SingleWriterStore
from ratekit.limiter import Limiter
from ratekit.testing import ManualClock

WARM: Final = 180
"""Seconds that nodes run before the first hit, so that they have found each other."""
MODES: Final[tuple[Mode, ...]] = ("sum", "extrapolate", "headroom", "quota")
CACHE_AGE: Final = 30.0
"""Seconds: what the simulated caches keep to when a read asks for the least there is."""
PATIENCE: Final = 1.0
"""Seconds that a hit on Redis may take here: nobody waits for it."""


def runs(setting: Setting, hand: Hand, progress: Callable[[], object] = lambda: None) -> list[Run]:
    """Every limiter on the same hits. `progress` is called after each. Raises ConfigurationError for a limit that no mode can keep."""
    makers: list[Callable[[Setting], Run]] = [
        naive,
        plain,
        *(partial(kvstore, mode=mode) for mode in MODES),
        behind_writer,
        single_writer,
        partial(redis, hand=hand),
    ]
    found = []
    for make in makers:
        found.append(make(setting))
        progress()
    return found


def naive(setting: Setting) -> Run:
    """A counter in one key of KV, read and written by every node."""
    scene = Scene(setting)
    counters = [NaiveCounter(namespace, setting.limit.quota) for namespace in scene.namespaces()]
    run, kept = Run("naive counter"), 0
    for at, node in scene.each():
        counter = counters[node]
        before = counter.accepted
        if counter.hit():
            run.admitted.append(at)
        if counter.accepted > before:
            kept = counter.seen + 1  # the last of all writes that were accepted wins
        run.seen.append((at, node, counter.seen))
    return _written(run, scene, sum(one.accepted for one in counters), sum(one.refused for one in counters), kept)


def plain(setting: Setting) -> Run:
    """A key per window and client: what the textbooks say."""
    scene = Scene(setting)
    stores = [PlainBucketKV(namespace, clock=scene.clock) for namespace in scene.namespaces()]
    hits = [Limiter(setting.limit, store=store, name="edge").hit for store in stores]
    run, kept = Run("time buckets"), 0
    for at, node in scene.each():
        before = stores[node].accepted
        decision = hits[node]("hot")
        if decision:
            run.admitted.append(at)
        if stores[node].accepted > before:
            kept = setting.limit.quota - decision.remaining
    return _written(run, scene, sum(one.accepted for one in stores), sum(one.refused for one in stores), kept)


def kvstore(setting: Setting, mode: Mode) -> Run:
    """`KVStore`, told the truth: how many nodes there are, and what arrives."""
    scene, run = Scene(setting, WARM), Run(f"KVStore, {mode}")
    try:
        stores = [
            KVStore(
                namespace,
                nodes=setting.nodes,
                arrival_rate=setting.rate,
                cache_age=CACHE_AGE,
                mode=mode,
                clock=scene.clock,
                seed=setting.seed * 1000 + i,
            )
            for i, namespace in enumerate(scene.namespaces())
        ]
        hits = [Limiter(setting.limit, store=store, name="edge").hit for store in stores]
    except ConfigurationError as error:
        if mode in ("headroom", "quota"):  # a small limit has no share for so many nodes; the other modes have
            run.note = str(error)
            return run
        raise
    over = 0
    for at, node in scene.each(partial(_ticked, stores, scene.clock)):
        decision = hits[node]("hot")
        over = max(over, decision.max_over or 0)
        if decision:
            run.admitted.append(at)
    run.bound = setting.limit.quota + over
    return _written(run, scene, scene.world.usage["write"], scene.world.refused[429])


def _ticked(stores: Sequence[KVStore], clock: ManualClock, until: int) -> None:
    """Make the trips that are due before an instant, when they are due."""
    while True:
        pause, store = min(((store.next_tick(), store) for store in stores), key=lambda one: one[0])
        due = clock() + round(pause * SECOND)
        if due > until:
            return
        clock.advance_us(due - clock())
        store.tick()


def behind_writer(setting: Setting) -> Run:
    """The naive counter again, but all of its reads and writes go through one writer."""
    scene = Scene(setting)
    writer = CoalescingWriter(scene.namespaces()[0], clock=scene.clock)
    counter = NaiveCounter(writer, setting.limit.quota)
    run = _answered(Run("counter behind one writer"), scene, counter.hit)
    writer.ring()
    return _written(run, scene, writer.written, writer.failed, writer.written)


def single_writer(setting: Setting) -> Run:
    """One object for the key, the way of Durable Objects, with state of its own."""
    scene = Scene(setting)
    limiter = Limiter(setting.limit, store=SingleWriterStore(clock=scene.clock), name="edge")
    return _answered(Run("single writer"), scene, lambda: bool(limiter.hit("hot")))


def _answered(run: Run, scene: Scene, hit: Callable[[], bool]) -> Run:
    """Hits on one object, whoever sends them."""
    overloaded = 0
    for at, _ in scene.each():
        try:
            if hit():
                run.admitted.append(at)
        except Overloaded:
            overloaded += 1
    run.bound = scene.setting.limit.quota
    run.note = f"{overloaded:,} hits were answered that it is overloaded" if overloaded else ""
    return run


def redis(setting: Setting, hand: Hand) -> Run:
    """The Redis at hand. Its keys are new, and gone afterwards."""
    run = Run("Redis", bound=setting.limit.quota, note=hand.word)
    if hand.url is None:
        run.bound = None
        return run
    from ratekit.stores.redis import RedisStore

    period = setting.limit.period
    clock = ManualClock(start=(time.time_ns() // 1000 // period + 1) * period + 3_600 * SECOND)  # ahead of the server's own
    began = clock()
    store = RedisStore(hand.url, budget=PATIENCE, clock=clock)
    try:
        limiter = Limiter(setting.limit, store=store, name=f"edge-{secrets.token_hex(6)}", on_outage="closed", deny_cache=0)
        for at, _ in setting.arrivals():
            clock.advance_us(began + at - clock())
            if limiter.hit("hot"):
                run.admitted.append(at / SECOND)
        limiter.reset("hot")
    except StoreError as error:
        run.bound, run.note = None, f"it failed: {error}"
    finally:
        store.close()
    return run


def _written(run: Run, scene: Scene, accepted: int, refused: int, kept: int | None = None) -> Run:
    """What became of the writes, `kept` being the count in the end; and what KV asks for it."""
    run.accepted, run.refused, run.dollars = accepted, refused, float(scene.world.dollars)
    run.lost = None if kept is None else accepted - kept
    return run
