"""
One writer per key, the way of Durable Objects: an object per name, which does one thing at a time, has storage of its own and an
alarm. What an eventually consistent store cannot do becomes simple: read, decide, write, and nobody in between.

`Objects` is the model, in this process. `writer_store` keeps limits in it, `writer_kv` puts an object before each key of a
namespace.

The price is what one object can do: some 1,000 requests a second, then it answers that it is overloaded.
"""

import heapq
import threading
from collections.abc import Callable, Hashable, Sequence
from contextlib import ExitStack
from typing import Any, Final

from ratekit.errors import ConfigurationError, StoreUnavailable
from ratekit.stores.memory import Clock

SECOND: Final = 1_000_000
MOST: Final = 1000
"""Requests a second and object: Cloudflare's published soft limit."""


class Overloaded(StoreUnavailable):
    """An object was asked more often than it can answer; it has done nothing. Later, or another object, may do."""

    def __init__(self, name: Hashable) -> None:
        super().__init__(f"object {name!r} is overloaded: more requests than it can answer", "server")


class Object:
    """One object: `storage` is its own, `alarm` when it wants to be woken (microseconds), None for never."""

    __slots__ = ("_asked", "_second", "alarm", "lock", "name", "storage")

    def __init__(self, name: Hashable) -> None:
        self.name = name
        self.lock = threading.RLock()
        self.storage: dict[Any, Any] = {}
        self.alarm: int | None = None
        self._second = self._asked = 0

    def admit(self, now: int, most: int) -> None:
        """Count a request; raises Overloaded for one too many within a second."""
        if now // SECOND != self._second:
            self._second, self._asked = now // SECOND, 0
        if self._asked >= most:
            raise Overloaded(self.name)
        self._asked += 1


class Objects:
    """
    Objects by name, made when they are asked for. `woken` is called with an object whose alarm is due, alone as every request is; an
    object without storage and alarm after it is no more. `most` is the requests a second that one answers.

    >>> objects = Objects(lambda: 0, woken=lambda object: None)
    >>> def count(object):
    ...     object.storage["n"] = object.storage.get("n", 0) + 1
    ...     return object.storage["n"]
    >>> objects.call("a", count), objects.call("a", count), objects.call("b", count)
    (1, 2, 1)
    """

    def __init__(self, clock: Clock, *, woken: Callable[[Object], None], most: int = MOST) -> None:
        if type(most) is not int or most < 1:
            raise ConfigurationError(f"most {most!r}: write the requests a second that an object answers, from 1")
        self._clock, self._woken, self._most = clock, woken, most
        self._lock = threading.Lock()
        self._objects: dict[Hashable, Object] = {}
        self._alarms: list[tuple[int, int, Object]] = []
        self._order = 0

    def __len__(self) -> int:
        """The objects that there are."""
        return len(self._objects)

    def call(self, name: Hashable, work: Callable[[Object], Any]) -> Any:
        """Let an object do something, alone. Raises Overloaded."""
        return self.call_together([name], lambda objects: work(objects[0]))

    def call_together(self, names: Sequence[Hashable], work: Callable[[list[Object]], Any]) -> Any:
        """Let several objects do something at once: each is asked, in one order for all callers, and held until the end."""
        self.ring()
        now = self._clock()
        with ExitStack() as held:
            objects = {name: self._enter(name, held) for name in sorted(set(names), key=repr)}
            for one in objects.values():
                one.admit(now, self._most)
            before = [one.alarm for one in objects.values()]
            answer = work([objects[name] for name in names])
            for one, alarm in zip(objects.values(), before, strict=True):
                if one.alarm is not None and one.alarm != alarm:
                    self._schedule(one, one.alarm)
        return answer

    def ring(self) -> None:
        """Wake the objects whose alarms are due."""
        now = self._clock()
        while (due := self._due(now)) is not None:
            at, one = due
            with one.lock:
                if one.alarm == at:  # else it was set anew
                    one.alarm = None
                    self._woken(one)
                    self._after(one)

    def next_alarm(self) -> int | None:
        """When the next alarm is due, or None."""
        return self._alarms[0][0] if self._alarms else None

    def _after(self, one: Object) -> None:
        if one.alarm is not None:
            self._schedule(one, one.alarm)
        elif not one.storage:
            self._objects.pop(one.name, None)

    def _due(self, now: int) -> tuple[int, Object] | None:
        with self._lock:
            if not self._alarms or self._alarms[0][0] > now:
                return None
            at, _, one = heapq.heappop(self._alarms)
            return at, one

    def _enter(self, name: Hashable, held: ExitStack) -> Object:
        while True:
            with self._lock:
                one = self._objects.setdefault(name, Object(name)) if name not in self._objects else self._objects[name]
            one.lock.acquire()
            if self._objects.get(name) is one:
                held.callback(one.lock.release)
                return one
            one.lock.release()  # it ended while we waited

    def _schedule(self, one: Object, at: int) -> None:
        with self._lock:
            self._order += 1
            heapq.heappush(self._alarms, (at, self._order, one))
