"""
The scripts, assembled from the rules that a command needs and no others: Redis runs the definitions of a script anew at every call,
so a rule that is not asked for would cost each call a microsecond.

What is done to hits is the same everywhere (`loop.lua`); `hit.lua` and `cluster.lua` are how they come to a server and to a node of
a cluster.
"""

from functools import cache
from hashlib import sha1
from importlib import resources
from typing import Final, NamedTuple

from ratekit.algorithms import ALGORITHMS

Rules = frozenset[str]
"""The names of the rules that a script is to know."""

SHEBANG: Final = "#!lua flags=allow-cross-slot-keys"


class Script(NamedTuple):
    """A script's text and its hash, as commands name them."""

    text: str
    sha: str


@cache
def script_for(rules: Rules) -> Script:
    """The script that knows these rules."""
    return _script(_text(rules, "hit"))


@cache
def crowd_script(rules: Rules) -> Script:
    """The script for hits in many slots of a cluster that knows these rules."""
    return _script(f"{SHEBANG}\n{_text(rules, 'cluster')}")


def _script(text: str) -> Script:
    return Script(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


def _text(rules: Rules, ending: str) -> str:
    here, twins = resources.files("ratekit.stores.redis"), resources.files("ratekit.algorithms")
    prelude, loop, end = ((here / f"{name}.lua").read_text("utf-8") for name in ("prelude", "loop", ending))
    # Each rule in a block of its own, so that its locals are its own.
    blocks = [f"do\n{(twins / f'{name}.lua').read_text('utf-8')}end" for name in ALGORITHMS if name in rules]
    if kinds := sorted(rules.difference(ALGORITHMS)):
        counters = resources.files("ratekit.counters")
        blocks += [(counters / "common.lua").read_text("utf-8")]
        blocks += [f"do\n{(counters / f'{kind}.lua').read_text('utf-8')}end" for kind in kinds]
    return "\n".join([prelude, *blocks, loop, end])
