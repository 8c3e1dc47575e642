"""
What goes into the script and comes out: (asks) -> a parcel; (parcels) -> the words of one command; (reply) -> what was seen.

Nothing in here talks to a server, so that threads, event loops and HTTP can share every line of it.
"""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import groupby, repeat
from typing import Any, Final, NamedTuple

from ratekit.algorithms import MERGE, SPEND, Mark, Rule
from ratekit.decision import Decision, Read, Seen, decide
from ratekit.errors import StoreError
from ratekit.limit import Limit
from ratekit.stores.counting import Command
from ratekit.stores.naming import Canonical, Plan, escaped
from ratekit.stores.protocol import Ask, Seens
from ratekit.stores.redis.lua import Rules, Script

_make: Final[Callable[[type[Decision], tuple[Any, ...]], Decision]] = tuple.__new__

_ONE: Final = 1
INTEGERS: Final = frozenset((int,))
LISTS: Final = frozenset((int, list))

COUNT: Final = 6
"""Where a hit says its mode: this is no hit but a counter's command."""

MOST_TOGETHER: Final = 512
"""Hits in one command, so that none keeps the server from others for long."""

Clock = Callable[[], int]
"""Microseconds since 1970, for tests."""


class Fact(NamedTuple):
    """What of one limit's answer is known before it comes: whose it is, how it is read, the cost, how many integers it takes."""

    limit: Limit
    read: Read
    cost: int
    width: int


class Label(NamedTuple):
    """
    What a hit says besides its keys: its line of numbers, how many keys and integers it takes, which rules it needs. A counter's
    command `counts`, and may answer with lists.
    """

    line: str
    keys: int
    width: int
    rules: Rules
    facts: tuple[Fact, ...]
    counts: bool = False
    lists: bool = False


Parcel = tuple[Sequence[str], Label]
"""One hit, ready to travel: its keys and its label."""


@lru_cache(maxsize=4096)
def label_of(asked: tuple[tuple[Rule, int, int, Mark], ...]) -> Label:
    """The label of a hit, from the rule, mode, cost and mark of each of its limits."""
    rows = [[rule.limit.algorithm, mode, *mark, *rule.arguments(cost)] for rule, mode, cost, mark in asked]
    facts = tuple([Fact(rule.limit, rule.read, cost, 1 + rule.width) for rule, _, cost, _ in asked])
    rules = frozenset(rule.limit.algorithm for rule, _, _, _ in asked)
    return Label(json.dumps(rows, separators=(",", ":")), len(rows), sum([fact.width for fact in facts]), rules, facts)


@lru_cache(maxsize=4096)
def label_for(command: Command) -> Label:
    """The label of a counter's command."""
    line = json.dumps([[command.kind, COUNT, *command.words]], separators=(",", ":"))
    return Label(line, 1, command.width, frozenset((command.kind,)), (), counts=True, lists=command.lists)


NOTHING: Final = Label("[]", 0, 0, frozenset(), ())
"""The label of a hit on no limit at all."""


def dated(rule: Rule, clock: Clock | None) -> Rule:
    """
    A rule that goes by dates with those around now, by the clock that a test gave the store, else by this machine's: the store's own
    picks among them. Any other rule is itself.
    """
    if rule.dates is None:
        return rule
    return rule.dates.at(time.time_ns() // 1_000_000 if clock is None else clock() // 1000)


def packed(asks: Sequence[Ask], clock: Clock | None = None) -> Parcel:
    """A hit as a parcel."""
    if not asks:
        return (), NOTHING
    keys = [ask.space.key(ask.identity) for ask in asks]
    # No two merges say the same: to remember their labels would only push out others.
    label = label_of.__wrapped__ if asks[0].mode == MERGE else label_of
    return keys, label(tuple([(dated(ask.rule, clock), ask.mode, ask.cost, ask.mark) for ask in asks]))


def words(parcels: Sequence[Parcel], script: Script, now: int | None, *, whole: bool) -> list[str]:
    """One command for all parcels, by the script's hash or by its `whole` text; `now` is microseconds, None the server's clock."""
    if len(parcels) == 1:
        (keys, label) = parcels[0]
        return command([*keys], ((label, 1),), script, now, whole=whole)
    rows = [(label, len(list(run))) for label, run in groupby(label for _, label in parcels)]
    return command([key for keys, _ in parcels for key in keys], rows, script, now, whole=whole)


def command(keys: list[str], rows: Iterable[tuple[Label, int]], script: Script, now: int | None, *, whole: bool) -> list[str]:
    """The words of a command: all keys, and each label with how many hits in a row bear it."""
    head = ["EVAL", script.text] if whole else ["EVALSHA", script.sha]
    labels = [word for label, hits in rows for word in (label.line, str(hits))]
    return [*head, str(len(keys)), *keys, "" if now is None else str(now), *labels]


def checked(parcels: Sequence[Parcel], reply: object) -> list[int]:
    """The reply; raises StoreError where it is not one of this script's."""
    return sound(reply, width_of(parcels), lists=any(label.lists for _, label in parcels))


def width_of(parcels: Sequence[Parcel]) -> int:
    """How many integers of a reply are these hits'."""
    return sum([label.width for _, label in parcels])


def sound(reply: object, width: int, *, lists: bool = False) -> list[int]:
    """A reply that has so many integers besides the time, or `lists` among them; raises StoreError where it has not."""
    if not isinstance(reply, list) or len(reply) != 1 + width or not set(map(type, reply)) <= (LISTS if lists else INTEGERS):
        said = str(reply)[:100]
        raise StoreError(f"the server's reply {said!r} is not one of ratekit's script: {1 + width} integers", "server")
    return reply


def seens(asks: Sequence[Ask], reply: Sequence[int], at: int) -> Seens:
    """What was seen of one hit: its integers begin at `at`."""
    seen = []
    for ask in asks:
        end = at + 1 + ask.rule.width
        seen.append(tuple(reply[at:end]))
        at = end
    return Seens(reply[0], seen)


def decisions(label: Label, reply: Sequence[int], at: int, hits: int) -> list[Decision]:
    """The decisions on so many hits in a row that bear one label: their integers begin at `at`."""
    width, end = label.width, at + label.width * hits
    if hits == 1 and len(label.facts) == 1:
        limit, read, cost, _ = label.facts[0]
        return [_make(Decision, (reply[at] == 1, limit, read, cost, tuple(reply[at:end]), "store", False, 0, ()))]
    rows = zip(*[iter(reply[at:end])] * width, strict=True)  # the integers of one hit after the other's
    if len(label.facts) != 1:
        return [decide(_parts(label, row)) for row in rows]
    limit, read, cost, _ = label.facts[0]
    allowed = map(_ONE.__eq__, reply[at:end:width])
    # By C alone, from end to end: half of what a loop takes.
    items = zip(
        allowed,
        repeat(limit),
        repeat(read),
        repeat(cost),
        rows,
        repeat("store"),
        repeat(False),
        repeat(0),
        repeat(()),
        strict=False,
    )
    return list(map(_make, repeat(Decision), items))


def counts(label: Label, reply: Sequence[Any], at: int, many: int) -> list[Any]:
    """What a counter's commands in a row that bear one label answered: their items begin at `at`."""
    width, end = label.width, at + label.width * many
    return [*reply[at:end]] if width == 1 else [tuple(reply[i : i + width]) for i in range(at, end, width)]


def _parts(label: Label, row: Seen) -> list[Decision]:
    parts, at = [], 0
    for limit, read, cost, width in label.facts:
        seen = row[at : at + width]
        parts.append(_make(Decision, (seen[0] == 1, limit, read, cost, seen, "store", False, 0, ())))
        at += width
    return parts


class Route:
    """A limiter's plan, compiled for the wire: what is the same for each of its hits is made once."""

    __slots__ = ("_clock", "_ends", "_lasting", "_one", "_plan", "labels")

    def __init__(self, plan: Plan, clock: Clock | None = None) -> None:
        self._plan, self._clock = plan, clock
        self._lasting = all(rule.dates is None for rule, _ in plan)
        self._ends = [(space.head, space.tail) for _, space in plan]
        self._one = self._ends[0] if len(plan) == 1 else None
        self.labels: dict[tuple[int, int], Label] = {}

    def keys(self, identity: Canonical) -> list[str]:
        """The keys of an identity."""
        name = escaped(identity)
        if self._one is not None:
            head, tail = self._one
            return [f"{head}{name}{tail}"]
        return [f"{head}{name}{tail}" for head, tail in self._ends]

    def parcel(self, identity: Canonical, cost: int, mode: int) -> Parcel:
        """A hit on every limit of the plan."""
        return self.keys(identity), self.label(cost, mode)

    def decision(self, reply: Sequence[int], at: int, cost: int) -> Decision:
        """The decision in a reply, whose integers begin at `at`."""
        return decisions(self.label(cost, SPEND), reply, at, 1)[0]

    def label(self, cost: int, mode: int) -> Label:
        """The label of a hit on every limit of the plan."""
        label = self.labels.get((cost, mode))
        if label is None:
            label = label_of(tuple([(dated(rule, self._clock), mode, cost, (0, 0)) for rule, _ in self._plan]))
            if len(self.labels) < 1000 and self._lasting:
                self.labels[cost, mode] = label
        return label
