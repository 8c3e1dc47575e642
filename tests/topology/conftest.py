"""
Fixtures of the topologies' tests.
"""

import pytest
from topology.cluster import RedisCluster
from topology.sentinels import Watched


@pytest.fixture(scope="module")
def cluster():
    """Three masters and three replicas, for the tests of one file."""
    with RedisCluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def calm():
    """A master, two replicas and three sentinels, for the tests of one file that leave them in peace."""
    with Watched() as watched:
        yield watched
