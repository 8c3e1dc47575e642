"""
The line: one connection of one event loop, shared by all who hit at the same time.

A hit that finds the line idle is written at once. Hits that arrive while replies are under way ride together: everything that
waits at the end of the loop's turn becomes one command. Replies come in the order of the commands, so a caller who has given up
leaves nothing behind.

redis-py's own Connection does the connecting (address, TLS, authentication); then its transport speaks to this protocol.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Any, Final, NamedTuple

import hiredis
import redis.exceptions

from ratekit.errors import StoreError, StoreUnavailable
from ratekit.stores.redis.script import Parcel, Script, checked, script_for, words
from ratekit.stores.redis.wire import FAULTS, pack, translated

MOST_WAITING: Final = 50_000
"""Hits that may wait for the line; beyond them the store counts as away."""
MOST_TOGETHER: Final = 512
"""Hits in one command, so that none keeps the server from others for long."""
ABANDON: Final = 5.0
"""Seconds after which a connection that does not answer is given up."""
GRACE: Final = 0.002
"""Seconds that a late reply is given to be read, should this process and not the store be late."""


Reply = tuple[Sequence[int], int]
"""A whole reply and where a hit's integers begin in it."""

Caller = tuple[Parcel, "asyncio.Future[Reply]", bool]
"""A hit, who waits for it, and whether for the line's own budget."""


class Trip(NamedTuple):
    """A command under way, and since when its first caller waits."""

    callers: Sequence[Caller]
    script: Script
    since: float


class Line(asyncio.Protocol):
    """One connection, opened when it is first needed and again after it broke."""

    def __init__(self, new_connection: Any, budget: float, clock: Any) -> None:
        self._loop = asyncio.get_running_loop()
        self._new_connection = new_connection
        self._budget = budget
        self._clock = clock
        self._reader: Any = None
        self._connection: Any = None
        self._transport: Any = None
        self._connecting: asyncio.Task[None] | None = None
        self._waiting: list[Caller] = []
        self._since = 0.0  # the first of those who wait for the line's own budget; 0: nobody does
        self._flying: deque[Trip] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._flush_soon = False
        self._keeper: AsyncGenerator[None, None] | None = None

    def call(self, parcel: Parcel, budget: float | None = None) -> "asyncio.Future[Reply]":
        """Put a hit on the line; the future ends in its reply or in a StoreError, within the budget (seconds)."""
        if len(self._waiting) >= MOST_WAITING:
            raise StoreUnavailable(f"{MOST_WAITING} hits wait for the store already", "late")
        future = self._loop.create_future()
        if budget is None or budget == self._budget:
            self._waiting.append((parcel, future, True))
            if not self._since:
                self._since = self._loop.time()
                if self._timer is None:
                    self._timer = self._loop.call_at(self._since + self._budget, self._look)
        else:
            self._waiting.append((parcel, future, False))
            timer = self._loop.call_later(budget + GRACE, late, future, budget)
            future.add_done_callback(lambda _: timer.cancel())
        if self._transport is None:
            self._connect()
        elif not self._flying:
            self._flush()
        elif not self._flush_soon:
            self._flush_soon = True
            self._loop.call_soon(self._flush)
        return future

    @property
    def idle(self) -> bool:
        """Whether nobody waits for anything."""
        return not self._waiting and not self._flying

    def close(self) -> None:
        """Close the connection; whoever still waits is told that the store is away."""
        if self._connecting is not None:
            self._connecting.cancel()
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.close()
        self._fail_waiting(StoreUnavailable("the store was closed"))

    # Writing.

    def _flush(self) -> None:
        self._flush_soon = False
        if self._transport is None:
            return
        waiting, self._waiting = self._waiting, []
        since, self._since = self._since or self._loop.time(), 0.0
        callers = [caller for caller in waiting if not caller[1].done()]
        for first in range(0, len(callers), MOST_TOGETHER):
            together = callers[first : first + MOST_TOGETHER]
            rules = frozenset().union(*{label.rules for (_, label), _, _ in together})
            self._send(Trip(together, script_for(rules), since), whole=False)

    def _send(self, trip: Trip, *, whole: bool) -> None:
        now = None if self._clock is None else self._clock()
        self._flying.append(trip)
        command = words([parcel for parcel, _, _ in trip.callers], trip.script, now, whole=whole)
        self._transport.write(pack(tuple(command)))

    # Reading.

    def data_received(self, data: bytes) -> None:
        """Hand every whole reply to the callers of its trip."""
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not False:
                self._arrived(self._flying.popleft(), reply)
        except (hiredis.ProtocolError, IndexError):  # no reply, or one that nobody asked for
            self._transport.abort()

    def _arrived(self, trip: Trip, reply: Any) -> None:
        if isinstance(reply, Exception):
            if str(reply).startswith("NOSCRIPT"):  # it certainly did not run
                self._send(trip, whole=True)
            else:
                fail(trip.callers, translated(redis.exceptions.ResponseError(str(reply))))
            return
        try:
            checked([parcel for parcel, _, _ in trip.callers], reply)
        except StoreError as error:
            fail(trip.callers, error)
            return
        at = 1
        for (_, label), future, _ in trip.callers:
            if not future.done():
                future.set_result((reply, at))
            at += label.width

    # The time that a caller may wait.

    def _look(self) -> None:
        """Some caller's time may be up: first let what has arrived be read, then tell whoever still waits."""
        self._timer = self._loop.call_later(GRACE, self._expire)

    def _expire(self) -> None:
        self._timer = None
        late = self._loop.time() - GRACE - self._budget
        error = no_reply(self._budget)
        if self._flying and self._flying[0].since < self._loop.time() - ABANDON:
            self._transport.abort()
        oldest = None
        for trip in self._flying:
            if trip.since > late:
                oldest = trip.since
                break
            fail([caller for caller in trip.callers if caller[2]], error)
        if self._since and self._since <= late:
            fail([caller for caller in self._waiting if caller[2]], error)
            self._waiting = [caller for caller in self._waiting if not caller[1].done()]
            self._since = 0.0
        if oldest is None and self._since:
            oldest = self._since
        if oldest is not None:
            self._timer = self._loop.call_at(oldest + self._budget, self._look)

    # The connection.

    def _connect(self) -> None:
        if self._connecting is None:
            self._connecting = self._loop.create_task(self._open())

    async def _open(self) -> None:
        try:
            connection = await self._connected()
            self._reader = hiredis.Reader()
            self._connection, self._transport = connection, connection._writer.transport
            self._transport.set_protocol(self)
            self._flush()
            if self._keeper is None:
                self._keeper = self._until_the_loop_ends()
                await anext(self._keeper)
        except FAULTS as error:
            self._fail_waiting(translated(error))
        finally:
            self._connecting = None

    async def _connected(self) -> Any:
        connection = self._new_connection()
        try:
            async with asyncio.timeout(ABANDON):
                await connection.connect()
        except BaseException:  # refused, too late or cancelled: half a connection is closed, too
            await connection.disconnect(nowait=True)
            raise
        return connection

    async def _until_the_loop_ends(self) -> AsyncGenerator[None, None]:
        """Event loops end the asynchronous generators that they began; so a connection does not outlive its loop."""
        try:
            yield
        finally:
            self.close()
            await asyncio.sleep(0)  # the loop closes the socket in its next turn

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever is under way may have been counted and is told so; whoever still waits goes with the next connection."""
        lost, self._flying = self._flying, deque()
        self._connection._reader = self._connection._writer = None  # closed already: redis-py need not warn of it
        self._transport = self._connection = None
        for trip in lost:
            fail(trip.callers, StoreUnavailable(f"the connection was lost: {exc or 'closed by the server'}"))
        if self._waiting:
            self._connect()

    def _fail_waiting(self, error: StoreError) -> None:
        waiting, self._waiting, self._since = self._waiting, [], 0.0
        fail(waiting, error)


def fail(callers: Iterable[Caller], error: StoreError) -> None:
    """Tell callers who still wait; each gets an error of its own, because raising one marks it."""
    for _, future, _ in callers:
        if not future.done():
            future.set_exception(type(error)(str(error), error.fault))


def late(future: "asyncio.Future[Reply]", budget: float) -> None:
    """Tell one caller, whose budget is not the line's."""
    if not future.done():
        future.set_exception(no_reply(budget))


def no_reply(budget: float) -> StoreUnavailable:
    """What a caller is told whose time is up."""
    return StoreUnavailable(f"no reply within {budget:g} s", "late")
