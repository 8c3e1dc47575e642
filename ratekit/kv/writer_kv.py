"""
A key-value store behind one writer per key: the writes of a key become one a second, and none is lost to another writer. Who reads
the store elsewhere still reads late.
"""

from typing import Final

from ratekit.errors import StoreError
from ratekit.kv.namespace import Namespace
from ratekit.kv.writer import MOST, Object, Objects
from ratekit.stores.memory import Clock

SECOND: Final = 1_000_000


class CoalescingWriter:
    """
    A namespace behind one writer per key: however often a key is put, it is written at most once a second, the latest value. Reading
    through the writer shows the latest; reading the namespace shows what its caches have.

    Writes that must wait are made by `ring`, which whoever moves the clock calls; a write that fails is made a second later.

    >>> from ratekit.kv.simulator import World
    >>> world = World()
    >>> writer = CoalescingWriter(world.namespace("limits"), clock=world.clock)
    >>> for number in range(100):
    ...     writer.put("counter", str(number))
    >>> writer.get("counter"), writer.written
    (b'99', 1)
    >>> world.clock.advance(1)
    >>> writer.ring()
    >>> world.namespace("limits").get("counter"), writer.written
    (b'99', 2)
    """

    def __init__(self, namespace: Namespace, *, clock: Clock, most: int = MOST) -> None:
        self._namespace, self._clock = namespace, clock
        self.objects = Objects(clock, woken=self._wake, most=most)
        self.written = self.failed = 0

    def put(self, key: str, value: bytes | str, *, expiration_ttl: int | None = None) -> None:
        """Have a value written, now or as soon as the key may be written again. Raises Overloaded."""
        data = value.encode() if isinstance(value, str) else value

        def work(one: Object) -> None:
            now, ends = self._clock(), None if expiration_ttl is None else self._clock() + expiration_ttl * SECOND
            one.storage |= {"value": data, "ttl": expiration_ttl, "ends": ends, "waits": True}
            free = one.storage.get("wrote", now - SECOND) + SECOND
            if now >= free:
                self._write(one, now)
            else:
                one.alarm = free

        self.objects.call(key, work)

    def get(self, key: str) -> bytes | None:
        """The latest value, also when it is not written yet; one that this writer does not know is asked of the namespace."""
        value: bytes | None = self.objects.call(key, lambda one: one.storage.get("value"))
        return self._namespace.get(key) if value is None else value

    def ring(self) -> None:
        """Make the writes that are due."""
        self.objects.ring()

    def _wake(self, one: Object) -> None:
        now, ends = self._clock(), one.storage.get("ends")
        if one.storage.get("waits"):
            self._write(one, now)
        elif ends is not None and now >= ends:
            one.storage.clear()
        else:
            one.alarm = ends

    def _write(self, one: Object, now: int) -> None:
        one.storage["wrote"], one.alarm = now, now + SECOND
        try:
            self._namespace.put(str(one.name), one.storage["value"], expiration_ttl=one.storage["ttl"])
        except StoreError:
            self.failed += 1
        else:
            self.written += 1
            one.storage["waits"] = False
