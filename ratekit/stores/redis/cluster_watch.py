"""
The watch: asks the nodes of a cluster who has which slots, in a thread of its own, when somebody has noticed that it may have
changed. No request waits for it but the first.
"""

import os
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from ratekit.errors import StoreError, StoreUnavailable
from ratekit.stores.redis.cluster_address import Address, Seeds, opener
from ratekit.stores.redis.cluster_map import View
from ratekit.stores.redis.wire import FAULTS, translated

PACE: Final = 0.1
"""Seconds between two looks at least."""
PATIENCE: Final = 0.25
"""Seconds that one node may take; then the next one is asked."""
_DICE: Final = random.Random()  # noqa: S311 - of its own, no secret: a thread must not draw from what the application has seeded


class Watch:
    """`apply` is called with each view; `waits` are told after each look, also a vain one, and forgotten."""

    def __init__(self, seeds: Seeds, apply: Callable[[View], None]) -> None:
        self._seeds, self._apply = seeds, apply
        self._nodes: tuple[Address, ...] = seeds.addresses
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._waits: list[Callable[[StoreError | None], None]] = []
        self._looked = float("-inf")

    def stale(self, suspect: Address | None = None, *, at_once: bool = False) -> None:
        """The map may be wrong: look, unless that is done already or was done just now. `suspect` is asked last."""
        if self._pid != os.getpid():  # forked: that thread is not here
            self._begin()
        if not at_once and time.monotonic() - self._looked < PACE:
            return
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, args=(suspect,), name="ratekit-cluster", daemon=True)
                try:
                    self._thread.start()
                except RuntimeError:  # there can be no more threads just now
                    self._thread = None

    def tell(self, wait: Callable[[StoreError | None], None]) -> None:
        """Look, and call `wait` in that thread when it is done, with the error of a vain look."""
        if self._pid != os.getpid():
            self._begin()
        with self._lock:
            self._waits.append(wait)
        self.stale(at_once=True)

    def _look(self, suspect: Address | None) -> None:
        error: StoreError | None = StoreUnavailable("no node of the cluster answers")
        try:
            order = _DICE.sample(self._nodes, len(self._nodes)) + [one for one in self._seeds.addresses if one not in self._nodes]
            for address in sorted(order, key=lambda address: address == suspect):
                try:
                    view, nodes = view_of(asked(self._seeds, address), address)
                except FAULTS as fault:
                    if error is None or error.fault != "refused":  # which no other node's silence explains
                        error = translated(fault)
                    continue
                if view:
                    self._nodes = nodes
                    self._apply(view)
                    error = None
                    break
                error = StoreUnavailable(f"{address[0]}:{address[1]} knows of no slots", "server")
        finally:
            with self._lock:
                self._looked, self._thread = time.monotonic(), None
                waits, self._waits = self._waits, []
            for wait in waits:
                wait(error)


def asked(seeds: Seeds, address: Address) -> Any:
    """What a node says of all slots."""
    connection = opener(seeds, address, PATIENCE)()
    try:
        connection.send_command("CLUSTER", "SLOTS")
        return connection.read_response()
    finally:
        connection.disconnect()


def view_of(reply: Sequence[Any], asked: Address) -> tuple[View, tuple[Address, ...]]:
    """What CLUSTER SLOTS says: the masters with their slots, and all nodes. A node that does not know its own host is `asked`'s."""
    view: dict[Address, list[tuple[int, int]]] = {}
    nodes: dict[Address, None] = {}
    for first, last, *servers in reply:
        addresses = [(_text(host) or asked[0], int(port)) for host, port, *_ in servers]
        nodes.update(dict.fromkeys(addresses))
        view.setdefault(addresses[0], []).append((int(first), int(last)))
    return view, tuple(nodes)


def _text(host: Any) -> str:
    text = host.decode() if isinstance(host, bytes) else host or ""
    return "" if text == "?" else text
