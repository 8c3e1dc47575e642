"""
Throttles of one view as one hit: what each of them asks, and what they are told together.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from ratekit.decision import Decision, decide
from ratekit.django.door import NAMES
from ratekit.django.requests import request_of
from ratekit.django.settings import Settings, current
from ratekit.enforcer import Enforcer
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
    """The throttles of a view, as policies with one hit. What an Enforcer asks a request for is worked out before."""

    def __init__(self, settings: Settings, asked: tuple[tuple[str, tuple[Limit, ...]], ...], store: Any) -> None:
        store = store.sync if isinstance(store, AsyncMemoryStore) else store
        policies = [Policy(name, limits, key=_nth(i), missing="skip") for i, (name, limits) in enumerate(asked)]
        self.enforcer = Enforcer(None, policies, store, _given, closing="close", **settings.rest)
        self._owned = isinstance(store, str)

    def close(self) -> None:
        """Let go of the store."""
        if self._owned:
            self.enforcer.store.close()


def _nth(number: int) -> Callable[[Request], Any]:
    return lambda request: request.native[number]


def judged(claims: Iterable[Claim], view: Any) -> Mapping[Claim, Decision | None] | Answer:
    """
    One hit for claims on one store: the decision on each, None where limiting is switched off; or what is answered where nothing can
    be decided. Equal claims are charged once.
    """
    named: dict[str, Claim] = {}
    for claim in dict.fromkeys(claims):
        named[claim.name if claim.name not in named else f"{claim.name} {len(named)}"] = claim
    settings, given = current(), next(iter(named.values())).store
    asked = tuple((name, claim.limits) for name, claim in named.items())
    store = settings.store if given is None else given
    together: Together = settings.once(("throttles", asked, id(given)), lambda: Together(settings, asked, store))
    visit = Visit(together.enforcer, tuple(claim.identity for claim in named.values()))
    refused = together.enforcer.decide(visit)
    if isinstance(refused, Answer):
        return refused
    _tell(visit, view)
    if isinstance(refused, Decision) and isinstance(headers := getattr(view, "headers", None), dict):
        headers.setdefault("Cache-Control", "no-store")
    if len(named) == 1:
        return dict.fromkeys(named.values(), visit.decision)
    parts: dict[str, list[Decision]] = {}
    for name, part in visit.applied:
        parts.setdefault(name, []).append(part)
    return {claim: decide(parts[name]) if name in parts else None for name, claim in named.items()}


def _tell(visit: Visit, view: Any) -> None:
    """The decisions to whoever writes the header fields: ratekit's middleware, else the view."""
    outer = VISIT.get()
    if outer is not None:
        for policy, decision in visit.applied:
            outer.record(policy, decision)
    elif isinstance(headers := getattr(view, "headers", None), dict):
        headers.update({NAMES[name]: value.decode("latin-1") for name, value in visit.fields()})


def _given(identities: tuple[Identity, ...]) -> Request:
    return Request(method="GET", path="/", fields=(), query=b"", client=lambda _: None, native=identities)


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
    client = request_of(native, proxies).client
    if not client:
        raise ConfigurationError(
            "a request came without a client address (a Unix socket, a proxy): name the proxies in RATEKIT['TRUSTED_PROXIES'] "
            "('unix' for a Unix socket)"
        )
    return network_of(client)
