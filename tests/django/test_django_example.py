"""
examples/django_app.py, with its django_app_urls.py, under its real servers, spoken to over HTTP, and sharing a quota with another framework on one Redis.
"""

import contextlib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx
import pytest
from in_time import in_time
from servers import free_port, until

EXAMPLES = Path(__file__).parents[2] / "examples"


@contextlib.contextmanager
def served(kind, **more):
    """The example under a server; a client of it."""
    docstring = (EXAMPLES / "django_app.py").read_text(encoding="utf-8")
    port = free_port()
    commands = {
        "runserver": ["django_app.py", "runserver", "--noreload"],
        "uvicorn": ["-m", "uvicorn", "django_app:application", "--app-dir", str(EXAMPLES), "--port", str(port)],
    }
    assert "runserver --noreload\n" in docstring
    assert "uvicorn django_app:application --app-dir examples " in docstring
    words = [sys.executable, *commands[kind]] + ([f"127.0.0.1:{port}"] if kind == "runserver" else [])
    with tempfile.TemporaryDirectory() as directory:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RATEKIT_")}
        environment |= {"DATABASE": f"{directory}/db.sqlite3", **more}
        migrate = [sys.executable, "django_app.py", "migrate", "--verbosity", "0"]
        subprocess.run(migrate, cwd=EXAMPLES, env=environment, check=True, timeout=60)
        log = Path(directory) / "log"
        with (
            log.open("wb") as out,
            subprocess.Popen(words, cwd=EXAMPLES, env=environment, stdout=out, stderr=subprocess.STDOUT) as server,
        ):
            try:
                with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20) as client:
                    until(lambda: server.poll() is not None or answers(client))
                    assert server.poll() is None, log.read_text()
                    yield client
            finally:
                server.terminate()
                server.wait(timeout=20)


def answers(client):
    with contextlib.suppress(httpx.TransportError):
        return client.get("/no-such-page/").status_code == 404
    return False


@pytest.mark.parametrize("kind", ["runserver", "uvicorn"])
def test_the_django_example_does_what_its_docstring_says(kind):
    with served(kind) as client:
        first = client.get("/")
        searched = [client.get("/search/") for _ in range(4)]
        logins = [client.post("/login/", data={"username": name}).status_code for name in ("ann", "ann", "ann", "bob")]
        items = [client.get("/api/items/") for _ in range(5)]
        page = client.get("/admin/login/")
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
        form = {"username": "ann", "password": "wrong", "csrfmiddlewaretoken": token[1] if token else ""}
        passwords = [client.post("/admin/login/", data=form).status_code for _ in range(6)]
    assert first.json() == {"hello": "Django"}
    assert first.headers["ratelimit-policy"] == '"default";q=30;w=60'
    assert [answer.status_code for answer in searched] == [200, 200, 200, 429]
    assert searched[3].headers["content-type"] == "application/problem+json"
    assert searched[0].headers["ratelimit-policy"] == '"default";q=30;w=60, "search";q=3;w=60'
    assert logins == [200, 200, 429, 200]
    assert [answer.status_code for answer in items] == [200, 200, 200, 200, 429]
    assert 1 <= int(items[4].headers["retry-after"]) <= 60
    assert passwords == [200] * 5 + [429]


def test_a_django_and_a_fastapi_application_on_one_redis_share_one_quota_to_the_request(redis_url, redis_client):
    code = (
        "from fastapi import FastAPI; from ratekit.asgi import RateLimitMiddleware; app = FastAPI(); "
        f"app.add_middleware(RateLimitMiddleware, limits='30/minute', store={redis_url!r})"
    )
    with tempfile.TemporaryDirectory() as directory, served("runserver", RATEKIT_STORE=redis_url) as django:
        (Path(directory) / "other.py").write_text(f"{code}\n\n\n@app.get('/')\ndef index():\n    return 'hello'\n")
        port = free_port()
        words = [sys.executable, "-m", "uvicorn", "other:app", "--app-dir", directory, "--port", str(port)]
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
            try:
                with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20) as fastapi:
                    until(lambda: answers(fastapi))
                    redis_client.flushall()  # `answers` has asked each of them
                    sent = in_time(
                        lambda: [client.get("/") for _ in range(16) for client in (django, fastapi)], redis_client.flushall
                    )
            finally:
                server.terminate()
                server.wait(timeout=20)
    assert [answer.status_code for answer in sent] == [200] * 30 + [429] * 2
