"""
Counting: what a Django project serves, by the routes of its URLconf.
"""

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from ratekit.counters.served import Served, refused_by
from ratekit.counters.traffic import Traffic
from ratekit.django.requests import request_of
from ratekit.django.settings import Settings, current
from ratekit.http.owed import status_of
from ratekit.http.refusals import REFUSALS, Refusal
from ratekit.keys import network_of


class CountingMiddleware:
    """
    Counts what a project serves, under WSGI and ASGI; settings.RATEKIT["COUNTING"] has NAME, PER, KEEP and EVERY, if they are to be
    others, and the store, the proxies and HASH_KEYS are those of settings.RATEKIT. It is to be the first in MIDDLEWARE.

    >>> MIDDLEWARE = ["ratekit.django.CountingMiddleware", "ratekit.django.RateLimitMiddleware"]
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self._settings = current()
        self.traffic = traffic_of(self._settings)
        self._async = iscoroutinefunction(get_response)
        if self._async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        if self._async:
            return self._call_async(request)
        began, refusals = perf_counter(), list[Refusal]()
        token = REFUSALS.set(refusals)
        try:
            response = self.get_response(request)
        finally:
            REFUSALS.reset(token)
        self._count(request, response.status_code, began, refusals)
        return response

    async def _call_async(self, request: HttpRequest) -> HttpResponseBase:
        began, refusals = perf_counter(), list[Refusal]()
        token = REFUSALS.set(refusals)
        try:
            response: HttpResponseBase = await self.get_response(request)
        except asyncio.CancelledError as error:  # the client has gone away; all else Django has made a response of
            self._count(request, status_of(error), began, refusals)
            raise
        finally:
            REFUSALS.reset(token)
        self._count(request, response.status_code, began, refusals)
        return response

    def _count(self, request: HttpRequest, status: int, began: float, refusals: list[Refusal]) -> None:
        took, match = perf_counter() - began, request.resolver_match
        address = request_of(request, self._settings.proxies).client
        client, route = network_of(address) if address else "", "" if match is None else f"/{match.route}"
        refused = refused_by(refusals, status, client)
        self.traffic.count(Served(route, request.method or "", status, took, client, refused))


def traffic_of(settings: Settings) -> Traffic:
    """What is counted by these settings."""

    def made() -> Traffic:
        hash_keys = settings.rest["hash_keys"]
        options = {"name": settings.rest["name"], "prefix": settings.rest["prefix"], "hash_keys": hash_keys, **settings.counting}
        return Traffic(store=settings.store, **options)

    traffic: Traffic = settings.once("traffic", made)
    return traffic
