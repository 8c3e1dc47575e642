"""
Fixtures of the topologies' tests.
"""

import pytest
from topology.cluster import RedisCluster


@pytest.fixture(scope="module")
def cluster():
    """Three masters and three replicas, for the tests of one file."""
    with RedisCluster() as cluster:
        yield cluster
