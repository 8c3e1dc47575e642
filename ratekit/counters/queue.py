"""
Queue: who waits in this process, first come first served per key. Whoever is first asks the store; the others sleep.
"""

import threading
from collections import deque
from collections.abc import Callable, Hashable
from typing import Any, Final

FIRST_PAUSE: Final = 0.005
LONGEST_PAUSE: Final = 0.1
"""Seconds between two questions of who is first, at first and at most: places that other processes free are seen no later."""


class Place:
    """A place in a queue. `waits` once it was refused; `event` is then the one to sleep by, set when there is something to ask for."""

    __slots__ = ("event", "pause", "waits")

    def __init__(self) -> None:
        self.event: Any = None
        self.pause = FIRST_PAUSE
        self.waits = False

    def longer(self, most: float) -> float:
        """Seconds to sleep before the next question."""
        pause, self.pause = self.pause, min(2 * self.pause, LONGEST_PAUSE)
        return max(0.0, min(pause, most))


class Queue:
    """Those who came, in order, and how many of them wait."""

    __slots__ = ("places", "waiting")

    def __init__(self) -> None:
        self.places: deque[Place] = deque()
        self.waiting = 0


class Queues:
    """Per key, who came; `new_event` makes what one sleeps by."""

    def __init__(self, new_event: Callable[[], Any]) -> None:
        self._new_event = new_event
        self._lock = threading.Lock()
        self._queues: dict[Hashable, Queue] = {}

    def waiting(self, key: Hashable) -> int:
        """How many wait."""
        queue = self._queues.get(key)
        return queue.waiting if queue else 0

    def enter(self, key: Hashable) -> Place:
        """Stand at the end."""
        place = Place()
        with self._lock:
            self._queues.setdefault(key, Queue()).places.append(place)
        return place

    def asks(self, key: Hashable, place: Place) -> bool:
        """
        Whether to ask the store: who comes and finds nobody waiting, and of those who wait the first. Their event is a new one from
        now on, so that what happens meanwhile is not missed.
        """
        with self._lock:
            queue = self._queues[key]
            if place.waits:
                place.event = self._new_event()
                return queue.places[0] is place
            return not queue.waiting

    def stay(self, key: Hashable, place: Place) -> None:
        """Wait."""
        with self._lock:
            self._queues[key].waiting += not place.waits
            place.waits = True

    def leave(self, key: Hashable, place: Place) -> None:
        """Go, with or without; the next one is woken."""
        with self._lock:
            queue = self._queues[key]
            queue.places.remove(place)
            queue.waiting -= place.waits
            if not queue.places:
                del self._queues[key]
        self.wake(key)

    def wake(self, key: Hashable) -> None:
        """Something may be free: wake the first."""
        with self._lock:
            queue = self._queues.get(key)
            event = queue.places[0].event if queue else None
        if event is not None:
            event.set()
