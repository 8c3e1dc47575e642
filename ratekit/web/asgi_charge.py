"""
Settling, for ASGI: policies that charge by the response are settled when its last byte was sent, or nobody is there to send it to.
"""

from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import anyio

from ratekit.enforcer import Enforcer
from ratekit.http.owed import GONE, SWITCHED, Response, status_of
from ratekit.http.visit import VISIT, Visit

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

STARTED: Final = {"http.response.start", "websocket.http.response.start"}


class Settling:
    """The application, between a middleware whose policies charge by the response and the application itself."""

    def __init__(self, app: Any, enforcer: Enforcer) -> None:
        self.app, self._enforcer = app, enforcer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = VISIT.get()
        if visit is None or getattr(visit, "owed", None) is None:
            await self.app(scope, receive, send)
            return
        watched = _Watched(self._enforcer, visit, receive, send)
        try:
            await self.app(scope, watched.receive, watched.send)
        except BaseException as error:
            watched.failed(error)
            raise
        finally:
            await watched.settle()


class _Watched:
    """One response under way, and whether the client is still there."""

    def __init__(self, enforcer: Enforcer, visit: Visit, receive: Receive, send: Send) -> None:
        self._enforcer, self._visit = enforcer, visit
        self._receive, self._send = receive, send
        self._seen: deque[Message] = deque()  # what was received before the application asked for it
        self._whole = self._gone = False
        self._status: int | None = None
        self._fields: Any = ()
        self._ended = False

    async def receive(self) -> Message:
        """What the application receives."""
        return self._seen.popleft() if self._seen else self._noted(await self._receive())

    async def send(self, message: Message) -> None:
        """What the application sends; after the last byte, and before the application goes on, the response is settled."""
        kind = message["type"]
        if kind in STARTED:
            self._status, self._fields = message["status"], message.get("headers", ())
        elif kind == "websocket.accept":
            self._status, self._ended = SWITCHED, True
        elif kind == "websocket.close" and self._status is None:
            self._status, self._ended = 403, True
        last = kind == "http.response.body" and not message.get("more_body", False)
        if last:
            await self._look()
        try:
            await self._send(message)
        except OSError:  # how servers say that the client has gone away
            self._gone = True
            raise
        if last:
            self._ended = True
            await self.settle()

    def failed(self, error: BaseException) -> None:
        """Keep what the application has raised."""
        self._ended = False
        if self._status is None:
            self._status = status_of(error)

    async def settle(self) -> None:
        """Charge for the response; a second time changes nothing. Whoever is cancelled settles too."""
        status = GONE if self._status is None else self._status
        response = Response(self._visit.request, status, self._fields, complete=self._ended and not self._gone)
        with anyio.CancelScope(shield=True):
            await self._enforcer.settle_async(self._visit, response)

    async def _look(self) -> None:
        """Whether the client is there, as far as that is known without waiting: a server says it when it is asked, after the body."""
        while not self._gone and (self._whole or not self._seen):
            with anyio.CancelScope() as moment:
                moment.cancel()
                self._seen.append(self._noted(await self._receive()))
            if moment.cancelled_caught:
                return

    def _noted(self, message: Message) -> Message:
        self._whole = self._whole or (message["type"] == "http.request" and not message.get("more_body", False))
        self._gone = self._gone or message["type"] == "http.disconnect"
        return message
