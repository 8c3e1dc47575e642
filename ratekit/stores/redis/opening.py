"""
Opening: a connection for threads on its way, in a thread of its own, so that nobody waits for it longer than the budget says.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, Final

import redis.exceptions

from ratekit.errors import StoreUnavailable
from ratekit.stores.redis.socket import Socket
from ratekit.stores.redis.wire import FAULTS, translated

HOPE: Final = 1.0
"""Seconds after which a connection on its way is no longer waited for: a packet that was lost is sent again after one."""


class Opening:
    """A connection on its way, in a thread of its own: whoever asked waits until the deadline, the next one gets it then."""

    def __init__(self, connect: Callable[[], Any], keep: Callable[[Socket], None], late: "list[Opening]") -> None:
        self._since = time.monotonic()
        self._connect = connect
        self._keep = keep
        self._late = late
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._given_up = False
        self._socket: Socket | None = None
        self._error: Exception | None = None
        try:
            threading.Thread(target=self._open, name="ratekit-connect", daemon=True).start()
        except RuntimeError as error:  # there can be no more threads just now
            raise StoreUnavailable(f"no connection can be opened: {error}") from error

    def wait(self, deadline: float) -> "Socket":
        """The connection; raises StoreError when it fails or does not come in time."""
        while not self._done.is_set() and (left := deadline - time.monotonic()) > 0:
            self._done.wait(left)
        with self._lock:
            if self._socket is not None:
                return self._socket
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
        socket, fault = None, None
        try:
            socket = Socket(self._connect())
        except Exception as error:
            fault = error if isinstance(error, FAULTS) else redis.exceptions.ConnectionError(str(error))
        with self._lock:
            if socket is not None and self._given_up:
                self._keep(socket)
            else:
                self._socket, self._error = socket, fault
            self._done.set()
