"""
The line: the requests of one event loop, one under way at a time.

A hit that finds nothing under way leaves at the end of the loop's turn, with all that came in that turn. Hits that arrive while a
request is under way ride together on the next one: one command, one connection that is kept alive, one price.

Who waits is told in time, whatever becomes of the request: it is left behind, not cut off, so that a connection which took longer
than the budget is there for the next one. Nothing is ever sent again but a script that the server did not know: then it certainly
did not run.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from typing import Any, Final, NamedTuple

from ratekit.errors import MissingExtra, StoreError, StoreUnavailable
from ratekit.stores.redis.lua import script_for
from ratekit.stores.redis.script import Parcel, checked, words
from ratekit.stores.upstash.address import Address
from ratekit.stores.upstash.wire import SYNC, Answer, Tokens, answer_of, body, result_of, translated

MOST_WAITING: Final = 50_000
"""Hits that may wait for the line; beyond them the store counts as away."""
MOST_KEYS: Final = 2_048
"""Keys in one command: under half a megabyte, and short for the server."""
MOST_BEHIND: Final = 4
"""Requests that nobody waits for any more and that may still come back; beyond them the oldest is cut off."""
ABANDON: Final = 5.0
"""Seconds after which a request is given up."""
ALIVE: Final = 55.0
"""Seconds that an idle connection is kept: less than the minute after which many gateways hang up, so that none does as we write."""
GRACE: Final = 0.005
"""Seconds that a late reply is given to be read, should this process and not the store be late."""

Reply = tuple[Sequence[int], int]
"""A whole reply and where a hit's integers begin in it."""


def client_maker(address: Address) -> Callable[[], Any]:
    """
    What makes an HTTP client for an event loop. What takes its time, importing httpx and reading the certificates, is done here:
    when a store is made, and not in the path of a request. Raises MissingExtra.
    """
    if find_spec("httpx") is None:
        raise MissingExtra("an Upstash store", "httpx", "upstash")
    import httpx

    return partial(
        httpx.AsyncClient,
        base_url=address.url,
        headers={"Authorization": f"Bearer {address.token}", "Content-Type": "application/json"},
        limits=httpx.Limits(max_connections=2 * MOST_BEHIND, max_keepalive_connections=2, keepalive_expiry=ALIVE),
        timeout=None,  # ours is around the whole request
        verify=httpx.create_ssl_context(),
    )


class Caller(NamedTuple):
    """A hit: whether it only looks, who waits for it, until when."""

    parcel: Parcel
    looks: bool
    future: "asyncio.Future[Reply]"
    deadline: float


class Line:
    """The requests of the running event loop; `tokens` are the store's, whatever the loop."""

    def __init__(self, new_client: Callable[[], Any], budget: float, clock: Any, tokens: Tokens) -> None:
        self._loop = asyncio.get_running_loop()
        self._new_client, self._budget, self._clock, self._tokens = new_client, budget, clock, tokens
        self._client: Any = None
        self._waiting: deque[Caller] = deque()
        self._under_way: asyncio.Task[None] | None = None
        self._behind: deque[asyncio.Task[None]] = deque()
        self._keeper: AsyncGenerator[None, None] | None = None

    def call(self, parcel: Parcel, *, looks: bool, budget: float | None = None) -> "asyncio.Future[Reply]":
        """Put a hit on the line; the future ends in its reply or in a StoreError, within the budget (seconds)."""
        if len(self._waiting) >= MOST_WAITING:
            raise StoreUnavailable(f"{MOST_WAITING} hits wait for the store already", "late")
        future: asyncio.Future[Reply] = self._loop.create_future()
        seconds = self._budget if budget is None else budget
        deadline = self._loop.time() + seconds
        timer = self._loop.call_at(deadline + GRACE, late, future, seconds)
        future.add_done_callback(lambda _: timer.cancel())
        self._waiting.append(Caller(parcel, looks, future, deadline))
        self._depart()
        return future

    async def command(self, *command: str) -> Any:
        """Send a command in a request of its own, and its result; raises StoreError."""
        return result_of(await self._post(command, self._tokens.at_hand()))

    @property
    def idle(self) -> bool:
        """Whether nobody waits for anything."""
        return not self._waiting and self._under_way is None

    async def aclose(self) -> None:
        """Close the connections; whoever still waits is told that the store is away."""
        waiting, self._waiting = self._waiting, deque()
        fail(waiting, closed())
        tasks = [task for task in (self._under_way, *self._behind) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    # The trip.

    def _depart(self) -> None:
        if self._under_way is None and self._waiting:
            self._under_way = self._loop.create_task(self._travel())

    async def _travel(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        callers = self._aboard()
        try:
            if callers:
                # When the last one has been told that it is late, the next request may leave.
                over = max(caller.deadline for caller in callers) + 2 * GRACE
                timer = self._loop.call_at(over, self._leave_behind, task)
                try:
                    give(callers, await self._exchange(callers, over))
                finally:
                    timer.cancel()
        except Exception as error:
            fail(callers, translated(error))
        except asyncio.CancelledError:
            fail(callers, closed())
            raise
        finally:
            with suppress(ValueError):
                self._behind.remove(task)
            if self._under_way is task:
                self._under_way = None
                self._depart()

    def _aboard(self) -> list[Caller]:
        """Those who leave now: who has waited longest first, but for those who have given up."""
        callers: list[Caller] = []
        keys = 0
        while self._waiting and (not callers or keys + self._waiting[0].parcel[1].keys <= MOST_KEYS):
            caller = self._waiting.popleft()
            if not caller.future.done():
                callers.append(caller)
                keys += caller.parcel[1].keys
        return callers

    def _leave_behind(self, task: "asyncio.Task[None]") -> None:
        if self._under_way is task:
            self._under_way = None
            self._behind.append(task)
            if len(self._behind) > MOST_BEHIND:
                self._behind[0].cancel()
            self._depart()

    async def _exchange(self, callers: Sequence[Caller], over: float) -> list[int]:
        """The script by its hash, and whole where the server does not know it, unless nobody waits any more."""
        parcels = [caller.parcel for caller in callers]
        script = script_for(frozenset().union(*{label.rules for _, label in parcels}))
        looks = all(caller.looks for caller in callers)
        answer = Answer(0, None, None)
        for whole in (False, True):
            if whole and (not answer.script_is_unknown or self._loop.time() > over):
                break
            now = None if self._clock is None else self._clock()
            name, *rest = words(parcels, script, now, whole=whole)
            tokens = self._tokens.at_hand()
            # What only looks may be answered by a replica, once that has seen what we have seen.
            replica = looks and len(tokens) <= 1
            answer = await self._post([f"{name}_RO" if replica else name, *rest], tokens)
        return checked(parcels, result_of(answer))

    # The request.

    async def _post(self, command: Sequence[str], tokens: tuple[str, ...]) -> Answer:
        try:
            client = self._client or await self._connect()
            async with asyncio.timeout(ABANDON):
                headers = {SYNC: tokens[-1] if tokens else ""}
                response = await client.post("", content=body(command), headers=headers)
        except Exception as error:
            raise translated(error) from error
        if SYNC in response.headers:
            self._tokens.came(response.headers[SYNC], tokens)
        return answer_of(response.status_code, response.content)

    async def _connect(self) -> Any:
        self._client = self._new_client()
        if self._keeper is None:
            self._keeper = self._until_the_loop_ends()
            await anext(self._keeper)
        return self._client

    async def _until_the_loop_ends(self) -> AsyncGenerator[None, None]:
        """Event loops end the asynchronous generators that they began; so a connection does not outlive its loop."""
        try:
            yield
        finally:
            await self.aclose()


def give(callers: Iterable[Caller], reply: Sequence[int]) -> None:
    """Hand a reply to all who still wait."""
    at = 1
    for (_, label), _, future, _ in callers:
        if not future.done():
            future.set_result((reply, at))
        at += label.width


def fail(callers: Iterable[Caller], error: StoreError) -> None:
    """Tell callers who still wait; each gets an error of its own, because raising one marks it."""
    for _, _, future, _ in callers:
        if not future.done():
            future.set_exception(type(error)(str(error), error.fault))


def late(future: "asyncio.Future[Reply]", budget: float) -> None:
    """Tell one caller whose time is up."""
    if not future.done():
        future.set_exception(no_reply(budget))


def no_reply(budget: float) -> StoreUnavailable:
    """What a caller is told whose time is up."""
    return StoreUnavailable(f"no reply within {budget:g} s", "late")


def closed() -> StoreUnavailable:
    """What those are told who wait when a store is closed."""
    return StoreUnavailable("the store was closed")
