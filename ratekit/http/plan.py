"""
From policies and a request to one hit: whose key, which limits, at what cost.

A generator, because a policy's callables may be async: it yields what must be awaited and is sent the value. The frameworks
differ in how they await, and in nothing else.
"""

import inspect
from collections.abc import Callable, Generator, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from ratekit.errors import ConfigurationError
from ratekit.http.fields import Lines, lines_of
from ratekit.keys import address, network_of, parts_of
from ratekit.limit import MOST
from ratekit.policy import Policy, matcher_of
from ratekit.request import Request
from ratekit.stores.naming import Canonical, Plan, canonical, plan_of

Steps = Generator[Any, Any, Any]

_VALUES: Final = frozenset({str, int, bool, tuple, bytes, type(None)})
"""What a policy's callables mostly give, and what is certainly not to be awaited."""

UNMISTAKABLE: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
"""Methods that are no CORS preflight, whatever the header fields say."""


class Prepared(NamedTuple):
    """A policy, compiled: its tests and its key as functions on the request, and the header fields of its limits."""

    policy: Policy
    plan: Plan
    lines: Lines
    matches: Callable[[Request], bool]
    exempt: Callable[[Request], Any] | None
    parts: Sequence[Callable[[Request], Any]]


class Claim(NamedTuple):
    """One policy's part in a request: who is charged, and how much."""

    prepared: Prepared
    identity: Canonical
    cost: int


class Nobody(NamedTuple):
    """The request does not say who is asking, and this policy refuses such requests (401)."""

    policy: Policy


def prepare(policies: Sequence[Policy], *, name: str, prefix: str, unnamed: bool) -> list[Prepared]:
    """
    Compile policies; `unnamed` keeps the policy's name out of the key. Two policies of one name are a ConfigurationError.
    """
    if isinstance(policies, Policy) or not all(isinstance(policy, Policy) for policy in policies):
        raise ConfigurationError(f"policies {policies!r}: write a list of Policy")
    names = [policy.name for policy in policies]
    twice = {some for some in names if names.count(some) > 1}
    if twice:
        raise ConfigurationError(f"two policies are named {twice.pop()!r}: give each a name of its own")
    return [
        Prepared(
            policy,
            plan_of(policy.limits, prefix=prefix, name=name, policy="" if unnamed else policy.name),
            lines_of(tuple((policy.name, limit) for limit in policy.limits)),
            matcher_of(policy.match),
            None if policy.exempt is None else policy.exempt if callable(policy.exempt) else matcher_of(policy.exempt),
            parts_of(policy.key),
        )
        for policy in policies
    ]


@lru_cache(maxsize=8192)
def by_address(address: str) -> Canonical:
    """The identity of a client's address."""
    return canonical(network_of(address))


def asks_nothing(policies: Sequence[Prepared]) -> bool:
    """Whether there is one policy, and it charges every request by its address, always the same."""
    if len(policies) != 1:
        return False
    policy = policies[0].policy
    return (
        policy.key == "ip" and policy.match is None and policy.exempt is None and isinstance(policy.cost, int) and policy.cost > 0
    )


def plan(policies: Sequence[Prepared], request: Request) -> Generator[Any, Any, list[Claim] | Nobody]:
    """What a request is charged by every policy that applies; yields awaitables, and is sent what they give."""
    claims: list[Claim] = []
    for prepared in policies:
        policy, _, _, matches, exempt, _ = prepared
        if not matches(request):
            continue
        if exempt is not None:
            free = exempt(request)
            if (yield free) if waits(free) else free:
                continue
        cost = policy.cost
        if not isinstance(cost, int):
            cost = cost(request)
            cost = _checked(policy, (yield cost) if waits(cost) else cost)
        identity = (yield from _identity(prepared, request)) if cost else None
        if identity is None:
            continue
        if isinstance(identity, Nobody):
            return identity
        claims.append(Claim(prepared, canonical(identity), cost))
    return claims


def waits(value: Any) -> bool:
    """Whether a value is still to be awaited."""
    return type(value) not in _VALUES and inspect.isawaitable(value)


def _identity(prepared: Prepared, request: Request) -> Steps:
    """The identity: one part as it is, several as a tuple; None to skip, Nobody to refuse."""
    identity: list[Any] = []
    for part in prepared.parts:
        value = part(request)
        if waits(value):
            value = yield value
        if value is None or value in ("", ()):
            if prepared.policy.missing == "skip":
                return None
            if prepared.policy.missing == "refuse":
                return Nobody(prepared.policy)
            value = ("ip", address(request))  # a tuple, so that no header can spell it
        identity.append(value)
    return identity[0] if len(identity) == 1 else tuple(identity)


def _checked(policy: Policy, cost: Any) -> int:
    if type(cost) is not int or not 0 <= cost <= MOST:
        raise ConfigurationError(f"policy {policy.name!r}: its cost callable gave {cost!r}: give a whole number from 0 to {MOST}")
    return cost
