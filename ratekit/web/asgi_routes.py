"""
The routes of a Starlette or FastAPI application, and what of ratekit stands at them, read without importing either.
"""

import inspect
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ratekit.policy import Policy
from ratekit.routes import Endpoint, Placed, Standing, policy_share

MIDDLEWARE: Final = "middleware"
"""What `__ratekit__` says of ratekit's own ASGI middleware; elsewhere it is a tuple of Standing."""

_FRAMEWORKS_OWN: Final = ("openapi_url", "docs_url", "redoc_url", "swagger_ui_oauth2_redirect_url")


@dataclass(slots=True)
class Seen:
    """What an application consists of."""

    endpoints: list[Endpoint] = field(default_factory=list)
    placed: list[Placed] = field(default_factory=list)
    stores: list[Any] = field(default_factory=list)


def read(app: Any) -> Seen:
    """The routes of an application with all that is mounted in it, and the policies of ratekit's middlewares."""
    seen = Seen()
    _read(app, "", False, seen)
    return seen


def _read(app: Any, under: str, around: bool, seen: Seen) -> None:
    app, wrapped = _unwrapped(app, under, seen)
    around = around or wrapped
    if not hasattr(app, "user_middleware"):  # a router with middlewares of its own
        around = _unwrapped(getattr(app, "middleware_stack", None), under, seen)[1] or around
    for cls, args, options in getattr(app, "user_middleware", ()):
        if getattr(cls, "__ratekit__", None) == MIDDLEWARE:
            given = inspect.signature(cls).bind_partial(None, *args, **options).arguments
            _place(_policies_of(given), given.get("store", "memory://"), under, seen)
            around = True
    if (routes := getattr(app, "routes", None)) is None:
        seen.endpoints.append(Endpoint(f"{under}/{{path:path}}", around=around))
        return
    own = {getattr(app, name, None) for name in _FRAMEWORKS_OWN}
    for route in included(routes):
        if not hasattr(route, "endpoint"):  # Mount, Host
            _read(route.app, under + _template(getattr(route, "path", "")), around, seen)
        elif (path := getattr(route, "path", None)) and route.endpoint is not None:
            endpoint = _endpoint(route, under, around)
            seen.endpoints.append(replace(endpoint, own=path in own))
            seen.stores += [standing.store for standing in endpoint.standing if standing.store is not None]


def _unwrapped(app: Any, under: str, seen: Seen) -> tuple[Any, bool]:
    """An application without the middlewares that wrap it, and whether ratekit's is one of them."""
    ours = False
    while not hasattr(app, "routes") and (inner := getattr(app, "app", None)) is not None:
        if getattr(type(app), "__ratekit__", None) == MIDDLEWARE:
            ours = True
            _place(app.policies, app.store, under, seen)
        app = inner
    return app, ours


def _place(policies: Sequence[Policy], store: Any, under: str, seen: Seen) -> None:
    seen.placed += [Placed(policy, under) for policy in policies]
    seen.stores.append(store)


def _policies_of(given: dict[str, Any]) -> Sequence[Policy]:
    limits = given.get("limits")
    return given.get("policies") or ([Policy("default", limits)] if limits is not None else [])


def included(routes: Sequence[Any]) -> Iterator[Any]:
    """Routes, with those of included routers as they are included."""
    for route in routes:
        if hasattr(route, "effective_route_contexts"):  # FastAPI from 0.137
            for context in route.effective_route_contexts():
                yield context.starlette_route or context
        else:
            yield route


def _endpoint(route: Any, under: str, around: bool) -> Endpoint:
    endpoint = Endpoint(under + _template(route.path), _methods(route), around=around)
    standing: list[Standing] = []
    number = 0
    for call in dict.fromkeys(map(_Same, calls(getattr(route, "dependant", None)))):
        for one in _standing(call.it):
            number += not one.label
            standing.append(one if one.label else replace(one, label=label_of(route, number)))
    standing += _standing(route.endpoint)
    if inspect.isclass(route.endpoint):  # HTTPEndpoint, with a function for each method
        standing += [one for method in endpoint.methods for one in _standing(getattr(route.endpoint, method.lower(), None))]
    inner = Seen()
    if _unwrapped(getattr(route, "app", None), "", inner)[1]:
        endpoint = replace(endpoint, around=True)
        within = Endpoint(_template(route.path), endpoint.methods)
        policies = [one.policy for one in inner.placed if policy_share(one.policy, within) != "none"]
        standing += [Standing(policy.name, policy.limits, bare=True) for policy in policies]
    return replace(endpoint, standing=tuple(standing))


@dataclass(frozen=True, eq=False, slots=True)
class _Same:
    """A callable by its identity, which some callables have no hash for."""

    it: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.it is other.it

    def __hash__(self) -> int:
        return id(self.it)


def _standing(function: Any) -> tuple[Standing, ...]:
    while inspect.ismethod(function):
        function = function.__func__
    found = getattr(function, "__ratekit__", ())
    return found if isinstance(found, tuple) else ()


def _methods(route: Any) -> tuple[str, ...]:
    if not hasattr(route, "methods"):
        return ("WS",)
    if route.methods is None:  # a class, with a function for each method, or an application
        return tuple(name for name in ("DELETE", "GET", "PATCH", "POST", "PUT") if hasattr(route.endpoint, name.lower()))
    return tuple(sorted(set(route.methods) - {"HEAD"})) or ("HEAD",)


def _template(path: str) -> str:
    """A path with parameters as Endpoint writes them: of the kinds only `path` says more than a segment."""
    return re.sub(r"\{(\w+):(?!path\})\w+\}", r"{\1}", path)


# --- the route of one request ---


def place_of(scope: Any) -> Any:
    """The route of a request as it is included: with the prefixes, and the dependencies, of its routers."""
    route = scope.get("route")
    context = scope.get("fastapi", {}).get("effective_route_context")
    return context if context is not None and context.original_route is route else route


def calls(dependant: Any) -> list[Any]:
    """What a FastAPI route depends on, in the order in which it is called."""
    inner = [] if dependant is None else dependant.dependencies
    return [call for one in inner for call in (*calls(one), one.call)]


def label_of(place: Any, number: int = 1) -> str:
    """A route's name, as a header field can say it; a number where it is not the first to be limited under it."""
    label = str(place.name).encode("ascii", "backslashreplace").decode("ascii")[:60]
    return label if number == 1 else f"{label}-{number}"


def name_of(place: Any, number: int = 1) -> str:
    """
    What a route counts under: methods, template and endpoint. A mount is left out, because what it is reached by is no template:
    an application that is mounted twice is one.
    """
    endpoint = place.endpoint
    function = f"{endpoint.__module__}.{getattr(endpoint, '__qualname__', type(endpoint).__qualname__)}"
    name = f"{'|'.join(_methods(place))} {place.path_format} {function}"
    return name if number == 1 else f"{name} {number}"
