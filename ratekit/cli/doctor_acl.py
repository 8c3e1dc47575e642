"""
What ratekit asks of a Redis user, as a line to paste. The commands are read from the scripts themselves, so that the line cannot
fall behind them.
"""

import re
from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

from ratekit.limit import Limit
from ratekit.stores.naming import plan_of

_CALL: Final = re.compile(r"""\b(?:p?call\(|repaired\(\s*\w+,)\s*['"]([A-Za-z]+)['"]""")
OURS: Final = ("eval", "evalsha", "del", "ping")
"""What is asked outside scripts,"""
OF_A_CLUSTER: Final = ("asking", "cluster|slots")
"""and of the nodes of a cluster besides."""


def commands() -> list[str]:
    """
    The commands that ratekit needs, in order.

    >>> {"eval", "evalsha", "set", "time"} <= set(commands())
    True
    """
    found = {name.lower() for text in _scripts(resources.files("ratekit")) for name in _CALL.findall(text)}
    return sorted(found.union(OURS))


def acl_line(prefix: str, database: int = 0, *, cluster: bool = False) -> str:
    """
    The line that makes a user who may do what ratekit needs and no more. `database` other than 0 takes SELECT, too, and a `cluster`
    ASKING and CLUSTER SLOTS, on each of its nodes.
    """
    head, _, _ = plan_of([Limit(1, per=1)], prefix=prefix, name="doctor")[0][1].head.partition(":{")
    needed = [*commands(), *(["select"] if database else []), *(OF_A_CLUSTER if cluster else [])]
    return f"ACL SETUSER ratekit on >PASSWORD ~{head}:* resetchannels -@all {' '.join(f'+{name}' for name in needed)}"


def _scripts(folder: Traversable) -> Iterator[str]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _scripts(entry)
        elif entry.name.endswith(".lua"):
            yield entry.read_text("utf-8")
