"""
The views of `django_app.py`.
"""

from django.contrib import admin
from django.http import JsonResponse
from django.urls import path
from rest_framework.response import Response
from rest_framework.views import APIView

from ratekit.django import rate_limit


def index(request):
    return JsonResponse({"hello": "Django"})


@rate_limit(policy="search")
async def search(request):
    return JsonResponse({"found": ["one", "two"]})


@rate_limit("2/minute", key="post:username", methods="POST")
def login(request):
    return JsonResponse({"welcome": request.POST.get("username", "")})


class Items(APIView):
    def get(self, request):
        return Response(["one", "two"])


urlpatterns = [
    path("", index),
    path("search/", search),
    path("login/", login),
    path("api/items/", Items.as_view()),
    path("admin/", admin.site.urls),
]
