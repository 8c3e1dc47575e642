"""
Limits with one writer per identity: exact, with every algorithm, as fast as one object answers.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from ratekit.algorithms import CHECK, FORCE, GIVE, LOOK, SHADOW, SPEND
from ratekit.decision import Seen
from ratekit.errors import ConfigurationError
from ratekit.kv.writer import MOST, Object, Objects
from ratekit.stores.memory import Clock, monotonic
from ratekit.stores.naming import Canonical, Plan, Space
from ratekit.stores.protocol import Ask, AsyncCompiled, Compiled, Seens, hit


class SingleWriterStore:
    """
    Limits with one object per identity: exact, with every algorithm. All limits of an identity are decided by its object in one go.

    `clock` gives microseconds and never goes back; an object that is asked more than `most` times in a second raises Overloaded.

    >>> from ratekit import Limiter
    >>> limiter = Limiter("1/minute", store=SingleWriterStore())
    >>> bool(limiter.hit("user:42")), bool(limiter.hit("user:42"))
    (True, False)
    """

    remote = False

    def __init__(self, *, clock: Clock = monotonic, most: int = MOST) -> None:
        self._clock = clock
        self.objects = Objects(clock, woken=self._wake, most=most)

    def compile(self, plan: Plan, budget: float | None = None) -> Compiled:
        """A function that hits every limit of `plan` at once. Raises ConfigurationError for limits by the calendar."""
        for rule, _ in plan:
            if rule.dates is not None:
                raise ConfigurationError(f"'{rule.limit}': an object's clock knows no dates; write a period, such as '5/30 days'")
        return partial(hit, self, plan)

    def decide(self, asks: Sequence[Ask], budget: float | None = None) -> Seens:
        """One hit: all-or-nothing over `asks`. Raises Overloaded."""
        names = [(ask.space.head, ask.identity) for ask in asks]
        answer: Seens = self.objects.call_together(names, partial(self._step, asks))
        return answer

    def forget(self, spaces: Sequence[Space], identity: Canonical) -> None:
        """Make the keys of an identity as new."""
        for space in spaces:
            self.objects.call((space.head, identity), partial(_drop, space))

    def close(self) -> None:
        """Nothing is held but memory."""

    def _step(self, asks: Sequence[Ask], objects: list[Object]) -> Seens:
        now = self._clock()
        states = [one.storage.get(ask.space, (None, None))[0] for ask, one in zip(asks, objects, strict=True)]
        steps = [
            ask.rule.step(state, now, ask.cost, LOOK if ask.mode in (LOOK, GIVE) else CHECK)
            for ask, state in zip(asks, states, strict=True)
        ]
        seens: list[Seen] = [seen for _, seen in steps]
        admitted = all(seen[0] or ask.mode not in (SPEND, CHECK) for ask, seen in zip(asks, seens, strict=True))
        for i, (ask, one) in enumerate(zip(asks, objects, strict=True)):
            if ask.mode == FORCE or (admitted and seens[i][0] and ask.mode in (SPEND, SHADOW)):
                state, seens[i] = ask.rule.step(states[i], now, ask.cost, FORCE)
                _keep(one, ask, state)
            elif ask.mode == GIVE:
                state = ask.rule.give(states[i], now, ask.cost, ask.mark)
                _keep(one, ask, state)
                seens[i] = (True, *ask.rule.step(state, now, 1, LOOK)[1][1:])
            elif ask.mode != LOOK and steps[i][0] is not states[i]:
                _keep(one, ask, steps[i][0])
        return Seens(now, seens)

    def _wake(self, one: Object) -> None:
        """Let go of what equals a fresh key's; sleep until there may be more."""
        now = self._clock()
        for space, (state, rule) in list(one.storage.items()):
            if rule.expiry(state) <= now:
                del one.storage[space]
        one.alarm = min((rule.expiry(state) for state, rule in one.storage.values()), default=None)


def _drop(space: Space, one: Object) -> None:
    one.storage.pop(space, None)


def _keep(one: Object, ask: Ask, state: Any) -> None:
    if state is None:
        one.storage.pop(ask.space, None)
        return
    one.storage[ask.space] = state, ask.rule
    if one.alarm is None:
        one.alarm = ask.rule.expiry(state)


class AsyncSingleWriterStore:
    """`SingleWriterStore` for event loops: it never waits for anything. Give it one to share that one's objects."""

    remote = False

    def __init__(self, store: SingleWriterStore | None = None, *, clock: Clock = monotonic, most: int = MOST) -> None:
        self.sync = SingleWriterStore(clock=clock, most=most) if store is None else store

    def compile(self, plan: Plan, budget: float | None = None) -> AsyncCompiled:
        """A function that hits every limit of `plan` at once."""
        compiled = self.sync.compile(plan)

        async def hit(identity: Canonical, cost: int, mode: int) -> Any:
            return compiled(identity, cost, mode)

        return hit

    async def decide(self, asks: Sequence[Ask], budget: float | None = None) -> Seens:
        """One hit: all-or-nothing over `asks`. Raises Overloaded."""
        return self.sync.decide(asks)

    async def forget(self, spaces: Sequence[Space], identity: Canonical) -> None:
        """Make the keys of an identity as new."""
        self.sync.forget(spaces, identity)

    async def aclose(self) -> None:
        """Nothing is held but memory."""
