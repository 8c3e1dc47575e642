"""
`ratekit demo`: end to end, as a user runs it; the server is gone when it ends, however it ends.
"""

import os
import re
import signal
import socket
import subprocess
import sys

import pytest

DEMO = [sys.executable, "-m", "ratekit", "demo"]


@pytest.fixture
def environment():
    """The environment of these tests, without a store that somebody may have set in it."""
    return {name: value for name, value in os.environ.items() if name not in ("RATEKIT_STORE", "REDIS_URL", "RATEKIT_ENABLED")}


def port_of(text):
    return int(re.search(r"http://127\.0\.0\.1:(\d+)", text)[1])


def is_served(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_the_demo_shows_everything_and_ends_well(environment, tmp_path):
    picture = tmp_path / "demo.png"
    done = subprocess.run(
        [*DEMO, "--seconds", "4", "--plot", picture], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "steady users: 0 of 48 requests refused" in done.stdout
    assert "  NO   " not in done.stdout
    assert "HTTP/1.1 429 Too Many Requests" in done.stdout
    assert "retry-after: 1" in done.stdout
    assert 'ratelimit-policy: "api";q=20;w=4' in done.stdout
    assert '"violated-policies"' in done.stdout
    assert "uvicorn ratekit.cli.demo_app:app --no-proxy-headers --port 8000" in done.stdout
    assert str(picture) in done.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size < 300_000
    assert not is_served(port_of(done.stdout))


def test_the_demo_keeps_its_state_in_redis_where_it_is_told_to(environment, redis_url, redis_client, tmp_path):
    done = subprocess.run(
        [*DEMO, "--seconds", "2", "--plot", tmp_path / "demo.png"],
        env={**environment, "REDIS_URL": redis_url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "its state in Redis" in done.stdout
    assert any(b"203.0.113.99" in key for key in redis_client.keys("ratekit:*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_interrupted_takes_its_server_with_it(environment, tmp_path, number):
    demo = subprocess.Popen(
        [*DEMO, "--plot", tmp_path / "demo.png"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    port = port_of(demo.stdout.readline())
    assert is_served(port)
    demo.send_signal(number)
    _, errors = demo.communicate(timeout=30)
    assert demo.returncode != 0
    assert "Traceback" not in errors
    assert not is_served(port)


def test_a_store_that_is_away_does_not_stop_the_demo_whose_server_limits_by_itself(environment, tmp_path):
    done = subprocess.run(
        [*DEMO, "--seconds", "2", "--store", "redis://127.0.0.1:1/0", "--plot", tmp_path / "demo.png"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "steady users: 0 of" in done.stdout
    assert "Traceback" not in done.stdout


def test_a_server_that_does_not_start_is_shown_by_what_it_said(ratekit, tmp_path):
    (tmp_path / "uvicorn.py").write_text("raise SystemExit('no server today')\n", encoding="utf-8")
    result = ratekit("demo", env={"PYTHONPATH": str(tmp_path)})
    assert result.exit_code == 1
    assert "no server today" in result.stderr


@pytest.mark.parametrize("store", ["mysql://localhost", "memory://here"])
def test_a_store_that_cannot_be_is_said_before_anything_starts(ratekit, store):
    result = ratekit("demo", "--store", store)
    assert result.exit_code == 2
    assert store in result.stderr
