"""
The Django project of the tests, set up once in a process: importing this is all there is to do.
"""

import tempfile
from importlib.util import find_spec
from pathlib import Path

import django
from django.conf import settings

MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "ratekit.django.RateLimitMiddleware",
]
TEMPLATES = {
    "BACKEND": "django.template.backends.django.DjangoTemplates",
    "APP_DIRS": True,
    "OPTIONS": {
        "context_processors": [
            "django.template.context_processors.request",
            "django.contrib.auth.context_processors.auth",
            "django.contrib.messages.context_processors.messages",
        ]
    },
}
APPS = ["admin", "auth", "contenttypes", "sessions", "messages"]
DRF = ["rest_framework"] if find_spec("rest_framework") else []
"""Not where Django alone is tested."""

settings.configure(
    SECRET_KEY="tests",
    ALLOWED_HOSTS=["*"],
    USE_TZ=True,
    ROOT_URLCONF="django_project",
    INSTALLED_APPS=[*(f"django.contrib.{app}" for app in APPS), *DRF, "ratekit.django"],
    MIDDLEWARE=MIDDLEWARE,
    TEMPLATES=[TEMPLATES],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": Path(tempfile.mkdtemp()) / "db.sqlite3"}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    REST_FRAMEWORK={"DEFAULT_THROTTLE_RATES": {"anon": "2/min", "user": "3/min", "uploads": "20/day", "contacts": "1000/day"}},
)
django.setup()
