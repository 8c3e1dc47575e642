"""
A server that is not what it should be: it reads a request, counts it, and answers with the bytes that it is told to, or not at all.
"""

import socket
import threading
from contextlib import suppress


def http(status, body, *fields):
    """A whole HTTP answer."""
    lines = [f"HTTP/1.1 {status} x", "content-type: application/json", f"content-length: {len(body)}", *fields]
    return "\r\n".join([*lines, "", body]).encode()


class Sour:
    """
    `answers` are given one by one and then the last of them again: bytes, None for silence, a number of seconds to be silent before
    the next. Unless it `stays` it hangs up after an answer. `heard` and `met` count requests and connections.
    """

    def __init__(self, *answers, stays=True):
        self.stays = stays
        self.answers, self.heard, self.met = list(answers), 0, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"upstash+http://token@127.0.0.1:{self.listener.getsockname()[1]}"
        self.gone = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.met += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection, suppress(OSError):
            while self._read(connection):
                self.heard += 1
                answer = self._next()
                if isinstance(answer, float):
                    self.gone.wait(answer)
                    answer = self._next()
                if answer is None:
                    self.gone.wait()
                    return
                connection.sendall(answer)
                if not self.stays:
                    return

    def _next(self):
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    @staticmethod
    def _read(connection):
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65_536)
            if not more:
                return False
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")).split(b":")[1])
        while len(body) < length:
            body += connection.recv(65_536)
        return True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.gone.set()
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)  # else its thread goes on accepting
        self.listener.close()
