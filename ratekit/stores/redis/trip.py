"""
The trip of a thread: one packed command on a connection that no other thread uses meanwhile, and its reply.

EVALSHA first and EVAL on NOSCRIPT, because then it certainly did not run. Nothing else is ever sent again: after a time-out or a
cut reply the hit may have been counted, and one request never counts twice.
"""

import os
import select
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import redis.exceptions

from ratekit.stores.redis.script import Parcel, checked, request, script_for
from ratekit.stores.redis.wire import FAULTS, command, translated


class Trips:
    """Connections for threads: as many as there are threads under way at once, used last in, first out."""

    def __init__(self, new_connection: Callable[[], Any]) -> None:
        self._new_connection = new_connection
        self._idle: deque[Idle] = deque()
        self._pid = os.getpid()

    def call(self, parcel: Parcel, now: int | None) -> list[int]:
        """Send a hit and read its reply; raises StoreError."""
        script, parcels = script_for(parcel[1].rules), (parcel,)
        try:
            reply = self._exchange(request(parcels, script, now, whole=False))
        except NoScript:
            reply = self._exchange(request(parcels, script, now, whole=True))
        return checked(parcels, reply)

    def command(self, *words: str) -> Any:
        """Send a command and read its reply; raises StoreError."""
        return self._exchange(command(*words).encode("ascii"))

    def _exchange(self, words: bytes) -> Any:
        try:
            line = self._take()
            try:
                line.connection.send_packed_command([words], check_health=False)
                reply = line.connection.read_response()
            except redis.exceptions.ResponseError:
                self._idle.append(line)
                raise
            except BaseException:
                line.connection.disconnect()
                raise
        except redis.exceptions.NoScriptError:
            raise NoScript from None
        except FAULTS as error:
            raise translated(error) from error
        self._idle.append(line)
        return reply

    def close(self) -> None:
        """Close what is idle; what is under way is closed when it is found idle and nobody uses it."""
        while self._idle:
            self._idle.pop().connection.disconnect()

    def _take(self) -> "Idle":
        if self._pid != os.getpid():  # forked: the parent goes on using its connections
            self._idle, self._pid = deque(), os.getpid()
        while True:
            try:
                line = self._idle.pop()
            except IndexError:
                connection = self._new_connection()
                connection.connect()
                poller = select.poll()
                poller.register(connection._sock, select.POLLIN)
                return Idle(connection, poller)
            # An idle connection with something to say was closed, or is out of step. Nothing was asked, so nothing is lost.
            if not line.poller.poll(0):
                return line
            line.connection.disconnect()


class Idle(NamedTuple):
    """A connection, and what tells whether it has something to say."""

    connection: Any
    poller: select.poll


class NoScript(Exception):
    """The server does not know the script, so it certainly did not run."""
