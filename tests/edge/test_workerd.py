"""
Cloudflare's own runtime on our simulator: workerd runs a small Worker at two locations, whose KV bindings are the simulator's ports.
"""

import json
import subprocess
from pathlib import Path

import httpx
import pytest

from ratekit.kv.serve import serving
from ratekit.kv.serve_binding import binding
from ratekit.kv.simulator import World
from ratekit.testing import ManualClock

CONFIG = Path(__file__).with_name("workers.capnp")


class Worker:
    """The Worker at one location: `worker.get("k")` is `await env.KV.get("k")` there, or raises what was thrown."""

    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}/"

    def __getattr__(self, name):
        def call(*args):
            answer = httpx.post(self.url, json={"call": name, "args": args}, timeout=30).json()
            if "thrown" in answer:
                raise Thrown(answer["thrown"])
            return answer["result"]

        return call


class Thrown(Exception):
    """What the Worker saw thrown, as text."""


@pytest.fixture(scope="module")
def clock():
    """One clock for all: workerd is started once, and each test has keys of its own."""
    return ManualClock()


@pytest.fixture(scope="module")
def workers(clock, node_modules):
    """The Workers at IAD and AMS, and the world behind them."""
    world = World(seed=1, clock=clock)
    apps = {name: binding(world.async_namespace("ns", name.upper())) for name in ("iad", "ams")}
    where = ["node", "-p", "require('workerd').default"]
    binary = subprocess.run(where, cwd=node_modules.parent, capture_output=True, text=True, check=True).stdout.strip()
    with serving(apps) as urls:
        words = [f"--external-addr=kv-{name}={url.removeprefix('http://')}" for name, url in urls.items()]
        words += [f"--socket-addr={name}=127.0.0.1:0" for name in urls]
        command = [binary, "serve", str(CONFIG), "--control-fd=1", *words]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                said = [json.loads(process.stdout.readline()) for _ in urls]
                ports = {event["socket"]: event["port"] for event in said}
                yield Worker(ports["iad"]), Worker(ports["ams"])
            finally:
                process.terminate()


def test_the_second_write_of_a_key_within_a_second_throws_429_too_many_requests(workers, clock):
    here, _ = workers
    here.put("hot", "1")
    with pytest.raises(Thrown) as thrown:
        here.put("hot", "2")
    assert str(thrown.value) == "Error: KV PUT failed: 429 Too Many Requests"
    clock.advance(1)
    here.put("hot", "2")


def test_the_other_location_still_reads_the_old_value_for_a_minute(workers, clock):
    here, there = workers
    here.put("stale", "old")
    clock.advance(1)
    assert (here.get("stale"), there.get("stale")) == ("old", "old")
    here.put("stale", "new")
    clock.advance(58)
    assert (here.get("stale"), there.get("stale")) == ("new", "old")
    clock.advance(2)
    assert there.get("stale") == "new"


def test_a_miss_is_remembered_too(workers, clock):
    here, there = workers
    assert there.get("late") is None
    here.put("late", "v")
    clock.advance(30)
    assert (here.get("late"), there.get("late"), there.get("late", {"cacheTtl": 30})) == ("v", None, "v")


def test_metadata_and_where_an_answer_came_from_are_seen(workers, clock):
    here, _ = workers
    here.put("told/é %", "v", {"metadata": {"név": [1, None]}, "expirationTtl": 60})
    clock.advance(1)
    assert here.getWithMetadata("told/é %") == {"value": "v", "metadata": {"név": [1, None]}, "cacheStatus": "HIT"}
    assert here.get(["told/é %", "none"]) == {"told/é %": "v", "none": None}
    assert here.getWithMetadata(["told/é %"]) == {"told/é %": {"value": "v", "metadata": {"név": [1, None]}}}


def test_a_list_has_pages(workers, clock):
    here, _ = workers
    for i in range(3):
        here.put(f"page:{i}", "v", {"metadata": i})
    clock.advance(1)
    first = here.list({"prefix": "page:", "limit": 2})
    assert first["keys"] == [{"name": "page:0", "metadata": 0}, {"name": "page:1", "metadata": 1}]
    second = here.list({"prefix": "page:", "cursor": first["cursor"]})
    assert (second["keys"], second["list_complete"]) == ([{"name": "page:2", "metadata": 2}], True)


def test_a_deleted_key_is_no_more_and_an_expired_one_either(workers, clock):
    here, _ = workers
    here.put("gone", "v")
    here.put("brief", "v", {"expirationTtl": 60})
    clock.advance(1)
    here.delete("gone")
    clock.advance(59)
    assert (here.get("gone"), here.get("brief")) == (None, None)


@pytest.mark.parametrize(
    ("call", "args", "says"),
    [
        (
            "put",
            ("k", "v", {"expirationTtl": 59}),
            "Error: KV PUT failed: 400 Invalid expiration_ttl of 59. Expiration TTL must be at least 60.",
        ),
        ("put", ("k", "v", {"metadata": "m" * 1023}), "Error: KV PUT failed: 413 Metadata length of 1025 exceeds limit of 1024."),
        ("put", ("k" * 513, "v"), "Error: KV PUT failed: 414 UTF-8 encoded length of 513 exceeds key length limit of 512."),
        ("get", ("k", {"cacheTtl": 29}), "Error: KV GET failed: 400 Invalid cache_ttl of 29. Cache TTL must be at least 30."),
        ("get", (["k"] * 101,), "Error: KV GET_BULK failed: 400 You can request a maximum of 100 keys"),
        ("delete", ("..",), 'TypeError: ".." is not allowed as a key name.'),
    ],
)
def test_what_cannot_be_throws_what_the_real_thing_throws(workers, call, args, says):
    here, _ = workers
    with pytest.raises(Thrown) as thrown:
        getattr(here, call)(*args)
    assert str(thrown.value) == says
