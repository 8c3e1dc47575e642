"""
What a cluster's store for threads and the one for event loops share: the nodes, the map, the watch, and what goes where.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, Protocol, TypeVar

from ratekit.decision import Decision
from ratekit.errors import StoreError, StoreUnavailable
from ratekit.stores.protocol import Ask
from ratekit.stores.redis.cluster_address import Address, Seeds
from ratekit.stores.redis.cluster_map import Hop, Movable, Slots, View, hop_of
from ratekit.stores.redis.cluster_watch import Watch
from ratekit.stores.redis.form import AWAY, PERHAPS
from ratekit.stores.redis.wire import Redirected
from ratekit.stores.traffic import Traffic

LATE: Final = StoreUnavailable("finding the nodes of the cluster took longer than the budget", "late")
OVER: Final = "the server cannot serve: TRYAGAIN"
HOPS: Final = 100
"""Nodes that one hit is sent to at most; the budget ends it before."""


class Closing(Protocol):
    """A node: what is closed when nobody needs it any more."""

    traffic: Traffic

    def close(self) -> None:
        """Let go of the connections."""
        ...


N = TypeVar("N", bound=Closing)
S = TypeVar("S", bound=Movable)


class Cluster(Generic[N, S]):
    """The nodes that were met, the map of the slots, and the watch that keeps it."""

    def __init__(self, seeds: Seeds, start: S, shard: Callable[[Address], S], node: Callable[[Address], N]) -> None:
        self._node = node
        self._nodes: dict[Address, N] = {}
        self._lock = threading.Lock()
        self.known = False
        self.slots: Slots[S] = Slots(start, shard)
        self.watch = Watch(seeds, self._apply)

    def node(self, address: Address) -> N:
        """The node at an address."""
        found = self._nodes.get(address)
        if found is None:
            with self._lock:
                found = self._nodes.get(address) or self._nodes.setdefault(address, self._node(address))
        return found

    def home(self, slot: int) -> Address:
        """The address of a slot's master, as far as is known; raises StoreUnavailable where nothing is known yet."""
        address = self.slots.of[slot].address
        if address is None:
            raise StoreUnavailable("nothing is known of the cluster yet")
        return address

    def hop(self, error: Redirected, slot: int, asked: Address) -> Hop:
        """Where a hit goes from here; what is learned on the way is kept."""
        hop = hop_of(error, asked)
        if not hop.asking:
            self.watch.stale()
        if hop.learned and hop.address is not None:
            self.slots.moved(slot, hop.address)
        return hop

    def failed(self, error: StoreError, address: Address | None) -> None:
        """A trip to a node ended badly: perhaps another one is in its place."""
        self.watch.stale(None if isinstance(error, Redirected) else address)

    @property
    def nodes(self) -> Sequence[N]:
        """All nodes that were met."""
        return [*self._nodes.values()]

    def close(self) -> None:
        """Let go of all connections."""
        for node in self.nodes:
            node.close()

    def _apply(self, view: View) -> None:
        self.slots.apply(view)
        self.known = True
        with self._lock:
            gone = [self._nodes.pop(address) for address in [*self._nodes] if address not in view]
        for node in gone:
            node.close()


def halfway() -> StoreUnavailable:
    """What a caller is told whose hit may have been counted."""
    return StoreUnavailable("a key was corrupt while its slot was on its way elsewhere: the hit may have been counted", "server")


def missed(item: Any) -> bool:
    """Whether an answer says that the key was not on that node; raises StoreUnavailable where the hit may have been counted."""
    if type(item) is Decision:
        item = item[4]
    first = item[0] if type(item) is tuple and item else item
    if type(first) is not int or first > PERHAPS:
        return False
    if first == AWAY:
        return True
    raise halfway()


def moved_to(slots: "Slots[S]", shard: S, asks: Sequence[Ask]) -> list[Ask]:
    """The asks of a probe, on keys that are in a shard's slots; none where it has no slots."""
    named = [(ask, slots.name_in(shard, ask.space, str(ask.identity))) for ask in asks]
    return [ask._replace(identity=text) for ask, text in named if text is not None]
