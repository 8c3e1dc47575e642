"""
The two Django libraries, outside a server: their decision on one request, with Django's own Redis cache.
"""

from typing import Any

from libraries import PLENTY


def configure(url: str) -> None:
    import django
    from django.conf import settings

    if not settings.configured:
        cache = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": url}
        settings.configure(CACHES={"default": cache}, SECRET_KEY="-", INSTALLED_APPS=["rest_framework"], USE_TZ=True)
        django.setup()


def hit_of(library: str, url: str) -> Any:
    """`hit(key)`: true when admitted."""
    configure(url)
    return django_ratelimit() if library == "django-ratelimit" else drf()


def django_ratelimit() -> Any:
    from django.test import RequestFactory
    from django_ratelimit.core import is_ratelimited

    request = RequestFactory().get("/")

    def hit(key: str) -> bool:
        return not is_ratelimited(request, group="bench", key=lambda *_: key, rate=f"{PLENTY}/m", increment=True)

    if not hit("first"):
        raise RuntimeError("django-ratelimit refused")
    return hit


def drf() -> Any:
    from rest_framework.throttling import SimpleRateThrottle

    class Throttle(SimpleRateThrottle):
        rate = f"{PLENTY}/m"

        def get_cache_key(self, request: Any, view: Any) -> str:
            return request

    def hit(key: str) -> bool:
        # A throttle is made for every request: that is how Django REST framework uses them.
        return bool(Throttle().allow_request(key, None))

    if not hit("first"):
        raise RuntimeError("DRF refused")
    return hit
