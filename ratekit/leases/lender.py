"""
Lender: the shares that this process holds, of every identity, and what there is to do about them. No I/O: whoever holds one is told
the time, asks the store what `jobs` say and hands in the answers.

Only what is asked for often is lent: HOT hits that the store admitted while a share would last. A share that was spent before its time
is followed by one twice as large, one that was not by one as large as what was spent of it. The next is asked for while a quarter is
left. What nobody has spent for a moment, or what is old, is given back.
"""

import os
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Final
from weakref import WeakSet

from ratekit.decision import Decision, decide
from ratekit.leases.leasing import LEAST, Terms, given_back, marked
from ratekit.leases.lent import Part, lent, more, part_of
from ratekit.stores.latch import Latch
from ratekit.stores.naming import Canonical
from ratekit.stores.protocol import Ask, Seens, decisions_of

HOT: Final = 4
"""Hits in a row by which an identity is worth a trip for more."""
MOST_KEYS: Final = 4_096
"""Identities that are lent something, or watched, at a time."""
LOW: Final = 4
"""The next share is asked for when this part of the last is left."""
TICKS: Final = 4
"""How often, in the time that a share lasts, it is looked at."""
FORGOTTEN: Final = 10_000_000
"""Microseconds after which an answer is not waited for: whoever waited is gone, with its event loop."""


class Share:
    """Units in hand: what is `left` of `size`, spent until `until`; `asks` and `answer` say where they were charged."""

    __slots__ = ("answer", "asks", "left", "size", "until")

    def __init__(self, size: int, until: int, asks: Sequence[Ask], answer: Seens) -> None:
        self.left = self.size = size
        self.until = until
        self.asks, self.answer = asks, answer


class Entry:
    """One identity: its shares, the units left of all, what the store last said of it, how much it would be lent next."""

    __slots__ = ("asked", "came", "latest", "left", "looked", "low", "parts", "rest", "shares", "size")

    def __init__(self, size: int, latest: Decision) -> None:
        self.shares: list[Share] = []
        self.left, self.looked, self.low = 0, -1, 0
        self.size, self.latest = size, latest
        self.asked = self.rest = self.came = 0
        self.parts: list[Part] = []


class Job:
    """A question to the store: a share of `size` for an entry, or units to give back (`entry` is None)."""

    __slots__ = ("asks", "entry", "identity", "size")

    def __init__(self, identity: Canonical, asks: Sequence[Ask], entry: Entry | None = None, size: int = 0) -> None:
        self.identity, self.asks, self.entry, self.size = identity, asks, entry, size


class Lender:
    """The shares of one plan in this process; threads may share it. Every instant is microseconds of one local clock."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.jobs: deque[Job] = deque()
        self.closed = False
        self._latch = Latch()
        self._entries: dict[Canonical, Entry] = {}
        self._warm: dict[Canonical, int] = {}
        self._warm_since = self._ticked = 0
        _LENDERS.add(self)

    def __len__(self) -> int:
        """The identities that are lent something, or were a moment ago."""
        return len(self._entries)

    def spend(self, identity: Canonical, cost: int, now: int) -> Decision | None:
        """The decision on a hit, when there is enough in hand."""
        entry = self._entries.get(identity)
        if entry is None:
            return None
        latch = self._latch
        try:
            latch.take()
        except IndexError:
            latch.wait()
        try:
            for share in entry.shares:
                if cost <= share.left and now < share.until:
                    share.left -= cost
                    entry.left = left = entry.left - cost
                    break
            else:
                self._want(identity, entry, cost, now)
                return None
            if left <= entry.low:
                self._want(identity, entry, cost, now)
        finally:
            latch.leave(None)
        return lent(entry.parts, cost, left, now - entry.came)

    def noted(self, identity: Canonical, decision: Decision, cost: int, now: int) -> None:
        """Take note of what became of a hit for which there was not enough in hand."""
        entry = self._entries.get(identity)
        if decision[0] and decision[5] == "store":
            if entry is not None:
                entry.latest = decision
            else:
                self._warmer(identity, decision, cost, now)
        elif entry is not None and entry.left and not decision[6]:  # what we hold may be what was missing
            self.forget(identity, give=True)

    def looked(self, identity: Canonical, decision: Decision, cost: int, now: int) -> Decision:
        """What the store says to a peek, and what is in hand beside it."""
        entry = self._entries.get(identity)
        if entry is None or not entry.left or decision[6]:
            return decision
        with self._latch:
            fits = any(cost <= share.left and now < share.until for share in entry.shares)
            left = sum(share.left for share in entry.shares if now < share.until)
        if fits and not decision:
            return lent(entry.parts, cost, left, now - entry.came)
        parts = tuple(more(part, left) for part in decision[8])
        return Decision((*more(decision, left)[:8], parts))

    def done(self, job: Job, answer: Seens, sent: int, came: int) -> Decision | None:
        """Take the answer to a job; of a share that was granted, the store's decision on it."""
        entry = job.entry
        if entry is None:
            return None
        parts = decisions_of(job.asks, answer)
        with self._latch:
            entry.asked = 0
            if answer.degraded or not all(parts):
                entry.rest, entry.size = came + self.terms.lasts // 2, max(LEAST, job.size // 2)
                return None
            share = Share(job.size, self.terms.until(sent, answer.seen), job.asks, answer)
            if self.closed or self._entries.get(job.identity) is not entry:  # forgotten meanwhile
                self._give(job.identity, share)
                return None
            told = [marked(part, self.terms.plan, self.terms.overs) for part in parts[:-1]]
            entry.latest = decide(told)
            entry.shares = [some for some in entry.shares if some.left] + [share]
            entry.left, entry.low, entry.came = entry.left + share.left, share.size // LOW, came
            entry.parts = [part_of(part) for part in ([entry.latest] if len(told) == 1 else [entry.latest, *told])]
            return entry.latest

    def failed(self, job: Job) -> None:
        """There is no answer to a job: what it charged, if it did, stays spent."""
        if job.entry is not None:
            job.entry.asked = 0

    def tick(self, now: int) -> None:
        """What is old, and what nobody has spent since the last tick, is to be given back; forget who is lent nothing."""
        with self._latch:
            if now - self._ticked < self.terms.lasts // TICKS:
                return
            self._ticked = now
            for identity, entry in [*self._entries.items()]:
                idle = entry.left == entry.looked
                for share in [share for share in entry.shares if idle or now >= share.until]:
                    entry.shares.remove(share)
                    entry.left -= share.left
                    entry.size = max(LEAST, share.size - share.left) if share.left else entry.size
                    self._give(identity, share)
                entry.looked = entry.left
                waits = entry.asked and now - entry.asked < FORGOTTEN
                if not entry.shares and not waits and now >= entry.rest:
                    del self._entries[identity]

    def forget(self, identity: Canonical, *, give: bool = False) -> None:
        """Spend no more of an identity's shares: they were wiped, or are to be given back."""
        with self._latch:
            entry = self._entries.pop(identity, None)
            if entry is not None and give:
                for share in entry.shares:
                    self._give(identity, share)

    def give_all(self) -> None:
        """All that is in hand is to be given back, and nothing is lent any more."""
        self.closed = True
        for _ in range(len(self.jobs)):  # what has not been asked for need not be
            with suppress(IndexError):
                job = self.jobs.popleft()
                if job.entry is None:
                    self.jobs.append(job)
        for identity in [*self._entries]:
            self.forget(identity, give=True)

    def emptied(self) -> None:
        """In a child that was forked: what is in hand is the parent's."""
        self._latch = Latch()
        self._entries, self._warm = {}, {}
        self.jobs.clear()

    def _warmer(self, identity: Canonical, decision: Decision, cost: int, now: int) -> None:
        with self._latch:
            if now - self._warm_since > self.terms.lasts or len(self._warm) >= MOST_KEYS:
                self._warm, self._warm_since = {}, now
            hits = self._warm[identity] = self._warm.get(identity, 0) + 1
            if hits < HOT or len(self._entries) >= MOST_KEYS or identity in self._entries:
                return
            del self._warm[identity]
            entry = self._entries[identity] = Entry(HOT * cost // 2, decision)
            self._want(identity, entry, cost, now)

    def _want(self, identity: Canonical, entry: Entry, cost: int, now: int) -> None:
        """Have the next share asked for, unless it has been, or it would be in vain. Inside the latch."""
        if self.closed or now < entry.rest or (entry.asked and now - entry.asked < FORGOTTEN):
            return
        entry.size = min(self.terms.most, max(2 * entry.size, LOW * cost))
        units = self.terms.units(entry.size, entry.latest.figures.remaining)
        if units < cost:
            entry.rest = now + self.terms.lasts // 2
            return
        entry.asked = now
        self.jobs.append(Job(identity, self.terms.asks(identity, units), entry, units))

    def _give(self, identity: Canonical, share: Share) -> None:
        # Taken out of the hand before it is sent: whether that arrives or not, nobody spends it here.
        units, share.left = share.left, 0
        if units:
            self.jobs.append(Job(identity, given_back(share.asks, share.answer, units)))


_LENDERS: Final[WeakSet[Lender]] = WeakSet()


def _in_child() -> None:
    for lender in _LENDERS:
        lender.emptied()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
