"""
Linearizable: is there an order, one call after another, that explains what callers at the same time were told?

Pure: no store, no clock, no thread. The search is Wing and Gong's ("Testing and verifying concurrent objects", 1993): of the calls that
are left, one may come next if none of the others ended before it began. Lowe's addition ("Testing for linearizability", 2017): which
calls are done and the state after them, once tried in vain, is not tried again, however it was reached. And what only looks is put first wherever
it is right.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import NamedTuple

Answer = tuple[bool, int]
"""What a caller was told: whether it was admitted, and what remains."""


class Call(NamedTuple):
    """
    One call: when it began and ended by one clock for all callers, what was asked, how many units, and the answer.

    A call that was never answered (None) may have been done at any time since it began, or never.
    """

    began: int
    ended: int
    what: str
    cost: int
    answer: Answer | None


Rule = Callable[[Hashable, Call], Hashable | None]
"""The sequential rule: the state after a call, None where the rule would have answered otherwise."""


class Point(NamedTuple):
    """Where a search stands: the answered calls before `first` and those in `ahead` are done, of the unanswered ones `unsure`."""

    first: int
    ahead: frozenset[int]
    unsure: frozenset[int]
    state: Hashable


def order_of(calls: Sequence[Call], rule: Rule, start: Hashable) -> list[Call] | None:
    """
    An order that explains the answers, by a rule that begins in the state `start`; None where there is none.

    >>> both = [Call(0, 9, "hit", 1, (True, 0)), Call(1, 5, "hit", 1, (False, 0))]
    >>> [call.answer for call in order_of(both, quota(1), 0)]
    [(True, 0), (False, 0)]
    >>> order_of([both[0]._replace(began=6), both[1]], quota(1), 0) is None
    True
    """
    search = Search(calls, rule)
    path: list[Call] = []
    steps = [search.steps(Point(0, frozenset(), frozenset(), start))]
    tried: set[Point] = set()
    if not search.sure:
        return []
    while steps:
        call, point = next(steps[-1], (None, None))
        if call is None:
            steps.pop()
            if path:
                path.pop()
        elif point not in tried:
            tried.add(point)
            path.append(call)
            if point.first == len(search.sure):
                return path
            steps.append(search.steps(point))
    return None


class Search:
    """The calls of one history, in the order in which they began."""

    def __init__(self, calls: Sequence[Call], rule: Rule) -> None:
        self.sure = sorted(call for call in calls if call.answer is not None)
        self.unsure = sorted((call for call in calls if call.answer is None), key=lambda call: call.began)
        self.rule = rule

    def steps(self, point: Point) -> Iterator[tuple[Call, Point]]:
        """Every call that may come next, and where the search stands then."""
        indices, least = self.next_ones(point)
        fits = [(index, state) for index in indices if (state := self.rule(point.state, self.sure[index])) is not None]
        for index, state in fits:
            if reads(self.sure[index]):  # right as it stands, and without effect wherever else it were put: no need to try
                yield self.sure[index], self.after(point, index, state)
                return
        for index, state in fits:
            yield self.sure[index], self.after(point, index, state)
        offered: set[tuple[str, int]] = set()
        for index, call in enumerate(self.unsure):
            # Of unanswered calls that ask the same, the one that began first can be put wherever another can.
            if call.began <= least and index not in point.unsure and (call.what, call.cost) not in offered:
                offered.add((call.what, call.cost))
                state = self.rule(point.state, call)
                if state is not None and state != point.state:
                    yield call, point._replace(unsure=point.unsure | {index}, state=state)

    def after(self, point: Point, index: int, state: Hashable) -> Point:
        """Where the search stands when an answered call has been put next."""
        ahead, first = point.ahead | {index}, point.first
        while first in ahead:
            first += 1
        return Point(first, frozenset(i for i in ahead if i > first), point.unsure, state)

    def next_ones(self, point: Point) -> tuple[list[int], int]:
        """The answered calls that are left and began before any of them ended; and when the first of them ended."""
        found: list[int] = []
        least = self.sure[point.first].ended
        for index in range(point.first, len(self.sure)):
            call = self.sure[index]
            if call.began > least:  # so did all that come after it
                break
            if index not in point.ahead:
                found.append(index)
                least = min(least, call.ended)
        return [index for index in found if self.sure[index].began <= least], least


def quota(most: int) -> Rule:
    """
    The rule of every algorithm while no time passes: the state is what is spent of `most` units.

    "hit" spends what fits, "peek" asks whether it would, "give" and "force" settle a reservation, "reset" forgets, "refusal" is a hit
    that was refused and not told what remains.
    """

    def rule(spent: Hashable, call: Call) -> Hashable | None:
        assert isinstance(spent, int)
        what, cost, answer = call.what, call.cost, call.answer
        if what == "reset":
            return 0
        if what in ("give", "force"):
            fits, after = True, spent - cost if what == "give" else spent + cost
        else:
            fits = spent + cost <= most
            after = spent + cost if fits and what != "peek" else spent
        if what == "refusal":
            return None if fits else spent
        return after if answer is None or answer == (fits, max(0, most - after)) else None

    return rule


def reads(call: Call) -> bool:
    """Whether a call has no effect, whatever the state: a look, or a refusal."""
    return call.what in ("peek", "refusal") or (call.what == "hit" and call.answer is not None and not call.answer[0])


def overlaps(calls: Sequence[Call]) -> int:
    """How many calls began while an earlier one was under way: without any, nothing is proved."""
    found, latest = 0, -1
    for call in sorted(calls):
        found += call.began <= latest
        latest = max(latest, call.ended)
    return found
