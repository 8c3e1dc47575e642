"""
What every store does, whoever wrote it: the suite that ratekit gives to other stores, on each way in of its own.
"""

import doors
import pytest

from ratekit.testing.conformance import *  # noqa: F403 - the tests

REFUSALS_ASKED_FOR = [f"{kind}, each refusal asked for" for kind in ("redis", "async redis", *doors.UPSTASH)]


@pytest.fixture(params=[*doors.DOORS, *doors.WRITERS, *doors.UPSTASH, *REFUSALS_ASKED_FOR])
def door(request, redis_url, upstash_server, clock):
    kind, _, asked = request.param.partition(", ")
    url = upstash_server.url if kind in doors.UPSTASH else redis_url
    with doors.opened(kind, url, clock, **{"deny_cache": 0} if asked else {}) as door:
        yield door
