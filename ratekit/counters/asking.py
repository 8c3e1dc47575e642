"""
Asking: one question to a store, and what to make of the answer; the same for threads and event loops.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ratekit.counters.clock import Hint, Missed
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
