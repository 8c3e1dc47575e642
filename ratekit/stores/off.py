"""
Off: the store behind RATEKIT_ENABLED=0. Everything is admitted, nothing is counted, and that is said loudly, once.
"""

import os
from collections.abc import Sequence
from functools import partial

from ratekit.algorithms import LOOK
from ratekit.errors import caution
from ratekit.stores.naming import Canonical, Plan, Space
from ratekit.stores.protocol import Ask, AsyncCompiled, Compiled, Seens, async_hit, hit


def said_off() -> bool:
    """Whether RATEKIT_ENABLED says that nothing is to be limited."""
    return os.environ.get("RATEKIT_ENABLED", "1").lower() in ("0", "false", "no", "off")


def switched_off() -> bool:
    """`said_off`, with a warning when it is."""
    if not said_off():
        return False
    caution("RATEKIT_ENABLED switches all rate limiting off: unset it to limit again")
    return True


def all_new(asks: Sequence[Ask]) -> Seens:
    """What is seen where nothing was ever charged."""
    return Seens(0, [(True, *ask.rule.step(None, 0, 1, LOOK)[1][1:]) for ask in asks], "open")


class OffStore:
    """Admits everything, for threads."""

    remote = False

    def compile(self, plan: Plan, budget: float | None = None) -> Compiled:
        """A function that admits."""
        return partial(hit, self, plan)

    def decide(self, asks: Sequence[Ask], budget: float | None = None) -> Seens:
        """Every key is as new."""
        return all_new(asks)

    def forget(self, spaces: Sequence[Space], identity: Canonical) -> None:
        """Nothing is known that could be forgotten."""

    def close(self) -> None:
        """Nothing is held."""


class AsyncOffStore:
    """Admits everything, for event loops."""

    remote = False

    def compile(self, plan: Plan, budget: float | None = None) -> AsyncCompiled:
        """A function that admits."""
        return partial(async_hit, self, plan)

    async def decide(self, asks: Sequence[Ask], budget: float | None = None) -> Seens:
        """Every key is as new."""
        return all_new(asks)

    async def forget(self, spaces: Sequence[Space], identity: Canonical) -> None:
        """Nothing is known that could be forgotten."""

    async def aclose(self) -> None:
        """Nothing is held."""
