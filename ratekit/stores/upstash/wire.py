"""
The wire: a command as JSON, an HTTP reply and httpx's errors as ours, and the sync tokens that make a replica wait. No I/O.

Base64 is not asked for: the script's replies are integers, which no encoding touches.
"""

import json
import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from ratekit.errors import ConfigurationError, StoreError, StoreUnavailable

SYNC: Final = "upstash-sync-token"
"""The header that says how far the database has come, and how far a replica must have come before it answers."""

_NO_SCRIPT: Final = re.compile(r"(?:^|: )NOSCRIPT ")
_CREDENTIALS: Final = re.compile(r"(?:^|: )(?:WRONGPASS|NOAUTH|NOPERM) |^Unauthorized")
_QUOTA: Final = re.compile(r"quota exceeded|max (?:daily )?requests? limit exceeded", re.IGNORECASE)


def body(words: Sequence[str]) -> bytes:
    """A command as the body of a request."""
    return json.dumps(words, separators=(",", ":")).encode("ascii")


class Answer(NamedTuple):
    """What came back: the HTTP status, and the command's result or the text of an error."""

    status: int
    result: Any
    error: str | None

    @property
    def script_is_unknown(self) -> bool:
        """Whether the script's hash says nothing to the server: then it certainly did not run."""
        return self.error is not None and _NO_SCRIPT.search(self.error) is not None


def answer_of(status: int, content: bytes) -> Answer:
    """A reply, whoever sent it: the database, or a gateway that knows no JSON."""
    try:
        answer = json.loads(content)
    except ValueError:
        answer = None
    if isinstance(answer, dict):
        if isinstance(answer.get("error"), str):
            return Answer(status, None, answer["error"])
        if status == 200 and "result" in answer:
            return Answer(status, answer["result"], None)
    return Answer(status, None, content[:100].decode("utf-8", "replace"))


def result_of(answer: Answer) -> Any:
    """The result of a command; raises StoreError when there is none."""
    status, result, error = answer
    if error is None:
        return result
    if status in (401, 403) or _CREDENTIALS.search(error):
        raise StoreError(f"Upstash refuses this token or this command: {status} {error}", "refused")
    if status == 429 or _QUOTA.search(error):
        raise StoreUnavailable(f"the database's quota is used up: {status} {error}", "server")
    raise StoreUnavailable(f"Upstash cannot serve: {status} {error}", "server")


def translated(error: Exception) -> StoreError:
    """An error of httpx, or of the time that was given, as one of ours."""
    import httpx

    text = str(error) or type(error).__name__
    if isinstance(error, StoreError):
        return error
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return StoreUnavailable(f"the store did not answer in time: {text}", "late")
    if isinstance(error, OSError | httpx.TransportError):
        return StoreUnavailable(f"the store is away: {text}", "away")
    return StoreUnavailable(f"the store's answer makes no sense: {text}", "server")


class Tokens:
    """
    The sync tokens that stand for all that was seen. Nobody but Upstash can compare two of them, so it takes care to need one only.

    A request brings the token at hand. What comes back stands for all that was at hand when the request was sent, provided that this
    was one token or the request went to the primary. So one token is at hand unless requests overlapped, or a token was handed over
    to somebody who had one. Then several are, and the next request has to go to the primary, which is behind nobody.

    No lock: each thing that is done to the table is one step, and a token that came again before it was dropped says nothing new.

    >>> tokens = Tokens()
    >>> tokens.came("a", had=())
    >>> tokens.hand_over("b")
    >>> tokens.at_hand()
    ('a', 'b')
    >>> tokens.came("c", had=("a", "b"))
    >>> str(tokens)
    'c'
    """

    def __init__(self) -> None:
        self._tokens: dict[str, None] = {}

    def at_hand(self) -> tuple[str, ...]:
        """The tokens that a request is to bring, the latest last: none, one, or several that only the primary can answer for."""
        return tuple(self._tokens)

    def came(self, token: str, had: tuple[str, ...]) -> None:
        """A reply brought a token: it stands for all that its request had at hand."""
        for old in had:
            self._tokens.pop(old, None)
        if token:
            self._tokens[token] = None

    def hand_over(self, text: object) -> None:
        """Tokens from elsewhere, with a space between two. Raises ConfigurationError for what is none."""
        if not isinstance(text, str) or not text.isascii() or not text.isprintable():
            raise ConfigurationError(f"sync_token {text!r}: write what another store's sync_token was")
        self._tokens.update(dict.fromkeys(text.split()))

    def __str__(self) -> str:
        return " ".join(self.at_hand())
