"""
@rate_limit and @exempt for views, classes of views and blueprints.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from flask import Blueprint, current_app, has_request_context, request

from ratekit.errors import ConfigurationError
from ratekit.flask.site import ASKED
from ratekit.keys import Key
from ratekit.limit import Limit, limits_of
from ratekit.policy import Match, Policy, Test
from ratekit.web.flask_routes import EXEMPT, EXTENSION, MARKS, Mark, label_of

T = TypeVar("T")


def rate_limit(
    *limits: str | Limit | Policy,
    name: str | None = None,
    key: Key = "ip",
    methods: str | Sequence[str] | None = None,
    cost: int | Test = 1,
    exempt: Match | Test | None = None,
    missing: Any = "ip",
    on_outage: Any = None,
) -> Callable[[T], T]:
    """
    Limit a view, a class of views, one of its methods, or a blueprint, above or below the route.

    `limits` are texts or Limits, counted for each view by itself, whatever the parameters in its path; a `name` shares them between
    views. Or they are Policies, with names and keys of their own. `methods` are those that count, GET also for HEAD. The rest is as
    in `Policy`; callables get ratekit's Request, whose `native` is Flask's. It needs RateLimits on the application, where a call
    raises ConfigurationError without. Raises ConfigurationError for what cannot be.

    >>> @rate_limit("5/minute", methods=["POST", "PUT"])
    ... def edit(): ...
    """
    policies = tuple(one for one in limits if isinstance(one, Policy))
    plain = tuple(one for one in limits if not isinstance(one, Policy))
    if bool(policies) is bool(plain):
        raise ConfigurationError("rate_limit: write limits, as in rate_limit('10/minute'), or Policies, one of the two")
    if policies and (key != "ip" or cost != 1 or missing != "ip" or exempt or on_outage or name):
        raise ConfigurationError("rate_limit: a Policy says by itself whose key, which cost and what is exempt: write it there")
    words = None if methods is None else frozenset(word.upper() for word in ([methods] if isinstance(methods, str) else methods))
    mark = Mark(policies, limits_of(plain) if plain else (), name, words, key, cost, exempt, missing, on_outage)
    mark.policies_at("view")  # what cannot be is said here

    def on(target: T) -> T:
        limited: T = _put(target, mark)
        return limited

    return on


def exempt(target: T) -> T:
    """
    Leave a view, a class of views or a blueprint without any limit, also those of the application.

    >>> @exempt
    ... def health(): ...
    """
    if getattr(target, MARKS, ()):
        raise ConfigurationError(f"{target!r} is limited, and exempt: choose one")
    setattr(target, EXEMPT, True)
    return target


def _put(target: Any, mark: Mark) -> Any:
    """A mark where it is found: on the target itself, so that it does not matter in which order decorators stand."""
    if getattr(target, EXEMPT, False):
        raise ConfigurationError(f"{target!r} is limited, and exempt: choose one")
    if not isinstance(target, Blueprint) and not callable(target):
        raise ConfigurationError(f"rate_limit on {target!r}: put it on a view, a class of views, or a blueprint")
    if isinstance(target, type):
        setattr(target, MARKS, [*getattr(target, MARKS, ()), mark])
        return target
    marks = getattr(target, MARKS, None)
    if marks is not None:
        marks.append(mark)
        return target
    marks = [mark]
    setattr(target, MARKS, marks)
    return target if isinstance(target, Blueprint) else _watched(target, marks)


def _watched(view: Callable[..., Any], marks: Sequence[Mark]) -> Callable[..., Any]:
    """The view, which asks by itself where nobody has asked for it: behind a decorator that hides its marks, or as a function."""

    @functools.wraps(view)
    def limited(*args: Any, **kwargs: Any) -> Any:
        if not has_request_context():
            return view(*args, **kwargs)
        if id(marks) not in request.environ.get(ASKED, ()):
            site = current_app.extensions.get(EXTENSION)
            if site is None:
                raise ConfigurationError(f"@rate_limit on {view.__name__} needs RateLimits on the application: RateLimits(app)")
            site.ask(marks, label_of(view.__name__))
        return current_app.ensure_sync(view)(*args, **kwargs)

    return limited
