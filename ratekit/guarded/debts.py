"""
Debts: what this process admitted while a remote store was away, kept until it can be charged there. Pure: no I/O, no clock, no lock.

A hit that was decided here because the store was known to be away was certainly not counted there. It is noted per key, with the
instant at which it was admitted and the window that it was admitted in, and given out once, by `take`: what happened to it then is not
asked, because what may have been charged is never charged again. A hit whose trip failed may have been counted; it is not noted.

Instants are kept to a sixteenth of the period (of limits up to 16 exactly), each a first one: what is merged leaves no later than it
would have. At most KEYS keys are noted, the first that come; the units of others are `dropped`.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from ratekit.algorithms import CHECK, FORCE, GIVE, MERGE, SHADOW, SPEND, Mark, Rule
from ratekit.stores.naming import Canonical, Space
from ratekit.stores.protocol import Ask, Seens

KEYS: Final = 10_000
"""Keys that are noted at most: as many as the last known states that an outage may begin from."""
POINTS: Final = 16
"""Into how many parts of a period instants are kept apart; a key never has more than twice as many."""
TOGETHER: Final = 100
"""Charges in one trip: half a millisecond of a server's time, that requests may have to wait for."""


class Point:
    """Units that were admitted from `at` on, and where they are to be charged. Times by this process's clock."""

    __slots__ = ("at", "cost", "mark")

    def __init__(self, cost: int, at: int, mark: Mark) -> None:
        self.cost, self.at, self.mark = cost, at, mark


class Debt:
    """What is owed on one key."""

    __slots__ = ("_chain", "points", "rule")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.points: list[Point] = []
        self._chain: Mark = (0, 0)

    def add(self, cost: int, now: int, mark: Mark, *, own: bool = True) -> int:
        """
        A charge at `now`, to be merged at `mark`; if that is not of a state of the limit's `own`, then where these charges alone queue
        up. How many units were let go that no longer count.
        """
        points = self.points
        if not own and (alone := self.rule.after(max(self._chain, (now, 0)), cost)) is not None:
            mark = self._chain = alone
        if points and self._joins(points[-1], cost, now, mark):
            return 0
        gone = self.drop(now) if len(points) >= 2 * POINTS else 0
        if len(self.points) < 2 * POINTS:
            self.points.append(Point(cost, now, mark))
        else:  # forced, or idle in between again and again: it leaves with those before
            self.points[-1].cost += cost
        return gone

    def drop(self, now: int) -> int:
        """Let go of what no longer counts: how many units that were."""
        gone = sum([point.cost for point in self.points if self.rule.is_over(point.mark, now)])
        if gone:
            self.points = [point for point in self.points if not self.rule.is_over(point.mark, now)]
        return gone

    def give(self, cost: int, mark: Mark) -> None:
        """Units that were given back of a charge here; `mark` as in `Rule.give`."""
        for i in range(len(self.points) - 1, -1, -1):
            point = self.points[i]
            if not self.rule.holds(point.mark, point.cost, mark):
                continue
            back = min(cost, point.cost)
            point.cost -= back
            cost -= back
            self._chain = self.rule.after(self._chain, -back) or self._chain
            for later in self.points[i:]:
                later.mark = self.rule.after(later.mark, -back) or later.mark
            if not cost:
                break
        self.points = [point for point in self.points if point.cost]

    def _joins(self, last: Point, cost: int, now: int, mark: Mark) -> bool:
        """Take a charge into the last point, if one mark says enough of both."""
        limit, after = self.rule.limit, self.rule.after(last.mark, cost)
        cell = 1 if limit.quota <= POINTS else limit.period // POINTS
        if after == mark:  # without a rest, so that together they end where the later one does
            last.mark = mark
        elif after is not None or now - last.at >= cell or mark[1] != last.mark[1]:
            return False
        last.cost += cost
        return True


class Debts:
    """
    What is owed to one store.

    >>> from ratekit import Limit
    >>> from ratekit.algorithms import SPEND
    >>> from ratekit.stores import MemoryStore
    >>> from ratekit.stores.naming import plan_of
    >>> from ratekit.stores.protocol import asks_of
    >>> asks = asks_of(plan_of([Limit(5, per=60)], prefix="ratekit", name="docs"), "user:42", 2, SPEND)
    >>> debts = Debts()
    >>> debts.note(asks, asks, MemoryStore(clock=lambda: 1_000_000).decide(asks))
    >>> [(ask.identity, ask.cost, ask.mark) for ask in debts.take(now=2_000_000, shift=5)]
    [('user:42', 2, (1000005, 0))]
    >>> debts.take(now=2_000_000, shift=5)
    []
    """

    def __init__(self, keys: int = KEYS) -> None:
        self._keys = keys
        self._debts: dict[tuple[Space, Canonical], Debt] = {}
        self._windows: dict[tuple[Space, Canonical], Mark] = {}
        self.out = self.merged = self.lost = self.dropped = 0
        """
        Units: given out, and not heard of yet; charged into the store; given out and perhaps never charged; never noted, or over before
        the store was back.
        """

    def __len__(self) -> int:
        """The keys on which something is owed."""
        return len(self._debts)

    def seeded(self, ask: Ask, answer: Seens) -> None:
        """A process goes on from what the store had, and sees that now: where it is a window, it is remembered to be the store's."""
        if ask.rule.ends_at_once and answer.source != "overflow":
            place = ask.space, ask.identity
            self._windows.pop(place, None)
            if len(self._windows) >= self._keys:
                del self._windows[next(iter(self._windows))]
            self._windows[place] = ask.rule.mark(answer.now, answer.seen[0])

    def note(self, asks: Sequence[Ask], decided: Sequence[Ask], answer: Seens) -> None:
        """Note what a hit charged here: `asks` as the store would have been asked, `decided` as this process's memory was."""
        pairs = list(zip(asks, decided, answer.seen, strict=True))
        admitted = all(seen[0] or ask.mode not in (SPEND, CHECK) for ask, _, seen in pairs)
        for ask, mine, seen in pairs:
            if ask.mode == FORCE or (admitted and seen[0] and ask.mode in (SPEND, SHADOW)):
                # A token bucket of another rate, or one that is shared with others, says nothing of these charges alone.
                own = mine.rule is ask.rule and answer.source != "overflow"
                debt = self._of(ask, answer.now)
                if debt is None:
                    self.dropped += ask.cost
                else:
                    known = self._windows.get((ask.space, ask.identity))
                    mark = mine.rule.merge_mark(answer.now, seen, known)
                    self.dropped += debt.add(ask.cost, answer.now, mark, own=own)
            elif ask.mode == GIVE and (owed := self._debts.get((ask.space, ask.identity))) is not None:
                owed.give(ask.cost, ask.mark)
                if not owed.points:
                    del self._debts[ask.space, ask.identity]

    def take(self, now: int, shift: int, most: int = TOGETHER) -> list[Ask]:
        """
        The next charges to be made in the store, whose clock is `shift` ahead of this one: given out, and no longer known. All of a
        key's at once, so a few more than `most` perhaps.
        """
        asks: list[Ask] = []
        while self._debts and len(asks) < most:
            (space, identity), debt = next(iter(self._debts.items()))
            del self._debts[space, identity]
            self.dropped += debt.drop(now)
            rule = debt.rule
            asks += [Ask(rule, space, identity, MERGE, point.cost, rule.moved(point.mark, shift)) for point in debt.points]
        self.out += sum([ask.cost for ask in asks])
        return asks

    def heard(self, asks: Sequence[Ask], *, paid: bool) -> None:
        """How it ended: the store has been charged; or it may have been or not, and is not charged again."""
        units = sum([ask.cost for ask in asks])
        self.out -= units
        if paid:
            self.merged += units
        else:
            self.lost += units

    def forget(self, spaces: Iterable[Space], identity: Canonical) -> None:
        """Nothing is owed any more by an identity that was reset."""
        for space in spaces:
            self._debts.pop((space, identity), None)
            self._windows.pop((space, identity), None)

    def clear(self) -> None:
        """Owe nothing: in a forked child, whose parent owes it."""
        self._debts.clear()
        self._windows.clear()

    def _of(self, ask: Ask, now: int) -> Debt | None:
        debt = self._debts.get((ask.space, ask.identity))
        if debt is None:
            if len(self._debts) >= self._keys and not self._room(now):
                return None
            debt = self._debts[ask.space, ask.identity] = Debt(ask.rule)
        debt.rule = ask.rule
        return debt

    def _room(self, now: int) -> bool:
        """Whether the key that is noted longest is over by now, and let go."""
        key, debt = next(iter(self._debts.items()))
        self.dropped += debt.drop(now)
        if not debt.points:
            del self._debts[key]
        return not debt.points
