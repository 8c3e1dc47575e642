"""
tally: one integer per key. Its twin in Redis is tally.lua; the state there is a plain integer that GET shows.
"""

from dataclasses import dataclass
from typing import Final

from ratekit.decision import NEVER
from ratekit.stores.counting import Command, Job

MOST: Final = (1 << 53) - 1
"""The greatest count, and its negative the least: counting stops there. Lua's integers end here."""


def step(
    state: int | None, now: int, what: str, amount: int, floor: int, life: int, writer: str, number: int
) -> tuple[int | None, int, tuple[int, ...]]:
    """Add, look or take; `life` is milliseconds after the last add, 0 for ever."""
    if what == "add":
        value = max(floor, min(MOST, (state or 0) + amount))
        return value, lives(now // 1000, life), (value,)
    return None, NEVER, (state or 0,)


def lives(start: int, life: int) -> int:
    """The instant (us) at which what lives for `life` ms from `start` ms ends."""
    return (start + life) * 1000 if life else NEVER


@dataclass(frozen=True, slots=True)
class Tally:
    """What a plain counter asks: `floor` is the least that an add leaves, `life` as in `step`."""

    floor: int
    life: int
    label: str = "ct1"
    timed: bool = False

    def add(self, amount: int, ago: int = 0, writer: str = "", number: int = 0) -> Command:
        """Add an amount; answers the count."""
        return Command("tally", step, ("add", amount, self.floor, self.life, writer, number))

    def look(self) -> Command:
        """Answers the count."""
        return Command("tally", step, ("look", 0, 0, 0, "", 0), looks=True)

    def take(self) -> Command:
        """Answers the count and makes it as new."""
        return Command("tally", step, ("take", 0, 0, 0, "", 0))

    def job(self, key: str, amount: int, ago: int, writer: str, number: int) -> Job:
        """What adds a sum that was written behind to a key."""
        return key, self.add(amount, ago, writer, number)

    def added(self, answer: int) -> int:
        """The count after an add."""
        return answer

    def missed(self, now: int) -> None:
        """No bucket can be missed where there is none."""

    value = added
