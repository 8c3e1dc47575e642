"""
An access log driven through policies by the log's own times, as an application's middleware would; and what came of it, counted.

Each policy is asked twice: together with the others, as they would be rolled out, where one hit is charged to all or to none; and
alone, as if it were the only one, which is what `ratekit replay` counts.
"""

import re
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from ratekit.algorithms import SPEND
from ratekit.cli.accesslog import Log
from ratekit.decision import decide
from ratekit.http.plan import Claim, Nobody, plan, prepare
from ratekit.http.verdict import asks_of_claims
from ratekit.keys import network_of
from ratekit.policy import Policy
from ratekit.request import Request
from ratekit.stores.memory import MemoryStore
from ratekit.stores.naming import canonical
from ratekit.stores.protocol import decisions_of

SECOND: Final = 1_000_000
STRIDE: Final = 500
HEADERS: Final = ("referer", "user-agent")
"""The header fields that a combined log keeps."""
UNNAMED: Final = 255
"""The verdict of a request that a policy with missing="refuse" turns away (401)."""

_REQUEST: Final = re.compile(r"(?P<method>[A-Z]+) (?P<path>[^\s?]*)(?:\?(?P<query>\S*))?")
_TAIL: Final = re.compile(r' "(?P<referer>.*?)" "(?P<agent>.*)".*')


class Asked(NamedTuple):
    """A request as a log has it."""

    host: str
    method: str
    path: str
    query: str
    referer: str
    agent: str


def asked(line: "re.Match[str]") -> Asked:
    """The request of a line; one that is none ("-") has no method and no path, and still is somebody's."""
    request = _REQUEST.match(line["request"])
    tail = _TAIL.fullmatch(line["tail"] or "")
    return Asked(
        line["host"],
        *((request["method"], unquote(request["path"]), request["query"] or "") if request else ("", "", "")),
        *((tail["referer"], tail["agent"]) if tail else ("", "")),
    )


@dataclass(frozen=True, slots=True)
class Outcome:
    """One policy over the whole log. `refused` is what it refused among the others, perhaps with others; `alone`, by itself."""

    policy: Policy
    applied: int
    refused: int
    alone: int
    by_identity: "Counter[str]"
    """Whom it refused among the others, and how often."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """A log, and of each request whose verdict it was: 0 admitted, n the n-th policy, UNNAMED nobody's who would have to say who he is."""

    log: Log[Asked]
    clients: list[str]
    """Of each request the client's address."""
    verdicts: bytearray
    outcomes: list[Outcome]
    free: int
    """Requests that no policy applies to."""

    @property
    def refused(self) -> int:
        """Requests turned away."""
        return len(self.verdicts) - self.verdicts.count(0)

    def most_refused(self) -> list[tuple[str, "Counter[int]"]]:
        """Per client that was refused at all its verdicts, the most refused first."""
        verdicts: dict[str, Counter[int]] = {}
        for who, verdict in zip(self.clients, self.verdicts, strict=True):
            verdicts.setdefault(who, Counter())[verdict] += 1
        refused = [(who, counts) for who, counts in verdicts.items() if counts.total() > counts[0]]
        return sorted(refused, key=lambda one: (one[1][0] - one[1].total(), -one[1].total(), one[0]))


def run(log: Log[Asked], policies: Sequence[Policy], progress: Callable[[int], object] = lambda _: None) -> Simulation:
    """Drive a log that is in order of time through policies. `progress` is called now and then with the number of requests done."""
    prepared = prepare(policies, name="simulate", prefix="ratekit", unnamed=False)
    place = {one.policy.name: i for i, one in enumerate(prepared)}
    now, room = 0, max(1, len(log.times) * sum(len(one.plan) for one in prepared))
    together, apart = (MemoryStore(max_keys=room, clock=lambda: now) for _ in range(2))
    alone = [apart.compile(one.plan) for one in prepared]
    applied, refused, refused_alone = (array("q", [0]) * len(prepared) for _ in range(3))
    whom = [Counter[str]() for _ in prepared]
    verdicts, free = bytearray(), 0
    for done, (time, request) in enumerate(zip(log.times, log.who, strict=True)):
        now = time * SECOND
        claims = _claims(prepared, request)
        verdict = UNNAMED if isinstance(claims, Nobody) else 0
        if not isinstance(claims, Nobody):
            free += not claims
            for claim in claims:
                i = place[claim.prepared.policy.name]
                applied[i] += 1
                refused_alone[i] += not alone[i](claim.identity, claim.cost, SPEND)
            violated = _violated(together, claims)
            for claim in violated:
                i = place[claim.prepared.policy.name]
                refused[i] += 1
                whom[i][shown(claim.identity)] += 1
            real = [claim for claim in violated if not claim.prepared.policy.shadow]
            verdict = 1 + place[real[0].prepared.policy.name] if real else 0
        verdicts.append(verdict)
        if done % STRIDE == 0:
            progress(done)
    outcomes = [Outcome(*facts) for facts in zip(policies, applied, refused, refused_alone, whom, strict=True)]
    return Simulation(log, [network_of(request.host) for request in log.who], verdicts, outcomes, free)


def _claims(prepared: Sequence[Any], asked: Asked) -> "list[Claim] | Nobody":
    """What a request is charged by every policy that applies."""
    steps = plan(prepared, _request(asked), canonical, lambda policy, error: "local")
    try:
        next(steps)
    except StopIteration as stop:
        claims: list[Claim] | Nobody = stop.value
        return claims
    raise AssertionError("a file's policies have nothing to wait for")


def _violated(store: MemoryStore, claims: Sequence[Claim]) -> list[Claim]:
    """The claims that refuse a hit, or would if they were not in the shadow, the one that is shown first."""
    if not claims:
        return []
    asks = asks_of_claims(claims)
    decisions = decisions_of(asks, store.decide(asks))
    parts, at = [], 0
    for claim in claims:
        end = at + len(claim.prepared.plan)
        parts.append(decide(decisions[at:end]))
        at = end
    refusing = [(part.figures.wait, claim) for claim, part in zip(claims, parts, strict=True) if not part]
    return [claim for _, claim in sorted(refusing, key=lambda one: -one[0])]


@lru_cache(maxsize=16_384)
def _request(asked: Asked) -> Request:
    fields = [(name.encode(), value.encode()) for name, value in zip(HEADERS, asked[4:], strict=True) if value not in ("", "-")]
    return Request(
        method=asked.method,
        path=asked.path,
        fields=fields,
        query=asked.query.encode(),
        client=lambda request: asked.host,
        native=asked,
    )


def shown(identity: Any) -> str:
    """An identity for people."""
    if isinstance(identity, tuple):
        return ", ".join(map(shown, identity))
    return f"#{identity.hex()[:12]}" if isinstance(identity, bytes) else str(identity)


def unlogged(policies: Sequence[Policy]) -> list[tuple[Policy, str]]:
    """The header fields that policies ask for and no log keeps."""
    keys = [(policy, key) for policy in policies for key in ([policy.key] if isinstance(policy.key, str) else policy.key)]  # type: ignore[union-attr]
    names = [(policy, key.partition(":")[2].lower()) for policy, key in keys if isinstance(key, str) and key.startswith("header:")]
    return [(policy, name) for policy, name in names if name not in HEADERS]
