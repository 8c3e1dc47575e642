"""
Waiting: `acquire` stands in line, first come first served per key within this process, until it is admitted.

Nobody polls: the first in line sleeps for exactly `retry_after`, the others sleep until they are first.
"""

import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, Protocol, TypeVar

import anyio

from ratekit.decision import Decision
from ratekit.errors import RateLimitExceeded
from ratekit.stores.naming import Canonical

FOREVER: Final = float("inf")


class Signal(Protocol):
    """What a place in line is told by when it becomes the first."""

    def set(self) -> Any:
        """Tell it."""
        ...


E = TypeVar("E", bound=Signal)


class Lines(Generic[E]):
    """Per key, who waits, in the order of arrival."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: dict[Canonical, deque[E]] = {}

    def busy(self, identity: Canonical) -> bool:
        """Whether somebody waits already."""
        return identity in self._lines

    def enter(self, identity: Canonical, place: E) -> None:
        """Stand at the end; whoever is first is told at once."""
        with self._lock:
            line = self._lines.setdefault(identity, deque())
            line.append(place)
            if len(line) == 1:
                place.set()

    def leave(self, identity: Canonical, place: E) -> None:
        """Go, admitted or not; the next one is told."""
        with self._lock:
            line = self._lines[identity]
            line.remove(place)
            if line:
                line[0].set()
            else:
                del self._lines[identity]


def pause(decision: Decision, deadline: float, now: float) -> float:
    """Seconds to wait before asking again; raises RateLimitExceeded when that cannot be in time."""
    wait = decision.retry_after
    if wait == FOREVER or now + wait > deadline:
        raise RateLimitExceeded(decision)
    return wait


def refused(decision: Decision) -> RateLimitExceeded:
    """The time was spent in line: refused, whatever the store would say now."""
    return RateLimitExceeded(Decision((False, *decision[1:])))


Ask = Callable[[], Decision]
AsyncAsk = Callable[[], Awaitable[Decision]]


def acquire(lines: Lines[threading.Event], identity: Canonical, hit: Ask, peek: Ask, timeout: float | None) -> Decision:
    """Wait in line until `hit` is admitted; raises RateLimitExceeded."""
    deadline = FOREVER if timeout is None else time.monotonic() + timeout
    ask = peek if lines.busy(identity) else hit
    decision = ask()
    if decision and ask is hit:
        return decision
    if not decision:
        pause(decision, deadline, time.monotonic())
    place = threading.Event()
    lines.enter(identity, place)
    try:
        if not place.wait(None if timeout is None else max(0.0, deadline - time.monotonic())):
            raise refused(peek())
        while not (decision := hit()):
            time.sleep(pause(decision, deadline, time.monotonic()))
        return decision
    finally:
        lines.leave(identity, place)


async def async_acquire(
    lines: Lines[anyio.Event], identity: Canonical, hit: AsyncAsk, peek: AsyncAsk, timeout: float | None
) -> Decision:
    """`acquire`, awaited."""
    deadline = FOREVER if timeout is None else time.monotonic() + timeout
    ask = peek if lines.busy(identity) else hit
    decision = await ask()
    if decision and ask is hit:
        return decision
    if not decision:
        pause(decision, deadline, time.monotonic())
    place = anyio.Event()
    lines.enter(identity, place)
    try:
        with anyio.move_on_after(None if timeout is None else max(0.0, deadline - time.monotonic())):
            await place.wait()
        if not place.is_set():
            raise refused(await peek())
        while not (decision := await hit()):
            await anyio.sleep(pause(decision, deadline, time.monotonic()))
        return decision
    finally:
        lines.leave(identity, place)
