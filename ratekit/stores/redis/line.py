"""
The line: one connection of one event loop, shared by all who hit at the same time.

A hit that finds the line idle is written at once. Hits that arrive while replies are under way ride together: everything that
waits at the end of the loop's turn becomes one command. Replies come in the order of the commands, so a caller who has given up
leaves nothing behind.

redis-py's own Connection does the connecting (address, TLS, authentication); then its transport speaks to this protocol.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import hiredis
import redis.exceptions

from ratekit.errors import StoreError, StoreUnavailable
from ratekit.stores.redis.script import Packed, Script, arguments, checked, script_for
from ratekit.stores.redis.wire import FAULTS, command, translated

MOST_WAITING: Final = 50_000
"""Hits that may wait for the line; beyond them the store counts as away."""
MOST_TOGETHER: Final = 512
"""Hits in one command, so that none keeps the server from others for long."""
GRACE: Final = 0.002
"""Seconds that a late reply is given to be read, should this process and not the store be late."""


class Caller(NamedTuple):
    """A hit and who waits for it: the future is given the reply and where the hit's integers begin in it."""

    hit: Packed
    future: "asyncio.Future[tuple[Sequence[int], int]]"
    deadline: float


class Trip(NamedTuple):
    """A command under way."""

    callers: Sequence[Caller]
    script: Script


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
        self._waiting: deque[Caller] = deque()
        self._flying: deque[Trip] = deque()
        self._watched: deque[Caller] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._flush_soon = False

    def call(self, hit: Packed) -> "asyncio.Future[tuple[Sequence[int], int]]":
        """Put a hit on the line; the future ends in its reply or in a StoreError, within the budget."""
        caller = Caller(hit, self._loop.create_future(), self._loop.time() + self._budget)
        if len(self._waiting) >= MOST_WAITING:
            raise StoreUnavailable(f"{MOST_WAITING} hits wait for the store already")
        self._waiting.append(caller)
        self._watched.append(caller)
        if self._timer is None:
            self._timer = self._loop.call_at(caller.deadline, self._look)
        if self._transport is None:
            self._connect()
        elif not self._flying:
            self._flush()
        elif not self._flush_soon:
            self._flush_soon = True
            self._loop.call_soon(self._flush)
        return caller.future

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
        waiting, self._waiting = self._waiting, deque()
        fail(waiting, StoreUnavailable("the store was closed"))

    # Writing.

    def _flush(self) -> None:
        self._flush_soon = False
        while self._waiting and self._transport is not None:
            together = [self._waiting.popleft() for _ in range(min(len(self._waiting), MOST_TOGETHER))]
            callers = [caller for caller in together if not caller.future.done()]
            if callers:
                rules = callers[0].hit.rules.union(*(caller.hit.rules for caller in callers))
                self._send(Trip(callers, script_for(rules)), "EVALSHA", 1)

    def _send(self, trip: Trip, name: str, part: int) -> None:
        now = None if self._clock is None else self._clock()
        self._flying.append(trip)
        self._transport.write(command(name, trip.script[part], *arguments([caller.hit for caller in trip.callers], now)))

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
                self._send(trip, "EVAL", 0)
            else:
                fail(trip.callers, translated(redis.exceptions.ResponseError(str(reply))))
            return
        try:
            checked([caller.hit for caller in trip.callers], reply)
        except StoreError as error:
            fail(trip.callers, error)
            return
        at = 1
        for hit, future, _ in trip.callers:
            if not future.done():
                future.set_result((reply, at))
            at += hit.width

    # The time that a caller may wait.

    def _look(self) -> None:
        """Some caller's time may be up: first let what has arrived be read, then tell whoever still waits."""
        self._timer = self._loop.call_later(GRACE, self._expire)

    def _expire(self) -> None:
        now = self._loop.time() - GRACE
        watched = self._watched
        while watched and (watched[0].future.done() or watched[0].deadline <= now):
            fail([watched.popleft()], StoreUnavailable(f"no reply within {self._budget:g} s"))
        self._timer = self._loop.call_at(watched[0].deadline, self._look) if watched else None

    # The connection.

    def _connect(self) -> None:
        if self._connecting is None:
            self._connecting = self._loop.create_task(self._open())

    async def _open(self) -> None:
        try:
            connection = self._new_connection()
            await connection.connect()
            self._reader = hiredis.Reader()
            self._connection, self._transport = connection, connection._writer.transport
            self._transport.set_protocol(self)
            self._flush()
        except FAULTS as error:
            waiting, self._waiting = self._waiting, deque()
            fail(waiting, translated(error))
        finally:
            self._connecting = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever is under way may have been counted and is told so; whoever still waits goes with the next connection."""
        lost, self._flying = self._flying, deque()
        self._connection._reader = self._connection._writer = None  # closed already: redis-py need not warn of it
        self._transport = self._connection = None
        for trip in lost:
            fail(trip.callers, StoreUnavailable(f"the connection was lost: {exc or 'closed by the server'}"))
        if self._waiting:
            self._connect()


def fail(callers: Iterable[Caller], error: StoreError) -> None:
    """Tell callers who still wait; each gets an error of its own, because raising one marks it."""
    for caller in callers:
        if not caller.future.done():
            caller.future.set_exception(type(error)(str(error)))
