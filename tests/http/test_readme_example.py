"""
The README's first example, pasted into a file and run by a real `uvicorn app:app`.

The example is the first ```python block of README.md, whatever it says at the time; it has to make `app` with a limit per minute.
"""

import re
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
import servers
from calling import parsed

README = Path(__file__).parents[2] / "README.md"


def first_example() -> str:
    found = re.search(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert found is not None, "README.md has no ```python block"
    return found[1]


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """The example under uvicorn, on a free port."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "app.py").write_text(first_example(), encoding="utf-8")
    port = servers.free_port()
    command = [sys.executable, "-W", "error", "-m", "uvicorn", "app:app", "--port", str(port)]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            for _ in range(200):
                try:
                    httpx.get(f"http://127.0.0.1:{port}/").raise_for_status()
                    break
                except httpx.TransportError:
                    assert process.poll() is None, process.communicate()[0]
                    time.sleep(0.05)
            yield port
        finally:
            process.terminate()
            process.communicate(timeout=20)


def client(port, address):
    return httpx.Client(transport=httpx.HTTPTransport(local_address=address), base_url=f"http://127.0.0.1:{port}", timeout=10)


def test_it_is_eight_lines_that_a_reader_can_paste():
    lines = [line for line in first_example().splitlines() if line.strip()]
    assert len(lines) <= 8
    assert "RateLimitMiddleware" in first_example()


def test_it_limits_two_client_addresses_each_on_its_own_and_tells_them(port):
    for address in ("127.0.0.2", "127.0.0.3"):
        with client(port, address) as user:
            first = user.get("/")
            assert (first.status_code, first.text) == (200, "hello")
            ((name, promised),) = parsed(first.headers["ratelimit-policy"])
            ((same, left),) = parsed(first.headers["ratelimit"])
            assert (name, same, promised["w"]) == ("default", "default", 60)
            assert (left["r"], left["t"]) == (promised["q"] - 1, 60)
            statuses = [user.get("/").status_code for _ in range(promised["q"])]
            assert statuses == [200] * (promised["q"] - 1) + [429]
            refused = user.get("/")
            assert refused.json()["violated-policies"] == ["default"]
            assert 1 <= int(refused.headers["retry-after"]) <= 60


def test_the_fields_are_those_that_the_readme_shows(port):
    shown = dict(re.findall(r"^(ratelimit(?:-policy)?): (.+)$", README.read_text(encoding="utf-8"), re.MULTILINE))
    with client(port, "127.0.0.4") as user:
        first = user.get("/")
    assert {name: first.headers[name] for name in shown} == shown
    assert set(shown) == {"ratelimit", "ratelimit-policy"}
