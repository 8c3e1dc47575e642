"""
A thread's connection: a socket that is used by one thread at a time, and what has been read from it.

A trip costs three calls of the system: send, wait, receive. Each of them lets other threads run and waits for its turn
afterwards, so with many threads it is their number that counts.
"""

import select
import ssl
import time
from typing import Any, Final

import hiredis
import redis.exceptions

FRESH: Final = 0.05
"""Seconds since its last reply for which a connection is taken to be alive without a look."""
CHUNK: Final = 65_536
"""Bytes."""
_NOT_YET: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Socket:
    """A connection's socket, never waiting by itself, and what has been read from it."""

    __slots__ = ("_connection", "_poller", "_reader", "_secure", "_socket", "_used")

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._socket = connection._sock
        self._socket.settimeout(0)
        self._secure = isinstance(self._socket, ssl.SSLSocket)
        self._reader: Any = hiredis.Reader()
        self._poller = select.poll()
        self._poller.register(self._socket, select.POLLIN)
        self._used = time.monotonic()

    def exchange(self, command: bytes, deadline: float) -> Any:
        """Send a command, read one reply; raises TimeoutError at the deadline, ConnectionError when the server closes."""
        try:
            sent = self._socket.send(command)
        except _NOT_YET:
            sent = 0
        if sent < len(command):  # the socket is full, which it seldom is
            self._send(command[sent:], deadline)
        while (reply := self._reader.gets()) is False:
            if not self._secure or not self._socket.pending():
                self._wait(deadline)
            try:
                data = self._socket.recv(CHUNK)
            except _NOT_YET:  # TLS: less than a record
                continue
            if not data:
                raise redis.exceptions.ConnectionError("the server closed the connection")
            self._reader.feed(data)
        if self._reader.has_data():  # it would be taken for the answer to the next command
            raise redis.exceptions.ConnectionError("the server said more than it was asked")
        self._used = time.monotonic()
        return reply

    def stale(self) -> bool:
        """Whether an idle connection has something to say: it was closed, or is out of step. Nothing was asked, so nothing is lost."""
        return time.monotonic() - self._used > FRESH and bool(self._poller.poll(0))

    def close(self) -> None:
        """Close the socket."""
        self._connection.disconnect()

    def _send(self, command: bytes, deadline: float) -> None:
        left = memoryview(command)
        while left:
            try:
                left = left[self._socket.send(left) :]
            except _NOT_YET:
                self._poller.modify(self._socket, select.POLLIN | select.POLLOUT)
                try:
                    self._wait(deadline)
                finally:
                    self._poller.modify(self._socket, select.POLLIN)

    def _wait(self, deadline: float) -> None:
        # At the deadline what has arrived is read first: this process may be late, and not the store.
        left = deadline - time.monotonic()
        if not self._poller.poll(left * 1000 + 1 if left > 0 else 0):
            raise TimeoutError
