"""
Charge: what was reserved, and what settling it takes. Pure: whoever reserves asks the store.
"""

import logging
from collections.abc import Sequence
from typing import Final

from ratekit.algorithms import FORCE, GIVE
from ratekit.decision import Decision, decide
from ratekit.errors import ConfigurationError, RateLimitExceeded
from ratekit.limit import MOST
from ratekit.stores.protocol import Ask, Seens, decisions_of, readers_of

log: Final = logging.getLogger("ratekit")


class Charge:
    """What was reserved: the part of a reservation that waits for nobody."""

    def __init__(self, asks: Sequence[Ask]) -> None:
        self.asks = asks
        self.answer: Seens | None = None
        self.decision: Decision | None = None
        self.settled = False

    def entered(self, answer: Seens) -> None:
        """Keep what the store saw; raise RateLimitExceeded if it refused."""
        self.answer = answer
        self.decision = decide(decisions_of(self.asks, answer))
        if not self.decision:
            raise RateLimitExceeded(self.decision)

    def settle(self, cost: int) -> Sequence[Ask]:
        """What is still to be asked so that `cost` is what was charged; nothing the second time."""
        if type(cost) is not int or not 0 <= cost <= MOST:
            raise ConfigurationError(f"commit {cost!r}: write a whole number from 0 to {MOST}")
        if self.answer is None:
            raise ConfigurationError("nothing is reserved yet: commit inside 'with limiter.reserve(...) as reservation'")
        if self.settled:
            return ()
        self.settled = True
        reserved = self.asks[0].cost
        if cost == reserved:
            return ()
        mode, difference = (GIVE, reserved - cost) if cost < reserved else (FORCE, cost - reserved)
        return [
            ask._replace(mode=mode, cost=difference, mark=reader.mark(self.answer.now, seen))
            for ask, reader, seen in zip(self.asks, readers_of(self.asks, self.answer), self.answer.seen, strict=True)
        ]

    def committed(self, asks: Sequence[Ask], answer: Seens | None) -> Decision:
        """The decision as it stands after settling."""
        if answer is not None:
            self.decision = decide(decisions_of(asks, answer))
            assert self.answer is not None
            elsewhere = answer.source in ("local", "open") and self.answer.source == "store"
            if elsewhere and asks[0].mode == GIVE:
                log.warning("the store is away: what a reservation gave back stays spent there")
        assert self.decision is not None
        return self.decision
