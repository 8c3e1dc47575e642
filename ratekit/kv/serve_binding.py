"""
The wire protocol of a KV binding: what Cloudflare's runtime, workerd, asks of the service behind `env.MY_KV`.

One application is one namespace as one location sees it; serve each on a port of its own, and name that in workerd's configuration:

    services = [(name = "kv-iad", external = (address = "127.0.0.1:8101", http = ()))]
    bindings = [(name = "KV", kvNamespace = "kv-iad")]

The protocol is not documented; it is read from workerd's own source (`api/kv.c++`), and the tests run workerd against it.
"""

import json
import re
from typing import Any, Final

from ratekit.kv.limits import check_bulk, check_bulk_size, refusal
from ratekit.kv.namespace import AsyncNamespace, Entry, Key, KVError
from ratekit.kv.serve_http import App, Asked, Told, application, told_json

_PREFIX: Final = re.compile(r"KV [A-Z_]+ failed: \d+ ")
"""What the runtime itself puts before the words on the status line."""


def binding(namespace: AsyncNamespace) -> App:
    """The ASGI application behind a KV binding: `namespace` as one location sees it."""

    async def handler(asked: Asked) -> Told:
        try:
            return await _answer(namespace, asked)
        except KVError as error:
            reason = _PREFIX.sub("", str(error))
            return Told(error.status or 500, reason.encode("utf-8", "replace"), reason=reason)

    return application(handler)


async def _answer(namespace: AsyncNamespace, asked: Asked) -> Told:
    match asked.method, asked.path:
        case "GET", ("",):
            return await _list(namespace, asked)
        case "GET", (key,):
            return _one(await namespace.get_with_metadata(key, cache_ttl=_whole(asked, "cache_ttl")))
        case "PUT", (key,):
            expiration, ttl = _whole(asked, "expiration", "PUT"), _whole(asked, "expiration_ttl", "PUT")
            await namespace.put(key, asked.body, expiration=expiration, expiration_ttl=ttl, metadata=_metadata(asked))
            return Told(204)
        case "DELETE", (key,):
            await namespace.delete(key)
            return Told(204)
        case "POST", ("bulk", "get"):
            return await _bulk(namespace, asked)
    return Told(405)


def _one(entry: Entry | None) -> Told:
    if entry is None:
        return Told(404)
    headers = [("content-type", "application/octet-stream")]
    if entry.metadata is not None:
        headers.append(("cf-kv-metadata", json.dumps(entry.metadata)))
    if entry.cache_status is not None:
        headers.append(("cf-cache-status", entry.cache_status))
    return Told(200, entry.value, tuple(headers))


async def _list(namespace: AsyncNamespace, asked: Asked) -> Told:
    limit = _whole(asked, "key_count_limit")
    prefix, cursor = asked.query.get("prefix", ""), asked.query.get("cursor", "")
    page = await namespace.list(prefix=prefix, cursor=cursor, limit=1000 if limit is None else limit)
    answer: dict[str, Any] = {"keys": [_listed(key) for key in page.keys], "list_complete": page.complete}
    if not page.complete:
        answer["cursor"] = page.cursor
    return told_json(answer)


def _listed(key: Key) -> dict[str, Any]:
    """A key of a list; its metadata is JSON within JSON."""
    listed: dict[str, Any] = {"name": key.name}
    if key.expiration is not None:
        listed["expiration"] = key.expiration
    if key.metadata is not None:
        listed["metadata"] = json.dumps(key.metadata)
    return listed


async def _bulk(namespace: AsyncNamespace, asked: Asked) -> Told:
    """Many values as text or JSON; a missing key is null, with metadata or without."""
    body = _object(asked.body)
    keys, kind, age = body.get("keys"), body.get("type", "text"), body.get("cacheTtl")
    if not isinstance(keys, list):
        raise refusal("GET_BULK", 400, "keys must be a list")
    if kind not in {"text", "json"}:
        raise refusal("GET_BULK", 400, f'"{kind}" is not a valid type. Use "json" or "text"')
    check_bulk(keys)
    entries = await namespace.get_many_with_metadata(keys, cache_ttl=None if age is None else _number(age, "cache_ttl", "GET_BULK"))
    check_bulk_size(sum(len(entry.value) for entry in entries.values() if entry is not None))
    whole = body.get("withMetadata") is True
    return told_json({key: None if entry is None else _value(entry, kind, whole=whole) for key, entry in entries.items()})


def _value(entry: Entry, kind: str, *, whole: bool) -> Any:
    value: Any = entry.value.decode("utf-8", "replace")
    if kind == "json":
        try:
            value = json.loads(value)
        except ValueError:
            raise refusal("GET_BULK", 400, "At least one of the requested keys corresponds to a non-JSON value") from None
    return {"value": value, "metadata": entry.metadata} if whole else value


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise refusal("GET_BULK", 400, "Request body must be a JSON object")
    return value


def _metadata(asked: Asked) -> Any:
    text = asked.headers.get("cf-kv-metadata")
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError:
        raise refusal("PUT", 400, "Metadata must be valid JSON") from None


def _whole(asked: Asked, name: str, method: Any = "GET") -> int | None:
    """A whole number of the query, or None when it is not there."""
    text = asked.query.get(name)
    return None if text is None else _number(text, name, method)


def _number(text: Any, name: str, method: Any) -> int:
    try:
        return int(text)
    except (TypeError, ValueError):
        raise refusal(method, 400, f"Invalid {name} of {text}. Please specify an integer.") from None
