"""
`ratekit edge`: what it shows of KV, Upstash and Redis, with and without a Redis at hand; and that it takes its server with it.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from servers import until
from typer.testing import CliRunner

from ratekit import Limit, Limiter
from ratekit.cli import app
from ratekit.cli.edge.costs import shards, ways
from ratekit.cli.edge.counter import NaiveCounter
from ratekit.cli.edge.hand import at_hand
from ratekit.cli.edge.limiters import behind_writer, kvstore, naive, single_writer
from ratekit.cli.edge.setting import LOCATIONS, Setting
from ratekit.cli.edge.tables import times
from ratekit.kv import KVStore
from ratekit.kv.node_terms import Terms
from ratekit.kv.simulator import World

PICTURES = ("edge-constraint.png", "edge-cost.png", "edge-latency.png", "edge-windows.png")
NOWHERE = "redis://127.0.0.1:1/0"


def setting(**changes):
    return Setting(**{"limit": Limit(100, per=60, algorithm="fixed_window"), "rate": 10.0, "nodes": 8, **changes})


def facts_of(result):
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def facts(redis_server):
    """What the command says of everything, a Redis at hand."""
    environment = {"RATEKIT_STORE": redis_server.url, "RATEKIT_ENABLED": None}
    return facts_of(CliRunner(env=environment).invoke(app, ["edge", "--json"]))


def test_everything_is_shown_with_pictures_in_less_than_a_minute(ratekit, tmp_path):
    began = time.process_time()
    result = ratekit("edge", "--out", tmp_path / "new" / "pictures", env={"COLUMNS": "80"})
    assert time.process_time() - began < 60
    assert result.exit_code == 0, result.output
    for words in (
        "hot read",
        "naive counter",
        "KVStore, quota",
        "single writer",
        "30 min",
        "Upstash fixed 1 GB",
        "KVStore, thrifty",
    ):
        assert words in result.stdout
    assert "…" not in result.stdout  # there is room for all of it
    assert sorted(path.name for path in (tmp_path / "new" / "pictures").iterdir()) == sorted(PICTURES)
    for path in (tmp_path / "new" / "pictures").iterdir():
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.stat().st_size < 300_000
        assert str(path) in result.stdout


def test_the_facts_hold_what_was_published_simulated_measured_and_worked_out(facts):
    assert facts["pictures"] == []
    for name in ("kv", "upstash"):
        for scenario, cell in facts["latency"]["published"][name].items():
            for share, published in cell.items():
                assert facts["latency"]["simulated"][name][scenario][share] == pytest.approx(published, rel=0.1)
    for cell in facts["latency"]["redis"].values():
        assert 0 < cell["p50"] <= cell["p99"]
    prices = [[price["all_billed"] for price in one["prices"]] for one in facts["cost"]["workloads"]]
    assert prices == [["55.00", "202.25", "20.00"], ["55.00", "40.25", "20.00"]]
    assert facts["cost"]["workloads"][0]["prices"][0]["less_included"] == "45.00"
    assert facts["cost"]["break_even_commands"] == 10_000_000


def test_the_same_hits_meet_every_limiter_and_none_exceeds_its_bound(facts):
    found = {one["name"]: one for one in facts["constraint"]["limiters"]}
    assert facts["constraint"]["hits"] == 600
    for name in ("naive counter", "time buckets"):
        assert found[name]["admitted"] == 600
        assert found[name]["bound"] is None
        assert found[name]["writes_accepted"] == 60
        assert found[name]["writes_refused"] == 540
        assert 0 < found[name]["updates_lost"] < 60
    for name in ("counter behind one writer", "single writer", "Redis"):
        assert found[name]["admitted"] == 100
    assert 100 < found["KVStore, sum"]["admitted"] < 300
    for one in found.values():
        assert one["bound"] is None or one["admitted"] <= one["bound"]
        assert one["admitted_by_second"][-1] == one["admitted"]
    for point in facts["windows"]:
        assert point["admitted"] <= point["bound"]
    assert {point["window"] for point in facts["windows"]} == {60, 120, 300, 600, 1800}


def test_the_longer_the_window_the_smaller_the_bound(facts):
    bounds = [point["bound"] for point in facts["windows"] if point["mode"] == "sum"]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[0] > 4
    assert bounds[-1] < 1.2


def test_the_same_seed_gives_the_same_worlds_and_another_seed_others():
    assert naive(setting()) == naive(setting())
    assert kvstore(setting(), "sum").admitted == kvstore(setting(), "sum").admitted
    assert naive(setting()).seen != naive(setting(seed=1)).seen


def test_uneven_loads_leave_a_part_of_equal_quotas_unused():
    assert len(kvstore(setting(uneven=True), "quota").admitted) < len(kvstore(setting(), "quota").admitted)


def test_what_the_named_redis_was_told_is_gone_afterwards(ratekit, redis_url, redis_client):
    before = set(redis_client.keys("*edge*"))
    facts_of(ratekit("edge", "latency", "constraint", "--json", "--store", redis_url))
    assert set(redis_client.keys("*edge*")) == before


@pytest.mark.parametrize(
    ("store", "word"),
    [(NOWHERE, "the one that was named does not answer"), ("memory://", "memory:// is none; write --store redis://")],
)
def test_without_a_redis_the_rest_is_shown_and_a_word_says_why(ratekit, store, word, tmp_path):
    result = ratekit("edge", "latency", "constraint", "--store", store, "--out", tmp_path)
    assert result.exit_code == 0
    assert f"Redis: skipped, {word}" in result.stdout
    assert "KVStore, sum" in result.stdout


def test_where_no_redis_server_is_installed_a_word_says_so(ratekit, tmp_path):
    found = facts_of(ratekit("edge", "latency", "--json", env={"PATH": str(tmp_path)}))
    assert found["latency"]["redis"] is None
    assert found["latency"]["redis_word"] == "no redis-server on the PATH; name one with --store"


def test_a_server_of_its_own_answers_while_it_is_needed_and_then_no_more():
    with at_hand(None) as hand:
        assert hand.url is not None
        assert "started for this" in hand.word
    with at_hand(hand.url) as gone:
        assert gone.url is None


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at /proc to find the server")
def test_a_command_that_is_ended_takes_its_server_with_it():
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RATEKIT_")}
    command = [sys.executable, "-m", "ratekit", "edge", "constraint", "--json", "--rate", "2000"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    end = time.monotonic() + 30
    while not (found := children.read_text().split()):
        assert time.monotonic() < end
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode != 0
    assert "Traceback" not in errors
    until(lambda: not Path(f"/proc/{found[0]}").exists())


def test_a_part_alone_needs_no_other(ratekit, tmp_path):
    result = ratekit("edge", "cost", "--reads", "5000000", "--writes", "2000000", "--gb", "0.2", "--out", tmp_path)
    assert result.exit_code == 0
    assert "5,000,000 reads, 2,000,000 writes, 0.2 GB" in result.stdout
    assert "naive counter" not in result.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["edge-cost.png"]
    found = facts_of(ratekit("edge", "cost", "--reads", "5000000", "--writes", "2000000", "--gb", "0.2", "--json"))
    # 5 x 0.50 + 2 x 5.00; less 5M reads and 1M writes; 70 x 0.20 per 100,000 commands, and 0.2 GB x 0.25.
    mine = found["cost"]["workloads"][0]["prices"]
    assert [(price["all_billed"], price["less_included"]) for price in mine] == [
        ("12.50", "5.00"),
        ("14.05", "14.00"),
        ("10.00", "10.00"),
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("speed",), "'speed': write one or several of latency, constraint, windows, cost"),
        (("--rate", "0"), "write up to 10,000 a second"),
        (("--nodes", "0"), "1 to 100 nodes"),
        (("--rate", "10000", "--limit", "5/hour"), "36,000,000 hits in a window"),
        (("constraint", "--limit", "10/10s"), "is over before the nodes hear of each other"),
        (("--limit", "10/minute burst 20"), "a fixed window has no burst"),
        (("cost", "--gb", "much"), "stored_gb"),
        (("cost", "--reads", "-1"), "reads -1"),
        (("cost", "--out", "/proc/nowhere"), "write a directory that can be written to"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(ratekit, arguments, words):
    result = ratekit("edge", *arguments)
    assert result.exit_code == 2, result.output
    assert words in result.stderr


def test_a_limit_that_is_too_small_for_equal_quotas_leaves_out_the_modes_that_need_them(ratekit, redis_url, tmp_path):
    result = ratekit("edge", "constraint", "--limit", "5/minute", "--store", redis_url, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert "KVStore, quota: skipped," in result.stdout


def test_it_does_not_pretend_to_limit_while_that_is_switched_off(ratekit):
    result = ratekit("edge", env={"RATEKIT_ENABLED": "0"})
    assert result.exit_code == 2
    assert "unset RATEKIT_ENABLED" in result.stderr


def test_one_object_that_is_asked_too_often_says_so():
    busy = setting(limit=Limit(5_000, per=2, algorithm="fixed_window"), rate=1_500.0)
    run = single_writer(busy)
    assert len(run.admitted) == 2_000
    assert run.note == "1,000 hits were answered that it is overloaded"
    assert len(behind_writer(busy).admitted) == 1_000  # two requests each: a read and a write


def test_a_naive_counter_alone_within_its_second_forgets_all_but_the_first():
    world = World()
    counter = NaiveCounter(world.namespace("limits"), 3)
    assert [counter.hit() for _ in range(100)] == [True] * 100
    assert (counter.accepted, counter.refused, counter.seen) == (1, 99, 1)


def test_what_kvstore_is_said_to_cost_is_what_it_asks_for_in_a_simulated_hour():
    terms = Terms(nodes=4, cache_age=30.0)
    world = World(log=0)
    stores = [
        KVStore(world.namespace("limits", place), nodes=4, cache_age=30.0, clock=world.clock, seed=i)
        for i, place in enumerate(LOCATIONS[:4])
    ]
    hits = [Limiter("1000000/hour fixed_window", store=store).hit for store in stores]
    for second in range(3600 + 300):
        if second == 300:  # they have found each other
            world.usage.clear()
        for _ in range(4):
            world.clock.advance(0.25)
            for store, hit in zip(stores, hits, strict=True):
                hit("hot")
                store.tick()
    month = shards(16.0, terms)
    assert world.usage["write"] * 720 == pytest.approx(month.writes, rel=0.15)
    assert world.usage["read"] * 720 == pytest.approx(month.reads, rel=0.15)
    assert world.usage["list"] * 720 == pytest.approx(month.lists, rel=0.15)


def test_by_the_clock_is_cheaper_than_by_the_hit_once_there_are_enough_hits():
    found = {way.name: way.dollars for way in ways((1.0, 1_000.0), 8)}
    assert found["KVStore, quick"][1_000.0] < found["Upstash, by the command"][1_000.0] < found["KV, a bucket per key"][1_000.0]
    assert found["KVStore, thrifty"][1_000.0] < found["Upstash, fixed 250 MB"][1_000.0]
    # 1,000 x 2,592,000 s: 2,592M reads and as many writes, less 10M and 1M.
    assert str(found["KV, a bucket per key"][1_000.0]) == "14246.00"


def test_a_ratio_has_two_digits():
    assert times(7.0) == "7 x"
    assert times(3_649.0) == "3,600 x"
