"""
Memory under several workers: each counts on its own, and that is said.
"""

import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import servers
from calling import hello

from ratekit import RateKitWarning
from ratekit.asgi import RateLimitMiddleware
from ratekit.stores import AsyncMemoryStore
from ratekit.workers import workers


@pytest.mark.parametrize(
    ("command", "environment", "number"),
    [
        ("uvicorn app:app", {}, 1),
        ("uvicorn app:app --workers 4", {}, 4),
        ("uvicorn app:app --workers=4 --port 8000", {}, 4),
        ("uvicorn --workers 4 app:app", {"WEB_CONCURRENCY": "2"}, 4),
        ("uvicorn app:app", {"WEB_CONCURRENCY": "3"}, 3),
        ("uvicorn app:app", {"WEB_CONCURRENCY": ""}, 1),
        ("uvicorn app:app", {"WEB_CONCURRENCY": "many"}, 1),
        ("uvicorn app:app", {"WEB_CONCURRENCY": "²"}, 1),
        ("gunicorn -w 4 app:app", {}, 4),
        ("gunicorn -w4 app:app", {}, 4),
        ("gunicorn -k uvicorn.workers.UvicornWorker -w 2 app:app", {}, 2),
        ("hypercorn -w 3 app:app", {}, 3),
        ("fastapi run --workers 2 app.py", {}, 2),
        ("uvicorn app:app --workers", {}, 1),
        ("uvicorn app:app --workers x", {}, 1),
        ("uvicorn app:app --limit-concurrency 4 --no-w 5x", {}, 1),
        ("uvicorn app:app --workers 1", {"WEB_CONCURRENCY": "8"}, 1),
    ],
)
def test_the_number_of_workers_is_read_off_the_command_line_then_the_environment(command, environment, number):
    assert workers(command.split(), environment) == number


def test_memory_under_several_workers_draws_a_warning_that_says_what_to_do(monkeypatch):
    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    with pytest.warns(RateKitWarning, match=r"this server runs 4 workers.*up to 4 times their limits; give store='redis://...'"):
        RateLimitMiddleware(hello, "1/minute", name="workers")


def test_one_worker_or_a_shared_store_draws_none(monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        monkeypatch.setenv("WEB_CONCURRENCY", "1")
        RateLimitMiddleware(hello, "1/minute", name="workers")
        monkeypatch.setenv("WEB_CONCURRENCY", "4")
        RateLimitMiddleware(hello, "1/minute", name="workers", store="redis://127.0.0.1:1/0")
        RateLimitMiddleware(hello, "1/minute", name="workers", store=AsyncMemoryStore())


APP = """
from ratekit.asgi import RateLimitMiddleware

async def hello(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})

app = RateLimitMiddleware(hello, limits="1/minute")
"""


def test_a_real_uvicorn_with_two_workers_says_it(tmp_path: Path):
    (tmp_path / "workers_app.py").write_text(APP)
    command = [sys.executable, "-m", "uvicorn", "workers_app:app", "--workers", "2", "--port", str(servers.free_port())]
    said = ""
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            said += line
            if "RateKitWarning" in said and "startup complete" in said:
                break
        process.terminate()
        process.communicate(timeout=20)
    assert "RateKitWarning: the state is in memory and this server runs 2 workers" in said
