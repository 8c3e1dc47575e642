"""
The line: one connection of one event loop, shared by all who hit at the same time.

A hit that finds the line idle is written at once. Hits that arrive while replies are under way ride together: everything that
waits at the end of the loop's turn becomes one command. Replies come in the order of the commands, so a caller who has given up
leaves nothing behind.

redis-py's own Connection does the connecting (address, TLS, authentication); then its transport speaks to this protocol.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple
from weakref import ref

import hiredis
import redis.exceptions

from ratekit.decision import Decision
from ratekit.errors import StoreError, StoreUnavailable
from ratekit.stores.redis.form import PLAIN, Form
from ratekit.stores.redis.lua import Script
from ratekit.stores.redis.run import Run, Wants
from ratekit.stores.redis.script import NOTHING, Label, sound
from ratekit.stores.redis.wire import FAULTS, demoted, pack, translated
from ratekit.stores.traffic import Traffic

MOST_WAITING: Final = 50_000
"""Hits that may wait for the line; beyond them the store counts as away."""
UNDER_WAY: Final = 8
"""Commands under way at most."""
SHARE: Final = 4
"""A command goes when a quarter of all hits on the line are in it: then both ends of the line work at the same time,"""
FEWEST: Final = 16
MANY: Final = 64
"""but none goes with fewer, unless the line is idle, and more than that are not waited for: a command costs some 20 us anyway."""
ABANDON: Final = 5.0
"""Seconds after which a connection that does not answer is given up."""
GRACE: Final = 0.002
"""Seconds that a late reply is given to be read, should this process and not the store be late."""


class Trip(NamedTuple):
    """A command under way, since when its first caller waits, and whether anybody waits for the line's own budget."""

    runs: Sequence[Run]
    hits: int
    script: Script
    since: float


SAID: Final = Trip((), 0, Script("", ""), float("inf"))
"""What is said before a command: nobody waits for the answer."""


class Line(asyncio.Protocol):
    """One connection, opened when it is first needed and again after it broke."""

    def __init__(
        self, connect: Callable[[], Awaitable[Any]], budget: float, clock: Any, abandon: float = ABANDON, form: Form = PLAIN
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._form = form
        self._connected, self._abandon = connect, abandon
        self._budget = budget
        self._clock = clock
        self._reader: Any = None
        self._connection: Any = None
        self._transport: Any = None
        self._connecting: asyncio.Task[None] | None = None
        self._runs: list[Run] = []
        self._open_run = Run(NOTHING, None)  # the run that a hit may join: the last of _runs, or one that nobody can
        self._waiting = 0  # hits in _runs
        self._away = 0  # hits in _flying
        self._enough = FEWEST
        self._since = 0.0  # the first of those who wait for the line's own budget; 0: nobody does
        self._flying: deque[Trip] = deque()
        self._crowd = False  # whether the latest command carried several hits
        self._timer: asyncio.TimerHandle | None = None
        self._flush_soon = False
        self._keeper: AsyncGenerator[None, None] | None = None
        self.traffic = Traffic()

    def call(self, keys: list[str], label: Label, budget: float | None = None) -> "asyncio.Future[Decision]":
        """Put a hit on the line; the future ends in its decision or in a StoreError, within the budget (seconds; None: the line's)."""
        if not (self._runs or self._flying or self._crowd) and self._transport is not None:
            return self._alone(keys, label, budget)
        run = self._open_run
        if run.label is not label or run.budget != budget or run.hits >= self._form.most:
            run = self._open_run = self._begin(label, budget, "each")
        future: asyncio.Future[Decision] = self._loop.create_future()
        run.keys += keys
        run.futures.append(future)
        run.hits += 1
        self._waiting += 1
        if self._waiting >= self._enough or not (self._flying or self._flush_soon):
            self._go()
        return future

    def ride(self, keys: list[str], label: Label, hits: int, wants: Wants, budget: float | None = None) -> "asyncio.Future[Any]":
        """Put a run on the line that nobody joins; one future for all of it."""
        self._give_up()
        run = self._begin(label, budget, wants)
        self._open_run = Run(NOTHING, None)
        future: asyncio.Future[Any] = self._loop.create_future()
        run.keys, run.futures, run.hits = keys, [future], hits
        self._waiting += hits
        self._go()
        return future

    @property
    def waiting(self) -> int:
        """Hits that wait for a trip."""
        return self._waiting

    @property
    def idle(self) -> bool:
        """Whether nobody waits for anything."""
        return not self._runs and not self._flying

    def close(self) -> None:
        """Close the connection; whoever still waits is told that the store is away."""
        if self._connecting is not None:
            self._connecting.cancel()
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            # A farewell by TLS is a trip of its own, and the event loop may end before the answer.
            secure = self._transport.get_extra_info("sslcontext") is not None
            self._transport.abort() if secure else self._transport.close()
        self._fail_waiting(StoreUnavailable("the store was closed"))

    # Writing.

    def _alone(self, keys: list[str], label: Label, budget: float | None) -> "asyncio.Future[Decision]":
        """A hit that finds the line idle goes at once, without the steps that crowds take together."""
        future: asyncio.Future[Decision] = self._loop.create_future()
        run = Run(label, budget)
        run.keys, run.futures, run.hits = keys, [future], 1
        since = self._loop.time()
        if budget is not None:
            self._limit(run, budget)
        elif self._timer is None:
            self._timer = self._loop.call_at(since + self._budget, self._look)
        self._away, self._enough = 1, FEWEST
        self._send(Trip((run,), 1, self._form.script(label.rules), since), whole=False)
        return future

    def _begin(self, label: Label, budget: float | None, wants: Wants) -> Run:
        if self._waiting >= MOST_WAITING:
            raise StoreUnavailable(f"{MOST_WAITING} hits wait for the store already", "late")
        run = Run(label, budget, wants)
        self._runs.append(run)
        if budget is not None:
            self._limit(run, budget)
        elif not self._since:
            self._since = self._loop.time()
            if self._timer is None:
                self._timer = self._loop.call_at(self._since + self._budget, self._look)
        return run

    def _limit(self, run: Run, budget: float) -> None:
        """One timer for all hits of a run: whoever joined later is told a little early, as with the line's own budget."""
        run.timer = self._loop.call_later(budget, self._last_look, run, budget)

    def _last_look(self, run: Run, budget: float) -> None:
        run.timer = self._loop.call_later(GRACE, self._late, run, budget)

    def _late(self, run: Run, budget: float) -> None:
        """Tell callers whose budget is not the line's. A run that has not gone yet does not go any more, and nobody joins it."""
        if run in self._runs:
            self._runs.remove(run)
            self._waiting -= run.hits
            if self._open_run is run:
                self._open_run = Run(NOTHING, None)
        run.fail(no_reply(budget))

    def _go(self) -> None:
        """See to it that what waits is sent: now, at the end of this turn of the loop, when a reply comes or when connected."""
        if self._transport is None:
            self._connect()
        elif self._waiting >= self._enough:
            if len(self._flying) < UNDER_WAY:
                self._flush()
        elif not self._flying and not self._flush_soon:
            if self._crowd:
                self._flush_soon = True
                self._loop.call_soon(self._flush)
            else:
                self._flush()

    def _flush(self) -> None:
        self._flush_soon = False
        if self._transport is None:
            return
        for run in self._runs:
            run.drop_done()
        while self._runs and len(self._flying) < UNDER_WAY:
            hits = end = 0
            while end < len(self._runs) and (not end or hits + self._runs[end].hits <= self._form.most):
                hits += self._runs[end].hits
                end += 1
            together, self._runs = self._runs[:end], self._runs[end:]
            self._waiting -= hits
            rules = frozenset().union(*{run.label.rules for run in together})
            self._crowd = hits > 1
            self._away += hits
            self._enough = min(MANY, max(FEWEST, (self._away + self._waiting) // SHARE))
            self._send(Trip(together, hits, self._form.script(rules), self._since or self._loop.time()), whole=False)
        if not self._runs:
            self._since = 0.0
            self._waiting = 0
            self._open_run = Run(NOTHING, None)

    def _send(self, trip: Trip, *, whole: bool) -> None:
        keys = trip.runs[0].keys if len(trip.runs) == 1 else [key for run in trip.runs for key in run.keys]
        rows = [(run.label, run.hits) for run in trip.runs]
        if self._form.before:
            self._flying.append(SAID)
            self._transport.write(pack(self._form.before))
        self._flying.append(trip)
        self.traffic.trips += 1
        self.traffic.hits += trip.hits
        now = None if self._clock is None else self._clock()
        self._transport.write(pack(tuple(self._form.command(keys, rows, trip.script, now, whole=whole))))

    # Reading.

    def data_received(self, data: bytes) -> None:
        """Hand every whole reply to the callers of its trip."""
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not False:
                self._arrived(self._flying.popleft(), reply)
        except (hiredis.ProtocolError, IndexError):  # no reply, or one that nobody asked for
            self._transport.abort()
            return
        if self._runs and (not self._flying or self._waiting >= self._enough):
            self._flush()

    def _arrived(self, trip: Trip, reply: Any) -> None:
        if trip is SAID:
            return
        if isinstance(reply, Exception) and str(reply).startswith("NOSCRIPT"):  # it certainly did not run
            self._send(trip, whole=True)
            return
        self._away -= trip.hits
        if isinstance(reply, Exception):
            fail(trip.runs, translated(redis.exceptions.ResponseError(str(reply))))
            if demoted(reply) and not self._form.stays:
                self._transport.abort()
            return
        try:
            lists = any(run.label.lists for run in trip.runs)
            sound(reply, sum([run.label.width * run.hits for run in trip.runs]), lists=lists)
        except StoreError as error:
            fail(trip.runs, error)
            return
        at = 1
        for run in trip.runs:
            run.settle(reply, at)
            at += run.label.width * run.hits

    # The time that a caller may wait.

    def _look(self) -> None:
        """Some caller's time may be up: first let what has arrived be read, then tell whoever still waits."""
        self._timer = self._loop.call_later(GRACE, self._expire)

    def _expire(self) -> None:
        self._timer = None
        late = self._loop.time() - GRACE - self._budget
        error = no_reply(self._budget)
        self._give_up()
        oldest = None
        for trip in self._flying:
            if trip.since > late:
                oldest = trip.since
                break
            fail([run for run in trip.runs if run.budget is None], error)
        if self._since and self._since <= late:
            fail([run for run in self._runs if run.budget is None], error)
            self._runs = [run for run in self._runs if run.budget is not None]
            self._waiting = sum([run.hits for run in self._runs])
            self._open_run = Run(NOTHING, None)
            self._since = 0.0
        if oldest is None and self._since:
            oldest = self._since
        if oldest is not None:
            self._timer = self._loop.call_at(oldest + self._budget, self._look)

    def _give_up(self) -> None:
        """A connection that owes an answer for too long leads nowhere; the next one may."""
        if self._flying and self._flying[0].since < self._loop.time() - self._abandon:
            self._transport.abort()

    # The connection.

    def _connect(self) -> None:
        if self._connecting is None:
            self._connecting = self._loop.create_task(self._open())

    async def _open(self) -> None:
        try:
            connection = await self._connected()
            transport = _transport_of(connection)
            self._reader = hiredis.Reader()
            self._connection, self._transport = connection, transport
            self._transport.set_protocol(self)
            self._flush()
            if self._keeper is None:
                self._keeper = _until_the_loop_ends(ref(self))
                await anext(self._keeper)
        except Exception as error:  # uvloop raises RuntimeError where a connection is lost while redis-py greets the server
            fault = error if isinstance(error, FAULTS) else redis.exceptions.ConnectionError(str(error))
            self._fail_waiting(translated(fault))
        finally:
            self._connecting = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever is under way may have been counted and is told so; whoever still waits goes with the next connection."""
        lost, self._flying, self._away = self._flying, deque(), 0
        self._connection._reader = self._connection._writer = None  # closed already: redis-py need not warn of it
        self._transport = self._connection = None
        for trip in lost:
            fail(trip.runs, StoreUnavailable(f"the connection was lost: {exc or 'closed by the server'}"))
        if self._runs:
            self._connect()

    def _fail_waiting(self, error: StoreError) -> None:
        runs, self._runs, self._waiting, self._since = self._runs, [], 0, 0.0
        self._open_run = Run(NOTHING, None)
        fail(runs, error)


async def _until_the_loop_ends(line: "ref[Line]") -> AsyncGenerator[None, None]:
    """
    Event loops end the asynchronous generators that they began; so a connection does not outlive its loop. A line that was closed is
    kept by nobody: it would wait for the garbage collector.
    """
    try:
        yield
    finally:
        if (kept := line()) is not None:
            kept.close()
        await asyncio.sleep(0)  # the loop closes the socket in its next turn


def _transport_of(connection: Any) -> Any:
    """The transport of a connection; raises ConnectionError where it is lost already: nobody would be told of that a second time."""
    transport = connection._writer.transport
    if transport.is_closing() or connection._reader.at_eof():
        transport.abort()
        connection._reader = connection._writer = None  # redis-py need not warn of it
        raise redis.exceptions.ConnectionError("the connection was closed as soon as it was open")
    return transport


def fail(runs: Iterable[Run], error: StoreError) -> None:
    """Tell callers who still wait."""
    for run in runs:
        run.fail(error)


def no_reply(budget: float) -> StoreUnavailable:
    """What a caller is told whose time is up."""
    return StoreUnavailable(f"no reply within {budget:g} s", "late")
