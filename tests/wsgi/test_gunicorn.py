"""
The WSGI middleware under a real gunicorn, with threads and with gevent.
"""

import os
import signal
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import servers
from gunicorns import WORKERS, gunicorn

HERE = Path(__file__).parent


@pytest.fixture(params=WORKERS)
def kind(request):
    return request.param


def serving(kind, *words, **environment):
    return gunicorn("served_app:application", HERE, *WORKERS[kind], *words, **environment)


def together(url, path, number, crowd=20):
    """So many answers to requests that many clients send at once."""
    close = {"Connection": "close"}  # so that each request is whichever worker's
    with httpx.Client(base_url=url, trust_env=False, timeout=20, headers=close) as client, ThreadPoolExecutor(crowd) as clients:
        return list(clients.map(lambda _: client.get(path), range(number)))


def test_two_workers_on_one_redis_admit_the_quota_to_the_request(kind, redis_url):
    with serving(kind, "--workers", "2", RATEKIT_STORE=redis_url) as (url, written):
        workers = set()
        servers.until(lambda: workers.add(together(url, "/who", 1)[0].text) or len(workers) == 2)
        answers = together(url, "/exact", 200)
    assert Counter(answer.status_code for answer in answers) == {200: 40, 429: 160}
    left = sorted(int(answer.headers["ratelimit"].partition("r=")[2].partition(";")[0]) for answer in answers if answer.is_success)
    assert left == list(range(40)), "an answer was another's"
    assert not [line for line in written if "Traceback" in line]


def test_a_stream_a_refusal_inside_it_and_a_path_spelt_otherwise(kind, redis_url):
    with serving(kind, RATEKIT_STORE=redis_url) as (url, _), httpx.Client(base_url=url, trust_env=False) as client:
        lines = [client.get("/lines") for _ in range(6)]
        assert [answer.status_code for answer in lines] == [200] * 5 + [429]
        assert lines[0].text == "line 0\n"
        assert lines[5].headers["content-type"] == "application/problem+json"
        assert [post(url, path) for path in ("/login", "//login", "/login?x", "/log%69n", "///login")] == [200, 200, 200, 429, 429]


def post(url, path):
    """A POST whose path no client library tidies up; its status."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        return int(connection.makefile("rb").readline().split()[1])


def test_a_hung_redis_keeps_nobody_waiting_and_others_not_at_all(kind):
    with servers.RedisServer() as redis, serving(kind, RATEKIT_STORE=redis.url, BUDGET="0.05") as (url, _):
        assert together(url, "/ask", 3, 1)[2].is_success
        os.kill(redis.process.pid, signal.SIGSTOP)
        with httpx.Client(base_url=url, trust_env=False, timeout=20) as client, ThreadPoolExecutor(8) as clients:
            begun = time.monotonic()
            asking = [clients.submit(client.get, "/slow") for _ in range(8)]
            assert [answer.result().status_code for answer in asking] == [200] * 8
            took = time.monotonic() - begun
        os.kill(redis.process.pid, signal.SIGCONT)
    # Eight requests of 0.3 s each, all at once: in turn they would take 2.4 s.
    assert took < 2.0
