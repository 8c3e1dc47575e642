"""
Where an Upstash database answers, and the token that it wants. Errors never show the token.
"""

import os
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

from ratekit.errors import ConfigurationError
from ratekit.stores.place import hidden, torn

URL: Final = "UPSTASH_REDIS_REST_URL"
TOKEN: Final = "UPSTASH_REDIS_REST_TOKEN"  # noqa: S105 - its name
"""The names that Upstash's console and libraries use."""

TRANSPORTS: Final = {"upstash": "https", "upstash+http": "http", "https": "https", "http": "http"}
"""`http` is for emulators on this machine."""

RIGHT: Final = "write 'upstash://TOKEN@name.upstash.io', or 'https://name.upstash.io' and a token"


@dataclass(frozen=True, slots=True)
class Address:
    """The REST URL of a database, and its token."""

    url: str
    token: str = field(repr=False)


def address_of(url: object, token: object = None) -> Address:
    """
    The address that a URL and a token say; `upstash://` alone is what the environment says. Raises ConfigurationError.

    >>> address_of("upstash://AX%2Fy@name.upstash.io").url
    'https://name.upstash.io/'
    """
    if url == "upstash://" and token is None:
        return from_environment()
    if not isinstance(url, str):
        raise ConfigurationError(f"{url!r} is no URL: {RIGHT}")
    if torn(url):
        raise ConfigurationError(f"{hidden(url)!r}: in a token write %2F for a slash, %3F for ? and %23 for #; {RIGHT}")
    try:
        parts = urlsplit(url.strip())
        transport, host, _ = TRANSPORTS.get(parts.scheme), parts.hostname, parts.port
    except ValueError as error:
        raise ConfigurationError(f"{hidden(url)!r}: {error}; {RIGHT}") from error
    where = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    if transport is None or not host or parts.query or parts.fragment or parts.password is not None:
        raise ConfigurationError(f"{where!r} is no URL of Upstash: {RIGHT}")
    if parts.username and token is not None:
        raise ConfigurationError(f"{where!r}: there is a token in the URL and another one beside it; {RIGHT}")
    return Address(f"{transport}{where.removeprefix(parts.scheme).rstrip('/')}/", _checked(token or unquote(parts.username or "")))


def from_environment() -> Address:
    """The address in UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN. Raises ConfigurationError when one is not set."""
    missing = " and ".join(name for name in (URL, TOKEN) if not os.environ.get(name))
    if missing:
        raise ConfigurationError(f"set {missing} in the environment, as Upstash's console shows them, or {RIGHT}")
    return address_of(os.environ[URL], os.environ[TOKEN].strip())


def _checked(token: object) -> str:
    if not isinstance(token, str) or not token:
        raise ConfigurationError(f"there is no token: {RIGHT}")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigurationError(f"the token holds characters that no HTTP header carries; copy it as it is, and {RIGHT}")
    return token
