"""
The examples run as their docstrings say, under a real server and as a real process.
"""

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from gunicorns import WORKERS, gunicorn
from in_time import in_time
from websockets.sync.client import connect

EXAMPLES = Path(__file__).parents[1] / "examples"


@contextlib.contextmanager
def served(name):
    """An example under uvicorn, by the command in its docstring and on a port that the system chooses; a client of it."""
    docstring = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    assert f"uvicorn {name}:app --app-dir examples\n" in docstring
    command = [sys.executable, "-m", "uvicorn", f"{name}:app", "--app-dir", "examples", "--port", "0", "--no-use-colors"]
    with subprocess.Popen(
        command, cwd=EXAMPLES.parent, env=plain_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as server:
        try:
            url = next(found[1] for line in server.stderr if (found := re.search(r"running on (http://\S+)", line)))
            with httpx.Client(base_url=url, trust_env=False) as client:
                yield client
        finally:
            server.terminate()
            server.communicate(timeout=10)


def plain_environment(**more):
    return {name: value for name, value in os.environ.items() if not name.startswith("RATEKIT_")} | more


def test_the_starlette_example_refuses_the_sixth_request():
    with served("starlette_app") as client:
        answers = [client.get("/") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert answers[0].headers["ratelimit-policy"] == '"default";q=5;w=10'
    assert 1 <= int(answers[5].headers["retry-after"]) <= 10
    assert answers[5].headers["content-type"] == "application/problem+json"


def test_the_fastapi_example_limits_each_route_in_its_own_way():
    with served("fastapi_app") as client:
        assert client.get("/items").status_code == 401
        ann = [client.get("/items", headers={"x-api-key": "ann"}).status_code for _ in range(10)]
        bob = client.get("/items", headers={"x-api-key": "bob"})
        logins = [client.post("/login").status_code for _ in range(4)]
        reports = [client.get("/report") for _ in range(3)]
        orders = {shop: [client.post(f"/shops/{shop}/orders").status_code for _ in range(3)] for shop in ("a", "b")}
        well = client.get("/health")
        documented = client.get("/openapi.json").json()["paths"]
        with connect(str(client.base_url).replace("http", "ws") + "/chat") as chat:
            said = [(chat.send(text), chat.recv())[1] for text in ("one", "two", "three")]
    assert ann == [200] * 10
    assert bob.json() == ["one", "two"]
    assert bob.headers["ratelimit-policy"] == '"items";q=10;w=6'
    assert logins == [200, 200, 200, 429]
    assert [report.status_code for report in reports] == [200, 200, 429]
    assert orders == {"a": [200, 200, 429], "b": [200, 200, 429]}
    assert "ratelimit" not in well.headers
    assert {path for path, item in documented.items() for operation in item.values() if "429" not in operation["responses"]} == {
        "/health"
    }
    assert said[:2] == ["ONE", "TWO"]
    assert said[2].startswith("wait ")


@pytest.fixture(params=["memory", "redis"])
def store(request):
    """Both kinds of store, by URL."""
    return "memory://" if request.param == "memory" else request.getfixturevalue("redis_url")


def test_the_plain_function_example_prints_what_it_says(store, redis_client):
    command = [sys.executable, "examples/plain_function.py"]
    environment = plain_environment(RATEKIT_STORE=store)
    for _ in range(5):  # where the first trip takes longer than the budget, the process decides by itself, and prints other figures
        redis_client.flushall()
        done = subprocess.run(
            command, cwd=EXAMPLES.parent, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        if lines[2].startswith("not sent") and lines[7].endswith("60 left"):
            break
    assert lines[:2] == ["sent to ann: hello"] * 2
    assert lines[2].startswith("not sent to ann: rate limit 2/minute exceeded: retry after ")
    assert lines[3] == "sent to bob: hello"
    assert [line[:6] for line in lines[4:7]] == ["call 0", "call 1", "call 2"]
    assert lines[7] == "admitted: True; of 100/minute there are 60 left"


@contextlib.contextmanager
def served_wsgi(application, kind, **environment):
    """An example under gunicorn, by the command in its docstring or with gevent instead of threads; a client of it."""
    name = application.partition(":")[0]
    docstring = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    assert f"gunicorn {application} --chdir examples {' '.join(WORKERS['threads'])}\n" in docstring
    with (
        gunicorn(application, EXAMPLES, *WORKERS[kind], **environment) as (url, _),
        httpx.Client(base_url=url, trust_env=False) as client,
    ):
        yield client


@pytest.mark.parametrize("kind", WORKERS)
def test_the_wsgi_example_refuses_the_sixth_request(kind):
    with served_wsgi("wsgi_app:application", kind) as client:
        answers = [client.get("/") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert answers[0].headers["ratelimit-policy"] == '"default";q=5;w=10'
    assert 1 <= int(answers[5].headers["retry-after"]) <= 10
    assert answers[5].headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("kind", WORKERS)
def test_the_flask_example_limits_a_view_a_blueprint_and_everybody_and_leaves_the_health_check_alone(kind, store, redis_client):
    with served_wsgi("flask_app:app", kind, RATEKIT_STORE=store) as client:

        def ask():
            return [
                *(client.post("/login", data={"user": user}) for user in ("ann", "ann", "ann", "ann", "bob")),
                *(client.get("/reports/daily") for _ in range(3)),
                *(client.get("/health") for _ in range(3)),
                client.get("/"),
            ]

        answers = ask() if store == "memory://" else in_time(ask, redis_client.flushall)
    ann, bob, reports, health, home = answers[:4], answers[4], answers[5:8], answers[8:11], answers[11]
    assert [answer.status_code for answer in ann] == [200, 200, 200, 429]
    assert ann[3].text == "slow down: 3/minute is used up\n"
    assert 1 <= int(ann[3].headers["retry-after"]) <= 60
    assert bob.text == "welcome, bob\n"
    assert [answer.status_code for answer in reports] == [200, 200, 429]
    assert [answer.text for answer in health] == ["well\n"] * 3
    assert "ratelimit" not in health[0].headers
    # Refused requests were charged by no limit: 3 + 1 logins, 2 reports and this one.
    assert home.headers["ratelimit"].startswith('"default";r=93;')


def test_every_example_is_run_here():
    tests = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.rglob("test_*.py"))
    assert [path.name for path in EXAMPLES.glob("*.py") if path.stem not in tests] == []
