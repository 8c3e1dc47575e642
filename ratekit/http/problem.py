"""
Problem bodies (RFC 9457): what a refused client is told.
"""

import json
from typing import Any, Final, NamedTuple

from ratekit.http.forms import Fields

QUOTA_EXCEEDED: Final = "https://iana.org/assignments/http-problem-types#quota-exceeded"
REDUCED_CAPACITY: Final = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity"


class Answer(NamedTuple):
    """A whole response: status, header fields, body. It may be given to many: copy the fields for whoever may add to them."""

    status: int
    fields: Fields
    body: bytes


def problem(status: int, title: str, fields: Fields, **members: Any) -> Answer:
    """A problem response that no cache keeps (RFC 6585)."""
    body = json.dumps({"type": members.pop("type", "about:blank"), "title": title, "status": status, **members}).encode()
    head = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode("ascii")),
        (b"cache-control", b"no-store"),
    ]
    return Answer(status, [*head, *fields], body)
