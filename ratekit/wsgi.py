"""
WSGI middleware: limits for any WSGI application, without a framework.

    application = RateLimitMiddleware(application, limits="100/minute", store="redis://localhost:6379/0")

It asks the store once per request, answers a refusal itself, and adds header fields to what the application answers; bodies pass
through as they are. Threads and gevent alike.
"""

from collections.abc import Callable, Iterable, Sequence
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from ratekit.decision import Decision
from ratekit.enforcer import LATER, Enforcer, Refused
from ratekit.guarded.gate import OnOutage
from ratekit.http.headers import DEFAULT, Headers
from ratekit.http.verdict import refusal_of
from ratekit.http.visit import Visit
from ratekit.limit import Limit
from ratekit.policy import Policy
from ratekit.request import Request
from ratekit.stores.protocol import Store
from ratekit.web.asgi_routes import MIDDLEWARE
from ratekit.web.wsgi_calls import answered, answered_own, answered_with, request_of
from ratekit.web.wsgi_counting import CountingMiddleware

__all__ = ["CountingMiddleware", "RateLimitMiddleware"]

OnRefused = Callable[[Request, Decision], WSGIApplication | None]


class RateLimitMiddleware:
    """
    Limits a WSGI application: `limits` for everybody by address, or `policies`.

    `store` is a URL or a store for threads. The client's address is REMOTE_ADDR, unless `trusted_proxies` names networks whose
    `forwarded_header` is believed. `on_refused(request, decision)` may give a WSGI application that answers instead of the 429
    problem body, or None for that. `budget`, `on_outage`, `deny_cache`, `fallback_share` and `lease` are those of `Limiter`;
    "closed" answers 503. `headers` and `hash_keys` are those of the ASGI middleware. What the policies call has to be plain functions. Raises ConfigurationError for what
    cannot be.

    The application sees a path that begins with several slashes as if it began with one: Flask routes both alike, so that
    `POST //login` would else slip past a policy on `POST /login`.

    >>> from wsgiref.simple_server import demo_app
    >>> application = RateLimitMiddleware(demo_app, limits="100/minute")
    """

    __ratekit__ = MIDDLEWARE

    def __init__(
        self,
        app: WSGIApplication,
        limits: str | Limit | Sequence[str | Limit] | None = None,
        *,
        policies: Sequence[Policy] | None = None,
        store: str | Store = "memory://",
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
    ) -> None:
        self.app = app
        self.on_refused = on_refused
        self._enforcer = Enforcer(
            limits,
            policies,
            store,
            lambda environ: request_of(environ, self._enforcer.proxies),
            closing="close",
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
        self.policies = tuple(policies or ()) if limits is None else (Policy("default", limits),)
        self.store = store

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        visit, enforcer = Visit(self._enforcer, environ), self._enforcer
        if environ.get("PATH_INFO", "").startswith("//"):
            environ["PATH_INFO"] = "/" + environ["PATH_INFO"].lstrip("/")
        refused = enforcer.at_once(visit, environ.get("REQUEST_METHOD", ""), environ.get("REMOTE_ADDR"))
        if refused is LATER:
            refused = enforcer.decide(visit)
        if refused is not None:
            return self._refuse(refused, visit, start_response)
        return answered(self.app, visit, start_response, self._instead, enforcer.settle)

    def close(self) -> None:
        """Let go of a store that was opened from a URL; one that was passed in stays open."""
        if isinstance(self._enforcer.given, str):
            self._enforcer.store.close()

    def _instead(self, error: Exception, visit: Visit, start_response: StartResponse) -> Iterable[bytes]:
        return self._refuse(self._enforcer.answer_to(error, visit), visit, start_response)

    def _refuse(self, refused: Refused, visit: Visit, start_response: StartResponse) -> Iterable[bytes]:
        """Answer in the application's stead."""
        if isinstance(refused, Decision):
            own = None if self.on_refused is None else self.on_refused(visit.request, refused)
            if own is not None:
                return answered_own(own, visit, start_response, refused)
            refused = refusal_of(refused, *visit.told())
        return answered_with(refused, visit, start_response)
