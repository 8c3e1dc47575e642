"""
Answers: what a response of any test client, or a decision, says of limits. A failed assertion shows what was said instead.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from ratekit.decision import Decision

_ITEM: Final = re.compile(r'\s*"((?:[^"\\]|\\.)*)"((?:;[a-z*]+=(?:\d+|:[A-Za-z0-9+/=]*:|"(?:[^"\\]|\\.)*"))*)\s*(?:,|\Z)')
_PARAMETER: Final = re.compile(r";([a-z*]+)=([^;]*)")


class Told(NamedTuple):
    """What is told of one limit: its `quota` per `window` seconds, what is `remaining`, the seconds until there is `more`."""

    quota: int
    window: int | None
    remaining: int
    more: int | None


def limits_told(response: Any) -> dict[str, Told]:
    """
    What a response tells of each limit, by the limit's label (RateLimit-Policy and RateLimit of draft 8 and later).

    `response` is that of starlette's and httpx's clients, requests, Django's or Flask's, or its headers. Raises AssertionError for
    fields that cannot be read.

    >>> limits_told({"RateLimit-Policy": '"burst";q=10;w=1', "RateLimit": '"burst";r=9;t=1'})
    {'burst': Told(quota=10, window=1, remaining=9, more=1)}
    """
    headers = headers_in(response)
    promised = dict(_items(headers.get("ratelimit-policy", "")))
    left = dict(_items(headers.get("ratelimit", "")))
    assert promised.keys() == left.keys(), f"RateLimit-Policy tells of {[*promised]}, RateLimit of {[*left]}"
    return {
        label: Told(int(promised[label]["q"]), _number(promised[label], "w"), int(left[label]["r"]), _number(left[label], "t"))
        for label in promised
    }


def assert_limited(answer: Any, *, policy: str | None = None, retry_after: int | None = None) -> None:
    """
    Assert that a Decision refuses, or that a response is a 429 which says when to come back and is never cached. `policy` is the
    label of a limit that has nothing left for it, `retry_after` the whole seconds.
    """
    if isinstance(answer, Decision):
        assert not answer, f"admitted: {answer}"
        said = -(-answer.figures.wait // 1_000_000)
        assert retry_after in (None, said), f"retry_after is {answer.retry_after:g} s, not {retry_after}"
        assert policy in (None, answer.limit.name, str(answer.limit)), f"{answer.limit} refused, not {policy}"
        return
    status, headers = status_of(answer), headers_in(answer)
    assert status == 429, f"the status is {status}, not 429"
    assert "cache-control" in headers, "a 429 without Cache-Control may be cached"
    assert retry_after in (None, _number(headers, "retry-after")), f"Retry-After is {headers.get('retry-after')}, not {retry_after}"
    if policy is not None:
        told = limits_told(headers)
        assert policy in told, f"{policy!r} is not among {[*told]}"
        others = [label for label, item in told.items() if item.remaining < told[policy].remaining]
        assert not others, f"{others} have less left than {policy!r}"


def assert_not_limited(answer: Any, *, policy: str | None = None, remaining: int | None = None) -> None:
    """Assert that a Decision admits, or that a response is no 429; `remaining` are the units that are left, of `policy` if named."""
    if isinstance(answer, Decision):
        assert answer, f"refused: {answer}"
        assert remaining in (None, answer.remaining), f"{answer.remaining} remain, not {remaining}"
        return
    assert status_of(answer) != 429, f"refused: {headers_in(answer).get('ratelimit', '429')}"
    if remaining is not None:
        told = limits_told(answer)
        assert told, "the response tells of no limit"
        some = told[policy] if policy is not None else min(told.values(), key=lambda item: item.remaining)
        assert some.remaining == remaining, f"{some.remaining} remain, not {remaining}: {told}"


def headers_in(response: Any) -> Mapping[str, str]:
    """A response's header fields by lower-case name."""
    headers = getattr(response, "headers", response)
    pairs: Iterable[tuple[Any, Any]] = headers.items() if hasattr(headers, "items") else headers
    return {_text(name).lower(): _text(value) for name, value in pairs}


def status_of(response: Any) -> int:
    """A response's status, as its client calls it."""
    for name in ("status_code", "status"):
        if isinstance(found := getattr(response, name, None), int):
            return found
    raise TypeError(f"{response!r} is neither a Decision nor a response with a status")


def _items(field: str) -> Iterable[tuple[str, dict[str, str]]]:
    at = 0
    while at < len(field):
        item = _ITEM.match(field, at)
        assert item is not None, f"not readable as a list of limits: {field!r}"
        yield re.sub(r"\\(.)", r"\1", item[1]), dict(_PARAMETER.findall(item[2]))
        at = item.end()


def _number(found: Mapping[str, str], name: str) -> int | None:
    return int(found[name]) if name in found else None


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
