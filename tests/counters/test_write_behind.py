"""
Write-behind: sums that wait, are written once whatever becomes of the answers, and are lost in a crash only as far as it is stated.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import servers
from servers import until
from ways import Forgetful

from ratekit import ConfigurationError, StoreUnavailable
from ratekit.counters import AsyncCounter, Counter
from ratekit.counters.backlog import REMEMBERED, Backlog
from ratekit.counters.buckets import buckets_of
from ratekit.counters.series import Series
from ratekit.counters.tally import Tally
from ratekit.stores import RedisStore

ROOT = Path(__file__).parents[2]
LONG = os.environ.get("RATEKIT_LONG", "0") == "1"
LATER = 3_600.0
PLAIN = Tally(-(2**53), 0)


def value(url, name, identity="ann", **options):
    with Counter(name, store=url, budget=10, **options) as counter:
        return counter.value(identity)


def test_what_is_added_waits_until_it_is_written(redis_url):
    counter = Counter("behind", store=redis_url, write_behind=LATER, budget=10)
    assert [counter.add("ann"), counter.add("ann", 5), counter.add("bob")] == [1, 6, 1]
    assert counter.add_many({"ann": 1, "cat": 2}) == [7, 2]
    assert (counter.value("ann"), counter.behind.wait) == (0, 3)
    counter.flush()
    assert (counter.values(["ann", "bob", "cat"]), counter.behind.wait) == ([7, 1, 2], 0)
    counter.add("ann")
    assert counter.take("ann") == 8
    counter.close()


def test_it_is_written_every_interval(redis_url):
    with Counter("behind", store=redis_url, write_behind=0.02, budget=10) as counter:
        counter.add("ann", 3)
        until(lambda: counter.value("ann") == 3)
        counter.add("ann", 4)
        until(lambda: counter.value("ann") == 7)


def test_leaving_writes_what_waits(redis_url):
    with Counter("behind", store=redis_url, write_behind=LATER, budget=10) as counter:
        counter.add_many([f"user:{i}" for i in range(1200)])
    assert value(redis_url, "behind", "user:1199") == 1


@pytest.mark.parametrize("options", [{}, {"per": "minute", "keep": 3}, {"per": "month", "keep": 3}], ids=str)
def test_what_is_sent_again_after_a_lost_answer_is_counted_once(redis_url, options):
    store = Forgetful(redis_url)
    counter = Counter("lost", store=store, write_behind=LATER, **options)
    counter.add_many({"ann": 3, "bob": 4})
    store.loses = 3
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            counter.flush()
        counter.add("ann", 10)
    counter.flush()
    assert (counter.value("ann"), counter.value("bob"), counter.behind.wait) == (33, 4, 0)
    store.close()


def test_a_store_that_is_away_delays_what_waits_and_loses_nothing(clock):
    with servers.RedisServer() as server:
        counter = Counter("away", store=server.url, write_behind=0.02, budget=0.5)
        counter.add("ann")
        until(lambda: not counter.behind.wait)
        server.stop()
        for _ in range(100):
            counter.add("ann")
            time.sleep(0.001)
        with suppress(StoreUnavailable):
            counter.flush()
        assert counter.behind.wait
        server.start()
        until(lambda: not counter.behind.wait)
        assert value(server.url, "away") == 100  # what it held before went with it
        counter.close()


def test_sums_beyond_the_bound_are_dropped_and_said():
    backlog = Backlog(PLAIN, 1, most=2)
    assert [backlog.add(key, 5, 0) for key in ("ann", "bob", "cat", "ann")] == [5, 5, 0, 10]
    assert (backlog.behind().wait, backlog.behind().dropped) == (2, 5)


def test_what_the_script_might_have_forgotten_is_not_sent_again():
    backlog = Backlog(PLAIN, 1)
    backlog.add("ann", 5, 0)
    jobs = backlog.next(0)
    backlog.sending(0)
    backlog.add("ann", 2, 1)
    assert backlog.next(REMEMBERED) == jobs
    (job,) = backlog.next(REMEMBERED + 1)
    assert (job[1].words[1], backlog.behind().unsure) == (2, 5)


def test_what_was_never_sent_waits_for_ever():
    backlog = Backlog(PLAIN, 1)
    backlog.add("ann", 5, 0)
    assert backlog.next(0) == backlog.next(10 * REMEMBERED)


def test_sums_go_into_the_buckets_of_their_time(redis_url, clock):
    store = RedisStore(redis_url, budget=10, clock=clock)
    clock.advance_us(-clock() % 60_000_000 + 30_000_000)
    for per, tz in (("minute", None), ("hour", "Europe/Berlin")):
        plan = Series(buckets_of(per, tz), 8, -(2**53))
        plan.hint.learn(clock())
        backlog, unit = Backlog(plan, 1_000_000), 60_000_000 if per == "minute" else 3_600_000_000
        for ago in range(7):
            backlog.add(f"key {per}", 10**ago, 10 * unit - ago * unit)
        backlog.written(store.count_many(backlog.next(10 * unit)))
        counts = [bucket.count for bucket in plan.series(store.count(f"key {per}", plan.look()), 7)]
        assert counts == [10**ago for ago in range(6, -1, -1)]
    store.close()


def test_sums_of_the_calendar_that_waited_for_very_long_go_into_the_oldest(redis_url, clock):
    store = RedisStore(redis_url, budget=10, clock=clock)
    plan = Series(buckets_of("hour", "Europe/Berlin"), 3, -(2**53))
    plan.hint.learn(clock())
    backlog = Backlog(plan, 1_000_000)
    backlog.add("key", 5, 0)
    backlog.written(store.count_many(backlog.next(500 * 3_600_000_000)))
    assert backlog.behind().wait == 0
    store.close()


def test_a_task_writes_behind_and_the_end_of_the_loop_writes_the_rest(redis_url):
    async def scenario():
        counter = AsyncCounter("loop", store=redis_url, write_behind=0.02, budget=10)
        await counter.add("ann", 3)
        while counter.behind.wait:
            await asyncio.sleep(0.005)
        assert await counter.value("ann") == 3
        other = AsyncCounter("loop", store=redis_url, write_behind=LATER, budget=10)
        await other.add("ann", 4)

    asyncio.run(scenario())
    assert value(redis_url, "loop") == 7


def test_closing_in_a_loop_writes_what_waits(redis_url):
    async def scenario():
        async with AsyncCounter("loop", store=redis_url, write_behind=LATER, budget=10) as counter:
            await counter.add_many(["ann", "ann", "bob"])

    asyncio.run(scenario())
    assert value(redis_url, "loop") == 2


ENDING = """if True:
    import sys
    from ratekit.counters import Counter
    counter = Counter("ending", store=sys.argv[1], write_behind=3600, budget=10)
    for _ in range(1000):
        counter.add("ann")
    if sys.argv[2] == "raise":
        raise SystemExit(3)
"""


@pytest.mark.parametrize("how", ["return", "raise"])
def test_the_end_of_a_program_writes_what_waits(redis_url, how):
    subprocess.run([sys.executable, "-c", ENDING, redis_url, how], cwd=ROOT, check=False, timeout=60)
    assert value(redis_url, "ending") == 1000


KILLED = """if True:
    import sys, time
    from ratekit.counters import Counter
    counter = Counter("killed", store=sys.argv[1], write_behind=0.2, budget=10)
    while True:
        counter.add("ann")
        sys.stdout.write(f"{time.monotonic()}\\n")
        time.sleep(0.001)
"""


def test_a_process_that_is_killed_loses_what_it_added_within_an_interval(redis_url):
    process = subprocess.Popen([sys.executable, "-u", "-c", KILLED, redis_url], stdout=subprocess.PIPE, cwd=ROOT)
    added = [float(process.stdout.readline()) for _ in range(600)]
    os.kill(process.pid, signal.SIGKILL)
    killed = time.monotonic()
    process.wait()
    added += [float(line) for line in process.stdout.read().splitlines()]
    process.stdout.close()
    kept = value(redis_url, "killed")
    slack = 0.5  # a machine that is busy writes late
    assert sum(at < killed - 0.2 - slack for at in added) <= kept <= len(added) + 1


CROWD = """if True:
    import asyncio, sys
    from ratekit.counters import AsyncCounter
    async def main(url, adds, behind):
        async with AsyncCounter("crowd", store=url, budget=20, write_behind=0.1 if behind else None) as counter:
            async def work():
                for i in range(adds // 50):
                    await counter.add(f"key:{i % 10}")
            await asyncio.gather(*(work() for _ in range(50)))
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3] == "behind"))
"""


@pytest.mark.parametrize("how", ["at once", "behind"])
def test_eight_processes_lose_nothing(redis_url, how):
    each = 125_000 if LONG else 2_500
    crowd = [subprocess.Popen([sys.executable, "-c", CROWD, redis_url, str(each), how], cwd=ROOT) for _ in range(8)]
    assert [process.wait(timeout=300) for process in crowd] == [0] * 8
    with Counter("crowd", store=redis_url, budget=10) as counter:
        assert sum(counter.values([f"key:{i}" for i in range(10)])) == 8 * each


@pytest.mark.parametrize("wrong", [{"write_behind": 0}, {"write_behind": True}, {"write_behind": 1, "floor": 0}], ids=str)
def test_what_cannot_be_is_said(wrong):
    with pytest.raises(ConfigurationError):
        Counter("wrong", **wrong)


def test_in_memory_there_is_nothing_to_write_behind():
    counter = Counter("here", write_behind=1)
    assert [counter.add("ann"), counter.add("ann")] == [1, 2]
    counter.flush()
    assert counter.behind.wait == 0
