"""
Throttles of one view as one hit: what each of them asks, and what they are told together.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ratekit.decision import Decision, decide
from ratekit.django.door import named
from ratekit.django.requests import request_of
from ratekit.django.settings import Settings, current
from ratekit.enforcer import LATER, Enforcer
from ratekit.errors import ConfigurationError
from ratekit.http.problem import Answer
from ratekit.http.visit import VISIT, Visit
from ratekit.keys import hop_of, network_of
from ratekit.limit import Limit
from ratekit.policy import Policy
from ratekit.request import Request
from ratekit.stores.memory import AsyncMemoryStore
from ratekit.stores.naming import Identity


class Claim(NamedTuple):
    """What a throttle asks: whose quota of which limits, counted under which name, in which store (None: the settings')."""

    name: str
    limits: tuple[Limit, ...]
    identity: Identity
    store: Any


class Together:
    """
    The throttles of a view, as policies with one hit. What an Enforcer asks a request for is worked out before; a `plain` identity is
    handed to it as an address is, which is the shortest way.
    """

    def __init__(self, settings: Settings, claims: Sequence[Claim], *, plain: bool) -> None:
        self._claims = claims  # kept, so that no other limits can come to have the ids that these are found by
        store = settings.store if claims[0].store is None else claims[0].store
        store = store.sync if isinstance(store, AsyncMemoryStore) else store
        self.names: list[str] = []
        for claim in claims:
            self.names.append(claim.name if claim.name not in self.names else f"{claim.name} {len(self.names)}")
        policies = [
            Policy(name, claim.limits, key="ip" if plain else _nth(i), missing="skip")
            for i, (name, claim) in enumerate(zip(self.names, claims, strict=True))
        ]
        options = {**settings.rest, "trusted_proxies": ()}  # who is asking is known
        self.enforcer = Enforcer(None, policies, store, _given, closing="close", **options)
        self._owned = isinstance(store, str)

    def close(self) -> None:
        """Let go of the store."""
        if self._owned:
            self.enforcer.store.close()


def _nth(number: int) -> Callable[[Request], Any]:
    return lambda request: request.native[number]


def judged(claims: Sequence[Claim], view: Any) -> Sequence[Decision | None] | Answer:
    """
    One hit for claims on one store: the decision on each, in order, None where limiting is switched off; or what is answered where
    nothing can be decided. Equal claims are charged once.
    """
    settings, several, identity = current(), len(claims) > 1, claims[0].identity
    distinct = list(dict.fromkeys(claims)) if several else claims
    # An address of the newer kind would be counted by its network; all other texts are counted as they stand.
    plain = not several and type(identity) is str and ":" not in identity and "%" not in identity
    key = (plain, id(claims[0].store), *[part for claim in distinct for part in (claim.name, id(claim.limits))])
    together: Together = settings.once(key, lambda: Together(settings, distinct, plain=plain))
    visit = Visit(together.enforcer, [claim.identity for claim in distinct])
    refused = together.enforcer.at_once(visit, "GET", str(identity)) if plain else LATER
    if refused is LATER:
        refused = together.enforcer.decide(visit)
    if isinstance(refused, Answer):
        return refused
    _tell(visit, view)
    if refused is not None and isinstance(headers := getattr(view, "headers", None), dict):
        headers.setdefault("Cache-Control", "no-store")
    if not several:
        return [visit.decision]
    parts: dict[str, list[Decision]] = {}
    for name, part in visit.applied:
        parts.setdefault(name, []).append(part)
    decided = {claim: decide(parts[name]) if name in parts else None for claim, name in zip(distinct, together.names, strict=True)}
    return [decided[claim] for claim in claims]


def _tell(visit: Visit, view: Any) -> None:
    """The decisions to whoever writes the header fields: ratekit's middleware, else the view."""
    outer = VISIT.get()
    if outer is not None:
        for policy, decision in visit.applied:
            outer.record(policy, decision)
    elif isinstance(headers := getattr(view, "headers", None), dict):
        headers.update({named(name): value.decode("latin-1") for name, value in visit.fields()})


def _given(identities: Sequence[Identity]) -> Request:
    return Request(method="GET", path="/", fields=(), query=b"", client=lambda _: str(identities[0]), native=identities)


def address_of(native: Any, hops: int | None) -> str:
    """
    The client's address as an identity. Without named proxies, `hops` says how many there are, each of which wrote one address into
    X-Forwarded-For; None or 0 is the socket's peer.
    """
    proxies = current().proxies
    if not proxies.named and hops:
        said = native.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
        told = hop_of(said[-min(hops, len(said))])
        if told:
            return network_of(told)
    client = request_of(native, proxies).client if proxies.named else native.META.get("REMOTE_ADDR")
    if not client:
        raise ConfigurationError(
            "a request came without a client address (a Unix socket, a proxy): name the proxies in RATEKIT['TRUSTED_PROXIES'] "
            "('unix' for a Unix socket)"
        )
    return network_of(client)
