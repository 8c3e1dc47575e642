"""
The operations of the served REST API on the keys of one namespace: single, listed and in bulk.
"""

import asyncio
import base64
import binascii
import json
from collections.abc import Awaitable, Sequence
from typing import Any, Final
from urllib.parse import quote

from ratekit.kv.limits import check_bulk, check_expiry, check_key, check_metadata, check_value
from ratekit.kv.namespace import AsyncNamespace, Entry, Key, KVError
from ratekit.kv.serve_account import BULK_READ, INVALID, KEY_NOT_FOUND, Account, Listed, Refused
from ratekit.kv.serve_form import written
from ratekit.kv.serve_http import Asked, Told, told_json

MOST: Final = 10_000
"""Keys of one bulk write or delete."""


def envelope(result: Any, info: dict[str, Any] | None = None) -> Told:
    """What every answer but a value comes in."""
    body = {"success": True, "errors": [], "messages": [], "result": result}
    return told_json(body if info is None else {**body, "result_info": info})


async def value(account: Account, listed: Listed, key: str, asked: Asked) -> Told:
    """GET values/{key}: the bytes themselves."""
    entry = await _found(account, listed, key)
    headers = [("content-type", "application/octet-stream")]
    if entry.expiration is not None:
        headers.append(("expiration", str(entry.expiration)))
    return Told(200, entry.value, tuple(headers))


async def metadata(account: Account, listed: Listed, key: str, asked: Asked) -> Told:
    """GET metadata/{key}: any JSON, null for none."""
    return envelope((await _found(account, listed, key)).metadata)


async def _found(account: Account, listed: Listed, key: str) -> Entry:
    entry = await account.open(listed.id).get_with_metadata(key)
    if entry is None:
        raise Refused(404, KEY_NOT_FOUND, "get: 'key not found'")
    return entry


async def put_value(account: Account, listed: Listed, key: str, asked: Asked) -> Told:
    """PUT values/{key}: the body is the value, or a form of value and metadata."""
    content, about = written(asked.headers.get("content-type", ""), asked.body)
    expiration, ttl = (whole(asked, name, None, 0, 1 << 53) for name in ("expiration", "expiration_ttl"))
    await account.open(listed.id).put(key, content, expiration=expiration, expiration_ttl=ttl, metadata=about)
    return envelope({})


async def delete_value(account: Account, listed: Listed, key: str, asked: Asked) -> Told:
    """DELETE values/{key}."""
    await account.open(listed.id).delete(key)
    return envelope({})


async def keys(account: Account, listed: Listed, key: str, asked: Asked) -> Told:
    """GET keys: a page of names; an empty cursor says that it was the last."""
    limit = whole(asked, "limit", 1000, 10, 1000)
    prefix, cursor = asked.query.get("prefix", ""), asked.query.get("cursor", "")
    page = await account.open(listed.id).list(prefix=prefix, cursor=cursor, limit=limit)
    return envelope([_name(one) for one in page.keys], {"count": len(page.keys), "cursor": "" if page.complete else page.cursor})


def _name(key: Key) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": key.name}
    if key.expiration is not None:
        shown["expiration"] = key.expiration
    if key.metadata is not None:
        shown["metadata"] = key.metadata
    return shown


async def bulk_get(account: Account, listed: Listed, key: str, asked: Asked) -> Told:
    """POST bulk/get: up to 100 values that are text."""
    body = json_of(asked, "bulk get keys")
    names = body.get("keys") if isinstance(body, dict) else None
    kind, whole_entries = (body.get("type", "text"), body.get("withMetadata") is True) if isinstance(body, dict) else ("", False)
    if not isinstance(names, list) or kind not in {"text", "json"}:
        raise Refused(400, INVALID, "bulk get keys: 'keys is a list, type is text or json'")
    try:
        check_bulk(names)
    except KVError as error:
        raise Refused(400, BULK_READ, f"bulk get keys: '{str(error).partition(': 400 ')[2] or error}'") from None
    entries = await account.open(listed.id).get_many_with_metadata(names)
    return envelope({"values": {name: _value(entry, kind, whole=whole_entries) for name, entry in entries.items()}})


def _value(entry: Entry | None, kind: str, *, whole: bool) -> Any:
    if entry is None:
        return None
    try:
        text: Any = entry.value.decode()
        text = json.loads(text) if kind == "json" else text
    except ValueError:
        message = f"bulk get keys: 'At least one of the requested keys corresponds to a non-{kind} value'"
        raise Refused(400, BULK_READ, message) from None
    if not whole:
        return text
    shown = {"value": text, "metadata": entry.metadata}
    return shown if entry.expiration is None else {**shown, "expiration": entry.expiration}


async def bulk_put(account: Account, listed: Listed, key: str, asked: Asked) -> Told:
    """PUT bulk: up to 10,000 pairs, all checked before any is written; what a key refuses then is told by its name."""
    pairs = _list_of(asked, "bulk put")
    now = account.clock() // 1_000_000
    puts = [_checked(pair, now, i) for i, pair in enumerate(pairs)]
    namespace = account.open(listed.id)
    return await _counted([put["key"] for put in puts], [namespace.put(**put) for put in puts])


def _checked(pair: Any, now: int, position: int) -> dict[str, Any]:
    if not isinstance(pair, dict) or not isinstance(pair.get("value"), str):
        raise Refused(400, INVALID, f"{position}.value: expected a string")
    try:
        content = base64.b64decode(pair["value"], validate=True) if pair.get("base64") is True else pair["value"].encode()
        put = {"key": pair.get("key"), "value": check_value(content), "metadata": pair.get("metadata")}
        expiry = {name: pair.get(name) for name in ("expiration", "expiration_ttl")}
        check_key(pair.get("key", ""), "PUT")
        check_metadata(pair.get("metadata"))
        check_expiry(expiry["expiration"], expiry["expiration_ttl"], now)
    except (KVError, binascii.Error, UnicodeEncodeError) as error:
        raise Refused(400, INVALID, f"{position}: {error}") from None
    return {**put, **expiry}


async def bulk_delete(account: Account, listed: Listed, key: str, asked: Asked) -> Told:
    """POST bulk/delete: up to 10,000 keys."""
    names = _list_of(asked, "bulk delete")
    for name in names:
        check_key(name, "DELETE")
    namespace: AsyncNamespace = account.open(listed.id)
    return await _counted(names, [namespace.delete(name) for name in names])


async def _counted(names: Sequence[str], steps: Sequence[Awaitable[None]]) -> Told:
    """Do all, and say which keys failed; when all failed of one reason that no key can help, that is the answer."""
    outcomes = await asyncio.gather(*steps, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException) and not isinstance(outcome, KVError):
            raise outcome
    failed = [(name, outcome) for name, outcome in zip(names, outcomes, strict=True) if isinstance(outcome, KVError)]
    if failed and len(failed) == len(names) and failed[0][1].kind != "write rate":
        raise failed[0][1]
    return envelope({"successful_key_count": len(names) - len(failed), "unsuccessful_keys": [name for name, _ in failed]})


def _list_of(asked: Asked, what: str) -> list[Any]:
    body = json_of(asked, what)
    if not isinstance(body, list):
        raise Refused(400, INVALID, f"{what}: 'the body is a list'")
    if len(body) > MOST:
        raise Refused(400, INVALID, f"{what}: 'at most {MOST} keys, not {len(body)}'")
    return body


def json_of(asked: Asked, what: str) -> Any:
    """The body as JSON. Raises Refused."""
    try:
        return json.loads(asked.body)
    except ValueError:
        raise Refused(400, INVALID, f"{what}: 'could not parse the body as json'") from None


def whole(asked: Asked, name: str, default: Any, least: int, most: int) -> Any:
    """A whole number of the query between two bounds. Raises Refused for any other text."""
    text = asked.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and least <= int(text) <= most):
        raise Refused(400, INVALID, f"{name}: expected a whole number from {least} to {most}, not {quote(text)}")
    return int(text)
