"""
@rate_limit for views: functions and classes, `def` and `async def` alike. It answers a refusal itself, so it needs no middleware;
with ratekit's middleware around it the header fields of both are one list.
"""

import functools
import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from asgiref.sync import iscoroutinefunction

from ratekit.decision import Decision
from ratekit.django.charge import failed, failed_async, settle, settle_async
from ratekit.django.door import Door, recorded, write
from ratekit.django.requests import key_of
from ratekit.django.settings import Settings, current
from ratekit.enforcer import Refused
from ratekit.errors import ConfigurationError, RateLimitExceeded, StoreError
from ratekit.http.visit import VISIT, Visit
from ratekit.keys import Key
from ratekit.limit import Limit, limits_of
from ratekit.policy import Match, Policy, Test

View = TypeVar("View")

DECORATED: Final[list["Limited"]] = []
"""Every rate_limit(...) of this process: what the system checks look at."""


def rate_limit(
    *limits: str | Limit | Policy,
    policy: str | Sequence[str] | None = None,
    key: Key = "ip",
    methods: str | Sequence[str] | None = None,
    cost: int | Test = 1,
    charge: Callable[..., Any] | None = None,
    exempt: Match | Test | None = None,
    missing: Any = "ip",
    on_outage: Any = None,
    name: str | None = None,
    block: bool = True,
) -> "Limited":
    """
    Limit a view: a function, a class, or by method_decorator. All its limits are one hit: charged together or not at all.

    `limits` are texts or Limits, counted for this view (with a `name` for all that share it, and with a Policy of that name), or
    Policies; or `policy` names some of settings.RATEKIT["VIEW_POLICIES"]. Policies are counted by their own name, wherever they are used. `key` is "ip", "user",
    "header:NAME", "post:NAME", "query:NAME", a callable on ratekit's Request, or a list of them; `methods` are those that count.
    With `block=False` a refused request goes on, and `request.limited` is true. `charge` gets the response and says what it costs, such
    as 1 for a login that failed and 0 for others. The rest is as in `Policy`.

    Raises ConfigurationError for what cannot be.

    >>> @rate_limit("5/minute", key="user", methods=["POST", "PUT"])
    ... def edit(request): ...
    """
    caller = sys._getframe(1)
    where = f"{caller.f_globals.get('__name__', '?')}, line {caller.f_lineno}"
    named = (policy,) if isinstance(policy, str) else tuple(policy or ())
    own = {"key": key_of(key), "cost": cost, "charge": charge, "missing": missing, "on_outage": on_outage}
    wanted = _wanted(methods, exempt)
    if wanted is not None:
        own["exempt"] = wanted
    given = tuple(one for one in limits if isinstance(one, Policy))
    plain = tuple(one for one in limits if not isinstance(one, Policy))
    if sum(map(bool, (named, given, plain))) != 1:
        raise ConfigurationError("rate_limit: write limits, or Policies, or policy=, and one kind of them only")
    if not plain and (key != "ip" or cost != 1 or charge or missing != "ip" or wanted or on_outage or name):
        raise ConfigurationError("rate_limit: a Policy says by itself whose key, which cost and what is exempt: write it there")
    if plain:
        Policy("view", limits_of(plain), **own)
    limited = Limited(where, named, given, plain, own, name, block)
    DECORATED.append(limited)
    return limited


def _wanted(methods: str | Sequence[str] | None, exempt: Match | Test | None) -> Match | Test | None:
    """`exempt`, with all methods but those that count."""
    if methods is None:
        return exempt
    counting = frozenset(method.upper() for method in ([methods] if isinstance(methods, str) else methods))
    if exempt is not None:
        raise ConfigurationError("rate_limit: methods= and exempt= are both given: let the callable in exempt= look at the method")
    return lambda request: request.method not in counting


class Limited:
    """
    The limits of a view, to be put on one. `where` is the line that says so; `views` are the names of the views it is on.
    """

    def __init__(
        self,
        where: str,
        named: tuple[str, ...],
        given: tuple[Policy, ...],
        plain: tuple[str | Limit, ...],
        own: dict[str, Any],
        name: str | None,
        block: bool,
    ) -> None:
        self.where, self.named, self.plain = where, named, plain
        self._given, self._own, self._name, self._block = given, own, name, block
        self.views: dict[str, str] = {}

    def __call__(self, view: View) -> View:
        """The view, limited."""
        if isinstance(view, type):
            dispatch = getattr(view, "dispatch", None)
            if dispatch is None:
                raise ConfigurationError(f"{view!r} is no view class: it has no dispatch")
            name = f"{view.__module__}.{view.__qualname__}"
            view.dispatch = self._wrap(dispatch, name, view.__name__)  # type: ignore[attr-defined]
        else:
            view = self._wrap(view, *_names_of(view))
        return view

    def policies(self, settings: Settings, label: str) -> tuple[Policy, ...]:
        """What is asked of a request to a view; raises ConfigurationError for a policy that the settings do not have."""
        for name in self.named:
            if name not in settings.view_policies:
                known = ", ".join(map(repr, settings.view_policies)) or "none at all"
                raise ConfigurationError(
                    f"@rate_limit(policy={name!r}) in {self.where}: settings.RATEKIT['VIEW_POLICIES'] has {known}"
                )
        if self.plain:
            return (Policy(self._name or label, limits_of(self.plain), **self._own),)
        return self._given or tuple(settings.view_policies[name] for name in self.named)

    def namespace(self, view: str) -> dict[str, str]:
        """What plain limits of a view are counted under: its name; with one that was given they are a policy like others."""
        return {"name": view} if self.plain and not self._name else {}

    def _door(self, view: str, label: str) -> Door:
        settings = current()
        door: Door = settings.once((self, view), lambda: Door(settings, self.policies(settings, label), **self.namespace(view)))
        return door

    def _wrap(self, view: Any, name: str, label: str) -> Any:
        label, limits = label_of(label), (*getattr(view, "ratekit_limits", ()), self)
        if len(limits) > 1:  # limits that are stacked on one view are counted apart
            name, label = f"{name}#{len(limits)}", f"{label[:60]}#{len(limits)}"
        if not name.startswith("django.utils.decorators."):  # method_decorator tries each decorator on a dummy
            self.views[name] = label

        later = self._later(view, name, label)
        limited: Any = functools.wraps(view)(later if iscoroutinefunction(view) else self._now(view, name, label, later))
        limited.ratekit_limits = limits
        return limited

    def _later(self, view: Any, name: str, label: str) -> Callable[..., Any]:
        async def later(*args: Any, **kwargs: Any) -> Any:
            native = _request_in(args)
            door = self._door(name, label)
            inner, refused = await door.decide_async(native)
            visit = recorded(inner)
            if self._stops(native, refused):
                return await door.answer_async(refused, visit)  # type: ignore[arg-type]
            token = VISIT.set(visit)
            try:
                response = view(*args, **kwargs)
                response = await response if inspect.isawaitable(response) else response
            except (RateLimitExceeded, StoreError) as error:
                await failed_async(inner, error)
                return await door.answer_async(door.threads.answer_to(error, visit), visit)
            except BaseException as error:
                await failed_async(inner, error)
                raise
            finally:
                VISIT.reset(token)
            await settle_async(inner, response)
            return _told(response, visit, inner)

        return later

    def _now(self, view: Any, name: str, label: str, later: Callable[..., Any]) -> Callable[..., Any]:
        owner = getattr(getattr(view, "func", None), "__self__", None)  # of a method that method_decorator has bound

        def now(*args: Any, **kwargs: Any) -> Any:
            if getattr(owner or args[0], "view_is_async", False):  # `dispatch` of a class whose methods are async
                return later(*args, **kwargs)
            native = _request_in(args)
            door = self._door(name, label)
            inner, refused = door.decide(native)
            visit = recorded(inner)
            if self._stops(native, refused):
                return door.answer(refused, visit)  # type: ignore[arg-type]
            token = VISIT.set(visit)
            try:
                response = view(*args, **kwargs)
            except (RateLimitExceeded, StoreError) as error:
                failed(inner, error)
                return door.answer(door.threads.answer_to(error, visit), visit)
            except BaseException as error:
                failed(inner, error)
                raise
            finally:
                VISIT.reset(token)
            settle(inner, response)
            return _told(response, visit, inner)

        return now

    def _stops(self, native: Any, refused: Refused | None) -> bool:
        if self._block or not (refused is None or isinstance(refused, Decision)):
            return refused is not None
        native.limited = refused is not None or getattr(native, "limited", False)
        return False


def label_of(name: str) -> str:
    """A view's name as a policy's: what a header field can say."""
    return name.encode("ascii", "backslashreplace").decode("ascii")[:64]


def _told(response: Any, visit: Visit, inner: Visit) -> Any:
    if visit is inner:  # nobody is around who would say it
        write(response, visit.fields())
    return response


def _request_in(args: Sequence[Any]) -> Any:
    """Django's request among a view's arguments: the first, or the second of a method."""
    for request in args[:2]:
        if hasattr(request, "META"):
            return getattr(request, "_request", request)  # Django REST framework wraps it
    raise ConfigurationError("@rate_limit of ratekit.django is for views: for another function, take ratekit.rate_limit")


def _names_of(view: Any) -> tuple[str, str]:
    """A view's qualified name, and its short one; for a method that method_decorator calls, those of its class."""
    inner = view
    while inner is not None:
        function = getattr(inner, "func", inner)
        bound = getattr(function, "__self__", None)
        cls = getattr(inner, "view_class", None) or getattr(inner, "cls", None) or (bound is not None and type(bound))
        if cls:
            method = getattr(inner, "__name__", "") if bound is not None else ""
            tail = f".{method}" if method not in ("", "dispatch") else ""
            return f"{cls.__module__}.{cls.__qualname__}{tail}", f"{cls.__name__}{tail}"
        inner = getattr(inner, "__wrapped__", None) or (function if function is not inner else None)
    name = getattr(view, "__name__", type(view).__name__)
    return f"{view.__module__}.{getattr(view, '__qualname__', name)}", name
