"""
Fixtures of the counters' tests.
"""

from contextlib import closing

import doors
import pytest
from ways import WAYS, Way


@pytest.fixture(params=WAYS)
def way(request, redis_url, upstash_server, clock):
    """A way into each store, by a clock that the test moves."""
    url = upstash_server.url if request.param in doors.UPSTASH else redis_url
    with doors.opened(request.param, url, clock) as door, closing(Way(door)) as way:
        yield way


@pytest.fixture(params=["redis", "async redis", *doors.UPSTASH])
def remote(request, redis_url, upstash_server, clock):
    """A way into each store that is Redis in the end."""
    url = upstash_server.url if request.param in doors.UPSTASH else redis_url
    with doors.opened(request.param, url, clock) as door, closing(Way(door)) as way:
        yield way
