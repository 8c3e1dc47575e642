"""
Fixtures of all tests. A test that needs Redis gets a real one; a test that needs time to pass gets a clock that it moves.
"""

import os

import pytest
import servers
from hypothesis import HealthCheck, Phase, settings
from upstash.running import upstash

from ratekit.testing import ManualClock

LONG = os.environ.get("RATEKIT_LONG", "0") == "1"

CALM = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]}
settings.register_profile("short", max_examples=100, derandomize=True, database=None, print_blob=True, **CALM)
settings.register_profile("long", max_examples=2_000, **CALM)
settings.register_profile("red or green", settings.get_profile("short"), phases=[Phase.explicit, Phase.generate])
settings.load_profile(os.environ.get("RATEKIT_PROFILE", "long" if LONG else "short"))


def pytest_collection_modifyitems(config, items):
    if not LONG:
        left_out = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def redis_server():
    """A redis-server of this test run."""
    with servers.RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def redis_client(redis_server):
    """A plain client of that server."""
    with redis_server.client() as client:
        yield client


@pytest.fixture
def redis_url(redis_server, redis_client):
    """The URL of that server, emptied."""
    redis_client.flushall()
    return redis_server.url


@pytest.fixture(scope="session")
def upstash_server(redis_server):
    """A server of Upstash's REST protocol in front of that server."""
    with upstash(redis_server) as server:
        yield server


@pytest.fixture
def clock():
    """A clock that a test moves, ahead of the real time."""
    return ManualClock()
