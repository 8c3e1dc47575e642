"""
The one script, and what goes into it and comes out: (asks) -> keys and arguments; (reply) -> what the rules saw.

Nothing in here talks to a server, so that threads, event loops and HTTP can share every line of it.
"""

from collections.abc import Sequence
from hashlib import sha1
from importlib import resources
from typing import Final

from ratekit.algorithms import ALGORITHMS
from ratekit.errors import StoreError
from ratekit.stores.protocol import Ask, Seens


def _assemble() -> str:
    here, rules = resources.files("ratekit.stores.redis"), resources.files("ratekit.algorithms")
    parts = [here / "prelude.lua", *(rules / f"{name}.lua" for name in ALGORITHMS), here / "hit.lua"]
    # Each rule in a block of its own, so that its locals are its own.
    texts = [part.read_text(encoding="utf-8") for part in parts]
    return "\n".join([texts[0], *(f"do\n{text}end\n" for text in texts[1:-1]), texts[-1]])


SCRIPT: Final = _assemble()
SHA: Final = sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()


def arguments(asks: Sequence[Ask], now: int | None) -> list[str]:
    """What follows the script or its hash: the number of keys, the keys, the clock and the hit."""
    words = "|".join(f"{ask.mode} {ask.mark[0]} {ask.mark[1]} {ask.rule.arguments(ask.cost)}" for ask in asks)
    keys = [ask.space.key(ask.identity) for ask in asks]
    return [str(len(keys)), *keys, "" if now is None else str(now), words]


def answer(asks: Sequence[Ask], reply: object) -> Seens:
    """What was seen; raises StoreError where the reply is not one of this script's."""
    expected = 1 + sum(1 + ask.rule.width for ask in asks)
    if not isinstance(reply, list) or len(reply) != expected or not all(type(item) is int for item in reply):
        raise StoreError(f"the server's reply {str(reply)[:100]!r} is not one of ratekit's script: {expected} integers")
    seen = []
    at = 1
    for ask in asks:
        end = at + 1 + ask.rule.width
        seen.append(tuple(reply[at:end]))
        at = end
    return Seens(reply[0], seen)
