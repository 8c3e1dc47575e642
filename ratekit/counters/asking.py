"""
Asking: one question to a store, and what to make of the answer; the same for threads and event loops.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ratekit.counters.clock import Hint, Missed
from ratekit.errors import CountedInPart, StoreError
from ratekit.stores.counting import Command

T = TypeVar("T")
Make = Callable[[], Command]
"""The command as it is to be sent now."""


def ask(store: Any, key: str, make: Make, read: Callable[[Any], T], hint: Hint) -> T:
    """What `read` makes of the answer. Asked again only when the store said that it was asked about another time, and did nothing."""
    try:
        return read(store.count(key, make()))
    except Missed as missed:
        hint.learn(missed.now)
        return read(store.count(key, make()))


async def async_ask(store: Any, key: str, make: Make, read: Callable[[Any], T], hint: Hint) -> T:
    """`ask`, awaited."""
    try:
        return read(await store.count(key, make()))
    except Missed as missed:
        hint.learn(missed.now)
        return read(await store.count(key, make()))


def in_part(error: CountedInPart, read: Callable[[Any], T]) -> CountedInPart:
    """The same error as a counter's caller is told it: with what `read` makes of each answer that came."""
    answers: list[T | None] = []
    for answer in error.answers:
        try:
            answers.append(None if answer is None else read(answer))
        except Missed:  # it was asked about another time, and did nothing
            answers.append(None)
    return CountedInPart(str(error), error.fault, answers)


def later(error: StoreError, answers: Sequence[Any], again: Sequence[int]) -> CountedInPart:
    """That those which were asked again, by their place, were not all counted."""
    placed: list[Any] = [*answers]
    came = error.answers if isinstance(error, CountedInPart) else [None] * len(again)
    for i, answer in zip(again, came, strict=True):
        placed[i] = answer
    return CountedInPart(str(error), error.fault, placed)


def missed_of(answers: Sequence[Any], read: Callable[[Any], Any], hint: Hint) -> list[int]:
    """Of many answers those that have to be asked for again, by their place."""
    again = []
    for i, answer in enumerate(answers):
        try:
            read(answer)
        except Missed as missed:
            hint.learn(missed.now)
            again.append(i)
    return again
