"""
Telling, for ASGI: header fields on the message that begins a response, on its way from the application to the server.
"""

from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any, Final

from ratekit.decision import Decision
from ratekit.http.fields import retry_after_fields
from ratekit.http.forms import Fields
from ratekit.http.visit import Visit

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

# The message that begins a response, and the one that begins a refusal, by kind of scope.
STARTS: Final = ("http.response.start", "websocket.accept", "websocket.http.response.start")


class TellingVisit(Visit):
    """A visit that stands between the application and `send`. A method costs a request less than a function made for it would."""

    __slots__ = ("send",)

    send: Send

    def tell(self, message: Message) -> Awaitable[None]:
        """Send a message of the response, the first one with the header fields."""
        if not self.started and message["type"] in STARTS:
            self.started = True
            decision = self.decision  # `fields` without its frame, for most requests
            fields = self.fields() if decision is None or self._applied is not None else self.lines.of(decision)
            if fields:
                theirs, message = message.get("headers", ()), dict(message)
                message["headers"] = [*theirs, *fields]
        return self.send(message)

    def telling_when(self, refused: Decision) -> Send:
        """`tell` for an application's own answer to a refusal, which may say when by itself."""

        def tell(message: Message) -> Awaitable[None]:
            if not self.started and message["type"] in STARTS:
                theirs = message.get("headers", ())
                when = for_own(refused, self, {name.lower() for name, _ in theirs})
                message = {**message, "headers": [*theirs, *when]}
            return self.tell(message)

        return tell


def for_own(refused: Decision, visit: Visit, theirs: Collection[bytes]) -> Fields:
    """What an application's own answer to a refusal is to say beside its own fields: when to come back, and that no cache keeps it."""
    when = [] if b"retry-after" in theirs else retry_after_fields(refused, visit.told()[0])
    return when if b"cache-control" in theirs else [*when, (b"cache-control", b"no-store")]
