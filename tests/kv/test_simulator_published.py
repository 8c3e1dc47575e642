"""
The simulated world is as fast as the real one was measured to be; and a virtual hour of it is cheap.
"""

import random
import time
from contextlib import suppress

import pytest

from ratekit.kv import KVError
from ratekit.kv.simulator import Latencies, LogNormal, UpstashLatencies, World
from ratekit.kv.simulator.latency import raced
from ratekit.kv.simulator.published import PUBLISHED, SCENARIOS, measured
from ratekit.kv.simulator.upstash import UpstashModel
from ratekit.testing import ManualClock


@pytest.fixture(scope="module")
def cells():
    return measured(samples=10_000, seed=2026)


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("store", ["kv", "upstash"])
def test_each_published_cell_is_met_within_ten_percent(cells, store, scenario):
    ours, published = cells[store][scenario], PUBLISHED[store][scenario]
    assert ours.p50 == pytest.approx(published.p50, rel=0.1)
    assert ours.p99 == pytest.approx(published.p99, rel=0.1)


def test_the_published_cells_are_those_that_were_published():
    assert {name: {scenario: tuple(cell) for scenario, cell in row.items()} for name, row in PUBLISHED.items()} == {
        "kv": {
            "hot read": (2.6, 5.8),
            "cold read": (30.6, 45.6),
            "single write": (171.8, 253.2),
            "read after write": (176.2, 260.6),
        },
        "upstash": {
            "hot read": (5.6, 8.8),
            "cold read": (6.8, 28.2),
            "single write": (6.2, 8.6),
            "read after write": (24.8, 37.0),
        },
    }


def test_a_read_after_a_write_is_a_write_and_a_hot_read_and_nothing_else():
    slow = Latencies(hot=LogNormal(7, 7), cold=LogNormal(1_000, 1_000), write=LogNormal(100, 100))
    clock = ManualClock()
    world = World(clock=clock, stores=1, latencies=slow)
    namespace = world.namespace("docs")
    namespace.put("key", b"value")
    write = world.last.latency
    clock.advance_us(write)
    assert namespace.get("key") == b"value"
    assert (write, world.last.latency) == (100_000, 7_000)
    elsewhere = World(clock=clock, stores=1, latencies=slow, write_through=False).namespace("docs")
    elsewhere.put("key", b"value")
    clock.advance_us(write)
    elsewhere.get("key")
    assert elsewhere._world.last.latency == 1_000_000


def test_the_first_of_some_runners_follows_the_law_that_was_asked_for():
    law, rng = LogNormal(171.8, 253.2), random.Random(1)
    for runners in (1, 2, 3):
        runner = raced(law, runners)
        firsts = sorted(min(runner.draw(rng) for _ in range(runners)) for _ in range(40_000))
        assert firsts[20_000] / 1000 == pytest.approx(law.p50, rel=0.01)
        assert firsts[39_600] / 1000 == pytest.approx(law.p99, rel=0.02)
    assert raced(law, 1).p50 == pytest.approx(law.p50)


def test_a_law_has_the_quantiles_it_was_fitted_to():
    law, rng = LogNormal(5.6, 8.8), random.Random(2)
    drawn = sorted(law.draw(rng) for _ in range(40_000))
    for share in (0.1, 0.5, 0.9, 0.99):
        assert drawn[int(share * 40_000)] / 1000 == pytest.approx(law.quantile(share), rel=0.03)


@pytest.mark.parametrize("wrong", [(0, 1), (-1, 1), (2, 1), (1, float("inf"))])
def test_what_is_no_law_is_said_so(wrong):
    with pytest.raises(ValueError, match="write milliseconds"):
        LogNormal(*wrong)


def test_a_replica_shows_a_write_a_lag_later_and_to_who_carries_its_token_at_once():
    laws = UpstashLatencies(LogNormal(5, 5), LogNormal(9, 9), LogNormal(6, 6), LogNormal(13, 13))
    model = UpstashModel(laws=laws)
    assert model.write("key", b"1", now=0) == 6_000
    assert model.read("key", now=6_000) == (None, 5_000)
    assert model.read("key", now=6_000, token=model.token) == (b"1", 18_000)
    assert model.read("key", now=19_000) == (b"1", 5_000)
    model.write("key", b"2", now=20_000)
    assert model.read("key", now=38_999)[0] == b"1"
    assert model.read("key", now=39_000) == (b"2", 5_000)
    assert model.read("key", now=200_000_000) == (b"2", 9_000)


@pytest.mark.long
def test_a_virtual_hour_of_eight_nodes_and_a_hundred_hits_a_second_is_simulated_in_a_few_seconds():
    """The most that a limiter can ask of the world: a read and a write for every hit."""
    clock = ManualClock()
    world = World(clock=clock)
    nodes = [world.namespace("docs", location) for location in ("IAD", "EWR", "SJC", "FRA", "LHR", "NRT", "SYD", "GRU")]
    begun = time.process_time()
    for hit in range(3600 * 100):
        clock.advance_us(10_000)
        node = nodes[hit % 8]
        node.get("counter", cache_ttl=30)
        with suppress(KVError):
            node.put("counter", b"1", expiration_ttl=60)
    assert world.usage["read"] == 360_000
    assert world.usage["write"] == 3_600
    assert world.refused == {429: 356_400}
    assert time.process_time() - begun < 60  # some 6 on a core that nobody else uses
