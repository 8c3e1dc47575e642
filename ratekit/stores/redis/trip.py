"""
The trip of a thread: one command on a connection that no other thread uses meanwhile, and its reply, within a deadline.

EVALSHA first and EVAL on NOSCRIPT, because then it certainly did not run. Nothing else is ever sent again: after a time-out or a
cut reply the hit may have been counted, and one request never counts twice.
"""

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import hiredis
import redis.exceptions

from ratekit.errors import StoreError, StoreUnavailable
from ratekit.stores.redis.script import Parcel, checked, script_for, words
from ratekit.stores.redis.wire import FAULTS, pack, translated

HOPE: Final = 1.0
"""Seconds after which a connection on its way is no longer waited for: a packet that was lost is sent again after one."""


class Trips:
    """Connections for threads: as many as there are threads under way at once, used last in, first out."""

    def __init__(self, new_connection: Callable[[], Any]) -> None:
        self._new_connection = new_connection
        self._idle: deque[Wire] = deque()
        self._late: list[Opening] = []
        self._pid = os.getpid()

    def call(self, parcels: Sequence[Parcel], now: int | None, budget: float) -> list[int]:
        """Send hits and read their reply within `budget` seconds; raises StoreError."""
        deadline = time.monotonic() + budget
        script = script_for(frozenset().union(*{label.rules for _, label in parcels}))
        reply = self._exchange(words(parcels, script, now, whole=False), deadline)
        if isinstance(reply, Exception) and str(reply).startswith("NOSCRIPT"):
            reply = self._exchange(words(parcels, script, now, whole=True), deadline)
        return checked(parcels, _answered(reply))

    def command(self, *command: str, patience: float) -> Any:
        """Send a command and read its reply within `patience` seconds; raises StoreError."""
        return _answered(self._exchange(command, time.monotonic() + patience))

    def close(self) -> None:
        """Close what is idle; what is under way is closed when it is found idle and nobody uses it."""
        while self._idle:
            self._idle.pop().close()

    def _exchange(self, command: Sequence[str], deadline: float) -> Any:
        wire = self._take(deadline)
        try:
            reply = wire.exchange(pack(tuple(command)), deadline)
        except FAULTS as error:
            wire.close()
            raise translated(error) from error
        except BaseException:
            wire.close()
            raise
        self._idle.append(wire)
        return reply

    def _take(self, deadline: float) -> "Wire":
        if self._pid != os.getpid():  # forked: the parent goes on using its connections
            self._idle, self._late, self._pid = deque(), [], os.getpid()
        while True:
            try:
                wire = self._idle.pop()
            except IndexError:
                return self._opening().wait(deadline)
            if not wire.stale():
                return wire
            wire.close()

    def _opening(self) -> "Opening":
        """A new connection on its way, or the latest one that nobody waits for any more, while there is hope for it."""
        with suppress(IndexError):
            opening = self._late.pop()
            if opening.taken_up():
                return opening
        return Opening(self._new_connection, self._idle, self._late)


class Opening:
    """A connection on its way, in a thread of its own: whoever asked waits until the deadline, the next one gets it then."""

    def __init__(self, new_connection: Callable[[], Any], idle: "deque[Wire]", late: "list[Opening]") -> None:
        self._since = time.monotonic()
        self._new_connection = new_connection
        self._idle = idle
        self._late = late
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._given_up = False
        self._wire: Wire | None = None
        self._error: Exception | None = None
        try:
            threading.Thread(target=self._open, name="ratekit-connect", daemon=True).start()
        except RuntimeError as error:  # there can be no more threads just now
            raise StoreUnavailable(f"no connection can be opened: {error}") from error

    def wait(self, deadline: float) -> "Wire":
        """The connection; raises StoreError when it fails or does not come in time."""
        while not self._done.is_set() and (left := deadline - time.monotonic()) > 0:
            self._done.wait(left)
        with self._lock:
            if self._wire is not None:
                return self._wire
            if self._error is not None:
                raise translated(self._error) from self._error
            self._given_up = True
        self._late.append(self)
        raise StoreUnavailable("connecting to the store took longer than the budget", "late")

    def taken_up(self) -> bool:
        """Wait for it again; False when it has ended meanwhile, or takes so long that a new one is better."""
        with self._lock:
            self._given_up = self._done.is_set() or time.monotonic() - self._since > HOPE
            return not self._given_up

    def _open(self) -> None:
        wire, fault = None, None
        try:
            connection = self._new_connection()
            connection.connect()
            wire = Wire(connection)
        except Exception as error:
            fault = error if isinstance(error, FAULTS) else redis.exceptions.ConnectionError(str(error))
        with self._lock:
            if wire is not None and self._given_up:
                self._idle.append(wire)
            else:
                self._wire, self._error = wire, fault
            self._done.set()


class Wire:
    """A connection's socket and what has been read from it."""

    __slots__ = ("_connection", "_poller", "_reader", "_socket")

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._socket = connection._sock
        self._reader: Any = hiredis.Reader()
        self._poller = select.poll()
        self._poller.register(self._socket, select.POLLIN)

    def exchange(self, command: bytes, deadline: float) -> Any:
        """Send a command, read one reply; raises TimeoutError at the deadline, ConnectionError when the server closes."""
        self._socket.settimeout(max(0.001, deadline - time.monotonic()))
        self._socket.sendall(command)
        while (reply := self._reader.gets()) is False:
            left = deadline - time.monotonic()
            # At the deadline what has arrived is read first: this process may be late, and not the store.
            if left <= 0 and not self._poller.poll(0):
                raise TimeoutError
            self._socket.settimeout(max(0.001, left))
            data = self._socket.recv(65_536)
            if not data:
                raise redis.exceptions.ConnectionError("the server closed the connection")
            self._reader.feed(data)
        return reply

    def stale(self) -> bool:
        """Whether an idle connection has something to say: it was closed, or is out of step. Nothing was asked, so nothing is lost."""
        return bool(self._poller.poll(0))

    def close(self) -> None:
        """Close the socket."""
        self._connection.disconnect()


def _answered(reply: Any) -> Any:
    """The reply, or the server's error raised as ours."""
    if isinstance(reply, Exception):
        error: StoreError = translated(redis.exceptions.ResponseError(str(reply)))
        raise error
    return reply
