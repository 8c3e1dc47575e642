"""
Tables: the states of a memory store, bounded, and never forgiven. Not for two threads at once: the store's latch is held.

Keys are spread over small dicts, so that neither the growth of a dict nor the sweep of one stalls a hit: a new key pays for
looking at a few old ones. The first dict of a table is filled first, and found without a hash.

A stranger who comes when the store is full is found a bucket by the `spot` of what the caller gave, without the work of a canonical
form: that would only be needed to see whether it has a key of its own, and of the keys that are not what the caller gave
the spots are kept.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from ratekit.algorithms import Rule
from ratekit.decision import NEVER
from ratekit.errors import caution
from ratekit.stores.naming import LONG, Canonical, Space, spot

FIRST: Final = 1024
"""The most keys that the first dict takes."""
SHARD: Final = 512
"""Keys per other dict when the store is full, on average."""
OVERFLOW: Final = 1024
"""Buckets that identities share once the store is full, per limit."""
PACE: Final = 4
"""Old keys that each new key pays to look at."""
SHARED: Final = -1
"""In the place of a shard's number: the shared buckets."""


class Table:
    """The states of one space: small dicts, what each may expire first, the shared buckets, how many keys have which spot."""

    __slots__ = ("earliest", "expiry", "mask", "overflow", "period", "shards", "spots")

    def __init__(self, rule: Rule, size: int) -> None:
        self.shards: list[dict[Canonical, Any]] = [{} for _ in range(1 + size)]
        self.earliest = [NEVER] * (1 + size)
        self.mask = size - 1
        self.overflow: dict[int, Any] = {}
        self.spots: list[dict[int, int]] = [{} for _ in range(size)]
        self.expiry, self.period = rule.expiry, rule.limit.period

    def home(self, key: Canonical) -> int:
        """The number of the shard that holds a key, or would."""
        first = self.shards[0]
        if key in first:
            return 0
        other = 1 + (hash(key) & self.mask)
        return other if len(first) >= FIRST or key in self.shards[other] else 0

    def find(self, identity: Any, now: int) -> "Found | None":
        """
        What an identity spends from that is not held as the caller gave it: the key of an integer, or the live bucket of a stranger.

        None for who is new, or who may have a key of another form; None or a TypeError for what is no identity.
        """
        if type(identity) is int:
            identity = str(identity)
            states = self.shards[self.home(identity)]
            state = states.get(identity)
            if state is not None:
                return states, identity, state, "store"
        if not self.overflow:
            return None
        mark = spot(identity)
        bucket = mark % OVERFLOW
        state = self.overflow.get(bucket)
        if state is None or self.expiry(state) <= now:
            return None
        if (type(identity) is not str or len(identity) > LONG) and mark in self.spots[mark & self.mask]:
            return None
        return self.overflow, bucket, state, "overflow"

    def came(self, key: Canonical) -> None:
        """A key is held from now on."""
        if type(key) is not str:
            mark = spot(key)
            spots = self.spots[mark & self.mask]
            spots[mark] = spots.get(mark, 0) + 1

    def went(self, key: Canonical) -> None:
        """A key is held no longer."""
        if type(key) is not str:
            mark = spot(key)
            spots = self.spots[mark & self.mask]
            spots[mark] -= 1
            if not spots[mark]:
                del spots[mark]


Found = tuple[dict[Any, Any], Any, Any, str]
"""The dict and the key under which a state is, the state, and the source that a decision from it has."""


class Place(NamedTuple):
    """One identity's state: in which shard of which table, under which key, and what it is."""

    table: Table
    shard: int
    key: Any
    state: Any


class Tables:
    """All tables of one store, at most `max_keys` keys in them."""

    def __init__(self, max_keys: int) -> None:
        self.size = 0
        self._max_keys = max_keys
        self._tables: dict[Space, Table] = {}
        self._ring: list[tuple[Table, int]] = []
        self._hand = 0
        self._credit = 0
        self._warned = False

    def of(self, rule: Rule, space: Space) -> Table:
        """The table of a space."""
        table = self._tables.get(space)
        if table is None:
            size = 1 << ((self._max_keys - 1) // SHARD).bit_length()
            table = self._tables[space] = Table(rule, size)
            self._ring.extend((table, i) for i in range(1 + size))
        elif table.period < rule.limit.period:  # a named limit whose period grew: state counts for longer
            table.expiry, table.period = rule.expiry, rule.limit.period
        return table

    def place(self, table: Table, identity: Canonical, now: int) -> Place:
        """Where an identity's state is, or would be: under its own key, or in a bucket that it shares."""
        shard = table.home(identity)
        state = table.shards[shard].get(identity)
        if state is not None:
            return Place(table, shard, identity, state)
        bucket = spot(identity) % OVERFLOW
        shared = table.overflow.get(bucket)
        if shared is not None and table.expiry(shared) <= now:
            shared = None
            del table.overflow[bucket]
        if shared is None:
            self._sweep(now)
            if self.size < self._max_keys:
                return Place(table, table.home(identity), identity, None)
            self._warn()
        return Place(table, SHARED, bucket, shared)

    def save(self, place: Place, state: Any) -> None:
        """Keep a state; None is that of a fresh key."""
        table, shard, key, _ = place
        own = shard != SHARED
        states: dict[Any, Any] = table.shards[shard] if own else table.overflow
        if state is None:
            if states.pop(key, None) is not None and own:
                self.size -= 1
                table.went(key)
            return
        # What a place held may have been swept since, by another limit of the same hit.
        if own and key not in states:
            self.size += 1
            table.came(key)
            table.earliest[shard] = min(table.earliest[shard], table.expiry(state))
        states[key] = state

    def forget(self, spaces: Sequence[Space], identity: Canonical) -> None:
        """Make the keys of an identity as new; buckets that it shares with others stay as they are."""
        for table in filter(None, map(self._tables.get, spaces)):
            if table.shards[table.home(identity)].pop(identity, None) is not None:
                self.size -= 1
                table.went(identity)

    def clear(self) -> None:
        """Hold nothing."""
        for table in self._tables.values():
            for states in table.shards:
                states.clear()
            for spots in table.spots:
                spots.clear()
            table.overflow.clear()
            table.earliest[:] = [NEVER] * len(table.earliest)
        self.size = 0

    def _sweep(self, now: int) -> None:
        """Drop what equals a fresh key: at most one small dict at a time, and no more than new keys have paid for."""
        self._credit = min(self._credit + PACE, 2 * FIRST)
        for _ in range(min(PACE, len(self._ring))):
            table, shard = self._ring[self._hand % len(self._ring)]
            if table.earliest[shard] <= now:
                states = table.shards[shard]
                if self._credit < min(len(states), FIRST):
                    return
                self._credit -= min(len(states), FIRST)
                dead, earliest, expiry = [], NEVER, table.expiry
                for key, state in states.items():
                    end = expiry(state)
                    if end <= now:
                        dead.append(key)
                    elif end < earliest:
                        earliest = end
                for key in dead:
                    del states[key]
                    if type(key) is not str:  # a thousand calls for nothing would be a tenth of a millisecond
                        table.went(key)
                self.size -= len(dead)
                table.earliest[shard] = earliest
            self._hand += 1

    def _warn(self) -> None:
        if not self._warned:
            self._warned = True
            caution(
                f"the memory store holds its {self._max_keys} keys: new identities share {OVERFLOW} buckets per limit and may be "
                "refused early; give MemoryStore a larger max_keys, or keep the state in Redis",
            )
