"""
leases: who holds one of a number of places, until when, and who waits for one. Its twin in Redis is leases.lua.

A lease ends by itself unless it is renewed, so that a holder that died holds nothing for long. Who waits is believed to wait for a
little while only and has to ask again. A place that is free goes to who came first: to others only what those who wait leave over.

Entering again as the same holder changes nothing but when the lease ends. So it may be asked again after an answer that did not come.
"""

from dataclasses import dataclass, field
from typing import Final

from ratekit.decision import NEVER
from ratekit.stores.counting import Command

PATIENCE: Final = 2_000_000
"""Microseconds that one who waits is believed to, counted from when it last asked; it asks much more often."""


@dataclass(slots=True)
class State:
    """Who holds a place, and until when; who waits, since when and until when that is believed. Microseconds."""

    held: dict[str, int] = field(default_factory=dict)
    came: dict[str, int] = field(default_factory=dict)
    waits: dict[str, int] = field(default_factory=dict)


def step(
    state: State | None, now: int, what: str, who: str, places: int, life: int, patience: int
) -> tuple[State | None, int, tuple[int, ...]]:
    """Enter, renew, leave or look."""
    state = state or State()
    held, came, waits = state.held, state.came, state.waits
    if what == "look":
        return None, NEVER, (1, sum(end > now for end in held.values()), sum(end > now for end in waits.values()))
    for some in (held, waits):
        for other in [other for other, end in some.items() if end <= now]:
            del some[other]
    for other in came.keys() - waits.keys():
        del came[other]
    if what == "enter":
        done = _enter(state, now, who, places, life, patience)
    else:
        done = who in held
        if what == "renew" and done:
            held[who] = now + life
        elif what == "leave":
            for some in (held, came, waits):
                some.pop(who, None)
    ends = [*held.values(), *waits.values()]
    first = min(held.values()) - now if held else 0
    return state if ends else None, max(ends, default=NEVER), (int(done), len(held), first)


def _enter(state: State, now: int, who: str, places: int, life: int, patience: int) -> bool:
    held, came = state.held, state.came
    ahead = sum((since, other) < (came[who], who) for other, since in came.items()) if who in came else len(came)
    if who not in held and len(held) + ahead >= places:
        if patience:
            came.setdefault(who, now)
            state.waits[who] = now + patience
        return False
    held[who] = now + life
    came.pop(who, None)
    state.waits.pop(who, None)
    return True


@dataclass(frozen=True, slots=True)
class Leases:
    """What is asked for at most `places` holders at once, whose leases last `life` microseconds."""

    places: int
    life: int
    label: str = "cl1"

    def enter(self, who: str, patience: int = 0) -> Command:
        """Take a place; with patience stand in line where there is none."""
        return Command("leases", step, ("enter", who, self.places, self.life, patience), width=3)

    def renew(self, who: str) -> Command:
        """Let a lease last from now on."""
        return Command("leases", step, ("renew", who, 0, self.life, 0), width=3)

    def leave(self, who: str) -> Command:
        """Give a place back, or wait no longer."""
        return Command("leases", step, ("leave", who, 0, 0, 0), width=3)

    def look(self) -> Command:
        """How many hold a place, how many wait."""
        return Command("leases", step, ("look", "", 0, 0, 0), width=3, looks=True)
