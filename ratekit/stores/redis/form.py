"""
Form: how hits become a command. There is one for a Redis, and three for the nodes of a cluster.

A node refuses a script whose declared keys are in different slots. So hits go to it together undeclared, by a script that tells
which of them were not for this node (`cluster.lua`); those are asked again by themselves, with their keys declared, and then the
node says where they belong.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Final, NamedTuple

from ratekit.stores.redis.lua import Rules, Script, crowd_script, script_for
from ratekit.stores.redis.script import MOST_TOGETHER, Label, Parcel, command

AWAY: Final = -(2**62)
"""What a hit answers whose key was not on that node: nothing was counted. No count is as far from 0."""
PERHAPS: Final = -(2**61)
"""What a hit answers that failed halfway, because a key was corrupt and its slot on its way elsewhere."""


class Form(NamedTuple):
    """
    The script for some rules, the words of a command, how many hits it may carry, what is said before each, and whether somebody
    else sees to it that a server is left that is a master no longer.
    """

    script: Callable[[Rules], Script] = script_for
    command: Callable[..., list[str]] = command
    most: int = MOST_TOGETHER
    before: tuple[str, ...] = ()
    stays: bool = False


def crowd_command(keys: list[str], rows: Iterable[tuple[Label, int]], script: Script, now: int | None, *, whole: bool) -> list[str]:
    """The words of a command for hits in many slots."""
    head = ["EVAL", script.text] if whole else ["EVALSHA", script.sha]
    labels = [word for label, hits in rows for word in (label.line, str(hits), str(label.width))]
    return [*head, "0", "" if now is None else str(now), str(len(keys)), *keys, *labels]


def together(parcels: Sequence[Parcel]) -> tuple[list[str], Sequence[tuple[Label, int]]]:
    """The keys of all parcels, and each label with how many hits in a row bear it."""
    if len(parcels) == 1:
        (keys, label) = parcels[0]
        return [*keys], ((label, 1),)
    rows = [(label, len(list(run))) for label, run in groupby(label for _, label in parcels)]
    return [key for keys, _ in parcels for key in keys], rows


PLAIN: Final = Form()
CROWD: Final = Form(crowd_script, crowd_command, stays=True)
"""Hits in any slots of one node."""
SINGLE: Final = Form(most=1, stays=True)
"""One hit by itself."""
ASKING: Final = Form(crowd_script, crowd_command, most=1, before=("ASKING",), stays=True)
"""
One hit by itself, to a node that is just being given its slot. Undeclared: of several declared keys that are new the node would say
TRYAGAIN until the whole slot is there. The old node, which had none of them, makes none either, so they are made here.
"""
