"""
Policy: which requests, whose key, which limits.

    Policy("login", "5/minute", key="ip", match="POST /login")
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from ratekit.errors import ConfigurationError
from ratekit.keys import Key, parts_of
from ratekit.limit import MOST, Limit, limits_of
from ratekit.request import Request

Match = str | Sequence[str]
Test = Callable[[Request], Any]
Charging = Callable[[Any], Any]
"""From a `ratekit.http.Response` to units, a whole number; sync or async."""

_PATTERN: Final = re.compile(r"(?:(?P<methods>[A-Z]+(?:\|[A-Z]+)*) +)?(?P<path>/\S*)")
_PARAMETER: Final = re.compile(r"[{}<>]")
"""How the patterns of frameworks write a parameter: '{id}', '<int:id>'."""
_NAME: Final = re.compile(r"[ -~]{1,64}")


@dataclass(frozen=True, slots=True, init=False)
class Policy:
    """
    Limits for some requests.

    `key` says who is asking: "ip", "header:NAME", a callable on ratekit's Request, or a list of them. `match` is a pattern
    `[METHOD[|METHOD] ]PATH` or a list: the path exact, `*` one segment, a trailing `/*` the rest; GET covers HEAD, `WS` is a
    WebSocket handshake; None is every request. `exempt` is a pattern, a list or a callable. `cost` is a number or a callable; 0
    means that the policy does not apply. `charge` is a callable on ratekit's Response: `cost` is reserved before, and what `charge`
    says (units; True is 1) is what it was in the end. `missing` says what an absent identity means: "ip", "refuse" (401) or "skip".
    `on_outage` is what decides while the store is away: "local", "open" or "closed" (503); None is the middleware's. It decides, too,
    when a callable raises: by address at a cost of 1, not at all, or 503. `shadow` is a rehearsal: decided, counted (in the metrics) and
    logged, but never refused, nor told to clients; each of its limits counts by itself.

    Raises ConfigurationError for what cannot be.

    >>> Policy("daily", "5000/day", key="header:x-api-key", match="/api/*").name
    'daily'
    """

    name: str
    limits: tuple[Limit, ...]
    key: Key
    match: Match | None
    exempt: Match | Test | None
    cost: int | Test
    charge: Charging | None
    missing: Literal["ip", "refuse", "skip"]
    on_outage: Literal["local", "open", "closed"] | None
    shadow: bool

    def __init__(
        self,
        name: str,
        limits: str | Limit | Sequence[str | Limit],
        *,
        key: Key = "ip",
        match: Match | None = None,
        exempt: Match | Test | None = None,
        cost: int | Test = 1,
        charge: Charging | None = None,
        missing: Literal["ip", "refuse", "skip"] = "ip",
        on_outage: Literal["local", "open", "closed"] | None = None,
        shadow: bool = False,
    ) -> None:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ConfigurationError(f"policy name {name!r}: write 1 to 64 printable ASCII characters")
        if missing not in ("ip", "refuse", "skip"):
            raise ConfigurationError(f"policy {name!r}: missing {missing!r}: write 'ip', 'refuse' or 'skip'")
        if on_outage not in (None, "local", "open", "closed"):
            raise ConfigurationError(f"policy {name!r}: on_outage {on_outage!r}: write 'local', 'open' or 'closed'")
        if not callable(cost) and (type(cost) is not int or not 0 <= cost <= MOST):
            raise ConfigurationError(f"policy {name!r}: cost {cost!r}: write a whole number from 0 to {MOST}, or a callable")
        if charge is not None and not callable(charge):
            raise ConfigurationError(
                f"policy {name!r}: charge {charge!r}: write a callable on the response, such as lambda response: response.status == 401"
            )
        if not isinstance(shadow, bool):
            raise ConfigurationError(f"policy {name!r}: shadow {shadow!r}: write True or False")
        if shadow and charge is not None:
            raise ConfigurationError(f"policy {name!r}: a shadow policy charges nothing afterwards; leave charge= or shadow= out")
        parts_of(key)
        matcher_of(match)
        if not callable(exempt):
            matcher_of(exempt)
        values = (name, limits_of(limits), key, match, exempt, cost, charge, missing, on_outage, shadow)
        for attribute, value in zip(self.__slots__, values, strict=True):
            object.__setattr__(self, attribute, value)


class Matcher:
    """
    Patterns, compiled. A CORS preflight is matched by a pattern that says OPTIONS, and by no other.
    """

    __slots__ = ("_any", "_by_method")

    def __init__(self, patterns: Sequence[str]) -> None:
        self._any: list[re.Pattern[str]] = []
        self._by_method: dict[str, list[re.Pattern[str]]] = {}
        for pattern in patterns:
            methods, path = _compiled(pattern)
            for method in methods:
                self._by_method.setdefault(method, []).append(path)
            if not methods:
                self._any.append(path)

    def __call__(self, request: Request) -> bool:
        """Whether a request is meant."""
        path = request.path
        if any(pattern.fullmatch(path) for pattern in self._by_method.get(request.method, ())):
            return True
        return any(pattern.fullmatch(path) for pattern in self._any) and not request.preflight


def _every(request: Request) -> bool:
    return request.method != "OPTIONS" or not request.preflight


def matcher_of(match: Match | None) -> Callable[[Request], bool]:
    """A pattern or a list of them as a test on the request; None is every request but a CORS preflight."""
    if match is None:
        return _every
    if isinstance(match, str):
        return Matcher([match])
    if isinstance(match, Sequence) and match and all(isinstance(pattern, str) for pattern in match):
        return Matcher(match)
    raise ConfigurationError(f"match {match!r}: write a pattern such as 'POST /login' or '/api/*', or a list of them")


def _compiled(pattern: str) -> tuple[list[str], re.Pattern[str]]:
    found = _PATTERN.fullmatch(pattern)
    if found is None:
        raise ConfigurationError(f"match {pattern!r}: write '/path', 'METHOD /path' or 'GET|POST /path', with methods in capitals")
    methods = found["methods"].split("|") if found["methods"] else []
    if "GET" in methods and "HEAD" not in methods:
        methods.append("HEAD")
    if "?" in found["path"]:
        raise ConfigurationError(
            f"match {pattern!r}: the path ends before the '?'; to choose by the query give a callable as exempt"
        )
    segments = found["path"].split("/")[1:]
    wild = [segment for segment in segments if ("*" in segment and segment != "*") or _PARAMETER.search(segment)]
    if wild:
        raise ConfigurationError(
            f"match {pattern!r}: {wild[0]!r} is no segment; write '*' for one whole segment, a trailing '/*' for the rest"
        )
    rest = segments[-1] == "*"
    parts = ["[^/]+" if segment == "*" else re.escape(segment) for segment in (segments[:-1] if rest else segments)]
    # Routers end their patterns in `$`, which lets one newline pass: "/login%0A" is routed to "/login", and is matched as that.
    return methods, re.compile("".join(f"/{part}" for part in parts) + ("/.*" if rest else "\n?"), re.DOTALL)
