"""
FastAPI: limits as a dependency, on a route, a router or the application.

    @app.get("/items/{item_id}", dependencies=[Depends(RateLimit("10/minute"))])

Where ratekit's middleware is around, its store and proxies are used, it answers refusals, and its one RateLimit field lists what it
and the dependencies decided. Without it the dependency does all of that itself; what only a middleware can do is to add header
fields to a Response object that the endpoint returns.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any, Final

from ratekit.errors import ConfigurationError, MissingExtra, RateLimitExceeded

try:
    from starlette.exceptions import HTTPException
    from starlette.requests import HTTPConnection
    from starlette.responses import Response
    from starlette.websockets import WebSocket
except ImportError as error:
    raise MissingExtra("ratekit.fastapi", error.name or "starlette", "fastapi") from None

from ratekit.asgi import routed_path
from ratekit.decision import Decision
from ratekit.enforcer import LATER, Enforcer
from ratekit.guarded.gate import OnOutage, check_budget, check_outage
from ratekit.guarded.part import check_share
from ratekit.http.plan import prepare
from ratekit.http.problem import Answer
from ratekit.http.verdict import refusal_of
from ratekit.http.visit import VISIT, Visit
from ratekit.keys import Key, Proxies
from ratekit.leases.leasing import check_lease
from ratekit.limit import Limit
from ratekit.policy import Match, Policy, Test
from ratekit.request import Request
from ratekit.routes import Standing
from ratekit.stores.protocol import AsyncStore
from ratekit.web.asgi_routes import calls, label_of, name_of, place_of
from ratekit.web.openapi import document
from ratekit.web.startup import check

__all__ = ["RateLimit", "Undecided", "check", "document"]

OWN: Final = "ratekit.visit"
"""Where the scope keeps the visit that a dependency has opened, because no middleware had."""


class Undecided(HTTPException):
    """A request that is answered without a decision: 401, 500 or 503. `answer` is what the client gets."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class RateLimit:
    """
    A dependency that limits.

    `limits` are texts or Limits, one hit for all of them; each route counts by itself: its methods, its template and its endpoint,
    whatever the parameters in the path. With a `name` all routes that share it count together, and with a Policy of that name in any
    middleware. Or give `policies`, each with a key of its own: also one hit, all or nothing. Two dependencies are two hits.

    `key`, `cost`, `exempt`, `missing` and `on_outage` are those of Policy; callables get ratekit's Request, whose `native` is the
    connection (with `path_params`, `state`, ...). `store` is by default the middleware's around, else RATEKIT_STORE, else
    memory; `trusted_proxies` and `hash_keys` are the middleware's around, too. The value of the dependency is the Decision, None where nothing
    applied. Raises ConfigurationError for what cannot be, when it is made.

    >>> from fastapi import Depends, FastAPI
    >>> app = FastAPI(dependencies=[Depends(RateLimit("100/minute", name="everything"))])
    """

    def __init__(
        self,
        *limits: str | Limit,
        policies: Sequence[Policy] | None = None,
        name: str | None = None,
        key: Key = "ip",
        cost: int | Test = 1,
        exempt: Match | Test | None = None,
        missing: Any = "ip",
        on_outage: OnOutage = "local",
        store: str | AsyncStore | None = None,
        prefix: str = "ratekit",
        trusted_proxies: Sequence[str] = (),
        forwarded_header: str = "x-forwarded-for",
        budget: float | None = None,
        deny_cache: float = 1.0,
        fallback_share: float = 1.0,
        lease: float | None = None,
        hash_keys: bool | str | bytes = False,
    ) -> None:
        _check(limits, policies, name, budget, on_outage)
        check_share(fallback_share)
        check_lease(lease)
        self.named = policies is not None or name is not None
        self._policy: Callable[[str], Policy] = lambda name: Policy(
            name, limits, key=key, cost=cost, exempt=exempt, missing=missing
        )
        self._policies: Sequence[Policy] = policies if policies is not None else [self._policy(name or "default")]
        self._store, self._hash_keys = store, hash_keys
        self._proxies, self._proxied = Proxies(trusted_proxies, forwarded_header), bool(trusted_proxies)
        self._options: dict[str, Any] = {"prefix": prefix, "budget": budget, "on_outage": on_outage, "deny_cache": deny_cache}
        self._options |= {
            "fallback_share": fallback_share,
            "lease": lease,
            "trusted_proxies": trusted_proxies,
            "forwarded_header": forwarded_header,
        }
        self._enforcers: dict[tuple[int, Any, Any], tuple[Any, Enforcer]] = {}
        prepared = prepare(self._policies, name="default", prefix=prefix, unnamed=False)
        if store is not None:  # a store that cannot be is said here, not at the first request
            self._opened(store, "default", self._policies, hash_keys)
        policies = [one.policy for one in prepared]
        self.__ratekit__ = tuple(Standing(one.name if self.named else "", one.limits, store, bare=True) for one in policies)

    async def __call__(self, connection: HTTPConnection, response: Response) -> Decision | None:
        """The dependency: raises RateLimitExceeded, which is answered 429."""
        around = VISIT.get()
        own, method, peer = self._begun(connection, around)
        enforcer: Enforcer = own.around
        refused = enforcer.at_once(own, method, peer)
        if refused is LATER:
            refused = await enforcer.decide_async(own, method, peer)
        visit = _noted(own, around)
        if refused is not None:
            raise _answered(connection, Undecided(refused) if isinstance(refused, Answer) else RateLimitExceeded(refused))
        if around is None:
            fields = visit.fields()
            if visit is not own:  # another dependency has told already
                names = {name for name, _ in fields}
                response.raw_headers[:] = [field for field in response.raw_headers if field[0] not in names]
            response.raw_headers += fields
        return own.decision

    async def hit(self, connection: HTTPConnection) -> Decision | None:
        """
        Charge by hand, as for each message of a WebSocket, and give the decision, also a refusal; None where nothing applies.

        Raises Undecided (an HTTPException) where it cannot be decided, and ConfigurationError for a RateLimit that is no dependency of
        this route and has no name.
        """
        around = VISIT.get()
        own, method, peer = self._begun(connection, around)
        refused: Decision | Answer | None = await own.around.decide_async(own, method, peer)
        _noted(own, around)
        if isinstance(refused, Answer):
            raise _answered(connection, Undecided(refused))
        return own.decision if refused is None else refused

    def _begun(self, connection: HTTPConnection, around: Visit | None) -> tuple[Visit, str, str | None]:
        """A visit for one hit, with the method and the peer where they are all that it takes."""
        scope = connection.scope
        client = scope.get("client")
        # The peer is the client, unless proxies around say more of it. As in the middleware, no TCP peer has port 0.
        peer = client[0] if client and client[1] and around is None else None
        return Visit(self._enforcer(scope, around), connection), scope.get("method", ""), peer

    def _enforcer(self, scope: Any, around: Visit | None) -> Enforcer:
        """The enforcer for a route, and for the store around it."""
        store: Any = self._store if self._store is not None else around.store if around is not None else None
        if store is None:  # an empty MemoryStore is false, and is meant all the same
            store = os.environ.get("RATEKIT_STORE") or "memory://"
        hash_keys = self._hash_keys if around is None or self._hash_keys else around.around.hash_keys
        place = None if self.named else place_of(scope)
        known = self._enforcers.get((id(place), store if isinstance(store, str) else id(store), hash_keys))
        if known is not None:
            return known[1]
        if self.named:
            return self._opened(store, "default", self._policies, hash_keys)
        number = _number(self, place)
        return self._opened(store, name_of(place, number), [self._policy(label_of(place, number))], hash_keys, place)

    def _opened(self, store: Any, name: str, policies: Sequence[Policy], hash_keys: Any, place: Any = None) -> Enforcer:
        enforcer = Enforcer(None, policies, store, self._request, name=name, hash_keys=hash_keys, **self._options)
        if enforcer.charges:
            raise ConfigurationError(
                "a policy of RateLimit cannot charge by the response: give it to RateLimitMiddleware(policies=[...])"
            )
        # Place and store are kept beside it, so that no other object can come to have their ids.
        self._enforcers[id(place), store if isinstance(store, str) else id(store), hash_keys] = ((place, store), enforcer)
        return enforcer

    def _request(self, connection: HTTPConnection) -> Request:
        scope, around = connection.scope, None if self._proxied else VISIT.get()
        peer = scope.get("client")
        return Request(
            method="WS" if scope["type"] == "websocket" else scope["method"].upper(),
            path=routed_path({**scope, "root_path": scope.get("app_root_path", scope.get("root_path", ""))}),
            fields=scope["headers"],
            query=scope.get("query_string", b""),
            client=lambda request: (
                self._proxies.client(request, peer[0] if peer else None) if around is None else around.request.client
            ),
            native=connection,
        )


def _check(limits: Any, policies: Any, name: str | None, budget: Any, on_outage: Any) -> None:
    if bool(limits) is (policies is not None):
        raise ConfigurationError("RateLimit: write limits, as in RateLimit('10/minute'), or policies=[Policy(...)], one of the two")
    if policies is not None and name is not None:
        raise ConfigurationError(f"RateLimit: policies have names of their own: leave name {name!r} out")
    check_budget(budget)
    check_outage(on_outage)


def _noted(own: Visit, around: Visit | None) -> Visit:
    """The request's visit, with what this one decided."""
    visit: Visit = around or own.native.scope.setdefault(OWN, own)
    # The request that it was about is decided on. Kept in that request's scope it would be a cycle, which only the collector ends.
    own.native = own._request = None
    if visit is not own:
        for policy, part in own.applied:
            visit.record(policy, part)
    return visit


def _number(limit: RateLimit, place: Any) -> int:
    """Which of the nameless RateLimits of a route this is, in the order in which they are asked."""
    nameless = [call for call in calls(getattr(place, "dependant", None)) if isinstance(call, RateLimit) and not call.named]
    for number, call in enumerate(dict.fromkeys(nameless), 1):
        if call is limit:
            return number
    raise ConfigurationError(
        "a RateLimit that is no dependency of its route needs a name to be asked: RateLimit(..., name='messages')"
    )


def _answered(connection: HTTPConnection, error: Exception) -> Exception:
    """The error, with somebody who answers it: an application's own handler, else ours, else the middleware around."""
    handlers, _ = connection.scope.get("starlette.exception_handlers", ({}, {}))
    handlers.setdefault(Undecided, _undecided)
    if VISIT.get() is None and not any(cls in handlers for cls in RateLimitExceeded.__mro__):
        handlers[RateLimitExceeded] = _exceeded
    return error


async def _undecided(connection: HTTPConnection, error: Exception) -> Any:
    return await _response(connection, error.answer) if isinstance(error, Undecided) else None


async def _exceeded(connection: HTTPConnection, error: Exception) -> Any:
    if VISIT.get() is not None or not isinstance(error, RateLimitExceeded):
        raise error
    visit: Visit | None = connection.scope.get(OWN)
    return await _response(connection, refusal_of(error.decision, *visit.told())) if visit is not None else None


async def _response(connection: HTTPConnection, answer: Answer) -> Response | None:
    """The response to a request; a handshake is answered here, because not every Starlette sends what a handler returns for it."""
    response = Response(answer.body, answer.status)
    response.raw_headers = answer.fields.copy()
    if not isinstance(connection, WebSocket):
        return response
    if "websocket.http.response" in connection.scope.get("extensions", {}):
        await connection.send_denial_response(response)
    else:
        await connection.close(1008, "rate limit exceeded")
    return None
