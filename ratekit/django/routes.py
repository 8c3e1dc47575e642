"""
A project's URLconf as `ratekit.routes` reports on it: which view has which limits, and what limits nothing.
"""

import logging
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Final

from django.conf import settings as django_settings
from django.urls import get_resolver
from django.urls.resolvers import LocalePrefixPattern, RoutePattern

from ratekit.django.decorator import label_of
from ratekit.django.settings import Settings
from ratekit.policy import Policy
from ratekit.routes import Coverage, Endpoint, Standing, coverage
from ratekit.stores.off import said_off
from ratekit.web.startup import told

MIDDLEWARE: Final = ("ratekit.django.RateLimitMiddleware", "ratekit.django.middleware.RateLimitMiddleware")
"""The spellings of the middleware in settings.MIDDLEWARE."""
_CONVERTER: Final = re.compile(r"<(?:(?P<kind>\w+):)?(?P<name>\w+)>")
_PLAIN: Final = re.compile(r"[^\\\[(^$.*+?{|]*(?![*+?{])")
_OPEN: Final = "{rest:path}"

log: Final = logging.getLogger("ratekit")


def report_on(settings: Settings) -> Coverage:
    """The coverage of the project as it stands; raises ConfigurationError for a view that asks for a policy of no name."""
    around = any(name in MIDDLEWARE for name in django_settings.MIDDLEWARE)
    policies = [Policy("default", settings.limits)] if settings.limits is not None else list(settings.policies or ())
    endpoints = []
    for path, view, admin, name in views(get_resolver()):
        login = settings.admin_login if around and admin and name == "login" else ()
        standing = [Standing(policy.name, policy.limits, share="some") for policy in login]  # whoever sends a password
        endpoints.append(_endpoint(settings, path, view, around, admin, standing))
    return coverage(endpoints, policies if around else (), unlimited=settings.unlimited, off=said_off())


def started(settings: Settings) -> None:
    """What is done once, when the server starts: the report into the log; raises ConfigurationError if the settings are STRICT."""
    try:
        report = report_on(settings)
    except Exception as error:  # what is wrong with a URLconf is Django's to report, at the first request
        if settings.strict:
            raise
        log.warning("rate limiting: the routes cannot be reported on: %s: %s", type(error).__name__, error)
        return
    told(report, strict=settings.strict)


def views(resolver: Any, above: str = "/", admin: bool = False) -> Iterator[tuple[str, Any, bool, str | None]]:
    """Every view of a URLconf, with the template of its path, whether it is the admin's, and the name of its route."""
    for entry in resolver.url_patterns:
        path = above + template(entry.pattern)
        if hasattr(entry, "url_patterns"):
            yield from views(entry, path, admin or entry.app_name == "admin")
        else:
            yield re.sub("/+", "/", path), entry.callback, admin, entry.name


def template(pattern: Any) -> str:
    """
    A part of a route as a template: `{name}` for one segment, `{name:path}` where a slash may be in it.

    >>> from django.urls import path
    >>> template(path("items/<int:number>/", print).pattern)
    'items/{number}/'
    """
    if isinstance(pattern, RoutePattern):
        return _CONVERTER.sub(lambda found: f"{{{found['name']}{':path' if found['kind'] == 'path' else ''}}}", str(pattern))
    if isinstance(pattern, LocalePrefixPattern):
        return str(pattern.language_prefix)
    # Of a regular expression what is plain text counts; the rest of it may be anything.
    text = re.sub(r"\\([-/ ])", r"\1", str(pattern).removeprefix("^"))
    found = _PLAIN.match(text)
    plain = found[0] if found else ""
    ends = ("$", r"\Z") if getattr(pattern, "_is_endpoint", True) else ("",)
    return plain if text[len(plain) :] in ends else plain + _OPEN


def _endpoint(settings: Settings, path: str, view: Any, around: bool, admin: bool, login: Iterable[Standing]) -> Endpoint:
    cls = getattr(view, "cls", None) or getattr(view, "view_class", None)
    known = [name for name in getattr(cls, "http_method_names", ()) if name not in ("head", "options", "trace")]
    names = getattr(view, "actions", None) or {name: name for name in known if hasattr(cls, name)}
    found = [view, *(getattr(cls, handler) for handler in names.values() if hasattr(cls, handler))]
    standing = [*login, *(one for part in found for one in _standing(settings, part, cls or view))]
    return Endpoint(path, tuple(sorted(name.upper() for name in names)), (*standing, *_throttles(cls)), around, own=admin)


def _standing(settings: Settings, view: Any, named: Any) -> Iterator[Standing]:
    """The limits of a view's decorators: of ratekit's own, and of `ratekit.django`."""
    yield from getattr(view, "__ratekit__", ())
    for limited in getattr(view, "ratekit_limits", ()):
        for policy in limited.policies(settings, label_of(named.__name__)):
            yield Standing(policy.name, policy.limits, bare=True)


def _throttles(cls: Any) -> Iterator[Standing]:
    """The limits of a Django REST framework view, as far as a rate is known before a request."""
    drf = sys.modules.get("ratekit.drf")
    if drf is not None and cls is not None:
        yield from (Standing(name, limits, bare=True) for name, limits in drf.standing(cls))
