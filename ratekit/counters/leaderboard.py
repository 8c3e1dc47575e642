"""
Leaderboard and AsyncLeaderboard: thin shells; `ranking.py` says what is asked and what the answers mean.
"""

from datetime import timedelta
from types import TracebackType
from typing import Final

from ratekit.counters.asking import ask, async_ask
from ratekit.counters.options import QUARTER, buckets_and_life, check_amount, check_member, check_whole
from ratekit.counters.place import Place
from ratekit.counters.ranking import Entry, Ranking
from ratekit.errors import ConfigurationError
from ratekit.stores.protocol import AsyncStore, Store

MOST_MEMBERS: Final = 100_000
"""Members that a board keeps at most, and lines that are read at once."""


class Leaderboard:
    """
    Scores of members, the highest first, for threads; with `per` and `keep` a board for each bucket of time.

    Equal scores are in the order of the members' text, each with a rank of its own. At most `size` members are kept: what is lower is
    dropped, and begins at 0 when it comes again. Members are text of at most 256 characters, or whole numbers, which are shown as
    text. The other options are those of `Counter`. Raises StoreError as a Counter does: an add was counted once or not at all.

    >>> scores = Leaderboard("scores")
    >>> scores.add("ann", 7), scores.add("bob", 9), scores.add("cat", 7), scores.add("ann")
    (7, 9, 7, 8)
    >>> [(entry.rank, entry.member, entry.score) for entry in scores.top(2)], scores.rank("cat")
    ([(1, 'bob', 9), (2, 'ann', 8)], 3)
    """

    def __init__(
        self,
        name: str = "default",
        *,
        store: str | Store = "memory://",
        size: int = 1_000,
        per: str | float | timedelta | None = None,
        keep: int | None = None,
        tz: str | None = None,
        expire: float | None = QUARTER,
        prefix: str = "ratekit",
        budget: float | None = None,
    ) -> None:
        self.name = name
        self._plan = Ranking(*buckets_and_life(per, keep, tz, expire), check_whole("size", size, 1, MOST_MEMBERS))
        self._place = Place(store, wait=False, name=name, prefix=prefix, tail=self._plan.label, budget=budget)
        self._store = self._place.store

    def add(self, member: str | int, amount: int = 1) -> int:
        """Add to a member's score, in the present bucket where there are buckets, and return it."""
        plan, text, amount = self._plan, check_member(member), check_amount(amount)
        return ask(self._store, self._place.key("board"), lambda: plan.add(text, amount), plan.score, plan.hint)

    def top(self, many: int = 10, *, ago: int = 0) -> list[Entry]:
        """The highest, of the bucket that was so many buckets ago."""
        plan, many, ago = self._plan, check_whole("many", many, 1, MOST_MEMBERS), check_ago(ago, self._plan.keep)
        return ask(self._store, self._place.key("board"), lambda: plan.top(many, ago), plan.entries, plan.hint)

    def around(self, member: str | int, many: int = 2, *, ago: int = 0) -> list[Entry]:
        """A member and as many on either side of it; nobody where it is not there."""
        plan, text, many, ago = (
            self._plan,
            check_member(member),
            check_whole("many", many, 0, 1000),
            check_ago(ago, self._plan.keep),
        )
        return ask(self._store, self._place.key("board"), lambda: plan.around(text, many, ago), plan.near, plan.hint)

    def rank(self, member: str | int, *, ago: int = 0) -> int | None:
        """The rank of a member, 1 for the highest; None where it is not there."""
        found = self.around(member, 0, ago=ago)
        return found[0].rank if found else None

    def remove(self, member: str | int) -> bool:
        """Forget a member; whether it was there."""
        plan, text = self._plan, check_member(member)
        return bool(ask(self._store, self._place.key("board"), lambda: plan.remove(text), plan.read, plan.hint))

    def reset(self) -> None:
        """Forget everybody."""
        plan = self._plan
        ask(self._store, self._place.key("board"), plan.reset, plan.read, plan.hint)

    def close(self) -> None:
        """Let go of a store that was opened from a URL; a store object that was passed in stays open."""
        if self._place.leaves():
            self._store.close()

    def __enter__(self) -> "Leaderboard":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Leaderboard({self.name!r})"


class AsyncLeaderboard:
    """Scores of members, for event loops: `Leaderboard`, awaited."""

    def __init__(
        self,
        name: str = "default",
        *,
        store: str | AsyncStore = "memory://",
        size: int = 1_000,
        per: str | float | timedelta | None = None,
        keep: int | None = None,
        tz: str | None = None,
        expire: float | None = QUARTER,
        prefix: str = "ratekit",
        budget: float | None = None,
    ) -> None:
        self.name = name
        self._plan = Ranking(*buckets_and_life(per, keep, tz, expire), check_whole("size", size, 1, MOST_MEMBERS))
        self._place = Place(store, wait=True, name=name, prefix=prefix, tail=self._plan.label, budget=budget)
        self._store = self._place.store

    async def add(self, member: str | int, amount: int = 1) -> int:
        """Add to a member's score, in the present bucket where there are buckets, and return it."""
        plan, text, amount = self._plan, check_member(member), check_amount(amount)
        return await async_ask(self._store, self._place.key("board"), lambda: plan.add(text, amount), plan.score, plan.hint)

    async def top(self, many: int = 10, *, ago: int = 0) -> list[Entry]:
        """The highest, of the bucket that was so many buckets ago."""
        plan, many, ago = self._plan, check_whole("many", many, 1, MOST_MEMBERS), check_ago(ago, self._plan.keep)
        return await async_ask(self._store, self._place.key("board"), lambda: plan.top(many, ago), plan.entries, plan.hint)

    async def around(self, member: str | int, many: int = 2, *, ago: int = 0) -> list[Entry]:
        """A member and as many on either side of it; nobody where it is not there."""
        plan, text, many, ago = (
            self._plan,
            check_member(member),
            check_whole("many", many, 0, 1000),
            check_ago(ago, self._plan.keep),
        )
        return await async_ask(self._store, self._place.key("board"), lambda: plan.around(text, many, ago), plan.near, plan.hint)

    async def rank(self, member: str | int, *, ago: int = 0) -> int | None:
        """The rank of a member, 1 for the highest; None where it is not there."""
        found = await self.around(member, 0, ago=ago)
        return found[0].rank if found else None

    async def remove(self, member: str | int) -> bool:
        """Forget a member; whether it was there."""
        plan, text = self._plan, check_member(member)
        return bool(await async_ask(self._store, self._place.key("board"), lambda: plan.remove(text), plan.read, plan.hint))

    async def reset(self) -> None:
        """Forget everybody."""
        plan = self._plan
        await async_ask(self._store, self._place.key("board"), plan.reset, plan.read, plan.hint)

    async def aclose(self) -> None:
        """Let go of a store that was opened from a URL; a store object that was passed in stays open."""
        if self._place.leaves():
            await self._store.aclose()

    async def __aenter__(self) -> "AsyncLeaderboard":
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"AsyncLeaderboard({self.name!r})"


def check_ago(ago: object, keep: int) -> int:
    """How many buckets ago; raises ConfigurationError."""
    if type(ago) is not int or not 0 <= ago <= max(0, keep - 1):
        raise ConfigurationError(f"ago {ago!r}: write how many buckets ago, from 0 to {max(0, keep - 1)}")
    return ago
