"""
A Redis without Redis: fakeredis behind a socket, so that what is tested connects as it does elsewhere.
"""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from ratekit.errors import MissingExtra

try:
    import hiredis
    import redis.exceptions
    from fakeredis import FakeRedis, FakeServer
except ImportError as error:
    raise MissingExtra("a Redis for tests", "fakeredis", "testing") from error

PREFIXES: Final = ((redis.exceptions.NoScriptError, "NOSCRIPT"), (redis.exceptions.ReadOnlyError, "READONLY"))
"""What a client strips off an error, put back."""


class _Handler(socketserver.BaseRequestHandler):
    """One connection."""

    def handle(self) -> None:
        reader = hiredis.Reader()
        server: Any = self.server
        connection: Any = FakeRedis(server=server.fake, protocol=2).connection_pool.get_connection()
        while data := self.request.recv(65_536):
            reader.feed(data)
            while (command := reader.gets()) is not False:
                connection.send_command(*command)
                try:
                    answer = connection.read_response()
                except redis.exceptions.RedisError as error:
                    answer = error
                self.request.sendall(encoded(answer))


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.fake = FakeServer(version=(7,))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that breaks off is not worth a word."""


def encoded(answer: Any) -> bytes:
    """An answer as RESP2."""
    if answer is None:
        return b"$-1\r\n"
    if isinstance(answer, Exception):
        prefix = next((prefix for kind, prefix in PREFIXES if isinstance(answer, kind)), "ERR")
        return f"-{prefix} {answer}\r\n".encode()
    if isinstance(answer, int):
        return b":%d\r\n" % answer
    if isinstance(answer, list | tuple):
        return b"*%d\r\n%b" % (len(answer), b"".join(map(encoded, answer)))
    data = answer if isinstance(answer, bytes) else str(answer).encode()
    return b"$%d\r\n%b\r\n" % (len(data), data)


@contextmanager
def fake_redis() -> Iterator[str]:
    """
    The URL of a fakeredis on a free port of this machine, empty, until the block is left.

    >>> with fake_redis() as url:
    ...     url.startswith("redis://127.0.0.1:")
    True
    """
    server = _Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"redis://127.0.0.1:{server.server_address[1]}/0"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
