"""
A month of rate limiting: what limiting so many requests a second asks of each kind of store, as a workload for `prices`.
"""

import math
from decimal import Decimal

from ratekit.errors import ConfigurationError
from ratekit.kv.prices import MONTH, Workload

VALUE_GB = Decimal("0.000001")
"""A shard, or all counters of a small application: about a kilobyte. It never decides a bill."""


def plain_month(rate: float) -> Workload:
    """
    The textbook limiter on KV: each of `rate` requests a second reads a counter and writes it.

    That KV would refuse most of these writes, one a second and key, is another matter: a refused one is not billed.

    >>> plain_month(100).writes
    259200000
    """
    hits = _per_month(rate)
    return Workload(reads=hits, writes=hits, stored_gb=VALUE_GB)


def shards_month(nodes: int, *, flush: float = 10.0, read_every: float = 30.0) -> Workload:
    """
    `KVStore`: each of `nodes` processes writes its shard every `flush` seconds and reads the others' every `read_every` seconds,
    however many requests there are.

    >>> shards_month(8).writes, shards_month(8).reads
    (2073600, 4838400)
    """
    if type(nodes) is not int or nodes < 1:
        raise ConfigurationError(f"nodes {nodes!r}: write a whole number of at least 1")
    if not flush >= 1 or not read_every >= 1:
        raise ConfigurationError(f"flush {flush!r}, read_every {read_every!r}: write seconds from 1")
    writes = nodes * math.ceil(MONTH / flush)
    return Workload(reads=nodes * (nodes - 1) * math.ceil(MONTH / read_every), writes=writes, stored_gb=nodes * VALUE_GB)


def redis_month(rate: float) -> Workload:
    """
    A Redis that is billed by the command, such as Upstash: one script for each of `rate` requests a second.

    >>> redis_month(100).operations
    259200000
    """
    return Workload(writes=_per_month(rate), stored_gb=VALUE_GB)


def _per_month(rate: float) -> int:
    if not 0 <= rate < math.inf:
        raise ConfigurationError(f"rate {rate!r}: write requests a second, from 0")
    return math.ceil(rate * MONTH)
