"""
Many processes on one key: admitted is exactly the limit. And their own clocks have no say.
"""

import shutil
import time

import pytest
import workers

PROCESSES, TASKS, HOUR = 8, 32, 3_600_000_000
ALGORITHMS = ("fixed_window", "sliding_window", "sliding_counter", "token_bucket")
needs_faketime = pytest.mark.skipif(shutil.which("faketime") is None, reason="faketime is not installed: apt-get install faketime")


def crowd(url, algorithm, attempts):
    """`attempts` on one key, spread over all tasks of all processes; how many were admitted, and when by Redis TIME."""
    hits = attempts // (PROCESSES * TASKS) + 3
    answers = workers.run(*[("async", url, f"1000/hour {algorithm}", TASKS, hits)] * PROCESSES)
    first_before, first_after, last_before, last_after = zip(*(answer["times"] for answer in answers), strict=True)
    longest = max(last_after) - min(first_before)
    shortest = max(last_before) - min(first_after)
    return sum(answer["admitted"] for answer in answers), shortest, longest


def check(url, algorithm, attempts):
    admitted, shortest, longest = crowd(url, algorithm, attempts)
    if algorithm == "token_bucket":
        assert 1_000 + shortest * 1_000 // HOUR <= admitted <= 1_000 + longest * 1_000 // HOUR
    else:
        assert admitted == 1_000


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_eight_processes_of_32_tasks_are_admitted_exactly_the_limit(redis_url, algorithm):
    check(redis_url, algorithm, attempts=25_000)


@pytest.mark.long
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_million_attempts_are_admitted_exactly_the_limit(redis_url, algorithm):
    check(redis_url, algorithm, attempts=1_000_000)


@needs_faketime
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_processes_whose_clocks_are_seconds_and_an_hour_apart_share_one_limit(redis_url, algorithm):
    offsets = ["-5s", "+0s", "+5s", "+1h", "-1h"]
    wrap = [["faketime", "--exclude-monotonic", "-f", offset] for offset in offsets]
    answers = workers.run(*[("sync", redis_url, f"100/hour {algorithm}", 40)] * len(offsets), wrap=wrap)
    walls = [answer["wall"] - time.time() for answer in answers]
    assert walls[0] < -3
    assert walls[3] > 3_000
    assert walls[4] < -3_000
    assert sum(answer["admitted"] for answer in answers) == 100
    waits = [wait for answer in answers for wait in answer["waits"]]
    assert len(waits) == 100
    assert 0 < min(waits) <= max(waits) <= (7_200 if algorithm == "sliding_counter" else 3_600)


@needs_faketime
def test_a_clock_that_is_ahead_finds_no_window_open_or_over_before_its_time(redis_url):
    ahead, behind = (["faketime", "--exclude-monotonic", "-f", offset] for offset in ("+1h", "-1h"))
    (first,) = workers.run(("sync", redis_url, "5/minute fixed_window", 5), wrap=[ahead])
    (second,) = workers.run(("sync", redis_url, "5/minute fixed_window", 5), wrap=[behind])
    assert (first["admitted"], second["admitted"]) == (5, 0)
