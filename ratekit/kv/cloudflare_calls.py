"""
The calls of Cloudflare's REST API for KV, as conversations: each yields a Call, is sent the Answer, and ends with the result.

No I/O is done here, so that the clients for threads and for event loops are the same but for how they carry a call.
"""

import base64
import json
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from urllib.parse import quote

from ratekit.kv.cloudflare_errors import KEY_NOT_FOUND, NOT_TEXT, Answer, BulkFailed, error_of, first_error
from ratekit.kv.limits import check_bulk, check_cache_ttl, check_expiry, check_key, check_list, check_metadata, check_value, refusal
from ratekit.kv.namespace import Entry, Key, KVError, Page

BULK_PAIRS: Final = 10_000
"""Keys of one bulk write or delete."""
BULK_BYTES: Final = 100_000_000
"""Bytes of the body of one."""
LEAST_PAGE: Final = 10
"""Keys of a page; less the REST API refuses."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """A request: `path` below the namespace, percent-encoded; `what` names it in errors; `writes`: it writes or deletes keys."""

    what: str
    method: str
    path: str
    query: dict[str, str | int] = field(default_factory=dict)
    content: bytes = b""
    kind: str = "application/json"
    form: dict[str, bytes] | None = None
    writes: bool = False


Talk = Generator[Call, Answer, T]
"""A conversation."""


def ask(call: Call) -> Talk[Answer]:
    """One call that has to succeed."""
    answer = yield call
    if not 200 <= answer.status < 300:
        raise error_of(answer, call.what, writes=call.writes)
    return answer


def _result(answer: Answer, what: str) -> Any:
    """What an envelope holds."""
    body = answer.json()
    if not isinstance(body, dict) or body.get("success") is not True:
        raise KVError(f"{what}: {answer.status}, and no envelope that says success", status=answer.status, kind="server")
    return body.get("result")


def _path(key: str, method: Any, place: str = "values") -> str:
    """
    A key in a URL. Checked first: an HTTP client takes "." and ".." for steps in the path, quoted or not, so that deleting the key
    ".." would delete the namespace.
    """
    check_key(key, method)
    return f"{place}/{quote(key, safe='')}"


def get(key: str, cache_ttl: int | None) -> Talk[bytes | None]:
    """The value of a key, or None."""
    check_cache_ttl(cache_ttl)
    answer = yield from _found(Call("get", "GET", _path(key, "GET")))
    return None if answer is None else answer.body


def _found(call: Call) -> Talk[Answer | None]:
    """One call whose key may be missing."""
    answer = yield call
    if answer.status == 404 and first_error(answer)[0] == KEY_NOT_FOUND:
        return None
    if not 200 <= answer.status < 300:
        raise error_of(answer, call.what, writes=call.writes)
    return answer


def get_with_metadata(key: str, cache_ttl: int | None) -> Talk[Entry | None]:
    """The value of a key with what is known of it: one call where the value is text, three where it is not."""
    check_key(key, "GET")
    try:
        return (yield from get_many_with_metadata((key,), cache_ttl))[key]
    except KVError as error:
        if not isinstance(error, _NotText):
            raise
    answer = yield from _found(Call("get", "GET", _path(key, "GET")))
    about = yield from _found(Call("get metadata", "GET", _path(key, "GET", "metadata")))
    if answer is None or about is None:
        return None
    expiration = answer.headers.get("expiration", "")
    return Entry(answer.body, _result(about, "get metadata"), int(expiration) if expiration.isdecimal() else None)


class _NotText(KVError):
    """A bulk read met a value that is no UTF-8."""


def get_many(keys: Sequence[str], cache_ttl: int | None) -> Talk[dict[str, bytes | None]]:
    """The values of up to 100 keys."""
    found = yield from get_many_with_metadata(keys, cache_ttl)
    return {key: None if entry is None else entry.value for key, entry in found.items()}


def get_many_with_metadata(keys: Sequence[str], cache_ttl: int | None) -> Talk[dict[str, Entry | None]]:
    """The values of up to 100 keys, which have to be UTF-8 text, with what is known of them."""
    check_bulk(keys)
    check_cache_ttl(cache_ttl, "GET_BULK")
    body = json.dumps({"keys": list(keys), "type": "text", "withMetadata": True}).encode()
    call = Call("bulk get", "POST", "bulk/get", content=body)
    answer = yield call
    if answer.status == 400 and first_error(answer)[0] == NOT_TEXT and "non-text" in first_error(answer)[1]:
        raise _NotText(f"bulk get: {first_error(answer)[1]}", status=400, kind="argument")
    if not 200 <= answer.status < 300:
        raise error_of(answer, call.what, writes=False)
    result = _result(answer, call.what)
    values = result.get("values") if isinstance(result, dict) else None
    if not isinstance(values, dict):
        raise KVError("bulk get: an answer without values", status=answer.status, kind="server")
    return {key: _entry(values.get(key)) for key in keys}


def _entry(found: Any) -> Entry | None:
    if found is None:
        return None
    if not isinstance(found, dict) or not isinstance(found.get("value"), str | None):
        raise KVError("bulk get: an answer whose values make no sense", status=200, kind="server")
    if found.get("value") is None:
        return None
    expiration = found.get("expiration")
    return Entry(found["value"].encode(), found.get("metadata"), expiration if type(expiration) is int else None)


def put(key: str, value: bytes | str, expiration: int | None, expiration_ttl: int | None, metadata: Any) -> Talk[None]:
    """Write a key. An expiration that is too soon is the API's to refuse: only its clock counts."""
    path, content, about = _path(key, "PUT"), check_value(value), check_metadata(metadata)
    check_expiry(None, expiration_ttl, 0)
    query: dict[str, str | int] = {}
    if expiration is not None:
        query["expiration"] = expiration
    if expiration_ttl is not None:
        query["expiration_ttl"] = expiration_ttl
    form = None if about is None else {"value": content, "metadata": about.encode()}
    yield from ask(Call("put", "PUT", path, query, content, "application/octet-stream", form, writes=True))


def delete(key: str) -> Talk[None]:
    """Let a key be no more."""
    yield from ask(Call("delete", "DELETE", _path(key, "DELETE"), writes=True))


def list_keys(prefix: str, cursor: str, limit: int) -> Talk[Page]:
    """A page of names."""
    check_list(prefix, limit)
    if limit < LEAST_PAGE:
        raise refusal("GET", 400, f"Invalid limit of {limit}. The REST API gives pages of at least {LEAST_PAGE} keys.")
    query: dict[str, str | int] = {"limit": limit}
    if prefix:
        query["prefix"] = prefix
    if cursor:
        query["cursor"] = cursor
    answer = yield from ask(Call("list keys", "GET", "keys", query))
    result, info = _result(answer, "list keys"), answer.json().get("result_info")
    if not isinstance(result, list) or not isinstance(info, dict):
        raise KVError("list keys: an answer without keys", status=answer.status, kind="server")
    following = info.get("cursor") or ""
    return Page(tuple(map(_listed, result)), not following, following)


def _listed(found: Any) -> Key:
    if not isinstance(found, dict) or not isinstance(found.get("name"), str):
        raise KVError("list keys: an answer whose keys make no sense", status=200, kind="server")
    return Key(found["name"], found.get("expiration"), found.get("metadata"))


def put_many(
    values: Mapping[str, bytes | str],
    expiration: int | None,
    expiration_ttl: int | None,
    metadata: Mapping[str, Any],
    retries: int,
) -> Talk[None]:
    """Write many keys; those that the API names as unsuccessful are sent again, `retries` times."""
    check_expiry(None, expiration_ttl, 0)
    expiry = {"expiration": expiration, "expiration_ttl": expiration_ttl}
    common = {name: seconds for name, seconds in expiry.items() if seconds is not None}
    pairs = {key: _pair(key, value, metadata.get(key), common) for key, value in values.items()}
    yield from _in_bulk("bulk put", "PUT", "bulk", pairs, retries)


def _pair(key: str, value: bytes | str, metadata: Any, common: Mapping[str, int]) -> bytes:
    check_key(key, "PUT")
    check_metadata(metadata)
    content = check_value(value)
    pair: dict[str, Any] = {"key": key, **common}
    try:
        pair["value"] = content.decode()
    except UnicodeDecodeError:
        pair |= {"value": base64.b64encode(content).decode(), "base64": True}
    return json.dumps(pair if metadata is None else {**pair, "metadata": metadata}).encode()


def delete_many(keys: Iterable[str], retries: int) -> Talk[None]:
    """Let many keys be no more, as `put_many` writes them."""
    names = dict.fromkeys(keys)
    for key in names:
        check_key(key, "DELETE")
    yield from _in_bulk("bulk delete", "POST", "bulk/delete", {key: json.dumps(key).encode() for key in names}, retries)


def _in_bulk(what: str, method: str, path: str, items: Mapping[str, bytes], retries: int) -> Talk[None]:
    """Send every item; then those that failed, again and in fewer calls, until none is left or it was tried often enough."""
    pending = list(items)
    for _ in range(1 + retries):
        failed: list[str] = []
        for keys in _chunks(pending, items):
            body = b"[" + b",".join(items[key] for key in keys) + b"]"
            answer = yield from ask(Call(what, method, path, content=body, writes=True))
            failed += _unsuccessful(_result(answer, what), keys)
        pending = failed
        if not pending:
            return
    shown = ", ".join(map(repr, pending[:3])) + (", ..." if len(pending) > 3 else "")
    raise BulkFailed(f"{what}: {len(pending)} of {len(items)} keys failed {1 + retries} times: {shown}", tuple(pending))


def _unsuccessful(result: Any, keys: Sequence[str]) -> list[str]:
    """Those of `keys` that an answer names as unsuccessful."""
    named = result.get("unsuccessful_keys") if isinstance(result, dict) else None
    failed = {key for key in named if isinstance(key, str)} if isinstance(named, list) else set()
    return [key for key in keys if key in failed]


def _chunks(keys: Sequence[str], items: Mapping[str, bytes]) -> Iterator[Sequence[str]]:
    """The keys in as many parts as it takes to keep each body within both of the API's bounds."""
    start, size = 0, 2
    for i, key in enumerate(keys):
        length = len(items[key]) + 1
        if i > start and (i - start == BULK_PAIRS or size + length > BULK_BYTES):
            yield keys[start:i]
            start, size = i, 2
        size += length
    if keys:
        yield keys[start:]
