"""
Middleware: one hit for all policies of settings.RATEKIT, before anything else is done for a request, and the header fields of all
that was decided.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from ratekit.django.charge import failed_async, noted, owing_of, settle, settle_async
from ratekit.django.door import Door, recorded, write
from ratekit.django.routes import started
from ratekit.django.settings import current
from ratekit.errors import ConfigurationError, RateLimitExceeded, StoreError
from ratekit.http.visit import VISIT, Visit


class RateLimitMiddleware:
    """
    Limits a Django project by settings.RATEKIT, under WSGI and ASGI.

    Raises ConfigurationError for settings that cannot be, when the server starts. Policies that ask for the user need
    AuthenticationMiddleware before it; others are cheapest at the top.

    >>> MIDDLEWARE = ["ratekit.django.RateLimitMiddleware"]
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self._settings = settings = current()
        self._door: Door = settings.once("middleware", lambda: Door(settings, settings.policies, settings.limits))
        if settings.first("report"):
            started(settings)
        self._async = iscoroutinefunction(get_response)
        if self._async:
            markcoroutinefunction(self)
        if settings.admin_login:
            self._login: Door = settings.once("admin", lambda: Door(settings, settings.admin_login))
            self.process_view = self._admin_async if self._async else self._admin

    def __call__(self, request: HttpRequest) -> Any:
        if self._async:
            return self._call_async(request)
        visit, refused = self._door.decide(request)
        if refused is not None:
            return self._door.answer(refused, visit)
        token = VISIT.set(visit)
        try:
            response = _told(self.get_response(request), visit)
        finally:
            VISIT.reset(token)
        for owing in owing_of(request, visit):
            settle(owing, response)
        return response

    async def _call_async(self, request: HttpRequest) -> HttpResponseBase:
        visit, refused = await self._door.decide_async(request)
        if refused is not None:
            return await self._door.answer_async(refused, visit)
        token = VISIT.set(visit)
        try:
            response = _told(await self.get_response(request), visit)
        except asyncio.CancelledError as error:  # the client has gone away
            for owing in owing_of(request, visit):
                await failed_async(owing, error)
            raise
        finally:
            VISIT.reset(token)
        for owing in owing_of(request, visit):
            await settle_async(owing, response)
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        """What a view is limited by inside, as a response."""
        visit = VISIT.get()
        if visit is None or not isinstance(exception, RateLimitExceeded | StoreError | ConfigurationError):
            return None
        return self._door.answer(self._door.threads.answer_to(exception, visit), visit)

    # The login of every admin site, by the route that was chosen: no spelling of the path gets around it.

    def _admin(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponseBase | None:
        if not is_admin_login(request):
            return None
        inner, refused = self._login.decide(request)
        noted(request, inner)
        visit = recorded(inner)
        return None if refused is None else self._login.answer(refused, visit)

    async def _admin_async(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponseBase | None:
        if not is_admin_login(request):
            return None
        inner, refused = await self._login.decide_async(request)
        noted(request, inner)
        visit = recorded(inner)
        return None if refused is None else await self._login.answer_async(refused, visit)


def is_admin_login(request: HttpRequest) -> bool:
    """Whether a request tries a password at an admin site's login."""
    match = request.resolver_match
    return request.method == "POST" and match is not None and match.url_name == "login" and match.app_names[-1:] == ["admin"]


def _told(response: HttpResponseBase, visit: Visit) -> HttpResponseBase:
    write(response, visit.fields())
    return response
