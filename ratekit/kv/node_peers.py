"""
Peers: what a node has heard of the others. Pure: values come in, counts go out.

The latest word of each node stands until its window is over, also after its shard is gone: what somebody counted does not cease to
be counted because nobody hears of them any more.
"""

from collections.abc import Iterable, Mapping

from ratekit.kv.node_shard import Shard, Tally, Window


class Peer:
    """One other node: when it wrote last and the number of that writing, and its windows."""

    __slots__ = ("number", "windows", "written")

    def __init__(self) -> None:
        self.written = 0
        self.number = -1
        self.windows: dict[Window, Tally] = {}


class Peers:
    """
    The others, by the name under which each writes. `ours` is the name that is never read.
    """

    def __init__(self, ours: str) -> None:
        self._ours = ours
        self._peers: dict[str, Peer] = {}
        self._values: dict[str, bytes] = {}
        self._counted: dict[Window, tuple[tuple[Peer, Tally], ...]] = {}
        self.names: tuple[str, ...] = ()
        """Whom to read."""

    def found(self, names: Iterable[str]) -> None:
        """A list of all names that are there was read."""
        self.names = tuple(name for name in names if name != self._ours)

    def news(self, values: Mapping[str, bytes | None]) -> dict[str, bytes]:
        """Of what was read the values that have not been seen before."""
        return {name: value for name, value in values.items() if value is not None and self._values.get(name) != value}

    def hear(self, name: str, value: bytes, shard: Shard) -> None:
        """Take in a shard; an older one than was seen before is let go of, caches differ."""
        peer = self._peers.setdefault(name, Peer())
        if shard.number <= peer.number:
            return
        self._values[name] = value
        peer.number, peer.written = shard.number, shard.written
        peer.windows.update(shard.windows)
        self._counted.clear()

    def tallies(self, window: Window) -> tuple[tuple[Peer, Tally], ...]:
        """What each counted in a window."""
        counted = self._counted.get(window)
        if counted is None:
            peers = self._peers.values()
            counted = self._counted[window] = tuple((peer, peer.windows[window]) for peer in peers if window in peer.windows)
        return counted

    def seen_since(self, instant: int) -> int:
        """How many wrote at or after an instant (microseconds), by their own clocks."""
        return sum(peer.written >= instant for peer in self._peers.values())

    def met(self, window: Window) -> int:
        """How many took part in a window: they counted in it, or wrote since it began."""
        return sum(window in peer.windows or peer.written >= window.start for peer in self._peers.values())

    def forget_before(self, instant: int) -> None:
        """Let go of windows that ended before an instant, and of nodes that are gone and have none left."""
        for name, peer in list(self._peers.items()):
            for window in [window for window in peer.windows if window.end <= instant]:
                del peer.windows[window]
            if not peer.windows and name not in self.names:
                del self._peers[name]
                self._values.pop(name, None)
        self._counted.clear()
