"""
One way into every store for counters, so that a test is written once: an async counter is called as a sync one is.
"""

from functools import partial

from doors import DOORS, PATIENT, UPSTASH, AsyncDoor

import ratekit.counters

WAYS = (*DOORS, *UPSTASH)


class Way:
    """Makes counters of any kind on the store behind a door."""

    def __init__(self, door):
        self.door = door

    def __getattr__(self, kind):
        return partial(self.make, kind)

    def make(self, kind, *words, **options):
        options = {"store": self.door.store, **PATIENT, **options}
        if isinstance(self.door, AsyncDoor):
            made = getattr(ratekit.counters, f"Async{kind}")(*words, **options)
            return Called(made, self.door.portal)
        return getattr(ratekit.counters, kind)(*words, **options)


class Called:
    """An async counter whose methods are called as sync ones."""

    def __init__(self, inner, portal):
        self.inner, self.portal = inner, portal

    def __getattr__(self, name):
        member = getattr(self.inner, name)
        return (lambda *words, **options: self.portal.call(partial(member, *words, **options))) if callable(member) else member
