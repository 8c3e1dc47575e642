"""
Header fields: RateLimit-Policy and RateLimit as structured fields (draft-ietf-httpapi-ratelimit-headers-10), Retry-After.

One item per limit that applied. The first names what is promised (`q` units in a window of `w` seconds), the second what is left
(`r` units now, more in `t` seconds).
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from ratekit.decision import NEVER, Decision
from ratekit.limit import Limit

Fields = list[tuple[bytes, bytes]]


class Applied(NamedTuple):
    """A policy's name and its decision on one limit."""

    policy: str
    decision: Decision


@lru_cache(maxsize=1024)
def labels_of(named: tuple[tuple[str, Limit], ...]) -> tuple[str, ...]:
    """
    A label per limit: its own name, else its policy's, with the period in seconds, then the algorithm, where that would repeat.
    """
    labels = [limit.name or policy for policy, limit in named]
    for more in (lambda limit: f"{limit.per}", lambda limit: limit.algorithm, str):
        repeated = {label for label in labels if labels.count(label) > 1}
        labels = [f"{label}-{more(limit)}" if label in repeated else label for label, (_, limit) in zip(labels, named, strict=True)]
    return tuple(labels)


def labels(applied: Sequence[Applied]) -> tuple[str, ...]:
    """The labels of what applied, in order."""
    return labels_of(tuple((policy, decision.limit) for policy, decision in applied))


@lru_cache(maxsize=1024)
def _policy_field(labels: tuple[str, ...], limits: tuple[Limit, ...]) -> bytes:
    return ", ".join(_policy_item(label, limit) for label, limit in zip(labels, limits, strict=True)).encode("ascii")


def _policy_item(label: str, limit: Limit) -> str:
    # A token bucket holds its burst and takes the time to fill; a window shorter than a second cannot be said.
    window = -(-limit.capacity * limit.period // limit.quota) if limit.burst is not None else limit.period
    seconds = f";w={-(-window // 1_000_000)}" if window >= 1_000_000 else ""
    return f"{_string(label)};q={limit.capacity}{seconds}"


def _item(label: str, decision: Decision) -> str:
    figures = decision.figures
    more = f";t={-(-figures.more // 1_000_000)}" if figures.more else ""
    return f"{_string(label)};r={figures.remaining}{more}"


def _string(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def rate_limit_fields(applied: Sequence[Applied]) -> Fields:
    """Both RateLimit fields for what applied; none where nothing did."""
    if not applied:
        return []
    names = labels(applied)
    limits = tuple(decision.limit for _, decision in applied)
    state = ", ".join(_item(label, decision) for label, (_, decision) in zip(names, applied, strict=True))
    return [(b"ratelimit-policy", _policy_field(names, limits)), (b"ratelimit", state.encode("ascii"))]


def retry_after_fields(decision: Decision) -> Fields:
    """Retry-After in whole seconds, rounded up, at least 1; none where the cost can never fit."""
    wait = decision.figures.wait
    if wait >= NEVER:
        return []
    return [(b"retry-after", str(max(1, -(-wait // 1_000_000))).encode("ascii"))]
