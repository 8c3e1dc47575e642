"""
What one call to a namespace may ask for, at most and at least: Cloudflare's published limits, each with the message and status
that its own runtime shows.

Sources: the Workers KV documentation (limits; read, write and list key-value pairs), and the messages as workerd and miniflare
word them.
"""

import json
from collections.abc import Sequence
from typing import Any, Final, Literal

from ratekit.kv.namespace import KVError

KEY_BYTES: Final = 512
VALUE_BYTES: Final = 25 * 1024 * 1024
METADATA_BYTES: Final = 1024
"""Of metadata written as JSON."""
MIN_TTL: Final = 60
"""Seconds that a key lives at least, if it is to expire."""
MIN_CACHE_TTL: Final = 30
"""Seconds; the least age of an answer from a cache that may be asked for."""
CACHE_TTL: Final = 60
"""Seconds, when nothing is asked for."""
PAGE_KEYS: Final = 1000
BULK_KEYS: Final = 100
BULK_BYTES: Final = 25 * 1024 * 1024
"""Of all values in one bulk read."""
WRITE_INTERVAL: Final = 1_000_000
"""Microseconds between two writes of one key."""

Method = Literal["GET", "PUT", "DELETE", "GET_BULK"]
"""As the runtime's messages name what was called; a list is a GET."""

_SHORT: Final = KEY_BYTES // 4
"""Characters that fit a key whatever they are: UTF-8 takes four bytes at most."""


def refusal(method: Method, status: int, text: str) -> KVError:
    """The error of a call that can never succeed."""
    return KVError(f"KV {method} failed: {status} {text}", status=status, kind="argument")


def check_key(key: str, method: Method) -> None:
    """Raises KVError for what is no key: 1 to 512 bytes of UTF-8, not "." and not ".."."""
    if type(key) is not str:
        raise refusal(method, 400, f"a key is text, not {type(key).__name__}")
    if not key:
        raise KVError("Key name cannot be empty.", status=400, kind="argument")
    if key in {".", ".."}:
        raise KVError(f'"{key}" is not allowed as a key name.', status=400, kind="argument")
    if len(key) > _SHORT or not key.isascii():
        _check_key_bytes(key, method)


def _check_key_bytes(key: str, method: Method) -> None:
    try:
        length = len(key.encode())
    except UnicodeEncodeError:
        raise refusal(method, 400, "a key is text that UTF-8 can say; this one has half a surrogate pair") from None
    if length > KEY_BYTES:
        raise refusal(method, 414, f"UTF-8 encoded length of {length} exceeds key length limit of {KEY_BYTES}.")


def check_cache_ttl(cache_ttl: int | None, method: Method = "GET") -> int:
    """The seconds that an answer may be old. Raises KVError for fewer than 30."""
    if cache_ttl is None:
        return CACHE_TTL
    if type(cache_ttl) is not int or cache_ttl < MIN_CACHE_TTL:
        raise refusal(method, 400, f"Invalid cache_ttl of {cache_ttl}. Cache TTL must be at least {MIN_CACHE_TTL}.")
    return cache_ttl


def check_value(value: bytes | str) -> bytes:
    """The bytes to write. Raises KVError for more than 25 MiB."""
    if isinstance(value, str):
        try:
            value = value.encode()
        except UnicodeEncodeError:
            raise refusal("PUT", 400, "a text value is what UTF-8 can say; this one has half a surrogate pair") from None
    if type(value) is not bytes:
        raise refusal("PUT", 400, f"a value is bytes or text, not {type(value).__name__}")
    if len(value) > VALUE_BYTES:
        raise refusal("PUT", 413, f"Value length of {len(value)} exceeds limit of {VALUE_BYTES}.")
    return value


def check_metadata(metadata: Any) -> str | None:
    """The metadata as JSON text, None for none. Raises KVError for what JSON cannot say, or for more than 1,024 bytes of it."""
    if metadata is None:
        return None
    try:
        text = json.dumps(metadata, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        length = len(text.encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise refusal("PUT", 400, f"Metadata must be serialisable as JSON: {error}") from None
    if length > METADATA_BYTES:
        raise refusal("PUT", 413, f"Metadata length of {length} exceeds limit of {METADATA_BYTES}.")
    return text


def check_expiry(expiration: int | None, expiration_ttl: int | None, now: int) -> int | None:
    """
    When a value written at `now` expires, all in Unix seconds; the time to live wins. Raises KVError for sooner than a minute.
    """
    if expiration_ttl is not None:
        if type(expiration_ttl) is not int or expiration_ttl <= 0:
            raise refusal("PUT", 400, f"Invalid expiration_ttl of {expiration_ttl}. Please specify integer greater than 0.")
        if expiration_ttl < MIN_TTL:
            text = f"Invalid expiration_ttl of {expiration_ttl}. Expiration TTL must be at least {MIN_TTL}."
            raise refusal("PUT", 400, text)
        return now + expiration_ttl
    if expiration is None:
        return None
    if type(expiration) is not int or expiration <= now:
        text = "Please specify integer greater than the current number of seconds since the UNIX epoch."
        raise refusal("PUT", 400, f"Invalid expiration of {expiration}. {text}")
    if expiration < now + MIN_TTL:
        text = f"Invalid expiration of {expiration}. Expiration times must be at least {MIN_TTL} seconds in the future."
        raise refusal("PUT", 400, text)
    return expiration


def check_list(prefix: str, limit: int) -> None:
    """Raises KVError for a prefix longer than a key, or a page of no keys or of more than 1,000."""
    if type(limit) is not int or limit < 1:
        raise refusal("GET", 400, f"Invalid key_count_limit of {limit}. Please specify an integer greater than 0.")
    if limit > PAGE_KEYS:
        raise refusal("GET", 400, f"Invalid key_count_limit of {limit}. Please specify an integer less than {PAGE_KEYS}.")
    if type(prefix) is not str:
        raise refusal("GET", 400, f"a prefix is text, not {type(prefix).__name__}")
    _check_key_bytes(prefix, "GET")


def check_bulk(keys: Sequence[str]) -> None:
    """Raises KVError for a bulk read of none or of more than 100 keys, or for what is no key."""
    if len(keys) > BULK_KEYS:
        raise refusal("GET_BULK", 400, f"You can request a maximum of {BULK_KEYS} keys")
    if not keys:
        raise refusal("GET_BULK", 400, "You must request a minimum of 1 key")
    for key in keys:
        check_key(key, "GET_BULK")


def check_bulk_size(size: int) -> None:
    """Raises KVError for a bulk answer of more than 25 MiB."""
    if size > BULK_BYTES:
        raise refusal("GET_BULK", 413, f"Total size of request exceeds the limit of {BULK_BYTES // (1024 * 1024)}MB")
