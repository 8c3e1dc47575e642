"""
The namespace: what an eventually consistent key-value store such as Cloudflare Workers KV offers, and how it says no.

The simulator, the client of the real REST API and whatever else holds keys speak this protocol; what uses one knows nothing of
what is behind it. Three promises are NOT made, and whoever builds on a namespace has to live without them: that a read shows the
latest write (elsewhere it may be a minute old, or more), that of two writes at once both are kept (the last one wins), and that a
key can be written more often than once a second.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, Protocol

from ratekit.errors import StoreError

Kind = Literal["argument", "write rate", "day", "budget", "invocation", "credentials", "missing", "server", "away", "late"]
"""
Why a call failed:

- "argument": it can never succeed as it stands (400, 413, 414).
- "write rate": this key was written less than a second ago (429); try again after a second, with the latest value.
- "day": the free plan's quota of this operation is spent (429); in vain until 00:00 UTC.
- "budget": the REST API's calls are spent (429); every call is in vain until `retry_after` has passed.
- "invocation": this Worker invocation has made all the operations that one may make (429); another invocation starts afresh.
- "credentials": the token is wrong or may not do this (401, 403).
- "missing": there is no such namespace or account (404). A missing key is no error: it reads as None.
- "server": the other side failed (5xx), or answered what makes no sense.
- "away": no connection. "late": no answer in time; a write may have happened.
"""

_FAULTS: Final = {"credentials": "refused", "away": "away", "late": "late"}


class KVError(StoreError):
    """
    A namespace refused or failed. `status` is the HTTP status (0 where there was no answer), `kind` one word for what to do about
    it, `retry_after` the seconds that the other side asked to wait, if it did; the message is the real thing's.

    >>> error = KVError("KV PUT failed: 429 Too Many Requests", status=429, kind="write rate")
    >>> str(error), error.status, error.kind
    ('KV PUT failed: 429 Too Many Requests', 429, 'write rate')
    """

    def __init__(self, message: str, *, status: int, kind: Kind, retry_after: float | None = None) -> None:
        super().__init__(message, _FAULTS.get(kind, "server"))
        self.status = status
        self.kind: Kind = kind
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Entry:
    """
    What was read: the value, the metadata that was written with it, when it expires in Unix seconds (None: never, or not told),
    and where it came from ("HIT", "MISS"; None: not told).
    """

    value: bytes
    metadata: Any = None
    expiration: int | None = None
    cache_status: str | None = None


class Key(NamedTuple):
    """One name of a list, with when it expires in Unix seconds, if it does, and its metadata."""

    name: str
    expiration: int | None
    metadata: Any


class Page(NamedTuple):
    """Some keys in the order of their UTF-8 bytes. Not `complete`: ask again from `cursor`, also when the page is empty."""

    keys: tuple[Key, ...]
    complete: bool
    cursor: str


class Namespace(Protocol):
    """
    Keys and values, for threads. Every method raises KVError; times are seconds.

    `cache_ttl` is how old an answer from a cache may be, at least 30, by default 60. A read may be that old or older, also a read
    that says there is nothing.
    """

    def get(self, key: str, *, cache_ttl: int | None = None) -> bytes | None:
        """The value of a key, or None."""
        ...

    def get_with_metadata(self, key: str, *, cache_ttl: int | None = None) -> Entry | None:
        """The value of a key with what is known of it, or None."""
        ...

    def get_many(self, keys: Sequence[str], *, cache_ttl: int | None = None) -> dict[str, bytes | None]:
        """The values of 1 to 100 keys, in one operation that is billed per key."""
        ...

    def get_many_with_metadata(self, keys: Sequence[str], *, cache_ttl: int | None = None) -> dict[str, Entry | None]:
        """`get_many`, with what is known of each."""
        ...

    def put(
        self,
        key: str,
        value: bytes | str,
        *,
        expiration: int | None = None,
        expiration_ttl: int | None = None,
        metadata: Any = None,
    ) -> None:
        """
        Write a key, at most once a second. It expires at `expiration` (Unix seconds) or `expiration_ttl` seconds from now, both at
        least 60 seconds away; the latter wins. `metadata` is anything that JSON can say, up to 1,024 bytes of it.
        """
        ...

    def delete(self, key: str) -> None:
        """Let a key be no more; one that is not there is no error."""
        ...

    def list(self, *, prefix: str = "", cursor: str = "", limit: int = 1000) -> Page:
        """Up to `limit` names that begin with `prefix`, from 1 to 1,000. Give the same prefix with a cursor."""
        ...


class AsyncNamespace(Protocol):
    """Keys and values, for event loops: `Namespace`, awaited."""

    async def get(self, key: str, *, cache_ttl: int | None = None) -> bytes | None:
        """The value of a key, or None."""
        ...

    async def get_with_metadata(self, key: str, *, cache_ttl: int | None = None) -> Entry | None:
        """The value of a key with what is known of it, or None."""
        ...

    async def get_many(self, keys: Sequence[str], *, cache_ttl: int | None = None) -> dict[str, bytes | None]:
        """The values of 1 to 100 keys, in one operation that is billed per key."""
        ...

    async def get_many_with_metadata(self, keys: Sequence[str], *, cache_ttl: int | None = None) -> dict[str, Entry | None]:
        """`get_many`, with what is known of each."""
        ...

    async def put(
        self,
        key: str,
        value: bytes | str,
        *,
        expiration: int | None = None,
        expiration_ttl: int | None = None,
        metadata: Any = None,
    ) -> None:
        """Write a key, at most once a second."""
        ...

    async def delete(self, key: str) -> None:
        """Let a key be no more; one that is not there is no error."""
        ...

    async def list(self, *, prefix: str = "", cursor: str = "", limit: int = 1000) -> Page:
        """Up to `limit` names that begin with `prefix`, from 1 to 1,000."""
        ...
