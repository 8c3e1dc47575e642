"""
ASGI middleware: limits for any ASGI application, without a framework.

    app.add_middleware(RateLimitMiddleware, limits="100/minute", store="redis://localhost:6379/0")

It asks the store once per request, answers a refusal itself, and adds header fields to what the application answers; bodies,
streams and background tasks pass through untouched.
"""

import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from typing import Any, Final

from ratekit.decision import Decision
from ratekit.enforcer import LATER, Enforcer, Refused
from ratekit.errors import ConfigurationError, RateLimitExceeded, StoreError
from ratekit.guarded.gate import OnOutage
from ratekit.http.headers import DEFAULT, Headers
from ratekit.http.plan import UNMISTAKABLE, by_address
from ratekit.http.refusals import told_one
from ratekit.http.verdict import refusal_to
from ratekit.http.visit import VISIT, Visit
from ratekit.limit import Limit
from ratekit.policy import Match, Policy, matcher_of
from ratekit.request import Request
from ratekit.stores.protocol import AsyncStore
from ratekit.web.asgi_charge import Settling
from ratekit.web.asgi_counting import CountingMiddleware
from ratekit.web.asgi_routes import MIDDLEWARE
from ratekit.web.asgi_telling import TellingVisit
from ratekit.web.startup import started

__all__ = ["CountingMiddleware", "RateLimitMiddleware"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
OnRefused = Callable[[Request, Decision], Any]

log: Final = logging.getLogger("ratekit")


class RateLimitMiddleware:
    """
    Limits an ASGI application: `limits` for everybody by address, or `policies`.

    `store` is a URL or an async store. The client's address is the socket's peer, unless `trusted_proxies` names networks whose
    `forwarded_header` is believed. `on_refused(request, decision)` may give an own ASGI response instead of the 429 problem body,
    or None for that. `budget`, `on_outage`, `deny_cache`, `fallback_share` and `lease` are those of `Limiter`;
    "closed" answers 503. `headers` names the form, or the forms, of the fields that tell limits: see `ratekit.http.Headers`. With `hash_keys`, True or a secret text, the store is not
    told who is asking: see `ratekit.http.hasher`. Raises ConfigurationError for what cannot be, when the application starts.

    When a Starlette or FastAPI application starts, its routes are looked at: what is probably not meant is a warning in the log, and
    with `strict` the application does not start; then a route without a limit is refused, too, unless `unlimited` patterns name it.
    FastAPI's OpenAPI shows the 429.

    >>> from starlette.applications import Starlette
    >>> app = Starlette()
    >>> app.add_middleware(RateLimitMiddleware, limits="100/minute")
    """

    __ratekit__ = MIDDLEWARE

    def __init__(
        self,
        app: App,
        limits: str | Limit | Sequence[str | Limit] | None = None,
        *,
        policies: Sequence[Policy] | None = None,
        store: str | AsyncStore = "memory://",
        name: str = "default",
        prefix: str = "ratekit",
        trusted_proxies: Sequence[str] = (),
        forwarded_header: str = "x-forwarded-for",
        on_refused: OnRefused | None = None,
        budget: float | None = None,
        on_outage: OnOutage = "local",
        deny_cache: float = 1.0,
        fallback_share: float = 1.0,
        lease: float | None = None,
        headers: str | Sequence[str] | Headers = DEFAULT,
        hash_keys: bool | str | bytes = False,
        strict: bool = False,
        unlimited: Match | None = None,
    ) -> None:
        self.app = app
        self.on_refused = on_refused
        self._enforcer = Enforcer(
            limits,
            policies,
            store,
            self._request,
            name=name,
            prefix=prefix,
            trusted_proxies=trusted_proxies,
            forwarded_header=forwarded_header,
            budget=budget,
            on_outage=on_outage,
            deny_cache=deny_cache,
            fallback_share=fallback_share,
            lease=lease,
            headers=headers,
            hash_keys=hash_keys,
        )
        self._inside: App = Settling(app, self._enforcer) if self._enforcer.charges else app
        matcher_of(unlimited)
        self.policies = tuple(policies or ()) if limits is None else (Policy("default", limits),)
        self.store = store
        self._strict, self._unlimited = strict, unlimited
        self._begun = False
        self._never: Refused | None = None  # what is answered where the application cannot start
        self._rewritten = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await (self._live if scope["type"] == "lifespan" else self.app)(scope, receive, send)
            return
        enforcer, method, client = self._enforcer, scope.get("method", ""), scope.get("client")
        visit, straight = TellingVisit(enforcer, scope), enforcer.straight
        visit.send = send
        peer = client[0] if client and client[1] else None  # no TCP peer has port 0: somebody has put it there
        refused: Refused | None = None
        if straight and peer and method in UNMISTAKABLE and self._begun:  # nearly all requests, in one frame
            spend, policy, cost, lines = straight
            try:
                decision = spend(by_address(peer), cost)
                visit.lines, visit.decision = lines, decision
                if not decision[0]:
                    refused = told_one(policy, by_address(peer), decision)
            except Exception as error:
                refused = enforcer.answer_to(error, visit)
        elif self._begun:
            refused = await enforcer.decide_async(visit, method, peer)
        else:
            refused = await self._first(visit, method, peer)
        if refused is not None:
            await self._refuse(refused, visit, scope, receive, send)
            return
        token = VISIT.set(visit)
        try:
            await self._inside(scope, receive, visit.tell)
        except (RateLimitExceeded, StoreError, ConfigurationError) as error:
            if visit.started:
                raise
            await self._refuse(enforcer.answer_to(error, visit), visit, scope, receive, send)
        finally:
            VISIT.reset(token)

    def _started(self, scope: Scope) -> None:
        self._begun = True
        started(self, scope.get("app"), strict=self._strict, unlimited=self._unlimited)

    async def _first(self, visit: Visit, method: str, peer: str | None) -> Refused | None:
        """The first request of an application whose start-up was not run, as that of a mounted one is not."""
        if self._never is None:
            try:
                self._started(visit.native)
            except ConfigurationError as error:
                self._begun, self._never = False, self._enforcer.answer_to(error, visit)  # strict: nothing is served
        if self._never is not None:
            return self._never
        refused = self._enforcer.at_once(visit, method, peer)
        return await self._enforcer.decide_async(visit, method, peer) if refused is LATER else refused

    async def _refuse(self, refused: Refused, visit: TellingVisit, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer in the application's stead."""
        websocket = scope["type"] == "websocket"
        if websocket and "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": 1008, "reason": "rate limit exceeded"})
            return
        if isinstance(refused, Decision):
            if self.on_refused is not None:
                response = self.on_refused(visit.request, refused)
                if inspect.isawaitable(response):
                    response = await response
                if response is not None:
                    await response(scope, receive, visit.telling_when(refused))
                    return
            refused = refusal_to(visit, refused)
        prefix = "websocket." if websocket else ""
        await send({"type": prefix + "http.response.start", "status": refused.status, "headers": refused.fields.copy()})
        await send({"type": prefix + "http.response.body", "body": refused.body})

    def _request(self, scope: Scope) -> Request:
        peer = scope.get("client")
        host, port = (peer[0], peer[1]) if peer else (None, None)
        if port == 0 and host and not self._rewritten:
            self._rewritten = rewritten(host, scope["headers"])
        return Request(
            method="WS" if scope["type"] == "websocket" else scope["method"].upper(),
            path=routed_path(scope),
            fields=scope["headers"],
            query=scope.get("query_string", b""),
            client=lambda request: self._enforcer.proxies.client(request, host),
            native=scope,
        )

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lifespan: the store opens before the application does, and closes after it."""
        first: list[Message] = [await receive()]
        try:
            await self._enforcer.open()
        except StoreError as error:  # credentials or permissions: no request would ever be decided on
            log.critical("rate limiting: %s", error)
            await send({"type": "lifespan.startup.failed", "message": f"rate limiting: {error}"})
            return

        async def receive_again() -> Message:
            return first.pop() if first else await receive()

        async def send_and_close(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                # With the routes that the application's own start-up has added. What is raised ends that start-up: it cleans up, and
                # tells the server.
                self._started(scope)
            if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed", "lifespan.startup.failed"):
                await self._enforcer.aclose()
            await send(message)

        await self.app(scope, receive_again, send_and_close)


def routed_path(scope: Scope) -> str:
    """The decoded path that the application routes: without the prefix it is mounted under."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    if root and path.startswith(root) and path[len(root) : len(root) + 1] in ("", "/"):
        return path[len(root) :]
    return path


def rewritten(host: str, fields: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether the server took the peer's address from a header; if so, says it in the log."""
    found = any(name.lower() == b"x-forwarded-for" and host in value.decode("latin-1") for name, value in fields)
    if found:
        log.warning(
            "rate limiting: the server took the client's address from X-Forwarded-For, as uvicorn does by default for peers on 127.0.0.1, "
            "so that clients there choose who they are; start it with --no-proxy-headers and name your proxies: trusted_proxies=[...]"
        )
    return found
