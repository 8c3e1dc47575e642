"""
Traffic: where a store is, how often it was asked, and for how many hits together: two plain integers that only grow.
"""

from typing import Any
from urllib.parse import urlsplit


class Traffic:
    """Commands that were sent to a place, and the hits in them."""

    __slots__ = ("hits", "place", "trips")

    def __init__(self, place: str = "") -> None:
        self.place = place
        self.trips = self.hits = 0


def place_of(target: Any) -> str:
    """
    Where a URL or a client leads, without user, password and options.

    >>> place_of("redis://user:secret@localhost:6379/0?socket_timeout=1")
    'redis://localhost:6379/0'
    """
    if isinstance(target, str):
        scheme, place, path, *_ = urlsplit(target)
        return f"{scheme}://{place.rpartition('@')[2]}{path}"
    pool = target.connection_pool
    options = pool.connection_kwargs
    if service := getattr(pool, "service_name", None):
        return f"redis+sentinel://{service}/{options.get('db') or 0}"
    host = options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
    return f"redis://{host}/{options.get('db') or 0}"
