"""
Node: one of the processes that keep a limit together on a store which shows them each other's counts late. Pure: no clock, no I/O,
no lock. `now` is microseconds since the epoch.

A hit is decided at once from what this node has counted, exactly, and what it has heard of the others. The rest is steps: ask
`step` what is to be done, do that one call, and say how it ended with `done` or `failed`. A node writes one shard, under a name that
is its own and new, and reads those of the others, never its own: its own counts are here.

    ratekit:shard:7f3c…    ->    what node 7f3c… has counted, all keys in one value (see `node_shard`)
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from ratekit.errors import StoreError
from ratekit.guard import Fault, Health
from ratekit.kv.node_duties import NEVER as NO_TIME
from ratekit.kv.node_duties import SECOND, Reading, Writing
from ratekit.kv.node_ledger import Ledger
from ratekit.kv.node_peers import Peers
from ratekit.kv.node_shard import Shard, Window, pack, unpack
from ratekit.kv.node_terms import State, Terms
from ratekit.limit import Limit
from ratekit.stores.naming import Canonical, Space
from ratekit.stores.protocol import Ask, Seens

BACKWARDS: Final = 60 * SECOND
"""A clock that is set back by no more stands still until it has caught up; beyond, the new time is believed."""
PRUNING: Final = 30 * SECOND
"""Between two looks for windows that are over, when no new one begins."""


class Step(NamedTuple):
    """
    One call to a namespace: `method`, with what `arguments` makes and `options`. `heard` reads the answer; it raises StoreError.
    Both take time where there are many keys, and need no lock.
    """

    method: str
    arguments: Callable[[], tuple[Any, ...]]
    options: Mapping[str, Any]
    heard: Callable[[Any], Any]


class Node:
    """
    One node. `name` is new for every process; `prefix` is what the names of all nodes begin with.

    >>> node = Node(Terms(nodes=1, arrival_rate=5.0), name="a", prefix="docs:", now=0, dice=random.Random(1))
    >>> [step.method for step in iter(lambda: node.step(0), None) if node.done(step, ([], None), 0) is None]
    ['list', 'put']
    """

    def __init__(self, terms: Terms, *, name: str, prefix: str, now: int, dice: random.Random, max_keys: int = 100_000) -> None:
        self.terms, self.prefix, self.key = terms, prefix, prefix + name
        self._name, self._started, self._latest = name, now, now
        self._finding = round(terms.finding * SECOND)
        self._number = 0
        self._peers = Peers(self.key)
        self._ledger = Ledger(terms, self._peers, max_keys)
        self._writing, self._reading = Writing(terms, now, dice), Reading(terms, now, dice)
        self._under_way: Step | None = None
        self._overs: dict[tuple[Limit, State, int, bool], int | None] = {}

    # Deciding.

    def decide(self, asks: Sequence[Ask], now: int) -> Seens:
        """One hit: all-or-nothing over `asks`. Nothing that is wrong with the store shows here but in `max_over` and `degraded`."""
        now = self._at(now)
        seen, windows, changed, full, shared = self._ledger.decide(asks, now)
        if changed:
            self._writing.changed(now)
            if full:
                self._writing.hurry(now)
        state = self._state(now)
        overs = tuple(self._over(ask.rule.limit, window, state) for ask, window in zip(asks, windows, strict=True))
        return Seens(now, seen, "overflow" if shared else "store", state == "faulty", overs)

    def forget(self, spaces: Sequence[Space], identity: Canonical, now: int) -> None:
        """
        Make keys as new in every window that is open. The others hear of it as late as of everything else; until then they go on
        by what they know, and what they admit in between is forgotten with the rest.
        """
        now = self._at(now)
        if self._ledger.forget(spaces, identity):
            self._writing.changed(now)

    def _state(self, now: int) -> State:
        if self._reading.good is None:
            return "blind"
        self._writing.check(now)
        self._reading.check(now)
        return "faulty" if self._writing.line.faulty(now) or self._reading.line.faulty(now) else "well"

    def _over(self, limit: Limit, window: Window, state: State) -> int | None:
        nodes = self.terms.nodes
        if nodes is None:
            return None
        restarts = max(0, self._peers.met(window) + 1 - nodes)
        if window.start <= self._started and self._latest < self._started + self._finding:
            restarts += 1  # perhaps this node itself replaces one that it cannot know of yet
        question = (limit, state, restarts, self._everybody())
        if question not in self._overs:
            self._overs[question] = self.terms.max_over(*question)
        return self._overs[question]

    # Hearing and being heard.

    def next_at(self) -> int:
        """When the next step is due, in microseconds since the epoch; far away while one is under way."""
        if self._under_way is not None:
            return NO_TIME
        return self._latest if self._reading.open else min(self._reading.at, self._writing.due())

    def step(self, now: int) -> Step | None:
        """What is to be done now, one call, or None. Then say how it ended before asking again."""
        now = self._at(now)
        if self._ledger.still(now):
            self._writing.changed(now)
        if now < self.next_at():
            return None
        if not self._reading.open and now >= self._reading.at:
            self._begin_round(now)
        if self._reading.open:
            self._under_way = self._listing() if self._reading.cursor is not None else self._look()
        elif now >= self._writing.due():
            self._under_way = self._write(now)
        return self._under_way

    def done(self, step: Step, heard: Any, now: int) -> None:
        """A step went well, and this is what `step.heard` made of the answer."""
        now, self._under_way = self._at(now), None
        if step.method == "put":
            self._writing.done(now, self._lives() * SECOND)
            return
        if step.method == "list":
            if self._reading.page(*heard):
                self._peers.found(self._reading.listed)
                self._reading.wants(self._peers.names)
        else:
            for name, (value, shard) in heard.items():
                self._peers.hear(name, value, shard)
            self._reading.left = self._reading.left[1:]
        if self._reading.cursor is None and not self._reading.left:
            self._reading.finish(now)

    def failed(self, step: Step, error: StoreError, now: int) -> None:
        """A step came to nothing. What was to be said will be said with the next write: shards hold whole counts."""
        now, self._under_way = self._at(now), None
        (self._writing if step.method == "put" else self._reading).failed(now, error)

    def hurry(self, now: int) -> None:
        """Let the next write be due as soon as the store allows."""
        self._writing.hurry(self._at(now))

    def unsaid(self) -> bool:
        """Whether there is anything that the others were not told."""
        return self._writing.unsaid is not None and bool(self._number or len(self._ledger))

    def health(self, now: int) -> Health:
        """How things stand: "open" while this node does not hear or is not heard; `staleness` is of what it knows now."""
        now = self._at(now)
        self._state(now)
        lines = (self._writing.line, self._reading.line)
        bad = [line for line in lines if line.bad]
        since = max(line.since for line in bad or lines)
        good = self._reading.good
        terms = self.terms
        stale = float("inf") if good is None else (now - good) / SECOND + terms.cache_age + terms.writing + 0.5
        return Health(
            "open" if bad else "closed",
            (now - since) / SECOND,
            Fault(bad[0].fault) if bad else None,
            sum(line.times for line in lines),
            sum(line.changes for line in lines),
            0,
            None,
            0,
            stale,
        )

    def _begin_round(self, now: int) -> None:
        if now >= self._ledger.pruned + PRUNING:
            self._ledger.prune(now)
        self._reading.begin(now, everybody=self._everybody())
        self._reading.wants(self._peers.names)
        if self._reading.cursor is None and not self._reading.left:
            self._reading.finish(now)

    def _listing(self) -> Step:
        cursor = self._reading.cursor
        return Step("list", tuple, {"prefix": self.prefix, "cursor": cursor}, _names)

    def _look(self) -> Step:
        names, peers = self._reading.left[0], self._peers

        def heard(values: Mapping[str, bytes | None]) -> dict[str, tuple[bytes, Shard]]:
            return {name: (value, unpack(value)) for name, value in peers.news(values).items()}

        return Step("get_many", lambda: (list(names),), {"cache_ttl": self.terms.cache_ttl}, heard)

    def _write(self, now: int) -> Step:
        self._number += 1
        shard = Shard(self._name, self._started, now, self._number, self._ledger.tallies(now))
        self._writing.begun(now)
        return Step("put", lambda: (self.key, pack(shard)), {"expiration_ttl": self._lives()}, lambda _: None)

    def _lives(self) -> int:
        """Seconds that a shard is to be found: until the windows it speaks of are over for everybody."""
        return round(self._ledger.longest / 1000 + self.terms.staleness + 2 * self.terms.clock_skew) + 120

    def _everybody(self) -> bool:
        """Whether as many others are found as there should be."""
        return self.terms.nodes is None or len(self._peers.names) >= self.terms.nodes - 1

    def _at(self, now: int) -> int:
        """The time, which does not go back by a little."""
        if now < self._latest - BACKWARDS:
            for line in (self._writing.line, self._reading.line):
                line.failed(now, "late")
            self._writing.at = self._reading.at = now
        elif now < self._latest:
            return self._latest
        self._latest = now
        return now


def _names(page: Any) -> tuple[list[str], str | None]:
    return [key.name for key in page.keys], None if page.complete else page.cursor
