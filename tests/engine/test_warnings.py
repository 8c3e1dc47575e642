"""
A warning names the line of the application that led to it, so that it is found, and shown once for each of them.
"""

import pytest

from ratekit import Limiter, RateKitWarning
from ratekit.stores import MemoryStore


def test_what_switches_limiting_off_is_said_at_the_line_that_makes_the_limiter(monkeypatch):
    monkeypatch.setenv("RATEKIT_ENABLED", "0")
    with pytest.warns(RateKitWarning, match="switches all rate limiting off") as said:
        Limiter("5/minute", name="warned-of-off")
    assert said[0].filename == __file__


def test_two_limiters_of_one_name_are_said_at_the_line_that_makes_the_second():
    first = Limiter("5/minute", name="warned-of-two")
    with pytest.warns(RateKitWarning, match="count together by different limits") as said:
        Limiter("6/minute", name="warned-of-two")
    assert said[0].filename == __file__
    assert first.hit("a")


def test_a_lease_that_lends_nothing_is_said_at_the_line_that_asks_for_it(redis_url):
    with pytest.warns(RateKitWarning, match="is for stores that are asked by a trip") as here:
        Limiter("5/minute", name="warned-of-lease", lease=0.05)
    with pytest.warns(RateKitWarning, match="nothing is lent") as there:
        Limiter("5/minute", name="warned-of-lease", store=redis_url, lease=0.05).close()
    assert [said[0].filename for said in (here, there)] == [__file__, __file__]


def test_a_full_memory_store_is_said_at_the_line_that_hits(clock):
    limiter = Limiter("5/minute", store=MemoryStore(max_keys=2, clock=clock), name="warned-of-full")
    limiter.hit("a")
    limiter.hit("b")
    with pytest.warns(RateKitWarning, match="holds its 2 keys") as said:
        limiter.hit("c")
    assert said[0].filename == __file__
