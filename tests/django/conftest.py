"""
A Django project inside the test run: its settings are made once, and each test changes those that it is about.
"""

import contextlib
import tempfile
from pathlib import Path

import django
import pytest
from django.conf import settings
from django.core.management import call_command
from django.test import Client, override_settings
from django_asking import MIDDLEWARE

from ratekit.stores import MemoryStore

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

if not settings.configured:
    settings.configure(
        SECRET_KEY="tests",
        ALLOWED_HOSTS=["*"],
        USE_TZ=True,
        ROOT_URLCONF="django_project",
        INSTALLED_APPS=[*(f"django.contrib.{app}" for app in APPS), "rest_framework", "ratekit.django"],
        MIDDLEWARE=MIDDLEWARE,
        TEMPLATES=[TEMPLATES],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": Path(tempfile.mkdtemp()) / "db.sqlite3"}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        REST_FRAMEWORK={"DEFAULT_THROTTLE_RATES": {"anon": "2/min", "user": "3/min", "uploads": "20/day", "contacts": "1000/day"}},
    )
    django.setup()


@pytest.fixture(scope="session")
def database():
    """The project's tables."""
    from django.db import connections

    call_command("migrate", verbosity=0)
    yield
    connections.close_all()


@pytest.fixture(scope="session")
def ann(database):
    """A user."""
    from django.contrib.auth.models import User

    return User.objects.create_superuser("ann", password="right")


@pytest.fixture
def project(clock):
    """`project(LIMITS=..., ...)`: the project with these settings of ratekit's, in memory and with a clock; gives a client."""
    with contextlib.ExitStack() as stack:

        def with_settings(*, django_settings=None, **ratekit):
            ratekit.setdefault("STORE", MemoryStore(clock=clock))
            stack.enter_context(override_settings(RATEKIT=ratekit, **(django_settings or {})))
            return Client()

        yield with_settings
