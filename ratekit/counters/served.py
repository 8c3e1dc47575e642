"""
Served: what is counted of one request an application served, as the text of one row, and back from rows to what an application serves.
Pure: no clock, no store.

A row reads `GET 200 4 /items/{id}`: method, status, which of the BOUNDS its time was under, route. From the counts of such rows follow the
requests by route, method and status, and the times. What clients send becomes no name: a method is one of METHODS or OTHER, a
route is a template of the application's own, and there are at most so many rows.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, NamedTuple

from ratekit.stores.naming import Canonical

BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper ends of the times' buckets, in seconds; one more is without end."""
METHODS: Final = frozenset(("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE", "WS"))
NO_ROUTE: Final = "(no route)"
"""Where no route was chosen: nothing is there, or something answered before, as a refusal does."""
OTHER: Final = "(other)"
"""Methods that are none of METHODS, and routes beyond the bound."""
LONGEST: Final = 160
"""Characters of a route; what is longer ends in a hash."""


class Served(NamedTuple):
    """
    One request: the template of its route ("" for none), its method, the status of the answer, the seconds until that began, the client
    ("" where it is not known), and who was refused by which policy.
    """

    route: str
    method: str
    status: int
    took: float
    client: str = ""
    refused: Sequence[tuple[str, Canonical]] = ()


class Rows:
    """The rows of this process: their texts, at most `most` of them and some hundreds for the rest."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._texts: dict[tuple[str, str, int, int], str] = {}

    def of(self, served: Served) -> str:
        """The row of a request."""
        route, method, status, bucket = served.route, served.method, served.status, bisect_left(BOUNDS, served.took)
        if method not in METHODS:
            method = OTHER
        if not 100 <= status < 600:
            status = 500
        text = self._texts.get((route, method, status, bucket))
        if text is None:
            if len(self._texts) >= self._most:  # then what is new is told apart by method, class of status and time
                return f"{method} {status // 100 * 100} {bucket} {OTHER}"
            text = self._texts[route, method, status, bucket] = f"{method} {status} {bucket} {_named(route)}"
        return text


def _named(route: str) -> str:
    text = route.encode("utf-8", "backslashreplace").decode() or NO_ROUTE
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 9]}#{blake2b(text.encode(), digest_size=4).hexdigest()}"


def refused_by(refusals: Sequence[tuple[str, Canonical]], status: int, client: str) -> Sequence[tuple[str, Canonical]]:
    """Who was refused: whom ratekit's policies refused on the request; where something else answered 429, its client."""
    return refusals or ([("", client)] if status == 429 and client else ())


@dataclass(frozen=True, slots=True)
class Line:
    """What was served of one route by one method: requests by `statuses`, and by the bucket of their time in `took`."""

    route: str
    method: str
    statuses: Mapping[int, int]
    took: Sequence[int]

    @property
    def requests(self) -> int:
        """All of them."""
        return sum(self.took)

    def within(self, part: float) -> float:
        """
        The seconds within which this part of the answers began: the upper end of a bucket, infinite beyond the last one.

        >>> Line("/", "GET", {200: 10}, (0, 9, 0, 1)).within(0.5)
        0.0025
        """
        wanted, seen = part * self.requests, 0
        for bound, count in zip(BOUNDS, self.took, strict=False):
            seen += count
            if seen >= wanted:
                return bound
        return float("inf")


def lines_of(rows: Iterable[tuple[str, int]]) -> list[Line]:
    """
    Counted rows as lines, those with the most requests first. What is no row is left out.

    >>> lines_of([("GET 200 1 /", 9), ("GET 500 3 /", 1)])[0].statuses
    {200: 9, 500: 1}
    """
    found: dict[tuple[str, str], tuple[dict[int, int], list[int]]] = {}
    for text, count in rows:
        method, _, rest = text.partition(" ")
        status, bucket, route = (*rest.split(" ", 2), "", "", "")[:3]
        if not (status.isdecimal() and bucket.isdecimal() and int(bucket) <= len(BOUNDS)):
            continue
        statuses, took = found.setdefault((route, method), ({}, [0] * (len(BOUNDS) + 1)))
        statuses[int(status)] = statuses.get(int(status), 0) + count
        took[int(bucket)] += count
    lines = [Line(route, method, dict(sorted(s.items())), tuple(took)) for (route, method), (s, took) in found.items()]
    return sorted(lines, key=lambda line: (-line.requests, line.route, line.method))
