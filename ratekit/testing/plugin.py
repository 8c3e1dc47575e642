"""
The pytest plugin: fixtures that are there wherever ratekit is installed.

    ratekit_clock   time stands still for what is limited in memory, and for what is opened by URL in the test; advance(seconds) moves it
    ratekit_redis   the URL of a Redis that needs no server (fakeredis), empty for each test, by the same clock inside the test
    ratekit_off     nothing is limited that opens its store in the test

`--ratekit-off` switches limiting off for the whole run.
"""

import os
from collections.abc import Iterator

from ratekit.errors import MissingExtra
from ratekit.testing.clock import ManualClock

try:
    import pytest
except ImportError as error:
    raise MissingExtra("the pytest plugin", "pytest", "testing") from error

pytest.register_assert_rewrite("ratekit.testing.conformance")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--ratekit-off`."""
    group = parser.getgroup("ratekit")
    group.addoption("--ratekit-off", action="store_true", help="limit nothing that is opened by this run (RATEKIT_ENABLED=0)")


def pytest_configure(config: pytest.Config) -> None:
    """Off is off before anything is imported that limits."""
    if config.getoption("--ratekit-off"):
        os.environ["RATEKIT_ENABLED"] = "0"
        config.addinivalue_line("filterwarnings", "ignore:RATEKIT_ENABLED:ratekit.errors.RateKitWarning")


@pytest.fixture
def ratekit_clock() -> Iterator[ManualClock]:
    """Time stands still until the test moves it; "memory://" is empty."""
    from ratekit.testing.times import frozen

    with frozen() as clock:
        yield clock


@pytest.fixture
def ratekit_redis(ratekit_clock: ManualClock) -> Iterator[str]:
    """The URL of a Redis that needs no server, empty."""
    from ratekit.testing.fake import fake_redis

    with fake_redis() as url:
        yield url


@pytest.fixture
def ratekit_off() -> Iterator[None]:
    """Nothing is limited that opens its store in the test."""
    from ratekit.testing.times import limiting_off

    with limiting_off():
        yield
