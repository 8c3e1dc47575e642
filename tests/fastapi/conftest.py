"""
A store and a clock for applications in tests, and clients of their own addresses.
"""

import warnings
from pathlib import Path

import pytest

from ratekit.stores import AsyncMemoryStore

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Starlette's test client would rather have httpx2, and works with httpx
    from fastapi.testclient import TestClient


def pytest_collection_modifyitems(items):
    left_open = "ignore:Exception ignored in.*MemoryObject:pytest.PytestUnraisableExceptionWarning"
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.filterwarnings(left_open))  # by the test client of older Starlettes


class From:
    """An application as clients at one address see it; not every version of the test client takes an address."""

    def __init__(self, app, host):
        self.app, self.host = app, host

    async def __call__(self, scope, receive, send):
        if scope["type"] != "lifespan":
            scope["client"] = (self.host, 50_000)
        await self.app(scope, receive, send)


@pytest.fixture
def store(clock):
    """State in memory, under the clock that the test moves."""
    return AsyncMemoryStore(clock=clock)


@pytest.fixture
def client_of():
    """`client_of(app, "192.0.2.7")`: a client of an application; what the application raises is a 500, as under a server."""

    def client_of(app, host="192.0.2.1", **options):
        return TestClient(From(app, host), raise_server_exceptions=False, **options)

    return client_of
