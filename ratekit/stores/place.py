"""
Places: where a store is, in words that anybody may read: no user and no password, not even of a URL that is wrong.
"""

import re
from typing import Any, Final
from urllib.parse import urlsplit

_LOGIN: Final = re.compile(r"\A([\w+]*:?/*).*@", re.DOTALL)
"""All up to the last @, but for the scheme: a password that was not escaped may hold anything."""
_PASSWORD: Final = re.compile(r"(?<=[?&])(\w*password=)[^&#]*", re.IGNORECASE)

_ENDS: Final = re.compile(r"[/?#]")


def hidden(url: str) -> str:
    """
    A URL as a message may quote it: neither user nor password in it, also where it is wrong.

    >>> hidden("redis://user:secret@localhost:port/0?password=secret")
    'redis://...@localhost:port/0?password=...'
    """
    url = _LOGIN.sub(r"\1...@", url)
    return _PASSWORD.sub(r"\1...", url)


def torn(url: str) -> bool:
    """
    Whether a user or a password ends before its @, at a character that should have been escaped: another host would be asked.

    >>> torn("redis://:se/cret@localhost"), torn("redis://:se%2Fcret@localhost/0?client_name=a@b")
    (True, False)
    """
    _, *rest = _ENDS.split(url.partition("://")[2], maxsplit=1)
    return any("@" in part.partition("=")[0] for part in rest)


def place_of(target: Any) -> str:
    """
    Where a URL or a client leads, without user, password and options.

    >>> place_of("redis://user:secret@localhost:6379/0?socket_timeout=1")
    'redis://localhost:6379/0'
    """
    if isinstance(target, str):
        scheme, place, path, *_ = urlsplit(target)
        return f"{scheme}://{place.rpartition('@')[2]}{path}"
    pool = target.connection_pool
    options = pool.connection_kwargs
    if service := getattr(pool, "service_name", None):
        return f"redis+sentinel://{service}/{options.get('db') or 0}"
    host = options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
    return f"redis://{host}/{options.get('db') or 0}"


def label_of(store: Any) -> str:
    """Where a store is, without user and password; its kind where it does not say."""
    traffic = getattr(store, "traffic", None)
    return traffic.place if traffic else type(store).__name__.removeprefix("Async").removesuffix("Store").lower()
