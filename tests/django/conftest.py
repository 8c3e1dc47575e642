"""
A Django project inside the test run: its settings are made once, and each test changes those that it is about.
"""

import contextlib

import django_setup  # noqa: F401 - the project is set up by that
import pytest
from django.core.management import call_command
from django.test import Client, override_settings

from ratekit.stores import MemoryStore


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
            ratekit.setdefault("BUDGET", 5.0)  # nothing here is judged by how long it takes
            stack.enter_context(override_settings(RATEKIT=ratekit, **(django_settings or {})))
            return Client()

        yield with_settings
