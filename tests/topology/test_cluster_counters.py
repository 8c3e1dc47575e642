"""
Counters count in a cluster as they do elsewhere: their own tests, over both stores.
"""

import inspect
from contextlib import closing

import doors
import pytest
from counters import test_concurrency, test_counter, test_leaderboard, test_unique
from counters.ways import Way

for module in (test_concurrency, test_counter, test_leaderboard, test_unique):
    for name, test in vars(module).items():
        if name.startswith("test_") and {*inspect.signature(test).parameters} & {"way", "remote"}:
            globals()[f"{name}_as_in_{module.__name__.rpartition('.')[2]}"] = test


@pytest.fixture(params=doors.CLUSTERS)
def way(request, cluster, clock):
    cluster.wipe()
    with doors.opened(request.param, cluster.url, clock) as door, closing(Way(door)) as way:
        yield way


@pytest.fixture
def remote(way):
    return way
