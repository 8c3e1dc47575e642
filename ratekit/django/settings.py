"""
settings.RATEKIT, read once and checked: what the middleware, the decorators, the throttles and the commands go by.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.conf import settings as django_settings
from django.core.signals import setting_changed

from ratekit.django.requests import callable_of, key_of
from ratekit.errors import ConfigurationError
from ratekit.http.headers import DEFAULT, headers_of
from ratekit.keys import Proxies
from ratekit.limit import Limit, limits_of
from ratekit.policy import Match, Policy, matcher_of

KNOWN: Final = (
    "STORE",
    "LIMITS",
    "POLICIES",
    "VIEW_POLICIES",
    "ADMIN_LOGIN",
    "TRUSTED_PROXIES",
    "FORWARDED_HEADER",
    "NAME",
    "PREFIX",
    "BUDGET",
    "ON_OUTAGE",
    "DENY_CACHE",
    "FALLBACK_SHARE",
    "LEASE",
    "ON_REFUSED",
    "HEADERS",
    "HASH_KEYS",
    "STRICT",
    "UNLIMITED",
    "COUNTING",
)
COUNTED: Final = ("NAME", "PER", "KEEP", "EVERY")
"""What COUNTING may say."""


@dataclass(frozen=True, slots=True, eq=False)
class Settings:
    """
    settings.RATEKIT. `limits` or `policies` are for every request that the middleware sees, `view_policies` for views that ask for
    one by name, `admin_login` for the admin's login form. `strict` refuses to start with what the report on routes would warn of, and
    with a route without limits that `unlimited` patterns do not name.
    """

    store: Any
    limits: tuple[Limit, ...] | None
    policies: tuple[Policy, ...] | None
    view_policies: Mapping[str, Policy]
    admin_login: tuple[Policy, ...]
    on_refused: Callable[..., Any] | None
    strict: bool
    unlimited: Match | None
    proxies: Proxies
    rest: Mapping[str, Any]
    """The arguments that every Enforcer takes."""
    counting: Mapping[str, Any] = field(default_factory=dict)
    """What the counting middleware is to do otherwise, by the names of Traffic's arguments."""
    made: dict[Any, Any] = field(default_factory=dict)
    """What was opened by these settings, until they change."""
    done: set[str] = field(default_factory=set)
    """What is done once."""

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What `make` gives, made once for these settings."""
        found = self.made.get(key)
        if found is None:
            found = self.made.setdefault(key, make())
        return found

    def first(self, key: str) -> bool:
        """Whether this is asked for the first time."""
        new = key not in self.done
        self.done.add(key)
        return new


def read(given: Any) -> Settings:
    """
    The settings in a mapping; raises ConfigurationError for what cannot be.

    >>> read({"LIMITS": "100/minute"}).store
    'memory://'
    """
    _check_names(given)
    store = given.get("STORE")  # an empty MemoryStore is false, and is meant all the same
    policies, admin = given.get("POLICIES"), given.get("ADMIN_LOGIN")
    if isinstance(admin, str | Limit):
        admin = [Policy("admin-login", admin)]
    views = policies_of("VIEW_POLICIES", given.get("VIEW_POLICIES") or ())
    rest = _rest(given)
    read_in = Settings(
        store=os.environ.get("RATEKIT_STORE") or "memory://" if store in (None, "") else store,
        limits=None if given.get("LIMITS") is None else limits_of(given["LIMITS"]),
        policies=None if policies is None else policies_of("POLICIES", policies),
        view_policies={policy.name: policy for policy in views},
        admin_login=policies_of("ADMIN_LOGIN", admin or ()),
        on_refused=callable_of("ON_REFUSED", given.get("ON_REFUSED")),
        strict=given.get("STRICT", False),
        unlimited=given.get("UNLIMITED"),
        proxies=Proxies(rest["trusted_proxies"], rest["forwarded_header"]),
        rest=rest,
        counting=_counting(given.get("COUNTING") or {}),
    )
    matcher_of(read_in.unlimited)
    if not isinstance(read_in.strict, bool):
        raise ConfigurationError(f"settings.RATEKIT['STRICT'] {read_in.strict!r}: write True or False")
    if len(read_in.view_policies) < len(views):
        raise ConfigurationError("settings.RATEKIT['VIEW_POLICIES']: two policies have one name: give each a name of its own")
    if read_in.on_refused is not None and not callable(read_in.on_refused):
        raise ConfigurationError(f"settings.RATEKIT['ON_REFUSED'] {read_in.on_refused!r}: write the dotted path of a callable")
    return read_in


def _check_names(given: Any) -> None:
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"settings.RATEKIT {given!r}: write a dict, such as {{'LIMITS': '100/minute'}}")
    unknown = [name for name in given if name not in KNOWN]
    if unknown:
        raise ConfigurationError(f"settings.RATEKIT[{unknown[0]!r}] is not known; the names are {', '.join(KNOWN)}")
    if given.get("LIMITS") is not None and given.get("POLICIES") is not None:
        raise ConfigurationError("settings.RATEKIT has LIMITS and POLICIES: write the limits as one more policy, or leave them out")


def _counting(given: Any) -> dict[str, Any]:
    if not isinstance(given, Mapping) or not given.keys() <= set(COUNTED):
        raise ConfigurationError(f"settings.RATEKIT['COUNTING'] {given!r}: write a dict, with some of {', '.join(COUNTED)}")
    return {name.lower(): value for name, value in given.items()}


def _rest(given: Mapping[str, Any]) -> dict[str, Any]:
    """What an Enforcer takes as it stands."""
    return {
        "name": given.get("NAME", "default"),
        "prefix": given.get("PREFIX", "ratekit"),
        "trusted_proxies": given.get("TRUSTED_PROXIES", ()),
        "forwarded_header": given.get("FORWARDED_HEADER", "x-forwarded-for"),
        "budget": given.get("BUDGET"),
        "on_outage": given.get("ON_OUTAGE", "local"),
        "deny_cache": given.get("DENY_CACHE", 1.0),
        "fallback_share": given.get("FALLBACK_SHARE", 1.0),
        "lease": given.get("LEASE"),
        "headers": headers_of(given.get("HEADERS", DEFAULT)),
        "hash_keys": given.get("HASH_KEYS", False),
    }


def policies_of(what: str, given: Any) -> tuple[Policy, ...]:
    """Policies from a list of Policy, or of dicts with the names of Policy's arguments."""
    if isinstance(given, str | Mapping | Policy) or not isinstance(given, Sequence):
        raise ConfigurationError(f"settings.RATEKIT[{what!r}] {given!r}: write a list of Policy, or of dicts with its arguments")
    return tuple(_policy(what, one) for one in given)


def _policy(what: str, given: Any) -> Policy:
    if isinstance(given, Policy):
        return given
    if not isinstance(given, Mapping) or not {"name", "limits"} <= given.keys():
        raise ConfigurationError(f"settings.RATEKIT[{what!r}]: {given!r} is no policy: write a dict with at least name and limits")
    values = dict(given)
    values["key"] = key_of(values.get("key", "ip"))
    for name in ("cost", "exempt", "charge"):
        if name in values:
            values[name] = callable_of(name, values[name])
    try:
        return Policy(**values)
    except TypeError as error:
        raise ConfigurationError(f"settings.RATEKIT[{what!r}], policy {given['name']!r}: {error}") from None


_CURRENT: list[Settings] = []


def current() -> Settings:
    """settings.RATEKIT as it is now; raises ConfigurationError for what cannot be."""
    if not _CURRENT:
        _CURRENT.append(read(getattr(django_settings, "RATEKIT", {})))
    return _CURRENT[0]


def forget(*, setting: str, **_: Any) -> None:
    """Read the settings again when a test has changed them, and let go of what the old ones opened."""
    if setting == "RATEKIT":
        while _CURRENT:
            for made in _CURRENT.pop().made.values():
                made.close()


setting_changed.connect(forget, dispatch_uid="ratekit")
