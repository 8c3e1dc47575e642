"""
The URLs and views of the project that the tests ask.
"""

from django.contrib import admin
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import include, path
from django.utils.decorators import method_decorator
from django.views import View
from django_setup import DRF

import ratekit
from ratekit import Policy
from ratekit.django import rate_limit

second_admin = admin.AdminSite(name="second")


def hello(request):
    return HttpResponse("hello")


async def hello_async(request):
    return HttpResponse("hello")


def streamed(request):
    return StreamingHttpResponse(iter(["a", "b"]))


@rate_limit("2/minute", "3/hour")
def limited(request):
    return HttpResponse("ok")


@rate_limit("2/minute")
async def limited_async(request):
    return HttpResponse("ok")


@rate_limit("2/minute", key="user", methods="POST")
def edit(request):
    return HttpResponse("ok")


@rate_limit("2/minute", key="user", missing="skip")
async def profile(request):
    return HttpResponse("ok")


@rate_limit("2/minute", key="post:username", methods=["POST"])
def login(request):
    return HttpResponse("ok")


@rate_limit("2/minute", methods="POST")
@rate_limit("5/minute", methods="GET")
def stacked(request):
    return HttpResponse("ok")


@rate_limit("1/minute", block=False)
def marked(request):
    return HttpResponse("limited" if request.limited else "free")


@rate_limit(Policy("per address", "2/minute"), Policy("per key", "1/minute", key="header:x-api-key", missing="skip"))
def both(request):
    return HttpResponse("ok")


@rate_limit(policy="search")
def named(request):
    return HttpResponse("ok")


@rate_limit("2/minute")
class Decorated(View):
    def get(self, request):
        return HttpResponse("ok")


@method_decorator(rate_limit("2/minute"), name="dispatch")
class ByMethodDecorator(View):
    def get(self, request):
        return HttpResponse("ok")


@method_decorator(rate_limit("2/minute"), name="dispatch")
class Sibling(View):
    def get(self, request):
        return HttpResponse("ok")


class OneMethod(View):
    def get(self, request):
        return HttpResponse("ok")

    @method_decorator(rate_limit("1/minute"))
    def post(self, request):
        return HttpResponse("ok")


class OwnMethod(View):
    @rate_limit("1/minute")
    def get(self, request):
        return HttpResponse("ok")


@rate_limit("2/minute")
class DecoratedAsync(View):
    async def get(self, request):
        return HttpResponse("ok")


@method_decorator(rate_limit("2/minute"), name="dispatch")
class AsyncByMethodDecorator(View):
    async def get(self, request):
        return HttpResponse("ok")


class Plain(View):
    def get(self, request):
        return HttpResponse("ok")


@ratekit.rate_limit("1/minute")
def work():
    return HttpResponse("worked")


def working(request):
    return work()


@rate_limit("5/minute")
def working_too(request):
    return work()


def broken(request):
    raise RuntimeError("broken")


urlpatterns = [
    path("", hello),
    path("async/", hello_async),
    path("streamed/", streamed),
    path("items/<int:number>/", lambda request, number: HttpResponse(str(number))),
    path("limited/", limited),
    path("limited-async/", limited_async),
    path("edit/", edit),
    path("profile/", profile),
    path("login/", login),
    path("stacked/", stacked),
    path("marked/", marked),
    path("both/", both),
    path("named/", named),
    path("class/", Decorated.as_view()),
    path("method-decorator/", ByMethodDecorator.as_view()),
    path("sibling/", Sibling.as_view()),
    path("one-method/", OneMethod.as_view()),
    path("own-method/", OwnMethod.as_view()),
    path("class-async/", DecoratedAsync.as_view()),
    path("method-decorator-async/", AsyncByMethodDecorator.as_view()),
    path("as-view/", rate_limit("2/minute")(Plain.as_view())),
    path("working/", working),
    path("working-too/", working_too),
    path("broken/", broken),
    path("included/", include([path("hello/", hello)])),
    *([path("api/", include("drf_project"))] if DRF else []),
    path("admin/", admin.site.urls),
    path("second/", second_admin.urls),
]
