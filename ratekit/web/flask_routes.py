"""
The limits that stand at a Flask application's views, and its routes as the coverage report reads them; without importing Flask.

A mark is put on what is limited: a view, a class of views, one of its methods, a blueprint. Where it stands says what it counts under.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ratekit.errors import ConfigurationError
from ratekit.keys import Key
from ratekit.limit import Limit
from ratekit.policy import Match, Policy, Test
from ratekit.routes import Endpoint, Placed, Standing
from ratekit.web.asgi_routes import MIDDLEWARE, Seen

MARKS: Final = "__ratekit_marks__"
"""Where a view, a class or a blueprint keeps its marks: a list, which its wrappers share."""
EXEMPT: Final = "__ratekit_exempt__"
EXTENSION: Final = "ratekit"
"""Where `app.extensions` keeps what RateLimits made of the application."""


@dataclass(frozen=True, eq=False, slots=True)
class Mark:
    """Limits on a view: Policies as they are, or one that is named by its place, or by `name`; for some `methods`, None for all."""

    policies: tuple[Policy, ...] = ()
    limits: tuple[Limit, ...] = ()
    name: str | None = None
    methods: frozenset[str] | None = None
    key: Key = "ip"
    cost: int | Test = 1
    exempt: Match | Test | None = None
    missing: Any = "ip"
    on_outage: Any = None

    def policies_at(self, label: str) -> tuple[Policy, ...]:
        """What is asked of a request, counted under a label."""
        if self.policies:
            return self.policies
        own = {"key": self.key, "cost": self.cost, "exempt": self.exempt, "missing": self.missing, "on_outage": self.on_outage}
        return (Policy(self.name or label_of(label), self.limits, **own),)


@dataclass(slots=True)
class Marked:
    """What stands at one view for one method, from the outermost blueprint to the function."""

    policies: list[Policy] = field(default_factory=list)
    marks: list[Sequence[Mark]] = field(default_factory=list)

    def add(self, marks: Sequence[Mark], label: str, method: str) -> None:
        """The marks that mean a method; raises ConfigurationError for two policies of one name that differ."""
        self.marks.append(marks)
        number = 0
        for mark in marks:
            number += not mark.policies and mark.name is None
            if mark.methods is not None and ("GET" if method == "HEAD" else method) not in mark.methods:
                continue
            for policy in mark.policies_at(label if number < 2 else f"{label}-{number}"):
                if any(other.name == policy.name and other != policy for other in self.policies):
                    raise ConfigurationError(f"two limits on {label} are named {policy.name!r}: give each a name of its own")
                if policy not in self.policies:
                    self.policies.append(policy)


def marked(app: Any, endpoint: str, method: str, default: Sequence[Limit], beside: Sequence[Policy]) -> Marked | None:
    """
    What limits a view when it is asked by a method, `beside` the policies of the application: its own limits, else the default; None
    where it is exempt. Raises ConfigurationError for two policies of one name.
    """
    found = Marked()
    for where, label in places(app, endpoint, method):
        if getattr(where, EXEMPT, False):
            return None
        found.add(getattr(where, MARKS, ()), label, method)
    if not found.policies and default and not is_static(app, endpoint):
        found.policies.append(Policy(label_of(f"{endpoint}@default"), default))
    for policy in found.policies:
        if policy.name in [other.name for other in beside]:
            raise ConfigurationError(f"a limit on {endpoint} and a policy of the application are named {policy.name!r}: rename one")
    return found


def places(app: Any, endpoint: str, method: str) -> Iterator[tuple[Any, str]]:
    """Where marks of a view can be, each with what they count under: every view by itself, whatever the parameters in its path."""
    names = endpoint.split(".")[:-1]
    for i in range(len(names)):
        if (blueprint := app.blueprints.get(name := ".".join(names[: i + 1]))) is not None:
            yield blueprint, f"{endpoint}@{name}"
    view = app.view_functions.get(endpoint)
    yield view, endpoint
    if (cls := getattr(view, "view_class", None)) is not None:
        yield cls, f"{endpoint}@{cls.__name__}"
        handler = getattr(cls, method.lower(), None) or (getattr(cls, "get", None) if method == "HEAD" else None)
        yield handler, f"{endpoint}:{'GET' if method == 'HEAD' else method}"


def is_static(app: Any, endpoint: str) -> bool:
    """Whether a route is the one that Flask makes for static files."""
    under, _, name = endpoint.rpartition(".")
    return name == "static" and bool((app.blueprints.get(under) if under else app).has_static_folder)


def label_of(text: str) -> str:
    """A label that a header field can say."""
    return text.encode("ascii", "backslashreplace").decode("ascii")[:64]


# --- the coverage report ---


def flask_in(app: Any) -> Any:
    """The Flask application in WSGI middlewares, or None for what is none."""
    while app is not None and not (hasattr(app, "url_map") and hasattr(app, "view_functions")):
        app = getattr(app, "app", None)
    return app


def read(app: Any) -> Seen:
    """The routes of a Flask application, and the policies around it."""
    seen, inner = Seen(), flask_in(app)
    for middleware in (*_chain(app), *_chain(inner.wsgi_app)):
        if getattr(middleware, "__ratekit__", None) == MIDDLEWARE:
            seen.placed += [Placed(policy) for policy in middleware.policies]
            seen.stores.append(middleware.store)
    around = bool(seen.stores)
    for rule in inner.url_map.iter_rules():
        seen.endpoints += _endpoints(inner, rule, around=around)
    seen.stores += [standing.store for endpoint in seen.endpoints for standing in endpoint.standing if standing.store is not None]
    return seen


def _chain(app: Any) -> Iterator[Any]:
    """Middlewares, the outermost first, as far as they say what is inside."""
    while app is not None and not hasattr(app, "url_map"):
        yield app
        app = getattr(app, "app", None)


def _endpoints(app: Any, rule: Any, *, around: bool) -> Iterator[Endpoint]:
    """A rule as one endpoint, or several where its methods are limited differently."""
    site = app.extensions.get(EXTENSION)
    default, beside = ((), ()) if site is None else (site.default, site.policies)
    by_limits: dict[tuple[Standing, ...] | None, list[str]] = {}
    for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
        found = marked(app, rule.endpoint, method, default, beside)
        standing = None if found is None else (*(Standing(policy.name, policy.limits) for policy in found.policies),)
        by_limits.setdefault(standing, []).append(method)
    decorated = getattr(app.view_functions.get(rule.endpoint), "__ratekit__", ())  # by ratekit.rate_limit
    path = re.sub(r"<(?:path(?:\(.*?\))?:)(\w+)>", r"{\1:path}", rule.rule)
    path = re.sub(r"<(?:[^<>:]+:)?(\w+)>", r"{\1}", path)
    for standing, methods in by_limits.items():
        static, exempt = is_static(app, rule.endpoint), standing is None
        yield Endpoint(path, tuple(methods), (*(standing or ()), *decorated), around=around, own=static, exempt=exempt)
