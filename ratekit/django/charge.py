"""
Settling: policies that charge by the response are told what a view answered, or raised.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.http import Http404
from django.http.response import HttpResponseBase

from ratekit.http.owed import Response, status_of
from ratekit.http.visit import Visit

STATUSES = ((Http404, 404), (PermissionDenied, 403), (BadRequest, 400), (SuspiciousOperation, 400))
"""What Django answers to errors of its own."""
OWING = "_ratekit_owing"


def owes(visit: Visit) -> bool:
    """Whether something is to be settled."""
    return getattr(visit, "owed", None) is not None


def settle(visit: Visit, response: Any) -> None:
    """Charge for a response: at once, or when the last of its stream was taken, or nobody takes it any more."""
    if not owes(visit):
        return
    if response.streaming:
        _follow(visit, response)
    else:
        visit.around.settle(visit, _seen(visit, response, complete=True))


async def settle_async(visit: Visit, response: Any) -> None:
    """`settle`, awaited."""
    if not owes(visit):
        return
    if response.streaming:
        _follow(visit, response)
    else:
        await visit.around.settle_async(visit, _seen(visit, response, complete=True))


def noted(native: Any, visit: Visit) -> None:
    """Keep a visit inside the middleware's for when there is a response."""
    if owes(visit):
        native.__dict__.setdefault(OWING, []).append(visit)


def owing_of(native: Any, visit: Visit) -> list[Visit]:
    """The visits of a request that are to be settled by its response."""
    inside = native.__dict__.get(OWING)
    if inside is None:
        return [visit] if owes(visit) else []
    return [*inside, visit]


def failed(visit: Visit, error: BaseException) -> None:
    """Charge for what was raised."""
    if owes(visit):
        visit.around.settle(visit, _raised(visit, error))


async def failed_async(visit: Visit, error: BaseException) -> None:
    """`failed`, awaited, also by who is cancelled."""
    if owes(visit):
        with anyio.CancelScope(shield=True):
            await visit.around.settle_async(visit, _raised(visit, error))


def _raised(visit: Visit, error: BaseException) -> Response:
    status = next((status for kind, status in STATUSES if isinstance(error, kind)), status_of(error))
    return Response(visit.request, status, complete=False)


def _seen(visit: Visit, response: HttpResponseBase, *, complete: bool) -> Response:
    return Response(visit.request, response.status_code, [*response.items()], complete=complete)


def _follow(visit: Visit, response: Any) -> None:
    content = response.streaming_content

    def followed() -> Iterator[bytes]:
        complete = False
        try:
            yield from content
            complete = True
        finally:
            visit.around.settle(visit, _seen(visit, response, complete=complete))

    async def followed_async() -> AsyncIterator[bytes]:
        complete = False
        try:
            async for part in content:
                yield part
            complete = True
        finally:
            await visit.around.settle_async(visit, _seen(visit, response, complete=complete))

    response.streaming_content = followed_async() if response.is_async else followed()
