"""
`ratekit top` and `ratekit watch`, against a real Redis; and in a terminal, where they are drawn anew.
"""

import json
import os
import pty
import subprocess
import sys

import pytest

from ratekit import Limiter
from ratekit.algorithms import SPEND
from ratekit.limit import limits_of
from ratekit.stores.naming import plan_of
from ratekit.stores.protocol import hit
from ratekit.stores.redis import RedisStore


@pytest.fixture
def spent(redis_url):
    """Three clients of two limits: one at its end, one near it, one far from it."""
    with Limiter("10/hour", "100/day", store=redis_url, name="live") as limiter:
        limiter.hit("near", cost=8)
        limiter.hit(("far", "away"), cost=1)
        limiter.hit("at the end", cost=10)
        yield limiter


def test_top_shows_who_is_nearest_to_the_end_first_and_charges_nothing(ratekit, redis_url, spent):
    options = ("--limit", "10/hour", "--limit", "100/day", "--store", redis_url, "--name", "live")
    for _ in range(2):
        rows = json.loads(ratekit("top", *options, "--json").stdout)
        assert [(row["client"], row["limit"], row["spent"], row["allows"]) for row in rows] == [
            ("at the end", "10/hour", 10, False),
            ("near", "10/hour", 8, True),
            ("at the end", "100/day", 10, True),
            ("(far,away)", "10/hour", 1, True),
            ("near", "100/day", 8, True),
            ("(far,away)", "100/day", 1, True),
        ]
    said = ratekit("top", *options, "--rows", 2).stdout
    assert "6 clients and limits in use, 1 refused now" in said
    assert "at the end" in said
    assert "far" not in said


def test_top_of_a_file_of_policies_names_the_policy(ratekit, redis_url, tmp_path):
    file = tmp_path / "policies.toml"
    file.write_text('[[policies]]\nname = "login"\nlimits = "3/hour"\n')
    store = RedisStore(redis_url, budget=5.0)
    hit(store, plan_of(limits_of("3/hour"), prefix="ratekit", name="default", policy="login"), "192.0.2.7", 3, SPEND)
    store.close()
    (row,) = json.loads(ratekit("top", "--policies", file, "--store", redis_url, "--json").stdout)
    assert (row["client"], row["policy"], row["spent"]) == ("192.0.2.7", "login", 3)


def test_top_looks_at_no_more_keys_than_it_may(ratekit, redis_url):
    with Limiter("10/hour", store=redis_url, name="many live") as limiter:
        limiter.hit_many(list(range(500)))
    options = ("--limit", "10/hour", "--store", redis_url, "--name", "many live", "--keys", 300, "--rows", 999)
    rows = json.loads(ratekit("top", *options, "--json").stdout)
    assert len(rows) == 300


def test_watch_shows_one_client_and_charges_nothing(ratekit, redis_url, spent):
    options = ("--limit", "10/hour", "--limit", "100/day", "--store", redis_url, "--name", "live")
    for _ in range(2):
        said = ratekit("watch", "near", *options).stdout
        assert "near  admitted" in said
        assert "8 of 10" in said
        assert "8 of 100" in said
    assert "refused for 3," in ratekit("watch", "at the end", *options).stdout


@pytest.mark.parametrize("command", [("watch", "near"), ("top",)])
def test_in_a_terminal_they_are_drawn_anew_and_end_by_themselves_where_asked(redis_url, spent, command):
    ours, theirs = pty.openpty()
    options = ["--limit", "10/hour", "--store", redis_url, "--name", "live", "--count", "3", "--every", "0.1"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    process = subprocess.Popen([sys.executable, "-m", "ratekit", *command, *options], stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    said = b""
    while True:
        try:
            said += os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
    os.close(ours)
    assert process.wait(30) == 0
    assert said.count(b"8 of 10") >= 3
    assert b"\x1b[" in said


@pytest.mark.parametrize("command", [("watch", "near"), ("top",)])
def test_they_need_a_store_that_is_shared_and_there(ratekit, command):
    assert ratekit(*command, "--limit", "3/hour").exit_code == 2
    assert ratekit(*command, "--limit", "3/hour", "--store", "redis://127.0.0.1:1/0").exit_code == 1
    assert ratekit(*command, "--store", "redis://127.0.0.1:1/0").exit_code == 2


def test_what_a_key_hides_is_not_sent_to_the_terminal(ratekit, redis_url):
    options = ("--limit", "3/hour", "--store", redis_url, "--name", "hidden")
    with Limiter("3/hour", store=redis_url, name="hidden") as limiter:
        limiter.hit("\x1b[2J")
    assert "\x1b" not in ratekit("top", *options).stdout
    assert "\x1b" not in ratekit("watch", "\x1b[2J", *options).stdout
