"""
Counting, for ASGI: what an application serves goes into a Traffic. It is to be around everything else, so that refusals are seen, too.
"""

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from datetime import timedelta
from time import perf_counter
from typing import Any

import anyio

from ratekit.counters.served import Served, refused_by
from ratekit.counters.traffic import Traffic
from ratekit.http.owed import SWITCHED, status_of
from ratekit.http.refusals import REFUSALS, Refusal
from ratekit.keys import Proxies, network_of
from ratekit.request import Request
from ratekit.stores.protocol import Store
from ratekit.web.asgi_routes import place_of

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class CountingMiddleware:
    """
    Counts what an ASGI application serves, into `traffic` or one that is made of the options (see `ratekit.counters.Traffic`).

    A request is counted when its answer begins, under the template of the route that was chosen; a WebSocket when it is accepted
    (method WS, status 101), or refused. What raises before that is a 500, whoever left before it a 499. The client is the socket's peer,
    unless `trusted_proxies` are named. Add it last, so that it is around RateLimitMiddleware. Raises ConfigurationError.

    >>> from starlette.applications import Starlette
    >>> app = Starlette()
    >>> app.add_middleware(CountingMiddleware)
    """

    def __init__(
        self,
        app: App,
        *,
        store: str | Store = "memory://",
        name: str = "default",
        prefix: str = "ratekit",
        per: str | float | timedelta = "minute",
        keep: int = 60,
        every: float = 5.0,
        trusted_proxies: Sequence[str] = (),
        forwarded_header: str = "x-forwarded-for",
        hash_keys: bool | str | bytes = False,
        traffic: Traffic | None = None,
    ) -> None:
        self.app, self._given = app, traffic is not None
        options: Any = {"store": store, "prefix": prefix, "per": per, "keep": keep, "every": every, "hash_keys": hash_keys}
        self.traffic = traffic or Traffic(name, **options)
        self._proxies = Proxies(trusted_proxies, forwarded_header)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, self._closing(send) if scope["type"] == "lifespan" else send)
            return
        began, counted = perf_counter(), False
        refusals: list[Refusal] = []

        def count(status: int) -> None:
            nonlocal counted
            if not counted:
                counted = True
                took, client = perf_counter() - began, self._client(scope)
                method = "WS" if scope["type"] == "websocket" else scope["method"]
                self.traffic.count(Served(route_of(scope), method, status, took, client, refused_by(refusals, status, client)))

        def send_counting(message: Message) -> Awaitable[None]:
            if not counted:
                kind = message["type"]
                if kind in ("http.response.start", "websocket.http.response.start"):
                    count(message["status"])
                elif kind in ("websocket.accept", "websocket.close"):
                    count(SWITCHED if kind == "websocket.accept" else 403)
            return send(message)

        token = REFUSALS.set(refusals)
        try:
            await self.app(scope, receive, send_counting)
        except BaseException as error:
            count(status_of(error))
            raise
        finally:
            REFUSALS.reset(token)
        count(500)  # no answer: the server gives this one

    def _client(self, scope: Scope) -> str:
        peer = scope["client"][0] if scope.get("client") else None
        if self._proxies.named:
            path, fields = scope["path"], scope["headers"]
            request = Request(method="", path=path, fields=fields, query=b"", client=lambda request: peer, native=scope)
            peer = self._proxies.client(request, peer)
        return network_of(peer) if peer else ""

    def _closing(self, send: Send) -> Send:
        """What was counted is written when the application has ended."""

        async def send_closing(message: Message) -> None:
            if message["type"].startswith("lifespan.shutdown.") and not self._given:
                await anyio.to_thread.run_sync(self.traffic.close)
            await send(message)

        return send_closing


def route_of(scope: Scope) -> str:
    """The template of the route that Starlette or FastAPI has chosen; where they do not say it the endpoint's name; "" for none."""
    place = place_of(scope)
    template = getattr(place, "path_format", None) or getattr(place, "path", None)
    if isinstance(template, str):
        return template
    endpoint = scope.get("endpoint")
    named: Any = endpoint if hasattr(endpoint, "__qualname__") else type(endpoint)
    return "" if endpoint is None else f"{named.__module__}.{named.__qualname__}"
