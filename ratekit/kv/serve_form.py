"""
The body of a write through the REST API: the value as it is, or a form with the parts `value` and `metadata`.
"""

import json
from email.message import Message
from email.parser import HeaderParser
from typing import Any

from ratekit.kv.serve_account import INVALID, Refused


def written(content_type: str, body: bytes) -> tuple[bytes, Any]:
    """The value and the metadata of a body. Raises Refused for a form without a value, or metadata that is no JSON."""
    kind = Message()
    kind["content-type"] = content_type or "application/octet-stream"
    if kind.get_content_type() != "multipart/form-data":
        return body, None
    parts = parts_of(body, str(kind.get_param("boundary", "")))
    if "value" not in parts:
        raise Refused(400, INVALID, "put: 'a form needs a part named value'")
    metadata = parts.get("metadata", b"")
    try:
        return parts["value"], json.loads(metadata) if metadata else None
    except ValueError:
        raise Refused(400, INVALID, "put: 'metadata must be valid json'") from None


def parts_of(body: bytes, boundary: str) -> dict[str, bytes]:
    """The parts of a form by name. RFC 2046: each begins after a line that is the boundary, and ends before the next one's line."""
    if not boundary:
        raise Refused(400, INVALID, "put: 'the form has no boundary'")
    parts: dict[str, bytes] = {}
    for part in (b"\r\n" + body).split(b"\r\n--" + boundary.encode())[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        fields = HeaderParser().parsestr(head.decode("utf-8", "replace").lstrip())
        parts[str(fields.get_param("name", "", "content-disposition"))] = content
    return parts
