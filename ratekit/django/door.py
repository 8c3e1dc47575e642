"""
Doors: policies in front of a Django view, for threads and for event loops, and what is answered in the view's stead.
"""

import inspect
from collections.abc import Sequence
from typing import Any, Final

from asgiref.sync import async_to_sync, iscoroutinefunction, sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from ratekit.decision import Decision
from ratekit.django.requests import request_of
from ratekit.django.settings import Settings
from ratekit.enforcer import LATER, Enforcer, Refused
from ratekit.http.fields import retry_after_fields
from ratekit.http.forms import Fields
from ratekit.http.problem import Answer
from ratekit.http.verdict import refusal_of
from ratekit.http.visit import VISIT, Visit
from ratekit.policy import Policy
from ratekit.stores.memory import AsyncMemoryStore, MemoryStore

NAMES: Final = {b"ratelimit-policy": "RateLimit-Policy", b"ratelimit": "RateLimit", b"retry-after": "Retry-After"}


class Door:
    """
    Some policies and the store of the settings. `decide` is for threads, `decide_async` for event loops.

    Under WSGI an async view has an event loop of its own, which ends with it: there nobody else is kept waiting by the store for
    threads, and a connection for each loop would cost more than the hit.
    """

    def __init__(self, settings: Settings, policies: Sequence[Policy] | None, limits: Any = None, **more: Any) -> None:
        self._settings = settings
        self._taken = (limits, policies, {**settings.rest, **more})
        self.threads = self._enforcer("close", settings.store.sync if _is_memory(settings.store) else settings.store)
        self._loops: Enforcer | None = None

    @property
    def loops(self) -> Enforcer:
        """The enforcer for event loops, opened by the first request that has one."""
        if self._loops is None:
            store = self._settings.store
            self._loops = self._enforcer("aclose", AsyncMemoryStore(store) if isinstance(store, MemoryStore) else store)
        return self._loops

    def _enforcer(self, closing: str, store: Any) -> Enforcer:
        limits, policies, rest = self._taken
        # A request is asked for its address by the proxies of the enforcer that it comes to.
        enforcer = Enforcer(limits, policies, store, lambda native: request_of(native, enforcer.proxies), closing=closing, **rest)
        return enforcer

    def decide(self, native: HttpRequest) -> tuple[Visit, Refused | None]:
        """The decision on a request."""
        enforcer = self.threads
        visit = Visit(enforcer, native)
        refused = enforcer.at_once(visit, native.method or "", native.META.get("REMOTE_ADDR"))
        return visit, enforcer.decide(visit) if refused is LATER else refused

    async def decide_async(self, native: HttpRequest) -> tuple[Visit, Refused | None]:
        """The decision on a request, awaited."""
        enforcer = self.loops if isinstance(native, ASGIRequest) else self.threads
        visit = Visit(enforcer, native)
        refused = enforcer.at_once(visit, native.method or "", native.META.get("REMOTE_ADDR"))
        return visit, await enforcer.decide_async(visit) if refused is LATER else refused

    def answer(self, refused: Refused, visit: Visit) -> HttpResponseBase:
        """The response to a refused request: the settings' own, or the problem body."""
        own = self._settings.on_refused if isinstance(refused, Decision) else None
        if own is None:
            return _response_of(refused, visit)
        response = own(visit.request, refused)
        if inspect.isawaitable(response):
            response = async_to_sync(_settled)(response)
        return _response_of(refused, visit, response)

    async def answer_async(self, refused: Refused, visit: Visit) -> HttpResponseBase:
        """`answer`, awaited; an own response that is made by a plain function is made in a thread, where it may use the database."""
        own = self._settings.on_refused if isinstance(refused, Decision) else None
        if own is None:
            return _response_of(refused, visit)
        awaited = iscoroutinefunction(own) or iscoroutinefunction(type(own).__call__)
        response = (own if awaited else sync_to_async(own))(visit.request, refused)
        return _response_of(refused, visit, await _settled(await response))

    def close(self) -> None:
        """Let go of the store for threads."""
        if isinstance(self._settings.store, str):
            self.threads.store.close()


def _is_memory(store: Any) -> bool:
    return isinstance(store, AsyncMemoryStore)


async def _settled(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


def _response_of(refused: Refused, visit: Visit, own: Any = None) -> HttpResponseBase:
    if own is not None and isinstance(refused, Decision):
        if "Retry-After" not in own.headers:  # an own answer may say when by itself
            write(own, retry_after_fields(refused, visit.told()[0]))
        own.setdefault("Cache-Control", "no-store")
        write(own, visit.fields())
        response: HttpResponseBase = own
        return response
    answer: Answer = refusal_of(refused, *visit.told()) if isinstance(refused, Decision) else refused
    response = HttpResponse(answer.body, status=answer.status)
    write(response, answer.fields)
    return response


def recorded(inner: Visit) -> Visit:
    """A visit inside another one: its decisions are told by the one around it, which is given; where there is none, by itself."""
    outer = VISIT.get()
    if outer is None:
        return inner
    for policy, decision in inner.applied:
        outer.record(policy, decision)
    return outer


def write(response: HttpResponseBase, fields: Fields) -> None:
    """Put header fields on a response."""
    for name, value in fields:
        response.headers[named(name)] = value.decode("latin-1")


def named(field: bytes) -> str:
    """A field's name as Django's responses write names."""
    return NAMES.get(field) or field.decode("latin-1").title()
