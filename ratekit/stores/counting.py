"""
Counting: what counters ask of a store, and the little that a memory store needs for it.

A counter's command is one step on one key, in two forms that answer the same: `step` in Python, and its Lua twin, a file of the name
`kind` beside the counters. Both are told the same `words`. On a remote store commands travel as hits do, together with them.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from ratekit.decision import NEVER
from ratekit.errors import StoreError

Step = Callable[..., tuple[Any, int, tuple[Any, ...]]]
"""
(state, now in microseconds since 1970, *words) -> the state after it (None: as new), the instant from which it is as new, and what
is answered. The state may be changed in place.
"""


class Command(NamedTuple):
    """
    What is done to one counter's key. It answers `width` integers; where it `lists`, among them lists of integers and texts. What
    `looks` writes nothing; where it is for the `primary` all the same, no replica is asked.
    """

    kind: str
    step: Step
    words: tuple[Any, ...]
    width: int = 1
    looks: bool = False
    lists: bool = False
    primary: bool = False


Job = tuple[str, Command]
"""A key and what is done to it. The answer is the integer itself where the command's width is 1, else a tuple."""

FULL: Final = (
    "the memory store holds {} counters and nothing more is counted: give MemoryStore a larger max_keys, or count in Redis"
)


class Cells:
    """The states of a memory store's counters, at most `most` of them. Not for two threads at once."""

    __slots__ = ("_cells", "_idle", "_most")

    def __init__(self, most: int) -> None:
        self._cells: dict[str, tuple[Any, int]] = {}
        self._most = most
        self._idle = 0  # before this instant nothing more expires

    def __len__(self) -> int:
        return len(self._cells)

    def run(self, key: str, command: Command, now: int) -> Any:
        """The answer of a command; raises StoreError, with nothing counted, when there is no room for a new key."""
        cells = self._cells
        state, expires = cells.get(key, (None, NEVER))
        if expires <= now:
            state = None
        state, expires, items = command.step(state, now, *command.words)
        if not command.looks:
            if state is None:
                cells.pop(key, None)
            else:
                if key not in cells and len(cells) >= self._most:
                    self._sweep(now)
                cells[key] = state, expires
        return items[0] if command.width == 1 else items

    def _sweep(self, now: int) -> None:
        if self._idle <= now:
            self._cells = {key: cell for key, cell in self._cells.items() if cell[1] > now}
            self._idle = min((cell[1] for cell in self._cells.values()), default=NEVER)
        if len(self._cells) >= self._most:
            raise StoreError(FULL.format(self._most), "server")
