"""
Arguments: those of a call by name, as the callables that decorators are given for `key` and `cost` get them.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ratekit.errors import ConfigurationError


def by_name(function: Callable[..., Any], **asked: Any) -> Callable[[Sequence[Any], Mapping[str, Any]], dict[str, Any]]:
    """
    How a call's arguments become names and values, defaults included. `asked` are the callables that get them, or None: one that
    cannot take the function's names raises ConfigurationError.

    >>> def send(user_id, text="hello", **options): ...
    >>> by_name(send, key=lambda user_id, **_: user_id)((7,), {"slow": True})
    {'slow': True, 'user_id': 7, 'text': 'hello'}
    """
    signature = inspect.signature(function)
    rest = next((name for name, one in signature.parameters.items() if one.kind is one.VAR_KEYWORD), None)
    for what, asker in asked.items():
        if asker is not None and rest is None:  # else a call may bring any name
            _check(what, asker, [*signature.parameters])

    def arguments(args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        values = dict(bound.arguments)
        return values if rest is None else {**values.pop(rest), **values}  # f(a, /, **kwargs) may be given another a

    return arguments


def check_key(key: object) -> None:
    """Raises ConfigurationError for anything but a callable or None."""
    if key is not None and not callable(key):
        raise ConfigurationError(f"key {key!r}: write a callable on the function's arguments, such as lambda user_id, **_: user_id")


def _check(what: str, asker: Any, names: list[str]) -> None:
    try:
        takes = inspect.signature(asker)
    except (TypeError, ValueError):  # some callables that are not Python's have none
        return
    try:
        takes.bind(**dict.fromkeys(names))
    except TypeError as error:
        given = ", ".join(names)
        raise ConfigurationError(
            f"{what} {asker!r}: {error}; it gets the function's arguments by name ({given}), and **_ takes what it does not need"
        ) from None
