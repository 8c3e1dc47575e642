"""
Hashing: identities that the store is not to know.
"""

from base64 import b64encode
from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b

from ratekit.errors import ConfigurationError
from ratekit.stores.naming import Canonical, Identity, canonical, escaped


def hasher(secret: str | bytes | bool) -> Callable[[Identity], str]:
    """
    A function from an identity to a text of 40 hexadecimal digits that stands for it: the same in every process and framework.

    With a `secret` text nobody who reads the store finds out who is meant. With True there is none: what is short, such as an address,
    can then be found by trying all of them. Raises ConfigurationError for a secret that is none.

    >>> hashed = hasher("a secret of 16 bytes or more")
    >>> len(hashed("ann@example.org")), hashed(42) == hashed("42")
    (40, True)
    """
    text = "" if secret is True else secret
    key = text.encode() if isinstance(text, str) else text
    if not isinstance(key, bytes) or len(key) > 64 or (secret is not True and len(key) < 16):
        raise ConfigurationError("hash_keys: write True, or a secret text of 16 to 64 bytes")
    return _hasher(key)


@lru_cache(maxsize=64)
def _hasher(key: bytes) -> Callable[[Identity], str]:
    def hashed(identity: Identity) -> str:
        text = escaped(canonical(identity))
        return blake2b(text.encode("ascii"), digest_size=20, key=key, person=b"ratekit").hexdigest()

    return hashed


def partition_of(identity: Canonical) -> str:
    """The partition key that a client is told, in base64: 9 bytes of a hash."""
    return b64encode(blake2b(escaped(identity).encode("ascii"), digest_size=9, person=b"partition").digest()).decode("ascii")
