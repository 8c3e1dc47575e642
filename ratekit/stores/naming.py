"""
Naming: from who is asking to the key that is counted under.

No two identities meet in one key, whatever characters they hold: every part is percent-escaped, so that the separators are
ours alone, and a part that is too long becomes a marked hash. A key reads

    ratekit:{default:user%2042}:login:/60000:sw1
    prefix   name    identity   policy limit  rule

and stays under 200 bytes. The braces make name and identity the Redis Cluster hash tag: all limits of one identity share a slot,
and no identity can bring a brace of its own.
"""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from ratekit.algorithms import Rule, rule_of
from ratekit.errors import ConfigurationError
from ratekit.limit import Limit

Identity = str | int | tuple[Any, ...]
"""Who is asking: str, int or tuples of them. 42 and "42" are one; ("a", "b") and ("a,b",) are two."""

LONG: Final = 128
"""Characters beyond which text is kept as its hash, so that nobody fills the memory with names."""

DIGEST: Final = 20
"""Bytes of that hash."""


class Digest(bytes):
    """What is kept of a long text: its hash, the same everywhere, and then the `hash` that the text has in this process."""

    __slots__ = ()


Canonical = str | Digest | tuple[Any, ...]
"""An identity with its integers as text and every long text as its hash."""


class Space(NamedTuple):
    """Where one limit of one limiter counts: `head`, an identity, and `tail` make a key."""

    head: str
    tail: str

    def key(self, identity: Canonical) -> str:
        """The key of an identity: printable ASCII, under 200 bytes."""
        return f"{self.head}{escaped(identity)}{self.tail}"


Plan = Sequence[tuple[Rule, Space]]
"""What a limiter is compiled to: per limit its rule and where it counts."""


def plan_of(limits: Sequence[Limit], *, prefix: str, name: str, policy: str = "") -> Plan:
    """
    Compile limits; two of them that would share a key are a ConfigurationError that asks for names.
    """
    head = head_of(prefix, name)
    plan: list[tuple[Rule, Space]] = []
    for limit in limits:
        rule = rule_of(limit)
        label = f"/{limit.period_ms}" if limit.name is None else _short(_escape(limit.name), 32)
        space = Space(head, f"}}:{_short(_escape(policy), 32)}:{label}:{rule.label}")
        for other, taken in plan:
            if taken == space:
                raise ConfigurationError(
                    f"'{other.limit}' and '{limit}' would share a key: give one a name, as in '{limit} name burst'"
                )
        plan.append((rule, space))
    if not plan:
        raise ConfigurationError("no limit given; write at least one, such as '100/minute'")
    return tuple(plan)


def head_of(prefix: str, name: str) -> str:
    """What begins every key of a limiter or a counter; raises ConfigurationError for what is no text."""
    for what, value in (("prefix", prefix), ("name", name)):
        if not isinstance(value, str) or not value:
            raise ConfigurationError(f"{what} {value!r}: write some text, such as 'ratekit'")
    return f"{_short(_escape(prefix), 24)}:{{{_short(_escape(name), 40)}:"


def canonical(identity: Identity) -> Canonical:
    """
    The one form of an identity; raises ConfigurationError for what is none.

    >>> canonical(42), canonical(("a", 7))
    ('42', ('a', '7'))
    """
    if isinstance(identity, str):
        if len(identity) <= LONG:
            return identity[:]
        return Digest(_digest(identity, b"long") + hash(identity[:]).to_bytes(8, "little", signed=True))
    if isinstance(identity, int) and not isinstance(identity, bool):
        return canonical(str(identity))
    if isinstance(identity, tuple) and identity:
        return tuple(map(canonical, identity))
    raise ConfigurationError(f"identity {identity!r}: write a str, an int or a tuple of them that is not empty")


def spot(identity: Any) -> int:
    """
    A hash that is the same of an identity as it was given and of its canonical form, and found sooner than that form. Raises TypeError
    for what is no identity.

    >>> spot(42) == spot("42"), spot(("a", 7)) == spot(canonical(("a", 7)))
    (True, True)
    """
    kind = type(identity)
    if kind is str:
        return hash(identity)
    if kind is tuple and identity:
        return hash(tuple([hash(part) if type(part) is str else spot(part) for part in identity]))
    if kind is int:
        return hash(str(identity))
    if kind is Digest:
        return int.from_bytes(identity[DIGEST:], "little", signed=True)
    raise TypeError(f"identity {identity!r}")


@lru_cache(maxsize=16_384)
def escaped(identity: Canonical) -> str:
    """An identity as it stands in a key."""
    return _short(_text(identity), 60)


def _digest(text: str, purpose: bytes) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=DIGEST, person=purpose).digest()


def _escape(text: str) -> str:
    return quote(text, safe="@", errors="surrogatepass")


def _short(escaped: str, most: int) -> str:
    """The text itself, or where it is longer than `most` its hash, marked by a '#' that no escaped text begins with."""
    if len(escaped) <= most:
        return escaped
    return "#" + _digest(escaped, b"key").hex()[: most - 1]


def _text(identity: Canonical) -> str:
    if isinstance(identity, str):
        return quote(identity, safe="@:", errors="surrogatepass")
    if isinstance(identity, Digest):
        return "#" + identity[:DIGEST].hex()
    return "(" + ",".join(map(_text, identity)) + ")"
