"""
Fixtures of the command line's tests: the command itself, and a few lines of a log.
"""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from ratekit.cli import app

REAL_LOG = Path(__file__).parents[3] / "shared" / "data" / "access.log"


def _line(time, host="192.0.2.7", zone="+0000", user="-", request="GET / HTTP/1.1", tail=""):
    return f'{host} - {user} [17/May/2015:{time} {zone}] "{request}" 200 512{tail}\n'


@pytest.fixture
def line():
    """A function that gives one line of an access log."""
    return _line


@pytest.fixture
def ratekit():
    """A function that runs the command, and gives its exit code, standard output and standard error."""

    def run(*arguments, stdin=b"", env=None):
        environment = {"RATEKIT_STORE": None, "RATEKIT_ENABLED": None, **(env or {})}
        return CliRunner(env=environment).invoke(app, [str(argument) for argument in arguments], input=stdin)

    return run


@pytest.fixture
def real_log():
    """A real log of 10,000 lines and 1,753 clients; it lives beside the repository and not in it."""
    if not REAL_LOG.exists():
        pytest.skip("the real access log is not here: it lives in ../shared/data, beside the repository")
    return REAL_LOG
