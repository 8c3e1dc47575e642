"""
The simulator, served: ASGI applications under uvicorn, each on a loopback port of its own, for tests and demonstrations.

    world = World(seed=1)
    with serving({"IAD": binding(world.async_namespace("ns", location="IAD"))}) as urls:
        print(urls["IAD"])                                          # http://127.0.0.1:43817
"""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from ratekit.errors import MissingExtra, RateKitError
from ratekit.kv.serve_http import REASON, App

try:
    import h11
    import uvicorn
    from uvicorn.protocols.http.h11_impl import H11Protocol
except ImportError:
    raise MissingExtra("a served simulator", "uvicorn", "demo") from None

PATIENCE: Final = 15.0
"""Seconds that the servers may take to start."""


class ServerFailed(RateKitError):
    """The servers did not start."""


class _Outspoken(h11.Connection):
    """Puts a response's own words on its status line, where workerd's error messages come from."""

    def send_with_data_passthrough(self, event: h11.Event) -> list[bytes] | None:
        if isinstance(event, h11.Response):
            said = [value for name, value in event.headers if name == REASON.encode()]
            if said:
                rest = [field for field in event.headers.raw_items() if field[0].lower() != REASON.encode()]
                event = h11.Response(status_code=event.status_code, headers=rest, reason=said[0])
        return super().send_with_data_passthrough(event)


class _Protocol(H11Protocol):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.conn = _Outspoken(h11.SERVER)


@contextmanager
def serving(apps: Mapping[str, App], *, ports: Mapping[str, int] | None = None) -> Iterator[dict[str, str]]:
    """
    Serve each application on 127.0.0.1, from a thread with an event loop of its own; yields their URLs. `ports` names a port for
    some of them, the system chooses the others.

    Raises OSError for a port that is taken, ServerFailed when the servers do not start.
    """
    wanted = ports or {}
    sockets: dict[str, socket.socket] = {}
    try:
        for name in apps:
            # By the name of its protocol, or asyncio would let each answer wait 40 ms for the next acknowledgement.
            sockets[name] = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            sockets[name].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sockets[name].bind(("127.0.0.1", wanted.get(name, 0)))
        with _running(apps, sockets):
            yield {name: f"http://127.0.0.1:{server.getsockname()[1]}" for name, server in sockets.items()}
    finally:
        for server in sockets.values():
            server.close()


@contextmanager
def _running(apps: Mapping[str, App], sockets: Mapping[str, socket.socket]) -> Iterator[None]:
    servers = [(uvicorn.Server(_config(app)), sockets[name]) for name, app in apps.items()]

    async def run() -> None:
        await asyncio.gather(*(server.serve(sockets=[listening]) for server, listening in servers))

    thread = threading.Thread(target=asyncio.run, args=(run(),), daemon=True)
    thread.start()
    try:
        end = time.monotonic() + PATIENCE
        while not all(server.started for server, _ in servers):
            if not thread.is_alive() or time.monotonic() > end:
                raise ServerFailed("the servers did not start")
            time.sleep(0.005)
        yield
    finally:
        for server, _ in servers:
            server.should_exit = True
        thread.join(PATIENCE)


def _config(app: App) -> uvicorn.Config:
    # httptools has no place for a status line's own words; proxies' headers mean nothing on loopback.
    options: dict[str, Any] = {"access_log": False, "log_config": None, "proxy_headers": False, "timeout_graceful_shutdown": 1}
    return uvicorn.Config(app, http=_Protocol, ws="none", lifespan="off", loop="asyncio", **options)
