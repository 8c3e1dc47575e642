"""
Gate: what stands between a limiter and a remote store: what it was refused and last saw, and what is said when the store is away.
No I/O: the shells in `store.py` and `store_async.py` make the trips.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Literal, get_args

from ratekit.algorithms import FORCE, GIVE, LOOK, SPEND, rule_of
from ratekit.decision import Decision, Figures, decide, settled
from ratekit.denials import Denials
from ratekit.errors import ConfigurationError, StoreUnavailable
from ratekit.guarded.circuit import HALF, Circuit, Known
from ratekit.guarded.debts import TOGETHER
from ratekit.guarded.part import part_of
from ratekit.limit import MOST, Limit
from ratekit.stores.naming import Canonical, Plan, Space
from ratekit.stores.off import all_new
from ratekit.stores.protocol import Ask, Seens, asks_of, decisions_of

OnOutage = Literal["local", "open", "closed"]

MERGING: Final = 1.0
"""Seconds that a trip may take which nobody waits for."""
DECADE: Final = 10 * 365 * 86_400_000_000
"""Microseconds between this machine's monotonic clock and any clock of the day."""

_PROBE: Final = rule_of(Limit(MOST, per=1, algorithm="fixed_window"))


def probe_of(plan: Plan) -> Sequence[Ask]:
    """
    What a probe asks: the script and a write, as hits do, under the prefix that they are permitted, on a key that no name can spell.
    """
    prefix, _, _ = plan[0][1].head.partition(":{")
    return probe_under(prefix)


def probe_under(prefix: str) -> Sequence[Ask]:
    """What a probe asks under a prefix as it stands in keys."""
    return [Ask(_PROBE, Space(f"{prefix}:{{!:", f"}}:::{_PROBE.label}"), "probe", SPEND, 1)]


def probing(store: Any) -> Callable[..., Any]:
    """How a store is asked those: its own `probe`, where the key has to be one of a certain node's."""
    probe: Callable[..., Any] = getattr(store, "probe", store.decide)
    return probe


def together_at(store: Any) -> int:
    """How many charges a store is sent at once of what it is owed: of a cluster, whose keys are in many slots, a key's."""
    return 1 if getattr(store, "slotted", False) else TOGETHER


def check_outage(on_outage: object) -> None:
    """Raises ConfigurationError for what is no outage policy."""
    if on_outage not in get_args(OnOutage):
        raise ConfigurationError(f"on_outage {on_outage!r}: write 'local', 'open' or 'closed'")


def check_budget(budget: object) -> None:
    """Raises ConfigurationError for what is no budget."""
    if budget is not None and (isinstance(budget, bool) or not isinstance(budget, int | float) or not 0 < budget <= 60):
        raise ConfigurationError(f"budget {budget!r}: write seconds above 0 and up to 60, or None for the store's own")


class Gate:
    """One limiter in front of a remote store: what it was refused, what it knows of its keys, what it says in an outage."""

    def __init__(self, circuit: Circuit, plan: Plan, *, deny_cache: float, on_outage: OnOutage, share: float = 1) -> None:
        self.clock = circuit.clock
        self.denials = Denials(plan, seconds=deny_cache)
        self.spaces = frozenset(space for _, space in plan)
        self._circuit = circuit
        self._plan = plan
        self._on_outage: OnOutage = on_outage
        self._share = share
        self._keeps = on_outage == "local"
        self._known = Known()  # identity -> decision, when
        circuit.gates((), self)
        circuit.probe_asks = probe_of(plan)

    def answered(self, identity: Canonical, decision: Decision, sent: int, mode: int = SPEND) -> None:
        """Keep what an answer of the store says. A look at a key that another limit wrote says nothing of what a hit would be told."""
        if self.denials.knows(identity) if decision[0] else mode != LOOK:
            self.denials.learn(identity, decision, sent, self.clock())
        if self._keeps:
            known = self._known.young
            known[identity] = decision, sent
            if len(known) > HALF:
                self._known.turn()

    def refused(self, identities: Sequence[Canonical], cost: int, sent: int) -> "dict[int, Decision]":
        """Which of many hits are known to be refused, by their place."""
        refuse = self.denials.refuse
        return {i: refusal for i, identity in enumerate(identities) if (refusal := refuse(identity, cost, sent)) is not None}

    def forget(self, identity: Canonical) -> None:
        """Let go of what was last seen of an identity."""
        self._known.take(identity)

    def instead(self, identity: Canonical, cost: int, mode: int, asked: object) -> Decision:
        """
        The decision while the store is away; raises StoreUnavailable where the policy is "closed". `asked` is true when the store was
        asked, and may have counted the hit.
        """
        asks = asks_of(self._plan, identity, cost, mode)
        if self._on_outage == "local":
            self.seed(identity)
            return decide(decisions_of(asks, _locally(self._circuit, asks, self._share, asked)))
        return instead(asks, self._on_outage)

    def seed(self, identity: Canonical) -> None:
        """Let the memory go on from what was last seen of an identity, by this limiter or in a hit that was no limiter's own."""
        own = self._known.take(identity)
        for i, (rule, space) in enumerate(self._plan):
            other = self._circuit.known.take((space, identity))
            if own is not None and (other is None or other[2] <= own[1]):
                self._circuit.seed(rule, space, identity, own[0].details[i][4], own[1])
            elif other is not None:
                self._circuit.seed(rule, space, identity, *other[1:])


Claimed = tuple["Gate", Canonical, int]
"""A limiter's part in a hit that several limiters have a say in: who is charged there, and how much."""


def refused_by(parts: Sequence[Claimed], now: int) -> dict[int, Decision]:
    """
    Which parts of one hit are known to be refused, by their place. What the others would say is not known then, so a client is told
    of these alone.
    """
    told = ((i, gate.denials.refuse(identity, cost, now)) for i, (gate, identity, cost) in enumerate(parts))
    return {i: refusal for i, refusal in told if refusal is not None}


def answered_to(parts: Sequence[Claimed], decisions: Sequence[Decision], sent: int) -> None:
    """
    Keep what an answer of the store to one hit says of its parts, in order: of a refused hit the refusals, each where it belongs;
    of an admitted one all that is affected.
    """
    admitted = all(decisions)
    for (gate, identity, _), decision in zip(parts, decisions, strict=True):
        if not decision or ((admitted or gate.denials.rivalled) and gate.denials.knows(identity)):
            gate.denials.learn(identity, decision, sent, gate.clock())


def instead(asks: Sequence[Ask], on_outage: OnOutage) -> Decision:
    """Everything is as new ("open"), or nothing can be said ("closed": raises StoreUnavailable)."""
    parts = [_colored(part, on_outage) for part in decisions_of(asks, all_new(asks))]
    if on_outage == "open":
        return decide(parts)
    figures = Figures(wait=1_000_000, remaining=0, more=0, reset=0)
    closed = Decision((False, asks[0].rule.limit, settled, asks[0].cost, tuple(figures), "closed", True, None, ()))
    raise StoreUnavailable("the store is away, and on_outage is 'closed'", "away", closed)


def _colored(decision: Decision, source: str) -> Decision:
    return Decision((*decision[:5], source, True, None, tuple(_colored(part, source) for part in decision[8])))


def left_alone() -> StoreUnavailable:
    """What a counter is told while the store is not asked."""
    return StoreUnavailable("the store is away and is left alone for now: nothing was counted")


Lowering = Sequence[tuple[Gate, Canonical]]
"""Who remembers nothing, and of whom, until what is under way has been answered."""


def resetting(circuit: Circuit, spaces: Sequence[Space], identity: Canonical) -> Lowering:
    """A reset is about to be sent: to be ended by `forgotten`, whatever comes of it."""
    return _lowering(circuit, spaces, {identity})


def giving(circuit: Circuit, asks: Sequence[Ask]) -> Lowering:
    """
    A hit is about to be sent: to be ended by `lowered`, whatever comes of it. What was given back may be admitted, and a charge by
    force or by another limit changes the waits: no refusal is remembered meanwhile, and none from before.
    """
    given = asks if circuit.rivalled else [ask for ask in asks if ask.mode in (GIVE, FORCE)]
    return _lowering(circuit, [ask.space for ask in given], {ask.identity for ask in given}) if given else ()


def _lowering(circuit: Circuit, spaces: Sequence[Space], identities: Iterable[Canonical]) -> Lowering:
    pairs = [(gate, identity) for gate in circuit.gates(spaces) for identity in identities]
    for gate, identity in pairs:
        gate.denials.lowering(identity, gate.clock())
    return pairs


def lowered(pairs: Lowering) -> None:
    """What was under way has been answered, or has failed and may have happened all the same."""
    for gate, identity in pairs:
        gate.denials.lowered(identity, gate.clock())


def forgotten(circuit: Circuit, spaces: Sequence[Space], identity: Canonical, pairs: Lowering) -> None:
    """A reset has been answered, or has failed: nothing is remembered of an identity any more."""
    circuit.local.forget(spaces, identity)
    circuit.forgive(spaces, identity)
    for space in spaces:
        circuit.known.take((space, identity))
    for gate in circuit.gates(spaces):
        gate.forget(identity)
    lowered(pairs)


def decided_instead(circuit: Circuit, asks: Sequence[Ask], on_outage: OnOutage, share: float, asked: object) -> Seens:
    """
    What the outage policy says to a hit that is no limiter's own; raises StoreUnavailable where it is "closed". `asked` is true when
    the store was asked, and may have counted the hit.
    """
    if on_outage != "local":
        instead(asks, on_outage)
        return all_new(asks)._replace(degraded=True)
    for gate in circuit.gates([ask.space for ask in asks]):
        for identity in {ask.identity for ask in asks}:
            gate.seed(identity)
    for ask in asks:
        known = circuit.known.take((ask.space, ask.identity))
        if known is not None:
            circuit.seed(ask.rule, ask.space, ask.identity, *known[1:])
    # What the store charged is not given back here: a mark of its clock says nothing by ours.
    now = circuit.clock()
    asks = [ask._replace(mode=LOOK) if ask.mode == GIVE and abs(ask.mark[0] - now) > DECADE else ask for ask in asks]
    return _locally(circuit, asks, share, asked)


def _locally(circuit: Circuit, asks: Sequence[Ask], share: float, asked: object) -> Seens:
    """What this process's memory says, by its part of each limit; what it charges, and nobody else has, is owed to the store."""
    readers = [] if share == 1 else [part_of(ask.rule.limit, share) for ask in asks]
    decided = [ask._replace(rule=part.rule) for ask, part in zip(asks, readers, strict=True)] if readers else asks
    answer = circuit.local.decide(decided)
    if not asked:
        circuit.owe(asks, decided, answer)
    return answer._replace(source="local", degraded=True, readers=readers)
