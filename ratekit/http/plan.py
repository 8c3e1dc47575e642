"""
From policies and a request to one hit: whose key, which limits, at what cost.

A generator, because a policy's callables may be async: it yields what must be awaited and is sent the value. The frameworks
differ in how they await, and in nothing else.
"""

import inspect
from collections.abc import Callable, Generator, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from ratekit.errors import ConfigurationError, RateKitError
from ratekit.http.fields import Lines, lines_of
from ratekit.http.headers import DEFAULT, Headers
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


class Faulty(NamedTuple):
    """A callable of this policy has raised, and then nobody is let in (503)."""

    policy: Policy


class _Undecided(Exception):
    """A callable has raised: the policy lets everybody through, or nobody."""

    def __init__(self, outage: str) -> None:
        self.outage = outage


Judge = Callable[[Policy, Exception], str]
"""What is to be done when a policy's callable has raised: its "local", "open" or "closed"."""


def prepare(policies: Sequence[Policy], *, name: str, prefix: str, unnamed: bool, headers: Headers = DEFAULT) -> list[Prepared]:
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
            lines_of(tuple((policy.name, limit) for limit in policy.limits), headers),
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
    if policy.key != "ip" or policy.match is not None or policy.exempt is not None or policy.charge is not None or policy.shadow:
        return False
    return isinstance(policy.cost, int) and policy.cost > 0


def plan(
    policies: Sequence[Prepared], request: Request, named: Callable[[Any], Canonical], judge: Judge
) -> Generator[Any, Any, list[Claim] | Nobody | Faulty]:
    """
    What a request is charged by every policy that applies; yields awaitables, and is sent what they give. `named` makes of an identity
    what it is counted under.

    When a policy's callable raises, `judge` says how it goes on: "local" is by the client's address, at a cost of 1 where that is not
    known; "open" is without this policy; "closed" lets nobody in. What ratekit raises itself says what is wrong, and is not judged.
    """
    claims: list[Claim] = []
    for prepared in policies:
        if not prepared.matches(request):
            continue
        try:
            if prepared.exempt is not None and (yield from _said(prepared.policy, prepared.exempt, request, judge)):
                continue
            cost = prepared.policy.cost
            if not isinstance(cost, int):
                said = yield from _said(prepared.policy, cost, request, judge, 1)
                cost = checked(prepared.policy, "cost", said)
            identity = (yield from _identity(prepared, request, judge)) if cost else None
        except _Undecided as undecided:
            if undecided.outage == "closed":
                return Faulty(prepared.policy)
            continue
        if identity is None:
            continue
        if isinstance(identity, Nobody):
            return identity
        claims.append(Claim(prepared, named(identity), cost))
    return claims


def _said(policy: Policy, call: Callable[[Request], Any], request: Request, judge: Judge, otherwise: Any = None) -> Steps:
    """What a callable says of a request; `otherwise` where it raises and the policy goes on."""
    try:
        value = call(request)
        return (yield value) if waits(value) else value
    except Exception as error:
        _go_on(policy, error, judge)
        return otherwise


def _go_on(policy: Policy, error: Exception, judge: Judge) -> None:
    """Go on after what a callable raised, or raise."""
    if isinstance(error, RateKitError):
        raise error
    outage = judge(policy, error)
    if outage != "local":
        raise _Undecided(outage)


def waits(value: Any) -> bool:
    """Whether a value is still to be awaited."""
    return type(value) not in _VALUES and inspect.isawaitable(value)


def _identity(prepared: Prepared, request: Request, judge: Judge) -> Steps:
    """The identity: one part as it is, several as a tuple; None to skip, Nobody to refuse."""
    identity: list[Any] = []
    missing = prepared.policy.missing
    for part in prepared.parts:
        try:
            value = part(request)
            if waits(value):
                value = yield value
        except Exception as error:
            _go_on(prepared.policy, error, judge)
            value, missing = None, "ip"
        if value is None or value in ("", ()):
            if missing == "skip":
                return None
            if missing == "refuse":
                return Nobody(prepared.policy)
            value = ("ip", address(request))  # a tuple, so that no header can spell it
        identity.append(value)
    return identity[0] if len(identity) == 1 else tuple(identity)


def checked(policy: Policy, what: str, said: Any) -> int:
    """What a policy's cost or charge says, as units; raises ConfigurationError for what is none."""
    if what == "charge" and isinstance(said, bool):
        return int(said)
    if type(said) is not int or not 0 <= said <= MOST:
        raise ConfigurationError(f"policy {policy.name!r}: its {what} callable gave {said!r}: give a whole number from 0 to {MOST}")
    return said
