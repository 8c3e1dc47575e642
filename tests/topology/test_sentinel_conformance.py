"""
A store behind sentinels does what every store does: the suite that ratekit gives to other stores, for threads and for event loops.
"""

import doors
import pytest

from ratekit.testing.conformance import *  # noqa: F403 - the tests

WAYS = [*doors.SENTINELS, "async redis, each refusal asked for"]


@pytest.fixture(params=WAYS)
def door(request, calm, clock):
    kind, _, asked = request.param.partition(", ")
    calm.wipe()
    with doors.opened(kind, calm.url, clock, **{"deny_cache": 0} if asked else {}) as door:
        yield door
