"""
The script, and what goes into it and comes out: (asks) -> a parcel; (parcels) -> the words of one command; (reply) -> what was seen.

Nothing in here talks to a server, so that threads, event loops and HTTP can share every line of it.

The script is assembled from the rules that a command needs and no others: Redis runs the definitions of a script anew at every
call, so a rule that is not asked for would cost each call a microsecond.
"""

import json
from collections.abc import Sequence
from functools import cache, lru_cache
from hashlib import sha1
from importlib import resources
from typing import Final, NamedTuple

from ratekit.algorithms import ALGORITHMS, Mark, Rule
from ratekit.decision import Decision, decide
from ratekit.errors import StoreError
from ratekit.stores.naming import Canonical, Plan, escaped
from ratekit.stores.protocol import Ask, Seens

Rules = frozenset[str]
"""The names of the rules that a script is to know."""


class Script(NamedTuple):
    """A script's text and its hash, as commands name them."""

    text: str
    sha: str


class Label(NamedTuple):
    """What a hit says besides its keys: its line of numbers, how many keys and integers it takes, which rules it needs."""

    line: str
    keys: int
    width: int
    rules: Rules


Parcel = tuple[Sequence[str], Label]
"""One hit, ready to travel: its keys and its label."""


@cache
def script_for(rules: Rules) -> Script:
    """The script that knows these rules."""
    here, twins = resources.files("ratekit.stores.redis"), resources.files("ratekit.algorithms")
    # Each rule in a block of its own, so that its locals are its own.
    blocks = [f"do\n{(twins / f'{name}.lua').read_text('utf-8')}end" for name in ALGORITHMS if name in rules]
    text = "\n".join([(here / "prelude.lua").read_text("utf-8"), *blocks, (here / "hit.lua").read_text("utf-8")])
    return Script(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


@lru_cache(maxsize=4096)
def label_of(asked: tuple[tuple[Rule, int, int, Mark], ...]) -> Label:
    """The label of a hit, from the rule, mode, cost and mark of each of its limits."""
    rows = [[rule.limit.algorithm, mode, *mark, *rule.arguments(cost)] for rule, mode, cost, mark in asked]
    width = sum(1 + rule.width for rule, _, _, _ in asked)
    rules = frozenset(rule.limit.algorithm for rule, _, _, _ in asked)
    return Label(json.dumps(rows, separators=(",", ":")), len(rows), width, rules)


NOTHING: Final[Parcel] = ((), Label("", 0, 0, frozenset()))


def packed(asks: Sequence[Ask]) -> Parcel:
    """A hit as a parcel."""
    if not asks:
        return NOTHING
    keys = [ask.space.key(ask.identity) for ask in asks]
    return keys, label_of(tuple([(ask.rule, ask.mode, ask.cost, ask.mark) for ask in asks]))


def words(parcels: Sequence[Parcel], script: Script, now: int | None, *, whole: bool) -> list[str]:
    """One command for all parcels, by the script's hash or by its `whole` text; `now` is microseconds, None the server's clock."""
    keys = [key for keys, _ in parcels for key in keys]
    head = ("EVAL", script.text) if whole else ("EVALSHA", script.sha)
    return [*head, str(len(keys)), *keys, "" if now is None else str(now), *[label.line for _, label in parcels if label.line]]


def checked(parcels: Sequence[Parcel], reply: object) -> list[int]:
    """The reply; raises StoreError where it is not one of this script's."""
    expected = 1 + sum([label.width for _, label in parcels])
    if not isinstance(reply, list) or len(reply) != expected or set(map(type, reply)) != {int}:
        raise StoreError(f"the server's reply {str(reply)[:100]!r} is not one of ratekit's script: {expected} integers", "server")
    return reply


def seens(asks: Sequence[Ask], reply: Sequence[int], at: int) -> Seens:
    """What was seen of one hit: its integers begin at `at`."""
    seen = []
    for ask in asks:
        end = at + 1 + ask.rule.width
        seen.append(tuple(reply[at:end]))
        at = end
    return Seens(reply[0], seen)


class Route:
    """A limiter's plan, compiled for the wire: what is the same for each of its hits is made once."""

    __slots__ = ("_ends", "_labels", "_plan", "_rows")

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._ends = [(space.head, space.tail) for _, space in plan]
        self._rows = [(rule.limit, rule.read, 1 + rule.width) for rule, _ in plan]
        self._labels: dict[tuple[int, int], Label] = {}

    def parcel(self, identity: Canonical, cost: int, mode: int) -> Parcel:
        """A hit on every limit of the plan."""
        label = self._labels.get((cost, mode))
        if label is None:
            label = label_of(tuple([(rule, mode, cost, (0, 0)) for rule, _ in self._plan]))
            if len(self._labels) < 1000:
                self._labels[cost, mode] = label
        name = escaped(identity)
        return [f"{head}{name}{tail}" for head, tail in self._ends], label

    def decision(self, reply: Sequence[int], at: int, cost: int) -> Decision:
        """The decision in a reply, whose integers begin at `at`."""
        parts = []
        for limit, read, width in self._rows:
            seen = tuple(reply[at : at + width])
            parts.append(Decision((seen[0] == 1, limit, read, cost, seen, "store", False, 0, ())))
            at += width
        return decide(parts)
