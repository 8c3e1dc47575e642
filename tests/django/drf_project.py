"""
The views of the project that Django REST framework serves.
"""
# ruff: noqa: RUF012 - Django REST framework's own spelling

from django.contrib.auth.models import User
from django.urls import include, path
from rest_framework import serializers, viewsets
from rest_framework.decorators import action, api_view, throttle_classes
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView

from ratekit.django import rate_limit
from ratekit.drf import AnonRateThrottle, ScopedRateThrottle, SimpleRateThrottle, UserRateThrottle


class Answering(APIView):
    def get(self, request):
        return Response("ok")


class Anonymous(Answering):
    throttle_classes = [AnonRateThrottle]


class PerUser(Answering):
    throttle_classes = [UserRateThrottle]


class Both(Answering):
    throttle_classes = [AnonRateThrottle, UserRateThrottle]


class Burst(UserRateThrottle):
    scope = "burst"
    rate = "3/min"


class Sustained(UserRateThrottle):
    scope = "sustained"
    rate = "4/hour"


class Tight(UserRateThrottle):
    scope = "tight"
    rate = "1/min"


class BurstAndSustained(Answering):
    throttle_classes = [Burst, Sustained]


class RefusedByTheSecond(Answering):
    throttle_classes = [Burst, Tight]


class BurstAlone(Answering):
    throttle_classes = [Burst]


class Uploads(Answering):
    throttle_classes = [ScopedRateThrottle]
    throttle_scope = "uploads"


class MoreUploads(Answering):
    throttle_classes = [ScopedRateThrottle]
    throttle_scope = "uploads"


class Scopeless(Answering):
    throttle_classes = [ScopedRateThrottle]


class PerKey(SimpleRateThrottle):
    rate = "2/min"

    def get_cache_key(self, request, view):
        return request.headers.get("X-Api-Key")


class Keyed(Answering):
    throttle_classes = [PerKey]


class OwnDecision(Burst):
    def allow_request(self, request, view):
        return request.method == "HEAD" or super().allow_request(request, view)


class Mixed(Answering):
    throttle_classes = [OwnDecision, Sustained]


class Twins(Answering):
    throttle_classes = [Burst, Burst]


@api_view(["GET"])
@throttle_classes([AnonRateThrottle])
def function(request):
    return Response("ok")


@api_view(["GET"])
@rate_limit("1/minute")
def decorated(request):
    return Response("ok")


class UserSerializer(serializers.ModelSerializer):
    class Meta:
        model = User
        fields = ["username"]


class Users(viewsets.ReadOnlyModelViewSet):
    queryset = User.objects.order_by("pk")
    serializer_class = UserSerializer
    throttle_classes = [UserRateThrottle]

    @action(detail=False, throttle_classes=[AnonRateThrottle])
    def names(self, request):
        return Response([user.username for user in self.queryset.all()])


router = SimpleRouter()
router.register("users", Users)

urlpatterns = [
    path("anonymous/", Anonymous.as_view()),
    path("user/", PerUser.as_view()),
    path("both/", Both.as_view()),
    path("burst/", BurstAlone.as_view()),
    path("burst-and-sustained/", BurstAndSustained.as_view()),
    path("refused-by-the-second/", RefusedByTheSecond.as_view()),
    path("uploads/", Uploads.as_view()),
    path("more-uploads/", MoreUploads.as_view()),
    path("scopeless/", Scopeless.as_view()),
    path("keyed/", Keyed.as_view()),
    path("mixed/", Mixed.as_view()),
    path("twins/", Twins.as_view()),
    path("function/", function),
    path("decorated/", decorated),
    path("", include(router.urls)),
]
