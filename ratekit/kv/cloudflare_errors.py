"""
What Cloudflare's REST API means by an answer that is no success.

Three answers have status 429 and want three things: a key that was written less than a second ago (try again after a second), the
free plan's quota of the day (in vain until 00:00 UTC), the token's calls (all in vain for minutes). They are told apart by the
error code where it is known, else by how long the API asks to wait; what is done about them depends on the status and the wait
alone, because the codes are not documented.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final

from ratekit.kv.namespace import Kind, KVError

DAY_CODES: Final = frozenset({10048})
THROTTLE_CODES: Final = frozenset({971, 10429})
KEY_NOT_FOUND: Final = 10009
NOT_TEXT: Final = 10029
DAY: Final = 86_400
BLOCK: Final = 300.0
"""Seconds for which the API refuses every call of a token that has made too many, when it does not say."""
_SPENT: Final = re.compile(r";\s*r=0\s*;\s*t=(\d{1,9})\b", re.ASCII)


@dataclass(frozen=True, slots=True)
class Answer:
    """A response: header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON, None for what is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


class BulkFailed(KVError):
    """Some keys of a bulk write or delete were refused, also when asked again: `keys` names them. The others are done."""

    def __init__(self, message: str, keys: tuple[str, ...]) -> None:
        super().__init__(message, status=200, kind="server")
        self.keys = keys


def first_error(answer: Answer) -> tuple[int, str]:
    """The code and the message of the first error in the envelope; 0 and "" where there is none."""
    body = answer.json()
    errors = body.get("errors") if isinstance(body, dict) else None
    error = errors[0] if isinstance(errors, list) and errors else None
    if not isinstance(error, dict):
        return 0, ""
    code, message = error.get("code"), error.get("message")
    return (code if type(code) is int else 0), (message if isinstance(message, str) else "")


def error_of(answer: Answer, what: str, *, writes: bool) -> KVError:
    """The KVError of an answer that is no success; `what` was asked, `writes` says whether it writes keys."""
    code, message = first_error(answer)
    kind = _kind(answer, code, message, writes=writes)
    text = f"{what}: {answer.status} {message or 'without a word'}" + (f" (code {code})" if code else "")
    return KVError(text, status=answer.status, kind=kind, retry_after=_wait(answer, kind))


def _kind(answer: Answer, code: int, message: str, *, writes: bool) -> Kind:
    status = answer.status
    if status == 429:
        return _throttled(answer, code, message, writes=writes)
    if status in {401, 403} or (status == 400 and "authentication" in message.lower()):
        return "credentials"
    if status == 404:
        return "missing"
    return "argument" if 400 <= status < 500 else "server"


def _throttled(answer: Answer, code: int, message: str, *, writes: bool) -> Kind:
    if code in DAY_CODES or "for today" in message or "for the day" in message:
        return "day"
    if code in THROTTLE_CODES or not writes:
        return "budget"
    asked = retry_after(answer)
    return "budget" if asked is not None and asked > 1 else "write rate"


def _wait(answer: Answer, kind: Kind) -> float | None:
    """Seconds to wait: what the API says, else what is known of the kind."""
    asked = retry_after(answer)
    if asked is not None or kind not in {"day", "budget", "write rate"}:
        return asked
    return _until_midnight(answer) if kind == "day" else BLOCK if kind == "budget" else 1.0


def retry_after(answer: Answer) -> float | None:
    """Seconds of the Retry-After field; a date there counts from the answer's own Date, so that no other clock has a say."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdecimal() and len(text) < 10:
        return float(text)
    until, now = _instant(text), _instant(answer.headers.get("date", ""))
    return None if until is None or now is None else max(0.0, until - now)


def spent_for(answer: Answer) -> float:
    """Seconds for which the Ratelimit field says that no call is left, as in '"default";r=0;t=30'; 0 when there are some left."""
    policies = answer.headers.get("ratelimit", "").split(",")
    return max(float(spent[1]) if (spent := _SPENT.search(policy)) else 0.0 for policy in policies)


def _until_midnight(answer: Answer) -> float | None:
    """Seconds until 00:00 UTC, by the answer's own Date."""
    now = _instant(answer.headers.get("date", ""))
    return None if now is None else DAY - now % DAY


def _instant(text: str) -> float | None:
    """Unix seconds of an HTTP date."""
    try:
        return parsedate_to_datetime(text).replace(tzinfo=UTC).timestamp()
    except (TypeError, ValueError):
        return None
