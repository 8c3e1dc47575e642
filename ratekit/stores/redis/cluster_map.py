"""
The map of a cluster: which shard has which slot, and what an answer that sends elsewhere means. Pure: no connection, no clock.

A shard is a part of the slots and whoever is their master just now. It has a circuit of its own, which outlives a failover: the
shard goes on with another address.
"""

from binascii import crc_hqx
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

from ratekit.errors import StoreUnavailable
from ratekit.stores.naming import Canonical, Plan, Space, escaped
from ratekit.stores.redis.cluster_address import Address
from ratekit.stores.redis.wire import Redirected
from ratekit.stores.slots import SLOTS, slot_in

PAUSE: Final = 0.003
"""Seconds before a hit is tried again that can be served in a moment."""
TRIES: Final = 100_000
"""Names that are looked at for one in the slots of a shard: with one slot alone all but one in 400 are found."""

TOGETHER: Final = 512
"""Slots that are given to a shard at a time."""

View = Mapping[Address, Sequence[tuple[int, int]]]
"""Masters, each with its slots as pairs of a first and a last one."""


class Movable(Protocol):
    """What has an address that changes."""

    address: Address | None

    def move(self, address: Address) -> None:
        """Go on at another address."""
        ...


S = TypeVar("S", bound=Movable)


class Slots(Generic[S]):
    """Which shard has which slot; `start` has all of them until the first view comes."""

    def __init__(self, start: S, make: Callable[[Address], S]) -> None:
        self.of: list[S] = [start] * SLOTS
        self.shards: tuple[S, ...] = ()
        self._start, self._make = start, make

    def apply(self, view: View) -> None:
        """Bring the map up to a view. What no master has stays with whom it was: there it is refused, and asked for again."""
        known = {shard.address: shard for shard in self.shards}
        taken = {shard for address, shard in known.items() if address in view}
        masters: list[S] = []
        for address, ranges in view.items():
            shard = known.get(address) or self._heir(ranges, taken)
            if shard is None:
                shard = self._make(address)
            elif shard.address != address:
                shard.move(address)
            taken.add(shard)
            masters.append(shard)
        # In place, some at a time: what a thread that ends has asked of malloc for a whole map would stay with the process.
        for shard, ranges in zip(masters, view.values(), strict=True):
            for first, last in ranges:
                self._give(shard, first, last)
        if masters:
            self.shards = tuple(masters)
            if self._start in self.of:
                for slot, shard in enumerate(self.of):
                    if shard is self._start:
                        self.of[slot] = masters[0]

    def moved(self, slot: int, address: Address) -> None:
        """One slot is elsewhere; of an address that is not known the next view tells."""
        for shard in self.shards:
            if shard.address == address:
                self.of[slot] = shard

    def routed(self, plan: Plan, make: Callable[[S], Callable[[Canonical, int, int], Any]]) -> Callable[[Canonical, int, int], Any]:
        """A function that hits where the identity's slot is, by the function that is made for that shard."""
        of, begins, made = self.of, plan[0][1].head.partition("{")[2], dict[S, Callable[[Canonical, int, int], Any]]()

        def hit(identity: Canonical, cost: int, mode: int) -> Any:
            shard = of[crc_hqx(f"{begins}{escaped(identity)}".encode(), 0) % SLOTS]
            there = made.get(shard)
            if there is None:
                for gone in [other for other in [*made] if other not in self.shards]:
                    made.pop(gone, None)  # another thread may have
                there = made[shard] = make(shard)
            return there(identity, cost, mode)

        return hit

    def name_in(self, shard: S, space: Space, name: str) -> str | None:
        """A name that begins with `name` and is in a slot of this shard; None where it has none."""
        if shard not in self.of:
            return None
        names = (f"{name}{i}" for i in range(TRIES))
        return next((text for text in names if self.of[slot_in(space, text)] is shard), None)

    def _give(self, shard: S, first: int, last: int) -> None:
        for begin in range(first, last + 1, TOGETHER):
            end = min(begin + TOGETHER, last + 1)
            self.of[begin:end] = [shard] * (end - begin)

    def _heir(self, ranges: Sequence[tuple[int, int]], taken: set[S]) -> S | None:
        """The shard that had most of these slots and is nobody's any more: its master has changed."""
        had = Counter(self.of[slot] for first, last in ranges for slot in range(first, last + 1))
        had.pop(self._start, 0)
        best = max(had, key=had.__getitem__, default=None)
        return None if best is None or best in taken else best


class Hop(NamedTuple):
    """Where a hit is to be tried next (None: where its slot is), whether by asking, and after which pause (seconds)."""

    address: Address | None
    asking: bool = False
    pause: float = 0.0
    learned: bool = False


def hop_of(error: Redirected, asked: Address) -> Hop:
    """What an answer that sends elsewhere means; `asked` is who said it, whose host goes without saying."""
    kind, *words = str(error).partition("serve: ")[2].split()
    if kind in ("MOVED", "ASK") and len(words) >= 2:
        host, _, port = words[1].rpartition(":")
        if not port.isdigit():
            raise StoreUnavailable(f"a node sends to {words[1]!r}, which is no address", "server")
        return Hop((host or asked[0], int(port)), asking=kind == "ASK", learned=kind == "MOVED")
    return Hop(None, pause=PAUSE)
