"""
Django: limits for a project, a view, the admin's login.

    INSTALLED_APPS = [..., "ratekit.django"]
    MIDDLEWARE = [..., "ratekit.django.RateLimitMiddleware"]
    RATEKIT = {"STORE": "redis://localhost:6379/0", "LIMITS": "100/minute", "ADMIN_LOGIN": "5/minute"}

    from ratekit.django import rate_limit

    @rate_limit("5/minute", key="post:username", methods="POST")
    def login(request): ...

The middleware asks the store once per request for all policies; a decorated view asks once more, with the middleware or without.
"""

from ratekit.errors import MissingExtra

try:
    import django as _django  # noqa: F401
except ImportError:
    raise MissingExtra("ratekit.django", "Django", "django") from None

from ratekit.django.counting import CountingMiddleware
from ratekit.django.decorator import rate_limit
from ratekit.django.middleware import RateLimitMiddleware
from ratekit.django.requests import user

__all__ = ["CountingMiddleware", "RateLimitMiddleware", "rate_limit", "user"]
