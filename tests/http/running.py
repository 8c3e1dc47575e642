"""
A real uvicorn on a free loopback port, in a thread of this process, and raw requests that no client library tidies up.
"""

import contextlib
import socket
import threading
import time

import uvicorn


@contextlib.contextmanager
def serving(app, *, uds: str | None = None, **options):
    """Serve `app` until the block is left; gives the port (nothing for a Unix socket)."""
    options = {"log_level": "critical", "http": "h11", "proxy_headers": False, "timeout_graceful_shutdown": 2} | options
    bound = socket.socket(socket.AF_UNIX if uds else socket.AF_INET)
    bound.bind(uds or ("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, **options))

    def run():
        with contextlib.suppress(SystemExit):  # how uvicorn says that the application did not start
            server.run(sockets=[bound])

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        for _ in range(1000):
            if server.started or not thread.is_alive():
                break
            time.sleep(0.01)
        assert server.started, "uvicorn did not start"
        yield None if uds else bound.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(10)
        bound.close()
        assert not thread.is_alive(), "uvicorn did not stop"


def raw(where: int | str, head: str, *lines: str, source: str = "127.0.0.1") -> tuple[int, dict[str, str], bytes]:
    """
    Send a request line and header lines as they are, to a port or a Unix socket; status, headers (names in lower case) and body.
    """
    if isinstance(where, str):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(10)
        connection.connect(where)
    else:
        connection = socket.create_connection(("127.0.0.1", where), timeout=10, source_address=(source, 0))
    with connection:
        text = "\r\n".join([head, "Host: test", *lines, "Connection: close", "", ""])
        connection.sendall(text.encode("latin-1"))
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    top, _, body = answer.partition(b"\r\n\r\n")
    status, *fields = top.decode("latin-1").split("\r\n")
    return int(status.split()[1]), {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}, body
