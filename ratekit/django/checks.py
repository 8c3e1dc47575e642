"""
System checks: what `manage.py check` says about limits that work and are not what is meant.

    ratekit.E001   settings.RATEKIT cannot be read               ratekit.W001   memory storage under several workers
    ratekit.E002   a view asks for a policy or rate of no name   ratekit.W002   there is a proxy, and none is named
    ratekit.E003   limits for a middleware that is not there     ratekit.W003   a policy that matches no route
    ratekit.E004   the user is asked for before there is one     ratekit.W004   a policy for views that no view asks for

A warning that is not meant for you: SILENCED_SYSTEM_CHECKS.
"""

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

from django.apps import apps
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004 - Django's name
from django.urls import get_resolver

from ratekit.django.decorator import DECORATED
from ratekit.django.requests import user
from ratekit.django.routes import MIDDLEWARE, report_on, views
from ratekit.django.settings import Settings, current
from ratekit.errors import ConfigurationError
from ratekit.policy import Policy
from ratekit.workers import workers

AUTHENTICATION: Final = "django.contrib.auth.middleware.AuthenticationMiddleware"
PROXY_SETTINGS: Final = ("SECURE_PROXY_SSL_HEADER", "USE_X_FORWARDED_HOST", "USE_X_FORWARDED_PORT")


@register(Tags.security)
def check(app_configs: Any, **_: Any) -> list[CheckMessage]:
    """Everything that can be seen without knowing how the project is served."""
    try:
        settings = current()
        list(_all_policies(settings))
    except ConfigurationError as error:
        return [Error(str(error), id="ratekit.E001")]
    get_resolver().url_patterns  # noqa: B018 - views are decorated when they are imported
    tests: Sequence[Callable[[Settings], list[CheckMessage]]] = (_names, _middleware, _users, _workers, _proxies, _unused)
    return [message for test in tests for message in test(settings)]


@register(Tags.security, deploy=True)
def check_deploy(app_configs: Any, **_: Any) -> list[CheckMessage]:
    """What is wrong in production at the latest."""
    try:
        store = current().store
    except ConfigurationError:
        return []
    return [] if store != "memory://" or _count() > 1 else [_memory("a server in production mostly runs several workers")]


def _all_policies(settings: Settings) -> list[Policy]:
    return [*(settings.policies or ()), *settings.view_policies.values(), *settings.admin_login]


def _names(settings: Settings) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    for limited in DECORATED:
        try:
            limited.policies(settings, "view")
        except ConfigurationError as error:
            found.append(Error(str(error), hint="Add it there, or correct the name.", id="ratekit.E002"))
    if apps.is_installed("rest_framework") and "ratekit.drf" in sys.modules:
        drf = sys.modules["ratekit.drf"]
        found += [Error(text, id="ratekit.E002") for text in drf.unknown_scopes(view for _, view, *_ in views(get_resolver()))]
    return found


def _unused(settings: Settings) -> list[CheckMessage]:
    """Policies that limit nothing: a pattern that no route has, a name that no view asks for."""
    asked = {name for limited in DECORATED for name in limited.named}
    found: list[CheckMessage] = [
        Warning(f"RATEKIT['VIEW_POLICIES'] has {name!r}, and no view asks for it: @rate_limit(policy={name!r}).", id="ratekit.W004")
        for name in settings.view_policies
        if name not in asked
    ]
    if not set(asked) <= settings.view_policies.keys():
        return found  # an error that has been reported; the routes cannot be
    nothing = [finding.text for finding in report_on(settings).findings if finding.kind == "matches nothing"]
    return found + [Warning(text, hint="Patterns are paths as the URLconf has them.", id="ratekit.W003") for text in nothing]


def _middleware(settings: Settings) -> list[CheckMessage]:
    installed = any(name in MIDDLEWARE for name in django_settings.MIDDLEWARE)
    given = {"LIMITS": settings.limits, "POLICIES": settings.policies, "ADMIN_LOGIN": settings.admin_login}
    waiting = [name for name, value in given.items() if value]
    if installed or not waiting:
        return []
    return [
        Error(
            f"settings.RATEKIT[{waiting[0]!r}] limits nothing: ratekit's middleware is not in MIDDLEWARE.",
            hint=f"Add {MIDDLEWARE[0]!r}.",
            id="ratekit.E003",
        )
    ]


def _users(settings: Settings) -> list[CheckMessage]:
    names = list(django_settings.MIDDLEWARE)
    places = [place for place, name in enumerate(names) if name in MIDDLEWARE]
    asks = [policy.name for policy in settings.policies or () if policy.key is user]
    if not places or not asks or AUTHENTICATION in names[: places[0]]:
        return []
    message = f"policy {asks[0]!r} asks for the user before there is one."
    return [Error(message, hint=f"In MIDDLEWARE, put {AUTHENTICATION!r} before {MIDDLEWARE[0]!r}.", id="ratekit.E004")]


def _workers(settings: Settings) -> list[CheckMessage]:
    count = _count()
    return [_memory(f"the environment asks for {count} workers")] if settings.store == "memory://" and count > 1 else []


def _count() -> int:
    """How many workers a server started from here would run."""
    return max(workers(sys.argv, os.environ), workers(["", *shlex.split(os.environ.get("GUNICORN_CMD_ARGS", ""))], {}))


def _memory(why: str) -> CheckMessage:
    return Warning(
        f"The state of all limits is in memory, and {why}: each counts on its own, so that clients get several times their limits.",
        hint="Set RATEKIT['STORE'] to a store that is shared, such as 'redis://localhost:6379/0'.",
        id="ratekit.W001",
    )


def _proxies(settings: Settings) -> list[CheckMessage]:
    if settings.proxies.named or "TRUSTED_PROXIES" in getattr(django_settings, "RATEKIT", {}):
        return []  # an empty list says that there is none
    drf = getattr(django_settings, "REST_FRAMEWORK", None) or {}
    signs = [name for name in PROXY_SETTINGS if getattr(django_settings, name, None)]
    signs += [name for name in ("RATELIMIT_IP_META_KEY",) if getattr(django_settings, name, None)]
    signs += ["REST_FRAMEWORK['NUM_PROXIES']"] if drf.get("NUM_PROXIES") else []
    if not signs:
        return []
    return [
        Warning(
            f"{signs[0]} says that there is a proxy, and RATEKIT['TRUSTED_PROXIES'] names none: all clients behind it are one address.",
            hint="Set RATEKIT['TRUSTED_PROXIES'] to its networks, such as ['10.0.0.0/8'], or to [] when there is none.",
            id="ratekit.W002",
        )
    ]
