"""
Coverage: which route has which limits, which route has none, and what limits nothing.

Pure, and the same for every framework: `coverage(endpoints, policies)`. An adapter says what its routes are; who prints or refuses
to start is elsewhere.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final, Literal

from ratekit.limit import Limit
from ratekit.policy import Match, Policy, matcher_of

Share = Literal["none", "some", "all"]
"""How many of a route's requests are meant."""

METHODS: Final = ("DELETE", "GET", "PATCH", "POST", "PUT", "WS")
"""What a route without methods of its own answers: a mounted application does as it likes."""


@dataclass(frozen=True, slots=True)
class Standing:
    """
    Limits that stand at a route itself: a decorator, a dependency. `store` is the one it was given, None for the middleware's. `bare`:
    it works where no middleware or adapter of ratekit is around. `function` is the name that it counts under, where a function gives it.
    `share`: whether it is for all requests to the route, or for some.
    """

    label: str
    limits: tuple[Limit, ...]
    store: Any = None
    bare: bool = False
    function: str = ""
    share: Share = "all"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """
    One route, as its framework routes it. `path` is its template: `{name}` one segment or a part of it, `{name:path}` any rest.
    `methods` without HEAD and OPTIONS ("WS" for a WebSocket), none for all. `around`: a middleware or adapter of ratekit is around
    it. `own`: the framework has made it, such as FastAPI's /docs. `exempt`: no limit applies, and that is meant.
    """

    path: str
    methods: tuple[str, ...] = ()
    standing: tuple[Standing, ...] = ()
    around: bool = True
    own: bool = False
    exempt: bool = False

    def __str__(self) -> str:
        return f"{'|'.join(self.methods)} {self.path}".lstrip()


@dataclass(frozen=True, slots=True)
class Placed:
    """A policy, and the prefix that its middleware stands under: it sees what is below, without the prefix."""

    policy: Policy
    under: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """One limit on a route: who holds it, the limits, and whether all requests are meant or some."""

    label: str
    limits: tuple[Limit, ...]
    share: Share = "all"

    def __str__(self) -> str:
        some = " (some requests)" if self.share == "some" else ""
        return f"{self.label}: {'; '.join(map(str, self.limits))}{some}"


@dataclass(frozen=True, slots=True)
class Finding:
    """
    Something that is probably not meant. `kind` is "no limit", "matches nothing", "no middleware", "one name", "memory" or "off".
    """

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """The report: every route with what limits it, and what was found."""

    rows: tuple[tuple[Endpoint, tuple[Held, ...]], ...]
    findings: tuple[Finding, ...]


def coverage(
    endpoints: Sequence[Endpoint],
    policies: Iterable[Policy | Placed] = (),
    *,
    unlimited: Match | None = None,
    stores: Iterable[Any] = (),
    workers: int = 1,
    off: bool = False,
) -> Coverage:
    """
    Which route has which limits. `unlimited` are patterns of routes that are to have none; `stores` are URLs or stores that counts
    are kept in, by so many `workers`; `off`: nothing is limited at the moment. Raises ConfigurationError for a pattern that is none.

    >>> report = coverage([Endpoint("/items/{id}", ("GET",))], [Policy("login", "5/minute", match="POST /login")])
    >>> [finding.kind for finding in report.findings]
    ['no limit', 'matches nothing']
    """
    placed = [policy if isinstance(policy, Placed) else Placed(policy) for policy in policies]
    matcher_of(unlimited)
    rows = tuple((endpoint, _held(endpoint, placed)) for endpoint in endpoints)
    findings = [Finding("off", "RATEKIT_ENABLED switches all rate limiting off: unset it to limit again")] * off
    findings += [
        Finding("no limit", f"{endpoint} has no limit: give it one, or name it in unlimited=[...]")
        for endpoint, held in rows
        if not held and not endpoint.own and not endpoint.exempt and _share(unlimited, endpoint) != "all"
    ]
    findings += [found for one in placed if (found := _matches_nothing(one, endpoints)) is not None]
    findings += [
        Finding(
            "no middleware", f"@rate_limit on {endpoint} ({standing.label}) needs RateLimitMiddleware around: who asks is not known"
        )
        for endpoint in endpoints
        for standing in endpoint.standing
        if not standing.bare and not endpoint.around
    ]
    findings += _of_one_name(endpoints)
    if workers > 1 and "memory://" in [store for store in stores if isinstance(store, str)]:
        text = f"the state is in memory and there are {workers} workers: each counts on its own; give store='redis://...'"
        findings.append(Finding("memory", text))
    return Coverage(rows, tuple(findings))


def _of_one_name(endpoints: Sequence[Endpoint]) -> list[Finding]:
    """Functions that share a qualified name, and with it what they count: two of one name in a module, or made by one function."""
    found: dict[str, dict[frozenset[int], Endpoint]] = {}
    for endpoint in endpoints:
        for function in {standing.function for standing in endpoint.standing if standing.function}:
            own = frozenset(id(standing) for standing in endpoint.standing if standing.function == function)
            found.setdefault(function, {}).setdefault(own, endpoint)
    return [
        Finding(
            "one name",
            f"{' and '.join(map(str, several.values()))} are limited by functions of one name, {function}, and count together",
        )
        for function, several in found.items()
        if len(several) > 1
    ]


def _held(endpoint: Endpoint, placed: Sequence[Placed]) -> tuple[Held, ...]:
    """The limits on a route: of policies that match, then its own."""
    if endpoint.exempt:
        return ()
    held = []
    for one in placed:
        policy, seen = one.policy, _below(endpoint, one.under)
        if seen is None or (share := policy_share(policy, seen)) == "none":
            continue
        held.append(Held(policy.name, policy.limits, share))
    return (*held, *(Held(standing.label, standing.limits, standing.share) for standing in endpoint.standing))


def policy_share(policy: Policy, endpoint: Endpoint) -> Share:
    """How many requests to a route a policy is charged for: patterns are weighed, a callable that exempts may always do so."""
    share = "all" if policy.match is None else _share(policy.match, endpoint)
    if share == "none" or (policy.exempt is None and policy.missing != "skip"):
        return share
    exempt = "some" if callable(policy.exempt) or policy.exempt is None else _share(policy.exempt, endpoint)
    return "none" if exempt == "all" else "some" if exempt == "some" else share


def _below(endpoint: Endpoint, under: str) -> Endpoint | None:
    """A route as what stands under a prefix sees it; None for what is elsewhere."""
    if not endpoint.path.startswith(under):
        return None
    return Endpoint(endpoint.path[len(under) :] or "/", endpoint.methods)


def _matches_nothing(one: Placed, endpoints: Sequence[Endpoint]) -> Finding | None:
    policy, seen = one.policy, [below for endpoint in endpoints if (below := _below(endpoint, one.under)) is not None]
    if policy.match is None or any(_share(policy.match, endpoint) != "none" for endpoint in seen):
        return None
    patterns = [policy.match] if isinstance(policy.match, str) else list(policy.match or ())
    near = get_close_matches(" ".join(patterns), [str(endpoint) for endpoint in seen], n=1, cutoff=0.5)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    return Finding("matches nothing", f"policy {policy.name!r} matches no route: {', '.join(map(repr, patterns))}{meant}")


def _share(match: Match | None, endpoint: Endpoint) -> Share:
    """How many of a route's requests some patterns match; nothing is matched by None."""
    patterns = [match] if isinstance(match, str) else list(match or ())
    by_method = [_best(patterns, method, endpoint.path) for method in endpoint.methods or METHODS]
    return "all" if set(by_method) == {"all"} else "none" if set(by_method) == {"none"} else "some"


def _best(patterns: Sequence[str], method: str, path: str) -> Share:
    shares = []
    for pattern in patterns:
        methods, _, wanted = pattern.rpartition(" ")
        if not methods or method in methods.strip().split("|"):
            shares.append(_path_share(wanted.split("/")[1:], path.split("/")[1:]))
    return "all" if "all" in shares else "some" if "some" in shares else "none"


def _path_share(pattern: list[str], template: list[str]) -> Share:
    """How many of a template's paths a pattern matches, segment by segment."""
    share: Share = "all"
    while template:
        if pattern == ["*"]:  # the rest, also of nothing after the slash
            return share
        if ":path}" in template[0]:
            return "some" if pattern else "none"
        if not pattern:
            return "none"
        wanted, segment, pattern, template = pattern[0], template[0], pattern[1:], template[1:]
        if wanted == "*" and segment:
            continue
        if "{" in segment and re.fullmatch(re.sub(r"\\\{.*?\\\}", "[^/]+", re.escape(segment)), wanted):
            share = "some"
        elif wanted != segment:
            return "none"
    return "none" if pattern else share
