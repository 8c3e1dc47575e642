"""
Workers KV over Cloudflare's REST API, for programs that run elsewhere: a Namespace and an AsyncNamespace on httpx.

    with CloudflareKV(account, namespace, token=os.environ["CLOUDFLARE_API_TOKEN"]) as kv:
        kv.put("greeting", "hello", expiration_ttl=3600)

It takes some 30 to 300 ms a call, and a token has 1,200 calls in five minutes for everything: write and read in bulk. Nothing
sleeps and nothing is sent twice, but for keys that a bulk call names as unsuccessful.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote

from ratekit.errors import ConfigurationError, MissingExtra
from ratekit.kv import cloudflare_calls as calls
from ratekit.kv.cloudflare_budget import CallBudget, shared
from ratekit.kv.cloudflare_calls import Call, Talk
from ratekit.kv.cloudflare_errors import BLOCK, Answer, BulkFailed
from ratekit.kv.namespace import Entry, KVError, Page

try:
    import httpx
except ImportError:
    raise MissingExtra("CloudflareKV", "httpx", "kv") from None

__all__ = ["AsyncCloudflareKV", "BulkFailed", "CallBudget", "CloudflareKV"]

URL: Final = "https://api.cloudflare.com/client/v4"
T = TypeVar("T")


class _Line:
    """What both clients know: where calls go, and how to read what becomes of them."""

    __slots__ = ("_base", "budget", "options", "retries")

    def __init__(
        self, account: str, namespace: str, token: str, url: str, timeout: float, retries: int, budget: CallBudget | None
    ) -> None:
        for what, name in (("account", account), ("namespace", namespace)):
            if not isinstance(name, str) or name in {"", ".", ".."}:
                raise ConfigurationError(f"{what} {name!r}: write its id, as the dashboard shows it")
        if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
            raise ConfigurationError("token: write an API token that may read and write Workers KV Storage")
        if not url.startswith(("https://", "http://")):
            raise ConfigurationError(f"url {url!r}: write one such as {URL!r}")
        if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout < float("inf"):
            raise ConfigurationError(f"timeout {timeout!r}: write seconds, more than 0")
        if type(retries) is not int or retries < 0:
            raise ConfigurationError(f"retries {retries!r}: write a whole number of at least 0")
        self._base = f"{url.rstrip('/')}/accounts/{quote(account, safe='')}/storage/kv/namespaces/{quote(namespace, safe='')}/"
        self.budget = shared(url, token) if budget is None else budget
        self.retries = retries
        self.options: dict[str, Any] = {"timeout": timeout, "headers": {"authorization": f"Bearer {token}"}}

    def request(self, call: Call) -> dict[str, Any]:
        """The arguments of an httpx request. Raises KVError when the budget is spent."""
        self.budget.spend()
        request: dict[str, Any] = {"method": call.method, "url": self._base + call.path, "params": call.query}
        if call.form is not None:
            request["files"] = {name: (None, content) for name, content in call.form.items()}
        elif call.content or call.writes:
            request |= {"content": call.content, "headers": {"content-type": call.kind}}
        return request

    def answer(self, response: httpx.Response) -> Answer:
        """The answer, after the budget has heard what it says."""
        answer = Answer(response.status_code, response.headers, response.content)
        self.budget.learn(answer)
        return answer

    def refused(self, error: KVError) -> KVError:
        """An error on its way to the caller; a token that has made too many calls is left alone for as long as it takes."""
        if error.kind == "budget" and error.status == 429:
            self.budget.hold(BLOCK if error.retry_after is None else error.retry_after)
        return error


def _failed(call: Call, error: httpx.HTTPError) -> KVError:
    """The KVError of a call without an answer."""
    text = f"{call.what}: {type(error).__name__} {error}".rstrip()
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.ProxyError):
        return KVError(text, status=0, kind="away")
    return KVError(text, status=0, kind="late" if isinstance(error, httpx.TransportError) else "server")


class CloudflareKV:
    """
    A Namespace behind Cloudflare's REST API, for threads.

    `account` and `namespace` are ids, `token` an API token for Workers KV Storage. `timeout` is seconds for connecting, for sending
    and for each wait on an answer. `retries` is how often the keys that a bulk call left out are sent again, at once. `budget` is
    how many calls the token may make: by default half of the API's, shared by all clients of the token in this process.

    Every method raises KVError and none of them sleeps: `kind` says what to do about it and `retry_after` when. A write whose answer did not come ("late") may have happened. The REST API has no caches to ask for: a
    `cache_ttl` is checked and has no effect. A bulk read is of values that are UTF-8; `list` has pages of at least 10 keys. httpx
    writes a line with the URL, and so the key, to its log for each call, at INFO.

    >>> kv = CloudflareKV("0123456789abcdef", "fedcba9876543210", token="secret")
    >>> kv.delete("..")
    Traceback (most recent call last):
    ratekit.kv.namespace.KVError: ".." is not allowed as a key name.
    >>> kv.close()
    """

    def __init__(
        self,
        account: str,
        namespace: str,
        *,
        token: str,
        url: str = URL,
        timeout: float = 10.0,
        retries: int = 2,
        budget: CallBudget | None = None,
    ) -> None:
        self._line = _Line(account, namespace, token, url, timeout, retries, budget)
        self._client = httpx.Client(**self._line.options)

    def get(self, key: str, *, cache_ttl: int | None = None) -> bytes | None:
        """The value of a key, or None."""
        return self._carry(calls.get(key, cache_ttl))

    def get_with_metadata(self, key: str, *, cache_ttl: int | None = None) -> Entry | None:
        """The value of a key with what is known of it, or None: one call for a value that is text, three for another."""
        return self._carry(calls.get_with_metadata(key, cache_ttl))

    def get_many(self, keys: Sequence[str], *, cache_ttl: int | None = None) -> dict[str, bytes | None]:
        """The values of 1 to 100 keys, in one call that is billed per key."""
        return self._carry(calls.get_many(keys, cache_ttl))

    def get_many_with_metadata(self, keys: Sequence[str], *, cache_ttl: int | None = None) -> dict[str, Entry | None]:
        """`get_many`, with what is known of each."""
        return self._carry(calls.get_many_with_metadata(keys, cache_ttl))

    def put(
        self,
        key: str,
        value: bytes | str,
        *,
        expiration: int | None = None,
        expiration_ttl: int | None = None,
        metadata: Any = None,
    ) -> None:
        """Write a key, at most once a second."""
        self._carry(calls.put(key, value, expiration, expiration_ttl, metadata))

    def delete(self, key: str) -> None:
        """Let a key be no more; one that is not there is no error."""
        self._carry(calls.delete(key))

    def list(self, *, prefix: str = "", cursor: str = "", limit: int = 1000) -> Page:
        """Up to `limit` names that begin with `prefix`, from 10 to 1,000."""
        return self._carry(calls.list_keys(prefix, cursor, limit))

    def put_many(
        self,
        values: Mapping[str, bytes | str],
        *,
        expiration: int | None = None,
        expiration_ttl: int | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """
        Write many keys, 10,000 a call; `metadata` is by key. Raises BulkFailed, which names the keys that failed to the last.
        """
        self._carry(calls.put_many(values, expiration, expiration_ttl, metadata or {}, self._line.retries))

    def delete_many(self, keys: Iterable[str]) -> None:
        """Let many keys be no more, 10,000 a call. Raises BulkFailed as `put_many` does."""
        self._carry(calls.delete_many(keys, self._line.retries))

    def _carry(self, talk: Talk[T]) -> T:
        """Carry a conversation to its end."""
        try:
            call = next(talk)
            while True:
                try:
                    response = self._client.request(**self._line.request(call))
                except httpx.HTTPError as error:
                    raise _failed(call, error) from error
                call = talk.send(self._line.answer(response))
        except StopIteration as done:
            result: T = done.value
            return result
        except KVError as error:
            raise self._line.refused(error) from error.__cause__

    def close(self) -> None:
        """Let the connections go."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncCloudflareKV:
    """An AsyncNamespace behind Cloudflare's REST API: `CloudflareKV`, awaited, for one event loop."""

    def __init__(
        self,
        account: str,
        namespace: str,
        *,
        token: str,
        url: str = URL,
        timeout: float = 10.0,
        retries: int = 2,
        budget: CallBudget | None = None,
    ) -> None:
        self._line = _Line(account, namespace, token, url, timeout, retries, budget)
        self._client = httpx.AsyncClient(**self._line.options)

    async def get(self, key: str, *, cache_ttl: int | None = None) -> bytes | None:
        """The value of a key, or None."""
        return await self._carry(calls.get(key, cache_ttl))

    async def get_with_metadata(self, key: str, *, cache_ttl: int | None = None) -> Entry | None:
        """The value of a key with what is known of it, or None: one call for a value that is text, three for another."""
        return await self._carry(calls.get_with_metadata(key, cache_ttl))

    async def get_many(self, keys: Sequence[str], *, cache_ttl: int | None = None) -> dict[str, bytes | None]:
        """The values of 1 to 100 keys, in one call that is billed per key."""
        return await self._carry(calls.get_many(keys, cache_ttl))

    async def get_many_with_metadata(self, keys: Sequence[str], *, cache_ttl: int | None = None) -> dict[str, Entry | None]:
        """`get_many`, with what is known of each."""
        return await self._carry(calls.get_many_with_metadata(keys, cache_ttl))

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
        await self._carry(calls.put(key, value, expiration, expiration_ttl, metadata))

    async def delete(self, key: str) -> None:
        """Let a key be no more; one that is not there is no error."""
        await self._carry(calls.delete(key))

    async def list(self, *, prefix: str = "", cursor: str = "", limit: int = 1000) -> Page:
        """Up to `limit` names that begin with `prefix`, from 10 to 1,000."""
        return await self._carry(calls.list_keys(prefix, cursor, limit))

    async def put_many(
        self,
        values: Mapping[str, bytes | str],
        *,
        expiration: int | None = None,
        expiration_ttl: int | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Write many keys, as `CloudflareKV.put_many`."""
        await self._carry(calls.put_many(values, expiration, expiration_ttl, metadata or {}, self._line.retries))

    async def delete_many(self, keys: Iterable[str]) -> None:
        """Let many keys be no more, as `CloudflareKV.delete_many`."""
        await self._carry(calls.delete_many(keys, self._line.retries))

    async def _carry(self, talk: Talk[T]) -> T:
        """Carry a conversation to its end."""
        try:
            call = next(talk)
            while True:
                try:
                    response = await self._client.request(**self._line.request(call))
                except httpx.HTTPError as error:
                    raise _failed(call, error) from error
                call = talk.send(self._line.answer(response))
        except StopIteration as done:
            result: T = done.value
            return result
        except KVError as error:
            raise self._line.refused(error) from error.__cause__

    async def aclose(self) -> None:
        """Let the connections go."""
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
