"""
Site: what RateLimits is to one application. It finds out which limits a request meets, asks for all of them in one hit, and answers
a refusal by way of Flask's error handlers.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Flask, Response, after_this_request, has_request_context, request
from werkzeug.exceptions import HTTPException, TooManyRequests, default_exceptions

from ratekit.decision import Decision
from ratekit.enforcer import LATER, Enforcer, Refused
from ratekit.http.owed import Response as Seen
from ratekit.http.problem import Answer
from ratekit.http.verdict import refusal_of
from ratekit.http.visit import VISIT, Visit
from ratekit.limit import Limit, limits_of
from ratekit.policy import Match, Policy, matcher_of
from ratekit.request import Request
from ratekit.web.asgi_routes import MIDDLEWARE
from ratekit.web.flask_routes import Mark, Marked, marked
from ratekit.web.startup import check
from ratekit.web.wsgi_calls import answered, answered_with, request_of

ASKED: Final = "ratekit.asked"
"""Where the environ keeps which marks were asked, so that a view which is called in another way asks by itself."""


class RateLimited(TooManyRequests):
    """A refusal, as `app.errorhandler(429)` gets it: `decision` says which limit, and how long to wait."""

    def __init__(self, decision: Decision, response: Response) -> None:
        super().__init__(response=response)
        self.decision = decision


class Site:
    """What RateLimits is to one application: an enforcer for each set of limits that its requests meet."""

    __ratekit__ = MIDDLEWARE

    def __init__(
        self,
        app: Flask,
        *,
        enabled: bool,
        default: str | Limit | Sequence[str | Limit] | None,
        on_refused: Callable[[Request, Decision], Any] | None,
        strict: bool,
        unlimited: Match | None,
        **options: Any,
    ) -> None:
        matcher_of(unlimited)
        self.app: WSGIApplication = app.wsgi_app  # what is inside, as every middleware calls it
        self.default = () if default is None else limits_of(default)
        self.enabled = enabled
        self._flask, self._on_refused = app, on_refused
        self._strict, self._unlimited = strict, unlimited
        self._options = options
        self._first = self._enforcer(options)
        self.policies = tuple(options["policies"] or ()) if options["limits"] is None else (Policy("default", options["limits"]),)
        self.store = options["store"]
        self._known: dict[tuple[str, str], tuple[Enforcer | None, frozenset[int]]] = {}
        self._checked = False

    def _enforcer(self, options: dict[str, Any], more: Sequence[Policy] = ()) -> Enforcer:
        rest = dict(options)
        first = rest.pop("limits"), rest.pop("policies"), rest.pop("store")
        return Enforcer(*first, self._request, closing="close", more=more, **rest)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        around = VISIT.get()
        if around is not None and around.native is environ:  # ratekit's middleware: it tells what is decided here, too
            return self.app(environ, start_response)
        return answered(self.app, Visit(self._first, environ), start_response, self._instead, self._first.settle)

    def before(self) -> None:
        """Ask for all that limits a request, once it is known which view it is for; raises the refusal."""
        if not self.enabled:
            return
        if not self._checked:
            check(self._flask, strict=self._strict, unlimited=self._unlimited)
            self._checked = True
        endpoint = request.endpoint if request.url_rule is not None else None
        enforcer, marks = self._at(endpoint or "", request.method if endpoint else "")
        request.environ[ASKED] = marks
        if enforcer is not None:
            self._ask(enforcer)

    def ask(self, marks: Sequence[Mark], label: str) -> None:
        """Ask for the limits of a view that is not called by way of its route, or in a way that hides them."""
        found = Marked()
        found.add(marks, label, request.method)
        if self.enabled and found.policies:
            self._ask(self._enforcer({**self._options, "limits": None, "policies": found.policies}))

    def inside(self, error: Exception) -> Any:
        """A limited function inside a view has refused or failed: answered as the view itself would be."""
        visit = VISIT.get() or Visit(self._first, request.environ)
        return self._flask.handle_user_exception(self._refusal(self._first.answer_to(error, visit), visit))

    def _at(self, endpoint: str, method: str) -> tuple[Enforcer | None, frozenset[int]]:
        """What decides on requests to a view, None where it is exempt, and the marks that are asked by it."""
        known = self._known.get((endpoint, method))
        if known is None:
            found = marked(self._flask, endpoint, method, self.default, self.policies) if endpoint else Marked()
            if found is None:
                known = None, frozenset()
            else:
                enforcer = self._enforcer(self._options, found.policies) if found.policies else self._first
                known = enforcer, frozenset(map(id, found.marks))
            self._known[endpoint, method] = known
        return known

    def _ask(self, enforcer: Enforcer) -> None:
        """One hit; it is told by the visit around, in which nothing may have been decided so far."""
        around = VISIT.get()
        visit = around if around is not None and not around.told()[1] else Visit(enforcer, request.environ)
        refused = enforcer.at_once(visit, request.method, request.remote_addr)
        if refused is LATER:
            refused = enforcer.decide(visit)
        if around is not None and visit is not around:
            for policy, part in visit.applied:
                around.record(policy, part)
        if visit is not around and getattr(visit, "owed", None) is not None:
            after_this_request(lambda response: self._settled(visit, response))
        if refused is not None:
            raise self._refusal(refused, around or visit)

    def _settled(self, visit: Visit, response: Response) -> Response:
        headers = [*response.headers.items()]
        self._first.settle(visit, Seen(visit.request, response.status_code, headers, complete=True))
        return response

    def _refusal(self, refused: Refused, visit: Visit) -> HTTPException:
        """A refusal as Flask's error handlers know it, with the problem body for want of an own answer."""
        answer: Answer = refusal_of(refused, *visit.told()) if isinstance(refused, Decision) else refused
        later = {name for name, _ in visit.fields()} if visit is VISIT.get() else ()
        response = self._flask.response_class(answer.body, status=answer.status)
        for name, value in answer.fields:
            if name not in later:
                response.headers[name.decode("ascii").title()] = value.decode("latin-1")
        if not isinstance(refused, Decision):
            return default_exceptions[answer.status](response=response)
        when = response.headers.get("Retry-After")
        own = None if self._on_refused is None else self._on_refused(visit.request, refused)
        if own is not None:
            response = self._flask.make_response(own)
            if not isinstance(own, Response | tuple):
                response.status_code = answer.status

        @after_this_request
        def say(response: Response) -> Response:  # an own answer may say by itself when to come again, and who may keep it
            response.headers.setdefault("Cache-Control", "no-store")
            if when is not None:
                response.headers.setdefault("Retry-After", when)
            return response

        return RateLimited(refused, response)

    def _instead(self, error: Exception, visit: Visit, start_response: StartResponse) -> Iterable[bytes]:
        # What a stream raises before its first bytes, when Flask's error handlers have had their turn.
        refused = self._first.answer_to(error, visit)
        answer = refusal_of(refused, *visit.told()) if isinstance(refused, Decision) else refused
        return answered_with(answer, visit, start_response)

    def _request(self, environ: WSGIEnvironment) -> Request:
        native = request._get_current_object() if has_request_context() and request.environ is environ else None  # type: ignore[attr-defined]
        return request_of(environ, self._first.proxies, native)
