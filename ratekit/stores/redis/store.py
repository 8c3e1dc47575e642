"""
RedisStore and AsyncRedisStore: thin shells around one script.
"""

import asyncio
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

from ratekit.algorithms import SPEND
from ratekit.decision import Decision
from ratekit.stores.counting import Command, Job
from ratekit.stores.holders import Holders
from ratekit.stores.naming import Canonical, Plan, Space
from ratekit.stores.place import place_of
from ratekit.stores.protocol import Ask, AsyncCompiled, AsyncCompiledMany, Compiled, CompiledMany, Seens
from ratekit.stores.redis.address import async_connector, connector, patience_of
from ratekit.stores.redis.line import Line
from ratekit.stores.redis.script import MOST_TOGETHER, Route, counts, decisions, label_for, packed, seens
from ratekit.stores.redis.trip import Trips
from ratekit.stores.redis.wire import LOST, translated
from ratekit.stores.traffic import Traffic

Clock = Callable[[], int]

BUDGET = 0.05
"""Seconds that a decision may take, connecting included."""
PATIENCE = 5.0
"""Seconds that a reset may take."""


class RedisStore:
    """
    State in Redis 7 or newer, or Valkey, for threads.

    `target` is a URL (`redis://`, `rediss://`, `unix://`, `redis+sentinel://`) or a `redis.Redis` client of yours, also one of
    `Sentinel.master_for`: its address and credentials are used, its connections are not. `budget` is the seconds that a decision may take, connecting included, unless a limiter says otherwise.
    `clock` (microseconds, always ahead of the server's time) is for tests: without it the server's own
    clock decides.

    >>> from ratekit import Limiter
    >>> limiter = Limiter("100/minute", store=RedisStore("redis://localhost:6379/0"))  # doctest: +SKIP
    """

    remote = True
    merges = True

    def __init__(self, target: Any, *, budget: float = BUDGET, clock: Clock | None = None) -> None:
        self._holders = Holders()
        self._budget = budget
        self._trips = Trips(connector(target), clock)
        self.traffic = self._trips.traffic = Traffic(place_of(target))
        self.clock = clock

    def compile(self, plan: Plan, budget: float | None = None) -> Compiled:
        """A function that hits every limit of `plan` at once, within `budget` seconds (None: the store's)."""
        route, call = Route(plan, self.clock), self._trips.call
        parcel, decision, seconds = route.parcel, route.decision, self._budget if budget is None else budget

        def hit(identity: Canonical, cost: int, mode: int) -> Decision:
            reply, at = call((parcel(identity, cost, mode),), seconds)
            return decision(reply, at, cost)

        return hit

    def compile_many(self, plan: Plan, budget: float | None = None) -> CompiledMany:
        """A function that hits every limit of `plan` for many identities, in one trip for each MOST_TOGETHER of them."""
        route, call, seconds = Route(plan, self.clock), self._trips.call, self._budget if budget is None else budget

        def hit_many(identities: Sequence[Canonical], cost: int) -> list[Decision]:
            label, answers = route.label(cost, SPEND), []
            for first in range(0, len(identities), MOST_TOGETHER):
                parcels = [(route.keys(identity), label) for identity in identities[first : first + MOST_TOGETHER]]
                answers += decisions(label, *call(parcels, seconds), len(parcels))
            return answers

        return hit_many

    def decide(self, asks: Sequence[Ask], budget: float | None = None) -> Seens:
        """One hit, one round trip: all-or-nothing over `asks`."""
        return seens(asks, *self._trips.call((packed(asks, self.clock),), self._budget if budget is None else budget))

    def forget(self, spaces: Sequence[Space], identity: Canonical) -> None:
        """Make the keys of an identity as new."""
        self._trips.command("DEL", *(space.key(identity) for space in spaces), patience=PATIENCE)

    def count(self, key: str, command: Command, budget: float | None = None) -> Any:
        """What a counter's command on a key answers; one trip, with the hits and commands of others."""
        label = label_for(command)
        reply, at = self._trips.call((((key,), label),), self._budget if budget is None else budget)
        return counts(label, reply, at, 1)[0]

    def count_many(self, jobs: Sequence[Job], budget: float | None = None) -> list[Any]:
        """`count` for many keys, in one trip for each MOST_TOGETHER of them."""
        seconds, answers = self._budget if budget is None else budget, []
        for first in range(0, len(jobs), MOST_TOGETHER):
            parcels = [((key,), label_for(command)) for key, command in jobs[first : first + MOST_TOGETHER]]
            reply, at = self._trips.call(parcels, seconds)
            for _, label in parcels:
                answers += counts(label, reply, at, 1)
                at += label.width
        return answers

    @property
    def waiting(self) -> int:
        """Callers that wait for a trip of their own or another's."""
        return self._trips.waiting

    def hold(self) -> bool:
        """Be held once more; False when the last holder has closed it already."""
        return self._holders.more()

    def close(self) -> None:
        """Be held once less; the last holder closes the connections."""
        if self._holders.less():
            self._trips.close()


class AsyncRedisStore:
    """
    State in Redis 7 or newer, or Valkey, for asyncio: `RedisStore`, awaited. All callers on an event loop share one connection.

    `target` is a URL or a `redis.asyncio.Redis` client of yours: its address and credentials are used, its connections are not.
    """

    remote = True
    merges = True

    def __init__(self, target: Any, *, budget: float = BUDGET, clock: Clock | None = None) -> None:
        self._holders = Holders()
        self._budget = budget
        self._connect, self._abandon = async_connector(target), patience_of(target)
        self._lines: dict[asyncio.AbstractEventLoop, Line] = {}
        self.traffic = Traffic(place_of(target))
        self.clock = clock

    def compile(self, plan: Plan, budget: float | None = None) -> AsyncCompiled:
        """A function that hits every limit of `plan` at once, within `budget` seconds (None: the store's)."""
        route, lines, running = Route(plan, self.clock), self._lines, asyncio.get_running_loop
        keys, labels, label = route.keys, route.labels, route.label
        own = None if budget == self._budget else budget

        def hit(identity: Canonical, cost: int, mode: int) -> "asyncio.Future[Decision]":
            line = lines.get(running()) or self._line()
            return line.call(keys(identity), labels.get((cost, mode)) or label(cost, mode), own)

        return hit

    def compile_many(self, plan: Plan, budget: float | None = None) -> AsyncCompiledMany:
        """A function that hits every limit of `plan` for many identities, in one trip for each MOST_TOGETHER of them."""
        route, own = Route(plan, self.clock), None if budget == self._budget else budget

        async def hit_many(identities: Sequence[Canonical], cost: int) -> list[Decision]:
            label, ride = route.label(cost, SPEND), self._line().ride
            rides = []
            for first in range(0, len(identities), MOST_TOGETHER):
                some = identities[first : first + MOST_TOGETHER]
                rides.append(ride([key for identity in some for key in route.keys(identity)], label, len(some), "all", own))
            return [decision for answers in await asyncio.gather(*rides) for decision in answers]

        return hit_many

    async def decide(self, asks: Sequence[Ask], budget: float | None = None) -> Seens:
        """One hit, together with all others that wait: all-or-nothing over `asks`."""
        keys, label = packed(asks, self.clock)
        reply, at = await self._line().ride([*keys], label, 1, "reply", None if budget == self._budget else budget)
        return seens(asks, reply, at)

    async def forget(self, spaces: Sequence[Space], identity: Canonical) -> None:
        """Make the keys of an identity as new."""
        connection = None
        try:
            async with asyncio.timeout(PATIENCE):
                connection = await self._connect()
                await connection.send_command("DEL", *(space.key(identity) for space in spaces))
                await connection.read_response()
        except LOST as error:
            raise translated(error) from error
        finally:
            if connection is not None:
                await connection.disconnect(nowait=True)

    def count(self, key: str, command: Command, budget: float | None = None) -> "asyncio.Future[Any]":
        """What a counter's command on a key answers; one trip, with the hits and commands of others."""
        line = self._lines.get(asyncio.get_running_loop()) or self._line()
        return line.call([key], label_for(command), None if budget == self._budget else budget)

    async def count_many(self, jobs: Sequence[Job], budget: float | None = None) -> list[Any]:
        """`count` for many keys, in one trip for each MOST_TOGETHER of them."""
        line, own, rides = self._line(), None if budget == self._budget else budget, []
        for command, some in groupby(jobs, lambda job: job[1]):
            keys = [key for key, _ in some]
            for first in range(0, len(keys), MOST_TOGETHER):
                part = keys[first : first + MOST_TOGETHER]
                rides.append(line.ride(part, label_for(command), len(part), "all", own))
        return [answer for answers in await asyncio.gather(*rides) for answer in answers]

    @property
    def waiting(self) -> int:
        """Hits that wait for a trip, on every event loop."""
        return sum([line.waiting for line in [*self._lines.values()]])

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
            line.close()
            await asyncio.sleep(0)  # the loop closes the socket in its next turn

    def _line(self) -> Line:
        loop = asyncio.get_running_loop()
        line = self._lines.get(loop)
        if line is None:
            for ended in [other for other in self._lines if other.is_closed()]:
                del self._lines[ended]
            line = self._lines[loop] = Line(self._connect, self._budget, self.clock, self._abandon)
            line.traffic = self.traffic
        return line
