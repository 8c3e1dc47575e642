"""
A Django project in one file, with Django REST framework.

    python examples/django_app.py migrate
    python examples/django_app.py runserver --noreload
    uvicorn django_app:application --app-dir examples        # the same, asynchronously

    curl -i localhost:8000/                                  30 a minute for the whole project
    curl -i localhost:8000/search/                           3 a minute
    curl -i -d username=ann localhost:8000/login/            2 a minute for a name that is tried, wherever from
    curl -i localhost:8000/api/items/                        Django REST framework: 4 a minute
    open localhost:8000/admin/                               5 passwords a minute

The state is in memory, or where RATEKIT_STORE says.
"""

import os
import sys
import tempfile
from pathlib import Path

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.management import execute_from_command_line

APPS = ["admin", "auth", "contenttypes", "sessions", "messages", "staticfiles"]
CONTEXT = ["django.contrib.auth.context_processors.auth", "django.contrib.messages.context_processors.messages"]

settings.configure(
    DEBUG=True,
    SECRET_KEY="an example has no secrets",  # noqa: S106
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF="django_app_urls",
    INSTALLED_APPS=[*(f"django.contrib.{app}" for app in APPS), "rest_framework", "ratekit.django"],
    MIDDLEWARE=[
        "ratekit.django.RateLimitMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ.get("DATABASE", Path(tempfile.gettempdir()) / "ratekit-example.sqlite3"),
        }
    },
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {"context_processors": ["django.template.context_processors.request", *CONTEXT]},
        }
    ],
    STATIC_URL="static/",
    USE_TZ=True,
    REST_FRAMEWORK={
        "DEFAULT_THROTTLE_CLASSES": ["ratekit.drf.AnonRateThrottle", "ratekit.drf.UserRateThrottle"],
        "DEFAULT_THROTTLE_RATES": {"anon": "4/min", "user": "100/min"},
    },
    RATEKIT={
        "LIMITS": "30/minute",
        "ADMIN_LOGIN": "5/minute",
        "VIEW_POLICIES": [{"name": "search", "limits": "3/minute"}],
    },
)
django.setup()

application = get_asgi_application()

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
