"""
Reservation: charge now what may be needed, settle when it is known.

Committing less gives the rest back, into the window that was charged and never above the quota. Committing more charges the
excess by force. Leaving without a commit keeps the charge; leaving on an exception gives it back.
"""

import logging
from collections.abc import Sequence
from types import TracebackType
from typing import Final

import anyio

from ratekit.charge import Charge
from ratekit.decision import Decision
from ratekit.errors import StoreError
from ratekit.stores.protocol import Ask, AsyncStore, Store

log: Final = logging.getLogger("ratekit")


class Reservation:
    """
    A charge that is settled later; see `Limiter.reserve`.

    >>> from ratekit import Limiter
    >>> limiter = Limiter("10000/hour", name="tokens")
    >>> with limiter.reserve("user:42", cost=4000) as reservation:
    ...     reservation.commit(1312).remaining
    8688
    """

    def __init__(self, store: Store, asks: Sequence[Ask]) -> None:
        self._store = store
        self._charge = Charge(asks)

    @property
    def decision(self) -> Decision | None:
        """The decision so far; None before it is entered."""
        return self._charge.decision

    def __enter__(self) -> "Reservation":
        self._charge.entered(self._store.decide(self._charge.asks))
        return self

    def commit(self, cost: int) -> Decision:
        """Settle on what was really used, from 0; the first commit counts, another changes nothing. Raises StoreError."""
        asks = self._charge.settle(cost)
        return self._charge.committed(asks, self._store.decide(asks) if asks else None)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None:
            try:
                self.commit(0)
            except StoreError as failure:
                log.warning("a reservation could not be given back and stays spent: %s", failure)


class AsyncReservation:
    """A charge that is settled later, awaited: `async with limiter.reserve(...) as reservation: await reservation.commit(...)`."""

    def __init__(self, store: AsyncStore, asks: Sequence[Ask]) -> None:
        self._store = store
        self._charge = Charge(asks)

    @property
    def decision(self) -> Decision | None:
        """The decision so far; None before it is entered."""
        return self._charge.decision

    async def __aenter__(self) -> "AsyncReservation":
        self._charge.entered(await self._store.decide(self._charge.asks))
        return self

    async def commit(self, cost: int) -> Decision:
        """Settle on what was really used, from 0; the first commit counts, another changes nothing. Raises StoreError."""
        asks = self._charge.settle(cost)
        return self._charge.committed(asks, await self._store.decide(asks) if asks else None)

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None:
            with anyio.CancelScope(shield=True):  # cancelled callers give back too
                try:
                    await self.commit(0)
                except StoreError as failure:
                    log.warning("a reservation could not be given back and stays spent: %s", failure)
