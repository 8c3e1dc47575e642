"""
A TCP proxy between an application and its Redis that delays, drips, stalls, cuts, resets, lies and swallows.

`spoil` is asked once for each script call that passes, and its answer happens to that call's reply; `pace` happens to all bytes.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self


@dataclass(frozen=True, slots=True)
class Spoil:
    """
    What happens to one reply: its first `keep` bytes pass (None: all of it, 0: nothing), then `then`, then the connection ends.

    `ends` is "eof", "reset" or "" (it stays open). With `before`, the call itself never reaches the server.
    """

    keep: int | None = None
    then: bytes = b""
    ends: str = ""
    before: bool = False


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds each chunk waits; bytes that pass at once (0: all); and how long of every `every` seconds nothing passes at all."""

    delay: float = 0.0
    drip: int = 0
    stall: float = 0.0
    every: float = 1.0


class Proxy:
    """Listens on a port of its own while the block runs."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.spoil: Callable[[], Spoil | None] = lambda: None
        self.pace = Pace()
        self.taken = 0
        self._tasks: set[asyncio.Task] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        return self

    async def __aexit__(self, *_) -> None:
        for listening in self._server.sockets:  # nobody is let in any more, and
            asyncio.get_running_loop().remove_reader(listening.fileno())
        for _ in range(3):  # whoever was let in just now is served, so that its end closes its connection: a closed server drops it
            await asyncio.sleep(0)
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader, writer) -> None:
        self.taken += 1
        task = asyncio.current_task()
        self._tasks.add(task)
        try:
            with contextlib.suppress(asyncio.CancelledError):  # the block ends
                await self._between(reader, writer)
        finally:
            self._tasks.discard(task)

    async def _between(self, reader, writer) -> None:
        upstream = None
        try:
            back, upstream = await asyncio.open_connection("127.0.0.1", self.target)
            spoils: list[Spoil] = []
            async with asyncio.TaskGroup() as group:
                group.create_task(self._up(reader, upstream, writer, spoils))
                group.create_task(self._down(back, writer, spoils))
        except* (OSError, EOFError):
            pass
        finally:
            for end in (writer, upstream):
                if end is not None:
                    end.close()

    async def _up(self, reader, upstream, writer, spoils) -> None:
        while data := await reader.read(65_536):
            if b"EVAL" in data:
                spoil = self.spoil()
                if spoil is not None and spoil.before:
                    await self._say(writer, b"", replace(spoil, then=spoil.then * data.count(b"\r\nEVAL")))
                    continue
                if spoil is not None:
                    spoils.append(spoil)
            upstream.write(data)
        raise EOFError

    async def _down(self, back, writer, spoils) -> None:
        while data := await back.read(65_536):
            if spoils:
                await self._say(writer, data, spoils.pop(0))
            else:
                await self._paced(writer, data)
        raise EOFError

    async def _say(self, writer, data: bytes, spoil: Spoil) -> None:
        writer.write((data if spoil.keep is None else data[: spoil.keep]) + spoil.then)
        if spoil.ends:
            with contextlib.suppress(OSError):
                await writer.drain()
            if spoil.ends == "reset":
                linger = struct.pack("ii", 1, 0)  # closing sends RST
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            raise EOFError

    async def _paced(self, writer, data: bytes) -> None:
        pace = self.pace
        if pace.stall:
            into = asyncio.get_running_loop().time() % pace.every
            await asyncio.sleep(max(0.0, pace.stall - into))
        step = pace.drip or len(data)
        for first in range(0, len(data), step):
            if pace.delay:
                await asyncio.sleep(pace.delay)
            writer.write(data[first : first + step])
