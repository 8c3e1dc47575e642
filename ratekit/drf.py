"""
Django REST framework: throttles that drop in for its own.

    REST_FRAMEWORK = {
        "DEFAULT_THROTTLE_CLASSES": ["ratekit.drf.AnonRateThrottle", "ratekit.drf.UserRateThrottle"],
        "DEFAULT_THROTTLE_RATES": {"anon": "100/day", "user": "1000/day"},
    }

The names, the attributes and the rates are DRF's. What is different: all throttles of a view are one hit, which charges nothing when
one of them refuses; no two requests slip through together; the address is that of the socket, or what the named proxies say; a
rate that DRF would misread is refused; every answer has the RateLimit fields. State is in RATEKIT["STORE"].
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, ClassVar, Final

from ratekit.errors import ConfigurationError, MissingExtra

try:
    from django.conf import settings as django_settings
    from django.core.exceptions import ImproperlyConfigured
    from rest_framework.exceptions import APIException
    from rest_framework.settings import api_settings
except ImportError as error:
    raise MissingExtra("ratekit.drf", error.name or "djangorestframework", "drf") from None

from ratekit.decision import Decision
from ratekit.django.requests import identity_of
from ratekit.django.throttling import Claim, address_of, judged
from ratekit.http.problem import Answer
from ratekit.limit import Limit, limits_of
from ratekit.stores.naming import Identity

OURS: Final = "_ratekit_judged"
"""Where a request keeps what was decided on those throttles of its view that have not been asked yet."""


def _rates() -> Mapping[str, str | None]:
    rates: Any = api_settings.DEFAULT_THROTTLE_RATES
    return rates or {}


class Rates:
    """DEFAULT_THROTTLE_RATES as they are now, where a class has none of its own."""

    def __get__(self, throttle: Any, owner: Any = None) -> Mapping[str, str | None]:
        return _rates()


class SimpleRateThrottle:
    """
    A throttle by `rate`, or by the rate of its `scope`; give it a `get_cache_key` that says whose quota a request is charged to.

    `store` is where it counts, RATEKIT["STORE"] if None. A subclass with an `allow_request` of its own is asked for by itself,
    after the others or together with those that follow.
    Raises ConfigurationError for a rate that cannot be.
    """

    scope: str | None = None
    rate: Any = None
    store: ClassVar[Any] = None
    cache_format: ClassVar[str] = "throttle_%(scope)s_%(ident)s"
    THROTTLE_RATES: ClassVar[Any] = Rates()

    def __init_subclass__(cls) -> None:
        for name in ("cache", "timer"):
            if name in cls.__dict__:
                raise ConfigurationError(
                    f"{cls.__name__}.{name}: ratekit keeps no state in Django's cache and takes the store's clock: write "
                    "store = 'redis://...' there, or RATEKIT['STORE'] for all"
                )
        if "get_cache_key" in cls.__dict__ and "get_identity" not in cls.__dict__:
            cls.get_identity = SimpleRateThrottle.get_identity  # type: ignore[method-assign]
        if isinstance(cls.__dict__.get("rate"), str) and cls.parse_rate is SimpleRateThrottle.parse_rate:
            rate_of(cls.rate)

    def __init__(self) -> None:
        self.decision: Decision | None = None
        if not self.rate:
            self.rate = self.get_rate()
        self.num_requests, self.duration = self.parse_rate(self.rate)

    def get_cache_key(self, request: Any, view: Any) -> str | None:
        """Whose quota a request is charged to; None for nobody's. To be overridden."""
        raise NotImplementedError(f"{type(self).__name__}.get_cache_key: give back who is asking, or None")

    def get_identity(self, request: Any, view: Any) -> Identity | None:
        """The identity that is counted: `get_cache_key` where a subclass has one."""
        return self.get_cache_key(request, view)

    def get_ident(self, request: Any) -> str:
        """The client's address: never what a header claims, unless proxies are named, or DRF's NUM_PROXIES counts them."""
        hops: Any = api_settings.NUM_PROXIES
        return address_of(getattr(request, "_request", request), hops)

    def get_rate(self) -> str | None:
        """The rate of the scope; raises ImproperlyConfigured for a scope without one."""
        if not self.scope:
            raise ImproperlyConfigured(f"You must set either `.scope` or `.rate` for '{type(self).__name__}' throttle")
        try:
            rate: str | None = self.THROTTLE_RATES[self.scope]
        except KeyError:
            raise ImproperlyConfigured(f"No default throttle rate set for '{self.scope}' scope") from None
        return rate

    def parse_rate(self, rate: str | None) -> tuple[int | None, float | None]:
        """Requests, and seconds."""
        if rate is None:
            return None, None
        limit = rate_of(rate)[0]
        return limit.quota, limit.per

    def allow_request(self, request: Any, view: Any) -> bool:
        """Whether the request may go on; all throttles of its view are decided by the first that is asked."""
        claim = self.claim(request, view)
        self.decision = None if claim is None else _decided(claim, request, view)
        return self.throttle_success() if self.decision is None or self.decision else self.throttle_failure()

    def throttle_success(self) -> bool:
        """What an admitted request is answered; it has been counted."""
        return True

    def throttle_failure(self) -> bool:
        """What a refused request is answered; it has not been counted."""
        return False

    def wait(self) -> float | None:
        """Seconds until the request would be admitted."""
        return None if self.decision is None or self.decision else self.decision.retry_after

    def claim(self, request: Any, view: Any) -> Claim | None:
        """What is asked of the store for a request; None where this throttle does not apply."""
        if self.rate is None:
            return None
        identity = self.get_identity(request, view)
        if identity is None:
            return None
        parsed = type(self).parse_rate is SimpleRateThrottle.parse_rate
        limits = rate_of(self.rate) if parsed else (_limit(self.num_requests, self.duration),)
        # A rate of its own is a quota of its own: not that of the scope that the class inherits.
        name = self.scope if self.scope and not type(self).rate else f"{self.scope or ''}.{type(self).__name__}"
        return Claim(name, limits, identity or ("ip", self.get_ident(request)), self.store)


class AnonRateThrottle(SimpleRateThrottle):
    """Limits those who are not logged in, by their address; the scope is "anon"."""

    scope: str | None = "anon"

    def get_cache_key(self, request: Any, view: Any) -> str | None:
        """DRF's key, for subclasses that build on it."""
        if request.user and request.user.is_authenticated:
            return None
        return self.cache_format % {"scope": self.scope, "ident": self.get_ident(request)}

    def get_identity(self, request: Any, view: Any) -> Identity | None:
        """The address, if nobody is logged in."""
        return self.get_ident(request) if identity_of(request.user) is None else None


class UserRateThrottle(SimpleRateThrottle):
    """Limits each user by primary key, and those who are not logged in by their address; the scope is "user"."""

    scope: str | None = "user"

    def get_cache_key(self, request: Any, view: Any) -> str | None:
        """DRF's key, for subclasses that build on it."""
        ident = request.user.pk if request.user and request.user.is_authenticated else self.get_ident(request)
        return self.cache_format % {"scope": self.scope, "ident": ident}

    def get_identity(self, request: Any, view: Any) -> Identity | None:
        """The primary key, else the address, in a tuple that no primary key can spell."""
        return identity_of(request.user) or ("ip", self.get_ident(request))


class ScopedRateThrottle(UserRateThrottle):
    """Limits the views that have a `throttle_scope`, each user apart; views of one scope count together."""

    scope = None
    scope_attr: ClassVar[str] = "throttle_scope"

    def __init__(self) -> None:
        self.decision = None  # the rate is known when the view is

    def claim(self, request: Any, view: Any) -> Claim | None:
        """As its scope says; nothing for a view without one."""
        self.scope = getattr(view, self.scope_attr, None)
        if not self.scope:
            return None
        self.rate = self.get_rate()
        self.num_requests, self.duration = self.parse_rate(self.rate)
        return super().claim(request, view)


def _decided(claim: Claim, request: Any, view: Any) -> Decision | None:
    """The decision on one throttle of a view; the first one that asks has all of them decided."""
    kept: list[tuple[Claim, Decision | None]] = request.__dict__.setdefault(OURS, [])
    for place, (one, decision) in enumerate(kept):
        if one == claim:
            del kept[place]
            return decision
    together = list(_others(claim, request, view))
    if claim in together:
        together.remove(claim)
    answer = judged([claim, *together], view)
    if isinstance(answer, Answer):
        raise Unavailable(answer)
    kept[:] = zip(together, answer[1:], strict=True)
    return answer[0]


def _others(claim: Claim, request: Any, view: Any) -> Iterable[Claim]:
    """What the view's other throttles ask of the same store; those that decide by themselves are left to that."""
    get_throttles = getattr(view, "get_throttles", None)
    if get_throttles is None or (
        len(getattr(view, "throttle_classes", ())) == 1 and get_throttles.__module__ == "rest_framework.views"
    ):
        return  # it is alone
    for throttle in get_throttles():
        if isinstance(throttle, SimpleRateThrottle) and type(throttle).allow_request is SimpleRateThrottle.allow_request:
            other = throttle.claim(request, view)
            if other is not None and other.store == claim.store:
                yield other


class Unavailable(APIException):
    """No decision: the store is away and its outage policy is "closed", or the throttle cannot work (its log says why)."""

    def __init__(self, answer: Answer) -> None:
        self.status_code = answer.status
        self.wait = 1 if answer.status == 503 else None
        super().__init__("The rate limits cannot be decided on at the moment.")


@lru_cache(maxsize=1024)
def rate_of(rate: str) -> tuple[Limit, ...]:
    """The limits in a rate; raises ConfigurationError for what DRF would misread, such as '10/month'."""
    return limits_of(rate)


@lru_cache(maxsize=1024)
def _limit(number: int, seconds: float) -> Limit:
    return Limit(number, per=seconds)


def check_rates() -> None:
    """Raise ConfigurationError for a rate of the settings that cannot be."""
    for scope, rate in _rates().items():
        if rate is not None:
            try:
                rate_of(rate)
            except ConfigurationError as error:
                raise ConfigurationError(f"REST_FRAMEWORK['DEFAULT_THROTTLE_RATES'][{scope!r}]: {error}") from None


def unknown_scopes(views: Iterable[Any]) -> list[str]:
    """Views that name a scope without a rate, each in a sentence."""
    classes = {cls for view in views if (cls := getattr(view, "cls", None) or getattr(view, "view_class", None)) is not None}
    rates = _rates()
    return [
        f"{cls.__module__}.{cls.__qualname__}.throttle_scope is {scope!r}, and REST_FRAMEWORK['DEFAULT_THROTTLE_RATES'] has no such rate."
        for cls in sorted(classes, key=lambda cls: f"{cls.__module__}.{cls.__qualname__}")
        if (scope := getattr(cls, "throttle_scope", None)) and scope not in rates
    ]


def standing(cls: Any) -> Iterator[tuple[str, tuple[Limit, ...]]]:
    """The limits of a view class by its throttles, as far as a rate is known before a request."""
    for throttle in getattr(cls, "throttle_classes", ()):
        if isinstance(throttle, type) and issubclass(throttle, SimpleRateThrottle):
            scope = getattr(cls, throttle.scope_attr, None) if issubclass(throttle, ScopedRateThrottle) else throttle.scope
            rate = throttle.rate or _rates().get(scope or "")
            if isinstance(rate, str):
                yield scope or throttle.__name__, rate_of(rate)


if django_settings.configured:
    check_rates()
