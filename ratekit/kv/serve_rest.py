"""
Cloudflare's REST API v4 for KV: the envelope, the routes, who may call, and the operations on namespaces.

    rest(account)        # answers below /client/v4/accounts/<id>/storage/kv/namespaces
"""

import math
from collections.abc import Awaitable, Callable
from typing import Any, Final

from ratekit.kv.namespace import KVError
from ratekit.kv.serve_account import (
    BAD_ACCOUNT,
    DAY,
    INVALID,
    NO_ROUTE,
    THROTTLED,
    TITLE_MISSING,
    Account,
    Listed,
    Refused,
    Right,
    budget_fields,
)
from ratekit.kv.serve_http import App, Asked, Handler, Told, application, told_json
from ratekit.kv.serve_keys import (
    bulk_delete,
    bulk_get,
    bulk_put,
    delete_value,
    envelope,
    json_of,
    keys,
    metadata,
    put_value,
    value,
    whole,
)

Operation = Callable[[Account, Listed, str, Asked], Awaitable[Told]]
"""(account, namespace, key, request) -> response."""

OPERATIONS: Final[dict[tuple[str, ...], tuple[str, Right, Operation]]] = {
    ("GET", "keys"): ("list keys", "read", keys),
    ("GET", "values", "*"): ("get", "read", value),
    ("PUT", "values", "*"): ("put", "write", put_value),
    ("DELETE", "values", "*"): ("delete", "write", delete_value),
    ("GET", "metadata", "*"): ("get metadata", "read", metadata),
    ("PUT", "bulk"): ("bulk put", "write", bulk_put),
    ("DELETE", "bulk"): ("bulk delete", "write", bulk_delete),
    ("POST", "bulk", "delete"): ("bulk delete", "write", bulk_delete),
    ("POST", "bulk", "get"): ("bulk get keys", "read", bulk_get),
}
"""By method and path below a namespace: what errors call it, what it needs, what it does."""


def rest(account: Account) -> App:
    """The ASGI application that serves an account."""
    return application(_handler(account))


def _handler(account: Account) -> Handler:
    async def handler(asked: Asked) -> Told:
        try:
            return await _routed(account, asked)
        except Refused as refused:
            return _refusal(refused)
        except KVError as error:
            return _refusal(refused_of(error))

    return handler


def refused_of(error: KVError) -> Refused:
    """How the API says what went wrong in a namespace. For two writes of a key within a second its words are not published."""
    if error.kind == "day":
        return Refused(429, DAY, "your account has reached the free usage limit for this operation for today")
    if error.kind == "budget":
        return Refused(429, THROTTLED, str(error), error.retry_after)
    if error.kind == "write rate":
        return Refused(429, INVALID, str(error), 1.0 if error.retry_after is None else error.retry_after)
    return Refused(error.status or 500, INVALID, str(error), error.retry_after)


def _refusal(refused: Refused) -> Told:
    errors = [{"code": refused.code, "message": refused.message}]
    told = told_json({"success": False, "errors": errors, "messages": [], "result": None}, refused.status)
    if refused.retry_after is None:
        return told
    return Told(told.status, told.body, (*told.headers, ("retry-after", str(math.ceil(refused.retry_after)))))


async def _routed(account: Account, asked: Asked) -> Told:
    match asked.path:
        case ("client", "v4", "accounts", id, "storage", "kv", "namespaces", *below):
            path = tuple(below)
        case _:
            raise Refused(404, NO_ROUTE, "No route for that URI")
    if id != account.id:
        raise Refused(404, BAD_ACCOUNT, f"Could not route to /accounts/{id}, perhaps your object identifier is invalid?")
    right: Right = "read" if asked.method == "GET" or path[1:] == ("bulk", "get") else "write"
    budget = account.enter(asked.headers, right)
    try:
        told = await _operated(account, asked, path)
    except KVError as error:
        told = _refusal(refused_of(error))
    except Refused as refused:
        told = _refusal(refused)
    return Told(told.status, told.body, (*told.headers, *budget_fields(budget)))


async def _operated(account: Account, asked: Asked, path: tuple[str, ...]) -> Told:
    if len(path) < 2:
        return _namespaces(account, asked, path[0] if path else None)
    below = (path[1], "*") if len(path) == 3 and path[1] in {"values", "metadata"} else path[1:]
    known = OPERATIONS.get((asked.method, *below))
    if known is None:
        raise Refused(404, NO_ROUTE, "No route for that URI")
    what, _, operation = known
    return await operation(account, account.find(path[0], what), path[-1], asked)


def _namespaces(account: Account, asked: Asked, id: str | None) -> Told:
    match asked.method, id:
        case "GET", None:
            return _list(account, asked)
        case "POST", None:
            return envelope(_shown(account.create(_title(asked))))
        case "GET", str():
            return envelope(_shown(account.find(id, "get namespace")))
        case "PUT", str():
            account.rename(account.find(id, "rename namespace"), _title(asked))
            return envelope(_shown(account.find(id, "rename namespace")))
        case "DELETE", str():
            del account.listed[account.find(id, "remove namespace").id]
            return envelope({})
    raise Refused(405, NO_ROUTE, "Method not allowed for that URI")


def _list(account: Account, asked: Asked) -> Told:
    """A page of the namespaces, counted from 1; an empty page is the end."""
    page, per_page = whole(asked, "page", 1, 1, 10**9), whole(asked, "per_page", 20, 1, 1000)
    order, direction = asked.query.get("order", "id"), asked.query.get("direction", "asc")
    if order not in {"id", "title"} or direction not in {"asc", "desc"}:
        raise Refused(400, INVALID, "list namespaces: 'order is id or title, direction is asc or desc'")
    every = sorted(account.listed.values(), key=lambda one: one.id if order == "id" else one.title, reverse=direction == "desc")
    shown = [_shown(one) for one in every[(page - 1) * per_page : page * per_page]]
    return envelope(shown, {"page": page, "per_page": per_page, "count": len(shown), "total_count": len(every)})


def _shown(listed: Listed) -> dict[str, Any]:
    return {"id": listed.id, "title": listed.title, "supports_url_encoding": True}


def _title(asked: Asked) -> str:
    body = json_of(asked, "create namespace")
    title = body.get("title") if isinstance(body, dict) else None
    if not isinstance(title, str) or not title:
        raise Refused(400, TITLE_MISSING, "create namespace: 'namespace title must not be empty'")
    return title
