"""
Counting, for WSGI: what an application serves goes into a Traffic. It is to be around everything else, so that refusals are seen, too.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from time import perf_counter
from typing import Any, Final
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from ratekit.counters.served import Served, refused_by
from ratekit.counters.traffic import Traffic
from ratekit.http.owed import status_of
from ratekit.http.refusals import REFUSALS, Refusal
from ratekit.keys import Proxies, network_of
from ratekit.stores.protocol import Store
from ratekit.web.wsgi_calls import request_of

ROUTE: Final = "ratekit.route"
"""Where `environ` keeps the template of the route, for whoever knows it: Flask's does, by `ratekit.flask.Counting`."""


class CountingMiddleware:
    """
    Counts what a WSGI application serves: `ratekit.asgi.CountingMiddleware` for threads, with the same options.

    The template of the route is what the application has put into `environ["ratekit.route"]` when it answers. A request is counted when
    its answer begins; what raises before that is a 500. `close` writes what waits, as the end of the process does.

    >>> from wsgiref.simple_server import demo_app
    >>> application = CountingMiddleware(demo_app)
    """

    def __init__(
        self,
        app: WSGIApplication,
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

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        began, status = perf_counter(), ""
        refusals: list[Refusal] = []

        def start(line: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            nonlocal status
            status = line
            return start_response(line, headers, *rest)

        def count(code: int) -> None:
            took, client = perf_counter() - began, self._client(environ)
            method, route = environ.get("REQUEST_METHOD", ""), environ.get(ROUTE, "")
            self.traffic.count(Served(route, method, code, took, client, refused_by(refusals, code, client)))

        token = REFUSALS.set(refusals)
        try:
            body = self.app(environ, start)
        except BaseException as error:
            count(int(status[:3]) if status else status_of(error))
            raise
        finally:
            REFUSALS.reset(token)
        if not status:  # it begins with the first bytes
            return _Later(body, lambda: count(int(status[:3]) if status else 500))
        count(int(status[:3]))
        return body

    def close(self) -> None:
        """Write what waits, and let go of the store; a traffic that was passed in stays open."""
        if not self._given:
            self.traffic.close()

    def _client(self, environ: WSGIEnvironment) -> str:
        client = environ.get("REMOTE_ADDR") or None
        if self._proxies.named:
            client = request_of(environ, self._proxies).client
        return network_of(client) if client else ""


class _Later:
    """A body whose request is counted with its first bytes, or when it is closed without any."""

    def __init__(self, body: Iterable[bytes], count: Callable[[], None]) -> None:
        self._body, self._chunks, self._count = body, iter(body), iter((count,))

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._chunks)
        finally:
            self._once()

    def close(self) -> None:
        """The server has sent all, or the client has gone."""
        self._once()
        if close := getattr(self._body, "close", None):
            close()

    def _once(self) -> None:
        for count in self._count:
            count()
