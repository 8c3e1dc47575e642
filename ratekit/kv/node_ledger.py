"""
Ledger: what is as good as spent, by this node's own counts and by what it has heard of the others; and the answer to a hit. Pure.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from ratekit.algorithms import CHECK, FORCE, GIVE, SHADOW, SPEND
from ratekit.decision import NEVER, Seen
from ratekit.errors import caution
from ratekit.kv.node_counts import OVERFLOW, Counts
from ratekit.kv.node_peers import Peers
from ratekit.kv.node_shard import Tally, Window, digest
from ratekit.kv.node_terms import Terms
from ratekit.limit import Limit
from ratekit.stores.naming import Canonical, Space
from ratekit.stores.protocol import Ask

SECOND: Final = 1_000_000


class Place(NamedTuple):
    """Where one ask counts."""

    window: Window
    counts: Counts
    key: str


class Hit(NamedTuple):
    """What one hit came to: per limit what was seen and in which window; whether anything was counted, was filled, is shared."""

    seen: list[Seen]
    windows: list[Window]
    changed: bool
    full: bool
    shared: bool


class Ledger:
    """The windows of one node, and those of its peers beside them."""

    def __init__(self, terms: Terms, peers: Peers, max_keys: int) -> None:
        self._terms, self._peers, self._max_keys = terms, peers, max_keys
        self._keep = round(2 * terms.clock_skew * SECOND) + SECOND
        self._windows: dict[Window, Counts] = {}
        self._warned = False
        self.longest = 0
        """The longest period so far, in milliseconds."""
        self.pruned = 0
        """When windows that are over were looked for last."""

    def decide(self, asks: Sequence[Ask], now: int) -> Hit:
        """All-or-nothing over `asks`."""
        places = [self._place(ask, now) for ask in asks]
        used = [self._used(ask.rule.limit, place, now) for ask, place in zip(asks, places, strict=True)]
        fits = [some + ask.cost <= ask.rule.limit.quota for ask, some in zip(asks, used, strict=True)]
        admitted = all(fit or ask.mode not in (SPEND, CHECK) for ask, fit in zip(asks, fits, strict=True))
        seen: list[Seen] = []
        changed = full = False
        for ask, place, fit, some in zip(asks, places, fits, used, strict=True):
            if ask.mode == FORCE or (admitted and fit and ask.mode in (SPEND, SHADOW)):
                place.counts.charge(place.key, ask.cost)
                seen.append((True, some + ask.cost, place.window.end - now))
                changed, full = True, full or some + ask.cost >= ask.rule.limit.quota
            elif ask.mode == GIVE:
                seen.append(self._give(ask, place, now))
                changed = True
            else:
                seen.append(self._told(ask, place, fit, some, now))
        shared = any(place.key[0] == "~" for place in places)
        return Hit(seen, [place.window for place in places], changed, full, shared)

    def forget(self, spaces: Sequence[Space], identity: Canonical) -> bool:
        """Make keys as new in every window that is open; whether anything was known of them."""
        changed = False
        for key in (digest(space, identity) for space in spaces):
            for window, counts in self._windows.items():
                tallies = [tally for _, tally in self._peers.tallies(window)]
                if key in counts.spent or any(key in tally.units for tally in tallies):
                    counts.renew(key, max([counts.resets.get(key, 0), *(tally.resets.get(key, 0) for tally in tallies)]) + 1)
                    changed = True
        return changed

    def tallies(self, now: int) -> Mapping[Window, Tally]:
        """All of this node's windows, as the others are told."""
        rates = self._terms.mode == "extrapolate"
        return {window: counts.tally(now, rates=rates) for window, counts in self._windows.items()}

    def still(self, now: int) -> bool:
        """Whether rates were told that are nothing now."""
        return any(counts.still(now) for counts in self._windows.values())

    def prune(self, now: int) -> None:
        """Let go of windows that are over for everybody."""
        self.pruned, over = now, now - self._keep
        for window in [window for window in self._windows if window.end <= over]:
            del self._windows[window]
        self._peers.forget_before(over)

    def __len__(self) -> int:
        """The windows held."""
        return len(self._windows)

    def _place(self, ask: Ask, now: int) -> Place:
        period = ask.rule.limit.period_ms
        window = Window(period, now // (period * 1000))
        counts = self._windows.get(window)
        if counts is None:
            self.prune(now)
            self.longest = max(self.longest, period)
            counts = self._windows[window] = Counts(now, self._max_keys)
        key = counts.key(digest(ask.space, ask.identity))
        if key[0] == "~" and not self._warned:
            self._warn()
        return Place(window, counts, key)

    def _used(self, limit: Limit, place: Place, now: int) -> int:
        """Units of a key that are as good as spent: what this node counted, what it has heard, what it must keep clear of."""
        window, counts, key = place
        tallies = self._peers.tallies(window)
        if counts.resets or any(tally.resets for _, tally in tallies):
            resets = max([counts.resets.get(key, 0), *(tally.resets.get(key, 0) for _, tally in tallies)])
            if resets > counts.resets.get(key, 0):
                counts.renew(key, resets)
            tallies = tuple((peer, tally) for peer, tally in tallies if tally.resets.get(key, 0) == resets)
        terms = self._terms
        own = total = counts.spent.get(key, 0)
        if terms.mode == "extrapolate":
            for peer, (units, rates, _) in tallies:
                age = min(max(0, now - peer.written) / SECOND, terms.staleness)
                total += min(max(limit.quota, units.get(key, 0)), units.get(key, 0) + int(rates.get(key, 0.0) * age))
            return total
        for _, (units, _, _) in tallies:
            total += units.get(key, 0)
        kept = limit.quota - terms.ceiling(limit)
        return max(total, own + kept) if terms.shares(limit) else total + kept

    def _give(self, ask: Ask, place: Place, now: int) -> Seen:
        """Give back into the window that was charged, if it is still open."""
        if place.window.end == ask.mark[0] * 1000:
            place.counts.give(place.key, ask.cost)
        used = self._used(ask.rule.limit, place, now)
        return (True, used, place.window.end - now if used else 0)

    def _told(self, ask: Ask, place: Place, fit: bool, used: int, now: int) -> Seen:
        if not fit and ask.cost > self._terms.ceiling(ask.rule.limit):
            return (False, used, NEVER)  # no wait helps what a node may never admit
        return (fit, used, place.window.end - now if used else 0)

    def _warn(self) -> None:
        self._warned = True
        caution(
            f"a window holds its {self._max_keys} keys: new identities share {OVERFLOW} buckets and may be refused early; give KVStore "
            "a larger max_keys, or keep the state in Redis",
        )
