"""
Django's requests as policies see them, and who is asking in Django's words: "user", "post:NAME", "query:NAME", a dotted path.
"""

import asyncio
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, cast

from django.core.exceptions import BadRequest, SuspiciousOperation
from django.http import HttpRequest, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.utils.module_loading import import_string

from ratekit.errors import ConfigurationError
from ratekit.keys import Key, Proxies
from ratekit.request import Request

_PLAIN: Final = ("CONTENT_TYPE", "CONTENT_LENGTH")


class Fields:
    """The header fields in an `environ`; nothing is made of them until somebody looks."""

    __slots__ = ("_meta",)

    def __init__(self, meta: Mapping[str, Any]) -> None:
        self._meta = meta

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        for name, value in self._meta.items():
            if name.startswith("HTTP_") or (name in _PLAIN and value):
                label = name.removeprefix("HTTP_").replace("_", "-").lower()
                yield label.encode("latin-1", "replace"), str(value).encode("latin-1", "replace")


def request_of(native: HttpRequest, proxies: Proxies) -> Request:
    """A request of Django's as policies see it: `path` is what the URLconf is asked for."""
    meta = native.META
    return Request(
        method=(native.method or "").upper(),
        path=native.path_info,
        fields=Fields(meta),
        query=str(meta.get("QUERY_STRING", "")).encode("latin-1", "replace"),
        client=lambda request: proxies.client(request, meta.get("REMOTE_ADDR") or None),
        native=native,
    )


def on_loop() -> bool:
    """Whether an event loop is running in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def user(request: Request) -> Any:
    """
    The primary key of who is logged in; absent where nobody is, which a policy's `missing` then judges.

    In a `Policy` of the settings write `key=user`, elsewhere "user" does. Raises ConfigurationError where nobody has looked yet.

    >>> from ratekit import Policy
    >>> Policy("daily", "5000/day", key=user, missing="ip").name
    'daily'
    """
    native = request.native
    if not hasattr(native, "user"):
        raise ConfigurationError(
            "key 'user' and no request.user: in MIDDLEWARE, put django.contrib.auth.middleware.AuthenticationMiddleware before "
            "ratekit.django.RateLimitMiddleware"
        )
    if hasattr(native, "auser") and not hasattr(native, "_cached_user") and on_loop():
        return _later(native)
    return identity_of(native.user)


async def _later(native: Any) -> str | None:
    return identity_of(await native.auser())


def identity_of(someone: Any) -> str | None:
    """A logged-in user's primary key as text; None for anybody else."""
    return str(someone.pk) if someone is not None and someone.is_authenticated else None


def posted(name: str) -> Callable[[Request], str | None]:
    """A form's field as a key: normalized as Django's own login form does, so that one name has one spelling."""

    def field(request: Request) -> str | None:
        try:
            value = request.native.POST.get(name)
        except (BadRequest, SuspiciousOperation, MultiPartParserError, UnreadablePostError):
            return None  # the view is told by Django what is wrong with this body
        return unicodedata.normalize("NFKC", value).strip() if isinstance(value, str) else None

    return field


def key_of(key: Key) -> Key:
    """A key with Django's words in it as one that a Policy takes."""
    if isinstance(key, str):
        kind, _, name = key.partition(":")
        if key == "user":
            return user
        if kind == "post" and name:
            return posted(name)
        if kind == "query" and name:
            return lambda request: request.query.get(name)
        if "." in kind and not name:
            return cast("Key", _imported("key", key))
        if key != "ip" and kind != "header":
            raise ConfigurationError(
                f"key {key!r}: write 'ip', 'user', 'header:NAME', 'post:NAME', 'query:NAME', the dotted path of a callable on "
                "ratekit's Request, such a callable, or a list of them"
            )
        return key
    return key if callable(key) or not isinstance(key, Sequence) else [cast("str", key_of(some)) for some in key]


def callable_of(what: str, value: Any) -> Any:
    """A dotted path without a slash as what it names; anything else as it is."""
    return _imported(what, value) if isinstance(value, str) and "." in value and "/" not in value else value


def _imported(what: str, path: str) -> Any:
    try:
        found = import_string(path)
    except ImportError as error:
        raise ConfigurationError(f"{what} {path!r}: {error}; write the dotted path of a callable") from None
    if not callable(found):
        raise ConfigurationError(f"{what} {path!r} is no callable")
    return found
