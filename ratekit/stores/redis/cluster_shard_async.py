"""
A node of a cluster and a shard, for event loops: `cluster_shard.py`, awaited.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from itertools import groupby
from typing import Any, Final, Protocol

from ratekit.algorithms import SPEND
from ratekit.decision import Decision
from ratekit.errors import StoreError
from ratekit.stores.counting import Command, Job
from ratekit.stores.naming import Canonical, Plan, Space
from ratekit.stores.protocol import Ask, AsyncCompiled, AsyncCompiledMany, Seens
from ratekit.stores.redis.cluster_address import Address, Seeds, async_opener
from ratekit.stores.redis.cluster_base import Cluster, halfway, missed, moved_to
from ratekit.stores.redis.form import ASKING, AWAY, CROWD, SINGLE, Form
from ratekit.stores.redis.line import Line
from ratekit.stores.redis.run import Wants
from ratekit.stores.redis.script import MOST_TOGETHER, Label, Route, label_for, packed, seens
from ratekit.stores.redis.store import Clock
from ratekit.stores.redis.wire import Redirected
from ratekit.stores.slots import slots_of
from ratekit.stores.traffic import Traffic

DRAIN: Final = 5.0
"""Seconds that are left to what is under way to a node that nobody needs any more."""

Lines = dict[asyncio.AbstractEventLoop, Line]


class AsyncWhole(Protocol):
    """What a shard needs of the store that it is a part of."""

    budget: float
    clock: Clock | None
    place: str
    cluster: "Cluster[AsyncNode, Any]"

    def compile(self, plan: Plan, budget: float | None = None) -> AsyncCompiled: ...
    def compile_many(self, plan: Plan, budget: float | None = None) -> AsyncCompiledMany: ...
    async def decide(self, asks: Sequence[Ask], budget: float | None = None) -> Seens: ...
    async def forget(self, spaces: Sequence[Space], identity: Canonical) -> None: ...
    def count(self, key: str, command: Command, budget: float | None = None) -> Awaitable[Any]: ...
    async def count_many(self, jobs: Sequence[Job], budget: float | None = None) -> list[Any]: ...
    async def ready(self, seconds: float) -> None: ...
    async def follow(self, keys: list[str], label: Label, wants: Wants, deadline: float) -> Any: ...


class AsyncNode:
    """The connections to one server, of each event loop: for hits together, for hits alone, and for those sent there by ASK."""

    def __init__(self, seeds: Seeds, address: Address, budget: float, clock: Clock | None) -> None:
        self.traffic = Traffic(f"redis+cluster://{address[0]}:{address[1]}")
        self._connect, self._budget, self._clock = async_opener(seeds, address), budget, clock
        self.crowd: Lines = {}
        self._single: Lines = {}
        self._asking: Lines = {}

    def crowded(self) -> Line:
        """The running event loop's line for hits together."""
        return self._line(self.crowd, CROWD)

    def alone(self, *, asking: bool) -> Line:
        """The running event loop's line for hits alone."""
        return self._line(self._asking, ASKING) if asking else self._line(self._single, SINGLE)

    @property
    def waiting(self) -> int:
        """Hits that wait for a trip, on every event loop."""
        return sum([line.waiting for lines in self._kinds for line in [*lines.values()]])

    @property
    def _kinds(self) -> tuple[Lines, Lines, Lines]:
        return self.crowd, self._single, self._asking

    def leave(self, loop: asyncio.AbstractEventLoop, *, last: bool) -> None:
        """Close what the running event loop has here, if nobody is left or nobody is using it."""
        for lines in self._kinds:
            line = lines.get(loop)
            if line is not None and (last or line.idle):
                del lines[loop]
                line.close()

    def close(self) -> None:
        """Close everything soon, each line in its own event loop; from any thread."""
        for lines in self._kinds:
            for loop, line in [*lines.items()]:
                with suppress(RuntimeError):  # that loop has ended, and its line with it
                    loop.call_soon_threadsafe(loop.call_later, DRAIN, line.close)

    def _line(self, lines: Lines, form: Form) -> Line:
        loop = asyncio.get_running_loop()
        line = lines.get(loop)
        if line is None:
            for ended in [other for other in lines if other.is_closed()]:
                del lines[ended]
            line = lines[loop] = Line(self._connect, self._budget, self._clock, form=form)
            line.traffic = self.traffic
        return line


class AsyncShard:
    """The slots of one master, as a store of their own; whoever moved away meanwhile is followed."""

    remote = merges = slotted = True

    def __init__(self, store: AsyncWhole, address: Address) -> None:
        self._store = store
        self.clock = store.clock
        self.move(address)

    def move(self, address: Address) -> None:
        """Go on at another address."""
        self.address: Address | None = address
        self.node = self._store.cluster.node(address)

    @property
    def traffic(self) -> Traffic:
        """What its master was asked."""
        return self.node.traffic

    @property
    def waiting(self) -> int:
        """Hits that wait for a trip."""
        return self.node.waiting

    def compile(self, plan: Plan, budget: float | None = None) -> AsyncCompiled:
        """A function that hits every limit of `plan` at once."""
        route, running, store = Route(plan, self.clock), asyncio.get_running_loop, self._store
        keys, labels, label = route.keys, route.labels, route.label
        seconds, own = self._seconds(budget)

        async def hit(identity: Canonical, cost: int, mode: int) -> Decision:
            loop, node = running(), self.node
            began, names, said = loop.time(), keys(identity), labels.get((cost, mode)) or label(cost, mode)
            try:
                decision = await (node.crowd.get(loop) or node.crowded()).call(names, said, own)
            except Redirected:
                pass
            except StoreError as error:
                store.cluster.failed(error, self.address)
                raise
            else:
                if decision[4][0] >= 0:
                    return decision
                if decision[4][0] != AWAY:
                    raise halfway()
            found: Decision = await store.follow(names, said, "each", began + seconds)
            return found

        return hit

    def compile_many(self, plan: Plan, budget: float | None = None) -> AsyncCompiledMany:
        """A function that hits every limit of `plan` for many identities, in one trip for each MOST_TOGETHER of them."""
        route, (seconds, own) = Route(plan, self.clock), self._seconds(budget)

        async def hit_many(identities: Sequence[Canonical], cost: int) -> list[Decision]:
            label, rides = route.label(cost, SPEND), list[Awaitable[list[Decision]]]()
            for first in range(0, len(identities), MOST_TOGETHER):
                names = [route.keys(identity) for identity in identities[first : first + MOST_TOGETHER]]
                rides.append(self._ride_many(names, label, seconds, own))
            return [decision for answers in await asyncio.gather(*rides) for decision in answers]

        return hit_many

    async def decide(self, asks: Sequence[Ask], budget: float | None = None) -> Seens:
        """One hit: all-or-nothing over `asks`, also where they are in other slots than these."""
        slots = set(slots_of(asks))
        if len(slots) > 1 or any(self._store.cluster.slots.of[slot] is not self for slot in slots):
            return await self._store.decide(asks, budget)
        keys, label = packed(asks, self.clock)
        seconds, own = self._seconds(budget)
        began = asyncio.get_running_loop().time()
        try:
            reply, at = await self.node.crowded().ride([*keys], label, 1, "reply", own)
        except Redirected:
            pass
        except StoreError as error:
            self._store.cluster.failed(error, self.address)
            raise
        else:
            if not label.width or not missed(reply[at]):
                return seens(asks, reply, at)
        return seens(asks, *await self._store.follow([*keys], label, "reply", began + seconds))

    async def probe(self, asks: Sequence[Ask], budget: float | None = None) -> Seens | None:
        """Ask as a probe does, on keys that are here. A shard that has no slots any more is well, and says nothing."""
        here = moved_to(self._store.cluster.slots, self, asks)
        return await self.decide(here, budget) if here else None

    async def forget(self, spaces: Sequence[Space], identity: Canonical) -> None:
        """Make the keys of an identity as new."""
        await self._store.forget(spaces, identity)

    async def count(self, key: str, command: Command, budget: float | None = None) -> Any:
        """What a counter's command on a key answers."""
        (answer,) = await self.count_many([(key, command)], budget)
        return answer

    async def count_many(self, jobs: Sequence[Job], budget: float | None = None) -> list[Any]:
        """`count` for many keys, in one trip for each MOST_TOGETHER of them."""
        (seconds, own), rides = self._seconds(budget), list[Awaitable[list[Any]]]()
        for command, some in groupby(jobs, lambda job: job[1]):
            names = [[key] for key, _ in some]
            for first in range(0, len(names), MOST_TOGETHER):
                rides.append(self._ride_many(names[first : first + MOST_TOGETHER], label_for(command), seconds, own))
        return [answer for answers in await asyncio.gather(*rides) for answer in answers]

    async def aclose(self) -> None:
        """The connections are the whole store's."""

    def _seconds(self, budget: float | None) -> tuple[float, float | None]:
        """The seconds of a hit, and the same as lines want them: None for their own."""
        seconds = self._store.budget if budget is None else budget
        return seconds, None if seconds == self._store.budget else seconds

    async def _ride_many(self, names: list[list[str]], label: Label, seconds: float, own: float | None) -> list[Any]:
        """Hits in a row that bear one label; those that are elsewhere follow by themselves."""
        deadline = asyncio.get_running_loop().time() + seconds
        keys = [key for each in names for key in each]
        answers: list[Any]
        try:
            answers = await self.node.crowded().ride(keys, label, len(names), "all", own)
            elsewhere = [i for i, answer in enumerate(answers) if missed(answer)]
        except Redirected:
            answers, elsewhere = [None] * len(names), [*range(len(names))]
        except StoreError as error:
            self._store.cluster.failed(error, self.address)
            raise
        if elsewhere:
            found = await asyncio.gather(*(self._store.follow(names[i], label, "each", deadline) for i in elsewhere))
            for i, answer in zip(elsewhere, found, strict=True):
                answers[i] = answer
        return answers
