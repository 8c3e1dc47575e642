"""
The trips of threads: hits that come while a trip is under way ride together on the next one, as they do on an event loop.

There is nobody but the callers to make a trip. So one of those who wait leads and takes along all who wait by then. When its trip is
over, those it took along are woken one by the other, and the last of them wakes the next leader. Threads that are all woken at once
fight for the interpreter, and a leader that goes at once finds hardly anybody to take along. A caller alone makes its own trip and
waits for nobody.

EVALSHA first and EVAL on NOSCRIPT, because then it certainly did not run. Nothing else is ever sent again: after a time-out or a
cut reply the hit may have been counted, and one request never counts twice.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import redis.exceptions

from ratekit.errors import StoreError, StoreUnavailable
from ratekit.stores.redis.form import PLAIN, Form, together
from ratekit.stores.redis.opening import Opening
from ratekit.stores.redis.script import Parcel, checked, width_of
from ratekit.stores.redis.socket import Socket
from ratekit.stores.redis.wire import FAULTS, demoted, pack, translated
from ratekit.stores.traffic import Traffic

LEADERS: Final = 1
"""Trips under way at most: with two there are fewer hits in each, and the callers' own work is what counts (docs/decisions/trip.md)."""


class Rider:
    """A caller who waits: woken with a reply, with an error, or to lead; or it has `gone` by then."""

    __slots__ = ("at", "error", "gone", "leads", "parcels", "reply", "waits", "woken")

    def __init__(self, parcels: Sequence[Parcel]) -> None:
        self.parcels = parcels
        self.waits = threading.Lock()
        self.waits.acquire()
        self.leads = self.woken = self.gone = False
        self.reply: Sequence[int] | None = None
        self.at = 1
        self.error: BaseException | None = None


class Trips:
    """Connections for threads: as many as trips under way at once, used last in, first out."""

    def __init__(self, connect: Callable[[], Any], clock: Callable[[], int] | None = None, form: Form = PLAIN) -> None:
        self._connect = connect
        self._form = form
        self._clock = clock
        self.traffic = Traffic()
        self._idle: deque[Socket] = deque()
        self._late: list[Opening] = []
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._riders: deque[Rider] = deque()
        self._answered: deque[Rider] = deque()  # and not yet woken
        self._leaders = 0

    def call(self, parcels: Sequence[Parcel], budget: float) -> tuple[Sequence[int], int]:
        """Send hits, with those of others who wait; the reply and where theirs begin in it, within `budget` seconds, or StoreError."""
        deadline = time.monotonic() + budget
        if self._pid != os.getpid():  # forked: the parent goes on using its connections, and its threads are not here
            self._idle, self._late = deque(), []
            self._begin()
        rider = self._queue(parcels)
        if rider is None:
            return self._lead(parcels, deadline)
        try:
            in_time = rider.waits.acquire(timeout=budget)
        except BaseException:  # a greenlet that is killed where it waits
            self._leave(rider, late=False)
            raise
        if not in_time:
            self._leave(rider, late=True)
        elif rider.leads:
            return self._lead(parcels, deadline)
        else:
            self._hand_on()
        if rider.reply is not None:
            return rider.reply, rider.at
        if isinstance(rider.error, StoreError):  # an error of its own, because raising one marks it
            raise type(rider.error)(str(rider.error), rider.error.fault)
        raise StoreUnavailable(f"no reply within {budget:g} s", "late")

    @property
    def waiting(self) -> int:
        """Callers that wait."""
        return len(self._riders)

    def command(self, *command: str, patience: float) -> Any:
        """Send a command and read its reply within `patience` seconds; raises StoreError."""
        return _answered(self._exchange(command, time.monotonic() + patience))

    def close(self) -> None:
        """Close what is idle; what is under way is closed when it is over."""
        self._closed = True
        self._drain()

    def _keep(self, socket: Socket) -> None:
        """A connection that the next trip may have."""
        self._idle.append(socket)
        if self._closed:
            self._drain()

    def _drain(self) -> None:
        with suppress(IndexError):
            while True:
                self._idle.pop().close()

    def _queue(self, parcels: Sequence[Parcel]) -> Rider | None:
        """A place among those who wait; None for who leads at once."""
        with self._lock:
            if self._leaders < LEADERS:
                self._leaders += 1
                return None
            rider = Rider(parcels)
            self._riders.append(rider)
            return rider

    def _leave(self, rider: Rider, *, late: bool) -> None:
        """A caller waits no more, mostly because it is late: it rides no more, and if it has just been woken, somebody else is."""
        with self._lock:
            if not rider.woken:
                rider.gone = True
                if rider in self._riders:
                    self._riders.remove(rider)
                    # No trip lasts longer than a late one waited: perhaps a leader was torn from its work by a signal.
                    self._leaders = max(0, self._leaders - late)
                return
        self._hand_on()

    def _lead(self, parcels: Sequence[Parcel], deadline: float) -> tuple[Sequence[int], int]:
        """Make a trip with all who wait, and wake the first of them, or who leads next."""
        if not self._riders:  # who comes from now on rides on the next trip
            try:
                return self._trip(parcels, deadline), 1
            finally:
                self._hand_on()
        ride: list[Parcel] = [*parcels]
        riders: list[Rider] = []
        reply: list[int] | None = None
        fault: BaseException | None = None
        try:
            with self._lock:
                while self._riders and len(ride) < self._form.most:
                    riders.append(self._riders.popleft())
                    ride += riders[-1].parcels
            reply = self._trip(ride, deadline)
        except BaseException as error:
            fault = error
            raise
        else:
            return reply, 1
        finally:
            at = 1 + width_of(parcels)
            for rider in riders:
                rider.reply, rider.at, rider.error = reply, at, fault
                at += width_of(rider.parcels)
            self._hand_on(riders)

    def _hand_on(self, answered: Sequence[Rider] = ()) -> None:
        """Wake the next one: of those who have been answered, else of those who wait for a trip, and that one leads."""
        with self._lock:
            self._answered.extend(answered)
            while self._answered:
                rider = self._answered.popleft()
                if not rider.gone:
                    break
            else:
                if not self._riders:
                    self._leaders = max(0, self._leaders - 1)
                    return
                rider = self._riders.popleft()
                rider.leads = True
            rider.woken = True
            rider.waits.release()

    def _trip(self, parcels: Sequence[Parcel], deadline: float) -> list[int]:
        rules = parcels[0][1].rules if len(parcels) == 1 else frozenset().union(*{label.rules for _, label in parcels})
        form, script = self._form, self._form.script(rules)
        now = None if self._clock is None else self._clock()
        self.traffic.trips += 1
        self.traffic.hits += len(parcels)
        keys, rows = together(parcels)
        reply = self._exchange(form.command(keys, rows, script, now, whole=False), deadline)
        if isinstance(reply, Exception) and str(reply).startswith("NOSCRIPT"):
            reply = self._exchange(form.command(keys, rows, script, now, whole=True), deadline)
        return checked(parcels, _answered(reply))

    def _exchange(self, command: Sequence[str], deadline: float) -> Any:
        socket = self._take(deadline)
        try:
            if self._form.before:
                socket.exchange(pack(self._form.before), deadline)
            reply = socket.exchange(pack(tuple(command)), deadline)
        except FAULTS as error:
            socket.close()
            raise translated(error) from error
        except BaseException:
            socket.close()
            raise
        if demoted(reply) and not self._form.stays:
            socket.close()
        else:
            self._keep(socket)
        return reply

    def _take(self, deadline: float) -> Socket:
        while True:
            try:
                socket = self._idle.pop()
            except IndexError:
                return self._opening().wait(deadline)
            if not socket.stale():
                return socket
            socket.close()

    def _opening(self) -> Opening:
        """A new connection on its way, or the latest one that nobody waits for any more, while there is hope for it."""
        with suppress(IndexError):
            opening = self._late.pop()
            if opening.taken_up():
                return opening
        return Opening(self._connect, self._keep, self._late)


def _answered(reply: Any) -> Any:
    """The reply, or the server's error raised as ours."""
    if isinstance(reply, Exception):
        error: StoreError = translated(redis.exceptions.ResponseError(str(reply)))
        raise error
    return reply
