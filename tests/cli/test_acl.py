"""
The ACL line of `ratekit doctor`: a Redis user with exactly that may do all that ratekit does, and every command on it is needed.
"""

import asyncio
import json
import re
from contextlib import closing
from importlib import resources

import pytest
import servers
from redis.exceptions import ResponseError

import ratekit as library
from ratekit import Limiter, StoreError
from ratekit.cli.doctor_acl import acl_line, commands
from ratekit.counters import (
    AsyncCounter,
    ConcurrencyExceeded,
    ConcurrencyLimiter,
    Counter,
    Leaderboard,
    Served,
    Traffic,
    UniqueCounter,
)
from ratekit.counters.buckets import buckets_of
from ratekit.counters.ranking import Ranking
from ratekit.counters.series import Series
from ratekit.counters.tally import Tally
from ratekit.limit import ALGORITHM_NAMES
from ratekit.stores import RedisStore
from ratekit.testing import ManualClock

PATIENT = {"budget": 10.0}
TIMES = ({}, {"per": "minute", "keep": 3}, {"per": "month", "keep": 3, "tz": "Europe/Berlin"})


@pytest.fixture(scope="module")
def server():
    """A Redis of this file's own: what its users do is counted."""
    with servers.RedisServer() as server:
        yield server


@pytest.fixture
def redis(server):
    with server.client(decode_responses=True) as client:
        client.flushall()
        client.execute_command(*acl_line("ratekit").replace(">PASSWORD", ">secret").split())
        client.config_resetstat()
        yield client
        client.execute_command("ACL", "DELUSER", "ratekit")


def url_of(server):
    return f"redis://ratekit:secret@127.0.0.1:{server.port}/0"


def spoilt(redis, kind, value="no state of ours"):
    """Make what a counter has written something else, so that it has to be repaired."""
    for key in redis.scan_iter(f"*{kind}*"):
        redis.delete(key)
        redis.set(key, value) if not isinstance(value, list) else redis.rpush(key, *value)


def plain_counters(store, redis):
    for options in TIMES:
        with Counter("acl", store=store, **options, **PATIENT) as counter:
            for _ in range(2):
                assert counter.add("ann", 2) >= 2
                spoilt(redis, "ct1") if not options else spoilt(redis, "cs1")
            assert counter.add_many({"ann": 1, "bob": 5})[1] == 5
            assert counter.value("bob") == 5
            assert counter.take("bob") == 5
            counter.reset("ann")
            if options:
                assert counter.series("ann")[-1].count == 0
    with Counter("ends", store=store, floor=0, expire=None, **PATIENT) as counter:
        assert counter.add("ann", -3) == 0
    with Counter("ends", store=store, floor=0, per="hour", keep=2, **PATIENT) as counter:
        assert counter.add("ann", -3) == 0
    with Counter("behind", store=store, write_behind=3_600, **PATIENT) as counter:
        counter.add("ann", 3)


def members_and_boards(store, redis):
    for options in TIMES:
        with UniqueCounter("acl", store=store, **options, **PATIENT) as counter:
            counter.add("page", "ann", "bob")
            spoilt(redis, "uq1", ["a list"])
            counter.add("page", "ann", "bob")
            assert counter.count("page") == 2
            if options:
                assert counter.series("page")[-1].count == 2
            counter.reset("page")
        with Leaderboard("acl", store=store, size=2, **options, **PATIENT) as board:
            for _ in range(2):
                board.add("ann", 3)
                spoilt(redis, "lb1")
            assert [board.add(member, 9) for member in ("ann", "bob", "cat")] == [9, 9, 9]
            assert board.add("ann", 10**15) == 10**15 + 9
            assert [board.add("ann", 10**15) for _ in range(9)][-1] == 2**53 - 1
            assert (len(board.top()), board.rank("ann"), board.remove("ann")) == (2, 1, True)
            board.reset()


def concurrency(store, redis):
    limiter = ConcurrencyLimiter(1, "acl", store=store, lease=10.0, **PATIENT)
    held = limiter.acquire("ann")
    with pytest.raises(ConcurrencyExceeded):
        limiter.acquire("ann", timeout=0.05)
    assert limiter.holders("ann") == 1
    limiter.release(held)
    with limiter.hold("ann"):
        spoilt(redis, "cl1")
    limiter.close()


def sent_again_and_pruned(store, redis):
    """What is seldom done: a sum that was written already, and more buckets than are kept."""
    clock = ManualClock()
    with closing(RedisStore(store, clock=clock, budget=10)) as there:
        for plan in (Tally(-(2**53), 0), Series(buckets_of("minute"), 1, -(2**53)), Ranking(buckets_of("minute"), 1, 0, 9)):
            words = (1,) if not isinstance(plan, Ranking) else ("ann", 1)
            for _ in range(2):
                assert there.count(f"ratekit:again:{plan.label}", plan.add(*words, 0, "writer", 1))
        with Counter("pruned", store=there, per="minute", keep=1) as counter:
            for _ in range(20):
                counter.add("ann")
                clock.advance(60)


def limiters(store, redis):
    for algorithm in ALGORITHM_NAMES:
        text = "2 per calendar month Europe/Berlin" if algorithm == "calendar" else f"2/minute {algorithm}"
        with Limiter(text, store=store, name=f"acl {algorithm}", on_outage="closed", deny_cache=0, **PATIENT) as limiter:
            assert [bool(limiter.hit("user:42")) for _ in range(3)] == [True, True, False]
            with limiter.reserve("user:7", 2) as reservation:
                reservation.commit(1)
            redis.set(next(iter(redis.scan_iter("*user:42*"))), "no state of ours")
            assert limiter.hit("user:42")
            limiter.reset("user:42")
            assert limiter.peek("user:42").remaining == 2


def traffic(store, redis):
    with Traffic("acl", store=store, every=3_600) as counting:
        counting.count(Served("/items/{id}", "GET", 429, 0.1, "192.0.2.1", (("login", "ann"),)))
        assert counting.report().requests == 1


@pytest.mark.parametrize("what", [plain_counters, members_and_boards, concurrency, limiters, traffic])
def test_the_line_is_enough(server, redis, what):
    what(url_of(server), redis)
    with closing(
        RedisStore(url_of(server), clock=ManualClock(), budget=10)
    ) as store:  # by a clock that a test moves scripts look for what has ended
        what(store, redis)


def test_the_line_is_enough_for_event_loops(server, redis):
    async def scenario():
        async with AsyncCounter("acl", store=url_of(server), **PATIENT) as counter:
            return await counter.add("ann")

    assert asyncio.run(scenario()) == 1


def test_the_line_is_enough_for_the_doctor_and_the_counters_commands(ratekit, server, redis):
    found = json.loads(ratekit("doctor", "--store", url_of(server), "--json").stdout)
    assert {one["check"]: one["level"] for one in found}["script"] == "good"
    for words in (("add", "x", "3"), ("value", "x"), ("top",), ("unique", "x"), ("requests",)):
        assert ratekit("count", *words, "--store", url_of(server)).exit_code == 0


def test_every_command_of_the_counters_scripts_is_on_the_line_and_is_run(server, redis):
    sent_again_and_pruned(url_of(server), redis)
    for what in (plain_counters, members_and_boards, concurrency, traffic):
        what(url_of(server), redis)
        with closing(RedisStore(url_of(server), clock=ManualClock(), budget=10)) as store:
            what(store, redis)
    known = {name.upper() for name in redis.command_list()}
    scripts = [
        entry.read_text() for entry in resources.files(library).joinpath("counters").iterdir() if entry.name.endswith(".lua")
    ]
    words = {word.strip("'\"") for text in scripts for word in re.findall(r"'[A-Z]+'", text)}
    needed = {name.lower() for name in words & known}
    assert needed <= set(commands())
    ran = {name.removeprefix("cmdstat_") for name in redis.info("commandstats")}
    assert needed - ran == set()


def everything(store, redis):
    for what in (plain_counters, members_and_boards, concurrency):
        what(store, redis)


@pytest.mark.parametrize("without", ["hincrby", "incrby", "pfadd", "zincrby", "zremrangebyscore"])
def test_without_one_of_them_something_fails(server, redis, without):
    redis.execute_command("ACL", "SETUSER", "ratekit", f"-{without}")
    with pytest.raises(StoreError):
        everything(url_of(server), redis)


def test_nothing_else_is_allowed(server, redis):
    with server.client(username="ratekit", password="secret") as user:
        for words in (
            ("GET", "somebody:else"),
            ("EVAL", "return redis.call('GET', 'somebody:else')", "0"),
            ("KEYS", "*"),
            ("CONFIG", "GET", "*"),
            ("FLUSHALL",),
            ("PUBLISH", "channel", "message"),
            ("ACL", "LIST"),
            ("SCAN", "0"),
        ):
            with pytest.raises(ResponseError, match=r"(?i)no permission|can't access"):
                user.execute_command(*words)
