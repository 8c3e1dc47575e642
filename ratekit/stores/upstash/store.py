"""
UpstashStore and AsyncUpstashStore: thin shells around one line of requests and the script that Redis runs, too.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, Self

from ratekit.algorithms import LOOK
from ratekit.decision import Decision
from ratekit.stores.counting import Command, Job
from ratekit.stores.holders import Holders
from ratekit.stores.naming import Canonical, Plan, Space
from ratekit.stores.protocol import Ask, AsyncCompiled, Compiled, Seens
from ratekit.stores.redis.script import Route, counts, label_for, packed, seens
from ratekit.stores.upstash.address import address_of
from ratekit.stores.upstash.line import ABANDON, Line, Reply, client_maker
from ratekit.stores.upstash.thread import LoopThread
from ratekit.stores.upstash.wire import Tokens

Clock = Callable[[], int]

BUDGET: Final = 1.0
"""Seconds that a decision may take, connecting included: a new connection is a look-up and three round trips over TLS."""


class UpstashStore:
    """
    State in an Upstash database, over its REST API, for threads.

    `url` is `upstash://TOKEN@name.upstash.io` (the token percent-encoded where it holds "/"), or `https://name.upstash.io` with
    `token` beside it; `upstash+http://` and `http://` are for emulators. `budget` is the seconds that a decision may take, connecting
    included, unless a limiter says otherwise. `clock` (microseconds, always ahead of the server's time) is for tests.

    All threads share one connection: hits that arrive while a request is under way ride together on the next one, as one command.
    A hit is decided by the database's primary, exactly. What only looks (`peek`) may be answered by a replica near by, once that has
    seen all that this store has seen: `sync_token` is how far that is.

    Raises ConfigurationError for what is no address, MissingExtra without httpx. httpx writes a line to its log for each request:
    `logging.getLogger("httpx").setLevel("WARNING")` ends that.

    >>> from ratekit import Limiter
    >>> store = UpstashStore("https://name.upstash.io", token="AX...")
    >>> limiter = Limiter("100/minute", store=store)
    """

    remote = True
    merges = True

    def __init__(self, url: str, token: str | None = None, *, budget: float = BUDGET, clock: Clock | None = None) -> None:
        self._new_client = client_maker(address_of(url, token))
        self._holders, self._tokens = Holders(), Tokens()
        self._budget = budget
        self._thread = LoopThread(lambda: Line(self._new_client, self._budget, self.clock, self._tokens))
        self.clock = clock

    @classmethod
    def from_env(cls, *, budget: float = BUDGET, clock: Clock | None = None) -> Self:
        """
        The database that UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN name, as does the URL `upstash://`.

        Raises ConfigurationError that says which of them is not set.
        """
        return cls("upstash://", budget=budget, clock=clock)

    @property
    def sync_token(self) -> str:
        """
        How far the database had come when it last answered, "" before that. Set it to what another store had, in another process
        or on another server, and peeks here see all that was counted there.

        Several tokens with a space between them, where requests overlapped: hand on the whole text.

        >>> here, there = (UpstashStore("https://name.upstash.io", token="AX...") for _ in range(2))
        >>> there.sync_token = here.sync_token
        """
        return str(self._tokens)

    @sync_token.setter
    def sync_token(self, text: str) -> None:
        self._tokens.hand_over(text)

    def compile(self, plan: Plan, budget: float | None = None) -> Compiled:
        """A function that hits every limit of `plan` at once, within `budget` seconds (None: the store's)."""
        route, run, seconds = Route(plan, self.clock), self._thread.run, self._budget if budget is None else budget

        def hit(identity: Canonical, cost: int, mode: int) -> Decision:
            parcel = route.parcel(identity, cost, mode)

            async def ask(line: Line) -> Reply:
                return await line.call(parcel, looks=mode == LOOK, budget=seconds)

            reply, at = run(ask, seconds)
            return route.decision(reply, at, cost)

        return hit

    def decide(self, asks: Sequence[Ask], budget: float | None = None) -> Seens:
        """One hit, together with all others that wait: all-or-nothing over `asks`."""
        seconds = self._budget if budget is None else budget

        async def ask(line: Line) -> Reply:
            return await line.call(packed(asks, self.clock), looks=_looks(asks), budget=seconds)

        return seens(asks, *self._thread.run(ask, seconds))

    def forget(self, spaces: Sequence[Space], identity: Canonical) -> None:
        """Make the keys of an identity as new."""
        self._thread.run(lambda line: line.command("DEL", *(space.key(identity) for space in spaces)), ABANDON)

    def count(self, key: str, command: Command, budget: float | None = None) -> Any:
        """What a counter's command on a key answers."""
        return self.count_many(((key, command),), budget)[0]

    def count_many(self, jobs: Sequence[Job], budget: float | None = None) -> list[Any]:
        """`count` for many keys, in as few requests as there can be."""
        seconds = self._budget if budget is None else budget
        return self._thread.run(lambda line: _counted(line, jobs, seconds), seconds)

    def hold(self) -> bool:
        """Be held once more; False when the last holder has closed it already."""
        return self._holders.more()

    def close(self) -> None:
        """Be held once less; the last holder closes the connection."""
        if self._holders.less():
            self._thread.close()


class AsyncUpstashStore:
    """
    State in an Upstash database, over its REST API, for asyncio: `UpstashStore`, awaited. Each event loop has a connection.

    >>> from ratekit import AsyncLimiter
    >>> store = AsyncUpstashStore("https://name.upstash.io", token="AX...")
    >>> limiter = AsyncLimiter("100/minute", store=store)
    """

    remote = True
    merges = True

    def __init__(self, url: str, token: str | None = None, *, budget: float = BUDGET, clock: Clock | None = None) -> None:
        self._new_client = client_maker(address_of(url, token))
        self._holders, self._tokens = Holders(), Tokens()
        self._budget = budget
        self._lines: dict[asyncio.AbstractEventLoop, Line] = {}
        self.clock = clock

    @classmethod
    def from_env(cls, *, budget: float = BUDGET, clock: Clock | None = None) -> Self:
        """The database that the environment names; see `UpstashStore.from_env`."""
        return cls("upstash://", budget=budget, clock=clock)

    @property
    def sync_token(self) -> str:
        """How far the database had come when it last answered; see `UpstashStore.sync_token`."""
        return str(self._tokens)

    @sync_token.setter
    def sync_token(self, text: str) -> None:
        self._tokens.hand_over(text)

    def compile(self, plan: Plan, budget: float | None = None) -> AsyncCompiled:
        """A function that hits every limit of `plan` at once, within `budget` seconds (None: the store's)."""
        route, line = Route(plan, self.clock), self._line

        async def hit(identity: Canonical, cost: int, mode: int) -> Decision:
            reply, at = await line().call(route.parcel(identity, cost, mode), looks=mode == LOOK, budget=budget)
            return route.decision(reply, at, cost)

        return hit

    async def decide(self, asks: Sequence[Ask], budget: float | None = None) -> Seens:
        """One hit, together with all others that wait: all-or-nothing over `asks`."""
        return seens(asks, *await self._line().call(packed(asks, self.clock), looks=_looks(asks), budget=budget))

    async def forget(self, spaces: Sequence[Space], identity: Canonical) -> None:
        """Make the keys of an identity as new."""
        await self._line().command("DEL", *(space.key(identity) for space in spaces))

    async def count(self, key: str, command: Command, budget: float | None = None) -> Any:
        """What a counter's command on a key answers."""
        return (await _counted(self._line(), ((key, command),), budget))[0]

    async def count_many(self, jobs: Sequence[Job], budget: float | None = None) -> list[Any]:
        """`count` for many keys, in as few requests as there can be."""
        return await _counted(self._line(), jobs, budget)

    def hold(self) -> bool:
        """Be held once more; False when the last holder has closed it already."""
        return self._holders.more()

    async def aclose(self) -> None:
        """Be held once less; closes the running event loop's connection when nobody is left, or nobody is using it."""
        last = self._holders.less()
        loop = asyncio.get_running_loop()
        line = self._lines.get(loop)
        if line is not None and (last or line.idle):
            del self._lines[loop]
            await line.aclose()

    def _line(self) -> Line:
        loop = asyncio.get_running_loop()
        line = self._lines.get(loop)
        if line is None:
            for ended in [other for other in self._lines if other.is_closed()]:
                del self._lines[ended]
            line = self._lines[loop] = Line(self._new_client, self._budget, self.clock, self._tokens)
        return line


async def _counted(line: Line, jobs: Sequence[Job], seconds: float | None) -> list[Any]:
    labels = [label_for(command) for _, command in jobs]
    asked = [
        line.call(((key,), label), looks=command.looks and not command.primary, budget=seconds)
        for (key, command), label in zip(jobs, labels, strict=True)
    ]
    replies = await asyncio.gather(*asked)
    return [counts(label, reply, at, 1)[0] for label, (reply, at) in zip(labels, replies, strict=True)]


def _looks(asks: Sequence[Ask]) -> bool:
    return all(ask.mode == LOOK for ask in asks)
