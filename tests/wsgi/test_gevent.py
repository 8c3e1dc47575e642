"""
The trips of threads under gevent, where a thread is a greenlet: nobody gets another's reply, and nobody keeps the others waiting.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import servers

SCRIPT = Path(__file__).with_name("greenlets.py")


@contextlib.contextmanager
def running(scenario, url):
    with subprocess.Popen(
        [sys.executable, str(SCRIPT), scenario, url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def told(process):
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1])


def ran(scenario, url):
    with running(scenario, url) as process:
        return told(process)


def test_a_hundred_greenlets_get_their_own_replies_on_few_connections_and_shared_trips(redis_url, redis_client):
    before = servers.calls_of(redis_client, "evalsha", "eval")
    connections = redis_client.info("stats")["total_connections_received"]
    found = ran("crowd", redis_url)
    assert found == {"wrong": [], "hits": 2000}
    assert servers.calls_of(redis_client, "evalsha", "eval") - before < 1000
    # Two or three; one more for each that took longer to open than the budget, on a machine that is busy.
    assert redis_client.info("stats")["total_connections_received"] - connections <= 20


def test_greenlets_on_one_key_are_admitted_exactly_its_quota(redis_url):
    assert ran("quota", redis_url) == {"admitted": 300, "sources": ["store"]}


def test_while_redis_hangs_other_greenlets_work_on():
    with servers.RedisServer() as server, running("hung", server.url) as process:
        assert process.stdout.readline() == "ready\n"
        os.kill(server.process.pid, signal.SIGSTOP)
        process.stdin.write("hung\n")
        process.stdin.flush()
        found = told(process)
        os.kill(server.process.pid, signal.SIGCONT)
    assert found["sources"] == ["local"]
    assert found["gap"] < 0.5 < found["wait"]  # half of what a trip waits for
    assert found["turns"] > 20


def test_greenlets_that_are_killed_leave_every_connection_whole_and_keep_nobody_waiting(redis_url):
    found = ran("killed", redis_url)
    assert found["wrong"] == []
    assert found["took"] < 10
