"""
One way into every store for counters, so that a test is written once: an async counter is called as a sync one is.
"""

from functools import partial

from doors import DOORS, PATIENT, UPSTASH, AsyncDoor

import ratekit.counters
from ratekit import StoreUnavailable
from ratekit.stores import RedisStore

WAYS = (*DOORS, *UPSTASH)


class Way:
    """Makes counters of any kind on the store behind a door."""

    def __init__(self, door):
        self.door = door
        self._leased = []

    def __getattr__(self, kind):
        return partial(self.make, kind)

    def make(self, kind, *words, **options):
        options = {"store": self.door.store, **PATIENT, **options}
        if isinstance(self.door, AsyncDoor):
            made = Called(getattr(ratekit.counters, f"Async{kind}")(*words, **options), self.door.portal)
        else:
            made = getattr(ratekit.counters, kind)(*words, **options)
        if kind == "ConcurrencyLimiter":
            self._leased.append(made)
        return made

    def close(self):
        """Renew no lease any more: what the clock of one test renews ends others' by the real one."""
        for made in self._leased:
            made.aclose() if isinstance(made, Called) else made.close()


class Called:
    """An async counter whose methods are called as sync ones."""

    def __init__(self, inner, portal):
        self.inner, self.portal = inner, portal

    def __getattr__(self, name):
        member = getattr(self.inner, name)
        return (lambda *words, **options: self.portal.call(partial(member, *words, **options))) if callable(member) else member


class Forgetful:
    """A store whose answers get lost: what is asked is done, and then there is no answer."""

    remote = True

    def __init__(self, url):
        self.inner, self.loses = RedisStore(url, budget=10), 0
        self.compile, self.decide, self.forget = self.inner.compile, self.inner.decide, self.inner.forget
        self.count, self.close = self.inner.count, self.inner.close

    def count_many(self, jobs, budget=None):
        answers = self.inner.count_many(jobs, budget)
        if self.loses:
            self.loses -= 1
            raise StoreUnavailable("no answer", "late")
        return answers
