"""
Random worlds for KVStore: so many nodes at so many locations, a load, faults, clocks that are off, nodes that are replaced. A world
is made from its seed, runs on a clock that is moved, and tells per window what was admitted and the greatest bound that was reported.

    python tests/kv/worlds.py 0 20        runs worlds 0 to 19 and prints one line each, the textbook's limiter beside
"""

import heapq
import itertools
import random
import sys
import time
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

from ratekit import Limit, Limiter
from ratekit.kv.node_terms import Terms
from ratekit.kv.plain import PlainBucketKV
from ratekit.kv.simulator import World
from ratekit.kv.store import KVStore
from ratekit.testing import ManualClock

SECOND = 1_000_000
FAR = 1 << 62
LOCATIONS = ("IAD", "FRA", "SIN", "GRU", "SYD", "LHR")
WINDOWS = (60, 120, 300, 600, 3_600, 21_600, 86_400)
MODES = ("sum", "extrapolate", "headroom", "quota")


@dataclass
class Plan:
    """What a world is made of; times are seconds."""

    seed: int
    nodes: int
    window: int
    quota: int
    load: float
    mode: str
    weights: list[float]
    places: list[str]
    skews: list[float]
    skew: float
    flush: float
    refresh: float
    cache_ttl: int
    tiers: dict
    windows: float
    faults: list[dict]
    restarts: list[tuple[float, int, float, bool]]
    start: int
    bursts: bool
    textbook: bool = True

    def __str__(self):
        return (
            f"{self.seed:5d} {self.nodes:2d} nodes {self.quota:5d}/{self.window:<5d} load {self.load:5.2f} {self.mode:11s} "
            f"flush {self.flush:5.1f} faults {len(self.faults)} restarts {len(self.restarts)} skew {self.skew:3.1f}"
        )


@dataclass
class Told:
    """What came of a world: per window admitted and reported, by true time and by the nodes' own windows."""

    admitted: Counter = field(default_factory=Counter)
    reported: dict = field(default_factory=dict)
    hits: int = 0
    nones: int = 0
    trouble: int = 0
    textbook: Counter = field(default_factory=Counter)

    def over(self, quota):
        """Per window: units over the limit, and the greatest bound that any node reported in it."""
        return {window: (count - quota, self.reported[window]) for window, count in self.admitted.items()}


def plan(seed):
    """A random world."""
    dice = random.Random(f"world {seed}")
    nodes = round(32 ** dice.random())
    window = dice.choice(WINDOWS)
    load = 0.2 * 50 ** dice.random()
    quota = max(nodes * dice.choice((1, 2, 5)), round(dice.choice((20, 100, 300, 1000)) * dice.uniform(0.5, 2)))
    quota = max(nodes, min(quota, round(12_000 / load)))
    shape = dice.choice(("even", "skewed", "steep"))
    weights = [{"even": 1.0, "skewed": 1 / (i + 1), "steep": 0.5**i}[shape] for i in range(nodes)]
    fast = window <= 600
    cache_ttl = 30 if window <= 120 else dice.choice((30, 60))
    skew = dice.choice((0.0, 0.0, dice.uniform(0.05, 2.0)))
    windows = dice.uniform(2, 4) if window < 86_400 else 1.5
    spans = windows * window
    troubled, replaced = dice.random() < 0.5, dice.random() < 0.4
    return Plan(
        seed=seed,
        nodes=nodes,
        window=window,
        quota=quota,
        load=load,
        mode=dice.choice(MODES),
        weights=weights,
        places=[dice.choice(LOCATIONS[: dice.choice((1, 3, 6))]) for _ in range(nodes)],
        skews=[dice.uniform(-skew, skew) for _ in range(nodes)],
        skew=skew,
        flush=dice.choice((1.0, 2.0, 5.0)) if fast else window / dice.choice((100, 200)),
        refresh=dice.choice((1.5, 3.0)) if fast else window / dice.choice((100, 200)),
        cache_ttl=cache_ttl,
        tiers={} if window <= 120 else {"stack_ages": dice.random() < 0.3, "jitter": dice.choice((0.0, 10.0))},
        windows=windows,
        faults=[fault(dice, spans) for _ in range(dice.randrange(1, 4) if troubled else 0)],
        restarts=[
            (dice.uniform(0, spans), dice.randrange(nodes), dice.uniform(0.1, 20), dice.random() < 0.5)
            for _ in range(dice.randrange(1, 4) if replaced else 0)
        ],
        start=dice.randrange(1_700_000_000, 1_800_000_000) * SECOND,
        bursts=dice.random() < 0.3,
    )


def fault(dice, spans):
    """One random fault within so many seconds."""
    return {
        "way": dice.choice(("refused", "server", "away", "late")),
        "kind": dice.choice((None, "write", "read", "list")),
        "location": dice.choice((None, *LOCATIONS[:3])),
        "share": dice.choice((0.1, 0.5, 1.0, 1.0)),
        "after": dice.uniform(0, spans),
        "lasts": dice.choice((1, 10, 60, 300)) * dice.uniform(0.5, 2),
        "applied": dice.random() < 0.3,
    }


def arrivals(plan):
    """When, in microseconds from the start, and at which node."""
    dice = random.Random(f"arrivals {plan.seed}")
    rate, end = plan.load * plan.quota / plan.window, plan.windows * plan.window
    times, at = [], 0.0
    while True:
        fast = 4.0 if plan.bursts and (at // (plan.window / 7)) % 4 == 0 else 0.25 if plan.bursts else 1.0
        at += dice.expovariate(rate * fast)
        if at >= end:
            break
        times.append(round(at * SECOND))
    return times, dice.choices(range(plan.nodes), plan.weights, k=len(times))


def peak(times, *spans):
    """The greatest rate of arrivals over any interval of these lengths in seconds, in units a second."""
    most = 0.0
    for span in spans:
        for i, at in enumerate(times):
            most = max(most, (bisect_left(times, at + round(span * SECOND) + 1, lo=i) - i) / span)
    return most


class Scene:
    """A world under way: its nodes, and what each tick of each does."""

    def __init__(self, plan):
        self.plan, self.told = plan, Told()
        self.clock = ManualClock(start=plan.start)
        self.world = World(seed=plan.seed, clock=self.clock, log=0, **plan.tiers)
        self.limit = Limit(plan.quota, per=plan.window, algorithm="fixed_window")
        self.times, self.whom = arrivals(plan)
        told = self.terms()
        self.rate = peak(self.times, told.staleness, told.finding, plan.window) * 1.0001 or 1.0
        for one in plan.faults:
            self.world.fail(**one)
        self.lives = itertools.count()
        self.agenda = []
        self.nodes, self.due = [None] * plan.nodes, [FAR] * plan.nodes
        for i in range(plan.nodes):
            self.begin(i)

    def terms(self, rate=1.0):
        plan, age = self.plan, self.world.staleness(self.plan.cache_ttl)
        return Terms(plan.nodes, rate, age, "sum", plan.flush, plan.refresh, plan.cache_ttl, plan.skew, True)

    def begin(self, i):
        """Node i begins, anew."""
        plan, skew = self.plan, round(self.plan.skews[i] * SECOND)
        store = KVStore(
            self.world.namespace("limits", plan.places[i]),
            nodes=plan.nodes,
            arrival_rate=self.rate,
            cache_age=self.world.staleness(plan.cache_ttl),
            mode=plan.mode,
            flush=plan.flush,
            refresh=plan.refresh,
            cache_ttl=plan.cache_ttl,
            clock_skew=plan.skew,
            force=True,
            clock=lambda: self.clock() + skew,
            seed=next(self.lives) + 1000 * plan.seed,
        )
        self.nodes[i] = store, Limiter(self.limit, store=store, name=f"world {plan.seed}").hit, skew
        self.due[i] = FAR
        self.wake(i, store)

    def wake(self, i, store):
        """Let a node tick when it is due, and not only when it was."""
        due = self.clock() + max(1, round(store.next_tick() * SECOND))
        if due < self.due[i]:
            self.due[i] = due
            heapq.heappush(self.agenda, (due, i))

    def run_until(self, at):
        """Let every tick happen that is due until an instant."""
        while self.agenda and self.agenda[0][0] <= at:
            due, i = heapq.heappop(self.agenda)
            if self.nodes[i] is not None and due == self.due[i]:
                self.clock.advance_us(due - self.clock())
                store, self.due[i] = self.nodes[i][0], FAR
                store.tick()
                self.wake(i, store)
        self.clock.advance_us(at - self.clock())

    def end(self, i, clean):
        """Node i ends, and says so or not."""
        if clean and self.nodes[i] is not None:
            self.nodes[i][0].close()
        self.nodes[i] = None

    def run(self):
        plan, told = self.plan, self.told
        moments = [(round(at * SECOND), 0, i, clean) for at, i, _, clean in plan.restarts]
        moments += [(round((at + gone) * SECOND), 1, i, clean) for at, i, gone, clean in plan.restarts]
        hits = ((at, 2, i, None) for at, i in zip(self.times, self.whom, strict=True))
        for at, what, i, clean in heapq.merge(sorted(moments, key=lambda one: one[:2]), hits, key=lambda one: one[:2]):
            self.run_until(plan.start + at)
            if what == 0:
                self.end(i, clean)
            elif what == 1:
                self.begin(i)
            elif self.nodes[i] is not None:
                self.hit(i)
        return told

    def hit(self, i):
        store, hit, skew = self.nodes[i]
        decision, told, now = hit("hot"), self.told, self.clock()
        if decision:
            self.wake(i, store)
        period, over = self.limit.period, decision.max_over
        told.hits += 1
        told.trouble += decision.degraded
        for window in (("true", now // period), ("own", (now + skew) // period)):
            told.admitted[window] += decision.allowed
            if over is None:
                told.nones += 1
            else:
                told.reported[window] = max(told.reported.get(window, 0), over)


def textbook(plan):
    """The same arrivals on a plain bucket: admitted per window."""
    clock = ManualClock(start=plan.start)
    world = World(seed=plan.seed, clock=clock, log=0, **plan.tiers)
    limit = Limit(plan.quota, per=plan.window, algorithm="fixed_window")
    hits = [
        Limiter(limit, store=PlainBucketKV(world.namespace("limits", place), clock=clock), name=f"textbook {plan.seed}").hit
        for place in plan.places
    ]
    admitted = Counter()
    for at, i in zip(*arrivals(plan), strict=True):
        clock.advance_us(plan.start + at - clock())
        admitted[clock() // limit.period] += bool(hits[i]("hot"))
    return admitted


def main():
    first, last = int(sys.argv[1]), int(sys.argv[2])
    worst, bad, began = 0.0, 0, time.perf_counter()
    for seed in range(first, last):
        one, start = plan(seed), time.perf_counter()
        told = Scene(one).run()
        over = told.over(one.quota)
        wrong = told.nones or any(most > bound for most, bound in over.values())
        most, bound = max(over.values(), key=lambda pair: pair[0] - pair[1], default=(0, 0))
        plainly = max(textbook(one).values(), default=0) / one.quota
        bad += bool(wrong)
        worst = max(worst, most / bound if bound else 0)
        print(  # noqa: T201
            f"{one} hits {told.hits:6d} degraded {told.trouble:5d} over {max((o for o, _ in over.values()), default=0):6d} "
            f"nearest {most:6d} <= {bound:6d} textbook {plainly:5.2f} x limit {time.perf_counter() - start:5.2f} s"
            f"{'  WRONG' if wrong else ''}",
            flush=True,
        )
    print(f"worlds {first} to {last - 1}: wrong {bad}, nearest to its bound {worst:.3f}, {time.perf_counter() - began:.0f} s")  # noqa: T201


if __name__ == "__main__":
    main()
