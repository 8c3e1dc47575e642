"""
Denials: what is known to be refused, remembered in this process in front of a store that costs a trip.

Pure: no I/O and no clock. Every instant is microseconds of one local monotonic clock, the same for the whole process, that the
caller has read.

Why never one false refusal, while nothing else lowers the state: a question is sent at S, decided by the store at its instant D
and answered at C, so that D lies between the two by the local clock. Each limit that was violated refuses until D + its own wait,
and a hit is refused while any limit refuses: until D + the longest wait W. At a local instant t the store has advanced since D by
at most t - S, so while t < S + W it still refuses. What others spend in between only makes that later. (The clocks must run at
one rate: 100 ppm are 0.1 ms of the second that a memory lasts. The store's microsecond may begin elsewhere than ours: a trip
takes longer.) Somebody who is told at t to wait for W - (t - C) comes at C + W, which is D + W or later: never too early.

Costs: what the rules saw of a refusal tells how long any other cost must wait too, by the very `read` that the store's answers
use; where it does not (sliding_window tells the wait of the cost that was asked, and some others') the store is asked, and its
answer remembered beside. An identity that brings more than COSTS such costs within the second is shown a wait that may be too
short, until which it is certainly refused; then the store is asked again.

What lowers the state: this process's own reset and give-back, between `lowering` and `lowered`, and a hit by another limit on the
same key, after which this process forgets by itself; of what others do the memory hears at most `seconds` late. A limiter by other
limits has a memory of its own. From the moment at which a reset is sent nothing is refused from here until its answer has come, and no
answer to what was asked before that is remembered: somebody may have seen the reset already.
"""

import os
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final
from weakref import WeakSet, WeakValueDictionary

from ratekit.algorithms import rule_of
from ratekit.decision import NEVER, Decision, Figures, Read, Seen, Told
from ratekit.errors import ConfigurationError
from ratekit.limit import Limit
from ratekit.stores.naming import Canonical, Plan
from ratekit.stores.protocol import Spend

COSTS: Final = 8
"""Different costs that are remembered of one identity."""
STAMPS: Final = 1024
"""Instants kept of the latest forgetting; identities that share one are remembered a little less, never wrongly."""
PACE: Final = 2
"""Old memories that each new one pays to look at."""

_make: Final[Callable[[type[Decision], tuple[Any, ...]], Decision]] = tuple.__new__
_LOCK: Final = threading.Lock()
"""Held for a few microseconds after a trip, not while a cost that is known is looked up."""
_NONE: Final[dict[int, Any]] = {}


class Refusal:
    """
    One cost is refused until `until`. Made cheaply from an answer; `of` works out what a local refusal takes, when one is due.

    `began` and `ends` are `came` and `until` in nanoseconds, for a refusal that is told by itself, so that nothing is divided by then.
    """

    __slots__ = ("began", "came", "decision", "ends", "exact", "limit", "over", "parts", "read", "sent", "until")

    began: int

    exact: bool
    limit: Limit
    over: int | None
    parts: Sequence[tuple[int, Limit, Read, int | None]]
    read: Read

    def __init__(self, decision: Decision, sent: int, came: int) -> None:
        self.decision, self.sent, self.came = decision, sent, came
        self.until = self.ends = -NEVER  # nothing is worked out yet
        self.parts = ()

    def of(self, cost: int, lasts: int) -> "Refusal":
        """What this answer says of a cost; `until` is long past where it would have been admitted."""
        refusal = Refusal(self.decision, self.sent, self.came)
        parts = self.decision.details
        told = [_figures(part, cost) for part in parts]
        says = [
            (figures.wait, part[1], partial(_aged, figures, cost, part[1].capacity), part[7])
            for (figures, _), part in zip(told, parts, strict=True)
        ]
        wait, refusal.limit, refusal.read, refusal.over = max(says, key=lambda one: one[0])
        refusal.until = self.sent + min(wait, lasts) if wait else -NEVER
        refusal.exact = all(exact for _, exact in told)
        refusal.parts = says if len(says) > 1 else ()
        refusal.began, refusal.ends = self.came * 1000, -NEVER if refusal.parts else refusal.until * 1000
        return refusal

    def joint(self, cost: int, age: int) -> Decision:
        """The refusal of a hit on several limits, with what each of them says."""
        details = [
            _make(Decision, (wait <= age, limit, read, cost, (wait <= age, age * 1000), "denials", False, over, ()))
            for wait, limit, read, over in self.parts
        ]
        return _make(Decision, (False, self.limit, self.read, cost, (0, age * 1000), "denials", False, self.over, tuple(details)))


def check_deny_cache(seconds: object) -> None:
    """Raises ConfigurationError for what is no time to remember refusals."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < float("inf"):
        raise ConfigurationError(f"deny_cache {seconds!r}: write seconds from 0, which is off")


class Family:
    """The memories of one name, so that a reset or a give-back through one limiter is heard by all; and when that was."""

    __slots__ = ("__weakref__", "members", "stamps", "under_way")

    def __init__(self) -> None:
        self.members: WeakSet[Denials] = WeakSet()
        self.stamps = [-NEVER] * STAMPS
        self.under_way: Counter[int] = Counter()
        """Per stamp the resets and give-backs that were sent, and not answered yet."""


_FAMILIES: Final[WeakValueDictionary[str, Family]] = WeakValueDictionary()


def _in_child() -> None:
    for family in list(_FAMILIES.values()):
        family.under_way.clear()  # they are the parent's
    _LOCK.release()


if hasattr(os, "register_at_fork"):  # a child never finds it held by a thread that it does not have
    os.register_at_fork(before=_LOCK.acquire, after_in_parent=_LOCK.release, after_in_child=_in_child)


class Denials:
    """
    The refusals of one compiled limiter, each remembered for at most `seconds` (0: none), at most `max_keys` identities at a time.

    Ask `refuse` before a trip, hand every answer to `learn`, call `lowering` before a reset or a give-back is sent, and `lowered` when
    that has been answered (or has failed: it may have happened). Threads and event loops may share it.

    >>> from ratekit import Limit
    >>> from ratekit.stores import MemoryStore
    >>> from ratekit.stores.naming import plan_of
    >>> plan = plan_of([Limit(1, per=60)], prefix="ratekit", name="docs")
    >>> hit, denials = MemoryStore(clock=lambda: 0).compile(plan), Denials(plan)
    >>> denials.learn("user:42", hit("user:42", 1, 1), sent=0, came=1_000)
    >>> denials.learn("user:42", hit("user:42", 1, 1), sent=1_000, came=2_000)
    >>> decision = denials.refuse("user:42", 1, now=502_000)
    >>> decision.source, decision.retry_after
    ('denials', 59.5)
    """

    def __init__(self, plan: Plan, *, seconds: float = 1.0, max_keys: int = 10_000) -> None:
        check_deny_cache(seconds)
        if type(max_keys) is not int or max_keys < 1:
            raise ConfigurationError(f"max_keys {max_keys!r}: write a whole number of at least 1")
        self._lasts = int(seconds * 1_000_000)
        self._max_keys = max_keys
        # Per identity its refusals by cost, the latest last; of the identities the longest unheard of first.
        self._known: OrderedDict[Canonical, dict[int, Refusal]] = OrderedDict()
        self._limits = {space: rule.limit for rule, space in plan}
        # Whether another limiter counts in one of our keys by another limit: then its charges change what a refusal of ours knew.
        self.rivalled = False
        with _LOCK:
            self._family = _FAMILIES.setdefault(plan[0][1].head, Family())
            for member in self._family.members:
                if any(member._limits.get(space, limit) != limit for space, limit in self._limits.items()):
                    self.rivalled = member.rivalled = True
            self._family.members.add(self)

    def __len__(self) -> int:
        """The identities of which something is remembered, perhaps no longer true."""
        return len(self._known)

    def knows(self, identity: Canonical) -> bool:
        """Whether an answer about this identity is to be learned, also when it admits."""
        return self.rivalled or identity in self._known

    def refuse(self, identity: Canonical, cost: int, now: int) -> Decision | None:
        """
        The refusal of a hit that the store would refuse at `now`, or None: then it must be asked. Not for peeks.

        It is what the store said, aged: `retry_after`, `more_after` and `reset_after` are counted from when the answer came,
        `remaining` is what is known to be left at least.
        """
        known = self._known.get(identity)
        if known is None:
            return None
        refusal = known.get(cost)
        if refusal is None or now >= refusal.until:
            refusal = self._infer(known, cost, now)
            if refusal is None:
                return None
        age = now - refusal.came
        if refusal.parts:
            return refusal.joint(cost, age)
        return _make(Decision, (False, refusal.limit, refusal.read, cost, (0, age * 1000), "denials", False, refusal.over, ()))

    def spender(self, otherwise: Spend, clock: Callable[[], int]) -> Spend:
        """The shortest way to a refusal that is known: all else is asked `otherwise`. `clock` gives nanoseconds."""
        known_of = self._known.get

        def spend(identity: Any, cost: int = 1) -> Decision:
            try:
                refusal = known_of(identity, _NONE).get(cost)
            except TypeError:  # no identity or no cost, as it cannot be hashed
                refusal = None
            if refusal is None or type(cost) is not int or (now := clock()) >= refusal.ends:
                return otherwise(identity, cost)
            age = now - refusal.began
            return Decision((False, refusal.limit, refusal.read, cost, (0, age), "denials", False, refusal.over, ()))

        return spend

    def learn(self, identity: Canonical, decision: Decision, sent: int, came: int) -> None:
        """
        Take an answer of the store to a hit that was sent at `sent` and came back at `came`.

        A refusal is remembered. After an admission an older refusal of a larger cost would still be true, but its wait too short
        by what was spent: it is let go.
        """
        if decision[0]:
            if self.rivalled:  # what is sent from `came` on is decided after this charge
                self.forget(identity, came - 1)
            elif identity in self._known:
                with _LOCK:
                    self._known.pop(identity, None)
            return
        if decision[5] != "store" or (came - sent >= self._lasts and not self.rivalled):
            return
        refusal = Refusal(decision, sent, came)
        with _LOCK:
            stamp = hash(identity) % STAMPS
            late = sent <= self._family.stamps[stamp] or stamp in self._family.under_way or came - sent >= self._lasts
            if self.rivalled:  # a refusal, too, brings the key under its own limit: another may admit sooner than it knew
                self._let_go(identity, came - 1)
            if late:
                return
            known = self._known.pop(identity, None) or {}
            known.pop(decision[3], None)
            if len(known) >= COSTS:
                del known[next(iter(known))]
            known[decision[3]] = refusal
            self._known[identity] = known
            self._trim(came)

    def forget(self, identity: Canonical, now: int) -> None:
        """
        Let go of an identity, in every memory of this limiter's name: what was said of it may have changed by `now`.

        Answers to what was sent before that will not be remembered either.
        """
        with _LOCK:
            self._let_go(identity, now)

    def lowering(self, identity: Canonical, now: int) -> None:
        """A reset or a give-back is sent at `now`: let go of an identity, and remember nothing of it until `lowered` is called."""
        with _LOCK:
            self._family.under_way[hash(identity) % STAMPS] += 1
            self._let_go(identity, now)

    def lowered(self, identity: Canonical, now: int) -> None:
        """It has been answered at `now`, or has failed: answers to what was sent before may be older, and are not remembered either."""
        stamp, under_way = hash(identity) % STAMPS, self._family.under_way
        with _LOCK:
            under_way[stamp] -= 1
            if under_way[stamp] <= 0:
                del under_way[stamp]
            self._let_go(identity, now)

    def _let_go(self, identity: Canonical, now: int) -> None:
        stamp, stamps = hash(identity) % STAMPS, self._family.stamps
        stamps[stamp] = max(stamps[stamp], now)
        for member in self._family.members:
            member._known.pop(identity, None)

    def _infer(self, known: dict[int, Refusal], cost: int, now: int) -> Refusal | None:
        """What the answers to hits of this and of other costs say of a cost, the latest that says anything first."""
        with _LOCK:
            room = cost in known or len(known) < COSTS
            for other in reversed(known.values()):
                if now >= other.sent + self._lasts:
                    continue
                refusal = other.of(cost, self._lasts)
                if now < refusal.until and (refusal.exact or not room):
                    if room:  # if the identity has been forgotten meanwhile, so has this dict
                        known[cost] = refusal
                    return refusal
        return None

    def _trim(self, now: int) -> None:
        known = self._known
        for _ in range(PACE):
            oldest = next(iter(known))
            if len(known) <= self._max_keys and next(reversed(known[oldest].values())).sent + self._lasts > now:
                return
            del known[oldest]


def _figures(part: Decision, cost: int) -> tuple[Figures, bool]:
    """What one limit would have said of a cost when it said `part`, and whether that is exact or its `wait` the least possible."""
    figures, limit, asked = part.figures, part.limit, part[3]
    if cost == asked:
        return figures, True
    if cost <= figures.remaining:
        return figures._replace(wait=0), True
    if cost > limit.capacity:
        return figures._replace(wait=NEVER), True
    if rule_of(limit).tells_any_cost:
        return Figures(*part[2](cost, (0, *part[4][1:]))), True
    # Waits grow with the cost: `more` is that of the least cost that does not fit, `reset` that of the quota.
    least = figures.wait if figures.wait and asked < cost else figures.more
    most = figures.more if cost == figures.remaining + 1 else figures.wait if cost < asked <= limit.capacity else figures.reset
    return figures._replace(wait=least), least == most


def _aged(told: Figures, cost: int, capacity: int, _cost: int, seen: Seen) -> Told:
    """Figures of `cost` as they stand `seen[1]` nanoseconds after they were told: no wait too short, no unit too many."""
    age = seen[1] // 1000
    wait, remaining, more, reset = told
    if reset <= age:
        return wait if wait >= NEVER else 0, capacity, 0, 0
    if wait <= age:  # what was asked fits by now
        wait, remaining = 0, max(remaining, cost)
    elif wait < NEVER:
        wait -= age
    if more:  # once that has passed, more than `remaining` is sure when the cost fits, or when all does
        more = more - age if more > age else wait if 0 < wait < NEVER else reset - age
    return wait, remaining, more, reset - age
