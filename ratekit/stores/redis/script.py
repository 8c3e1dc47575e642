"""
The script, and what goes into it and comes out: (asks) -> a packed hit; (packed hits) -> one command; (reply) -> what was seen.

Nothing in here talks to a server, so that threads, event loops and HTTP can share every line of it.

The script is assembled from the rules that a command needs and no others: Redis runs the definitions of a script anew at every
call, so a rule that is not asked for would cost each call a microsecond.
"""

import json
from collections.abc import Sequence
from functools import cache, lru_cache
from hashlib import sha1
from importlib import resources
from typing import Any, Final, NamedTuple

from ratekit.algorithms import ALGORITHMS, Mark, Rule
from ratekit.errors import StoreError
from ratekit.stores.protocol import Ask, Seens

Rules = frozenset[str]
"""The names of the rules that a script is to know."""


class Script(NamedTuple):
    """A script's text and its hash, as commands name them."""

    text: str
    sha: str


class Packed(NamedTuple):
    """One hit, ready to travel: its keys, its line of numbers, how many integers come back, and which rules it needs."""

    keys: tuple[str, ...]
    words: str
    width: int
    rules: Rules


@cache
def script_for(rules: Rules) -> Script:
    """The script that knows these rules."""
    here, twins = resources.files("ratekit.stores.redis"), resources.files("ratekit.algorithms")
    # Each rule in a block of its own, so that its locals are its own.
    blocks = [f"do\n{(twins / f'{name}.lua').read_text('utf-8')}end" for name in ALGORITHMS if name in rules]
    text = "\n".join([(here / "prelude.lua").read_text("utf-8"), *blocks, (here / "hit.lua").read_text("utf-8")])
    return Script(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


NOTHING: Final = Packed((), "", 0, frozenset())


@lru_cache(maxsize=4096)
def _words(asked: tuple[tuple[Rule, int, int, Mark], ...]) -> tuple[str, int, Rules]:
    rows: list[list[Any]] = [[rule.limit.algorithm, mode, *mark, *rule.arguments(cost)] for rule, mode, cost, mark in asked]
    width = sum(1 + rule.width for rule, _, _, _ in asked)
    return json.dumps(rows, separators=(",", ":")), width, frozenset(rule.limit.algorithm for rule, _, _, _ in asked)


def packed(asks: Sequence[Ask]) -> Packed:
    """A hit, packed."""
    words, width, rules = _words(tuple((ask.rule, ask.mode, ask.cost, ask.mark) for ask in asks))
    return Packed(tuple(ask.space.key(ask.identity) for ask in asks), words, width, rules)


def arguments(hits: Sequence[Packed], now: int | None) -> list[str]:
    """What follows the script or its hash: the number of keys, the keys, the clock and one line per hit."""
    keys = [key for hit in hits for key in hit.keys]
    return [str(len(keys)), *keys, "" if now is None else str(now), *(hit.words for hit in hits)]


def checked(hits: Sequence[Packed], reply: object) -> list[int]:
    """The reply; raises StoreError where it is not one of this script's."""
    expected = 1 + sum(hit.width for hit in hits)
    if not isinstance(reply, list) or len(reply) != expected or set(map(type, reply)) != {int}:
        raise StoreError(f"the server's reply {str(reply)[:100]!r} is not one of ratekit's script: {expected} integers")
    return reply


def seens(asks: Sequence[Ask], reply: Sequence[int], at: int) -> Seens:
    """What was seen of one hit: its integers begin at `at`."""
    seen = []
    for ask in asks:
        end = at + 1 + ask.rule.width
        seen.append(tuple(reply[at:end]))
        at = end
    return Seens(reply[0], seen)
